"""The split into training and validation part, and the random streams behind every random choice of this package.

A random choice uses `stream(n, purpose, seed, ...)`, a pure function of its key that does not depend on numpy's or torch's
global generators. Only the *raw* output of a bit generator is used, because numpy guarantees that it never changes (NEP 19),
while the methods of `np.random.Generator` (permutation, integers, ...) may change with any release.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridnets.data.augment_settings import check_augment
from hybridnets.data.dataset import DataError, ImageDataset, Integers
from hybridnets.program import either

# The purpose of a stream comes first in its key, so that equal seeds do not give equal streams.
SPLIT, ORDER, AUGMENT, FOLDS, STRATA, STRATA_FOLDS = 1, 2, 3, 4, 5, 6
PARAMETER, PIXELS = 10, 11  # of further augmentation

# What `ImageDataModule` takes besides data set and seeds, for who may not import torch
SETTINGS = ("split", "folds", "train_fraction", "stratify", "batch_size", "standardize", "augment")
WAYS = ("random", "kfold")  # to split

STATISTICS = ("scalar", "channel")
OVER = ("all", "train")


@dataclass(frozen=True, eq=False)
class Split:
    """Positions among a data set's training images, each part in ascending order.

    Attributes:
        train: The images for training.
        val: The images for validation.
        sha256: A hash of both parts, the same for equal splits.
    """

    train: Integers
    val: Integers
    sha256: str


def stream(n: int, *key: int) -> npt.NDArray[np.uint64]:
    """The first n values of the random stream of a key, (n,).

    Args:
        n: Number of values.
        key: The purpose, then integers below 2 ** 32, always the same number of them for one purpose.
    """
    # numpy pads keys with zeros and splits larger integers in two, so that different keys could give the same stream.
    if not all(0 <= part < 2**32 for part in key):
        raise ValueError(f"seeds and epochs must be integers from 0 to 2 ** 32 - 1, got {key[1:]}")
    return np.random.PCG64(np.random.SeedSequence(key)).random_raw(n)


def permutation(n: int, *key: int) -> Integers:
    """A random order of 0 to n - 1, a pure function of the key, (n,)."""
    return np.argsort(stream(n, *key), kind="stable").astype(np.int64, copy=False)


def draw_split(n: int, train_fraction: float, seed: int) -> Split:
    """Splits positions 0 to n - 1 at random, in the same way for every model.

    Args:
        n: Number of images.
        train_fraction: The training part's share of them; its size is rounded to a whole image.
        seed: The split seed; 0 has no special meaning.

    Raises:
        DataError: If a part would be empty.
    """
    n_train = training_size(n, train_fraction)
    order = permutation(n, SPLIT, seed)
    return _split(order[:n_train], order[n_train:])


def draw_fold(n: int, folds: int, seed: int) -> Split:
    """One fold of a repeated k-fold cross-validation of positions 0 to n - 1: val is the fold, train are the others.

    The seed counts the folds: it is fold seed mod folds of repetition seed // folds. So seeds 0 to folds - 1 are one k-fold
    cross-validation, whose val parts are disjoint and together hold every image, and every further group of as many seeds
    is another, in a random order of its own. Sizes of folds differ by at most one image.

    Args:
        n: Number of images.
        folds: Number of folds, k.
        seed: The split seed.

    Raises:
        DataError: If there are no such folds.
    """
    fold_training_size(n, folds)
    repetition, fold = divmod(seed, folds)
    order = permutation(n, FOLDS, repetition)
    start, end = fold * n // folds, (fold + 1) * n // folds
    return _split(np.concatenate((order[:start], order[end:])), order[start:end])


def draw_stratified_split(labels: Integers, train_fraction: float, seed: int) -> Split:
    """Splits images at random so that both parts have the same shares of the classes, but for rounding.

    The training part is as large as without classes, n_train of n images. Of a class with m images it has m * n_train / n,
    rounded down or up: the images that rounding down leaves over go to the classes with the largest remainders, and among
    equal ones to those that come first.

    Args:
        labels: The class of each image, (N,).
        train_fraction: The training part's share of them.
        seed: The split seed.

    Raises:
        DataError: If a part would be empty.
    """
    n_train = training_size(len(labels), train_fraction)
    groups = _images_of_classes(labels)
    products = np.array([len(positions) for positions in groups], dtype=np.int64) * n_train
    sizes, remainders = products // len(labels), products % len(labels)
    sizes[np.argsort(-remainders, kind="stable")[: n_train - sizes.sum()]] += 1
    train, val = [], []
    for label, (positions, size) in enumerate(zip(groups, sizes.tolist(), strict=True)):
        order = positions[permutation(len(positions), STRATA, seed, label)]
        train.append(order[:size])
        val.append(order[size:])
    return _split(np.concatenate(train), np.concatenate(val))


def draw_stratified_fold(labels: Integers, folds: int, seed: int) -> Split:
    """One fold, as `draw_fold` counts them, of a cross-validation whose folds have the same shares of the classes.

    The images of each class, in a random order, are dealt out to the folds one after the other, class after class. So the
    folds differ by one image at most, in every class and altogether.

    Args:
        labels: The class of each image, (N,).
        folds: Number of folds, k.
        seed: The split seed.

    Raises:
        DataError: If there are no such folds.
    """
    fold_training_size(len(labels), folds)
    repetition, fold = divmod(seed, folds)
    order = np.concatenate(
        [
            positions[permutation(len(positions), STRATA_FOLDS, repetition, label)]
            for label, positions in enumerate(_images_of_classes(labels))
        ]
    )
    is_val = np.arange(len(order)) % folds == fold
    return _split(order[~is_val], order[is_val])


def _images_of_classes(labels: Integers) -> list[Integers]:
    """The positions of each class's images, for the classes that occur and those before them."""
    return np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels))[:-1])


