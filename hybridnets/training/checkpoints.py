"""Checkpoints that are complete on the disk or not there at all, and that are read without executing code."""

import hashlib
import io
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning_fabric.plugins import TorchCheckpointIO
from torch import Tensor

from hybridnets.runs.store import Run

log = logging.getLogger("hybridnets")

# Where Lightning looks for a model's arguments in a checkpoint: today, and in those of its first versions.
ARGUMENTS = ("hyper_parameters", "hparams", "module_arguments")
RECORDER_KEY = "Record"  # of `EpochRecorder`'s state in a checkpoint; the name that the class had at first
# `EpochRecorder` passes this as storage_options, which Lightning hands on: it allows writing among the run's own checkpoints.
OWN = object()


class DurableCheckpointIO(TorchCheckpointIO):
    """Writes next to the target, syncs and renames; Lightning's own class stages in /tmp, perhaps on another file system.

    Only the run itself writes its own checkpoints, and only if they can be loaded again.

    Args:
        run: The run whose checkpoints they are.
    """

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Saves a checkpoint at a path of the local file system.

        Raises:
            ValueError: If the path lies among the run's own checkpoints and a callback saves it; or if the run's own
                checkpoint holds what loading would refuse.
        """
        target, is_own = Path(path), storage_options is OWN
        if storage_options is not None and not is_own:
            raise TypeError(f"storage_options must be None, got {storage_options!r}")
        if not is_own:
            check_foreign(self.run, target)
            target.parent.mkdir(parents=True, exist_ok=True)
        # Into an open file: given a path, torch writes its name into the archive, so equal states would give unequal files.
        with self.run.replacing(target) as temporary:
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
            if is_own and torch.serialization.get_unsafe_globals_in_checkpoint(temporary):
                raise ValueError(refused_type(checkpoint))

    def remove_checkpoint(self, path: Any) -> None:
        """Removes a callback's checkpoint.

        Raises:
            ValueError: If it is the run's own.
        """
        check_foreign(self.run, Path(path))
        super().remove_checkpoint(path)


def check_foreign(run: Run, path: Path) -> None:
    """Refuses a callback's checkpoint among the run's own.

    Args:
        run: The run.
        path: A checkpoint, or a folder of them.

    Raises:
        ValueError: If it lies among the run's own.
    """
    if path.resolve().is_relative_to(run.best_checkpoint.parent.resolve()):
        raise ValueError(
            f"callbacks must not save among the run's own checkpoints, got {path}: leave their dirpath out, or give another "
            "folder"
        )


def refused_type(checkpoint: Mapping[str, Any]) -> str:
    """A sentence on the first entry of a checkpoint that `weights_only` loading refuses: owner, key and type."""
    keys, value = _refused_entry(checkpoint)
    owner = "the checkpoint"
    if keys[:1] == ["callbacks"]:
        owner, keys = f"the state of callback {keys[1].partition('{')[0]}", keys[2:]
    return (
        f"{owner} must hold tensors and plain types only, because checkpoints are loaded without executing code, but "
        f"{'.'.join(keys) or 'all of it'} is of type {type(value).__module__}.{type(value).__name__}: convert it, as by "
        "float(...), before it is saved"
    )


def _refused_entry(value: Any) -> tuple[list[str], Any]:
    """The innermost entry that cannot be loaded, and the keys that lead to it."""
    entries: Any = ()
    if isinstance(value, Mapping):
        entries = value.items()
    elif isinstance(value, list | tuple):
        entries = enumerate(value)
    for key, entry in entries:
        if not _is_loadable(entry):
            keys, innermost = _refused_entry(entry)
            return [str(key), *keys], innermost
    return [], value


def _is_loadable(value: Any) -> bool:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return not torch.serialization.get_unsafe_globals_in_checkpoint(buffer)


def hash_weights(state_dict: Mapping[str, Tensor]) -> str:
    """SHA-256 of weights and running statistics, by name, type and shape."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state_dict.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


class RefusedCheckpointError(ValueError):
    """A complete checkpoint holds what could execute code when it is loaded."""


class ForeignCheckpointError(ValueError):
    """A checkpoint in a run's folder belongs to another run."""


def _refused_types(path: Path) -> list[str]:
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # damaged: torch raises nearly anything
        return []


