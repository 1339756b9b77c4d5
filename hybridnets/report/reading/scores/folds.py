"""The folds of a cross-validation in a table of scores: which fold of which repetition a row is, and what pairs with what."""

import re
from collections.abc import Sequence
from dataclasses import replace

from hybridnets.report.reading.results import Fold
from hybridnets.report.reading.scores import cell_values
from hybridnets.report.reading.scores.column_names import is_data, is_data_set, is_part
from hybridnets.report.reading.scores.left_out import LeftOutRows
from hybridnets.report.reading.scores.long_form import ScoreRow
from hybridnets.report.text import natural

NUMBER = re.compile(r"(?:[a-z][a-z\s_=:#-]*)?([0-9]+)(?:\.0*)?", re.IGNORECASE)  # 3, 3.0, fold3, cv fold 3
IN_SPLIT = re.compile(r"fold\D*?([0-9]+)", re.IGNORECASE)


def with_folds(rows: Sequence[ScoreRow], left_out: LeftOutRows) -> tuple[list[ScoreRow], list[str]]:
    """The rows with their folds, and with seeds that number what pairs; and a note on how the folds were understood.

    A column fold is the fold of a k-fold cross-validation, with a column repetition of a repeated one. Without that column
    the seed tells the repetitions apart where a variant has a fold several times. Equal names in a column split are equal
    splits, whose seeds are averaged; those with the word fold are folds, too.

    Args:
        rows: The rows, one per run.
        left_out: The rows that are left out, to which those are added whose fold is no number.
    """
    if len({row.values.get("fold", "") for row in rows}) < 2:
        return _with_named_splits(rows)
    kept = []
    for row in rows:
        rule = "fold must be a whole number"
        if NUMBER.fullmatch(row.values["fold"]):
            kept.append(row)
        else:
            left_out.add(row.line, f"{rule}, got {row.values['fold'] or 'nothing'}", rule)
    return _with_numbered_folds(kept) if kept else ([], [])


def _with_numbered_folds(rows: Sequence[ScoreRow]) -> tuple[list[ScoreRow], list[str]]:
    """The rows with the folds of their column."""
    column = _repetition_column(rows)
    repetitions = _repetitions(rows, column)
    counts = _counts(rows, [_number(row) for row in rows])
    folds = []
    for row, repetition, count in zip(rows, repetitions, counts, strict=True):
        name = f"fold {_number(row)}"
        folds.append(Fold(f"repetition {repetition}, {name}" if column else name, count, repetition))
    places = [(repetition, _number(row)) for row, repetition in zip(rows, repetitions, strict=True)]
    is_nested = column not in ("", "seed") and _repeats(rows, places)
    keys = [(*place, row.values["seed"] * is_nested) for row, place in zip(rows, places, strict=True)]
    seeds = _seeds(rows, keys, [repetition for repetition, _ in places])
    new = [
        replace(row, values={**row.values, "seed": seed}, fold=fold)
        for row, seed, fold in zip(rows, seeds, folds, strict=True)
    ]
    note = _note("fold", new)
    if column == "seed":
        note += " with other folds for each seed (if they are the same for all seeds: --map split=fold)"
    return new, [note]


def _note(column: str, rows: Sequence[ScoreRow]) -> str:
    folds = [row.fold for row in rows if row.fold]
    counts, repetitions = {fold.folds for fold in folds}, len({fold.repetition for fold in folds})
    k = " to ".join(map(str, sorted({min(counts), max(counts)})))
    repeated = f", repeated {repetitions} times" if repetitions > 1 else ""
    return f"the column {column} as the folds of a {k}-fold cross-validation{repeated}"


def _repetition_column(rows: Sequence[ScoreRow]) -> str:
    """The column that tells the repetitions apart; empty where there is one repetition."""
    splits = {row.values.get("split", "") for row in rows}
    names = ["repetition", *(["split"] if not all(map(is_part, splits)) else []), "seed"]
    return next((name for name in names if _has_several(rows, name)), "")


def _has_several(rows: Sequence[ScoreRow], column: str) -> bool:
    """Whether a variant has a fold of one data set with several values of a column."""
    first: dict[tuple[str, ...], str] = {}
    return any(
        first.setdefault((*_apart(row), str(_number(row))), row.values.get(column, "")) != row.values.get(column, "")
        for row in rows
    )


