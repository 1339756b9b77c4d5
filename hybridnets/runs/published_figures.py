"""A paper's published figures, which a report prints next to ours."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CLASSES = ("class", "before", "after")
COLUMNS = ("table", "baseline", "candidate", "baseline_accuracy", "candidate_accuracy", "difference", "stars")
ROUNDING = 0.05  # points between a printed difference and that of printed accuracies
STARS = ("", "*", "**", "***")


class DeclarationError(ValueError):
    """A `report:` section or a file of published figures is not legal; the message is one sentence for the user."""


@dataclass(frozen=True)
class PublishedFigures:
    """A paper's figures: its comparisons, or its accuracies by class before and after compression.

    Attributes:
        accuracies: Its accuracies by variant, as fractions.
        stars: Difference in points and stars, by candidate and baseline.
        classes: Its accuracies before and after by class, as fractions.
    """

    accuracies: Mapping[str, float] = field(default_factory=dict)
    stars: Mapping[tuple[str, str], tuple[float, str]] = field(default_factory=dict)
    classes: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def difference(self, variant: str, baseline: str) -> tuple[float, str] | None:
        """The difference of two variants in points with its stars, whichever of them was the candidate; None without one.

        Args:
            variant: The variant.
            baseline: What is subtracted from it.
        """
        if (variant, baseline) in self.stars:
            return self.stars[variant, baseline]
        if (baseline, variant) in self.stars:
            difference, stars = self.stars[baseline, variant]
            return -difference, stars
        return None


def read_figures(path: Path) -> list[dict[str, str]]:
    """The rows of a file of published figures, after a check.

    Args:
        path: A CSV with the columns table, baseline, candidate, baseline_accuracy, candidate_accuracy, difference (percent)
            and stars; or one with the columns class, before and after (percent), the classes named as the data set does.

    Raises:
        DeclarationError: If the file cannot be read or a row does not fit.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise DeclarationError(f"{path} cannot be read as a CSV of published figures ({error})") from None
    if not rows:
        raise DeclarationError(f"{path} must have a row of published figures, got none")
    columns = CLASSES if "class" in rows[0] else COLUMNS
    if lacking := [column for column in columns if column not in rows[0]]:
        raise DeclarationError(f"{path} must have the columns {', '.join(columns)}, got no {', '.join(lacking)}")
    parse_figures(rows, str(path))
    return rows


def parse_figures(rows: Iterable[Mapping[str, Any]], source: str = "report.published") -> PublishedFigures:
    """The figures in the rows of such a file.

    Args:
        rows: The rows.
        source: Their name in an error's message.

    Raises:
        DeclarationError: If a row does not fit.
    """
    accuracies: dict[str, float] = {}
    stars = {}
    classes = {}
    for number, row in enumerate(rows, start=1):
        if isinstance(row, Mapping) and "class" in row:
            classes[str(row["class"])] = _before_and_after(row, number, source)
            continue
        try:
            candidate, baseline, label = str(row["candidate"]), str(row["baseline"]), str(row["stars"])
            values = [float(row[column]) for column in ("candidate_accuracy", "baseline_accuracy")]
            difference = float(row["difference"])
        except (KeyError, TypeError, ValueError, ArithmeticError):
            raise DeclarationError(
                f"{source} must have {', '.join(COLUMNS)} with percentages in each row, but row {number} does not"
            ) from None
        if not all(value == 0 or 0.001 <= value <= 100 for value in values) or label not in STARS:
            raise DeclarationError(
                f"{source} must have percentages and one of *, **, *** or nothing, got row {number}: {dict(row)}"
            )
        if not abs(values[0] - values[1] - difference) <= ROUNDING:
            raise DeclarationError(
                f"{source} must have the difference of the two accuracies, got {difference} for {values[0]} and "
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
