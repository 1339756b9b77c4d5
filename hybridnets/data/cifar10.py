"""CIFAR-10, read from a folder or downloaded first, and verified by its content.

Source: Krizhevsky (2009), Learning Multiple Layers of Features from Tiny Images; https://www.cs.toronto.edu/~kriz/cifar.html
gives both layouts and the archives' checksums.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hybridnets.data import plain_pickle
from hybridnets.data.dataset import DataError, ImageDataset, Images, Integers, canonical
from hybridnets.data.download import Archive
from hybridnets.data.published import check_source, obtain_folder

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


def load(root: str | os.PathLike[str], mirrors: Sequence[str] = (), *, here_only: bool = False) -> ImageDataset:
    """Reads CIFAR-10, downloading it first if the folder does not hold it.

    Args:
        root: The folder that holds `cifar-10-batches-bin`, torchvision's `cifar-10-batches-py` or the archive of
            either, or one of these two folders itself.
        mirrors: Addresses of `cifar-10-binary.tar.gz`, tried in this order.
        here_only: Whether to refuse a data set that would have to be downloaded or unpacked.

    Raises:
        DataError: If the data cannot be downloaded, or a file of it is missing, truncated or altered.
    """
    try:
        return _read(*obtain_folder("CIFAR-10", check_source(root, mirrors), mirrors, FILES, here_only=here_only))
    except OSError as error:
        raise DataError(f"data.root={root} cannot be used: {error}") from error


def _read(layout: Archive, folder: Path) -> ImageDataset:
    if missing := [name for name in FILES[layout] if not (folder / name).is_file()]:
        raise DataError(
            f"{folder} lacks {', '.join(missing)} of CIFAR-10's six files: put them there, or delete the folder "
            f"to download it again"
        )
    # Reading into one buffer is faster than concatenating 150 MB.
    records = np.empty((len(STEMS) * RECORDS, 1 + PIXELS), dtype=np.uint8)
    for i, name in enumerate(FILES[layout]):
        read = read_binary if layout is BINARY else _read_pickle
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


def read_binary(path: Path, batch: Images) -> None:
    """Reads a file of records.

    Args:
        path: The file.
        batch: Is filled with its records, (N, 1 + PIXELS) here, contiguous: labels, then pixels.

    Raises:
        DataError: If the file has another size.
    """
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
        content = plain_pickle.read(path)
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
