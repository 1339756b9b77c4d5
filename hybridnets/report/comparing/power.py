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
        is_margin: Whether it is the smallest difference that matters; otherwise it is the observed one.
        plan: The number of seeds, or why no number is enough.
    """

    difference: float
    is_margin: bool
    plan: stats.Plan


def seed_plans(evidence: Evidence, margin: float, scale: float) -> Iterator[SeedPlan]:
    """The seeds that each test needs, for the difference that matters and for the observed one.

    Args:
        evidence: The comparison at one metric.
        margin: The smallest difference that matters, in the metric's own unit; 0 where any does.
        scale: What values are multiplied by, so that the reasons in a plan are in the printed unit.
    """
    observed = abs(float(evidence.d.mean()))
    for difference, is_margin in ((margin, True), (observed, False)):
        if difference > 0:
            for plan in stats.plan(scale * evidence.d, scale * difference, evidence.ratio):
                yield SeedPlan(difference, is_margin, plan)
