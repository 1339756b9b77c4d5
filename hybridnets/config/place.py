"""Refuses a run's folder that cannot be made, before anything trains."""

import os
from pathlib import Path

# The longest name on common file systems, and the longest path on Linux without the longest name in a run's folder.
NAME_BYTES = 255
PATH_BYTES = 4095 - 100


def check_place(out: Path, folder: Path, name: str) -> None:
    """Refuses a run's folder that cannot be made; makes and writes nothing.

    Args:
        out: Folder of all runs.
        folder: The run's own folder inside it.
        name: The data's name, which names a folder between the two.

    Raises:
        ValueError: If a name is too long, or if the nearest existing folder cannot be written to.
    """
    outer, inner = out.absolute(), folder.absolute()
    for part in inner.parts:
        if (length := len(os.fsencode(part))) > NAME_BYTES:
            key = "out" if part in outer.parts else "data.name" if part == name else "model._target_"
            raise ValueError(f"{key} must be at most {NAME_BYTES} bytes long, because it names a folder, got {length}")
    if (length := len(os.fsencode(inner))) > PATH_BYTES:
        raise ValueError(
            f"out must be at most {PATH_BYTES - length + len(os.fsencode(outer))} bytes long as a whole path"
        )
    nearest = next(parent for parent in (inner, *inner.parents) if os.path.lexists(parent))
    problem = ""
    if nearest.is_symlink() and not nearest.exists():
        problem = f"{nearest} is a link to {nearest.readlink()}, which does not exist"
    elif not nearest.is_dir():
        problem = f"{nearest} is not a folder"
    elif not os.access(nearest, os.W_OK | os.X_OK, effective_ids=True):
        problem = f"{nearest} is not writable"
    if problem:
        raise ValueError(f"out must be a folder that can be written to, got {out}: {problem}")
