"""How far the requested runs are, from their folders alone, so that it can be read while they are trained."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hybridnets.runs import manifest
from hybridnets.runs.files import find
from hybridnets.runs.manifest import RequestedRun
from hybridnets.runs.records import metrics, result
from hybridnets.runs.records.errors import RecordError
from hybridnets.runs.store import state

ACCURACY = "val/acc"
UNDER_WAY = ("running", "pending")  # the states that a sweep still changes


@dataclass(frozen=True)
class RunProgress:
    """How far one run is.

    Attributes:
        name: Its folder below the folder of all runs.
        state: As `runs.store.state` gives it.
        epochs: How many epochs are finished.
        accuracy: The accuracy on val after the last of them; None where it is not recorded.
    """

    name: str
    state: str
    epochs: int
    accuracy: float | None


@dataclass(frozen=True)
class Progress:
    """How far some runs are.

    Attributes:
        runs: The runs that began and those that sweeps requested, in the order of their folders.
    """

    runs: tuple[RunProgress, ...] = ()

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """How many runs are in each state."""
        return Counter(run.state for run in self.runs)

    @property
    def finished(self) -> int:
        """How many runs are finished."""
        return self.counts.get("finished", 0)

    @property
    def under_way(self) -> int:
        """How many runs are trained now, or are still to be."""
        return sum(self.counts.get(kind, 0) for kind in UNDER_WAY)

    @property
    def failed(self) -> frozenset[RunProgress]:
        """The runs that ended without a result."""
        return frozenset(run for run in self.runs if run.state not in (*UNDER_WAY, "finished"))

    @property
    def running(self) -> list[RunProgress]:
        """The runs that are trained now."""
        return [run for run in self.runs if run.state == "running"]

    @property
    def sentence(self) -> str:
        """How many of the runs are in which state."""
        others = [f"{n} {kind}" for kind, n in sorted(self.counts.items()) if kind != "finished"]
        return ", ".join([f"{self.finished} of {len(self.runs)} requested runs finished", *others])


def runs_below(top: Path) -> tuple[dict[Path, RequestedRun | None], list[str]]:
    """The runs at or below a folder, as a sweep requested them, and sentences on manifests and folders that cannot be read.

    Args:
        top: The folder of all runs, of a data set, of a variant, or of a run.
    """
    runs: dict[Path, RequestedRun | None] = {}
    problems: list[str] = []
    for out in (top, *top.parents[:3]):
        manifests, broken = manifest.read(out)
        problems += broken
        for sweep in manifests:
            for requested in sweep.requested.values():
                if (out / requested.folder).is_relative_to(top):
                    runs[out / requested.folder] = requested
    begun, forbidden = find(top, "checkpoints", result.FILE)  # restored runs have no checkpoints
    problems += forbidden
    for path in begun:
        runs.setdefault(path.parent, None)
    return runs, problems


def read_progress(folders: Sequence[Path]) -> Progress:
    """How far the runs at or below some folders are.

    Args:
        folders: The folders; anything else is skipped.
    """
    return Progress(tuple(map(_progress_of, _all_runs(folders))))


def _all_runs(folders: Sequence[Path]) -> list[Path]:
    runs: set[Path] = set()
    for folder in folders:
        if folder.is_dir():
            runs.update(runs_below(folder.resolve())[0])
    return sorted(runs)


def _progress_of(folder: Path) -> RunProgress:
    try:
        history = metrics.read(folder).epochs()
    except RecordError:  # half written, or damaged: only its epochs are unknown
        history = []
    return RunProgress(
        "/".join(folder.parts[-3:]), state(folder), len(history), history[-1].get(ACCURACY) if history else None
    )


def stamps(paths: Sequence[Path]) -> frozenset[tuple[str, int, int]]:
    """When each file was last written that decides what a report says, and how large it is: manifests, results, scores.

    Args:
        paths: Folders of runs, and files.
    """
    return frozenset(_stamps(paths))


def _stamps(paths: Sequence[Path]) -> Iterator[tuple[str, int, int]]:
    files = [path for path in paths if not path.is_dir()]
    for folder in (path.resolve() for path in paths if path.is_dir()):
        for out in (folder, *folder.parents[:3]):
            files += out.glob("sweeps/*.json")
    for run in _all_runs(paths):
        files.append(run / result.FILE)
    for file in files:
        try:
            status = file.stat()
        except OSError:  # not written yet
            continue
        yield str(file), status.st_mtime_ns, status.st_size
