"""Where the files of a published data set are: in a folder of the user's, or downloaded to it and verified."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from hybridnets import signals
from hybridnets.data.dataset import DataError, path_of
from hybridnets.data.download import Archive, File, fetch, locked, unpack

SOURCES = (
    "or name the folder that has it with data.root= or the environment variable HYBRIDNETS_DATA, or another source with "
    "data.mirrors=[...]"
)


def check_source(root: str | os.PathLike[str], mirrors: Sequence[str]) -> Path:
    """The folder that data.root names, which need not exist.

    Args:
        root: The value of data.root.
        mirrors: The value of data.mirrors.

    Raises:
        DataError: If one of them is not what it must be.
    """
    path = path_of(root)
    if isinstance(mirrors, str) or not all(isinstance(url, str) for url in mirrors):
        raise DataError(f"data.mirrors must be a list of addresses, [https://...], got {mirrors!r}")
    if path.exists() and not path.is_dir():
        raise DataError(f"data.root must be a folder, but {path} is a file")
    return path


def obtain_folder(
    title: str, root: Path, mirrors: Sequence[str], layouts: Mapping[Archive, Sequence[str]], *, here_only: bool
) -> tuple[Archive, Path]:
    """The folder of a data set that is published as archives: unpacked, or unpacked here, or downloaded first.

    If several processes start at once, only one of them downloads and unpacks.

    Args:
        title: The data set's name.
        root: Holds the folder of one of the archives or an archive, or is such a folder.
        mirrors: Addresses of the first archive, tried in this order.
        layouts: The files that are needed from each archive.
        here_only: Whether to refuse a folder that would have to be downloaded or unpacked.

    Returns:
        The archive whose layout the folder has, and the folder.

    Raises:
        DataError: If there is none, and none can or may be downloaded.
    """
    if location := _found(root, layouts):
        return location
    if here_only:
        raise DataError(f"{title} is not in the folder {root.absolute()}")
    return _obtained(title, root, mirrors, layouts)


def _found(root: Path, layouts: Mapping[Archive, Sequence[str]]) -> tuple[Archive, Path] | None:
    for layout, names in layouts.items():
        if (root / layout.folder).is_dir():
            return layout, root / layout.folder
        if any((root / name).is_file() for name in names):
            return layout, root
    return None


@signals.unwinding()  # so that a signal leaves neither an incomplete file nor a lock
def _obtained(
    title: str, root: Path, mirrors: Sequence[str], layouts: Mapping[Archive, Sequence[str]]
) -> tuple[Archive, Path]:
    created = not root.exists()
    root.mkdir(parents=True, exist_ok=True)
    try:
        with locked(root / f"{title.lower()}.lock"):
            if location := _found(root, layouts):
                return location
            for archive, names in layouts.items():
                if (path := root / archive.name).is_file():
                    if fault := archive.fault(path):
                        raise DataError(f"{path} is not {title}'s archive ({fault}): delete or replace it")
                    return archive, unpack(archive, path, names)
            first = next(iter(layouts))
            try:
                path = fetch(first, mirrors, root)
            except DataError as error:
                folders = ", ".join(archive.folder for archive in layouts)
                raise DataError(
                    f"{title} is not in the folder {root.absolute()} and cannot be downloaded ({error}): put "
                    f"{folders} or {first.name} there, {SOURCES}"
                ) from error
            return first, unpack(first, path, layouts[first])
    finally:
        _remove_if_empty(root, created)


def obtain_files(
    title: str, root: Path, mirrors: Sequence[str], files: Sequence[File], folders: Sequence[str], *, here_only: bool
) -> list[Path]:
    """The verified files of a data set that is published file by file; those that are missing are downloaded.

    If several processes start at once, only one of them downloads.

    Args:
        title: The data set's name.
        root: Holds the files, or holds one of the folders with them. Files of other sizes in it are another data set's.
        mirrors: Addresses of folders that have the files, tried in this order.
        files: The files.
        folders: Paths below root at which the files may be; they are downloaded to the first one.
        here_only: Whether to refuse files that would have to be downloaded.

    Returns:
        The files' paths, in the same order.

    Raises:
        DataError: If one of them is another file than the published one, or cannot or may not be downloaded.
    """
    places = [root / folder for folder in folders]
    folder = next((place for place in places if any((place / file.name).is_file() for file in files)), None)
    if not folder:  # in root itself, files of these names may be another data set's
        folder = root if any(_has_size(root / file.name, file) for file in files) else places[0]
    if missing := [file.name for file in files if not (folder / file.name).is_file()]:
        if here_only:
            raise DataError(f"{title} is not in the folder {folder.absolute()}, which lacks {', '.join(missing)}")
        _download(title, root, mirrors, files, folder)
    paths = [folder / file.name for file in files]
    for file, path in zip(files, paths, strict=True):
        if fault := file.fault(path):
            raise DataError(f"{path} is not {title}'s ({fault}): move it away to download it again, or replace it")
    return paths


def _has_size(path: Path, published: File) -> bool:
    return path.is_file() and path.stat().st_size == published.size


@signals.unwinding()
def _download(title: str, root: Path, mirrors: Sequence[str], files: Sequence[File], folder: Path) -> None:
    created = not root.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder / f"{title.lower()}.lock"):
            for file in files:
                if (folder / file.name).is_file():
                    continue
                try:
                    fetch(file, [f"{mirror.rstrip('/')}/{file.name}" for mirror in mirrors], folder)
                except DataError as error:
                    raise DataError(
                        f"{file.name} of {title} is not in the folder {folder.absolute()} and cannot be downloaded "
                        f"({error}): put {', '.join(f.name for f in files)} there, {SOURCES}"
                    ) from error
    finally:
        _remove_if_empty(folder, True)
        _remove_if_empty(root, created)


def _remove_if_empty(folder: Path, created: bool) -> None:
    if created:
        with suppress(OSError):
            folder.rmdir()  # which fails unless it is empty
