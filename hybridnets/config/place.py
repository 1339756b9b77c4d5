"""The folder that a run will be made in: refused before anything trains where it could not be made."""

import os
from pathlib import Path

# Of a folder's name on the file systems in use, and of a path on Linux, less what the longest name in a run's folder adds.
NAME_BYTES = 255
PATH_BYTES = 4095 - 100


def check_place(out: Path, folder: Path, name: str) -> None:
    """Refuses a run's folder that could not be made; makes and writes nothing.

    Args:
        out: Folder of all runs.
        folder: The run's own, below it.
        name: The data's name, which is a folder's between the two.

    Raises:
        ValueError: If a name is too long, or if the nearest folder that is there cannot be written to.
    """
    outer, inner = out.absolute(), folder.absolute()
    for part in inner.parts:
        if (length := len(os.fsencode(part))) > NAME_BYTES:
            key = "out" if part in outer.parts else "data.name" if part == name else "model._target_"
            raise ValueError(f"{key} must be at most {NAME_BYTES} bytes long, for it names a folder, got {length}")
    if (length := len(os.fsencode(inner))) > PATH_BYTES:
        raise ValueError(
            f"out must be at most {PATH_BYTES - length + len(os.fsencode(outer))} bytes long as a whole path"
        )
    there = next(parent for parent in (inner, *inner.parents) if os.path.lexists(parent))
    why = ""
    if there.is_symlink() and not there.exists():
        why = f"{there} is a link to {there.readlink()}, which is not there"
    elif not there.is_dir():
        why = f"{there} is no folder"
    elif not os.access(there, os.W_OK | os.X_OK, effective_ids=True):
        why = f"{there} cannot be"
    if why:
        raise ValueError(f"out must be a folder that can be written to, got {out}: {why}")
