"""The files of a data set that is a folder: which belong to which class and part.

Parts and classes are folders: ROOT/train/CLASS, ROOT/test/CLASS and maybe ROOT/val/CLASS, or ROOT/CLASS alone. All files of a
class's folder at any depth belong to the class.
"""

import errno
import os
import stat
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hybridnets.data.dataset import DataError
from hybridnets.data.decoding import ENDINGS
from hybridnets.data.walking import Entry, Walker, is_folder, unreadable

PARTS = {"train": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}
NO_STATE = (0, 0, 0)
MOST = 3  # names in a message
BROKEN_LINK = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # all other errors may pass


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


def read_layout(root: Path) -> Layout:
    """Finds the files of a folder without reading them.

    Args:
        root: The folder.

    Raises:
        DataError: If classes cannot be told from parts.
    """
    walker = Walker().without([root])
    folders = [entry for entry in walker.entries(root) if is_folder(entry)]
    start = len(os.path.join(root, ""))  # noqa: PTH118 (of a file's name within its path)
    parts = _parts(root, folders, walker)
    classes: set[tuple[str, str]] = set()
    files: list[PictureFile] = []
    places: list[tuple[str, Path | Entry]] = [*parts] or [("", root)]
    for part, place in places:
        for entry in walker.entries(place):
            if is_folder(entry):
                class_name = _class_name(entry)
                classes.add((part, class_name))
                files += (_file(file, file.path[start:], part, class_name) for file in walker.files(entry))
            elif entry.name.lower().endswith(ENDINGS):
                files.append(PictureFile(entry.path[start:], part, "", NO_STATE, "it is not in a class folder"))
    return Layout(bool(parts), frozenset(classes), tuple(sorted(files, key=lambda file: file.name)))


def _parts(root: Path, folders: list[Entry], walker: Walker) -> list[tuple[str, Entry]]:
    """The folders train, test and val, each after its part's name; empty where the folder has classes alone."""
    roles = {entry.name: PARTS.get(entry.name.lower(), "") for entry in folders}
    train = next((entry for entry in folders if roles[entry.name] == "train"), None)
    has_test = "test" in roles.values()
    # A class may be called train; then it holds pictures, and nothing is called test.
    if not train or not (has_test or any(is_folder(entry) for entry in walker.entries(train))):
        if folders and all(roles.values()) and not train:
            raise DataError(
                f"{root} has {_as_folders(roles)} but no train/: add train/CLASS, or give a folder of classes alone"
            )
        _check_classes(root, folders, walker)
        return []
    if others := [name for name, role in roles.items() if not role]:
        raise DataError(
            f"{root} has train/ and, beside it, {_as_folders(others)}; only test/ and val/ or valid/ may be there: "
            "move others away"
        )
    for part in set(roles.values()):
        if len(same := [name for name, role in roles.items() if role == part]) > 1:
            raise DataError(f"{root} has {_as_folders(same)}, which mean the same part: keep one")
    if not has_test:
        raise DataError(
            f"{root} has {train.name}/ but no test/: add test/CLASS, or give data.root={root / train.name}, of which "
            "data.test_share becomes test"
        )
    return [(roles[entry.name], entry) for entry in folders]


def _check_classes(root: Path, folders: list[Entry], walker: Walker) -> None:
    """Refuses classes that hold parts, and parts beside classes, whose test pictures would be trained on."""
    for folder in folders:
        if PARTS.get(folder.name.lower(), "train") != "train" and (deeper := _first_deeper(folder, walker)):
            raise DataError(
                f"{root} has {folder.name}/ with pictures in {deeper}/, as a part has them, but no train/CLASS: move the "
                f"classes' folders into train/, or rename {folder.name}/ if it is a class"
            )
        inner = {PARTS.get(entry.name.lower()) for entry in walker.entries(folder) if is_folder(entry)}
        if {"train", "test"} <= inner:
            remedy = (
                f"give data.root={folder.path}" if len(folders) == 1 else "move them above the classes, as train/CLASS"
            )
            raise DataError(f"{root / folder.name} must be the folder of a class, but has train/ and test/: {remedy}")


def _first_deeper(folder: Entry, walker: Walker) -> str:
    """The first folder in a folder that has files at any depth; empty if there is none."""
    inner = (entry for entry in walker.without([folder]).entries(folder) if is_folder(entry))
    return next((entry.name for entry in inner if any(walker.files(entry))), "")


def _file(entry: Entry, name: str, part: str, class_name: str) -> PictureFile:
    """A file of a class's folder.

    Raises:
        DataError: If it cannot be known whether it is one.
    """
    try:
        status = entry.stat()
    except OSError as error:
        if error.errno not in BROKEN_LINK:
            raise unreadable(entry, error) from error
        fault = "it is a link to itself" if error.errno == errno.ELOOP else "it is a link to nothing"
        return PictureFile(name, part, class_name, NO_STATE, fault)
    fault = "" if stat.S_ISREG(status.st_mode) else "it is no plain file"
    return PictureFile(name, part, class_name, (status.st_size, status.st_mtime_ns, status.st_ctime_ns), fault)


def _class_name(folder: Entry) -> str:
    name = unicodedata.normalize("NFC", folder.name)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"the name of a class must be UTF-8, got {folder.path!r}") from None
    return name


def listed(items: Iterable[str]) -> str:
    """The first of some items, and how many more there are."""
    items = list(items)
    more = len(items) - MOST
    return (
        f"{', '.join(items[:MOST])} and {more:,} more"
        if more > 0
        else " and ".join(filter(None, [", ".join(items[:-1]), items[-1]]))
    )


def _as_folders(names: Iterable[str]) -> str:
    return listed(f"{name}/" for name in names)
