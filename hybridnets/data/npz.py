"""Arrays in one .npz file, as Keras and MedMNIST publish them.

Source: https://keras.io/api/datasets (x_train, y_train, x_test, y_test); Yang et al. (2023), MedMNIST v2, Scientific Data 10,
https://medmnist.com (train_images, train_labels, val_images, ..., test_labels).
"""

import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridnets.data.dataset import (
    LARGEST_PIXEL,
    MOST_COLOURS,
    DataError,
    ImageDataset,
    Images,
    check_images,
    dataset_of_parts,
    path_of,
)
from hybridnets.data.labels import Labels, as_positions, check_one_label

# The arrays of images and labels of each part, by whose layout it is
LAYOUTS = {
    "Keras": {part: (f"x_{part}", f"y_{part}") for part in ("train", "val", "test")},
    "MedMNIST": {part: (f"{part}_images", f"{part}_labels") for part in ("train", "val", "test")},
}
ZIP = b"PK\x03\x04"  # how a zip file begins, which .npz is


def load(root: str | os.PathLike[str], classes: Sequence[str] | None = None) -> ImageDataset:
    """Reads images and labels of one file.

    Images are (N, H, W) if they are grey, else (N, H, W, C) or (N, C, H, W), of whole numbers from 0 to 255. Labels are (N,) or
    (N, 1), whole numbers of any kind or names; the classes are the different labels, sorted.

    Args:
        root: The file.
        classes: The classes' names in the order of the sorted labels; None to call them as the labels.

    Raises:
        DataError: If the file cannot be read, lacks a part, or holds no images with one class each.
    """
    path = path_of(root, kind="an .npz file")
    try:
        with _opened(path) as archive:
            images, labels = _parts(path, archive)
    except OSError as error:
        raise DataError(f"data.root={path} cannot be used: {error}") from error
    names, positions = as_positions(labels, classes, str(path))
    return dataset_of_parts(images, positions, names)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The open file, once it is an .npz file."""
    if not path.exists():
        raise DataError(f"data.root must be an .npz file, but {path} does not exist")
    if path.is_dir():
        raise DataError(
            f"data.root must be an .npz file, but {path} is a folder (data=folder reads folders of pictures)"
        )
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            start = file.read(len(ZIP))
        if start == ZIP:
            raise DataError(f"{path} is truncated, because an .npz file ends with its table of contents: get it again")
        raise DataError(f"data.root must be an .npz file, but {path} is none: numpy.savez writes one")
    with path.open("rb") as file:
        try:
            archive = np.load(file, allow_pickle=False)
        except (zipfile.BadZipFile, ValueError) as error:
            raise DataError(f"{path} is damaged ({error}): get it again") from error
        yield archive


def _parts(path: Path, archive: Any) -> tuple[dict[str, Images], dict[str, Labels]]:
    """Images and labels by part, checked."""
    has = set(archive.files)
    layout = max(LAYOUTS.values(), key=lambda names: sum(name in has for pair in names.values() for name in pair))
    holds = f"it holds {', '.join(sorted(has)) or 'nothing'}"
    images, labels = {}, {}
    for part, (image_key, label_key) in layout.items():
        lacks = [key for key in (image_key, label_key) if key not in has]
        if part == "val" and len(lacks) == 2:
            continue
        if part == "test" and lacks:
            raise DataError(
                f"{path} lacks {' and '.join(lacks)} ({holds}): a network is measured on test images that chose nothing, so "
                "set some apart"
            )
        if lacks:
            either = " or ".join(
                f"{', '.join(name for p in ('train', 'test') for name in names[p])} ({whose})"
                for whose, names in LAYOUTS.items()
            )
            raise DataError(f"{path} lacks {' and '.join(lacks)} ({holds}): it must have {either}")
        images[part] = _images(_read(path, archive, image_key), f"{image_key} in {path}")
        name = f"{label_key} in {path}"
        labels[part] = check_one_label(_read(path, archive, label_key), len(images[part]), name)
    return images, labels


def _read(path: Path, archive: Any, key: str) -> npt.NDArray[Any]:
    try:
        array = archive[key]
    except MemoryError as error:
        raise DataError(f"{key} in {path} does not fit into memory ({error}): data=folder is for more") from error
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise DataError(
                f"{key} in {path} holds Python objects, which are not loaded, because they may run any code: save plain arrays"
            ) from error
        raise DataError(f"{key} in {path} is damaged ({error}): get the file again") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DataError(f"{key} in {path} is damaged ({error}): get the file again") from error
    if not isinstance(array, np.ndarray):  # numpy gives the bytes of a member that is none
        raise DataError(f"{key} in {path} is no array: numpy.savez writes them")
    return array


def _images(images: npt.NDArray[Any], name: str) -> Images:
    """Images as (N, C, H, W) of 0 to 255."""
    if images.ndim == 3:
        images = images[:, np.newaxis]
    elif images.ndim == 4:
        _, first, _, last = images.shape
        if min(first, last) > MOST_COLOURS or first == 0 or last == 0:
            raise DataError(
                f"{name} must be images of up to {MOST_COLOURS} channels, which come first or last, got {images.shape}: "
                "volumes of three dimensions are not supported"
            )
        if max(first, last) <= MOST_COLOURS:
            raise DataError(
                f"{name} may have its channels first or last by its shape {images.shape}: give larger images"
            )
        if last <= MOST_COLOURS:
            images = images.transpose(0, 3, 1, 2)
    elif images.ndim == 5:
        raise DataError(f"{name} has volumes of three dimensions, {images.shape}, which are not supported: give images")
    if images.dtype.kind in "iu" and images.size and images.min() >= 0 and images.max() <= LARGEST_PIXEL:
        images = images.astype(np.uint8, copy=False)
    check_images(images, name)
    return images
