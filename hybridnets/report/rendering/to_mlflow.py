"""Copies finished runs to MLflow, each once; jobs that logged at the same time would compete for the SQLite file."""

import hashlib
import itertools
import json
import logging
import math
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hybridnets.report.reading.results import FinishedRun, ReportError, RunSet
from hybridnets.runs.records import result

# MLflow reports its use to its makers unless this is set; a user who wants that can set it to false.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
try:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param
    from mlflow.exceptions import MlflowException
    from mlflow.utils.validation import (
        MAX_ENTITY_KEY_LENGTH,
        MAX_METRICS_PER_BATCH,
        MAX_PARAM_VAL_LENGTH,
        MAX_PARAMS_TAGS_PER_BATCH,
    )
    from sqlalchemy.exc import SQLAlchemyError
except ImportError as error:
    raise ReportError("--mlflow needs MLflow, which is not installed: run pip install 'hybridnets[mlflow]'") from error

for announces in ("mlflow", "alembic"):  # they log each step of creating a database
    logging.getLogger(announces).setLevel(logging.ERROR)

MAGIC = b"SQLite format 3\0"


def copy_runs(
    uri: str,
    run_set: RunSet,
    progress: Callable[[Iterable[FinishedRun]], Iterable[FinishedRun]] = iter,
    named: Callable[[str], str] = str,
) -> tuple[int, int]:
    """Writes finished runs to MLflow, with one experiment per data set. A run that has been imported is left alone.

    Identity and name become parameters and name, metrics.csv metrics at step = epoch, and the reported epoch's metrics
    best/... and test/acc at that epoch. Tags hold the hash, by which an imported run is recognised, and the folder; no file is
    copied. A run whose import was interrupted is deleted in MLflow and imported again. Only one import may run at a time.

    Args:
        uri: sqlite:///FILE, or the address of a tracking server.
        run_set: The runs.
        progress: Shows progress.
        named: Replaces temporary paths in a text by the names that the user gave.

    Returns:
        How many were imported now, and how many had been imported before.

    Raises:
        ReportError: If MLflow cannot be written to, or refuses a run.
    """
    _check(uri)
    new = earlier = 0
    try:
        client = MlflowClient(uri)
        for run in progress(run_set.runs):
            if _import(client, run, named):
                new += 1
            else:
                earlier += 1
    except (MlflowException, SQLAlchemyError) as error:
        raise ReportError(f"MLflow at {uri} refused: {' '.join(str(error).split())[:500]}") from error
    return new, earlier


def _check(uri: str) -> None:
    """Refuses URIs that MLflow would misunderstand, or would try for minutes before it fails."""
    if not uri.startswith("sqlite:"):
        if not uri.startswith(("http://", "https://", "databricks", "postgresql", "mysql", "mssql")):
            raise ReportError(f"--mlflow must be sqlite:///FILE, or the address of a tracking server, got {uri}")
        return
    path = Path(urlsplit(uri).path.removeprefix("/"))
    if not uri.startswith("sqlite:///") or path == Path():
        raise ReportError(f"--mlflow must name the file as in sqlite:///mlflow.db, got {uri}")
    ancestor = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir() or not ancestor.is_dir() or not os.access(path if path.exists() else ancestor, os.W_OK):
        raise ReportError(f"--mlflow must name a file that can be written to, got {path}")
    if path.exists() and path.stat().st_size:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ReportError(f"--mlflow must name a SQLite file that MLflow wrote, got {path}")


def _import(client: Any, run: FinishedRun, named: Callable[[str], str]) -> bool:
    """Imports one run; False where it has been imported before."""
    experiment = client.get_experiment_by_name(run.data)
    if experiment is not None and experiment.lifecycle_stage != "active":
        raise ReportError(
            f"MLflow's experiment {run.data} was deleted, but its name is still in use: restore it with mlflow "
            f"experiments restore --experiment-id {experiment.experiment_id}, or remove it permanently with mlflow gc"
        )
    place = experiment.experiment_id if experiment is not None else client.create_experiment(run.data)
    tags = {"hybridnets.hash": run.hash, "hybridnets.by": "import"}
    query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    earlier = client.search_runs([place], query)
    # An import marks the run as finished in its last step.
    if any(copy.info.status == "FINISHED" for copy in earlier):
        return False
    for copy in earlier:
        client.delete_run(copy.info.run_id)
    params = [Param(_key(path), _value(value)) for path, value in _flat(run.identity)]
    started = round((run.started.timestamp() if run.started else time.time() - (run.seconds or 0)) * 1000)
    metrics = list(_metrics(run, started))
    name = f"{run.name} seed={run.seed}"
    where = os.fsencode(named(str(run.folder.resolve()))).decode(errors="backslashreplace")
    tags |= {"hybridnets.folder": where, "hybridnets.variant": run.name}
    key = client.create_run(place, start_time=started, tags=tags, run_name=name).info.run_id
    for at in range(0, len(params), MAX_PARAMS_TAGS_PER_BATCH):
        client.log_batch(key, params=params[at : at + MAX_PARAMS_TAGS_PER_BATCH])
    for at in range(0, len(metrics), MAX_METRICS_PER_BATCH):
        client.log_batch(key, metrics=metrics[at : at + MAX_METRICS_PER_BATCH])
    client.set_terminated(key, "FINISHED", end_time=started + round(1000 * (run.seconds or 0)))
    return True


def _metrics(run: FinishedRun, started: int) -> Iterator[Any]:
    """Each epoch's metrics at the time when it ended, and those of the reported epoch."""
    ends = [started + round(1000 * seconds) for seconds in itertools.accumulate(run.epoch_seconds)]
    last = ends[-1] if ends else started
    for name, values in run.curves.items():
        for row, (epoch, value) in enumerate(zip(run.curves.get("epoch", ()), values, strict=False)):
            if name != "epoch" and math.isfinite(epoch):
                yield Metric(_key(name), value, ends[row] if row < len(ends) else last, int(epoch))
    record = result.read(run.folder)
    for name, value in record.best.items() if record else ():
        yield Metric(_key(name if name.startswith("test/") else f"best/{name}"), float(value), last, run.best_epoch)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The settings with their dotted paths."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _key(name: str) -> str:
    """A name that MLflow accepts; a name that had to be changed gets a hash of the original, so that names stay different."""
    legal = re.sub(r"[^A-Za-z0-9_. :/-]", "_", name)
    if legal == name and len(name) <= MAX_ENTITY_KEY_LENGTH:
        return name
    return f"{legal[: MAX_ENTITY_KEY_LENGTH - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _value(value: Any) -> str:
    """Text as it is and everything else as JSON, cut to the length that MLflow accepts."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= MAX_PARAM_VAL_LENGTH else f"{text[: MAX_PARAM_VAL_LENGTH - 4]} ..."
