"""From a configuration to the run that it asks for: rules, identity, and what a sweep's launcher wants to know."""

import functools
import hashlib
import json
import math
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from hybridnets.config.schema import Config, scratch
from hybridnets.data.dataset import ImageDataset
from hybridnets.data.split import check_settings
from hybridnets.runs import Run, manifest
from hybridnets.runs.identity import Identity, identity


class ConfigError(ValueError):
    """A setting that does not fit, in one sentence."""


def _whole(value: Any, least: int, most: float = math.inf) -> bool:
    return type(value) is int and least <= value <= most


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


ACTIVATIONS = ("relu", "elu", "gelu", "tanh", "none")
# What a legal value is, and whether a value is one; a rule holds wherever its key is there.
SEED = ("a whole number of at least 0", lambda v: _whole(v, 0, 2**32 - 1))
RULES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "layers": ("a whole number from 1 to 1,024", lambda v: _whole(v, 1, 1024)),
    "nodes": ("a whole number from 1 to 1,024", lambda v: _whole(v, 1, 1024)),
    "seed": SEED,
    "seeds.split": SEED,
    "seeds.init": SEED,
    "seeds.order": SEED,
    "model.sequence": ("scalars or positions", lambda v: v in ("scalars", "positions")),
    "model.order": ("natural or permuted", lambda v: v in ("natural", "permuted")),
    "model.order_seed": SEED,
    "model.activation": (f"one of {', '.join(ACTIVATIONS)}", lambda v: v in ACTIVATIONS),
    "model.dense_activation": (f"one of {', '.join(ACTIVATIONS)}", lambda v: v in ACTIVATIONS),
    "model.batch_norm_momentum": ("a number from 0 up to, not including, 1", lambda v: _number(v) and 0 <= v < 1),
    "model.dropout": ("a number from 0 up to, not including, 1", lambda v: _number(v) and 0 <= v < 1),
    "optimizer.lr": ("a number above 0", lambda v: _number(v) and v > 0),
    "callbacks.early_stopping.patience": ("a whole number of at least 1", lambda v: _whole(v, 1)),
    "trainer.max_epochs": ("a whole number of at least 1", lambda v: _whole(v, 1)),
    "trainer.gradient_clip_val": ("null or a number of at least 0", lambda v: v is None or (_number(v) and v >= 0)),
    "out": ("the path of a folder", lambda v: bool(v)),
}

# Where the data comes from; what it is, its content's hash says.
DATA_SOURCE = ("root", "mirrors", "dataset")

# Trainer settings that change how a run is made or watched, not what comes out.
NOT_IDENTITY = {
    *("_target_", "accelerator", "devices", "num_nodes", "strategy", "default_root_dir", "enable_checkpointing"),
    *("enable_progress_bar", "enable_model_summary", "log_every_n_steps", "num_sanity_val_steps", "profiler"),
    *("benchmark", "detect_anomaly", "barebones", "inference_mode", "use_distributed_sampler"),
    *("limit_test_batches", "limit_predict_batches"),
}

# Optimiser settings that choose a kernel, not a method.
KERNELS = ("fused", "foreach")


def check(cfg: DictConfig) -> Run:
    """The run that a configuration asks for, once every rule holds; makes and writes nothing.

    Raises:
        ValueError: With one sentence that names key, rule and value.
    """
    for key in map(str, cfg):
        if key not in Config.__dataclass_fields__:
            raise ConfigError(f"{key} must be a key of the configuration, which it is not (--help lists the knobs)")
    for key, (rule, legal) in RULES.items():
        above, _, last = key.rpartition(".")
        node = OmegaConf.select(cfg, above) if above else cfg
        if isinstance(node, DictConfig) and last in node and not legal(value := node[last]):
            raise ConfigError(f"{key} must be {rule}, got {_shown(value)}")
    out = Path(cfg.out)
    if cfg.trainer.get("fast_dev_run"):
        out = Path(scratch())  # a trial of the whole way; nothing of it is kept
    run = Run(out, _identity(cfg))
    _writable(out, run.folder)
    return run


