"""Accuracy against compression: a line per kind of autoencoder, a dot per seed, and the backbone without a code."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from hybridnets.report.comparing.codes import code_of
from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.comparing.units import Unit
from hybridnets.report.comparing.variants import Variant
from hybridnets.report.figures.picture import Picture
from hybridnets.report.figures.style import (
    INK,
    LOOKS,
    WIDTH,
    Look,
    figure_style,
    fitted,
    legend,
    level_name,
    mark,
    save_picture,
)
from hybridnets.runs import identities

PANELS = 3  # backbones side by side
TICKS = 9  # tick labels that fit into a panel of the whole width


@figure_style()
def draw_compression(data: str, compressed: Sequence[Comparison], metric: str, unit: Unit) -> Picture | None:
    """Accuracy through the code against its size.

    Args:
        data: The data set's name.
        compressed: Each variant with a code against its backbone.
        metric: The metric.
        unit: How the metric is printed.

    Returns:
        The picture; None where no two codes of one kind differ in size.
    """
    panels = _panels(compressed)
    if not panels:
        return None
    kinds = dict.fromkeys(kind for lines in panels for kind in lines)
    markings = dict(zip(kinds, LOOKS, strict=False))
    figure = Figure((WIDTH, 4.2), dpi=150, layout="constrained")
    drawn = panels[:PANELS]
    all_axes = figure.subplots(1, len(drawn), sharey=True, squeeze=False)[0]
    for axes, lines in zip(all_axes, drawn, strict=True):
        _draw_backbone(axes, [c for line in lines.values() for c in line], metric, unit.scale)
        for kind, marking in markings.items():
            if kind in lines:
                _draw_line(axes, lines[kind], metric, unit.scale, marking, kind)
        _label_sizes(axes, [c for line in lines.values() for c in line], TICKS // len(drawn))
        if len(drawn) > 1:
            axes.set_title(fitted(next(iter(lines.values()))[0].baseline.name, 30, 1))
    name = level_name(compressed[0].variant.metric(metric), unit)
    all_axes[0].set_ylabel(name)
    marks = [
        mark(color, marker, fitted(kind, 30, 1), line=dashes) for kind, (color, marker, dashes) in markings.items()
    ]
    band = mark(INK, "", "backbone, before the code", line="-")
    legend(figure, [*marks, mark(INK, "o", "one seed", filled=False), band])
    caption = [
        f"{name.capitalize()} through the code against the share of the feature maps' values that it "
        "saves, which grows to the right. Each small dot is one seed; the line joins the means over the seeds.",
        "Horizontal line and band: the backbone itself on the same images, mean and range over its seeds.",
        f"The first {len(LOOKS)} of {len(kinds)} kinds; the table has them all." * (len(kinds) > len(LOOKS)),
        f"The first {PANELS} of {len(panels)} backbones; the table has them all." * (len(panels) > PANELS),
    ]
    return save_picture(figure, "compression", f"{data}: accuracy against compression", caption)


def _panels(compressed: Sequence[Comparison]) -> list[dict[str, list[Comparison]]]:
    """By backbone, and then by kind of autoencoder, the comparisons from the smallest code to the largest."""
    panels: dict[str, dict[str, list[Comparison]]] = defaultdict(lambda: defaultdict(list))
    for comparison in compressed:
        panels[identities.hash_of(comparison.variant.backbone)][_kind(comparison.variant)].append(comparison)

    def is_curve(line: Sequence[Comparison]) -> bool:
        return len({code_of(comparison).values for comparison in line}) > 1

    return [
        {kind: sorted(line, key=lambda c: code_of(c).values) for kind, line in lines.items()}
        for lines in panels.values()
        if any(map(is_curve, lines.values()))
    ]


def _kind(variant: Variant) -> str:
    """What distinguishes one line from the others: the variant's axes without backbone and size."""
    levels = {axis: level for axis, level in variant.axes.items() if axis not in ("model", "channels")}
    kind = levels.pop("kind", variant.name)
    return " ".join([kind, *(f"{axis}={level}" for axis, level in levels.items())])


def _draw_line(axes: Axes, line: Sequence[Comparison], metric: str, scale: float, marking: Look, kind: str) -> None:
    sizes = [code_of(comparison).values for comparison in line]
    scores = [[scale * run.scores[metric] for run, _ in comparison.pairs] for comparison in line]
    means = [float(np.mean(values)) for values in scores]
    axes.plot(
        sizes, means, color=marking.color, linestyle=marking.line, marker=marking.marker, markersize=6, linewidth=1.8
    )
    x = [size for size, values in zip(sizes, scores, strict=True) for _ in values]
    (dots,) = axes.plot(
        x, np.concatenate(scores), "o", color=marking.color, markerfacecolor="none", markersize=4, alpha=0.8
    )
    dots.set_gid(f"seeds-{kind}")


def _draw_backbone(axes: Axes, comparisons: Sequence[Comparison], metric: str, scale: float) -> None:
    scores = {run.hash: scale * run.scores[metric] for comparison in comparisons for _, run in comparison.pairs}
    axes.axhspan(min(scores.values()), max(scores.values()), color=INK, alpha=0.12, linewidth=0)
    axes.axhline(float(np.mean(list(scores.values()))), color=INK, linewidth=1.4).set_gid("backbone")


def _label_sizes(axes: Axes, comparisons: Sequence[Comparison], most: int) -> None:
    """Labels the sizes of the codes, the largest at the left, each with the share that it saves."""
    codes = {code.values: code for comparison in comparisons if (code := code_of(comparison))}
    axes.set_xscale("log", base=2)
    axes.invert_xaxis()
    order = sorted(codes)
    labelled = order[:: -(-len(order) // most)]
    axes.set_xticks(labelled, [f"{100 * codes[n].saving:.1f} %\n{n:,}" for n in labelled])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.08)
    maps = " or ".join(dict.fromkeys(f"{int(np.prod(code.maps)):,}" for code in codes.values()))
    axes.set_xlabel(f"share saved, and values kept of {maps}")
