"""How far the runs of a folder are, by what the folder alone tells; also while they run."""

import time
from collections import Counter
from pathlib import Path

from hybridnets.report.reading.results import ReportError
from hybridnets.report.tables.table import wrapped
from hybridnets.runs import manifest
from hybridnets.runs.claims import BEAT_SECONDS, Watch
from hybridnets.runs.store import owner, reason, state


def told(folders: list[Path]) -> str:
    """A table of the runs at or below some folders: those that were begun, and those that sweeps asked for.

    Args:
        folders: Folders of runs.

    Raises:
        ReportError: If one of them is no folder, or if there is no run in any.
    """
    runs: dict[Path, str] = {}
    problems: list[str] = []
    for folder in folders:
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "does not exist"
            raise ReportError(f"FOLDER must be a folder of runs, got {folder}, which {what}: give train.py's out")
        top = folder.resolve()
        for out in (top, *top.parents[:3]):  # the folder of all runs, a data set's, a variant's, or a run's own
            found, broken = manifest.read(out)
            problems += broken
            for sweep in found:
                for relative in sweep.runs.values():
                    if (out / relative).is_relative_to(top):
                        runs[out / relative] = relative.as_posix()
        for found_in in (*top.rglob("checkpoints"), *top.rglob("result.json")):  # restored runs have no checkpoints
            runs.setdefault(found_in.parent, "/".join(found_in.parent.parts[-3:]))
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
        by = f"by {owner(folder)}" + silent.get(folder, "")
        words = {"running": by, "failed": reason(folder) or "its process died"}.get(now, "")
        lines.append(f"{name:{width}}  {now:8}  {_epochs(folder):>6}  {words}".rstrip())
    total = ", ".join(f"{n} {kind}" for kind, n in counts.most_common())
    return "\n".join([*lines, f"{len(runs)} run{'s' * (len(runs) > 1)}: {total}", *map(wrapped, problems)])


def _silent(folders: list[Path]) -> dict[Path, str]:
    """What to add to runs on other hosts whose heartbeat does not move while it is watched for a beat and a half."""
    watches = [watch for watch in map(Watch, folders) if watch.look() == "silent"]
    if not watches:
        return {}
    time.sleep(1.5 * BEAT_SECONDS)
    words = f", without a heartbeat for {1.5 * BEAT_SECONDS:.0f} s: dead, if that goes on"
    return {watch.folder: words for watch in watches if watch.look() == "silent"}


def _epochs(folder: Path) -> str:
    """How many epochs are written down."""
    try:
        return str(max(0, len((folder / "metrics.csv").read_text(encoding="utf-8").splitlines()) - 1))
    except (OSError, ValueError):
        return "-"
