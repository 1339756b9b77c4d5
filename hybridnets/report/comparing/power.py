"""How many seeds a comparison needs, from the spread of its pairs."""

from collections.abc import Iterator
from dataclasses import dataclass

from hybridnets import stats
from hybridnets.report.comparing.evidence import Evidence


@dataclass(frozen=True)
class SeedPlan:
    """The seeds that one test needs to find a difference.

    Attributes:
        difference: The difference to find, in the metric's own unit.
        plan: The number of seeds, or why no number is enough.
    """

    difference: float
    plan: stats.Plan


def seed_plans(evidence: Evidence, margin: float, scale: float) -> Iterator[SeedPlan]:
    """The seeds that each test needs for the difference that matters; none without such a difference.

    An observed difference is never planned with: it is as uncertain as the comparison, and too large where it was selected.

    Args:
        evidence: The comparison at one metric.
        margin: The smallest difference that matters, in the metric's own unit; 0 where any does.
        scale: What values are multiplied by, so that the reasons in a plan are in the printed unit.
    """
    if margin > 0:
        for plan in stats.plan(scale * evidence.d, scale * margin, evidence.ratio):
            yield SeedPlan(margin, plan)
