"""Which classes are taken for which: counts of images by true and predicted class."""

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def confusion(label: NDArray[np.integer], predicted: NDArray[np.integer], classes: int) -> Integers:
    """The number of images by true class (rows) and predicted class (columns), (K, K).

    Args:
        label: The true class, (N,), 0 to K - 1.
        predicted: The predicted class, (N,), 0 to K - 1.
        classes: The number of classes, K.
    """
    cell = label.astype(np.int64) * classes + predicted
    return np.bincount(cell, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def most_confused(counts: Integers, most: int) -> list[tuple[int, int, int]]:
    """The most frequent mistakes: the true class, the predicted one, and how many images; equals in order of the classes.

    Args:
        counts: The images by true class (rows) and predicted class (columns), (K, K).
        most: How many at most.
    """
    mistakes = counts - np.diag(np.diag(counts))
    order = np.argsort(-mistakes, axis=None, kind="stable")[:most]
    pairs = [divmod(int(place), len(counts)) for place in order]
    return [
        (label, predicted, int(mistakes[label, predicted])) for label, predicted in pairs if mistakes[label, predicted]
    ]
