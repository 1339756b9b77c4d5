"""What tests look at in the runs of another tool."""

from pathlib import Path

from hybridnets.report import RunSet
from hybridnets.report.reading.scores.mapping import AS_IT_IS, Reading
from hybridnets.report.reading.tools.source import read_source


def read(folder: Path, reading: Reading = AS_IT_IS) -> RunSet:
    runs = read_source(folder, reading)
    assert runs is not None
    return runs


def scores(runs: RunSet) -> dict[tuple[str, int], float]:
    """The scores of all runs by variant and seed."""
    return {(run.name, run.seeds[0]): run.scores["score"] for run in runs.runs}


def sound_scores(runs: RunSet) -> dict[tuple[str, int], float]:
    """The scores of the runs that did not diverge, by variant and seed."""
    return {(run.name, run.seeds[0]): run.scores["score"] for run in runs.runs if not run.diverged}
