"""Train, sweep and honestly compare hybrid CNN / encoder-decoder / RNN image classifiers."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hybridnets.training.predictor import Predictor


def load(run: str | Path, device: str = "cpu") -> "Predictor":
    """The model of a run's reported epoch, ready to predict.

    Args:
        run: A run's folder, such as runs/cifar10/cnn/seed=0-1f3a9c.
        device: Where it computes, in torch's words.

    Raises:
        ValueError: If the folder holds no finished run.
    """
    from hybridnets.training.predictor import Predictor  # torch is imported by those who predict

    return Predictor(Path(run), device)
