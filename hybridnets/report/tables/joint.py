"""The joint answer over several data sets, in plain sentences and tables."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from hybridnets.program import plural
from hybridnets.report.comparing.joint import Joint
from hybridnets.report.comparing.units import Unit, unit_of
from hybridnets.report.tables.cells import p_text
from hybridnets.report.tables.table import Cell, Table, row

LEVEL = 0.05
INCOMPLETE = "The data sets together do not say which is better, because runs of some failed or are missing."
ALL = "all-data-sets"  # begins the names of the files of the joint answer, and is the key of its figures


@dataclass(frozen=True, eq=False)
class JointAnswer:
    """What several data sets say together.

    Attributes:
        joint: The comparisons.
        question: The joint question; empty where none is about two variants.
        sentences: The answer, the verdict first; empty without a question.
        tables: The data sets one by one, and the ranks of more than two variants.
    """

    joint: Joint
    question: str
    sentences: tuple[str, ...]
    tables: tuple[Table, ...]


def answer_jointly(joint: Joint) -> JointAnswer:
    """The joint answer, with its tables.

    Args:
        joint: The variants that several data sets have in common.
    """
    units = [unit_of(data_set, joint.metric.key) for data_set in joint.data_sets]
    unit = next((u for u in units if u.scale != units[0].scale), units[0])
    if unit.scale != units[0].scale:  # some data sets have scores beyond 1: none is printed as percent
        unit = replace(unit, scale=1)
    if not joint.comparisons:
        where = f"over {len(joint.data_sets)} data sets"
        question = f"Do the {len(joint.labels)} variants differ by their {joint.metric.name}, {where}?"
        return JointAnswer(joint, question, tuple(_omnibus(joint)), tuple(_tables(joint, unit)))
    variant, baseline = (side.label for side in (joint.comparisons[0].variant, joint.comparisons[0].baseline))
    question = f"Is {variant} better than {baseline} by its {joint.metric.name}, over {len(joint.data_sets)} data sets?"
    return JointAnswer(joint, question, tuple(_sentences(joint, unit, variant, baseline)), tuple(_tables(joint, unit)))


def _sentences(joint: Joint, unit: Unit, variant: str, baseline: str) -> Iterator[str]:
    over, sign, count = joint.over, joint.metric.sign, len(joint.data_sets)
    if over is None:
        return
    fine = unit.at(over.seeds.interval, over.mean)
    better, worse = (variant, baseline) if sign * over.mean > 0 else (baseline, variant)
    if joint.is_incomplete:
        yield INCOMPLETE
    elif joint.p is None:
        yield (
            f"{plural(count, 'data set')} do not say which is better on others like them ({over.data_sets.why}): more seeds do "
            "not change that."
        )
    elif joint.p < LEVEL:
        yield (
            f"{better} is better than {worse} on data sets like these{_by_margin(joint, unit)} (Wilcoxon over data sets: "
            f"p = {p_text(joint.p)})."
        )
    else:
        yield (
            f"These {count} data sets do not settle which is better on others like them (Wilcoxon over data sets: "
            f"p = {p_text(joint.p)})."
        )
    wins = sum(sign * inside.mean > 0 for inside in over.inside)
    yield (
        f"The mean difference over the data sets is {fine.difference(over.mean)}{unit.points} ({variant} minus {baseline}, "
        f"{joint.metric.name}); {wins} of {count} data sets favour {variant}."
    )
    if joint.is_incomplete:
        return
    if interval := over.seeds.interval:
        says = "contains 0" if interval[0] <= 0 <= interval[1] else f"favours {better}"
        yield (
            f"On these data sets alone, over seeds, the {100 * (1 - joint.level):.4g} % interval is {fine.interval(interval)}"
            f"{unit.points}, which {says}."
        )
    posterior = joint.posterior
    if posterior and posterior.better is not None and posterior.equivalent is not None and posterior.worse is not None:
        chances = (posterior.better, posterior.worse)[::sign]
        zone = f"by more than {unit.margin(joint.margin)}{unit.points}" if joint.margin else "by any amount"
        equal = f", the two equivalent with {posterior.equivalent:.2f}" if joint.margin else ""
        yield (
            f"On the next data set, {variant} is better {zone} with a probability of {chances[0]:.2f}{equal}, {baseline} with "
            f"{chances[1]:.2f} (hierarchical Bayesian model, Corani et al. 2017)."
        )
    if joint.declared:
        yield f"The question: {joint.declared}."


def _by_margin(joint: Joint, unit: Unit) -> str:
    """Whether a difference that is there is one that matters, by Wilcoxon's interval; empty without a margin."""
    interval = joint.over.data_sets.interval if joint.over else None
    if not joint.margin or interval is None:
        return ""
    margin, (low, high) = f"{unit.margin(joint.margin)}{unit.points}", interval
    if max(low, -high) > joint.margin:
        return f", by more than the {margin} that matter"
    if max(-low, high) < joint.margin:
        return f", but by less than the {margin} that would matter"
    return f"; whether by the {margin} that matter is not settled"


