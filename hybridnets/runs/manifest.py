"""A sweep's manifest: what it requested, so that "2 of 3 runs" and "declared before" can be known later."""

import math
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any

from hybridnets.runs import identities
from hybridnets.runs.files import ForbiddenError, make_folder, read_json, unusable, write_json
from hybridnets.runs.store import Run

# Of a search: the hash of what its first batch requested, by which the same search finds its manifest again.
FIRST_BATCH = "begun"
NOT_COUNTED = "runs that it requested and that are missing are not counted"


@dataclass(frozen=True)
class RequestedRun:
    """A run that a sweep requested.

    Attributes:
        folder: Its folder, relative to that of all runs.
        seeds: Its seeds of split, initialisation and order.
        variant: Its identity without the seeds; None in sweeps of the first versions.
    """

    folder: PurePath
    seeds: tuple[int, int, int]
    variant: identities.Identity | None = None


@dataclass(frozen=True)
class TakenLook:
    """What a sweep that adds seeds until its question is settled saw at a look.

    Attributes:
        n: The number of seeds.
        time: When the look was first taken, as ISO 8601.
        estimate: The mean difference.
        interval: Its interval, which holds at every look; infinite ends where nothing was known yet.
        settled: better, worse, equivalent or open.
    """

    n: int
    time: str
    estimate: float
    interval: tuple[float, float]
    settled: str


@dataclass(frozen=True)
class Manifest:
    """What one sweep requested.

    Attributes:
        path: Its file.
        out: The folder of all runs.
        declared: When it was first requested.
        command: What the user typed.
        requested: The runs, by hash.
        report: The sweep's `report:` section.
        looks: The looks that it took, where it added seeds until its question was settled.
        is_search: Whether a sweeper chose its runs by the results of earlier ones.
    """

    path: Path
    out: Path
    declared: datetime
    command: str
    requested: Mapping[str, RequestedRun]
    report: Any
    looks: tuple[TakenLook, ...] = ()
    is_search: bool = False

    @property
    def variants(self) -> Mapping[str, identities.Identity]:
        """The identities without seeds of the requested runs, by hash."""
        return {identities.hash_of(run.variant): run.variant for run in self.requested.values() if run.variant}

    @property
    def runs(self) -> Mapping[str, PurePath]:
        """The runs' folders, relative to `out`, by hash."""
        return {key: run.folder for key, run in self.requested.items()}


def read(out: Path) -> tuple[list[Manifest], list[str]]:
    """The manifests of a folder of runs, the oldest first, and a sentence on each that cannot be read."""
    manifests, problems = [], []
    try:
        paths = sorted((out / "sweeps").iterdir())  # glob would say nothing of a folder that may not be listed
    except (FileNotFoundError, NotADirectoryError):
        paths = []
    except OSError as error:
        # Whether it exists is not known in a folder that itself may not be searched, which others name.
        return [], [f"{unusable(error)}; {NOT_COUNTED}"] if os.path.lexists(out / "sweeps") else []
    for path in (path for path in paths if path.suffix == ".json"):
        try:
            manifests.append(parse(path, out, read_json(path)))
        except ForbiddenError as error:
            problems.append(f"{error}; {NOT_COUNTED}")
        except (OSError, ValueError, ArithmeticError, RecursionError, KeyError, TypeError, AttributeError):
            problems.append(f"{path} cannot be read: {NOT_COUNTED}")
    return sorted(manifests, key=lambda sweep: (sweep.declared.timestamp(), len(sweep.requested))), problems


def parse(path: Path, out: Path, content: Any) -> Manifest:
    """A manifest from its file's content.

    Args:
        path: The file.
        out: The folder of all runs.
        content: The value of the JSON file.

    Raises:
        ValueError: If it is no manifest; or ArithmeticError, KeyError, TypeError or AttributeError.
    """
    variants = content.get("variants", {})
    if not all(isinstance(settings, dict) for settings in variants.values()):
        raise ValueError("a variant of another shape")
    requested = {str(entry["hash"]): _requested(entry, variants) for entry in content["runs"]}
    declared = datetime.fromisoformat(content["declared"])
    declared.timestamp()
    looks = tuple(map(_look, content.get("looks", ())))
    is_search = FIRST_BATCH in content and not looks
    return Manifest(path, out, declared, str(content["command"]), requested, content.get("report"), looks, is_search)


def read_one(path: Path) -> Manifest:
    """The manifest in a file.

    Args:
        path: The file, OUT/sweeps/NAME.json.

    Raises:
        ValueError: As `parse`, if it is no manifest.
    """
    return parse(path, path.parent.parent, read_json(path))


def record_looks(path: Path, looks: list[TakenLook]) -> None:
    """Writes the looks of a sweep into its manifest.

    Args:
        path: The manifest.
        looks: All looks so far.
    """
    entries = [
        {**vars(look), "interval": [end if math.isfinite(end) else None for end in look.interval]} for look in looks
    ]
    write_json(path, {**read_json(path), "looks": entries})


