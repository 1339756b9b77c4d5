"""The batch loader: it indexes a tensor of all images, and Lightning uses it as a dataloader.

A data set of 150 MB needs no workers, no files and no sampler: a batch is `images[index]`. An epoch's order and augmentation
are pure functions of (seed, epoch, image), so that resuming needs no saved state.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from hybridnets.data.augmentation import Augmentation, Draws, as_pixels
from hybridnets.data.dataset import DataError, Integers
from hybridnets.data.split import ORDER, permutation

Batch = tuple[Tensor, Tensor, Tensor]


class BatchLoader:
    """Yields (images (B, C, H, W) uint8, labels (B,), index (B,)) for one part of a data set.

    The batches do not depend on the number of devices: each device takes its share of every batch. So all devices have
    equally many batches, and over all devices each image appears exactly once per epoch. The shares of a batch differ by one
    image at most. Choose a batch size that the number of devices divides, because gradients are averaged over devices.

    Args:
        images: All images, (N, C, H, W), uint8, shared by the loaders.
        labels: Their classes, (N,).
        part: Positions of the images to yield, (n,).
        batch_size: Images per batch, over all devices. A remainder too small to give each device two images (batch
            normalisation fails on one) is added to the previous batch.
        rank: This device's rank.
        world_size: Number of devices.
        ahead: Whether a thread prepares the next batch while the present one is used, for images that come from files.
        order_seed: Seed of every epoch's order. Without it, images keep the order of `part` and are not augmented.
        augmentation: What changes the images; None for nothing. Where it mixes images, labels are the probabilities of the
            classes, (B, K) float32.

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
        ahead: bool = False,
        order_seed: int | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        if batch_size < 2 * world_size:
            raise DataError(
                f"data.batch_size must be at least {2 * world_size}, two images for each of the {world_size} devices "
                f"that share a batch, got {batch_size}"
            )
        self.images = images
        self.labels = labels
        self.part = part
        self.ahead = ahead
        self.order_seed = order_seed
        self.augmentation = augmentation
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        starts = list(range(0, len(part), batch_size))
        if len(starts) > 1 and len(part) - starts[-1] < 2 * world_size:
            del starts[-1]
        self._borders = list(zip(starts, [*starts[1:], len(part)], strict=True))

    batch_sampler = None  # Lightning reads it if there is a sampler

    @property
    def sampler(self) -> "BatchLoader":
        """The object whose `set_epoch` Lightning calls before every epoch, including the first one after resuming."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, from 0, for the order and augmentation of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Number of batches per epoch, the same on every device."""
        return len(self._borders)

    def __iter__(self) -> Iterator[Batch]:
        """Yields the batches of the epoch that was set."""
        return prepared_ahead(self._batches()) if self.ahead else self._batches()

    def _batches(self) -> Iterator[Batch]:
        order = self.part
        draws = None
        if self.order_seed is not None:
            order = order[permutation(len(order), ORDER, self.order_seed, self.epoch)]
            if self.augmentation is not None and self.augmentation.is_on:
                # One number for each image of the data set, so that its augmentation does not depend on the split.
                draws = Draws(len(self.images), self.order_seed, self.epoch)
        for start, stop in self._borders:
            batch = order[start:stop]
            if draws is not None:
                yield self._augmented(batch, draws)
                continue
            positions = torch.from_numpy(batch[self.rank :: self.world_size])
            yield self.images[positions], self.labels[positions], positions

    def _augmented(self, batch: Integers, draws: Draws) -> Batch:
        """This device's share of a batch, augmented."""
        augmentation = self.augmentation
        assert augmentation is not None
        index = batch[self.rank :: self.world_size]
        positions = torch.from_numpy(index)
        images, labels = augmentation.change(self.images[positions], index, draws), self.labels[positions]
        if augmentation.mixes:
            # The other image is the next one of the whole batch, so that the number of devices does not matter.
            partners = np.roll(batch, -1)[self.rank :: self.world_size]
            others = torch.from_numpy(partners)
            other_images = (
                images.roll(-1, 0)
                if self.world_size == 1
                else augmentation.change(self.images[others], partners, draws)
            )
            images, labels = augmentation.mix(images, labels, other_images, self.labels[others], index, draws)
        return as_pixels(images), labels, positions


def prepared_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches; a thread computes the next one while the present one is used.

    An error in the thread is raised here, in the place of its batch. The thread ends with this generator.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as thread:
        following = thread.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = thread.submit(next, batches, None)
            yield batch
