"""The split into training and validation part, and the random streams of the whole room: numpy only, no state anywhere.

Every random choice is `stream(n, purpose, seed, ...)`: a pure function of its key, whatever numpy's or torch's global
generators did. Only the *raw* output of a bit generator is used, because numpy guarantees that it never changes
(NEP 19), while the methods of `np.random.Generator` (permutation, integers, ...) may change with any release.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridnets.data.dataset import DataError, Integers

# What a stream is for stands first in its key, so that equal seeds do not make equal streams
SPLIT, ORDER, AUGMENT = 1, 2, 3

STATISTICS = ("scalar", "channel")
OVER = ("all", "train")


@dataclass(frozen=True, eq=False)
class Split:
    """Positions among a data set's training images, each part in ascending order.

    Attributes:
        train: The images to train on.
        val: The others.
        sha256: A hash of both; equal hashes, equal splits.
    """

    train: Integers
    val: Integers
    sha256: str


def stream(n: int, *key: int) -> npt.NDArray[np.uint64]:
    """The first numbers of the random stream that belongs to a key, (n,).

    Args:
        n: How many.
        key: The purpose, then whole numbers below 2 ** 32; for one purpose always as many.
    """
    # numpy pads keys with zeros and cuts larger numbers in two: either would let different keys meet
    if not all(0 <= part < 2**32 for part in key):
        raise ValueError(f"seeds and epochs must be whole numbers from 0 to 2 ** 32 - 1, got {key[1:]}")
    return np.random.PCG64(np.random.SeedSequence(key)).random_raw(n)


def permutation(n: int, *key: int) -> Integers:
    """A random order of 0 to n - 1 that is a pure function of the key, (n,)."""
    return np.argsort(stream(n, *key), kind="stable").astype(np.int64, copy=False)


def split(n: int, train_fraction: float, seed: int) -> Split:
    """Splits positions 0 to n - 1 at random.

    Args:
        n: Images to split.
        train_fraction: The training part's share of them; its size is rounded to a whole image.
        seed: 0 is a seed like any other.

    Returns:
        Both parts and their hash, the same for every model.

    Raises:
        DataError: If one part would be empty.
    """
    n_train = training_size(n, train_fraction)
    order = permutation(n, SPLIT, seed)
    train, val = np.sort(order[:n_train]), np.sort(order[n_train:])
    # the sizes go in first: without them a moved border between the parts could give the same bytes
    content = np.concatenate(([len(train), len(val)], train, val)).astype("<i8")
    return Split(train, val, hashlib.sha256(content.tobytes()).hexdigest())


def training_size(n: int, train_fraction: float) -> int:
    """How many of n images the training part has.

    Raises:
        DataError: If one part would be empty.
    """
    number = isinstance(train_fraction, int | float) and not isinstance(train_fraction, bool)
    if number and 0 < train_fraction < 1 and 0 < (n_train := round(n * train_fraction)) < n:
        return n_train
    raise DataError(
        f"data.train_fraction must lie between 0 and 1 and leave both parts of the {n:,} images at least one, "
        f"got {train_fraction!r} (the paper's is 0.7)"
    )


def check_settings(
    n: int,
    image_shape: tuple[int, ...],
    train_fraction: float,
    batch_size: int,
    standardize: Mapping[str, Any],
    augment: Mapping[str, Any],
) -> None:
    """Refuses what the data module would refuse, without torch, so that a sweep's parent can ask first.

    Args:
        n: Images to split into training and validation part.
        image_shape: (C, H, W).
        train_fraction: As for `ImageDataModule`, like the rest.
        batch_size: Images a training step.
        standardize: `statistics` and `over`.
        augment: `flip` and `crop`.

    Raises:
        DataError: If a value is not legal; the sentence names its key.
    """
    n_train = training_size(n, train_fraction)
    if type(batch_size) is not int or not 2 <= batch_size <= n_train:
        raise DataError(
            f"data.batch_size must be a whole number from 2 (batch normalisation needs two images) "
            f"to the {n_train:,} images of the training part, got {batch_size!r}"
        )
    for name, given, known in (
        ("standardize", standardize, ("statistics", "over")),
        ("augment", augment, ("flip", "crop")),
    ):
        if not isinstance(given, Mapping) or set(given) != set(known):
            raise DataError(f"data.{name} must have the keys {' and '.join(known)}, got {given!r}")
    for key, legal in (("statistics", STATISTICS), ("over", OVER)):
        if standardize[key] not in legal:
            raise DataError(f"data.standardize.{key} must be {' or '.join(legal)}, got {standardize[key]!r}")
    if type(augment["flip"]) is not bool:
        raise DataError(f"data.augment.flip must be true or false, got {augment['flip']!r}")
    crop, most = augment["crop"], min(image_shape[1:]) // 2
    if type(crop) is not int or not 0 <= crop <= most:
        raise DataError(
            f"data.augment.crop must be a whole number of pixels from 0 (none) to {most}, half an image, got {crop!r}"
        )
