"""A primary analysis carried out: the test, and the verdict that follows from it."""

from dataclasses import dataclass
from enum import Enum, auto

from hybridnets import stats
from hybridnets.report.comparing.evidence import NEW, Comparison, Evidence
from hybridnets.report.comparing.families import mean_levels
from hybridnets.report.comparing.power import SeedPlan, seed_plans
from hybridnets.runs.declaration import Primary


class Verdict(Enum):
    """What an interval of the difference says."""

    INCOMPLETE = auto()  # runs failed or are missing, so that no test can be trusted
    NO_INTERVAL = auto()
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
    """

    comparison: Comparison
    primary: Primary
    declared: str

    @property
    def metric(self) -> str:
        """test, val or score."""
        return self.primary.metric

    @property
    def margin(self) -> float:
        """The smallest difference that matters, in the metric's own unit; 0 where any does."""
        return self.primary.margin

    @property
    def evidence(self) -> Evidence:
        """The comparison at this metric."""
        return self.comparison.evidence(self.metric)

    @property
    def is_corrected(self) -> bool:
        """Whether the declared test is corrected for overlapping splits."""
        return self.primary.test == "corrected"

    @property
    def test(self) -> stats.Test:
        """The declared test."""
        return self.evidence.corrected if self.is_corrected else self.evidence.plain

    @property
    def question(self) -> str | None:
        """What the test is about; None where some seeds share a split, so that it is about nothing."""
        return NEW if self.is_corrected else self.evidence.question

    @property
    def levels(self) -> tuple[float, float]:
        """The variant's mean over the pairs, and the baseline's."""
        return mean_levels(self.evidence)

    @property
    def verdict(self) -> Verdict:
        """What the test's interval says."""
        if self.comparison.why_no_stars:
            return Verdict.INCOMPLETE
        if self.test.interval is None:
            return Verdict.NO_INTERVAL
        low, high = self.test.interval
        within = max(-low, high) < self.margin
        if low <= 0 <= high:
            return Verdict.EQUIVALENT if within else Verdict.OPEN
        if not self.margin:
            return Verdict.BETTER
        if max(low, -high) > self.margin:
            return Verdict.BETTER_BY_MARGIN
        return Verdict.BETTER_WITHIN_MARGIN if within else Verdict.BETTER_MARGIN_OPEN

    @property
    def favours_variant(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.test.interval is not None and self.test.interval[0] > 0

    def needed(self, scale: float) -> SeedPlan | None:
        """The seeds that its test needs for the margin, or without one for the observed difference.

        Args:
            scale: What values are multiplied by, so that the reason in the plan is in the printed unit.
        """
        name = "corrected t" if self.is_corrected and self.evidence.ratio else "paired t"
        return next((p for p in seed_plans(self.evidence, self.margin, scale) if p.plan.test == name), None)
