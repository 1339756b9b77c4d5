"""Batches by index from images in memory: what Lightning takes as a dataloader.

A data set of 150 MB needs no workers, no files and no sampler: one tensor, and a batch is `images[index]`. An epoch's
order and augmentation are pure functions of (seed, epoch, image): nothing has to be saved to resume, nothing can drift.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hybridnets.data.dataset import DataError, Integers
from hybridnets.data.split import AUGMENT, ORDER, permutation, stream

Batch = tuple[Tensor, Tensor, Tensor]


class BatchLoader:
    """Yields (images (B, C, H, W) uint8, labels (B,), index (B,)) for one part of a data set.

    The batches are those of the whole training, whatever the number of devices: each device takes its share of every
    one. So every device has equally many, and over all devices each image appears exactly once an epoch. The shares of
    a batch differ by one image at most; choose a batch that the devices divide, as gradients are averaged over devices.

    Args:
        images: All images, (N, C, H, W), uint8, shared by the loaders.
        labels: Their classes, (N,).
        part: Positions of the images to yield, (n,).
        batch_size: Images a batch, over all devices. A remainder too small to give each device two images (batch
            normalisation fails on one) joins the batch before.
        rank: This device's number.
        world_size: Devices.
        order_seed: Draws the order anew every epoch. Without it the part's own order is kept and nothing is augmented.
        flip: Whether half of the images, at random, are mirrored left to right.
        crop: Pixels of border from which each image is cut out again at random. The border is black, as is usual: the
            images are standardised later.

    Raises:
        DataError: If a batch cannot give each device two images.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        part: Integers,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        *,
        order_seed: int | None = None,
        flip: bool = False,
        crop: int = 0,
    ) -> None:
        if batch_size < 2 * world_size:
            raise DataError(
                f"data.batch_size must be at least {2 * world_size}, two images for each of the {world_size} devices "
                f"that share a batch, got {batch_size}"
            )
        self.images = images
        self.labels = labels
        self.part = part
        self.order_seed = order_seed
        self.flip = flip
        self.crop = crop
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        starts = list(range(0, len(part), batch_size))
        if len(starts) > 1 and len(part) - starts[-1] < 2 * world_size:
            del starts[-1]
        self._borders = list(zip(starts, [*starts[1:], len(part)], strict=True))

    batch_sampler = None  # Lightning asks for it wherever there is a sampler

    @property
    def sampler(self) -> "BatchLoader":
        """Where Lightning looks for `set_epoch`, which it calls before every epoch, also the first after resuming."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch, from 0, whose order and augmentation the next iteration has."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Batches an epoch, on every device."""
        return len(self._borders)

    def __iter__(self) -> Iterator[Batch]:
        """The chosen epoch's batches."""
        order = self.part
        draws = None
        if self.order_seed is not None:
            order = order[permutation(len(order), ORDER, self.order_seed, self.epoch)]
            if self.flip or self.crop:
                # one number for each image of the data set, whatever its part: an image's fate depends on no split
                draws = stream(len(self.images), AUGMENT, self.order_seed, self.epoch)
        for start, stop in self._borders:
            index = order[start:stop][self.rank :: self.world_size]
            positions = torch.from_numpy(index)
            images = self.images[positions]
            if draws is not None:
                images = augmented(images, draws[index], self.flip, self.crop)
            yield images, self.labels[positions], positions


def augmented(images: Tensor, draws: np.ndarray[tuple[int], np.dtype[np.uint64]], flip: bool, crop: int) -> Tensor:
    """Crops and mirrors each image as its random number says.

    Args:
        images: (B, C, H, W).
        draws: One 64-bit number an image, (B,): the top bit decides the mirroring, the others the place of the crop.
        flip: Whether to mirror.
        crop: Pixels of black border, p: the window's corner lies anywhere in (2p + 1) x (2p + 1) places.

    Returns:
        (B, C, H, W).
    """
    _, _, height, width = images.shape
    places = np.uint64(2 * crop + 1)
    # the place is the leading part of draw * places, which is uniform but for one part in 2 ** 31 / places
    down = (draws & np.uint64(0xFFFFFFFF)) * places >> np.uint64(32)
    right = (draws >> np.uint64(32) & np.uint64(0x7FFFFFFF)) * places >> np.uint64(31)
    rows = torch.arange(height) + torch.from_numpy(down.astype(np.int64))[:, None]  # (B, H)
    columns = torch.arange(width).expand(len(images), width)
    if flip:
        mirrored = torch.from_numpy(draws >> np.uint64(63) == 1)[:, None]
        columns = torch.where(mirrored, width - 1 - columns, columns)
    columns = columns + torch.from_numpy(right.astype(np.int64))[:, None]  # (B, W)
    padded = F.pad(images, (crop, crop, crop, crop)).permute(0, 2, 3, 1)  # (B, H + 2p, W + 2p, C)
    batch = torch.arange(len(images))[:, None, None]
    return padded[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
