"""What accuracy costs: against parameters, and against training time."""

from collections.abc import Callable, Collection, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from hybridnets.report.comparing.units import unit_of
from hybridnets.report.comparing.variants import DataSetVariants, Variant
from hybridnets.report.figures.picture import Picture
from hybridnets.report.figures.style import (
    BLUE,
    INK,
    SMALL,
    VERMILLION,
    figure_style,
    fitted,
    legend,
    level_name,
    mark,
    save_picture,
)

LABELLED = 8  # points whose names can still be read
COSTS: Mapping[str, Callable[[Variant], float | None]] = {
    "parameters (Keras's count)": lambda variant: variant.parameters,
    "training time of a run": lambda variant: variant.run_seconds,
}


@figure_style()
def draw_cost(section: DataSetVariants, metric: str, primary: Collection[Variant]) -> Picture | None:
    """Mean accuracy against parameters and against seconds per run.

    Args:
        section: The variants.
        metric: The metric.
        primary: The variants of the primary analyses.

    Returns:
        The picture; None where neither cost is known for two variants.
    """
    unit = unit_of(section)
    drawn = []
    for name, cost_of in COSTS.items():
        points = [(x, level.mean, v) for v in section.variants if (x := cost_of(v)) and (level := v.scores(metric))]
        if len(points) > 1:
            drawn.append((name, points))
    if not drawn:
        return None
    figure = Figure((9.0, 4.2), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(drawn), sharey=True, squeeze=False)[0]
    for axes, (name, points) in zip(panels, drawn, strict=True):
        sizes = [size for size, _, _ in points]
        if max(sizes) > 10 * min(sizes):
            axes.set_xscale("log")
        for size, mean, variant in points:
            scores = [unit.scale * run.scores[metric] for run in variant.sound]
            axes.plot([size, size], [min(scores), max(scores)], color=INK, linewidth=0.8, alpha=0.5)
            marker, color = ("D", VERMILLION) if variant in primary else ("o", BLUE)
            axes.plot(size, unit.scale * mean, marker, color=color, markersize=6)
        named = points
        if len(points) > LABELLED:
            named = [(size, mean, v) for size, mean, v in points if v in primary or _undominated(size, mean, points)]
        _name(figure, axes, [(size, unit.scale * mean, variant.label) for size, mean, variant in named])
        axes.set_xlabel(name)
        axes.xaxis.set_major_formatter(
            EngFormatter(unit="s" if "time" in name else "", sep=" " if "time" in name else "")
        )
        axes.margins(x=0.18, y=0.1)
    panels[0].set_ylabel(level_name(metric, unit))
    marks = [mark(BLUE, "o", "mean of a variant"), mark(INK, "", "lowest to highest seed", line="-")]
    if primary:
        marks.insert(1, mark(VERMILLION, "D", "variant of the primary analysis"))
    legend(figure, marks)
    caption = [
        "Up and to the left is better: more accurate, and cheaper.",
        "Training time: the sum over a run's epochs, mean over the runs; seconds on different hardware cannot be compared.",
        "Labels: the variants of the primary analysis, and those that no other variant beats in both respects; the table has "
        "all." * (len(section.variants) > LABELLED),
    ]
    return save_picture(figure, "cost", f"{section.name}: accuracy and its cost", caption)


def _undominated(size: float, mean: float, points: Sequence[tuple[float, float, Variant]]) -> bool:
    """Whether no other variant is both cheaper and better."""
    return not any(s <= size and m >= mean and (s, m) != (size, mean) for s, m, _ in points)


def _name(figure: Figure, axes: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Writes names next to their points, from the lowest to the highest, and moves one up where it would overlap."""
    figure.draw_without_rendering()
    place = axes.transData
    taken: list[tuple[float, float]] = []
    for x, y, label in sorted(points, key=lambda point: point[1]):
        x_pixel, y_pixel = place.transform((x, y))
        while any(abs(y_pixel - b) < 14 and abs(x_pixel - a) < 170 for a, b in taken):
            y_pixel += 3
        taken.append((x_pixel, y_pixel))
        offset = (y_pixel - place.transform((x, y))[1]) * 72 / figure.dpi
        axes.annotate(
            fitted(label, 26, 1),
            (x, y),
            (7, offset),
            textcoords="offset points",
            va="center",
            fontsize=SMALL - 1,
            annotation_clip=False,
        )
