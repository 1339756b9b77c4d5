"""How far the requested runs are, from their folders alone, so that it can be read while they are trained."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from hybridnets.runs import identities, manifest
from hybridnets.runs.files import find
from hybridnets.runs.manifest import RequestedRun
from hybridnets.runs.records import metrics, result
from hybridnets.runs.records.errors import ForbiddenRecordError, RecordError
from hybridnets.runs.store import State, state

ACCURACY = "val/acc"
UNDER_WAY = ("running", "pending")  # the states that a sweep still changes


@dataclass(frozen=True)
class RunProgress:
    """How far one run is.

    Attributes:
        folder: Its folder.
        state: Its state.
        epochs: How many epochs are recorded; None where their file is damaged.
        accuracy: Its accuracy on val: the highest so far, or once its result was read that at the reported epoch; None where
            none is recorded.
        variant: Its identity without seeds; None where nothing says it, or where it was not read.
        note: Who runs it, or why it ended; empty where it was not read.
    """

    folder: Path
    state: State
    epochs: int | None
    accuracy: float | None
    variant: identities.Identity | None = field(default=None, compare=False)
    note: str = ""

    @property
    def name(self) -> str:
        """Its folder below the folder of all runs."""
        return "/".join(self.folder.parts[-3:])

    @property
    def epochs_of(self) -> str:
        """The epochs, counted from 1, of how many there may be; runs that stop early have fewer."""
        if self.state == "pending":
            return "-"
        most = self.variant and self.variant.get("trainer", {}).get("max_epochs")
        text = "?" if self.epochs is None else str(self.epochs)
        return f"{text}/{most}" if isinstance(most, int) and most > 0 else text


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
        unfinished = [f"{n} {kind}" for kind, n in sorted(self.counts.items()) if kind != "finished"]
        return ", ".join([f"{self.finished} of {len(self.runs)} requested runs finished", *unfinished])


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
    return Progress(tuple(map(progress_of, _all_runs(folders))))


def _all_runs(folders: Sequence[Path]) -> list[Path]:
    runs: set[Path] = set()
    for folder in folders:
        if folder.is_dir():
            runs.update(runs_below(folder.resolve())[0])
    return sorted(runs)


def progress_of(folder: Path) -> RunProgress:
    """How far a run is, from its state and the epochs that it recorded.

    Args:
        folder: Its folder.
    """
    now = state(folder)
    try:
        epochs = metrics.read(folder)
    except RecordError as error:  # half written, damaged or forbidden: only its epochs are unknown
        problem = "may not be read" if isinstance(error, ForbiddenRecordError) else "is damaged"
        return RunProgress(folder, now, None, None, note=f"{metrics.FILE} {problem}")
    accuracy = epochs.highest(ACCURACY)
    return RunProgress(folder, now, len(epochs), None if math.isnan(accuracy) else accuracy)


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
