"""scikit-learn's handwritten digits, brought into CIFAR-10's form: real data that comes with a dependency.

Source: Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, UCI; its 1,797 test images of 8 x 8.
"""

import hashlib

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
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise DataError(
            "data=digits needs scikit-learn, which is not installed: run pip install 'hybridnets[demo]'"
        ) from None
    bunch = load_digits()
    grey = (bunch.images.astype(np.int64) * 255 // LARGEST).astype(np.uint8)  # (1797, 8, 8)
    large = grey.repeat(4, axis=1).repeat(4, axis=2)  # (1797, 32, 32)
    images = np.repeat(large[:, np.newaxis], 3, axis=1)  # (1797, 3, 32, 32)
    images, labels = canonical(images, bunch.target.astype(np.int64))
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
