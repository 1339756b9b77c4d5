"""Everything that a report states, computed again from the stored predictions."""

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridnets.report.reading.results import FinishedRun, RunSet
from hybridnets.runs.accuracy import is_comparable, same_weights
from hybridnets.runs.files import sha256
from hybridnets.runs.records import RecordError, metrics, provenance

TOLERANCE = 1e-9  # between two ways of computing the same value


def recompute(run_set: RunSet) -> tuple[RunSet, list[str]]:
    """The runs with the accuracies that their stored predictions give, and a sentence on each that does not agree.

    Accuracy at the last epoch, of which no predictions are stored, is compared with metrics.csv. A file of scores that names
    no predictions is returned as it is.

    Args:
        run_set: The runs with their recorded accuracies.
    """
    if not run_set.predictions:
        return run_set, []
    problems = list(run_set.problems)
    runs = []
    for run in run_set.runs:
        scores = {part: outcomes.accuracy for part, outcomes in run.outcomes.items()}
        if not scores:
            which = f": {run.name} with seed {run.seed}" if "model" not in run.identity else ""
            problems.append(f"{run.folder}{which} has no predictions: it cannot be verified")
        for part, accuracy in scores.items():
            if abs(accuracy - run.scores[part]) > TOLERANCE:
                problems.append(
                    f"{run.folder}: predictions give {part} {accuracy:.6f}, the result says {run.scores[part]:.6f}"
                )
        before = {part: outcomes.before.accuracy for part, outcomes in run.outcomes.items() if outcomes.before}
        for part, accuracy in before.items():
            if run.code and abs(accuracy - run.code.before[part]) > TOLERANCE:
                problems.append(
                    f"{run.folder}: predictions give {part} {accuracy:.6f} before, the result says {run.code.before[part]:.6f}"
                )
        problems += _last(run)
        problems += _best(run)
        problems += _weights(run)
        code = run.code and replace(run.code, before={**run.code.before, **before})
        runs.append(replace(run, scores={**run.scores, **scores}, code=code))
    problems += _labels(run_set.runs)
    return replace(run_set, runs=tuple(runs)), problems


def _last(run: FinishedRun) -> Iterator[str]:
    logged = run.curves.get("val/acc", ())
    if logged and "val_last" in run.scores and abs(logged[-1] - run.scores["val_last"]) > 1e-6:
        yield f"{run.folder}: metrics.csv ends with val/acc {logged[-1]:.6f}, the result says {run.scores['val_last']:.6f}"


def _best(run: FinishedRun) -> Iterator[str]:
    """Compares the val accuracy that was logged at the reported epoch with that of the published weights."""
    if not run.outcomes or "val" not in run.outcomes or "val/acc" not in run.curves:
        if run.outcomes and not run.curves:
            path = run.folder / metrics.FILE
            why = f"{path} is damaged" if path.exists() else f"{run.folder} has no {metrics.FILE}"
            yield f"{why}: its accuracy at the reported epoch cannot be verified"
        return
    if run.best_epoch not in run.curves.get("epoch", ()):
        yield f"{run.folder}: metrics.csv has no epoch {run.best_epoch} (counted from 0), which the result reports"
        return
    recorded = run.curves["val/acc"][run.curves["epoch"].index(run.best_epoch)]
    predicted = run.outcomes["val"]
    if is_comparable(run.identity["trainer"]) and not same_weights(recorded, predicted.accuracy, len(predicted.index)):
        yield (
            f"{run.folder}: predictions give val/acc {predicted.accuracy:.6f}, and metrics.csv has {recorded:.6f} for the "
            f"reported epoch, {run.best_epoch + 1}: the published weights are not that epoch's"
        )


def _weights(run: FinishedRun) -> Iterator[str]:
    """Compares the file of the published weights with the hash recorded with the result, where both exist."""
    path = run.folder / "checkpoints" / "best.ckpt"
    try:
        attempts = provenance.read(run.folder)
        recorded = attempts and attempts.best_checkpoint_sha256  # runs of the first versions have none
        replaced = recorded and path.exists() and sha256(path) != recorded
    except (OSError, RecordError):
        return  # the run's reader reports that its provenance is damaged
    if replaced:
        yield f"{path} has changed since the result was written: the published weights were replaced"


def _labels(runs: Iterable[FinishedRun]) -> Iterator[str]:
    """Compares the labels of the same images in all runs on the same data; they do not depend on training."""
    labels: dict[tuple[str, str], tuple[NDArray[Any], NDArray[Any]]] = {}  # images, ascending, and their labels
    for run in runs:
        data = str((run.identity.get("data") or {}).get("sha256", run.data))  # a file of scores knows only the name
        for part, outcomes in run.outcomes.items():
            pool = (data, "test" if part == "test" else "train")  # val images are part of the training images
            index, label = labels.setdefault(pool, (outcomes.index, outcomes.label))
            _, earlier, here = np.intersect1d(index, outcomes.index, assume_unique=True, return_indices=True)
            if changed := int((label[earlier] != outcomes.label[here]).sum()):
                yield f"{run.folder}: {changed} of {len(here)} images of {part} have other labels than in earlier runs"
            new = np.setdiff1d(np.arange(len(outcomes.index)), here, assume_unique=True)
            index, label = np.append(index, outcomes.index[new]), np.append(label, outcomes.label[new])
            order = np.argsort(index)
            labels[pool] = index[order], label[order]


def compare_tables(tables: Mapping[str, str], folder: Path, source: str = "predictions") -> Iterator[str]:
    """A sentence on every cell of the written tables that differs from the recomputed ones.

    Args:
        tables: The recomputed tables, by file name.
        folder: The folder of the written tables.
        source: What the tables were computed from.
    """
    for name, text in tables.items():
        path = folder / name
        if not name.endswith(".csv"):
            yield from _compare_lines(path, text)
            continue
        try:
            written = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, csv.Error) as error:
            yield f"{path} cannot be read ({error})"
            continue
        expected = list(csv.reader(io.StringIO(text)))
        if [len(line) for line in written] != [len(line) for line in expected]:
            yield f"{path} has other rows or columns than the runs now give: make the report again"
            continue
        header = expected[0] if expected else []
        for number, (lines, wanted) in enumerate(zip(written, expected, strict=True), start=1):
            for column, got, want in zip(header, lines, wanted, strict=True):
                if not _same(got, want):
                    where = f"{path}, line {number}, {column or 'first column'}"
                    yield f"{where}: {got} is written, {want} follows from the {source}"


def _compare_lines(path: Path, text: str) -> Iterator[str]:
    """A sentence on the first line of a written table that differs from the recomputed one."""
    try:
        written = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        yield f"{path} cannot be read ({error})"
        return
    for number, (got, want) in enumerate(itertools.zip_longest(written.splitlines(), text.splitlines()), start=1):
        if got != want:
            got, want = ((line or "nothing").strip() for line in (got, want))
            yield f"{path}, line {number}: {got} is written, {want} follows from the runs"
            return


def _same(got: str, want: str) -> bool:
    try:
        return got == want or abs(float(got) - float(want)) <= TOLERANCE * max(1.0, abs(float(want)))
    except ValueError:
        return False
