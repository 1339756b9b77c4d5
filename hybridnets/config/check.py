"""From a configuration to the run that it asks for: rules, identity, and the run that it stands on."""

import functools
import json
import math
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from hybridnets.config import flags
from hybridnets.config.flags import number, whole
from hybridnets.config.place import check_place
from hybridnets.config.schema import Config, scratch
from hybridnets.config.words import at_home
from hybridnets.data.dataset import ImageDataset
from hybridnets.data.split import check_settings
from hybridnets.runs import Run, store
from hybridnets.runs import identity as ids
from hybridnets.runs.files import sha256
from hybridnets.runs.identity import Identity, identity
from hybridnets.runs.records import RecordError, result


class ConfigError(ValueError):
    """A setting that does not fit, in one sentence."""


def _holds(legal: Callable[[Any], Any], value: Any) -> bool:
    try:
        return bool(legal(value))
    except (TypeError, ValueError, AttributeError):  # a value of a kind that does not even compare
        return False


ACTIVATIONS = ("relu", "elu", "gelu", "tanh", "none")
# What a legal value is, and whether a value is one; a rule holds wherever its key is there.
SEED = ("a whole number from 0 to 4,294,967,295", lambda v: whole(v, 0, 2**32 - 1))
SECTION = ("a section with keys of its own", lambda v: isinstance(v, Mapping))
WIDTHS = (
    "a list of whole numbers from 1",
    lambda v: isinstance(v, Sequence) and len(v) > 0 and all(whole(width, 1) for width in v),
)
RULES: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    **{key: SECTION for key in ("model", "data", "seeds", "optimizer", "callbacks", "trainer")},
    "scheduler": ("null or a section with keys of its own", lambda v: v is None or isinstance(v, Mapping)),
    "layers": ("a whole number from 1 to 1,024", lambda v: whole(v, 1, 1024)),
    "nodes": ("a whole number from 1 to 1,024", lambda v: whole(v, 1, 1024)),
    "seed": SEED,
    "seeds.split": SEED,
    "seeds.init": SEED,
    "seeds.order": SEED,
    "rnn.backend": ("auto, torch or fused", lambda v: v in ("auto", "torch", "fused")),
    "model.sequence": ("scalars or positions", lambda v: v in ("scalars", "positions")),
    "model.order": ("natural or permuted", lambda v: v in ("natural", "permuted")),
    "model.order_seed": SEED,
    "model.activation": (f"one of {', '.join(ACTIVATIONS)}", lambda v: v in ACTIVATIONS),
    "model.dense_activation": (f"one of {', '.join(ACTIVATIONS)}", lambda v: v in ACTIVATIONS),
    "model.batch_norm_momentum": ("a number from 0 up to, not including, 1", lambda v: number(v) and 0 <= v < 1),
    "model.channels": WIDTHS,
    "model.dense": WIDTHS,
    "model.dropout": ("a number from 0 up to, not including, 1", lambda v: number(v) and 0 <= v < 1),
    "model.image_size": ("null or a whole number from 32 to 1,024", lambda v: v is None or whole(v, 32, 1024)),
    "model.weights": ("null or the path of a file", lambda v: v is None or (isinstance(v, str) and v)),
    "optimizer.lr": ("a number above 0", lambda v: number(v) and v > 0),
    "callbacks.early_stopping.patience": ("a whole number of at least 1", lambda v: whole(v, 1)),
    **flags.RULES,
    "data.name": (
        "a plain name, for it names a folder",
        lambda v: isinstance(v, str) and re.fullmatch(r"[\w.+-]*\w", v),
    ),
    "backbone": (
        "null, the folder of a finished run, or a list of overrides such as [model=cnn]",
        lambda v: (
            v is None
            or isinstance(v, Mapping)
            or (bool(v) and (isinstance(v, str) or all(isinstance(word, str) for word in v)))
        ),
    ),
    "ckpt_path": ("null or the path of a file", lambda v: v is None or bool(v)),
    "out": ("the path of a folder", lambda v: bool(v)),
}
# Those of a model that stands on another run's, in the place of or beside the others.
RULES_ON_BACKBONE: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "model.kind": ("cae or sae", lambda v: v in ("cae", "sae")),
    "model.channels": ("a whole number from 1, the code's channels", lambda v: whole(v, 1)),
    "model.hidden": ("a list of whole numbers from 1, or []", lambda v: len(v) == 0 or WIDTHS[1](v)),
    "model.code_activation": (f"one of {', '.join(ACTIVATIONS)}", lambda v: v in ACTIVATIONS),
    "model.output_activation": (f"one of {', '.join(ACTIVATIONS)}", lambda v: v in ACTIVATIONS),
}

