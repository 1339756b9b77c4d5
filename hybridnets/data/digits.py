"""scikit-learn's handwritten digits, brought into CIFAR-10's form: real data that comes with a dependency.

Source: Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, UCI; its 1,797 test images of 8 x 8.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from hybridnets.data.dataset import DataError, ImageDataset, canonical

N_TEST = 297
LARGEST = 16  # a pixel counts the set points in a 4 x 4 block of the scan


def load() -> ImageDataset:
    """Reads the digits as 1,500 training and 297 test images of 3 x 32 x 32.

    Every pixel becomes a block of 4 x 4 equal ones: this invents nothing between the scanned values. The test images
    are those whose hashes are smallest: a choice at random that stays the same however the images are ordered.

    Raises:
        DataError: If scikit-learn is not installed.
    """
    rows = np.loadtxt(_file(), dtype=np.int64, delimiter=",")  # (1797, 65), the label last
    grey = (rows[:, :-1].reshape(-1, 8, 8) * 255 // LARGEST).astype(np.uint8)
    large = grey.repeat(4, axis=1).repeat(4, axis=2)  # (1797, 32, 32)
    images = np.repeat(large[:, np.newaxis], 3, axis=1)  # (1797, 3, 32, 32)
    images, labels = canonical(images, rows[:, -1].copy())
    hashes = [hashlib.sha256(image.tobytes()).digest() for image in images]
    held_out = np.zeros(len(images), dtype=bool)
    held_out[sorted(range(len(images)), key=hashes.__getitem__)[:N_TEST]] = True
    return ImageDataset(
        train_images=images[~held_out],
        train_labels=labels[~held_out],
        test_images=images[held_out],
        test_labels=labels[held_out],
        classes=tuple("0123456789"),
    )


def _file() -> Path:
    """Scikit-learn's file, because importing scikit-learn for it takes a second, in every job of a sweep."""
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("data=digits needs scikit-learn, which is not installed: run pip install 'hybridnets[demo]'")
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if not path.exists():
        raise DataError(f"data=digits needs scikit-learn with its digits in {path}: install the version that is locked")
    return path
