"""A short simulation: the correction for folds keeps its level about new data, and the plain t does not."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import folds
from benchmarks.type_one_error import ARMS, draw
from hybridnets.data.split import draw_fold

ROOT = Path(__file__).parents[2]


def test_the_corrected_t_keeps_its_level_over_repeated_folds_and_the_plain_t_does_not() -> None:
    plain, corrected = folds.simulate("fresh pool", 5, 3, 200, 3)
    assert plain > 0.15
    assert corrected < 0.1
    assert max(folds.simulate("fixed pool", 5, 1, 100, 3)) < 0.05  # the mean over all folds hardly varies


def test_a_difference_is_that_of_two_ridge_regressions() -> None:
    views, labels = draw(np.random.default_rng(5), 100)
    d = folds.differences(views, labels, 5, range(3, 5))
    split = draw_fold(100, 5, 4)
    right: list[float] = []
    for view in views:
        x = np.column_stack([view, np.ones(100)])
        # Ridge regression with a penalty of 1 is least squares with one more row for each coefficient.
        rows = np.concatenate([x[split.train], np.eye(x.shape[1])])
        weights = np.linalg.lstsq(rows, np.concatenate([labels[split.train], np.zeros(x.shape[1])]))[0]
        right.append(float(np.mean(x[split.val] @ weights * labels[split.val] > 0)))
    assert d.shape == (2,)
    assert d[1] == pytest.approx(right[0] - right[1])


def test_the_documentation_has_the_programs_table() -> None:
    page = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    for pool in ARMS:
        for k, repetitions in folds.SCHEMES:
            lines = [line for line in page.splitlines() if line.startswith(f"| {pool} | {repetitions} x {k} folds")]
            assert len(lines) == 1
            assert float(lines[0].split("|")[4].split()[0]) < 5


def test_an_illegal_argument_is_refused_with_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        folds.main(["--studies", "0"])
    assert ended.value.code == 2
    assert "--studies must be at least 1, got 0" in capsys.readouterr().err
