"""Which runs form a pair, which variants are compared, and what a comparison is about."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridnets import stats
from hybridnets.report import ReportRequest, analyse
from hybridnets.report.analysis import Report as Analysis
from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.comparing.contrasts import ComparisonCache
from hybridnets.report.comparing.selection import select_comparisons
from hybridnets.report.comparing.variants import variants_by_data_set
from hybridnets.report.reading.results import read
from hybridnets.report.reading.scores.reader import read_scores
from hybridnets.runs import Run, manifest

Make = Callable[..., Run]


Report = Callable[..., int]


def analysed(out: Path, **request: Any) -> Analysis:
    return analyse(read([out]), "title", "command", ReportRequest(**request))


def test_runs_pair_only_on_the_same_split_of_the_same_data(
    tmp_path: Path, finished: Make, report: Report, capsys: Any
) -> None:
    for seed in range(3):
        finished("cnn", seed)
        finished("crnn", seed, test=0.7 + seed / 100, **({"split": "another"} if seed == 1 else {}))
    finished("crnn", 0, model__hidden_size=8, data__sha256="b" * 64)
    finished("crnn", 7, model__hidden_size=4)
    assert report(tmp_path, "--no-page") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "crnn-lstm-1x16 cnn 2/3 " in text
    assert "crnn-lstm-1x16 - cnn: seed 1 is left out, because their runs differ in split (by hash)" in text
    assert "crnn-lstm-1x8 - cnn: seed 0 is left out, because their runs differ in data (by hash)" in text
    assert "crnn-lstm-1x4 - cnn: left out, because they have no seed in common (7; 0, 1, 2)" in text
    assert "crnn-lstm-1x8 cnn" not in text


def test_settings_outside_the_model_that_differ_are_named(
    tmp_path: Path, finished: Make, report: Report, capsys: Any
) -> None:
    runs = [finished("cnn"), finished("crnn", optimizer__lr=0.01, model__dropout=0.5)]
    assert report(tmp_path, "--no-page") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert (
        "crnn-lstm-1x16 - cnn: not compared, because they differ in more than the model (optimizer.lr 0.01 and 0.001) and no "
        "sweep requested both: --compare LABEL LABEL compares them all the same"
    ) in text
    assert "Differences on" not in text
    note = "crnn-lstm-1x16 - cnn: they differ in more than the model: optimizer.lr 0.01 and 0.001\n"
    assert report(tmp_path, "--no-page", "--compare", "crnn-lstm-1x16", "cnn") == 0
    assert note in capsys.readouterr().out
    manifest.write(tmp_path, None, "python train.py -m ...", runs, None)  # a sweep over both asks for their comparison
    assert report(tmp_path, "--no-page") == 0
    assert note in capsys.readouterr().out


def test_shared_settings_of_two_models_that_differ_are_named(
    tmp_path: Path, finished: Make, report: Report, capsys: Any
) -> None:
    """The models' own settings are not named: they are what is compared."""
    finished("cnn", model__activation="relu", model__batch_norm_momentum=0.99)
    finished("crnn", model__activation="relu", model__batch_norm_momentum=0.9)
    finished("ecrnn", model__activation="relu", model__batch_norm_momentum=0.99, model__dense=[4])
    assert report(tmp_path, "--no-page") == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if "differ in more than" in line]
    assert sorted(notes) == [  # none for ECRNN and CNN
        "- crnn-lstm-1x16 - cnn: they differ in more than the model: batch_norm_momentum 0.9 and 0.99",
        "- ecrnn-lstm-1x16 - crnn-lstm-1x16: they differ in more than the model: batch_norm_momentum 0.99 and 0.9",
    ]


def test_a_shared_setting_that_one_model_lacks_is_named(
    tmp_path: Path, finished: Make, report: Report, capsys: Any
) -> None:
    finished("cnn", model__activation="relu", model__batch_norm_momentum=0.99)
    finished("crnn", optimizer__lr=0.01)  # as a model of the user's own, with torch's defaults inside
    assert report(tmp_path, "--primary", "crnn-lstm-1x16", "cnn") == 0
    note = (
        "they differ in more than the model: activation unset and relu, batch_norm_momentum unset and 0.99, optimizer.lr 0.01 "
        "and 0.001 (unset: the model does not take it, and has values of its own such as torch's)"
    )
    text = " ".join(capsys.readouterr().out.split())
    page = " ".join((tmp_path / "report" / "index.html").read_text().split()).replace("&#39;", "'")
    for shown in (text, page):
        assert f"But {note}." in shown  # beside the answer
        assert f"crnn-lstm-1x16 - cnn: {note}" in shown


