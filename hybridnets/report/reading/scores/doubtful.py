"""What of anybody's scores can be read in two ways, and what is done about it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hybridnets.report.reading.results import FinishedRun, ReportError
from hybridnets.report.reading.scores import cell
from hybridnets.report.reading.scores.layout import NEEDED, OPTIONAL, Entry

APART = 10  # how many times the largest share the least percentage is, at least, where shares stand beside percents
SMALLEST = 1e-10  # of a file's largest score: below, the tests would take its differences for rounding
WHOLE = re.compile(r"[+-]?[0-9]+")
DIGITS = re.compile(r"[0-9]+")
WORDS = {"comment", "comments", "note", "notes", "remark", "remarks", "description", "info", "message", "text"}
NUMBERS = (
    ("parameters",),
    ("seconds",),
    ("n_train", "n_val"),
)  # optional ones, of which those together need each other


def without_unreadable(entries: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
    """The trainings without optional cells that must hold a number and hold something else, and words on these.

    Args:
        entries: The trainings.
    """
    kept, notes = list(entries), []
    for names in NUMBERS:
        wrong = {n: text for n, entry in enumerate(kept) if (text := _unreadable(entry, names))}
        for n in wrong:
            kept[n] = replace(kept[n], values={**kept[n].values, **dict.fromkeys(names, "")})
        if wrong:
            first, part = next(iter(wrong.values())), f"{len(wrong):,} of {len(kept):,} trainings"
            notes.append(f"{' and '.join(names)} ignored in {part} ({first} is no number)")
    return kept, notes


def _unreadable(entry: Entry, names: Iterable[str]) -> str:
    """The first of some cells that is no number; nothing where all are, or are missing."""
    cells = (entry.values.get(name, "") for name in names)
    return next((text for text in cells if not cell.missing(text) and not cell.is_number(text)), "")


def beside_score(entries: Sequence[Entry]) -> str:
    """The column after the score's, where it is no known one; empty where there is none.

    Args:
        entries: The trainings.
    """
    names = list(entries[0].values) if entries else []
    after = names[names.index("score") + 1 :] if "score" in names else []
    return after[0] if after and after[0] not in (*NEEDED, *OPTIONAL) else ""


def two_halves(entry: Entry, column: str) -> str:
    """The number that a decimal comma without quotes may have parted into score and comment; empty where none is.

    Args:
        entry: A training.
        column: The column after the score's.
    """
    if column.casefold() not in WORDS:
        return ""
    return _together(entry, column)


def halves_told(entries: Sequence[Entry], unused: Sequence[str]) -> Iterator[str]:
    """Words on whole scores before a column of digits that nothing uses: in truth they may be one number.

    Args:
        entries: The trainings.
        unused: The columns that are not used.
    """
    column = beside_score(entries)
    if column in unused and all(_together(entry, column) for entry in entries):
        pair = _together(entries[0], column)
        yield f"score and {column} as two numbers (if {pair} is one, put it in quotes)"


def _together(entry: Entry, column: str) -> str:
    score, after = entry.values["score"], entry.values.get(column, "")
    return f"{score},{after}" if WHOLE.fullmatch(score) and DIGITS.fullmatch(after) else ""


def refuse_unlike_scales(path: Path, lines: Mapping[FinishedRun, int]) -> None:
    """Refuses shares beside percents, which no mean may mix: 0.71 and 72.5.

    A negative score among them changes nothing, as long as most of its kind are not: a correlation may be below 0.

    Args:
        path: The file.
        lines: Its trainings, each with its line.

    Raises:
        ReportError: If the scores lie in two groups, up to 1 and far above it.
    """
    scores = [(run.scores["score"], line) for run, line in lines.items() if run.scores and not run.diverged]
    groups = [[each for each in scores if 0 < abs(each[0]) <= 1], [each for each in scores if abs(each[0]) > 1]]
    if not all(groups) or any(2 * sum(score < 0 for score, _ in group) >= len(group) for group in groups):
        return
    largest, percents = max(abs(score) for score, _ in groups[0]), [abs(score) for score, _ in groups[1]]
    if max(percents) <= 100 and min(percents) >= APART * largest:
        told = [f"{group[0][0]:g} in line {group[0][1]} ({len(group):,} such)" for group in groups]
        raise ReportError(
            f"{path} must have scores of one scale, got {' and '.join(told)}: write all as shares, or all as percents with a % "
            "sign; if they are neither, in a unit in which none is below 1"
        )


def refuse_tiny(path: Path, runs: Sequence[FinishedRun]) -> None:
    """Refuses scores whose differences no test can tell from rounding.

    Args:
        path: The file.
        runs: Its trainings with a score.

    Raises:
        ReportError: If none is as large as `SMALLEST`, and not all are 0.
    """
    largest = max((abs(run.scores["score"]) for run in runs), default=0.0)
    if 0 < largest < SMALLEST:
        raise ReportError(
            f"{path} must have a score of at least {SMALLEST:g} in size, got {largest:g} at most: write them in a smaller unit"
        )
