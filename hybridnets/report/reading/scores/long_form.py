"""Any table of scores in long form: one row per run, with variant, seed and score, also of a wide table."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hybridnets.report.reading.results import Fold
from hybridnets.report.reading.scores import cell_values
from hybridnets.report.reading.scores.column_names import (
    BY_SEED,
    DATA,
    NEEDED,
    canonical,
    is_known,
    is_measure,
    normalise,
)
from hybridnets.report.reading.scores.text_table import Line, TextTable

MAX_NAMES = 3  # that a sentence lists
FOLD = re.compile(r"(?:cv[\s_-]*)?fold[\s_=:#-]*[0-9]+", re.IGNORECASE)


@dataclass(frozen=True)
class ScoreRow:
    """One run as the table describes it.

    Attributes:
        line: Its line.
        values: Its cells by column; an empty seed where folds number the runs.
        fold: Its fold; None until `with_folds` finds one.
    """

    line: int
    values: dict[str, str]
    fold: Fold | None = None


@dataclass(frozen=True)
class LongTable:
    """A table in long form.

    Attributes:
        rows: One per run.
        unit: Where the file has the score of one run: in a row, or in a cell of a wide table.
        notes: How the table was read, in a few words each; empty if it was in long form already.
    """

    rows: list[ScoreRow]
    unit: str
    notes: tuple[str, ...]


def to_long_form(table: TextTable) -> LongTable:
    """The table in long form.

    Args:
        table: The table; upper and lower case of its columns' names do not matter.

    Raises:
        ValueError: If its columns do not give variant, seed and score.
    """
    header = canonical(table.header)
    named = [name for name in header if name]
    if twice := [name for name in dict.fromkeys(named) if named.count(name) > 1]:
        raise ValueError(f"must have each column once, got {', '.join(twice)} twice")
    lacking = [name for name in NEEDED if name not in header]
    if not lacking or (lacking == ["seed"] and "fold" in header):
        named_columns, notes = _named_columns(header)
        rows = [_row(line, {header[n]: line.cells[n] for n in named_columns}) for line in table.rows]
        return LongTable(rows, table.unit, notes)
    wide = None
    if "score" not in header and table.rows:
        numbered = all(map(_is_seed, header[1:])) or all(map(_is_fold, header[1:]))
        if not header[0] and numbered and not all(_is_seed(x.cells[0]) for x in table.rows):
            header[0] = "variant"  # the transpose of a table whose unnamed first column numbers the seeds
        wide = (
            _column_per_variant(header, table.rows) if "variant" not in header else _column_per_seed(header, table.rows)
        )
    if wide is None:
        raise ValueError(
            f"must have the columns variant, seed and score, got {', '.join(named) or 'nothing'}: {', '.join(lacking)} is "
            "missing (or, as a wide table, the column seed and a column of scores for each variant; or say which column "
            "is what: --map variant=COLUMN seed=COLUMN score=COLUMN)"
        )
    return wide


def _row(line: Line, values: dict[str, str]) -> ScoreRow:
    """A run's row, in which NA is no value of a setting."""
    cells = {name: "" if name not in NEEDED and cell_values.is_absent(text) else text for name, text in values.items()}
    return ScoreRow(line.number, {"seed": "", **cells} if "fold" in cells else cells)


def _named_columns(header: Sequence[str], index: int | None = None) -> tuple[list[int], tuple[str, ...]]:
    """The places of the named columns, and a note on the unnamed ones but for the index."""
    named = [n for n, name in enumerate(header) if name]
    dropped = len(header) - len(named) - (index is not None)
    columns = "an unnamed column is" if dropped == 1 else f"{dropped} unnamed columns are"
    return named, (f"{columns} dropped as an index",) * (dropped > 0)


