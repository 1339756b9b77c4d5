"""Anybody's scores: a CSV with a row for each training, of whatever project."""

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from hybridnets.report.predictions import Outcomes, Reader
from hybridnets.report.results import Finished, Found, ReportError
from hybridnets.runs import identity as ids

NEEDED = ("variant", "seed", "score")
FAILED = ("", "nan", "inf", "infinity")  # a score of a training that failed
LARGEST = 1e100  # whose square is a number still
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
    if lacking := [column for column in NEEDED if column not in header]:
        raise ReportError(
            f"{path} must have the columns variant, seed and score, got {', '.join(map(str, header)) or 'nothing'}: "
            f"{', '.join(lacking)} is missing"
        )
    reader, found, problems = Reader(), dict[str, Finished](), list[str]()
    for number, line in enumerate(lines, start=2):
        try:
            run = _run(path, line, reader)
        except ValueError as error:
            problems.append(f"{path}, line {number}: {error}; it is left out")
            continue
        if run.hash in found:
            problems.append(f"{path}, line {number}: {run.name} has seed {run.seed} twice; the first counts")
        else:
            found[run.hash] = run
    if not found:
        raise ReportError(
            f"{path} must have a row that can be used, got none: {'; '.join(problems) or 'no row at all'}"
        )
    return Found((path.resolve(),), tuple(found.values()), tuple(problems))


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
    if sizes and (len(sizes) < 2 or min(sizes) <= 0):
        raise ValueError("n_train and n_val must both be numbers above 0")
    identity = {"variant": values["variant"], "seeds": dict.fromkeys(("split", "init", "order"), seed)}
    axes = {key: value for key, value in values.items() if key not in (*NEEDED, *OPTIONAL) and value}
    return Finished(
        folder=path,
        hash=ids.digest(identity),
        identity=identity,
        data=path.stem,
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
    return next((tuple(map(str, range(int(each.label.max()) + 1))) for each in found), ())
