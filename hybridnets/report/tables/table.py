"""A table as data, and the same table as text, Markdown, LaTeX and CSV. The page lays it out as HTML."""

import csv
import io
import itertools
import re
import textwrap
from dataclasses import dataclass
from typing import Literal

WIDTH = 120  # columns of a terminal
LABEL = 34  # columns of a row's first cell; longer text is wrapped
CELL = 26  # columns of any other cell; longer text is wrapped

Kind = Literal[
    "variants",  # every variant with its levels and costs
    "grid",  # two levels of an axis, as in the paper's tables
    "effects",  # what each setting does
    "differences",  # comparisons, one per row
    "sensitivity",  # one comparison by every test
    "power",  # how many seeds a claim needs
    "compression",  # what codes save and cost
    "classes",  # accuracy by class, before and after a code
    "lost",  # runs without a result
    "sources",  # commits and versions
    "published",  # a paper's stars, recounted
]

MARKDOWN = re.compile(r"([\\|*`_\[\]])")
LATEX = str.maketrans(
    {
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "±": r"\ensuremath{\pm}",
    }
)


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: What is printed.
        value: Its value in full precision and in the unit of the data (a fraction for an accuracy); None for words.
    """

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        kind: What it is about.
        title: The line above it.
        header: The columns' names.
        rows: Its cells, row by row.
        caption: Sentences below it: what the values are and how they were computed.
        metric: test, val or score; empty where it is not about one metric.
        number: Its number among several of its kind and metric, from 1; 0 where there is only one.
        labels: How many of the first columns are labels, which are aligned to the left.
    """

    kind: Kind
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: tuple[str, ...]
    metric: str = ""
    number: int = 0
    labels: int = 1

    @property
    def key(self) -> str:
        """The name of its files."""
        name = "table" if self.kind == "grid" else self.kind
        return "-".join(filter(None, (name, str(self.number or ""), self.metric)))


def row(*cells: Cell | str) -> tuple[Cell, ...]:
    """A row of cells; a text becomes a cell without a value."""
    return tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in cells)


def text(table: Table) -> str:
    """Formats a table for a terminal of 120 columns: title, header, a rule, rows, caption."""
    grid = [
        [_lines(cell.text, CELL if column else LABEL) for column, cell in enumerate(cells)]
        for cells in (row(*table.header), *table.rows)
    ]
    widths = [max(len(line) for cell in column for line in cell) for column in zip(*grid, strict=True)]
    lines = []
    for cells in grid:
        for parts in itertools.zip_longest(*cells, fillvalue=""):
            padded = [
                p.ljust(w) if i < table.labels else p.rjust(w)
                for i, (p, w) in enumerate(zip(parts, widths, strict=True))
            ]
            lines.append("  ".join(padded).rstrip())
    rule = "-" * max(map(len, lines))
    caption = [wrapped(sentence) for sentence in table.caption]
    return "\n".join([wrapped(table.title), "", lines[0], rule, *lines[1:], "", *caption])


def markdown(table: Table) -> str:
    """Formats a table as a pipe table, as GitHub and pandoc read it."""

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(MARKDOWN.sub(r"\\\1", cell).replace("<", "&lt;") for cell in cells) + " |"

    rule = "|" + "|".join(" --- " if i < table.labels else " ---: " for i in range(len(table.header))) + "|"
    body = [line([cell.text for cell in cells]) for cells in table.rows]
    return "\n".join([f"**{table.title}**", "", line(list(table.header)), rule, *body, "", *table.caption])


def latex(table: Table) -> str:
    """Formats a table as a LaTeX table environment, which needs booktabs and no other package."""

    def line(cells: list[str]) -> str:
        first, *rest = (cell.translate(LATEX) for cell in cells)
        # Without the braces, LaTeX would read a bracket or a star as an argument of the \\ before it.
        return " & ".join([f"{{}}{first}" if first.startswith(("[", "*")) else first, *rest]) + r" \\"

    columns = "l" * table.labels + "r" * (len(table.header) - table.labels)
    body = [line([cell.text for cell in cells]) for cells in table.rows]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{' '.join([table.title + '.', *table.caption]).translate(LATEX)}}}",
            rf"\label{{tab:{table.key}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            *[r"\toprule", line(list(table.header)), r"\midrule", *body, r"\bottomrule"],
            *[r"\end{tabular}", r"\end{table}"],
        ]
    )


def comma_separated(table: Table) -> str:
    """The cells' values in full precision; the text of cells without one."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(table.header)
    writer.writerows([cell.text if cell.value is None else repr(cell.value) for cell in cells] for cells in table.rows)
    return file.getvalue()


def wrapped(sentence: str, indent: str = "") -> str:
    """Wraps a sentence without ever breaking a word, so that a path can be copied."""
    return textwrap.fill(sentence, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _lines(words: str, width: int) -> list[str]:
    indent = words[: len(words) - len(words.lstrip())] + "  "
    return textwrap.wrap(words, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) or [""]
