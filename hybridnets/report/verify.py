"""Everything that was told, computed again from the stored predictions."""

import csv
import io
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from hybridnets.report.results import Finished, Found
from hybridnets.runs.accuracy import is_comparable, same_weights

SAME = 1e-9  # between two ways to one number


def recomputed(found: Found) -> tuple[Found, list[str]]:
    """The runs with the accuracies that their stored predictions give, and a sentence on what does not agree.

    Accuracy at the last epoch, of which no predictions are stored, is compared with metrics.csv. Of a file of scores that
    names no predictions nothing can be computed again.

    Args:
        found: The runs as their results tell them.
    """
    if not found.predictions:
        return found, []
    said = list(found.problems)
    runs = []
    for run in found.runs:
        scores = {part: outcomes.accuracy for part, outcomes in run.outcomes.items()}
        if not scores:
            which = f": {run.name} with seed {run.seed}" if "model" not in run.identity else ""
            said.append(f"{run.folder}{which} has no predictions: nothing of it can be verified")
        for part, accuracy in scores.items():
            if abs(accuracy - run.scores[part]) > SAME:
                said.append(
                    f"{run.folder}: predictions give {part} {accuracy:.6f}, the result says {run.scores[part]:.6f}"
                )
        before = {part: outcomes.before.accuracy for part, outcomes in run.outcomes.items() if outcomes.before}
        for part, accuracy in before.items():
            if run.code and abs(accuracy - run.code.before[part]) > SAME:
                said.append(
                    f"{run.folder}: predictions give {part} {accuracy:.6f} before, the result says {run.code.before[part]:.6f}"
                )
        said += _last(run)
        said += _best(run)
        code = run.code and replace(run.code, before={**run.code.before, **before})
        runs.append(replace(run, scores={**run.scores, **scores}, code=code))
    return replace(found, runs=tuple(runs)), said


def _last(run: Finished) -> Iterator[str]:
    logged = run.curves.get("val/acc", ())
    if logged and "val_last" in run.scores and abs(logged[-1] - run.scores["val_last"]) > 1e-6:
        yield f"{run.folder}: metrics.csv ends with val/acc {logged[-1]:.6f}, the result says {run.scores['val_last']:.6f}"


def _best(run: Finished) -> Iterator[str]:
    """The reported epoch's accuracy on val as it was measured then, against that of the weights that are published for it."""
    if run.best_epoch not in run.curves.get("epoch", ()) or "val/acc" not in run.curves or "val" not in run.outcomes:
        return
    recorded = run.curves["val/acc"][run.curves["epoch"].index(run.best_epoch)]
    predicted = run.outcomes["val"]
    if is_comparable(run.identity["trainer"]) and not same_weights(recorded, predicted.accuracy, len(predicted.index)):
        yield (
            f"{run.folder}: predictions give val/acc {predicted.accuracy:.6f}, and metrics.csv has {recorded:.6f} for the "
            f"reported epoch {run.best_epoch}: the published weights are not that epoch's"
        )


def cells(now: Mapping[str, str], folder: Path, source: str = "predictions") -> Iterator[str]:
    """A sentence on every cell of the written tables that the recomputed ones do not have.

    Args:
        now: The tables computed again, by file name.
        folder: Where the written ones lie.
        source: What they were computed from.
    """
    for name, text in now.items():
        path = folder / name
        if not name.endswith(".csv"):
            yield from _text(path, text)
            continue
        try:
            written = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, csv.Error) as error:
            yield f"{path} cannot be read ({error})"
            continue
        expected = list(csv.reader(io.StringIO(text)))
        if [len(line) for line in written] != [len(line) for line in expected]:
            yield f"{path} has other rows or columns than the runs give now: make the report again"
            continue
        header = expected[0] if expected else []
        for number, (lines, wanted) in enumerate(zip(written, expected, strict=True), start=1):
            for column, got, want in zip(header, lines, wanted, strict=True):
                if not _same(got, want):
                    where = f"{path}, line {number}, {column or 'first column'}"
                    yield f"{where}: {got} is written, {want} follows from the {source}"


def _text(path: Path, text: str) -> Iterator[str]:
    """A sentence on the first line of a written table that is another now."""
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


def _same(one: str, other: str) -> bool:
    try:
        return one == other or abs(float(one) - float(other)) <= SAME * max(1.0, abs(float(other)))
    except ValueError:
        return False
