"""A data set in memory: arrays of images and labels in a canonical order, with a hash of their content."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]
Sums = npt.NDArray[np.uint64]

MOST_COLOURS = 4  # channels of an image that is not one of measurements
LARGEST_PIXEL = 255
# In evaluation, batches affect only the rounding of sums. A constant size, instead of data.batch_size, makes even the rounding
# the same for all runs; maps of 100 images stay in a CPU's cache, so that CNN takes a third less time than with 500.
EVALUATION_BATCH_SIZE = 100
RESIZE = "bring all images to one height and width, with Pillow: image.resize((32, 32))"


class DataError(ValueError):
    """A data set that is missing, unreadable or altered, or an illegal setting; the message is one sentence for the user."""


def path_of(value: Any, key: str = "root", kind: str = "a folder") -> Path:
    """The path that a setting of data names, which need not exist; ~ is understood.

    Args:
        value: The value.
        key: The setting's name.
        kind: What it must name.

    Raises:
        DataError: If it is no path.
    """
    if isinstance(value, str | os.PathLike) and os.fspath(value):
        try:
            return Path(value).expanduser()
        except RuntimeError:
            raise DataError(
                f"data.{key} must name {kind}, got {value}, but there is no such user's home folder"
            ) from None
    got = "nothing" if value is None else repr(value)
    raise DataError(f"data.{key} must name {kind}, as data.{key}=PATH, got {got}")


@dataclass(frozen=True, eq=False)
class Computed:
    """What was computed from a data set's images once, so that gigabytes of them need not be read again.

    Attributes:
        train_sha256: As of `ImageDataset`.
        test_sha256: Likewise.
        train_sums: Likewise.
    """

    train_sha256: str
    test_sha256: str
    train_sums: tuple[Sums, Sums]


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """A data set for image classification, in memory or in files that are mapped into it (`numpy.memmap`).

    Attributes:
        train_images: Images for training and validation, (N, C, H, W), 0 to 255.
        train_labels: Their classes, (N,), as positions in `classes`.
        test_images: The data set's own test images, (M, C, H, W), never used to choose anything.
        test_labels: Their classes, (M,).
        classes: The classes' names.
        val: Positions among the training images of the validation part that the data set brings, in ascending order; None
            if it brings none.
        resize: How pictures of other sizes were brought to this one, a name in `hybridnets.data.decoding.RESIZES`; None if
            the data set holds no such pictures. New pictures for a trained network are treated likewise.
        computed: What is known of the images without reading them; None if it is computed when it is needed.

    Raises:
        DataError: If shapes, types or labels are not consistent.
    """

    train_images: Images
    train_labels: Integers
    test_images: Images
    test_labels: Integers
    classes: tuple[str, ...]
    val: Integers | None = None
    resize: str | None = None
    computed: Computed | None = None

    def __post_init__(self) -> None:
        """Refuses inconsistent arrays, and classes that are no list of names."""
        names = self.classes
        if (
            not isinstance(names, tuple | list)
            or not names
            or not all(name and isinstance(name, str) for name in names)
        ):
            raise DataError(f"classes must be a tuple of names, such as ('cat', 'dog'), got {names!r}")
        if len(set(names)) < len(names):
            raise DataError(f"classes must be different names, got {names!r}")
        if len(names) < 2:
            raise DataError(f"classes must be at least two, because a network learns to tell them apart, got {names!r}")
        check_images(self.train_images, "the training images")
        check_images(self.test_images, "the test images")
        check_labels(self.train_labels, len(self.train_images), self.classes, "the training labels")
        check_labels(self.test_labels, len(self.test_images), self.classes, "the test labels")
        if self.val is not None:
            check_val(self.val, len(self.train_images))
        shape, test_shape = self.train_images.shape[1:], self.test_images.shape[1:]
        if shape != test_shape:
            remedy = (
                f"{RESIZE}, the same for both parts"
                if shape[0] == test_shape[0]
                else "give both the same channels, with Pillow: image.convert('RGB') or image.convert('L')"
            )
            raise DataError(
                f"training and test images must have the same shape, got {shape} and {test_shape}: {remedy}"
            )

    @cached_property
    def train_sha256(self) -> str:
        """The hash of the training images and labels, their order included."""
        return self.computed.train_sha256 if self.computed else content_hash(self.train_images, self.train_labels)

    @cached_property
    def test_sha256(self) -> str:
        """The hash of the test images and labels, their order included."""
        return self.computed.test_sha256 if self.computed else content_hash(self.test_images, self.test_labels)

    @cached_property
    def train_sums(self) -> tuple[Sums, Sums]:
        """The sum of the pixels, and of their squares, of each training image and channel, each (N, C)."""
        return self.computed.train_sums if self.computed else pixel_sums(self.train_images)

    @cached_property
    def sha256(self) -> str:
        """The hash of everything in the data set that can affect a run."""
        content: list[object] = [list(self.classes), self.train_sha256, self.test_sha256]
        if self.val is not None:
            content.append(hashlib.sha256(self.val.astype("<i8").tobytes()).hexdigest())
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def check_images(images: Any, name: str) -> None:
    """Refuses images that are not a uint8 array (N, C, H, W), and says how to make them one.

    Args:
        images: The images.
        name: What the message calls them.

    Raises:
        DataError: If they are not.
    """
    check_array(images, name)
    remedy = ""
    if images.ndim == 3:
        remedy = "grey images need an axis for their one channel: images[:, numpy.newaxis]"
    elif images.ndim == 4 and images.size:
        _, first, height, last = images.shape
        if last <= MOST_COLOURS < min(first, height):  # not an image that is four pixels wide
            remedy = "their channels are last: images.transpose(0, 3, 1, 2)"
        elif images.dtype != np.uint8:
            remedy = _as_pixels(images)
    if remedy or images.dtype != np.uint8 or images.ndim != 4 or images.size == 0:
        rule = f"{name} must be a non-empty uint8 array (N, C, H, W), got {_describe(images)}"
        raise DataError(f"{rule}: {remedy}" if remedy else rule)


def check_labels(labels: Any, n: int, classes: Sequence[str] | None, name: str) -> None:
    """Refuses labels that are not the positions of classes, int64 (N,), and says how to make them so.

    Args:
        labels: The labels.
        n: How many images there are.
        classes: The names of the classes; None if they are not known yet.
        name: What the message calls the labels.

    Raises:
        DataError: If they are not.
    """
    rule = f"{name} must be int64, one for each of the {n:,} images"
    if not isinstance(labels, np.ndarray):
        raise DataError(f"{rule}, got a {type(labels).__name__}: numpy.array(labels)")
    if labels.dtype != np.int64 or labels.shape != (n,):
        remedy = _as_positions(labels, n)
        raise DataError(f"{rule}, got {_describe(labels)}{remedy and f': {remedy}'}")
    if classes is None or n == 0:
        return
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(classes):
        remedy = (
            "labels - 1, which counts the classes from 0"
            if (low, high) == (1, len(classes))
            else "labels = numpy.unique(labels, return_inverse=True)[1], over training and test labels together, counts the "
            "classes from 0"
        )
        raise DataError(
            f"{name} must lie from 0 to {len(classes) - 1}, one for each of the classes, got {low} to {high}: {remedy}"
        )


def check_val(val: Any, n: int) -> None:
    """Refuses a validation part that is not a set of training images, or leaves none to train on.

    Args:
        val: Positions of its images.
        n: How many training images there are, those of the validation part included.

    Raises:
        DataError: If it is not.
    """
    if not isinstance(val, np.ndarray) or val.dtype != np.int64 or val.ndim != 1:
        raise DataError(f"val must be positions of training images, int64 (V,), got {_describe(val)}")
    if not 0 < len(val) < n or val[0] < 0 or val[-1] >= n or (np.diff(val) <= 0).any():
        raise DataError(
            f"val must be ascending positions of some, but not all, of the {n:,} training images, got {len(val):,}"
            + (f" from {val.min()} to {val.max()}: numpy.unique(val) sorts them" if len(val) else "")
        )


def check_array(images: Any, name: str) -> None:
    """Refuses what is not one array, such as images of several sizes.

    Args:
        images: The images.
        name: What the message calls them.

    Raises:
        DataError: If they are not.
    """
    if isinstance(images, np.ndarray) and images.dtype != object:
        return
    shapes = sorted({np.shape(image) for image in images}) if isinstance(images, Sequence | np.ndarray) else []
    if len(shapes) > 1:
        raise DataError(f"{name} must have one size, got some of {shapes[0]} and some of {shapes[-1]}: {RESIZE}")
    raise DataError(f"{name} must be one uint8 array (N, C, H, W), got a {_describe(images)}: numpy.stack(images)")


def _as_pixels(images: npt.NDArray[Any]) -> str:
    """How images of another type become pixels of 0 to 255."""
    low, high = images.min(), images.max()
    if images.dtype == bool or (images.dtype.kind == "f" and low >= 0 and high <= 1):
        return "numpy.rint(images * 255.0).astype(numpy.uint8), because pixels reach from 0 to 255"
    if low >= 0 and high <= LARGEST_PIXEL:
        return "numpy.rint(images).astype(numpy.uint8)"
    if images.dtype == np.uint16:
        return "(images >> 8).astype(numpy.uint8), because pixels reach from 0 to 255"
    return f"give pixels of 0 to 255, not {low:g} to {high:g}: data.standardize subtracts the mean and divides by the deviation"


def _as_positions(labels: npt.NDArray[Any], n: int) -> str:
    """How labels of another form become positions of classes; empty where it cannot be known."""
    if labels.dtype.kind in "USO" and labels.shape == (n,):
        return "classes, labels = numpy.unique(names, return_inverse=True), and classes=tuple(classes)"
    if labels.shape == (n, 1):
        return "labels[:, 0].astype(numpy.int64)"
    if labels.ndim == 2 and len(labels) == n:
        return "one-hot labels become positions by labels.argmax(axis=1)"
    if labels.shape == (n,):
        return "labels.astype(numpy.int64)"
    return ""


def canonical(images: Images, labels: Integers) -> tuple[Images, Integers]:
    """Sorts images by their bytes, and equal images by their labels.

    A split is a set of positions, so it means the same images on every machine only if their order does not depend on the
    files that they were read from.

    Args:
        images: (N, ...), any layout in memory.
        labels: (N,).

    Returns:
        The images, contiguous, and their labels.

    Raises:
        DataError: If the images are not one array, or the labels are not int64, one for each image.
    """
    order = _canonical_order(images, labels)
    return np.ascontiguousarray(images[order]), labels[order]


def canonical_pool(
    images: Images, labels: Integers, val_images: Images, val_labels: Integers
) -> tuple[Images, Integers, Integers]:
    """Puts training images and a data set's own validation part into one order, as `canonical` does.

    Of equal images with equal labels, those of the training part come first.

    Args:
        images: (N, ...).
        labels: (N,).
        val_images: Of the same shape, (V, ...).
        val_labels: (V,).

    Returns:
        All images, (N + V, ...), their labels, and the positions of the validation part among them, (V,), ascending.

    Raises:
        DataError: If the parts' images differ in shape or type, or as `canonical` does.
    """
    for part, part_labels, name in ((images, labels, "training"), (val_images, val_labels, "validation")):
        check_array(part, f"the {name} images")
        check_labels(part_labels, len(part), None, f"the {name} labels")
    if images.shape[1:] != val_images.shape[1:] or images.dtype != val_images.dtype:
        raise DataError(
            f"training and validation images must have the same shape, got {_describe(images)} and {_describe(val_images)}"
        )
    pool, pool_labels = np.concatenate((images, val_images)), np.concatenate((labels, val_labels))
    order = _canonical_order(pool, pool_labels)
    return np.ascontiguousarray(pool[order]), pool_labels[order], np.flatnonzero(order >= len(images))


def dataset_of_parts(
    images: Mapping[str, Images], labels: Mapping[str, Integers], classes: tuple[str, ...], resize: str | None = None
) -> ImageDataset:
    """A data set of parts in any order.

    Args:
        images: The images of `train`, `test` and, if there is such a part, `val`, (N, C, H, W) each.
        labels: Their classes by part, (N,) each.
        classes: The classes' names.
        resize: As in `ImageDataset`.

    Raises:
        DataError: If the parts are not consistent.
    """
    val = None
    if "val" in images:
        pool, pool_labels, val = canonical_pool(images["train"], labels["train"], images["val"], labels["val"])
    else:
        pool, pool_labels = canonical(images["train"], labels["train"])
    test = canonical(images["test"], labels["test"])
    return ImageDataset(pool, pool_labels, *test, classes=classes, val=val, resize=resize)


def _canonical_order(images: Images, labels: Integers) -> Integers:
    check_array(images, "the images")
    check_labels(labels, len(images), None, "the labels")
    rows = images.reshape(len(images), -1)
    if rows.strides[1] != rows.itemsize:  # a needless copy of 150 MB would take longer than sorting
        rows = np.ascontiguousarray(rows)
    # numpy compares byte strings as unsigned bytes; it ignores trailing zeros, which does not matter at equal lengths.
    return np.lexsort((labels, rows.view(f"S{rows.shape[1] * rows.itemsize}")[:, 0]))


def pixel_sums(images: Images) -> tuple[Sums, Sums]:
    """The sum of the pixels, and of their squares, of each image and channel: integers, so that they are exact.

    Args:
        images: (N, C, H, W).

    Returns:
        Sums and sums of squares, each (N, C).
    """
    sums, squares = (np.empty(images.shape[:2], np.uint64) for _ in range(2))
    for start in range(0, len(images), 500):  # in slices, because a wider copy of all images would need much memory
        part = images[start : start + 500]
        sums[start : start + 500] = part.sum(axis=(2, 3), dtype=np.uint64)
        squares[start : start + 500] = np.square(part, dtype=np.uint16).sum(
            axis=(2, 3), dtype=np.uint64
        )  # 255 ** 2 fits
    return sums, squares


def content_hash(images: Images, labels: Integers) -> str:
    """The hash of images (N, C, H, W) and their labels (N,) in their order."""
    digest = hashlib.sha256(json.dumps(["uint8", images.shape, "int64"]).encode())
    for start in range(0, len(images), 500):  # in slices, because all images may not fit into memory
        digest.update(np.ascontiguousarray(images[start : start + 500]).data)
    digest.update(labels.astype("<i8").tobytes())
    return digest.hexdigest()


def _describe(array: Any) -> str:
    return f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
