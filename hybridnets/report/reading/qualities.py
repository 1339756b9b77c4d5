"""Measures of a run's predictions of the test images, from its stored classes and probabilities."""

import math
from pathlib import Path

from hybridnets.runs.declaration import QUALITIES
from hybridnets.runs.records.predictions import PartPredictions, read_probabilities
from hybridnets.stats.quality import QUALITY, Predicted


def read_predicted(folder: Path, part: str, outcomes: PartPredictions, classes: int) -> Predicted | None:
    """What a run stored of its predictions of one part; None if it names a class beyond those of its result.

    Args:
        folder: The run's folder.
        part: val or test.
        outcomes: Its predicted classes of that part.
        classes: How many classes there are.
    """
    every, own = read_probabilities(folder, part)
    n = len(outcomes.index)
    every = every if every is not None and every.shape == (n, classes) and every.dtype.kind == "f" else None
    own = own if own is not None and own.shape == (n,) and own.dtype.kind == "f" else None
    try:
        return Predicted(outcomes.label, outcomes.predicted, classes, every, own)
    except ValueError:
        return None


def read_qualities(folder: Path, test: PartPredictions, classes: int) -> dict[str, float]:
    """The measures of a run that what it stored defines, by the metric's key: test/macro_f1, test/nll ...

    Args:
        folder: The run's folder.
        test: Its predictions of the test images.
        classes: How many classes there are.
    """
    predicted = read_predicted(folder, "test", test, classes)
    if predicted is None:
        return {}
    values = {f"test/{key}": QUALITY[key].of(predicted) for key in QUALITIES}
    return {key: value for key, value in values.items() if math.isfinite(value)}
