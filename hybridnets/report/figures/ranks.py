"""The order of several variants: mean ranks over data sets, and which is the best over seeds."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from hybridnets import stats
from hybridnets.report.figures.picture import Picture
from hybridnets.report.figures.style import (
    BLUE,
    INK,
    SMALL,
    WIDTH,
    figure_style,
    fitted,
    legend,
    mark,
    save_picture,
    striped,
)

MOST = 40  # variants that can still be read
GROUPS = 12  # bars that can still be read
LABEL = 29  # characters per line of a label beside the diagram
SIDE = 2.35  # inches for the labels on either side of the diagram
AXIS, BAR, TEXT = 0.62, 0.15, 0.155  # inches: the axis from the top, a level of bars, a line of text
CAP = 0.16  # inches of an interval's ends


@figure_style()
def draw_ranking(name: str, labels: Sequence[str], ranking: stats.Ranking) -> Picture | None:
    """Draws the mean ranks of variants over data sets with the groups that do not differ, a critical-difference diagram.

    Args:
        name: What the data sets have in common, for the title.
        labels: The variants' names, (K,), in the order of the ranking's positions.
        ranking: Their ranking.

    Returns:
        The picture; None for more variants than can be read.
    """
    variants = len(labels)
    if variants > MOST:
        return None
    order = sorted(range(variants), key=lambda v: ranking.ranks[v])
    levels = _levels([group for group in ranking.groups[:GROUPS]], order)
    texts = [fitted(label, LABEL) for label in labels]
    line = TEXT * max(text.count("\n") + 1 for text in texts) + 0.07
    rows = (variants + 1) // 2
    top = AXIS + 0.14 + BAR * (max(levels, default=-1) + 1)  # of the first row of labels
    height = top + line * rows + 0.05
    figure = Figure((WIDTH, height), dpi=150)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))

    def place(rank: float) -> float:  # the best rank stands at the right
        return SIDE + (WIDTH - 2 * SIDE) * (variants - rank) / (variants - 1)

    _rank_axis(axes, variants, place(variants), place(1))
    for side in (
        1,
        -1,
    ):  # the better half at the right, from the best down; the others at the left, from the worst down
        members = order[:rows] if side > 0 else order[rows:][::-1]
        for row, v in enumerate(members):
            x, y = place(ranking.ranks[v]), top + line * (row + 0.5)
            edge = WIDTH - SIDE + 0.12 if side > 0 else SIDE - 0.12
            axes.plot([x, x, edge], [AXIS, y, y], color=INK, linewidth=0.8, solid_joinstyle="miter")
            rank = f"{ranking.ranks[v]:.2f}"
            axes.text(edge - side * 0.03, y - 0.02, rank, ha="right" if side > 0 else "left", va="bottom", fontsize=6.5)
            axes.text(edge + side * 0.06, y, texts[v], ha="left" if side > 0 else "right", va="center", fontsize=SMALL)
    for number, (group, level) in enumerate(zip(ranking.groups, levels, strict=False)):
        xs, y = [place(ranking.ranks[v]) for v in group], AXIS + 0.14 + BAR * level
        (bar,) = axes.plot(xs, [y] * len(xs), color=BLUE, linewidth=3, marker="o", markersize=5, solid_capstyle="round")
        bar.set_gid(f"group-{number}")
    caption = [
        f"Mean rank of each variant over {ranking.n} data sets; 1 is the best.",
        f"A bar joins variants of which no two differ at {100 * ranking.alpha:g} % (Wilcoxon's test over data sets, "
        "Holm's correction over all pairs); only the variants with a dot belong to it."
        if ranking.groups
        else f"Every two variants differ at {100 * ranking.alpha:g} % (Wilcoxon's test over data sets, Holm's correction).",
        f"The first {GROUPS} of {len(ranking.groups)} bars; the table has all pairs." * (len(ranking.groups) > GROUPS),
    ]
    return save_picture(figure, "ranking", f"{name}: mean ranks over data sets", caption)


def _rank_axis(axes: Axes, variants: int, left: float, right: float) -> None:
    """The line of ranks at the top, with every rank or every other one marked."""
    axes.plot([left, right], [AXIS, AXIS], color=INK, linewidth=1.4, solid_capstyle="butt")
    step = 1 if variants <= 12 else 2 if variants <= 24 else 5
    for rank in range(1, variants + 1):
        x = right - (right - left) * (rank - 1) / (variants - 1)
        labelled = (rank - 1) % step == 0
        axes.plot([x, x], [AXIS - (0.09 if labelled else 0.05), AXIS], color=INK, linewidth=1)
        if labelled:
            axes.text(x, AXIS - 0.12, str(rank), ha="center", va="bottom", fontsize=SMALL)
    axes.text(left, AXIS - 0.36, "← worse", ha="left", va="bottom", fontsize=SMALL)
    axes.text((left + right) / 2, AXIS - 0.36, "mean rank", ha="center", va="bottom", fontsize=9)
    axes.text(right, AXIS - 0.36, "better →", ha="right", va="bottom", fontsize=SMALL)


def _levels(groups: Sequence[Sequence[int]], order: Sequence[int]) -> list[int]:
    """The level of each group's bar, from the top, so that bars of one level keep apart."""
    place = {v: n for n, v in enumerate(order)}
    ends: list[int] = []  # the last place that each level's bars take
    levels = []
    for group in groups:
        first, last = place[group[0]], place[group[-1]]
        level = next((n for n, end in enumerate(ends) if end < first), len(ends))
        ends[level : level + 1] = [last]
        levels.append(level)
    return levels


