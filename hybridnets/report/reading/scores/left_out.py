"""The rows of a file of scores that are left out, counted by what is wrong with them, and the report's first sentences."""

from collections.abc import Sequence

from hybridnets.report.reading.scores.text_table import Places

MAX_KINDS = 6  # that the report's first sentence lists


class LeftOutRows:
    """The rows that are left out, by what is wrong with them.

    Args:
        unit: Where the score of one run is: in a row, or in a cell of a wide table.
    """

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self._first: dict[str, tuple[int, str]] = {}
        self._count: dict[str, int] = {}
        self._advice: dict[str, str] = {}

    @property
    def count(self) -> int:
        """How many rows are left out."""
        return sum(self._count.values())

    def add(self, line: int, reason: str, kind: str, advice: str = "") -> None:
        """Leaves out one more row.

        Args:
            line: Its line.
            reason: What is wrong with it, with the value got.
            kind: What is wrong with all rows of this kind, in a few words.
            advice: What to do about it, if the kind does not say that.
        """
        self._first.setdefault(kind, (line, reason))
        self._count[kind] = self._count.get(kind, 0) + 1
        self._advice[kind] = advice

    def sentences(self, places: Places) -> list[str]:
        """A sentence on each kind, with its first line and the number of similar rows.

        Args:
            places: Where the rows are.
        """
        sentences = []
        for kind, (line, reason) in self._first.items():
            more = self._count[kind] - 1
            similar = f" (and {more:,} more {self.unit}{'s' * (more > 1)} like it)" if more else ""
            sentences.append(f"{places.of(line)}{similar}: {reason}; {'they are' if more else 'it is'} left out")
        return sentences

    def kinds(self) -> str:
        """The first kinds in a few words with their counts, and what to do."""
        advice = [text for text in dict.fromkeys(self._advice.values()) if text]
        kinds = list(self._count.items())
        if len(kinds) > MAX_KINDS + 1:
            kinds = [*kinds[:MAX_KINDS], ("other", sum(count for _, count in kinds[MAX_KINDS:]))]
        return "; ".join([", ".join(f"{kind} ({count:,})" for kind, count in kinds), *advice])


def count_of(count: int, total: int, unit: str, *, verb: tuple[str, str] = ("is", "are")) -> str:
    """Some of all rows as the beginning of a sentence: `2 of 10 rows are`.

    Args:
        count: How many.
        total: How many rows in all.
        unit: A row, or a cell.
        verb: The verb, in the singular and in the plural.
    """
    return f"{count:,} of {total:,} {unit}{'s' * (total != 1)} {verb[count != 1]}"


def first_sentences(
    left_out: LeftOutRows,
    without_score: int,
    total: int,
    without_row: tuple[int, int],
    notes: Sequence[str],
    pair: str = "seed",
) -> tuple[str, ...]:
    """The first sentences of a report: what is left out or missing, with its count, and how the file was read.

    Args:
        left_out: The rows that are left out.
        without_score: How many rows have no score.
        total: How many rows the file has.
        without_row: How many pairs of a variant and a seed have no row, and how many pairs there are.
        notes: How the file was read, in a few words each.
        pair: What pairs the scores of two variants: a seed, or a fold.
    """
    sentences = []
    if left_out.count:
        rows = count_of(left_out.count, total, left_out.unit)
        sentences.append(f"{rows} left out, so nothing is concluded from the rest: {left_out.kinds()}.")
    if without_score:
        rows = count_of(without_score, total, left_out.unit, verb=("has", "have"))
        object_, counts = ("it", "it counts") if without_score == 1 else ("them", "they count")
        sentences.append(
            f"{rows} no score, so no comparison that needs {object_} is decided ({counts} as missing, not as failed)."
        )
    count, pairs = without_row
    if count and not left_out.count:
        have, object_ = ("has", "it") if count == 1 else ("have", "them")
        sentences.append(
            f"{count:,} of {pairs:,} pairs of variant and {pair} {have} no row, so no comparison that needs {object_} is "
            "decided."
        )
    how = [f"How the file was read: {'; '.join(notes)}."] if notes else []
    return (*([" ".join(sentences)] if sentences else []), *how)
