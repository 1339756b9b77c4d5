"""What a code between a network's features and its classifier saves, and what it costs: before and after, as tables."""

from collections.abc import Iterator, Mapping, Sequence
from math import isnan, prod
from statistics import fmean

from hybridnets import stats
from hybridnets.report.comparing.codes import ClassAccuracies, by_class, code_of, map_error
from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.comparing.evidence import NETWORKS
from hybridnets.report.comparing.families import Families, FamilyMember, described, questions
from hybridnets.report.comparing.metric import metric_of
from hybridnets.report.comparing.units import Unit, unit_of
from hybridnets.report.comparing.variants import DataSetVariants
from hybridnets.report.reading.score_kind import ACCURACY
from hybridnets.report.tables.cells import (
    LEVELS,
    adjusted_cell,
    counted,
    interval_text,
    metric_name,
    optimistic,
    p_cell,
    pairs_cell,
    runs_cell,
    test_names,
)
from hybridnets.report.tables.table import Cell, Table, row
from hybridnets.runs.published_figures import PublishedFigures

BeforeAndAfter = tuple[float, float]
METRICS = {metric: metric_name(metric_of(metric, ACCURACY)) for metric in ("test", "val")}  # of runs with a code


def compression_tables(
    section: DataSetVariants, compressed: Sequence[Comparison], families: Families, published: PublishedFigures
) -> Iterator[Table]:
    """The tables about codes; none where no variant compresses the features of a backbone.

    Args:
        section: The variants.
        compressed: Each variant with a code against its backbone, in pairs of runs on the same images.
        families: How their p-values are corrected.
        published: Test accuracies by class to print next to ours.
    """
    if not compressed:
        return
    unit = unit_of(section, section.metrics[0])
    yield _savings(compressed, families, section.metrics, unit)
    for metric in section.metrics:
        yield _before_and_after(compressed, families, metric, unit)
    for metric in section.metrics:
        figures = published.classes if metric == "test" else {}
        for number, comparison in enumerate(compressed, start=1):
            if accuracies := by_class(comparison, metric):
                yield _classes(comparison, accuracies, metric, unit, figures, number)


def _savings(compressed: Sequence[Comparison], families: Families, metrics: Sequence[str], unit: Unit) -> Table:
    """The size of each code, and the accuracy that is left."""
    main, order = metrics[0], tuple(reversed(metrics))
    rows = []
    for comparison in compressed:
        variant, code, error = comparison.variant, code_of(comparison), map_error(comparison)
        levels = [fmean(run.scores[metric] for run, _ in comparison.pairs) for metric in order]
        evidence = comparison.evidence(main)
        mean = evidence.differences.mean
        rows.append(
            row(
                *(variant.label, runs_cell(variant)),
                Cell(f"{100 * code.saving:.1f}", code.saving),
                " x ".join(map(str, code.shape)),
                Cell(f"{code.values:,}", code.values),
                Cell(f"{code.bytes:,}", code.bytes),
                Cell(f"{error:.3g}", error),
                *(Cell(unit.level(level), level) for level in levels),
                Cell(unit.difference(mean), mean),
                interval_text(families.at(main)[comparison].test, unit),
            )
        )
    maps = sorted({code_of(comparison).maps for comparison in compressed})
    shapes = " or ".join(f"{' x '.join(map(str, shape))} = {prod(shape):,}" for shape in maps)
    caption = (
        f"saved: the percentage of the values of the backbone's feature maps ({shapes}) that the code does not need. values, "
        "bytes: the size of the code of one image. MSE: mean squared error of the maps after the code on val, which the "
        "autoencoder was trained to minimise.",
        f"{' and '.join(order)}: accuracy in {unit.name}, mean over the runs. difference: {main}, after minus before, in "
        f"{unit.differences}, with the interval of the next table.",
        *optimistic(metrics),
    )
    names = ("val *" if metric == "val" else metric for metric in order)
    header = ("variant", "runs", "saved", "code", "values", "bytes", "MSE", *names, "difference", "95 % interval")
    return Table("compression", "What the code saves and costs", header, tuple(rows), caption)


