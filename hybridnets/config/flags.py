"""What the Trainer's flags may be here, and in which one form they enter a run's identity.

Every epoch's value on val must be that of the weights that the epoch ended with, as the best of them is published with its
value. Flags under which that would not hold are refused; one that means what another means has its form.
"""

import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# Flags that change how a run is made or watched, not what comes out.
NOT_IDENTITY = {
    *("_target_", "accelerator", "devices", "num_nodes", "strategy", "default_root_dir", "enable_checkpointing"),
    *("enable_progress_bar", "enable_model_summary", "log_every_n_steps", "num_sanity_val_steps", "profiler"),
    *("benchmark", "detect_anomaly", "barebones", "inference_mode", "use_distributed_sampler"),
    *("limit_test_batches", "enable_autolog_hparams", "model_registry"),
}

# What Lightning does where a flag is null. A flag that says so is left out of the identity, as null is.
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

# Limits that a run keeps in any case, up to 1: it trains an epoch, and takes a step.
AT_LEAST = ("min_epochs", "min_steps")

# Lightning's own names of a precision, by those that it takes as well.
PRECISIONS = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "64": "64-true"}

# Where 1 is one batch, and 1.0 all of them.
COUNT_OR_SHARE = ("limit_train_batches", "limit_val_batches", "overfit_batches", "val_check_interval")

MEASURED = "so that each epoch's value is that of the weights it ends with"


def whole(value: Any, least: int, most: float = math.inf) -> bool:
    """Whether a value is a whole number in a range; true and false are none."""
    return type(value) is int and least <= value <= most


def number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return type(value) in (int, float) and math.isfinite(value)


def _some(value: Any) -> bool:
    """Whether a limit leaves something: a number of batches from 1, or a share of them above 0."""
    return value is None or whole(value, 1) or (type(value) is float and 0 < value <= 1)


def _duration(value: Any) -> bool:
    """Whether something is left of a duration in Lightning's words: days:hours:minutes:seconds, or a section of them."""
    parts = value.split(":") if isinstance(value, str) else list(value.values())
    return any(float(part) > 0 for part in parts)


# What a legal value is, and whether a value is one.
RULES: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "trainer.max_epochs": ("a whole number of at least 1", lambda v: whole(v, 1)),
    **dict.fromkeys(
        ("trainer.min_epochs", "trainer.min_steps"),
        ("null or a whole number of at least 0", lambda v: v is None or whole(v, 0)),
    ),
    "trainer.max_steps": (
        "null, -1 or a whole number of at least 1: a run takes a step",
        lambda v: v in (None, -1) or whole(v, 1),
    ),
    "trainer.max_time": (
        "null, or a duration above zero such as 00:12:00:00 (days:hours:minutes:seconds)",
        lambda v: v is None or _duration(v),
    ),
    "trainer.gradient_clip_val": ("null or a number of at least 0", lambda v: v is None or (number(v) and v >= 0)),
    "trainer.accumulate_grad_batches": (
        "null or a whole number of at least 1",
        lambda v: v is None or whole(v, 1),
    ),
    "trainer.limit_train_batches": (
        "null, a whole number of batches from 1, or a share of them above 0.0 and up to 1.0: a run trains on something",
        _some,
    ),
    "trainer.limit_val_batches": (
        "null, a whole number of batches from 1, or a share of them above 0.0 and up to 1.0: every epoch is measured on val",
        _some,
    ),
    "trainer.limit_test_batches": ("null: all test images are predicted", lambda v: v is None),
    "trainer.limit_predict_batches": ("null: the prediction for every image is kept", lambda v: v is None),
    "trainer.overfit_batches": (
        "null or 0: each epoch takes its batches in another order, so that there are no batches to stay at "
        "(trainer.limit_train_batches makes an epoch shorter)",
        lambda v: v is None or (number(v) and v == 0),
    ),
    "trainer.val_check_interval": (
        f"null or 1.0: val is measured once an epoch, after its last step, {MEASURED}",
        lambda v: v is None or (type(v) is float and v == 1),
    ),
    "trainer.check_val_every_n_epoch": (
        f"null or 1: every epoch is measured on val, {MEASURED}",
        lambda v: v is None or (whole(v, 1) and v == 1),
    ),
    "trainer.barebones": (
        "null or false: it switches off the measuring of epochs and the checkpoints that a run is made of",
        lambda v: v in (None, False),
    ),
    "trainer.enable_checkpointing": (
        "null or true: a run is resumed from its checkpoints, and its result is that of the best one",
        lambda v: v in (None, True),
    ),
    "trainer.strategy": (
        "one that starts its processes anew, as ddp does: those that are forked or spawned train without a record",
        lambda v: not re.search("fork|spawn|notebook", str(v)),
    ),
    "trainer.callbacks": ("set by name, as callbacks.NAME", lambda _: False),
    "trainer.logger": ("set as logger", lambda _: False),
}


