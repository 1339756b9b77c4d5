"""The stages that the architectures share: convolutional features, dense encoder-decoder, sequence."""

from collections.abc import Sequence
from types import ModuleType
from typing import Literal

import torch
from torch import Tensor, nn

from hybridnets.rnn import Chooses, load, traced

Activation = Literal["relu", "elu", "gelu", "tanh", "none"]  # the keys of ACTIVATIONS
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "none": nn.Identity,
}

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Flatten(nn.Module):
    """Flattens feature maps as Keras does, channels fastest: (B, C, H, W) to (B, H * W * C)."""

    def forward(self, maps: Tensor) -> Tensor:
        """Flattens (B, C, H, W) to (B, H * W * C)."""
        return maps.permute(0, 2, 3, 1).flatten(1)


class Features(Chooses, nn.Sequential):
    """Blocks of 3x3 convolution, batch normalisation and 2x2 pooling, then `Flatten`: (B, C, H, W) to (B, size).

    On a CPU in float32 one operation does what follows a block's convolution (`hybridnets.models.pooled`), several times faster
    than torch's layers, where Numba is installed and the activation is relu. Its numbers are theirs up to rounding.

    Each block halves height and width. Where the activation stands is not stated in the paper; here it belongs to the
    convolution, as Keras's `activation=` does, and comes before the batch normalisation.

    Args:
        image_shape: Channels, height and width of an image.
        channels: Channels of each block.
        activation: A key of `ACTIVATIONS`.
        batch_norm_momentum: Share of the old running statistics that a batch keeps (Keras's sense; torch's is one minus it).

    Raises:
        ValueError: If the image is smaller than the poolings need.

    Source:
        Woo, Kim, Choi: New Hybrid Approach of CNN and RNN based on Encoder and Decoder, table 1.
    """

    own = "pooled"

    def __init__(
        self, image_shape: Sequence[int], channels: Sequence[int], activation: str, batch_norm_momentum: float
    ) -> None:
        wide, height, width = image_shape
        layers: list[nn.Module] = []
        for out in channels:
            layers += [
                nn.Conv2d(wide, out, kernel_size=3, padding=1),
                activation_of(activation),
                nn.BatchNorm2d(out, eps=1e-3, momentum=1 - batch_norm_momentum),
                nn.MaxPool2d(2),
            ]
            wide, height, width = out, height // 2, width // 2
        if not height * width:
            raise ValueError(
                f"model.channels must be at most {int(min(image_shape[1:])).bit_length() - 1} blocks for images of "
                f"{image_shape[1]}x{image_shape[2]}, each block halves them, got {len(channels)}"
            )
        super().__init__(*layers, Flatten())
        self.positions, self.channels = height * width, wide
        self.size = self.positions * wide
        keras_initialisation(self)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a fifth faster on CPUs

    def forward(self, images: Tensor) -> Tensor:
        """Maps of images, flattened, (B, C, H, W) to (B, size)."""
        return self.flat(self.maps(images))

    def maps(self, images: Tensor) -> Tensor:
        """The maps before they are flattened, (B, C, H, W) to (B, channels, H', W')."""
        layers = list(self)[:-1]
        for convolution, *rest in zip(*[iter(layers)] * 4, strict=True):
            images = convolution(images)
            if self.backend != "torch" and _one_operation(images, *rest) and (fast := self.fast("cpu")):
                images = fast.pooled(images, rest[1])
                continue
            for layer in rest:
                images = layer(images)
        return images

    def fast(self, device: str) -> ModuleType | None:
        """The module of the operation that stands for three layers, on a CPU; None where it does not work."""
        if device != "cpu":
            return None
        return load("hybridnets.models.pooled", "convolution blocks compute by torch, as the faster operation")[0]

    def flat(self, maps: Tensor) -> Tensor:
        """Maps flattened, (B, channels, H', W') to (B, size)."""
        return self[-1](maps)  # type: ignore[no-any-return]


