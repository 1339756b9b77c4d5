"""result.json: what a finished run measured, in deterministic bytes."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from hybridnets.runs import identities
from hybridnets.runs.files import ForbiddenError, read_json
from hybridnets.runs.records.errors import (
    SHARE_ROUNDING,
    ForbiddenRecordError,
    RecordError,
    count,
    is_finite,
    refuse,
    share,
)

FILE = "result.json"
SCHEMA = 1  # raised when readers of the file must change
DATA_NAME = r"[\w.+-]*\w"  # of a data set: it names files
KEYS = (  # of every result; a model may add facts under further keys
    *("schema", "hash", "data", "variant", "seeds", "monitor", "best", "last", "epochs", "images", "split", "weights"),
    *("classes", "parameters", "layers", "backbone", "identity"),
)


class LayerRecord(NamedTuple):
    """One layer of the model, as Keras would list it.

    Attributes:
        stage: The part of the model that it belongs to.
        name: What it is.
        shape: Shape of its output without the batch; maps are (height, width, channels).
        parameters: Keras's count.
    """

    stage: str
    name: str
    shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class CodeRecord:
    """What a feature autoencoder makes of the feature maps of its backbone.

    Attributes:
        backbone: Hash of the backbone's identity.
        before: The backbone's own accuracies on the same images, fractions, by metric: test and val.
        maps: Shape of the feature maps, (C, H, W).
        shape: Shape of their code.
        bytes: Size of the code of one image.
        error: Mean squared error of the rebuilt maps on val, at the reported epoch; NaN where it is not finite.
    """

    backbone: str
    before: Mapping[str, float]
    maps: tuple[int, ...]
    shape: tuple[int, ...]
    bytes: int
    error: float

    @property
    def values(self) -> int:
        """How many values the code has."""
        return math.prod(self.shape)

    @property
    def saving(self) -> float:
        """The share of the maps' values that the code saves."""
        return 1 - self.values / math.prod(self.maps)


