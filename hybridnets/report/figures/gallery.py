"""Images that only one of two variants classifies correctly."""

from typing import Any, Protocol

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.figures.picture import Picture
from hybridnets.report.figures.style import INK, SMALL, both_labels, figure_style, fitted, save_picture

COLUMNS = 8


class Images(Protocol):
    """A data set's images, 0 to 255, each (N, C, H, W)."""

    @property
    def train_images(self) -> NDArray[np.uint8]:
        """The images of train and val together: the index of a val prediction counts in them."""
        ...

    @property
    def test_images(self) -> NDArray[np.uint8]:
        """The images of test: the index of a test prediction counts in them."""
        ...


@figure_style()
def draw_gallery(comparison: Comparison, metric: str, images: Images | None) -> Picture | None:
    """A row of images for each side, those first on which most seeds agree.

    Args:
        comparison: The two variants, of at least one pair.
        metric: Which predictions count: those on test or on val.
        images: The data set's images; None where they are not available.

    Returns:
        The picture; None where there are no such images.
    """
    if images is None or metric not in ("test", "val") or comparison.evidence(metric).why_no_images:
        return None
    pixels = images.test_images if metric == "test" else images.train_images
    rows = [_only_right(comparison, metric, sign) for sign in (1, -1)]
    if not any(len(row) for row in rows) or max((int(i) for row in rows for i in row), default=0) >= len(pixels):
        return None
    names = comparison.pairs[0][0].classes
    figure = Figure((10.0, 3.9), dpi=150, layout="constrained")
    sides = (comparison.variant.label, comparison.baseline.label)
    parts = figure.subfigures(2, 1, squeeze=False)[:, 0]
    for row, (chosen, right, wrong) in enumerate(zip(rows, sides, reversed(sides), strict=True)):
        title = (
            f"only {fitted(right, 40, 1)} is right, {fitted(wrong, 40, 1)} is not{'' if len(chosen) else ': no image'}"
        )
        parts[row].suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=SMALL + 1)
        for place, axes in enumerate(parts[row].subplots(1, COLUMNS)):
            axes.set_axis_off()
            if place < len(chosen):
                index = int(chosen[place])
                label, predicted = _mistake(comparison, metric, index, wrong_side=1 - row)
                axes.imshow(drawable(pixels[index]), interpolation="nearest")
                classes = f"{fitted(name_of(names, label), 14, 1)}\nnot {fitted(name_of(names, predicted), 14, 1)}"
                axes.set_title(classes, fontsize=SMALL, loc="center", color=INK)
    caption = [
        f"The {metric} images on which most of the {len(comparison.pairs)} seeds agree, in the order of the data set. Above "
        "each, the true class and what the other variant predicted.",
        "These are extremes: they show what kinds of images differ, not how many.",
    ]
    return save_picture(figure, "gallery", f"Where they differ: {both_labels(comparison)}", caption)


def _only_right(comparison: Comparison, metric: str, sign: int) -> NDArray[Any]:
    """The index of images that only one side classifies correctly, those first on which most seeds agree."""
    images = comparison.evidence(metric).paired_images
    index, place = np.unique(images.image, return_inverse=True)
    won, lost = (np.bincount(place[images.d == side], minlength=len(index)) for side in (sign, -sign))
    score = np.where(lost == 0, won, 0)
    order = np.argsort(-score, kind="stable")[:COLUMNS]
    return np.asarray(index[order[score[order] > 0]])


def _mistake(comparison: Comparison, metric: str, index: int, wrong_side: int) -> tuple[int, int]:
    """The true class of an image, and what the losing side predicted with the first seed where only it was wrong."""
    for pair in comparison.pairs:
        wrong, right = (run.outcomes[metric] for run in (pair[wrong_side], pair[1 - wrong_side]))
        place = int(np.searchsorted(wrong.index, index))
        if place < len(wrong.index) and wrong.index[place] == index and right.right[place] and not wrong.right[place]:
            return int(wrong.label[place]), int(wrong.predicted[place])
    raise AssertionError(f"no seed's predictions differ on image {index}")


def name_of(names: tuple[str, ...], label: int) -> str:
    """The name of a class; the class's number where the name is unknown."""
    return names[label] if label < len(names) else str(label)


def drawable(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turns an image of one or three channels, (C, H, W), into (H, W, 3), as matplotlib needs it."""
    return np.moveaxis(image if len(image) == 3 else np.repeat(image[:1], 3, axis=0), 0, -1)
