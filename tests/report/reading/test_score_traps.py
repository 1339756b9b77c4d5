"""What a table of scores may say that must not pass for a verdict: failures, comments, and things that do not compare."""

from pathlib import Path

import pytest

from hybridnets.report import Report, ReportError, RunSet, analyse
from hybridnets.report.comparing.evidence import ONE_SPLIT, UNKNOWN
from hybridnets.report.reading.scores.cell_values import parse_flag, parse_state
from hybridnets.report.rendering.terminal import report_text
from tests.report.reading.score_files import read_rows

LONG = ("A,0,.70", "A,1,.72", "A,2,.71", "B,0,.812", "B,1,.838", "B,2,.819")  # of which B is better
VERDICT = "So B is better than A on this data"  # and no more, as the splits are not known
ASSUMED = "higher scores are better, as nothing says otherwise: if lower ones are, give --lower-is-better"
READ_AS_IS = f"How the file was read: {ASSUMED}."


def report(runs: RunSet) -> Report:
    return analyse(runs, "title", "command")


def text(runs: RunSet) -> str:
    return " ".join(report_text(report(runs)).split())


def with_cells(*cells: str) -> list[str]:
    """The rows with one cell more each."""
    return [f"{line},{cell}" for line, cell in zip(LONG, cells, strict=True)]


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        *(
            (word, "failed")
            for word in ("FAILED", "FAILED (OOM)", "FAIL", "ERROR", "ERROR!", "OUT_OF_MEMORY", "OUT_OF_ME+")
        ),
        *(
            (word, "failed")
            for word in ("CANCELLED by 1001", "CANCELLED+", "canceled", "TIMEOUT", "timed-out", "NODE_FAIL")
        ),
        *((word, "failed") for word in ("KILLED", "crashed", "CUDA OOM", "Diverged", "TrialState.FAIL", "error: NaN")),
        *(
            (word, "unfinished")
            for word in ("PRUNED", "SCHEDULED", "RUNNING", "pending", "QUEUED", "TrialState.RUNNING")
        ),
        *(
            (word, "finished")
            for word in ("COMPLETED", "FINISHED", "TERMINATED", "SUCCESS", "ok", "Done", "TrialState.COMPLETE")
        ),
        *((word, "") for word in ("", "-", "NA")),
        *(
            (word, "?")
            for word in ("early-stopped", "completed with errors", "COMPLETED 3/10", "no error", "0", "failing")
        ),
    ],
)
def test_a_word_says_how_a_run_ended(word: str, meaning: str) -> None:
    assert parse_state(word) == meaning


@pytest.mark.parametrize("word", ["yes", "1", "12", "CUDA OOM", "2026-01-02", "epoch 7"])
def test_everything_but_no_is_a_failure(word: str) -> None:
    assert parse_flag(word) == "failed"


@pytest.mark.parametrize(
    ("column", "cells", "trouble"),
    [
        ("state", ("COMPLETED",) * 4 + ("OUT_OF_MEMORY", "FAILED"), "2 failed"),
        ("State", ("TERMINATED",) * 5 + ("ERROR",), "1 failed"),
        ("Job State", ("COMPLETED",) * 5 + ("CANCELLED by 1001",), "1 failed"),
        ("status", ("",) * 3 + ("ERROR!",) * 1 + ("ok",) * 2, "1 failed"),
        ("failed", ("",) * 5 + ("CUDA OOM",), "1 failed"),
        ("crashed", ("",) * 5 + ("2026-01-02 12:00",), "1 failed"),
        ("diverged", ("no",) * 5 + ("12",), "1 failed"),
        ("success", ("True",) * 5 + ("False",), "1 failed"),
        ("Completed", ("1",) * 5 + ("OOM",), "1 failed"),
        ("exit_code", ("0:0",) * 5 + ("137:0",), "1 failed"),
    ],
)
def test_a_failure_counts_in_whatever_word(column: str, cells: tuple[str, ...], trouble: str, tmp_path: Path) -> None:
    runs = read_rows(tmp_path, *with_cells(*cells), header=f"variant,seed,score,{column}")
    (part,) = report(runs).parts
    assert [variant.failures for variant in part.data_set.variants] == ["", trouble]
    assert part.comparisons[0].why_no_stars == trouble
    assert all(variant.axes == {} for variant in part.data_set.variants)
    assert VERDICT not in text(runs)


def test_words_other_than_no_in_a_column_of_failures_are_noted(tmp_path: Path) -> None:
    runs = read_rows(tmp_path, *with_cells(*[""] * 5, "CUDA OOM"), header="variant,seed,score,failed")
    assert runs.head == (
        f"How the file was read: {ASSUMED}; everything but no in the column failed as a failure (CUDA OOM).",
    )
    runs = read_rows(tmp_path, *with_cells(*["0"] * 5, "True"), header="variant,seed,score,failed")
    assert runs.head == (READ_AS_IS,)


