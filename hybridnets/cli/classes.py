"""Classified images as the commands answer: a table, CSV or JSON lines, in the terminal or as a file."""

import argparse
import csv
import io
import json
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from hybridnets.cli.arguments import path_of
from hybridnets.program import either, plural, printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMATS = ("table", "csv", "jsonl")
FILE_FORMATS = {".csv": "csv", ".jsonl": "jsonl"}  # by the ending of a file's name


@dataclass(frozen=True, eq=False)
class Classified:
    """Images and what a run makes of them.

    Attributes:
        names: N names of images.
        classes: K names of classes.
        probabilities: (N, K).
        run: Name of the run that classified.
        labels: The images' own classes, (N,), as positions in `classes`; -1 where one is not known; None where none can be.
    """

    names: Sequence[str]
    classes: Sequence[str]
    probabilities: "NDArray[np.float32]"
    run: str
    labels: "NDArray[np.int64] | None" = None

    def rows(self, top: int | None) -> Iterator[tuple[str, str | None, list[tuple[str, float]]]]:
        """The name of each image, its label, and its most probable classes with their probabilities, the highest first.

        Args:
            top: How many classes; None for all.
        """
        order = (-self.probabilities).argsort(axis=1, kind="stable")[:, :top]
        for place, (name, best) in enumerate(zip(self.names, order, strict=True)):
            label = -1 if self.labels is None else int(self.labels[place])
            row = self.probabilities[place]
            ranked = [(self.classes[k], float(row[k])) for k in best]
            yield name, None if label < 0 else self.classes[label], ranked


def add_answer_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say how a command answers.

    Args:
        parser: The command's parser.
    """
    parser.add_argument(
        "-o",
        "--output",
        type=path_of,
        metavar="FILE",
        help="write to a file: FILE.csv, with the probabilities of all classes, or FILE.jsonl",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="what is printed (default: table): csv and jsonl print nothing else, for other programs to read",
    )
    parser.add_argument(
        "--top",
        type=_positive,
        metavar="K",
        help="the K most probable classes (default: one in a table, all in csv and jsonl)",
    )


def check_answer_arguments(arguments: argparse.Namespace) -> None:
    """Refuses options that contradict each other, or a file that cannot be written; settles `arguments.format`.

    Args:
        arguments: The command's arguments.

    Raises:
        ValueError: If they do.
    """
    check_output(arguments.output, *FILE_FORMATS)
    if arguments.output:
        of_file = FILE_FORMATS[arguments.output.suffix]
        if arguments.format not in (None, of_file):
            raise ValueError(f"--format must be {of_file} for --output {arguments.output}, got {arguments.format}")
        arguments.format = of_file
    arguments.format = arguments.format or "table"


def check_output(path: Path | None, *endings: str, option: str = "--output") -> None:
    """Refuses an output file that is of another kind, or in no existing folder.

    Args:
        path: The file; None for none.
        *endings: What its name may end with, so that a forgotten argument overwrites no image.
        option: The option that names it.

    Raises:
        ValueError: If it cannot be written.
    """
    if path and (path.suffix not in endings or path.is_dir()):
        raise ValueError(f"{option} must be a {either(endings)} file, got {path}")
    if path and not path.parent.is_dir():
        raise ValueError(f"{option} must be in an existing folder, got {path}")


def answer(classified: Classified, kind: str, top: int | None, to: Path | None) -> None:
    """Prints the images' classes, or writes them to a file.

    Args:
        classified: The images.
        kind: table, csv or jsonl.
        top: How many classes are named of each image; None for one in a table, for all otherwise.
        to: The file; None to print.

    Raises:
        ValueError: If the file cannot be written.
    """
    if to is None:
        if kind == "table":
            _print_table(classified, top or 1)
        else:
            if isinstance(sys.stdout, io.TextIOWrapper):  # data, the same whatever the terminal can show
                sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
            _write(classified, kind, top, sys.stdout)
        return
    from hybridnets.runs.files import replacing

    try:
        with (
            replacing(to) as temporary,
            temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
        ):
            _write(classified, kind, top, file)
    except OSError as error:
        raise ValueError(f"classes cannot be written to {to} ({error.strerror})") from error
    print(f"{plural(len(classified.names), 'image')} classified by {classified.run}: {printable(str(to))}")


def print_columns(rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> None:
    """Prints rows in columns; letters of double width, as those of Korean, keep the columns straight.

    Args:
        rows: The rows, the heading first.
        numbers: The columns that end flush right.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            " " * (width - _width(cell)) + cell if column in numbers else cell + " " * (width - _width(cell))
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def _print_table(classified: Classified, top: int) -> None:
    labelled = classified.labels is not None
    lines = [["image", *(["label"] * labelled), "class", "probability"]]
    for name, label, best in classified.rows(top):
        for place, (class_name, probability) in enumerate(best):
            first = [name, *([label or ""] * labelled)] if not place else [""] * (1 + labelled)
            lines.append([*first, class_name, f"{probability:.4f}"])
    print_columns(lines, [len(lines[0]) - 1])


def _write(classified: Classified, kind: str, top: int | None, file: TextIO) -> None:
    (_write_csv if kind == "csv" else _write_jsonl)(classified, top, file)


def _write_csv(classified: Classified, top: int | None, file: TextIO) -> None:
    """Without a top, a column for each class in the run's order; else a pair of columns for each rank."""
    labelled = classified.labels is not None
    ranks = min(top or 0, len(classified.classes))
    pairs = [f"{column}_{rank}" if rank > 1 else column for rank in range(1, ranks + 1) for column in _PAIR]
    table = csv.writer(file, lineterminator="\n")
    own = ["image", *(["label"] * labelled), *(pairs or ["class"])]
    # A class that is called as one of our columns would make two of that name.
    named = [f"class {name}" if name in own else name for name in classified.classes]
    table.writerow(own if pairs else [*own, *named])
    for (name, label, best), row in zip(classified.rows(top or 1), classified.probabilities.tolist(), strict=True):
        values = [value for pair in best for value in pair] if top else [best[0][0], *row]
        table.writerow([name, *([label] * labelled), *values])


_PAIR = ("class", "probability")


def _write_jsonl(classified: Classified, top: int | None, file: TextIO) -> None:
    for name, label, best in classified.rows(top):
        line = {
            "image": name,
            **({} if label is None else {"label": label}),
            **dict(zip(_PAIR, best[0], strict=True)),
            "top": [dict(zip(_PAIR, pair, strict=True)) for pair in best],
        }
        file.write(_json(line) + "\n")


def _json(value: object) -> str:
    """JSON in one line; letters of all alphabets stay readable, and a name of other bytes is escaped as JSON can."""
    text = json.dumps(value, ensure_ascii=False)
    return text if not any("\ud800" <= letter <= "\udfff" for letter in text) else json.dumps(value)


def _width(text: str) -> int:
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text}")
    return int(text)
