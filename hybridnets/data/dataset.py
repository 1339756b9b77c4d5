"""A data set in memory: arrays of images and labels in a canonical order, with a hash of their content."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]


class DataError(ValueError):
    """A data set that is missing, unreadable or altered, or an illegal setting; the message is one sentence for the user."""


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """A data set for image classification, completely in memory.

    Attributes:
        train_images: Images for training and validation, (N, C, H, W), 0 to 255.
        train_labels: Their classes, (N,), as positions in `classes`.
        test_images: The data set's own test images, (M, C, H, W), never used to choose anything.
        test_labels: Their classes, (M,).
        classes: The classes' names.

    Raises:
        DataError: If shapes, types or labels are not consistent.
    """

    train_images: Images
    train_labels: Integers
    test_images: Images
    test_labels: Integers
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuses inconsistent arrays."""
        for part, images, labels in (
            ("training", self.train_images, self.train_labels),
            ("test", self.test_images, self.test_labels),
        ):
            if images.dtype != np.uint8 or images.ndim != 4 or images.size == 0:
                raise DataError(
                    f"the {part} images must be a non-empty uint8 array (N, C, H, W), got {_describe(images)}"
                )
            if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
                raise DataError(
                    f"the {part} labels must be int64, one for each of the {len(images):,} images, "
                    f"got {_describe(labels)}"
                )
            if labels.min() < 0 or labels.max() >= len(self.classes):
                raise DataError(
                    f"the {part} labels must lie from 0 to {len(self.classes) - 1}, one for each of the classes, "
                    f"got {labels.min()} to {labels.max()}"
                )
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise DataError(
                f"training and test images must have the same shape, got {self.train_images.shape[1:]} "
                f"and {self.test_images.shape[1:]}"
            )

    @cached_property
    def train_sha256(self) -> str:
        """The hash of the training images and labels, their order included."""
        return _sha256(self.train_images, self.train_labels)

    @cached_property
    def test_sha256(self) -> str:
        """The hash of the test images and labels, their order included."""
        return _sha256(self.test_images, self.test_labels)

    @cached_property
    def sha256(self) -> str:
        """The hash of everything in the data set that can affect a run."""
        content = [list(self.classes), self.train_sha256, self.test_sha256]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def canonical(images: Images, labels: Integers) -> tuple[Images, Integers]:
    """Sorts images by their bytes, and equal images by their labels.

    A split is a set of positions, so it means the same images on every machine only if their order does not depend on the
    files that they were read from.

    Args:
        images: (N, ...), any layout in memory.
        labels: (N,).

    Returns:
        The images, contiguous, and their labels.
    """
    rows = images.reshape(len(images), -1)
    if rows.strides[1] != rows.itemsize:  # a needless copy of 150 MB would take longer than sorting
        rows = np.ascontiguousarray(rows)
    # numpy compares byte strings as unsigned bytes; it ignores trailing zeros, which does not matter at equal lengths.
    order = np.lexsort((labels, rows.view(f"S{rows.shape[1] * rows.itemsize}")[:, 0]))
    return rows[order].reshape(images.shape), labels[order]


def _sha256(images: Images, labels: Integers) -> str:
    digest = hashlib.sha256(json.dumps(["uint8", images.shape, "int64"]).encode())
    digest.update(np.ascontiguousarray(images).data)
    digest.update(labels.astype("<i8").tobytes())
    return digest.hexdigest()


def _describe(array: npt.NDArray[Any]) -> str:
    return f"{array.dtype} {array.shape}"
