"""How far the runs of a folder are, from the folder alone, so that it also works while they run."""

import time
from collections import Counter
from pathlib import Path

from hybridnets.report.reading.progress import runs_below
from hybridnets.report.reading.results import ReportError
from hybridnets.report.tables.table import wrapped
from hybridnets.runs.claims import BEAT_SECONDS, Watch
from hybridnets.runs.records import metrics
from hybridnets.runs.store import owner, reason, state


def status_text(folders: list[Path]) -> str:
    """A table of the runs at or below some folders: those that began, and those that sweeps requested.

    Args:
        folders: Folders of runs.

    Raises:
        ReportError: If one of them is not a folder, or if no folder holds a run.
    """
    runs: dict[Path, str] = {}
    problems: list[str] = []
    for folder in folders:
        if not folder.is_dir():
            problem = "is a file" if folder.exists() else "does not exist"
            raise ReportError(f"FOLDER must be a folder of runs, got {folder}, which {problem}: give train.py's out")
        names, broken = runs_below(folder.resolve())
        runs |= names
        problems += broken
    if not runs:
        raise ReportError(
            f"FOLDER must hold runs, got {', '.join(map(str, folders))} without any: train some with train.py, or give the "
            "folder it writes to"
        )
    counts = Counter[str]()
    width = max(map(len, runs.values()))
    lines = [f"{'run':{width}}  {'state':8}  epochs"]
    lines.append("-" * len(lines[0]))
    silent = _silent(list(runs))
    for folder, name in sorted(runs.items()):
        now = state(folder)
        counts[now] += 1
        notes = {
            "running": f"by {owner(folder)}{silent.get(folder, '')}",
            "failed": reason(folder) or "its process died",
        }
        lines.append(f"{name:{width}}  {now:8}  {_epochs(folder):>6}  {notes.get(now, '')}".rstrip())
    total = ", ".join(f"{n} {kind}" for kind, n in counts.most_common())
    return "\n".join([*lines, f"{len(runs)} run{'s' * (len(runs) > 1)}: {total}", *map(wrapped, problems)])


def _silent(folders: list[Path]) -> dict[Path, str]:
    """A note on each run on another host whose heartbeat does not change during one and a half beats."""
    watches = [watch for watch in map(Watch, folders) if watch.state() == "silent"]
    if not watches:
        return {}
    time.sleep(1.5 * BEAT_SECONDS)
    note = f", without a heartbeat for {1.5 * BEAT_SECONDS:.0f} s: dead if this continues"
    return {watch.folder: note for watch in watches if watch.state() == "silent"}


def _epochs(folder: Path) -> str:
    """How many epochs are recorded."""
    try:
        return str(max(0, len((folder / metrics.FILE).read_text(encoding="utf-8").splitlines()) - 1))
    except (OSError, ValueError):
        return "-"
