"""CIFAR-10, read from a folder or downloaded first, and verified by its content.

Source: Krizhevsky (2009), Learning Multiple Layers of Features from Tiny Images; https://www.cs.toronto.edu/~kriz/cifar.html
gives both layouts and the archives' checksums.
"""

import os
import pickle
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hybridnets import signals
from hybridnets.data.dataset import DataError, ImageDataset, Images, Integers, canonical
from hybridnets.data.download import Archive, fetch, locked, unpack

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHAPE = (3, 32, 32)  # a record holds 1,024 red, 1,024 green and 1,024 blue pixels, each row by row
PIXELS = 3 * 32 * 32
RECORDS = 10_000  # per file
BINARY = Archive(
    "cifar-10-binary.tar.gz", 170_052_171, "c32a1d4ab5d03f1284b67883e8d87530", folder="cifar-10-batches-bin"
)
PYTHON = Archive(
    "cifar-10-python.tar.gz", 170_498_071, "c58f30108f718f92721af3b95e74349a", folder="cifar-10-batches-py"
)
STEMS = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
FILES = {BINARY: tuple(f"{stem}.bin" for stem in STEMS), PYTHON: STEMS}

# Hashes of the canonical content (hybridnets.data.dataset), which both layouts share
TRAIN_SHA256 = "f7df5254a709f2763fde86ca6bb26e80a45cd69c7afaed7d9b87dbed7c10b828"
TEST_SHA256 = "86c65543d9c05457490a0aa6de4faad8174ec841d7c28b6aefd559c573e01dcc"


def load(root: str | os.PathLike[str], mirrors: Sequence[str] = ()) -> ImageDataset:
    """Reads CIFAR-10, downloading it first if the folder does not hold it.

    Args:
        root: The folder that holds `cifar-10-batches-bin`, torchvision's `cifar-10-batches-py` or the archive of
            either, or one of these two folders itself.
        mirrors: Addresses of `cifar-10-binary.tar.gz`, tried in this order.

    Raises:
        DataError: If the data cannot be downloaded, or a file of it is missing, truncated or altered.
    """
    if not isinstance(root, str | os.PathLike) or not os.fspath(root):
        raise DataError(f"data.root must name a folder, got {root!r}")
    if isinstance(mirrors, str) or not all(isinstance(url, str) for url in mirrors):
        raise DataError(f"data.mirrors must be a list of addresses, [https://...], got {mirrors!r}")
    root = Path(root).expanduser()
    try:
        if root.exists() and not root.is_dir():
            raise DataError(f"data.root must be a folder, but {root} is a file")
        layout, folder = _find(root) or _obtain(root, mirrors)
        return _read(layout, folder)
    except OSError as error:
        raise DataError(f"data.root={root} cannot be used: {error}") from error


def _find(root: Path) -> tuple[Archive, Path] | None:
    for layout in (BINARY, PYTHON):
        if (root / layout.folder).is_dir():
            return layout, root / layout.folder
        if any((root / name).is_file() for name in FILES[layout]):
            return layout, root
    return None


@signals.unwinding()  # so that a signal leaves neither an incomplete file nor a lock
def _obtain(root: Path, mirrors: Sequence[str]) -> tuple[Archive, Path]:
    """Unpacks an archive from the folder or from a mirror; if several processes start at once, only one does it."""
    created = not root.exists()
    root.mkdir(parents=True, exist_ok=True)
    try:
        with locked(root / "cifar-10.lock"):
            if location := _find(root):
                return location
            for archive in (BINARY, PYTHON):
                if (path := root / archive.name).is_file():
                    if fault := archive.fault(path):
                        raise DataError(f"{path} is not CIFAR-10's archive ({fault}): delete or replace it")
                    return archive, unpack(archive, path, FILES[archive])
            try:
                path = fetch(BINARY, mirrors, root)
            except DataError as error:
                raise DataError(
                    f"CIFAR-10 is not in the folder {root.absolute()} and cannot be downloaded ({error}): put "
                    f"{BINARY.folder}, {PYTHON.folder} or {BINARY.name} there, or name the folder that has it with "
                    f"data.root= or the environment variable HYBRIDNETS_DATA, or another source with data.mirrors=[...]"
                ) from error
            return BINARY, unpack(BINARY, path, FILES[BINARY])
    finally:
        if created:
            with suppress(OSError):
                root.rmdir()  # which fails unless it is empty


