"""The jobs of Hydra, one folder each, with the metrics of Lightning's CSVLogger; also Lightning's own folders without Hydra.

A job's settings are its overrides, and where another job has an override that it lacks, its choice of a group or its
configuration. The whole configuration can be named by --map too.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hybridnets.report.reading.tools import event_files
from hybridnets.report.reading.tools.tool_runs import SourceError, ToolRun, ToolRuns, flatten, text_of

FOLDER = ".hydra"
METRICS = "metrics.csv"
HYPERPARAMETERS = "hparams.yaml"
STEPS = ("epoch", "step")  # columns of metrics.csv that are no metrics
MAX_YAML = 2**22  # bytes
MAX_VALUES = 100_000  # of a YAML file, whose aliases may multiply a few lines
OVERRIDE = re.compile(r"\+{0,2}([^=~+]+)=(.*)", re.DOTALL)

Scalars = dict[str, dict[float, float]]


@dataclass(frozen=True)
class _Job:
    """One job's folder, and what its files say.

    Attributes:
        folder: The folder.
        overrides: Its overrides, by key.
        choices: Its choices of configuration groups.
        config: Its whole configuration, flat.
    """

    folder: Path
    overrides: Mapping[str, str]
    choices: Mapping[str, str]
    config: Mapping[str, str]

    def setting(self, key: str) -> str:
        """The value of a setting that at least one job overrides."""
        sources = (self.overrides, self.choices, self.config)
        return next((settings[key] for settings in sources if key in settings), "")


def read_jobs(path: Path, folders: Sequence[Path], tables: Sequence[Path], events: Sequence[Path]) -> ToolRuns:
    """The jobs below a folder.

    Args:
        path: The folder that the user gave.
        folders: The jobs' folders: those that hold a folder .hydra.
        tables: Files metrics.csv.
        events: Event files of TensorBoard, for jobs without a metrics.csv.
    """
    problems: list[str] = []
    jobs = []
    for folder in folders:
        try:
            jobs.append(_read_job(folder))
        except SourceError as error:
            problems.append(f"{error}; its run is left out")
    keys = [*dict.fromkeys(key for job in jobs for key in job.overrides)]
    runs = []
    for job in jobs:
        metrics = _metrics_of(job.folder, folders, tables, events, problems)
        labels = {"folder": job.folder.relative_to(path).as_posix(), **job.choices, **job.config}
        runs.append(ToolRun(str(job.folder), {key: job.setting(key) for key in keys}, metrics, labels))
    return ToolRuns(path, "Hydra", tuple(runs), problems=tuple(problems))


def read_lightning(path: Path, tables: Sequence[Path]) -> ToolRuns:
    """The runs of Lightning's CSVLogger without Hydra: folders with metrics.csv, and hparams.yaml beside it.

    Args:
        path: The folder that the user gave.
        tables: Files metrics.csv.
    """
    problems: list[str] = []
    runs = []
    for table in tables:
        name = table.parent.relative_to(path).as_posix()
        try:
            file = table.with_name(HYPERPARAMETERS)
            hyperparameters = dict(flatten(load_settings(file))) if file.is_file() else {}
            metrics = read_metrics(table, problems)
        except SourceError as error:
            problems.append(f"{error}; its run is left out")
            continue
        settings = hyperparameters or event_files.settings_of_name(name)
        runs.append(ToolRun(str(table.parent), settings, metrics, {"folder": name}))
    return ToolRuns(path, "Lightning", tuple(runs), problems=tuple(problems))


def read_metrics(path: Path, problems: list[str]) -> Scalars:
    """The metrics of a table of Lightning's CSVLogger, by epoch, or by step where no epoch is recorded.

    Args:
        path: The table.
        problems: Gets a sentence on lines that cannot be read.

    Raises:
        SourceError: If it is no such table.
    """
    metrics: Scalars = {}
    broken = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            if "epoch" not in header and "step" not in header:
                raise SourceError(f"{path} must have a column epoch or step, got {', '.join(header[:9]) or 'nothing'}")
            for cells in reader:
                try:
                    _add_row(metrics, header, cells)
                except ValueError:
                    broken.append(reader.line_num)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path} cannot be read as a table ({error})") from None
    if broken:
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        problems.append(
            f"{path}, line {broken[0]}{more}: it has other cells than the header, or no number; it is left out"
        )
    return metrics


def _add_row(metrics: Scalars, header: Sequence[str], cells: Sequence[str]) -> None:
    row = dict(zip(header, cells, strict=True))
    values = {name: float(text) for name, text in row.items() if name not in STEPS and text}
    step = float(next(row[name] for name in STEPS if row.get(name)) if any(row.get(name) for name in STEPS) else 0)
    for name, value in values.items():
        metrics.setdefault(name, {})[step] = value


def _metrics_of(
    job: Path, jobs: Sequence[Path], tables: Sequence[Path], events: Sequence[Path], problems: list[str]
) -> Scalars:
    """A job's metrics; none, with a sentence, if several files hold some."""
    inner = [other for other in jobs if other != job and other.is_relative_to(job)]

    def of_job(files: Sequence[Path]) -> Iterator[Path]:
        return (file for file in files if file.is_relative_to(job) and not any(map(file.is_relative_to, inner)))

    own = [*of_job(tables)]
    if len(own) > 1:
        problems.append(
            f"{job} has {len(own)} files {METRICS}, and nothing says which is the run's: its score is missing"
        )
        return {}
    try:
        return read_metrics(own[0], problems) if own else event_files.read_scalars([*of_job(events)]).metrics
    except SourceError as error:
        problems.append(f"{error}; the score of its run is missing")
        return {}


