"""The second paper's model: an autoencoder between a trained network's feature maps and its classifier."""

import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from hybridnets.models.classifier import Batch, Classifier, factory, plain
from hybridnets.models.stages import Activation, EncoderDecoder, Flatten, activation_of, keras_initialisation

BYTES = 4  # of a number, float32
MEMORY = 2**30  # bytes at most for maps that are kept over all epochs: 50,000 of the own CNN take a fifth of it

log = logging.getLogger("hybridnets")


class ConvolutionalAutoencoder(nn.Module):
    """Three convolutions, and their mirror image in transposed ones: (B, C, H, W) to a code and back.

    A 1x1 convolution to C / 2 channels, a 1x1 one to the code's, and a 3x3 one without padding, which takes two rows and two
    columns away. Where maps are smaller than 3x3 its kernel is as large as they are, min(3, H) x min(3, W), and the code
    keeps their height and width: they are padded with zeros behind the last row and column, and cut there on the way back.

    Args:
        shape: Channels, height and width of the maps.
        channels: Channels of the code.
        activation: After each layer but two: a key of `ACTIVATIONS`.
        code_activation: After the layer that puts out the code.
        output_activation: After the last layer.

    Attributes:
        code_shape: Channels, height and width of the code.

    Source:
        Go, Kwon, Kim, section 3: 512 x 7 x 7 to 256 to 128 channels to 128 x 5 x 5. It names no activations, no first weights
        and no code of other than C / 4 channels. Assumed: a wider code takes the first layer with it.
    """

    def __init__(
        self, shape: Sequence[int], channels: int, activation: str, code_activation: str, output_activation: str
    ) -> None:
        super().__init__()
        self.code_shape = code_shape(shape, channels)
        wide, height, width = shape
        half = max(wide // 2, channels)
        kernel = (min(3, height), min(3, width))
        missing = (0, self.code_shape[2] - (width - kernel[1] + 1), 0, self.code_shape[1] - (height - kernel[0] + 1))
        pad, cut = [nn.ZeroPad2d(missing)], [nn.ZeroPad2d(tuple(-n for n in missing))]  # type: ignore[arg-type]
        self.encoder = nn.Sequential(
            nn.Conv2d(wide, half, kernel_size=1),
            activation_of(activation),
            nn.Conv2d(half, channels, kernel_size=1),
            activation_of(activation),
            *pad * any(missing),
            nn.Conv2d(channels, channels, kernel),
            activation_of(code_activation),
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(channels, channels, kernel),
            *cut * any(missing),
            activation_of(activation),
            nn.ConvTranspose2d(channels, half, kernel_size=1),
            activation_of(activation),
            nn.ConvTranspose2d(half, wide, kernel_size=1),
            activation_of(output_activation),
        )
        keras_initialisation(self)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as the maps that it gets

    def encode(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) to (B, *code_shape)."""
        return self.encoder(maps)  # type: ignore[no-any-return]

    def decode(self, code: Tensor) -> Tensor:
        """(B, *code_shape) to (B, C, H, W)."""
        return self.decoder(code)  # type: ignore[no-any-return]


class DenseAutoencoder(nn.Module):
    """The simple autoencoder: maps flattened, a dense layer to the code, and one back; more of them if wanted.

    Args:
        shape: Channels, height and width of the maps.
        numbers: Numbers of the code.
        hidden: Units of more layers between maps and code, mirrored between code and maps.
        activation: After each layer but two: a key of `ACTIVATIONS`.
        code_activation: After the layer that puts out the code.
        output_activation: After the last layer.

    Attributes:
        code_shape: Numbers of the code.

    Source:
        Go, Kwon, Kim, section 2.1: three fully connected layers, which are the input, the hidden one and the output.
    """

    def __init__(
        self,
        shape: Sequence[int],
        numbers: int,
        hidden: Sequence[int],
        activation: str,
        code_activation: str,
        output_activation: str,
    ) -> None:
        super().__init__()
        self.code_shape = (numbers,)
        channels, *self.size = shape
        self.flatten = Flatten()
        widths = (*hidden, numbers, *reversed(hidden))
        self.dense = EncoderDecoder(
            channels * math.prod(self.size), widths, activation, None, code_activation, output_activation
        )

    def encode(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) to (B, *code_shape)."""
        return self.dense.encode(self.flatten(maps))

    def decode(self, code: Tensor) -> Tensor:
        """(B, *code_shape) to (B, C, H, W)."""
        flat = self.dense.decode(code)  # (B, H * W * C), channels fastest
        return flat.reshape(len(flat), *self.size, -1).permute(0, 3, 1, 2)


class FeatureAutoencoder(Classifier):
    """A trained network with an autoencoder between its feature maps and what classifies them, which alone is trained.

    ECRNN puts an encoder-decoder at the same place and trains it to classify; this one learns to give back the maps, by the
    mean squared error over their numbers. The network around it, the backbone, stays as it is, to the last bit: it is in
    evaluation mode always, batch statistics included.

    Args:
        image_shape: Channels, height and width of an image.
        num_classes: Classes, K.
        backbone: The trained network, any whose feature maps something classifies; or, as a checkpoint has it, its class and
            settings, from which it is built to be filled with the checkpoint's weights.
        kind: `cae`, a `ConvolutionalAutoencoder`, or `sae`, a `DenseAutoencoder`.
        channels: Channels of the code; that of `sae` has as many numbers as that of `cae` with these channels would have.
        hidden: Of `sae`: units of more dense layers between maps and code, and mirrored.
        activation: After each layer but two: relu, elu, gelu, tanh or none.
        code_activation: After the layer that puts out the code, likewise.
        output_activation: After the last layer, likewise.

    Raises:
        ValueError: If the backbone has no feature maps that something classifies, or the code does not compress them.

    Source:
        Go, Kwon, Kim: Compression method of feature based on CNN image classification network using Autoencoder.
    """

    monitor = "val/loss"
    mode = "min"

    _kept: Tensor | None = None  # during training, (images, H', W', C')

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
        below: Classifier = factory(backbone)() if isinstance(backbone, Mapping) else backbone
        self.hparams["backbone"] = {**plain(type(below)), **{key: plain(value) for key, value in below.hparams.items()}}
        self.backbone = below.eval().requires_grad_(False)
        self.shape = _maps_shape(below, image_shape)
        numbers = math.prod(code_shape(self.shape, channels))
        if numbers > math.prod(self.shape):
            raise ValueError(
                f"model.channels must give a code of no more numbers than the {_shown(self.shape)} maps have, "
                f"{math.prod(self.shape):,}, got {channels}, which gives {numbers:,}"
            )
        if kind not in ("cae", "sae"):
            raise ValueError(f"model.kind must be cae or sae, got {kind!r}")
        if hidden and kind == "cae":
            raise ValueError(f"model.hidden must be [] for cae, whose layers are the paper's, got {[*hidden]}")
        after = (activation, code_activation, output_activation)
        self.autoencoder = (
            ConvolutionalAutoencoder(self.shape, channels, *after)
            if kind == "cae"
            else DenseAutoencoder(self.shape, numbers, hidden, *after)
        )

    def train(self, mode: bool = True) -> "FeatureAutoencoder":
        """Sets the mode of the autoencoder; the backbone's is evaluation."""
        super().train(mode)
        self.backbone.eval()
        return self

    def on_fit_start(self) -> None:
        """Lets Lightning know that the backbone's mode is meant."""
        warnings.filterwarnings("ignore", message="Found .* module.* in eval mode at the start of training")

    @torch.no_grad()
    def on_train_start(self) -> None:
        """Computes the maps of train and val once for all epochs, where nothing changes them and memory holds them.

        It depends on what determines the run alone, so that a resumed one does the same: maps of a batch of 100 may differ in
        their last bits from those of a batch of 32.
        """
        trainer = self.trainer
        loaders: list[Any] = getattr(getattr(trainer, "datamodule", None), "unchanging", list)()
        numbers = math.prod(self.shape)
        images = sum(len(loader.part) for loader in loaders)
        batches = (trainer.num_training_batches, sum(trainer.num_val_batches))
        whole = batches == (len(trainer.train_dataloader or ()), len(trainer.val_dataloaders or ()))
        if (
            not images
            or not whole
            or trainer.world_size > 1
            or trainer.max_epochs == 1
            or BYTES * numbers * images > MEMORY
        ):
            return
        log.info("computes the feature maps of %s images once for all epochs", f"{images:,}")
        for loader in loaders:
            for batch in loader:
                shown, _, index = trainer.strategy.batch_to_device(batch, dataloader_idx=0)
                with trainer.precision_plugin.forward_context():
                    maps = self.maps(shown).permute(0, 2, 3, 1)  # (B, H', W', C')
                if self._kept is None:
                    self._kept = maps.new_empty((len(loader.images), *maps.shape[1:]))
                self._kept[index] = maps

    def on_train_end(self) -> None:
        """Frees the maps' memory."""
        self._kept = None

    def _maps_of(self, batch: Batch) -> Tensor:
        images, _, index = batch
        return self.maps(images) if self._kept is None else self._kept[index].permute(0, 3, 1, 2)

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

    def classify(self, maps: Tensor) -> Tensor:
        """The backbone's logits of feature maps that went through the code, (B, C', H', W') to (B, K)."""
        return self.backbone.classify(self.decode(self.encode(maps)))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Mean squared error of the maps of a batch; logs train/loss over the epoch."""
        maps = self._maps_of(batch)
        return self._note("train", batch_idx, F.mse_loss(self.decode(self.encode(maps)), maps), batch[1])

    def predict_step(self, batch: Batch, *_: int) -> dict[str, Tensor]:
        """Index, label, class and probabilities of every image of a batch, and its class before: by the backbone itself."""
        images, labels, index = batch
        maps = self.maps(images)
        probabilities = F.softmax(self.classify(maps).float(), dim=1)
        before = self.backbone.classify(maps).float().argmax(1)
        found = {"index": index, "label": labels, "class": probabilities.argmax(1), "probabilities": probabilities}
        return {**found, "before": before}

    def _measure(self, stage: str, batch: Batch, batch_idx: int) -> Tensor:
        maps = self._maps_of(batch)
        rebuilt = self.decode(self.encode(maps))
        return self._note(stage, batch_idx, F.mse_loss(rebuilt, maps), batch[1], self.backbone.classify(rebuilt))

    def examples(self, images: Tensor) -> dict[str, Tensor]:
        """The maps of images and what became of them, each (B, C', H', W')."""
        maps = self.maps(images)
        return {"maps": maps, "rebuilt": self.decode(self.encode(maps))}

    def facts(self, predictions: Mapping[str, Mapping[str, NDArray[Any]]]) -> dict[str, Any]:
        """The code's shape, what it saves, and the accuracy before, of the backbone on the same images."""
        shape = self.autoencoder.code_shape
        numbers = math.prod(shape)
        return {
            "maps": {"shape": list(self.shape), "numbers": math.prod(self.shape)},
            "code": {
                "shape": list(shape),
                "numbers": numbers,
                "compression": 1 - numbers / math.prod(self.shape),
                "bytes": BYTES * numbers,  # an image
            },
            "before": {
                f"{part}/acc": float(np.mean(found["before"] == found["label"])) for part, found in predictions.items()
            },
        }


def code_shape(shape: Sequence[int], channels: int) -> tuple[int, int, int]:
    """Channels, height and width of a `ConvolutionalAutoencoder`'s code.

    Args:
        shape: Channels, height and width of the maps.
        channels: Channels of the code.
    """
    height, width = (n - 2 if n >= 3 else n for n in shape[1:])
    return channels, height, width


@torch.no_grad()
def _maps_shape(backbone: Classifier, image_shape: Sequence[int]) -> tuple[int, ...]:
    """Channels, height and width of a network's feature maps, found by sending an image through it."""
    needed = "backbone must be a run of a model whose feature maps (B, C, H, W) something classifies, as those of CNN or ECRNN"
    kind = type(backbone)
    if not isinstance(backbone, Classifier) or kind.classify is Classifier.classify or kind is FeatureAutoencoder:
        raise ValueError(f"{needed}, got one of {kind.__name__}")
    maps = backbone.maps(torch.zeros(1, *image_shape))
    if maps.ndim != 4:
        raise ValueError(f"{needed}, got one of {kind.__name__}, whose are {tuple(maps.shape)}")
    return tuple(maps.shape[1:])


def _shown(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
