"""Which column of a table is what: by --map, or as a proposal that the report states first."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybridnets.report import ReportError, RunSet
from hybridnets.report.reading.score_kind import is_lower_better
from hybridnets.report.reading.scores.mapping import Reading
from hybridnets.report.reading.scores.proposals import rank
from hybridnets.report.reading.scores.reader import read_scores

LONG = """model,rnn,seed,val_acc,val_loss
cnn,none,0,.7,.3
cnn,none,1,.71,.29
crnn,lstm,0,.8,.2
crnn,lstm,1,.82,.19
crnn,gru,0,.81,.21
crnn,gru,1,.83,.17
"""


def read(folder: Path, text: str, *words: str, encoding: str = "utf-8") -> RunSet:
    path = folder / "scores.csv"
    path.write_bytes(text.encode(encoding))
    return read_scores(path, Reading.of(words))


def scores(runs: RunSet) -> dict[tuple[str, int], float]:
    return {(run.name, run.seeds[0]): run.scores["score"] for run in runs.runs}


def test_a_mapping_says_which_column_is_what(tmp_path: Path) -> None:
    runs = read(tmp_path, LONG, "variant=model+rnn", "seed=seed", "score=val_acc")
    assert scores(runs)["crnn-gru", 1] == 0.83
    assert len(runs.runs) == 6
    assert runs.score.name == "val_acc"
    assert runs.runs[0].axes == {"model": "cnn", "rnn": "none"}
    assert not any("proposed" in sentence for sentence in runs.head)
    assert scores(read(tmp_path, LONG, "score=val_loss", "variant=rnn"))["none", 0] == 0.3


def test_what_is_not_mapped_is_proposed_and_said_first(tmp_path: Path, report: Callable[..., int], capsys: Any) -> None:
    runs = read(tmp_path, LONG)
    assert scores(runs)["crnn-gru", 1] == 0.83
    first = (
        "Which column is what was proposed: --map variant=model+rnn seed=seed score=val_acc; give --map to change it."
    )
    assert runs.head[0] == first
    assert report(tmp_path / "scores.csv", "--no-page") == 0
    assert " ".join(capsys.readouterr().out.split()).startswith(first)
    partly = read(tmp_path, LONG, "score=val_loss")
    assert partly.runs[0].scores == {"score": 0.3}
    assert "--map variant=model+rnn seed=seed score=val_loss" in partly.head[0]


def test_other_roles_can_be_mapped(tmp_path: Path) -> None:
    text = "net,rep,top1,cv,train,held,ended\na,0,.7,x,70,30,ok\na,1,.8,y,70,30,killed\nb,0,.7,x,70,30,ok\nb,1,.6,y,70,30,ok\n"
    words = ("variant=net", "seed=rep", "score=top1", "split=cv", "n_train=train", "n_val=held", "status=ended")
    runs = read(tmp_path, text, *words)
    assert [(run.split, run.diverged) for run in runs.runs] == [("x", False), ("y", True), ("x", False), ("y", False)]
    assert runs.runs[0].ratio == pytest.approx(3 / 7)


def test_a_mapped_column_takes_the_place_of_one_with_the_role_as_its_name(tmp_path: Path) -> None:
    text = "variant,seed,score,acc\na,0,1,.7\na,1,2,.8\nb,0,3,.9\nb,1,4,.95\n"
    assert scores(read(tmp_path, text, "score=acc")) == {("a", 0): 0.7, ("a", 1): 0.8, ("b", 0): 0.9, ("b", 1): 0.95}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("variant",), r"--map must be ROLE=COLUMN, where ROLE is one of variant, seed, score, split, .*, got variant"),
        (("score=",), r"--map must be ROLE=COLUMN, .*, got score="),
        (("name=model",), r"--map must be ROLE=COLUMN, .*, got name=model"),
        (("seed=a", "seed=b"), r"--map must give each role once, got seed twice"),
        (("variant=modle",), r"got modle: its columns are model, rnn, seed, val_acc, val_loss"),
        (("variant=model+rn",), r"--map variant= must name a column of .*, got rn: its columns are model, rnn"),
        (("score=val_acc+val_loss",), r"must name a column of .*, got val_acc\+val_loss: its columns"),
    ],
)
def test_unknown_names_are_refused_with_the_legal_ones(words: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=sentence):
        read(tmp_path, LONG, *words)


def test_names_with_a_plus_or_in_another_case_are_found(tmp_path: Path) -> None:
    text = "Model+RNN,Random Seed,Val Acc\na,0,.7\na,1,.8\nb,0,.9\nb,1,.95\n"
    runs = read(tmp_path, text, "variant=Model+RNN", "seed=random_seed", "score=val acc")
    assert scores(runs)["b", 1] == 0.95
    assert "'score=Val Acc'" in read(tmp_path, text).head[0]


def test_what_cannot_be_proposed_is_asked_for(tmp_path: Path) -> None:
    two = "model,seed,wer,cer\na,0,.7,.8\na,1,.7,.8\nb,0,.7,.9\nb,1,.6,.8\n"
    with pytest.raises(
        ReportError, match=r"--map must say which column of .* is the score, as in score=COLUMN.*are wer, cer"
    ):
        read(tmp_path, two, "seed=seed")
    with pytest.raises(ReportError, match=r"is missing .*--map variant=COLUMN seed=COLUMN score=COLUMN"):
        read(tmp_path, two)
    assert read(tmp_path, two, "score=cer").score.name == "cer"
    assert is_lower_better("cer")


def test_options_that_do_not_fit_the_source_are_refused(
    tmp_path: Path, report: Callable[..., int], capsys: Any
) -> None:
    (tmp_path / "scores.csv").write_text(LONG, encoding="utf-8")
    for words, sentence in (
        (("--at", "best"), "--at chooses among the values of a metric, got"),
        (("--metric", "val_acc", "--map", "score=val_loss"), "must name the same metric, got val_acc and val_loss"),
        (("--at", "first"), "--at must be best or last, got first"),
    ):
        try:
            code = report(tmp_path / "scores.csv", *words)
        except SystemExit as ended:
            code = int(ended.code or 0)
        error = capsys.readouterr().err
        assert (code, error.count("\n")) == (2, 1)
        assert sentence in error


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("test/acc", "val/acc"),
        ("val/acc", "train/acc"),
        ("val_acc", "val_f1"),
        ("val/f1", "val/error"),
        ("val/acc", "test/loss"),
        ("valAcc", "valLoss"),
        ("val/acc", "val/acc_best_so_far"),
        ("val/acc_epoch", "val/acc_step"),
    ],
)
def test_some_metrics_are_more_likely_the_score(better: str, worse: str) -> None:
    first, second = rank(better), rank(worse)
    assert first is not None
    assert second is not None
    assert first < second


def test_losses_and_errors_are_known_by_their_names() -> None:
    assert [is_lower_better(name) for name in ("val/loss", "test_error", "RMSE", "nll_epoch")] == [True] * 4
    assert [is_lower_better(name) for name in ("val/acc", "glossary", "terror", "return")] == [False] * 4
    assert rank("lr-Adam") is None


WIDE = {("CNN", 0): 0.7, ("CRNN", 0): 0.8, ("CNN", 1): 0.71, ("CRNN", 1): 0.82}


@pytest.mark.parametrize(
    ("text", "encoding", "note"),
    [
        (
            ",CNN,CRNN\n0,0.7,0.8\n1,0.71,0.82\n",
            "utf-8",
            "numbered by the unnamed first column",
        ),  # pandas, for autorank
        ("CNN,CRNN\n0.7,0.8\n0.71,0.82\n", "utf-8", "the scores of a row form a pair"),
        ("seed;CNN;CRNN\n0;70 %;80 %\n1;71,0 %;82 %\n", "utf-8-sig", "decimal commas (71,0 % as 0.71)"),
        ("Seed\tCNN\tCRNN\n0\t0,7\t0,8\n1\t0,71\t0,82\n", "utf-16", "UTF-16; cells separated by tabs"),
        ("run,CNN,CRNN\n0,.7,.8\n1,.71,.82\n", "utf-8", "--map seed=run; give --map"),
        ("Method,seed 0,seed 1\nCNN,.7,.71\nCRNN,.8,.82\n", "utf-8", "--map variant=Method; give --map"),
        (",0,1\nCNN,.7,.71\nCRNN,.8,.82\n", "utf-8", "one row for each variant and one column for each seed (0, 1)"),
    ],
)
def test_wide_tables_are_read_as_rliable_and_autorank_have_them(
    text: str, encoding: str, note: str, tmp_path: Path
) -> None:
    runs = read(tmp_path, text, encoding=encoding)
    assert scores(runs) == pytest.approx(WIDE)
    assert note in " ".join(runs.head)
    assert (runs.problems, runs.missing, runs.partial) == ((), (), "")


def test_a_wide_table_with_another_name_for_its_seeds_needs_a_mapping(tmp_path: Path) -> None:
    text = "index,CNN,CRNN\n0,.7,.8\n1,.71,.82\n"
    with pytest.raises(ReportError, match=r"got index, which may be something else: .* --map seed=COLUMN"):
        read(tmp_path, text)
    assert scores(read(tmp_path, text, "seed=index")) == WIDE


@pytest.mark.parametrize("header", ["", "dataset"])
def test_a_row_for_each_data_set_has_no_seeds(header: str, tmp_path: Path) -> None:
    runs = read(tmp_path, f"{header},CNN,CRNN\niris,.7,.8\nwine,.71,.82\n")
    assert "one row for each data set (iris, wine), all with seed 0" in runs.head[-1]
    assert [(run.data, run.name, run.scores["score"]) for run in runs.runs] == [
        *(("iris", "CNN", 0.7), ("iris", "CRNN", 0.8), ("wine", "CNN", 0.71), ("wine", "CRNN", 0.82))
    ]
