"""Cells and arguments that can be read in two ways, or not at all: which way is taken, and what is said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridnets.report import ReportError, ReportRequest, analyse
from tests.report.reading.score_files import read_rows, write_scores

Command = Callable[..., int]
LONG = ("A,0,.70", "A,1,.72", "A,2,.71", "B,0,.812", "B,1,.838", "B,2,.819")
ASSUMED = "higher scores are better, as nothing says otherwise: if lower ones are, give --lower-is-better"


def test_a_baseline_is_a_label_before_it_is_a_level(tmp_path: Path, report: Command, capsys: Any) -> None:
    rows = [
        f"lr={rate},{seed},{score},{rate}" for rate, score in ((0.1, 0.7), (0.2, 0.8), (0.3, 0.6)) for seed in range(2)
    ]
    runs = read_rows(tmp_path, *rows, header="variant,seed,score,rate")
    (part,) = analyse(runs, "t", "c", ReportRequest(baseline="lr=0.1")).parts
    assert [c.name for c in part.comparisons] == ["lr=0.2 - lr=0.1", "lr=0.3 - lr=0.1"]
    (part,) = analyse(runs, "t", "c", ReportRequest(baseline="rate=0.1")).parts
    assert [(c.levels.low, c.levels.high) for c in part.contrasts] == [("0.1", "0.2"), ("0.1", "0.3")]
    assert report(tmp_path / "scores.csv", "--no-page", "--baseline", "lr=0.1") == 0
    assert "lr=0.3   lr=0.1" in capsys.readouterr().out
    with pytest.raises(
        ReportError, match=r"--baseline must be one of lr=0.1, lr=0.2, lr=0.3, got lr=0.15; did you mean"
    ):
        analyse(runs, "t", "c", ReportRequest(baseline="lr=0.15"))
    with pytest.raises(
        ReportError, match=r"--baseline must be a level of an axis of scores, got rate=4: there is rate"
    ):
        analyse(runs, "t", "c", ReportRequest(baseline="rate=4"))


def test_scores_without_predictions_have_nothing_to_verify_but_tables(
    tmp_path: Path, report: Command, capsys: Any
) -> None:
    path = write_scores(tmp_path, *(f"{line},{n}" for n, line in enumerate(LONG)), header="variant,seed,score,loss")
    assert report("--verify", path) == 1
    nothing = f"{path} names no predictions, so its scores cannot be verified; "
    assert capsys.readouterr().out == f"{nothing}there are no tables in {tmp_path / 'scores-report'} to verify\n"
    assert report(path, "--to", tmp_path / "told") == 0
    capsys.readouterr()
    assert report("--verify", path, "--to", tmp_path / "told") == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{nothing}every cell of the ")
    assert out.endswith("all agree\n")
    table = tmp_path / "told" / "tables" / "scores-variants.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("0.71", "0.73"), encoding="utf-8")
    assert report("--verify", path, "--to", tmp_path / "told") == 1
    out = capsys.readouterr().out
    assert "0.73 is written, 0.71 follows from the scores" in out
    assert out.endswith(": 1 do not agree\n")


def test_only_what_has_predictions_is_verified(tmp_path: Path, report: Command, capsys: Any) -> None:
    columns: dict[str, Any] = {"index": np.arange(4), "label": np.arange(4), "class": np.array([0, 1, 2, 0])}
    np.savez(tmp_path / "a.npz", **columns)
    path = write_scores(tmp_path, "A,0,.75,a.npz", "B,0,.5,", header="variant,seed,score,predictions")
    assert report("--verify", path) == 1
    out = capsys.readouterr().out
    assert f"- {path.resolve()}: B with seed 0 has no predictions: it cannot be verified" in out.replace(
        str(path), str(path.resolve())
    )
    assert "\n1 run verified from their predictions; there are no tables" in out


@pytest.mark.parametrize(
    ("header", "cells", "note"),
    [
        ("parameters", "1.2M", "parameters ignored in 6 of 6 runs (1.2M is not a number)"),
        ("seconds", "00:12:00", "seconds ignored in 6 of 6 runs (00:12:00 is not a number)"),
        ("split,n_train,n_val", "s,45k,5000", "n_train and n_val ignored in 6 of 6 runs (45k is not a number)"),
    ],
)
def test_optional_cells_that_are_no_numbers_are_ignored(header: str, cells: str, note: str, tmp_path: Path) -> None:
    runs = read_rows(tmp_path, *(f"{line},{cells}" for line in LONG), header=f"variant,seed,score,{header}")
    assert len(runs.runs) == 6
    assert runs.head == (f"How the file was read: {note}; {ASSUMED}.",)
    assert (runs.partial, runs.problems) == ("", ())
    assert all(run.parameters is None and not run.epoch_seconds and run.ratio is None for run in runs.runs)


def test_a_score_that_may_be_two_numbers_is_left_out(tmp_path: Path) -> None:
    runs = read_rows(tmp_path, "A;0;1.234,5", "A;1;1.300", "B;0;1.240,5", "B;1;1.250,5", header="variant;seed;score")
    assert runs.head[0] == (
        "1 of 4 rows is left out, so nothing is concluded from the rest: score may be two numbers (1)."
    )
    assert (
        "score must be one number, got 1.300, which may be 1.300 or 1300: write all numbers with the same"
        in runs.problems[0]
    )


@pytest.mark.parametrize("name", ["x.xlsx", "x.json", "x.csv.gz", "x"])
def test_a_file_of_another_kind_is_refused_with_the_legal_kinds(
    name: str, tmp_path: Path, report: Command, capsys: Any
) -> None:
    path = write_scores(tmp_path, *LONG, name=name)
    assert report(path) == 2
    assert "or a file of scores (.csv, .tsv, .txt), got " + str(path) in capsys.readouterr().err


def test_a_number_split_by_a_decimal_comma_is_left_out(tmp_path: Path) -> None:
    rows = ("A,0,71,25", "A,1,72,5", "B,0,73,25", "B,1,74,5")
    runs = read_rows(tmp_path, *rows, "C,0,70", "C,1,70,fine", header="variant,seed,score,comment")
    assert [run.name for run in runs.runs] == ["C", "C"]
    assert runs.head[0] == (
        "4 of 6 rows are left out, so nothing is concluded from the rest: score and comment may be one number (4)."
    )
    assert (
        "score and comment may be one number with a decimal comma, got 71,25: put quotes around the number, or"
        in runs.problems[-1]
    )
    assert len(read_rows(tmp_path, *rows, header="variant,seed,score,epochs").runs) == 4
    runs = read_rows(tmp_path, *rows, header="variant,seed,score,epochs")
    assert "score and epochs as two numbers (if 71,25 is one, put it in quotes)" in runs.head[0]
    semicolons = [row.replace(",", ";") for row in rows]
    assert len(read_rows(tmp_path, *semicolons, header="variant;seed;score;comment").runs) == 4
    assert len(read_rows(tmp_path, *(f"{row}.5" for row in rows), header="variant,seed,score,note").runs) == 4


def test_mixed_scales_are_noticed_despite_a_negative_score(tmp_path: Path) -> None:
    with pytest.raises(
        ReportError, match=r"must have scores of one scale, got 0\.71 in line 2 \(3 such\) and 72\.5 in line 5"
    ):
        read_rows(tmp_path, "A,0,.71", "A,1,.72", "A,2,-.02", "B,0,72.5", "B,1,73", "B,2,74")
    with pytest.raises(ReportError, match=r"must have scores of one scale"):
        read_rows(tmp_path, "A,0,.71", "A,1,.72", "A,2,.7", "B,0,72.5", "B,1,73", "B,2,-40")
