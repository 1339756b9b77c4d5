"""One comparison by every test, and how many seeds a claim needs."""

from collections.abc import Iterator, Sequence

from hybridnets import stats
from hybridnets.report.comparing.evidence import NEW, Comparison, Evidence
from hybridnets.report.tables.table import Cell, Table, row
from hybridnets.report.tables.units import OPTIMISTIC, Unit, p_value, probability


def sensitivity(comparison: Comparison, margin: float, metrics: Sequence[str], unit: Unit) -> Table:
    """Every test of one comparison beside the primary one."""
    rows = []
    for metric in metrics:
        rows += [row(metric, *cells) for cells in _tests(comparison.evidence(metric), margin, unit)]
    caption = (
        f"{comparison.name}, in {unit.differences}; n = {len(comparison.pairs)} pairs of runs. Nothing here is corrected for "
        "being one of many: the primary analysis answers, this table says how much the answer hangs on the test.",
        *([f"* {OPTIMISTIC}"] if "val" in metrics else []),
        "Probability of improvement: how often the first wins on a seed (Bouthillier et al. 2021), with Clopper and Pearson's "
        "interval; their bootstrap has no width where one side always wins.",
        "Over seeds: how the architectures differ over trainings. Over images: the trained networks are held fixed.",
    )
    header = ("metric", "test", "about", "estimate", "95 % interval", "p")
    return Table("sensitivity", "The same comparison by every other test", header, tuple(rows), caption, left=3)


def _tests(e: Evidence, margin: float, unit: Unit) -> Iterator[tuple[Cell | str, ...]]:
    mean = Cell(unit.difference(float(e.d.mean())), float(e.d.mean()))
    about = e.question or "nothing: some seeds share a split"

    def one(name: str, what: str, test: stats.Test) -> tuple[Cell | str, ...]:
        fine = unit.at(test.interval)
        estimate = mean if test.estimate is None else Cell(fine.difference(test.estimate), test.estimate)
        return name, what, estimate, fine.interval(test.interval), probability(e, test, test.p)

    yield one("paired t", about, e.plain)
    yield one("corrected resampled t", NEW, e.corrected)
    yield one("Wilcoxon signed rank", about, e.wilcoxon)
    yield one("sign flip", about, e.sign_flip)
    if e.question is not None:
        yield from _sizes(e, about, margin, unit)
    networks = "these trained networks"
    yield one("paired t over images (the paper's)", f"{networks} on these images", e.pooled)
    yield one("the same, clustered by image", f"{networks}, images like these", e.clustered)
    yield one("bootstrap, seeds and images", "seeds and images like these", e.bootstrap)
    if (found := e.mcnemar) and not e.comparison.no_star:
        exact, mid = ([getattr(m, kind) for m in found] for kind in ("exact", "mid_p"))
        won = sum(m.only_a > m.only_b for m in found)
        yield (
            *(
                "McNemar, seed by seed: exact",
                f"the two networks of a seed; {won} of {len(found)} favour the first",
                mean,
                "n/a",
            ),
            "; ".join(map(p_value, exact)),
        )
        yield "McNemar, seed by seed: mid-p", "the two networks of a seed", mean, "n/a", "; ".join(map(p_value, mid))


def _sizes(e: Evidence, about: str, margin: float, unit: Unit) -> Iterator[tuple[Cell | str, ...]]:
    """How large the difference is beside its spread, how often it is there, and how probably it matters."""
    effect = e.effect
    if effect.g is None:
        yield "effect size g", about, f"n/a ({effect.why})", "n/a", ""
    else:
        low, high = effect.interval or (float("nan"),) * 2
        yield (
            "effect size g (in standard deviations)",
            about,
            Cell(f"{effect.g:+.2f}", effect.g),
            f"{low:+.2f} to {high:+.2f}",
            "",
        )
    wins = e.improvement
    yield (
        *("probability of improvement", about, Cell(f"{wins.value:.2f}", wins.value)),
        *(f"{wins.interval[0]:.2f} to {wins.interval[1]:.2f}", ""),
    )
    posterior = e.posterior(margin)
    if why := e.comparison.no_star:
        said: Cell | str = f"n/a ({why})"
    elif posterior.better is None or posterior.equivalent is None or posterior.worse is None:
        said = f"n/a ({posterior.why})"
    else:
        said = Cell(f"{posterior.better:.2f} / {posterior.equivalent:.2f} / {posterior.worse:.2f}", posterior.better)
    zone = f"better / within ±{unit.margin(margin)} / worse"
    yield f"Bayesian t: P({zone})", NEW if e.ratio else about, said, unit.interval(posterior.interval), ""


def power(comparison: Comparison, margin: float, metrics: Sequence[str], unit: Unit) -> Table:
    """How many seeds a claim needs, by each test: for the difference that was found, and for the one that matters."""
    rows = []
    reasons: dict[str, None] = {}
    for metric in metrics:
        e = comparison.evidence(metric)
        found = abs(float(e.d.mean()))
        for difference, what in dict.fromkeys([(margin, "that matters"), (found, "found here")]):
            if difference > 0:
                size = unit.margin(difference) if difference == margin else unit.level(difference)
                for plan in stats.plan(unit.scale * e.d, unit.scale * difference, e.ratio):
                    rows.append(
                        row(
                            *(metric, plan.test, f"{size}, {what}"),
                            Cell("n/a" if plan.seeds is None else f"{plan.seeds:,}", plan.seeds),
                            " to ".join("no number" if end is None else f"{end:,}" for end in plan.interval),
                            " ".join(filter(None, ["rough" if plan.rough else "", "see below" if plan.why else ""]))
                            or "-",
                        )
                    )
                    if plan.why:
                        reasons[f"{plan.test}, {metric}, {size}: {plan.why}."] = None
    caption = (
        f"Seeds that find a true difference of that size (in {unit.differences}) with a power of 80 % at p < .05, two-sided, "
        f"from the spread of {len(comparison.pairs)} pairs; the range is that of the spread's own 95 % interval. rough: under "
        "5 pairs. A difference that was found is a poor guess of the true one: plan with the one that matters.",
        *reasons,
    )
    header = ("metric", "test", "difference", "seeds", "range", "note")
    return Table("power", "How many seeds a claim needs", header, tuple(rows), caption, left=3)
