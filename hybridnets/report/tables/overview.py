"""All variants with their accuracies and costs, and any comparisons, one per row."""

from collections.abc import Sequence
from dataclasses import replace

from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.comparing.evidence import Evidence
from hybridnets.report.comparing.families import CHOSEN, Families, FamilyMember, described, questions
from hybridnets.report.comparing.units import OWN, Unit, unit_of
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
    runs_cell,
    test_names,
)
from hybridnets.report.tables.table import Cell, Table, row

UNSHARED = "†"  # marks a mean over more seeds than the comparisons count
NAMES = {"test": "test", "val": "val at best *", "val_last": "val at last", "score": "score"}


def variants_table(section: DataSetVariants, is_apart: bool = False) -> Table:
    """Every variant with its accuracies over the runs, and its costs.

    Args:
        section: The variants.
        is_apart: Whether these are the variants that the report is not about.
    """
    metrics = [m for m in NAMES if all(m in run.scores for v in section.variants for run in v.runs)]
    units = {metric: unit_of(section, metric) for metric in metrics}
    has_costs = any(v.parameters is not None or v.epoch_seconds is not None for v in section.variants)
    unshared = _with_unshared_seeds(section)
    rows = []
    for variant in section.variants:
        levels = [level_cell(variant, metric, units[metric]) for metric in metrics]
        if variant in unshared:
            levels = [replace(level, text=f"{level.text} {UNSHARED}") for level in levels]
        rows.append(row(variant.label, runs_cell(variant), *levels, *(_costs(variant) if has_costs else ())))
    names = " and ".join(dict.fromkeys(unit.name for unit in units.values()))
    caption = [
        f"In {names}, mean ± standard deviation over the runs (n - 1). runs: 2/3 means that two of three requested runs "
        "are finished."
    ]
    if unshared:
        caption.append(
            f"{UNSHARED} This mean also counts seeds that another variant lacks; a comparison counts only pairs."
        )
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
    columns = (section.metric(m).name if m == "score" else NAMES[m] for m in metrics)
    header = ("variant", "runs", *columns, *costs)
    if is_apart:
        caption.insert(0, "These runs are in no comparison, because the sweep of the question did not request them.")
        return Table(
            "apart",
            f"{section.name}: other runs in the same folder",
            header,
            tuple(rows),
            tuple(caption),
            spare=("s/epoch",),
        )
    return Table("variants", f"{section.name}: variants", header, tuple(rows), tuple(caption), spare=("s/epoch",))


def _with_unshared_seeds(section: DataSetVariants) -> set[Variant]:
    """The variants of a file of scores that have a seed which another variant lacks."""
    if not section.variants[0].scores_only:
        return set()  # a sweep says which runs are missing
    seeds = {variant: {run.seeds for run in variant.sound} for variant in section.variants}
    shared = set.intersection(*seeds.values())
    return {variant for variant, own in seeds.items() if own - shared}


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


def qualities_table(section: DataSetVariants) -> Table | None:
    """Measures of the predictions of the test images besides accuracy, by variant; None where no run has any."""
    metrics = [metric for metric in section.available if "/" in metric]
    if not metrics:
        return None
    kinds = {metric: section.metric(metric) for metric in metrics}
    units = {metric: unit_of(section, metric) for metric in metrics}
    rows = [row(v.label, runs_cell(v), *(level_cell(v, m, units[m]) for m in metrics)) for v in section.variants]
    names = []
    for metric, kind in kinds.items():
        unit = {"percent": " (%)", OWN: ""}.get(units[metric].name, f" ({units[metric].name})")
        names.append(f"{kind.name.removeprefix('test ')}{unit} {'↑' if kind.higher_is_better else '↓'}")
    caption = (
        "On the test images, at the epoch that was best on val; mean ± standard deviation over the runs. ↑: more is better, ↓: "
        f"less is better. Each can be the metric of the question: {', '.join(metrics)}.",
    )
    title = f"{section.name}: other measures of the predictions"
    return Table("qualities", title, ("variant", "runs", *names), tuple(rows), caption)


def differences_table(comparisons: Sequence[Comparison], families: Families, metric: str, unit: Unit) -> Table:
    """Any comparisons, one per row: the mean difference with its interval, and p alone and corrected for the family.

    Args:
        comparisons: The comparisons.
        families: How their p-values are corrected.
        metric: The metric.
        unit: How it is printed.
    """
    order = list(families.at(metric))  # the primary ones first
    members = families.members(sorted(comparisons, key=order.index), metric)
    better = "higher" if members[0].evidence.metric_kind.higher_is_better else "lower"
    name = metric_name(members[0].evidence.metric_kind)
    splits_known = all(run.split for comparison in comparisons for pair in comparison.pairs for run in pair)
    same = (
        ": both runs of a pair saw the same split of the same data"
        if splits_known
        else ", as far as their splits are known"
    )
    nested = any(member.evidence.is_nested for member in members)
    splits = ", and the splits that they are averaged in, which the test and sd count" if nested else ""
    caption = (
        f"{name}, {better} is better: differences in {unit.differences}, variant minus baseline, paired by "
        f"seed{same}. n: pairs{splits}. won: pairs that favour the variant : the baseline.",
        *optimistic([metric]),
        f"95 % interval and p: {test_names(members)}; its question: {'; or '.join(questions(members))}. The intervals are of "
        "each comparison alone, not simultaneous.",
        f"Holm and BH (Benjamini-Hochberg): p corrected for the comparison's family ({'; '.join(described(members))}).",
    )
    header = ("variant", "baseline", "n", "difference", "sd", "95 % interval", "p", "p Holm", "family", "p BH", "won")
    title = f"Differences on {name}"
    rows = tuple(_difference_row(member, unit) for member in members)
    return Table("differences", title, header, rows, caption, metric, labels=2, spare=("p BH", "sd", "won"))


def _level(member: FamilyMember) -> str:
    """The level of an interval that is corrected for a choice; empty for the table's 95 %."""
    return f" ({100 - 5 / member.family.size:.4g} %)" if member.family.name == CHOSEN and member.family.size > 1 else ""


def _pairs(evidence: Evidence) -> Cell:
    cell = pairs_cell(evidence.comparison)
    return replace(cell, text=f"{cell.text} in {len(evidence.d)}") if evidence.is_nested else cell


def _difference_row(member: FamilyMember, unit: Unit) -> tuple[Cell, ...]:
    evidence, test = member.evidence, member.test
    comparison, d = evidence.comparison, evidence.differences
    fine = unit.at(test.interval, d.mean)
    favour = evidence.metric_kind.sign * evidence.seed_differences
    return row(
        *(comparison.variant.label, comparison.baseline.label, _pairs(evidence)),
        Cell(fine.difference(d.mean), d.mean),
        Cell("n/a" if d.sd is None else fine.level(d.sd), d.sd),
        f"{interval_text(test, fine)}{_level(member)}",
        p_cell(evidence, test),
        adjusted_cell(member, member.holm),
        member.family.rank.value,
        adjusted_cell(member, member.benjamini_hochberg),
        " : ".join(str(int((side * favour > 0).sum())) for side in (1, -1)),
    )
