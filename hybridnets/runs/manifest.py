"""A sweep's manifest: what was asked for, so that "2 of 3 runs" and "declared before" can be known later."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any

from hybridnets.runs.files import make_folder, read_json, write_json
from hybridnets.runs.identity import digest
from hybridnets.runs.store import Run

# Of a search: the hash of what its first batch asked for, by which the same search finds its manifest again.
BEGUN = "begun"


@dataclass(frozen=True)
class Manifest:
    """What one sweep asked for.

    Attributes:
        path: Its file.
        out: The folder of all runs.
        declared: When it was asked for first.
        command: What the user typed.
        runs: The runs' folders below `out`, by hash.
        report: The sweep's `report:` section.
    """

    path: Path
    out: Path
    declared: datetime
    command: str
    runs: Mapping[str, PurePath]
    report: Any


def read(out: Path) -> tuple[list[Manifest], list[str]]:
    """The manifests of a folder of runs, the oldest first, and a sentence on each that cannot be read."""
    found, problems = [], []
    for path in sorted(out.glob("sweeps/*.json")):
        try:
            found.append(parse(path, out, read_json(path)))
        except (OSError, ValueError, ArithmeticError, RecursionError, KeyError, TypeError, AttributeError):
            problems.append(f"{path} cannot be read: runs that it asked for and that are missing are not counted")
    return sorted(found, key=lambda manifest: manifest.declared.timestamp()), problems


def parse(path: Path, out: Path, held: Any) -> Manifest:
    """A manifest from its file's content.

    Args:
        path: The file.
        out: The folder of all runs.
        held: What it holds.

    Raises:
        ValueError: If it is no manifest; or ArithmeticError, KeyError, TypeError or AttributeError.
    """
    runs = {str(run["hash"]): relative(run["folder"]) for run in held["runs"]}
    declared = datetime.fromisoformat(held["declared"])
    declared.timestamp()
    return Manifest(path, out, declared, str(held["command"]), runs, held.get("report"))


def add(there: dict[str, Any], name: str, held: Any) -> str | None:
    """Puts a manifest among others; returns the name of the file that is new or another now, None where there is none.

    As in `write`, the same sweep is there once, with its first date, and another one of that name stands beside it.

    Args:
        there: Manifests by the names of their files.
        name: The name of the file that it came from.
        held: What it holds.

    Raises:
        ValueError: If a third sweep has that name.
    """
    what = {key: held.get(key) for key in ("runs", "report")}
    for free in (name, f"{name.removesuffix('.json')}-{digest(what)[:6]}.json"):
        before = there.get(free)
        if before is None:
            there[free] = held
            return free
        if {key: before.get(key) for key in what} == what:
            first = min(before, held, key=lambda one: datetime.fromisoformat(one["declared"]).timestamp())
            changed = first != before
            there[free] = first
            return free if changed else None
    raise ValueError(f"{name} must hold one sweep's runs, and is the name of several: remove one")


def relative(folder: str) -> PurePath:
    """A run's folder below that of all runs.

    Raises:
        ValueError: If it is no such one.
    """
    path = PurePath(folder)
    if (
        len(path.parts) != 3
        or path.is_absolute()
        or ".." in path.parts
        or "\0" in folder
        or max(map(len, path.parts)) > 255
    ):
        raise ValueError(f"{folder!r} is no run's folder")
    return path


def write(out: Path, name: str | None, command: str, runs: list[Run], report: Any) -> Path:
    """Writes OUT/sweeps/NAME.json before a sweep's first process starts.

    The same sweep again keeps its first date; another one of that name (a sweep file with overrides) stands beside it.

    Args:
        out: Folder of all runs.
        name: The sweep file's name; None for a sweep from the command line alone.
        command: What the user typed.
        runs: The runs asked for, each once.
        report: The sweep's `report:` section: primary analysis, baseline, families.
    """
    what = {"runs": _asked(out, runs), "report": report}
    folder = out / "sweeps"
    make_folder(folder)
    short = re.sub(r"[^\w.-]", "-", name) if name else "sweep"
    for path in (folder / f"{short}.json", folder / f"{short}-{digest(what)[:6]}.json"):
        before = read_json(path)
        if before is None and (name or path.stem != short):
            write_json(path, {"declared": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "command": command, **what})
            return path
        if before is not None and ({key: before.get(key) for key in what} == what or before.get(BEGUN) == digest(what)):
            return path
    raise ValueError(f"{path} must hold this sweep's runs, and holds others: remove it")


def extend(path: Path, out: Path, runs: list[Run]) -> None:
    """Adds the runs of a further batch to the manifest of a search, whose sweeper chooses them by the results so far.

    Args:
        path: The manifest, as `write` returned it for the first batch.
        out: Folder of all runs.
        runs: The batch's runs, each once.
    """
    held = read_json(path)
    begun = held.get(BEGUN, digest({key: held[key] for key in ("runs", "report")}))
    known = {run["hash"] for run in held["runs"]}
    if new := [run for run in _asked(out, runs) if run["hash"] not in known]:
        whole = sorted([*held["runs"], *new], key=lambda run: run["folder"])
        write_json(path, {**held, "runs": whole, BEGUN: begun})


def _asked(out: Path, runs: list[Run]) -> list[dict[str, str]]:
    asked = [{"hash": run.digest, "folder": str(run.folder.relative_to(out))} for run in runs]
    return sorted(asked, key=lambda run: run["folder"])
