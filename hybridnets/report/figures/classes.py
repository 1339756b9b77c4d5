"""Class by class: which class a variant predicts for which, and where two variants differ."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.figures.picture import Picture
from hybridnets.report.figures.style import (
    GREEN,
    INK,
    SMALL,
    both_labels,
    figure_style,
    fitted,
    legend,
    mark,
    save_picture,
    striped,
)
from hybridnets.report.reading.results import FinishedRun

MOST = 20  # classes that can still be read


@figure_style()
def draw_classes(comparison: Comparison, metric: str) -> Picture | None:
    """Confusion matrices of two variants and the difference per class.

    Args:
        comparison: The two variants, of at least one pair.
        metric: The images' part: test or val.

    Returns:
        The picture; None without predictions, or with too many classes.
    """
    names = comparison.pairs[0][0].classes
    if not 2 <= len(names) <= MOST or comparison.evidence(metric).why_no_images:
        return None
    predictions = [run.outcomes[metric] for pair in comparison.pairs for run in pair]
    if max(int(column.max()) for p in predictions for column in (p.label, p.predicted)) >= len(names):
        return None  # these classes have other names
    sides = list(zip(*comparison.pairs, strict=True))
    counts = [np.array([_counts(run, metric, len(names)) for run in side]) for side in sides]  # each (S, K, K)
    figure = Figure((10.0, 3.2 + 0.09 * len(names)), dpi=150, layout="constrained")
    grid = figure.add_gridspec(1, 3, width_ratios=(1, 1, 0.85))
    short = [fitted(name, 12, 1) for name in names]
    for place, (matrix, variant) in enumerate(zip(counts, (comparison.variant, comparison.baseline), strict=True)):
        axes = figure.add_subplot(grid[place])
        _matrix(axes, matrix.sum(axis=0), short, labelled=place == 0)
        axes.set_title(fitted(variant.label, 30), fontweight="bold")
    recall = [matrix.diagonal(axis1=1, axis2=2) / np.maximum(matrix.sum(axis=2), 1) for matrix in counts]  # (S, K)
    _difference(figure.add_subplot(grid[2]), 100 * (recall[0] - recall[1]), short)
    legend(figure, [mark(GREEN, "o", "difference of one seed"), mark(INK, "|", "mean over seeds")])
    seeds = len(comparison.pairs)
    caption = [
        f"Left and middle: of the {metric} images of a class (row), the percentage predicted as each class (column), over all "
        f"{seeds} seed{'s' * (seeds > 1)}; darker is more, and the diagonal is correct.",
        "Right: the share of a class that is predicted correctly, first variant minus second, in percentage points.",
    ]
    return save_picture(figure, "classes", f"Class by class: {both_labels(comparison)}", caption)


def _counts(run: FinishedRun, metric: str, classes: int) -> NDArray[np.int64]:
    predictions = run.outcomes[metric]
    pairs = predictions.label.astype(np.int64) * classes + predictions.predicted
    return np.bincount(pairs, minlength=classes * classes)[: classes * classes].reshape(classes, classes)


def _matrix(axes: Axes, counts: NDArray[np.int64], names: list[str], labelled: bool) -> None:
    """Draws a confusion matrix with true classes as rows; each cell of at least half a percent has its percentage in it."""
    share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (row, column), value in np.ndenumerate(share):
        if value >= 0.5:
            # Not in the page's ink: a cell's background is the same on a dark page.
            color = "white" if value > 55 else "#222222"
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=SMALL - 1.5, color=color)
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names if labelled else [])
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class" if labelled else "")
    axes.grid(visible=False)
    axes.tick_params(length=0)


def _difference(axes: Axes, points: NDArray[np.float64], names: list[str]) -> None:
    striped(axes, names)
    axes.axvline(0, color=INK, linewidth=1.2)
    for row, values in enumerate(points.T):
        (dots,) = axes.plot(values, row + np.linspace(-0.15, 0.15, len(values)), "o", color=GREEN, markersize=4)
        dots.set_gid(f"class-{row}")
        axes.plot(values.mean(), row, "|", color=INK, markersize=12, markeredgewidth=2)
    axes.set_box_aspect(1 / 0.85)  # the height of the matrices
    farthest = max(1.0, float(np.abs(points).max())) * 1.1
    axes.set_xlim(-farthest, farthest)
    axes.set_xlabel("difference (percentage points)")
