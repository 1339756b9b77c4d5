"""How good predictions are: measures of predicted classes and probabilities, each with its unit and direction.

All are a few lines of NumPy from the confusion matrix or the probabilities, so that a report needs no other library for them;
the tests compare them with scikit-learn and torchmetrics. What is undefined is NaN, without a warning, and `Quality.why_not`
has the reason.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hybridnets.stats.confusion import Integers, confusion

Floats = NDArray[np.float64]
Need = Literal["classes", "true_probability", "probabilities"]

# Probabilities below it count as this one in a logarithm: what scikit-learn does with float32, as which they are stored.
LEAST_PROBABILITY = float(np.finfo(np.float32).eps)
BINS = 15  # of the expected calibration error, as in Guo et al. 2017


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a network predicts of N images of K classes.

    Attributes:
        label: The true class, (N,), 0 to K - 1.
        predicted: The predicted class, (N,), 0 to K - 1.
        classes: The number of classes, K, at least 2.
        probabilities: The probability of every class, (N, K); None if they are not stored.
        probability: The probability of the true class alone, (N,), where only that is stored; None otherwise.

    Raises:
        ValueError: If there are no images, the shapes do not fit, or a class is not 0 to K - 1.
    """

    label: NDArray[np.integer]
    predicted: NDArray[np.integer]
    classes: int
    probabilities: NDArray[np.floating] | None = None
    probability: NDArray[np.floating] | None = None

    def __post_init__(self) -> None:
        """Checks shapes and classes."""
        n = len(self.label)
        for name, column in (("label", self.label), ("predicted", self.predicted)):
            if column.shape != (n,) or not n or column.dtype.kind not in "iu":
                raise ValueError(f"{name} must be a row of at least one class, got {column.dtype} {column.shape}")
            if column.min() < 0 or column.max() >= self.classes:
                raise ValueError(f"{name} must be 0 to {self.classes - 1}, got {column.min()} to {column.max()}")
        for name, array, shape in (
            ("probabilities", self.probabilities, (n, self.classes)),
            ("probability", self.probability, (n,)),
        ):
            if array is not None and array.shape != shape:
                raise ValueError(f"{name} must have the shape {shape}, got {array.shape}")

    @property
    def true_probability(self) -> Floats | None:
        """The probability of the true class, (N,); None if it is not stored."""
        if self.probabilities is not None:
            return np.asarray(self.probabilities[np.arange(len(self.label)), self.label], np.float64)
        return None if self.probability is None else np.asarray(self.probability, np.float64)

    @cached_property
    def confusion(self) -> Integers:
        """The number of images by true class (rows) and predicted class (columns), (K, K)."""
        return confusion(self.label, self.predicted, self.classes)

    def stored(self, need: Need) -> NDArray[np.floating] | NDArray[np.integer] | None:
        """What a measure needs; None if it is not stored."""
        if need == "probabilities":
            return self.probabilities
        return self.true_probability if need == "true_probability" else self.predicted


@dataclass(frozen=True)
class Quality:
    """A measure of predictions.

    Attributes:
        key: Its short name in requests and files.
        name: Its name in sentences and headings.
        unit: "percent" of a share, which is computed as a fraction; "nats"; or empty for a number without a unit.
        higher_is_better: Its direction.
        needs: The predicted classes, the probability of the true class, or the probabilities of all classes.
        compute: From predictions to the value; use `of`, which looks whether it is defined.
        per_image: The values of the images, (N,), whose mean it is; None if it is not a mean over images, so that no
            test or interval over images applies.
        least_classes: The smallest number of classes at which it says anything.
    """

    key: str
    name: str
    unit: str
    higher_is_better: bool
    needs: Need
    compute: Callable[[Predicted], float]
    per_image: Callable[[Predicted], Floats] | None = None
    least_classes: int = 2

    def why_not(self, predictions: Predicted) -> str:
        """Why the measure is undefined for predictions; empty if it is defined."""
        if predictions.classes < self.least_classes:
            return f"fewer than {self.least_classes} classes"
        if (array := predictions.stored(self.needs)) is None:
            probabilities = "the true class" if self.needs == "true_probability" else "all classes"
            return f"no probabilities of {probabilities}"
        if not np.isfinite(array).all():
            return "probabilities that are not finite"
        return "one class only" if self.key == "auroc" and len(np.unique(predictions.label)) < 2 else ""

    def of(self, predictions: Predicted) -> float:
        """The value; NaN if it is undefined."""
        return float("nan") if self.why_not(predictions) else self.compute(predictions)


def right(predictions: Predicted) -> Floats:
    """Whether each image's predicted class is its label, 0 or 1, (N,); its mean is the accuracy."""
    return np.asarray(predictions.predicted == predictions.label, np.float64)


def macro_f1(predictions: Predicted) -> float:
    """The mean over classes of F1 = 2 TP / (2 TP + FP + FN), over the classes that are a label or are predicted.

    A class that is predicted, but of which there is no image, counts with 0.

    Source: Sokolova and Lapalme 2009, A systematic analysis of performance measures for classification tasks, Information
    Processing and Management 45(4), 427-437; averaged over classes, as in scikit-learn and torchmetrics.
    """
    table = predictions.confusion
    both = table.sum(0) + table.sum(1)  # 2 TP + FP + FN
    return float((2 * np.diag(table)[both > 0] / both[both > 0]).mean())


