"""MNIST and Fashion-MNIST, 28 x 28 in grey, read from a folder or downloaded first.

Source: LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist, which describes the format (IDX); Xiao, Rasul and Vollgraf
(2017), Fashion-MNIST, arXiv:1708.07747. Checksums as in torchvision, sizes as in TensorFlow Datasets and Keras.
"""

import gzip
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridnets.data.dataset import DataError, ImageDataset, canonical
from hybridnets.data.download import File
from hybridnets.data.published import check_source, obtain_files

DIGITS = tuple("0123456789")
CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
MNIST = (
    File("train-images-idx3-ubyte.gz", 9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    File("train-labels-idx1-ubyte.gz", 28_881, "d53e105ee54ea40749a09fcbcd1e9432"),
    File("t10k-images-idx3-ubyte.gz", 1_648_877, "9fb629c4189551a2d022fa330f9573f3"),
    File("t10k-labels-idx1-ubyte.gz", 4_542, "ec29112dd5afa0611ce80d1b7f02629c"),
)
FASHION = (
    File("train-images-idx3-ubyte.gz", 26_421_880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
    File("train-labels-idx1-ubyte.gz", 29_515, "25c81989df183df01b3e8a0aad5dffbe"),
    File("t10k-images-idx3-ubyte.gz", 4_422_102, "bef4ecab320f06d8554ea6380940ec79"),
    File("t10k-labels-idx1-ubyte.gz", 5_148, "bb300cfdad3c16e7a12a480ee83cd310"),
)
IMAGES = (60_000, 10_000)  # for training and test
SIZE = (28, 28)
BYTES = 0x08  # IDX's number for an array of unsigned bytes


def load(root: str | os.PathLike[str], mirrors: Sequence[str] = (), *, here_only: bool = False) -> ImageDataset:
    """Reads MNIST's handwritten digits, downloading them first if the folder does not hold them.

    Args:
        root: The folder that holds the four files `train-images-idx3-ubyte.gz` and so on, itself, in `mnist` or in
            torchvision's `MNIST/raw`.
        mirrors: Addresses of folders with these files, tried in this order.
        here_only: Whether to refuse files that would have to be downloaded.

    Raises:
        DataError: If the data cannot be downloaded, or a file of it is altered.
    """
    return _load("MNIST", root, mirrors, MNIST, ("mnist", "MNIST/raw"), DIGITS, here_only)


def load_fashion(root: str | os.PathLike[str], mirrors: Sequence[str] = (), *, here_only: bool = False) -> ImageDataset:
    """Reads Fashion-MNIST's pictures of clothes, downloading them first if the folder does not hold them.

    Args:
        root: The folder that holds the four files, which are called as MNIST's, itself, in `fashion_mnist` or in torchvision's
            `FashionMNIST/raw`.
        mirrors: Addresses of folders with these files, tried in this order.
        here_only: Whether to refuse files that would have to be downloaded.

    Raises:
        DataError: If the data cannot be downloaded, or a file of it is altered.
    """
    folders = ("fashion_mnist", "FashionMNIST/raw")
    return _load("Fashion-MNIST", root, mirrors, FASHION, folders, CLOTHES, here_only)


def _load(
    title: str,
    root: str | os.PathLike[str],
    mirrors: Sequence[str],
    files: Sequence[File],
    folders: Sequence[str],
    classes: tuple[str, ...],
    here_only: bool,
) -> ImageDataset:
    try:
        paths = obtain_files(title, check_source(root, mirrors), mirrors, files, folders, here_only=here_only)
        train, test = (
            canonical(read_idx(images, (n, *SIZE))[:, np.newaxis], read_idx(labels, (n,)).astype(np.int64))
            for n, images, labels in zip(IMAGES, paths[::2], paths[1::2], strict=True)
        )
    except OSError as error:
        raise DataError(f"data.root={root} cannot be used: {error}") from error
    return ImageDataset(*train, *test, classes)


def read_idx(path: Path, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The bytes of a compressed IDX file: two zeros, the type, the number of axes, their lengths, and the values.

    Args:
        path: The file, compressed by gzip.
        shape: The shape that it must have.

    Raises:
        DataError: If it has another type or shape, or another number of values, or is damaged.
    """
    n = int(np.prod(shape))
    try:
        with gzip.open(path) as file:
            start = file.read(4)
            zeros, kind, axes = struct.unpack(">HBB", start) if len(start) == 4 else (1, 0, 0)
            if zeros:
                raise DataError(f"{path} is no IDX file: it begins with {start.hex() or 'nothing'}")
            header = file.read(4 * axes)
            lengths = struct.unpack(f">{len(header) // 4}I", header[: len(header) // 4 * 4])
            if kind != BYTES or lengths != shape:
                raise DataError(
                    f"{path} must hold unsigned bytes (type {BYTES}) of shape {shape}, but holds type {kind} of shape {lengths}"
                )
            values = file.read(n + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged ({error}): replace it") from error
    if len(values) != n:
        raise DataError(f"{path} must hold {n:,} values, but holds {'more' if len(values) > n else f'{len(values):,}'}")
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)