def own_split(val: Integers, n: int) -> Split:
    """The split into a data set's own validation part and its other training images.

    Args:
        val: Positions of the validation part, in ascending order.
        n: How many images there are, those of the validation part included.
    """
    return _split(np.setdiff1d(np.arange(n), val, assume_unique=True), val)


def draw(
    dataset: ImageDataset, seed: int, way: str, folds: int | None, train_fraction: float | None, stratify: bool
) -> Split:
    """The split of a data set that the settings of `ImageDataModule` ask for, once `check_settings` took them.

    Args:
        dataset: The data set.
        seed: The split seed, which the data set's own validation part does without.
        way: `random` or `kfold`.
        folds: Number of folds with kfold.
        train_fraction: The training part's share at random; None for the data set's own validation part.
        stratify: Whether the parts keep the shares of the classes.

    Raises:
        DataError: If a class has one image only, and the split is stratified.
    """
    n, labels = len(dataset.train_labels), dataset.train_labels
    if stratify and len(single := np.flatnonzero(np.bincount(labels) == 1)):
        raise DataError(
            f"data.stratify=true gives every part its share of each class, but {dataset.classes[single[0]]} has one image "
            "only: leave the class out, or set data.stratify=false"
        )
    if way == "kfold":
        assert folds
        return draw_stratified_fold(labels, folds, seed) if stratify else draw_fold(n, folds, seed)
    if train_fraction is None:
        assert dataset.val is not None
        return own_split(dataset.val, n)
    return draw_stratified_split(labels, train_fraction, seed) if stratify else draw_split(n, train_fraction, seed)


def _split(train: Integers, val: Integers) -> Split:
    train, val = np.sort(train), np.sort(val)
    # The sizes are hashed, too, because parts of other sizes could have the same concatenation.
    content = np.concatenate(([len(train), len(val)], train, val)).astype("<i8")
    return Split(train, val, hashlib.sha256(content.tobytes()).hexdigest())