@figure_style()
def draw_best(name: str, labels: Sequence[str], ranks: stats.Ranks) -> Picture | None:
    """Draws how probable it is that each variant is the best, and its rank with an interval.

    Args:
        name: The data set, for the title.
        labels: The variants' names, (K,), in the order of the positions of `ranks`.
        ranks: Their ranks.

    Returns:
        The picture; None without a posterior.
    """
    if not ranks.best:
        return None
    order = sorted(range(len(labels)), key=lambda v: (ranks.expected[v], v))[:MOST]
    figure = Figure((WIDTH, 1.25 + 0.28 * len(order)), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 3))
    for axes in (left, right):
        striped(axes, [fitted(labels[v], 34, 1) for v in order])
    left.set(xlim=(0, 100), xlabel="probability of being the best (%)")
    right.set(xlim=(0.5, len(labels) + 0.5), xlabel="rank (1 is the best)")
    step = 1 if len(labels) <= 12 else 5
    right.set_xticks([1, *range(2 if step == 1 else step, len(labels) + 1, step)])
    right.grid(visible=False)
    darkest = max(max(ranks.distribution[v]) for v in order)
    for row, v in enumerate(order):
        _chance_bar(left, row, 100 * ranks.best[v])
        cells = [(rank, p) for rank, p in enumerate(ranks.distribution[v], start=1) if p >= 0.005]
        colors = [to_rgba(BLUE, 0.75 * p / darkest) for _, p in cells]
        right.broken_barh([(rank - 0.5, 1) for rank, _ in cells], (row - 0.42, 0.84), facecolors=colors, linewidth=0)
        low, high = ranks.interval[v]
        (interval,) = right.plot([low, high], [row, row], color=INK, linewidth=1.6, solid_capstyle="butt")
        interval.set_gid(f"rank-{row}")
        right.plot([low, high], [row, row], "|", color=INK, markersize=7, markeredgewidth=1.6)
        right.plot(ranks.expected[v], row, "D", color=INK, markersize=5)
    legend(
        figure,
        [
            mark(INK, "D", "expected rank and 95 % interval", line="-"),
            mark(BLUE, "s", "a rank: the darker, the more probable"),
        ],
    )
    caption = [
        f"Left: the probability that each variant has the best true mean, given {ranks.n} seeds. Right: its rank.",
        "A Bayesian model that pulls the means together as far as the seeds cannot tell them apart; about other seeds on this "
        "data set.",
        f"The {MOST} best of {len(labels)} variants." * (len(labels) > MOST),
    ]
    return save_picture(figure, "best", f"{name}: which variant is the best", caption)


def _chance_bar(axes: Axes, row: int, chance: float) -> None:
    """A bar of a probability in percent with its value, inside where there is no room beside it."""
    (bar,) = axes.barh(row, chance, height=0.6, color=BLUE)
    bar.set_gid(f"best-{row}")
    is_long = chance > 75
    color, side = ("white", "right") if is_long else (INK, "left")
    x = chance + (-2 if is_long else 2)
    axes.text(x, row, _percent(chance), ha=side, va="center", fontsize=SMALL, color=color)


def _percent(chance: float) -> str:
    """A probability in percent that is neither 0 nor 100 because of rounding."""
    return "< 1" if chance < 1 else "> 99" if chance > 99 else f"{chance:.0f}"
