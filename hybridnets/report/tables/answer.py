"""A primary analysis answered in two plain sentences, or three where the two differ in more than the model."""

from collections.abc import Iterator
from dataclasses import dataclass

from hybridnets.report.comparing.answers import PrimaryAnalysis, Verdict
from hybridnets.report.comparing.evidence import Comparison
from hybridnets.report.comparing.units import Unit, unit_of
from hybridnets.report.comparing.variants import DataSetVariants
from hybridnets.report.tables.cells import metric_name
from hybridnets.report.tables.sensitivity import power_table, sensitivity_table
from hybridnets.report.tables.table import Table
from hybridnets.runs.declaration import TESTS


@dataclass(frozen=True, eq=False)
class Answer:
    """A primary analysis in words and tables.

    Attributes:
        analysis: The analysis.
        question: What it asks.
        sentences: The answer in plain words: the result, the verdict, and what else the two differ in.
        tables: The same comparison by every other test, and how many seeds a claim needs.
    """

    analysis: PrimaryAnalysis
    question: str
    sentences: tuple[str, ...]
    tables: tuple[Table, ...]

    @property
    def headline(self) -> str:
        """The conclusion as a sentence that can be read alone."""
        alone = self.sentences[1].removeprefix("So ").replace("That does not say", "These runs do not say", 1)
        return f"T{alone[1:]}" if alone.startswith(("the two are", "these runs")) else alone

    @property
    def comparison(self) -> Comparison:
        """The comparison that answers."""
        return self.analysis.comparison


def answer_question(analysis: PrimaryAnalysis, data_set: DataSetVariants) -> Answer:
    """The answer that a primary analysis gives, in words, with the tables behind it.

    Args:
        analysis: The comparison, and how it is to be answered.
        data_set: The variants that it is among.
    """
    primary = analysis.primary
    unit = unit_of(data_set).at(analysis.test.interval, analysis.evidence.differences.mean)
    about = analysis.question or "over seeds of which some share a split"
    metric = metric_name(primary.metric).rstrip(" *")
    return Answer(
        analysis,
        f"Is {primary.variant} better than {primary.baseline} by its {metric}, {about}?",
        (_result(analysis, unit), _conclusion(analysis, unit), *_reservation(analysis)),
        (
            sensitivity_table(analysis.comparison, primary.margin, data_set.metrics, unit),
            power_table(analysis.comparison, primary.margin, data_set.metrics, unit),
        ),
    )


def _result(analysis: PrimaryAnalysis, unit: Unit) -> str:
    """Both levels and their difference, with its interval."""
    primary, interval = analysis.primary, analysis.test.interval
    n, requested = len(analysis.comparison.pairs), analysis.comparison.expected_pairs
    seeds = f"the mean of {n} seeds" if n > 1 else "one seed"
    if n < requested:
        is_sweep = "model" in analysis.comparison.variant.settings
        seeds += f" of {requested} requested" if is_sweep else f" of {requested}"
    variant, baseline = analysis.levels
    percent = " %" if unit.scale == 100 else ""
    difference = f"{unit.difference(variant - baseline)}{_points(unit)}"
    ends = f", 95 % interval {unit.interval(interval)}" if interval else ""
    return (
        f"{primary.variant} reached {unit.level(variant)}{percent} and {primary.baseline} {unit.level(baseline)}{percent} "
        f"({primary.metric}, {seeds}): a difference of {difference}{ends} ({TESTS[primary.test]})."
    )


def _conclusion(analysis: PrimaryAnalysis, unit: Unit) -> str:
    """The verdict in words."""
    comparison, sides = analysis.comparison, (analysis.primary.variant, analysis.primary.baseline)
    better, worse = sides if analysis.favours_variant else reversed(sides)
    margin = f"{unit.margin(analysis.margin)}{_points(unit)}"
    match analysis.verdict:
        case Verdict.INCOMPLETE:
            why = (
                "the remaining runs are the lucky ones" if comparison.failures else "what is missing may say otherwise"
            )
            return f"That does not say which is better ({comparison.why_no_stars}): {why}."
        case Verdict.NO_INTERVAL:
            remedy = ": train more seeds" if len(comparison.pairs) == 1 else ""
            return f"That does not say which is better ({analysis.test.why}){remedy}."
        case Verdict.BETTER:
            return f"So {better} is better than {worse}."
        case Verdict.BETTER_BY_MARGIN:
            return f"So {better} is better than {worse}, by more than the {margin} that matter."
        case Verdict.BETTER_WITHIN_MARGIN:
            return f"So {better} is better than {worse}, but by less than the {margin} that would matter."
        case Verdict.BETTER_MARGIN_OPEN:
            return f"So {better} is better than {worse}; whether by the {margin} that matter is not settled."
        case Verdict.EQUIVALENT:
            return f"So the two are equivalent: the whole interval lies within the {margin} that would matter."
        case Verdict.OPEN:
            return f"So these runs do not settle which is better: the interval contains 0{_needed(analysis, unit)}."


def _reservation(analysis: PrimaryAnalysis) -> Iterator[str]:
    """A sentence on the settings in which the two differ besides their models."""
    if note := analysis.comparison.recipe_note:
        yield f"But {note}."


def _needed(analysis: PrimaryAnalysis, unit: Unit) -> str:
    """How many seeds would settle it; empty where there is no difference to plan for."""
    needed = analysis.needed(unit.scale)
    if needed is None:
        return ""
    size = unit.margin(needed.difference) if needed.is_margin else unit.level(needed.difference)
    difference = f"a difference of {size}{_points(unit)}"
    plan = needed.plan
    if plan.seeds is None:
        return f"; more seeds alone cannot settle {difference} ({plan.why})"
    low, high = (f"{end:,}" if end is not None else "any number" for end in plan.interval)
    rough = f" (rough: {low} to {high})" if plan.rough else f" ({low} to {high})"
    return f"; about {plan.seeds:,} seeds{rough} would settle {difference}"


def _points(unit: Unit) -> str:
    return f" {unit.differences}" if unit.scale == 100 else ""
