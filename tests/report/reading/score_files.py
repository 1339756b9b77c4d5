"""Files of scores that tests write, and what they look at in the answer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hybridnets.report import ReportRequest, RunSet, analyse
from hybridnets.report.analysis import DataSetReport
from hybridnets.report.reading.score_kind import NO_OPTIONS, ScoreOptions
from hybridnets.report.reading.scores.mapping import Reading
from hybridnets.report.reading.scores.reader import read_scores

Scores = Mapping[str, Sequence[float]]  # by variant, one per seed

FEW = "With fewer than 6 {} this rests on normally distributed differences, which so few cannot show."
TOLERANCE = 1e-9

LOSSES = {"a": (2.0551, 2.1363, 1.9715, 2.1124, 2.1179), "b": (1.8861, 1.9431, 1.8846, 1.9174, 1.8927)}


def rows(scores: Scores, *cells: str) -> list[str]:
    """The lines of a file: variant, seed, score, and more cells, in which {} is the seed."""
    return [
        ",".join([variant, str(seed), f"{value:g}", *(cell.format(seed) for cell in cells)])
        for variant, values in scores.items()
        for seed, value in enumerate(values)
    ]


def write_scores(folder: Path, *lines: str, header: str = "variant,seed,score", name: str = "scores.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def read_rows(folder: Path, *lines: str, header: str = "variant,seed,score") -> RunSet:
    return read_scores(write_scores(folder, *lines, header=header))


def read(
    folder: Path,
    lines: Sequence[str],
    header: str = "variant,seed,score",
    name: str = "scores.csv",
    options: ScoreOptions = NO_OPTIONS,
) -> RunSet:
    return read_scores(write_scores(folder, *lines, header=header, name=name), Reading(scores=options))


def parts(runs: RunSet, **request: Any) -> tuple[DataSetReport, ...]:
    return analyse(runs, "title", "command", ReportRequest(**request)).parts


def sentences(part: DataSetReport) -> str:
    return " ".join(part.answers[0].sentences)


def differences(part: DataSetReport) -> dict[str, str]:
    """The only row of the table of differences, by column."""
    (table,) = (table for table in part.tables if table.kind == "differences")
    (only,) = table.rows
    return {name: cell.text for name, cell in zip(table.header, only, strict=True)}


def paired(scores: Scores) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The second variant's values minus the first's."""
    first, second = scores.values()
    return np.subtract(second, first)
