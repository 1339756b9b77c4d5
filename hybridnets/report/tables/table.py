"""A table as data, and the same table as text, Markdown, LaTeX and CSV. The page lays it out as HTML."""

import csv
import functools
import io
import itertools
import re
import textwrap
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

WIDTH = 120  # columns of a file's text, and the most of a sentence in a terminal
LABEL = 34  # columns of a row's first cell; longer text is wrapped
LEAST_LABEL = 12  # columns of a label where a terminal is narrow
CELL = 26  # columns of any other cell; longer text is wrapped

Kind = Literal[
    "variants",  # every variant with its levels and costs
    "qualities",  # measures of the predictions besides accuracy
    "best",  # which of several variants is the best
    "datasets",  # the question on every data set
    "ranks",  # ranks over data sets
    "pairs",  # every two variants over data sets
    "looks",  # what a sweep saw while it added seeds
    "apart",  # variants of runs that the report is not about
    "grid",  # two levels of an axis, as in the paper's tables
    "stars",  # what becomes of a paper's stars
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
        spare: The columns that a narrow terminal can do without, the most dispensable first.
    """

    kind: Kind
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: tuple[str, ...]
    metric: str = ""
    number: int = 0
    labels: int = 1
    spare: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The name of its files."""
        name = "table" if self.kind == "grid" else self.kind
        return "-".join(filter(None, (name, str(self.number or ""), self.metric.replace("/", "-"))))


def row(*cells: Cell | str) -> tuple[Cell, ...]:
    """A row of cells; a text becomes a cell without a value."""
    return tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in cells)


def text(table: Table, width: int | None = None) -> str:
    """Formats a table as text: title, header, a rule, rows, caption.

    Args:
        table: The table.
        width: The columns of the terminal. What a wider table has in common in all rows goes below it, and then it does
            without its spare columns; if even that does not suffice, all of it continues below itself, with its labels
            repeated. None for a file, whose tables are as wide as they are.
    """
    grid = _grid(table)
    if width and _width(grid) > width:
        table = _fitted(table, width)
        grid = _with_narrow_labels(table, width)
    columns = _columns_by_block(grid, table.labels, width) if width else [list(range(len(table.header)))]
    blocks = ["\n".join(_block(table, grid, block)) for block in columns]
    caption = [wrapped(sentence, width=width or WIDTH) for sentence in table.caption]
    return "\n".join([wrapped(table.title, width=width or WIDTH), "", "\n\n".join(blocks), "", *caption])


def _fitted(table: Table, width: int) -> Table:
    """The table with as many of its columns as fit side by side; all of them where even the fewest do not fit."""
    narrow = _without(table, common := _common(table), f"The same in all rows: {', '.join(common.values())}.")
    candidates = [table, narrow]
    spare = [name for name in table.spare if name in narrow.header]
    for count in range(1, len(spare) + 1):
        note = f"A wider terminal, the page and the files also have {', '.join(spare[:count])}."
        candidates.append(_without(narrow, spare[:count], note))
    return next((table for table in candidates if _width(_grid(table, is_narrow=True)) <= width), table)


def _common(table: Table) -> dict[str, str]:
    """The columns whose cells all have the same text, each with that text; none where there is only one row."""
    columns = [{cell.text for cell in cells} for cells in zip(*table.rows, strict=True)] if len(table.rows) > 1 else []
    named = list(zip(table.header, columns, strict=False))[table.labels :]
    return {name: f"{name} {texts.pop()}" for name, texts in named if len(texts) == 1}


def _without(table: Table, names: Collection[str], note: str) -> Table:
    """The table without some columns, and with a note below it; the same table where none would go, or none remain."""
    kept = [n for n, name in enumerate(table.header) if name not in names]
    if len(kept) in (len(table.header), table.labels):
        return table
    rows = tuple(tuple(cells[n] for n in kept) for cells in table.rows)
    header = tuple(table.header[n] for n in kept)
    return replace(table, header=header, rows=rows, caption=(*table.caption, note))


