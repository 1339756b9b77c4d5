"""The printed report leads with the answer and fits the terminal."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hybridnets.report import analyse
from hybridnets.report.reading.results import read
from hybridnets.report.rendering.terminal import columns, report_text
from hybridnets.report.tables.table import Table, row, text
from hybridnets.runs import Run, manifest

PRIMARY = {"primary": {"variant": "ecrnn-bilstm-1x16", "baseline": "cnn", "margin": 1.0}}


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_answer_comes_first_and_every_line_fits(tmp_path: Path, grid: Callable[..., list[Run]], width: int) -> None:
    grid(3, PRIMARY)
    lines = report_text(analyse(read([tmp_path]), "title", "python report.py runs"), width=width).splitlines()
    assert lines[3].startswith("ecrnn-bilstm-1x16 reached")
    assert max(len(line) for line in lines if not line.startswith("    ")) <= width
    whole = " ".join(" ".join(lines).split())
    assert whole.index("So ecrnn-bilstm-1x16") < whole.index("Next step: ") < whole.index("digits: variants")


def test_a_wide_table_continues_below_with_its_labels() -> None:
    header = ("variant", "test", "95 % interval", "p")
    rows = (row("cnn", "1,234.56", "-12.34 to +56.78", "0.001"), row("crnn", "7.00", "n/a", "0.5"))
    table = Table("differences", "title", header, rows, ())
    assert (
        text(table, 30).splitlines()
        == [
            "title",
            "",
            "variant      test",
            "-----------------",
            "cnn      1,234.56",
            "crnn         7.00",
            "",
            "variant     95 % interval",
            "-------------------------",
            "cnn      -12.34 to +56.78",
            "crnn                  n/a",
            "",
            "variant      p",
            "--------------",
            "cnn      0.001",
            "crnn       0.5",
            "",
        ][: len(text(table, 30).splitlines())]
    )
    assert text(table, 120) == text(table)


def test_a_table_that_is_a_little_too_wide_does_without_what_can_be_said_below_it() -> None:
    header = ("variant", "n", "val at best *", "sd", "p")
    rows = (row("cnn", "3", "12.3 ± 4", "0.25", "0.001"), row("crnn", "3", "23.4 ± 5", "0.50", "0.5"))
    table = Table("differences", "title", header, rows, ("caption",), spare=("sd", "p"))
    assert text(table, 38).splitlines() == [
        "title",
        "",
        "variant  n  val at best *    sd      p",
        "--------------------------------------",
        "cnn      3       12.3 ± 4  0.25  0.001",
        "crnn     3       23.4 ± 5  0.50    0.5",
        "",
        "caption",
    ]
    assert text(table, 37).splitlines()[2:7] == [
        "              val at",
        "variant  n    best *    sd      p",
        "---------------------------------",
        "cnn      3  12.3 ± 4  0.25  0.001",
        "crnn     3  23.4 ± 5  0.50    0.5",
    ]
    assert text(table, 30).splitlines()[2:] == [
        "           val at",
        "variant    best *    sd      p",
        "------------------------------",
        "cnn      12.3 ± 4  0.25  0.001",
        "crnn     23.4 ± 5  0.50    0.5",
        "",
        "caption",
        "The same in all rows: n 3.",
    ]
    assert text(table, 24).splitlines()[3:] == [
        "variant    best *      p",
        "------------------------",
        "cnn      12.3 ± 4  0.001",
        "crnn     23.4 ± 5    0.5",
        "",
        "caption",
        "The same in all rows: n",
        "3.",
        "A wider terminal, the",
        "page and the files also",
        "have sd.",
    ]
    assert all(word in text(table, 16) for word in ("0.25", "0.001", "12.3 ± 4"))  # in blocks, and then as a whole
    assert "wider terminal" not in text(table, 16)


def test_the_width_is_the_terminals_within_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for given, expected in (("80", 80), ("10", 40), ("1000", 160), ("0", 80)):
        monkeypatch.setenv("COLUMNS", given)
        assert columns() == expected


def test_a_declared_analysis_without_its_runs_is_not_called_undeclared(
    tmp_path: Path, finished: Callable[..., Run]
) -> None:
    manifest.write(tmp_path, "question", "python train.py", [finished("cnn"), finished("crnn")], PRIMARY)
    (part,) = (report := analyse(read([tmp_path]), "title", "python report.py runs")).parts
    assert part.why_no_answer.startswith("There is no answer yet: the primary analysis of question.json (ecrnn-bilstm")
    assert part.why_no_answer in " ".join(report_text(report).split())
