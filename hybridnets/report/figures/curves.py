"""Learning curves: train and val accuracy by epoch, with the range of the seeds."""

import itertools

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.comparing.variants import DataSetVariants, Variant
from hybridnets.report.figures.picture import Picture
from hybridnets.report.figures.style import INK, LOOKS, WIDTH, figure_style, fitted, legend, mark, save_picture

MOST = len(LOOKS)  # curves that can be distinguished
PANELS = {"train/acc": "train accuracy (%)", "val/acc": "val accuracy (%)"}


@figure_style()
def draw_curves(section: DataSetVariants, focus: Comparison | None) -> Picture | None:
    """Accuracy against epoch, mean and range over the seeds.

    Args:
        section: The variants.
        focus: The comparison whose two variants are drawn; None for the first variants.

    Returns:
        The picture; None where nothing was logged.
    """
    logged = [v for v in section.variants if any(name in run.curves for run in v.sound for name in PANELS)]
    chosen = [v for v in (focus.variant, focus.baseline) if v in logged] if focus else logged[:MOST]
    names = [name for name in PANELS if any(name in run.curves for v in chosen for run in v.sound)]
    if not names:
        return None
    figure = Figure((WIDTH, 3.4), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        for (color, marker, dashes), variant in zip(LOOKS, chosen, strict=False):
            low, mean, high = _band(variant, name)
            epochs = np.arange(1, len(mean) + 1)
            axes.fill_between(epochs, low, high, color=color, alpha=0.2, linewidth=0)
            every = max(1, len(mean) // 8)
            (line,) = axes.plot(
                epochs, mean, color=color, linestyle=dashes, marker=marker, markevery=every, linewidth=1.8
            )
            line.set_gid(f"curve-{name.partition('/')[0]}-{chosen.index(variant)}")
        axes.set_xlabel("epoch")
        axes.set_ylabel(PANELS[name])
        axes.xaxis.get_major_locator().set_params(integer=True)
    marks = [
        mark(color, marker, fitted(v.label, 40, 1), line=dashes)
        for (color, marker, dashes), v in zip(LOOKS, chosen, strict=False)
    ]
    legend(figure, [*marks, (Patch(facecolor=INK, alpha=0.2), "lowest to highest seed")], columns=3)
    lengths = {len(run.curves[name]) for v in chosen for run in v.sound for name in names if name in run.curves}
    caption = [
        "Line: mean over the seeds. Band: from the lowest seed to the highest.",
        "Where seeds stopped early, line and band continue with the seeds that were still training."
        * (len(lengths) > 1),
        f"The first {MOST} of {len(logged)} variants." * (len(chosen) < len(logged) and not focus),
    ]
    return save_picture(figure, "curves", f"{section.name}: learning curves", caption)


def _band(variant: Variant, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lowest, mean and highest value of each epoch over the seeds that reached it, in percent, each (E,)."""
    runs = [run.curves[name] for run in variant.sound if name in run.curves]
    epochs = [[v for v in values if v is not None] for values in itertools.zip_longest(*runs)]
    return tuple(np.array([100 * of(values) for values in epochs]) for of in (np.min, np.mean, np.max))  # type: ignore[return-value]