# Where the data comes from; what it is, its content's hash says.
DATA_SOURCE = ("root", "mirrors", "dataset")

OWN_DATA = "hybridnets.data.datamodule.ImageDataModule"

# What every configuration must have.
NEEDED = (
    *("model", "seeds.split", "seeds.init", "seeds.order", "optimizer", "callbacks", "trainer.max_epochs", "out"),
    *("scheduler", "ckpt_path", "logger", "retry_diverged", "dry_run", "report"),
    *(f"data.{key}" for key in ("name", "dataset", "train_fraction", "batch_size", "standardize", "augment")),
)

# Settings of the data that may differ from the backbone's: they choose no images, and change none that are predicted.
NOT_SHARED = ("batch_size", "augment")

# Settings of the optimiser and of recurrent layers that choose a kernel, not a method.
KERNELS = ("fused", "foreach", "backend")


def check(cfg: DictConfig) -> Run:
    """The run that a configuration asks for, once every rule holds; makes and writes nothing.

    Raises:
        ValueError: With one sentence that names key, rule and value.
    """
    for key in map(str, cfg):
        if key not in Config.__dataclass_fields__:
            raise ConfigError(f"{key} must be a key of the configuration, which it is not (--help lists the knobs)")
    flags.check_environment()
    model = OmegaConf.select(cfg, "model")
    on_backbone = RULES_ON_BACKBONE if isinstance(model, DictConfig) and "backbone" in model else {}
    for key, (rule, legal) in {**RULES, **on_backbone}.items():
        above, _, last = key.rpartition(".")
        node = OmegaConf.select(cfg, above) if above else cfg
        if isinstance(node, DictConfig) and last in node and not _holds(legal, value := node[last]):
            raise ConfigError(f"{key} must be {rule}, got {_shown(value)}")
    for key in NEEDED:
        above, _, last = key.rpartition(".")
        if last not in (OmegaConf.select(cfg, above) if above else cfg):
            raise ConfigError(f"{key} must be there, and is not: give it a value, or do not remove it with ~")
    flags.check_limits(cfg.trainer)
    out = Path(at_home("out", cfg.out))
    if trial(cfg):
        out = Path(scratch("trial"))  # a trial of the whole way; nothing of it is kept
    run = Run(out, _identity(cfg))
    check_place(out, run.folder, cfg.data.name)
    return run


def trial(cfg: DictConfig) -> bool:
    """Whether a run is only to be tried, all the way: nothing of it is kept, and a backbone need not be trained."""
    return bool(cfg.trainer.get("fast_dev_run"))


