"""The whole report as data: answers, tables, and what the figures are drawn from."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from hybridnets.report.comparing.contrasts import ComparisonCache, ContrastComparisons, check_labels, chosen, grids
from hybridnets.report.comparing.evidence import Comparison
from hybridnets.report.comparing.units import unit_of
from hybridnets.report.comparing.variants import DataSetVariants, Missing, Variant, sections
from hybridnets.report.reading.results import ReportError, RunSet
from hybridnets.report.tables.answer import Answer, answer
from hybridnets.report.tables.compression import compression_tables
from hybridnets.report.tables.effects import effects_table
from hybridnets.report.tables.grid import grid_table
from hybridnets.report.tables.overview import differences_table, variants_table
from hybridnets.report.tables.table import Table, visible
from hybridnets.runs import manifest
from hybridnets.runs.declaration import METRICS, Contrast, Declaration, Primary, parse_declaration
from hybridnets.runs.manifest import Manifest
from hybridnets.runs.published_figures import DeclarationError, PublishedFigures


@dataclass(frozen=True, eq=False)
class DataSetReport:
    """What is reported of one data set.

    Attributes:
        section: Its variants.
        answers: The primary analyses, the oldest first; usually one.
        variants: The table of all variants.
        contrasts: The grids behind the tables.
        tables: The grids' tables, each metric, and the tables of differences and effects.
        comparisons: All comparisons in those tables, each once.
        compressed: Of those, each variant that codes the features of a backbone against that backbone.
        notes: Sentences on what could not be compared, or only with care.
        lost: The runs that were asked for and have no result.
        flat: Whether single comparisons were asked for, not only grids.
    """

    section: DataSetVariants
    answers: tuple[Answer, ...]
    variants: Table
    contrasts: tuple[ContrastComparisons, ...]
    tables: tuple[Table, ...]
    comparisons: tuple[Comparison, ...]
    compressed: tuple[Comparison, ...]
    notes: tuple[str, ...]
    lost: tuple[Missing, ...]
    flat: bool


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that is told.

    Attributes:
        title: What was reported on.
        parts: By data set.
        problems: A sentence for each file or run that was left out.
        commands: What repeats it: the sweeps' commands and the report's own.
        sources: Commits and versions that the runs were made with, and how many runs each.
        head: What stands before everything else: what of a file of scores is left out, and how it was read.
    """

    title: str
    parts: tuple[DataSetReport, ...]
    problems: tuple[str, ...]
    commands: tuple[str, ...]
    sources: Sequence[tuple[str, int]]
    head: tuple[str, ...] = ()


LARGEST = 1e12  # a margin that can still be drawn


def _words(values: Any) -> bool:
    return isinstance(values, tuple) and all(isinstance(value, str) for value in values)


