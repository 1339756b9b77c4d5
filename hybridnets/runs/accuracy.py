"""Do two evaluations belong to the same weights? Accuracies and classes are compared up to rounding."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# When the same weights are evaluated twice on the same images, on another processor or in bfloat16, rounding decides which of
# two nearly equal probabilities is larger. This concerns a few images in ten thousand.
MOVED_SHARE = 0.002


def same_weights(recorded: float, predicted: float, images: int) -> bool:
    """Whether two accuracies differ by no more images than rounding moves: 0.2 % of them, and one in any case.

    Args:
        recorded: Accuracy as it was measured while the run trained, a fraction.
        predicted: Accuracy of the published weights' predictions, a fraction.
        images: How many images each was measured on.
    """
    return abs(recorded - predicted) * images <= _moved(images) + 1e-3  # float32's rounding of a share


def same_classes(first: NDArray[Any], second: NDArray[Any]) -> bool:
    """Whether two evaluations of the same images differ by no more classes than rounding moves.

    Args:
        first: Predicted classes of one evaluation, (N,).
        second: Predicted classes of the other evaluation, (N,), of the same images.
    """
    return int(np.sum(first != second)) <= _moved(len(first))


def _moved(images: int) -> float:
    return max(1, MOVED_SHARE * images)


def is_comparable(trainer: dict[str, object]) -> bool:
    """Whether the accuracy of an epoch was measured on all images of val, as the predictions are.

    Args:
        trainer: The trainer's part of a run's identity.
    """
    return not {"limit_val_batches", "overfit_batches"} & trainer.keys()
