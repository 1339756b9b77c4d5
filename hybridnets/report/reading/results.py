"""The finished runs below some folders, each read and checked by itself: one that is broken costs no other."""

import csv
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from hybridnets import runs
from hybridnets.report.reading.predictions import PartPredictions, Reader
from hybridnets.runs import identity as ids
from hybridnets.runs.files import read_json
from hybridnets.runs.store import SCHEMA

NAME = r"[\w.+-]*\w"  # of a data set: it names files
MOST = 1e15  # of anything that is counted
ROUNDING = 1e-6  # between two ways to a share of images: a float32 mean, and a count

# What of an attempt's record says where its seconds were measured, with the unit.
HARDWARE = {"device": "", "threads": " thread(s)", "processor": ""}

Layer = tuple[str, str, tuple[int, ...], int]
Progress = Callable[[list[Path]], Iterable[Path]]  # passes the folders on, and shows how far it got


class ReportError(ValueError):
    """Something asked for that cannot be reported, in one sentence."""


@dataclass(frozen=True)
class CodeSize:
    """What the feature maps of a backbone, a finished run, become between the two halves of an autoencoder.

    Attributes:
        backbone: Hash of the backbone's identity.
        before: The backbone's own accuracies on the same images, by metric: test and val.
        maps: Shape of the feature maps, (C, H, W).
        shape: Shape of their code.
        bytes: What the code of one image takes.
        error: Mean squared error of the maps after it on val, at the reported epoch; NaN where it is not finite.
    """

    backbone: str
    before: Mapping[str, float]
    maps: tuple[int, ...]
    shape: tuple[int, ...]
    bytes: int
    error: float

    @property
    def numbers(self) -> int:
        """How many numbers the code has."""
        return math.prod(self.shape)

    @property
    def compression(self) -> float:
        """The share of the maps' numbers that it saves."""
        return 1 - self.numbers / math.prod(self.maps)


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """One finished training, as its result tells it. Accuracies are fractions.

    Attributes:
        folder: Its folder, as it was given.
        hash: SHA-256 of its identity.
        identity: What determined it.
        data: The data set's name.
        name: The variant's short name.
        seeds: The seeds of split, initialisation and order.
        scores: By metric: test and val at the epoch that was best on val (val is optimistic there), val_last at the last
            epoch; or score, of anybody's file.
        split: Hash of its split into train and val; empty where unknown.
        ratio: Images in val for one in train; None where unknown.
        diverged: Whether a loss at the reported or the last epoch is not finite.
        best_epoch: The reported epoch, counted from 0.
        epochs: How many epochs were trained.
        parameters: Keras's count; None where unknown.
        layers: Stage, name, output shape (maps: height, width, channels) and Keras's count of each layer; may be empty.
        classes: Names of the classes; empty where unknown.
        outcomes: Its predictions by part, val and test; empty where none are stored.
        curves: A value an epoch of each metric that was logged; may be empty.
        epoch_seconds: Seconds of each epoch, where they were recorded.
        hardware: Device, threads and processor of the last attempt; empty where unknown.
        source: Commit and versions of the last attempt; empty where unknown.
        started: When its first attempt began; None where unknown.
        axes: Settings by which a table may order it, where its identity does not tell them.
        code: What it compresses the feature maps of its backbone to; None of a run that does not.
    """

    folder: Path
    hash: str
    identity: ids.Identity
    data: str
    name: str
    seeds: tuple[int, int, int]
    scores: Mapping[str, float]
    split: str = ""
    ratio: float | None = None
    diverged: bool = False
    best_epoch: int = 0
    epochs: int = 0
    parameters: int | None = None
    layers: tuple[Layer, ...] = ()
    classes: tuple[str, ...] = ()
    outcomes: Mapping[str, PartPredictions] = field(default_factory=dict)
    curves: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    epoch_seconds: tuple[float, ...] = ()
    hardware: str = ""
    source: str = ""
    started: datetime | None = None
    axes: Mapping[str, str] = field(default_factory=dict)
    code: CodeSize | None = None

    @property
    def seed(self) -> str:
        """The seeds in short: one number where all three agree."""
        return ids.seed(self.identity)

    @property
    def seconds(self) -> float | None:
        """What all its epochs took; None where that was not recorded."""
        return sum(self.epoch_seconds) if self.epoch_seconds else None

    @property
    def relative(self) -> Path:
        """The folder below the folder of all runs: DATA/VARIANT/seed=K-HASH."""
        return Path(*self.folder.resolve().parts[-3:])


