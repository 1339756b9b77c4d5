"""Accuracy by variant, and paired differences with their intervals: every seed is a dot."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hybridnets.report.analysis import DataSetReport
from hybridnets.report.comparing.evidence import Evidence
from hybridnets.report.comparing.variants import Variant
from hybridnets.report.figures.picture import Picture
from hybridnets.report.figures.style import (
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SMALL,
    WIDTH,
    Look,
    difference_name,
    fitted,
    level_name,
    listed,
    main_metric,
    mark,
    picture,
    striped,
    style,
)
from hybridnets.report.tables.units import unit

MOST = 40  # rows that can still be read
BEST, WORST = 25, 10  # of more variants
REACH = 4.0  # an interval beyond this many times the farthest dot is cut, so that the dots stay apart
METRICS = {"test": Look(GREEN, "o", "-"), "val": Look(PURPLE, "D", "-"), "score": Look(GREEN, "o", "-")}


@style()
def accuracy(part: DataSetReport) -> Picture | None:
    """Accuracy by variant with every seed; None where no variant has any."""
    metrics, of = part.section.metrics, unit(part.section)
    if not any(variant.scores(m) for variant in part.section.variants for m in metrics):
        return None
    rows, cut = _rows(part)
    figure = Figure((WIDTH, 1.3 + len(rows) * (0.4 if len(metrics) > 1 else 0.3)), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    striped(axes, [fitted(variant.label, 36) if variant else "⋮" for variant in rows])
    for row, variant in enumerate(rows):
        if variant:
            for place, metric in enumerate(metrics):
                y = row + 0.36 * (place - (len(metrics) - 1) / 2)
                values = [of.scale * run.scores[metric] for run in variant.sound]
                _seeds(axes, values, y, metric, f"seeds-{metric}-{row}")
                if values:
                    axes.plot(np.mean(values), y, "|", color=INK, markersize=13, markeredgewidth=2)
            _note(axes, row, _runs(variant))
    _note(axes, -0.5, "runs", above=True)
    axes.set_xlabel(level_name(metrics[0], of) if len(metrics) == 1 else "accuracy (%)")
    words = {"val": "val, one seed (optimistic: its epoch was chosen on it)"}
    listed(
        figure,
        [
            *(mark(*METRICS[m][:2], words.get(m, f"{m}, one seed"), filled=m != "val") for m in metrics),
            mark(INK, "|", "mean over seeds"),
        ],
    )
    caption = [
        "Each dot is one training, each bar the mean over the seeds; the dots of a row are set apart only to be seen.",
        "test: at the epoch that was best on val. val is optimistic: its epoch was chosen on it." * ("val" in metrics),
        "runs: 2/3 when two are finished of three asked for; a training that diverged has no dot and is in no mean.",
        cut,
    ]
    return picture(figure, "accuracy", f"{part.section.data}: every seed of every variant", caption)


def _rows(part: DataSetReport) -> tuple[list[Variant | None], str]:
    """The variants from top to bottom, and a sentence where not all of them are there; None stands for those left out."""
    variants, metric = part.section.variants, main_metric(part)
    if len(variants) <= MOST:
        return list(variants), ""
    means = {variant: found.mean for variant in variants if (found := variant.scores(metric))}
    order = sorted(means, key=lambda variant: -means[variant])
    primary = {v for a in part.answers for v in (a.comparison.variant, a.comparison.baseline)}
    top = [v for n, v in enumerate(order) if n < BEST or (v in primary and n < len(order) - WORST)]
    words = (
        f"Of {len(variants)} variants these are the {BEST} with the highest mean on {metric} and the {WORST} with the lowest"
        f"{', and those of the primary analysis' * (len(top) > BEST)}, in this order; the table has them all."
    )
    return [*top, None, *order[-WORST:]], words


def _runs(variant: Variant) -> str:
    return ", ".join(filter(None, (variant.finished, variant.trouble)))


def _seeds(axes: Axes, values: Sequence[float], y: float, metric: str, gid: str) -> None:
    """A dot a seed, in the seeds' order from top to bottom."""
    apart = np.linspace(-0.1, 0.1, len(values)) if len(values) > 1 else np.zeros(len(values))
    color, marker, _ = METRICS[metric]
    inside = "none" if metric == "val" else color
    (dots,) = axes.plot(values, y + apart, marker, color=color, markerfacecolor=inside, alpha=0.9, markeredgewidth=1.1)
    dots.set_gid(gid)


def _note(axes: Axes, row: float, words: str, above: bool = False) -> None:
    """Words at the right of a row, or above the column of such words."""
    place = axes.get_yaxis_transform()
    axes.text(1.015, row, words, transform=place, va="bottom" if above else "center", fontsize=SMALL)


