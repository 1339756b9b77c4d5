"""Accuracy by variant, and paired differences with their intervals, with a dot for every seed."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hybridnets.report.comparing.answers import PrimaryAnalysis
from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.comparing.evidence import Evidence
from hybridnets.report.comparing.units import unit_of
from hybridnets.report.comparing.variants import DataSetVariants, Variant
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
    figure_style,
    fitted,
    legend,
    level_name,
    mark,
    save_picture,
    spread,
    striped,
)

MOST = 40  # rows that can still be read
BEST, WORST = 25, 10  # rows of the best and the worst where there are more variants
REACH = 4.0  # intervals are cut at so many times the farthest dot, so that the dots stay apart
METRICS = {"test": Look(GREEN, "o", "-"), "val": Look(PURPLE, "D", "-"), "score": Look(GREEN, "o", "-")}


@figure_style()
def draw_accuracy(
    section: DataSetVariants, metric: str, primary: Collection[Variant], published: Mapping[str, float]
) -> Picture | None:
    """Accuracy by variant with every seed; None where no variant has any.

    Args:
        section: The variants.
        metric: The metric that decides which of very many variants are drawn.
        primary: Variants that are always drawn.
        published: A paper's val accuracies by variant, as fractions.
    """
    metrics = section.metrics
    if not any(variant.scores(m) for variant in section.variants for m in metrics):
        return None
    unit = unit_of(section, metrics[0])
    rows, excerpt = _rows(section, metric, primary)
    figure = Figure((WIDTH, 1.3 + len(rows) * (0.4 if len(metrics) > 1 else 0.3)), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    striped(axes, [fitted(variant.label, 36) if variant else "⋮" for variant in rows])
    for row, variant in enumerate(rows):
        if variant:
            for place, m in enumerate(metrics):
                y = row + 0.36 * (place - (len(metrics) - 1) / 2)
                values = [unit.scale * run.scores[m] for run in variant.sound]
                _seeds(axes, values, y, m, f"seeds-{m}-{row}")
                if values:
                    axes.plot(np.mean(values), y, "|", color=INK, markersize=13, markeredgewidth=2)
            if variant.label in published:
                value = unit.scale * published[variant.label]
                axes.plot(value, row, "^", color=ORANGE, markersize=8)[0].set_gid(f"published-{row}")
            _note(axes, row, _runs(variant))
    _note(axes, -0.5, "runs", is_header=True)
    axes.set_xlabel(level_name(section.metric(metrics[0]), unit) if len(metrics) == 1 else "accuracy (%)")
    entries = {"val": "val, one seed (optimistic: its epoch was chosen on it)"}
    legend(
        figure,
        [
            *(mark(*METRICS[m][:2], entries.get(m, f"{m}, one seed"), filled=m != "val") for m in metrics),
            mark(INK, "|", "mean over seeds"),
            *([mark(ORANGE, "^", "published")] if published else []),
        ],
    )
    caption = [
        "Each dot is one run, each bar the mean over the seeds; dots of a row are spread out only to be visible.",
        "test: at the epoch that was best on val. val is optimistic: its epoch was chosen on it." * ("val" in metrics),
        "runs: 2/3 means that two of three requested runs are finished. A run that diverged has no dot and is in no mean.",
        "published: the accuracy in the file that the sweep names as published." * bool(published),
        excerpt,
    ]
    return save_picture(figure, "accuracy", f"{section.name}: every seed of every variant", caption)


def _rows(section: DataSetVariants, metric: str, primary: Collection[Variant]) -> tuple[list[Variant | None], str]:
    """The variants from top to bottom, with None for a gap, and a sentence on the gap where there is one."""
    variants, kind = section.variants, section.metric(metric)
    if len(variants) <= MOST:
        return list(variants), ""
    means = {variant: level.mean for variant in variants if (level := variant.scores(metric))}
    order = sorted(means, key=lambda variant: -kind.sign * means[variant])
    top = [v for n, v in enumerate(order) if n < BEST or (v in primary and n < len(order) - WORST)]
    sentence = (
        f"Of {len(variants)} variants these are the {BEST} with the best mean on {kind.name} and the {WORST} with the worst"
        f"{', and those of the primary analysis' * (len(top) > BEST)}, in this order; the table has them all."
    )
    return [*top, None, *order[-WORST:]], sentence


def _runs(variant: Variant) -> str:
    return ", ".join(filter(None, (variant.finished, variant.failures)))


def _seeds(axes: Axes, values: Sequence[float], y: float, metric: str, gid: str) -> None:
    """A dot per seed, in the seeds' order from top to bottom."""
    color, marker, _ = METRICS[metric]
    inside = "none" if metric == "val" else color
    heights = y + spread(len(values), 0.1)
    (dots,) = axes.plot(values, heights, marker, color=color, markerfacecolor=inside, alpha=0.9, markeredgewidth=1.1)
    dots.set_gid(gid)


def _note(axes: Axes, row: float, text: str, is_header: bool = False) -> None:
    """Text to the right of a row, or the header of the column of such texts."""
    place = axes.get_yaxis_transform()
    axes.text(1.015, row, text, transform=place, va="bottom" if is_header else "center", fontsize=SMALL)


