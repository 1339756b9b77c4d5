"""The files of a data set that is a folder: which belong to which class and part.

Parts and classes are folders: ROOT/train/CLASS, ROOT/test/CLASS and maybe ROOT/val/CLASS, or ROOT/CLASS alone. All files of a
class's folder at any depth belong to the class. Links are followed. Hidden files are ignored, and so are those that file
managers leave behind.
"""

import errno
import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hybridnets.data.dataset import DataError
from hybridnets.data.decoding import ENDINGS

PARTS = {"train": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}
NO_STATE = (0, 0, 0)
BROKEN_LINK = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # all other errors may pass
LEFT_BEHIND = ("thumbs.db", "desktop.ini", "__macosx", "@eadir")  # by Windows, macOS and network drives


@dataclass(frozen=True)
class PictureFile:
    """A file that should be a picture.

    Attributes:
        name: Its path in the data set's folder.
        part: train, val or test; empty where the folder has classes alone.
        class_name: The name of its class's folder, in Unicode's composed form, because macOS and Linux differ in it.
        state: Its size, and when it was modified and changed: a file with the same state has the same content.
        fault: Why it cannot be a picture, as far as is known without reading it; empty if it can.
    """

    name: str
    part: str
    class_name: str
    state: tuple[int, int, int]
    fault: str = ""


@dataclass(frozen=True)
class Layout:
    """What a folder holds.

    Attributes:
        has_parts: Whether it has train/ and test/.
        classes: The part and the name of each class's folder, those without files included.
        files: The files, sorted by name.
    """

    has_parts: bool
    classes: frozenset[tuple[str, str]]
    files: tuple[PictureFile, ...]


def read_layout(root: Path, besides: Path) -> Layout:
    """Finds the files of a folder without reading them.

    Args:
        root: The folder.
        besides: A folder that is no part of the data set wherever it lies, and neither are those that hold it.

    Raises:
        DataError: If classes cannot be told from parts.
    """
    skipped = {_identity(path) for path in (root, besides, *besides.absolute().parents)} - {None}
    reader = _Reader(frozenset(skipped))
    folders = [entry for entry in reader.entries(root) if _is_folder(entry)]
    parts = _parts(root, folders, reader)
    classes: set[tuple[str, str]] = set()
    files: list[PictureFile] = []
    for part, path, prefix in parts or [("", str(root), "")]:
        for entry in reader.entries(path):
            if _is_folder(entry):
                class_name = _class_name(entry)
                classes.add((part, class_name))
                files += reader.files(entry, f"{prefix}{entry.name}", part, class_name)
            elif entry.name.lower().endswith(ENDINGS):
                files.append(PictureFile(f"{prefix}{entry.name}", part, "", NO_STATE, "it lies in no class's folder"))
    return Layout(bool(parts), frozenset(classes), tuple(sorted(files, key=lambda file: file.name)))


def _parts(root: Path, folders: list[os.DirEntry[str]], reader: "_Reader") -> list[tuple[str, str, str]]:
    """Part, path and name with a slash of the folders train, test and val; empty where the folder has classes alone."""
    roles = {entry.name: PARTS.get(entry.name.lower(), "") for entry in folders}
    train = next((entry for entry in folders if roles[entry.name] == "train"), None)
    has_test = "test" in roles.values()
    # A class may be called train; then it holds pictures, and nothing is called test.
    if not train or not (has_test or any(_is_folder(entry) for entry in reader.entries(train))):
        if folders and all(roles.values()) and not train:
            raise DataError(
                f"{root} has {_listed(list(roles))} but no train/: add train/CLASS, or give a folder of classes alone"
            )
        _check_classes(root, folders, reader)
        return []
    if others := [name for name, role in roles.items() if not role]:
        raise DataError(
            f"{root} has train/ and, beside it, {_listed(others)}; only test/ and val/ or valid/ may be there: move others away"
        )
    for part in set(roles.values()):
        if len(same := [name for name, role in roles.items() if role == part]) > 1:
            raise DataError(f"{root} has {_listed(same)}, which mean the same part: keep one")
    if not has_test:
        raise DataError(
            f"{root} has {train.name}/ but no test/: add test/CLASS, or give data.root={root / train.name}, of which "
            "data.test_share becomes test"
        )
    return [(roles[entry.name], entry.path, f"{entry.name}/") for entry in folders]


