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
from hybridnets.data.dataset import DataError, Integers

# The purpose of a stream comes first in its key, so that equal seeds do not give equal streams.
SPLIT, ORDER, AUGMENT, FOLDS = 1, 2, 3, 4
PARAMETER, PIXELS = 10, 11  # of further augmentation

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


def check_settings(
    n: int,
    image_shape: tuple[int, ...],
    train_fraction: float,
    batch_size: int,
    standardize: Mapping[str, Any],
    augment: Mapping[str, Any],
    way: str = "random",
    folds: int | None = None,
) -> None:
    """Refuses illegal settings of `ImageDataModule` without importing torch, so that a sweep's parent can call it.

    Args:
        n: Number of images to split.
        image_shape: (C, H, W).
        train_fraction: Share of the training part; not used with folds, whose number determines it.
        batch_size: Images per training step.
        standardize: `statistics` and `over`.
        augment: See `hybridnets.data.augment_settings.OFF`.
        way: How to split, random or kfold.
        folds: Number of folds; None at random.

    Raises:
        DataError: If a value is not legal; the sentence names its key.
    """
    if way not in WAYS:
        raise DataError(f"data.split must be {' or '.join(WAYS)}, got {way!r}")
    if way == "random" and folds is not None:
        raise DataError(
            f"data.folds must be null where data.split is random, got {folds!r}: data.split=kfold makes folds"
        )
    n_train = training_size(n, train_fraction) if way == "random" else fold_training_size(n, folds)
    if type(batch_size) is not int or not 2 <= batch_size <= n_train:
        raise DataError(
            f"data.batch_size must be a whole number from 2 (batch normalisation needs two images) "
            f"to the {n_train:,} images of the training part, got {batch_size!r}"
        )
    if not isinstance(standardize, Mapping) or set(standardize) != {"statistics", "over"}:
        raise DataError(f"data.standardize must have the keys statistics and over, got {standardize!r}")
    for key, legal in (("statistics", STATISTICS), ("over", OVER)):
        if standardize[key] not in legal:
            raise DataError(f"data.standardize.{key} must be {' or '.join(legal)}, got {standardize[key]!r}")
    check_augment(augment, image_shape)
