"""Which runs a report is about, and what becomes of the others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybridnets import stats
from hybridnets.report import ReportError, ReportRequest, analyse
from hybridnets.report.analysis import DataSetReport
from hybridnets.report.reading.results import read
from hybridnets.report.rendering.files import all_tables
from hybridnets.runs import Run, manifest

Make = Callable[..., Run]
QUESTION = {"variant": "crnn-lstm-1x16", "baseline": "cnn", "margin": 1.0}


def part_of(out: Path, **request: Any) -> DataSetReport:
    (part,) = analyse(read([out]), "title", "command", ReportRequest(**request)).parts
    return part


@pytest.fixture
def runs(finished: Make) -> Callable[..., list[Run]]:
    def make(seeds: range, **changes: Any) -> list[Run]:
        cnn = [finished("cnn", seed, test=0.7 + seed / 1000, **changes) for seed in seeds]
        return cnn + [finished("crnn", seed, test=0.72 + seed / 700, **changes) for seed in seeds]

    return make


def test_a_smoke_run_in_the_same_folder_changes_no_p_value(
    tmp_path: Path, runs: Callable[..., list[Run]], finished: Make
) -> None:
    manifest.write(tmp_path, "question", "python train.py -cn question", runs(range(4)), {"primary": QUESTION})
    before = part_of(tmp_path)
    smoke = finished("cnn", 0, trainer__max_epochs=3)
    after = part_of(tmp_path)
    assert [t for t in after.tables if t.kind == "differences"] == [t for t in before.tables if t.kind == "differences"]
    assert [v.label for v in after.data_set.variants] == ["cnn", "crnn-lstm-1x16"]
    (apart,) = (table for table in all_tables(after) if table.kind == "apart")
    assert [cells[0].text for cells in apart.rows] == ["cnn"]
    assert any("1 other run of digits is listed apart and not compared: --sweep all" in note for note in after.notes)
    everything = part_of(tmp_path, sweep=("all",))
    assert sum(len(v.runs) for v in everything.data_set.variants) == 9
    assert not any(t.kind == "apart" for t in all_tables(everything))
    # A smoke run is no variant of the question: it is compared with nothing until somebody asks for it.
    assert not any("max_epochs=3" in c.name for c in everything.comparisons)
    label = next(v.label for v in everything.data_set.variants if v.runs[0].hash == smoke.hash)
    asked = part_of(tmp_path, sweep=("all",), compare=(label, "crnn-lstm-1x16"))
    assert any(label in c.name for c in asked.comparisons)


def test_the_last_sweep_that_declared_a_question_is_reported(
    tmp_path: Path, runs: Callable[..., list[Run]], finished: Make
) -> None:
    first = runs(range(3))
    manifest.write(tmp_path, "first", "python train.py -cn first", first, {"primary": QUESTION})
    more = [finished("ecrnn", seed, test=0.75 + seed / 900) for seed in range(3)]
    other = {"variant": "ecrnn-lstm-1x16", "baseline": "cnn"}
    manifest.write(tmp_path, "second", "python train.py -cn second", [*first[:3], *more], {"primary": other})
    manifest.write(tmp_path, None, "python train.py -m ...", [*first, *more], None)  # declares nothing
    part = part_of(tmp_path)
    assert [a.analysis.primary.variant for a in part.answers] == ["ecrnn-lstm-1x16"]
    assert part.scope.others == ("first",)
    assert any("--sweep first answers those" in note for note in part.notes)
    assert [a.analysis.primary.variant for a in part_of(tmp_path, sweep=("first",)).answers] == ["crnn-lstm-1x16"]
    both = part_of(tmp_path, sweep=("first", "second"))
    assert [a.analysis.primary.variant for a in both.answers] == ["crnn-lstm-1x16", "ecrnn-lstm-1x16"]
    with pytest.raises(ReportError, match=r"--sweep must be the name of a sweep .*, got frist; did you mean first\?"):
        part_of(tmp_path, sweep=("frist",))


def test_a_sweep_that_grew_without_a_plan_is_told_what_that_does(
    tmp_path: Path, runs: Callable[..., list[Run]]
) -> None:
    manifest.write(
        tmp_path, "question", "python train.py -cn question seed=0,1,2", runs(range(3)), {"primary": QUESTION}
    )
    assert part_of(tmp_path).answers[0].analysis.growth is None
    for path in (tmp_path / "sweeps").iterdir():
        path.write_text(path.read_text().replace('"declared": "20', '"declared": "19'), encoding="utf-8")
    manifest.write(
        tmp_path, "question", "python train.py -cn question seed=range(5)", runs(range(5)), {"primary": QUESTION}
    )
    answer = part_of(tmp_path).answers[0]
    assert answer.analysis.growth is not None
    assert answer.analysis.growth.looks == (3, 5)
    error = stats.repeated_error([3, 5], stats.student_critical([3, 5]))[-1]
    assert answer.analysis.growth.error == pytest.approx(error)
    assert 0.08 < error < 0.09  # exact, by integration; simulated in benchmarks/stopping.py
    (sentence,) = (
        text for text in answer.sentences if text.startswith("These runs were requested in 2 steps (3, 5 seeds)")
    )
    assert f"the test errs in {100 * error:.1f} % and not in 5 % of such studies" in sentence
