"""Values are printed with their significant digits: no sentence contradicts the values in it."""

from pathlib import Path

import pytest

from hybridnets.report import Report, ReportError, ReportRequest, analyse
from hybridnets.report.comparing.units import Unit
from hybridnets.report.reading.scores.reader import read_scores as read
from hybridnets.report.rendering.terminal import report_text
from hybridnets.stats import paired_differences

VERDICT = (
    "So B is better than A on this data. With fewer than 6 seeds this rests on normally distributed differences, which so few "
    "cannot show."
)
PERCENT, OWN = Unit(100, "percent", "points"), Unit(1, "its own unit", "its own unit")


def report(folder: Path, a: list[str], b: list[str], margin: float | None = None) -> Report:
    path = folder / "scores.csv"
    rows = [f"{name},{seed},{score}" for name, scores in (("A", a), ("B", b)) for seed, score in enumerate(scores)]
    path.write_text("\n".join(["variant,seed,score", *rows]) + "\n", encoding="utf-8")
    return analyse(read(path), "title", "command", ReportRequest(margin=margin))


def answer(of: Report) -> str:
    return " ".join(of.parts[0].answers[0].sentences)


@pytest.mark.parametrize(
    ("a", "b", "sentence", "levels"),
    [
        (  # an ordinary accuracy has two decimals
            [".700", ".720", ".710"],
            [".712", ".738", ".719"],
            "B reached 72.30 % and A 71.00 % (score, the mean of 3 seeds): a difference of +1.30 points, 95 % "
            f"interval +0.16 to +2.44 (the plain paired t over seeds). {VERDICT}",
            ["71.00 ± 1.00", "72.30 ± 1.35"],
        ),
        (
            [".00010", ".00012", ".00011"],
            [".00013", ".000152", ".000141"],
            "B reached 0.01410 % and A 0.01100 % (score, the mean of 3 seeds): a difference of +0.00310 points, 95 % interval "
            f"+0.00285 to +0.00335 (the plain paired t over seeds). {VERDICT}",
            ["0.0110 ± 0.0010", "0.0141 ± 0.0011"],
        ),
        (
            [".9930", ".9931", ".9935"],
            [".9941", ".9945", ".9944"],
            "B reached 99.433 % and A 99.320 % (score, the mean of 3 seeds): a difference of +0.113 points, 95 % "
            f"interval +0.051 to +0.176 (the plain paired t over seeds). {VERDICT}",
            ["99.320 ± 0.026", "99.433 ± 0.021"],
        ),
        (
            ["1e99", "1.01e99", "1.02e99"],
            ["1.2e99", "1.25e99", "1.21e99"],
            "B reached 1.220e+99 and A 1.010e+99 (score, the mean of 3 seeds): a difference of +2.10e+98, 95 % "
            f"interval +1.44e+98 to +2.76e+98 (the plain paired t over seeds). {VERDICT}",
            ["1.010e+99 ± 1.0e+97", "1.220e+99 ± 2.6e+97"],
        ),
        (
            [".0001"],
            [".00013"],
            "B reached 0.0130 % and A 0.0100 % (score, one seed): a difference of +0.0030 points (the plain "
            "paired t over seeds). That does not say which is better (one seed): one difference does not show how much seeds "
            "differ.",
            ["0.010 ± n/a", "0.013 ± n/a"],
        ),
    ],
)
def test_scores_are_printed_with_their_significant_digits(
    a: list[str], b: list[str], sentence: str, levels: list[str], tmp_path: Path
) -> None:
    of = report(tmp_path, a, b)
    assert answer(of) == sentence
    assert [row[2].text for row in of.parts[0].variants_table.rows] == levels


def test_tables_have_the_same_digits(tmp_path: Path) -> None:
    (part,) = report(tmp_path, [".00010", ".00012", ".00011"], [".00013", ".000152", ".000141"]).parts
    (differences,) = (table for table in part.tables if table.kind == "differences" and table.metric == "score")
    assert [cell.text for cell in differences.rows[0][2:6]] == ["3", "+0.00310", "0.00010", "+0.00285 to +0.00335"]
    (sensitivity,) = part.answers[0].tables  # what was observed is no plan
    assert [cell.text for cell in sensitivity.rows[0][3:5]] == ["+0.00310", "+0.00285 to +0.00335"]


def test_no_end_of_an_interval_is_rounded_to_0() -> None:
    assert PERCENT.interval((0.00003, 0.024)) == "+0.003 to +2.40"
    assert OWN.interval((-3.2, -2e-9)) == "-3.20 to -2e-09"
    assert PERCENT.interval((0.0, 0.024)) == "+0.00 to +2.40"
    assert PERCENT.difference(-0.00001) == "+0.00"


@pytest.mark.parametrize(("margin", "words"), [(1e-300, "1e-300"), (0.125, "0.125"), (0.5, "0.50"), (0.004, "0.004")])
def test_a_margin_is_printed_as_it_was_given(margin: float, words: str, tmp_path: Path) -> None:
    of = report(tmp_path, [".700", ".720", ".710"], [".712", ".738", ".719"], margin)
    text = " ".join(report_text(of).split())
    assert f"the {words} points that matter" in text
    sensitivity, power = of.parts[0].answers[0].tables
    assert any(f"within ±{words} / worse" in row[1].text for row in sensitivity.rows)
    assert {row[2].text for row in power.rows} == {f"{words}, that matters"}


def test_scores_too_small_for_any_test_are_refused_or_have_none(tmp_path: Path) -> None:
    with pytest.raises(
        ReportError, match=r"must have a score of at least 1e-10 in size, got 6e-170 at most: write them in"
    ):
        report(tmp_path, ["1e-170", "2e-170"], ["4e-170", "6e-170"])
    described = paired_differences([4e-170, 6e-170, 5e-170], [1e-170, 2e-170, 3e-170])
    assert (described.sd, described.interval, described.why) == (0.0, None, "all differences equal")
