"""What a file's scores are: their name, their unit, and which direction is better; and what follows for the answer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy import stats as scipy_stats

from hybridnets.report import ReportError, analyse
from hybridnets.report.comparing.answers import Verdict
from hybridnets.report.comparing.units import unit_of
from hybridnets.report.reading.score_kind import ScoreKind, ScoreOptions, score_kind
from hybridnets.report.rendering.terminal import report_text
from tests.report.reading.score_files import (
    FEW,
    LOSSES,
    TOLERANCE,
    Scores,
    differences,
    paired,
    parts,
    read,
    rows,
    sentences,
    write_scores,
)

Command = Callable[..., int]

HIGHER = "higher scores are better, as nothing says otherwise: if lower ones are, give --lower-is-better"
LOWER = "lower scores are better, because of the word {}: if higher ones are, give --higher-is-better"

ERRORS = {"base": (0.2799, 0.2748, 0.2823, 0.2834, 0.2781), "new": (0.2589, 0.265, 0.2623, 0.261, 0.2576)}
SHARES = {"a": (0.31, 0.35, 0.33), "b": (0.27, 0.28, 0.28)}
ACCURACIES = {"a": (0.6438, 0.6267, 0.6375, 0.6446, 0.6541), "b": (0.6604, 0.6578, 0.6527, 0.6568, 0.6704)}


@pytest.mark.parametrize(
    ("column", "name", "word"),
    [
        ("loss", "loss", "loss"),
        ("Val-Loss", "val_loss", "loss"),
        ("valLoss", "valLoss", "loss"),
        ("test error", "test error", "error"),
        ("NLL", "nll", "nll"),
    ],
)
def test_the_name_of_the_chosen_column_tells_the_direction(column: str, name: str, word: str, tmp_path: Path) -> None:
    lines = [
        f"{line.rpartition(',')[0]},{0.5 + n / 100},{line.rpartition(',')[2]}" for n, line in enumerate(rows(LOSSES))
    ]
    header = f"variant,seed,score,{column}"
    runs = read(tmp_path, lines, header, options=ScoreOptions(name))
    assert runs.score == ScoreKind(name, higher_is_better=False, assumed=LOWER.format(word))
    assert runs.head[0].startswith(f"How the file was read: {LOWER.format(word)}")
    values = {(run.name, run.seeds[0]): run.scores["score"] for run in runs.runs}
    assert values == {(variant, n): v for variant, side in LOSSES.items() for n, v in enumerate(side)}
    assert parts(runs)[0].answers[0].headline == "b is better than a on this data."
    runs = read(tmp_path, lines, header)  # the column score
    assert runs.score == ScoreKind(assumed=HIGHER)
    assert runs.runs[0].scores["score"] == 0.5


def test_messages_name_only_columns_of_the_file(tmp_path: Path) -> None:
    lines = [f"{line},{n}" for n, line in enumerate(rows(ACCURACIES))]
    runs = read(tmp_path, lines, "variant,seed,score,loss", options=ScoreOptions("loss"))
    assert "another score" not in " ".join((*runs.head, *runs.problems))


def test_the_name_of_the_score_tells_the_direction_before_that_of_the_file(tmp_path: Path) -> None:
    runs = read(tmp_path, rows(ACCURACIES), name="loss.csv", options=ScoreOptions("accuracy"))
    assert runs.score == ScoreKind("accuracy", assumed=HIGHER)
    runs = read(tmp_path, rows(LOSSES), name="accuracy.csv", options=ScoreOptions("loss"))
    assert runs.score == ScoreKind("loss", higher_is_better=False, assumed=LOWER.format("loss"))


@pytest.mark.parametrize(
    ("column", "cell", "higher"),
    [
        ("direction", "lower", False),
        ("Direction", "Minimize", False),
        ("direction", "down", False),
        ("direction", "lower_is_better", False),
        ("direction", "higher", True),
        ("direction", "maximize", True),
        ("goal", "min", False),
        ("goal", "max", True),
        ("lower_is_better", "True", False),
        ("lower_is_better", "no", True),
        ("Lower Is Better", "1", False),
        ("higher_is_better", "0", False),
        ("higher-is-better", "yes", True),
    ],
)
def test_a_column_tells_the_direction(column: str, cell: str, higher: bool, tmp_path: Path) -> None:
    runs = read(tmp_path, rows(LOSSES, cell), f"variant,seed,score,{column}", name="loss.csv")
    assert runs.score == ScoreKind(higher_is_better=higher)
    assert runs.head == ()  # nothing was assumed
    winner = "a is better than b" if higher else "b is better than a"
    assert parts(runs)[0].answers[0].headline == f"{winner} on this data."


def test_a_column_of_the_direction_must_tell_it(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"the column lower_is_better must say lower or higher, got perhaps"):
        read(tmp_path, rows(LOSSES, "perhaps"), "variant,seed,score,lower_is_better")


@pytest.mark.parametrize("word", ["minimise", "lower is better", "Lower-is-better"])
def test_the_direction_may_be_written_in_several_ways(word: str, tmp_path: Path) -> None:
    assert read(tmp_path, rows(LOSSES, word), "variant,seed,score,direction").score == ScoreKind(higher_is_better=False)


@pytest.mark.parametrize(("column", "cell"), [("direction", "forward"), ("goal", "win")])
def test_a_setting_called_direction_or_goal_is_a_setting(column: str, cell: str, tmp_path: Path) -> None:
    runs = read(tmp_path, rows(LOSSES, cell), f"variant,seed,score,{column}")
    assert runs.score == ScoreKind(assumed=HIGHER)
    assert {run.axes[column] for run in runs.runs} == {cell}


def test_a_column_tells_the_unit(tmp_path: Path) -> None:
    runs = read(tmp_path, rows(LOSSES, "seconds"), "variant,seed,score,unit")
    assert runs.score == ScoreKind("", False, "seconds", LOWER.format("seconds"))  # less time is better
    (part,) = parts(runs)
    assert (
        part.answers[0]
        .sentences[0]
        .startswith(
            "b reached 1.905 seconds and a 2.079 seconds (score, the mean of 5 seeds): a difference of -0.174 seconds, 95 % "
        )
    )
    percent = {variant: tuple(100 * v for v in values) for variant, values in ERRORS.items()}
    (part,) = parts(read(tmp_path, rows(percent, "%"), "variant,seed,score,unit"))
    assert (
        part.answers[0]
        .sentences[0]
        .startswith(
            "new reached 26.10 % and base 27.97 % (score, the mean of 5 seeds): a difference of -1.87 points, 95 % interval "
        )
    )


def test_units_that_differ_by_row_are_refused(tmp_path: Path) -> None:
    lines = ["a,0,70.1,ms", "a,1,71,s", "b,0,72,ms", "b,1,75,s"]
    with pytest.raises(
        ReportError, match="must have one unit for all scores, got ms in line 2 and s in line 3: convert"
    ):
        read(tmp_path, lines, "variant,seed,score,unit")


def test_a_unit_that_some_rows_do_not_name_is_said(tmp_path: Path) -> None:
    runs = read(tmp_path, ["a,0,70.1,ms", "a,1,71,", "b,0,72,ms", "b,1,75,ms"], "variant,seed,score,unit")
    assert runs.score.unit == "ms"
    assert "the unit ms for all scores, although 1 of 4 rows name none" in runs.head[-1]


@pytest.mark.parametrize(
    ("header", "cell", "name", "said"),
    [
        (
            "variant,seed,accuracy",
            "",
            "Top-1",
            "the score as Top-1, because --metric says so: the file calls it accuracy",
        ),
        ("variant,seed,score,metric", ",acc", "f1", "the score as f1, because --metric says so: the file calls it acc"),
        ("variant,seed,val acc", "", "val_acc", ""),
        ("variant,seed,score", "", "accuracy", ""),
        ("variant,seed,score,metric", ",acc", "ACC", ""),
    ],
)
def test_another_name_for_the_score_is_said(header: str, cell: str, name: str, said: str, tmp_path: Path) -> None:
    lines = [f"{line}{cell}" for line in rows(ERRORS)]
    runs = read(tmp_path, lines, header, options=ScoreOptions(name=name))
    assert runs.score.name == name
    assert said in " ".join(runs.head)
    assert bool(said) == ("because --metric says so" in " ".join(runs.head))


def test_a_metric_names_the_column_that_is_read_or_is_refused(tmp_path: Path) -> None:
    lines, header = (
        [f"{line},0.{n}1" for n, line in enumerate(rows({"a": (0.7, 0.8), "b": (0.7, 0.9)}))],
        "model,seed,acc,f1",
    )
    runs = read(tmp_path, lines, header, options=ScoreOptions(name="f1"))
    assert [run.scores["score"] for run in runs.runs] == [0.01, 0.11, 0.21, 0.31]
    assert "score=f1" in runs.head[0]  # what the first lines say was read
    with pytest.raises(ReportError, match=r"must name a column of .*, got loss: its columns are model, seed, acc, f1"):
        read(tmp_path, lines, header, options=ScoreOptions(name="loss"))


def test_a_column_tells_the_metric(tmp_path: Path) -> None:
    runs = read(tmp_path, rows(LOSSES, "val loss"), "variant,seed,score,metric")
    assert runs.score == ScoreKind("val loss", higher_is_better=False, assumed=LOWER.format("loss"))
    (part,) = parts(runs)
    assert "(val loss, the mean of 5 seeds)" in sentences(part)
    assert "So b is better than a on this data." in sentences(part)


def test_columns_about_the_score_are_no_settings(tmp_path: Path) -> None:
    runs = read(tmp_path, rows(LOSSES, "loss", "nats", "lower"), "variant,seed,score,metric,unit,direction")
    assert runs.score == ScoreKind("loss", higher_is_better=False, unit="nats")
    assert all(dict(run.axes) == {} for run in runs.runs)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("loss.csv", ScoreKind("loss", False, assumed=LOWER.format("loss"))),
        ("losses.csv", ScoreKind("losses", False, assumed=LOWER.format("losses"))),
        ("error.csv", ScoreKind("error", False, assumed=LOWER.format("error"))),
        ("my-val_RMSE of all.csv", ScoreKind("rmse", False, assumed=LOWER.format("rmse"))),
        ("scores.csv", ScoreKind(assumed=HIGHER)),
        ("glossary.csv", ScoreKind(assumed=HIGHER)),  # which only contains the letters
    ],
)
def test_the_name_of_the_file_tells_the_direction(name: str, kind: ScoreKind, tmp_path: Path) -> None:
    runs = read(tmp_path, rows(LOSSES), name=name)
    assert runs.score == kind
    assert runs.head == (f"How the file was read: {kind.assumed}.",)


def test_options_come_before_columns_and_names(tmp_path: Path) -> None:
    header = "variant,seed,score,direction,unit,metric"
    lines = rows(LOSSES, "lower", "seconds", "loss")
    runs = read(tmp_path, lines, header, "loss.csv", ScoreOptions("quality", lower_is_better=False, unit="stars"))
    assert runs.score == ScoreKind("quality", higher_is_better=True, unit="stars")
    renamed = "the score as quality, because --metric says so: the file calls it loss"
    assert runs.head == (f"How the file was read: {renamed}.",)
    runs = read(tmp_path, rows(LOSSES), name="loss.csv", options=ScoreOptions(lower_is_better=False))
    assert runs.score == ScoreKind(higher_is_better=True)
    runs = read(tmp_path, rows(LOSSES), options=ScoreOptions(lower_is_better=True))
    assert runs.score == ScoreKind(higher_is_better=False)
    assert runs.head == ()


def test_the_command_line_tells_name_unit_and_direction(tmp_path: Path, report: Command, capsys: Any) -> None:
    path = write_scores(tmp_path, *rows(LOSSES))
    assert report(path, "--no-page", "--metric", "test", "--unit", "ms", "--lower-is-better") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "How the file was read" not in text
    assert (
        "b reached 1.905 ms and a 2.079 ms (test, the mean of 5 seeds): a difference of -0.174 ms, 95 % interval"
        in text
    )
    assert "So b is better than a on this data." in text
    assert "(Is b better than a by its test, of which less is better, on this data, over the seeds given?" in text
    assert "test, lower is better: differences in ms, variant minus baseline" in text
    assert report(path, "--no-page", "--higher-is-better") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "So a is better than b on this data." in text
    assert "score, higher is better: differences in its own unit" in text


@pytest.mark.parametrize(
    ("name", "is_percent"),
    [
        ("loss", False),
        ("val_loss", False),
        ("brier", False),
        ("mse", False),
        ("error", True),
        ("wer", True),
        ("acc", True),
    ],
)
def test_losses_are_never_percent_and_error_rates_are(name: str, is_percent: bool, tmp_path: Path) -> None:
    (part,) = parts(read(tmp_path, rows(SHARES), options=ScoreOptions(name)))
    assert unit_of(part.data_set, "score").scale == (100 if is_percent else 1)
    expected = (
        f"b reached 27.67 % and a 33.00 % ({name}, the mean of 3 seeds): a difference of -5.33 points, 95 % interval "
        if is_percent
        else f"b reached 0.277 and a 0.330 ({name}, the mean of 3 seeds): a difference of -0.053, 95 % interval "
    )
    assert sentences(part).startswith(expected)
    text = report_text(analyse(read(tmp_path, rows(SHARES), options=ScoreOptions(name)), "title", "command"))
    assert ("points" in text) == is_percent
    assert ("In percent" in text) == is_percent


def test_shares_of_another_unit_are_not_percent(tmp_path: Path) -> None:
    (part,) = parts(read(tmp_path, rows(SHARES), options=ScoreOptions(unit="seconds")))
    assert sentences(part).startswith("b reached 0.277 seconds and a 0.330 seconds (score, ")


@pytest.mark.parametrize("scores", [ERRORS, LOSSES, SHARES])
def test_wins_and_verdict_follow_the_direction(scores: Scores, tmp_path: Path) -> None:
    worse, better = scores
    n = len(scores[worse])
    (part,) = parts(read(tmp_path, rows(scores), options=ScoreOptions(lower_is_better=True)))
    assert differences(part)["won"] == f"{n} : 0"
    assert f"So {better} is better than {worse} on this data. {FEW.format('seeds')}" in sentences(part)
    lower = part.answers[0].analysis
    (part,) = parts(read(tmp_path, rows(scores), options=ScoreOptions(lower_is_better=False)))
    assert differences(part)["won"] == f"0 : {n}"
    assert f"So {worse} is better than {better} on this data. {FEW.format('seeds')}" in sentences(part)
    expected = scipy_stats.ttest_1samp(paired(scores), 0)
    for test in (lower.test, part.answers[0].analysis.test):  # the difference itself has no direction
        assert test.estimate == pytest.approx(paired(scores).mean(), rel=TOLERANCE)
        assert test.interval == pytest.approx(expected.confidence_interval(), rel=TOLERANCE)
        assert test.p == pytest.approx(expected.pvalue, rel=TOLERANCE)


def test_the_chance_to_be_better_follows_the_direction(tmp_path: Path) -> None:
    def chances(lower_is_better: bool) -> dict[str, str]:
        (part,) = parts(
            read(tmp_path, rows(LOSSES), options=ScoreOptions(lower_is_better=lower_is_better)), margin=0.01
        )
        cells = {line[1].text.partition(":")[0]: line[3].text for line in part.answers[0].tables[0].rows}
        return {name: cells[name] for name in ("probability of improvement", "Bayesian t")}

    assert chances(lower_is_better=True) == {"probability of improvement": "1.00", "Bayesian t": "1.00 / 0.00 / 0.00"}
    assert chances(lower_is_better=False) == {"probability of improvement": "0.00", "Bayesian t": "0.00 / 0.00 / 1.00"}


@pytest.mark.parametrize(
    ("margin", "verdict"),
    [
        (0.0, Verdict.BETTER),
        (0.01, Verdict.BETTER_BY_MARGIN),
        (0.174, Verdict.BETTER_MARGIN_OPEN),
        (0.3, Verdict.BETTER_WITHIN_MARGIN),
    ],
)
def test_a_margin_holds_in_either_direction(margin: float, verdict: Verdict, tmp_path: Path) -> None:
    for scores in (LOSSES, {"b": LOSSES["b"], "a": LOSSES["a"]}):
        (part,) = parts(read(tmp_path, rows(scores), name="loss.csv"), margin=margin)
        assert part.answers[0].analysis.verdict is verdict
        assert "So b is better than a on this data" in sentences(part)


TWO_METRICS = [*rows(LOSSES, "loss", "lower"), *rows(ACCURACIES, "acc", "higher")]


def test_the_metric_of_several_is_chosen_by_name(tmp_path: Path) -> None:
    header = "variant,seed,score,metric"
    lines = [line.rpartition(",")[0] for line in TWO_METRICS]
    runs = read(tmp_path, lines, header, options=ScoreOptions("acc"))
    assert (len(runs.runs), runs.partial, runs.score) == (10, "", ScoreKind("acc", assumed=HIGHER))
    assert "So b is better than a on this data." in sentences(parts(runs)[0])
    runs = read(tmp_path, lines, header, options=ScoreOptions("LOSS"))
    assert (len(runs.runs), runs.partial) == (10, "")
    assert (runs.score.higher_is_better, runs.score.assumed) == (False, LOWER.format("loss"))
    assert "So b is better than a on this data." in sentences(parts(runs)[0])


def test_the_first_of_several_metrics_is_called_by_its_name(tmp_path: Path) -> None:
    runs = read(tmp_path, [line.rpartition(",")[0] for line in TWO_METRICS], "variant,seed,score,metric")
    assert (len(runs.runs), runs.partial) == (10, "10 of 20 rows are left out")
    assert runs.score == ScoreKind("loss", higher_is_better=False, assumed=LOWER.format("loss"))


def test_each_metric_has_its_own_direction(tmp_path: Path) -> None:
    header = "variant,seed,score,metric,direction"
    lines = [line.replace("loss", "strain") for line in TWO_METRICS]
    runs = read(tmp_path, lines, header, options=ScoreOptions("strain"))
    assert (runs.score, runs.head, runs.problems) == (ScoreKind("strain", higher_is_better=False), (), ())
    runs = read(tmp_path, lines, header, options=ScoreOptions("acc"))
    assert (runs.score, runs.head, runs.problems) == (ScoreKind("acc"), (), ())


def test_a_metric_that_the_file_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"--metric must be one of loss, acc, got f2"):
        read(
            tmp_path,
            [line.rpartition(",")[0] for line in TWO_METRICS],
            "variant,seed,score,metric",
            options=ScoreOptions("f2"),
        )


@pytest.mark.parametrize(("name", "unit"), [("latency", ""), ("time", "s"), ("cost", "ms")])
def test_less_time_is_better(name: str, unit: str) -> None:
    kind = score_kind(name, "scores", None, unit)
    assert not kind.higher_is_better
    assert "lower scores are better, because of the word" in kind.assumed
