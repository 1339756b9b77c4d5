"""Which columns of anybody's table are settings of its variants, and which rows they leave without a place."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from hybridnets.report.reading.scores import cell
from hybridnets.report.reading.scores.layout import FLAGS, GOALS, NEEDED, OPTIONAL, STATES, Entry, is_data, is_part


@dataclass(frozen=True)
class Columns:
    """What the columns besides variant, seed and score are.

    Attributes:
        states: Those that say how a training ended.
        data: Those that name one of several data sets, parts of one, or metrics.
        parting: Those by which a variant has several trainings of one seed, so that it is several variants in truth.
        unused: Those that differ between the trainings of a variant and part nothing, such as a time or a loss.
        settings: All others: one value a variant, or none.
    """

    states: tuple[str, ...]
    data: tuple[str, ...]
    parting: tuple[str, ...]
    unused: tuple[str, ...]
    settings: tuple[str, ...]

    @property
    def split_is_part(self) -> bool:
        """Whether the column split names a part of the data, such as test, and tells no split from another."""
        return "split" in (*self.data, *self.settings)


def columns(found: Sequence[Entry]) -> Columns:
    """What the columns besides variant, seed and score are, by the values that they have.

    Args:
        found: The trainings.
    """
    names = dict.fromkeys(name for entry in found for name in entry.values)
    values = {name: _Values(name, found) for name in names}
    parts = "split" in names and bool(values["split"].all) and all(map(is_part, values["split"].all))
    others = [name for name in names if name not in (*NEEDED, *OPTIONAL) or (parts and name == "split")]
    states = [name for name in others if name in (*STATES, *FLAGS) or (name in GOALS and _says_yes_or_no(values[name]))]
    data = [name for name in others if (name == "split" or is_data(name)) and values[name].differ]
    varying = [name for name in others if name not in (*states, *data) and values[name].varies]
    parting = _parting(found, sorted(varying, key=lambda name: len(values[name].all)), data, values)
    unused = [name for name in varying if name not in parting]
    rest = [name for name in others if name not in (*states, *data, *varying)]
    return Columns(*map(tuple, (states, data, parting, unused, rest)))


def state(entry: Entry, states: Sequence[str]) -> str:
    """What the columns that say how a training ended say of one: failed, unfinished, or nothing.

    Args:
        entry: The training.
        states: The columns.

    Raises:
        ValueError: If a cell holds another word, so that nobody knows how the training ended.
    """
    said = {_meaning(name, entry.values[name]): name for name in reversed(states)}
    if "?" in said and "failed" not in said:
        raise ValueError(
            f"{said['?']} must say how the training ended (finished, failed or running, or as SLURM, Optuna, MLflow, W&B and "
            f"Ray say it), got {entry.values[said['?']]}"
        )
    return next((word for word in ("failed", "unfinished") if word in said), "")


def unusual_flag(found: Sequence[Entry], states: Sequence[str]) -> tuple[str, str] | None:
    """The first word besides yes and no by which a column such as `failed` says that a training failed; with the column.

    Args:
        found: The trainings.
        states: The columns that say how a training ended.
    """
    cells = ((name, entry.values[name]) for name in states if name in FLAGS for entry in found)
    return next(
        ((name, text) for name, text in cells if cell.flag(text) == "failed" and text.casefold() not in cell.YES), None
    )


@dataclass(frozen=True)
class _Values:
    """The values of one column."""

    name: str
    found: Sequence[Entry]

    @cached_property
    def by_variant(self) -> dict[str, dict[str, Entry]]:
        """The values of each variant, each with the first training that has it; an empty cell is no value."""
        values: dict[str, dict[str, Entry]] = {}
        for entry in self.found:
            if value := entry.values[self.name]:
                values.setdefault(entry.values["variant"], {}).setdefault(value, entry)
        return values

    @cached_property
    def all(self) -> set[str]:
        return {value for values in self.by_variant.values() for value in values}

    @property
    def differ(self) -> bool:
        """Whether the trainings do not all have one value, or none."""
        return len({entry.values[self.name] for entry in self.found}) > 1

    @property
    def varies(self) -> bool:
        """Whether some variant has several values."""
        return any(len(values) > 1 for values in self.by_variant.values())


def _parting(
    found: Sequence[Entry], varying: Sequence[str], data: Sequence[str], values: dict[str, _Values]
) -> list[str]:
    """The columns, of the fewest values first, that tell apart what variant and seed alone do not."""
    chosen: list[str] = []

    def distinct() -> int:
        columns = ("variant", "seed", *data, *chosen)
        return len({tuple(entry.values[name] for name in columns) for entry in found})

    apart = distinct()
    for name in varying:
        if apart == len(found):
            break
        if len(values[name].all) * 2 > len(found):  # a measurement, which tells any two trainings apart
            break
        chosen.append(name)
        if (now := distinct()) > apart:
            apart = now
        else:
            chosen.pop()
    return chosen


def _says_yes_or_no(values: _Values) -> bool:
    """Whether a column such as `finished` holds nothing else: no date, and no share of successes."""
    return bool(values.all) and all(_meaning(values.name, value) != "?" for value in values.all)


def _meaning(name: str, value: str) -> str:
    if name in GOALS:
        no = "failed" if name.startswith("succe") else "unfinished"
        return "finished" if value.casefold() in cell.YES else no if value.casefold() in cell.NO else cell.state(value)
    return cell.flag(value) if name in FLAGS else cell.state(value)
