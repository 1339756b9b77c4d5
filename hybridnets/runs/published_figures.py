"""A paper's published figures, which a report prints next to ours."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CLASSES = ("class", "before", "after")
COLUMNS = ("table", "baseline", "candidate", "baseline_accuracy", "candidate_accuracy", "difference", "stars")
ROUNDED = 0.05  # points between a printed difference and that of printed accuracies
LABELS = ("", "*", "**", "***")


class DeclarationError(ValueError):
    """A `report:` section or a file of published figures that has no meaning; the message is one sentence for the user."""


@dataclass(frozen=True)
class PublishedFigures:
    """A paper's figures: its comparisons, or its accuracies of each class before and after.

    Attributes:
        accuracies: Its accuracies by variant, as fractions.
        stars: Difference in points and stars, by candidate and baseline.
        classes: Its accuracies before and after by class, as fractions.
    """

    accuracies: Mapping[str, float] = field(default_factory=dict)
    stars: Mapping[tuple[str, str], tuple[float, str]] = field(default_factory=dict)
    classes: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def read_figures(path: Path) -> list[dict[str, str]]:
    """The rows of a file of published figures, each once checked.

    Args:
        path: A CSV with the columns table, baseline, candidate, baseline_accuracy, candidate_accuracy, difference (percent)
            and stars; or one with the columns class, before and after (percent), the classes named as the data set does.

    Raises:
        DeclarationError: If the file cannot be read or a row does not fit.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            found = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise DeclarationError(f"{path} must be a CSV of published figures, and cannot be read ({error})") from None
    if not found:
        raise DeclarationError(f"{path} must have a row of published figures, got none")
    columns = CLASSES if "class" in found[0] else COLUMNS
    if lacking := [column for column in columns if column not in found[0]]:
        raise DeclarationError(f"{path} must have the columns {', '.join(columns)}, got no {', '.join(lacking)}")
    parse_figures(found, str(path))
    return found


def parse_figures(found: Iterable[Mapping[str, Any]], source: str = "report.published") -> PublishedFigures:
    """The figures of such rows.

    Args:
        found: The rows.
        source: What an error calls them.

    Raises:
        DeclarationError: If a row does not fit.
    """
    accuracies: dict[str, float] = {}
    stars = {}
    classes = {}
    for number, each in enumerate(found, start=1):
        if isinstance(each, Mapping) and "class" in each:
            classes[str(each["class"])] = _before_and_after(each, number, source)
            continue
        try:
            candidate, baseline, label = str(each["candidate"]), str(each["baseline"]), str(each["stars"])
            values = [float(each[column]) for column in ("candidate_accuracy", "baseline_accuracy")]
            difference = float(each["difference"])
        except (KeyError, TypeError, ValueError, ArithmeticError):
            raise DeclarationError(
                f"{source} must have {', '.join(COLUMNS)} with numbers of percent in each row, and row {number} does not"
            ) from None
        if not all(value == 0 or 0.001 <= value <= 100 for value in values) or label not in LABELS:
            raise DeclarationError(
                f"{source} must have percentages and one of *, **, *** or nothing, got row {number}: {dict(each)}"
            )
        if not abs(values[0] - values[1] - difference) <= ROUNDED:
            raise DeclarationError(
                f"{source} must have the difference of the two accuracies, got {difference} beside {values[0]} and "
                f"{values[1]} in row {number}"
            )
        accuracies |= {candidate: values[0] / 100, baseline: values[1] / 100}
        stars[candidate, baseline] = (difference, label)
    return PublishedFigures(accuracies, stars, classes)


def _before_and_after(row: Mapping[str, Any], number: int, source: str) -> tuple[float, float]:
    """The two accuracies of a class, as fractions."""
    try:
        before, after = (float(row[column]) / 100 for column in CLASSES[1:])
    except (KeyError, TypeError, ValueError):
        before = after = -1.0
    if not (0 <= before <= 1 and 0 <= after <= 1):
        raise DeclarationError(
            f"{source} must have {', '.join(CLASSES)} with percentages, got row {number}: {dict(row)}"
        )
    return before, after
