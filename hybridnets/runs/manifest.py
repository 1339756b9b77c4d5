"""A sweep's manifest: what was asked for, so that "2 of 3 runs" and "declared before" can be known later."""

import re
import time
from pathlib import Path
from typing import Any

from hybridnets.runs.files import read_json, write_json
from hybridnets.runs.identity import digest
from hybridnets.runs.store import Run


def write(out: Path, name: str | None, command: str, runs: list[Run], report: Any) -> Path:
    """Writes OUT/sweeps/NAME.json before a sweep's first process starts; the same sweep again keeps its first date.

    Args:
        out: Folder of all runs.
        name: The sweep file's name; a sweep from the command line alone is named by what it asks for.
        command: What the user typed.
        runs: The runs asked for, each once.
        report: The sweep's `report:` section: primary analysis, baseline, families.
    """
    asked = [{"hash": run.digest, "folder": str(run.folder.relative_to(out))} for run in runs]
    asked.sort(key=lambda run: run["folder"])
    what = {"command": command, "runs": asked, "report": report}
    name = re.sub(r"[^\w.-]", "-", name) if name else f"sweep-{digest(asked)[:6]}"
    path = out / "sweeps" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    before = read_json(path)
    same = before is not None and {**before, "command": command, "declared": None} == {**what, "declared": None}
    declared = before["declared"] if same else time.strftime("%Y-%m-%dT%H:%M:%S%z")
    write_json(path, {"declared": declared, **what})
    return path
