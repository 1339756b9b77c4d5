"""The runs of an MLflow store: a SQLite database, or a folder mlruns of MLflow before 3.13.

Both are read as files, by the standard library: the package mlflow would bring a database of another version up to date,
refuses the folders, and may wait for the lock of a server that uses the database.
"""

import contextlib
import math
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hybridnets.report.reading.tools.hydra_jobs import load_settings
from hybridnets.report.reading.tools.tool_runs import SourceError, ToolRun, ToolRuns, text_of

MAGIC = b"SQLite format 3\0"  # begins every database
TABLES = ("experiments", "runs", "params", "metrics", "tags")
WAIT_SECONDS = 2.0  # for another process's lock
STATES = {1: "running", 2: "scheduled", 3: "finished", 4: "failed", 5: "killed"}  # in a folder; a database has words
OWN_TAGS = "mlflow."
PARENT = "mlflow.parentRunId"
META = "meta.yaml"
TRASH = ".trash"  # a folder of deleted experiments
DAMAGED = (sqlite3.Error, ValueError, TypeError, OverflowError)  # what reading a damaged database raises
MANY = 10_000_000  # values of metrics, which need a few gigabytes of memory


def is_database(path: Path) -> bool:
    """Whether a file is a SQLite database, by its first bytes."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def is_store(path: Path) -> bool:
    """Whether a file is a database of MLflow; also one that cannot be looked into now, of which reading says why."""
    try:
        return is_database(path) and not _lacking(path)
    except DAMAGED:
        return True


def is_meta(path: Path) -> bool:
    """Whether a file meta.yaml is that of an experiment or of a run."""
    try:
        return "experiment_id" in load_settings(path)
    except SourceError:
        return True


def is_run(meta: Path) -> bool:
    """Whether a file meta.yaml is that of a run, which lies in the folder of its experiment, and has folders of its values."""
    inner = (meta.parent / name for name in ("metrics", "params", "tags"))
    return (meta.parent.parent / META).is_file() or any(folder.is_dir() for folder in inner)


def _open(path: Path) -> contextlib.closing[sqlite3.Connection]:
    uri = f"{path.resolve().as_uri()}?mode=ro"
    return contextlib.closing(sqlite3.connect(uri, uri=True, timeout=WAIT_SECONDS))


def _lacking(path: Path) -> list[str]:
    """The tables of MLflow that a database lacks."""
    with _open(path) as database:
        names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return [name for name in TABLES if name not in names]


def read_database(path: Path) -> ToolRuns:
    """The runs of a SQLite database that are not deleted.

    Args:
        path: The database.

    Raises:
        SourceError: If it is no database of MLflow, damaged, or locked.
    """
    try:
        if lacking := _lacking(path):
            raise SourceError(f"{path} must be a database of MLflow, got one without the table {lacking[0]}")
        with _open(path) as database:
            return ToolRuns(path, "MLflow", tuple(_database_runs(path, database)))
    except SourceError:
        raise
    except DAMAGED as error:
        why = " ".join(str(error).split())[:200]
        raise SourceError(f"{path} cannot be read as a database of MLflow ({why})") from None


def _database_runs(path: Path, database: sqlite3.Connection) -> Iterator[ToolRun]:
    (count,) = database.execute("SELECT count(*) FROM metrics").fetchone()
    if count > MANY:
        raise SourceError(f"{path} must have at most {MANY:,} values of metrics, got {count:,}")
    settings = _by_run(database.execute("SELECT run_uuid, key, value FROM params ORDER BY rowid"))
    tags = _by_run(database.execute("SELECT run_uuid, key, value FROM tags ORDER BY rowid"))
    metrics: dict[str, dict[str, dict[float, float]]] = {}
    values = "SELECT run_uuid, key, step, value, is_nan FROM metrics ORDER BY step, timestamp"
    for run, key, step, value, is_nan in database.execute(values):
        metrics.setdefault(run, {}).setdefault(key, {})[float(step)] = math.nan if is_nan else _number(float(value))
    runs = (
        "SELECT run_uuid, coalesce(runs.name, ''), status, experiments.name FROM runs JOIN experiments USING (experiment_id) "
        "WHERE runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active' ORDER BY start_time, run_uuid"
    )
    rows = [
        (run, name, str(state or ""), experiment, settings.get(run, {}), tags.get(run, {}), metrics.get(run, {}))
        for run, name, state, experiment in database.execute(runs)
    ]
    yield from _without_parents(path, rows)


def _number(value: float) -> float:
    """A metric's value; a database has the largest number in the place of infinity."""
    return math.copysign(math.inf, value) if abs(value) >= sys.float_info.max else value


