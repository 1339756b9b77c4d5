"""One comparison by every test, and how many seeds a claim needs."""

from collections.abc import Iterator, Mapping

from hybridnets import stats
from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.comparing.evidence import NEW, Evidence
from hybridnets.report.comparing.power import SeedPlan, seed_plans
from hybridnets.report.comparing.units import Unit
from hybridnets.report.tables.cells import optimistic, p_cell, p_text
from hybridnets.report.tables.table import Cell, Table, row
from hybridnets.stats.power import MOST_SEEDS

Row = tuple[Cell | str, ...]


def sensitivity_table(comparison: Comparison, margin: float, units: Mapping[str, Unit], primary: str) -> Table:
    """Every test of one comparison.

    Args:
        comparison: The comparison.
        margin: The smallest difference that matters, in the primary metric's own unit.
        units: How each metric is printed, by its key.
        primary: The key of the primary metric.
    """
    rows = [
        row(metric, *cells)
        for metric, unit in units.items()
        for cells in _tests(comparison.evidence(metric), _margin(margin, metric, units, primary), unit)
    ]
    differences = " and ".join(dict.fromkeys(unit.differences for unit in units.values()))
    caption = (
        f"{comparison.name}, in {differences}; n = {len(comparison.pairs)} pairs of runs. No p is corrected for the "
        "number of tests: the primary analysis gives the answer, and this table shows how much that depends on the test.",
        *optimistic(list(units)),
        "Probability of improvement: how often the variant wins with the same seed (Bouthillier et al. 2021), with Clopper and "
        "Pearson's interval. It is significant if the interval lies above .5, and meaningful if it also reaches above .75, "
        f"which {stats.improvement_seeds()} seeds can show; for the baseline, below .5 and below .25.",
        "Over seeds: how the architectures differ from run to run. Over images: the trained networks are held fixed.",
    )
    header = ("metric", "test", "about", "estimate", "95 % interval", "p")
    title = "The same comparison by every other test"
    return Table("sensitivity", title, header, tuple(rows), caption, labels=3)


def _margin(margin: float, metric: str, units: Mapping[str, Unit], primary: str) -> float:
    """The margin at another metric: the same where it has the same unit, otherwise 0, which is none."""
    return margin if units[metric].name == units[primary].name else 0.0


def _tests(e: Evidence, margin: float, unit: Unit) -> Iterator[Row]:
    mean = Cell(unit.difference(float(e.d.mean())), float(e.d.mean()))
    about = e.question

    def line(name: str, question: str, test: stats.Test) -> Row:
        fine = unit.at(test.interval)
        estimate = mean if test.estimate is None else Cell(fine.difference(test.estimate), test.estimate)
        return name, question, estimate, fine.interval(test.interval), p_cell(e, test)

    yield line("paired t", about, e.plain)
    yield line("corrected resampled t", NEW, e.corrected)
    yield line("Wilcoxon signed rank (Hodges-Lehmann estimate)", about, e.wilcoxon)
    yield line("sign flip", about, e.sign_flip)
    yield from _equivalence(e, margin, unit)
    yield from _sizes(e, about, margin, unit)
    networks = "these trained networks"
    yield line("paired t over images (the paper's)", f"{networks} on these images", e.pooled)
    yield line("the same, clustered by image", f"{networks}, images like these", e.clustered)
    yield line("t over seeds and images (crossed)", "seeds and images like these", e.crossed)
    if e.mcnemar and not e.comparison.why_no_stars:
        networks = "the two networks of a seed"
        won = sum(m.only_a > m.only_b for m in e.mcnemar)
        exact, mid_p = ("; ".join(p_text(getattr(m, kind)) for m in e.mcnemar) for kind in ("exact", "mid_p"))
        favour = f"{won} of {len(e.mcnemar)} favour the first"
        yield "McNemar, seed by seed: exact", f"{networks}; {favour}", mean, "n/a", exact
        yield "McNemar, seed by seed: mid-p", networks, mean, "n/a", mid_p


