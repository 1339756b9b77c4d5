"""The paper's hybrid: an encoder-decoder between CNN and RNN learns the order in which the RNN reads the features."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from hybridnets.models.classifier import Classifier, factory
from hybridnets.models.stages import (
    BATCH_NORM_MOMENTUM,
    CHANNELS,
    DENSE_UNITS,
    AsSequence,
    EncoderDecoder,
    Features,
    Head,
    initialise,
)
from hybridnets.runs.identities import Activation, Initialisation


class ECRNN(Classifier):
    """CRNN with a dense encoder-decoder between the convolutional features and the sequence.

    Args:
        image_shape: Channels, height and width of an image.
        num_classes: Classes, K.
        rnn: Builds the recurrent layer from input_size, hidden_size and num_layers; see `hybridnets.rnn`.
        hidden_size: Units per recurrent layer and direction (the paper's nodes).
        num_layers: Number of recurrent layers.
        channels: Channels of the convolution blocks.
        dense: Units of the encoder-decoder's layers before the last, which is as wide as the features.
        activation: After each convolution: a key of `ACTIVATIONS`.
        dense_activation: After each dense layer of the encoder-decoder: a key of `ACTIVATIONS`.
        batch_norm_momentum: Share of the old running statistics that a batch keeps (Keras's sense).
        dropout: Share of the head's input that is dropped in training.
        sequence: The steps: scalars (as in the paper) or positions; see `AsSequence`.
        order: Order of the steps: natural or permuted; see `AsSequence`.
        order_seed: Seed of the permuted order.
        initialisation: The first weights: keras (Glorot uniform; recurrent weights orthogonal) or torch; see `initialise`.

    Source:
        Woo, Kim, Choi: New Hybrid Approach of CNN and RNN based on Encoder and Decoder, table 1.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_classes: int,
        rnn: Callable[..., Any] | Mapping[str, Any],
        hidden_size: int = 16,
        num_layers: int = 1,
        channels: Sequence[int] = CHANNELS,
        dense: Sequence[int] = DENSE_UNITS,
        activation: Activation = "relu",
        dense_activation: Activation = "relu",
        batch_norm_momentum: float = BATCH_NORM_MOMENTUM,
        dropout: float = 0.0,
        sequence: str = "scalars",
        order: str = "natural",
        order_seed: int = 0,
        initialisation: Initialisation = "keras",
    ) -> None:
        super().__init__(num_classes)
        self.save_hyperparameters()
        self.cnn = Features(image_shape, channels, activation, batch_norm_momentum)
        self.encoder = EncoderDecoder(self.cnn.size, dense, dense_activation, batch_norm_momentum)
        self.sequence = AsSequence(self.cnn.size, sequence, self.cnn.channels, order, order_seed)
        self.rnn = factory(rnn)(input_size=self.sequence.features, hidden_size=hidden_size, num_layers=num_layers)
        self.dropout = nn.Dropout(dropout)
        self.head = Head(self.rnn.output_size, num_classes)
        initialise(self, initialisation)

    def classify(self, maps: Tensor) -> Tensor:
        """Logits of feature maps, (B, C, H, W) to (B, K)."""
        flat = self.cnn.flat(maps)  # (B, H * W * C), channels fastest
        steps = self.sequence(self.encoder(flat))  # (B, T, I)
        return self.head(self.dropout(self.rnn(steps)))  # type: ignore[no-any-return]  # (B, D * hidden) to (B, K)
