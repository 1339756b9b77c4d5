"""From an archive to folders of finished runs. Nothing in an archive is trusted before it is checked."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Literal

import numpy as np

from hybridnets.runs import claims, identities, manifest
from hybridnets.runs.archive import columns, container
from hybridnets.runs.archive.container import ArchiveError
from hybridnets.runs.files import read_json, replacing, write_json
from hybridnets.runs.records import RecordError, metrics, predictions, provenance, result

MANIFEST_NAME = r"[^/\\\x00]+\.json"
TEXTS = {"metrics": metrics.FILE, "result": result.FILE}  # kept to the byte; the result is written last
# Whatever the content of somebody's file raises where it has another shape.
MALFORMED = (ValueError, KeyError, TypeError, AttributeError, IndexError, ArithmeticError, RecursionError, MemoryError)

Restored = Literal["new", "finished", "started"]


@dataclass(frozen=True)
class Unpacked:
    """What became of the runs of an archive.

    Attributes:
        new: How many runs were restored.
        finished: How many were finished there already.
        started: How many were not touched, because somebody has started to train them there.
    """

    new: int
    finished: int
    started: int


class Archive:
    """An archive, read and checked.

    Args:
        path: The file.

    Attributes:
        folders: The folders, relative to that of all runs, that a report is about.

    Raises:
        ArchiveError: If it is no archive, or not as `pack` writes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._header, arrays = container.read(path)
        try:
            self.folders = [_relative_folder(str(folder)) for folder in self._header["below"]]
            self._sweeps: dict[str, Any] = self._header["sweeps"]
            requested = set()
            for name, content in self._sweeps.items():
                if not re.fullmatch(MANIFEST_NAME, name):
                    raise ValueError(f"a sweep named {name!r}")
                requested |= set(manifest.parse(Path(name), Path(), content).runs.values())
            self._failures = {manifest.relative(folder): content for folder, content in self._header["lost"].items()}
            if not self._failures.keys() <= requested or not all(map(provenance.parse, self._failures.values())):
                raise ValueError("failed runs that no sweep requested")
            self._runs = {place_of(path, run["result"].encode()): run for run in self._header["runs"]}
            if len(self._runs) < len(self._header["runs"]) or not self._runs:
                raise ValueError("a run twice, or none")
            if not all(any(run.is_relative_to(folder) for run in self._runs) for folder in self.folders):
                raise ValueError("a folder without a run")
            self._sets = columns.PackedSets(self._header["images"], arrays)
            self._rows = _rows(self._runs, self._sets.rows)
            json.dumps(self._header, allow_nan=False)
        except ArchiveError:
            raise
        except MALFORMED as error:
            why = f"{type(error).__name__}: {str(error)[:100]}"
            raise ArchiveError(f"{path} does not hold runs as --pack writes them ({why})") from None

    def unpack(self, out: Path) -> Unpacked:
        """Restores the runs in a folder; it does not touch those that are finished or started there.

        Args:
            out: The folder of all runs.

        Raises:
            ArchiveError: If the folder cannot be written to.
        """
        try:
            self._write_manifests(out)
            outcomes = [self._restore(place, out / place) for place in self._runs]
            for place, content in self._failures.items():
                if not (out / place).exists():
                    (out / place).mkdir(parents=True)
                    write_json(out / place / provenance.FILE, content)
        except OSError as error:
            where = error.filename or out
            raise ArchiveError(
                f"{out} must be a folder that can be written to, and is not ({where}: {error.strerror})"
            ) from None
        return Unpacked(outcomes.count("new"), outcomes.count("finished"), outcomes.count("started"))

    def _write_manifests(self, out: Path) -> None:
        """The manifests come first: what was declared, was declared before the runs."""
        (out / "sweeps").mkdir(parents=True, exist_ok=True)
        try:
            existing = {path.name: read_json(path) for path in sorted(out.glob("sweeps/*.json"))}
            for name, content in self._sweeps.items():
                if changed := manifest.add(existing, name, content):
                    write_json(out / "sweeps" / changed, existing[changed])
        except MALFORMED as error:
            raise ArchiveError(f"{out / 'sweeps'} must hold manifests of sweeps, and does not ({error})") from None

    def _restore(self, place: PurePath, folder: Path) -> Restored:
        if (folder / result.FILE).exists():
            return "finished"
        if _is_started(folder):
            return "started"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with claims.hold(folder) as claim:
                try:
                    if (folder / result.FILE).exists() or _is_started(folder, claimed=True):
                        return "started"  # by the process that held it until just now
                    self._write_run(place, folder, claim)
                finally:
                    claim.give_back(finished=(folder / result.FILE).exists())
        except claims.RunBusyError:
            return "started"
        return "new"

    def _write_run(self, place: PurePath, folder: Path, claim: claims.Claim) -> None:
        """Writes the files of a run, its result last."""
        run = self._runs[place]
        if self._rows[place]:
            parts = {part: self._sets.columns(*row) for part, row in self._rows[place].items()}
            with replacing(folder / predictions.FILE, claim.check) as temporary, temporary.open("wb") as file:
                np.savez(file, **predictions.to_arrays(parts))  # type: ignore[arg-type]
        if run["provenance"] is not None:
            write_json(folder / provenance.FILE, run["provenance"], claim.check)
        for name in ("metrics", "result"):
            if run[name] is not None:
                with replacing(folder / TEXTS[name], claim.check) as temporary:
                    temporary.write_bytes(run[name].encode())


