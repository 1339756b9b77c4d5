"""What each setting does: main effects and interactions of a grid of two-level factors, with the seed as block."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

import numpy as np

from hybridnets import stats
from hybridnets.report.comparing.variants import DataSetVariants, Variant
from hybridnets.report.reading.results import FinishedRun
from hybridnets.report.text import natural

Seeds = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Factorial:
    """A complete grid: one variant for each combination of the levels of its factors.

    Attributes:
        group: What all of its variants have in common, as text.
        factors: The two levels of each factor, by axis.
        cells: The variants by their levels, in the order of the factors, the last one fastest.
    """

    group: str
    factors: Mapping[str, tuple[str, str]]
    cells: Mapping[tuple[str, ...], Variant]

    @cached_property
    def runs(self) -> list[dict[Seeds, FinishedRun]]:
        """The runs of each cell that did not diverge, by their seeds."""
        return [{run.seeds: run for run in variant.sound} for variant in self.cells.values()]

    @cached_property
    def seeds(self) -> list[Seeds]:
        """The seeds that every cell finished on one and the same split."""
        common = sorted(set.intersection(*(set(runs) for runs in self.runs)))
        return [seeds for seeds in common if len({runs[seeds].split for runs in self.runs}) == 1]

    @cached_property
    def splits(self) -> int:
        """How many different splits these seeds have."""
        return len({runs[seeds].split for runs in self.runs for seeds in self.seeds})

    @property
    def obstacle(self) -> str:
        """Why its effects cannot be tested; empty where they can."""
        variants = list(self.cells.values())
        if any(variant.diverged for variant in variants):
            return "runs diverged"
        if why := self._incomplete(variants):
            return why
        if len(self.seeds) < 2:
            return f"{len(self.seeds)} seed{'' if len(self.seeds) == 1 else 's'} in all of its cells"
        return "" if self.splits in (1, len(self.seeds)) else "some seeds share a split"

    def _incomplete(self, variants: list[Variant]) -> str:
        """Why a file's scores of this grid are only a part of them; always empty for the runs of a sweep."""
        if any("model" in variant.settings for variant in variants):
            return ""
        complete = all(not v.missing and {run.seeds for run in v.runs} == set(self.seeds) for v in variants)
        return variants[0].partial or ("" if complete else "scores missing")

    def ratio(self, metric: str) -> float | None:
        """Images held out per image trained on, where the corrected test applies; None where it does not."""
        ratios = {run.ratio for runs in self.runs for run in runs.values()}
        return next(iter(ratios)) if metric != "test" and self.splits == len(self.seeds) and len(ratios) == 1 else None

    def scores(self, metric: str) -> np.ndarray:
        """The metric by seed and by the level of each factor, (S, 2, ..., 2)."""
        rows = [[runs[seeds].scores[metric] for runs in self.runs] for seeds in self.seeds]
        return np.array(rows).reshape(len(self.seeds), *[2] * len(self.factors))

    def published(self, accuracies: Mapping[str, float]) -> dict[tuple[str, ...], float]:
        """The effects in published accuracies, by their factors; empty where a cell has none.

        Args:
            accuracies: The accuracies by variant, as fractions.
        """
        cells = [accuracies.get(variant.label) for variant in self.cells.values()]
        if None in cells:
            return {}
        grid = np.array(cells, dtype=float).reshape(1, *[2] * len(self.factors))
        return {axes: float(effect) for axes, (effect,) in stats.effects(grid, list(self.factors)).items()}

    def cost_factor(self, axis: str, cost: Callable[[Variant], float | None]) -> float | None:
        """How many times as much the second level of a factor costs, on average; None where a cost is unknown."""
        place = list(self.factors).index(axis)
        sides = [
            [cost(v) for levels, v in self.cells.items() if levels[place] == level] for level in self.factors[axis]
        ]
        if not all(value for side in sides for value in side):
            return None
        first, second = (fmean(value or 0.0 for value in side) for side in sides)
        return second / first


@dataclass(frozen=True, eq=False)
class FactorEffect:
    """A main effect or an interaction.

    Attributes:
        factorial: The grid.
        axes: The factor, or the factors that interact.
        plain: The plain paired t over seeds.
        corrected: The corrected resampled t over seeds; None where it does not apply.
        published: The same effect in published accuracies, as a fraction; None without them.
        holm: p by Holm's method over the effects of all grids.
    """

    factorial: Factorial
    axes: tuple[str, ...]
    plain: stats.Test
    corrected: stats.Test | None
    published: float | None = None
    holm: float | None = None

    @property
    def test(self) -> stats.Test:
        """The corrected test where it applies, otherwise the plain one."""
        return self.corrected or self.plain

    @property
    def parameters_factor(self) -> float | None:
        """How many times as many parameters the second level of a main effect has; None where one is unknown."""
        return self.factorial.cost_factor(self.axes[0], lambda variant: variant.parameters)

    @property
    def seconds_factor(self) -> float | None:
        """How many times as long an epoch takes at the second level of a main effect; None where one is unknown."""
        return self.factorial.cost_factor(self.axes[0], lambda variant: variant.epoch_seconds)


def measure_effects(factorial: Factorial, metric: str, accuracies: Mapping[str, float]) -> Iterator[FactorEffect]:
    """Every effect of a grid, averaged over the other factors, one value per seed.

    Args:
        factorial: A grid without an obstacle.
        metric: test, val or score.
        accuracies: Published accuracies by variant, as fractions; empty without any.
    """
    ratio = factorial.ratio(metric)
    published = factorial.published(accuracies)
    for axes, d in stats.effects(factorial.scores(metric), list(factorial.factors)).items():
        corrected = stats.paired_t(d, ratio=ratio) if ratio else None
        yield FactorEffect(factorial, axes, stats.paired_t(d), corrected, published.get(axes))


def factorials(section: DataSetVariants) -> Iterator[Factorial]:
    """The complete grids: axes with two levels among variants that are equal in all other axes.

    Args:
        section: The variants.
    """
    groups: dict[tuple[str, ...], list[Variant]] = {}
    for variant in section.variants:
        groups.setdefault((variant.axes.get("model", ""), *variant.axes), []).append(variant)
    for (model, *axes), members in groups.items():
        levels = {axis: sorted({v.axes[axis] for v in members}, key=natural) for axis in axes if axis != "model"}
        if "rnn" in levels:  # the smaller one first
            levels["rnn"].sort(key=lambda level: min(v.parameters or 0 for v in members if v.axes["rnn"] == level))
        factors = {axis: (steps[0], steps[1]) for axis, steps in levels.items() if len(steps) == 2}
        constant = [axis for axis in levels if len(levels[axis]) > 2]
        by_constant: dict[tuple[str, ...], dict[tuple[str, ...], Variant]] = {}
        for v in members:
            by_constant.setdefault(tuple(v.axes[a] for a in constant), {})[tuple(v.axes[a] for a in factors)] = v
        for steps, cells in by_constant.items():
            order = list(itertools.product(*factors.values()))
            if factors and set(order) == set(cells):
                words = [model, *(f"{axis}={level}" for axis, level in zip(constant, steps, strict=True))]
                group = " ".join(filter(None, words)) or "all"
                yield Factorial(group, factors, {levels: cells[levels] for levels in order})
