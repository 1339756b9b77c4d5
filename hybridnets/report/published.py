"""Published figures: to stand beside ours, and to ask what their stars counted."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybridnets import stats
from hybridnets.report.results import ReportError
from hybridnets.report.table import Cell, Table, row

CLASSES = ("class", "before", "after")
COLUMNS = ("table", "baseline", "candidate", "baseline_accuracy", "candidate_accuracy", "difference", "stars")
ROUNDED = 0.05  # points between a printed difference and that of printed accuracies
LABELS = ("", "*", "**", "***")


@dataclass(frozen=True)
class Published:
    """A paper's figures: its comparisons, or its accuracies of each class before and after.

    Attributes:
        accuracies: Its accuracies by variant, as fractions.
        stars: Difference in points and stars, by candidate and baseline.
        classes: Its accuracies before and after by class, as fractions.
    """

    accuracies: Mapping[str, float] = field(default_factory=dict)
    stars: Mapping[tuple[str, str], tuple[float, str]] = field(default_factory=dict)
    classes: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a file of published figures, each once checked.

    Args:
        path: A CSV with the columns table, baseline, candidate, baseline_accuracy, candidate_accuracy, difference (percent)
            and stars; or one with the columns class, before and after (percent), the classes named as the data set does.

    Raises:
        ReportError: If the file cannot be read or a row does not fit.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            found = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise ReportError(f"{path} must be a CSV of published figures, and cannot be read ({error})") from None
    if not found:
        raise ReportError(f"{path} must have a row of published figures, got none")
    columns = CLASSES if "class" in found[0] else COLUMNS
    if lacking := [column for column in columns if column not in found[0]]:
        raise ReportError(f"{path} must have the columns {', '.join(columns)}, got no {', '.join(lacking)}")
    published(found, str(path))
    return found


def published(found: Iterable[Mapping[str, Any]], source: str = "report.published") -> Published:
    """The figures of such rows.

    Args:
        found: The rows.
        source: What an error calls them.

    Raises:
        ReportError: If a row does not fit.
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
            raise ReportError(
                f"{source} must have {', '.join(COLUMNS)} with numbers of percent in each row, and row {number} does not"
            ) from None
        if not all(value == 0 or 0.001 <= value <= 100 for value in values) or label not in LABELS:
            raise ReportError(
                f"{source} must have percentages and one of *, **, *** or nothing, got row {number}: {dict(each)}"
            )
        if not abs(values[0] - values[1] - difference) <= ROUNDED:
            raise ReportError(
                f"{source} must have the difference of the two accuracies, got {difference} beside {values[0]} and "
                f"{values[1]} in row {number}"
            )
        accuracies |= {candidate: values[0] / 100, baseline: values[1] / 100}
        stars[candidate, baseline] = (difference, label)
    return Published(accuracies, stars, classes)


def _before_and_after(row: Mapping[str, Any], number: int, source: str) -> tuple[float, float]:
    """The two accuracies of a class, as fractions."""
    try:
        before, after = (float(row[column]) / 100 for column in CLASSES[1:])
    except (KeyError, TypeError, ValueError):
        before = after = -1.0
    if not (0 <= before <= 1 and 0 <= after <= 1):
        raise ReportError(f"{source} must have {', '.join(CLASSES)} with percentages, got row {number}: {dict(row)}")
    return before, after


def recount(found: list[dict[str, str]], n: int) -> tuple[Table, str]:
    """What the stars of a paper counted: its labels beside those that n uncorrelated outcomes a variant would give.

    Args:
        found: Its comparisons, as `rows` reads them.
        n: Outcomes a variant: images of val, times runs.

    Returns:
        The table, and a sentence on how many labels this n reproduces.

    Raises:
        ReportError: If they are accuracies by class, which have no stars.
    """
    if "class" in found[0]:
        raise ReportError("--published must be a CSV of comparisons with stars, got one of accuracies by class")
    numbers = [(float(each["baseline_accuracy"]) / 100, float(each["candidate_accuracy"]) / 100) for each in found]
    lines = []
    for each, (a, b) in zip(found, numbers, strict=True):
        test = stats.uncorrelated(a, b, n)
        stars = "" if test.p is None else stats.stars(test.p)
        lines.append(
            row(
                *(each["table"], each["candidate"], each["baseline"]),
                Cell(f"{float(each['difference']):+.2f}", float(each["difference"]) / 100),
                Cell(each["stars"] or "-"),
                Cell("n/a" if test.p is None else f"{test.p:.2g}", test.p),
                Cell(stars or "-"),
                Cell("yes" if stars == each["stars"] else "NO"),
            )
        )
    labels = [each["stars"] for each in found]
    first, second = (list(side) for side in zip(*numbers, strict=True))
    third = n // 3
    same = {count: stats.reproduced(first, second, labels, count) for count in (n, third) if count >= 2}
    said = f"{same[n]} of {len(found)} star labels follow from {n:,} outcomes a variant taken as independent"
    said += f", {same[third]} from {third:,}. " if third in same else ". "
    if same[n] < len(found):
        said += "So this is not how the stars came about: try another -n."
    elif same.get(third, 0) == same[n]:
        said += "So these labels do not tell what the stars counted."
    else:
        said += (
            "So the stars probably count images, not trainings: they are consistent with all val images of all runs pooled, "
            "which says that those trained networks differ. What another training would give, they do not say."
        )
    header = ("table", "variant", "baseline", "difference", "published", "p", "recounted", "same")
    caption = (
        f"t = (b - a) / sqrt((a (1 - a) + b (1 - b)) / n) with n = {n:,} outcomes a variant, two-sided, no pairing, no "
        "correction. * p < .05, ** p < .005, *** p < .0001.",
        "Comparisons that stand in two tables are counted twice here, and once in a family.",
    )
    return Table("published", "What the published stars counted", header, tuple(lines), caption, left=3), said