def balanced_accuracy(predictions: Predicted) -> float:
    """The mean over classes of the share of their images that are predicted right, over the classes that are a label.

    Source: Brodersen, Ong, Stephan and Buhmann 2010, The balanced accuracy and its posterior distribution, ICPR, 3121-3124.
    """
    table = predictions.confusion
    images = table.sum(1)
    return float((np.diag(table)[images > 0] / images[images > 0]).mean())


def among_first(predictions: Predicted, places: int) -> Floats:
    """Whether each image's label is among the most probable classes, (N,); classes of equal probability share their places.

    Args:
        predictions: The predictions, with the probabilities of all classes.
        places: How many classes count as the first.
    """
    probabilities, true = _all_and_true(predictions)
    above = (probabilities > true[:, None]).sum(1)
    equal = (probabilities == true[:, None]).sum(1)  # the true class is one of them
    return np.asarray(np.clip((places - above) / equal, 0, 1))


def surprise(predictions: Predicted) -> Floats:
    """-ln of the true class's probability, (N,), in nats; a probability below 2^-23, such as 0, counts as 2^-23 (15.9 nats).

    Its mean is the negative log-likelihood, also called log loss or cross entropy. An archive keeps this probability in steps
    of 1/65534, so that values computed from one differ where the network is certain and wrong.

    Source: Good 1952, Rational decisions, Journal of the Royal Statistical Society B 14(1), 107-114.
    """
    true = predictions.true_probability
    assert true is not None
    return -np.log(np.clip(true, LEAST_PROBABILITY, 1))


def squared_distance(predictions: Predicted) -> Floats:
    """The squared distance of an image's probabilities from 1 for its label and 0 for the others, (N,), 0 to 2.

    Source: Brier 1950, Verification of forecasts expressed in terms of probability, Monthly Weather Review 78(1), 1-3.
    """
    probabilities, true = _all_and_true(predictions)
    return np.asarray((probabilities**2).sum(1) - 2 * true + 1)


def calibration_error(predictions: Predicted) -> float:
    """The expected calibration error: the mean distance of confidence and accuracy, in 15 bins of equal width.

    The confidence is the predicted class's probability. A bin with n of N images adds n / N times the distance of its mean
    confidence from its share of right images. It depends on the bins, and grows if there are few images.

    Source: Guo, Pleiss, Sun and Weinberger 2017, On calibration of modern neural networks, ICML.
    """
    probabilities, _ = _all_and_true(predictions)
    confidence = probabilities[np.arange(len(probabilities)), predictions.predicted]
    number = np.clip(np.ceil(confidence * BINS) - 1, 0, BINS - 1).astype(np.int64)  # a bin contains its upper end
    gap = np.bincount(number, confidence - right(predictions), BINS)
    return float(np.abs(gap).sum() / len(confidence))


def auroc(predictions: Predicted) -> float:
    """The mean over classes of the area under the ROC curve of a class against the rest, by its own probability.

    It is the probability that an image of the class gets a higher probability of it than another image; a tie counts one half.
    Classes that are no label, or the only one, are left out.

    Source: Hanley and McNeil 1982, The meaning and use of the area under a ROC curve, Radiology 143(1), 29-36; Provost and
    Domingos 2001, Well-trained PETs (one class against the rest), with equal weights for all classes.
    """
    probabilities, _ = _all_and_true(predictions)
    areas = []
    for number in np.unique(predictions.label):
        inside = predictions.label == number
        images, others = int(inside.sum()), int((~inside).sum())
        _, value, count = np.unique(probabilities[:, number], return_inverse=True, return_counts=True)
        ranks = (np.cumsum(count) - (count - 1) / 2)[value]  # the mean rank of ties
        areas.append((ranks[inside].sum() - images * (images + 1) / 2) / (images * others))
    return float(np.mean(areas))


def _all_and_true(predictions: Predicted) -> tuple[Floats, Floats]:
    """The probabilities of all classes, (N, K), and that of the true class, (N,)."""
    probabilities, true = predictions.probabilities, predictions.true_probability
    assert probabilities is not None
    assert true is not None
    return np.asarray(probabilities, np.float64), true


def _mean(
    key: str,
    name: str,
    unit: str,
    needs: Need,
    per_image: Callable[[Predicted], Floats],
    *,
    higher_is_better: bool,
    least_classes: int = 2,
) -> Quality:
    """A measure that is a mean over images."""
    return Quality(
        key, name, unit, higher_is_better, needs, lambda p: float(per_image(p).mean()), per_image, least_classes
    )


QUALITY: dict[str, Quality] = {
    quality.key: quality
    for quality in (
        _mean("accuracy", "accuracy", "percent", "classes", right, higher_is_better=True),
        Quality("macro_f1", "macro F1", "percent", True, "classes", macro_f1),
        Quality("balanced_accuracy", "balanced accuracy", "percent", True, "classes", balanced_accuracy),
        *(
            _mean(
                f"top{places}",
                f"top-{places} accuracy",
                "percent",
                "probabilities",
                lambda p, places=places: among_first(p, places),  # type: ignore[misc]
                higher_is_better=True,
                least_classes=places + 1,
            )
            for places in (2, 5)
        ),
        _mean("nll", "negative log-likelihood", "nats", "true_probability", surprise, higher_is_better=False),
        _mean("brier", "Brier score", "", "probabilities", squared_distance, higher_is_better=False),
        Quality("ece", "expected calibration error", "percent", False, "probabilities", calibration_error),
        Quality("auroc", "AUROC, one against rest", "", True, "probabilities", auroc),
    )
}