@pytest.mark.parametrize(
    ("column", "words"),
    [("status", ("FINISHED", "PRUNED")), ("status", ("FINISHED", "SCHEDULED")), ("finished", ("yes", "no"))],
)
def test_a_run_that_did_not_finish_is_missing(column: str, words: tuple[str, str], tmp_path: Path) -> None:
    runs = read_rows(tmp_path, *with_cells(*[words[0]] * 5, words[1]), header=f"variant,seed,score,{column}")
    assert [(run.name, run.seed) for run in runs.missing] == [("B", "2")]
    assert runs.head[0].startswith("1 of 6 rows has no score, so no comparison that needs it is decided")
    assert VERDICT not in text(runs)


def test_an_unknown_state_is_reported_first_and_nothing_is_concluded(tmp_path: Path) -> None:
    runs = read_rows(
        tmp_path, *with_cells(*["COMPLETED"] * 4, "early-stopped", "FAILED"), header="variant,seed,score,state"
    )
    assert runs.head == (
        "1 of 6 rows is left out, so nothing is concluded from the rest: state early-stopped, which does not say how the "
        "run ended (1).",
        READ_AS_IS,
    )
    assert "line 6: state must say how the run ended (finished, failed or running, " in runs.problems[0]
    assert report(runs).parts[0].data_set.variants[1].failures == "1 failed"
    assert VERDICT not in text(runs)
    with pytest.raises(ReportError, match=r"state must say how the run ended .* got Ohio"):
        read_rows(tmp_path, *with_cells(*["Ohio"] * 6), header="variant,seed,score,state")


HASHED = ("#1,0,.70", "#1,1,.72", "#1,2,.71", "B,0,.812", "B,1,.838", "B,2,.819")


def test_a_variant_may_begin_with_a_hash(tmp_path: Path) -> None:
    runs = read_rows(tmp_path, *HASHED, "C,0,.5", "C,1,.6", "C,2,.5")
    assert {run.name for run in runs.runs} == {"#1", "B", "C"}
    assert runs.head == (
        "How the file was read: 3 lines that begin with # as rows, because they have as many cells as the header; "
        f"{ASSUMED}.",
    )
    runs = read_rows(tmp_path, *(line.replace("#1", '"#1 base"') for line in HASHED))
    assert {run.name for run in runs.runs} == {"#1 base", "B"}
    noted = [f"{line},{'' if line[0] == '#' else 'x'}" for line in HASHED]
    assert len(read_rows(tmp_path, *noted, header="variant,seed,score,note").runs) == 6


def test_a_row_of_a_variant_that_begins_with_a_hash_is_no_comment(tmp_path: Path) -> None:
    runs = read_rows(tmp_path, *HASHED[:2], "#1,2,0,71", *HASHED[3:])
    assert runs.partial == "1 of 6 rows is left out"
    runs = read_rows(tmp_path, *HASHED[:2], "#1,2", *HASHED[3:])
    assert [(run.name, run.seed) for run in runs.missing] == [("#1", "2")]


def test_comments_are_counted_wherever_they_are(tmp_path: Path) -> None:
    runs = read_rows(
        tmp_path, *LONG[:3], "# half,,", "# and, besides", *LONG[3:], "# end", header="# a, b, c\nvariant,seed,score"
    )
    assert runs.head == (f"How the file was read: 4 lines that begin with # are skipped; {ASSUMED}.",)
    assert len(runs.runs) == 6
    assert f"{VERDICT}." in text(runs)


@pytest.mark.parametrize(
    ("header", "lines", "names"),
    [
        ("#variant,seed,score", LONG, {"A", "B"}),
        ("# Variant,Seed,Score", HASHED, {"#1", "B"}),
        ("# mine\n# variant;seed;score", tuple(line.replace(",", ";") for line in HASHED), {"#1", "B"}),
        ("#,variant,seed,score", tuple(f"{n},{line}" for n, line in enumerate(LONG)), {"A", "B"}),
        ("#seed,A,B", ("0,.70,.812", "1,.72,.838", "2,.71,.819"), {"A", "B"}),
        ("#variant,seed,score", tuple(f"#{line}" for line in LONG), {"#A", "#B"}),
    ],
)
def test_a_header_may_begin_with_a_hash(header: str, lines: tuple[str, ...], names: set[str], tmp_path: Path) -> None:
    runs = read_rows(tmp_path, *lines, header=header)
    assert {run.name for run in runs.runs} == names
    assert len(runs.runs) == 6
    assert "a header that begins with #" in runs.head[0]
    assert runs.partial == ""


def test_a_header_that_may_be_a_comment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"line 1 begins with # and may be a comment .* got #A, B, .* remove the #"):
        read_rows(tmp_path, ".7,.8", ".6,.9", header="#A,B")


