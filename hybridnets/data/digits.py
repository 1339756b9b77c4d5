"""scikit-learn's handwritten digits in the form of CIFAR-10: real data without a download.

Source: Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, UCI; its 1,797 test images of 8 x 8.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from hybridnets.data.dataset import DataError, ImageDataset, Images, canonical

N_TEST = 297
SCAN = 8  # height and width of a scan in pixels
LARGEST_SIZE = 256
LARGEST = 16  # a pixel counts the black points in a 4 x 4 block of the original scan


def load(size: int = 32) -> ImageDataset:
    """Reads the digits as 1,500 training and 297 test images of 3 x size x size.

    Every pixel becomes a block of equal pixels, so that no values are interpolated. The test images are those whose 32 x 32
    versions have the smallest hashes: a random choice that does not depend on the order or the size of the images.

    Args:
        size: Height and width of an image, a multiple of the scans' 8 pixels.

    Raises:
        DataError: If the size is not such a multiple, or scikit-learn is not installed.
    """
    if type(size) is not int or size % SCAN or not SCAN <= size <= LARGEST_SIZE:
        raise DataError(f"data.dataset.size must be a multiple of {SCAN} from {SCAN} to {LARGEST_SIZE}, got {size!r}")
    rows = np.loadtxt(_file(), dtype=np.int64, delimiter=",")  # (1797, 65), the label last
    grey = (rows[:, :-1].reshape(-1, SCAN, SCAN) * 255 // LARGEST).astype(np.uint8)
    scans, labels = canonical(grey, rows[:, -1].copy())  # the order of the enlarged images is the same
    hashes = [hashlib.sha256(image.tobytes()).digest() for image in _enlarged(scans, 32)]
    held_out = np.zeros(len(scans), dtype=bool)
    held_out[sorted(range(len(scans)), key=hashes.__getitem__)[:N_TEST]] = True
    images = _enlarged(scans, size)
    return ImageDataset(
        train_images=images[~held_out],
        train_labels=labels[~held_out],
        test_images=images[held_out],
        test_labels=labels[held_out],
        classes=tuple("0123456789"),
    )


def _enlarged(scans: Images, size: int) -> Images:
    """Scans as images of three equal channels, (N, 8, 8) to (N, 3, size, size)."""
    factor = size // SCAN
    large = scans.repeat(factor, axis=1).repeat(factor, axis=2)  # (N, size, size)
    return np.repeat(large[:, np.newaxis], 3, axis=1)


def _file() -> Path:
    """The path of scikit-learn's file; importing scikit-learn would take a second in every job of a sweep."""
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("data=digits needs scikit-learn, which is not installed: run pip install 'hybridnets[demo]'")
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if not path.exists():
        raise DataError(
            f"data=digits needs scikit-learn with its digits in {path}: install the version in requirements/main.lock"
        )
    return path