@style()
def differences(part: DataSetReport) -> Picture | None:
    """Paired differences with their intervals, a forest plot; None where nothing was compared."""
    answers = [answer.comparison for answer in part.answers]
    found = [c for c in dict.fromkeys((*answers, *part.comparisons)) if c.pairs]
    metrics, of = part.section.metrics, unit(part.section)
    if not found or not metrics:
        return None
    rows = found[:MOST]
    width = WIDTH if len(metrics) == 1 else 9.0
    figure = Figure((width, 1.7 + 0.42 * len(rows)), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    wanted = next(((a.metric, of.scale * a.margin) for a in part.answers if a.margin), ("", 0.0))
    for axes, metric in zip(panels, metrics, strict=True):
        striped(axes, [f"{fitted(c.variant.label, 34)}\n- {fitted(c.baseline.label, 32)}" for c in rows])
        _forest(axes, [c.evidence(metric) for c in rows], of.scale, wanted[1] if metric == wanted[0] else 0.0)
        axes.set_xlabel(difference_name(metric, of))
    for label, comparison in zip(panels[0].get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if comparison in answers else "normal")
    for row, comparison in enumerate(rows):
        _note(panels[-1], row, str(len(comparison.pairs)))
    _note(panels[-1], -0.5, "seeds", above=True)
    corrected = any(c.evidence(m).corrected.interval for c in rows for m in metrics)
    marks = [
        *(mark(*METRICS[m][:2], f"{m}, one seed", filled=m != "val") for m in metrics),
        mark(INK, "d", "mean and 95 % interval, plain", line="-"),
        *([(Patch(facecolor=ORANGE, alpha=0.6), "95 % interval, corrected")] if corrected else []),
        *([(_region(), f"margin of the primary analysis, ± {wanted[1]:g}")] if wanted[1] else []),
    ]
    listed(figure, marks, columns=3)
    caption = [
        "Each dot is one seed's difference, above 0 where the first of the two is better.",
        "Plain: the paired t interval over seeds, on this data set.",
        "Corrected: Nadeau and Bengio's, for overlapping splits, on new data of this kind; it applies to val alone."
        * corrected,
        "Without an interval: one seed, or no spread, or seeds that share a split in part.",
        "An arrow ends an interval that goes on beyond the axis.",
        "Bold: the primary analysis." * bool(answers),
        f"The first {MOST} of {len(found)} comparisons; the tables have them all." * (len(found) > MOST),
    ]
    return picture(
        figure,
        "differences",
        f"{part.section.data}: paired differences and their intervals",
        caption,
    )


def _region() -> Patch:
    return Patch(facecolor=(0.07, 0.2, 0.34, 0.0), edgecolor=INK, hatch="////", linewidth=0.0, alpha=0.5)


def _forest(axes: Axes, rows: Sequence[Evidence], scale: float, margin: float) -> None:
    """One metric's differences, row by row."""
    farthest = max([margin, *(scale * float(np.abs(each.d).max()) for each in rows)]) or 1.0
    ends = [end * scale for each in rows for test in (each.plain, each.corrected) for end in test.interval or ()]
    low = max(min([-0.2 * farthest, *(scale * float(each.d.min()) for each in rows), *ends]), -REACH * farthest)
    high = min(max([0.2 * farthest, *(scale * float(each.d.max()) for each in rows), *ends]), REACH * farthest)
    low, high = min(low, -margin), max(high, margin)
    pad = 0.05 * (high - low)
    axes.set_xlim(low - pad, high + pad)
    if margin:
        band = axes.axvspan(-margin, margin, facecolor="none", edgecolor=INK, hatch="////", linewidth=0, alpha=0.3)
        band.set_gid("margin")
    axes.axvline(0, color=INK, linewidth=1.2)
    for row, each in enumerate(rows):
        for test, color, width, what in ((each.corrected, ORANGE, 8, "corrected"), (each.plain, INK, 1.6, "plain")):
            if test.interval:
                left, right = (scale * end for end in test.interval)
                inside = [max(left, low), min(right, high)]
                alpha = 1.0 if what == "plain" else 0.6
                (line,) = axes.plot(
                    inside, [row, row], color=color, linewidth=width, alpha=alpha, solid_capstyle="butt"
                )
                line.set_gid(f"{what}-{each.metric}-{row}")
                tips = [("<", low, left < low), (">", high, right > high)]
                for marker, x, beyond in tips:
                    if beyond:
                        axes.plot(x, row, marker, color=INK, markersize=6)
        axes.plot(scale * each.d.mean(), row, "d", color=INK, markersize=7)
        _seeds(axes, list(scale * each.d), row - 0.27, each.metric, f"seeds-{each.metric}-{row}")