@figure_style()
def draw_differences(
    section: DataSetVariants, comparisons: Sequence[Comparison], analyses: Sequence[PrimaryAnalysis]
) -> Picture | None:
    """Paired differences with their intervals, a forest plot; None where nothing was compared.

    Args:
        section: The variants.
        comparisons: The comparisons.
        analyses: The primary analyses, whose comparisons come first and in bold.
    """
    primary = [analysis.comparison for analysis in analyses]
    drawable = [c for c in dict.fromkeys((*primary, *comparisons)) if c.pairs]
    metrics = section.metrics
    if not drawable or not metrics:
        return None
    unit = unit_of(section, metrics[0])
    rows = drawable[:MOST]
    width = WIDTH if len(metrics) == 1 else 9.0
    figure = Figure((width, 1.7 + 0.42 * len(rows)), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    margin_metric, margin = next(((a.metric, unit.scale * a.margin) for a in analyses if a.margin), ("", 0.0))
    for axes, metric in zip(panels, metrics, strict=True):
        striped(axes, [f"{fitted(c.variant.label, 34)}\n- {fitted(c.baseline.label, 32)}" for c in rows])
        _forest(axes, [c.evidence(metric) for c in rows], unit.scale, margin if metric == margin_metric else 0.0)
        axes.set_xlabel(difference_name(section.metric(metric), unit))
    for label, comparison in zip(panels[0].get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if comparison in primary else "normal")
    for row, comparison in enumerate(rows):
        _note(panels[-1], row, str(len(comparison.pairs)))
    _note(panels[-1], -0.5, "seeds", is_header=True)
    corrected = any(c.evidence(m).corrected.interval for c in rows for m in metrics)
    marks = [
        *(mark(*METRICS[m][:2], f"{m}, one seed", filled=m != "val") for m in metrics),
        mark(INK, "d", "mean and 95 % interval, plain", line="-"),
        *([(Patch(facecolor=ORANGE, alpha=0.6), "95 % interval, corrected")] if corrected else []),
        *([(_margin_patch(), f"margin of the primary analysis, ± {margin:g}")] if margin else []),
    ]
    legend(figure, marks, columns=3)
    caption = [
        f"Each dot is the difference of one seed, to the {'right' if section.metric(metrics[0]).higher_is_better else 'left'} "
        "of 0 where the first variant is better.",
        "Plain: the paired t interval over seeds, about this data set.",
        "Corrected: Nadeau and Bengio's interval for overlapping splits, about new data of this kind; it applies to val only."
        * corrected,
        "There is no interval with one seed, without any spread, or where some seeds share a split.",
        "An arrow means that the interval continues beyond the axis.",
        "Bold: the primary analysis." * bool(primary),
        f"The first {MOST} of {len(drawable)} comparisons; the tables have them all." * (len(drawable) > MOST),
    ]
    return save_picture(figure, "differences", f"{section.name}: paired differences and their intervals", caption)


def _margin_patch() -> Patch:
    return Patch(facecolor=INK, alpha=0.2)


def _forest(axes: Axes, rows: Sequence[Evidence], scale: float, margin: float) -> None:
    """One metric's differences, row by row."""
    farthest = max([margin, *(scale * float(np.abs(e.seed_differences).max()) for e in rows)]) or 1.0
    ends = [end * scale for e in rows for test in (e.plain, e.corrected) for end in test.interval or ()]
    low = max(
        min([-0.2 * farthest, *(scale * float(e.seed_differences.min()) for e in rows), *ends]), -REACH * farthest
    )
    high = min(max([0.2 * farthest, *(scale * float(e.seed_differences.max()) for e in rows), *ends]), REACH * farthest)
    low, high = min(low, -margin), max(high, margin)
    pad = 0.05 * (high - low)
    axes.set_xlim(low - pad, high + pad)
    if margin:
        band = axes.axvspan(-margin, margin, color=INK, alpha=0.12, linewidth=0)
        band.set_gid("margin")
    axes.axvline(0, color=INK, linewidth=1.2)
    for row, e in enumerate(rows):
        for test, color, width, name in ((e.corrected, ORANGE, 8, "corrected"), (e.plain, INK, 1.6, "plain")):
            if test.interval:
                start, end = (scale * end for end in test.interval)
                inside = [max(start, low), min(end, high)]
                alpha = 1.0 if name == "plain" else 0.6
                (line,) = axes.plot(
                    inside, [row, row], color=color, linewidth=width, alpha=alpha, solid_capstyle="butt"
                )
                line.set_gid(f"{name}-{e.metric}-{row}")
                tips = [("<", low, start < low), (">", high, end > high)]
                for marker, x, beyond in tips:
                    if beyond:
                        axes.plot(x, row, marker, color=INK, markersize=6)
        axes.plot(scale * e.d.mean(), row, "d", color=INK, markersize=7)
        _seeds(axes, list(scale * e.seed_differences), row - 0.27, e.metric, f"seeds-{e.metric}-{row}")
