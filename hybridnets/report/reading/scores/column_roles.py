"""What the columns of a table of scores are for, by their names and values: settings, states, data sets, or nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from hybridnets.report.reading.scores import cell_values
from hybridnets.report.reading.scores.column_names import (
    FLAGS,
    GOALS,
    NEEDED,
    OPTIONAL,
    STATES,
    is_about_score,
    is_data,
    is_data_set,
    is_part,
)
from hybridnets.report.reading.scores.long_form import ScoreRow


class UnknownStateError(ValueError):
    """A cell has a word that does not say how its run ended.

    Args:
        column: The column.
        word: The word.
    """

    def __init__(self, column: str, word: str) -> None:
        super().__init__(
            f"{column} must say how the run ended (finished, failed or running, or a word of SLURM, Optuna, MLflow, W&B or "
            f"Ray), got {word}"
        )
        self.column = column
        self.word = word


@dataclass(frozen=True)
class ColumnRoles:
    """What the columns other than variant, seed and score are for.

    Attributes:
        states: Columns that say how a run ended.
        data_sets: Columns that name one of several data sets: each combination of their values is one.
        data: Columns that name one of several parts of a data set, or metrics.
        distinguishing: Columns in which runs of the same variant and seed differ, so that they are several variants.
        unused: Columns that differ between the runs of a variant and distinguish none, such as a time or a loss.
        settings: All others: at most one value per variant.
    """

    states: tuple[str, ...]
    data_sets: tuple[str, ...]
    data: tuple[str, ...]
    distinguishing: tuple[str, ...]
    unused: tuple[str, ...]
    settings: tuple[str, ...]

    @property
    def split_is_part(self) -> bool:
        """Whether the column split names a part of the data, such as test, and not one of several splits."""
        return "split" in (*self.data, *self.settings)


def assign_roles(rows: Sequence[ScoreRow]) -> ColumnRoles:
    """What the columns other than variant, seed and score are for.

    Args:
        rows: The rows, one per run.
    """
    names = dict.fromkeys(name for row in rows for name in row.values)
    values = {name: _ColumnValues(name, rows) for name in names}
    split_is_part = "split" in names and bool(values["split"].distinct) and all(map(is_part, values["split"].distinct))
    free = [name for name in names if name not in (*NEEDED, *OPTIONAL) or (split_is_part and name == "split")]
    states = [n for n in free if n in (*STATES, *FLAGS) or (n in GOALS and _says_yes_or_no(values[n]))]
    parts = [name for name in free if (name == "split" or is_data(name)) and values[name].differ_at_all]
    data_sets = [name for name in parts if is_data_set(name)]
    data = [name for name in parts if name not in data_sets]
    parts_and_kinds = [*parts, *(name for name in free if is_about_score(name, values[name].distinct))]
    varying = [
        name for name in free if name not in (*states, *parts_and_kinds) and values[name].differ_within_a_variant
    ]
    distinguishing = _distinguishing(rows, sorted(varying, key=lambda name: len(values[name].distinct)), parts, values)
    unused = [name for name in varying if name not in distinguishing]
    settings = [name for name in free if name not in (*states, *parts_and_kinds, *varying)]
    return ColumnRoles(*map(tuple, (states, data_sets, data, distinguishing, unused, settings)))


def run_state(row: ScoreRow, states: Sequence[str]) -> str:
    """How a run ended: failed, unfinished, or nothing if no column says either.

    Args:
        row: The run's row.
        states: The columns that say how a run ended.

    Raises:
        UnknownStateError: If a cell has an unknown word, so that nobody knows how the run ended.
    """
    columns = {_meaning(name, row.values[name]): name for name in reversed(states)}
    if "?" in columns and "failed" not in columns:
        raise UnknownStateError(columns["?"], row.values[columns["?"]])
    return next((state for state in ("failed", "unfinished") if state in columns), "")


def unusual_flag(rows: Sequence[ScoreRow], states: Sequence[str]) -> tuple[str, str] | None:
    """The first word other than yes and no by which a column such as `failed` says that a run failed: column and word.

    Args:
        rows: The rows, one per run.
        states: The columns that say how a run ended.
    """
    cells = ((name, row.values[name]) for name in states if name in FLAGS for row in rows)
    failures = ((name, text) for name, text in cells if cell_values.parse_flag(text) == "failed")
    return next(((name, text) for name, text in failures if text.casefold() not in cell_values.YES), None)


@dataclass(frozen=True)
class _ColumnValues:
    """The values of one column."""

    name: str
    rows: Sequence[ScoreRow]

    @cached_property
    def by_variant(self) -> dict[str, set[str]]:
        """The distinct values of each variant; an empty cell is no value."""
        values: dict[str, set[str]] = {}
        for row in self.rows:
            if value := row.values[self.name]:
                values.setdefault(row.values["variant"], set()).add(value)
        return values

    @cached_property
    def distinct(self) -> set[str]:
        return set().union(*self.by_variant.values())

    @property
    def differ_at_all(self) -> bool:
        """Whether the runs differ in it; an empty cell counts as a value."""
        return len({row.values[self.name] for row in self.rows}) > 1

    @property
    def differ_within_a_variant(self) -> bool:
        """Whether some variant has several values."""
        return any(len(values) > 1 for values in self.by_variant.values())


def _distinguishing(
    rows: Sequence[ScoreRow], varying: Sequence[str], data: Sequence[str], values: dict[str, _ColumnValues]
) -> list[str]:
    """The columns that distinguish runs of the same variant and seed, those with the fewest values first."""
    chosen: list[str] = []

    def count_distinct() -> int:
        columns = ("variant", "seed", *data, *chosen)
        return len({tuple(row.values[name] for name in columns) for row in rows})

    distinct = count_distinct()
    for name in varying:
        if distinct == len(rows):
            break
        if len(values[name].distinct) * 2 > len(rows):  # a measurement, which differs between any two runs
            break
        chosen.append(name)
        if (more := count_distinct()) > distinct:
            distinct = more
        else:
            chosen.pop()
    return chosen


def _says_yes_or_no(values: _ColumnValues) -> bool:
    """Whether a column such as `finished` holds nothing but yes, no and states: no dates, and no shares of successes."""
    return bool(values.distinct) and all(_meaning(values.name, value) != "?" for value in values.distinct)


def _meaning(name: str, value: str) -> str:
    """How a run ended by one cell: failed, unfinished, finished, nothing, or a question mark for an unknown word."""
    if name in FLAGS:
        return cell_values.parse_flag(value)
    if name in GOALS and value.casefold() in cell_values.YES:
        return "finished"
    if name in GOALS and value.casefold() in cell_values.NO:
        return "failed" if name.startswith("succe") else "unfinished"
    return cell_values.parse_state(value)
