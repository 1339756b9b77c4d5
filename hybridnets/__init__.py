"""Train, sweep and honestly compare hybrid CNN / encoder-decoder / RNN image classifiers."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hybridnets.predicting import Predictor

__version__ = "0.2.0"


def load(run: str | Path, device: str = "cpu") -> "Predictor":
    """Loads the model of a run's reported epoch, ready to predict; one of a feature autoencoder encodes and decodes, too.

    Args:
        run: A run's folder, such as runs/cifar10/cnn/seed=0-1f3a9c.
        device: The device that computes, as torch names it.

    Raises:
        ValueError: If the folder holds no finished run.
    """
    from hybridnets.predicting import load_predictor  # here, because it imports torch

    return load_predictor(Path(run), device)
