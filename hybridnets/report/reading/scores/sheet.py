"""Anybody's table of text: from a file's bytes to named columns and rows of cells, with their line numbers."""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from hybridnets.report.reading.scores import cell

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
COMMENT = "#"
NAMES = {"variant", "seed", "score"}  # which tell a header
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
        separator: What stands between two cells.
    """

    header: list[str]
    rows: list[Line]
    long: list[Line]
    notes: tuple[str, ...]
    separator: str


def sheet(raw: bytes) -> Sheet:
    """The table that a file holds.

    Empty lines, comments, and columns without name and content are skipped. A comment begins with #, and stands before the
    header or has another number of cells.

    Args:
        raw: The file's bytes: UTF-8, or UTF-16 or UTF-32 with a byte order mark.

    Raises:
        ValueError: If it is no text, or no table.
    """
    text, encoding = decoded(raw)
    excel = EXCEL.match(text)
    mark = excel[1] if excel else separator(text)
    lines = list(_lines(text, mark, after=1 if excel else 0))
    notes = [encoding.upper()] if encoding.startswith(("utf-16", "utf-32")) else []
    notes += [f"cells separated by {SEPARATORS.get(mark, mark)}"] if mark != "," else []
    header, rows, told = _without_comments(lines)
    notes += told
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
        rows = [Line(line.number, [text for n, text in enumerate(line.cells) if n not in empty]) for line in rows]
        header = [name for n, name in enumerate(header) if n not in empty]
    return Sheet(header, rows, long, tuple(notes), mark)


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
    there = [line[:HEADER] for line in lines if line.strip()]
    first = next((line for line in there if not line.startswith("#")), there[0] if there else "")
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
            stripped = [text.strip() for text in cells]
            if any(stripped):
                yield Line(begins, stripped)
            begins = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from None


def _without_comments(lines: list[Line]) -> tuple[list[str], list[Line], list[str]]:
    """The header, the rows, and words on the lines that begin with #.

    Raises:
        ValueError: If nobody can tell whether the header is a comment.
    """
    place = _header(lines)
    if place is None:
        return [], [], []
    header = lines[place].cells
    notes = []
    if header[0].startswith(COMMENT):
        header = [header[0].lstrip(f"{COMMENT} "), *header[1:]]
        notes.append("a header that begins with #")
    marked = [line for line in lines[place + 1 :] if line.cells[0].startswith(COMMENT)]
    names = {line.cells[0] for line in marked if _is_row(line.cells, header)}  # of variants
    comments = {line.number for line in marked if line.cells[0] not in names}
    count, kept = place + len(comments), len(marked) - len(comments)
    if kept:
        words = "lines that begin with # and have" if kept > 1 else "line that begins with # and has"
        notes.append(f"{kept:,} {words} the header's number of cells as {'rows' if kept > 1 else 'a row'}")
    if count:
        words = "lines that begin with # are" if count > 1 else "line that begins with # is"
        notes.append(f"{count:,} {words} skipped")
    return header, [line for line in lines[place + 1 :] if line.number not in comments], notes


def _header(lines: list[Line]) -> int | None:
    """Where the header stands: in the first line without #, unless one with # before it names the columns.

    Raises:
        ValueError: If the line without # looks like a row and one with # before it may be its header.
    """
    plain = next((n for n, line in enumerate(lines) if not line.cells[0].startswith(COMMENT)), None)
    if plain is not None and _names(lines[plain].cells) & NAMES:
        return plain
    marked = range(len(lines) if plain is None else plain)
    if (named := next((n for n in marked if _names(lines[n].cells) >= NAMES), None)) is not None:
        return named
    if plain is None:
        return None
    width = len(lines[plain].cells)
    alike = [n for n in marked if len(lines[n].cells) == width > 1]
    if (wide := next((n for n in alike if "seed" in _names(lines[n].cells)), None)) is not None:
        return wide
    if alike and any(cell.is_number(text) for text in lines[plain].cells):
        line = lines[alike[-1]]
        raise ValueError(
            f"line {line.number}: a line that begins with # is a comment before the header, got {', '.join(line.cells)}, and "
            f"then a line with a number in the place of a header: remove the # if it is the header"
        )
    return plain


def _names(cells: list[str]) -> set[str]:
    return {text.lstrip(f"{COMMENT} ").casefold() for text in cells}


def _is_row(cells: list[str], header: list[str]) -> bool:
    """Whether a line that begins with # has the header's number of cells; spreadsheets write empty ones after a comment."""
    whole = _whole(cells)
    return len(whole) > 1 and (len(cells) == len(header) or len(whole) == len(_whole(header)))


def _whole(cells: list[str]) -> list[str]:
    """The cells without empty ones at the end."""
    last = max((n for n, text in enumerate(cells, 1) if text), default=0)
    return cells[:last]


def _has_row_names(header: list[str], rows: list[Line]) -> bool:
    """Whether every row begins with its number, for which the header has no name: so R writes a table."""
    numbers = [str(n) for n in range(1, len(rows) + 1)]
    return (
        bool(rows)
        and all(len(line.cells) == len(header) + 1 for line in rows)
        and [line.cells[0] for line in rows] == numbers
    )