def _read_job(folder: Path) -> _Job:
    overrides: dict[str, str] = {}
    file = folder / FOLDER / "overrides.yaml"
    words = _load(file) if file.is_file() else []
    if not isinstance(words, list):
        raise SourceError(f"{file} must be a list of overrides, got {type(words).__name__}")
    for word in words:
        if match := OVERRIDE.fullmatch(str(word)):
            overrides[match[1]] = text_of(_plain(match[2]))
    hydra, config = (folder / FOLDER / name for name in ("hydra.yaml", "config.yaml"))
    choices = _dig(load_settings(hydra), "hydra", "runtime", "choices") if hydra.is_file() else {}
    return _Job(
        folder,
        overrides,
        {str(group): text_of(choice) for group, choice in choices.items() if not str(group).startswith("hydra/")},
        dict(flatten(load_settings(config))) if config.is_file() else {},
    )


def _plain(text: str) -> str:
    """An override's value without quotes around it."""
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def _dig(value: Any, *keys: str) -> Mapping[Any, Any]:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def load_settings(path: Path) -> Mapping[Any, Any]:
    """The settings in a YAML file; nothing in it is executed.

    Args:
        path: The file.

    Raises:
        SourceError: If it cannot be read, or holds something else.
    """
    value = _load(path)
    if value is not None and not isinstance(value, Mapping):
        raise SourceError(f"{path} must hold settings, got {type(value).__name__}")
    return value or {}


class _Loader(yaml.SafeLoader):  # type: ignore[misc] # PyYAML has no types
    """Values as they are written, and no objects: a tag of a Python class becomes the text or the settings below it."""


def _as_plain(loader: _Loader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return node.value


_Loader.add_multi_constructor("", _as_plain)


def _load(path: Path) -> Any:
    """A YAML file's plain values; nothing in it is executed.

    Raises:
        SourceError: If it cannot be read.
    """
    try:
        if path.stat().st_size > MAX_YAML:
            raise SourceError(f"{path} must have at most {MAX_YAML:,} bytes, got {path.stat().st_size:,}")
        value = yaml.load(path.read_bytes(), _Loader)
        if _count_values(value) > MAX_VALUES:
            raise SourceError(f"{path} must hold at most {MAX_VALUES:,} values, got more")
        return value
    except (OSError, yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        if isinstance(error, SourceError):
            raise
        why = " ".join(str(error).split())[:200]
        raise SourceError(f"{path} cannot be read as YAML ({why})") from None


def _count_values(value: Any) -> int:
    """How many values are nested in one, as if each alias were written out; counting ends above the limit."""
    count, stack = 0, [value]
    while stack and count <= MAX_VALUES:
        inner = stack.pop()
        count += 1
        if isinstance(inner, Mapping):
            stack += inner.values()
        elif isinstance(inner, list | tuple | set):
            stack += inner
    return count
