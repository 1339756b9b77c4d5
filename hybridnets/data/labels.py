"""Labels of other people's data sets: whole numbers or names of any kind become positions of classes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridnets.data.dataset import DataError, Integers
from hybridnets.program import few

Labels = npt.NDArray[Any]
NAMED = 12  # classes that a message names


def check_one_label(labels: Labels, n: int, name: str) -> Labels:
    """Labels of one class for each image, (N,), from (N,) or (N, 1).

    Args:
        labels: Whole numbers or names.
        n: How many images there are.
        name: What messages call the labels.

    Raises:
        DataError: If there is not one class for each image; the sentence says what there is instead.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and len(labels) == n and labels.dtype.kind in "biuf":
        if labels.shape[1] and np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all():
            raise DataError(
                f"{name} is one-hot, {labels.shape}: give the classes as one number each, labels.argmax(axis=1)"
            )
        raise DataError(
            f"{name} has {labels.shape[1]} labels for each image (multi-label, as ChestMNIST): an image must have one class"
        )
    if labels.shape != (n,):
        raise DataError(f"{name} must have one label for each of the {n:,} images, got shape {labels.shape}")
    if labels.dtype.kind == "f":
        is_whole = bool((labels == np.rint(labels)).all())
        remedy = "labels.astype(numpy.int64) makes them classes" if is_whole else "a regression's values are no classes"
        raise DataError(f"{name} must be whole numbers, one for each class, got {labels.dtype}: {remedy}")
    if labels.dtype.kind not in "biuU":
        raise DataError(f"{name} must be whole numbers or names, got {labels.dtype}")
    return labels if labels.dtype.kind == "U" else labels.astype(np.int64)


def as_positions(
    parts: Mapping[str, Labels], names: Sequence[str] | None, source: str
) -> tuple[tuple[str, ...], dict[str, Integers]]:
    """The classes' names, and the labels of each part as positions among them.

    The classes are the different labels of all parts, sorted, and are called as the labels are, unless names are given.

    Args:
        parts: Labels by the part's name, which is train, val or test, (N,) each.
        names: The classes' names in the order of the sorted labels; None for the labels themselves.
        source: What messages call the data set.

    Raises:
        DataError: If the parts mix numbers and names, there are not as many names as classes, or a class has images, but none
            to train on.
    """
    if len({labels.dtype.kind == "U" for labels in parts.values()}) > 1:
        raise DataError(f"{source} must have labels of one kind, but some parts have numbers and some have names")
    values, inverse = np.unique(np.concatenate(list(parts.values())), return_inverse=True)
    classes = tuple(map(str, values.tolist()))
    if names is not None:
        if (
            isinstance(names, str)
            or not isinstance(names, Sequence)
            or not all(isinstance(name, str) for name in names)
        ):
            raise DataError(f"data.classes must be null or a list of names, [cat,dog], got {names!r}")
        if len(names) != len(classes):
            raise DataError(
                f"data.classes must name the {len(classes)} classes of {source} ({few(classes, NAMED)}) in this order, got "
                f"{len(names)}: {list(names)!r}"
            )
    borders = np.cumsum([len(labels) for labels in parts.values()])[:-1]
    positions = dict(zip(parts, np.split(inverse.astype(np.int64), borders), strict=True))
    classes = tuple(names or classes)
    check_learned(classes_by_part(classes, positions), source)
    return classes, positions


def check_learned(parts: Mapping[str, Iterable[str]], source: str) -> None:
    """Refuses classes that have images, but none to train on, because no network can learn them.

    Args:
        parts: The names of the classes that have images by part, which is train, val or test.
        source: What the message calls the data set.

    Raises:
        DataError: If there are such classes.
    """
    for part, names in parts.items():
        if lacking := sorted(set(names) - set(parts["train"])):
            remedy = "add some, or remove " + ("it" if len(lacking) == 1 else "them")
            raise DataError(f"{source} has images of {few(lacking, NAMED)} in {part}, but none in train: {remedy}")


def classes_by_part(classes: Sequence[str], parts: Mapping[str, Integers]) -> dict[str, list[str]]:
    """The names of the classes that have images in each part.

    Args:
        classes: The classes' names.
        parts: Positions of classes by part, (N,) each.
    """
    return {part: [classes[position] for position in np.unique(labels)] for part, labels in parts.items()}
