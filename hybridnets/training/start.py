"""Checks the checkpoint that ckpt_path names: a run that starts from it must not lose settings of its own.

Lightning restores weights, epochs, optimiser, schedule and the states of callbacks from a checkpoint, and overwrites what the
configuration says. A setting that would be lost is refused, because it is part of the run's identity; and so is a checkpoint
that was trained on images of this run's val.
"""

import inspect
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hybridnets.runs.records import result
from hybridnets.training.checkpoints import RECORDER_KEY, check_arguments
from hybridnets.training.optimizer import optimizer_and_schedule
from hybridnets.training.parts import Parts

log = logging.getLogger("hybridnets")

# Entries of an optimiser's group that are no settings, and settings that choose a kernel. The learning rate is a special case:
# the schedule moves it, and its first value is `initial_lr`.
NOT_SETTINGS = {"params", "lr", "initial_lr", "fused", "foreach", "capturable", "differentiable"}
# Settings that some versions of torch write and others do not.
OPTIONAL = {"maximize", "decoupled_weight_decay"}
# Settings that schedules with `cycle_momentum` move as well.
CYCLED = {"momentum", "betas"}
# Settings of schedules that lie in the optimiser's groups.
SCHEDULED = {"max_lr", "min_lr", "max_momentum", "base_momentum"}
# Arguments of constructors that become a state or a path, or that a checkpoint cannot hold.
NOT_SAVED = {"optimizer", "last_epoch", "dirpath", "lr_lambda"}


def check_start(path: str, parts: Parts) -> None:
    """Refuses a checkpoint that a run cannot start from, or with which it would lose settings of its own.

    Args:
        path: The checkpoint.
        parts: What the run consists of, before anything is restored.

    Raises:
        ValueError: If it is not a checkpoint, names a function to call, has no state of an optimiser, belongs to another model,
            leaves no epoch to train, was trained on other data or another split, or holds other settings than the run's.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        epochs, steps, weights, _ = (
            checkpoint[key] for key in ("epoch", "global_step", "state_dict", "optimizer_states")
        )
    except Exception as error:
        raise ValueError(
            f"ckpt_path must be a Lightning checkpoint of tensors and plain types with the optimiser's state, such as a run's "
            f"last.ckpt, got {path} ({type(error).__name__})"
        ) from error
    check_arguments(f"ckpt_path={path}", checkpoint)
    try:
        parts.model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"ckpt_path must hold this model's weights, got {path}: {' '.join(str(error).split())}"
        ) from error
    max_epochs, max_steps = parts.trainer.max_epochs, parts.run.identity["trainer"].get("max_steps", -1)
    if max_epochs is not None and epochs + 1 >= max_epochs:
        raise ValueError(f"trainer.max_epochs must be above the {epochs + 1} epochs of {path}, got {max_epochs}")
    if 0 < max_steps <= steps:
        raise ValueError(f"trainer.max_steps must be above the {steps} steps of {path}, got {max_steps}")
    _check_images(path, checkpoint, parts)
    for key, theirs, ours in _lost_settings(path, checkpoint, parts):
        raise ValueError(f"{key} must be {theirs}, which the run takes over from ckpt_path={path}, got {ours}")


def _check_images(path: str, checkpoint: Mapping[str, Any], parts: Parts) -> None:
    """Refuses a checkpoint of other data or of another split; warns where its split is not known.

    Raises:
        ValueError: If the data or the split is known, and is another.
    """
    state = checkpoint.get(type(parts.data).__qualname__, {})
    if state:
        parts.data.load_state_dict(state)  # which restores nothing, and refuses other data
    split = state.get("split") or _split_of_old(path, checkpoint)
    if split and split != parts.data.split.sha256:
        raise ValueError(
            f"ckpt_path must be a checkpoint of this run's split, because with another one it was trained on images of this "
            f"run's val, got {path}: set seeds.split, data.split and data.train_fraction as in its run, or start from a run "
            "of this split"
        )
    if not split and parts.trainer.is_global_zero:
        log.warning("%s does not say which images it was trained on: some of them may be in val", path)


def _split_of_old(path: str, checkpoint: Mapping[str, Any]) -> str | None:
    """The split of an old checkpoint, which does not hold it, from the result of the finished run in whose folder it lies."""
    try:
        run = checkpoint["callbacks"][RECORDER_KEY]["run"]
        results = [result.read(folder) for folder in Path(path).absolute().parents[1:3]]
        return next(record.split for record in results if record and record.hash == run)
    except (KeyError, TypeError, ValueError, OSError, StopIteration):
        return None


def _lost_settings(path: str, checkpoint: Mapping[str, Any], parts: Parts) -> Iterator[tuple[str, Any, Any]]:
    """The settings that restoring would overwrite: key, the checkpoint's value and the configured value."""
    optimizer, schedule = optimizer_and_schedule(parts.model)
    old_schedule = next(iter(checkpoint.get("lr_schedulers", [])), None)
    if optimizer is not None and old_schedule is not None:
        if schedule is None:
            yield "scheduler", "a section as in the checkpoint's run", "null"
            return
        yield from _overwritten("scheduler", schedule, old_schedule, is_complete=True)
    groups = optimizer.param_groups if optimizer else []
    for group, old_group in zip(groups, checkpoint["optimizer_states"][0]["param_groups"], strict=False):
        yield from _lost_in_group(type(optimizer).__name__, group, old_group, old_schedule)
        if "initial_lr" not in old_group and old_schedule is not None:
            log.warning("%s does not say which optimizer.lr it started with: it continues at %g", path, old_group["lr"])
    for callback in parts.trainer.callbacks:  # type: ignore[attr-defined]
        if callback is not parts.recorder and (state := checkpoint.get("callbacks", {}).get(callback.state_key)):
            yield from _overwritten(type(callback).__name__, callback, state, is_complete=False)


