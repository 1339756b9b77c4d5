"""A primary analysis answered in plain sentences: the result, the verdict with its scope, and what weakens it."""

from collections.abc import Iterator
from dataclasses import dataclass

from hybridnets.program import plural
from hybridnets.report.comparing.answers import FEWEST, PrimaryAnalysis, Verdict
from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.comparing.evidence import NEW
from hybridnets.report.comparing.units import Unit, unit_of
from hybridnets.report.comparing.variants import DataSetVariants
from hybridnets.report.tables.cells import p_text
from hybridnets.report.tables.sensitivity import power_table, sensitivity_table
from hybridnets.report.tables.table import Table
from hybridnets.stats.power import MOST_SEEDS
from hybridnets.stats.signs import LEAST_SEEDS

CLAIMS = (  # verdicts that rest on an interval
    *(Verdict.BETTER, Verdict.BETTER_BY_MARGIN, Verdict.BETTER_WITHIN_MARGIN, Verdict.BETTER_MARGIN_OPEN),
    Verdict.EQUIVALENT,
)


@dataclass(frozen=True, eq=False)
class Answer:
    """A primary analysis in words and tables.

    Attributes:
        analysis: The analysis.
        question: What it asks.
        sentences: The answer in plain words: the result, the verdict, and what weakens it.
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
        return f"{alone[0].upper()}{alone[1:]}" if alone.startswith(("the two", "these runs", "two seeds")) else alone

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
    unit = unit_of(data_set, primary.metric).at(analysis.test.interval, analysis.evidence.differences.mean)
    better = "" if analysis.kind.higher_is_better else ", of which less is better"
    metrics = list(dict.fromkeys((primary.metric, *data_set.metrics)))
    units = {metric: unit if metric == primary.metric else unit_of(data_set, metric) for metric in metrics}
    return Answer(
        analysis,
        f"Is {primary.variant} better than {primary.baseline} by its {analysis.kind.name}{better}, {analysis.question}?",
        (_result(analysis, unit), _conclusion(analysis, unit), *_reservations(analysis, unit)),
        (
            sensitivity_table(analysis.comparison, primary.margin, units, primary.metric),
            *([power_table(analysis.comparison, primary.margin, units, primary.metric)] if primary.margin else []),
        ),
    )


def _result(analysis: PrimaryAnalysis, unit: Unit) -> str:
    """Both levels and their difference, with its interval."""
    primary, test = analysis.primary, analysis.test
    n, evidence = len(analysis.comparison.pairs), analysis.evidence
    seeds = f"the mean of {n} {'seeds' if evidence.is_nested else evidence.units}" if n > 1 else "one seed"
    if evidence.is_nested:
        seeds += f" in {len(evidence.d)} {evidence.units}"
    missing = _missing(analysis.comparison)
    seeds += missing or f" in {evidence.repetitions} repetitions" * (evidence.repetitions > 1)
    variant, baseline = analysis.levels
    difference = f"{unit.difference(evidence.differences.mean)}{unit.points}"
    confidence = f"{100 * (1 - analysis.level):.4g} %"
    ends = f", {confidence} interval {unit.interval(test.interval)}" if test.interval else ""
    return (
        f"{primary.variant} reached {unit.level(variant)}{unit.sign} and {primary.baseline} {unit.level(baseline)}{unit.sign} "
        f"({_level_name(analysis)}, {seeds}): a difference of {difference}{ends} ({analysis.test_name})."
    )


def _level_name(analysis: PrimaryAnalysis) -> str:
    return analysis.metric if analysis.kind.part and "/" not in analysis.metric else analysis.kind.name


def _missing(comparison: Comparison) -> str:
    """How many pairs there would be, and for a file of scores which seeds have none."""
    n, requested = len(comparison.pairs), comparison.expected_pairs
    if n >= requested:
        return ""
    if not comparison.variant.scores_only:
        return f" of {requested} requested"
    return f" of {requested}" + (f"; {comparison.seeds_without_pair}" if comparison.unmatched else "")


def _conclusion(analysis: PrimaryAnalysis, unit: Unit) -> str:
    """The verdict in words, with what it is about."""
    sides = (analysis.primary.variant, analysis.primary.baseline)
    better, worse = sides if analysis.favours_variant else reversed(sides)
    margin = f"{unit.margin(analysis.margin)}{unit.points}"
    about = analysis.question.partition(",")[0]
    wins = f"So {better} is better than {worse} {about}"
    match analysis.verdict:
        case Verdict.BETTER:
            return f"{wins}."
        case Verdict.BETTER_BY_MARGIN:
            return f"{wins}, by more than the {margin} that matter."
        case Verdict.BETTER_WITHIN_MARGIN:
            return f"{wins}, but by less than the {margin} that would matter."
        case Verdict.BETTER_MARGIN_OPEN:
            return f"{wins}; whether by the {margin} that matter is not settled."
        case Verdict.CONSTANT_BETTER:
            p = p_text(analysis.evidence.sign_flip.p or 0.0)
            return f"{wins}: by the same difference in every seed, which leaves no spread to test (sign-flip test: p = {p})."
        case Verdict.EQUIVALENT:
            return f"So the two are equivalent {about}: the whole interval lies within the {margin} that would matter."
        case Verdict.OPEN:
            return f"So these runs do not settle which is better: the interval contains 0{_needed(analysis, unit)}."
        case _:
            return _no_verdict(analysis)


def _no_verdict(analysis: PrimaryAnalysis) -> str:
    """Why there is no verdict."""
    comparison, n = analysis.comparison, len(analysis.evidence.d)
    match analysis.verdict:
        case Verdict.INCOMPLETE:
            why = (
                "the remaining runs are the lucky ones" if comparison.failures else "what is missing may say otherwise"
            )
            return f"That does not say which is better ({comparison.why_no_stars}): {why}."
        case Verdict.ONE_SEED:
            return "That does not say which is better (one seed): one difference does not show how much seeds differ."
        case Verdict.TOO_FEW:
            return (
                f"So two {analysis.evidence.units} do not say which is better: the spread of two differences is known to "
                f"within a factor of 30, so a claim needs {FEWEST} at least."
            )
        case Verdict.IDENTICAL:
            return f"So the two are identical by this metric: the same value in each of {n} seeds."
        case Verdict.CONSTANT:
            return (
                f"That does not say which is better: the difference is the same in all {n} seeds, which leaves no spread to "
                f"test, and a test of signs needs {LEAST_SEEDS} seeds at least."
            )
        case _:
            return f"That does not say which is better ({analysis.test.why})."


def _reservations(analysis: PrimaryAnalysis, unit: Unit) -> Iterator[str]:
    """What weakens the answer, or narrows what it is about."""
    evidence = analysis.evidence
    if note := analysis.comparison.recipe_note:
        yield f"But {note}."
    if analysis.verdict in CLAIMS and not analysis.looks and (interval := evidence.crossed.interval):
        says = "which does not contain 0, either" if interval[0] > 0 or interval[1] < 0 else "which contains 0"
        wide, part = unit.at(interval), evidence.metric_kind.part or "test"
        yield (
            f"For other {part} images like these the 95 % interval is {wide.interval(interval)}{wide.points} ({says}), because "
            "these images are a sample, too."
        )
    if analysis.is_below_an_image and (images := evidence.smallest_part):
        yield (
            f"{plural(images, 'image')} cannot show a margin of {unit.margin(analysis.margin)}{unit.points}: a single image "
            f"is {unit.level(1 / images)}{unit.points}."
        )
    if analysis.verdict in (*CLAIMS, Verdict.OPEN) and FEWEST <= len(evidence.d) < LEAST_SEEDS:
        yield (
            f"With fewer than {LEAST_SEEDS} {evidence.units} this rests on normally distributed differences, which so few "
            "cannot show."
        )
    yield from _how_planned(analysis)
    if grown := analysis.growth:
        steps = ", ".join(map(str, grown.looks))
        yield (
            f"These runs were requested in {len(grown.looks)} steps ({steps} seeds) without a plan: if the results decided "
            f"when to stop, the test errs in {100 * grown.error:.1f} % and not in 5 % of such studies (until=settled plans the "
            "steps)."
        )
    if evidence.is_folds and analysis.question == NEW:
        yield (
            "The folds share most of their training images; the test corrects for that by a rule of thumb (1 / (k - 1)), which "
            f"assumes that any two differences correlate by 1 / k (here k = {evidence.folds})."
        )
    if evidence.is_folds and analysis.kind.part == "test":
        yield (
            f"The networks of a repetition share most of their training images ({evidence.folds}-fold cross-validation), and "
            "the test takes their differences on the test images as independent: about other training images it may be certain "
            "too early."
        )


def _how_planned(analysis: PrimaryAnalysis) -> Iterator[str]:
    """Whose plan added the seeds, where it was not made for this question; and which seeds came without it."""
    plan, primary = analysis.plan, analysis.primary
    if plan is None or not analysis.looks:
        return
    asked = plan.question
    is_own = {asked.variant, asked.baseline} == {primary.variant, primary.baseline}
    if not is_own or (asked.metric, asked.margin) != (primary.metric, primary.margin):
        margin = f", margin {100 * asked.margin:.2f} points" if asked.margin else ""
        yield (
            f"These seeds were added by the plan of the sweep {plan.sweep}, until another question was settled "
            f"({asked.variant} - {asked.baseline} by {asked.metric}{margin}): so that plan's method answers, which holds "
            "at each of its looks."
        )
    if more := len(analysis.comparison.pairs) - analysis.looks[-1].n:
        yield (
            f"The interval is that of the look at {analysis.looks[-1].n} seeds; {plural(more, 'further seed')} counted in the "
            f"means, and for no look of the plan of {plan.sweep}."
        )


def _needed(analysis: PrimaryAnalysis, unit: Unit) -> str:
    """How many seeds would settle it; empty where there is no margin to plan for."""
    needed = analysis.needed(unit.scale)
    if needed is None:
        return ""
    size = f"{unit.margin(needed.difference)}{unit.points}"
    plan = needed.plan
    if plan.seeds is None:
        return f"; more seeds alone cannot settle a difference of {size} ({plan.why})"
    most = "no number" if analysis.is_corrected else f"more than {MOST_SEEDS:,}"
    low, high = (f"{end:,}" if end is not None else most for end in plan.interval)
    rough = f" (rough: {low} to {high})" if plan.rough else f" ({low} to {high})"
    return (
        f"; about {plan.seeds:,} seeds{rough} would settle it with a probability of 80 %, if the true difference is at least "
        f"{size}"
    )
