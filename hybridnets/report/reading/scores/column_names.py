"""The column names that a table of scores may have, and what they mean."""

from collections.abc import Sequence

from hybridnets.report.reading.score_kind import HIGHER, LOWER
from hybridnets.report.reading.scores import cell_values

NEEDED = ("variant", "seed", "score")
BY_SEED = (
    "split",
    "fold",
    "repetition",
    "n_train",
    "n_val",
)  # what a row of a wide table may state about all its variants
OPTIONAL = (*BY_SEED, "predictions", "seconds", "parameters")
STATES = (  # columns that say in a word how a run ended
    *("status", "state", "run_status", "run_state", "job_status", "job_state", "trial_status", "trial_state"),
)
FLAGS = (  # columns that are empty, or say no, for a run that did not fail
    *("failed", "diverged", "crashed", "failure", "failure_reason", "exception", "error_message", "oom", "timed_out"),
    *("exit_code", "exitcode"),
)
GOALS = ("success", "succeeded", "finished", "completed")  # columns that may say no for a run that failed or goes on
KNOWN = {*NEEDED, *OPTIONAL, *STATES, *FLAGS, *GOALS}
DATA_SETS = {  # columns that name one of several data sets
    *("data", "dataset", "datasets", "data_set", "data_sets", "dataset_name", "benchmark", "benchmarks"),
    *("corpus", "corpora", "domain", "domains", "env", "envs", "env_id", "env_name", "environment", "environments"),
    *("task", "tasks", "task_name", "game", "games"),
}
METRICS = {"metric", "metrics", "metric_name", "measure", "score_name", "score_type"}  # columns that name the score
UNITS = {"unit", "units"}
FOLDS = ("fold", "folds", "fold_id", "fold_idx", "fold_index", "fold_number", "cv_fold", "kfold", "k_fold")
REPETITIONS = ("repetition", "repetitions", "repeat", "repeats", "rep", "replicate", "cv_repeat")  # beside a fold
DIRECTIONS = {"direction", "goal", "lower_is_better", "higher_is_better"}  # columns that say which scores are better
DATA = {  # columns whose values no comparison may mix, even if each variant has a single value
    *DATA_SETS,
    *METRICS,
    *("phase", "stage", "part", "partition", "subset", "split_name", "split_type", "data_split"),
    *("eval_split", "eval_set"),
}
MEASURES = {  # columns of numbers that are no variants, in a table that looks like a wide one
    *("acc", "accuracy", "top1", "top5", "precision", "recall", "f1", "auc", "bleu", "reward", "return"),
    *("loss", "error", "mse", "rmse", "mae", "perplexity", "time", "seconds", "lr", "n", "size"),
    *("epoch", "step", "iteration", "fold", "run", "trial", "index", "id"),
}
PARTS = {
    *("train", "training", "val", "valid", "validation", "dev", "development", "test", "testing", "eval", "evaluation"),
    *("holdout", "heldout"),
}


def normalise(name: str) -> str:
    """A name in one spelling: `Job State` and `job-state` become `job_state`."""
    return name.casefold().replace(" ", "_").replace("-", "_")


def canonical(header: Sequence[str]) -> list[str]:
    """The names of columns as they are known here: one spelling for those with a meaning, fold and repetition included.

    Args:
        header: The names as the file has them.
    """
    plain = [normalise(name) for name in header]
    names = [known if known in KNOWN else name for known, name in zip(plain, header, strict=True)]
    for meaning, words in (("fold", FOLDS), ("repetition", REPETITIONS)):
        place = next((n for n, name in enumerate(plain) if name in words), None)
        if place is not None and meaning not in names and (meaning == "fold" or "fold" in names):
            names[place] = meaning
    return names


def is_known(name: str) -> bool:
    """Whether a column has a meaning by its name."""
    return name in KNOWN or is_data(name)


def is_data(name: str) -> bool:
    """Whether a column names the data set, the part of it, or the metric that a score was measured with."""
    return normalise(name) in DATA


def is_data_set(name: str) -> bool:
    """Whether a column names the data set that a score was measured on."""
    return normalise(name) in DATA_SETS


def is_measure(name: str) -> bool:
    """Whether a column holds a measured value, as `val_loss` does, and no scores of one variant."""
    *parts, last = name.casefold().replace("/", "_").replace(" ", "_").split("_")
    return last in MEASURES and all(part in PARTS for part in parts)


def is_part(text: str) -> bool:
    """Whether a cell names a part of a data set, as `test` and `val set` do, and not one split of many."""
    words = [word for word in normalise(text).split("_") if word not in ("set", "split")]
    return bool(words) and all(word in PARTS for word in words)


def parse_direction(word: str, column: str) -> bool | None:
    """Whether lower scores are better, as a cell says; None where it does not say."""
    plain, column = normalise(word.strip()), normalise(column)
    if column in ("lower_is_better", "higher_is_better") and plain in (*cell_values.YES, *cell_values.NO):
        return (plain in cell_values.YES) == (column == "lower_is_better")
    plain = plain.removesuffix("_is_better").removesuffix("imize").removesuffix("imise")
    return plain in LOWER if plain in (*LOWER, *HIGHER) else None


def is_about_score(column: str, values: set[str]) -> bool:
    """Whether a column says what the scores are: their metric, their unit, or which are better."""
    name = normalise(column)
    return name in METRICS | UNITS or (
        name in DIRECTIONS and all(parse_direction(value, column) is not None for value in values)
    )