def _lost_in_group(name: str, group: Any, old_group: Any, old_schedule: Any) -> Iterator[tuple[str, Any, Any]]:
    """The settings of an optimiser's group of parameters that restoring would overwrite."""
    theirs, ours = ({key for key in settings if key not in NOT_SETTINGS} for settings in (old_group, group))
    if (theirs ^ ours) - OPTIONAL:
        yield (
            "optimizer",
            f"one with the settings {', '.join(sorted(theirs))}",
            f"{name} with the settings {', '.join(sorted(ours))}",
        )
        return
    moved = CYCLED if old_schedule and old_schedule.get("cycle_momentum") else set()
    for key in sorted((theirs & ours) - moved):
        if not _are_equal(old_group[key], group[key]):
            yield f"{'scheduler' if key in SCHEDULED else 'optimizer'}.{key}", old_group[key], group[key]
    if "initial_lr" in old_group or old_schedule is None:
        their_lr, our_lr = (settings.get("initial_lr", settings["lr"]) for settings in (old_group, group))
        if not _are_equal(their_lr, our_lr):
            yield "optimizer.lr", their_lr, our_lr


def _overwritten(section: str, owner: Any, state: Any, *, is_complete: bool) -> Iterator[tuple[str, Any, Any]]:
    """The arguments that an object was built with, and that have another value in the state that will be restored.

    Args:
        section: The section of the configuration that the object belongs to.
        owner: The object, as it was built.
        state: The state that it will be given.
        is_complete: Whether states hold all arguments: then one that lacks an argument belongs to another class.
    """
    if not isinstance(state, Mapping):
        return
    names = {name for kind in type(owner).__mro__ for name in inspect.signature(kind.__init__).parameters}  # type: ignore[misc]
    for name in sorted(names - NOT_SAVED):
        key = next(
            (key for key in (name, f"{name}s") if key in vars(owner)), None
        )  # min_lrs has a min_lr for each group
        if key is None or (key not in state and not is_complete):
            continue
        if key not in state:
            yield section, f"of another class, one without {name}", type(owner).__name__
            return
        if not _are_equal(state[key], getattr(owner, key)):
            yield f"{section}.{name}", state[key], getattr(owner, key)


def _are_equal(theirs: Any, ours: Any) -> bool:
    """Whether two settings are equal: plain values, tensors or lists of them."""
    first, second = (
        value.tolist() if isinstance(value, Tensor) else list(value) if isinstance(value, tuple) else value
        for value in (theirs, ours)
    )
    return bool(first == second)
