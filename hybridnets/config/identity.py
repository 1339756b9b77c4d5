"""The identity of the run that a configuration asks for: the settings that determine its result.

All settings in the sections model, data, loss, optimizer, scheduler, callbacks and trainer belong to it, except those declared
here: NOT_IDENTITY lists settings that do not change the result, AT_NULL the values at which a flag does the same as null.
"""

import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybridnets.config.devices import device_count
from hybridnets.config.errors import ConfigError
from hybridnets.data.split import SETTINGS
from hybridnets.runs import identities
from hybridnets.runs.files import sha256
from hybridnets.runs.identities import Identity

# Settings of an optimiser and of recurrent layers that choose a kernel, not a method.
KERNELS = {"fused", "foreach", "backend"}

# What a section holds that does not determine a run's result.
NOT_IDENTITY: Mapping[str, set[str]] = {
    # Where the images come from; `loading_keys` adds to it. The hash of their content is in the identity.
    "data": {"root", "mirrors", "dataset", "licence"},
    "model": {"backbone", "weights"},  # files and runs, which enter by their content
    "model.rnn": KERNELS,
    "optimizer": KERNELS,
    "trainer": {  # flags that change how a run is made or watched, not its result
        *("_target_", "accelerator", "devices", "num_nodes", "strategy", "default_root_dir", "enable_checkpointing"),
        *("enable_progress_bar", "enable_model_summary", "log_every_n_steps", "num_sanity_val_steps", "profiler"),
        *("benchmark", "detect_anomaly", "barebones", "inference_mode", "use_distributed_sampler"),
        *("limit_test_batches", "enable_autolog_hparams", "model_registry"),
    },
}

# What Lightning does where a flag is null. A flag with this value is left out of the identity, as null is.
AT_NULL: Mapping[str, Any] = {
    "precision": "32-true",
    "limit_train_batches": 1.0,
    "limit_val_batches": 1.0,
    "overfit_batches": 0,
    "val_check_interval": 1.0,
    "check_val_every_n_epoch": 1,
    "accumulate_grad_batches": 1,
    "max_steps": -1,
    "gradient_clip_val": 0,
    "gradient_clip_algorithm": "norm",
    "deterministic": False,
    "fast_dev_run": False,
    "reload_dataloaders_every_n_epochs": 0,
    "plugins": [],
}

# Minima that every run reaches up to 1: it trains an epoch and takes a step.
MINIMA = ("min_epochs", "min_steps")

# Lightning's own names of a precision, by their short forms.
PRECISIONS = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "64": "64-true"}

# Flags at which 1 is one batch and 1.0 is all batches.
COUNT_OR_SHARE = ("limit_train_batches", "limit_val_batches", "overfit_batches", "val_check_interval")

# The data module that we know: how often its loaders are made does not matter, and folds do without a fraction.
OWN_DATA = "hybridnets.data.datamodule.ImageDataModule"


def identity_of(settings: Mapping[str, Any], data_sha256: str, backbone: Identity | None) -> Identity:
    """The identity of the run that resolved settings ask for.

    Args:
        settings: The whole configuration as plain values.
        data_sha256: Hash of the data set's content.
        backbone: Identity of the run whose network the model uses as its backbone, if it uses one.

    Raises:
        ConfigError: If a file cannot be read, or if a number is not finite.
    """
    sections = ("model", "data", "optimizer", "trainer")
    model, data, optimizer, trainer = (_without(section, settings[section]) for section in sections)
    data = {key: value for key, value in data.items() if key not in loading_keys(settings["data"])}
    if "augment" in data:  # last, as in result files from before conf/config.yaml had a part of it
        data["augment"] = data.pop("augment")
    if data.get("_target_") == OWN_DATA and data.get("split") == "kfold":
        data.pop("train_fraction", None)  # the number of folds says it
    if isinstance(layer := model.get("rnn"), Mapping):
        model["rnn"] = _without("model.rnn", layer)
    if path := settings["model"].get("weights"):
        model["weights"] = _file_hash("model.weights", path)
    callbacks = {key: section for key, section in settings["callbacks"].items() if section}
    parts = {
        "model": model,
        "data": {**data, "sha256": data_sha256},
        "optimizer": optimizer,
        "scheduler": settings["scheduler"],
        "callbacks": callbacks,
        "loss": settings["loss"],
        "trainer": _trainer(trainer, settings),
    }
    # The order of callbacks may matter. Sorted keys do not keep it, so an order other than the usual one is written down.
    if list(callbacks) != sorted(callbacks, key=lambda name: (name != "early_stopping", name)):
        parts["callbacks_order"] = list(callbacks)
    if setting := _first_infinite(parts):
        key, value = setting
        raise ConfigError(f"{key} must be a finite number, because it is part of the run's identity, got {value}")
    if settings["ckpt_path"]:
        parts["checkpoint"] = _file_hash("ckpt_path", settings["ckpt_path"])
    if backbone:
        parts["backbone"] = identities.as_input(backbone, settings["seeds"])
    return identities.identity(settings["seeds"], **parts)


