"""Files of scores: the columns they may have, and what follows from them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridnets.report import ReportError, analyse
from hybridnets.report.comparing.evidence import POOL, UNKNOWN
from hybridnets.report.reading.scores.reader import read_scores
from tests.report.reading.score_files import write_scores

Report = Callable[..., int]


def test_three_columns_are_enough(tmp_path: Path, report: Report, capsys: Any) -> None:
    path = write_scores(tmp_path, "a,0,0.70", "a,1,0.72", "a,2,0.71", "b,0,0.712", "b,1,0.738", "b,2,0.719")
    assert report(path, "--no-page", "--margin", "0.5") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "b reached 72.30 % and a 71.00 %" in text
    assert "a difference of +1.30 points, 95 % interval +0.16 to +2.44" in text
    assert "So b is better than a on this data; whether by the 0.50 points that matter is not settled." in text
    (part,) = analyse(read_scores(path), "t", "c").parts
    evidence = part.answers[0].comparison.evidence("score")
    assert evidence.question == UNKNOWN
    assert evidence.corrected.why == "the splits are not known"
    assert evidence.pooled.why == "no predictions"


def test_splits_sizes_and_predictions_give_every_test(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    lines = []
    for variant, right in (("a", 0.7), ("b", 0.8)):
        for seed in range(3):
            label = np.arange(100) % 3
            predicted = np.where(draw.random(100) < right, label, (label + 1) % 3)
            name = f"{variant}{seed}.{'npz' if variant == 'a' else 'csv'}"
            columns: dict[str, Any] = {"index": np.arange(100), "label": label, "class": predicted}
            if variant == "a":
                np.savez(tmp_path / name, **columns)
            else:
                rows = zip(*columns.values(), strict=True)
                (tmp_path / name).write_text(
                    "\n".join(["index,label,class", *(",".join(map(str, row)) for row in rows)]), encoding="utf-8"
                )
            lines.append(
                f"{variant},{seed},{np.mean(predicted == label)},s{seed},350,150,{name},{4 if variant == 'a' else 8}"
            )
    path = write_scores(tmp_path, *lines, header="variant,seed,score,split,n_train,n_val,predictions,depth")
    (part,) = analyse(read_scores(path), "t", "c").parts
    (contrast,) = part.contrasts
    assert (contrast.levels.axis, contrast.levels.low, contrast.levels.high) == ("depth", "4", "8")
    evidence = contrast.comparisons[0].evidence("score")
    assert evidence.question == POOL
    assert evidence.ratio == pytest.approx(3 / 7)
    assert evidence.corrected.p is not None
    assert evidence.pooled.n == 300
    assert evidence.pooled.estimate == pytest.approx(evidence.d.mean())
    assert len(evidence.mcnemar) == 3


def test_scores_that_are_no_shares_keep_their_unit(tmp_path: Path, report: Report, capsys: Any) -> None:
    path = write_scores(tmp_path, "a,0,12.5", "a,1,13.5", "b,0,11", "b,1,11.5")
    assert report(path, "--no-page") == 0
    assert "b reached 11.25 and a 13.00" in capsys.readouterr().out


def test_a_run_with_an_infinite_score_failed(tmp_path: Path, report: Report, capsys: Any) -> None:
    path = write_scores(tmp_path, "a,0,0.7", "a,1,inf", "a,2,0.7", "b,0,0.8", "b,1,0.8", "b,2,diverged")
    assert report(path, "--no-page") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "a 3, 1 failed 70.00 ± 0.00" in text
    assert "n/a (1 failed and 1" in text
    assert "That does not say which is better (1 failed and 1 failed)" in text


def test_wrong_lines_are_left_out_and_the_others_count(tmp_path: Path, report: Report, capsys: Any) -> None:
    lines = ("a,0,0.7", "b,0,0.8", "b,one,0.8", ",1,0.8", "b,2,much", "b,3,0.8,5", "b,0,0.9")
    path = write_scores(tmp_path, *lines)
    assert report(path, "--no-page") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Left out (5)" in text
    for sentence in (
        "line 4: seed must be a whole number, got one",
        "line 5: variant must be a name, got nothing",
        "line 6: score must be a number, at most 1e+100, got much",
        "line 7: it has more cells than the header",
        "line 8: b has seed 0 twice; the first counts",
    ):
        assert sentence in text


REFUSED = {
    "no column": ("name,value\na,1\n", "must have the columns variant, seed and score, got name, value"),
    "nothing": ("", "got nothing"),
    "no row": ("variant,seed,score\n", "must have a usable row, got none: no row at all"),
    "one size": ("variant,seed,score,n_train\na,0,1,5\n", "n_train and n_val must both be numbers from 1 to"),
    "a column twice": ("variant,seed,score,score\na,0,1,2\n", "must have each column once, got score twice"),
    "parameters": ("variant,seed,score,parameters\na,0,1,-5\n", "parameters must be a number from 0 to"),
    "no file": (
        "variant,seed,score,predictions\na,0,1,gone.npz\n",
        "gone.npz must hold the columns index, label and class",
    ),
}


@pytest.mark.parametrize("which", REFUSED)
def test_a_file_that_cannot_be_used_is_refused_in_one_sentence(which: str, tmp_path: Path) -> None:
    text, sentence = REFUSED[which]
    (tmp_path / "scores.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ReportError, match=sentence):
        read_scores(tmp_path / "scores.csv")


def test_predictions_decide_whether_scores_are_percentages(tmp_path: Path, report: Report, capsys: Any) -> None:
    label = np.arange(200) % 4

    def rows(scale: float, shift: float = 0.0) -> list[str]:
        lines = []
        for n, variant in enumerate("ab"):
            for seed in range(2):
                predicted = np.where(np.arange(200) < 150 + 10 * n + seed, label, (label + 1) % 4)
                columns: dict[str, Any] = {"index": np.arange(200), "label": label, "class": predicted}
                np.savez(tmp_path / f"{variant}{seed}.npz", **columns)
                lines.append(f"{variant},{seed},{scale * np.mean(predicted == label) + shift},{variant}{seed}.npz")
        return lines

    header = "variant,seed,score,predictions"
    (part,) = analyse(read_scores(write_scores(tmp_path, *rows(100), "b,2,inf,", header=header)), "t", "c").parts
    (comparison,) = part.comparisons
    assert comparison.evidence("score").d == pytest.approx([0.05, 0.05])  # percent became shares
    assert comparison.evidence("score").pooled.estimate == pytest.approx(0.05)
    (b,) = [variant for variant in part.data_set.variants if variant.label == "b"]
    assert b.with_failures("score") == pytest.approx((0.8 + 0.805 + 0.25) / 3)
    assert report(write_scores(tmp_path, *rows(1, 0.1), header=header), "--no-page") == 0
    assert "nothing is compared image by image" in capsys.readouterr().out


def test_images_of_large_or_repeated_index_do_not_pair(tmp_path: Path) -> None:
    columns: dict[str, Any] = {"index": np.arange(4) + 2**32, "label": np.arange(4), "class": np.arange(4)}
    np.savez(tmp_path / "large.npz", **columns)
    columns["index"] = np.array([3, 1, 1, 0], np.uint64)
    np.savez(tmp_path / "twice.npz", **columns)
    rows = ("a,0,1,large.npz", "a,1,1,twice.npz", "b,0,0.5,")
    runs = read_scores(write_scores(tmp_path, *rows, header="variant,seed,score,predictions"))
    assert [run.name for run in runs.runs] == ["b"]
    assert "a number outside 0 to 2^31, 4294967299" in runs.problems[0]
    assert "an image is there twice" in runs.problems[1]


def test_settings_of_a_file_order_its_tables_if_they_can(tmp_path: Path) -> None:
    rows = [f"{n}-{s},{seed},{seed + 1},{s}" for n in ("cnn", "vit") for s in ("small", "large") for seed in range(2)]
    (part,) = analyse(read_scores(write_scores(tmp_path, *rows, header="variant,seed,score,size")), "t", "c").parts
    assert part.contrasts == ()  # which cnn belongs to which vit, the file does not say
    assert len(part.comparisons) == 6
    odd = ("a,0,1,\u00b2,", "a,1,2,\u00b2,", "b,0,2,\u00b3,", "b,1,1,\u00b3,", "c,0,1,,x", "c,1,3,,x")
    (part,) = analyse(read_scores(write_scores(tmp_path, *odd, header="variant,seed,score,p,q")), "t", "c").parts
    assert [(c.levels.low, c.levels.high) for c in part.contrasts] == [("\u00b2", "\u00b3")]
    runs = read_scores(write_scores(tmp_path, "a,0,1,.1", "a,1,2,.2", header="variant,seed,score,lr"))
    assert "a has lr .2 here and lr .1 above, but a variant has only one setting" in runs.problems[0]


def test_labels_are_one_line_of_visible_characters(tmp_path: Path, report: Report) -> None:
    path = write_scores(tmp_path, '"a\nb<i>\x01\u202e",0,1', '"a\nb<i>\x01\u202e",1,2', "[c],0,2", "[c],1,1")
    assert report(path, "--to", tmp_path / "told") == 0
    text = (tmp_path / "told" / "tables" / "scores-variants.md").read_text(encoding="utf-8")
    assert "| a b&lt;i>\\[U+0001\\]\\[U+202E\\] |" in text


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--metric", " "), "--metric must be the name of a metric, got "),
        (("--planned",), "--planned goes with --primary"),
        (("--margin", "1e308"), "--margin must be a difference from 0 to 1e+12, got 1e+308"),
        (("--margin", "-1"), "--margin must be a difference from 0 to 1e+12, got -1.0"),
        (("--primary", "a", "a"), "--primary must be the labels of two different variants"),
    ],
)
def test_options_are_refused_in_one_sentence(
    options: tuple[str, ...], sentence: str, tmp_path: Path, report: Report, capsys: Any
) -> None:
    path = write_scores(tmp_path, "a,0,1", "a,1,2", "b,0,2", "b,1,4")
    assert report(path, "--no-page", *options) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
