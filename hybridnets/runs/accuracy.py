"""Whether the accuracy recorded for an epoch and the one that its published weights give are of the same weights."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Of two evaluations of the same weights on the same images, on other processors or in bfloat16, rounding decides which of two
# nearly equal probabilities is the larger: for a few images in ten thousand.
MOVED = 0.002


def same_weights(recorded: float, predicted: float, images: int) -> bool:
    """Whether two accuracies differ by no more images than rounding moves: 0.2 % of them, and one in any case.

    Args:
        recorded: Accuracy as it was measured while the run trained, a fraction.
        predicted: Accuracy of the published weights' predictions, a fraction.
        images: How many images each was measured on.
    """
    return abs(recorded - predicted) * images <= _moved(images) + 1e-3  # float32's rounding of a share


def same_classes(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two evaluations of the same images differ by no more classes than rounding moves.

    Args:
        one: Predicted classes, (N,).
        other: Likewise, of the same images.
    """
    return int(np.sum(one != other)) <= _moved(len(one))


def _moved(images: int) -> float:
    return max(1, MOVED * images)


def is_comparable(trainer: dict[str, object]) -> bool:
    """Whether the accuracy of an epoch was measured on all images of val, as the predictions are.

    Args:
        trainer: The trainer's part of a run's identity.
    """
    return not {"limit_val_batches", "overfit_batches"} & trainer.keys()