def _before_and_after(compressed: Sequence[Comparison], families: Families, metric: str, unit: Unit) -> Table:
    """Each variant against its backbone on the same images, tested over runs and image by image."""
    members = families.members(compressed, metric)
    is_val = metric == "val"
    caption = (
        f"{METRICS[metric]} in {unit.name}, mean over n runs, of the backbone alone (before) and through the code (after), "
        f"on the same images; difference: after minus before, in {unit.differences}.",
        *optimistic([metric]),
        *["Before, the epoch was chosen on this accuracy; after, on the MSE of the maps. So val is unfair to the code."]
        * is_val,
        f"95 % interval and p: {test_names(members)} over seeds; its question: {'; or '.join(questions(members))}, does the "
        f"code change the accuracy? Holm: p corrected for the comparison's family ({'; '.join(described(members))}).",
        "lost:won: images that are right only before, and only after, for each seed, with the stars of McNemar's exact test, "
        f"uncorrected; its question: do {NETWORKS} differ? It counts images, not runs: with many images, even a loss too "
        f"small to matter has stars. {LEVELS.partition(';')[0]}; tests.csv has each p.",
    )
    header = ("variant", "n", "before", "after", "difference", "95 % interval", "p", "p Holm", "lost:won")
    title = f"Before and after the code ({METRICS[metric]})"
    return Table("compression", title, header, tuple(_change(m, unit) for m in members), caption, metric)


def _change(member: FamilyMember, unit: Unit) -> tuple[Cell, ...]:
    evidence, comparison, test = member.evidence, member.evidence.comparison, member.test
    after, before = member.levels
    mean = evidence.differences.mean
    has_stars = not comparison.why_no_stars
    counts = [f"{m.only_b}:{m.only_a}{stats.stars(m.exact) * has_stars}" for m in evidence.mcnemar]
    return row(
        *(comparison.variant.label, pairs_cell(comparison)),
        *(Cell(unit.level(before), before), Cell(unit.level(after), after), Cell(unit.difference(mean), mean)),
        interval_text(test, unit),
        p_cell(evidence, test),
        adjusted_cell(member, member.holm),
        ", ".join(counts) or f"n/a ({evidence.why_no_images})",
    )


def _classes(
    comparison: Comparison,
    accuracies: ClassAccuracies,
    metric: str,
    unit: Unit,
    published: Mapping[str, BeforeAndAfter],
    number: int,
) -> Table:
    """Accuracy by class before and after, and published figures of the same classes."""
    n, requested = len(comparison.pairs), comparison.expected_pairs
    figures = [published.get(name) for name in accuracies.names]
    complete = [figure for figure in figures if figure]
    figures.append(_average(complete) if len(complete) == len(figures) else None)
    rows = []
    for place, name in enumerate((*accuracies.names, "average")):
        cells = [name, *_three(accuracies.means[place], unit)]
        if n > 1:
            low, high = accuracies.ranges[place]
            cells.append("n/a" if isnan(low) else unit.interval((low, high)))
        if complete:
            figure = figures[place]
            cells += _three(figure, unit) if figure else [""] * 3
        rows.append(row(*cells))
    runs = counted(n, requested, "runs" if n < requested or n > 1 else "run")
    caption = (
        f"{METRICS[metric]} in {unit.name} of {comparison.baseline.name} (before) and of {comparison.variant.label} "
        f"(after), mean over {runs}; differences in {unit.differences}.",
        "average: over the classes, each with equal weight; it is the accuracy where all classes have equally many images. No "
        "single class is tested: the table of before and after tests all images together.",
        *optimistic([metric]),
        *[
            "published: the figures named in the sweep's report section. They are of another network: compare the differences."
        ]
        * bool(complete),
    )
    header = ["class", "before", "after", "difference", *["lowest to highest seed"] * (n > 1)]
    header += ["published before", "after", "difference"] * bool(complete)
    incomplete = f" ({runs})" * (n < requested)
    title = f"{comparison.variant.label}{incomplete}: accuracy by class, before and after ({METRICS[metric]})"
    return Table("classes", title, tuple(header), tuple(rows), caption, metric, number)


def _average(figures: Sequence[BeforeAndAfter]) -> BeforeAndAfter:
    before, after = zip(*figures, strict=True)
    return fmean(before), fmean(after)


def _three(levels: BeforeAndAfter, unit: Unit) -> list[Cell | str]:
    """Before, after and the difference."""
    before, after = levels
    if isnan(before + after):
        return ["n/a (no images)"] * 3
    cells = (Cell(unit.level(level), level) for level in levels)
    return [*cells, Cell(unit.difference(after - before), after - before)]
