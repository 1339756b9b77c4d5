"""Finds by a source's content which tool recorded its runs, and reads them; nothing of our own is taken for another tool's."""

import os
from collections.abc import Mapping
from pathlib import Path

from hybridnets import runs as own_runs
from hybridnets.report.reading.results import ReportError, RunSet
from hybridnets.report.reading.scores.mapping import Reading
from hybridnets.report.reading.tools import event_files, hydra_jobs, mlflow_store, wandb_runs
from hybridnets.report.reading.tools.tool_runs import SourceError, ToolRuns
from hybridnets.report.reading.tools.tool_table import read_tool_runs
from hybridnets.runs.records import provenance

HYDRA, LIGHTNING, TENSORBOARD, WANDB, FOLDERS, DATABASE = (
    *("Hydra", "Lightning's metrics.csv", "TensorBoard", "W&B", "MLflow (mlruns)", "MLflow (database)"),
)
DATABASES = (".db", ".sqlite", ".sqlite3")
Files = dict[str, list[Path]]


def read_source(path: Path, reading: Reading) -> RunSet | None:
    """The runs that another tool recorded.

    Args:
        path: A folder, a SQLite database, or wandb:ENTITY/PROJECT.
        reading: Which setting or metric is what, and which value of the metric counts.

    Returns:
        None if no other tool recorded any, or if the folder has finished runs of our own.

    Raises:
        ReportError: If they cannot be read, or if several tools recorded some.
    """
    reading = reading.of_metrics
    path = path if path.stem.strip(".") else path.resolve()  # of which . and .. have no name for the page
    try:
        source = _read(path, reading)
    except SourceError as error:
        raise ReportError(str(error)) from None
    return read_tool_runs(source, reading) if source else None


def _read(path: Path, reading: Reading) -> ToolRuns | None:
    if is_project(path):
        key = reading.columns.get("score", "")
        if reading.at == "best" and not key:
            raise ReportError(f"--at best needs --metric for {path}: the values of one metric are fetched")
        name = str(path).removeprefix(wandb_runs.PROJECT)
        return wandb_runs.read_project(path, name, key if reading.at == "best" else "")
    if path.is_file():
        return mlflow_store.read_database(path) if mlflow_store.is_database(path) else None
    if not path.is_dir() or own_runs.find([path]):
        return None
    files = _find(path)
    tools = _tools(files)
    if len(tools) > 1:
        kinds = " and ".join(f"{tool} ({len(places)}, as {places[0]})" for tool, places in tools.items())
        raise ReportError(
            f"FOLDER must hold the runs of one tool, got in {path} {kinds}: give the folder of one of them"
        )
    return next((_read_tool(path, tool, files) for tool in tools), None)


def is_project(path: Path) -> bool:
    """Whether a path is no path, but names a project on W&B's server: wandb:ENTITY/PROJECT."""
    return str(path).startswith(wandb_runs.PROJECT) and not path.exists()


def _read_tool(path: Path, tool: str, files: Files) -> ToolRuns:
    if tool == HYDRA:
        return hydra_jobs.read_jobs(path, files[HYDRA], files[LIGHTNING], files[TENSORBOARD])
    if tool == LIGHTNING:
        return hydra_jobs.read_lightning(path, files[LIGHTNING])
    if tool == TENSORBOARD:
        return event_files.read_folders(path, files[TENSORBOARD])
    if tool == WANDB:
        return wandb_runs.read_files(path, files[WANDB])
    if tool == FOLDERS:
        return mlflow_store.read_folder(path, files[FOLDERS])
    if len(files[DATABASE]) > 1:
        raise ReportError(
            f"FOLDER must hold one database of MLflow, got {' and '.join(map(str, files[DATABASE]))}: give one"
        )
    return mlflow_store.read_database(files[DATABASE][0])


def _find(top: Path) -> Files:
    """The files below a folder by which a tool is recognised, without our own runs."""
    files: Files = {tool: [] for tool in (HYDRA, LIGHTNING, TENSORBOARD, WANDB, FOLDERS, DATABASE)}
    for name, folders, names in os.walk(top):
        folder = Path(name)
        if provenance.FILE in names:
            folders.clear()
            continue
        if hydra_jobs.FOLDER in folders:
            folders.remove(hydra_jobs.FOLDER)
            files[HYDRA].append(folder)
        folders[:] = sorted((inner for inner in folders if inner != mlflow_store.TRASH), key=_natural)
        for file in sorted(names, key=_natural):
            if file == hydra_jobs.METRICS:
                files[LIGHTNING].append(folder / file)
            elif event_files.NAME in file:
                files[TENSORBOARD].append(folder / file)
            elif file.endswith(wandb_runs.SUFFIX) or (
                file == wandb_runs.SUMMARY_FILE and not any(folder.parent.glob(f"*{wandb_runs.SUFFIX}"))
            ):
                files[WANDB].append(folder / file)
            elif file == mlflow_store.META and mlflow_store.is_meta(folder / file):
                files[FOLDERS].append(folder / file)
            elif file.endswith(DATABASES) and mlflow_store.is_store(folder / file):
                files[DATABASE].append(folder / file)
    return files


def _tools(files: Files) -> Mapping[str, list[Path]]:
    """The tools that recorded runs, with the files by which they were recognised.

    A job of Hydra holds what its loggers wrote; where these are neither metrics.csv nor event files, Hydra has no scores.
    """
    jobs = {*files[HYDRA]}

    def in_job(file: Path) -> bool:
        return any(parent in jobs for parent in file.parents)

    if not any(in_job(file) for tool in (LIGHTNING, TENSORBOARD) for file in files[tool]):
        jobs = set()
    by_tool = {tool: [file for file in places if tool == HYDRA or not in_job(file)] for tool, places in files.items()}
    if not any(map(mlflow_store.is_run, by_tool[FOLDERS])):
        by_tool[FOLDERS] = []  # MLflow makes an empty experiment wherever it starts
    if not jobs and any(places for tool, places in by_tool.items() if tool != HYDRA):
        by_tool[HYDRA] = []
    return {tool: places for tool, places in by_tool.items() if places}


def _natural(name: str) -> tuple[int, str]:
    """A key for sorting in which version_10 is after version_9."""
    digits = len(name) - len(name.rstrip("0123456789"))
    return (int(name[-digits:]) if digits else -1, name) if digits < 19 else (-1, name)
