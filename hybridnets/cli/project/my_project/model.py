"""A model of this project: conf/model/mlp.yaml gives its settings, so model=mlp trains it."""

import math

from hybridnets.models import Classifier
from torch import Tensor, nn


class MLP(Classifier):
    """Two dense layers. image_shape (C, H, W) and num_classes K come from the data, everything else from the YAML."""

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int, width: int = 32) -> None:
        super().__init__(num_classes)
        self.save_hyperparameters()  # so that `hybridnets predict` can build the model again
        self.hidden = nn.Linear(math.prod(image_shape), width)
        self.head = nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Standardised images (B, C, H, W) to logits (B, K)."""
        return self.head(self.hidden(images.flatten(1)).relu())
