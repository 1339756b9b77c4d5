"""Finished runs in one file, and back: all that a report needs, without pixels, weights, host names and paths.

What is kept of a run is result.json and metrics.csv to the byte, provenance.json without host names and paths, and of
predictions.npz the class and the probability of the true class; not kept are config.yaml, log.txt and checkpoints. Kept too
are the sweeps' manifests, and why runs failed that they asked for: a run that diverged counts in a comparison.
"""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from hybridnets.runs import archive, claims, manifest
from hybridnets.runs import identity as ids
from hybridnets.runs.archive import ArchiveError
from hybridnets.runs.files import read_json, replacing, write_json
from hybridnets.runs.predictions import PARTS, ROUNDING, Sets, Shelf, kept, restored
from hybridnets.runs.store import SCHEMA, state

ELSEWHERE = ("host", "process")  # of an attempt, what no other machine needs to know
FILES = {"metrics": "metrics.csv", "result": "result.json"}  # kept to the byte; the result is written last
FILE = r"[^/\\\x00]+\.json"  # a manifest's name
WRONG = (ValueError, KeyError, TypeError, AttributeError, IndexError, ArithmeticError, RecursionError, MemoryError)
# An absolute path but for its last part, also in file:///...; what follows a word, as in a/b, is none.
ABOVE = "(?:(?<=://)/+|(?<![\\w./-])~?/(?!/))(?:[^/{0}'\"=:;,()<>]+/)*(?=[^/{0}'\"=:;,()<>])"
HOST = r"(?<=://)[^/\s'\"]+"


@dataclass(frozen=True)
class Unpacked:
    """What came of the runs of an archive.

    Attributes:
        new: How many runs were restored.
        there: How many were finished there already.
        begun: How many were left alone because their training was begun there, or goes on.
    """

    new: int
    there: int
    begun: int


def pack(folders: Sequence[Path], below: Sequence[Path], path: Path, *, every: bool = False) -> None:
    """Writes an archive of finished runs and of the sweeps that asked for them.

    Args:
        folders: The runs' folders, of each run one.
        below: The folders that they were looked for in: a sweep counts if it asked for a run there.
        path: The archive.
        every: Whether to keep the probabilities of all classes.

    Raises:
        ArchiveError: If a run cannot be kept as it is, or the archive not be written.
    """
    runs: dict[PurePath, Path] = {}
    for folder in folders:
        place = _place(folder / "result.json", (folder / "result.json").read_bytes())
        if place in runs:
            raise ArchiveError(f"{folder} and {runs[place]} would both be {place}: pack one of them")
        runs[place] = folder
    outs = sorted({out for folder in folders for out in folder.resolve().parents[2:3]})
    tops = [folder.resolve() for folder in below]
    sweeps, lost = _sweeps(outs, tops, set(runs))
    shelf = Shelf()
    told = [_run(folder, shelf, every) for _, folder in sorted(runs.items())]
    sets, arrays = shelf.packed()
    header = {
        "rounding": ROUNDING,
        "left_out": "weights, feature maps, configurations, logs, host names and paths",
        "below": _below(outs, tops, set(runs), sweeps),
        "sweeps": sweeps,
        "lost": lost,
        "images": sets,
        "runs": told,
    }
    try:
        with replacing(path) as beside:
            archive.write(beside, header, arrays)
            Archive(beside)  # what could not be read again is not kept
    except OSError as error:
        raise ArchiveError(f"{path} cannot be written ({error.strerror}): give another file with -o") from None


def _run(folder: Path, shelf: Shelf, every: bool) -> dict[str, Any]:
    """A run as the header tells it; its predictions go on the shelf."""
    provenance = None
    with suppress(*WRONG):  # damaged, it tells nothing, and the run still counts
        provenance = _anonymous(folder)
    metrics = folder / "metrics.csv"
    try:
        return {
            "result": (folder / "result.json").read_bytes().decode(),
            "metrics": metrics.read_bytes().decode() if metrics.exists() else None,
            "provenance": provenance,
            "predictions": {
                part: shelf.add(columns) for part, columns in kept(folder / "predictions.npz", every=every).items()
            },
        }
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{folder} cannot be packed ({error})") from None