def _check_classes(root: Path, folders: list[os.DirEntry[str]], reader: "_Reader") -> None:
    """Refuses classes that hold parts, and parts beside classes, whose test pictures would be trained on."""
    for folder in folders:
        if PARTS.get(folder.name.lower(), "train") != "train" and (deeper := reader.first_deeper(folder)):
            raise DataError(
                f"{root} has {folder.name}/ with pictures in {deeper}/, as a part has them, but no train/: move the classes' "
                f"folders into train/, or rename {folder.name}/ if it is a class"
            )
        inner = {PARTS.get(entry.name.lower()) for entry in reader.entries(folder) if _is_folder(entry)}
        if {"train", "test"} <= inner:
            remedy = (
                f"give data.root={folder.path}" if len(folders) == 1 else "move them above the classes, as train/CLASS"
            )
            raise DataError(f"{root / folder.name} must be the folder of a class, but has train/ and test/: {remedy}")


@dataclass(frozen=True)
class _Reader:
    """Reads folders, except those that are no part of the data set.

    Attributes:
        skipped: Their device and number.
    """

    skipped: frozenset[tuple[int, int] | None]

    def entries(self, folder: Path | str | os.DirEntry[str]) -> list[os.DirEntry[str]]:
        """What a folder shows, sorted by name."""
        try:
            with os.scandir(folder) as entries:
                visible = [e for e in entries if not e.name.startswith(".") and e.name.lower() not in LEFT_BEHIND]
        except OSError as error:
            raise _unreadable(folder, error) from error
        kept = [entry for entry in visible if not (_is_folder(entry) and _identity(entry) in self.skipped)]
        return sorted(kept, key=lambda entry: entry.name)

    def first_deeper(self, folder: os.DirEntry[str]) -> str:
        """The first folder in a folder that has files at any depth; empty if there is none."""
        deeper = _Reader(self.skipped | {_identity(folder)})
        inner = (entry for entry in deeper.entries(folder) if _is_folder(entry))
        return next((entry.name for entry in inner if any(deeper.files(entry, "", "", ""))), "")

    def files(self, folder: os.DirEntry[str], name: str, part: str, class_name: str) -> Iterator[PictureFile]:
        """The files of a class's folder at any depth.

        Args:
            folder: The folder.
            name: Its path in the data set's folder.
            part: Its part.
            class_name: Its class.
        """
        deeper = _Reader(self.skipped | {_identity(folder)})
        for entry in deeper.entries(folder):
            state, fault, path = NO_STATE, "", f"{name}/{entry.name}"
            try:
                status = entry.stat()
            except OSError as error:
                if error.errno not in BROKEN_LINK:
                    raise _unreadable(entry, error) from error
                fault = "it is a link to itself" if error.errno == errno.ELOOP else "it is a link to nothing"
            else:
                if stat.S_ISDIR(status.st_mode):
                    yield from deeper.files(entry, path, part, class_name)
                    continue
                state = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
                fault = "" if stat.S_ISREG(status.st_mode) else "it is no plain file"
            yield PictureFile(path, part, class_name, state, fault)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or leads to one; a link that leads nowhere or to itself does not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(path: Path | os.DirEntry[str]) -> tuple[int, int] | None:
    """What tells a folder apart from all others, whatever path leads to it; None if it cannot be read."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _unreadable(path: Path | str | os.DirEntry[str], error: OSError) -> DataError:
    return DataError(f"{os.fspath(path)} cannot be read ({error.strerror or error})")


def _class_name(folder: os.DirEntry[str]) -> str:
    name = unicodedata.normalize("NFC", folder.name)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"the name of a class must be UTF-8, got {folder.path!r}") from None
    return name


def _listed(names: list[str]) -> str:
    shown = [f"{name}/" for name in names[:3]]
    rest = len(names) - len(shown)
    return (
        f"{', '.join(shown)} and {rest} more"
        if rest
        else " and ".join([", ".join(shown[:-1]), shown[-1]][len(shown) == 1 :])
    )