@dataclass(frozen=True)
class Backbone:
    """The run that another stands on.

    Attributes:
        identity: What determines it.
        folder: Where it is, or will be.
        run: What it is by its configuration; None where its folder was given.
        cfg: That configuration, likewise.
        overrides: Which compose it, likewise; empty where it was given as a whole.
    """

    identity: Identity
    folder: Path
    run: Run | None = None
    cfg: DictConfig | None = None
    overrides: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether it has its result; a folder is given of a finished run only."""
        return self.run is None or self.run.result() is not None


def backbone(cfg: DictConfig) -> Backbone | None:
    """The run that a configuration's model stands on; None where it stands on none.

    Raises:
        ConfigError: If there must be one and is not, or if there is one that the model has no place for.
    """
    if "backbone" not in cfg.model:
        if (given := cfg.get("backbone")) is not None:
            raise ConfigError(
                f"backbone must be null for {_class_of(cfg.model)}, which stands on no other run, got {given}"
            )
        return None
    given = cfg.model.backbone
    if given is None:
        raise ConfigError(
            f"backbone must be there for {_class_of(cfg.model)}, and is null: give the folder of a finished run, or overrides "
            "that name one, as in 'backbone=[model=cnn]'"
        )
    if isinstance(given, str):
        return _finished(Path(given))
    overrides = () if isinstance(given, Mapping) else tuple(given)
    composed = OmegaConf.create(given) if not overrides else _composed(GlobalHydra.instance().hydra, overrides)
    try:
        run = check(composed)
    except ValueError as error:
        raise ConfigError(f"backbone must name a run that can be trained, got {given}: {error}") from error
    return Backbone(run.identity, run.folder, run, composed, overrides)


@functools.cache  # once for all runs of a sweep that stand on one
def _composed(hydra: Any, overrides: tuple[str, ...]) -> DictConfig:  # noqa: ARG001 (another one may compose otherwise)
    return compose(HydraConfig.get().job.config_name or "config", list(overrides))


def _finished(folder: Path) -> Backbone:
    """A finished run by its folder, or by the checkpoint of its reported epoch."""
    folder = folder.parent.parent if folder.name == "best.ckpt" else folder
    try:
        record = result.read(folder) if folder.is_dir() else None
    except RecordError:
        record = None
    if record is None:  # whether its weights are there, matters only where something is trained on it
        raise ConfigError(
            f"backbone must be the folder of a finished run, with result.json and checkpoints/best.ckpt in it, or a list of "
            f"overrides such as [model=cnn], got {folder}"
        )
    return Backbone(record.identity, folder)


def _same_images(whole: Identity, backbone: Identity) -> None:
    """Refuses a backbone to which the images of this run's parts are others.

    Raises:
        ConfigError: If its data set, its split or its standardisation is another.
    """
    if "backbone" in backbone:
        raise ConfigError(f"backbone must be a run that stands on no other itself, got one of {ids.name(backbone)}")
    pairs = {"seeds.split": (backbone["seeds"]["split"], whole["seeds"]["split"])}
    for key in sorted({*backbone["data"], *whole["data"]} - {*NOT_SHARED}):
        pairs[f"data.{key}"] = (backbone["data"].get(key), whole["data"].get(key))
    for key, (there, here) in pairs.items():
        if ids.canonical(there) != ids.canonical(here):
            raise ConfigError(
                f"backbone must have this run's data, split and standardisation, for it may have been trained on what is val "
                f"here, but {key} is {_shown(there)} there and {_shown(here)} here"
            )


def diverged(run: Run) -> str:
    """Why a run is not tried again: its loss was not finite; empty where it was, or where nothing is known of it."""
    if not store.diverged(run.folder):
        return ""
    return f"{store.reason(run.folder)} (retry_diverged=true tries it again)"


def check_diverged(run: Run, cfg: DictConfig) -> None:
    """Refuses a run that would only diverge again.

    Raises:
        ConfigError: If it diverged before, and nobody asks to try it again.
    """
    if not cfg.retry_diverged and (told := diverged(run)):
        raise ConfigError(f"{run.name} is not trained again: {told}")


def command(overrides: Sequence[str] | None = None) -> str:
    """The command that repeats this run alone; or, with the overrides of another run, the one that makes that."""
    hydra = HydraConfig.get()
    name = hydra.job.config_name or "config"
    sweep = [] if name == "config" else ["-cn", name, "hydra.mode=RUN"]
    return shlex.join(["python", "train.py", *sweep, *(hydra.overrides.task if overrides is None else overrides)])


def _identity(cfg: DictConfig) -> Identity:
    plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    data, trainer = plain["data"], plain["trainer"]
    images = dataset(cfg)
    check_settings(
        len(images.train_labels),
        images.train_images.shape[1:],
        **{key: data[key] for key in ("train_fraction", "batch_size", "standardize", "augment")},
    )
    settings = {key: setting for key, setting in data.items() if key not in DATA_SOURCE}
    devices = flags.device_count(trainer)
    if isinstance(devices, int) and data["batch_size"] < 2 * devices:  # as the loader would, once it trains
        raise ConfigError(
            f"data.batch_size must be at least {2 * devices}, two images for each of {devices} devices, "
            f"got {data['batch_size']}"
        )
    model = plain["model"]
    if isinstance(layer := model.get("rnn"), dict):
        model = {**model, "rnn": {key: setting for key, setting in layer.items() if key not in KERNELS}}
    if "weights" in model:
        model = dict(model)
        if path := model.pop("weights"):
            model["weights"] = _file_hash("model.weights", path)
    parts = {
        "model": model,
        "data": {**settings, "sha256": images.sha256},
        "optimizer": {key: setting for key, setting in plain["optimizer"].items() if key not in KERNELS},
        "scheduler": plain["scheduler"],
        "callbacks": (callbacks := {key: section for key, section in plain["callbacks"].items() if section}),
        "trainer": flags.identity(trainer, reloading=data.get("_target_") != OWN_DATA),
    }
    # One after the other they may do something else than in another order; which a section's sorted keys do not tell.
    if list(callbacks) != sorted(callbacks, key=lambda name: (name != "early_stopping", name)):
        parts["callbacks_order"] = list(callbacks)
    if key := _not_finite(parts):
        raise ConfigError(f"{key[0]} must be a finite number, for it names the run, got {key[1]}")
    if plain["ckpt_path"]:
        parts["checkpoint"] = _file_hash("ckpt_path", plain["ckpt_path"])
    if found := backbone(cfg):
        parts["model"] = {key: setting for key, setting in model.items() if key != "backbone"}
        parts["backbone"] = ids.as_input(found.identity, plain["seeds"])
    whole = identity(plain["seeds"], **parts)
    if found:
        _same_images(whole, found.identity)
    return whole


def _not_finite(settings: Any, above: str = "") -> tuple[str, float] | None:
    """The first number that is infinite or none, with its key."""
    if isinstance(settings, float) and not math.isfinite(settings):
        return above, settings
    inner = (
        settings.items() if isinstance(settings, Mapping) else enumerate(settings) if isinstance(settings, list) else ()
    )
    found = (_not_finite(setting, f"{above}.{key}" if above else str(key)) for key, setting in inner)
    return next(filter(None, found), None)


def dataset(cfg: DictConfig) -> ImageDataset:
    """The configuration's data set: located, verified and hashed once a process."""
    return _load(json.dumps(OmegaConf.to_container(cfg.data.dataset, resolve=True)))


