"""The data module: a data set, split, batched and standardised for Lightning."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from hybridnets.data.augment_settings import is_on
from hybridnets.data.augmentation import Augmentation
from hybridnets.data.dataset import DataError, ImageDataset, Images
from hybridnets.data.loader import Batch, BatchLoader
from hybridnets.data.split import check_settings, draw_fold, draw_split

# In evaluation, batches affect only the rounding of sums. A constant size, instead of data.batch_size, makes even the rounding
# the same for all runs; maps of 100 images stay in a CPU's cache, so that CNN takes a third less time than with 500.
EVALUATION_BATCH_SIZE = 100

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
        train_fraction: The training part's share of the data set's training images at random; folds do without it.
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
        train_fraction: float = 0.7,
        batch_size: int = 32,
        standardize: Mapping[str, str] = STANDARDIZE,
        augment: Mapping[str, Any] = NO_AUGMENTATION,
    ) -> None:
        super().__init__()
        n, channels, height, width = dataset.train_images.shape
        self.image_shape = (channels, height, width)
        check_settings(n, self.image_shape, train_fraction, batch_size, standardize, augment, split, folds)
        self.dataset = dataset
        self.order_seed = order_seed
        self.batch_size = batch_size
        self.augment = augment
        self.split = draw_fold(n, folds, split_seed) if folds else draw_split(n, train_fraction, split_seed)
        self.classes = dataset.classes
        self.num_classes = len(dataset.classes)
        images = dataset.train_images if standardize["over"] == "all" else dataset.train_images[self.split.train]
        self.mean, self.std = pixel_statistics(images, per_channel=standardize["statistics"] == "channel")
        # from_numpy shares the memory, so that all loaders use one copy of the images.
        self._train = torch.from_numpy(dataset.train_images), torch.from_numpy(dataset.train_labels)
        self._test = torch.from_numpy(dataset.test_images), torch.from_numpy(dataset.test_labels)

    def train_dataloader(self) -> BatchLoader:
        """The training part, in a new order every epoch."""
        return BatchLoader(
            *self._train,
            self.split.train,
            self.batch_size,
            *self._rank_and_world_size(),
            order_seed=self.order_seed,
            augmentation=Augmentation(self.augment, self.num_classes),
        )

    def val_dataloader(self) -> BatchLoader:
        """The validation part; an index refers to the data set's training images."""
        return BatchLoader(*self._train, self.split.val, EVALUATION_BATCH_SIZE, *self._rank_and_world_size())

    def test_dataloader(self) -> BatchLoader:
        """The data set's own test images."""
        part = np.arange(len(self.dataset.test_labels))
        return BatchLoader(*self._test, part, EVALUATION_BATCH_SIZE, *self._rank_and_world_size())

    def predict_dataloader(self) -> list[BatchLoader]:
        """The validation part, then the test images."""
        return [self.val_dataloader(), self.test_dataloader()]

    def unaugmented_loaders(self) -> list[BatchLoader]:
        """Loaders of the train and the val part for a computation that is done once; none if augmentation changes images."""
        if is_on(self.augment):
            return []
        return [BatchLoader(*self._train, part, EVALUATION_BATCH_SIZE) for part in (self.split.train, self.split.val)]

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


def pixel_statistics(images: Images, *, per_channel: bool) -> tuple[Tensor, Tensor]:
    """The mean and the deviation of pixels, each (C, 1, 1) float32, from integer sums, which are exact in any order.

    Args:
        images: (N, C, H, W), 0 to 255.
        per_channel: Whether each channel has its own values; otherwise all channels have the same.

    Raises:
        DataError: If all pixels are equal.
    """
    n, channels, height, width = images.shape
    total, squares = np.zeros(channels, dtype=np.uint64), np.zeros(channels, dtype=np.uint64)
    for start in range(0, n, 500):  # in slices, because a wider copy of all images would need much memory
        part = images[start : start + 500]
        total += part.sum(axis=(0, 2, 3), dtype=np.uint64)
        squares += np.square(part, dtype=np.uint16).sum(axis=(0, 2, 3), dtype=np.uint64)  # 255 ** 2 fits
    count = n * height * width
    if not per_channel:
        total, squares = np.full_like(total, total.sum()), np.full_like(squares, squares.sum())
        count *= channels
    mean = total / count
    std = np.sqrt(squares / count - mean**2)
    if not std.all():
        raise DataError(
            "data.standardize divides by the deviation of the images, but all their pixels are equal: "
            "were images of 0 to 1 rounded to whole numbers before they were multiplied by 255?"
        )
    as_tensor = [torch.from_numpy(x.astype(np.float32)).reshape(channels, 1, 1) for x in (mean, std)]
    return as_tensor[0], as_tensor[1]
