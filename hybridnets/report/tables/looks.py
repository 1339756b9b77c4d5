"""What a sweep that added seeds until its question was settled saw at each look."""

import math
from collections.abc import Sequence

from hybridnets.report.comparing.answers import PrimaryAnalysis
from hybridnets.report.comparing.units import unit_of
from hybridnets.report.comparing.variants import DataSetVariants
from hybridnets.report.tables.cells import p_text
from hybridnets.report.tables.table import Cell, Table, row
from hybridnets.runs.declaration import METHODS


def looks_table(analyses: Sequence[PrimaryAnalysis], data_set: DataSetVariants) -> Table | None:
    """The looks of the first question that was answered so; None where none was.

    Args:
        analyses: The primary analyses.
        data_set: The variants.
    """
    analysis = next((analysis for analysis in analyses if analysis.looks), None)
    if analysis is None or analysis.plan is None:
        return None
    unit = unit_of(data_set, analysis.metric)
    sides = (analysis.primary.variant, analysis.primary.baseline)[:: analysis.kind.sign]
    confidence = f"{100 * (1 - analysis.level):.4g} %"
    rows = []
    for look in analysis.looks:
        fine = unit.at(look.interval if math.isfinite(look.interval[0]) else None, look.estimate)
        interval = (
            fine.interval(look.interval) if math.isfinite(look.interval[0]) else f"n/a ({look.why or 'too few seeds'})"
        )
        p = Cell("-") if look.p is None else Cell(p_text(look.p), look.p)
        settled = dict(zip(("better", "worse"), sides, strict=True)).get(look.settled, "")
        verdict = f"{settled} is better" if settled else look.settled
        rows.append(
            row(Cell(str(look.n), look.n), Cell(fine.difference(look.estimate), look.estimate), interval, p, verdict)
        )
    planned = ", ".join(map(str, analysis.plan.until.looks))
    caption = (
        f"{analysis.kind.name}: {analysis.primary.variant} minus {analysis.primary.baseline}, in {unit.differences}, by "
        f"{METHODS[analysis.plan.until.method]}. The looks were declared before the runs: at {planned} seeds, until the "
        f"question of {analysis.plan.sweep} is settled. All intervals contain the true difference at once with a probability "
        f"of {confidence}, so the answer holds whenever the sweep stopped.",
    )
    header = ("seeds", "difference", f"{confidence} interval", "p", "verdict")
    return Table("looks", "What was seen at each look", header, tuple(rows), caption, labels=0)