@functools.cache
def _load(settings: str) -> ImageDataset:
    try:
        loaded = instantiate(json.loads(settings), _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, ValueError):  # the data set's own sentence
            raise error.__cause__ from None
        raise ConfigError(f"data.dataset cannot be built: {reason(error)}") from error
    if not isinstance(loaded, ImageDataset):
        raise ConfigError(f"data.dataset._target_ must return an ImageDataset, got {type(loaded).__name__}")
    return loaded


def reason(error: Exception) -> str:
    """What Hydra says of a target that cannot be built, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("full_key")]
    text = " ".join(lines).replace(", set env var HYDRA_FULL_ERROR=1 to see chained exception.", "")
    cause = error.__cause__
    while cause is not None and cause.__cause__ is not None:
        cause = cause.__cause__
    return text if cause is None or str(cause) in text else f"{text} ({type(cause).__name__}: {cause})"


def _file_hash(key: str, path: str) -> str:
    try:
        there = Path(path).stat()
        return _hash(path, there.st_ino, there.st_size, there.st_mtime_ns)
    except OSError as error:
        raise ConfigError(f"{key} must be a readable file, got {path} ({error.strerror})") from None


@functools.cache  # for all runs of a sweep: half a gigabyte takes a second
def _hash(path: str, *_: int) -> str:
    return sha256(Path(path))


def _class_of(model: DictConfig) -> str:
    return str(model.get("_target_", "this model")).rpartition(".")[2]


def _shown(value: Any) -> str:
    return "null" if value is None else "nothing" if value == "" else str(value)
