"""Finished runs into MLflow, each once: many jobs that log at the same time would race for a SQLite file."""

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
from hybridnets.runs.files import read_json

# MLflow otherwise tells its makers which of its functions are used; who wants that can say so.
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

for announces in ("mlflow", "alembic"):  # each step of making a new database
    logging.getLogger(announces).setLevel(logging.ERROR)

MAGIC = b"SQLite format 3\0"


def into(
    uri: str,
    found: RunSet,
    progress: Callable[[Iterable[FinishedRun]], Iterable[FinishedRun]] = iter,
    named: Callable[[str], str] = str,
) -> tuple[int, int]:
    """Writes finished runs to MLflow: an experiment a data set, a run a training. One that is there is left alone.

    Identity and name become parameters and name, metrics.csv metrics at step = epoch, and the reported epoch's metrics
    best/... and test/acc at that epoch. Tags hold the hash, by which a run is found again, and the folder; nothing is
    copied. A run that an import began and did not finish is deleted in MLflow and imported again. One import at a time.

    Args:
        uri: sqlite:///FILE, or the address of a tracking server.
        found: The runs.
        progress: Shows how many were looked at.
        named: Turns a folder that was read into what to call it.

    Returns:
        How many were imported, and how many were there already.

    Raises:
        ReportError: If MLflow cannot be written to, or refuses a run.
    """
    _check(uri)
    new = there = 0
    try:
        client = MlflowClient(uri)
        for run in progress(found.runs):
            if _import(client, run, named):
                new += 1
            else:
                there += 1
    except (MlflowException, SQLAlchemyError) as error:
        raise ReportError(f"MLflow at {uri} refuses: {' '.join(str(error).split())[:500]}") from error
    return new, there


def _check(uri: str) -> None:
    """What MLflow would only find out after minutes of trying, or would understand as something else."""
    if not uri.startswith("sqlite:"):
        if not uri.startswith(("http://", "https://", "databricks", "postgresql", "mysql", "mssql")):
            raise ReportError(f"--mlflow must be sqlite:///FILE, or the address of a tracking server, got {uri}")
        return
    path = Path(urlsplit(uri).path.removeprefix("/"))
    if not uri.startswith("sqlite:///") or path == Path():
        raise ReportError(f"--mlflow must name the file as in sqlite:///mlflow.db, got {uri}")
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir() or not above.is_dir() or not os.access(path if path.exists() else above, os.W_OK):
        raise ReportError(f"--mlflow must name a file that can be written to, got {path}")
    if path.exists() and path.stat().st_size:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ReportError(f"--mlflow must name MLflow's SQLite file, got {path}, which is something else")


def _import(client: Any, run: FinishedRun, named: Callable[[str], str]) -> bool:
    """Imports one run, unless it is there."""
    experiment = client.get_experiment_by_name(run.data)
    if experiment is not None and experiment.lifecycle_stage != "active":
        raise ReportError(
            f"MLflow's experiment {run.data} was deleted there, and its name is still taken: restore it with mlflow "
            f"experiments restore --experiment-id {experiment.experiment_id}, or remove it for good with mlflow gc"
        )
    place = experiment.experiment_id if experiment is not None else client.create_experiment(run.data)
    tags = {"hybridnets.hash": run.hash, "hybridnets.by": "import"}
    asked = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    earlier = client.search_runs([place], asked)
    # The last thing an import does is to say that the run is finished.
    if any(one.info.status == "FINISHED" for one in earlier):
        return False
    for one in earlier:
        client.delete_run(one.info.run_id)
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
    """Every epoch's metrics when it ended, and the reported epoch's."""
    ends = [started + round(1000 * seconds) for seconds in itertools.accumulate(run.epoch_seconds)]
    last = ends[-1] if ends else started
    for name, values in run.curves.items():
        for row, (epoch, value) in enumerate(zip(run.curves.get("epoch", ()), values, strict=False)):
            if name != "epoch" and math.isfinite(epoch):
                yield Metric(_key(name), value, ends[row] if row < len(ends) else last, int(epoch))
    for name, value in read_json(run.folder / "result.json")["best"].items():
        # JSON has no NaN: a loss that is not finite is stored as null.
        number = math.nan if value is None else float(value)
        yield Metric(_key(name if name.startswith("test/") else f"best/{name}"), number, last, run.best_epoch)


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """The settings by their dotted path."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _key(name: str) -> str:
    """A name that MLflow takes; what had to be changed keeps a hash of what it was, so that no two become one."""
    legal = re.sub(r"[^A-Za-z0-9_. :/-]", "_", name)
    if legal == name and len(name) <= MAX_ENTITY_KEY_LENGTH:
        return name
    return f"{legal[: MAX_ENTITY_KEY_LENGTH - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _value(value: Any) -> str:
    """Text as it is, everything else as JSON; cut where it is too long."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= MAX_PARAM_VAL_LENGTH else f"{text[: MAX_PARAM_VAL_LENGTH - 4]} ..."
