"""The data module: a data set, split, batched and standardised for Lightning."""

import logging
import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from hybridnets.data.augment_settings import is_on
from hybridnets.data.augmentation import Augmentation
from hybridnets.data.dataset import EVALUATION_BATCH_SIZE, DataError, ImageDataset, Integers, Sums
from hybridnets.data.loader import Batch, BatchLoader
from hybridnets.data.split import check_settings, draw

log = logging.getLogger(__name__)

# As in the paper
STANDARDIZE = MappingProxyType({"statistics": "scalar", "over": "all"})
NO_AUGMENTATION = MappingProxyType({"flip": False, "crop": 0})


class ImageDataModule(pl.LightningDataModule):
    """One data set at one split.

    Args:
        dataset: The data set.
        split_seed: Determines which images are for training and which for validation.
        order_seed: Determines the order of the training images, and their augmentation.
        split: How training images are divided: `random`, or `kfold`, where the split seed is the number of the fold.
        folds: Number of folds with `kfold`; otherwise None.
        train_fraction: The training part's share of the data set's training images at random; None for the validation part
            that the data set brings, which is the same for all seeds. Folds do without it.
        stratify: Whether the parts keep the shares of the classes, at random and with folds.
        batch_size: Images per training step, over all devices.
        standardize: `statistics`: one mean and deviation (`scalar`) or one for each channel (`channel`); `over`: computed
            over `all` training images, including the validation part as in the paper, or over the `train` part only.
        augment: `flip`: whether half of the images are mirrored; `crop`: pixels of the border that is added before cropping;
            further kinds, which may be left out, are in `hybridnets.data.augment_settings`.

    Attributes:
        split: The two parts, as positions among the data set's training images, and their hash.
        classes: The classes' names.
        num_classes: Number of classes.
        image_shape: (C, H, W).
        mean: Subtracted from pixels of 0 to 255, (C, 1, 1).
        std: Divides the result, (C, 1, 1).

    Raises:
        DataError: If a setting is not legal; the sentence names its key.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        *,
        split_seed: int,
        order_seed: int,
        split: str = "random",
        folds: int | None = None,
        train_fraction: float | None = 0.7,
        stratify: bool = False,
        batch_size: int = 32,
        standardize: Mapping[str, str] = STANDARDIZE,
        augment: Mapping[str, Any] = NO_AUGMENTATION,
    ) -> None:
        super().__init__()
        n, channels, height, width = dataset.train_images.shape
        self.image_shape = (channels, height, width)
        settings = (train_fraction, batch_size, standardize, augment, split, folds, stratify)
        check_settings(n, self.image_shape, *settings, dataset.val)
        self.dataset = dataset
        self.order_seed = order_seed
        self.batch_size = batch_size
        self.augment = augment
        self.split = draw(dataset, split_seed, split, folds, train_fraction, stratify)
        if dataset.val is not None and split == "random" and train_fraction is not None:
            log.info(
                "the data set's own validation part of %s images is split anew with its training images; "
                "data.train_fraction=null keeps it",
                f"{len(dataset.val):,}",
            )
        self.classes = dataset.classes
        self.num_classes = len(dataset.classes)
        sums, squares = dataset.train_sums
        if standardize["over"] == "train":
            sums, squares = sums[self.split.train], squares[self.split.train]
        self.mean, self.std = pixel_statistics(
            sums, squares, height * width, per_channel=standardize["statistics"] == "channel"
        )
        self._train = _shared(dataset.train_images), _shared(dataset.train_labels)
        self._test = _shared(dataset.test_images), _shared(dataset.test_labels)

    def train_dataloader(self) -> BatchLoader:
        """The training part, in a new order every epoch."""
        return BatchLoader(
            *self._train,
            self.split.train,
            self.batch_size,
            *self._rank_and_world_size(),
            ahead=self._ahead,
            order_seed=self.order_seed,
            augmentation=Augmentation(self.augment, self.num_classes),
        )

    def val_dataloader(self) -> BatchLoader:
        """The validation part; an index refers to the data set's training images."""
        return self._evaluation_loader(*self._train, self.split.val)

    def test_dataloader(self) -> BatchLoader:
        """The data set's own test images."""
        return self._evaluation_loader(*self._test, np.arange(len(self.dataset.test_labels)))

    def predict_dataloader(self) -> list[BatchLoader]:
        """The validation part, then the test images."""
        return [self.val_dataloader(), self.test_dataloader()]

    def unaugmented_loaders(self) -> list[BatchLoader]:
        """Loaders of the train and the val part for a computation that is done once; none if augmentation changes images."""
        if is_on(self.augment):
            return []
        return [BatchLoader(*self._train, part, EVALUATION_BATCH_SIZE) for part in (self.split.train, self.split.val)]

    def _evaluation_loader(self, images: Tensor, labels: Tensor, part: Integers) -> BatchLoader:
        rank, world_size = self._rank_and_world_size()
        return BatchLoader(images, labels, part, EVALUATION_BATCH_SIZE, rank, world_size, ahead=self._ahead)

    @property
    def _ahead(self) -> bool:
        """Whether batches are prepared ahead, because images come from files and may have to be waited for."""
        return isinstance(self.dataset.train_images, np.memmap)

    def _rank_and_world_size(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:  # noqa: ARG002
        """Standardises the images on the device, because uint8 is transferred four times as fast as float32."""
        images, labels, index = batch
        images = self.standardized(images)
        if self.trainer is not None:
            dtype = self.trainer.lightning_module.dtype  # float64 with trainer.precision=64-true
            images = images.to(dtype)
            if labels.is_floating_point():  # the probabilities of mixed images
                labels = labels.to(dtype)
        return images, labels, index

    def standardized(self, images: Tensor) -> Tensor:
        """Standardises pixels of 0 to 255 to mean 0 and deviation 1: (B, C, H, W) float32, channels last in memory."""
        images = images.to(torch.float32, memory_format=torch.channels_last)
        return images.sub_(self.mean.to(images.device)).div_(self.std.to(images.device))

    def state_dict(self) -> dict[str, Any]:
        """The values that prediction without the data set needs, and the split's hash: plain types and tensors only."""
        return {
            "mean": self.mean,
            "std": self.std,
            "classes": list(self.classes),
            "resize": self.dataset.resize,
            "split": self.split.sha256,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuses a checkpoint of other data; there is nothing to restore, because the state follows from the data.

        Raises:
            DataError: If the checkpoint's classes or statistics differ.
        """
        checkpoint, current = (
            [state["classes"], *(state[name].flatten().tolist() for name in ("mean", "std"))]
            for state in (state_dict, self.state_dict())
        )
        if checkpoint != current:
            raise DataError(
                f"the checkpoint was trained on data with these classes, mean and deviation: {checkpoint}, "
                f"but this data has {current}: use the checkpoint's data settings"
            )


def _shared(array: NDArray[Any]) -> Tensor:
    """A tensor in the memory of an array, so that all loaders use one copy of the images; nothing writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="The given NumPy array is not writ"
        )  # a file that is mapped read-only
        return torch.from_numpy(array)


def pixel_statistics(sums: Sums, squares: Sums, pixels: int, *, per_channel: bool) -> tuple[Tensor, Tensor]:
    """The mean and the deviation of pixels, each (C, 1, 1) float32, from integer sums, which are exact in any order.

    Args:
        sums: The sum of the pixels of each image and channel, (N, C).
        squares: The sum of their squares, (N, C).
        pixels: Pixels of one image and channel.
        per_channel: Whether each channel has its own values; otherwise all channels have the same.

    Raises:
        DataError: If all pixels are equal, or those of a channel with values of its own.
    """
    n, channels = sums.shape
    total, squares = sums.sum(axis=0), squares.sum(axis=0)
    count = n * pixels
    if not per_channel:
        total, squares = np.full_like(total, total.sum()), np.full_like(squares, squares.sum())
        count *= channels
    mean = total / count
    std = np.sqrt(squares / count - mean**2)
    constant = np.flatnonzero(std == 0)
    if 0 < len(constant) < channels:
        raise DataError(
            f"data.standardize divides by the deviation of each channel, but channel {constant[0]} of {channels} is the same "
            "in all pixels: data.standardize.statistics=scalar takes one deviation for all channels"
        )
    if len(constant):
        raise DataError(
            "data.standardize divides by the deviation of the images, but all their pixels are equal: "
            "were images of 0 to 1 rounded to whole numbers before they were multiplied by 255?"
        )
    as_tensor = [torch.from_numpy(x.astype(np.float32)).reshape(channels, 1, 1) for x in (mean, std)]
    return as_tensor[0], as_tensor[1]