def place_of(path: Path, content: bytes) -> PurePath:
    """A run's folder relative to that of all runs, by its identity.

    Args:
        path: The file that the content comes from, for messages.
        content: The content of a result.json.

    Raises:
        ArchiveError: If the content is no result, or its hash does not follow from its identity.
    """
    try:
        place = manifest.relative(str(identities.folder(result.parse(json.loads(content), path).identity)))
        str(place).encode()
    except (RecordError, *MALFORMED):
        raise ArchiveError(
            f"{path} must hold results whose hashes follow from their identities, and does not"
        ) from None
    return place


def _is_started(folder: Path, *, claimed: bool = False) -> bool:
    """Whether somebody trains the run of a folder, or has started to; files that an archive left there, do not count."""
    if (not claimed and claims.running(folder)) or any(folder.glob("checkpoints/*")):
        return True
    try:
        attempts = provenance.read(folder)
    except RecordError:
        return True
    return attempts is not None and any("host" in attempt for attempt in attempts.attempts)


def _rows(runs: Mapping[PurePath, Mapping[str, Any]], lengths: list[int]) -> dict[PurePath, dict[str, tuple[int, int]]]:
    """By run and part, the set of images and the row there, which follow in the order of the runs.

    Raises:
        ValueError: If there are more rows or fewer, or if a run is not as `pack` writes it.
    """
    taken = [0] * len(lengths)
    rows: dict[PurePath, dict[str, tuple[int, int]]] = {}
    for place, run in runs.items():
        if run["provenance"] is not None:
            provenance.parse(run["provenance"])
        if not isinstance(run["metrics"], str | None):
            raise ValueError("metrics that are no text")
        sets: Mapping[str, int] = run["predictions"]
        if tuple(sets) not in ((), predictions.PARTS) or not all(
            0 <= number < len(lengths) for number in sets.values()
        ):
            raise ValueError("predictions of other parts than val and test")
        rows[place] = {}
        for part, number in sets.items():
            rows[place][part] = (number, taken[number])
            taken[number] += 1
    if taken != lengths:
        raise ValueError("predictions of more runs or of fewer")
    return rows


def _relative_folder(folder: str) -> PurePath:
    """A folder inside that of all runs, or that itself.

    Raises:
        ValueError: If it is something else.
    """
    path = PurePath(folder)
    if path.is_absolute() or ".." in path.parts or len(path.parts) > 3 or "\0" in folder:
        raise ValueError(f"{folder!r} is no folder of runs")
    return path