class EncoderDecoder(nn.Sequential):
    """Dense layers that end at the width they began with, (B, size) to (B, size); what the middle one puts out is the code.

    ECNN and ECRNN train it with their head; a feature autoencoder trains it to give back what it was given.

    Args:
        size: Numbers in, and out.
        widths: Units of the layers between; the middle one's are the code.
        activation: After each layer: a key of `ACTIVATIONS`.
        batch_norm_momentum: As in `Features`, of the batch normalisation that ends each layer; None for none.
        code_activation: After the code's layer instead, if given.
        output_activation: After the last layer instead, if given.

    Source:
        Woo, Kim, Choi, table 1: Dense 512, 256, 512, 1,024.
    """

    def __init__(
        self,
        size: int,
        widths: Sequence[int],
        activation: str,
        batch_norm_momentum: float | None,
        code_activation: str | None = None,
        output_activation: str | None = None,
    ) -> None:
        middle = len(widths) // 2
        after = [activation] * (len(widths) + 1)
        after[middle] = code_activation or activation
        after[-1] = output_activation or activation
        layers: list[nn.Module] = []
        wide = size
        for place, out in enumerate((*widths, size)):
            layers += [nn.Linear(wide, out), activation_of(after[place])]
            if batch_norm_momentum is not None:
                layers.append(nn.BatchNorm1d(out, eps=1e-3, momentum=1 - batch_norm_momentum))
            if place == middle:
                before_code = len(layers)
            wide = out
        super().__init__(*layers)
        self.before_code = before_code
        keras_initialisation(self)

    def encode(self, vectors: Tensor) -> Tensor:
        """The code of vectors, (B, size) to (B, widths[middle])."""
        for layer in list(self)[: self.before_code]:
            vectors = layer(vectors)
        return vectors

    def decode(self, code: Tensor) -> Tensor:
        """Vectors from their code, (B, widths[middle]) to (B, size)."""
        for layer in list(self)[self.before_code :]:
            code = layer(code)
        return code


class AsSequence(nn.Module):
    """Cuts each flat vector into the steps of a sequence: (B, size) to (B, T, I) with T * I = size.

    Args:
        size: Numbers a vector.
        sequence: `scalars`, as in the paper, reads each number as a step of one feature. `positions`, the ordinary CRNN of
            Shi et al. (2015), reads each position of the feature maps as a step with all its channels.
        channels: Channels of the feature maps, the features a step of `positions`.
        order: `natural`, or `permuted`: a fixed random order of the steps, which an RNN that had learned something
            of the natural order would miss.
        order_seed: Seed of that order; the global generator has no part in it.

    Raises:
        ValueError: If `sequence` or `order` is none of these.
    """

    permutation: Tensor | None

    def __init__(self, size: int, sequence: str, channels: int, order: str, order_seed: int) -> None:
        super().__init__()
        if sequence not in ("scalars", "positions"):
            raise ValueError(f"model.sequence must be scalars or positions, got {sequence!r}")
        if order not in ("natural", "permuted"):
            raise ValueError(f"model.order must be natural or permuted, got {order!r}")
        self.features = 1 if sequence == "scalars" else channels
        self.steps = size // self.features
        permutation = None
        if order == "permuted":
            permutation = torch.randperm(self.steps, generator=torch.Generator().manual_seed(order_seed))
        self.register_buffer("permutation", permutation)

    def forward(self, flat: Tensor) -> Tensor:
        """Cuts (B, T * I) into (B, T, I)."""
        steps = flat.reshape(-1, self.steps, self.features)
        return steps if self.permutation is None else steps[:, self.permutation]


class Head(nn.Linear):
    """The dense layer that ends every model, (B, size) to (B, K) logits, with Keras's initialisation."""

    def reset_parameters(self) -> None:
        """Glorot uniform weights and zero biases."""
        keras_initialisation(self)


def _one_operation(x: Tensor, activation: nn.Module, norm: nn.Module, pool: nn.Module) -> bool:
    """Whether three layers that follow a convolution are what one operation computes, and nobody looks in between."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not traced(x)
        and min(x.shape) > 0
        and min(x.shape[2:]) > 1  # torch's layers refuse it
        and type(activation) is nn.ReLU
        and type(norm) is nn.BatchNorm2d  # none that is synchronised between processes
        and norm.momentum is not None
        and norm.weight is not None
        and norm.running_mean is not None
        and norm.weight.dtype == torch.float32
        and not any(getattr(layer, hooks) for layer in (activation, norm, pool) for hooks in HOOKS)
    )


def keras_initialisation(module: nn.Module) -> None:
    """Draws convolutions and dense layers as Keras's defaults do: Glorot uniform weights, zero biases."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def activation_of(name: str) -> nn.Module:
    """The layer that a key of `ACTIVATIONS` names.

    Raises:
        ValueError: If it names none.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"model.activation must be one of {', '.join(ACTIVATIONS)}, got {name!r}")
    return ACTIVATIONS[name]()
