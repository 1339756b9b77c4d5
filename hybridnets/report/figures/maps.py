"""Feature maps before and after the code, and what it lost."""

import numpy as np
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from hybridnets.report.analysis import Part
from hybridnets.report.figures.gallery import Images, drawable, name_of
from hybridnets.report.figures.style import INK, SMALL, fitted, focus, picture, style
from hybridnets.report.picture import Picture
from hybridnets.report.predictions import Examples, examples
from hybridnets.report.results import Finished

MOST = 2  # images
CHANNELS = 8


@style()
def maps(part: Part, images: Images | None) -> Picture | None:
    """The strongest channels of a few test images before and after the code; None where no run has stored any.

    Args:
        part: The data set's part of the report.
        images: Its images; None where they are not at hand, and then they are left out.
    """
    wanted = focus(part)
    order = sorted(part.compressed, key=lambda each: wanted is None or each.variant is not wanted.variant)
    found = next(((each, run, e) for each in order for run, _ in each.pairs if (e := examples(run.folder))), None)
    if found is None:
        return None
    comparison, run, stored = found
    shown = range(min(MOST, len(stored.index)))
    channels = min(CHANNELS, stored.maps.shape[1])
    strongest = [np.argsort(-np.abs(stored.maps[n]).mean(axis=(1, 2)), kind="stable")[:channels] for n in shown]
    figure = Figure((10.0, 3.3 * len(shown) + 0.3), dpi=150, layout="constrained")
    panels = [_rows(stored, n, chosen) for n, chosen in zip(shown, strongest, strict=True)]  # each (3, channels, H, W)
    farthest = max(float(np.abs(each).max()) for each in panels) or 1.0
    parts = figure.subfigures(len(shown), 1, squeeze=False)[:, 0]
    for n, chosen, rows, below in zip(shown, strongest, panels, parts, strict=True):
        below.suptitle(_told(run, int(stored.index[n])), x=0.01, ha="left", fontweight="bold", fontsize=SMALL + 1)
        pixels = None
        if images is not None and stored.index[n] < len(images.test_images):
            pixels = images.test_images[int(stored.index[n])]
        _draw(below, rows, chosen, farthest, pixels)
    seed = f"{comparison.variant.label}, seed {run.seed}"
    caption = [
        f"{seed}: the {channels} channels of the feature maps that are largest on average before the code, the same after it, "
        "and how far they are apart, all in one colour scale: where the last row is white, nothing is lost.",
        "Above each image its class, and what the backbone takes it for before the code and after.",
    ]
    return picture(figure, "maps", f"{part.section.data}: feature maps before and after the code", caption)


def _rows(stored: Examples, n: int, chosen: NDArray[np.intp]) -> NDArray[np.float32]:
    before, after = stored.maps[n, chosen], stored.rebuilt[n, chosen]
    return np.stack([before, after, np.abs(after - before)])


def _draw(
    figure: SubFigure,
    rows: NDArray[np.float32],
    chosen: NDArray[np.intp],
    farthest: float,
    pixels: NDArray[np.uint8] | None,
) -> None:
    own = int(pixels is not None)
    grid = figure.add_gridspec(3, own + len(chosen), width_ratios=[*[2.0] * own, *[1.0] * len(chosen)])
    if pixels is not None:
        axes = figure.add_subplot(grid[:, 0])
        axes.set_axis_off()
        axes.imshow(drawable(pixels), interpolation="nearest")
    drawn = []
    for row, words in enumerate(("before", "after", "difference")):
        for column, channel in enumerate(chosen):
            axes = figure.add_subplot(grid[row, own + column])
            axes.grid(visible=False)
            axes.set_xticks([])
            axes.set_yticks([])
            drawn.append(axes)
            # About 0, so that nothing lost is white.
            shown = axes.imshow(rows[row, column], "RdBu_r", vmin=-farthest, vmax=farthest, interpolation="nearest")
            if row == 0:
                axes.set_title(f"channel {channel}", fontsize=SMALL - 1, loc="center", color=INK)
            if column == 0:
                axes.set_ylabel(words, fontsize=SMALL)
    figure.colorbar(shown, ax=drawn, shrink=0.9, aspect=30, pad=0.01)


def _told(run: Finished, index: int) -> str:
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