@dataclass(frozen=True)
class Result:
    """What a finished run measured. Accuracies are fractions; a metric that is not finite is NaN.

    Attributes:
        identity: What determined the run.
        monitor: The metric that chose the reported epoch.
        best: The metrics of the reported epoch with its number, and the accuracies of its weights on val and test. The epoch
            was chosen on val, so the value on val is optimistic.
        last: The metrics of the last epoch, with its number.
        epochs: How many epochs were trained.
        images: How many images train, val and test have; empty in results of the first versions.
        split: SHA-256 of the split into train and val.
        weights: SHA-256 of the published weights; empty in results of the first versions.
        classes: Names of the classes; may be empty.
        parameters: Parameters by the way of counting: keras and torch.
        layers: The model, layer by layer; may be empty.
        facts: What the model adds about itself, JSON: `maps`, `code` and `before` of a feature autoencoder.
    """

    identity: identities.Identity
    monitor: str
    best: Mapping[str, float]
    last: Mapping[str, float]
    epochs: int
    images: Mapping[str, int]
    split: str
    weights: str
    classes: tuple[str, ...]
    parameters: Mapping[str, int]
    layers: tuple[LayerRecord, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    code: CodeRecord | None = None

    @property
    def hash(self) -> str:
        """SHA-256 of the identity."""
        return identities.hash_of(self.identity)

    @property
    def monitored(self) -> float:
        """The metric that chose the reported epoch, at that epoch: what a sweeper optimises."""
        return self.best.get(self.monitor, math.nan)

    @property
    def diverged(self) -> bool:
        """Whether a loss at the reported or the last epoch is not finite."""
        losses = [epoch.get(f"{part}/loss", 0.0) for epoch in (self.best, self.last) for part in ("train", "val")]
        return not all(map(math.isfinite, losses))

    def to_json(self) -> dict[str, Any]:
        """The content of result.json; its keys come in the order in which the file has them."""
        backbone = identities.backbone(self.identity)
        return {
            "schema": SCHEMA,
            "hash": self.hash,
            "data": self.identity["data"]["name"],
            "variant": identities.name(self.identity),
            "seeds": self.identity["seeds"],
            "monitor": self.monitor,
            "best": _without_nan(self.best),
            "last": _without_nan(self.last),
            "epochs": self.epochs,
            "images": dict(self.images),
            "split": self.split,
            "weights": self.weights,
            "classes": list(self.classes),
            "parameters": dict(self.parameters),
            "layers": [[*layer[:2], list(layer.shape), layer.parameters] for layer in self.layers],
            **_without_nan(self.facts),
            **({"backbone": _reference(backbone)} if backbone else {}),
            "identity": self.identity,
        }


def read(folder: Path) -> Result | None:
    """The result of a run's folder; None where the run is not finished.

    Raises:
        RecordError: If the file is damaged, altered or of another version.
    """
    path = folder / FILE
    try:
        content = read_json(path)
    except ForbiddenError as error:
        raise ForbiddenRecordError(str(error)) from None
    except (OSError, ValueError, RecursionError):
        refuse(path, "is not a complete JSON file")
    return None if content is None else parse(content, path)


def parse(content: Any, path: Path) -> Result:
    """The result from the content of a file.

    Args:
        content: The value of the JSON file.
        path: The file, for messages.

    Raises:
        RecordError: If it is damaged, altered or of another version.
    """
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        if not isinstance(content, dict) or "schema" not in content:
            refuse(path, "is not the result of a run: it states no schema")
        schema = content["schema"]
        refuse(
            path,
            f"must have schema {SCHEMA}, which this version reads, and has {schema}: use the version that wrote it",
        )
    try:
        identity = _identity(content, path)
        images, parameters = content.get("images", {}), content["parameters"]
        best, last = _metrics(content["best"], path), _metrics(content["last"], path)
        count(path, best, "epoch")
        return Result(
            identity=identity,
            monitor=str(content.get("monitor", "val/acc")),
            best=best,
            last=last,
            epochs=count(path, content, "epochs"),
            images={part: count(path, images, part) for part in images},
            split=str(content["split"]),
            weights=str(content.get("weights", "")),
            classes=tuple(map(str, content.get("classes", ()))),
            parameters={way: count(path, parameters, way) for way in {"keras": 0, **parameters}},
            layers=tuple(
                LayerRecord(str(stage), str(name), tuple(map(int, shape)), int(parameters))
                for stage, name, shape, parameters in content.get("layers", ())
            ),
            facts={key: value for key, value in content.items() if key not in KEYS},
            code=_code(content, best, path) if "code" in content else None,
        )
    except KeyError as error:
        refuse(path, f"lacks {error}")
    except RecordError:
        raise
    except (TypeError, AttributeError, ValueError, ArithmeticError, RecursionError):
        refuse(path, "does not have the shape of a result")


def _identity(content: Mapping[str, Any], path: Path) -> identities.Identity:
    identity: Any = content.get("identity")
    if identities.hash_of(identity) != content["hash"] or identity["seeds"] != content["seeds"]:
        refuse(path, "was altered: its hash does not follow from its identity")
    json.dumps(identity, ensure_ascii=False).encode()  # what no file can hold, no report can say
    if not re.fullmatch(DATA_NAME, identity["data"]["name"]):
        refuse(path, f"must name its data set plainly, got {identity['data']['name']!r}")
    for kind in identities.SEED_KINDS:
        count(path, identity["seeds"], kind)
    identities.name(identity)
    return dict(identity)


def _metrics(values: Mapping[str, Any], path: Path) -> dict[str, float]:
    """An epoch's metrics; JSON has no NaN, so what is not finite is stored as null."""
    metrics = {str(key): math.nan if value is None else value for key, value in values.items()}
    if any(type(value) not in (int, float) for value in metrics.values()):
        key = next(key for key, value in metrics.items() if type(value) not in (int, float))
        refuse(path, f"has {key} {metrics[key]}, which is not a number")
    return metrics


def _code(content: Mapping[str, Any], best: Mapping[str, float], path: Path) -> CodeRecord:
    code, maps = content["code"], content["maps"]
    record = CodeRecord(
        backbone=str(content["backbone"]["hash"]),
        before={part: share(path, content["before"], f"{part}/acc") for part in ("test", "val")},
        maps=tuple(map(int, maps["shape"])),
        shape=tuple(map(int, code["shape"])),
        bytes=count(path, code, "bytes"),
        error=error if is_finite(error := best["val/loss"]) else math.nan,
    )
    stated = (code["numbers"], maps["numbers"])
    if min(*record.maps, *record.shape) < 1 or stated != (record.values, math.prod(record.maps)):
        refuse(path, f"says {stated[0]} of {stated[1]} values, which the shapes of code and maps do not give")
    if abs(code["compression"] - record.saving) > SHARE_ROUNDING:
        refuse(path, f"says a compression of {code['compression']}, and the shapes give {record.saving:.6f}")
    return record


def _reference(identity: identities.Identity) -> dict[str, str]:
    """Where another run is in the folder of all runs."""
    return {
        "name": identities.name(identity),
        "hash": identities.hash_of(identity),
        "folder": str(identities.folder(identity)),
    }


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: a number that is not finite becomes null."""
    if isinstance(value, Mapping):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list(map(_without_nan, value))
    return None if isinstance(value, float) and not math.isfinite(value) else value
