"""The runs of W&B: its files run-ID.wandb, written offline or online, and a project on its server.

A file is a log in LevelDB's format with W&B's header: blocks of 32 KiB, in which records have a checksum and may be divided;
each record is a message of wandb/proto/wandb_internal.proto. The package wandb has no reader in Python any more (0.31).
"""

import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hybridnets.report.reading.results import ReportError
from hybridnets.report.reading.tools import wire
from hybridnets.report.reading.tools.hydra_jobs import load_settings
from hybridnets.report.reading.tools.tool_runs import SourceError, ToolRun, ToolRuns, flatten, number_of

SUFFIX = ".wandb"
SUMMARY_FILE = "wandb-summary.json"  # in a run's folder files/, with config.yaml
PROJECT = "wandb:"  # before ENTITY/PROJECT
HEADER = b":W&B"
HEADER_SIZE = 7  # the letters, a number, and a version
BLOCK = 2**15  # bytes
RECORD = struct.Struct("<IHB")  # checksum, length and kind of a part of a record
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4  # kinds
HISTORY, SUMMARY, CONFIG, RUN, EXIT = 2, 3, 5, 17, 18  # fields of a record
KEY, NESTED_KEY, JSON = 1, 2, 16  # fields of an item
UPDATE, REMOVE = 1, 2  # fields of a config and of a summary
INTERNAL = "_"  # begins the names of what W&B adds by itself

Settings = dict[tuple[str, ...], Any]


def read_files(path: Path, files: Sequence[Path]) -> ToolRuns:
    """The runs of some files.

    Args:
        path: The folder that the user gave.
        files: The files run-ID.wandb, or wandb-summary.json of runs that lack one.
    """
    runs, problems = [], []
    for file in files:
        try:
            run, problem = (_read_summary(file), "") if file.name == SUMMARY_FILE else _read_file(file)
        except SourceError as error:
            problems.append(f"{error}; its run is left out")
            continue
        runs.append(run)
        problems += [problem] if problem else []
    return ToolRuns(path, "W&B", tuple(runs), problems=tuple(problems))


def read_project(path: Path, name: str, score_key: str) -> ToolRuns:
    """The runs of a project on W&B's server, by the package wandb.

    Args:
        path: The source as the user gave it.
        name: ENTITY/PROJECT.
        score_key: The metric whose every value is wanted; empty for the last values only.

    Raises:
        ReportError: If the package is missing, or if the server does not answer with runs.
    """
    try:
        import wandb
    except ImportError:
        raise ReportError(f"{path} is on W&B's server, which needs wandb: pip install 'hybridnets[wandb]'") from None
    try:
        runs = [_project_run(name, run, score_key) for run in wandb.Api().runs(name)]
    except Exception as error:  # of many classes: no network, no key, no project
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise ReportError(f"{path} cannot be read from W&B's server ({why})") from None
    return ToolRuns(path, "W&B", tuple(runs))


def _project_run(project: str, run: Any, score_key: str) -> ToolRun:
    metrics = _numbers(_flat(dict(run.summary)))
    if score_key:
        history: dict[float, float] = {}
        for row in run.scan_history(keys=[score_key, "_step"]):
            if (value := number_of(row.get(score_key))) is not None:
                history[float(row.get("_step") or len(history))] = value
        metrics |= {score_key: history} if history else {}
    settings = {name: text for name, text in flatten(dict(run.config)) if not name.startswith(INTERNAL)}
    labels = {"run name": str(run.name), "run id": str(run.id), "group": str(getattr(run, "group", "") or "")}
    return ToolRun(f"{PROJECT}{project}, run {run.name}", settings, metrics, labels, str(run.state))


def _read_file(path: Path) -> tuple[ToolRun, str]:
    """A file's run, and a sentence if the file ends before its run does.

    Raises:
        SourceError: If it is no file of W&B, or damaged.
    """
    config: Settings = {}
    summary: Settings = {}
    metrics: dict[str, dict[float, float]] = {}
    names = dict.fromkeys(("run name", "run id", "group"), "")
    state, count, problem = "running", 0, ""
    try:
        for record in _records(path):
            count += 1
            for part in wire.fields(record):
                if part.number == HISTORY:
                    _add_history(metrics, part.raw)
                elif part.number == SUMMARY:
                    _update(summary, part.raw)
                elif part.number == CONFIG:
                    _update(config, part.raw)
                elif part.number == RUN:
                    names |= _add_run(config, summary, part.raw)
                elif part.number == EXIT:
                    code = wire.first(part.raw, 1)
                    state = "failed" if code and code.integer else "finished"
    except wire.WireError as error:
        raise SourceError(f"{path} is no file of W&B: {error} in record {count:,}") from None
    except _CutError:
        problem = f"{path} is cut short after {count:,} record{'s' * (count != 1)}; its run counts as unfinished"
    for name, values in _numbers(_flat(_tree(summary))).items():
        metrics.setdefault(name, values)  # what was set after training, and not logged
    settings = {name: text for name, text in flatten(_tree(config)) if not name.startswith(INTERNAL)}
    title = f"{path.parent} ({names['run name']})" if names["run name"] else str(path.parent)
    return ToolRun(title, settings, metrics, {**names, "folder": path.parent.name}, state), problem


