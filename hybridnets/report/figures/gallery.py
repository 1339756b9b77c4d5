"""Images that one variant gets right and the other wrong."""

from typing import Any, Protocol

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hybridnets.report.analysis import DataSetReport
from hybridnets.report.comparing.evidence import Comparison
from hybridnets.report.figures.picture import Picture
from hybridnets.report.figures.style import INK, SMALL, fitted, focus, picture, shown, style

COLUMNS = 8


class Images(Protocol):
    """A data set's images, 0 to 255, each (N, C, H, W)."""

    @property
    def train_images(self) -> NDArray[np.uint8]:
        """Those of train and val: an outcome's index on val counts in them."""
        ...

    @property
    def test_images(self) -> NDArray[np.uint8]:
        """Those of test, likewise."""
        ...


@style()
def gallery(part: DataSetReport, images: Images) -> Picture | None:
    """A row of images for each side, those first on which most seeds agree; None where there are none."""
    comparison = focus(part)
    metric = part.answers[0].metric if part.answers else "test"
    if comparison is None or not comparison.pairs or metric not in ("test", "val"):
        return None
    if comparison.evidence(metric).why_no_images:
        return None
    pixels = images.test_images if metric == "test" else images.train_images
    rows = [_found(comparison, metric, sign) for sign in (1, -1)]
    if not any(len(row) for row in rows) or max((int(i) for row in rows for i in row), default=0) >= len(pixels):
        return None
    names = comparison.pairs[0][0].classes
    figure = Figure((10.0, 3.9), dpi=150, layout="constrained")
    sides = (comparison.variant.label, comparison.baseline.label)
    parts = figure.subfigures(2, 1, squeeze=False)[:, 0]
    for row, (found, right, wrong) in enumerate(zip(rows, sides, reversed(sides), strict=True)):
        words = (
            f"only {fitted(right, 40, 1)} is right, {fitted(wrong, 40, 1)} is not{'' if len(found) else ': no image'}"
        )
        parts[row].suptitle(words, x=0.01, ha="left", fontweight="bold", fontsize=SMALL + 1)
        for place, axes in enumerate(parts[row].subplots(1, COLUMNS)):
            axes.set_axis_off()
            if place < len(found):
                index = int(found[place])
                label, taken = _wrong(comparison, metric, index, wrong_side=1 - row)
                axes.imshow(drawable(pixels[index]), interpolation="nearest")
                words = f"{fitted(name_of(names, label), 14, 1)}\nnot {fitted(name_of(names, taken), 14, 1)}"
                axes.set_title(words, fontsize=SMALL, loc="center", color=INK)
    caption = [
        f"Of the {metric} images those on which most of the {len(comparison.pairs)} seeds agree, in the data set's order. "
        "Above each the true class, and what the other variant took it for.",
        "A choice of extremes: it shows what kind of image, not how many.",
    ]
    return picture(figure, "gallery", f"Where they differ: {shown(comparison)}", caption)


def _found(comparison: Comparison, metric: str, sign: int) -> NDArray[Any]:
    """Index of images that only the one side gets right, those first on which most seeds agree."""
    outcome = comparison.evidence(metric).outcome
    index, place = np.unique(outcome.image, return_inverse=True)
    won, lost = (np.bincount(place[outcome.d == side], minlength=len(index)) for side in (sign, -sign))
    score = np.where(lost == 0, won, 0)
    order = np.argsort(-score, kind="stable")[:COLUMNS]
    return np.asarray(index[order[score[order] > 0]])


def _wrong(comparison: Comparison, metric: str, index: int, wrong_side: int) -> tuple[int, int]:
    """True class, and what the losing side took it for in the first seed in which only it was wrong."""
    for pair in comparison.pairs:
        mine, other = (run.outcomes[metric] for run in (pair[wrong_side], pair[1 - wrong_side]))
        place = int(np.searchsorted(mine.index, index))
        if place < len(mine.index) and mine.index[place] == index and other.right[place] and not mine.right[place]:
            return int(mine.label[place]), int(mine.predicted[place])
    raise AssertionError("an image is shown that no seed differs on")


def name_of(names: tuple[str, ...], label: int) -> str:
    """What a class is called."""
    return names[label] if label < len(names) else str(label)


def drawable(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(C, H, W) as matplotlib wants it: (H, W, 3), or (H, W, 3) of a grey one."""
    return np.moveaxis(image if len(image) == 3 else np.repeat(image[:1], 3, axis=0), 0, -1)