RULES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "baseline": ("a label, or axis=level", lambda v: v is None or isinstance(v, str)),
    "compare": ("labels", _words),
    "vary": ("axes", _words),
    "primary": (
        "the labels of two different variants",
        lambda v: v is None or (_words(v) and len(set(v)) == len(v) == 2),
    ),
    "margin": (
        f"a difference from 0 to {LARGEST:g}",
        lambda v: v is None or (isinstance(v, int | float) and 0 <= v <= LARGEST),
    ),
    "metric": ("test, val or score", lambda v: v is None or v in METRICS),
}


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Attributes:
        baseline: A variant's label, or axis=level.
        compare: Labels in pairs.
        vary: Axes to make tables of.
        primary: Labels of variant and baseline of the analysis that answers.
        margin: The smallest difference that matters, in percent points, or in the score's unit; None: as declared.
        metric: The primary analysis's metric.
    """

    baseline: str | None = None
    compare: tuple[str, ...] = ()
    vary: tuple[str, ...] = ()
    primary: tuple[str, str] | None = None
    margin: float | None = None
    metric: str | None = None

    def by_level(self, labels: Collection[str]) -> bool:
        """Whether the baseline is a level of an axis: axis=level, unless that is some variant's label.

        Args:
            labels: The labels of all variants.
        """
        return "=" in (self.baseline or "") and self.baseline not in labels

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Request":
        """From plain values by name: arguments, or what a report's record holds.

        Raises:
            ReportError: If a value has no meaning.
        """
        plain: dict[str, Any] = {field.name: values[field.name] for field in fields(cls)}
        plain |= {key: tuple(value) for key, value in plain.items() if isinstance(value, list)}
        for key, (rule, legal) in RULES.items():
            if not legal(plain[key]):
                raise ReportError(f"--{key} must be {rule}, got {plain[key]}")
        return cls(**plain)


def analyse(found: RunSet, title: str, command: str, asked: Request = Request()) -> Report:
    """Compares what was found.

    Args:
        found: The finished runs.
        title: What the report is called.
        command: The command that makes it.
        asked: What to compare; what follows from the sweeps and the variants, where it says nothing.

    Raises:
        ReportError: If something was asked for that is not there.
    """
    manifests, problems = _manifests(found)
    split = sections(found, manifests)
    labels = sorted({variant.label for section in split for variant in section.variants})
    level = asked.baseline.partition("=") if asked.by_level(labels) and asked.baseline else None
    if level and "=" in " ".join(labels) and not any(level[0] in v.axes for section in split for v in section.variants):
        level = None  # a label misspelt
    check_labels(split, None if level else asked.baseline, asked.compare)
    declared = []
    for each in manifests:
        try:
            declared.append((each, parse_declaration(each.report)))
        except (DeclarationError, ArithmeticError, RecursionError) as error:
            problems.append(f"{each.path}: {error}; its report section is left out")
    parts = tuple(_part(section, asked, (level[0], level[2]) if level else None, declared) for section in split)
    if asked.primary and not any(part.answers for part in parts):
        raise ReportError(
            f"--primary must be two variants with a seed in common, of {', '.join(labels)}, got {' and '.join(asked.primary)}"
        )
    sources = Counter(run.source for run in found.runs if run.source)
    commands = [*dict.fromkeys(each.command for each in manifests), command]
    said = tuple(map(visible, (*found.problems, *problems)))
    head = tuple(map(visible, found.head))
    return Report(visible(title), parts, said, tuple(map(visible, commands)), sources.most_common(), head)


def _manifests(found: RunSet) -> tuple[list[Manifest], list[str]]:
    """The manifests of sweeps that asked for any run below the given folders."""
    read: list[Manifest] = []
    problems: list[str] = []
    folders = {run.folder for run in found.runs}  # of a file of scores one
    for out in sorted({out for folder in folders for out in folder.resolve().parents[2:3]}):
        there, broken = manifest.read(out)
        read += [each for each in there if any(_below(out / run, found.folders) for run in each.runs.values())]
        problems += broken
    return read, problems


def _below(path: Path, folders: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _part(
    section: DataSetVariants,
    asked: Request,
    level: tuple[str, str] | None,
    declared: list[tuple[Manifest, Declaration]],
) -> DataSetReport:
    compared = ComparisonCache(section)
    unit = unit_of(section)
    notes: list[str] = []
    known = [each for _, each in declared]
    answers = list(_answers(compared, asked, declared, notes))
    published = next((each.published for each in known if each.published.accuracies), PublishedFigures())
    by_class = next((each.published for each in known if each.published.classes), PublishedFigures())
    compressed = [found for v in section.variants if (found := compared.before(v)) and found.pairs]
    flat: list[Comparison] = []
    wanted: list[Contrast] = []
    if asked.compare or (asked.baseline and not level):
        flat, said = chosen(compared, None if level else asked.baseline, asked.compare)
        notes += said
    single = bool(flat)
    if level or asked.vary or not flat:
        wanted = [grid for each in known for grid in each.tables] if not (level or asked.vary) else []
        wanted = list(dict.fromkeys(wanted)) or grids(section, level, asked.vary)
    contrasts = [each for each in map(compared.contrast, wanted) if each.comparisons]
    if not contrasts and not flat and (len(section.variants) > 1 or not compressed):
        flat, said = chosen(compared)
        notes += said
    made = list(dict.fromkeys([*(c for each in contrasts for c in (*each.comparisons, *each.best)), *flat]))
    made += [each for each in (*(a.comparison for a in answers), *compressed) if each not in made]
    shown = list(compression_tables(section, compressed, by_class))
    for metric in section.metrics:
        for n, contrast in enumerate(contrasts, start=1):
            shown.append(grid_table(contrast, metric, unit, published, n))
        if made:
            shown.append(differences_table(made, metric, unit))
        if tested := effects_table(section, metric, unit):
            shown.append(tested)
    notes += [each.left_out and f"{each.name}: {each.left_out}" for each in compared.made.values() if each.left_out]
    notes += [each.recipe for each in made if each.recipe]
    return DataSetReport(
        section,
        tuple(answers),
        variants_table(section),
        tuple(contrasts),
        tuple(shown),
        tuple(made),
        tuple(compressed),
        tuple(notes),
        tuple(run for runs in (*(v.missing for v in section.variants), section.lost) for run in runs),
        single,
    )


def _answers(
    compared: ComparisonCache, asked: Request, declared: list[tuple[Manifest, Declaration]], notes: list[str]
) -> Iterator[Answer]:
    """The analyses that answer: the one asked for, else those declared, else the only one there is."""
    metrics = compared.section.metrics
    scale = unit_of(compared.section).scale
    default = metrics[0] if metrics else "test"
    if asked.metric and asked.metric not in metrics:
        raise ReportError(
            f"--metric must be one of {', '.join(metrics)} for {compared.section.data}, got {asked.metric}"
        )
    if asked.primary:
        one, other = (compared.by_label.get(label) for label in asked.primary)
        primary = Primary(*asked.primary, asked.metric or default, "paired", (asked.margin or 0.0) / scale)
        comparison = _against(compared, one, other, asked.primary[1])
        if comparison and comparison.pairs:
            yield answer(comparison, primary, compared.section, "asked for on the command line, after the runs")
        return
    first: dict[Primary, Manifest] = {}
    for each, known in declared:  # the oldest first
        if known.primary:
            first.setdefault(known.primary, each)
    for primary, each in first.items():
        one, other = (_meant(compared.section, label, each) for label in (primary.variant, primary.baseline))
        comparison = _against(compared, one, other, primary.baseline)
        what = f"the primary analysis of {each.path.name} ({primary.variant} - {primary.baseline}, {primary.metric})"
        if not comparison or primary.metric not in metrics:
            if any(run.parts[0] == compared.section.data for run in each.runs.values()):
                notes.append(
                    f"{what} cannot be made: not both of its variants have finished runs with {primary.metric}"
                )
            continue
        if not comparison.pairs:
            notes.append(f"{what} cannot be made: {comparison.left_out}")
            continue
        when = _when(each, comparison)
        if asked.margin is not None and asked.margin / scale != primary.margin:
            primary = replace(primary, margin=asked.margin / scale)
            when += "; its margin was given on the command line, after the runs"
        if asked.metric and asked.metric != primary.metric:
            primary = replace(primary, metric=asked.metric, test="paired")
            when += "; its metric was chosen on the command line, after the runs"
        yield answer(comparison, primary, compared.section, when)
    if not first and metrics and len(only := chosen(compared)[0]) == 1:
        names = (only[0].variant.label, only[0].baseline.label)
        primary = Primary(*names, asked.metric or default, "paired", (asked.margin or 0.0) / scale)
        yield answer(only[0], primary, compared.section, "not declared: the only comparison there is")


def _against(compared: ComparisonCache, one: Variant | None, other: Variant | None, name: str) -> Comparison | None:
    """The comparison of two variants; of one on a backbone by that name against it, wherever the backbone's runs are."""
    below = one and compared.before(one)
    if below and name in (below.baseline.label, below.baseline.name):
        return below
    return compared.of(one, other) if one and other else None


def _meant(section: DataSetVariants, label: str, manifest: Manifest) -> Variant | None:
    """The variant that a sweep's report section means: of its own runs, by label or by short name."""
    own = [v for v in section.variants if any(run.hash in manifest.runs for run in v.runs)]
    named = [v for v in own if v.label == label] or [v for v in own if v.name == label]
    return named[0] if len(named) == 1 else None


def _when(manifest: Manifest, comparison: Comparison) -> str:
    """Whether an analysis was declared before its runs began, by the dates."""
    runs = [run for pair in comparison.pairs for run in pair]
    begun = [run for run in runs if run.started is None or run.started.timestamp() < manifest.declared.timestamp()]
    needed = {run.code.backbone for run in runs if run.code}  # which the sweep adds where they are missing
    later = [run for run in runs if run.hash not in manifest.runs and run.hash not in needed]
    date = f"{manifest.declared:%Y-%m-%d %H:%M %Z}".strip()
    more = f"; {len(later)} of {len(runs)} runs were asked for by another sweep" if later else ""
    if not begun:
        return f"declared {date}, before the runs{more}"
    return f"declared {date}, after {len(begun)} of its {len(runs)} runs had begun{more}"
