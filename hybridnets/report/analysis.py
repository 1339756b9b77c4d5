"""The whole report as data: from finished runs to answers, tables, and the comparisons that figures are drawn from."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hybridnets import stats
from hybridnets.program import plural
from hybridnets.report.comparing.answers import PrimaryAnalysis, leading_metric
from hybridnets.report.comparing.best import Order, order_of
from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.comparing.contrasts import ComparisonCache, ContrastComparisons
from hybridnets.report.comparing.families import Families
from hybridnets.report.comparing.joint import join
from hybridnets.report.comparing.primary import primary_analyses
from hybridnets.report.comparing.resources import Resources, resources
from hybridnets.report.comparing.scope import Scope, scopes
from hybridnets.report.comparing.searches import expected_best_by_model
from hybridnets.report.comparing.selection import Selection, check_labels, select
from hybridnets.report.comparing.units import unit_of
from hybridnets.report.comparing.variants import DataSetVariants, MissingRun
from hybridnets.report.reading.manifests import read_sweeps
from hybridnets.report.reading.results import ReportError, RunSet
from hybridnets.report.request import ReportRequest
from hybridnets.report.tables.answer import Answer, answer_question
from hybridnets.report.tables.best import best_table
from hybridnets.report.tables.compression import compression_tables
from hybridnets.report.tables.effects import effects_table
from hybridnets.report.tables.grid import grid_table
from hybridnets.report.tables.joint import JointAnswer, answer_jointly
from hybridnets.report.tables.looks import looks_table
from hybridnets.report.tables.next_step import Invocation, NextStep, next_step
from hybridnets.report.tables.overview import differences_table, qualities_table, variants_table
from hybridnets.report.tables.stars import stars_table
from hybridnets.report.tables.table import Table
from hybridnets.report.text import visible

EVERYTHING = ReportRequest()  # whatever follows from the sweeps and the variants


@dataclass(frozen=True, eq=False)
class DataSetReport:
    """What is reported on one data set.

    Attributes:
        data_set: Its variants.
        scope: Which runs it is about.
        answers: The primary analyses, the declared ones first; usually one.
        variants_table: The table of all variants.
        contrasts: The contrasts behind the tables.
        tables: The tables of contrasts by metric, and the tables of differences and effects.
        comparisons: All comparisons in those tables, each once.
        compressed: Those of an autoencoder with its backbone.
        searches: What the search for settings of each model is worth; empty without a search.
        best: Which of several variants is the best; None for fewer than three.
        families: How their p-values are corrected.
        notes: Sentences on what could not be compared, or only with care.
        missing: The requested runs without a result.
        comparisons_requested: Whether single comparisons were requested, and not only contrasts.
        unanswered: A sentence on each declared analysis that cannot be made.
        next_step: What to do next.
        resources: What its runs took.
    """

    data_set: DataSetVariants
    scope: Scope
    answers: tuple[Answer, ...]
    variants_table: Table
    contrasts: tuple[ContrastComparisons, ...]
    tables: tuple[Table, ...]
    comparisons: tuple[Comparison, ...]
    compressed: tuple[Comparison, ...]
    searches: Mapping[str, stats.ExpectedBest]
    best: Order | None
    families: Families
    notes: tuple[str, ...]
    missing: tuple[MissingRun, ...]
    comparisons_requested: bool
    unanswered: tuple[str, ...]
    next_step: NextStep
    resources: Resources

    @property
    def why_no_answer(self) -> str:
        """Why no primary analysis answers, where none does."""
        if self.unanswered:
            return f"There is no answer yet: {'; '.join(self.unanswered)}."
        return "No primary analysis was declared: everything here is exploratory."


@dataclass(frozen=True, eq=False)
class Report:
    """A whole report.

    Attributes:
        title: Its title.
        parts: One per data set.
        problems: A sentence for each file or run that was left out.
        commands: The commands that repeat it: those of the sweeps, and the report's own.
        sources: The commits and versions that the runs were made with, and how many runs each.
        head: Its first sentences: which rows of a file of scores are left out, and how the file was read.
        joint: What several data sets say together; None for one, or where they have no two variants in common.
    """

    title: str
    parts: tuple[DataSetReport, ...]
    problems: tuple[str, ...]
    commands: tuple[str, ...]
    sources: Sequence[tuple[str, int]]
    head: tuple[str, ...] = ()
    joint: JointAnswer | None = None

    @property
    def resources(self) -> Resources:
        """What all of its runs took."""
        return resources(part.data_set for part in self.parts)


def analyse(
    runs: RunSet, title: str, command: str, request: ReportRequest = EVERYTHING, paths: Sequence[Path] = ()
) -> Report:
    """Compares finished runs.

    Args:
        runs: The finished runs.
        title: The report's title.
        command: The command that makes the report.
        request: What to compare; what it leaves open follows from the sweeps and the variants.
        paths: The folders and files of the runs as the user gave them, for the commands that are advised; empty: as read.

    Raises:
        ReportError: If it requests a variant, an axis or a metric that the runs do not have.
    """
    sweeps, problems = read_sweeps(runs)
    in_scope = scopes(runs, sweeps, request.sweep)
    data_sets = [scope.data_set for scope in in_scope]
    variants = [variant for data_set in data_sets for variant in data_set.variants]
    labels = sorted({variant.label for variant in variants})
    level = request.baseline_level(labels, {axis for variant in variants for axis in variant.axes})
    if level:
        request = replace(request, baseline=None)
    check_labels(data_sets, request.baseline, request.compare, any(scope.apart for scope in in_scope))
    if request.metric and any(variant.scores_only for variant in variants):
        request = replace(request, metric="score")  # the command line gave the score's own name
    invocation = Invocation(command, tuple(map(str, paths or runs.folders)))
    parts = tuple(_report_data_set(scope, request, level, invocation) for scope in in_scope)
    if request.primary and not any(_answers(part, *request.primary) for part in parts):
        hint = "; --sweep all includes the runs of other sweeps" if any(scope.apart for scope in in_scope) else ""
        raise ReportError(
            f"--primary must be two variants with a common seed, of {', '.join(labels)}, "
            f"got {' and '.join(request.primary)}{hint}"
        )
    commands = [*dict.fromkeys(sweep.manifest.command for sweep in sweeps), command]
    return Report(
        visible(title),
        parts,
        problems=tuple(map(visible, (*runs.problems, *problems))),
        commands=tuple(map(visible, commands)),
        sources=Counter(run.source for run in runs.runs if run.source).most_common(),
        head=tuple(map(visible, runs.head)),
        joint=_answer_jointly(parts),
    )


def _answer_jointly(parts: Sequence[DataSetReport]) -> JointAnswer | None:
    analyses = [answer.analysis for part in parts for answer in part.answers]
    metric = next((metric for part in parts for metric in part.data_set.metrics), "")
    joint = join([part.data_set for part in parts], analyses, metric)
    return answer_jointly(joint) if joint else None


def _answers(part: DataSetReport, variant: str, baseline: str) -> bool:
    """Whether a part answers a question about these two labels, in either direction."""
    comparisons = [answer.comparison for answer in part.answers]
    labels = ({side.label for side in (c.variant, c.baseline)} for c in comparisons)
    names = ({side.name for side in (c.variant, c.baseline)} for c in comparisons)
    return {variant, baseline} in (*labels, *names)


def _report_data_set(
    scope: Scope, request: ReportRequest, level: tuple[str, str] | None, invocation: Invocation
) -> DataSetReport:
    """The report on one data set.

    Args:
        scope: Its variants, and the sweeps with what they declared.
        request: What to compare; its baseline is a label, or None.
        level: The axis and the level that are the baseline instead.
        invocation: How the report was requested.
    """
    data_set, sweeps = scope.data_set, scope.sweeps
    manifests = [sweep.manifest for sweep in sweeps]
    cache = ComparisonCache(data_set, manifests)
    declarations = [sweep.declaration for sweep in sweeps]
    analyses, unanswered = primary_analyses(cache, request, sweeps, scope.all_sweeps)
    compressed = [c for variant in data_set.variants if (c := cache.with_backbone(variant)) and c.pairs]
    selection = select(cache, request, level, declarations, has_backbones=bool(compressed))
    answering = (analysis.comparison for analysis in analyses)
    comparisons = list(dict.fromkeys([*selection.all_comparisons(), *answering, *compressed]))
    metrics = list(dict.fromkeys((*(analysis.metric for analysis in analyses), *data_set.metrics)))
    families = _families(analyses, selection, comparisons, request, metrics)
    notes = list(dict.fromkeys([*unanswered, *selection.notes, *cache.notes]))
    notes += [f"{c.name}: {c.left_out}" for c in cache.comparisons.values() if c.left_out]
    notes += [f"{c.name}: {c.recipe_note}" for c in comparisons if c.recipe_note]
    notes += _notes_on_scope(scope)
    best = order_of(data_set, leading_metric(analyses, data_set))
    return DataSetReport(
        data_set,
        scope,
        answers=tuple(answer_question(analysis, data_set) for analysis in analyses),
        variants_table=variants_table(data_set),
        contrasts=tuple(selection.contrasts),
        tables=(
            *_tables(scope, selection.contrasts, comparisons, compressed, families),
            *_further_tables(data_set, analyses, best),
            *([variants_table(scope.apart, is_apart=True)] if scope.apart else []),
        ),
        comparisons=tuple(comparisons),
        compressed=tuple(compressed),
        searches=expected_best_by_model(data_set, manifests),
        best=best,
        families=families,
        notes=tuple(notes),
        missing=tuple(run for runs in (*(v.missing for v in data_set.variants), data_set.missing) for run in runs),
        comparisons_requested=selection.requested,
        unanswered=tuple(unanswered),
        next_step=next_step(data_set, analyses, comparisons, sweeps, request, invocation),
        resources=resources([data_set]),
    )


def _families(
    analyses: Sequence[PrimaryAnalysis],
    selection: Selection,
    comparisons: Sequence[Comparison],
    request: ReportRequest,
    metrics: Sequence[str],
) -> Families:
    """The hierarchy of all comparisons: the questions, the declared tables, and everything else."""
    declared = selection.contrasts if selection.declared else []
    tests = {a.metric: a.primary.test for a in reversed(analyses) if not a.is_exploratory}
    return Families(
        analyses,
        secondary={c.title: (*c.comparisons, *c.best) for c in declared},
        exploratory=comparisons,
        tests=dict.fromkeys(metrics, request.test) if request.test else tests,
        metrics=metrics,
    )


def _notes_on_scope(scope: Scope) -> Iterator[str]:
    """Which runs the report is about, where these are not all."""
    if scope.apart:
        runs = sum(len(variant.runs) for variant in scope.apart.variants)
        yield (
            f"this report is about the runs of {' and '.join(scope.names)}; {plural(runs, 'other run')} of "
            f"{scope.data_set.name} {'is' if runs == 1 else 'are'} listed apart and not compared: --sweep all includes them"
        )
    if scope.others:
        yield f"other sweeps declared questions, too: --sweep {' or --sweep '.join(scope.others)} answers those"


def _further_tables(
    data_set: DataSetVariants, analyses: Sequence[PrimaryAnalysis], best: Order | None
) -> Iterator[Table]:
    """The order of the variants, other measures of their predictions, and the looks of a sweep that added seeds."""
    if best:
        yield best_table(best, data_set)
    for table in (qualities_table(data_set), looks_table(analyses, data_set)):
        if table:
            yield table


def _tables(
    scope: Scope,
    contrasts: Sequence[ContrastComparisons],
    comparisons: Sequence[Comparison],
    compressed: Sequence[Comparison],
    families: Families,
) -> Iterator[Table]:
    """The tables of one data set, without those of its variants and of its answers."""
    data_set, published = scope.data_set, scope.published
    yield from compression_tables(data_set, compressed, families, published)
    for metric in families.metrics:
        unit = unit_of(data_set, metric)
        is_usual = metric in data_set.metrics  # else a question's own: val_last, or a measure of test predictions
        for number, contrast in enumerate(contrasts if is_usual else (), start=1):
            yield grid_table(contrast, families, metric, unit, published, number)
        if comparisons:
            yield differences_table(comparisons, families, metric, unit)
        if is_usual and (table := effects_table(data_set, metric, unit, published)):
            yield table
    if table := stars_table(contrasts, families, published, data_set.metrics):
        yield table
