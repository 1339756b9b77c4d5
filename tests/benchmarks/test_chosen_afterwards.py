"""A short simulation: what it does to a plain test that its variants were chosen by their results."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hybridnets.stats import paired_t

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("chosen_afterwards", ROOT / "benchmarks" / "chosen_afterwards.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["chosen_afterwards"] = module
    spec.loader.exec_module(module)
    return module


def test_the_best_looks_better_than_the_worst_unless_all_pairs_are_corrected_for(program: ModuleType) -> None:
    rows = {row.seeds: row for row in program.extremes(2000)}
    assert list(rows) == [3, 5, 10]
    assert 0.48 < rows[5].plain < 0.58
    assert rows[3].plain < rows[5].plain < rows[10].plain
    assert all(row.bonferroni < 0.03 for row in rows.values())


def test_best_against_best_keeps_its_level_and_is_biased(program: ModuleType) -> None:
    cells = {(cell.shared, cell.seeds): cell for cell in program.chosen(2000)}
    # The largest of 16 and of 2 standard normal values are 1.766 and 0.564 on average.
    for (shared, _), cell in cells.items():
        assert cell.bias == pytest.approx(shared * (1.766 - 0.564), abs=0.12)
        assert cell.level < 0.09


def test_its_p_values_are_the_paired_ts(program: ModuleType) -> None:
    d = np.random.default_rng(0).standard_normal((4, 5))
    assert program.p_values(d) == pytest.approx([paired_t(row).p for row in d])


def test_its_tables_are_markdown(program: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--repeats", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| seeds | p < 0.05 | after Bonferroni |"
    assert len(lines) == 2 + 3 + 1 + 2 + 9
    with pytest.raises(SystemExit):
        program.main(["--repeats", "0"])
