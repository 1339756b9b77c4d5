"""The plain convolutional network that the hybrids are compared with."""

from collections.abc import Sequence

from torch import Tensor, nn

from hybridnets.models.classifier import Classifier
from hybridnets.models.stages import (
    BATCH_NORM_MOMENTUM,
    CHANNELS,
    Features,
    Head,
    initialise,
)
from hybridnets.runs.identities import Activation, Initialisation


class CNN(Classifier):
    """Convolutional features, flattened, and a dense head.

    Args:
        image_shape: Channels, height and width of an image.
        num_classes: Classes, K.
        channels: Channels of the convolution blocks.
        activation: After each convolution: a key of `ACTIVATIONS`.
        batch_norm_momentum: Share of the old running statistics that a batch keeps (Keras's sense).
        dropout: Share of the head's input that is dropped in training.
        initialisation: The first weights: keras (Glorot uniform; recurrent weights orthogonal) or torch; see `initialise`.

    Source:
        Woo, Kim, Choi, section 3; the single dense layer of its head is inferred.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_classes: int,
        channels: Sequence[int] = CHANNELS,
        activation: Activation = "relu",
        batch_norm_momentum: float = BATCH_NORM_MOMENTUM,
        dropout: float = 0.0,
        initialisation: Initialisation = "keras",
    ) -> None:
        super().__init__(num_classes)
        self.save_hyperparameters()
        self.cnn = Features(image_shape, channels, activation, batch_norm_momentum)
        self.dropout = nn.Dropout(dropout)
        self.head = Head(self.cnn.size, num_classes)
        initialise(self, initialisation)

    def classify(self, maps: Tensor) -> Tensor:
        """Logits of feature maps, (B, C, H, W) to (B, K)."""
        flat = self.cnn.flat(maps)  # (B, H * W * C), channels fastest
        return self.head(self.dropout(flat))  # type: ignore[no-any-return]
