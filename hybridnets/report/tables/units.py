"""How numbers are printed, and the sentences that stand below every table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from hybridnets import stats
from hybridnets.report.comparing.evidence import Evidence
from hybridnets.report.comparing.variants import DataSetVariants
from hybridnets.report.tables.table import Cell

LEVELS = "* p < .05, ** p < .005, *** p < .0001, two-sided; a dash where p is larger."
OPTIMISTIC = "val is optimistic: it is measured at the epoch that was chosen on it. An answer rests on test."
NONE = Cell("-")


DECIMALS = 2  # of an accuracy in percent, and of whatever is not measured more finely
SMALL, LARGE = -4, 15  # powers of ten beyond which a number is written with an exponent


@dataclass(frozen=True)
class Unit:
    """How a metric is printed.

    Attributes:
        scale: What a value is multiplied by.
        name: What a level is given in.
        differences: What a difference is given in.
        decimals: The last decimal that says something; below 0 where not even all digits before the point do.
        adapts: Whether it takes more decimals for an interval that is narrower: of anybody's scores.
    """

    scale: float
    name: str
    differences: str
    decimals: int = DECIMALS
    adapts: bool = False

    def level(self, value: float) -> str:
        """A level."""
        return _printed(self.scale * value, self.decimals)

    def difference(self, value: float) -> str:
        """A difference, with its sign."""
        return _printed(self.scale * value, self.decimals, "+")

    def margin(self, value: float) -> str:
        """A margin, which somebody chose: no digit of it that matters is rounded away."""
        text = self.level(value)
        return (
            text if abs(float(text) - self.scale * value) <= 0.01 * self.scale * value else f"{self.scale * value:.3g}"
        )

    def interval(self, ends: tuple[float, float] | None) -> str:
        """An interval of differences, whose ends keep their signs: no verdict rests on an end that is printed as 0."""
        return " to ".join(self._end(self.scale * end) for end in ends) if ends else "n/a"

    def at(self, interval: tuple[float, float] | None, estimate: float | None = None) -> "Unit":
        """The unit with the decimals that a comparison needs: two digits of half its interval's width.

        Args:
            interval: The difference's interval; None where there is none.
            estimate: The difference, whose own digits count where there is no interval and it is small.
        """
        if not self.adapts:
            return self
        needed = (
            _decimals(self.scale * (interval[1] - interval[0]) / 2)
            if interval
            else _of_small(self.scale * (estimate or 0))
        )
        return replace(self, decimals=max(self.decimals, needed))

    def _end(self, value: float) -> str:
        text = _printed(value, self.decimals, "+")
        return text if float(text) or not value else _printed(value, -_power(value), "+")


def unit(section: DataSetVariants) -> Unit:
    """Percent and points, where all values are shares; with the decimals that say something, of anybody's scores."""
    found = Unit(100, "percent", "points") if section.shares else Unit(1, "its own unit", "its own unit")
    if any("model" in variant.settings for variant in section.variants):
        return found
    levels = [level for v in section.variants for metric in section.metrics if (level := v.scores(metric))]
    widths = [found.scale * half for level in levels if level.sd and (half := _half_width(level))]
    if widths:
        return replace(found, decimals=_decimals(median(widths)), adapts=True)
    return replace(
        found, decimals=_of_small(found.scale * max((abs(level.mean) for level in levels), default=0)), adapts=True
    )


def _half_width(level: stats.Summary) -> float:
    """Half the width of the interval of a difference of two such means, as if they did not pair."""
    from scipy.special import stdtrit

    quantile = float(stdtrit(level.n - 1, 0.975))
    return quantile * (level.sd or 0.0) * math.sqrt(2 / level.n)


def _decimals(half_width: float) -> int:
    """The decimals that give two digits of half an interval's width."""
    return 1 - _power(half_width) if half_width else DECIMALS


def _of_small(value: float) -> int:
    """The decimals that give two digits of a value that would be printed with one or none."""
    return max(DECIMALS, 1 - _power(value)) if 0 < abs(value) < 0.5 * 10 ** (1 - DECIMALS) else DECIMALS


def _power(value: float) -> int:
    return math.floor(math.log10(abs(value)))


def _printed(value: float, decimals: int, sign: str = "") -> str:
    if not value:
        return f"{0:{sign}.{min(max(decimals, DECIMALS), 2 * -SMALL)}f}"
    power = _power(value)
    if power >= LARGE or (decimals > 2 * -SMALL and power < SMALL):
        digits = power + decimals if power < LARGE or decimals < DECIMALS else LARGE // 3
        return f"{value:{sign}.{min(max(digits, 0), LARGE)}e}"
    decimals = min(max(decimals, DECIMALS), LARGE)
    return f"{round(value, decimals) + 0.0:{sign}.{decimals}f}"  # no -0.00


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