@dataclass(frozen=True)
class RunSet:
    """What some folders hold.

    Attributes:
        folders: The folders, resolved.
        runs: The finished runs, each once.
        problems: A sentence for each file that could not be used.
        missing: The trainings that a file of scores names without a score; their folder is their line.
        partial: How many rows of a file of scores are left out, in words; empty where none is.
        head: What a report on a file of scores says first: what is left out or missing, and how the file was read.
        predictions: Whether there may be predictions; False of a file of scores that names none.
    """

    folders: tuple[Path, ...]
    runs: tuple[FinishedRun, ...]
    problems: tuple[str, ...]
    missing: tuple[FinishedRun, ...] = ()
    partial: str = ""
    head: tuple[str, ...] = ()
    predictions: bool = True


def read(folders: list[Path], progress: Progress = iter) -> RunSet:
    """The finished runs at or below the folders, each once; broken ones are named and left out.

    Args:
        folders: Folders of runs.
        progress: Shows how many were read.

    Raises:
        ReportError: If one of them is no folder, or if not one run in them can be read.
    """
    for folder in folders:
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "does not exist"
            raise ReportError(
                f"FOLDER must be a folder of finished runs, got {folder}, which {what}: give train.py's out"
            )
    below = {folder: runs.find([folder]) for folder in folders}
    if not any(below.values()):
        raise ReportError(
            f"FOLDER must hold a finished run (a result.json), got {', '.join(map(str, folders))} without any: "
            "train some with train.py, or give the folder it wrote to"
        )
    problems = [f"{folder} holds no finished run" for folder, there in below.items() if not there]
    found: dict[str, FinishedRun] = {}
    reader = Reader()
    for folder in progress(list({folder.resolve(): folder for there in below.values() for folder in there}.values())):
        try:
            run = _run(folder, reader, problems)
        except ReportError as error:
            problems.append(str(error))
            continue
        if run.hash in found:
            problems.append(f"{folder} holds the same run as {found[run.hash].folder}: it counts once")
        else:
            found[run.hash] = run
    if not found:
        raise ReportError(f"FOLDER must hold a finished run that can be read, got none: {'; '.join(problems)}")
    return RunSet(tuple(folder.resolve() for folder in folders), tuple(found.values()), tuple(problems))


def _run(folder: Path, reader: Reader, problems: list[str]) -> FinishedRun:
    path = folder / "result.json"
    try:
        result = read_json(path)
    except (OSError, ValueError, RecursionError):
        _refuse(path, "is no whole JSON file")
    if not isinstance(result, dict) or result.get("schema") != SCHEMA:
        _refuse(path, f"does not say schema {SCHEMA}: something else wrote it, or another version")
    identity: Any = result.get("identity")
    try:
        if ids.digest(identity) != result["hash"] or identity["seeds"] != result["seeds"]:
            _refuse(path, "was altered: its hash does not follow from its identity")
        json.dumps(identity, ensure_ascii=False).encode()  # what no file can hold, no report can say
        if not re.fullmatch(NAME, identity["data"]["name"]):
            _refuse(path, f"must name its data set plainly, got {identity['data']['name']!r}")
        seeds, best, last = identity["seeds"], result["best"], result["last"]
        images = result.get("images", {})
        found = FinishedRun(
            folder=folder,
            hash=result["hash"],
            identity=identity,
            data=str(identity["data"]["name"]),
            name=ids.name(identity),
            seeds=(_whole(path, seeds, "split"), _whole(path, seeds, "init"), _whole(path, seeds, "order")),
            scores={
                "test": _accuracy(path, best, "test/acc"),
                "val": _accuracy(path, best, "val/acc"),
                "val_last": _accuracy(path, last, "val/acc"),
            },
            split=str(result["split"]),
            ratio=_whole(path, images, "val") / (_whole(path, images, "train") or 1) if images else None,
            # JSON has no NaN: a loss that is not finite is stored as null.
            diverged=any(
                not _finite(part.get(f"{what}/loss", 0.0)) for part in (best, last) for what in ("train", "val")
            ),
            best_epoch=_whole(path, best, "epoch"),
            epochs=_whole(path, result, "epochs"),
            parameters=_whole(path, result["parameters"], "keras"),
            layers=tuple((str(a), str(b), tuple(map(int, c)), int(d)) for a, b, c, d in result.get("layers", ())),
            classes=tuple(map(str, result.get("classes", ()))),
            outcomes=_outcomes(path, result, reader),
            curves=_curves(folder, problems),
            code=_code(path, result),
            **_provenance(folder, problems),
        )
    except KeyError as error:
        _refuse(path, f"lacks {error}")
    except ReportError:
        raise
    except (TypeError, AttributeError, ValueError, ArithmeticError, RecursionError):
        _refuse(path, "does not have the shape of a result")
    return found


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _code(path: Path, result: Mapping[str, Any]) -> CodeSize | None:
    if "code" not in result:
        return None
    code, maps, before = result["code"], result["maps"], result["before"]
    found = CodeSize(
        backbone=str(result["backbone"]["hash"]),
        before={part: _accuracy(path, before, f"{part}/acc") for part in ("test", "val")},
        maps=tuple(map(int, maps["shape"])),
        shape=tuple(map(int, code["shape"])),
        bytes=_whole(path, code, "bytes"),
        error=float(error) if _finite(error := result["best"]["val/loss"]) else math.nan,
    )
    told = (code["numbers"], maps["numbers"])
    if min(*found.maps, *found.shape) < 1 or told != (found.numbers, math.prod(found.maps)):
        _refuse(path, f"says {told[0]} of {told[1]} numbers, which the shapes of code and maps do not give")
    if abs(code["compression"] - found.compression) > ROUNDING:
        _refuse(path, f"says a compression of {code['compression']}, and the shapes give {found.compression:.6f}")
    return found