def _omnibus(joint: Joint) -> Iterator[str]:
    """Whether more than two variants differ, and which has the best rank."""
    ranking = joint.ranking
    if ranking is None or ranking.iman_davenport is None:
        return
    if joint.is_incomplete:
        yield INCOMPLETE
        return
    p, count = ranking.iman_davenport.p, len(joint.data_sets)
    test = f"(Friedman's test in Iman and Davenport's form: p = {p_text(p)})"
    if p >= LEVEL:
        yield f"These {count} data sets do not show that the {len(joint.labels)} variants differ {test}."
        return
    yield f"The {len(joint.labels)} variants differ on data sets like these {test}."
    best = min(range(len(joint.labels)), key=lambda k: ranking.ranks[k])
    different = [
        joint.labels[pair.first if pair.second == best else pair.second]
        for pair in ranking.pairs
        if best in (pair.first, pair.second) and pair.holm is not None and pair.holm < LEVEL
    ]
    rank = f"{ranking.ranks[best]:.2f} of {len(joint.labels)}"
    least = len(ranking.pairs) * 2.0 ** (1 - count)  # the smallest p that Holm's method can leave
    if not different and least >= LEVEL:
        yield (
            f"{joint.labels[best]} has the best mean rank, {rank}; that it differs from a single variant {count} data sets "
            f"cannot show, because no p of {len(ranking.pairs)} pairs could be below {least:.2g}."
        )
        return
    others = (
        f"and differs significantly from {', '.join(different)}" if different else "but differs from none significantly"
    )
    yield f"{joint.labels[best]} has the best mean rank, {rank}, {others} (Holm)."


def _tables(joint: Joint, unit: Unit) -> Iterator[Table]:
    if joint.comparisons:
        yield _by_data_set(joint, unit)
    if joint.ranking:
        yield _ranks(joint, unit)
        yield _pairs(joint)


def _by_data_set(joint: Joint, unit: Unit) -> Table:
    over = joint.over
    rows = []
    for data_set, comparison in zip(joint.data_sets, joint.comparisons, strict=True):
        evidence = comparison.evidence(joint.metric.key)
        d, test = evidence.differences, evidence.answer(joint.test, 1 - joint.level)
        fine = unit.at(test.interval, d.mean)
        rows.append(
            row(
                data_set.name,
                Cell(str(len(comparison.pairs)), len(comparison.pairs)),
                Cell(fine.difference(d.mean), d.mean),
                Cell("n/a" if d.sd is None else fine.level(d.sd), d.sd),
                fine.interval(test.interval) if test.interval else f"n/a ({test.why})",
            )
        )
    first = joint.comparisons[0]
    caption = [
        f"{first.variant.label} minus {first.baseline.label}, {joint.metric.name}, in {unit.differences}; sd: the spread over "
        "seeds inside a data set. The intervals are of each data set alone."
    ]
    if over:
        estimate = over.data_sets.estimate
        caption.append(
            f"Over data sets: Wilcoxon's signed-rank test of the {len(rows)} means (Demsar 2006), "
            + (f"p = {p_text(joint.p)}" if joint.p is not None else f"no p ({over.data_sets.why})")
            + (
                f", Hodges-Lehmann estimate {unit.at(None, estimate).difference(estimate)}."
                if estimate is not None
                else "."
            )
        )
    if joint.posterior and joint.posterior.why:
        caption.append(f"No hierarchical model: {joint.posterior.why}.")
    header = ("data set", "n", "difference", "sd", f"{100 * (1 - joint.level):.4g} % interval")
    return Table("datasets", "The question on every data set", header, tuple(rows), tuple(caption))


def _ranks(joint: Joint, unit: Unit) -> Table:
    ranking = joint.ranking
    assert ranking is not None
    order = sorted(range(len(joint.labels)), key=lambda k: ranking.ranks[k])
    means = joint.interquartile_means
    rows = []
    for k in order:
        cells = [Cell(unit.level(float(level)), float(level)) for level in joint.levels[:, k]]
        middle = []
        if means:
            interval = means[k].interval
            text = unit.level(means[k].estimate or 0.0)
            if interval:
                text += f" ({unit.level(interval[0])} to {unit.level(interval[1])})"
            middle = [Cell(text, means[k].estimate)]
        rows.append(row(joint.labels[k], Cell(f"{ranking.ranks[k]:.2f}", ranking.ranks[k]), *middle, *cells))
    omnibus = []
    if ranking.friedman and ranking.iman_davenport:
        is_unanimous = math.isinf(ranking.iman_davenport.statistic)
        alike = " (every data set ranks the variants alike: its p is the exact one)" * is_unanimous
        omnibus.append(
            f"Friedman: chi-square {ranking.friedman.statistic:.2f}, p = {p_text(ranking.friedman.p)}; Iman and Davenport: F "
            f"{ranking.iman_davenport.statistic:.2f}, p = {p_text(ranking.iman_davenport.p)}{alike} (Demsar 2006)."
        )
    caption = (
        f"{joint.metric.name} in {unit.name}, mean over runs, by data set; rank: the mean over data sets, 1 is the best.",
        *omnibus,
        *["IQM: the mean of the middle half of all runs, with a bootstrap interval (Agarwal et al. 2021)."]
        * bool(means),
    )
    header = ("variant", "rank", *["IQM (95 % interval)"] * bool(means), *joint.names)
    return Table("ranks", "Ranks over the data sets", header, tuple(rows), caption)


def _pairs(joint: Joint) -> Table:
    ranking = joint.ranking
    assert ranking is not None
    rows = [
        row(
            joint.labels[pair.first],
            joint.labels[pair.second],
            Cell(p_text(pair.test.p), pair.test.p) if pair.test.p is not None else Cell(f"n/a ({pair.test.why})"),
            Cell(p_text(pair.holm), pair.holm) if pair.holm is not None else Cell("-"),
        )
        for pair in ranking.pairs
    ]
    caption = (
        f"Wilcoxon's signed-rank test over {ranking.n} data sets of every two variants; Holm over these "
        f"{plural(len(rows), 'pair')} (Garcia and Herrera 2008). Exploratory, unless it is the joint question.",
    )
    title = "Every two variants over the data sets"
    return Table("pairs", title, ("first", "second", "p", "p Holm"), tuple(rows), caption, labels=2)