def test_levels_of_a_shared_setting_are_the_question_itself(tmp_path: Path, finished: Make) -> None:
    for momentum in (0.9, 0.99):
        finished("cnn", model__batch_norm_momentum=momentum)
    (part,) = analysed(tmp_path).parts
    assert not any("differ in more than" in note for note in part.notes)


def test_the_splits_decide_what_an_interval_is_about(tmp_path: Path, finished: Make) -> None:
    seeds = {"cnn": [(0, 0, 0), (0, 1, 0)], "crnn": [(0, 0, 0), (0, 1, 0)]}
    for model, model_seeds in seeds.items():
        for seed in model_seeds:
            finished(model, seed)

    def question() -> str | None:
        (comparison,) = analysed(tmp_path).parts[0].comparisons
        return comparison.evidence("val").question

    assert question() == "on this data set and this one split, over seeds of initialisation"
    for model in seeds:
        finished(model, (5, 0, 0))
    assert question() == "on this data set, over splits and seeds"  # of two splits, one with two seeds
    (comparison,) = analysed(tmp_path).parts[0].comparisons
    assert (len(comparison.pairs), len(comparison.evidence("val").d)) == (3, 2)


def test_seeds_on_a_data_sets_own_split_are_about_initialisation_and_order(tmp_path: Path, finished: Make) -> None:
    for seed in range(4):
        finished("cnn", seed, val=0.70 + 0.01 * seed, test=0.7, split="own", data__train_fraction=None)
        finished("crnn", seed, val=0.72 + 0.02 * seed, test=0.8 - 0.01 * seed, split="own", data__train_fraction=None)
    (comparison,) = analysed(tmp_path).parts[0].comparisons
    val, test = comparison.evidence("val"), comparison.evidence("test")
    assert val.question == "on this data set and this one split, over seeds of initialisation and order"
    assert test.question == "on these test images and this one split, over seeds of initialisation and order"
    # The plain t answers on val, too: no two splits overlap.
    d = np.array([0.02, 0.03, 0.04, 0.05])
    assert val.answer() == val.plain
    assert val.answer().p == pytest.approx(stats.paired_t(d).p)
    assert (val.corrected.p, val.corrected.why) == (None, "one split")
    assert (val.units, len(val.d), val.is_nested) == ("seeds", 4, False)


def test_comparisons_are_those_requested(tmp_path: Path, finished: Make) -> None:
    for nodes in range(1, 7):
        finished("crnn", model__hidden_size=nodes)

    def selected(*options: Any) -> tuple[list[Comparison], list[str]]:
        return select_comparisons(ComparisonCache(variants_by_data_set(read([tmp_path]))[0]), *options)

    def pairs(*options: Any) -> list[str]:
        return [comparison.name for comparison in selected(*options)[0]]

    assert len(pairs()) == 15  # no CNN: all pairs
    assert pairs()[0] == "crnn-lstm-1x2 - crnn-lstm-1x1"
    finished("crnn", model__hidden_size=7)
    assert pairs() == []
    assert "choose some with --baseline" in selected()[1][0]
    assert len(pairs("crnn-lstm-1x3")) == 6
    names = ("crnn-lstm-1x1", "crnn-lstm-1x2", "crnn-lstm-1x4", "crnn-lstm-1x3")
    assert pairs(None, names) == ["crnn-lstm-1x1 - crnn-lstm-1x2", "crnn-lstm-1x4 - crnn-lstm-1x3"]
    finished("cnn")
    assert len(pairs()) == 7
    assert pairs()[0] == "crnn-lstm-1x1 - cnn"


def test_differences_equal_but_for_rounding_are_equal(tmp_path: Path) -> None:
    rows = [
        f"{variant},{seed},{2e6 + seed * 3.7 + shift}" for variant, shift in (("a", 0), ("b", 0.1)) for seed in range(4)
    ]
    path = tmp_path / "scores.csv"
    path.write_text("\n".join(["variant,seed,score", *rows]) + "\n", encoding="utf-8")
    (part,) = analyse(read_scores(path), "t", "c").parts
    (comparison,) = part.comparisons
    evidence = comparison.evidence("score")
    for test in (evidence.plain, evidence.wilcoxon, evidence.sign_flip):
        assert (test.p, test.interval) == (None, None), test