def _by_run(rows: sqlite3.Cursor) -> dict[str, dict[str, str]]:
    values: dict[str, dict[str, str]] = {}
    for run, key, value in rows:
        values.setdefault(run, {})[key] = text_of(value)
    return values


def read_folder(path: Path, metas: Sequence[Path]) -> ToolRuns:
    """The runs of a folder mlruns that are not deleted.

    Args:
        path: The folder that the user gave.
        metas: The files meta.yaml below it, of experiments and of runs.
    """
    problems: list[str] = []
    experiments: dict[Path, str] = {}
    rows = []
    for meta in sorted(metas, key=lambda meta: (len(meta.parts), meta)):  # experiments before their runs
        try:
            settings = load_settings(meta)
            if "run_id" not in settings and "run_uuid" not in settings:
                experiments[meta.parent] = text_of(settings.get("name"))
            elif settings.get("lifecycle_stage", "active") == "active":
                rows.append(
                    (settings.get("start_time") or 0, _folder_run(meta.parent, settings, experiments, problems))
                )
        except SourceError as error:
            problems.append(f"{error}; its run is left out")
    runs = [run for _, run in sorted(rows, key=lambda pair: (float(pair[0]), pair[1][0]))]
    return ToolRuns(path, "MLflow", tuple(_without_parents(path, runs)), problems=tuple(problems))


def _folder_run(
    folder: Path, settings: Mapping[Any, Any], experiments: Mapping[Path, str], problems: list[str]
) -> tuple[Any, ...]:
    tags = dict(_files(folder / "tags"))
    metrics = {}
    for name, text in _files(folder / "metrics"):
        try:
            metrics[name] = _metric_values(text)
        except (ValueError, IndexError):
            problems.append(
                f"{folder / 'metrics' / name} must hold lines of time, value and step; the metric is left out"
            )
    state = settings.get("status")
    return (
        folder.name,
        text_of(settings.get("run_name")) or tags.get("mlflow.runName", ""),
        STATES.get(state, "") if isinstance(state, int) else text_of(state),
        experiments.get(folder.parent, ""),
        {name: text_of(text) for name, text in _files(folder / "params")},
        tags,
        metrics,
    )


def _metric_values(text: str) -> dict[float, float]:
    """The values of a metric's file by step: lines of time, value and step."""
    rows = [line.split() for line in text.splitlines() if line.strip()]
    values = [(float(cells[2]) if len(cells) > 2 else 0.0, float(cells[0]), float(cells[1])) for cells in rows]
    return {step: value for step, _, value in sorted(values, key=lambda row: row[:2])}


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    """The files in a folder at any depth, by their names with slashes, and their texts."""
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            try:
                yield file.relative_to(folder).as_posix(), file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise SourceError(f"{file} cannot be read ({error})") from None


def _without_parents(path: Path, runs: Sequence[tuple[Any, ...]]) -> Iterator[ToolRun]:
    """The runs, but for those that only group others and have no metric."""
    parents = {tags.get(PARENT) for *_, tags, _ in runs}
    several = len({experiment for _, _, _, experiment, *_ in runs}) > 1
    for run, name, state, experiment, settings, tags, metrics in runs:
        if run in parents and not metrics:
            continue
        labels = {"run name": name, "run id": run, "experiment": experiment}
        labels |= {f"tags.{key}": text_of(text) for key, text in tags.items() if not key.startswith(OWN_TAGS)}
        every = {**settings, **({"experiment": experiment} if several and "experiment" not in settings else {})}
        yield ToolRun(f"{path}, run {name or run}", every, metrics, labels, state.lower())