def _equivalence(e: Evidence, margin: float, unit: Unit) -> Iterator[Row]:
    """Whether the difference is smaller than the margin, where there is one."""
    if margin:
        test = e.equivalence(margin)
        low, high = (unit.at(test.interval).interval(test.interval), "90 %") if test.interval else ("n/a", "")
        name = f"two one-sided t tests (TOST) within ±{unit.margin(margin)}"
        estimate = Cell(unit.difference(float(e.d.mean())), float(e.d.mean()))
        yield name, NEW if e.ratio else e.question, estimate, f"{low} {high}".strip(), p_cell(e, test)


def _sizes(e: Evidence, about: str, margin: float, unit: Unit) -> Iterator[Row]:
    """How large the difference is compared with its spread, how often the variant wins, and how probably it matters."""
    effect = e.effect
    if effect.g is None:
        yield "effect size g of the paired differences", about, f"n/a ({effect.why})", "n/a", ""
    else:
        low, high = effect.interval or (float("nan"),) * 2
        size = Cell(f"{effect.g:+.2f}", effect.g)
        yield (
            "effect size g of the paired differences (in their standard deviations)",
            about,
            size,
            f"{low:+.2f} to {high:+.2f}",
            "",
        )
    low, high = e.improvement.interval
    wins = Cell(f"{e.improvement.value:.2f}", e.improvement.value)
    yield "probability of improvement", about, wins, f"{low:.2f} to {high:.2f}", _decision(e)
    posterior = e.posterior(margin)
    if why := e.comparison.why_no_stars:
        probabilities = Cell(f"n/a ({why})")
    elif posterior.better is None or posterior.equivalent is None or posterior.worse is None:
        probabilities = Cell(f"n/a ({posterior.why})")
    else:
        text = f"{posterior.better:.2f} / {posterior.equivalent:.2f} / {posterior.worse:.2f}"
        probabilities = Cell(text, posterior.better)
    zone = f"better / within ±{unit.margin(margin)} / worse"
    interval = unit.interval(posterior.interval)
    yield f"Bayesian t: P({zone})", NEW if e.ratio else about, probabilities, interval, ""


def _decision(e: Evidence) -> str:
    """What the probability of improvement decides, in the direction in which it decides anything."""
    if e.comparison.why_no_stars:
        return ""
    if e.improvement.interval[1] < 0.5:
        return f"{stats.improvement_decision(e.improvement.reversed)}, for the baseline"
    return stats.improvement_decision(e.improvement)


def power_table(comparison: Comparison, margin: float, units: Mapping[str, Unit], primary: str) -> Table:
    """How many seeds a claim needs by each test, for the difference that matters.

    Args:
        comparison: The comparison.
        margin: The smallest difference that matters, in the primary metric's own unit; 0 where any does.
        units: How each metric is printed, by its key.
        primary: The key of the primary metric.
    """
    rows = []
    reasons: dict[str, None] = {}
    for metric, unit in units.items():
        metric_margin = _margin(margin, metric, units, primary)
        for needed in seed_plans(comparison.evidence(metric), metric_margin, unit.scale):
            size = unit.margin(needed.difference)
            rows.append(row(metric, *_plan(needed, size)))
            if needed.plan.why:
                reasons[f"{needed.plan.test}, {metric}, {size}: {needed.plan.why}."] = None
    caption = (
        f"The seeds with which a true difference of that size (in {units[primary].differences}) is found with a probability of "
        f"80 % at p < .05, two-sided, from the spread of {len(comparison.pairs)} pairs; the range follows from that spread's "
        "95 % interval. rough: fewer than 5 pairs. The observed difference is no plan: it is as uncertain as the answer.",
        *reasons,
    )
    header = ("metric", "test", "difference", "seeds", "range", "note")
    return Table("power", "How many seeds a claim needs", header, tuple(rows), caption, labels=3)


def _plan(needed: SeedPlan, size: str) -> Row:
    plan = needed.plan
    notes = " ".join(filter(None, ("rough" * plan.rough, "see below" * bool(plan.why))))
    return (
        *(plan.test, f"{size}, that matters"),
        Cell("n/a" if plan.seeds is None else f"{plan.seeds:,}", plan.seeds),
        " to ".join(_end(plan, end) for end in plan.interval),
        notes or "-",
    )


def _end(plan: stats.Plan, end: int | None) -> str:
    if end is not None:
        return f"{end:,}"
    return "no number" if plan.test == "corrected t" else f"more than {MOST_SEEDS:,}"
