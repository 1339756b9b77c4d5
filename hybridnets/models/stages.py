"""The stages that the architectures share: convolutional features, dense encoder-decoder, sequence, head."""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hybridnets.rnn import GRU, LSTM, RNN
from hybridnets.rnn.backends import Accelerated, is_traced, load_kernels

# Defaults of the architectures, from the first paper's table 1; a test keeps conf/model equal to them.
CHANNELS = (32, 64, 128, 256)
DENSE_UNITS = (512, 256, 512)
BATCH_NORM_MOMENTUM = 0.99  # in Keras's sense, and Keras's default

ACTIVATIONS: dict[str, type[nn.Module]] = {  # by the names of runs.identities.Activation
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


class Block(NamedTuple):
    """A block of `Features`, a view of four of its layers: 3x3 convolution, activation, batch normalisation, 2x2 pooling.

    The paper does not state where the activation stands. Here it belongs to the convolution, as Keras's `activation=` does, and
    comes before the batch normalisation.
    """

    convolution: nn.Module
    activation: nn.Module
    norm: nn.Module
    pool: nn.Module

    def forward(self, images: Tensor, kernels_on: Callable[[str], ModuleType | None] | None) -> Tensor:
        """Maps of half the height and width, (B, C, H, W) to (B, C', H // 2, W // 2).

        Args:
            images: Images, or the maps of the block before.
            kernels_on: From a device to the kernels for what follows the convolution, if they work; None for torch's layers.
        """
        maps = self.convolution(images)  # (B, C', H, W)
        if kernels_on and self.fits_kernels(maps) and (kernels := kernels_on("cpu")):
            return kernels.relu_norm_pool(maps, self.norm)  # type: ignore[no-any-return]
        return self.pool(self.norm(self.activation(maps)))  # type: ignore[no-any-return]

    def fits_kernels(self, maps: Tensor) -> bool:
        """Whether the kernels may compute what the three layers after the convolution do."""
        return _maps_fit(maps) and self._layers_fit() and not self._has_hooks()

    def _layers_fit(self) -> bool:
        """Whether the kernels compute such layers: ReLU, and batch normalisation that learns and keeps statistics."""
        norm = self.norm
        return (
            type(self.activation) is nn.ReLU
            and type(norm) is nn.BatchNorm2d  # and not one that is synchronised between processes
            and norm.momentum is not None
            and norm.running_mean is not None
            and norm.weight is not None
            and norm.weight.dtype == torch.float32
        )

    def _has_hooks(self) -> bool:
        """Whether anybody observes the layers one by one."""
        return any(getattr(layer, hooks) for layer in (self.activation, self.norm, self.pool) for hooks in HOOKS)


class Features(Accelerated, nn.Sequential):
    """Convolution blocks, then `Flatten`: (B, C, H, W) to (B, size). Each block halves height and width.

    On a CPU in float32 one operation (`hybridnets.kernels.cpu.blocks`) does what follows a block's convolution, several times
    faster than torch's layers, if Numba is installed and the activation is relu. The results are equal up to rounding.

    The layers of all blocks form one flat sequence, which names the parameters: `0.weight` is the first block's convolution,
    and `4.weight` the second's.

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

    kernels_name = "pooled"

    def __init__(
        self, image_shape: Sequence[int], channels: Sequence[int], activation: str, batch_norm_momentum: float
    ) -> None:
        wide, height, width = image_shape
        layers: list[nn.Module] = []
        for out in channels:
            layers += Block(
                nn.Conv2d(wide, out, kernel_size=3, padding=1),
                activation_of(activation),
                nn.BatchNorm2d(out, eps=1e-3, momentum=1 - batch_norm_momentum),
                nn.MaxPool2d(2),
            )
            wide, height, width = out, height // 2, width // 2
        if not height * width:
            raise ValueError(_too_small(image_shape, len(channels)))
        super().__init__(*layers, Flatten())
        self.positions, self.channels = height * width, wide
        self.size = self.positions * wide
        keras_initialisation(self)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a fifth faster on CPUs

    @property
    def blocks(self) -> list[Block]:
        """The blocks; each is a view of its layers, which may be replaced."""
        layers = list(self)[:-1]
        return [Block(*layers[first : first + 4]) for first in range(0, len(layers), 4)]

    def forward(self, images: Tensor) -> Tensor:
        """Maps of images, flattened, (B, C, H, W) to (B, size)."""
        return self.flat(self.maps(images))

    def maps(self, images: Tensor) -> Tensor:
        """The maps before they are flattened, (B, C, H, W) to (B, channels, H', W')."""
        kernels_on = None if self.backend == "torch" else self.kernels_on
        for block in self.blocks:
            images = block.forward(images, kernels_on)
        return images

    def kernels_on(self, device: str) -> ModuleType | None:
        """The module of the kernels for what follows a block's convolution; None on a GPU, and where they do not work."""
        return load_kernels("hybridnets.kernels.cpu.blocks", "convolution blocks")[0] if device == "cpu" else None

    def flat(self, maps: Tensor) -> Tensor:
        """Maps flattened, (B, channels, H', W') to (B, size)."""
        return self[-1](maps)  # type: ignore[no-any-return]


class EncoderDecoder(nn.Sequential):
    """Dense layers whose output is as wide as their input, (B, size) to (B, size); the middle layer's output is the code.

    ECNN and ECRNN train it together with their head; a feature autoencoder trains it to reproduce its input.

    Args:
        size: Width of input and output.
        widths: Units of the layers before the last; those of the middle layer are the code.
        activation: After each layer: a key of `ACTIVATIONS`.
        batch_norm_momentum: As in `Features`, of the batch normalisation that ends each layer; None leaves it out.
        code_activation: After the code's layer, if it differs from `activation`.
        output_activation: After the last layer, if it differs from `activation`.

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
        activations = [activation] * (len(widths) + 1)
        activations[middle] = code_activation or activation
        activations[-1] = output_activation or activation
        layers: list[nn.Module] = []
        in_features = size
        for i, out_features in enumerate((*widths, size)):
            layers += [nn.Linear(in_features, out_features), activation_of(activations[i])]
            if batch_norm_momentum is not None:
                layers.append(nn.BatchNorm1d(out_features, eps=1e-3, momentum=1 - batch_norm_momentum))
            if i == middle:
                encoder_length = len(layers)
            in_features = out_features
        super().__init__(*layers)
        self.encoder_length = encoder_length
        keras_initialisation(self)

    def encode(self, vectors: Tensor) -> Tensor:
        """The code of vectors, (B, size) to (B, widths[middle])."""
        for layer in list(self)[: self.encoder_length]:
            vectors = layer(vectors)
        return vectors

    def decode(self, code: Tensor) -> Tensor:
        """Vectors from their code, (B, widths[middle]) to (B, size)."""
        for layer in list(self)[self.encoder_length :]:
            code = layer(code)
        return code


class AsSequence(nn.Module):
    """Cuts each flat vector into the steps of a sequence: (B, size) to (B, T, I) with T * I = size.

    Args:
        size: Length of a vector.
        sequence: `scalars`, as in the paper, makes each value a step with one feature. `positions`, as in the CRNN of
            Shi et al. (2015), makes each position of the feature maps a step whose features are the channels.
        channels: Channels of the feature maps.
        order: `natural`, or `permuted` for a fixed random order of the steps: it hurts an RNN only if the natural order
            carries information. Behind a dense layer, which is trained with it in place, it only numbers the units otherwise.
        order_seed: Seed of that random order, which does not depend on the global generator.

    Raises:
        ValueError: If `sequence` or `order` is not one of these.
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
        steps = flat.reshape(-1, self.steps, self.features)  # (B, T, I)
        return steps if self.permutation is None else steps[:, self.permutation]


class Head(nn.Linear):
    """The last layer of every model, dense, (B, size) to (B, K) logits, with Keras's initialisation."""

    def reset_parameters(self) -> None:
        """Glorot uniform weights and zero biases."""
        keras_initialisation(self)


def _too_small(image_shape: Sequence[int], blocks: int) -> str:
    """Why images are too small for as many blocks, and what would do."""
    _, height, width = image_shape
    most = min(height, width).bit_length() - 1
    if most == 0:
        return f"images must be at least 2x2 for model.channels, whose blocks each halve them, got {height}x{width}"
    return (
        f"model.channels must be at most {most} blocks for images of {height}x{width}, as each block halves them, got {blocks} "
        f"(which images of {2**blocks}x{2**blocks} or more admit)"
    )


def _maps_fit(maps: Tensor) -> bool:
    """Whether the kernels can read maps: in float32 on a CPU, not empty, as high and as wide as a window, and not traced."""
    return (
        maps.device.type == "cpu"
        and maps.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not is_traced(maps)
        and min(maps.shape) > 0
        and min(maps.shape[2:]) > 1  # torch's layers refuse less
    )


def keras_initialisation(module: nn.Module) -> None:
    """Initialises convolutions and dense layers by Keras's defaults: Glorot uniform weights, zero biases."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def initialise(model: nn.Module, initialisation: str) -> None:
    """Draws the first weights of a model's stages again where torch's are wanted; the stages have drawn Keras's already.

    Layers of the user's own keep theirs. A bias that a recurrent layer holds at zero stays there.

    Args:
        model: The model, with its stages.
        initialisation: `keras` or `torch`.

    Raises:
        ValueError: If it is neither.
    """
    if initialisation not in ("keras", "torch"):
        raise ValueError(f"model.initialisation must be keras or torch, got {initialisation!r}")
    if initialisation == "keras":
        return
    for stage in model.children():
        if isinstance(stage, Features | EncoderDecoder | Head):
            for layer in stage.modules():
                if isinstance(layer, nn.Conv2d):
                    nn.Conv2d.reset_parameters(layer)
                elif isinstance(layer, nn.Linear):
                    nn.Linear.reset_parameters(layer)  # Head's own is Keras's
        elif isinstance(stage, RNN | LSTM | GRU):
            nn.RNNBase.reset_parameters(stage)
            for parameter in stage.parameters():
                if not parameter.requires_grad:
                    nn.init.zeros_(parameter)


def activation_of(name: str) -> nn.Module:
    """The layer that a key of `ACTIVATIONS` names.

    Raises:
        ValueError: If there is no such key.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"model.activation must be one of {', '.join(ACTIVATIONS)}, got {name!r}")
    return ACTIVATIONS[name]()
