"""Autoencoders of feature maps: one of convolutions, one of dense layers."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hybridnets.models.stages import EncoderDecoder, Flatten, activation_of, keras_initialisation


class ConvolutionalAutoencoder(nn.Module):
    """Encodes maps (B, C, H, W) by three convolutions, and decodes them by three transposed ones in reverse order.

    The encoder is a 1x1 convolution to C / 2 channels, a 1x1 convolution to the code's channels, and a 3x3 convolution without
    padding, which removes two rows and two columns. For maps smaller than 3x3 the last kernel has the size of the maps,
    min(3, H) x min(3, W), and the code keeps their height and width: the maps are padded with zeros after the last row and
    column, and the decoder cuts these off again.

    Args:
        shape: Channels, height and width of the maps.
        channels: Channels of the code.
        activation: After each layer but those two: a key of `ACTIVATIONS`.
        code_activation: After the layer whose output is the code.
        output_activation: After the last layer.

    Attributes:
        code_shape: Channels, height and width of the code.

    Source:
        Go, Kwon, Kim, section 3: 512 x 7 x 7 to 256 to 128 channels to 128 x 5 x 5. It names no activations and no initial
        weights, and its code always has C / 4 channels. Assumed: a code of more than C / 2 channels widens the first layer.
    """

    def __init__(
        self, shape: Sequence[int], channels: int, activation: str, code_activation: str, output_activation: str
    ) -> None:
        super().__init__()
        self.code_shape = code_shape(shape, channels)
        map_channels, height, width = shape
        half = max(map_channels // 2, channels)
        kernel = (min(3, height), min(3, width))
        padding = (0, self.code_shape[2] - (width - kernel[1] + 1), 0, self.code_shape[1] - (height - kernel[0] + 1))
        pad, cut = [nn.ZeroPad2d(padding)], [nn.ZeroPad2d(tuple(-n for n in padding))]  # type: ignore[arg-type]
        self.encoder = nn.Sequential(
            nn.Conv2d(map_channels, half, kernel_size=1),
            activation_of(activation),
            nn.Conv2d(half, channels, kernel_size=1),
            activation_of(activation),
            *pad * any(padding),
            nn.Conv2d(channels, channels, kernel),
            activation_of(code_activation),
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(channels, channels, kernel),
            *cut * any(padding),
            activation_of(activation),
            nn.ConvTranspose2d(channels, half, kernel_size=1),
            activation_of(activation),
            nn.ConvTranspose2d(half, map_channels, kernel_size=1),
            activation_of(output_activation),
        )
        keras_initialisation(self)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # like its input

    def encode(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) to (B, *code_shape)."""
        return self.encoder(maps)  # type: ignore[no-any-return]

    def decode(self, code: Tensor) -> Tensor:
        """(B, *code_shape) to (B, C, H, W)."""
        return self.decoder(code)  # type: ignore[no-any-return]


class DenseAutoencoder(nn.Module):
    """The simple autoencoder: flattens the maps, encodes them by a dense layer and decodes them by another.

    Args:
        shape: Channels, height and width of the maps.
        size: Size of the code.
        hidden: Units of further dense layers between maps and code, and in reverse order between code and maps.
        activation: After each layer but those two: a key of `ACTIVATIONS`.
        code_activation: After the layer whose output is the code.
        output_activation: After the last layer.

    Attributes:
        code_shape: The code's size alone, because a code is flat.

    Source:
        Go, Kwon, Kim, section 2.1: three fully connected layers, which are input, hidden layer and output.
    """

    def __init__(
        self,
        shape: Sequence[int],
        size: int,
        hidden: Sequence[int],
        activation: str,
        code_activation: str,
        output_activation: str,
    ) -> None:
        super().__init__()
        self.code_shape = (size,)
        self.channels, self.height, self.width = shape
        self.flatten = Flatten()
        widths = (*hidden, size, *reversed(hidden))
        self.dense = EncoderDecoder(math.prod(shape), widths, activation, None, code_activation, output_activation)

    def encode(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) to (B, *code_shape)."""
        return self.dense.encode(self.flatten(maps))  # (B, H * W * C) to (B, size)

    def decode(self, code: Tensor) -> Tensor:
        """(B, *code_shape) to (B, C, H, W)."""
        flat = self.dense.decode(code)  # (B, H * W * C), channels fastest
        # The batch is what is left over: a trace would hold its length.
        return flat.reshape(-1, self.height, self.width, self.channels).permute(0, 3, 1, 2)


def code_shape(shape: Sequence[int], channels: int) -> tuple[int, int, int]:
    """Channels, height and width of a `ConvolutionalAutoencoder`'s code.

    Args:
        shape: Channels, height and width of the maps.
        channels: Channels of the code.
    """
    height, width = (n - 2 if n >= 3 else n for n in shape[1:])
    return channels, height, width
