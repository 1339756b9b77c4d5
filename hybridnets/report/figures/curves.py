"""Learning curves: how train and val accuracy went, with the band of the seeds."""

import itertools

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hybridnets.report.analysis import DataSetReport
from hybridnets.report.comparing.variants import Variant
from hybridnets.report.figures.picture import Picture
from hybridnets.report.figures.style import INK, LOOKS, WIDTH, fitted, focus, listed, mark, picture, style

MOST = len(LOOKS)  # curves that can be told apart
PANELS = {"train/acc": "train accuracy (%)", "val/acc": "val accuracy (%)"}


@style()
def curves(part: DataSetReport) -> Picture | None:
    """Accuracy against epoch, mean and range over the seeds; None where nothing was logged."""
    logged = [v for v in part.section.variants if any(name in run.curves for run in v.sound for name in PANELS)]
    wanted = focus(part)
    chosen = [v for v in (wanted.variant, wanted.baseline) if v in logged] if wanted else logged[:MOST]
    names = [name for name in PANELS if any(name in run.curves for v in chosen for run in v.sound)]
    if not names:
        return None
    figure = Figure((WIDTH, 3.4), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        for look, variant in zip(LOOKS, chosen, strict=False):
            low, mean, high = _band(variant, name)
            epochs = np.arange(1, len(mean) + 1)
            axes.fill_between(epochs, low, high, color=look.color, alpha=0.2, linewidth=0)
            every = max(1, len(mean) // 8)
            (line,) = axes.plot(
                epochs, mean, color=look.color, linestyle=look.line, marker=look.marker, markevery=every, linewidth=1.8
            )
            line.set_gid(f"curve-{name.partition('/')[0]}-{chosen.index(variant)}")
        axes.set_xlabel("epoch")
        axes.set_ylabel(PANELS[name])
        axes.xaxis.get_major_locator().set_params(integer=True)
    marks = [
        mark(look.color, look.marker, fitted(v.label, 40, 1), line=look.line)
        for look, v in zip(LOOKS, chosen, strict=False)
    ]
    listed(figure, [*marks, (Patch(facecolor=INK, alpha=0.2), "lowest to highest seed")], columns=3)
    lengths = {len(run.curves[name]) for v in chosen for run in v.sound for name in names if name in run.curves}
    caption = [
        "Mean over the seeds, and the band from the lowest seed to the highest.",
        "Where seeds stopped early, mean and band go on with those that still train." * (len(lengths) > 1),
        f"The first {MOST} of {len(logged)} variants." * (len(chosen) < len(logged) and not wanted),
    ]
    return picture(figure, "curves", f"{part.section.data}: learning curves", caption)


def _band(variant: Variant, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lowest, mean and highest value of each epoch over the seeds that reached it, in percent, each (E,)."""
    runs = [run.curves[name] for run in variant.sound if name in run.curves]
    epochs = [[v for v in values if v is not None] for values in itertools.zip_longest(*runs)]
    return tuple(np.array([100 * of(values) for values in epochs]) for of in (np.min, np.mean, np.max))  # type: ignore[return-value]
