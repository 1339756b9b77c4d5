"""What may be read in two ways in a file of scores: which values are ignored, which rows are left out, what is refused."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hybridnets.report.reading.results import FinishedRun, ReportError
from hybridnets.report.reading.scores import cell_values
from hybridnets.report.reading.scores.column_names import NEEDED, OPTIONAL, UNITS, normalise
from hybridnets.report.reading.scores.long_form import ScoreRow
from hybridnets.report.reading.scores.text_table import Places

APART = 10  # a percentage among shares is at least this many times the largest share
SMALLEST = 1e-10  # of a file's largest score: smaller differences look like rounding to the tests
INTEGER = re.compile(r"[+-]?[0-9]+")
DIGITS = re.compile(r"[0-9]+")
COMMENTS = {"comment", "comments", "note", "notes", "remark", "remarks", "description", "info", "message", "text"}
# Optional columns of numbers; those in one row are useless without each other.
NUMERIC_COLUMNS = (("parameters",), ("seconds",), ("n_train", "n_val"))


def drop_unreadable(rows: Sequence[ScoreRow]) -> tuple[list[ScoreRow], list[str]]:
    """The rows without optional cells that must be numbers and are not, and notes on these cells.

    Args:
        rows: The rows, one per run.
    """
    kept, notes = list(rows), []
    for names in NUMERIC_COLUMNS:
        unreadable = {n: text for n, row in enumerate(kept) if (text := _first_unreadable(row, names))}
        for n in unreadable:
            kept[n] = replace(kept[n], values={**kept[n].values, **dict.fromkeys(names, "")})
        if unreadable:
            example, count = next(iter(unreadable.values())), f"{len(unreadable):,} of {len(kept):,} runs"
            notes.append(f"{' and '.join(names)} ignored in {count} ({example} is not a number)")
    return kept, notes


def column_after_score(rows: Sequence[ScoreRow]) -> str:
    """The column after the score's; empty if there is none, or one with a meaning.

    Args:
        rows: The rows, one per run.
    """
    names = list(rows[0].values) if rows else []
    after = names[names.index("score") + 1 :] if "score" in names else []
    return after[0] if after and after[0] not in (*NEEDED, *OPTIONAL) else ""


def number_split_into_comment(row: ScoreRow, column: str) -> str:
    """The number that an unquoted decimal comma may have split into a score and a comment; empty if there is none.

    Args:
        row: A run's row.
        column: The column after the score's.
    """
    return _joined(row, column) if column.casefold() in COMMENTS else ""


def notes_on_split_numbers(rows: Sequence[ScoreRow], unused: Sequence[str]) -> Iterator[str]:
    """A note if every score is an integer and an unused column of digits follows: the two may be one number.

    Args:
        rows: The rows, one per run.
        unused: The columns that are not used.
    """
    column = column_after_score(rows)
    if column in unused and all(_joined(row, column) for row in rows):
        yield f"score and {column} as two numbers (if {_joined(rows[0], column)} is one, put it in quotes)"


def refuse_mixed_units(places: Places, rows: Sequence[ScoreRow]) -> None:
    """Refuses scores of which only some have a % sign, and a column that names several units.

    Nobody knows whether 0.7 beside 0.5% is a share, and no mean of seconds and milliseconds is either. A score of 0 is the
    same in any scale.

    Args:
        places: Where the rows are.
        rows: The rows, one per run.

    Raises:
        ReportError: If the scores have several units.
    """
    with_sign: dict[bool, list[ScoreRow]] = {}
    for row in rows:
        text = row.values["score"]
        if cell_values.is_number(text) and cell_values.parse_number(text, "."):
            with_sign.setdefault(text.endswith("%"), []).append(row)
    if len(with_sign) > 1:
        examples = [
            f"{group[0].values['score']} in {places.within(group[0].line)} ({len(group):,} such)"
            for group in with_sign.values()
        ]
        raise ReportError(
            f"{places.path} must have a % sign at all scores or at none, got {' and '.join(examples)}: write all in one way"
        )
    for column in (column for column in (rows[0].values if rows else ()) if normalise(column) in UNITS):
        first: dict[str, int] = {}
        for row in rows:
            if unit := row.values[column]:
                first.setdefault(unit, row.line)
        if len(first) > 1:
            units = " and ".join(f"{unit} in {places.within(line)}" for unit, line in first.items())
            raise ReportError(f"{places.path} must have one {column} for all scores, got {units}: convert them to one")


def refuse_mixed_scales(places: Places, lines: Mapping[FinishedRun, int]) -> None:
    """Refuses shares next to percentages, such as 0.71 and 72.5, which have no common mean.

    A negative score among them changes nothing unless half of its group are negative: a correlation may be below 0.

    Args:
        places: Where the rows are.
        lines: The runs, each with its line.

    Raises:
        ReportError: If the scores form two groups, up to 1 and far above it.
    """
    scores = [(run.scores["score"], line) for run, line in lines.items() if run.scores and not run.diverged]
    shares = [(score, line) for score, line in scores if 0 < abs(score) <= 1]
    percentages = [(score, line) for score, line in scores if abs(score) > 1]
    for group in (shares, percentages):
        if not group or 2 * sum(score < 0 for score, _ in group) >= len(group):
            return
    sizes = [abs(score) for score, _ in percentages]
    if max(sizes) <= 100 and min(sizes) >= APART * max(abs(score) for score, _ in shares):
        examples = [
            f"{group[0][0]:g} in {places.within(group[0][1])} ({len(group):,} such)" for group in (shares, percentages)
        ]
        raise ReportError(
            f"{places.path} must have scores of one scale, got {' and '.join(examples)}: write all as shares, or all as "
            "percentages with a % sign; if they are neither, choose a unit in which no score is below 1"
        )


def refuse_tiny(path: Path, runs: Sequence[FinishedRun]) -> None:
    """Refuses scores whose differences no test can distinguish from rounding.

    Args:
        path: The file.
        runs: Its runs with a score.

    Raises:
        ReportError: If all are smaller than `SMALLEST`, and not all are 0.
    """
    largest = max((abs(run.scores["score"]) for run in runs), default=0.0)
    if 0 < largest < SMALLEST:
        raise ReportError(
            f"{path} must have a score of at least {SMALLEST:g} in size, got {largest:g} at most: write them in a smaller unit"
        )


def _first_unreadable(row: ScoreRow, names: Iterable[str]) -> str:
    """The first of some cells that is neither a number nor missing; empty if there is none."""
    cells = (row.values.get(name, "") for name in names)
    return next((text for text in cells if not cell_values.is_missing(text) and not cell_values.is_number(text)), "")


def _joined(row: ScoreRow, column: str) -> str:
    """Score and column as one number with a decimal comma; empty if they cannot be one."""
    score, decimals = row.values["score"], row.values.get(column, "")
    return f"{score},{decimals}" if INTEGER.fullmatch(score) and DIGITS.fullmatch(decimals) else ""
