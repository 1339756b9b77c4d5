"""Every variant with what it reached and what it costs, and any comparisons, a row each."""

from collections.abc import Sequence

from hybridnets import stats
from hybridnets.report.comparing.evidence import NEW, Comparison, Evidence
from hybridnets.report.comparing.variants import DataSetVariants, Variant
from hybridnets.report.tables.table import Cell, Table, row
from hybridnets.report.tables.units import NONE, OPTIMISTIC, Unit, adjusted, metric_name, p_value, probability
from hybridnets.report.tables.units import unit as unit_of


def variants(section: DataSetVariants) -> Table:
    """Every variant with its accuracies over the runs, and what it costs."""
    names = {"test": "test", "val": "val at best *", "val_last": "val at last", "score": "score"}
    metrics = [m for m in names if all(m in run.scores for v in section.variants for run in v.runs)]
    costs = any(v.parameters is not None or v.epoch_seconds is not None for v in section.variants)
    rows = []
    for variant in section.variants:
        runs = ", ".join(filter(None, (variant.finished, variant.trouble)))
        cells = [Cell(variant.label), Cell(runs, len(variant.runs))]
        cells += [level(variant, metric, unit_of(section)) for metric in metrics]
        if costs:
            epochs = [run.epochs for run in variant.runs]
            cells += [
                Cell(f"{variant.parameters:,}" if variant.parameters is not None else "n/a", variant.parameters),
                _seconds(variant.epoch_seconds),
                _seconds(variant.run_seconds),
                Cell(
                    (str(epochs[0]) if len(set(epochs)) == 1 else f"{min(epochs)} to {max(epochs)}")
                    if any(epochs)
                    else "n/a"
                ),
            ]
        rows.append(tuple(cells))
    caption = [
        f"In {unit_of(section).name}, mean ± standard deviation over the runs (n - 1). runs: 2/3 when two are finished of "
        "three asked for."
    ]
    if any(variant.diverged for variant in section.variants):
        caption.append(
            "Runs that diverged or failed are left out of mean and deviation; in brackets the mean with them at chance."
        )
    if "val" in metrics:
        caption.append(f"test: at the epoch that was best on val. * {OPTIMISTIC}")
    if costs:
        hardware = sorted({run.hardware for variant in section.variants for run in variant.runs} - {""})
        where = f" on {'; '.join(hardware)}" if hardware else ""
        mixed = " (several: seconds of different hardware do not compare)" if len(hardware) > 1 else ""
        caption.append(
            "parameters: as Keras counts. s/epoch: median over epochs and runs; s/run: mean over runs of all their "
            f"epochs{where}{mixed}."
        )
    header = [
        "variant",
        "runs",
        *(names[m] for m in metrics),
        *(["parameters", "s/epoch", "s/run", "epochs"] if costs else []),
    ]
    return Table("variants", f"{section.data}: variants", tuple(header), tuple(rows), tuple(caption))


def level(variant: Variant, metric: str, unit: Unit) -> Cell:
    """A variant's mean and deviation; in brackets the mean with runs that diverged at chance."""
    found = variant.scores(metric)
    if found is None:
        return Cell(f"n/a ({variant.trouble})")
    sd = "n/a" if found.sd is None else unit.level(found.sd)
    failures = variant.with_failures(metric)
    return Cell(
        f"{unit.level(found.mean)} ± {sd}{f' [{unit.level(failures)}]' if failures is not None else ''}", found.mean
    )


def _seconds(seconds: float | None) -> Cell:
    if seconds is None:
        return Cell("n/a")
    return Cell(f"{seconds:.1f}" if seconds < 100 else f"{seconds:,.0f}", seconds)


def differences(comparisons: Sequence[Comparison], metric: str, unit: Unit, key: str) -> Table:
    """Any comparisons, a row each: the mean difference with its interval, and p-values alone and as a family."""
    evidence = [c.evidence(metric) for c in comparisons]
    found = [over_seeds(e) for e in evidence]
    holm, bh = adjusted(found), adjusted(found, stats.benjamini_hochberg)
    rows = []
    for e, test, h, b in zip(evidence, found, holm, bh, strict=True):
        d = e.differences
        fine = unit.at(test.interval, d.mean)
        rows.append(
            row(
                *(e.comparison.variant.label, e.comparison.baseline.label),
                Cell(f"{d.n}/{e.comparison.asked}" if d.n < e.comparison.asked else str(d.n), d.n),
                Cell(fine.difference(d.mean), d.mean),
                Cell("n/a" if d.sd is None else fine.level(d.sd), d.sd),
                Cell(fine.interval(test.interval) if test.interval else f"n/a ({test.why})"),
                probability(e, test, test.p),
                *(NONE if p is None or e.comparison.no_star else Cell(p_value(p), p) for p in (h, b)),
                Cell(f"{d.positive} : {d.negative}"),
            )
        )
    questions = sorted({(NEW if e.ratio else e.question) or "nothing, for some seeds share a split" for e in evidence})
    kinds = {"corrected resampled t (Nadeau and Bengio 2003)" if e.ratio else "plain paired t" for e in evidence}
    known = all(run.split for e in evidence for pair in e.pairs for run in pair)
    same = (
        ": both runs of a pair saw the same split of the same data"
        if known
        else ", for all that is known of their splits"
    )
    caption = (
        f"{metric_name(metric)}: differences in {unit.differences}, variant minus baseline, paired by seed{same}. "
        "n: pairs. won: pairs that favour the variant : the baseline.",
        *([f"* {OPTIMISTIC}"] if metric == "val" else []),
        f"95 % interval and p: {' or '.join(sorted(kinds))}; its question: {'; or '.join(questions)}. "
        f"Holm and BH (Benjamini-Hochberg): p over the family of these {len(rows)}.",
    )
    header = ("variant", "baseline", "n", "difference", "sd", "95 % interval", "p", "p Holm", "p BH", "won")
    return Table(key, f"Differences on {metric_name(metric)}", header, tuple(rows), caption, left=2)


def over_seeds(evidence: Evidence) -> stats.Test:
    """The test over seeds whose stars a table carries: corrected where that applies, else plain."""
    return evidence.corrected if evidence.ratio else evidence.plain
