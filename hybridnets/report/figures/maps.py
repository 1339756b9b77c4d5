"""Feature maps before and after the code, and what it lost."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from hybridnets.report.analysis import DataSetReport
from hybridnets.report.figures.gallery import Images, drawable, name_of
from hybridnets.report.figures.picture import Picture
from hybridnets.report.figures.style import INK, SMALL, fitted, focus, picture, style
from hybridnets.report.reading.results import FinishedRun
from hybridnets.runs.records.predictions import ExampleMaps, read_examples

MOST = 2  # images
CHANNELS = 8
ROWS = ("before", "after", "difference")


@style()
def maps(part: DataSetReport, images: Images | None) -> Picture | None:
    """The strongest channels of a few test images before and after the code; None where no run has stored any.

    Args:
        part: The data set's part of the report.
        images: Its images; None where they are not at hand, and then they are left out.
    """
    wanted = focus(part)
    order = sorted(part.compressed, key=lambda each: wanted is None or each.variant is not wanted.variant)
    found = next(((each, run, e) for each in order for run, _ in each.pairs if (e := read_examples(run.folder))), None)
    if found is None:
        return None
    comparison, run, stored = found
    shown = range(min(MOST, len(stored.index)))
    channels = min(CHANNELS, stored.maps.shape[1])
    strongest = [np.argsort(-np.abs(stored.maps[n]).mean(axis=(1, 2)), kind="stable")[:channels] for n in shown]
    panels = [_rows(stored, n, chosen) for n, chosen in zip(shown, strongest, strict=True)]  # each (3, channels, H, W)
    scale = Normalize(-(farthest := max(float(np.abs(each).max()) for each in panels) or 1.0), farthest)
    there = images is not None and int(stored.index[shown].max()) < len(images.test_images)
    figure = Figure((10.0, 2.8 * len(shown) + 0.2), dpi=150, layout="constrained")
    grid = figure.add_gridspec(len(shown), 1 + there, width_ratios=[1.0] * there + [0.45 * channels])
    drawn = []
    for n, chosen, rows in zip(shown, strongest, panels, strict=True):
        if images is not None and there:
            axes = figure.add_subplot(grid[n, 0])
            axes.set_axis_off()
            axes.imshow(drawable(images.test_images[int(stored.index[n])]), interpolation="nearest")
        drawn.append(figure.add_subplot(grid[n, int(there)]))
        drawn[-1].set_title(_told(run, int(stored.index[n])), fontweight="bold", fontsize=SMALL + 1)
        _draw(drawn[-1], rows, chosen, scale)
    figure.colorbar(drawn[0].images[0], ax=drawn, shrink=0.6, aspect=30, pad=0.01)
    seed = f"{comparison.variant.label}, seed {run.seed}"
    caption = [
        f"{seed}: the {channels} channels of the feature maps that are largest on average before the code, the same after it, "
        "and how far they are apart, all in one colour scale: where the last row is white, nothing is lost.",
        "Above each image its class, and what the backbone takes it for before the code and after.",
    ]
    return picture(figure, "maps", f"{part.section.data}: feature maps before and after the code", caption)


def _rows(stored: ExampleMaps, n: int, chosen: NDArray[np.intp]) -> NDArray[np.float32]:
    before, after = stored.maps[n, chosen], stored.rebuilt[n, chosen]
    return np.stack([before, after, np.abs(after - before)])


def _draw(axes: Axes, rows: NDArray[np.float32], chosen: NDArray[np.intp], scale: Normalize) -> None:
    """A row of maps each for before, after and the difference, a column a channel."""
    _, channels, height, width = rows.shape
    step, tall = 1.12, height / width
    for (row, column), _ in np.ndenumerate(rows[:, :, 0, 0]):
        left, top = step * column, (tall + 0.12) * row
        place = (left, left + 1, top + tall, top)
        # About 0, so that nothing lost is white.
        axes.imshow(rows[row, column], "RdBu_r", norm=scale, interpolation="nearest", extent=place)
        corner = Rectangle((left, top), 1, tall, fill=False, edgecolor=INK, linewidth=0.5, alpha=0.5)
        axes.add_patch(corner)
    axes.set_xlim(-0.03, step * channels - 0.09)
    axes.set_ylim((tall + 0.12) * len(ROWS) - 0.09, -0.03)
    axes.set_xticks([step * n + 0.5 for n in range(channels)], [f"channel {channel}" for channel in chosen])
    axes.set_yticks([(tall + 0.12) * n + tall / 2 for n in range(len(ROWS))], ROWS)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _told(run: FinishedRun, index: int) -> str:
    """A test image's class, and what it is taken for; its place alone where that is not known."""
    words = f"test image {index}"
    known = run.outcomes.get("test")
    place = int(np.searchsorted(known.index, index)) if known else 0
    if not known or not known.before or place >= len(known.index) or known.index[place] != index:
        return words
    label, before, after = (
        fitted(name_of(run.classes, int(column[place])), 20, 1)
        for column in (known.label, known.before.predicted, known.predicted)
    )
    return f"{words}, {label}: {before} before, {after} after"
