"""The second paper's model: an autoencoder between a trained network's feature maps and its classifier."""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from hybridnets.models.autoencoders import ConvolutionalAutoencoder, DenseAutoencoder, code_shape
from hybridnets.models.classifier import Batch, Classifier, factory, plain
from hybridnets.models.map_cache import FLOAT32_BYTES, MapCache
from hybridnets.runs.identities import Activation


class FeatureAutoencoder(Classifier):
    """A trained network, the backbone, with an autoencoder between its feature maps and its classifier.

    ECRNN has an encoder-decoder at the same place and trains it to classify. Here only the autoencoder is trained, to
    reproduce the maps, with the mean squared error over their values as loss. The backbone does not change by a single bit: it
    always is in evaluation mode, so that its batch statistics stay, too.

    Args:
        image_shape: Channels, height and width of an image.
        num_classes: Classes, K.
        backbone: The trained network, which must define `maps` and `classify`; or its class and settings, as a checkpoint
            stores them, from which it is built before the checkpoint's weights are loaded.
        kind: `cae` for a `ConvolutionalAutoencoder`, `sae` for a `DenseAutoencoder`.
        channels: Channels of the code of `cae`; the code of `sae` has the same size.
        hidden: Units of further dense layers of `sae`; see `DenseAutoencoder`.
        activation: After each layer but the two below: a key of `ACTIVATIONS`.
        code_activation: After the layer whose output is the code.
        output_activation: After the last layer.

    Raises:
        ValueError: If the backbone has no feature maps or no classifier of them, or the code is larger than the maps.

    Source:
        Go, Kwon, Kim: Compression method of feature based on CNN image classification network using Autoencoder.
    """

    monitor = "val/loss"
    mode = "min"

    def __init__(
        self,
        image_shape: Sequence[int],
        num_classes: int,
        backbone: Classifier | Mapping[str, Any],
        kind: str = "cae",
        channels: int = 32,
        hidden: Sequence[int] = (),
        activation: Activation = "relu",
        code_activation: Activation = "none",
        output_activation: Activation = "none",
    ) -> None:
        super().__init__(num_classes)
        self.save_hyperparameters(ignore="backbone")
        network: Classifier = factory(backbone)() if isinstance(backbone, Mapping) else backbone
        settings = {key: plain(value) for key, value in network.hparams.items()}
        self.hparams["backbone"] = {**plain(type(network)), **settings}
        self.backbone = network.eval().requires_grad_(False)
        self.shape = _map_shape(network, image_shape)
        self.map_cache = MapCache()
        size = math.prod(code_shape(self.shape, channels))
        if size > math.prod(self.shape):
            raise ValueError(
                f"model.channels must give a code no larger than the {' x '.join(map(str, self.shape))} maps, "
                f"{math.prod(self.shape):,} values, got {channels}, which gives {size:,}"
            )
        if kind not in ("cae", "sae"):
            raise ValueError(f"model.kind must be cae or sae, got {kind!r}")
        if hidden and kind == "cae":
            raise ValueError(f"model.hidden must be [] for cae, whose layers are the paper's, got {[*hidden]}")
        activations = (activation, code_activation, output_activation)
        self.autoencoder = (
            ConvolutionalAutoencoder(self.shape, channels, *activations)
            if kind == "cae"
            else DenseAutoencoder(self.shape, size, hidden, *activations)
        )

    def train(self, mode: bool = True) -> "FeatureAutoencoder":
        """Sets the mode of the autoencoder; the backbone stays in evaluation mode."""
        super().train(mode)
        self.backbone.eval()
        return self

    def on_fit_start(self) -> None:
        """Silences Lightning's warning of modules in evaluation mode: the backbone is meant to be."""
        warnings.filterwarnings("ignore", message="Found .* module.* in eval mode at the start of training")

    def configure_callbacks(self) -> list[pl.Callback]:
        """Adds the cache of feature maps to the trainer's callbacks."""
        return [self.map_cache]

    def maps(self, images: Tensor) -> Tensor:
        """The backbone's feature maps of standardised images, (B, C, H, W) to (B, C', H', W')."""
        with torch.no_grad():
            return self.backbone.maps(images)

    def encode(self, maps: Tensor) -> Tensor:
        """The code of feature maps, (B, C', H', W') to (B, *autoencoder.code_shape)."""
        return self.autoencoder.encode(maps)

    def decode(self, code: Tensor) -> Tensor:
        """Feature maps from their code, (B, *autoencoder.code_shape) to (B, C', H', W')."""
        return self.autoencoder.decode(code)

    def rebuild(self, maps: Tensor) -> Tensor:
        """Feature maps encoded and decoded, (B, C', H', W') to the same shape."""
        return self.decode(self.encode(maps))

    def classify(self, maps: Tensor) -> Tensor:
        """The backbone's logits of rebuilt feature maps, (B, C', H', W') to (B, K)."""
        return self.backbone.classify(self.rebuild(maps))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Mean squared error of a batch's rebuilt maps; logs train/loss over the epoch."""
        maps = self._maps_of_batch(batch)
        return self._update_metrics("train", batch_idx, F.mse_loss(self.rebuild(maps), maps), batch[1])

    def predict_step(self, batch: Batch, *_: int) -> dict[str, Tensor]:
        """Index, label, class and probabilities of every image of a batch; and `before`, its class by the backbone alone."""
        images, labels, index = batch
        maps = self.maps(images)
        probabilities = F.softmax(self.classify(maps).float(), dim=1)
        return {
            "index": index,
            "label": labels,
            "class": probabilities.argmax(1),
            "probabilities": probabilities,
            "before": self.backbone.classify(maps).float().argmax(1),
        }

    def _measure(self, stage: str, batch: Batch, batch_idx: int) -> Tensor:
        maps = self._maps_of_batch(batch)
        rebuilt = self.rebuild(maps)
        logits = self.backbone.classify(rebuilt)
        return self._update_metrics(stage, batch_idx, F.mse_loss(rebuilt, maps), batch[1], logits)

    def _maps_of_batch(self, batch: Batch) -> Tensor:
        images, _, index = batch
        cached = self.map_cache.lookup(index)
        return self.maps(images) if cached is None else cached

    def examples(self, images: Tensor) -> dict[str, Tensor]:
        """The feature maps of images, and the rebuilt ones, each (B, C', H', W')."""
        maps = self.maps(images)
        return {"maps": maps, "rebuilt": self.rebuild(maps)}

    def facts(self, predictions: Mapping[str, Mapping[str, NDArray[Any]]]) -> dict[str, Any]:
        """The shapes and sizes of maps and code, and `before`, the backbone's accuracy on the same images."""
        shape = self.autoencoder.code_shape
        size, map_size = math.prod(shape), math.prod(self.shape)
        return {
            "maps": {"shape": list(self.shape), "numbers": map_size},
            "code": {
                "shape": list(shape),
                "numbers": size,
                "compression": 1 - size / map_size,
                "bytes": FLOAT32_BYTES * size,  # per image
            },
            "before": {
                f"{part}/acc": float(np.mean(columns["before"] == columns["label"]))
                for part, columns in predictions.items()
            },
        }


@torch.no_grad()
def _map_shape(backbone: Classifier, image_shape: Sequence[int]) -> tuple[int, ...]:
    """Channels, height and width of a network's feature maps, measured by a forward pass of one image."""
    rule = "backbone must be a run of a model that classifies feature maps (B, C, H, W), such as CNN or ECRNN"
    kind = type(backbone)
    if not isinstance(backbone, Classifier) or kind.classify is Classifier.classify or kind is FeatureAutoencoder:
        raise ValueError(f"{rule}, got one of {kind.__name__}")
    maps = backbone.maps(torch.zeros(1, *image_shape))
    if maps.ndim != 4:
        raise ValueError(f"{rule}, got one of {kind.__name__} with maps of shape {tuple(maps.shape)}")
    return tuple(maps.shape[1:])