def _sweeps(outs: list[Path], tops: list[Path], finished: set[PurePath]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifests of sweeps that asked for a run below the given folders, and what is known of runs that failed."""
    sweeps: dict[str, Any] = {}
    lost: dict[str, Any] = {}
    for out in outs:
        for found in manifest.read(out)[0]:
            if not any((out / run).is_relative_to(top) for run in found.runs.values() for top in tops):
                continue
            held = read_json(found.path)
            manifest.add(sweeps, found.path.name, {**held, "command": without_paths(str(held["command"]), shell=True)})
            for run in found.runs.values():
                if run not in finished and state(out / run) == "failed":
                    why = _reason(out / run)
                    lost[run.as_posix()] = {"attempts": [{"error": why} if why else {}], "epoch_seconds": {}}
    return dict(sorted(sweeps.items())), dict(sorted(lost.items()))


def _below(outs: list[Path], tops: list[Path], runs: set[PurePath], sweeps: Mapping[str, Any]) -> list[str]:
    """The folders below that of all runs that a report is about; a data set's, where there is only one."""
    found = {PurePath()} if any(out.is_relative_to(top) for out in outs for top in tops) else set()
    found |= {PurePath(top.relative_to(out)) for out in outs for top in tops if top.is_relative_to(out)}
    found = {folder for folder in found if any(run.is_relative_to(folder) for run in runs)} or {PurePath()}
    data = {run.parts[0] for run in runs}
    asked = {PurePath(run["folder"]).parts[0] for held in sweeps.values() for run in held["runs"]}
    if PurePath() in found:
        return [*data] if len(data | asked) == 1 else ["."]
    return sorted(folder.as_posix() for folder in found)


def _place(path: Path, content: bytes) -> PurePath:
    """A run's folder below that of all runs, by its identity.

    Raises:
        ArchiveError: If the content is no result, or its hash does not follow from its identity.
    """
    try:
        result = json.loads(content)
        identity = result["identity"]
        if result["schema"] != SCHEMA or result["hash"] != ids.digest(identity) or result["seeds"] != identity["seeds"]:
            raise ValueError
        place = manifest.relative(str(ids.folder(identity)))
        str(place).encode()
    except WRONG:
        raise ArchiveError(
            f"{path} must hold results whose hashes follow from their identities, and does not"
        ) from None
    return place


def without_paths(text: str, *, shell: bool = False) -> str:
    """A text with absolute paths cut to their last part, as in .../runs, and addresses without their hosts.

    Args:
        text: The text.
        shell: Whether it is a command line; there, words end where the shell says.
    """
    text = re.sub(HOST, "...", text)
    if shell:
        with suppress(ValueError):
            return shlex.join(re.sub(ABOVE.format(""), ".../", word) for word in shlex.split(text))
    return re.sub(ABOVE.format(r"\s"), ".../", text)


def _anonymous(folder: Path) -> Any:
    """A run's provenance without host names, processes and paths; None where there is none.

    Raises:
        ValueError: If it is damaged; or KeyError and the like.
    """
    provenance = _attempted(read_json(folder / "provenance.json"))
    hosts = {str(attempt["host"]) for attempt in (provenance or {"attempts": ()})["attempts"] if "host" in attempt}

    def plain(value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: plain(inner, key) for key, inner in value.items() if key not in ELSEWHERE}
        if isinstance(value, list):
            return [plain(inner, name) for inner in value]
        if not isinstance(value, str):
            return value
        for host in hosts if name == "error" else ():
            value = re.sub(rf"(?<!\w){re.escape(host)}(?!\w)", "...", value)
        return without_paths(value, shell=name == "command")

    found = plain(provenance)
    json.dumps(found, allow_nan=False)
    return found


def _reason(folder: Path) -> str:
    """Why a run's last attempt ended early, as `store.reason` tells it, but without host names and paths."""
    with suppress(*WRONG):
        return str(_anonymous(folder)["attempts"][-1].get("error", "")).partition("\n")[0]
    return ""


def _attempted(provenance: Any) -> Any:
    """Provenance, checked for what a run's next attempt expects of it.

    Raises:
        ValueError: If it lacks that; or KeyError and the like.
    """
    if provenance is None:
        return None
    attempts, seconds = provenance["attempts"], provenance["epoch_seconds"]
    if not isinstance(attempts, list) or not all(isinstance(each, dict) for each in (*attempts, seconds)):
        raise ValueError("provenance without attempts")
    return provenance


class Archive:
    """An archive, read and checked.

    Args:
        path: The file.

    Attributes:
        below: The folders below that of all runs that a report is about.

    Raises:
        ArchiveError: If it is no archive, or not as `pack` writes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._header, arrays = archive.read(path)
        try:
            self.below = [_within(str(folder)) for folder in self._header["below"]]
            self._sweeps: dict[str, Any] = self._header["sweeps"]
            asked = set()
            for name, held in self._sweeps.items():
                if not re.fullmatch(FILE, name):
                    raise ValueError(f"a sweep named {name!r}")
                asked |= set(manifest.parse(Path(name), Path(), held).runs.values())
            self._lost = {manifest.relative(folder): told for folder, told in self._header["lost"].items()}
            if not self._lost.keys() <= asked or not all(map(_attempted, self._lost.values())):
                raise ValueError("failed runs that no sweep asked for")
            self._runs = {_place(path, run["result"].encode()): run for run in self._header["runs"]}
            if len(self._runs) < len(self._header["runs"]) or not self._runs:
                raise ValueError("a run twice, or none")
            if not all(any(run.is_relative_to(folder) for run in self._runs) for folder in self.below):
                raise ValueError("a folder without a run")
            self._sets = Sets(self._header["images"], arrays)
            self._rows = _rows(self._runs, self._sets.rows)
            json.dumps(self._header, allow_nan=False)
        except ArchiveError:
            raise
        except WRONG as error:
            why = f"{type(error).__name__}: {str(error)[:100]}"
            raise ArchiveError(f"{path} does not hold runs as report.py --pack writes them ({why})") from None

    def unpack(self, out: Path) -> Unpacked:
        """Restores the runs below a folder; those that are finished or begun there are left alone.

        Args:
            out: The folder of all runs.

        Raises:
            ArchiveError: If the folder cannot be written to.
        """
        counts = dict.fromkeys(("new", "there", "begun"), 0)
        try:
            self._declare(out)
            for place in self._runs:
                counts[self._restore(place, out / place)] += 1
            for place, told in self._lost.items():
                if not (out / place).exists():
                    (out / place).mkdir(parents=True)
                    write_json(out / place / "provenance.json", told)
        except OSError as error:
            where = error.filename or out
            raise ArchiveError(
                f"{out} must be a folder that can be written to, and is not ({where}: {error.strerror})"
            ) from None
        return Unpacked(**counts)

    def _declare(self, out: Path) -> None:
        """The manifests come first: what was declared, was declared before the runs."""
        (out / "sweeps").mkdir(parents=True, exist_ok=True)
        try:
            there = {path.name: read_json(path) for path in sorted(out.glob("sweeps/*.json"))}
            for name, held in self._sweeps.items():
                if changed := manifest.add(there, name, held):
                    write_json(out / "sweeps" / changed, there[changed])
        except WRONG as error:
            raise ArchiveError(f"{out / 'sweeps'} must hold manifests of sweeps, and does not ({error})") from None

    def _restore(self, place: PurePath, folder: Path) -> str:
        """Writes a run's files, its result last; returns under what it counts."""
        if (folder / "result.json").exists():
            return "there"
        if _begun(folder):
            return "begun"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with claims.hold(folder) as claim:
                try:
                    if (folder / "result.json").exists() or _begun(folder, held=True):
                        return "begun"  # by who held it until just now
                    self._write(place, folder, claim)
                finally:
                    claim.give_back(finished=(folder / "result.json").exists())
        except claims.RunBusyError:
            return "begun"
        return "new"

    def _write(self, place: PurePath, folder: Path, claim: claims.Claim) -> None:
        run = self._runs[place]
        if self._rows[place]:
            arrays = {
                f"{part}_{key}": column
                for part, row in self._rows[place].items()
                for key, column in restored(self._sets.columns(*row)).items()
            }
            with replacing(folder / "predictions.npz", claim.check) as beside, beside.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
        if run["provenance"] is not None:
            write_json(folder / "provenance.json", run["provenance"], claim.check)
        for name in ("metrics", "result"):
            if run[name] is not None:
                with replacing(folder / FILES[name], claim.check) as beside:
                    beside.write_bytes(run[name].encode())


def _begun(folder: Path, *, held: bool = False) -> bool:
    """Whether a training was begun in a folder, or goes on; what an archive left there, whole or half, is none."""
    if (not held and claims.running(folder)) or any(folder.glob("checkpoints/*")):
        return True
    try:
        told = read_json(folder / "provenance.json")
        return told is not None and any("host" in attempt for attempt in told["attempts"])
    except WRONG:
        return True


def _rows(runs: Mapping[PurePath, Mapping[str, Any]], many: list[int]) -> dict[PurePath, dict[str, tuple[int, int]]]:
    """By run and part, the set of images and the row there, which follow in the order of the runs.

    Raises:
        ValueError: If there are more rows or fewer, or if a run is not as `pack` writes it.
    """
    taken = [0] * len(many)
    found: dict[PurePath, dict[str, tuple[int, int]]] = {}
    for place, run in runs.items():
        _attempted(run["provenance"])
        if not isinstance(run["metrics"], str | None):
            raise ValueError("metrics that are no text")
        sets: Mapping[str, int] = run["predictions"]
        if tuple(sets) not in ((), PARTS) or not all(0 <= number < len(many) for number in sets.values()):
            raise ValueError("predictions of other parts than val and test")
        found[place] = {}
        for part, number in sets.items():
            found[place][part] = (number, taken[number])
            taken[number] += 1
    if taken != many:
        raise ValueError("predictions of more runs or of fewer")
    return found


def _within(folder: str) -> PurePath:
    """A folder below that of all runs, or that itself.

    Raises:
        ValueError: If it is no such one.
    """
    path = PurePath(folder)
    if path.is_absolute() or ".." in path.parts or len(path.parts) > 3 or "\0" in folder:
        raise ValueError(f"{folder!r} is no folder of runs")
    return path
