"""The files below a folder, in one order, as every command finds them.

Links are followed, except to a folder that holds them. Hidden files are left out, and so are those that file managers leave
behind.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hybridnets.data.dataset import DataError

LEFT_BEHIND = ("thumbs.db", "desktop.ini", "__macosx", "@eadir")  # by Windows, macOS and network drives

Entry = os.DirEntry[str]


@dataclass(frozen=True)
class Walker:
    """Finds the files below folders.

    Attributes:
        skipped: The device and number of the folders that it does not enter.
    """

    skipped: frozenset[tuple[int, int] | None] = frozenset()

    def without(self, folders: Iterable[Path | Entry]) -> "Walker":
        """A walker that does not enter these folders either."""
        return Walker((self.skipped | {_identity(folder) for folder in folders}) - {None})

    def entries(self, folder: Path | Entry) -> list[Entry]:
        """What a folder shows, sorted by name.

        Raises:
            DataError: If the folder cannot be read.
        """
        try:
            with os.scandir(folder) as entries:
                visible = [e for e in entries if not e.name.startswith(".") and e.name.lower() not in LEFT_BEHIND]
        except OSError as error:
            raise unreadable(folder, error) from error
        kept = [entry for entry in visible if not (is_folder(entry) and _identity(entry) in self.skipped)]
        return sorted(kept, key=lambda entry: entry.name)

    def files(self, folder: Path | Entry) -> Iterator[Entry]:
        """The files of a folder and then those of the folders in it, at any depth.

        Raises:
            DataError: If a folder cannot be read.
        """
        deeper = self.without([folder])
        entries = deeper.entries(folder)
        yield from (entry for entry in entries if not is_folder(entry))
        for entry in entries:
            if is_folder(entry):
                yield from deeper.files(entry)


def is_folder(entry: Entry) -> bool:
    """Whether an entry is a folder or leads to one; a link that leads nowhere or to itself does not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def unreadable(path: Path | Entry, error: OSError) -> DataError:
    """The error that names what cannot be read."""
    return DataError(f"{os.fspath(path)} cannot be read ({error.strerror or error})")


def _identity(folder: Path | Entry) -> tuple[int, int] | None:
    """What tells a folder apart from all others, whatever path leads to it; None if it cannot be read."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
