"""A short simulation: looking again and again breaks the plain test's promise, and the sequential rules keep theirs."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("stopping", ROOT / "benchmarks" / "stopping.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["stopping"] = module
    spec.loader.exec_module(module)
    return module


def test_the_plain_test_breaks_its_promise_and_the_sequential_rules_keep_theirs(
    program: ModuleType, tmp_path: Path
) -> None:
    repeats = 4000
    cells = program.simulate(repeats)
    null = {(c.rule, c.looks): c for c in cells if c.part == "rules" and c.effect == 0}
    assert len(null) == 4 + 3 * 4 + 2
    for (rule, looks), cell in null.items():
        if rule != "plain" or looks.endswith("only"):
            assert cell.settled < 0.05 + 5 * (0.05 * 0.95 / repeats) ** 0.5
        if cell.exact is not None:
            assert cell.settled == pytest.approx(cell.exact, abs=5 * 0.5 / repeats**0.5)
    assert null["plain", "extended once as advised"].settled > 0.08
    assert null["plain", "each from 3 to 30"].settled > 0.2
    at_margin = [c for c in cells if c.part == "margin" and c.effect == program.MARGIN]
    assert all(c.equivalent < 0.025 + 5 * (0.025 / repeats) ** 0.5 for c in at_margin)
    program.write_csv(cells, tmp_path / "again.csv")
    assert program.tables(program.read_csv(tmp_path / "again.csv")) == program.tables(cells)


def test_an_advised_extension_adds_the_seeds_that_the_observed_difference_needs(program: ModuleType) -> None:
    rng = np.random.default_rng(1)
    settled, _, seeds, covered = program.advised(rng, 2000, 20.0, 1)
    assert (settled, seeds) == (1, 3)
    assert covered == pytest.approx(0.95, abs=5 * (0.05 * 0.95 / 2000) ** 0.5)
    detectable = program._detectable()
    assert detectable[28] == pytest.approx(0.52924, abs=2e-5)  # 30 seeds, by statsmodels


def test_the_documentation_has_the_recorded_tables(program: ModuleType) -> None:
    page = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    squeezed = [" ".join(line.split()) for line in page.splitlines()]
    tables = program.tables(program.read_csv(ROOT / "docs" / "stopping.csv"))
    assert all(" ".join(line.split()) in squeezed for line in tables.splitlines())
