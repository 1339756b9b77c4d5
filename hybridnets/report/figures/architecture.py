"""The architecture of a variant: a column of stages with their layers, shapes and parameter counts."""

from collections.abc import Sequence
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from hybridnets.report.comparing.variants import Variant
from hybridnets.report.figures.picture import Picture
from hybridnets.report.figures.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    SMALL,
    VERMILLION,
    figure_style,
    fitted,
    save_picture,
)
from hybridnets.runs.records import LayerRecord

MOST = 3  # variants side by side
LINE = 0.20  # inches per line of text
COLORS = (BLUE, GREEN, ORANGE, VERMILLION, PURPLE, SKY)


@figure_style()
def draw_architecture(data: str, variants: Sequence[Variant]) -> Picture | None:
    """The layers of a few variants; None where none are recorded.

    Args:
        data: The data set's name.
        variants: The variants, of which the first ones with layers are drawn.
    """
    drawn = [(v, next((run.layers for run in v.runs if run.layers), ())) for v in variants]
    drawn = [(v, layers) for v, layers in drawn if layers][:MOST]
    if not drawn:
        return None
    names = list(dict.fromkeys(stage for _, layers in drawn for stage, *_ in layers))
    color = {stage: COLORS[n % len(COLORS)] for n, stage in enumerate(names)}
    height = max(_height(layers) for _, layers in drawn)
    figure = Figure((3.5 * len(drawn) if len(drawn) > 1 else 5.0, height + 0.6), dpi=150, layout="constrained")
    for axes, (variant, layers) in zip(figure.subplots(1, len(drawn), squeeze=False)[0], drawn, strict=True):
        _column(axes, layers, color, height)
        total = sum(count for *_, count in layers)
        axes.set_title(f"{fitted(variant.label, 36)}\n{total:,} parameters", fontweight="bold", loc="center")
    caption = [
        "One box per stage, from input to output: each layer with its output shape without the batch (maps: height, width, "
        "channels) and its parameters as Keras counts them.",
    ]
    return save_picture(figure, "architecture", f"{data}: what was compared", caption)


def _stages(layers: tuple[LayerRecord, ...]) -> list[tuple[str, list[LayerRecord]]]:
    return [(stage, list(group)) for stage, group in groupby(layers, key=lambda layer: layer[0])]


def _height(layers: tuple[LayerRecord, ...]) -> float:
    return sum(LINE * (len(lines) + 1.8) + 0.16 for _, lines in _stages(layers))


def _column(axes: Axes, layers: tuple[LayerRecord, ...], color: dict[str, str], height: float) -> None:
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(height, 0)
    top = 0.0
    for stage, lines in _stages(layers):
        tall = LINE * (len(lines) + 1.8)
        if top:
            axes.annotate(
                "", (0.5, top), (0.5, top - 0.16), arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1}
            )
        box = FancyBboxPatch(
            (0.03, top + 0.03),
            0.94,
            tall - 0.06,
            boxstyle="round,pad=0,rounding_size=0.05",
            mutation_aspect=4,
            facecolor=(*_rgb(color[stage]), 0.12),
            edgecolor=color[stage],
            linewidth=1.2,
        )
        axes.add_patch(box)
        axes.text(0.07, top + 0.06 + LINE * 0.6, stage, fontweight="bold", va="center", fontsize=SMALL + 0.5)
        for n, (_, name, shape, count) in enumerate(lines):
            y = top + 0.06 + LINE * (n + 1.65)
            cells = ((0.07, fitted(name, 30, 1), "left"), (0.74, " x ".join(map(str, shape)), "right"))
            for x, text, side in (*cells, (0.94, f"{count:,}" if count else "", "right")):
                axes.text(x, y, text, va="center", ha=side, fontsize=SMALL - 1)
        top += tall + 0.16


def _rgb(color: str) -> tuple[float, float, float]:
    return int(color[1:3], 16) / 255, int(color[3:5], 16) / 255, int(color[5:7], 16) / 255
