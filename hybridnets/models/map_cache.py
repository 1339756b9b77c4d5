"""A callback that computes a frozen network's feature maps once for all epochs."""

import logging
import math
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

if TYPE_CHECKING:
    from hybridnets.models.feature_autoencoder import FeatureAutoencoder

FLOAT32_BYTES = 4
MAX_BYTES = 2**30  # of cached maps; those of 50,000 images in this package's CNN take a fifth of it

log = logging.getLogger("hybridnets")


class MapCache(Callback):
    """Holds the feature maps of all train and val images while a `FeatureAutoencoder` trains.

    The maps are cached if augmentation does not change the images, all batches are used, there is one device and more than
    one epoch, and the maps take at most `MAX_BYTES`. These conditions follow from the run's identity alone, so that a resumed
    run caches exactly if the uninterrupted one does: maps computed in batches of 100 may differ in their last bits from maps
    computed in batches of 32.
    """

    def __init__(self) -> None:
        self._maps: Tensor | None = None  # (images, H', W', C')

    def lookup(self, index: Tensor) -> Tensor | None:
        """The cached maps of images, (B,) to (B, C', H', W'); None if nothing is cached."""
        return None if self._maps is None else self._maps[index].permute(0, 3, 1, 2)

    @torch.no_grad()
    def on_train_start(self, trainer: pl.Trainer, pl_module: "FeatureAutoencoder") -> None:  # type: ignore[override]
        """Fills the cache if the conditions hold."""
        loaders: list[Any] = getattr(getattr(trainer, "datamodule", None), "unaugmented_loaders", list)()
        images = sum(len(loader.part) for loader in loaders)
        batches = (trainer.num_training_batches, sum(trainer.num_val_batches))
        all_batches = (len(trainer.train_dataloader or ()), len(trainer.val_dataloaders or ()))
        if (
            not images
            or batches != all_batches
            or trainer.world_size > 1
            or trainer.max_epochs == 1
            or FLOAT32_BYTES * math.prod(pl_module.shape) * images > MAX_BYTES
        ):
            return
        log.info("computing the feature maps of %s images once for all epochs", f"{images:,}")
        for loader in loaders:
            for batch in loader:
                pixels, _, index = trainer.strategy.batch_to_device(batch, dataloader_idx=0)
                with trainer.precision_plugin.forward_context():
                    maps = pl_module.maps(pixels).permute(0, 2, 3, 1)  # (B, H', W', C')
                if self._maps is None:
                    self._maps = maps.new_empty((len(loader.images), *maps.shape[1:]))
                self._maps[index] = maps

    def on_train_end(self, *_: Any) -> None:
        """Frees the cache's memory."""
        self._maps = None
