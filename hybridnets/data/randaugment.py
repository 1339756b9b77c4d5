"""RandAugment: each image has N operations of 14, each drawn with equal probability and all of one magnitude.

The module needs kornia, and is imported where an image is to be changed by it.

Source: Cubuk, Zoph, Shlens, Le (2020), arXiv:1909.13719, section 3; the ranges are AutoAugment's (Cubuk et al. 2019,
arXiv:1805.09501, table 6), reached at magnitude 10. Where the papers leave it open, as torchvision does: a random sign turns
angles, shears and shifts to either side, and colour, contrast, brightness and sharpness to less or more; solarize and posterize
are stronger the larger the magnitude; what comes in from outside an image is black. Between pixels, values are interpolated.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from kornia import enhance
from kornia.geometry import transform
from torch import Tensor

SHEAR, SHIFT, DEGREES, FACTOR, BITS = 0.3, 150 / 331, 30.0, 0.9, 4  # at magnitude 10; a shift is a share of the side

# Maps images (b, C, H, W) float32 from 0 to 1, and strengths (b,) from -1 to 1, to images.
Operation = Callable[[Tensor, Tensor], Tensor]


def randaugment(images: Tensor, numbers: npt.NDArray[np.float64], magnitude: float) -> Tensor:
    """Changes each image by the operations that its random numbers choose.

    Args:
        images: (B, C, H, W) float32 from 0 to 1.
        numbers: (N, 2, B) from 0 to 1: which operation, and its sign.
        magnitude: From 0 to 10.

    Returns:
        (B, C, H, W) float32 from 0 to 1.
    """
    for which, sign in numbers:
        chosen = torch.from_numpy(np.floor(which * len(OPERATIONS)).astype(np.int64))
        strengths = torch.from_numpy(np.where(sign < 0.5, -1.0, 1.0) * (magnitude / 10)).float()
        result = torch.empty_like(images)
        for number, operation in enumerate(OPERATIONS.values()):
            positions = torch.nonzero(chosen == number)[:, 0]
            if len(positions):
                result[positions] = operation(images[positions], strengths[positions]).clamp(0, 1)
        images = result
    return images


def _auto_contrast(images: Tensor, _: Tensor) -> Tensor:
    """Stretches each channel to all of 0 to 1; a channel of one value stays as it is."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high > low, (images - low) / torch.where(high > low, high - low, 1), images)


def _solarize(images: Tensor, strengths: Tensor) -> Tensor:
    """Inverts pixels from a threshold on: none at magnitude 0, all at magnitude 10."""
    return enhance.solarize(images, (256 - torch.round(256 * strengths.abs())) / 255)


def _colour(images: Tensor, strengths: Tensor) -> Tensor:
    """More or less colour; images of other than three channels have none, and stay as they are."""
    if images.shape[1] != 3:
        return images
    return enhance.adjust_saturation_with_gray_subtraction(images, 1 + FACTOR * strengths)


def _posterize(images: Tensor, strengths: Tensor) -> Tensor:
    """Keeps 8 bits of a pixel at magnitude 0, and 4 at magnitude 10."""
    levels = images.mul(255).round_().div_(255)  # the nearest whole pixel first, as posterize cuts fractions off
    bits = 8 - torch.round(BITS * strengths.abs()).to(torch.int64)
    return enhance.posterize(levels, bits)


def _along(axis: int, amounts: Tensor) -> Tensor:
    """Amounts along x (0) or y (1), (b,) to (b, 2)."""
    return torch.stack((amounts, torch.zeros_like(amounts)) if axis == 0 else (torch.zeros_like(amounts), amounts), 1)


# In the paper's order, which the random numbers count.
OPERATIONS: dict[str, Operation] = {
    "identity": lambda x, _: x,
    "auto_contrast": _auto_contrast,
    "equalize": lambda x, _: enhance.equalize(x),
    "rotate": lambda x, strength: transform.rotate(x, DEGREES * strength),
    "solarize": _solarize,
    "colour": _colour,
    "posterize": _posterize,
    "contrast": lambda x, strength: enhance.adjust_contrast_with_mean_subtraction(x, 1 + FACTOR * strength),
    "brightness": lambda x, strength: x * (1 + FACTOR * strength)[:, None, None, None],
    "sharpness": lambda x, strength: enhance.sharpness(x, 1 + FACTOR * strength),
    "shear_x": lambda x, strength: transform.shear(x, _along(0, SHEAR * strength)),
    "shear_y": lambda x, strength: transform.shear(x, _along(1, SHEAR * strength)),
    "shift_x": lambda x, strength: transform.translate(x, _along(0, SHIFT * x.shape[3] * strength)),
    "shift_y": lambda x, strength: transform.translate(x, _along(1, SHIFT * x.shape[2] * strength)),
}
