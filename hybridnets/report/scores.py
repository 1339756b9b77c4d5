"""Anybody's scores: a CSV with a row for each training, of whatever project."""

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from hybridnets.report.predictions import Outcomes, Reader
from hybridnets.report.results import MOST, Finished, Found, ReportError
from hybridnets.report.table import visible
from hybridnets.runs import identity as ids

NEEDED = ("variant", "seed", "score")
FAILED = ("", "nan", "inf", "infinity")  # a score of a training that failed
LARGEST = 1e100  # whose square is a number still
AGREES = 1e-3  # between a score as somebody rounded it and the accuracy of its predictions
CLASSES = 1000  # that are worth a name each
OPTIONAL = ("split", "n_train", "n_val", "predictions", "seconds", "parameters")


def read(path: Path) -> Found:
    """The trainings of a file of scores.

    Columns: variant, seed and score; where they are known also split (anything that is equal for equal splits), n_train
    and n_val (images trained on and held out, for the corrected test), predictions (a .npz or .csv with index, label and
    class, beside the file), seconds and parameters. Every other column is an axis: a setting by which tables are ordered.
    An empty score, or nan, is a training that failed.

    Args:
        path: The CSV.

    Raises:
        ReportError: If it cannot be read, or has no training that counts.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, strict=True)
            header, lines = list(rows.fieldnames or ()), list(rows)
    except (OSError, ValueError, csv.Error) as error:
        raise ReportError(f"{path} must be a CSV of scores, and cannot be read ({error})") from None
    if twice := [column for column in dict.fromkeys(header) if header.count(column) > 1]:
        raise ReportError(f"{path} must have each column once, got {', '.join(twice)} twice")
    if lacking := [column for column in NEEDED if column not in header]:
        raise ReportError(
            f"{path} must have the columns variant, seed and score, got {', '.join(map(str, header)) or 'nothing'}: "
            f"{', '.join(lacking)} is missing"
        )
    reader, found, problems = Reader(), dict[str, Finished](), list[str]()
    named: dict[str, Mapping[str, str]] = {}
    for number, line in enumerate(lines, start=2):
        try:
            run = _run(path, line, reader)
        except ValueError as error:
            problems.append(f"{path}, line {number}: {error}; it is left out")
            continue
        axes = named.setdefault(run.name, run.axes)
        if run.axes != axes:
            problems.append(
                f"{path}, line {number}: {run.name} has {_told(run.axes)} here and {_told(axes)} above: a variant has one "
                "setting, so give it another name; it is left out"
            )
        elif run.hash in found:
            problems.append(f"{path}, line {number}: {run.name} has seed {run.seed} twice; the first counts")
        else:
            found[run.hash] = run
    if not found:
        raise ReportError(
            f"{path} must have a row that can be used, got none: {'; '.join(problems) or 'no row at all'}"
        )
    runs, said = _agreeing(path, list(found.values()))
    return Found((path.resolve(),), tuple(runs), (*problems, *said))


def _agreeing(path: Path, runs: list[Finished]) -> tuple[list[Finished], list[str]]:
    """The runs with their scores as shares where predictions say so; without predictions that do not give the scores."""
    known = [run for run in runs if run.outcomes and not run.diverged]
    if not known:
        return runs, []
    for scale in (1, 100):
        if all(abs(run.scores["score"] / scale - run.outcomes["score"].accuracy) < AGREES for run in known):
            return [replace(run, scores={"score": run.scores["score"] / scale}) for run in runs], []
    said = f"{path}: the predictions do not give the scores as accuracies, so nothing is said image by image"
    return [replace(run, outcomes={}) for run in runs], [said]


def _told(axes: Mapping[str, str]) -> str:
    return ", ".join(f"{axis} {level}" for axis, level in axes.items()) or "no setting"


def _run(path: Path, line: Mapping[str, str | None], reader: Reader) -> Finished:
    values = {
        key: (value or "").strip()
        for key, value in line.items()
        if isinstance(key, str) and not isinstance(value, list)
    }
    if None in line or len(values) < len(line):
        raise ValueError("it has more cells than the header")
    if not values["variant"]:
        raise ValueError("variant must be a name, got nothing")
    try:
        seed = int(values["seed"])
    except ValueError:
        raise ValueError(f"seed must be a whole number, got {values['seed'] or 'nothing'}") from None
    score = math.nan if values["score"].lower().lstrip("+-") in FAILED else _number(values, "score")
    outcomes: dict[str, Outcomes] = {}
    if stored := values.get("predictions"):
        outcomes = {"score": reader.file(path.parent / stored)}
    failed = math.isnan(score)
    sizes = [_number(values, key) for key in ("n_val", "n_train") if values.get(key)]
    if sizes and (len(sizes) < 2 or not 1 <= min(sizes) <= max(sizes) <= MOST):
        raise ValueError(f"n_train and n_val must both be numbers from 1 to {MOST:g}")
    for key in ("parameters", "seconds"):
        if values.get(key) and not 0 <= _number(values, key) <= MOST:
            raise ValueError(f"{key} must be a number from 0 to {MOST:g}, got {values[key]}")
    identity = {"variant": values["variant"], "seeds": dict.fromkeys(("split", "init", "order"), seed)}
    axes = {key: value for key, value in values.items() if key not in (*NEEDED, *OPTIONAL) and value}
    return Finished(
        folder=path,
        hash=ids.digest(identity),
        identity=identity,
        data=visible(path.stem),
        name=values["variant"],
        seeds=(seed, seed, seed),
        scores={"score": 0.0 if failed else score},
        split=values.get("split", ""),
        ratio=sizes[0] / sizes[1] if sizes else None,
        diverged=failed,
        parameters=int(_number(values, "parameters")) if values.get("parameters") else None,
        classes=_classes(outcomes.values()),
        outcomes=outcomes,
        epoch_seconds=(_number(values, "seconds"),) if values.get("seconds") else (),
        axes=axes,
    )


def _number(values: Mapping[str, str], key: str) -> float:
    try:
        found = float(values[key])
    except ValueError:
        found = math.nan
    if not abs(found) <= LARGEST:
        raise ValueError(f"{key} must be a number, at most {LARGEST:g}, got {values[key]}")
    return found


def _classes(found: Iterable[Outcomes]) -> tuple[str, ...]:
    most = max((int(column.max()) for each in found for column in (each.label, each.predicted)), default=-1)
    return tuple(map(str, range(most + 1))) if most < CLASSES else ()
