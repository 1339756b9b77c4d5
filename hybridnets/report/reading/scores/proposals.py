"""What the columns of a source may be by their names and values, where nobody said it: a variant, a seed, a score."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hybridnets.report.reading.score_kind import ERRORS, LOSSES
from hybridnets.report.reading.scores import cell_values
from hybridnets.report.reading.scores.column_names import (
    FLAGS,
    FOLDS,
    GOALS,
    OPTIONAL,
    REPETITIONS,
    STATES,
    canonical,
    is_data,
    is_measure,
    normalise,
)
from hybridnets.report.reading.scores.text_table import TextTable

SEEDS = (
    "seed",
    "random_seed",
    "rng_seed",
    "global_seed",
    "manual_seed",
    "torch_seed",
    "seed_everything",
    "random_state",
)
REPEATS = ("run", "rep", "repeat", "repetition", "replicate", "trial")  # that number what nobody calls a seed
BY_FOLD = ("fold", "repetition")  # which number the runs of a cross-validation
VARIANTS = ("variant", "model", "method", "algorithm", "algo", "architecture", "arch", "classifier", "name")
# Words in the names of metrics, those first that a report is more likely to be about.
ACCURACIES = {"acc", "accuracy", "top1"}
HIGHER = {
    *("f1", "auc", "auroc", "auprc", "ap", "map", "precision", "recall", "iou", "miou", "dice", "jaccard", "kappa"),
    *("mcc", "r2", "bleu", "rouge", "meteor", "score", "reward", "return", "psnr", "ssim", "top5"),
}
KINDS = (ACCURACIES, HIGHER, ERRORS, LOSSES)
PART_WORDS = (
    ("test", "testing", "holdout", "heldout"),
    ("val", "valid", "validation", "dev", "eval"),
)  # first what counts more
# What W&B's page writes into its CSV besides settings and metrics.
WANDB = {
    *(
        "name",
        "state",
        "notes",
        "user",
        "tags",
        "created",
        "runtime",
        "sweep",
        "id",
        "hostname",
        "description",
        "group",
    ),
    *("job_type", "github", "gpu_count", "gpu_type", "updated", "end_time", "start_time", "commit", "command"),
    *("os", "python_version", "relative_runtime", "_runtime", "_timestamp", "_step", "_wandb"),
}


@dataclass(frozen=True)
class ColumnKinds:
    """Which columns may be proposed as what.

    Attributes:
        settings: That may be variant or seed.
        metrics: That may be the score.
        others: That are neither, and are not read unless the user names them.
    """

    settings: tuple[str, ...]
    metrics: tuple[str, ...]
    others: frozenset[str] = frozenset()


def kinds_of_columns(table: TextTable) -> ColumnKinds:
    """The kinds of a file's columns, by their names and values.

    Args:
        table: The table.
    """
    plain = {normalise(name): name for name in table.header if name}
    is_wandb = {"name", "state"} <= plain.keys() and bool({"created", "runtime", "user"} & plain.keys())
    others = {name for key, name in plain.items() if is_wandb and key in WANDB and key != "state"}
    metrics = [
        name for name in plain.values() if name not in others and rank(name) is not None and _holds_numbers(table, name)
    ]
    taken = {*others, *metrics}
    folds = {normalise(old) for old, new in zip(table.header, canonical(table.header), strict=True) if new in BY_FOLD}
    columns_with_meaning = {*OPTIONAL, *STATES, *FLAGS, *GOALS, *folds}
    settings = [
        name
        for key, name in plain.items()
        if name not in taken
        and key not in columns_with_meaning
        and (key in REPEATS or name == "lr" or not is_measure(name))
    ]
    return ColumnKinds(tuple(settings), tuple(metrics), frozenset(others))


def wide_columns(table: TextTable) -> list[tuple[str, str]]:
    """The columns that may be the seed or the variant of a wide table, each with its role; none of a table with a score.

    Args:
        table: The table.
    """
    if "score" in map(normalise, table.header):
        return []
    seeds = [("seed", name) for name in table.header if normalise(name) in REPEATS and _holds_seeds(table, name)]
    return [*seeds, *(("variant", name) for name in table.header if normalise(name) in VARIANTS)]


def folds(table: TextTable, kinds: ColumnKinds, given: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The settings that are fold and repetition by the last part of their names, as data.fold is; none where one is given.

    Args:
        table: The table.
        kinds: Which columns may be proposed.
        given: The columns that the user gave, by role.
    """
    taken = {name for names in given.values() for name in names}
    roles: dict[str, tuple[str, ...]] = {}
    named_so = [old for old, new in zip(table.header, canonical(table.header), strict=True) if new == "fold"]
    if "fold" in given or any(name not in kinds.settings for name in named_so):
        return roles  # in a file its name says it
    for role, words in (("fold", FOLDS), ("repetition", REPETITIONS)):
        named = [name for name in kinds.settings if last_part(name) in words and name not in taken]
        varying = [name for name in named if len(set(_cells(table, name))) > 1]
        if len(varying) != 1 or (role == "repetition" and role in given):
            return roles
        roles[role] = (varying[0],)
    return roles