def check_arguments(path: str | Path, checkpoint: Mapping[str, Any]) -> None:
    """Refuses a checkpoint that names a function which is to build its model.

    `load_from_checkpoint` of Lightning before 2.6.6 imports and calls any function that it names, although it reads the file
    with `weights_only=True` (pytorch-lightning#21822). Our own checkpoints never have one.

    Args:
        path: The file, for the message.
        checkpoint: Its content.

    Raises:
        RefusedCheckpointError: If it names one.
    """
    for key in ARGUMENTS:
        arguments = checkpoint.get(key)
        if isinstance(arguments, Mapping) and "_instantiator" in arguments:
            raise RefusedCheckpointError(
                f"{path} must not name a function that builds its model, because checkpoints are loaded without executing "
                f"code, but its {key} have _instantiator={arguments['_instantiator']!r}: no checkpoint of a run has this "
                "entry, so use one from a source that you trust"
            )


def load_checkpoint(path: Path, device: Any = "cpu") -> dict[str, Any]:
    """The content of one of a run's own checkpoints.

    Args:
        path: The file.
        device: Where its tensors go, as torch names it.

    Raises:
        RefusedCheckpointError: If the file is complete, and holds what could execute code.
        ValueError: If the file is missing or damaged.
    """
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises nearly anything
        if types := _refused_types(path):
            raise RefusedCheckpointError(
                f"{path} must hold tensors and plain types only, because it is loaded without executing code, but it holds "
                f"{', '.join(types)}: it is complete, but no run can continue from it; delete {path.parent} to start again"
            ) from error
        raise ValueError(
            f"{path} is missing or damaged ({type(error).__name__}): delete the folder {path.parent} to start the run again"
        ) from error
    check_arguments(path, checkpoint)
    return checkpoint


class Resumable(NamedTuple):
    """What a run continues from: a checkpoint, and what its recorder held then."""

    path: Path
    state: dict[str, Any]


def resumable(run: Run, *, renames: bool) -> Resumable | None:
    """The newest of a run's checkpoints that can be read; damaged ones are renamed, and a warning is logged.

    Args:
        run: The claimed run.
        renames: Whether this rank renames; the other ranks return the same.

    Returns:
        None where the run starts from the beginning.

    Raises:
        RefusedCheckpointError: If a complete checkpoint holds what could execute code.
        ForeignCheckpointError: If a checkpoint belongs to another run.
    """
    paths = [path for path in (run.last_checkpoint, run.previous_checkpoint) if path.exists()]
    if not paths and renames and run.history():
        log.warning("%s has metrics of earlier epochs but no checkpoint: the run starts again", run.folder)
    newest, damaged = None, []
    for path in paths:
        try:
            newest = Resumable(path, _own_state(run, path))
            break
        except (RefusedCheckpointError, ForeignCheckpointError):
            raise  # to rename it would lose a training that somebody can still rescue
        except (ValueError, KeyError, TypeError):
            damaged.append(path)
    consequence = "the run continues from the one before" if newest else "the run starts again"
    if paths and not _is_readable(run.best_checkpoint):
        # The other checkpoints do not know which weights were the best.
        newest, damaged = None, [run.best_checkpoint, *paths]
        consequence = "the best weights are lost, and the run starts again"
    for path in damaged if renames else []:
        _set_aside(path, consequence)
    return newest


def _own_state(run: Run, path: Path) -> dict[str, Any]:
    """What a run's recorder held when a checkpoint was written.

    Raises:
        ForeignCheckpointError: If the checkpoint belongs to another run.
    """
    state: dict[str, Any] = load_checkpoint(path)["callbacks"][RECORDER_KEY]
    if (owner := state.get("run")) != run.hash:
        raise ForeignCheckpointError(
            f"{path} must be this run's own, but belongs to the run with the hash {owner}: move it elsewhere; to start from "
            "it, set ckpt_path"
        )
    return state


def _is_readable(path: Path) -> bool:
    try:
        load_checkpoint(path)
    except RefusedCheckpointError:
        raise
    except ValueError:
        return False
    return True


def _set_aside(path: Path, consequence: str) -> None:
    if not path.exists():
        return
    aside = path.with_name(f"{path.name}.damaged")
    path.replace(aside)
    log.warning("%s is set aside as %s: %s", path, aside.name, consequence)
