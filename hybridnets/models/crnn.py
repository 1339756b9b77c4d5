"""The hybrid whose recurrent layer reads the flattened features in whatever order the convolutions produce."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from hybridnets.models.classifier import Classifier, factory
from hybridnets.models.stages import (
    BATCH_NORM_MOMENTUM,
    CHANNELS,
    AsSequence,
    Features,
    Head,
    initialise,
)
from hybridnets.runs.identities import Activation, Initialisation


class CRNN(Classifier):
    """Convolutional features, cut into a sequence that a recurrent layer reads, and a dense head on its final output.

    Args:
        image_shape: Channels, height and width of an image.
        num_classes: Classes, K.
        rnn: Builds the recurrent layer from input_size, hidden_size and num_layers; see `hybridnets.rnn`.
        hidden_size: Units per recurrent layer and direction (the paper's nodes).
        num_layers: Number of recurrent layers.
        channels: Channels of the convolution blocks.
        activation: After each convolution: a key of `ACTIVATIONS`.
        batch_norm_momentum: Share of the old running statistics that a batch keeps (Keras's sense).
        dropout: Share of the head's input that is dropped in training.
        sequence: The steps: scalars (as in the paper) or positions; see `AsSequence`.
        order: Order of the steps: natural or permuted; see `AsSequence`.
        order_seed: Seed of the permuted order.
        initialisation: The first weights: keras (Glorot uniform; recurrent weights orthogonal) or torch; see `initialise`.

    Source:
        Woo, Kim, Choi, section 3 for scalars; Shi, Bai, Yao (2015), arXiv:1507.05717, for positions.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_classes: int,
        rnn: Callable[..., Any] | Mapping[str, Any],
        hidden_size: int = 16,
        num_layers: int = 1,
        channels: Sequence[int] = CHANNELS,
        activation: Activation = "relu",
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
        self.sequence = AsSequence(self.cnn.size, sequence, self.cnn.channels, order, order_seed)
        self.rnn = factory(rnn)(input_size=self.sequence.features, hidden_size=hidden_size, num_layers=num_layers)
        self.dropout = nn.Dropout(dropout)
        self.head = Head(self.rnn.output_size, num_classes)
        initialise(self, initialisation)

    def classify(self, maps: Tensor) -> Tensor:
        """Logits of feature maps, (B, C, H, W) to (B, K)."""
        flat = self.cnn.flat(maps)  # (B, H * W * C), channels fastest
        steps = self.sequence(flat)  # (B, T, I)
        return self.head(self.dropout(self.rnn(steps)))  # type: ignore[no-any-return]  # (B, D * hidden) to (B, K)
