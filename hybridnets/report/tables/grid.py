"""The paper's tables: one axis at two levels, all other axes being equal, with differences, stars and published figures."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from hybridnets import stats
from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.comparing.contrasts import ContrastComparisons, numeric_axes
from hybridnets.report.comparing.evidence import Evidence
from hybridnets.report.comparing.families import Families, FamilyMember, described, questions
from hybridnets.report.comparing.units import Unit
from hybridnets.report.comparing.variants import Variant
from hybridnets.report.tables.cells import LEVELS, PUBLISHED, counted, level_cell, metric_name, optimistic, test_names
from hybridnets.report.tables.table import Cell, Table, row
from hybridnets.report.text import natural
from hybridnets.runs.published_figures import PublishedFigures

PAPER = ["layers", "nodes"]  # the axes across the paper's tables
IMAGES = (
    "over images: paired t on right or wrong, all images of all seeds pooled as if independent, uncorrected; this is how the "
    "paper tests. Such stars say that these trained networks differ, not that an architecture is better"
)
Place = tuple[str, ...]  # the levels of the axes across, which choose a column


def grid_table(
    contrast: ContrastComparisons,
    families: Families,
    metric: str,
    unit: Unit,
    published: PublishedFigures,
    number: int,
) -> Table:
    """One of the paper's tables: accuracies of both levels, differences with stars, best against best.

    Args:
        contrast: The comparisons.
        families: How their p-values are corrected.
        metric: test, val or score.
        unit: How the metric is printed.
        published: Val accuracies and stars to print below ours.
        number: The table's number among the grids.
    """
    layout = _Layout(contrast.levels.axis, [variant for side in _sides(contrast) for variant in side])
    members = families.members([*contrast.comparisons, *contrast.best], metric)
    rows = [
        *_level_rows(contrast, layout, metric, unit, published),
        *_difference_rows(contrast, layout, members, unit, published),
    ]
    header = ("", *(_column_name(layout.across, place, metric) for place in layout.places))
    caption = tuple(_caption(contrast, metric, unit, members, published, layout))
    title = f"{contrast.title} ({metric_name(members[0].evidence.metric_kind)})"
    return Table("grid", title, header, tuple(rows), caption, metric, number)


class _Layout:
    """The columns of a grid.

    Args:
        axis: The axis that the table compares.
        variants: All of its variants.
    """

    def __init__(self, axis: str, variants: list[Variant]) -> None:
        self.axis = axis
        self.across = numeric_axes(variants, axis)  # the axes that run across the table
        places = {place for variant in variants if (place := self.place(variant))}
        self.places = sorted(places, key=lambda place: [float(level) for level in place]) or [()]

    def place(self, variant: Variant) -> Place:
        """The column of a variant; empty where it lacks an axis across, as CNN does."""
        place = tuple(variant.axes[axis] for axis in self.across if axis in variant.axes)
        return place if len(place) == len(self.across) else ()

    def line(self, name: str, cells: Mapping[Place, Cell]) -> tuple[Cell, ...]:
        """A row; a cell whose place is no column goes into the first column."""
        columns = {place: n for n, place in enumerate(self.places)}
        line = [Cell("")] * len(self.places)
        for place, cell in cells.items():
            line[columns.get(place, 0)] = cell
        return row(name, *line)

    def lines(self, variants: Sequence[Variant]) -> list[tuple[str, dict[Place, Variant]]]:
        """The variants of one level by the row and the column where they go, the smallest first."""
        lines: dict[str, dict[Place, Variant]] = {}
        for variant in variants:
            words = [variant.axes[self.axis]] if self.axis in variant.axes else []
            words += [
                level if axis in ("model", "rnn") else f"{axis}={level}"
                for axis, level in variant.axes.items()
                if axis not in (self.axis, *self.across)
            ]
            lines.setdefault(" ".join(words), {})[self.place(variant)] = variant

        def size(line: tuple[str, dict[Place, Variant]]) -> tuple[int, list[tuple[float, str]]]:
            return min(variant.parameters or 0 for variant in line[1].values()), natural(line[0])

        return sorted(lines.items(), key=size)


def _sides(contrast: ContrastComparisons) -> list[list[Variant]]:
    """The variants at the level that is subtracted, and those at the other."""
    sides = ([c.baseline for c in contrast.comparisons], [c.variant for c in contrast.comparisons])
    return [list(dict.fromkeys(side)) for side in sides]


def _column_name(across: list[str], place: Place, metric: str) -> str:
    if across == PAPER:
        return "x".join(place)
    return " ".join(f"{axis} {level}" for axis, level in zip(across, place, strict=False)) or metric


def _level_rows(
    contrast: ContrastComparisons, layout: _Layout, metric: str, unit: Unit, published: PublishedFigures
) -> Iterator[tuple[Cell, ...]]:
    """Each variant's level, and below it the published one."""
    for side in _sides(contrast):
        for name, variants in layout.lines(side):
            yield layout.line(name, {place: _level(v, metric, unit) for place, v in variants.items()})
            if any(v.label in published.accuracies for v in variants.values()):
                levels = {place: published.accuracies.get(v.label) for place, v in variants.items()}
                cells = {place: Cell(unit.level(x), x) for place, x in levels.items() if x is not None}
                yield layout.line("  published", cells)


