"""A primary analysis carried out: the test, and the verdict that follows from it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import cached_property

from hybridnets import stats
from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.comparing.evidence import Evidence
from hybridnets.report.comparing.growth import Growth, Plan
from hybridnets.report.comparing.metric import Metric
from hybridnets.report.comparing.power import SeedPlan, seed_plans
from hybridnets.report.comparing.variants import DataSetVariants
from hybridnets.runs.declaration import METHODS, TESTS, Primary

LEVEL = 0.05  # of the claim that an answer makes
FEWEST = 3  # units from which a claim can be made: the spread of two is known to within a factor of 30


class Verdict(Enum):
    """What an interval of the difference says."""

    INCOMPLETE = auto()  # runs failed or are missing, so that no test can be trusted
    ONE_SEED = auto()
    TOO_FEW = auto()  # two seeds
    NO_TEST = auto()
    IDENTICAL = auto()  # the same value in every seed
    CONSTANT = auto()  # the same difference in every seed, in too few seeds for a test of signs
    CONSTANT_BETTER = auto()  # the same difference in every seed, of which a test of signs is sure
    BETTER = auto()  # by any amount, where no margin was declared
    BETTER_BY_MARGIN = auto()
    BETTER_WITHIN_MARGIN = auto()
    BETTER_MARGIN_OPEN = auto()
    EQUIVALENT = auto()
    OPEN = auto()


@dataclass(frozen=True, eq=False)
class PrimaryAnalysis:
    """A comparison that answers a question.

    Attributes:
        comparison: The comparison, of at least one pair.
        primary: The metric, the test and the margin to answer by.
        declared: When it was declared, in words, and whether before the runs.
        choices: How many pairs of variants it was chosen from after the runs; 1 for a question that was there before.
        plan: The plan under which its seeds were added; None where their number was fixed.
        growth: How its seeds were added without such a plan; None where all were requested at once.
    """

    comparison: Comparison
    primary: Primary
    declared: str
    choices: int = 1
    plan: Plan | None = None
    growth: Growth | None = None

    @property
    def metric(self) -> str:
        """The metric's key."""
        return self.primary.metric

    @property
    def kind(self) -> Metric:
        """What the metric is."""
        return self.evidence.metric_kind

    @property
    def margin(self) -> float:
        """The smallest difference that matters, in the metric's own unit; 0 where any does."""
        return self.primary.margin

    @property
    def evidence(self) -> Evidence:
        """The comparison at this metric."""
        return self.comparison.evidence(self.metric)

    @property
    def is_exploratory(self) -> bool:
        """Whether it was chosen from several pairs after the runs."""
        return self.choices > 1

    @property
    def level(self) -> float:
        """The level of its test: 5 %, divided by the number of pairs that it was chosen from."""
        return LEVEL / self.choices

    @cached_property
    def looks(self) -> tuple[stats.Look, ...]:
        """What was seen at each look; empty where the number of seeds was fixed."""
        if self.plan is None:
            return ()
        until, planned = self.plan.until, self.evidence.seed_differences[list(self.plan.pairs)]
        return stats.sequential(planned, until.looks, until.method, self.margin, self.level)

    @cached_property
    def test(self) -> stats.Test:
        """The test that answers, with p and interval corrected for the pairs that it was chosen from."""
        if self.looks:
            look = self.looks[-1]
            interval = look.interval if math.isfinite(look.interval[0]) else None
            why = "" if interval else look.why or "too few seeds for this method"
            p = None if look.p is None else min(1.0, self.choices * look.p)
            return stats.Test(look.estimate, None, p, interval, look.n, why)
        test = self.evidence.answer(self.primary.test, 1 - self.level)
        return test if test.p is None else replace(test, p=min(1.0, self.choices * test.p))

    @property
    def is_corrected(self) -> bool:
        """Whether the test is corrected for overlapping training parts."""
        return bool(self.test.ratio)

    @property
    def test_name(self) -> str:
        """The test that answers, in words."""
        if self.looks and self.plan:
            return METHODS[self.plan.until.method]
        if self.is_corrected and self.evidence.is_folds:
            return "the corrected resampled t over folds (Bouckaert and Frank 2004)"
        return TESTS[self.primary.test or ("corrected" if self.is_corrected else "paired")]

    @property
    def question(self) -> str:
        """What the test is about."""
        return self.evidence.question_of(self.test)

    @property
    def levels(self) -> tuple[float, float]:
        """The variant's mean over the pairs, and the baseline's."""
        return self.evidence.levels

    @property
    def verdict(self) -> Verdict:
        """What the test says."""
        if self.comparison.why_no_stars:
            return Verdict.INCOMPLETE
        n = len(self.evidence.d)
        if self.test.interval is None:
            return self._verdict_without_interval(n)
        if n < FEWEST:
            return Verdict.TOO_FEW
        low, high = self.test.interval
        within = max(-low, high) < self.margin
        if low <= 0 <= high:
            return Verdict.EQUIVALENT if within else Verdict.OPEN
        if not self.margin:
            return Verdict.BETTER
        if max(low, -high) > self.margin:
            return Verdict.BETTER_BY_MARGIN
        return Verdict.BETTER_WITHIN_MARGIN if within else Verdict.BETTER_MARGIN_OPEN

    def _verdict_without_interval(self, n: int) -> Verdict:
        if n == 1:
            return Verdict.ONE_SEED
        if self.evidence.differences.sd != 0:
            return Verdict.NO_TEST
        if not self.evidence.differences.mean:
            return Verdict.IDENTICAL
        p = self.evidence.sign_flip.p
        return Verdict.CONSTANT if p is None or p >= self.level else Verdict.CONSTANT_BETTER

    @property
    def is_below_an_image(self) -> bool:
        """Whether the margin of a share is less than one image of those that it is measured on: no number of seeds shows it."""
        images = self.evidence.smallest_part
        return bool(images and self.kind.may_be_share and 0 < self.margin * images < 1)

    @property
    def favours_variant(self) -> bool:
        """Whether the difference is in the variant's favour."""
        return self.kind.sign * self.evidence.differences.mean > 0

    def needed(self, scale: float) -> SeedPlan | None:
        """The seeds that its test needs for the margin; None without a margin or a spread.

        Args:
            scale: What values are multiplied by, so that the reason in the plan is in the printed unit.
        """
        name = "corrected t" if self.is_corrected else "paired t"
        return next((p for p in seed_plans(self.evidence, self.margin, scale) if p.plan.test == name), None)


def leading_metric(analyses: Sequence[PrimaryAnalysis], data_set: DataSetVariants) -> str:
    """The metric of the first primary analysis; without one the data set's preferred metric, or empty if it has none.

    Args:
        analyses: The primary analyses of the data set.
        data_set: Its variants.
    """
    return next(iter((*(analysis.metric for analysis in analyses), *data_set.metrics)), "")
