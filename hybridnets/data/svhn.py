"""Street View House Numbers, the digits cut out (format 2), read from a folder or downloaded first.

Source: Netzer et al. (2011), Reading Digits in Natural Images with Unsupervised Feature Learning;
http://ufldl.stanford.edu/housenumbers. Checksums as in torchvision, sizes as in TensorFlow Datasets.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hybridnets.data.dataset import DataError, ImageDataset, Images, Integers, canonical
from hybridnets.data.download import File
from hybridnets.data.published import check_source, obtain_files

FILES = (
    File("train_32x32.mat", 182_040_794, "e26dedcc434d2e4c54c9b2d4a06d8373"),
    File("test_32x32.mat", 64_275_384, "eb5a983be6a315427106f1b164d9cef3"),
)
IMAGES = (73_257, 26_032)  # of each file
FOLDERS = ("svhn", "SVHN")
CLASSES = tuple("0123456789")


def load(root: str | os.PathLike[str], mirrors: Sequence[str] = (), *, here_only: bool = False) -> ImageDataset:
    """Reads SVHN's digits, downloading them first if the folder does not hold them.

    Args:
        root: The folder that holds `train_32x32.mat` and `test_32x32.mat`, itself or in `svhn`.
        mirrors: Addresses of folders with these two files, tried in this order.
        here_only: Whether to refuse files that would have to be downloaded.

    Raises:
        DataError: If the data cannot be downloaded, or a file of it is altered.
    """
    try:
        paths = obtain_files("SVHN", check_source(root, mirrors), mirrors, FILES, FOLDERS, here_only=here_only)
        train, test = (_read(path, n) for path, n in zip(paths, IMAGES, strict=True))
    except OSError as error:
        raise DataError(f"data.root={root} cannot be used: {error}") from error
    return ImageDataset(*canonical(*train), *canonical(*test), CLASSES)


def _read(path: Path, n: int) -> tuple[Images, Integers]:
    """The images of one file, (N, 3, 32, 32), and their digits, (N,)."""
    import scipy.io  # here, because it takes a tenth of a second

    expected = {"X": ((32, 32, 3, n), "uint8"), "y": ((n, 1), "uint8")}
    try:
        holds = {name: (shape, kind) for name, shape, kind in scipy.io.whosmat(path)}
        if any(holds.get(name) != form for name, form in expected.items()):
            raise DataError(f"{path} must hold {_forms(expected)}, but holds {_forms(holds)}: it is not SVHN's")
        content = scipy.io.loadmat(path, variable_names=list(expected))
    except DataError:
        raise
    except Exception as error:  # a damaged file raises nearly anything, an OSError of scipy's own included
        if isinstance(error, OSError) and error.errno:
            raise
        raise DataError(f"{path} cannot be read as Matlab's .mat ({error}): replace it") from error
    labels = content["y"][:, 0].astype(np.int64)
    if labels.min() < 1 or labels.max() > len(CLASSES):
        raise DataError(f"{path} must have labels from 1 to 10, got {labels.min()} to {labels.max()}: it is not SVHN's")
    return content["X"].transpose(3, 2, 0, 1), labels % len(CLASSES)  # 10 stands for the digit 0


def _forms(arrays: dict[str, tuple[tuple[int, ...], str]]) -> str:
    return ", ".join(f"{name} {kind} {shape}" for name, (shape, kind) in sorted(arrays.items())) or "nothing"
