"""The finished runs below some folders, each read and checked by itself: a broken one costs no other."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from hybridnets import runs
from hybridnets.report.reading.qualities import read_qualities
from hybridnets.report.reading.score_kind import ACCURACY, ScoreKind
from hybridnets.runs import identities
from hybridnets.runs.records import metrics, predictions, provenance, result
from hybridnets.runs.records.errors import SHARE_ROUNDING, ForbiddenRecordError, RecordError, refuse, share
from hybridnets.runs.records.predictions import PartPredictions, PredictionsReader
from hybridnets.runs.records.result import CodeRecord, LayerRecord, Result

Progress = Callable[[list[Path]], Iterable[Path]]  # passes the folders on, and shows how many were read


class ReportError(ValueError):
    """Something asked for that cannot be reported, in one sentence."""


class Fold(NamedTuple):
    """One fold of a k-fold cross-validation, which may be repeated with other divisions of the same images.

    Attributes:
        name: Its name in words, which is different for each fold of each repetition.
        folds: The number of folds, k.
        repetition: Which repetition it belongs to.
    """

    name: str
    folds: int
    repetition: str


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """One finished run, as a report sees it. Accuracies are fractions.

    Attributes:
        folder: Its folder, as it was given.
        hash: SHA-256 of its identity.
        identity: What determined it.
        data: The data set's name.
        name: The variant's short name.
        seeds: The seeds of split, initialisation and order.
        scores: By metric: test and val at the epoch that was best on val (val is optimistic there), val_last at the last
            epoch, test/nll and other measures of the predictions of the test images; or score, from a file of scores.
        monitor: The metric that chose the reported epoch; empty where unknown.
        images: How many images train, val and test have; empty where unknown.
        split: Hash of its split into train and val; empty where unknown.
        ratio: Images in val for one in train; None where unknown.
        fold: The fold that its split is; None where it is none.
        diverged: Whether a loss at the reported or the last epoch is not finite.
        best_epoch: The reported epoch, counted from 0.
        epochs: How many epochs were trained.
        parameters: Keras's count; None where unknown.
        layers: The model, layer by layer; may be empty.
        classes: Names of the classes; empty where unknown.
        outcomes: Its predictions by part, val and test; empty where none are stored.
        curves: One value per epoch of each metric that was logged; may be empty.
        epoch_seconds: Seconds of each epoch, where they were recorded.
        hardware: Device, threads and processor of the last attempt; empty where unknown.
        source: Commit and versions of the last attempt; empty where unknown.
        started: When its first attempt began; None where unknown.
        axes: Settings by which a table may order it, where its identity does not hold them.
        code: How it compresses the feature maps of its backbone; None for a run without a code.
    """

    folder: Path
    hash: str
    identity: identities.Identity
    data: str
    name: str
    seeds: tuple[int, int, int]
    scores: Mapping[str, float]
    monitor: str = ""
    images: Mapping[str, int] = field(default_factory=dict)
    split: str = ""
    ratio: float | None = None
    fold: Fold | None = None
    diverged: bool = False
    best_epoch: int = 0
    epochs: int = 0
    parameters: int | None = None
    layers: tuple[LayerRecord, ...] = ()
    classes: tuple[str, ...] = ()
    outcomes: Mapping[str, PartPredictions] = field(default_factory=dict)
    curves: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    epoch_seconds: tuple[float, ...] = ()
    hardware: str = ""
    source: str = ""
    started: datetime | None = None
    axes: Mapping[str, str] = field(default_factory=dict)
    code: CodeRecord | None = None

    @property
    def seed(self) -> str:
        """The seeds in short: one number where all three agree."""
        return identities.seed(self.identity)

    @property
    def seconds(self) -> float | None:
        """What all its epochs took; None where that was not recorded."""
        return sum(self.epoch_seconds) if self.epoch_seconds else None

    @property
    def relative(self) -> Path:
        """The folder below the folder of all runs: DATA/VARIANT/seed=K-HASH."""
        return Path(*self.folder.resolve().parts[-3:])


@dataclass(frozen=True)
class RunSet:
    """The runs to report on.

    Attributes:
        folders: The folders that they were read from, resolved.
        runs: The finished runs, each once.
        problems: A sentence for each file that could not be used.
        missing: The runs that a file of scores names without a score; their folder is their line.
        partial: How many rows of a file of scores are left out, in words; empty where none is.
        head: What a report on a file of scores says first: what is left out or missing, and how the file was read.
        predictions: Whether there may be predictions; False for a file of scores that names none.
        score: What the scores of a file are; of no meaning for runs.
    """

    folders: tuple[Path, ...]
    runs: tuple[FinishedRun, ...]
    problems: tuple[str, ...]
    missing: tuple[FinishedRun, ...] = ()
    partial: str = ""
    head: tuple[str, ...] = ()
    predictions: bool = True
    score: ScoreKind = ACCURACY


def read(folders: list[Path], progress: Progress = iter) -> RunSet:
    """The finished runs at or below the folders, each once; broken ones are named and left out.

    Args:
        folders: Folders of runs.
        progress: Shows how many were read.

    Raises:
        ReportError: If one of them is no folder, or if not one run in them can be read.
    """
    for folder in folders:
        if not folder.is_dir():
            reason = "is a file" if folder.exists() else "does not exist"
            raise ReportError(
                f"FOLDER must be a folder of finished runs, got {folder}, which {reason}: give the folder of runs"
            )
    problems: list[str] = []
    inside = {folder: runs.find([folder], problems) for folder in folders}
    if not any(inside.values()):
        remedy = "; ".join(problems) or "train some, or give the folder that they were written to"
        raise ReportError(
            f"FOLDER must hold a finished run (a result.json), got {', '.join(map(str, folders))} without any: {remedy}"
        )
    problems += [f"{folder} holds no finished run" for folder, finished in inside.items() if not finished]
    by_hash: dict[str, FinishedRun] = {}
    reader = PredictionsReader()
    unique = {folder.resolve(): folder for finished in inside.values() for folder in finished}
    for folder in progress(list(unique.values())):
        try:
            run = _read_run(folder, reader, problems)
        except RecordError as error:
            problems.append(str(error))
            continue
        if run.hash in by_hash:
            problems.append(f"{folder} holds the same run as {by_hash[run.hash].folder}: it counts once")
        else:
            by_hash[run.hash] = run
    if not by_hash:
        raise ReportError(f"FOLDER must hold a finished run that can be read, got none: {'; '.join(problems)}")
    return RunSet(tuple(folder.resolve() for folder in folders), tuple(by_hash.values()), tuple(problems))


def _read_run(folder: Path, reader: PredictionsReader, problems: list[str]) -> FinishedRun:
    record = result.read(folder)
    if record is None:
        refuse(folder / result.FILE, "was removed while the folder was read")
    seeds, images = record.identity["seeds"], record.images
    outcomes = _predictions(folder, record, reader)
    qualities = read_qualities(folder, outcomes["test"], len(record.classes)) if "test" in outcomes else {}
    attempts = _provenance(folder, problems)
    return FinishedRun(
        folder=folder,
        hash=record.hash,
        identity=record.identity,
        data=record.identity["data"]["name"],
        name=identities.name(record.identity),
        seeds=(seeds["split"], seeds["init"], seeds["order"]),
        scores={
            "test": _accuracy(folder, record.best, "test/acc"),
            "val": _accuracy(folder, record.best, "val/acc"),
            "val_last": _accuracy(folder, record.last, "val/acc"),
            **qualities,
        },
        monitor=record.monitor,
        images=images,
        split=record.split,
        ratio=images["val"] / (images["train"] or 1) if images else None,
        fold=_fold(record.identity["data"], seeds["split"]),
        diverged=record.diverged,
        best_epoch=int(record.best["epoch"]),
        epochs=record.epochs,
        parameters=record.parameters["keras"],
        layers=record.layers,
        classes=record.classes,
        outcomes=outcomes,
        curves=_curves(folder, problems),
        epoch_seconds=tuple(map(float, attempts.epoch_seconds.values())),
        hardware=attempts.hardware,
        source=attempts.source,
        started=attempts.started,
        code=record.code,
    )


def _fold(data: Mapping[str, Any], seed: int) -> Fold | None:
    """The fold that a split seed stands for; None for a random split."""
    if data.get("split") != "kfold":
        return None
    repetition, fold = divmod(seed, int(data["folds"]))
    return Fold(f"fold {fold} of repetition {repetition}", int(data["folds"]), str(repetition))


def _accuracy(folder: Path, values: Mapping[str, float], key: str) -> float:
    if key not in values:
        refuse(folder / result.FILE, f"lacks {key!r}")
    return share(folder / result.FILE, values, key)


def _predictions(folder: Path, record: Result, reader: PredictionsReader) -> dict[str, PartPredictions]:
    """The predictions, which must give the accuracies in the result: else one of the two was altered."""
    parts = reader.read(folder)
    for part, stored in parts.items():
        stated = {"": (stored, record.best[f"{part}/acc"])}
        if stored.before and record.code:
            stated[" before"] = (stored.before, record.code.before[part])
        for when, (columns, accuracy) in stated.items():
            if abs(columns.accuracy - accuracy) > SHARE_ROUNDING:
                gives = f"{part}/acc {columns.accuracy:.6f}{when}"
                refuse(
                    folder / predictions.FILE, f"gives {gives}, and result.json says {accuracy:.6f}: one was altered"
                )
    return parts


def _curves(folder: Path, problems: list[str]) -> Mapping[str, tuple[float, ...]]:
    """The metrics of each epoch, which only the learning curves depend on."""
    try:
        return metrics.read(folder).columns
    except ForbiddenRecordError as error:
        problems.append(f"{error}; the run counts, its learning curve is missing")
        return {}
    except RecordError:
        problems.append(f"{folder / metrics.FILE} is damaged: the run counts, its learning curve is missing")
        return {}


def _provenance(folder: Path, problems: list[str]) -> provenance.Provenance:
    """Seconds, hardware and versions, on which no accuracy depends: without them the run still counts."""
    try:
        return provenance.read(folder) or provenance.Provenance()
    except RecordError:
        problems.append(f"{folder / provenance.FILE} cannot be read: the run counts, its seconds do not")
        return provenance.Provenance()