def _column_per_variant(header: list[str], lines: Sequence[Line]) -> LongTable | None:
    """The long form of a table with one row per seed and one column per variant; None if it is no such table."""
    has_folds = "fold" in header
    seeds: int | None = header.index("seed") if "seed" in header else 0 if not header[0] and not has_folds else None
    if seeds == 0 and not header[0] and not all(_is_seed(line.cells[0]) for line in lines):
        return _row_per_data_set(header, lines, 0)
    named, notes = _named_columns(header, seeds if seeds is not None and not header[seeds] else None)
    variants = [n for n in named if n != seeds and not is_known(header[n]) and _holds_scores(lines, n)]
    if len(variants) < 2:
        return None
    if measures := [header[n] for n in variants if is_measure(header[n])]:
        raise ValueError(
            f"must have one column of scores per variant if it has no column variant, got {_first_names(measures)}, which may "
            "be something else: give the columns variant, seed and score, or name the column that numbers the rows, as in "
            "--map seed=COLUMN"
        )
    by_seed = [n for n in named if n not in (seeds, *variants)]
    legal = {*BY_SEED, *DATA} if seeds is not None or has_folds else set()
    if seeds is None and len(by_seed) == 1 and normalise(header[by_seed[0]]) in DATA:
        return _row_per_data_set(header, lines, by_seed[0])
    if any(normalise(header[n]) not in legal for n in by_seed):
        return None
    rows = []
    for place, line in enumerate(lines):
        common = {header[n]: line.cells[n] for n in by_seed}
        seed = line.cells[seeds] if seeds is not None else "" if has_folds else str(place)
        rows += [_row(line, {**common, "variant": header[n], "seed": seed, "score": line.cells[n]}) for n in variants]
    if has_folds and seeds is None:
        numbering = ""
    elif seeds is None:
        numbering = ", numbered from 0 because there is no column seed: the scores of a row form a pair"
    else:
        numbering = "" if header[seeds] else ", numbered by the unnamed first column"
    names = _first_names([header[n] for n in variants])
    return LongTable(
        rows,
        "cell",
        (
            f"one column for each variant ({names}) and one row for each {'fold' if has_folds else 'seed'}{numbering}",
            *notes,
        ),
    )


def _row_per_data_set(header: list[str], lines: Sequence[Line], column: int) -> LongTable | None:
    """The long form of a table with one row per data set, named in a column, as for autorank; None if it is no such table."""
    names = [line.cells[column] for line in lines]
    variants = [n for n, name in enumerate(header) if name and not is_known(name) and _holds_scores(lines, n)]
    if len(variants) < 2 or len(variants) < len(header) - 1 or len({*names}) < len(names):
        return None
    if any(is_measure(header[n]) for n in variants) or any(map(cell_values.is_missing, names)):
        return None
    rows = [
        _row(line, {"dataset": line.cells[column], "variant": header[n], "seed": "0", "score": line.cells[n]})
        for line in lines
        for n in variants
    ]
    first = _first_names([header[n] for n in variants])
    how = (
        f"one column for each variant ({first}) and one row for each data set ({_first_names(names)}), all with seed 0"
    )
    return LongTable(rows, "cell", (how,))


def _column_per_seed(header: list[str], lines: Sequence[Line]) -> LongTable | None:
    """The long form of a table with one row per variant and one column per seed; None if it is no such table."""
    named, notes = _named_columns(header)
    by_fold = [n for n in named if _is_fold(header[n])]
    seeds = by_fold or [n for n in named if _is_seed(header[n])]
    if len(seeds) < 2 or "fold" in header or ("seed" in header and not by_fold):
        return None
    numbered = "fold" if by_fold else "seed"
    rows = []
    for line in lines:
        common = {header[n]: line.cells[n] for n in named if n not in seeds}
        rows += [_row(line, {**common, numbered: header[n], "score": line.cells[n]}) for n in seeds]
    names = _first_names([header[n] for n in seeds])
    how = f"one row for each variant and one column for each {numbered} ({names})"
    return LongTable(rows, "cell", (how, *notes))


def _is_seed(text: str) -> bool:
    try:
        cell_values.parse_seed(text)
    except ValueError:
        return False
    return True


def _is_fold(text: str) -> bool:
    return FOLD.fullmatch(text) is not None


def _holds_scores(lines: Sequence[Line], column: int) -> bool:
    """Whether at least half of a column's values are scores, so that the others are reported; true for an empty column."""
    cells = [line.cells[column] for line in lines if not cell_values.is_missing(line.cells[column])]
    return sum(cell_values.is_number(text) or cell_values.is_failure(text) for text in cells) * 2 >= len(cells)


def _first_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES + 1 else ""
    return ", ".join(names[:MAX_NAMES] if more else names) + more
