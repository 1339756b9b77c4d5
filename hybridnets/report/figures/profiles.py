"""Curves over several variants: performance profiles over data sets, and the expected best of a search."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hybridnets import stats
from hybridnets.report.figures.picture import Picture
from hybridnets.report.figures.style import INK, LOOKS, WIDTH, Look, figure_style, fitted, legend, mark, save_picture

Array = npt.NDArray[np.float64]

HEIGHT = 4.2  # inches
SHADED = 3  # curves whose spread is shaded; more would hide each other
COLUMNS, LABEL = 2, 46  # of the legend, and characters of a name in it
FEW = 15  # settings up to which their axis is linear
MARKED = 12  # markers along a curve


@figure_style()
def draw_profiles(
    name: str,
    labels: Sequence[str],
    profiles: Sequence[stats.Profile],
    axis: str,
    scale: float = 1.0,
    lower_is_better: bool = False,
) -> Picture | None:
    """Draws the share of each variant's runs that beat a threshold, against the threshold.

    Args:
        name: What the data sets have in common, for the title.
        labels: The variants' names, (K,).
        profiles: Their profiles, (K,), at the same thresholds.
        axis: The name of the axis of scores, with its unit.
        scale: What a score is multiplied by: 100 for shares in percent.
        lower_is_better: Whether small scores are good, as of an error.

    Returns:
        The picture; None without a profile.
    """
    if not profiles:
        return None
    figure = Figure((WIDTH, HEIGHT + 0.2 * _rows(len(labels))), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    areas = [abs(float(np.trapezoid(profile.share, profile.thresholds))) for profile in profiles]
    order = sorted(range(len(labels)), key=lambda n: -areas[n])
    marks = []
    for place, n in reversed(list(enumerate(order))):  # the best last, so that it lies on top
        profile, look = profiles[n], _look(place)
        x = scale * np.asarray(profile.thresholds)
        _curve(axes, x, 100 * np.asarray(profile.share), place, f"profile-{n}")
        if look:
            low, high = 100 * np.asarray(profile.low), 100 * np.asarray(profile.high)
            axes.fill_between(x, low, high, color=look.color, alpha=0.14, linewidth=0).set_gid(f"band-{n}")
            marks.append(mark(look.color, look.marker, fitted(labels[n], LABEL, 1), line=look.line))
    axes.set(ylim=(-2, 102), xlabel=f"threshold: {axis}")
    axes.set_ylabel(f"runs {'below' if lower_is_better else 'above'} the threshold (%)")
    axes.set_xlim(*_ends(profiles, scale, lower_is_better))
    _legend(figure, marks[::-1], len(labels))
    caption = [
        f"How many runs, over all seeds and data sets, are {'below' if lower_is_better else 'above'} a threshold.",
        "A higher curve is better; where two curves cross, neither variant is better throughout.",
        "Shaded: 95 % of a bootstrap over the seeds of each data set, threshold by threshold; too narrow at 3 seeds.",
        _others(len(labels), "largest area under the curve"),
    ]
    return save_picture(figure, "profiles", f"{name}: performance profiles", caption)


@figure_style()
def draw_expected_best(
    name: str,
    labels: Sequence[str],
    curves: Sequence[stats.ExpectedBest],
    axis: str,
    scale: float = 1.0,
    lower_is_better: bool = False,
) -> Picture | None:
    """Draws the expected best validation score of a search against the number of settings tried.

    Args:
        name: The data set, for the title.
        labels: The searches' names, (K,): a model each, as a rule.
        curves: Their curves, (K,); the numbers of settings may differ.
        axis: The name of the axis of scores, with its unit.
        scale: What a score is multiplied by: 100 for shares in percent.
        lower_is_better: Whether small scores are good, as of a loss.

    Returns:
        The picture; None if no search tried two settings.
    """
    if max((len(curve.mean) for curve in curves), default=0) < 2:
        return None
    figure = Figure((WIDTH, HEIGHT + 0.2 * _rows(len(labels))), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    sign = 1 if lower_is_better else -1
    order = sorted(range(len(labels)), key=lambda n: sign * curves[n].mean[-1])
    marks = []
    for place, n in reversed(list(enumerate(order))):
        mean, sd, look = scale * np.asarray(curves[n].mean), scale * np.asarray(curves[n].sd), _look(place)
        tried = np.arange(1.0, len(mean) + 1)
        _curve(axes, tried, mean, place, f"curve-{n}")
        if look and len(labels) <= SHADED:
            best = scale * curves[n].best  # which a draw cannot exceed
            low, high = mean - sd, mean + sd
            low, high = (np.maximum(low, best), high) if lower_is_better else (low, np.minimum(high, best))
            axes.fill_between(tried, low, high, color=look.color, alpha=0.14, linewidth=0).set_gid(f"spread-{n}")
        if look:
            settings = f"{len(mean)} setting{'s' * (len(mean) > 1)}"
            label = f"{fitted(labels[n], LABEL - 14, 1)} ({settings})"
            marks.append(mark(look.color, look.marker, label, line=look.line))
    axes.set(xlabel="settings tried", ylabel=f"expected best: {axis}")
    _axis_of_counts(axes, max(len(curve.mean) for curve in curves))
    _legend(figure, marks[::-1], len(labels))
    caption = [
        "The best validation score that a random search is expected to find, against the number of settings that it tries.",
        "Compare searches at an equal number.",
        "Shaded: one standard deviation." * (len(labels) <= SHADED),
        "It holds for settings drawn at random; the score is optimistic, because it is chosen on val.",
        _others(len(labels), "best end"),
    ]
    return save_picture(figure, "expected-best", f"{name}: expected best score of a search", caption)


def _look(place: int) -> Look | None:
    """The look of a curve by its place from the best on; the others are grey."""
    return LOOKS[place] if place < len(LOOKS) else None


def _curve(axes: Axes, x: Array, y: Array, place: int, gid: str) -> None:
    """A curve with a few markers, so that it can be told apart without colour."""
    look = _look(place)
    if look is None:
        (line,) = axes.plot(x, y, color=INK, alpha=0.25, linewidth=0.9)
    else:
        every = (place * len(x) // MARKED // len(LOOKS), max(1, len(x) // MARKED))  # markers of two curves lie apart
        (line,) = axes.plot(
            x,
            y,
            color=look.color,
            linestyle=look.line,
            marker=look.marker,
            markevery=every,
            linewidth=1.8,
            markersize=4.5,
        )
    line.set_gid(gid)


def _ends(profiles: Sequence[stats.Profile], scale: float, lower_is_better: bool) -> tuple[float, float]:
    """The ends of the axis of thresholds, worse first: not far beyond the thresholds that tell runs apart."""
    x = scale * np.asarray(profiles[0].thresholds)
    shares = np.array([profile.share for profile in profiles])
    tells = x[((shares > 0) & (shares < 1)).any(0)]
    low, high = (tells.min(), tells.max()) if len(tells) else (x.min(), x.max())
    pad = 0.04 * (high - low) or 0.5
    low, high = max(low - pad, x.min() - 0.01 * pad), min(high + pad, x.max() + 0.01 * pad)
    return (high, low) if lower_is_better else (low, high)


def _axis_of_counts(axes: Axes, most: int) -> None:
    """The axis of numbers of settings, logarithmic for many, because little changes after the first few."""
    axes.set_xlim(0.9, 1.08 * most)
    if most <= FEW:
        axes.locator_params(axis="x", integer=True)
        return
    axes.set_xscale("log")
    ticks = [n * 10**power for power in range(len(str(most))) for n in (1, 2, 5) if n * 10**power <= most]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()


def _rows(curves: int) -> int:
    return -(-min(curves, len(LOOKS) + 1) // COLUMNS)


def _legend(figure: Figure, marks: Sequence[tuple[Line2D, str]], curves: int) -> None:
    """The legend, with one entry for all grey curves."""
    others = curves - len(LOOKS)
    grey = [(Line2D([], [], color=INK, alpha=0.25, linewidth=0.9), f"{others} other{'s' * (others > 1)}")]
    legend(figure, [*marks, *(grey if others > 0 else [])], columns=COLUMNS)


def _others(curves: int, rule: str) -> str:
    """A sentence on the grey curves; empty without any."""
    if curves <= len(LOOKS):
        return ""
    return f"In colour: the {len(LOOKS)} of {curves} with the {rule}."