def _grid(table: Table, label: int = LABEL, *, is_narrow: bool = False) -> list[list[list[str]]]:
    """The lines of every cell, with the header as the first row.

    Args:
        table: The table.
        label: Columns of the terminal for the first label, and the most for the others.
        is_narrow: Whether a column's name is wrapped where the cells below it are narrower.
    """
    limits = [LABEL, *[CELL] * (len(table.header) - 1)]
    limits = [min(limit, label) if n < table.labels else limit for n, limit in enumerate(limits)]
    body = [[_lines(cell.text, limit) for cell, limit in zip(cells, limits, strict=True)] for cells in table.rows]
    if is_narrow and body:
        limits = _widths(body)
    names = [_evenly(name, limit) for name, limit in zip(table.header, limits, strict=True)]
    height = max(map(len, names))
    return [[[""] * (height - len(lines)) + lines for lines in names], *body]


def _widths(grid: list[list[list[str]]]) -> list[int]:
    return [max(len(line) for cell in column for line in cell) for column in zip(*grid, strict=True)]


def _width(grid: list[list[list[str]]]) -> int:
    """The columns of a terminal that the whole table takes."""
    return sum(width + 2 for width in _widths(grid)) - 2


def _with_narrow_labels(table: Table, width: int) -> list[list[list[str]]]:
    """The cells with labels that are narrow enough for one more column beside them; values are never wrapped further."""
    narrow = LABEL
    grid = _grid(table, is_narrow=True)
    while narrow > LEAST_LABEL:
        widths = _widths(grid)
        if sum(widths[: table.labels]) + 2 * table.labels + max(widths[table.labels :], default=0) <= width:
            break
        narrow -= 2
        grid = _grid(table, narrow, is_narrow=True)
    return grid


def _columns_by_block(grid: list[list[list[str]]], labels: int, width: int) -> list[list[int]]:
    """Which columns stand side by side: as many as fit, after the labels."""
    widths = _widths(grid)
    blocks: list[list[int]] = []
    for column in range(labels, len(widths)):
        if not blocks or sum(widths[n] + 2 for n in (*blocks[-1], column)) - 2 > width:
            blocks.append(list(range(labels)))
        blocks[-1].append(column)
    return blocks or [list(range(len(widths)))]


def _block(table: Table, grid: list[list[list[str]]], columns: list[int]) -> list[str]:
    """Some columns of a table: header, rule, rows."""
    widths = _widths(grid)
    lines: list[str] = []
    for cells in grid:
        for parts in itertools.zip_longest(*(cells[n] for n in columns), fillvalue=""):
            padded = [
                part.ljust(widths[n]) if n < table.labels else part.rjust(widths[n])
                for n, part in zip(columns, parts, strict=True)
            ]
            lines.append("  ".join(padded).rstrip())
    height = len(grid[0][0])  # of the header, whose first lines may be empty in these columns
    return [*filter(None, lines[:height]), "-" * max(map(len, lines)), *lines[height:]]


def markdown(table: Table) -> str:
    """Formats a table as a pipe table, as GitHub and pandoc read it."""

    def plain(words: str) -> str:
        indent = len(words) - len(words.lstrip(" "))
        return "&emsp;" * (indent // 2) + MARKDOWN.sub(r"\\\1", words.lstrip(" ")).replace("<", "&lt;")

    def line(cells: list[str]) -> str:
        return f"| {' | '.join(map(plain, cells))} |"

    rule = "|" + "|".join(" --- " if i < table.labels else " ---: " for i in range(len(table.header))) + "|"
    body = [line([cell.text for cell in cells]) for cells in table.rows]
    return "\n".join(
        [f"**{plain(table.title)}**", "", line(list(table.header)), rule, *body, "", *map(plain, table.caption)]
    )


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


def wrapped(sentence: str, indent: str = "", width: int = WIDTH) -> str:
    """Wraps a sentence without ever breaking a word, so that a path can be copied."""
    return textwrap.fill(
        sentence, min(width, WIDTH), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _evenly(name: str, width: int) -> list[str]:
    """A column's name in as few lines as the width admits, which are about equally long."""
    wrap = functools.partial(textwrap.wrap, name, break_long_words=False, break_on_hyphens=False)
    count = len(wrap(width))
    return next((lines for narrow in range(1, width) if len(lines := wrap(narrow)) == count), wrap(width)) or [""]


def _lines(words: str, width: int) -> list[str]:
    indent = words[: len(words) - len(words.lstrip())] + "  "
    return textwrap.wrap(words, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) or [""]
