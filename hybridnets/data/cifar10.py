"""CIFAR-10: found in a folder or downloaded, verified by content.

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
SHAPE = (3, 32, 32)  # a record's pixels: 1,024 red, 1,024 green, 1,024 blue, each row by row
PIXELS = 3 * 32 * 32
RECORDS = 10_000  # a file
BINARY = Archive(
    "cifar-10-binary.tar.gz", 170_052_171, "c32a1d4ab5d03f1284b67883e8d87530", folder="cifar-10-batches-bin"
)
PYTHON = Archive(
    "cifar-10-python.tar.gz", 170_498_071, "c58f30108f718f92721af3b95e74349a", folder="cifar-10-batches-py"
)
STEMS = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
FILES = {BINARY: tuple(f"{stem}.bin" for stem in STEMS), PYTHON: STEMS}

# Of the canonical content (hybridnets.data.dataset), so that they hold for both layouts and any order of the images
TRAIN_SHA256 = "f7df5254a709f2763fde86ca6bb26e80a45cd69c7afaed7d9b87dbed7c10b828"
TEST_SHA256 = "86c65543d9c05457490a0aa6de4faad8174ec841d7c28b6aefd559c573e01dcc"


def load(root: str | os.PathLike[str], mirrors: Sequence[str] = ()) -> ImageDataset:
    """Reads CIFAR-10, downloading it first if the folder does not hold it.

    Args:
        root: The folder that holds `cifar-10-batches-bin`, torchvision's `cifar-10-batches-py` or the archive of
            either, or one of these two folders itself.
        mirrors: Addresses of `cifar-10-binary.tar.gz`, asked in this order.

    Raises:
        DataError: If the data cannot be had, or a file of it is missing, truncated or altered.
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


@signals.unwinding()  # a file that only this process knows to be whole, a lock
def _obtain(root: Path, mirrors: Sequence[str]) -> tuple[Archive, Path]:
    """Unpacks an archive found in the folder or fetched from the mirrors; of processes that start at once, one does."""
    created = not root.exists()
    root.mkdir(parents=True, exist_ok=True)
    try:
        with locked(root / "cifar-10.lock"):
            if found := _find(root):
                return found
            for archive in (BINARY, PYTHON):
                if (path := root / archive.name).is_file():
                    if fault := archive.fault(path):
                        raise DataError(f"{path} is not CIFAR-10's archive ({fault}): remove or replace it")
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
                root.rmdir()  # only if nothing has come


def _read(layout: Archive, folder: Path) -> ImageDataset:
    if missing := [name for name in FILES[layout] if not (folder / name).is_file()]:
        raise DataError(
            f"{folder} lacks {', '.join(missing)} of CIFAR-10's six files: put them there, or remove the folder "
            f"to have it downloaded"
        )
    # one buffer for all records, because 150 MB are quicker read into place than copied together
    records = np.empty((len(STEMS) * RECORDS, 1 + PIXELS), dtype=np.uint8)
    for i, name in enumerate(FILES[layout]):
        read = _read_binary if layout is BINARY else _read_pickle
        batch = records[i * RECORDS : (i + 1) * RECORDS]
        read(folder / name, batch)
        if (largest := batch[:, 0].max()) >= len(CLASSES):
            raise DataError(f"{folder / name} is altered: its labels must lie from 0 to 9, but one is {largest}")
    border = -RECORDS  # the last file is the test part
    dataset = ImageDataset(*_part(records[:border]), *_part(records[border:]), CLASSES)
    for labels, digest, official, place in (
        (dataset.train_labels, dataset.train_sha256, TRAIN_SHA256, f"{STEMS[0]} to {STEMS[4]}"),
        (dataset.test_labels, dataset.test_sha256, TEST_SHA256, STEMS[5]),
    ):
        each = len(labels) // len(CLASSES)
        if (counts := np.bincount(labels, minlength=len(CLASSES))).tolist() != [each] * len(CLASSES):
            raise DataError(
                f"{folder} is altered: {place} must hold {each:,} images of each class, but hold {counts.tolist()}"
            )
        if digest != official:
            raise DataError(
                f"{folder} is altered: the images and labels in {place} are not CIFAR-10's (sha256 {digest}, "
                f"not {official}); replace the folder, or remove it to have it downloaded"
            )
    return dataset


def _part(records: Images) -> tuple[Images, Integers]:
    images, labels = canonical(records[:, 1:], records[:, 0].astype(np.int64))
    return images.reshape(-1, *SHAPE), labels


def _read_binary(path: Path, batch: Images) -> None:
    if (size := path.stat().st_size) != batch.nbytes:
        raise DataError(
            f"{path} must have {batch.nbytes:,} bytes ({len(batch):,} records of {batch.shape[1]:,}), "
            f"but has {size:,}: it is truncated or altered"
        )
    with path.open("rb", buffering=0) as file:
        view = batch.data.cast("B")
        done = 0
        while done < len(view) and (count := file.readinto(view[done:])):
            done += count


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
            f"{path} must hold {len(batch):,} images of {PIXELS:,} numbers with their labels, "
            f"but holds {pixels.shape} and {len(labels):,} labels"
        )
    batch[:, 1:] = pixels


class _Array:
    """What stands for a pickled array of bytes, so that not even numpy's own code runs on a file's word."""

    values: Images

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, columns_first, content = state
        if dtype.code not in (b"u1", "u1"):
            raise pickle.UnpicklingError(f"an array of type {dtype.code!r}")
        self.values = np.frombuffer(content, dtype=np.uint8).reshape(shape, order="F" if columns_first else "C")


class _Type:
    """What stands for a pickled array's type."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        pass


def _encode(text: str, _: object) -> bytes:
    return text.encode("latin1")


_ADMITTED = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,  # written by numpy 2
    ("_codecs", "encode"): _encode,  # how Python 3 writes bytes for Python 2
}


class _Unpickler(pickle.Unpickler):
    """Reads dictionaries, lists, numbers, strings, bytes and arrays of bytes; whatever else a file names is refused."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="bytes")  # the files are Python 2's

    def find_class(self, module: str, name: str) -> Any:
        if (found := _ADMITTED.get((module, name))) is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which only code that runs would need")
        return found
