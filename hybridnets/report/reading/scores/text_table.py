"""From a file's bytes to a table of text: named columns, and rows of cells with their line numbers."""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hybridnets.report.reading.scores import cell_values

BYTE_ORDER_MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
MAX_HEADER = 100_000  # characters of the first line that are examined
EXCEL = re.compile(r"sep=(.)\r?\n")  # a first line that gives Excel the separator
COMMENT = "#"
NAMES = {"variant", "seed", "score"}  # by which a header is recognised
UNNAMED = re.compile(r"(Unnamed: [0-9]+)?")  # the name that pandas gives to an index column when it reads one


class Line(NamedTuple):
    """One row: the line in which it begins, and its cells."""

    number: int
    cells: list[str]


@dataclass(frozen=True)
class Places:
    """Where the rows of a table are, in words.

    Attributes:
        path: The file or folder.
        names: The places that are no lines of a file, by the rows' lines.
    """

    path: Path
    names: Mapping[int, str] = field(default_factory=dict)

    def of(self, line: int) -> str:
        """The place of a row as the beginning of a sentence."""
        return self.names.get(line) or f"{self.path}, line {line}"

    def within(self, line: int) -> str:
        """The place of a row within the file."""
        return self.names.get(line) or f"line {line}"


@dataclass(frozen=True)
class TextTable:
    """A table of text.

    Attributes:
        header: The columns' names; empty for an unnamed column.
        rows: The rows, with as many cells as the header.
        too_long: The rows with more cells than the header.
        notes: How it was read, in a few words each; empty for a CSV in UTF-8.
        separator: The character between two cells.
        unit: What one row is: a row, or a run of another tool.
        places: Where each row is, by its line, if that is not a line of the file.
    """

    header: list[str]
    rows: list[Line]
    too_long: list[Line]
    notes: tuple[str, ...]
    separator: str
    unit: str = "row"
    places: Mapping[int, str] = field(default_factory=dict)


def parse_table(raw: bytes) -> TextTable:
    """The table in a file, without empty lines, comments, and columns that have neither name nor content.

    A comment begins with #, and precedes the header or has another number of cells.

    Args:
        raw: The file's bytes: UTF-8, or UTF-16 or UTF-32 with a byte order mark.

    Raises:
        ValueError: If they are no text, or no table.
    """
    text, encoding = decode(raw)
    excel = EXCEL.match(text)
    separator = excel[1] if excel else find_separator(text)
    lines = list(_lines(text, separator, skip=1 if excel else 0))
    notes = [encoding.upper()] if encoding.startswith(("utf-16", "utf-32")) else []
    notes += [f"cells separated by {SEPARATORS.get(separator, separator)}"] if separator != "," else []
    header, rows, more_notes = _without_comments(lines)
    notes += more_notes
    if _has_row_names(header, rows):
        header = ["", *header]
    header = ["" if UNNAMED.fullmatch(name) else name for name in header]
    width = len(header)
    for line in rows:  # separators at the end of a line add no cells
        while len(line.cells) > width and not line.cells[-1]:
            line.cells.pop()
        line.cells.extend([""] * (width - len(line.cells)))
    too_long = [line for line in rows if len(line.cells) > width]
    rows = [line for line in rows if len(line.cells) == width]
    empty = {n for n, name in enumerate(header) if not name and not any(line.cells[n] for line in rows)}
    if empty:
        rows = [Line(line.number, [text for n, text in enumerate(line.cells) if n not in empty]) for line in rows]
        header = [name for n, name in enumerate(header) if n not in empty]
    return TextTable(header, rows, too_long, tuple(notes), separator)


def decode(raw: bytes) -> tuple[str, str]:
    """A file's text, and its encoding's name.

    Args:
        raw: Its bytes.

    Raises:
        ValueError: If they are no text in UTF-8, UTF-16 or UTF-32.
    """
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if raw.startswith(mark)), "utf-8")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ValueError(f"line {line} is not {encoding.upper()}: save the file as UTF-8") from None
    if "\0" in text:
        raise ValueError("it contains NUL characters, so it is no text: save the file as UTF-8")
    return text, encoding


def find_separator(text: str) -> str:
    """The separator of the cells: the one that gives the first line the most cells; a comma if none occurs.

    Args:
        text: The table.
    """
    lines = io.StringIO(text, newline=None)
    beginnings = [line[:MAX_HEADER] for line in lines if line.strip()]
    first = next((line for line in beginnings if not line.startswith("#")), beginnings[0] if beginnings else "")
    counts = {mark: len(next(csv.reader([first], delimiter=mark), [])) for mark in SEPARATORS}
    return max(counts, key=lambda mark: counts[mark])


def _lines(text: str, separator: str, skip: int) -> Iterator[Line]:
    """The rows that are not empty, after the first `skip` ones."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for _ in range(skip):
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
    """The header, the rows, and notes on the lines that begin with #.

    Raises:
        ValueError: If a line may be the header or a comment.
    """
    place = _find_header(lines)
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
        rows = "lines that begin with # as rows, because they have"
        rows = rows if kept > 1 else "line that begins with # as a row, because it has"
        notes.append(f"{kept:,} {rows} as many cells as the header")
    if count:
        notes.append(
            f"{count:,} {'lines that begin with # are' if count > 1 else 'line that begins with # is'} skipped"
        )
    return header, [line for line in lines[place + 1 :] if line.number not in comments], notes


def _find_header(lines: list[Line]) -> int | None:
    """The header's place: the first line without #, unless a line with # before it names the columns; None if there is none.

    Raises:
        ValueError: If the line without # looks like a row, and a line with # before it like a header.
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
    if alike and any(cell_values.is_number(text) for text in lines[plain].cells):
        line = lines[alike[-1]]
        raise ValueError(
            f"line {line.number} begins with # and may be a comment or the header, got {', '.join(line.cells)}, and the first "
            f"line without # has a number instead of column names: remove the # if line {line.number} is the header"
        )
    return plain


def _names(cells: list[str]) -> set[str]:
    return {text.lstrip(f"{COMMENT} ").casefold() for text in cells}


def _is_row(cells: list[str], header: list[str]) -> bool:
    """Whether a line that begins with # has as many cells as the header; spreadsheets add empty cells to a comment."""
    filled = _without_last_empty(cells)
    return len(filled) > 1 and (len(cells) == len(header) or len(filled) == len(_without_last_empty(header)))


def _without_last_empty(cells: list[str]) -> list[str]:
    """The cells without empty ones at the end."""
    last = max((n for n, text in enumerate(cells, 1) if text), default=0)
    return cells[:last]


def _has_row_names(header: list[str], rows: list[Line]) -> bool:
    """Whether every row begins with its number, for which the header has no name, as R writes a table."""
    row_numbers = [str(n) for n in range(1, len(rows) + 1)]
    return (
        bool(rows)
        and all(len(line.cells) == len(header) + 1 for line in rows)
        and [line.cells[0] for line in rows] == row_numbers
    )
