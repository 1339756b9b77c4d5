"""Accuracy against compression: a line a kind of autoencoder, every seed a dot, and the backbone without any code."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from hybridnets.report.analysis import DataSetReport
from hybridnets.report.comparing.evidence import Comparison
from hybridnets.report.comparing.variants import Variant
from hybridnets.report.figures.picture import Picture
from hybridnets.report.figures.style import (
    INK,
    LOOKS,
    WIDTH,
    Look,
    fitted,
    level_name,
    listed,
    main_metric,
    mark,
    picture,
    style,
)
from hybridnets.report.tables.compression import code_of
from hybridnets.report.tables.units import unit
from hybridnets.runs import identity as ids

PANELS = 3  # backbones side by side
TICKS = 9  # that can be labelled in a panel of the whole width


@style()
def compression(part: DataSetReport) -> Picture | None:
    """Accuracy through the code against its size; None where no two codes of one kind differ in it."""
    metric, of = main_metric(part), unit(part.section)
    panels: dict[str, dict[str, list[Comparison]]] = defaultdict(lambda: defaultdict(list))
    for each in part.compressed:
        panels[ids.digest(each.variant.backbone)][_kind(each.variant)].append(each)
    panels = {
        backbone: lines
        for backbone, lines in panels.items()
        if any(len({code_of(each).numbers for each in line}) > 1 for line in lines.values())
    }
    if not panels:
        return None
    kinds = dict.fromkeys(kind for lines in panels.values() for kind in lines)
    looks = dict(zip(kinds, LOOKS, strict=False))
    figure = Figure((WIDTH, 4.2), dpi=150, layout="constrained")
    drawn = list(panels.values())[:PANELS]
    axes = figure.subplots(1, len(drawn), sharey=True, squeeze=False)[0]
    for one, lines in zip(axes, drawn, strict=True):
        _backbone(one, [each for line in lines.values() for each in line], metric, of.scale)
        for kind, look in looks.items():
            if kind in lines:
                _line(one, sorted(lines[kind], key=lambda each: code_of(each).numbers), metric, of.scale, look, kind)
        _sizes(one, [each for line in lines.values() for each in line], TICKS // len(drawn))
        if len(drawn) > 1:
            one.set_title(fitted(next(iter(lines.values()))[0].baseline.name, 30, 1))
    axes[0].set_ylabel(level_name(metric, of))
    marks = [mark(look.color, look.marker, fitted(kind, 30, 1), line=look.line) for kind, look in looks.items()]
    band = mark(INK, "", "backbone, before the code", line="-")
    listed(figure, [*marks, mark(INK, "o", "one seed", filled=False), band])
    caption = [
        f"{level_name(metric, of).capitalize()} through the code against how much smaller it is than the feature maps: to the "
        "right it saves more. Each small dot is one seed, the line joins the means over the seeds.",
        "Horizontal: the backbone itself on the same images, mean and range over its seeds.",
        f"The first {len(LOOKS)} of {len(kinds)} kinds; the table has all." * (len(kinds) > len(LOOKS)),
        f"The first {PANELS} of {len(panels)} backbones; the table has all." * (len(panels) > PANELS),
    ]
    return picture(figure, "compression", f"{part.section.data}: accuracy against compression", caption)


def _kind(variant: Variant) -> str:
    """What tells a line from the others: its axes but for backbone and size."""
    words = {axis: level for axis, level in variant.axes.items() if axis not in ("model", "channels")}
    kind = words.pop("kind", variant.name)
    return " ".join([kind, *(f"{axis}={level}" for axis, level in words.items())])


def _line(axes: Axes, line: Sequence[Comparison], metric: str, scale: float, look: Look, kind: str) -> None:
    numbers = [code_of(each).numbers for each in line]
    scores = [[scale * run.scores[metric] for run, _ in each.pairs] for each in line]
    means = [float(np.mean(found)) for found in scores]
    axes.plot(numbers, means, color=look.color, linestyle=look.line, marker=look.marker, markersize=6, linewidth=1.8)
    x = [n for n, found in zip(numbers, scores, strict=True) for _ in found]
    (dots,) = axes.plot(
        x, np.concatenate(scores), "o", color=look.color, markerfacecolor="none", markersize=4, alpha=0.8
    )
    dots.set_gid(f"seeds-{kind}")


def _backbone(axes: Axes, found: Sequence[Comparison], metric: str, scale: float) -> None:
    scores = {run.hash: scale * run.scores[metric] for each in found for _, run in each.pairs}
    axes.axhspan(min(scores.values()), max(scores.values()), color=INK, alpha=0.12, linewidth=0)
    axes.axhline(float(np.mean(list(scores.values()))), color=INK, linewidth=1.4).set_gid("backbone")


def _sizes(axes: Axes, found: Sequence[Comparison], most: int) -> None:
    """The sizes that were tried, the largest at the left, each with the share that it saves."""
    codes = {code.numbers: code for each in found if (code := code_of(each))}
    axes.set_xscale("log", base=2)
    axes.invert_xaxis()
    order = sorted(codes)
    labelled = order[:: -(-len(order) // most)]
    axes.set_xticks(labelled, [f"{100 * codes[n].compression:.1f} %\n{n:,}" for n in labelled])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.08)
    maps = " or ".join(dict.fromkeys(f"{int(np.prod(code.maps)):,}" for code in codes.values()))
    axes.set_xlabel(f"compression, and the numbers kept of {maps}")
