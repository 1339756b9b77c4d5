"""Anybody's table of text: from a file's bytes to named columns and rows of cells, with their line numbers."""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

MARKS = (  # UTF-32 first: its mark begins as that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
HEADER = 100_000  # characters of the first line that are looked at
EXCEL = re.compile(r"sep=(.)\r?\n")  # a first line that tells Excel the separator
UNNAMED = re.compile(r"(Unnamed: [0-9]+)?")  # pandas calls an index so when it reads one back


class Line(NamedTuple):
    """One row: the line it begins in, and its cells."""

    number: int
    cells: list[str]


@dataclass(frozen=True)
class Sheet:
    """A table of text.

    Attributes:
        header: The columns' names; empty for a column without one.
        rows: The rows, with as many cells as the header.
        long: The rows that have more cells than the header.
        notes: How it was read, in a few words each; empty for a CSV in UTF-8.
    """

    header: list[str]
    rows: list[Line]
    long: list[Line]
    notes: tuple[str, ...]


def sheet(raw: bytes) -> Sheet:
    """The table that a file holds.

    Empty lines, lines that begin with #, and columns without name and content are skipped.

    Args:
        raw: The file's bytes: UTF-8, or UTF-16 or UTF-32 with a byte order mark.

    Raises:
        ValueError: If it is no text, or no table.
    """
    text, encoding = decoded(raw)
    excel = EXCEL.match(text)
    mark = excel[1] if excel else separator(text)
    lines = list(_lines(text, mark, after=1 if excel else 0))
    comments = sum(line.cells[0].startswith("#") for line in lines)
    lines = [line for line in lines if not line.cells[0].startswith("#")]
    header, rows = lines[0].cells if lines else [], lines[1:]
    notes = [encoding.upper()] if encoding.startswith(("utf-16", "utf-32")) else []
    notes += [f"cells separated by {SEPARATORS.get(mark, mark)}"] if mark != "," else []
    if comments:
        words = "lines that begin with # are" if comments > 1 else "line that begins with # is"
        notes.append(f"{comments:,} {words} skipped")
    if _has_row_names(header, rows):
        header = ["", *header]
    header = ["" if UNNAMED.fullmatch(name) else name for name in header]
    width = len(header)
    for line in rows:  # separators at the end of a line are no cells
        while len(line.cells) > width and not line.cells[-1]:
            line.cells.pop()
        line.cells.extend([""] * (width - len(line.cells)))
    long = [line for line in rows if len(line.cells) > width]
    rows = [line for line in rows if len(line.cells) == width]
    empty = {n for n, name in enumerate(header) if not name and not any(line.cells[n] for line in rows)}
    if empty:
        rows = [Line(line.number, [cell for n, cell in enumerate(line.cells) if n not in empty]) for line in rows]
        header = [name for n, name in enumerate(header) if n not in empty]
    return Sheet(header, rows, long, tuple(notes))


def decoded(raw: bytes) -> tuple[str, str]:
    """A file's text, and its encoding's name.

    Args:
        raw: Its bytes.

    Raises:
        ValueError: If it is no text of an encoding that can be told.
    """
    encoding = next((name for mark, name in MARKS if raw.startswith(mark)), "utf-8")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ValueError(f"line {line} is no {encoding.upper()}: save the file as UTF-8") from None
    if "\0" in text:
        raise ValueError("it holds NUL characters, as no text does: save the file as UTF-8")
    return text, encoding


def separator(text: str) -> str:
    """What separates the cells: that which makes most cells of the first line; a comma where none does.

    Args:
        text: The table.
    """
    lines = io.StringIO(text, newline=None)
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")[:HEADER]
    counts = {mark: len(next(csv.reader([first], delimiter=mark), [])) for mark in SEPARATORS}
    return max(counts, key=lambda mark: counts[mark])


def _lines(text: str, mark: str, after: int) -> Iterator[Line]:
    """The rows that hold something, each with the line it begins in."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    try:
        for _ in range(after):
            next(reader)
        begins = reader.line_num + 1
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield Line(begins, stripped)
            begins = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from None


def _has_row_names(header: list[str], rows: list[Line]) -> bool:
    """Whether every row begins with its number, for which the header has no name: so R writes a table."""
    numbers = [str(n) for n in range(1, len(rows) + 1)]
    return (
        bool(rows)
        and all(len(line.cells) == len(header) + 1 for line in rows)
        and [line.cells[0] for line in rows] == numbers
    )
