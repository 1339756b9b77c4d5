"""The report for a terminal of 120 columns: the answer, all variants, and how they differ."""

from collections.abc import Iterator, Sequence

from hybridnets.report.analysis import DataSetReport, Report
from hybridnets.report.tables.table import Table, text, wrapped
from hybridnets.report.text import visible

FEW = 2  # tables of classes that are printed; where there are more, none is
MANY = 20  # items of a list that are printed


def report_text(report: Report, grids: bool = False) -> str:
    """The part of a report that is printed; the page and the files hold the rest.

    Args:
        report: The report.
        grids: Whether to print the grids' tables instead of the differences.
    """
    parts = ["\n".join(map(wrapped, report.head))] if report.head else []
    parts += [_part_text(part, grids) for part in report.parts]
    if report.problems:
        parts.append(_list("Left out", report.problems))
    return "\n\n".join(parts)


def _part_text(part: DataSetReport, grids: bool) -> str:
    runs = sum(len(variant.runs) for variant in part.data_set.variants)
    title = f"{part.data_set.name}: {_count(len(part.data_set.variants), 'variant')}, {_count(runs, 'run')}"
    blocks = [f"{title}\n{'=' * len(title)}"]
    for answer in part.answers:
        sentences = (answer.question, *answer.sentences, f"({answer.analysis.declared})")
        blocks.append("\n".join(map(wrapped, sentences)))
    if not part.answers:
        blocks.append("No primary analysis was declared: everything here is exploratory.")
    blocks += map(text, (part.variants_table, *_tables(part, grids)))
    if part.notes:
        blocks.append("\n".join(["Notes", *map(_item, part.notes)]))
    if part.missing:
        lost = [visible(f"{run.folder}: {run.state}{', ' + run.reason if run.reason else ''}") for run in part.missing]
        blocks.append(_list("Runs without a result", lost))
    return "\n\n".join(blocks)


def _tables(part: DataSetReport, grids: bool) -> Iterator[Table]:
    """The tables of the first metric: what codes save and cost, then the comparisons."""
    metric = next(iter(part.data_set.metrics), "")
    tables = [table for table in part.tables if table.metric in ("", metric)]
    yield from (table for table in tables if table.kind == "compression")
    classes = [table for table in tables if table.kind == "classes"]
    yield from classes if len(classes) <= FEW else ()
    kinds = ("grid", "differences") if part.comparisons_requested else ("grid",) if grids else ("differences",)
    yield from (table for table in tables if table.kind in kinds)


def _list(title: str, sentences: Sequence[str]) -> str:
    rest = len(sentences) - MANY if len(sentences) > MANY + 1 else 0
    items = sentences[:MANY] if rest else sentences
    more = [f"- and {rest:,} more: the page has them all"] if rest else []
    return "\n".join([f"{title} ({len(sentences)})", *map(_item, items), *more])


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _item(sentence: str) -> str:
    return wrapped(f"- {sentence}", "  ")
