"""A setting of another tool's runs that is the fold of a cross-validation."""

from pathlib import Path

import numpy as np
import pytest

from hybridnets.report.reading.scores.mapping import Reading
from hybridnets.report.reading.tools.tool_runs import ToolRun, ToolRuns
from hybridnets.report.reading.tools.tool_table import read_tool_runs
from hybridnets.stats import kfold_ratio, paired_t
from tests.report.reading.score_files import parts

D = (0.01, 0.03, 0.02, 0.025)


def runs_by_fold(tmp_path: Path, name: str, last: str = "finished") -> ToolRuns:
    runs = [
        ToolRun(
            f"run {model} {fold}",
            {"model": model, name: str(fold), "seed": "7"},
            {"val_acc": {0: 0.5, 1: 0.7 + D[fold] * (model == "b")}},
            state=last if (model, fold) == ("b", 3) else "finished",
        )
        for model in "ab"
        for fold in range(4)
    ]
    return ToolRuns(tmp_path, "W&B", tuple(runs))


@pytest.mark.parametrize("name", ["fold", "data.fold", "cv_fold"])
def test_runs_pair_by_fold(name: str, tmp_path: Path) -> None:
    runs = read_tool_runs(runs_by_fold(tmp_path, name), Reading())
    assert f"--map variant=model seed=seed score=val_acc fold={name};" in " ".join(runs.head)
    (part,) = parts(runs)
    assert part.answers[0].analysis.test.p == pytest.approx(paired_t(np.array(D), kfold_ratio(4)).p)


@pytest.mark.parametrize("name", ["fold", "data.fold", "cv_fold"])
def test_an_unfinished_fold_is_not_superseded_by_another_fold(name: str, tmp_path: Path) -> None:
    runs = read_tool_runs(runs_by_fold(tmp_path, name, "crashed"), Reading())
    (part,) = parts(runs)
    assert part.answers[0].comparison.why_no_stars == "1 failed"