def training_size(n: int, train_fraction: float) -> int:
    """The number of images in the training part, of n.

    Raises:
        DataError: If a part would be empty.
    """
    is_number = isinstance(train_fraction, int | float) and not isinstance(train_fraction, bool)
    if is_number and 0 < train_fraction < 1 and 0 < (n_train := round(n * train_fraction)) < n:
        return n_train
    raise DataError(
        f"data.train_fraction must lie between 0 and 1 and leave at least one of the {n:,} images in each part, "
        f"got {train_fraction!r} (0.7 in the paper)"
    )


def fold_training_size(n: int, folds: int | None) -> int:
    """The number of images in the smallest training part of n images in folds.

    Raises:
        DataError: If there are no such folds.
    """
    if type(folds) is int and 2 <= folds <= n:
        return n - -(-n // folds)
    raise DataError(
        f"data.folds must be a whole number from 2 to the {n:,} images that data.split=kfold divides, got {folds!r} "
        "(5 and 10 are usual)"
    )


def own_training_size(n: int, val: Integers | None, stratify: bool) -> int:
    """The number of images that a data set trains on where its own validation part is used.

    Raises:
        DataError: If it brings none, or the classes' shares are to be kept, which are those of its own parts.
    """
    if val is None:
        raise DataError(
            "data.train_fraction must be a number such as 0.7, because this data set brings no validation part of its own, "
            "got None"
        )
    if stratify:
        raise DataError(
            "data.stratify must be false where data.train_fraction is null, because the data set's own validation part is "
            "used as it is, got True"
        )
    return n - len(val)


def _checked_training_size(
    n: int, train_fraction: float | None, way: str, folds: int | None, stratify: bool, val: Integers | None
) -> int:
    """How many images at least are trained on, once the settings of the split are legal."""
    if way not in WAYS:
        raise DataError(f"data.split must be {either(WAYS)}, got {way!r}")
    if way == "random" and folds is not None:
        raise DataError(
            f"data.folds must be null where data.split is random, got {folds!r}: data.split=kfold makes folds"
        )
    if type(stratify) is not bool:
        raise DataError(f"data.stratify must be true or false, got {stratify!r}")
    if way == "kfold":
        return fold_training_size(n, folds)
    if train_fraction is None:
        return own_training_size(n, val, stratify)
    return training_size(n, train_fraction)


def check_settings(
    n: int,
    image_shape: tuple[int, ...],
    train_fraction: float | None,
    batch_size: int,
    standardize: Mapping[str, Any],
    augment: Mapping[str, Any],
    way: str = "random",
    folds: int | None = None,
    stratify: bool = False,
    val: Integers | None = None,
) -> None:
    """Refuses illegal settings of `ImageDataModule` without importing torch, so that a sweep's parent can call it.

    Args:
        n: Number of images to split.
        image_shape: (C, H, W).
        train_fraction: Share of the training part; None for the data set's own validation part. Not used with folds, whose
            number determines it.
        batch_size: Images per training step.
        standardize: `statistics` and `over`.
        augment: See `hybridnets.data.augment_settings.OFF`.
        way: How to split, random or kfold.
        folds: Number of folds; None at random.
        stratify: Whether the parts keep the shares of the classes.
        val: Positions of the validation part that the data set brings; None if it brings none.

    Raises:
        DataError: If a value is not legal; the sentence names its key.
    """
    n_train = _checked_training_size(n, train_fraction, way, folds, stratify, val)
    if type(batch_size) is not int or not 2 <= batch_size <= n_train:
        raise DataError(
            f"data.batch_size must be a whole number from 2 (batch normalisation needs two images) "
            f"to the {n_train:,} images of the training part, got {batch_size!r}"
        )
    if not isinstance(standardize, Mapping) or set(standardize) != {"statistics", "over"}:
        raise DataError(f"data.standardize must have the keys statistics and over, got {standardize!r}")
    for key, legal in (("statistics", STATISTICS), ("over", OVER)):
        if standardize[key] not in legal:
            raise DataError(f"data.standardize.{key} must be {either(legal)}, got {standardize[key]!r}")
    check_augment(augment, image_shape)
