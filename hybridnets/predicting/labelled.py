"""What a network's predictions are worth on images whose classes are known."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hybridnets.stats import confusion, most_confused, wilson


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Predictions of images whose classes are known.

    Attributes:
        images: The places of these images among all that were classified, (M,).
        labels: Their classes, (M,).
        predicted: The classes that were predicted, (M,).
        probability: The probability of the predicted class, (M,).
        of_label: The probability of the image's own class, (M,).
        num_classes: Number of classes, K.
    """

    images: NDArray[np.int64]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probability: NDArray[np.float32]
    of_label: NDArray[np.float32]
    num_classes: int

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Counts of images, (K, K): rows are the images' classes, columns the predicted ones."""
        return confusion(self.labels, self.predicted, self.num_classes)

    @property
    def right(self) -> int:
        """How many images were predicted right."""
        return int(self.confusion.trace())

    @property
    def accuracy(self) -> float:
        """Share of the images that were predicted right."""
        return self.right / len(self.images)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy."""
        return wilson(self.right, len(self.images))

    def worst(self, most: int) -> NDArray[np.int64]:
        """The mistakes with the highest probability of the wrong class, the worst first, as places in these arrays.

        Args:
            most: How many at most.
        """
        mistakes = np.flatnonzero(self.predicted != self.labels)
        return mistakes[np.argsort(-self.probability[mistakes], kind="stable")][:most]

    def confused(self, most: int) -> list[tuple[int, int, int]]:
        """The most frequent confusions: the images' class, the predicted one, and how many images.

        Args:
            most: How many at most.
        """
        return most_confused(self.confusion, most)


def evaluate(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> Evaluation:
    """Compares predictions with known classes.

    Args:
        labels: The images' classes, (N,); -1 where one is not known, which leaves its image out.
        probabilities: (N, K).

    Raises:
        ValueError: If no class is known.
    """
    images = np.flatnonzero(labels >= 0)
    if not len(images):
        raise ValueError("labels must hold the class of at least one image, got none")
    labels, probabilities = labels[images], probabilities[images]
    rows, predicted = np.arange(len(images)), probabilities.argmax(axis=1)
    return Evaluation(
        images, labels, predicted, probabilities[rows, predicted], probabilities[rows, labels], probabilities.shape[1]
    )
