"""An analysis answered in two sentences of plain words."""

from dataclasses import dataclass
from statistics import fmean

from hybridnets import stats
from hybridnets.report.comparing.evidence import NEW, Comparison, Evidence
from hybridnets.report.comparing.variants import DataSetVariants
from hybridnets.report.tables.sensitivity import power, sensitivity
from hybridnets.report.tables.table import Table
from hybridnets.report.tables.units import Unit, metric_name
from hybridnets.report.tables.units import unit as unit_of
from hybridnets.runs.declaration import TESTS, Primary


@dataclass(frozen=True, eq=False)
class Answer:
    """One analysis that answers a question.

    Attributes:
        comparison: The comparison it rests on.
        metric: test, val or score.
        margin: The smallest difference that matters, in the metric's unit.
        question: What it asks.
        sentences: The answer in plain words.
        declared: When it was declared, and whether before the runs.
        tables: Sensitivity, and how many seeds a claim needs.
    """

    comparison: Comparison
    metric: str
    margin: float
    question: str
    sentences: tuple[str, ...]
    declared: str
    tables: tuple[Table, ...]


def answer(comparison: Comparison, primary: Primary, section: DataSetVariants, declared: str) -> Answer:
    """Answers by the primary analysis, and puts every other test beside it.

    Args:
        comparison: The two variants.
        primary: Metric, test and margin.
        section: The variants that they are among.
        declared: When it was declared.
    """
    evidence = comparison.evidence(primary.metric)
    test = evidence.corrected if primary.test == "corrected" else evidence.plain
    unit = unit_of(section).at(test.interval, evidence.differences.mean)
    about = NEW if primary.test == "corrected" else evidence.question or "over seeds of which some share a split"
    return Answer(
        comparison,
        primary.metric,
        primary.margin,
        f"Is {primary.variant} better than {primary.baseline} by its {metric_name(primary.metric).rstrip(' *')}, {about}?",
        (_found(evidence, primary, test, unit), _verdict(evidence, primary, test, unit)),
        declared,
        (
            sensitivity(comparison, primary.margin, section.metrics, unit),
            power(comparison, primary.margin, section.metrics, unit),
        ),
    )


def _found(e: Evidence, primary: Primary, test: stats.Test, unit: Unit) -> str:
    one, other = (fmean(run.scores[primary.metric] for run in side) for side in zip(*e.pairs, strict=True))
    percent = " %" if unit.scale == 100 else ""
    seeds = f"the mean of {len(e.pairs)} seeds" if len(e.pairs) > 1 else "one seed"
    asked = f" of {e.comparison.asked} asked for" if len(e.pairs) < e.comparison.asked else ""
    asked = asked if "model" in e.comparison.variant.settings else asked.removesuffix(" asked for")
    interval = f", 95 % interval {unit.interval(test.interval)}" if test.interval else ""
    points = f" {unit.differences}" if unit.scale == 100 else ""
    return (
        f"{primary.variant} reached {unit.level(one)}{percent} and {primary.baseline} {unit.level(other)}{percent} "
        f"({primary.metric}, {seeds}{asked}): a difference of {unit.difference(one - other)}{points}{interval} "
        f"({TESTS[primary.test]})."
    )


def _verdict(e: Evidence, primary: Primary, test: stats.Test, unit: Unit) -> str:
    variant, baseline = primary.variant, primary.baseline
    if e.comparison.no_star:
        left = (
            "the runs that are left are the lucky ones"
            if e.comparison.failures
            else "what is missing may say otherwise"
        )
        return f"That does not say which is better, for {e.comparison.no_star}: {left}."
    if test.interval is None:
        more = ": train more seeds" if len(e.pairs) == 1 else ""
        return f"That does not say which is better ({test.why}){more}."
    low, high = test.interval
    margin = f"{unit.margin(primary.margin)}{' ' + unit.differences if unit.scale == 100 else ''}"
    if low > 0 or high < 0:
        better, worse, least = (variant, baseline, low) if low > 0 else (baseline, variant, -high)
        if not primary.margin:
            return f"So {better} is better than {worse}."
        if least > primary.margin:
            return f"So {better} is better than {worse}, by more than the {margin} that matter."
        if max(-low, high) < primary.margin:
            return f"So {better} is better than {worse}, but by less than the {margin} that would matter."
        return f"So {better} is better than {worse}; whether by the {margin} that matter is not settled."
    if primary.margin and max(-low, high) < primary.margin:
        return f"So the two are as good as equal: the whole interval lies within the {margin} that would matter."
    return f"So these runs do not settle which is better, for 0 lies in the interval{_needed(e, primary, unit)}."


def _needed(e: Evidence, primary: Primary, unit: Unit) -> str:
    """How many seeds the primary test needs for the difference that matters, or for the one that was found."""
    difference = primary.margin or abs(float(e.d.mean()))
    if not difference:
        return ""
    ratio = e.ratio if primary.test == "corrected" else None
    plans = stats.plan(unit.scale * e.d, unit.scale * difference, ratio)
    plan = next(plan for plan in plans if plan.test == ("corrected t" if ratio else "paired t"))
    shown = unit.margin(difference) if primary.margin else unit.level(difference)
    what = f"a difference of {shown}{' ' + unit.differences if unit.scale == 100 else ''}"
    if plan.seeds is None:
        return f"; {what} cannot be settled by more seeds alone ({plan.why})"
    low, high = (f"{end:,}" if end is not None else "any number" for end in plan.interval)
    rough = f" (rough: {low} to {high})" if plan.rough else f" ({low} to {high})"
    return f"; about {plan.seeds:,} seeds{rough} would settle {what}"