def _repetitions(rows: Sequence[ScoreRow], column: str) -> list[str]:
    """The repetition of each row; seeds that number all folds of all repetitions count them within each fold."""
    values = [row.values.get(column, "") for row in rows]
    numbers = [_number(row) for row in rows]
    folds = {value: {n for v, n in zip(values, numbers, strict=True) if v == value} for value in set(values)}
    if column != "seed" or any(len(of) > 1 for of in folds.values()):
        return values
    by_fold = {n: sorted({v for v in values if folds[v] == {n}}, key=natural) for n in set(numbers)}
    return [str(by_fold[n].index(value)) for value, n in zip(values, numbers, strict=True)]


def _seeds(rows: Sequence[ScoreRow], keys: Sequence[tuple[str, int, str]], repetitions: Sequence[str]) -> list[str]:
    """What numbers the pairs: the fold, or the seed where it does so already, or else the place among all folds."""
    if len(set(repetitions)) == 1 and not any(seed for *_, seed in keys):
        return [str(fold) for _, fold, _ in keys]
    seeds = {(key, row.values["seed"]) for key, row in zip(keys, rows, strict=True)}
    if len({key for key, _ in seeds}) == len({seed for _, seed in seeds}) == len(seeds):
        return [row.values["seed"] for row in rows]
    order = {
        key: n for n, key in enumerate(sorted(set(keys), key=lambda key: (natural(key[0]), key[1], natural(key[2]))))
    }
    return [str(order[key]) for key in keys]


def _with_named_splits(rows: Sequence[ScoreRow]) -> tuple[list[ScoreRow], list[str]]:
    """The rows with the folds that their splits name, and with seeds that number split and seed where seeds repeat."""
    splits = [row.values.get("split", "") for row in rows]
    if not any(splits) or all(map(is_part, splits)):
        return list(rows), []
    if _repeats(rows, [row.values["seed"] for row in rows]) and len(set(splits)) > 1:
        keys = [(split, row.values["seed"]) for split, row in zip(splits, rows, strict=True)]
        places = {key: n for n, key in enumerate(sorted(set(keys), key=lambda key: (natural(key[0]), natural(key[1]))))}
        rows = [
            replace(row, values={**row.values, "seed": str(places[key])}) for row, key in zip(rows, keys, strict=True)
        ]
    if not all("fold" in split.casefold() for split in splits):
        return list(rows), []
    matches = [IN_SPLIT.search(split) for split in splits]
    counts = _counts(rows, [match[1] if match else split for match, split in zip(matches, splits, strict=True)])
    new = [
        replace(row, fold=Fold(split, count, split.replace(match[0], "") if match else ""))
        for row, split, match, count in zip(rows, splits, matches, counts, strict=True)
    ]
    return new, [_note("split", new)]


def _counts(rows: Sequence[ScoreRow], folds: Sequence[object]) -> list[int]:
    """The number of folds of each row's cross-validation: as its sizes say, or else how many its data set has."""
    by_data: dict[tuple[str, ...], set[object]] = {}
    for row, fold in zip(rows, folds, strict=True):
        by_data.setdefault(_data_set(row), set()).add(fold)
    return [_count_by_sizes(row) or len(by_data[_data_set(row)]) for row in rows]


def _count_by_sizes(row: ScoreRow) -> int:
    """How many folds there are by the sizes of training and held-out part; 0 where they are not known."""
    try:
        train, held_out = (cell_values.parse_number(row.values.get(name, "")) for name in ("n_train", "n_val"))
        return max(2, round(1 + train / held_out))
    except (ValueError, ZeroDivisionError, OverflowError):
        return 0


def _repeats(rows: Sequence[ScoreRow], places: Sequence[object]) -> bool:
    """Whether a variant has the same place several times on one data set."""
    keys = [(*_apart(row), place) for row, place in zip(rows, places, strict=True)]
    return len(set(keys)) < len(keys)


def _apart(row: ScoreRow) -> tuple[str, ...]:
    """What is no repetition of each other: the variant, and what no comparison mixes."""
    parts = (v for name, v in row.values.items() if is_data(name) or (name == "split" and is_part(v)))
    return (row.values["variant"], *parts)


def _data_set(row: ScoreRow) -> tuple[str, ...]:
    return tuple(value for name, value in row.values.items() if is_data_set(name))


def _number(row: ScoreRow) -> int:
    match = NUMBER.fullmatch(row.values["fold"])
    assert match is not None  # `with_folds` leaves out others
    return int(match[1])