def plan(configs: list[DictConfig]) -> list["Job"]:
    """What the launcher asks before it starts a process: the runs of a sweep, checked, and what is finished already.

    Raises:
        ValueError: As `check`, for the first configuration that breaks a rule.
    """
    jobs = [Job(check(cfg)) for cfg in configs]
    runs = list({job.key: job.run for job in jobs}.values())
    finished = sum(run.result() is not None for run in runs)
    name = HydraConfig.get().job.config_name
    report = configs[0].report and OmegaConf.to_container(configs[0].report, resolve=True)
    for out in {run.out for run in runs} - {Path(scratch())}:
        asked = [run for run in runs if run.out == out]
        manifest.write(out, None if name == "config" else name, shlex.join(sys.orig_argv), asked, report)
    print(f"{len(configs)} settings, {len(runs)} runs, {finished} finished already", flush=True)
    return jobs


class Job:
    """One run of a sweep, as the launcher sees it.

    Args:
        run: The run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.key = str(run.folder)
        self.name = run.name
        self.max_epochs: int = run.identity["trainer"]["max_epochs"]

    def finished(self) -> bool:
        """Whether the run has its result."""
        return self.run.result() is not None

    def result(self) -> float:
        """What main returned for the finished run."""
        return value(self.run.result() or {})

    def progress(self) -> tuple[float, str]:
        """Share of the epochs done, at most, and the last epoch's val accuracy."""
        history = self.run.history()
        if not history:
            return 0.0, ""
        shown = "  ".join(f"{key} {history[-1][key]:.3f}" for key in ("val/acc",) if key in history[-1])
        return len(history) / self.max_epochs, f"epoch {len(history)}/{self.max_epochs}  {shown}"


def command() -> str:
    """The command that repeats this run alone."""
    hydra = HydraConfig.get()
    name = hydra.job.config_name or "config"
    sweep = [] if name == "config" else ["-cn", name, "hydra.mode=RUN"]
    return shlex.join(["python", "train.py", *sweep, *hydra.overrides.task])


def value(result: Mapping[str, Any]) -> float:
    """What a sweeper optimises: the watched metric at the reported epoch."""
    return float(result["best"][result["monitor"]])


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
    kept = {key: setting for key, setting in trainer.items() if key not in NOT_IDENTITY and setting is not None}
    if (devices := _devices(trainer)) != 1:
        kept["devices"] = devices
    parts = {
        "model": plain["model"],
        "data": {**settings, "sha256": images.sha256},
        "optimizer": {key: setting for key, setting in plain["optimizer"].items() if key not in KERNELS},
        "scheduler": plain["scheduler"],
        "callbacks": plain["callbacks"],
        "trainer": kept,
    }
    if plain["ckpt_path"]:
        parts["checkpoint"] = _file_hash(plain["ckpt_path"])
    return identity(plain["seeds"], **parts)


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
        raise
    if not isinstance(loaded, ImageDataset):
        raise ConfigError(f"data.dataset._target_ must return an ImageDataset, got {type(loaded).__name__}")
    return loaded


def _devices(trainer: Mapping[str, Any]) -> Any:
    devices, nodes = trainer.get("devices") or 1, trainer.get("num_nodes") or 1
    if isinstance(devices, list):
        devices = len(devices)
    return devices * nodes if isinstance(devices, int) and devices > 0 else f"{devices} x {nodes}"


def _file_hash(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"ckpt_path must be a readable file, got {path} ({error.strerror})") from None


def _writable(out: Path, folder: Path) -> None:
    """Refuses a folder that could not be made; the nearest one that is there decides."""
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK, effective_ids=True):
        raise ConfigError(f"out must be a folder that can be written to, got {out}: {there} cannot be")


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)
