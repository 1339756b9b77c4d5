"""What a code between a network's features and its classifier saves, and what it costs in accuracy.

Comparisons here are of a variant with a code (after) with its backbone alone (before), in pairs of runs that predict the same
images.
"""

from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from hybridnets.report.comparing.comparison import Comparison
from hybridnets.runs.records import CodeRecord


def code_of(comparison: Comparison) -> CodeRecord:
    """The size of the variant's code, which is the same in all of its runs."""
    code = comparison.pairs[0][0].code
    assert code is not None
    return code


def map_error(comparison: Comparison) -> float:
    """Mean squared error of the feature maps after the code, mean over the runs."""
    return fmean(run.code.error for run, _ in comparison.pairs if run.code)


@dataclass(frozen=True, eq=False)
class ClassAccuracies:
    """Accuracies by class before and after the code, with their average over the classes in the last column.

    Attributes:
        names: The classes.
        before: By seed and class, (S, K + 1); NaN where a class has no images.
        after: The same with the code.
    """

    names: tuple[str, ...]
    before: NDArray[np.float64]
    after: NDArray[np.float64]

    @property
    def means(self) -> list[tuple[float, float]]:
        """Before and after, mean over the seeds, by class."""
        columns = zip(self.before.T, self.after.T, strict=True)
        return [(float(before.mean()), float(after.mean())) for before, after in columns]

    @property
    def ranges(self) -> list[tuple[float, float]]:
        """The lowest and the highest difference over the seeds, by class."""
        d = self.after - self.before
        return [(float(column.min()), float(column.max())) for column in d.T]


def by_class(comparison: Comparison, metric: str) -> ClassAccuracies | None:
    """The accuracies by class; None without predictions of both sides, or where their classes have no names.

    Args:
        comparison: The variant with a code against its backbone.
        metric: test or val.
    """
    names = comparison.pairs[0][0].classes
    if comparison.evidence(metric).why_no_images:
        return None
    if any(run.outcomes[metric].label.max() >= len(names) for run, _ in comparison.pairs):
        return None
    after, before = (
        np.array([run.outcomes[metric].by_class(len(names)) for run in runs])
        for runs in zip(*comparison.pairs, strict=True)
    )  # (S, K)
    before, after = (np.column_stack([side, np.nanmean(side, axis=1)]) for side in (before, after))
    return ClassAccuracies(names, before, after)