@pytest.mark.parametrize(
    ("column", "first", "second"),
    [
        ("metric", "f1", "acc"),
        ("Metric Name", "f1", "acc"),
        ("phase", "val", "test"),
        ("stage", "val", "test"),
        ("subset", "train", "val"),
        ("split_name", "test", "val"),
        ("part", "test", "train"),
        ("split", "val", "test"),
        ("split", "Test set", "validation"),
    ],
)
def test_incomparable_rows_are_reported_first_and_not_compared(
    column: str, first: str, second: str, tmp_path: Path
) -> None:
    by_variant = with_cells(*[first] * 3, *[second] * 3)
    by_seed = with_cells(*[first, first, second] * 2)
    both = [f"{line},{cell}" for cell in (first, second) for line in LONG]
    for rows, left_out, total in ((by_variant, 3, 6), (by_seed, 2, 6), (both, 6, 12)):
        runs = read_rows(tmp_path, *rows, header=f"variant,seed,score,{column}")
        assert runs.head[0].startswith(
            f"{left_out} of {total} rows are left out, so nothing is concluded from the rest: {column} "
        )
        advice = f"choose one with --metric, as --metric {second}."
        if not column.casefold().startswith("metric"):
            advice = f"put each {column} into a separate file."
        assert f"{column} other than {first} ({left_out}); {advice}" in runs.head[0]
        assert VERDICT not in text(runs)


@pytest.mark.parametrize("column", ["Datasets", "DATA-SET"])
def test_scores_of_two_data_sets_are_not_compared_with_each_other(column: str, tmp_path: Path) -> None:
    header = f"variant,seed,score,{column}"
    first, second = "cifar10", "cifar100"
    runs = read_rows(tmp_path, *with_cells(*[first] * 3, *[second] * 3), header=header)  # each variant on its own
    assert (runs.head, runs.partial, len(runs.runs)) == ((READ_AS_IS,), "", 6)
    assert [(part.data_set.name, part.comparisons) for part in report(runs).parts] == [(first, ()), (second, ())]
    assert VERDICT not in text(runs)
    runs = read_rows(tmp_path, *with_cells(*[first, first, second] * 2), header=header)
    assert (runs.head, runs.partial, len(runs.runs)) == ((READ_AS_IS,), "", 6)
    pairs = [[run.seed for run, _ in part.answers[0].comparison.pairs] for part in report(runs).parts]
    assert pairs == [["0", "1"], ["2"]]
    assert VERDICT not in text(runs)
    runs = read_rows(tmp_path, *(f"{line},{cell}" for cell in (first, second) for line in LONG), header=header)
    assert (runs.head, runs.partial, len(runs.runs)) == ((READ_AS_IS,), "", 12)
    assert text(runs).count(f"{VERDICT}.") == 2


def test_the_first_line_lists_some_of_many_unknown_words(tmp_path: Path) -> None:
    rows = [*with_cells(*["ok"] * 6), *(f"C,{n},.5,word{n}" for n in range(20))]
    head = read_rows(tmp_path, *rows, header="variant,seed,score,status").head[0]
    assert head.startswith(
        "20 of 26 rows are left out, so nothing is concluded from the rest: status word0, which does not"
    )
    assert head.endswith("status word5, which does not say how the run ended (1), other (14).")


def test_a_column_of_dates_or_shares_says_nothing_of_failures(tmp_path: Path) -> None:
    for column, cells in (
        ("finished", [f"2026-01-0{n}" for n in range(1, 7)]),
        ("success", ["0", ".9", ".8", ".7", "1", ".6"]),
    ):
        runs = read_rows(tmp_path, *with_cells(*cells), header=f"variant,seed,score,{column}")
        assert runs.head == (
            f"How the file was read: {ASSUMED}; columns ignored, because they differ between the runs of a variant: {column}.",
        )
        assert f"{VERDICT}." in text(runs)


def test_an_empty_cell_is_not_the_data_set_of_the_other_rows(tmp_path: Path) -> None:
    runs = read_rows(tmp_path, *with_cells(*["f1"] * 3, *[""] * 3), header="variant,seed,score,metric")
    assert runs.head[0].startswith(
        "3 of 6 rows are left out, so nothing is concluded from the rest: metric other than f1 (3)"
    )
    assert "B has metric nothing here, but only the first, f1, is reported" in runs.problems[0]


def test_a_split_called_test_is_no_split_of_many(tmp_path: Path) -> None:
    runs = read_rows(tmp_path, *with_cells(*["test"] * 6), header="variant,seed,score,split")
    (comparison,) = report(runs).parts[0].comparisons
    assert comparison.evidence("score").question == UNKNOWN
    assert f"{VERDICT}." in text(runs)
    runs = read_rows(tmp_path, *with_cells(*["a"] * 6), header="variant,seed,score,split")
    assert report(runs).parts[0].comparisons[0].evidence("score").question == ONE_SPLIT


@pytest.mark.parametrize(("header", "more"), [("", ""), (",split", ",test")])
def test_sizes_without_splits_are_reported_as_ignored(header: str, more: str, tmp_path: Path) -> None:
    rows = [f"{line},350,150{more}" for line in LONG]
    runs = read_rows(tmp_path, *rows, header=f"variant,seed,score,n_train,n_val{header}")
    assert runs.head == (
        f"How the file was read: {ASSUMED}; n_train and n_val ignored, because no column split distinguishes the splits.",
    )
    rows = [f"{line},350,150,s{line[2]}" for line in LONG]
    assert read_rows(tmp_path, *rows, header="variant,seed,score,n_train,n_val,split").head == (READ_AS_IS,)