def propose(role: str, table: TextTable, kinds: ColumnKinds, roles: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The columns that may have a role; none if there is none, or if several may.

    Args:
        role: variant, seed or score.
        table: The table.
        kinds: Which columns may be proposed.
        roles: The columns that have a role already.
    """
    taken = {name for key, names in roles.items() if key != "variant" for name in names}
    if role == "score":
        return _propose_score([name for name in kinds.metrics if name not in taken])
    by_fold = {old for old, new in zip(table.header, canonical(table.header), strict=True) if new in BY_FOLD}
    settings = [name for name in kinds.settings if name not in taken | by_fold]
    others = [name for name in table.header if name in kinds.others - taken]  # such as what no job of a sweep sets
    if role == "seed":
        return _propose_seed(table, settings) or _propose_seed(table, others)
    return _propose_variant(table, settings) or _propose_constant(
        table, [name for name in others if last_part(name) in VARIANTS]
    )


def legal(role: str, table: TextTable, kinds: ColumnKinds) -> list[str]:
    """The columns that a user may name, those of the right kind first."""
    first = kinds.metrics if role == "score" else kinds.settings
    return [*first, *(name for name in table.header if name and name not in first)]


def words_of(name: str) -> list[str]:
    """The words of a metric's name: `val/top-1_acc` has val, top, 1 and acc."""
    return [word for word in re.split(r"[^0-9a-z]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).casefold()) if word]


def rank(name: str) -> tuple[int, int, int] | None:
    """How likely a metric is the score, the smallest first; None if nothing in its name says that it is a metric."""
    words = words_of(name)
    kind = next((n for n, kind in reversed([*enumerate(KINDS)]) if kind & {*words}), None)
    if kind is None:
        return None
    part = next((n for n, part in enumerate(PART_WORDS) if {*part} & {*words}), len(PART_WORDS))
    part = len(PART_WORDS) + 1 if {"train", "training"} & {*words} else part
    return (kind, part, len(words) + ("step" in words))  # val/acc_epoch before val/acc_step


def label(names: Sequence[str], cells: Sequence[str]) -> str:
    """A variant's name by its settings: words as they are, and numbers with their key; `lstm-layers=2`.

    Args:
        names: The settings' names.
        cells: Their values.
    """
    if len(names) == 1:
        return cells[0]
    parts = []
    for name, text in zip(names, cells, strict=True):
        is_word = text and not cell_values.is_number(text) and text.casefold() not in cell_values.YES | cell_values.NO
        parts.append(text if is_word else f"{re.split('[./]', name)[-1]}={text or 'none'}")
    return "-".join(parts) if any(cells) else ""


def last_part(name: str) -> str:
    """The last part of a setting's name: `seed` of `data.seed`."""
    return normalise(re.split("[./]", name)[-1])


def _propose_score(metrics: Sequence[str]) -> tuple[str, ...]:
    ranks = {name: its_rank for name in metrics if (its_rank := rank(name)) is not None}
    if not ranks:
        return tuple(metrics) if len(metrics) == 1 else ()
    best = min(ranks.values())
    first = [name for name, its_rank in ranks.items() if its_rank == best]
    return tuple(first) if len(first) == 1 else ()


def _propose_seed(table: TextTable, settings: Sequence[str]) -> tuple[str, ...]:
    if "seed" in settings:
        return ("seed",)
    for words in (SEEDS, REPEATS):
        named = [name for name in settings if last_part(name) in words and _holds_seeds(table, name)]
        varying = [name for name in named if len(set(_cells(table, name))) > 1] or named
        if len({tuple(_cells(table, name)) for name in varying}) == 1:
            return (varying[0],)
    return ()


def _propose_variant(table: TextTable, settings: Sequence[str]) -> tuple[str, ...]:
    """The fewest settings that distinguish what all varying settings distinguish, words before numbers."""
    cells = {name: _cells(table, name) for name in settings}
    free = [name for name in settings if last_part(name) not in (*SEEDS, *REPEATS) and not is_data(name)]
    varying = [name for name in free if len({*cells[name]}) > 1]
    repeated = [name for name in varying if len({*cells[name]}) * 2 <= len(table.rows)]
    chosen: list[str] = []
    count = 1
    for name in sorted(repeated or varying, key=lambda name: _holds_numbers(table, name)):
        more = len({*zip(*(cells[other] for other in [*chosen, name]), strict=True)})
        if more > count:
            chosen, count = [*chosen, name], more
    if chosen:
        return tuple(name for name in settings if name in chosen)
    return _propose_constant(table, free)


def _propose_constant(table: TextTable, settings: Sequence[str]) -> tuple[str, ...]:
    """A setting that is the same for all runs, which are then of one variant."""
    constant = [name for name in settings if len(values := {*_cells(table, name)}) == 1 and all(values)]
    return tuple([*(name for name in constant if last_part(name) in VARIANTS), *constant][:1])


def _cells(table: TextTable, name: str) -> list[str]:
    place = table.header.index(name)
    return [line.cells[place] for line in table.rows]


def _holds_numbers(table: TextTable, name: str) -> bool:
    """Whether a column has a number, and nothing but numbers, failures and missing values."""
    cells = [text for text in _cells(table, name) if not cell_values.is_missing(text)]
    numbers = sum(map(cell_values.is_number, cells))
    return bool(numbers) and all(cell_values.is_number(text) or cell_values.is_failure(text) for text in cells)


def _holds_seeds(table: TextTable, name: str) -> bool:
    for text in _cells(table, name):
        try:
            cell_values.parse_seed(text)
        except ValueError:
            return False
    return True
