"""Checkpoints that are on the disk whole or not at all, and that are read without executing anything."""

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning_fabric.plugins import TorchCheckpointIO
from torch import Tensor, nn

from hybridnets.runs.store import Run

log = logging.getLogger("hybridnets")


class DurableCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, syncs and renames; Lightning's own stages in /tmp, on another file system perhaps.

    Args:
        run: The run whose checkpoints they are.
    """

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Saves a checkpoint at a path of the local file system."""
        if storage_options is not None:
            raise TypeError(f"storage_options must be None, got {storage_options!r}")
        # Into an open file: given a path, torch writes its name into the archive, and equal states make unequal files.
        with self.run.replacing(Path(path)) as beside, beside.open("wb") as file:
            torch.save(checkpoint, file)


def weights_digest(state_dict: Mapping[str, Tensor]) -> str:
    """SHA-256 of weights and running statistics, by name, type and shape."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state_dict.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load(path: Path) -> dict[str, Any]:
    """A checkpoint of a run's own, on the CPU.

    Raises:
        ValueError: If the file is missing or damaged.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)  # type: ignore[no-any-return]
    except Exception as error:  # torch raises nearly anything
        raise ValueError(
            f"{path} must be a checkpoint, and is missing or damaged ({type(error).__name__}): remove the folder "
            f"{path.parent}, and the run begins anew"
        ) from error


class Resumable(NamedTuple):
    """Where a run goes on from: a checkpoint, and what its record held then."""

    path: Path
    state: dict[str, Any]


def resumable(run: Run, key: str, *, first: bool) -> Resumable | None:
    """The newest of a run's checkpoints that can be read; what is damaged is set aside by name, and said.

    Args:
        run: The run, whose lock is held.
        key: Under which its record keeps its state.
        first: Whether this is the rank that sets aside; the others come to the same answer.

    Returns:
        None where the run begins anew.
    """
    paths = [path for path in (run.last_checkpoint, run.previous_checkpoint) if path.exists()]
    if paths and not _sound(run.best_checkpoint):
        # Which weights were the best, the others do not know.
        for path in [run.best_checkpoint, *paths] if first else []:
            _set_aside(path, "the best weights are lost, and the run begins anew")
        return None
    for path in paths:
        try:
            return Resumable(path, load(path)["callbacks"][key])
        except (ValueError, KeyError, TypeError):
            before = path is not paths[-1]
            if first:
                _set_aside(path, "the run goes on from the one before" if before else "the run begins anew")
    return None


def _sound(path: Path) -> bool:
    try:
        load(path)
    except ValueError:
        return False
    return True


def _set_aside(path: Path, why: str) -> None:
    if not path.exists():
        return
    aside = path.with_name(f"{path.name}.damaged")
    path.replace(aside)
    log.warning("%s is set aside as %s: %s", path, aside.name, why)


def check_start(path: str, model: nn.Module, max_epochs: int | None) -> None:
    """Refuses a checkpoint from which the model cannot start.

    Raises:
        ValueError: If it is no checkpoint, has no optimiser's state, is another model's, or has no epoch left to train.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        epochs, weights, _ = (checkpoint[key] for key in ("epoch", "state_dict", "optimizer_states"))
    except Exception as error:
        raise ValueError(
            f"ckpt_path must be a Lightning checkpoint of tensors and plain types with the optimiser's state, such as a run's "
            f"last.ckpt, got {path} ({type(error).__name__})"
        ) from error
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"ckpt_path must hold this model's weights, got {path}: {' '.join(str(error).split())}"
        ) from error
    if max_epochs is not None and epochs + 1 >= max_epochs:
        raise ValueError(f"trainer.max_epochs must be above the {epochs + 1} epochs behind {path}, got {max_epochs}")
