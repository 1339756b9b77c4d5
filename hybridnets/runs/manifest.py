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
            held = read_json(path)
            runs = {str(run["hash"]): _relative(run["folder"]) for run in held["runs"]}
            declared = datetime.fromisoformat(held["declared"])
            declared.timestamp()
            found.append(Manifest(path, out, declared, str(held["command"]), runs, held.get("report")))
        except (OSError, ValueError, ArithmeticError, RecursionError, KeyError, TypeError, AttributeError):
            problems.append(f"{path} cannot be read: runs that it asked for and that are missing are not counted")
    return sorted(found, key=lambda manifest: manifest.declared.timestamp()), problems


def _relative(folder: str) -> PurePath:
    """A run's folder below that of all runs.

    Raises:
        ValueError: If it is no such one.
    """
    path = PurePath(folder)
    if len(path.parts) != 3 or ".." in path.parts or "\0" in folder or max(map(len, path.parts)) > 255:
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
