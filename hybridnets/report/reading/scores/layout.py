"""Which column of anybody's table means what: a row for each training, or a wide table spread out into such rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from hybridnets.report.reading.scores import cell
from hybridnets.report.reading.scores.sheet import Line, Sheet

NEEDED = ("variant", "seed", "score")
BY_SEED = ("split", "n_train", "n_val")  # what a wide table's row may say of all its variants
OPTIONAL = (*BY_SEED, "predictions", "seconds", "parameters")
STATES = (  # columns that say how a training ended, in a word
    *("status", "state", "run_status", "run_state", "job_status", "job_state", "trial_status", "trial_state"),
)
FLAGS = (  # columns that say nothing, or no, of a training that did not fail
    *("failed", "diverged", "crashed", "failure", "failure_reason", "exception", "error_message", "oom", "timed_out"),
    *("exit_code", "exitcode"),
)
GOALS = ("success", "succeeded", "finished", "completed")  # columns that may say no of one that did not get there
KNOWN = {*NEEDED, *OPTIONAL, *STATES, *FLAGS, *GOALS}
# Columns whose values no comparison may mix, also where each variant has one value only.
DATA = {
    *(
        "data",
        "dataset",
        "datasets",
        "data_set",
        "data_sets",
        "dataset_name",
        "benchmark",
        "benchmarks",
        "corpus",
        "corpora",
    ),
    *(
        "domain",
        "domains",
        "env",
        "envs",
        "env_id",
        "env_name",
        "environment",
        "environments",
        "task",
        "tasks",
        "task_name",
    ),
    *("game", "games", "metric", "metrics", "metric_name", "measure", "score_name", "score_type"),
    *(
        "phase",
        "stage",
        "part",
        "partition",
        "subset",
        "split_name",
        "split_type",
        "data_split",
        "eval_split",
        "eval_set",
    ),
}
# Columns of numbers that are no variants, in a table that could be taken for a wide one.
MEASURES = {
    *("acc", "accuracy", "top1", "top5", "precision", "recall", "f1", "auc", "bleu", "reward", "return"),
    *("loss", "error", "mse", "rmse", "mae", "perplexity", "time", "seconds", "lr", "n", "size"),
    *("epoch", "step", "iteration", "fold", "run", "trial", "index", "id"),
}
PARTS = {
    *("train", "training", "val", "valid", "validation", "dev", "development", "test", "testing", "eval", "evaluation"),
    *("holdout", "heldout"),
}
SHOWN = 3  # names that a sentence lists


@dataclass(frozen=True)
class Entry:
    """One training as a table tells it: the line it stands in, and its cells by column."""

    line: int
    values: dict[str, str]


@dataclass(frozen=True)
class Entries:
    """The trainings of a table.

    Attributes:
        entries: The trainings.
        unit: What one of them stands in: a row, or a cell of a wide table.
        notes: How the table was read, in a few words each; empty for a row each without a column to drop.
    """

    entries: list[Entry]
    unit: str
    notes: tuple[str, ...]


def entries(sheet: Sheet) -> Entries:
    """The trainings of a table.

    Args:
        sheet: The table. Its columns' names count in any case.

    Raises:
        ValueError: If its columns do not tell variant, seed and score.
    """
    header = [plain if (plain := _plain(name)) in KNOWN else name for name in sheet.header]
    named = [name for name in header if name]
    if twice := [name for name in dict.fromkeys(named) if named.count(name) > 1]:
        raise ValueError(f"must have each column once, got {', '.join(twice)} twice")
    lacking = [name for name in NEEDED if name not in header]
    if not lacking:
        kept, notes = _without_unnamed(header)
        read = [_entry(line, {header[n]: line.cells[n] for n in kept}) for line in sheet.rows]
        return Entries(read, "row", notes)
    found = None
    if "score" not in header and sheet.rows:
        found = _by_variant(header, sheet.rows) if "variant" not in header else _by_seed(header, sheet.rows)
    if found is None:
        raise ValueError(
            f"must have the columns variant, seed and score, got {', '.join(named) or 'nothing'}: {', '.join(lacking)} is "
            "missing (or, as a wide table, the column seed and a column of scores for each variant)"
        )
    return found


def _entry(line: Line, values: dict[str, str]) -> Entry:
    """A training, in whose settings NA is no value."""
    return Entry(line.number, {k: "" if k not in NEEDED and cell.absent(text) else text for k, text in values.items()})


def _without_unnamed(header: Sequence[str], but: int | None = None) -> tuple[list[int], tuple[str, ...]]:
    """The places of the columns that have a name, and words on the others."""
    kept = [n for n, name in enumerate(header) if name]
    dropped = len(header) - len(kept) - (but is not None)
    words = "an unnamed column is" if dropped == 1 else f"{dropped} unnamed columns are"
    return kept, (f"{words} dropped, taken for an index",) * (dropped > 0)


def _by_variant(header: list[str], rows: Sequence[Line]) -> Entries | None:
    """The trainings of a table with a row for each seed and a column for each variant; None where it is none."""
    seeds: int | None = header.index("seed") if "seed" in header else 0 if not header[0] else None
    if seeds == 0 and not header[0] and not all(_is_seed(line.cells[0]) for line in rows):
        return None
    kept, notes = _without_unnamed(header, seeds if seeds is not None and not header[seeds] else None)
    variants = [n for n in kept if n != seeds and not _is_known(header[n]) and _holds_numbers(rows, n)]
    if len(variants) < 2:
        return None
    if measures := [header[n] for n in variants if _is_measure(header[n])]:
        raise ValueError(
            f"must have one column of scores for each variant where it has no column variant, got {_few(measures)}, named "
            "like something else: give the columns variant, seed and score, or call the column that numbers the rows seed"
        )
    others = [n for n in kept if n not in (seeds, *variants)]
    allowed = {*BY_SEED, *DATA} if seeds is not None else set()
    if any(_plain(header[n]) not in allowed for n in others):
        return None
    read = [
        _entry(
            line,
            {
                **{header[i]: line.cells[i] for i in others},
                **{
                    "variant": header[n],
                    "seed": str(place) if seeds is None else line.cells[seeds],
                    "score": line.cells[n],
                },
            },
        )
        for place, line in enumerate(rows)
        for n in variants
    ]
    what = (
        ", numbered from 0 for want of a column seed: the scores of a row are taken for a pair" if seeds is None else ""
    )
    what = what or ("" if header[seeds or 0] else ", which its unnamed first column numbers")
    told = f"one column for each variant ({_few([header[n] for n in variants])}) and one row for each seed{what}"
    return Entries(read, "cell", (told, *notes))


def _by_seed(header: list[str], rows: Sequence[Line]) -> Entries | None:
    """The trainings of a table with a row for each variant and a column for each seed; None where it is none."""
    kept, notes = _without_unnamed(header)
    seeds = [n for n in kept if _is_seed(header[n])]
    if len(seeds) < 2 or "seed" in header:
        return None
    others = [n for n in kept if n not in seeds]
    read = [
        _entry(
            line,
            {**{header[i]: line.cells[i] for i in others}, "seed": header[n], "score": line.cells[n]},
        )
        for line in rows
        for n in seeds
    ]
    told = f"one row for each variant and one column for each seed ({_few([header[n] for n in seeds])})"
    return Entries(read, "cell", (told, *notes))


def _is_seed(text: str) -> bool:
    try:
        cell.seed(text)
    except ValueError:
        return False
    return True


def _holds_numbers(rows: Sequence[Line], column: int) -> bool:
    """Whether a column holds numbers and no words: at least half of what it says, so that a slip is told as one.

    A column that says nothing holds numbers that are missing.
    """
    cells = [line.cells[column] for line in rows if not cell.missing(line.cells[column])]
    return sum(cell.is_number(text) or cell.failed(text) for text in cells) * 2 >= len(cells)


def is_data(name: str) -> bool:
    """Whether a column says on what data, on which part of it or by what metric a score was measured, by its name.

    Args:
        name: The column's name.
    """
    return _plain(name) in DATA


def is_part(text: str) -> bool:
    """Whether a cell names a part of a data set, as `test` and `val set` do, and not one split of many.

    Args:
        text: The cell.
    """
    words = [word for word in _plain(text).split("_") if word not in ("set", "split")]
    return bool(words) and all(word in PARTS for word in words)


def _plain(name: str) -> str:
    """A column's name in one way of writing it: `Job State` and `job-state` are `job_state`."""
    return name.casefold().replace(" ", "_").replace("-", "_")


def _is_known(name: str) -> bool:
    return name in KNOWN or is_data(name)


def _is_measure(name: str) -> bool:
    *parts, last = name.casefold().replace("/", "_").replace(" ", "_").split("_")
    return last in MEASURES and all(part in PARTS for part in parts)


def _few(names: Sequence[str]) -> str:
    """The first names of several."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN + 1 else ""
    shown = names if not more else names[:SHOWN]
    return ", ".join(shown) + more
