"""How often a question's sweep was extended without a plan, and what that does to the level of its test."""

from collections.abc import Sequence
from dataclasses import dataclass

from hybridnets import stats
from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.reading.manifests import Sweep

MOST = 1000  # seeds for which the error is computed


@dataclass(frozen=True)
class Growth:
    """A sweep that grew.

    Attributes:
        looks: The number of pairs after each sweep that added some, at least two of them.
        error: How often a plain test at 5 % that is looked at as often finds a difference where there is none.
    """

    looks: tuple[int, ...]
    error: float


def growth(sweeps: Sequence[Sweep], comparison: Comparison) -> Growth | None:
    """How the pairs of a comparison grew from sweep to sweep; None where one sweep requested them all.

    Args:
        sweeps: All sweeps that requested some of the runs, the oldest first.
        comparison: The comparison.
    """
    requested: set[str] = set()
    looks: list[int] = []
    for sweep in sweeps:
        requested |= sweep.manifest.requested.keys()
        n = sum({run.hash for run in pair} <= requested for pair in comparison.pairs)
        if n >= 2 and (not looks or n > looks[-1]):
            looks.append(n)
    if len(looks) < 2 or looks[-1] > MOST:
        return None
    return Growth(tuple(looks), stats.repeated_error(looks, stats.student_critical(looks))[-1])
