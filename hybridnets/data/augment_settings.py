"""The settings of augmentation: their values when off, and which values are legal. Without torch, for a sweep's parent."""

import math
from collections.abc import Mapping
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

from hybridnets.data.dataset import DataError

# What every data set states, and what may be left out, with the values that switch it off.
STATED = ("flip", "crop")
OFF: Mapping[str, Any] = MappingProxyType(
    {
        **{"flip": False, "crop": 0, "rotate": 0, "brightness": 0, "contrast": 0, "saturation": 0, "hue": 0},
        **{"randaugment": None, "erase": 0, "mixup": 0, "cutmix": 0},
    }
)
# The largest value of a number, and what the number is.
LARGEST: Mapping[str, tuple[float, str]] = {
    "rotate": (180, "degrees, the largest turn to either side"),
    "brightness": (1, "the largest change of the factor 1"),
    "contrast": (1, "the largest change of the factor 1"),
    "saturation": (1, "the largest change of the factor 1"),
    "hue": (0.5, "turns of the colour circle to either side"),
    "erase": (1, "the share of images with an erased rectangle"),
    "mixup": (100, "alpha of the Beta distribution; 0.2 is usual"),
    "cutmix": (100, "alpha of the Beta distribution; 1 is usual"),
}
COLOURS = 3  # channels of an image that has a hue
LARGEST_MAGNITUDE = 10  # of RandAugment, as its paper counts
MOST_OPERATIONS = 16
SMALLEST_SHARPENED = 3  # pixels: one of RandAugment's operations looks at an image's 3 x 3 neighbourhoods

BY_KORNIA = ("rotate", "contrast", "saturation", "hue", "randaugment")


def complete(augment: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with every key, those that were left out at their value when off."""
    return {**OFF, **augment}


def is_on(augment: Mapping[str, Any]) -> bool:
    """Whether any augmentation changes images."""
    return any(augment.values())


def check_augment(augment: Any, image_shape: tuple[int, ...]) -> None:
    """Refuses illegal settings of augmentation.

    Args:
        augment: The section data.augment.
        image_shape: (C, H, W).

    Raises:
        DataError: If a value is not legal or what it needs is not installed; the sentence names its key.
    """
    if not isinstance(augment, Mapping) or not set(STATED) <= set(augment) <= set(OFF):
        others = ", ".join(key for key in OFF if key not in STATED)
        raise DataError(
            f"data.augment must have the keys {' and '.join(STATED)}, and may have {others}, got {augment!r}"
        )
    if type(augment["flip"]) is not bool:
        raise DataError(f"data.augment.flip must be true or false, got {augment['flip']!r}")
    crop, maximum = augment["crop"], min(image_shape[1:]) // 2
    if type(crop) is not int or not 0 <= crop <= maximum:
        raise DataError(
            f"data.augment.crop must be a whole number of pixels from 0 (none) to {maximum}, half an image, got {crop!r}"
        )
    for key, (most, meaning) in LARGEST.items():
        if not _is_number(value := augment.get(key, 0), most):
            raise DataError(f"data.augment.{key} must be a number from 0 (none) to {most:g}, {meaning}, got {value!r}")
    if (randaugment := augment.get("randaugment")) is not None:
        _check_randaugment(randaugment, image_shape)
    for key in ("saturation", "hue"):
        if augment.get(key) and image_shape[0] != COLOURS:
            raise DataError(
                f"data.augment.{key} must be 0 for images of {image_shape[0]} channel{'s' * (image_shape[0] > 1)}, because "
                f"only images of three have colours, got {augment[key]!r}"
            )
    needing = [key for key in BY_KORNIA if augment.get(key)]
    if needing and find_spec("kornia") is None:
        raise DataError(
            f"data.augment.{needing[0]} needs kornia, which is not installed: pip install 'hybridnets[augment]'"
        )


def _check_randaugment(value: Any, image_shape: tuple[int, ...]) -> None:
    rule = "data.augment.randaugment must be null or {operations: N, magnitude: M}"
    if not isinstance(value, Mapping) or set(value) != {"operations", "magnitude"}:
        raise DataError(f"{rule}, got {value!r}")
    operations, magnitude = value["operations"], value["magnitude"]
    if type(operations) is not int or not 1 <= operations <= MOST_OPERATIONS:
        raise DataError(
            f"data.augment.randaugment.operations must be a whole number from 1 to {MOST_OPERATIONS}, got {operations!r}"
        )
    if not _is_number(magnitude, LARGEST_MAGNITUDE):
        raise DataError(
            f"data.augment.randaugment.magnitude must be a number from 0 to {LARGEST_MAGNITUDE}, got {magnitude!r}"
        )
    if min(image_shape[1:]) < SMALLEST_SHARPENED:
        raise DataError(
            f"{rule}, and null for images of {image_shape[1]}x{image_shape[2]}, because sharpening needs "
            f"{SMALLEST_SHARPENED}x{SMALLEST_SHARPENED}, got {value!r}"
        )


def _is_number(value: Any, most: float) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and 0 <= value <= most
