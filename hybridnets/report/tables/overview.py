"""All variants with their accuracies and costs, and any comparisons, one per row."""

from collections.abc import Sequence

from hybridnets.report.comparing.evidence import Comparison
from hybridnets.report.comparing.families import FamilyMember, family, questions
from hybridnets.report.comparing.units import Unit, unit_of
from hybridnets.report.comparing.variants import DataSetVariants, Variant
from hybridnets.report.tables.cells import (
    OPTIMISTIC,
    adjusted_cell,
    interval_text,
    level_cell,
    metric_name,
    optimistic,
    p_cell,
    pairs_cell,
    plural,
    runs_cell,
    test_names,
)
from hybridnets.report.tables.table import Cell, Table, row

NAMES = {"test": "test", "val": "val at best *", "val_last": "val at last", "score": "score"}


def variants_table(section: DataSetVariants) -> Table:
    """Every variant with its accuracies over the runs, and its costs."""
    unit = unit_of(section)
    metrics = [m for m in NAMES if all(m in run.scores for v in section.variants for run in v.runs)]
    has_costs = any(v.parameters is not None or v.epoch_seconds is not None for v in section.variants)
    rows = []
    for variant in section.variants:
        levels = (level_cell(variant, metric, unit) for metric in metrics)
        rows.append(row(variant.label, runs_cell(variant), *levels, *(_costs(variant) if has_costs else ())))
    caption = [
        f"In {unit.name}, mean ± standard deviation over the runs (n - 1). runs: 2/3 means that two of three requested runs "
        "are finished."
    ]
    if any(variant.diverged for variant in section.variants):
        caption.append(
            "Mean and deviation leave out runs that diverged or failed; in brackets, the mean in which these count at chance."
        )
    if "val" in metrics:
        caption.append(f"test: at the epoch that was best on val. * {OPTIMISTIC}")
    if has_costs:
        hardware = sorted({run.hardware for variant in section.variants for run in variant.runs} - {""})
        where = f"; measured on {'; '.join(hardware)}" if hardware else ""
        mixed = " (seconds on different hardware cannot be compared)" if len(hardware) > 1 else ""
        caption.append(
            "parameters: as Keras counts them. s/epoch: median over epochs and runs. s/run: the sum over a run's epochs, mean "
            f"over runs{where}{mixed}."
        )
    costs = ("parameters", "s/epoch", "s/run", "epochs") if has_costs else ()
    header = ("variant", "runs", *(NAMES[m] for m in metrics), *costs)
    return Table("variants", f"{section.name}: variants", header, tuple(rows), tuple(caption), spare=("s/epoch",))


def _costs(variant: Variant) -> list[Cell]:
    """Parameters, seconds per epoch, seconds per run, and epochs."""
    epochs = [run.epochs for run in variant.runs]
    least, most = min(epochs), max(epochs)
    return [
        Cell("n/a" if variant.parameters is None else f"{variant.parameters:,}", variant.parameters),
        _seconds(variant.epoch_seconds),
        _seconds(variant.run_seconds),
        Cell((str(most) if least == most else f"{least} to {most}") if any(epochs) else "n/a"),
    ]


def _seconds(seconds: float | None) -> Cell:
    if seconds is None:
        return Cell("n/a")
    return Cell(f"{seconds:.1f}" if seconds < 100 else f"{seconds:,.0f}", seconds)


def differences_table(comparisons: Sequence[Comparison], metric: str, unit: Unit) -> Table:
    """Any comparisons, one per row: the mean difference with its interval, and p alone and corrected for the family.

    Args:
        comparisons: The comparisons.
        metric: test, val or score.
        unit: How the metric is printed.
    """
    members = family(comparisons, metric)
    splits_known = all(run.split for comparison in comparisons for pair in comparison.pairs for run in pair)
    same = (
        ": both runs of a pair saw the same split of the same data"
        if splits_known
        else ", as far as their splits are known"
    )
    caption = (
        f"{metric_name(metric)}: differences in {unit.differences}, variant minus baseline, paired by seed{same}. "
        "n: pairs. won: pairs that favour the variant : the baseline.",
        *optimistic([metric]),
        f"95 % interval and p: {test_names(members)}; its question: {'; or '.join(questions(members))}. "
        f"Holm and BH (Benjamini-Hochberg): p corrected for the {plural(len(members), 'comparison')} of this table.",
    )
    header = ("variant", "baseline", "n", "difference", "sd", "95 % interval", "p", "p Holm", "p BH", "won")
    title = f"Differences on {metric_name(metric)}"
    rows = tuple(_difference_row(member, unit) for member in members)
    return Table("differences", title, header, rows, caption, metric, labels=2, spare=("p BH", "sd", "won"))


def _difference_row(member: FamilyMember, unit: Unit) -> tuple[Cell, ...]:
    evidence, test = member.evidence, member.test
    comparison, d = evidence.comparison, evidence.differences
    fine = unit.at(test.interval, d.mean)
    return row(
        *(comparison.variant.label, comparison.baseline.label, pairs_cell(comparison)),
        Cell(fine.difference(d.mean), d.mean),
        Cell("n/a" if d.sd is None else fine.level(d.sd), d.sd),
        interval_text(test, fine),
        p_cell(evidence, test),
        adjusted_cell(member, member.holm),
        adjusted_cell(member, member.benjamini_hochberg),
        f"{d.positive} : {d.negative}",
    )
