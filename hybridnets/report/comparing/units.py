"""How many digits a metric is printed with, in tables and figures alike."""

import math
from dataclasses import dataclass, replace
from statistics import median

from hybridnets import stats
from hybridnets.report.comparing.variants import DataSetVariants

OWN = "its own unit"  # the name of a unit that is not known
DECIMALS = 2  # of an accuracy in percent, and the least of any other metric
SMALL, LARGE = -4, 15  # powers of ten beyond which a value is written with an exponent


@dataclass(frozen=True)
class Unit:
    """How a metric is printed.

    Attributes:
        scale: What a value is multiplied by.
        name: The unit of a level.
        differences: The unit of a difference.
        decimals: The last significant decimal; negative where not even all digits before the point are significant.
        adapts: Whether a narrower interval gets more decimals, as in a file of scores, whose precision is unknown.
    """

    scale: float
    name: str
    differences: str
    decimals: int = DECIMALS
    adapts: bool = False

    @property
    def sign(self) -> str:
        """What follows a level: a percent sign, or a unit that is known; empty otherwise."""
        return {"percent": " %", OWN: ""}.get(self.name, f" {self.name}")

    @property
    def points(self) -> str:
        """What follows a difference: points, or a unit that is known; empty otherwise."""
        return "" if self.differences == OWN else f" {self.differences}"

    def level(self, value: float) -> str:
        """Prints a level."""
        return _printed(self.scale * value, self.decimals)

    def difference(self, value: float) -> str:
        """Prints a difference with its sign."""
        return _printed(self.scale * value, self.decimals, "+")

    def margin(self, value: float) -> str:
        """Prints a margin without rounding away a digit that the user gave."""
        text = self.level(value)
        return (
            text if abs(float(text) - self.scale * value) <= 0.01 * self.scale * value else f"{self.scale * value:.3g}"
        )

    def interval(self, ends: tuple[float, float] | None) -> str:
        """Prints an interval of differences; an end that is not 0 is never printed as 0, because verdicts rest on its sign."""
        return " to ".join(self._end(self.scale * end) for end in ends) if ends else "n/a"

    def at(self, interval: tuple[float, float] | None, estimate: float | None = None) -> "Unit":
        """The unit with the decimals that a comparison needs: two digits of half its interval's width.

        Args:
            interval: The difference's interval, or None.
            estimate: The difference, which decides where there is no interval and the difference is small.
        """
        if not self.adapts:
            return self
        needed = (
            _decimals(self.scale * (interval[1] - interval[0]) / 2)
            if interval
            else _decimals_of_small(self.scale * (estimate or 0))
        )
        return replace(self, decimals=max(self.decimals, needed))

    def _end(self, value: float) -> str:
        text = _printed(value, self.decimals, "+")
        return text if float(text) or not value else _printed(value, -_power(value), "+")


def unit_of(section: DataSetVariants, metric: str) -> Unit:
    """How a metric is printed: in percent and points where all values are shares, and otherwise in its own unit.

    Values other than accuracies get as many decimals as their spread leaves significant.

    Args:
        section: The variants.
        metric: The metric's key.
    """
    name = section.metric(metric).unit or OWN
    name, differences = ("percent", "points") if name in ("percent", "%") else (name, name)
    unit = Unit(100, "percent", "points") if section.are_shares(metric) else Unit(1, name, differences)
    if section.metric(metric).part and unit.scale == 100:
        return unit
    levels = [level for v in section.variants if (level := v.scores(metric))]
    widths = [unit.scale * half for level in levels if level.sd and (half := _half_width(level))]
    if widths:
        return replace(unit, decimals=_decimals(median(widths)), adapts=True)
    largest = max((abs(level.mean) for level in levels), default=0)
    return replace(unit, decimals=_decimals_of_small(unit.scale * largest), adapts=True)


def _half_width(level: stats.Summary) -> float:
    """Half the width of the interval of a difference between two such means, as if they were unpaired."""
    from scipy.special import stdtrit

    quantile = float(stdtrit(level.n - 1, 0.975))
    return quantile * (level.sd or 0.0) * math.sqrt(2 / level.n)


def _decimals(half_width: float) -> int:
    """The decimals that give two digits of half an interval's width."""
    return 1 - _power(half_width) if half_width else DECIMALS


def _decimals_of_small(value: float) -> int:
    """The decimals that give two digits of a value of which DECIMALS would leave one or none."""
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
    return f"{round(value, decimals) + 0.0:{sign}.{decimals}f}"  # adding 0.0 turns -0.00 into 0.00
