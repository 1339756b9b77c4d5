"""Cells and sentences that several tables share."""

from collections.abc import Sequence

from hybridnets import stats
from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.comparing.evidence import Evidence
from hybridnets.report.comparing.families import FamilyMember
from hybridnets.report.comparing.metric import Metric
from hybridnets.report.comparing.units import Unit
from hybridnets.report.comparing.variants import Variant
from hybridnets.report.tables.table import Cell

LEVELS = "* p < .05, ** p < .005, *** p < .0001, two-sided; a dash where p is larger."
OPTIMISTIC = "val is optimistic: it is measured at the epoch that was chosen on it. An answer rests on test."
PUBLISHED = "published: the accuracies and stars of the file that the sweep names as published"
DASH = Cell("-")
SMALLEST = 1e-300  # p that is printed as a number


def metric_name(metric: Metric) -> str:
    """The name of a metric, with a star that refers to the footnote `optimistic`."""
    return f"{metric.name} *" if metric.is_chosen_on else metric.name


def optimistic(metrics: Sequence[str]) -> list[str]:
    """The footnote that the star at val refers to; none where val is not among the metrics."""
    return [f"* {OPTIMISTIC}"] if "val" in metrics else []


def counted(count: int, requested: int, noun: str = "") -> str:
    """A count; with what was requested where that is more, as in 2/3."""
    number = f"{count}/{requested}" if count < requested else str(count)
    return f"{number} {noun}" if noun else number


def runs_cell(variant: Variant) -> Cell:
    """How many runs are finished, and how many diverged."""
    return Cell(", ".join(filter(None, (variant.finished, variant.failures))), len(variant.runs))


def pairs_cell(comparison: Comparison) -> Cell:
    """How many pairs a comparison has."""
    n = len(comparison.pairs)
    return Cell(counted(n, comparison.expected_pairs), n)


def level_cell(variant: Variant, metric: str, unit: Unit) -> Cell:
    """A variant's mean and deviation; in brackets the mean in which runs that diverged count at chance."""
    level = variant.scores(metric)
    if level is None:
        return Cell(f"n/a ({variant.failures})")
    sd = "n/a" if level.sd is None else unit.level(level.sd)
    at_chance = variant.with_failures(metric)
    brackets = f" [{unit.level(at_chance)}]" if at_chance is not None else ""
    return Cell(f"{unit.level(level.mean)} ± {sd}{brackets}", level.mean)


def interval_text(test: stats.Test, unit: Unit) -> str:
    """A test's interval, or why the test has no interval."""
    return unit.interval(test.interval) if test.interval else f"n/a ({test.why})"


def p_cell(evidence: Evidence, test: stats.Test) -> Cell:
    """A test's p, or why the test has no p."""
    if why := evidence.comparison.why_no_stars:
        return Cell(f"n/a ({why})")
    return Cell(f"n/a ({test.why})") if test.p is None else Cell(p_text(test.p), test.p)


def adjusted_cell(member: FamilyMember, p: float | None) -> Cell:
    """A p that is corrected for its family; a dash where it is None."""
    return DASH if p is None or member.evidence.comparison.why_no_stars else Cell(p_text(p), p)


def p_text(p: float) -> str:
    """A p-value in a few digits."""
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}" if p >= SMALLEST else f"< {SMALLEST:g}"


def test_names(members: Sequence[FamilyMember]) -> str:
    """The tests over seeds that a table reports."""
    return " or ".join(sorted({member.test_name for member in members}))