def _look(entry: Mapping[str, Any]) -> TakenLook:
    low, high = entry["interval"]
    interval = (-math.inf if low is None else float(low), math.inf if high is None else float(high))
    return TakenLook(int(entry["n"]), str(entry["time"]), float(entry["estimate"]), interval, str(entry["settled"]))


def _requested(entry: Mapping[str, Any], variants: Mapping[str, identities.Identity]) -> RequestedRun:
    folder = relative(entry["folder"])
    # Sweeps of the first versions recorded no seeds: their folders' names have them.
    seeds = entry["seeds"] if "seeds" in entry else identities.seeds_in(folder)
    split, init, order = (int(seeds[kind]) for kind in identities.SEED_KINDS)
    return RequestedRun(folder, (split, init, order), variants.get(entry.get("variant", "")))


def relative(folder: str) -> PurePath:
    """A run's folder, relative to that of all runs.

    Raises:
        ValueError: If it is something else.
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

    The same sweep keeps its first date when it runs again; another sweep of that name (a sweep file with overrides) gets a
    file of its own.

    Args:
        out: Folder of all runs.
        name: The sweep file's name; None for a sweep from the command line alone.
        command: What the user typed.
        runs: The runs requested, each once.
        report: The sweep's `report:` section: primary analysis, baseline, families.
    """
    content = {"runs": _entries(out, runs), "variants": _variants(runs), "report": report}
    folder = out / "sweeps"
    make_folder(folder)
    short = re.sub(r"[^\w.-]", "-", name) if name else "sweep"
    for path in (folder / f"{short}.json", folder / f"{short}-{_digest(content)[:6]}.json"):
        existing = read_json(path)
        if existing is None and (name or path.stem != short):
            write_json(path, {"declared": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "command": command, **content})
            return path
        if existing is not None and (
            _digest(existing) == _digest(content) or existing.get(FIRST_BATCH) == _digest(content)
        ):
            return path
    raise ValueError(f"{path} must hold this sweep's runs, and holds others: delete it")


def extend(path: Path, out: Path, runs: list[Run]) -> None:
    """Adds the runs of a further batch to the manifest of a search, whose sweeper chooses them by the results so far.

    Args:
        path: The manifest, as `write` returned it for the first batch.
        out: Folder of all runs.
        runs: The batch's runs, each once.
    """
    content = read_json(path)
    first = content.get(FIRST_BATCH, _digest(content))
    hashes = {entry["hash"] for entry in content["runs"]}
    if new := [entry for entry in _entries(out, runs) if entry["hash"] not in hashes]:
        entries = sorted([*content["runs"], *new], key=lambda entry: entry["folder"])
        variants = {**content.get("variants", {}), **_variants(runs)}
        write_json(path, {**content, "runs": entries, "variants": variants, FIRST_BATCH: first})


def add(manifests: dict[str, Any], name: str, content: Any) -> str | None:
    """Adds a manifest to others; returns the name of the file that is new or has changed, None where none has.

    As in `write`, a sweep that exists keeps its first date, and a different sweep of the same name gets another file.

    Args:
        manifests: The contents of manifests by the names of their files.
        name: The name of the file that the new one came from.
        content: Its content.

    Raises:
        ValueError: If a third sweep has that name.
    """
    for free in (name, f"{name.removesuffix('.json')}-{_digest(content)[:6]}.json"):
        existing = manifests.get(free)
        if existing is None:
            manifests[free] = content
            return free
        if _digest(existing) == _digest(content):
            first = min(existing, content, key=lambda sweep: datetime.fromisoformat(sweep["declared"]).timestamp())
            changed = first != existing
            manifests[free] = first
            return free if changed else None
    raise ValueError(f"{name} must hold one sweep's runs, and is the name of several: delete one")


def _entries(out: Path, runs: list[Run]) -> list[dict[str, Any]]:
    entries = [
        {
            "hash": run.hash,
            "folder": str(run.folder.relative_to(out)),
            "seeds": run.identity["seeds"],
            "variant": identities.hash_of(identities.variant(run.identity)),
        }
        for run in runs
    ]
    return sorted(entries, key=lambda entry: entry["folder"])


def _variants(runs: list[Run]) -> dict[str, identities.Identity]:
    """The runs' identities without seeds, by their hashes: what distinguishes runs that have not begun."""
    variants = [identities.variant(run.identity) for run in runs]
    return {identities.hash_of(settings): settings for settings in variants}


def _digest(content: Mapping[str, Any]) -> str:
    """What makes two sweeps the same: the runs that they requested, and their report section."""
    runs = [{"hash": run["hash"], "folder": run["folder"]} for run in content["runs"]]
    return identities.hash_of({"runs": runs, "report": content.get("report")})
