"""How numbers are printed, and the sentences that stand below every table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hybridnets import stats
from hybridnets.report.evidence import Evidence
from hybridnets.report.table import Cell
from hybridnets.report.variants import Section

LEVELS = "* p < .05, ** p < .005, *** p < .0001, two-sided; a dash where p is larger."
OPTIMISTIC = "val is optimistic: it is measured at the epoch that was chosen on it. An answer rests on test."
NONE = Cell("-")


@dataclass(frozen=True)
class Unit:
    """How a metric is printed.

    Attributes:
        scale: What a value is multiplied by.
        name: What a level is given in.
        differences: What a difference is given in.
    """

    scale: float
    name: str
    differences: str

    def level(self, value: float) -> str:
        """A level."""
        return f"{self.scale * value:.2f}"

    def difference(self, value: float) -> str:
        """A difference, with its sign."""
        return f"{round(self.scale * value, 2) + 0.0:+.2f}"  # no -0.00

    def interval(self, ends: tuple[float, float] | None) -> str:
        """An interval of differences."""
        return f"{self.difference(ends[0])} to {self.difference(ends[1])}" if ends else "n/a"


def unit(section: Section) -> Unit:
    """Percent and points, where all values are shares."""
    return Unit(100, "percent", "points") if section.shares else Unit(1, "its own unit", "its own unit")


def metric_name(metric: str) -> str:
    """How a metric is called in a sentence."""
    return {"test": "test accuracy", "val": "val accuracy *"}.get(metric, metric)


def adjusted(found: Sequence[stats.Test], how: Any = stats.holm) -> list[float | None]:
    """The p-values of a family, corrected for its size; None where there is none."""
    values = how([float("nan") if test.p is None else test.p for test in found])
    return [None if value != value else float(value) for value in values]


def probability(evidence: Evidence, test: stats.Test, p: float | None) -> Cell:
    """A p-value, or why there is none."""
    if why := evidence.comparison.no_star:
        return Cell(f"n/a ({why})")
    return Cell(f"n/a ({test.why})") if p is None else Cell(p_value(p), p)


def p_value(p: float) -> str:
    """A p-value in few digits."""
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"
