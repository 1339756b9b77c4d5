"""What each setting does: the paper's sections 4.1 to 4.4 as effects in a grid, with the seed as block."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from statistics import fmean

import numpy as np

from hybridnets import stats
from hybridnets.report.comparing.variants import DataSetVariants, Variant, natural
from hybridnets.report.tables.table import Cell, Table, row
from hybridnets.report.tables.units import OPTIMISTIC, Unit, adjusted, metric_name, p_value


def effects(section: DataSetVariants, metric: str, unit: Unit) -> Table | None:
    """What each setting does, averaged over the others, with the seed as block; None where no grid is whole.

    The factors are the axes with two levels in a group of variants that are equal in all other axes. Only seeds that every
    cell of such a grid finished count.
    """
    rows = []
    left_out = []
    tested: list[tuple[stats.Test, stats.Test]] = []
    for group, factors, cells in _factorials(section):
        runs = [{run.seeds: run for run in variant.sound} for variant in cells.values()]
        seeds = sorted(set.intersection(*(set(each) for each in runs)))
        splits = {s: {each[s].split for each in runs} for s in seeds}
        seeds = [s for s in seeds if len(splits[s]) == 1]
        if any(variant.diverged for variant in cells.values()):
            left_out.append(f"{group} (runs diverged)")
            continue
        if why := _incomplete(list(cells.values()), seeds):
            left_out.append(f"{group} ({why})")
            continue
        if len(seeds) < 2:
            left_out.append(f"{group} ({len(seeds)} seed{'' if len(seeds) == 1 else 's'} in all of its cells)")
            continue
        distinct = len({each[s].split for each in runs for s in seeds})
        if distinct not in (1, len(seeds)):
            left_out.append(f"{group} (some seeds share a split)")
            continue
        ratios = {run.ratio for each in runs for run in each.values()}
        ratio = next(iter(ratios)) if metric != "test" and distinct == len(seeds) and len(ratios) == 1 else None
        scores = np.array([[each[s].scores[metric] for each in runs] for s in seeds])
        found = stats.effects(scores.reshape(len(seeds), *[2] * len(factors)), list(factors))
        for names, d in found.items():
            plain = stats.paired_t(d)
            corrected = stats.paired_t(d, ratio=ratio) if ratio else None
            words = " x ".join(f"{name} {' to '.join(factors[name])}" if len(names) == 1 else name for name in names)
            rows.append((group, words, len(seeds), plain, corrected, _costs(names, factors, cells)))
            tested.append((plain, corrected or plain))
    if not rows and not left_out:
        return None
    holm = adjusted([used for _, used in tested])
    lines = []
    for (group, words, n, plain, corrected, costs), (_, used), p in zip(rows, tested, holm, strict=True):
        fine = unit.at(used.interval, plain.estimate)
        lines.append(
            row(
                *(group, words, Cell(str(n), n)),
                Cell(fine.difference(plain.estimate or 0.0), plain.estimate),
                fine.interval(used.interval) if used.interval else f"n/a ({used.why})",
                Cell(p_value(plain.p), plain.p) if plain.p is not None else f"n/a ({plain.why})",
                Cell(p_value(corrected.p), corrected.p) if corrected and corrected.p is not None else "n/a",
                Cell(p_value(p), p) if p is not None else "n/a",
                *costs,
            )
        )
    caption = (
        f"{metric_name(metric)}: the mean at the second level minus that at the first, in {unit.differences}, averaged over "
        "all other settings of the group, a value a seed, tested over seeds (the seed is the block); of an interaction: half "
        "of how much one effect differs between the other's levels.",
        *([f"* {OPTIMISTIC}"] if metric == "val" else []),
        "p: plain paired t; corrected: the corrected resampled t, where it applies; the interval is the corrected one there. "
        f"Holm over the {len(lines)} effects of this table. parameters and s/epoch: what the step costs, as a factor.",
        *([f"Left out: {', '.join(left_out)}."] if left_out else []),
    )
    header = (
        "within",
        "effect",
        "n",
        "difference",
        "95 % interval",
        "p",
        "p corrected",
        "p Holm",
        "parameters",
        "s/epoch",
    )
    return Table(
        f"effects-{metric}", f"What each setting does ({metric_name(metric)})", header, tuple(lines), caption, left=2
    )


def _incomplete(cells: list[Variant], seeds: list[tuple[int, int, int]]) -> str:
    """Why a file's scores of a grid are only a part of them; empty where they are all, and of runs of a sweep."""
    if any("model" in variant.settings for variant in cells):
        return ""
    whole = all(not variant.missing and {run.seeds for run in variant.runs} == set(seeds) for variant in cells)
    return cells[0].partial or ("" if whole else "scores missing")


def _factorials(
    section: DataSetVariants,
) -> Iterator[tuple[str, dict[str, tuple[str, str]], dict[tuple[str, ...], Variant]]]:
    """Whole grids of two-level factors: what is common, the factors with their levels, and the variants by levels."""
    groups: dict[tuple[str, ...], list[Variant]] = {}
    for variant in section.variants:
        groups.setdefault((variant.axes.get("model", ""), *variant.axes), []).append(variant)
    for (model, *axes), members in groups.items():
        levels = {axis: sorted({v.axes[axis] for v in members}, key=natural) for axis in axes if axis != "model"}
        if levels.keys() >= {"rnn"}:
            levels["rnn"].sort(key=lambda level: min(v.parameters or 0 for v in members if v.axes["rnn"] == level))
        factors = {axis: (found[0], found[1]) for axis, found in levels.items() if len(found) == 2}
        rest = [axis for axis in levels if len(levels[axis]) > 2]
        by_rest: dict[tuple[str, ...], dict[tuple[str, ...], Variant]] = {}
        for v in members:
            by_rest.setdefault(tuple(v.axes[a] for a in rest), {})[tuple(v.axes[a] for a in factors)] = v
        for others, found in by_rest.items():
            order = list(itertools.product(*factors.values()))
            if factors and set(order) == set(found):
                words = [model, *(f"{axis}={level}" for axis, level in zip(rest, others, strict=True))]
                yield " ".join(filter(None, words)) or "all", factors, {place: found[place] for place in order}


def _costs(
    names: tuple[str, ...], factors: Mapping[str, tuple[str, str]], cells: Mapping[tuple[str, ...], Variant]
) -> tuple[Cell | str, Cell | str]:
    """How many times as many parameters and seconds an epoch the second level of a factor takes, on average."""
    if len(names) > 1:
        return "", ""
    axis = list(factors).index(names[0])
    sides = [[v for place, v in cells.items() if place[axis] == level] for level in factors[names[0]]]

    def factor(cost: Callable[[Variant], float | None]) -> Cell | str:
        values = [[cost(v) for v in side] for side in sides]
        if not all(value for side in values for value in side):
            return "n/a"
        first, second = (fmean(value or 0.0 for value in side) for side in values)
        return Cell(f"x {second / first:.2f}", second / first)

    return factor(lambda v: v.parameters), factor(lambda v: v.epoch_seconds)
