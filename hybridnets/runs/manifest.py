"""A sweep's manifest: what was asked for, so that "2 of 3 runs" and "declared before" can be known later."""

import re
import time
from pathlib import Path
from typing import Any

from hybridnets.runs.files import read_json, write_json
from hybridnets.runs.identity import digest
from hybridnets.runs.store import Run


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
    asked = [{"hash": run.digest, "folder": str(run.folder.relative_to(out))} for run in runs]
    asked.sort(key=lambda run: run["folder"])
    what = {"runs": asked, "report": report}
    folder = out / "sweeps"
    folder.mkdir(parents=True, exist_ok=True)
    short = re.sub(r"[^\w.-]", "-", name) if name else "sweep"
    for path in (folder / f"{short}.json", folder / f"{short}-{digest(what)[:6]}.json"):
        before = read_json(path)
        if before is None and (name or path.stem != short):
            write_json(path, {"declared": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "command": command, **what})
            return path
        if before is not None and {key: before.get(key) for key in what} == what:
            return path
    raise ValueError(f"{path} must hold this sweep's runs, and holds others: remove it")
