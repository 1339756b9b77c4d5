"""A run that starts from a checkpoint takes over weights, epochs, optimiser, schedule and callbacks' states, or is refused.

Lightning restores all of that over what the configuration says. A setting that would be lost so is refused, for the run is
named after it; and so is a checkpoint that was trained on what is val here.
"""

import inspect
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hybridnets.runs.records import result
from hybridnets.training.assemble import Parts, optimizer_and_schedule

log = logging.getLogger("hybridnets")

# What an optimiser's group holds beside settings, and those settings that choose a kernel. The learning rate is a special
# case: the schedule moves it, and what it began as is `initial_lr`.
NOT_SETTINGS = {"params", "lr", "initial_lr", "fused", "foreach", "capturable", "differentiable"}
# Settings that some versions of torch write and others do not.
OPTIONAL = {"maximize", "decoupled_weight_decay"}
# What schedules with `cycle_momentum` move as well.
CYCLED = {"momentum", "betas"}
# What they keep in the optimiser's groups.
SCHEDULED = {"max_lr", "min_lr", "max_momentum", "base_momentum"}
# What a constructor takes that later on is a state, a place, or nothing that a checkpoint can hold.
NOT_KEPT = {"optimizer", "last_epoch", "dirpath", "lr_lambda"}


def check_start(path: str, parts: Parts) -> None:
    """Refuses a checkpoint from which a run cannot start, or in which it would lose settings of its own.

    Args:
        path: The checkpoint.
        parts: The run's parts, before anything is restored.

    Raises:
        ValueError: If it is no checkpoint, has no optimiser's state, is another model's, has no epoch left to train, was
            trained on other data or another split, or holds other settings than the run's.
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
    try:
        parts.model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"ckpt_path must hold this model's weights, got {path}: {' '.join(str(error).split())}"
        ) from error
    max_epochs, max_steps = parts.trainer.max_epochs, parts.record.run.identity["trainer"].get("max_steps", -1)
    if max_epochs is not None and epochs + 1 >= max_epochs:
        raise ValueError(f"trainer.max_epochs must be above the {epochs + 1} epochs behind {path}, got {max_epochs}")
    if 0 < max_steps <= steps:
        raise ValueError(f"trainer.max_steps must be above the {steps} steps behind {path}, got {max_steps}")
    _check_images(path, checkpoint, parts)
    for key, there, here in _lost_settings(path, checkpoint, parts):
        raise ValueError(f"{key} must be {there}, which the run takes over from ckpt_path={path}, got {here}")


def _check_images(path: str, checkpoint: Mapping[str, Any], parts: Parts) -> None:
    """Refuses a checkpoint of other data or of another split; says where its split is not known.

    Raises:
        ValueError: If the data or the split is known, and is another.
    """
    state = checkpoint.get(type(parts.data).__qualname__, {})
    if state:
        parts.data.load_state_dict(state)  # which restores nothing, and refuses other data
    split = state.get("split") or _split_of_old(path, checkpoint)
    if split and split != parts.data.split.sha256:
        raise ValueError(
            f"ckpt_path must be a checkpoint of this run's split, for what is val here was trained on there, got {path}: set "
            "seeds.split and data.train_fraction as that run had them, or start from a run with this one's"
        )
    if not split and parts.trainer.is_global_zero:
        log.warning("%s does not say which images it was trained on: some of them may be val here", path)


def _split_of_old(path: str, checkpoint: Mapping[str, Any]) -> str | None:
    """The split of a checkpoint that does not hold it itself, by the result of the finished run in whose folder it lies."""
    try:
        run = checkpoint["callbacks"]["Record"]["run"]
        results = [result.read(folder) for folder in Path(path).absolute().parents[1:3]]
        return next(record.split for record in results if record and record.hash == run)
    except (KeyError, TypeError, ValueError, OSError, StopIteration):
        return None


def _lost_settings(path: str, checkpoint: Mapping[str, Any], parts: Parts) -> Iterator[tuple[str, Any, Any]]:
    """The settings that restoring would replace by others: key, value there and value here."""
    optimizer, schedule = optimizer_and_schedule(parts.model)
    there = next(iter(checkpoint.get("lr_schedulers", [])), None)
    if optimizer is not None and there is not None:
        if schedule is None:
            yield "scheduler", "a section as the checkpoint's run had it", "null"
            return
        yield from _replaced("scheduler", schedule, there, whole=True)
    groups = optimizer.param_groups if optimizer else []
    for group, old in zip(groups, checkpoint["optimizer_states"][0]["param_groups"], strict=False):
        yield from _lost_in_group(type(optimizer).__name__, group, old, there)
        if "initial_lr" not in old and there is not None:
            log.warning("%s does not say which optimizer.lr it began with: it goes on at %g", path, old["lr"])
    for callback in parts.trainer.callbacks:  # type: ignore[attr-defined]
        if callback is not parts.record and (state := checkpoint.get("callbacks", {}).get(callback.state_key)):
            yield from _replaced(type(callback).__name__, callback, state, whole=False)


def _lost_in_group(name: str, group: Any, old: Any, schedule: Any) -> Iterator[tuple[str, Any, Any]]:
    """Those of an optimiser's group of parameters."""
    kinds = [{key for key in settings if key not in NOT_SETTINGS} for settings in (old, group)]
    if (kinds[0] ^ kinds[1]) - OPTIONAL:
        theirs, ours = (", ".join(sorted(kind)) for kind in kinds)
        yield "optimizer", f"one with the settings {theirs}", f"{name} with the settings {ours}"
        return
    moved = CYCLED if schedule and schedule.get("cycle_momentum") else set()
    for key in sorted((kinds[0] & kinds[1]) - moved):
        if not _same(old[key], group[key]):
            yield f"{'scheduler' if key in SCHEDULED else 'optimizer'}.{key}", old[key], group[key]
    if "initial_lr" in old or schedule is None:
        began, begins = old.get("initial_lr", old["lr"]), group.get("initial_lr", group["lr"])
        if not _same(began, begins):
            yield "optimizer.lr", began, begins


def _replaced(section: str, owner: Any, state: Any, *, whole: bool) -> Iterator[tuple[str, Any, Any]]:
    """What an object was built with, and has another value of in the state that will be restored.

    Args:
        section: What the settings belong to.
        owner: The object, as it was built.
        state: What it will be given.
        whole: Whether the state holds all of them: where it does not, it is another class's.
    """
    if not isinstance(state, Mapping):
        return
    names = {name for kind in type(owner).__mro__ for name in inspect.signature(kind.__init__).parameters}  # type: ignore[misc]
    for name in sorted(names - NOT_KEPT):
        kept = next((key for key in (name, f"{name}s") if key in vars(owner)), None)  # min_lr is one a group, min_lrs
        if kept is None or (kept not in state and not whole):
            continue
        if kept not in state:
            yield section, f"of another class, one without {name}", type(owner).__name__
            return
        if not _same(state[kept], getattr(owner, kept)):
            yield f"{section}.{name}", state[kept], getattr(owner, kept)


def _same(there: Any, here: Any) -> bool:
    """Whether two settings are equal, be they numbers, tensors or lists of them."""
    plain = [
        value.tolist() if isinstance(value, Tensor) else list(value) if isinstance(value, tuple) else value
        for value in (there, here)
    ]
    return bool(plain[0] == plain[1])
