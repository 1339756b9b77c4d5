"""What accuracy costs: against parameters, and against training time."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

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
CHARACTER, LINE = 4.1, 8.5  # points: the mean width of a name's character, and a name's height
FAR = 0.1  # of a name's area: what a line of distance costs, so that a name stays with its point
RADIUS = 9.0  # pixels of a point's marker
MARGIN = 60.0  # pixels that a name may reach beyond the axes on the right
# Where a name may stand: to the right or the left of its point or in its middle; level with it, above or below it.
SPOTS = ((1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1), (0, -1), (1, 2), (1, -2), (-1, 2), (-1, -2))
Place = tuple[float, float, float, float]  # a point: its cost, and its lowest, its mean and its highest accuracy
COSTS: Mapping[str, Callable[[Variant], float | None]] = {
    "parameters (Keras's count)": lambda variant: variant.parameters,
    "training time of a run": lambda variant: variant.run_seconds,
}


class Box(NamedTuple):
    """A rectangle in pixels."""

    x0: float
    y0: float
    x1: float
    y1: float

    def overlap(self, box: "Box") -> float:
        """The area that two rectangles have in common."""
        across = min(self.x1, box.x1) - max(self.x0, box.x0)
        up = min(self.y1, box.y1) - max(self.y0, box.y0)
        return max(across, 0.0) * max(up, 0.0)


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
    unit, kind = unit_of(section, metric), section.metric(metric)
    levels = [(v, level.mean) for v in section.variants if (level := v.scores(metric))]
    costs = {name: [(x, mean, v) for v, mean in levels if (x := cost_of(v))] for name, cost_of in COSTS.items()}
    drawn = [(name, points) for name, points in costs.items() if len(points) > 1]
    if not drawn:
        return None
    figure = Figure((9.0, 4.2), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(drawn), sharey=True, squeeze=False)[0]
    labels: list[tuple[Axes, list[tuple[float, float, str]], list[Place]]] = []
    for axes, (name, points) in zip(panels, drawn, strict=True):
        if "time" in name:
            seconds, unit_name = _time_unit(max(size for size, _, _ in points))
            points, name = [(size / seconds, mean, v) for size, mean, v in points], f"{name} ({unit_name})"
        sizes = [size for size, _, _ in points]
        if max(sizes) > 10 * min(sizes):
            axes.set_xscale("log")
        bars: list[Place] = []
        for size, mean, variant in points:
            scores = [unit.scale * run.scores[metric] for run in variant.sound]
            bars.append((size, min(scores), unit.scale * mean, max(scores)))
            axes.plot([size, size], [min(scores), max(scores)], color=INK, linewidth=0.8, alpha=0.5)
            marker, color = ("D", VERMILLION) if variant in primary else ("o", BLUE)
            axes.plot(size, unit.scale * mean, marker, color=color, markersize=6)
        named = points
        if len(points) > LABELLED:
            named = [
                (size, mean, v)
                for size, mean, v in points
                if v in primary or _undominated(size, mean, points, kind.sign)
            ]
        axes.set_xlabel(name)
        if "time" not in name:
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.margins(x=0.18, y=0.1)
        labels.append((axes, [(size, unit.scale * mean, variant.label) for size, mean, variant in named], bars))
    panels[0].set_ylabel(level_name(kind, unit))
    marks = [mark(BLUE, "o", "mean of a variant"), mark(INK, "", "lowest to highest seed", line="-")]
    if primary:
        marks.insert(1, mark(VERMILLION, "D", "variant of the primary analysis"))
    legend(figure, marks)
    for axes, named_points, bars in labels:
        _name(figure, axes, named_points, bars)
    caption = [
        f"{'Up' if kind.higher_is_better else 'Down'} and to the left is better: better by {kind.name}, and cheaper.",
        "Training time: the sum over a run's epochs, mean over the runs; seconds on different hardware cannot be compared.",
        "Labels: the variants of the primary analysis, and those that no other variant beats in both respects; the table has "
        "all." * (len(section.variants) > LABELLED),
    ]
    return save_picture(figure, "cost", f"{section.name}: accuracy and its cost", caption)


def _undominated(size: float, mean: float, points: Sequence[tuple[float, float, Variant]], sign: int) -> bool:
    """Whether no other variant is both cheaper and better; the sign is -1 where less is better."""
    return not any(s <= size and sign * m >= sign * mean and (s, m) != (size, mean) for s, m, _ in points)


def _name(figure: Figure, axes: Axes, points: Sequence[tuple[float, float, str]], all_points: Sequence[Place]) -> None:
    """Writes names next to their points, where they cover the fewest points, bars and other names."""
    figure.draw_without_rendering()
    place = axes.transData.transform
    pixel = figure.dpi / 72  # pixels per typographic point
    taken = [box for point in all_points for box in _boxes(place, point)]
    inside = axes.get_window_extent()
    for x, y, label in sorted(points, key=lambda point: -point[1]):
        text = fitted(label, 26, 1)
        width, height = CHARACTER * len(text) * pixel, LINE * pixel
        x_pixel, y_pixel = place((x, y))
        spots: list[tuple[float, int, int, int, Box]] = []
        for across, up in SPOTS:
            x0 = x_pixel + across * 7 * pixel - (width if across < 0 else width / 2 if not across else 0)
            y0 = y_pixel + up * 10 * pixel - height / 2
            box = Box(x0, y0, x0 + width, y0 + height)
            covered = sum(map(box.overlap, taken))
            outside = max(inside.x0 - box.x0, box.x1 - inside.x1 - MARGIN, 0) * height
            far = FAR * max(abs(up) - 1, 0) * width * height
            spots.append((covered + outside + far, len(spots), across, up, box))
        _, _, across, up, box = min(spots)
        taken.append(box)
        name = axes.annotate(
            text,
            (x, y),
            (7 * across, 10 * up),
            textcoords="offset points",
            ha={-1: "right", 0: "center", 1: "left"}[across],
            va="center",
            fontsize=SMALL - 1,
            annotation_clip=False,
        )
        name.set_in_layout(False)  # it stands where there was room before it


def _boxes(place: Callable[[tuple[float, float]], Any], point: Place) -> Iterator[Box]:
    """What a point covers, in pixels: its marker, and its bar from the lowest to the highest seed."""
    size, low, mean, high = point
    (x, y), (_, bottom), (_, top) = place((size, mean)), place((size, low)), place((size, high))
    yield Box(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS)
    yield Box(x - 1, bottom, x + 1, top)


def _time_unit(longest: float) -> tuple[float, str]:
    """The unit of an axis of durations, in seconds, and its name."""
    if longest >= 2 * 3600:
        return 3600.0, "hours"
    return (60.0, "minutes") if longest >= 120 else (1.0, "seconds")
