"""What accuracy costs: against parameters, and against training time."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from hybridnets.report.analysis import DataSetReport
from hybridnets.report.comparing.variants import Variant
from hybridnets.report.figures.picture import Picture
from hybridnets.report.figures.style import (
    BLUE,
    INK,
    SMALL,
    VERMILLION,
    fitted,
    level_name,
    listed,
    main_metric,
    mark,
    picture,
    style,
)
from hybridnets.report.tables.units import unit

LABELLED = 8  # points whose names can still be read


@style()
def cost(part: DataSetReport) -> Picture | None:
    """Mean accuracy against parameters and against seconds a run; None where neither is known of two variants."""
    metric, of = main_metric(part), unit(part.section)
    costs = (("parameters (Keras's count)", "parameters"), ("training time of a run", "run_seconds"))
    known = [
        (
            name,
            [
                (getattr(v, what), s.mean, v)
                for v in part.section.variants
                if getattr(v, what) and (s := v.scores(metric))
            ],
        )
        for name, what in costs
    ]
    known = [(name, points) for name, points in known if len(points) > 1]
    if not known:
        return None
    figure = Figure((9.0, 4.2), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(known), sharey=True, squeeze=False)[0]
    primary = {v for a in part.answers for v in (a.comparison.variant, a.comparison.baseline)}
    for axes, (name, points) in zip(panels, known, strict=True):
        sizes = [size for size, _, _ in points]
        if max(sizes) > 10 * min(sizes):
            axes.set_xscale("log")
        for size, mean, variant in points:
            scores = [of.scale * run.scores[metric] for run in variant.sound]
            axes.plot([size, size], [min(scores), max(scores)], color=INK, linewidth=0.8, alpha=0.5)
            own = variant in primary
            axes.plot(size, of.scale * mean, "D" if own else "o", color=VERMILLION if own else BLUE, markersize=6)
        named = points
        if len(points) > LABELLED:
            named = [(size, mean, v) for size, mean, v in points if v in primary or _undominated(size, mean, points)]
        _name(figure, axes, [(size, of.scale * mean, variant.label) for size, mean, variant in named])
        axes.set_xlabel(name)
        axes.xaxis.set_major_formatter(
            EngFormatter(unit="s" if "time" in name else "", sep=" " if "time" in name else "")
        )
        axes.margins(x=0.18, y=0.1)
    panels[0].set_ylabel(level_name(metric, of))
    marks = [mark(BLUE, "o", "mean of a variant"), mark(INK, "", "lowest to highest seed", line="-")]
    if primary:
        marks.insert(1, mark(VERMILLION, "D", "of the primary analysis"))
    listed(figure, marks)
    caption = [
        "Up and to the left is better: more accurate, and cheaper.",
        "Training time: the epochs of a run together, mean over the runs; seconds of different hardware do not compare.",
        "Named are those of the primary analysis, and those that no other variant beats in both; the table has all."
        * (len(part.section.variants) > LABELLED),
    ]
    return picture(figure, "cost", f"{part.section.data}: accuracy and its cost", caption)


def _undominated(size: float, mean: float, points: Sequence[tuple[float, float, Variant]]) -> bool:
    """Whether no other variant is both cheaper and better."""
    return not any(s <= size and m >= mean and (s, m) != (size, mean) for s, m, _ in points)


def _name(figure: Figure, axes: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Names beside their points, pushed apart from below where they would overlap."""
    figure.draw_without_rendering()
    place = axes.transData
    taken: list[tuple[float, float]] = []
    for x, y, label in sorted(points, key=lambda point: point[1]):
        left, bottom = place.transform((x, y))
        while any(abs(bottom - b) < 14 and abs(left - a) < 170 for a, b in taken):
            bottom += 3
        taken.append((left, bottom))
        offset = (bottom - place.transform((x, y))[1]) * 72 / figure.dpi
        axes.annotate(
            fitted(label, 26, 1),
            (x, y),
            (7, offset),
            textcoords="offset points",
            va="center",
            fontsize=SMALL - 1,
            annotation_clip=False,
        )
