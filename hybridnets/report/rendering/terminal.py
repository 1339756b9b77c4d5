"""The report for a terminal: the answer, all variants, and how they differ."""

import shutil
from collections.abc import Iterator, Sequence

from hybridnets.report.analysis import DataSetReport, Report
from hybridnets.report.tables.joint import JointAnswer
from hybridnets.report.tables.table import Table, text, wrapped
from hybridnets.report.text import visible

FEW = 2  # tables of classes that are printed; where there are more, none is
MANY = 20  # items of a list that are printed
NARROWEST, WIDEST = 40, 160  # columns


def columns() -> int:
    """The columns of the terminal, or those that the environment variable COLUMNS gives; 80 without a terminal."""
    return min(max(shutil.get_terminal_size((80, 24)).columns, NARROWEST), WIDEST)


def report_text(report: Report, grids: bool = False, width: int | None = None) -> str:
    """The part of a report that is printed; the page and the files hold the rest.

    Args:
        report: The report.
        grids: Whether to print the grids' tables instead of the differences.
        width: The columns to fill; None for those of the terminal.
    """
    width = width or columns()
    parts = ["\n".join(wrapped(sentence, width=width) for sentence in report.head)] if report.head else []
    if report.joint and report.joint.sentences:
        parts.append(_joint_text(report.joint, width))
    parts += [_part_text(part, grids, width) for part in report.parts]
    if report.problems:
        parts.append(_list("Left out", report.problems, width))
    return "\n\n".join(parts)


def _joint_text(answer: JointAnswer, width: int) -> str:
    title = f"All {len(answer.joint.data_sets)} data sets"
    sentences = [wrapped(sentence, width=width) for sentence in (*answer.sentences, f"({answer.question})")]
    return "\n\n".join(
        [f"{title}\n{'=' * len(title)}", "\n".join(sentences), *(text(table, width) for table in answer.tables[:1])]
    )


def _part_text(part: DataSetReport, grids: bool, width: int) -> str:
    runs = sum(len(variant.runs) for variant in part.data_set.variants)
    title = f"{part.data_set.name}: {_count(len(part.data_set.variants), 'variant')}, {_count(runs, 'run')}"
    answers = []
    for answer in part.answers:
        question = f"({answer.question} {answer.analysis.declared[:1].upper()}{answer.analysis.declared[1:]}.)"
        answers.append("\n".join(wrapped(sentence, width=width) for sentence in (*answer.sentences, question)))
    if not part.answers:
        answers.append(wrapped(part.why_no_answer, width=width))
    steps = [wrapped(f"Next step: {visible(part.next_step.sentence)}", width=width)]
    steps += [f"    {visible(part.next_step.command)}"] * bool(
        part.next_step.command
    )  # in one line, so that it can be copied
    blocks = [f"{title}\n{'=' * len(title)}", *answers, "\n".join(steps)]
    blocks += (text(table, width) for table in (part.variants_table, *_tables(part, grids)))
    if part.notes:
        blocks.append("\n".join(["Notes", *(_item(note, width) for note in part.notes)]))
    if part.missing:
        lost = [visible(f"{run.folder}: {run.state}{', ' + run.reason if run.reason else ''}") for run in part.missing]
        blocks.append(_list("Runs without a result", lost, width))
    return "\n\n".join(blocks)


def _tables(part: DataSetReport, grids: bool) -> Iterator[Table]:
    """The tables of one metric, the question's if it has such tables: what codes save and cost, then the comparisons."""
    metrics = reversed(part.families.metrics)  # so that the question's comes last
    shown = {table.kind: metric for metric in metrics for table in part.tables if table.metric == metric}
    tables = [table for table in part.tables if table.metric in ("", shown.get(table.kind))]
    yield from (table for table in tables if table.kind == "compression")
    classes = [table for table in tables if table.kind == "classes"]
    yield from classes if len(classes) <= FEW else ()
    kinds = ("grid", "differences") if part.comparisons_requested else ("grid",) if grids else ("differences",)
    yield from (table for table in tables if table.kind in (*kinds, "apart"))


def _list(title: str, sentences: Sequence[str], width: int) -> str:
    rest = len(sentences) - MANY if len(sentences) > MANY + 1 else 0
    items = sentences[:MANY] if rest else sentences
    more = [f"- and {rest:,} more: the page has them all"] if rest else []
    return "\n".join([f"{title} ({len(sentences)})", *(_item(item, width) for item in items), *more])


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _item(sentence: str, width: int) -> str:
    return wrapped(f"- {sentence}", "  ", width)
