"""Augmentation of whole batches: what happens to an image is a pure function of (order seed, epoch, image).

Each parameter of each kind of augmentation has a random stream of its own with one number for every image of the data set. So
what happens to an image depends neither on the split, the batch and the number of devices nor on the other kinds that are on.
mixup and cutmix also need a second image: the next one in the epoch's order, which depends on the split.

Order: crop and flip, rotation, brightness, contrast, saturation, hue, RandAugment, erasing, then mixup or cutmix. Pixels become
floating-point numbers of 0 to 1 where a kind needs them, and whole numbers again once, at the end.

kornia computes what needs interpolation or colour spaces. It is imported where it is used, because few runs need it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import betaincinv
from torch import Tensor
from torch.nn import functional as F

from hybridnets.data.augment_settings import complete, is_on
from hybridnets.data.dataset import Integers
from hybridnets.data.split import AUGMENT, PARAMETER, PIXELS, stream

# What a random number is for. These numbers enter the streams' keys, so they never change.
ROTATE, BRIGHTNESS, CONTRAST, SATURATION, HUE = range(5)
ERASE, ERASE_AREA, ERASE_RATIO, ERASE_ROW, ERASE_COLUMN = range(5, 10)
MIX_KIND, MIXUP_SHARE, CUTMIX_SHARE, CUTMIX_ROW, CUTMIX_COLUMN = range(10, 15)
RANDAUGMENT = 32  # and from it on two for each operation: which one, and its sign

# Zhong et al. (2020), arXiv:1708.04896, section 4: the share of an image's area, and height by width.
ERASED_AREA = (0.02, 0.4)
ERASED_RATIO = (0.3, 1 / 0.3)

Rectangles = Integers  # (B, 4): first row, first column, height, width


class Draws:
    """The random numbers of one epoch, made when they are first needed.

    Args:
        n: Number of images of the data set.
        seed: The order seed.
        epoch: The epoch, from 0.
    """

    def __init__(self, n: int, seed: int, epoch: int) -> None:
        self.n, self.seed, self.epoch = n, seed, epoch
        self._streams: dict[int | None, npt.NDArray[np.uint64]] = {}

    def flip_and_crop(self, index: Integers) -> npt.NDArray[np.uint64]:
        """The numbers that flip and crop share, (B,)."""
        if None not in self._streams:
            self._streams[None] = stream(self.n, AUGMENT, self.seed, self.epoch)
        return self._streams[None][index]

    def uniform(self, parameter: int, index: Integers, low: float = 0.0, high: float = 1.0) -> npt.NDArray[np.float64]:
        """Numbers from low up to, but not including, high, (B,).

        Args:
            parameter: What they are for, one of the constants above.
            index: Positions of the images in the data set, (B,).
            low: The smallest.
            high: The bound.
        """
        if parameter not in self._streams:
            self._streams[parameter] = stream(self.n, PARAMETER, parameter, self.seed, self.epoch)
        share = (self._streams[parameter][index] >> np.uint64(11)) * 2.0**-53  # all bits that a float64 holds
        return np.asarray(low + (high - low) * share, dtype=np.float64)

    def pixels(self, image: int, n: int) -> npt.NDArray[np.uint8]:
        """Random pixels for one image, (n,)."""
        words = stream(-(-n // 8), PIXELS, self.seed, self.epoch, image)
        return words.astype("<u8", copy=False).view(np.uint8)[:n]


class Augmentation:
    """What changes the images of a batch, and their labels where images are mixed.

    Args:
        augment: Settings that `check_augment` admits.
        num_classes: Number of classes, K.
    """

    def __init__(self, augment: Mapping[str, Any], num_classes: int) -> None:
        self.settings = complete(augment)
        self.num_classes = num_classes

    @property
    def is_on(self) -> bool:
        """Whether it changes images at all."""
        return is_on(self.settings)

    @property
    def mixes(self) -> bool:
        """Whether images are mixed, so that labels are probabilities."""
        return bool(self.settings["mixup"] or self.settings["cutmix"])

    def change(self, images: Tensor, index: Integers, draws: Draws) -> Tensor:
        """Changes each image by itself.

        Args:
            images: (B, C, H, W) uint8.
            index: Their positions in the data set, (B,).
            draws: The epoch's random numbers.

        Returns:
            (B, C, H, W): uint8, or float32 from 0 to 1.
        """
        settings = self.settings
        if settings["flip"] or settings["crop"]:
            images = flip_and_crop(images, draws.flip_and_crop(index), settings["flip"], settings["crop"])
        if degrees := settings["rotate"]:
            images = rotate(images, draws.uniform(ROTATE, index, -degrees, degrees))
        for name, parameter in (("brightness", BRIGHTNESS), ("contrast", CONTRAST), ("saturation", SATURATION)):
            if most := settings[name]:
                images = adjust(name, images, draws.uniform(parameter, index, 1 - most, 1 + most))
        if most := settings["hue"]:
            images = adjust("hue", images, draws.uniform(HUE, index, -most, most))
        if chosen := settings["randaugment"]:
            from hybridnets.data.randaugment import randaugment

            n = chosen["operations"]
            numbers = np.stack([draws.uniform(RANDAUGMENT + i, index) for i in range(2 * n)]).reshape(n, 2, -1)
            images = randaugment(as_shares(images), numbers, chosen["magnitude"])
        if settings["erase"]:
            images = self._erase(images, index, draws)
        return images

    def _erase(self, images: Tensor, index: Integers, draws: Draws) -> Tensor:
        """Random pixels in a rectangle of some images (random erasing with random values, the best in Zhong et al.)."""
        chosen = np.flatnonzero(draws.uniform(ERASE, index) < self.settings["erase"])
        images = images.clone()  # of the data set itself, where nothing else has changed them
        for i, (top, left, height, width) in zip(
            chosen, erased_rectangles(images.shape[2:], index[chosen], draws).tolist(), strict=True
        ):
            channels = images.shape[1]
            noise = torch.from_numpy(draws.pixels(int(index[i]), channels * height * width))
            part = noise.reshape(channels, height, width)
            images[i, :, top : top + height, left : left + width] = (
                as_shares(part) if images.is_floating_point() else part
            )
        return images

    def mix(
        self, images: Tensor, labels: Tensor, others: Tensor, other_labels: Tensor, index: Integers, draws: Draws
    ) -> tuple[Tensor, Tensor]:
        """Mixes each image with another one, over all pixels (mixup) or by a rectangle of it (cutmix).

        With both on, an image's own random number decides between them.

        Args:
            images: (B, C, H, W), changed already.
            labels: Their classes, (B,).
            others: The other images, (B, C, H, W), changed already.
            other_labels: Their classes, (B,).
            index: Positions of the images in the data set, (B,).
            draws: The epoch's random numbers.

        Returns:
            Images (B, C, H, W), and the probabilities of their classes, (B, K) float32.

        Source:
            Zhang et al. (2018), arXiv:1710.09412; Yun et al. (2019), arXiv:1905.04899.
        """
        mixup, cutmix = self.settings["mixup"], self.settings["cutmix"]
        cuts = np.full(len(index), bool(cutmix))
        if mixup and cutmix:
            cuts = draws.uniform(MIX_KIND, index) < 0.5
        shares = np.ones(len(index))  # of the image itself
        if mixup:
            shares = beta_share(mixup, draws.uniform(MIXUP_SHARE, index))
            weights = torch.from_numpy(np.where(cuts, 1.0, shares).astype(np.float32))[:, None, None, None]
            others = as_shares(others)
            images = torch.lerp(others, as_shares(images), weights)
        if cutmix:
            rectangles = cut_rectangles(images.shape[2:], cutmix, index, draws)
            inside = within(rectangles, images.shape[2:]) & torch.from_numpy(cuts)[:, None, None]  # (B, H, W)
            images = torch.where(inside[:, None], others, images)
            kept = 1 - rectangles[:, 2] * rectangles[:, 3] / (images.shape[2] * images.shape[3])
            shares = np.where(cuts, kept, shares)
        own = torch.from_numpy(shares.astype(np.float32))[:, None]
        one_hot, other_one_hot = (F.one_hot(part, self.num_classes).float() for part in (labels, other_labels))
        return images, own * one_hot + (1 - own) * other_one_hot


def flip_and_crop(images: Tensor, draws: npt.NDArray[np.uint64], flip: bool, crop: int) -> Tensor:
    """Crops and mirrors each image as its random number determines.

    Args:
        images: (B, C, H, W).
        draws: A 64-bit number for each image, (B,): the top bit determines mirroring, the others the position of the crop.
        flip: Whether to mirror.
        crop: Pixels of black border, p: the crop's corner has (2p + 1) x (2p + 1) possible positions.

    Returns:
        (B, C, H, W).
    """
    _, _, height, width = images.shape
    positions = np.uint64(2 * crop + 1)
    # The leading bits of bits * positions are uniform but for a bias of less than positions / 2 ** 31.
    down = (draws & np.uint64(0xFFFFFFFF)) * positions >> np.uint64(32)
    right = (draws >> np.uint64(32) & np.uint64(0x7FFFFFFF)) * positions >> np.uint64(31)
    rows = torch.arange(height) + torch.from_numpy(down.astype(np.int64))[:, None]  # (B, H)
    columns = torch.arange(width).expand(len(images), width)  # (B, W)
    if flip:
        mirrored = torch.from_numpy(draws >> np.uint64(63) == 1)[:, None]
        columns = torch.where(mirrored, width - 1 - columns, columns)
    columns = columns + torch.from_numpy(right.astype(np.int64))[:, None]  # (B, W)
    padded = F.pad(images, (crop, crop, crop, crop)).permute(0, 2, 3, 1)  # (B, H + 2p, W + 2p, C)
    batch = torch.arange(len(images))[:, None, None]  # (B, 1, 1)
    return padded[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)  # (B, H, W, C) to (B, C, H, W)


def rotate(images: Tensor, degrees: npt.NDArray[np.float64]) -> Tensor:
    """Turns each image about its centre, counterclockwise, between pixels linearly; what comes in from outside is black.

    Args:
        images: (B, C, H, W).
        degrees: (B,).

    Returns:
        (B, C, H, W) float32, from 0 to 1.
    """
    from kornia.geometry import transform

    return transform.rotate(as_shares(images), torch.from_numpy(degrees).float())


def adjust(what: str, images: Tensor, amounts: npt.NDArray[np.float64]) -> Tensor:
    """Changes the colours of each image as torchvision and Pillow do.

    Args:
        what: `brightness`: pixels are multiplied; `contrast`: their distances to the image's mean grey; `saturation`: to
            their own grey; `hue`: colours are turned on the colour circle.
        images: (B, C, H, W); of three channels for saturation and hue.
        amounts: Factors, (B,); for hue, turns of the circle.

    Returns:
        (B, C, H, W) float32, from 0 to 1.
    """
    shares, numbers = as_shares(images), torch.from_numpy(amounts).float()
    if what == "brightness":
        return (shares * numbers[:, None, None, None]).clamp_(0, 1)
    from kornia import enhance

    if what == "contrast":
        return enhance.adjust_contrast_with_mean_subtraction(shares, numbers)
    if what == "saturation":
        return enhance.adjust_saturation_with_gray_subtraction(shares, numbers)
    return enhance.adjust_hue(shares, 2 * torch.pi * numbers).clamp_(0, 1)


def erased_rectangles(size: torch.Size, index: Integers, draws: Draws) -> Rectangles:
    """The rectangle of each image that is erased if one is; a side longer than the image's is cut to it.

    The paper draws again where a rectangle is too long; the number of draws would then depend on the image's size.

    Args:
        size: Height and width of the images.
        index: Positions of the images in the data set, (B,).
        draws: The epoch's random numbers.
    """
    height, width = size
    area = draws.uniform(ERASE_AREA, index, *ERASED_AREA) * (height * width)
    ratio = np.exp(draws.uniform(ERASE_RATIO, index, *np.log(ERASED_RATIO)))
    high = np.clip(np.rint(np.sqrt(area * ratio)), 1, height)
    wide = np.clip(np.rint(np.sqrt(area / ratio)), 1, width)
    top = np.floor(draws.uniform(ERASE_ROW, index) * (height - high + 1))
    left = np.floor(draws.uniform(ERASE_COLUMN, index) * (width - wide + 1))
    return np.stack((top, left, high, wide), axis=1).astype(np.int64)


def cut_rectangles(size: torch.Size, alpha: float, index: Integers, draws: Draws) -> Rectangles:
    """The rectangle of each image that cutmix takes from the other image; the image's border cuts it.

    Args:
        size: Height and width of the images.
        alpha: Of the Beta distribution of the share that an image keeps.
        index: Positions of the images in the data set, (B,).
        draws: The epoch's random numbers.
    """
    ratio = np.sqrt(1 - beta_share(alpha, draws.uniform(CUTMIX_SHARE, index)))
    sides = []
    for length, parameter in zip(size, (CUTMIX_ROW, CUTMIX_COLUMN), strict=True):
        half = np.floor(length * ratio) // 2  # as its authors' code rounds
        centre = np.floor(draws.uniform(parameter, index) * length)
        first, last = np.clip(centre - half, 0, length), np.clip(centre + half, 0, length)
        sides.append((first, last - first))
    (top, high), (left, wide) = sides
    return np.stack((top, left, high, wide), axis=1).astype(np.int64)


def within(rectangles: Rectangles, size: torch.Size) -> Tensor:
    """Which pixels lie in each image's rectangle, (B, H, W) bool."""
    top, left, high, wide = torch.from_numpy(rectangles).T[:, :, None]  # each (B, 1)
    rows, columns = (torch.arange(length)[None] for length in size)
    in_rows, in_columns = (rows >= top) & (rows < top + high), (columns >= left) & (columns < left + wide)
    inside: Tensor = in_rows[:, :, None] & in_columns[:, None, :]
    return inside


def beta_share(alpha: float, uniform: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Numbers of the distribution Beta(alpha, alpha) from uniform ones, by its inverse distribution function, (B,)."""
    return np.asarray(betaincinv(alpha, alpha, uniform), dtype=np.float64)


def as_shares(images: Tensor) -> Tensor:
    """Pixels as float32 from 0 to 1."""
    return images if images.is_floating_point() else images.float().div_(255)


def as_pixels(images: Tensor) -> Tensor:
    """Pixels as uint8, rounded."""
    if not images.is_floating_point():
        return images
    return (255 * images).round().clamp(0, 255).to(torch.uint8)
