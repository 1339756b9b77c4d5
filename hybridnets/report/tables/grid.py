"""The paper's tables: one axis at two levels, all others being equal, with differences, stars and published figures."""

from collections.abc import Iterator, Mapping
from typing import Any

from hybridnets import stats
from hybridnets.report.comparing.contrasts import ContrastComparisons, columns
from hybridnets.report.comparing.evidence import NEW, Comparison, Evidence
from hybridnets.report.comparing.variants import Variant, natural
from hybridnets.report.tables.overview import level
from hybridnets.report.tables.table import Cell, Table, row
from hybridnets.report.tables.units import LEVELS, OPTIMISTIC, Unit, adjusted, metric_name
from hybridnets.runs.published_figures import PublishedFigures

IMAGES = (
    "over images: paired t on right or wrong, all images of all seeds pooled as if independent, uncorrected; this is the "
    "paper's way, and says that these trained networks differ, not that an architecture is better"
)


def grid(contrast: ContrastComparisons, metric: str, unit: Unit, published: PublishedFigures, key: str) -> Table:
    """One of the paper's tables: accuracies of both levels, differences with stars, best against best.

    Args:
        contrast: The comparisons.
        metric: test, val or score.
        unit: How it is printed.
        published: Figures to stand beside the cells; they are about val.
        key: The table's file name.
    """
    axis = contrast.grid.axis
    sides = [_unique(c.baseline for c in contrast.comparisons), _unique(c.variant for c in contrast.comparisons)]
    across = columns([*sides[0], *sides[1]], axis)
    places = sorted(
        {place for side in sides for v in side if (place := _place(v, across))}, key=lambda p: [float(x) for x in p]
    ) or [()]
    wide = {place: n for n, place in enumerate(places)}

    def line(words: str, cells: Mapping[tuple[str, ...], Cell]) -> tuple[Cell, ...]:
        found = [Cell("")] * len(places)
        for place, cell in cells.items():
            found[wide.get(place, 0)] = cell  # what has no place of its own, as CNN, stands in the first
        return row(words, *found)

    rows = []
    for side in sides:
        for words, cells in _lines(side, axis, across):
            rows.append(line(words, {place: _cell(v, metric, unit) for place, v in cells.items()}))
            if any(v.label in published.accuracies for v in cells.values()):
                rows.append(line("  published", {p: _published(published, v, unit) for p, v in cells.items()}))
    family = _unique([*contrast.comparisons, *contrast.best])
    evidence = {c: c.evidence(metric) for c in family}
    corrected = any(e.ratio for e in evidence.values())
    plain_p = dict(zip(family, adjusted([e.plain for e in evidence.values()]), strict=True))
    seeds_p = dict(zip(family, adjusted([e.corrected for e in evidence.values()]), strict=True))

    def differences(words: str, cells: Mapping[tuple[str, ...], Comparison]) -> Iterator[tuple[Cell, ...]]:
        yield line(words, {place: _difference(evidence[c], unit) for place, c in cells.items()})
        yield line(
            "  stars over images",
            {place: _stars(c, evidence[c].pooled, evidence[c].pooled.p) for place, c in cells.items()},
        )
        yield line(
            "  stars over seeds", {place: _stars(c, evidence[c].plain, plain_p[c]) for place, c in cells.items()}
        )
        if corrected:
            yield line(
                "  stars over seeds, corrected",
                {place: _stars(c, evidence[c].corrected, seeds_p[c]) for place, c in cells.items()},
            )
        known = {p: published.stars.get((c.variant.label, c.baseline.label)) for p, c in cells.items()}
        if any(known.values()):
            yield line(
                "  published", {p: Cell(f"{found[0]:+.2f} {found[1]}".strip()) for p, found in known.items() if found}
            )

    what = f"{contrast.grid.high} - {contrast.grid.low}"
    for words, cells in _lines([c.variant for c in contrast.comparisons], axis, across):
        by_place = {place: [c for c in contrast.comparisons if c.variant is v] for place, v in cells.items()}
        for n in range(max(map(len, by_place.values()))):  # several, where the level that is subtracted has more axes
            here = {place: found[n] for place, found in by_place.items() if n < len(found)}
            beside = (
                f", {next(iter(here.values())).baseline.label}" if any(len(f) > 1 for f in by_place.values()) else ""
            )
            rest = words.removeprefix(contrast.grid.high).strip()
            rows += differences(", ".join(filter(None, [what, rest])) + beside, here)
    for c in contrast.best:
        rows += differences(f"best: {c.variant.label} - {c.baseline.label}", {places[0]: c})
    title = contrast.grid.title or f"{axis}: {contrast.grid.low} and {contrast.grid.high}"
    header = [
        "",
        *(
            "x".join(p)
            if across == ["layers", "nodes"]
            else " ".join(f"{a} {x}" for a, x in zip(across, p, strict=False)) or metric
            for p in places
        ),
    ]
    caption = _grid_caption(
        contrast, metric, unit, list(evidence.values()), corrected, bool(published.accuracies), across
    )
    return Table(key, f"{title} ({metric_name(metric)})", tuple(header), tuple(rows), tuple(caption))


