"""What was read of anybody's scores and what was left out, in sentences."""

from collections.abc import Sequence
from pathlib import Path

SHOWN = 6  # kinds that the first line lists


class LeftOut:
    """The rows that are left out, by what is wrong with them.

    Args:
        unit: What holds one training: a row, or a cell of a wide table.
    """

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self._first: dict[str, tuple[int, str]] = {}
        self._count: dict[str, int] = {}
        self._advice: dict[str, str] = {}

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(self._count.values())

    def add(self, line: int, why: str, kind: str, advice: str = "") -> None:
        """One more row.

        Args:
            line: The line it stands in.
            why: What is wrong with it, with the value got.
            kind: What is wrong with all rows that are wrong in this way, in a few words.
            advice: What to do about it, where the words do not say that.
        """
        self._first.setdefault(kind, (line, why))
        self._count[kind] = self._count.get(kind, 0) + 1
        self._advice[kind] = advice

    def sentences(self, path: Path) -> list[str]:
        """A sentence on each kind, with the first line and how many rows more there are.

        Args:
            path: The file.
        """
        told = []
        for kind, (line, why) in self._first.items():
            more = self._count[kind] - 1
            like_it = f" (and {more:,} more {self.unit}{'s' * (more > 1)} like it)" if more else ""
            told.append(f"{path}, line {line}{like_it}: {why}; {'they are' if more else 'it is'} left out")
        return told

    def kinds(self) -> str:
        """Each kind in a few words with its count, the first of many, and what to do."""
        advice = [words for words in dict.fromkeys(self._advice.values()) if words]
        kinds = list(self._count.items())
        shown = kinds if len(kinds) <= SHOWN + 1 else [*kinds[:SHOWN], ("other", sum(n for _, n in kinds[SHOWN:]))]
        return "; ".join([", ".join(f"{kind} ({count:,})" for kind, count in shown), *advice])


def part(count: int, total: int, unit: str, *, verb: tuple[str, str] = ("is", "are")) -> str:
    """Some of all rows as the beginning of a sentence: `2 of 10 rows are`.

    Args:
        count: How many.
        total: Of how many.
        unit: A row, or a cell.
        verb: Its verb, of one and of several.
    """
    return f"{count:,} of {total:,} {unit}{'s' * (total != 1)} {verb[count != 1]}"


def head(left: LeftOut, missing: int, total: int, absent: tuple[int, int], notes: Sequence[str]) -> tuple[str, ...]:
    """What stands first in a report: first what is left out or missing, with its count; then how the file was read.

    Args:
        left: The rows that are left out.
        missing: How many rows have no score.
        total: How many rows the file has.
        absent: How many pairs of a variant and a seed have no row, and how many pairs there are.
        notes: How it was read, in a few words each.
    """
    said = []
    if left.count:
        said.append(
            f"{part(left.count, total, left.unit)} left out, so nothing is concluded from the rest: {left.kinds()}."
        )
    if missing:
        it, counts = ("it", "it counts") if missing == 1 else ("them", "they count")
        said.append(
            f"{part(missing, total, left.unit, verb=('has', 'have'))} no score, so no comparison that needs {it} is decided "
            f"({counts} as missing, not as failed)."
        )
    if absent[0] and not left.count:
        said.append(
            f"{absent[0]:,} of {absent[1]:,} pairs of variant and seed {'has' if absent[0] == 1 else 'have'} no row, so no "
            f"comparison that needs {'it' if absent[0] == 1 else 'them'} is decided."
        )
    read = [f"How the file was read: {'; '.join(notes)}."] if notes else []
    return (*([" ".join(said)] if said else []), *read)