def _read_summary(path: Path) -> ToolRun:
    """A run of which only the files are left that W&B's server also has: the last values, and not how it ended.

    Raises:
        SourceError: If they cannot be read.
    """
    config = path.with_name("config.yaml")
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SourceError(f"{path} cannot be read as JSON ({error})") from None
    values = load_settings(config) if config.is_file() else {}
    plain = {key: value.get("value") if isinstance(value, Mapping) else value for key, value in values.items()}
    settings = {name: text for name, text in flatten(plain) if not name.startswith(INTERNAL)}
    folder = path.parent.parent
    return ToolRun(str(folder), settings, _numbers(_flat(summary)), {"folder": folder.name})


class _CutError(ValueError):
    """A file ends within a record."""


def _records(path: Path) -> Iterator[bytes]:
    """The records of a file, each with the right checksums.

    Raises:
        SourceError: If it is no file of W&B, or damaged.
        _CutError: If it ends within a record.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror})") from None
    if not raw.startswith(HEADER) or len(raw) < HEADER_SIZE:
        raise SourceError(f"{path} is no file of W&B: it begins with other bytes")
    place, begun = HEADER_SIZE, b""
    while place < len(raw):
        rest = BLOCK - place % BLOCK
        if rest < RECORD.size:  # filled up with zeros
            place += rest
            continue
        if len(raw) - place < RECORD.size:
            raise _CutError
        checksum, length, kind = RECORD.unpack_from(raw, place)
        data = raw[place + RECORD.size : place + RECORD.size + length]
        if len(data) < length:
            raise _CutError
        if kind not in (FULL, FIRST, MIDDLE, LAST) or zlib.crc32(data, zlib.crc32(bytes([kind]))) != checksum:
            raise SourceError(f"{path} is damaged at byte {place:,}: a checksum is wrong")
        place += RECORD.size + length
        begun = data if kind in (FULL, FIRST) else begun + data
        if kind in (FULL, LAST):
            yield begun
            begun = b""
    if begun:
        raise _CutError


def _items(message: bytes, number: int) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The keys and values of the items in a message; what is no JSON is left out.

    Args:
        message: A history, a config or a summary.
        number: The number of its items.
    """
    for item in wire.fields(message):
        if item.number != number:
            continue
        parts = [*wire.fields(item.raw)]
        nested = tuple(part.text for part in parts if part.number == NESTED_KEY)
        key = nested or tuple(part.text for part in parts if part.number == KEY)
        text = next((part.text for part in parts if part.number == JSON), "null")
        try:
            yield key, json.loads(text)
        except (ValueError, RecursionError):
            continue


def _add_history(metrics: dict[str, dict[float, float]], message: bytes) -> None:
    step = wire.first(message, 2)
    number = wire.first(step.raw, 1) if step else None
    items = dict(_items(message, 1))
    place = float(number.signed if number else items.get(("_step",), 0))
    for name, values in _numbers(_flat(_tree(items))).items():
        metrics.setdefault(name, {})[place] = values[0.0]


def _add_run(config: Settings, summary: Settings, message: bytes) -> dict[str, str]:
    """Adds a run's first configuration and summary; its names."""
    names = {}
    for part in wire.fields(message):
        if part.number in (4, 5):
            _update(config if part.number == 4 else summary, part.raw)
        elif part.number in (1, 6, 8):
            names[{1: "run id", 6: "group", 8: "run name"}[part.number]] = part.text
    return names


def _update(settings: Settings, message: bytes) -> None:
    for key, value in _items(message, UPDATE):
        settings[key] = value
    for key, _ in _items(message, REMOVE):
        settings.pop(key, None)


def _tree(settings: Settings) -> dict[str, Any]:
    """Values by nested keys as nested values."""
    tree: dict[str, Any] = {}
    for key, value in settings.items():
        place = tree
        for name in key[:-1]:
            inner = place.setdefault(name, {})
            place = inner if isinstance(inner, dict) else place.setdefault(f"{name}.", {})
        place[key[-1]] = value
    return tree


def _flat(values: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Nested values with dots between their keys, as W&B shows them."""
    if isinstance(values, Mapping):
        for key, inner in values.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, values


def _numbers(values: Iterator[tuple[str, Any]]) -> dict[str, dict[float, float]]:
    """The metrics among some values: numbers that W&B did not add by itself."""
    numbers = {name: number_of(value) for name, value in values if not name.startswith(INTERNAL)}
    return {name: {0.0: number} for name, number in numbers.items() if number is not None}
