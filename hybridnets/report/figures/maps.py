"""Feature maps before and after the code, and what the code lost."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.figures.gallery import Images, drawable, name_of
from hybridnets.report.figures.picture import Picture
from hybridnets.report.figures.style import INK, SMALL, figure_style, fitted, save_picture
from hybridnets.report.reading.results import FinishedRun
from hybridnets.runs.records.predictions import ExampleMaps, read_examples

MOST = 2  # images
CHANNELS = 8
ROWS = ("before", "after", "difference")


@figure_style()
def draw_maps(data: str, compressed: Sequence[Comparison], images: Images | None) -> Picture | None:
    """The strongest channels of a few test images before and after the code.

    Args:
        data: The data set's name.
        compressed: Variants with a code against their backbones; the first run that stored feature maps is drawn.
        images: The data set's images; None where they are not available.

    Returns:
        The picture; None where no run has stored feature maps.
    """
    runs = ((run, c.variant.label) for c in compressed for run, _ in c.pairs)
    example = next(((run, label, stored) for run, label in runs if (stored := read_examples(run.folder))), None)
    if example is None:
        return None
    run, label, stored = example
    places = range(min(MOST, len(stored.index)))
    channels = min(CHANNELS, stored.maps.shape[1])
    strongest = [np.argsort(-np.abs(stored.maps[n]).mean(axis=(1, 2)), kind="stable")[:channels] for n in places]
    panels = [_rows(stored, n, chosen) for n, chosen in zip(places, strongest, strict=True)]  # (3, channels, H, W) each
    farthest = max(float(np.abs(panel).max()) for panel in panels) or 1.0
    scale = Normalize(-farthest, farthest)
    has_images = images is not None and int(stored.index[places].max()) < len(images.test_images)
    figure = Figure((10.0, 2.8 * len(places) + 0.2), dpi=150, layout="constrained")
    grid = figure.add_gridspec(len(places), 1 + has_images, width_ratios=[1.0] * has_images + [0.45 * channels])
    drawn = []
    for n, chosen, rows in zip(places, strongest, panels, strict=True):
        if images is not None and has_images:
            axes = figure.add_subplot(grid[n, 0])
            axes.set_axis_off()
            axes.imshow(drawable(images.test_images[int(stored.index[n])]), interpolation="nearest")
        drawn.append(figure.add_subplot(grid[n, int(has_images)]))
        drawn[-1].set_title(_title(run, int(stored.index[n])), fontweight="bold", fontsize=SMALL + 1)
        _draw(drawn[-1], rows, chosen, scale)
    figure.colorbar(drawn[0].images[0], ax=drawn, shrink=0.6, aspect=30, pad=0.01)
    caption = [
        f"{label}, seed {run.seed}: the {channels} channels of the feature maps with the largest mean before the code, the "
        "same channels after it, and their absolute difference, all in one colour scale: nothing is lost where the last row is "
        "white.",
        "Above each image, its class and what the backbone predicts before and after the code.",
    ]
    return save_picture(figure, "maps", f"{data}: feature maps before and after the code", caption)


def _rows(stored: ExampleMaps, n: int, chosen: NDArray[np.intp]) -> NDArray[np.float32]:
    before, after = stored.maps[n, chosen], stored.rebuilt[n, chosen]
    return np.stack([before, after, np.abs(after - before)])


def _draw(axes: Axes, rows: NDArray[np.float32], chosen: NDArray[np.intp], scale: Normalize) -> None:
    """Draws one row of maps before the code, one after it and one for the difference, with one column per channel."""
    _, channels, height, width = rows.shape
    step, tall = 1.12, height / width
    for (row, column), _ in np.ndenumerate(rows[:, :, 0, 0]):
        x, top = step * column, (tall + 0.12) * row
        place = (x, x + 1, top + tall, top)
        # The scale is centred on 0, so that white means that nothing is lost.
        axes.imshow(rows[row, column], "RdBu_r", norm=scale, interpolation="nearest", extent=place)
        corner = Rectangle((x, top), 1, tall, fill=False, edgecolor=INK, linewidth=0.5, alpha=0.5)
        axes.add_patch(corner)
    axes.set_xlim(-0.03, step * channels - 0.09)
    axes.set_ylim((tall + 0.12) * len(ROWS) - 0.09, -0.03)
    axes.set_xticks([step * n + 0.5 for n in range(channels)], [f"channel {channel}" for channel in chosen])
    axes.set_yticks([(tall + 0.12) * n + tall / 2 for n in range(len(ROWS))], ROWS)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _title(run: FinishedRun, index: int) -> str:
    """A test image's index, its class and its predicted classes; the index alone where these are unknown."""
    title = f"test image {index}"
    predictions = run.outcomes.get("test")
    place = int(np.searchsorted(predictions.index, index)) if predictions else 0
    if not predictions or not predictions.before or place >= len(predictions.index):
        return title
    if predictions.index[place] != index:
        return title
    label, before, after = (
        fitted(name_of(run.classes, int(column[place])), 20, 1)
        for column in (predictions.label, predictions.before.predicted, predictions.predicted)
    )
    return f"{title}, {label}: {before} before, {after} after"
