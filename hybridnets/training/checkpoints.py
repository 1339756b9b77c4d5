"""Checkpoints that are on the disk whole or not at all, and that are read without executing anything."""

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

# What `Record` gives as storage_options: Lightning hands it on, and it opens the run's own folder of checkpoints.
OWN = object()


class DurableCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, syncs and renames; Lightning's own stages in /tmp, on another file system perhaps.

    The run's own checkpoints are written by the run alone, and only if they can be loaded again.

    Args:
        run: The run whose checkpoints they are.
    """

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Saves a checkpoint at a path of the local file system.

        Raises:
            ValueError: If the path lies among the run's own checkpoints and the run did not ask; or if the run's own
                checkpoint holds what loading would refuse.
        """
        target, own = Path(path), storage_options is OWN
        if storage_options is not None and not own:
            raise TypeError(f"storage_options must be None, got {storage_options!r}")
        if not own:
            check_foreign(self.run, target)
            target.parent.mkdir(parents=True, exist_ok=True)
        # Into an open file: given a path, torch writes its name into the archive, and equal states make unequal files.
        with self.run.replacing(target) as beside:
            with beside.open("wb") as file:
                torch.save(checkpoint, file)
            if own and torch.serialization.get_unsafe_globals_in_checkpoint(beside):
                raise ValueError(refused_type(checkpoint))

    def remove_checkpoint(self, path: Any) -> None:
        """Removes a checkpoint of a callback's.

        Raises:
            ValueError: If it is the run's own.
        """
        check_foreign(self.run, Path(path))
        super().remove_checkpoint(path)


def check_foreign(run: Run, path: Path) -> None:
    """Refuses a place for a callback's checkpoints that is the run's own.

    Args:
        run: The run.
        path: A checkpoint, or a folder of them.

    Raises:
        ValueError: If it lies among the run's own.
    """
    if path.resolve().is_relative_to(run.best_checkpoint.parent.resolve()):
        raise ValueError(
            f"callbacks must keep their checkpoints elsewhere than among the run's own, got {path}: leave their dirpath "
            "out, or give another folder"
        )


def refused_type(checkpoint: Mapping[str, Any]) -> str:
    """A sentence on the first entry of a checkpoint that `weights_only` loading refuses: whose, which key, which type."""
    where, value = _offender("", checkpoint)
    parts = where.split("\0")[1:]
    owner = f"the state of callback {parts[1].partition('{')[0]}" if parts[:1] == ["callbacks"] else "the checkpoint"
    key = ".".join(parts[2:] if parts[:1] == ["callbacks"] else parts) or "its whole"
    return (
        f"{owner} must hold tensors and plain types only, as checkpoints are loaded without executing anything, and its "
        f"{key} is of type {type(value).__module__}.{type(value).__name__}: turn it into one, such as float(...), "
        "before it is saved"
    )


def _offender(where: str, value: Any) -> tuple[str, Any]:
    """The innermost entry that cannot be loaded, with the keys that lead to it, each behind a NUL."""
    inner: Any = ()
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list | tuple):
        inner = enumerate(value)
    for key, entry in inner:
        if not _loadable(entry):
            return _offender(f"{where}\0{key}", entry)
    return where, value


def _loadable(value: Any) -> bool:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return not torch.serialization.get_unsafe_globals_in_checkpoint(buffer)


def weights_digest(state_dict: Mapping[str, Tensor]) -> str:
    """SHA-256 of weights and running statistics, by name, type and shape."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state_dict.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


class RefusedTypeError(ValueError):
    """A checkpoint that is whole holds a type that loading refuses."""


class ForeignCheckpointError(ValueError):
    """A checkpoint in a run's folder is another run's."""


def _refused_types(path: Path) -> list[str]:
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # damaged: torch raises nearly anything
        return []


def load(path: Path) -> dict[str, Any]:
    """A checkpoint of a run's own, on the CPU.

    Raises:
        RefusedTypeError: If the file is whole, and holds a type that could execute something.
        ValueError: If the file is missing or damaged.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)  # type: ignore[no-any-return]
    except Exception as error:  # torch raises nearly anything
        if types := _refused_types(path):
            raise RefusedTypeError(
                f"{path} must hold tensors and plain types only, as it is loaded without executing anything, and holds "
                f"{', '.join(types)}: it is whole, but no run can go on from it; remove {path.parent} to begin anew"
            ) from error
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

    Raises:
        RefusedTypeError: If one is whole, and holds a type that loading refuses.
        ForeignCheckpointError: If one is another run's.
    """
    paths = [path for path in (run.last_checkpoint, run.previous_checkpoint) if path.exists()]
    if not paths and first and run.history():
        log.warning("%s has metrics of earlier epochs but no checkpoint to go on from: the run begins anew", run.folder)
    found, damaged = None, []
    for path in paths:
        try:
            found = Resumable(path, _own_state(run, path, key))
            break
        except (RefusedTypeError, ForeignCheckpointError):
            raise  # setting it aside would lose a training that somebody can still rescue
        except (ValueError, KeyError, TypeError):
            damaged.append(path)
    why = "the run goes on from the one before" if found else "the run begins anew"
    if paths and not _sound(run.best_checkpoint):
        # Which weights were the best, the others do not know.
        found, damaged, why = None, [run.best_checkpoint, *paths], "the best weights are lost, and the run begins anew"
    for path in damaged if first else []:
        _set_aside(path, why)
    return found


def _own_state(run: Run, path: Path, key: str) -> dict[str, Any]:
    """What a run's record held when a checkpoint was written.

    Raises:
        ForeignCheckpointError: If it is another run's.
    """
    state: dict[str, Any] = load(path)["callbacks"][key]
    if (whose := state.get("run")) != run.digest:
        raise ForeignCheckpointError(
            f"{path} must be this run's own, and is that of the run whose hash is {whose}: move it elsewhere; to start from "
            "it, set ckpt_path"
        )
    return state


def _sound(path: Path) -> bool:
    try:
        load(path)
    except RefusedTypeError:
        raise
    except ValueError:
        return False
    return True


def _set_aside(path: Path, why: str) -> None:
    if not path.exists():
        return
    aside = path.with_name(f"{path.name}.damaged")
    path.replace(aside)
    log.warning("%s is set aside as %s: %s", path, aside.name, why)
