"""The report for a terminal of 120 columns: the answer, all variants, and how they differ."""

from collections.abc import Sequence

from hybridnets.report.analysis import DataSetReport, Report
from hybridnets.report.tables.table import Table, text, visible, wrapped

FEW = 2  # tables of classes that a terminal shows
MANY = 20  # items of a list that it shows


def told(report: Report, grids: bool = False) -> str:
    """What stands in the terminal: the rest is on the page and in the files.

    Args:
        report: The report.
        grids: Whether the grids' tables are shown in the place of the differences.
    """
    parts = ["\n".join(map(wrapped, report.head))] if report.head else []
    parts += [_part(part, grids) for part in report.parts]
    if report.problems:
        parts.append(_list("Left out", report.problems))
    return "\n\n".join(parts)


def _part(part: DataSetReport, grids: bool) -> str:
    runs = sum(len(variant.runs) for variant in part.section.variants)
    title = f"{part.section.data}: {_number(len(part.section.variants), 'variant')}, {_number(runs, 'run')}"
    blocks = [f"{title}\n{'=' * len(title)}"]
    for answer in part.answers:
        blocks.append("\n".join([*map(wrapped, (answer.question, *answer.sentences)), wrapped(f"({answer.declared})")]))
    if not part.answers:
        blocks.append("No primary analysis was declared: everything here is exploratory.")
    first = part.section.metrics[:1]
    wanted = ("table-", "differences-") if part.flat else "table-" if grids else "differences-"
    shown = [table for table in part.tables if table.key.startswith(wanted) and table.key.endswith(first)]
    blocks += [text(table) for table in (part.variants, *_compression(part, first), *shown)]
    if part.notes:
        blocks.append("\n".join(["Notes", *map(_item, part.notes)]))
    if part.lost:
        lost = [visible(f"{run.folder}: {run.state}{', ' + run.reason if run.reason else ''}") for run in part.lost]
        blocks.append(_list("Runs without a result", lost))
    return "\n\n".join(blocks)


def _compression(part: DataSetReport, metric: tuple[str, ...]) -> list[Table]:
    """What is told of codes; class by class only of a few."""
    about = [table for table in part.tables if table.key.endswith(("compression", *metric))]
    classes = [table for table in about if table.key.startswith("classes-")]
    return [*(t for t in about if t.key.startswith("compression")), *(classes if len(classes) <= FEW else [])]


def _list(title: str, sentences: Sequence[str]) -> str:
    more = [f"- and {len(sentences) - MANY:,} more: the page has them all"] if len(sentences) > MANY + 1 else []
    shown = sentences[:MANY] if more else sentences
    return "\n".join([f"{title} ({len(sentences)})", *map(_item, shown), *more])


def _number(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _item(sentence: str) -> str:
    return wrapped(f"- {sentence}", "  ")