def _grid_caption(
    contrast: ContrastComparisons,
    metric: str,
    unit: Unit,
    evidence: list[Evidence],
    corrected: bool,
    published: bool,
    across: list[str],
) -> Iterator[str]:
    seeds = sorted({len(e.pairs) for e in evidence})
    n = f"n = {seeds[0]}" if len(seeds) == 1 else f"n = {seeds[0]} to {seeds[-1]}"
    if across == ["layers", "nodes"]:
        yield "Columns: layers x nodes of the recurrent part."
    yield (
        f"{metric_name(metric)} in {unit.name}, mean over the runs; differences in {unit.differences}, mean over {n} pairs of "
        "runs with equal seed, split, data and protocol."
    )
    if metric == "val":
        yield f"* {OPTIMISTIC}"
    yield f"Stars {IMAGES}."
    questions = sorted({e.question or "nothing, for some seeds share a split" for e in evidence})
    yield (
        f"Stars over seeds: plain paired t; its question: {'; '.join(questions)}; Holm over the {len(evidence)} comparisons "
        "of this table."
    )
    if corrected:
        yield f"Corrected: the corrected resampled t (Nadeau and Bengio 2003); its question: {NEW}; Holm likewise."
    yield LEVELS
    if contrast.best:
        sound = metric == "test"
        chosen = "val" if metric in ("test", "val") else "these scores"
        yield (
            "best: the best variant of a row at each level, chosen by its mean on "
            + chosen
            + (
                " and compared here on test."
                if sound
                else ": chosen on the data that it is compared on, so its stars are too many."
            )
        )
    if published:
        yield "published: the paper's val accuracies, means of three runs, with its stars."


def _unique(things: Any) -> list[Any]:
    return list(dict.fromkeys(things))


def _place(variant: Variant, across: list[str]) -> tuple[str, ...]:
    found = tuple(variant.axes[axis] for axis in across if axis in variant.axes)
    return found if len(found) == len(across) else ()


def _lines(side: list[Variant], axis: str, across: list[str]) -> list[tuple[str, dict[tuple[str, ...], Variant]]]:
    """The variants of one level, a line for each combination of the axes that do not run across."""
    lines: dict[str, dict[tuple[str, ...], Variant]] = {}
    for variant in side:
        words = [variant.axes[axis]] if axis in variant.axes else []
        words += [
            level if name in ("model", "rnn") else f"{name}={level}"
            for name, level in variant.axes.items()
            if name not in (axis, *across)
        ]
        lines.setdefault(" ".join(words), {})[_place(variant, across)] = variant
    # the plainest first
    return sorted(lines.items(), key=lambda line: (min(v.parameters or 0 for v in line[1].values()), natural(line[0])))


def _cell(variant: Variant, metric: str, unit: Unit) -> Cell:
    cell = level(variant, metric, unit)
    missing = f" ({variant.finished} runs)" if variant.missing else ""
    return Cell(cell.text.replace(" ± n/a", "") + missing, cell.value)


def _published(published: PublishedFigures, variant: Variant, unit: Unit) -> Cell:
    value = published.accuracies.get(variant.label)
    return Cell("") if value is None else Cell(unit.level(value), value)


def _difference(evidence: Evidence, unit: Unit) -> Cell:
    n, asked = len(evidence.pairs), evidence.comparison.asked
    missing = f" ({n}/{asked} seeds)" if n < asked else ""
    mean = float(evidence.d.mean())
    return Cell(unit.at(evidence.differences.interval, mean).difference(mean) + missing, mean)


def _stars(comparison: Comparison, test: stats.Test, p: float | None) -> Cell:
    if why := comparison.no_star:
        return Cell(f"n/a ({why})")
    if p is None:
        return Cell(f"n/a ({test.why})")
    return Cell(stats.stars(p) or "-")