def check_environment() -> None:
    """Refuses flags that Lightning would take from the environment wherever the configuration gives none.

    Raises:
        ValueError: With a sentence that names the variable.
    """
    for name in sorted(os.environ):
        if name.startswith("PL_TRAINER_"):
            flag = name.removeprefix("PL_TRAINER_").lower()
            raise ValueError(
                f"{name} must not be set, as the configuration alone says how a run is trained, got {os.environ[name]}: unset "
                f"it, and give trainer.{flag}={os.environ[name]}"
            )


def check_limits(trainer: Mapping[str, Any]) -> None:
    """Refuses limits that contradict each other; of a least above the most, Lightning would keep to the latter alone.

    Args:
        trainer: The flags, by Lightning's names.

    Raises:
        ValueError: If it is.
    """
    for unit in ("epochs", "steps"):
        least, most = trainer.get(f"min_{unit}"), trainer.get(f"max_{unit}")
        if least and most and 0 < most < least:
            raise ValueError(f"trainer.min_{unit} must be at most trainer.max_{unit}, which is {most}, got {least}")
    least_epochs, steps = trainer.get("min_epochs"), trainer.get("max_steps")
    if least_epochs and steps not in (None, -1):
        raise ValueError(
            f"trainer.min_epochs must be null where trainer.max_steps ends the run, got {least_epochs} and {steps}"
        )


def identity(trainer: Mapping[str, Any], *, reloading: bool) -> dict[str, Any]:
    """The flags that determine a run's result, those that mean the same in one form; what changes nothing is left out.

    Args:
        trainer: The flags, by Lightning's names.
        reloading: Whether it may matter how often the data's loaders are made: to the built-in data module it does not.
    """
    kept = {key: value for key, value in trainer.items() if key not in NOT_IDENTITY and value is not None}
    if "precision" in kept:
        kept["precision"] = PRECISIONS.get(str(kept["precision"]), kept["precision"])
    kept = {key: value for key, value in kept.items() if not _as_null(key, value)}
    if "gradient_clip_val" not in kept:
        kept.pop("gradient_clip_algorithm", None)
    if not reloading:
        kept.pop("reload_dataloaders_every_n_epochs", None)
    kept |= {key: f"{kept[key]:%}" for key in COUNT_OR_SHARE if isinstance(kept.get(key), float)}
    if (devices := device_count(trainer)) != 1:
        kept["devices"] = devices
    elif kept.get("sync_batchnorm") is False:  # there is nothing to synchronise with
        del kept["sync_batchnorm"]
    return kept


def _as_null(key: str, value: Any) -> bool:
    if key in AT_LEAST and value in (0, 1):
        return True
    default = AT_NULL.get(key)
    if key not in AT_NULL or value != default:
        return False
    return key not in COUNT_OR_SHARE or default == 0 or isinstance(value, float)  # 1 is a batch, 1.0 all of them


def device_count(trainer: Mapping[str, Any]) -> int | str:
    """How many devices train a run together, over all nodes; words of Lightning's that only it can count stay words.

    Args:
        trainer: The flags, by Lightning's names.
    """
    nodes = trainer.get("num_nodes") or 1
    devices = trainer.get("devices")
    if isinstance(devices, str):
        names = [name for name in devices.split(",") if name.strip()]
        if "," in devices:
            devices = len(names)
        elif re.fullmatch(r"-?\d+", devices.strip()):
            devices = int(devices)
    if isinstance(devices, list):
        devices = len(devices)
    if devices in (None, "auto", -1):
        devices = _all_devices(trainer.get("accelerator"), devices)
    counted = type(devices) is int and devices > 0 and type(nodes) is int
    return devices * nodes if counted else f"{devices} x {nodes}"


def varies(trainer: Mapping[str, Any]) -> bool:
    """Whether the number of devices is that of the machine, so that another machine would make another run."""
    return trainer.get("devices") in (None, "auto", -1, "-1") and trainer.get("accelerator") not in ("cpu", "mps")


def _all_devices(accelerator: Any, devices: Any) -> Any:
    """How many `auto` are, counted without torch; the word itself for accelerators that are counted otherwise."""
    if accelerator in ("cpu", "mps"):
        return 1
    if accelerator not in (None, "auto", "gpu", "cuda"):
        return devices
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return max(1, len([name for name in visible.split(",") if name.strip() not in ("", "-1")]))
    return max(1, len(list(Path("/proc/driver/nvidia/gpus").glob("*"))))