def _outcomes(path: Path, result: Mapping[str, Any], reader: Reader) -> dict[str, PartPredictions]:
    """The predictions, which must give the result's accuracies: one of the two was altered where they do not."""
    stored = path.with_name("predictions.npz")
    try:
        outcomes = reader.run(stored)
    except ValueError as error:
        raise ReportError(str(error)) from None
    for part, found in outcomes.items():
        for side, where in ((found, "best"), (found.before, "before")):
            if side and abs(side.accuracy - (told := result[where][f"{part}/acc"])) > ROUNDING:
                what = f"{part}/acc {side.accuracy:.6f}{' before' * (where == 'before')}"
                _refuse(stored, f"gives {what}, and result.json says {told:.6f}: one was altered")
    return outcomes


def _curves(folder: Path, problems: list[str]) -> dict[str, tuple[float, ...]]:
    """What was logged each epoch, which only the learning curves depend on."""
    path = folder / "metrics.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = [row for row in csv.reader(file) if row]
        columns = list(zip(*([float(cell or "nan") for cell in row] for row in rows), strict=True))
        if any(abs(value) > MOST for column in columns for value in column):
            raise ValueError("a number that cannot be")
        return dict(zip(header, columns, strict=True)) if rows else {}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, csv.Error):
        problems.append(f"{path} cannot be read: the run counts, its learning curve is missing")
        return {}


def _provenance(folder: Path, problems: list[str]) -> dict[str, Any]:
    """Seconds, hardware and versions, which no accuracy depends on: without them the run still counts."""
    path = folder / "provenance.json"
    try:
        provenance = read_json(path)
        if provenance is None:
            return {}
        attempts = provenance["attempts"] or [{}]
        last = attempts[-1]
        words = [str(last[key]) + unit for key, unit in HARDWARE.items() if key in last]
        words += ["batch statistics over all devices"] * bool(last.get("sync_batchnorm"))
        versions = [f"{package} {version}" for package, version in last.get("versions", {}).items()]
        commit, changed = last.get("git_commit"), " with changes" if last.get("git_dirty") else ""
        seconds = tuple(float(value) for value in provenance["epoch_seconds"].values())
        started = datetime.fromisoformat(attempts[0]["started"]) if "started" in attempts[0] else None
        if not all(0 <= value <= MOST for value in seconds) or (started and started.timestamp() < 0):
            raise ValueError("a time that cannot be")
        return {
            "epoch_seconds": seconds,
            "hardware": ", ".join(words),
            "source": ", ".join([*([f"commit {str(commit)[:10]}{changed}"] if commit else []), *versions]),
            "started": started,
        }
    except (OSError, ValueError, ArithmeticError, RecursionError, KeyError, TypeError, AttributeError, IndexError):
        problems.append(f"{path} cannot be read: the run counts, its seconds do not")
        return {}


def _accuracy(path: Path, measured: Mapping[str, Any], key: str) -> float:
    value = measured[key]
    if type(value) not in (int, float) or not 0 <= value <= 1 + ROUNDING:
        _refuse(path, f"has {key} {value}, which is no share of images")
    return float(value)


def _whole(path: Path, measured: Mapping[str, Any], key: str) -> int:
    value = measured[key]
    if type(value) not in (int, float) or not 0 <= value <= MOST or value != value // 1:
        _refuse(path, f"has {key} {value}, which is no whole number")
    return int(value)


def _refuse(path: Path, why: str) -> NoReturn:
    raise ReportError(f"{path} {why}")
