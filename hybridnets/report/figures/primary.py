"""The answer as a picture: one difference with its interval, its seeds, and the margin that matters."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hybridnets.report.comparing.answers import PrimaryAnalysis
from hybridnets.report.comparing.units import Unit, unit_of
from hybridnets.report.comparing.variants import DataSetVariants
from hybridnets.report.figures.picture import Picture
from hybridnets.report.figures.style import (
    BLUE,
    INK,
    SMALL,
    difference_name,
    figure_style,
    fitted,
    save_picture,
    spread,
)

SIZE = (4.6, 2.4)  # inches
REACH = 4.0  # the interval is cut at so many times the farthest dot or the margin
MEAN, SEEDS = 0.0, 0.6  # heights of the interval and of the seeds' dots
SPREAD = 0.18  # how far the dots lie above and below their height, so that equal ones are seen
LABEL = 24  # characters of a variant's name


@figure_style()
def draw_primary(section: DataSetVariants, analysis: PrimaryAnalysis, number: int = 1) -> Picture:
    """Draws the difference of a primary analysis.

    Args:
        section: The variants that it is among.
        analysis: The analysis, of at least one pair.
        number: Its number among several, from 1.
    """
    unit = unit_of(section, analysis.metric)
    fine = unit.at(analysis.test.interval, analysis.evidence.differences.mean)
    figure = Figure(SIZE, dpi=150, layout="constrained")
    axes = figure.add_subplot()
    low, high = _limits(analysis, unit)
    pad = 0.04 * (high - low)
    axes.set_xlim(low - pad, high + pad)
    axes.set_ylim(-0.75, 1.0)
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    margin = unit.scale * analysis.margin
    if margin:
        band = axes.axvspan(-margin, margin, color=INK, alpha=0.1, linewidth=0)
        band.set_gid("primary-margin")
        is_right = high - margin > -margin - low  # more room on this side of the band
        text = f"shaded: within {unit.margin(analysis.margin)},\ntoo little to matter"
        place = ((margin if is_right else -margin), -0.72)
        offset, side = (5, "left") if is_right else (-5, "right")
        axes.annotate(text, place, (offset, 0), textcoords="offset points", ha=side, va="bottom", fontsize=SMALL - 0.5)
    axes.axvline(0, color=INK, linewidth=1.2)
    _interval(axes, analysis, unit, (low, high))
    values = list(unit.scale * analysis.evidence.seed_differences)
    heights = SEEDS - spread(len(values), SPREAD)
    (dots,) = axes.plot(values, heights, "o", color=BLUE, alpha=0.9, markersize=6, markeredgewidth=0)
    dots.set_gid("primary-seeds")
    mean = analysis.evidence.differences.mean
    axes.text(
        unit.scale * mean, MEAN - 0.16, fine.difference(mean), ha="center", va="top", fontsize=10, fontweight="bold"
    )
    _sides(axes, analysis)
    axes.set_xlabel(difference_name(analysis.kind, unit))
    n = len(values)
    seeds = f"the {n} seeds, from top to bottom" if n > 1 else "the only seed"
    confidence = f"{100 * (1 - analysis.level):.4g} %"
    interval = f"with its {confidence} interval ({analysis.test_name})" if analysis.test.interval else "no interval"
    caption = [
        f"Diamond: the mean difference, {interval}. Dots: {seeds}.",
        f"Shaded: the differences that do not matter, up to {unit.margin(analysis.margin)}." * bool(margin),
    ]
    key = "primary" if number == 1 else f"primary-{number}"
    title = f"{analysis.primary.variant} minus {analysis.primary.baseline}"
    return save_picture(figure, key, title, caption)


def _limits(analysis: PrimaryAnalysis, unit: Unit) -> tuple[float, float]:
    """Both ends of the axis, which has 0 and the margin on it, and not all of an interval that is very wide."""
    values = [
        *(unit.scale * analysis.evidence.seed_differences),
        unit.scale * analysis.margin,
        -unit.scale * analysis.margin,
        0.0,
    ]
    farthest = max(map(abs, values)) or 1.0
    ends = [unit.scale * end for end in analysis.test.interval or ()]
    low = max(min([-0.25 * farthest, *values, *ends]), -REACH * farthest)
    high = min(max([0.25 * farthest, *values, *ends]), REACH * farthest)
    return low, high


def _interval(axes: Axes, analysis: PrimaryAnalysis, unit: Unit, limits: tuple[float, float]) -> None:
    """The mean with its interval; arrows where the interval continues beyond the axis."""
    if analysis.test.interval:
        ends = [unit.scale * end for end in analysis.test.interval]
        inside = [max(ends[0], limits[0]), min(ends[1], limits[1])]
        (line,) = axes.plot(inside, [MEAN, MEAN], color=INK, linewidth=3, solid_capstyle="butt")
        line.set_gid("primary-interval")
        for marker, end, cut in (("<", inside[0], ends[0] < limits[0]), (">", inside[1], ends[1] > limits[1])):
            axes.plot(end, MEAN, marker if cut else "|", color=INK, markersize=8 if cut else 11, markeredgewidth=2)
    axes.plot(unit.scale * analysis.evidence.differences.mean, MEAN, "D", color=INK, markersize=8)


def _sides(axes: Axes, analysis: PrimaryAnalysis) -> None:
    """Which side of 0 favours which variant, at the two ends of the axis."""
    place = axes.transAxes
    sides = (analysis.primary.baseline, analysis.primary.variant)[:: analysis.kind.sign]
    for label, x, side, arrow in (
        (sides[0], 0.0, "left", "← {} better"),
        (sides[1], 1.0, "right", "{} better →"),
    ):
        text = arrow.format(fitted(label, LABEL, 1))
        axes.text(x, 1.02, text, transform=place, ha=side, va="bottom", fontsize=SMALL + 0.5)
