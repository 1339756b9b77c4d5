"""A short simulation: each test keeps its level for its own question, and exceeds it for the other."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("type_one_error", ROOT / "benchmarks" / "type_one_error.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["type_one_error"] = module
    spec.loader.exec_module(module)
    return module


def test_each_test_keeps_its_level_for_its_own_question(program: ModuleType) -> None:
    errors, checks = program.simulate(400)
    share = {(e.learner, e.arm, e.test, e.seeds): e.error for e in errors}
    assert len(share) == 2 * 2 * 3 * 3
    for learner in program.LEARNERS:
        for n in program.SEEDS:
            assert share[learner, "fixed pool", "plain", n] < 0.09  # 5 %, and four standard errors
            assert share[learner, "fresh pool", "corrected", n] < 0.09
    assert share["ridge", "fresh pool", "plain", 10] > 0.2
    assert share["random layer", "fixed pool", "image-level", 3] > 0.1
    for check in checks:
        assert abs(check.mean) < 4 * check.standard_error  # the two variants do not differ
    correlation = {(c.learner, c.arm): c.correlation for c in checks}
    assert correlation["ridge", "fresh pool"] > 0.2  # the reason for the correction
    assert abs(correlation["ridge", "fixed pool"]) < 0.1


def test_twins_have_swapped_views_and_equal_labels(program: ModuleType) -> None:
    views, labels = program.add_twins(*program.draw(np.random.default_rng(1), 5))
    assert views.shape == (2, 10, program.FEATURES)
    assert np.array_equal(views[0, :5], views[1, 5:])
    assert np.array_equal(views[1, :5], views[0, 5:])
    assert np.array_equal(labels[:5], labels[5:])


def test_the_documentation_has_the_recorded_table(program: ModuleType, tmp_path: Path) -> None:
    errors = program.read_csv(ROOT / "docs" / "type_one_error.csv")
    assert {error.repeats for error in errors} == {10_000}
    page = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    squeezed = [" ".join(line.split()) for line in page.splitlines()]
    assert all(" ".join(line.split()) in squeezed for line in program.table(errors).splitlines())
    program.draw_figure(errors, tmp_path / "again.svg")
    program.write_csv(errors, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (ROOT / "docs" / "type_one_error.csv").read_bytes()
    assert len((tmp_path / "again.svg").read_bytes()) < 100_000


def test_an_illegal_argument_is_refused_with_one_sentence(
    program: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(["--repeats", "0"])
    assert ended.value.code == 2
    assert "--repeats must be at least 1, got 0" in capsys.readouterr().err