def loading_keys(data: Mapping[str, Any]) -> set[str]:
    """The keys of the section `data` that say where its images come from, and what they become before they are split.

    Its data module does not take them. They are those that `data.dataset` has too, as `root: ${data.root}`, but for the data
    set's name and the settings of the data module that we know; another data module may take any.

    Args:
        data: The section, resolved.
    """
    keys = set(NOT_IDENTITY["data"])
    if data.get("_target_") == OWN_DATA and isinstance(dataset := data.get("dataset"), Mapping):
        keys |= {key for key in dataset if not key.startswith("_")} - {"name", *SETTINGS}
    return keys


def _without(section: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in NOT_IDENTITY[section]}


def _trainer(flags: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The trainer's flags that determine a result; flags of the same meaning in one form, without those at their default."""
    flags = {key: value for key, value in flags.items() if value is not None}
    if "precision" in flags:
        flags["precision"] = PRECISIONS.get(str(flags["precision"]), flags["precision"])
    flags = {key: value for key, value in flags.items() if not _is_default(key, value)}
    if "gradient_clip_val" not in flags:
        flags.pop("gradient_clip_algorithm", None)
    if settings["data"].get("_target_") == OWN_DATA:
        flags.pop("reload_dataloaders_every_n_epochs", None)
    flags |= {key: f"{flags[key]:%}" for key in COUNT_OR_SHARE if isinstance(flags.get(key), float)}
    if (devices := device_count(settings["trainer"])) != 1:
        flags["devices"] = devices
    elif flags.get("sync_batchnorm") is False:  # one device has nothing to synchronise with
        del flags["sync_batchnorm"]
    return flags


def _is_default(key: str, value: Any) -> bool:
    if key in MINIMA and value in (0, 1):
        return True
    default = AT_NULL.get(key)
    if key not in AT_NULL or value != default:
        return False
    return key not in COUNT_OR_SHARE or default == 0 or isinstance(value, float)  # 1 is a batch, 1.0 is all of them


def _first_infinite(settings: Any, path: str = "") -> tuple[str, float] | None:
    """The first number that is infinite or NaN, with its key."""
    if isinstance(settings, float) and not math.isfinite(settings):
        return path, settings
    entries = (
        settings.items() if isinstance(settings, Mapping) else enumerate(settings) if isinstance(settings, list) else ()
    )
    results = (_first_infinite(value, f"{path}.{key}" if path else str(key)) for key, value in entries)
    return next(filter(None, results), None)


def _file_hash(key: str, path: str) -> str:
    try:
        file = Path(path).stat()
        return _hash(path, file.st_ino, file.st_size, file.st_mtime_ns)
    except OSError as error:
        raise ConfigError(f"{key} must be a readable file, got {path} ({error.strerror})") from None


@functools.cache  # for all runs of a sweep: half a gigabyte takes a second
def _hash(path: str, *_: int) -> str:
    return sha256(Path(path))
