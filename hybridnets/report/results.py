"""The finished runs below some folders, each read and checked by itself: one that is broken costs no other."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hybridnets import runs
from hybridnets.runs import identity as ids
from hybridnets.runs.files import read_json
from hybridnets.runs.store import SCHEMA

# What of an attempt's record says where its seconds were measured, with the unit.
HARDWARE = {"device": "", "threads": " thread(s)", "processor": ""}


class ReportError(ValueError):
    """Something asked for that cannot be reported, in one sentence."""


@dataclass(frozen=True)
class Finished:
    """One finished run, as its result tells it. Accuracies are fractions.

    Attributes:
        folder: Its folder, as it was given.
        hash: SHA-256 of its identity.
        identity: What determined it.
        data: The data set's name.
        name: The variant's short name.
        seeds: The seeds of split, initialisation and order.
        split: Hash of its split into train and val.
        best_epoch: The reported epoch, counted from 0: the one that was best on val.
        val_best: Accuracy on val at that epoch, which is optimistic.
        val_last: Accuracy on val at the last epoch.
        test: Accuracy on test at the reported epoch.
        epochs: How many epochs were trained.
        parameters: Keras's count.
        epoch_seconds: Seconds of each epoch, where they were recorded.
        hardware: Device, threads and processor of the last attempt; empty where unknown.
    """

    folder: Path
    hash: str
    identity: ids.Identity
    data: str
    name: str
    seeds: tuple[int, int, int]
    split: str
    best_epoch: int
    val_best: float
    val_last: float
    test: float
    epochs: int
    parameters: int
    epoch_seconds: tuple[float, ...]
    hardware: str

    @property
    def seed(self) -> str:
        """The seeds in short: one number where all three agree."""
        return ids.seed(self.identity)

    @property
    def seconds(self) -> float | None:
        """What all its epochs took; None where that was not recorded."""
        return sum(self.epoch_seconds) if self.epoch_seconds else None

    @property
    def relative(self) -> Path:
        """The folder below the folder of all runs: DATA/VARIANT/seed=K-HASH."""
        return Path(*self.folder.resolve().parts[-3:])


@dataclass(frozen=True)
class Found:
    """What some folders hold.

    Attributes:
        folders: The folders, resolved.
        runs: The finished runs, each once.
        problems: A sentence for each file that could not be used.
    """

    folders: tuple[Path, ...]
    runs: tuple[Finished, ...]
    problems: tuple[str, ...]


def read(folders: list[Path]) -> Found:
    """The finished runs at or below the folders, each once; broken ones are named and left out.

    Args:
        folders: Folders of runs.

    Raises:
        ReportError: If one of them is no folder, or if not one run in them can be read.
    """
    for folder in folders:
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "does not exist"
            raise ReportError(
                f"FOLDER must be a folder of finished runs, got {folder}, which {what}: give train.py's out"
            )
    below = {folder: runs.find([folder]) for folder in folders}
    if not any(below.values()):
        raise ReportError(
            f"FOLDER must hold a finished run (a result.json), got {', '.join(map(str, folders))} without any: "
            "train some with train.py, or give the folder it wrote to"
        )
    problems = [f"{folder} holds no finished run" for folder, there in below.items() if not there]
    found: dict[str, Finished] = {}
    for folder in {folder.resolve(): folder for there in below.values() for folder in there}.values():
        try:
            run = _run(folder, problems)
        except ReportError as error:
            problems.append(str(error))
            continue
        if run.hash in found:
            problems.append(f"{folder} holds the same run as {found[run.hash].folder}: it counts once")
        else:
            found[run.hash] = run
    if not found:
        raise ReportError(f"FOLDER must hold a finished run that can be read, got none: {'; '.join(problems)}")
    return Found(tuple(folder.resolve() for folder in folders), tuple(found.values()), tuple(problems))


def _run(folder: Path, problems: list[str]) -> Finished:
    path = folder / "result.json"
    try:
        result = read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        _refuse(path, f"is no whole JSON file ({error})")
    if not isinstance(result, dict) or result.get("schema") != SCHEMA:
        _refuse(path, f"does not say schema {SCHEMA}: something else wrote it, or another version")
    identity: Any = result.get("identity")
    try:
        if ids.digest(identity) != result["hash"] or identity["seeds"] != result["seeds"]:
            _refuse(path, "was altered: its hash does not follow from its identity")
        seeds = identity["seeds"]
        return Finished(
            folder=folder,
            hash=result["hash"],
            identity=identity,
            data=str(identity["data"]["name"]),
            name=ids.name(identity),
            seeds=(_whole(path, seeds, "split"), _whole(path, seeds, "init"), _whole(path, seeds, "order")),
            split=str(result["split"]),
            best_epoch=_whole(path, result["best"], "epoch"),
            val_best=_accuracy(path, result["best"], "val/acc"),
            val_last=_accuracy(path, result["last"], "val/acc"),
            test=_accuracy(path, result["best"], "test/acc"),
            epochs=_whole(path, result, "epochs"),
            parameters=_whole(path, result["parameters"], "keras"),
            **_provenance(folder, problems),
        )
    except KeyError as error:
        _refuse(path, f"lacks {error}")
    except ReportError:
        raise
    except (TypeError, AttributeError, ValueError, RecursionError):
        _refuse(path, "does not have the shape of a result")


def _provenance(folder: Path, problems: list[str]) -> dict[str, Any]:
    """Seconds and hardware, which nothing else depends on: without them the run still counts."""
    path = folder / "provenance.json"
    unknown = {"epoch_seconds": (), "hardware": ""}
    try:
        provenance = read_json(path)
        if provenance is None:
            return unknown
        seconds = tuple(float(value) for value in provenance["epoch_seconds"].values())
        last = (provenance["attempts"] or [{}])[-1]
        words = [str(last[key]) + unit for key, unit in HARDWARE.items() if key in last]
        return {"epoch_seconds": seconds, "hardware": ", ".join(words)}
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        problems.append(f"{path} cannot be read: the run counts, its seconds do not")
        return unknown


def _accuracy(path: Path, measured: Mapping[str, Any], key: str) -> float:
    value = measured[key]
    if type(value) not in (int, float) or not 0 <= value <= 1 + 1e-6:  # the last epoch's is a float32 mean
        _refuse(path, f"has {key} {value}, which is no share of images")
    return float(value)


def _whole(path: Path, measured: Mapping[str, Any], key: str) -> int:
    value = measured[key]
    if type(value) not in (int, float) or value != value // 1 or value < 0:
        _refuse(path, f"has {key} {value}, which is no whole number")
    return int(value)


def _refuse(path: Path, why: str) -> NoReturn:
    raise ReportError(f"{path} {why}")