def _level(variant: Variant, metric: str, unit: Unit) -> Cell:
    cell = level_cell(variant, metric, unit)
    n = f"{variant.finished} runs" if variant.missing else f"{len(variant.sound)}"
    return Cell(f"{cell.text.replace(' ± n/a', '')} ({n})", cell.value)


def _difference_rows(
    contrast: ContrastComparisons,
    layout: _Layout,
    members: list[FamilyMember],
    unit: Unit,
    published: PublishedFigures,
) -> Iterator[tuple[Cell, ...]]:
    """The differences with their stars, a block of rows for each row of the higher level, then best against best."""
    by_comparison = {member.evidence.comparison: member for member in members}

    def block(name: str, comparisons: Mapping[Place, Comparison]) -> Iterator[tuple[Cell, ...]]:
        cells = {place: by_comparison[c] for place, c in comparisons.items()}
        return _block(name, layout, cells, unit, published)

    subtraction = f"{contrast.levels.high} - {contrast.levels.low}"
    for name, variants in layout.lines([c.variant for c in contrast.comparisons]):
        by_place = {place: [c for c in contrast.comparisons if c.variant is v] for place, v in variants.items()}
        # One variant has several comparisons where the level that is subtracted has more axes.
        most = max(map(len, by_place.values()))
        for n in range(most):
            comparisons = {place: several[n] for place, several in by_place.items() if n < len(several)}
            rest = name.removeprefix(contrast.levels.high).strip()
            baseline = next(iter(comparisons.values())).baseline.label if most > 1 else ""
            yield from block(", ".join(filter(None, [subtraction, rest, baseline])), comparisons)
    for c in contrast.best:
        yield from block(f"best: {c.variant.label} - {c.baseline.label}", {layout.places[0]: c})


def _block(
    name: str,
    layout: _Layout,
    members: Mapping[Place, FamilyMember],
    unit: Unit,
    published: PublishedFigures,
) -> Iterator[tuple[Cell, ...]]:
    """A row of differences, its rows of stars, and the published difference."""

    def line(row_name: str, cell: Callable[[FamilyMember], Cell]) -> tuple[Cell, ...]:
        return layout.line(row_name, {place: cell(member) for place, member in members.items()})

    yield line(name, lambda m: _difference(m.evidence, unit))
    yield line("  stars over images", lambda m: _stars(m, m.evidence.pooled, m.evidence.pooled.p))
    yield line("  stars over seeds", lambda m: _stars(m, m.test, m.holm))
    comparisons = {place: member.evidence.comparison for place, member in members.items()}
    figures = {place: published.difference(c.variant.label, c.baseline.label) for place, c in comparisons.items()}
    if any(figures.values()):
        texts = {place: f"{figure[0]:+.2f} {figure[1]}".strip() for place, figure in figures.items() if figure}
        yield layout.line("  published", {place: Cell(text) for place, text in texts.items()})


def _difference(evidence: Evidence, unit: Unit) -> Cell:
    n, requested = len(evidence.pairs), evidence.comparison.expected_pairs
    mean = float(evidence.d.mean())
    count = counted(n, requested, "seeds" if n < requested else "")
    return Cell(f"{unit.at(evidence.differences.interval, mean).difference(mean)} ({count})", mean)


def _stars(member: FamilyMember, test: stats.Test, p: float | None) -> Cell:
    if why := member.evidence.comparison.why_no_stars:
        return Cell(f"n/a ({why})")
    if p is None:
        return Cell(f"n/a ({test.why})")
    return Cell(stats.stars(p) or "-")


def _caption(
    contrast: ContrastComparisons,
    metric: str,
    unit: Unit,
    members: list[FamilyMember],
    published: PublishedFigures,
    layout: _Layout,
) -> Iterator[str]:
    name = metric_name(members[0].evidence.metric_kind)
    seeds = sorted({len(member.evidence.pairs) for member in members})
    n = f"n = {seeds[0]}" if len(seeds) == 1 else f"n = {seeds[0]} to {seeds[-1]}"
    if layout.across == PAPER:
        yield "Columns: layers x nodes of the recurrent part."
    yield (
        f"{name} in {unit.name}, mean over the runs; differences in {unit.differences}, mean over {n} pairs of "
        "runs with equal seed, split, data and protocol. In brackets: how many runs, and how many pairs."
    )
    yield from optimistic([metric])
    yield f"Stars {IMAGES}."
    yield (
        f"Stars over seeds: {test_names(members)}; the question: {'; '.join(questions(members))}. Holm's method, over each "
        f"family ({'; '.join(described(members))})."
    )
    yield LEVELS
    if contrast.best:
        chosen = "val" if metric in ("test", "val") else "these scores"
        consequence = (
            " and compared here on test. The stars keep their level; the difference favours the level with more variants, "
            "because the best of many is in part the luckiest. Train both again with fresh seeds for an unbiased difference."
            if metric == "test"
            else ": chosen on the data that it is compared on, so it gets too many stars."
        )
        yield f"best: the best variant of a row at each level, chosen by its mean on {chosen}{consequence}"
    if published.accuracies:
        yield f"{PUBLISHED}."
