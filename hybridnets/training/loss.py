"""Label smoothing and class weights of the loss that is trained on."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hybridnets.data.dataset import Integers
from hybridnets.models import Classifier
from hybridnets.program import few


def set_loss(model: Classifier, loss: Mapping[str, Any], labels: Integers, classes: Sequence[str]) -> None:
    """Gives a model the settings of its training loss.

    Args:
        model: The model.
        loss: `label_smoothing`, and `class_weights`: None, balanced or a list.
        labels: Classes of the training part, (n,).
        classes: The classes' names, in order.

    Raises:
        ValueError: If the weights do not fit the classes, or the model computes a loss of its own, which knows no such setting.
    """
    smoothing, weights = loss["label_smoothing"], loss["class_weights"]
    own = type(model).training_step is not Classifier.training_step
    for key, value, off in (("label_smoothing", smoothing, 0.0), ("class_weights", weights, None)):
        if own and value != off:
            raise ValueError(
                f"loss.{key} must be {'null' if off is None else off} for {type(model).__name__}, whose training_step computes "
                f"a loss of its own, got {value}"
            )
    model.label_smoothing = float(smoothing)
    model.class_weights = None if weights is None else class_weights(weights, labels, classes)


def class_weights(weights: str | Sequence[float], labels: Integers, classes: Sequence[str]) -> Tensor:
    """What an image of each class counts, (K,) float32.

    Args:
        weights: A list; or balanced, n / (K * count) for a class that has count of the n images, so that all classes count
            alike in sum.
        labels: Classes of the training part, (n,).
        classes: The classes' names, in order.

    Raises:
        ValueError: If the list has another length, or balanced lacks a class.

    Source:
        balanced: King and Zeng (2001), Logistic regression in rare events data, as in scikit-learn.
    """
    if weights != "balanced":
        if len(weights) != len(classes):
            raise ValueError(
                f"loss.class_weights must have a weight for each of the {len(classes)} classes, in the order {few(classes)}, "
                f"got {len(weights)}"
            )
        return torch.tensor(weights, dtype=torch.float32)
    counts = np.bincount(labels, minlength=len(classes))
    if not counts.all():
        missing = [name for name, count in zip(classes, counts, strict=True) if not count]
        raise ValueError(
            f"loss.class_weights must be null or a list where the training part lacks a class, as it lacks "
            f"{few(missing)} at this split seed, got balanced"
        )
    return torch.from_numpy((len(labels) / (len(classes) * counts)).astype(np.float32))