def _read(layout: Archive, folder: Path) -> ImageDataset:
    if missing := [name for name in FILES[layout] if not (folder / name).is_file()]:
        raise DataError(
            f"{folder} lacks {', '.join(missing)} of CIFAR-10's six files: put them there, or delete the folder "
            f"to download it again"
        )
    # Reading into one buffer is faster than concatenating 150 MB.
    records = np.empty((len(STEMS) * RECORDS, 1 + PIXELS), dtype=np.uint8)
    for i, name in enumerate(FILES[layout]):
        read = _read_binary if layout is BINARY else _read_pickle
        batch = records[i * RECORDS : (i + 1) * RECORDS]  # (RECORDS, 1 + PIXELS): the label, then the pixels
        read(folder / name, batch)
        if (largest := batch[:, 0].max()) >= len(CLASSES):
            raise DataError(f"{folder / name} is altered: its labels must lie from 0 to 9, but one is {largest}")
    border = -RECORDS  # the last file holds the test images
    dataset = ImageDataset(*_part(records[:border]), *_part(records[border:]), CLASSES)
    for labels, digest, official, files in (
        (dataset.train_labels, dataset.train_sha256, TRAIN_SHA256, f"{STEMS[0]} to {STEMS[4]}"),
        (dataset.test_labels, dataset.test_sha256, TEST_SHA256, STEMS[5]),
    ):
        per_class = len(labels) // len(CLASSES)
        if (counts := np.bincount(labels, minlength=len(CLASSES))).tolist() != [per_class] * len(CLASSES):
            raise DataError(
                f"{folder} is altered: {files} must hold {per_class:,} images of each class, but hold {counts.tolist()}"
            )
        if digest != official:
            raise DataError(
                f"{folder} is altered: the images and labels in {files} are not CIFAR-10's (sha256 {digest}, "
                f"not {official}); replace the folder, or delete it to download it again"
            )
    return dataset


def _part(records: Images) -> tuple[Images, Integers]:
    images, labels = canonical(records[:, 1:], records[:, 0].astype(np.int64))
    return images.reshape(-1, *SHAPE), labels  # (N, 3, 32, 32), (N,)


def _read_binary(path: Path, batch: Images) -> None:
    if (size := path.stat().st_size) != batch.nbytes:
        raise DataError(
            f"{path} must have {batch.nbytes:,} bytes ({len(batch):,} records of {batch.shape[1]:,}), "
            f"but has {size:,}: it is truncated or altered"
        )
    with path.open("rb", buffering=0) as file:
        view = batch.data.cast("B")
        position = 0
        while position < len(view) and (count := file.readinto(view[position:])):
            position += count


def _read_pickle(path: Path, batch: Images) -> None:
    try:
        with path.open("rb") as file:
            content = _Unpickler(file).load()
        pixels, labels = content[b"data"].values, content[b"labels"]
        batch[:, 0] = np.array(labels, dtype=np.uint8)
    except OSError:
        raise
    except Exception as error:  # a damaged pickle raises nearly anything
        raise DataError(f"{path} is not a batch of CIFAR-10 as Python pickle: {error}") from error
    if pixels.shape != (len(batch), PIXELS) or len(labels) != len(batch):
        raise DataError(
            f"{path} must hold {len(batch):,} images of {PIXELS:,} pixels with their labels, "
            f"but holds {pixels.shape} and {len(labels):,} labels"
        )
    batch[:, 1:] = pixels


class _Array:
    """Stands in for a pickled array of bytes, so that a file cannot cause even numpy's code to run."""

    values: Images

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, columns_first, content = state
        if dtype.code not in (b"u1", "u1"):
            raise pickle.UnpicklingError(f"an array of type {dtype.code!r}")
        self.values = np.frombuffer(content, dtype=np.uint8).reshape(shape, order="F" if columns_first else "C")


class _Type:
    """Stands in for the type of a pickled array."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        pass


def _encode(text: str, _: object) -> bytes:
    return text.encode("latin1")


_ALLOWED = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,  # written by numpy 2
    ("_codecs", "encode"): _encode,  # Python 3 writes bytes for Python 2 by it
}


class _Unpickler(pickle.Unpickler):
    """Reads dictionaries, lists, numbers, strings, bytes and arrays of bytes, and refuses everything else."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="bytes")  # because Python 2 wrote the files

    def find_class(self, module: str, name: str) -> Any:
        if (replacement := _ALLOWED.get((module, name))) is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which plain data do not need")
        return replacement
