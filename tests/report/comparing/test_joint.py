"""What several data sets say together."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats

from hybridnets.report import ReportRequest, analyse
from hybridnets.report.analysis import Report
from hybridnets.report.reading.results import read
from hybridnets.report.reading.scores.reader import read_scores
from hybridnets.report.rendering.files import table_files
from hybridnets.report.rendering.terminal import report_text
from hybridnets.runs import Run, manifest


def report_of(folder: Path, variants: dict[str, float], data_sets: int, seeds: int = 4, **request: Any) -> Report:
    generator = np.random.default_rng(0)
    rows = ["variant,dataset,seed,score"]
    for data in range(data_sets):
        for seed in range(seeds):
            for name, shift in variants.items():
                rows.append(f"{name},d{data},{seed},{0.6 + 0.03 * data + shift + generator.normal(0, 0.004):.4f}")
    path = folder / "scores.csv"
    path.write_text("\n".join(rows), encoding="utf-8")
    return analyse(read_scores(path), "t", "python report.py", ReportRequest(**request))


def test_two_variants_are_tested_over_data_sets_and_over_seeds(tmp_path: Path) -> None:
    report = report_of(tmp_path, {"a": 0.0, "b": 0.012}, 6, margin=0.5)
    assert [part.data_set.name for part in report.parts] == [f"d{n}" for n in range(6)]
    assert report.joint is not None
    means = [part.comparisons[0].evidence("score").differences.mean for part in report.parts]
    over = report.joint.joint.over
    assert over is not None
    assert over.mean == pytest.approx(np.mean(means))
    assert (
        over.data_sets.p == pytest.approx(scipy_stats.wilcoxon(means, method="exact").pvalue) == pytest.approx(1 / 32)
    )
    assert report.joint.sentences[0] == (
        "b is better than a on data sets like these, by more than the 0.50 points that matter (Wilcoxon over data sets: "
        "p = 0.031)."
    )
    assert "6 of 6 data sets favour b" in report.joint.sentences[1]
    posterior = report.joint.joint.posterior
    assert posterior is not None
    assert posterior.better is not None
    assert posterior.better > 0.9
    table = report.joint.tables[0]
    assert [cells[2].value for cells in table.rows] == pytest.approx(means)
    assert "all-data-sets-datasets.csv" in table_files(report)
    text = report_text(report)
    assert text.index("b is better than a on data sets like these") < text.index("d0: 2 variants")


def test_few_data_sets_say_nothing_of_others(tmp_path: Path) -> None:
    report = report_of(tmp_path, {"a": 0.0, "b": 0.012}, 2)
    assert report.joint is not None
    assert report.joint.sentences[0].startswith("2 data sets do not say which is better on others like them")
    assert "On these data sets alone, over seeds" in report.joint.sentences[2]
    assert any("No hierarchical model" in sentence for sentence in report.joint.tables[0].caption)


def test_more_variants_are_ranked(tmp_path: Path) -> None:
    report = report_of(tmp_path, {"a": 0.0, "b": 0.002, "c": 0.03}, 8)
    assert report.joint is not None
    ranking = report.joint.joint.ranking
    assert ranking is not None
    assert ranking.friedman is not None
    levels = [[v.scores("score").mean for v in part.data_set.variants] for part in report.parts]  # type: ignore[union-attr]
    assert ranking.friedman.p == pytest.approx(scipy_stats.friedmanchisquare(*zip(*levels, strict=True)).pvalue)
    assert report.joint.question == "Do the 3 variants differ by their score, over 8 data sets?"
    assert report.joint.sentences[1].startswith("c has the best mean rank, 1.00 of 3, and differs significantly from ")
    assert report.joint.sentences[1].endswith("b, a (Holm).")
    kinds = [table.kind for table in report.joint.tables]
    assert kinds == ["ranks", "pairs"]
    question = report_of(tmp_path, {"a": 0.0, "b": 0.002, "c": 0.03}, 8, primary=("a", "c"))
    assert question.joint is not None
    assert question.joint.sentences[0].startswith("c is better than a on data sets like these")
    assert [table.kind for table in question.joint.tables] == ["datasets", "ranks", "pairs"]


def test_a_variant_that_a_data_set_lacks_is_not_joined(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    rows = [f"{v},{d},{s},{0.5 + s / 100}" for v, d in (("a", "x"), ("b", "x"), ("a", "y")) for s in range(3)]
    path.write_text("\n".join(["variant,dataset,seed,score", *rows]), encoding="utf-8")
    report = analyse(read_scores(path), "t", "c")
    assert len(report.parts) == 2
    assert report.joint is None


def test_runs_on_several_data_sets_are_joined(tmp_path: Path, finished: Callable[..., Run]) -> None:
    for data in ("digits", "letters"):
        for seed in range(3):
            finished("cnn", seed, data, test=0.7 + seed / 1000)
            finished("crnn", seed, data, test=0.72 + seed / 700)
    report = analyse(read([tmp_path]), "t", "c")
    assert report.joint is not None
    assert report.joint.joint.names == ("digits", "letters")
    assert report.joint.question == "Is crnn-lstm-1x16 better than cnn by its test accuracy, over 2 data sets?"


def test_a_question_chosen_afterwards_is_corrected_there_too(tmp_path: Path) -> None:
    variants = {"a": 0.0, "b": 0.002, "c": 0.03}
    planned = report_of(tmp_path, variants, 8, primary=("c", "a"), planned=True)
    later = report_of(tmp_path, variants, 8, primary=("c", "a"))
    assert planned.joint is not None
    assert later.joint is not None
    assert planned.joint.joint.p == pytest.approx(2 / 2**8)
    assert later.joint.joint.p == pytest.approx(3 * 2 / 2**8)  # three pairs that it could have been
    assert later.joint.tables[0].header[-1] == "98.33 % interval"
    assert "after the runs" in later.joint.sentences[-1]


def test_missing_scores_leave_the_joint_question_open(tmp_path: Path) -> None:
    rows = [f"{v},d{d},{s},{0.5 + 0.02 * k + s / 100}" for k, v in enumerate("abc") for d in range(8) for s in range(3)]
    path = tmp_path / "scores.csv"
    path.write_text("\n".join(["variant,dataset,seed,score", *rows[:-1]]), encoding="utf-8")
    for request in (ReportRequest(), ReportRequest(primary=("c", "a"), planned=True)):
        report = analyse(read_scores(path), "t", "c", request)
        assert report.joint is not None
        assert report.joint.sentences[0].startswith("The data sets together do not say which is better")
        assert not any("better" in sentence for sentence in report.joint.sentences[1:])


def test_what_few_data_sets_cannot_show_is_said(tmp_path: Path) -> None:
    report = report_of(tmp_path, {"a": 0.0, "b": 0.02, "c": 0.04}, 6)
    assert report.joint is not None
    assert "no p of 3 pairs could be below 0.094" in report.joint.sentences[1]


def test_the_joint_question_is_the_first_that_several_data_sets_can_answer(
    tmp_path: Path, finished: Callable[..., Run]
) -> None:
    def declare(data: str, variant: str, baseline: str) -> None:
        models = (baseline, variant.partition("-")[0])
        runs = [finished(model, seed, data, test=0.7 + seed / 1000) for model in models for seed in range(3)]
        primary = {"variant": variant, "baseline": baseline, "margin": 1.0 if data == "digits" else 2.0}
        manifest.write(tmp_path, data, "command", runs, {"primary": primary})

    declare("digits", "ecrnn-lstm-1x16", "cnn")  # only digits has ECRNN
    declare("letters", "crnn-lstm-1x16", "cnn")
    declare("signs", "crnn-lstm-1x16", "cnn")
    report = analyse(read([tmp_path]), "t", "c")
    assert report.joint is not None
    assert report.joint.joint.names == ("letters", "signs")
    assert report.joint.question == "Is crnn-lstm-1x16 better than cnn by its test accuracy, over 2 data sets?"
    assert report.joint.joint.margin == pytest.approx(0.02)
