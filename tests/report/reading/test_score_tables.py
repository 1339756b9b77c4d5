"""Tables of scores as people, pandas, R and spreadsheets write them: what is read, what is left out, and what is said."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybridnets.report import ReportError, RunSet, analyse
from hybridnets.report.comparing.units import unit_of
from hybridnets.report.reading.scores.cell_values import (
    find_decimal_mark,
    parse_flag,
    parse_number,
    parse_seed,
    parse_state,
)
from hybridnets.report.reading.scores.reader import read_scores
from hybridnets.report.reading.scores.text_table import parse_table
from hybridnets.report.rendering.terminal import report_text
from hybridnets.report.tables.effects import effects_table
from hybridnets.runs.published_figures import PublishedFigures

Command = Callable[..., int]
SCORES = {("a", 0): 0.7, ("b", 0): 0.712, ("a", 1): 0.72, ("b", 1): 0.738, ("a", 2): 0.71, ("b", 2): 0.719}
LONG = [f"{variant},{seed},{score}" for (variant, seed), score in SCORES.items()]
B_IS_BETTER = "So b is better than a on this data."
ASSUMED = "higher scores are better, as nothing says otherwise: if lower ones are, give --lower-is-better"
READ_AS_IS = f"How the file was read: {ASSUMED}."


def read_rows(folder: Path, *lines: str, header: str = "variant,seed,score", encoding: str = "utf-8") -> RunSet:
    path = folder / "scores of mine.csv"
    path.write_bytes(("\n".join([header, *lines]) + "\n").encode(encoding))
    return read_scores(path)


def values(runs: RunSet, data: str = "") -> dict[tuple[str, int], float]:
    """The scores by variant and seed: all, or those of one data set."""
    return {(run.name, run.seeds[0]): run.scores["score"] for run in runs.runs if data in ("", run.data)}


def text(runs: RunSet) -> str:
    return " ".join(report_text(analyse(runs, "title", "command")).split())


def first_line(runs: RunSet) -> str:
    return report_text(analyse(runs, "title", "command")).splitlines()[0]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("0.704", 0.704),
        ("70.4%", 0.704),
        ("70,4 %", 0.704),
        ("0,704", 0.704),
        ("72,5", 72.5),
        ("1,234.5", 1234.5),
        ("1.234,5", 1234.5),
        ("1,234,567", 1234567),
        ("1\u00a0234,5", 1234.5),
        ("1.234", 1.234),
        ("1e-3", 0.001),
        ("1,5e-3", 0.0015),
        ("\u22120.5", -0.5),
        ("-.5", -0.5),
    ],
)
def test_numbers_are_read_as_people_write_them(cell: str, value: float) -> None:
    assert parse_number(cell) == value


@pytest.mark.parametrize("cell", ["", "much", "1_000", "0x10", "1.2.3", "1,23,4", "--5", "0.7 ± 0.1", "True", "1,234"])
def test_what_is_no_number_or_two_is_refused(cell: str) -> None:
    with pytest.raises(ValueError, match="got"):
        parse_number(cell)


def test_other_cells_decide_what_a_comma_is() -> None:
    assert parse_number("1,234", find_decimal_mark(["1,234", "0,98"])) == 1.234
    assert parse_number("1,234", find_decimal_mark(["1,234", "1,012.5"])) == 1234
    assert find_decimal_mark(["1,234", "0.7"]) == find_decimal_mark(["0,98", "1,012.5"]) == ""
    with pytest.raises(ValueError, match=r"got 1\.234, which may be 1\.234 or 1234"):
        parse_number("1.234", find_decimal_mark(["1.234", "0,98"]))


def test_seeds_and_states_are_read_as_people_write_them() -> None:
    assert [parse_seed(cell) for cell in ("3", "3.0", "seed_3", "Seed 3", "seed=3", "s3", "-3", "3e0")] == [3] * 6 + [
        -3,
        3,
    ]
    for cell in ("", "x", "0.5", "inf", "1e30"):
        with pytest.raises(ValueError, match="seed must be a whole number"):
            parse_seed(cell)
    assert [parse_state(cell) for cell in ("Diverged", "finished", "NA", "running", "b")] == [
        "failed",
        "finished",
        "",
        "unfinished",
        "?",
    ]
    assert [parse_flag(cell) for cell in ("True", "0", "", "perhaps")] == ["failed", "finished", "", "failed"]


@pytest.mark.parametrize(
    ("header", "lines", "encoding", "note"),
    [
        ("variant,seed,score", LONG, "utf-8", ""),
        (" VARIANT , Seed ,SCORE", LONG, "utf-8-sig", ""),
        (
            "variant\tseed\tscore",
            [line.replace(",", "\t") for line in LONG],
            "utf-16",
            "UTF-16; cells separated by tabs",
        ),
        (
            "variant;seed;score",
            [line.replace(",", ";").replace(".", ",") for line in LONG],
            "utf-8",
            "cells separated by semicolons; decimal commas (0,7 as 0.7)",
        ),
        ("sep=;\nvariant;seed;score", [line.replace(",", ";") for line in LONG], "utf-8", "separated by semicolons"),
        (
            "variant,seed,score",
            [f"{variant},seed_{seed},{100 * score:.1f}%" for (variant, seed), score in SCORES.items()],
            "utf-8",
            "scores with a % sign as shares (70.0% as 0.7); seeds by their number (seed_0 as 0)",
        ),
        ("variant,seed,score", [line.replace(",0.", ".0,0.") for line in LONG], "utf-8", "(0.0 as 0)"),
        (
            ",variant,seed,score",
            [f"{n},{line}" for n, line in enumerate(LONG)],
            "utf-8",
            "an unnamed column is dropped",
        ),
        (
            "Unnamed: 0,variant,seed,score",
            [f"{n},{line}" for n, line in enumerate(LONG)],
            "utf-8",
            "an unnamed column is dropped",
        ),
        ('"variant","seed","score"', [f'"{n}",{line}' for n, line in enumerate(LONG, 1)], "utf-8", "is dropped"),
        ("variant,seed,score,,", [f"{line},," for line in LONG], "utf-8", ""),
        ("variant,seed,score", [f"{line}," for line in LONG], "utf-8", ""),
        (
            "# mine\n\nvariant,seed,score",
            [*LONG[:3], "# half", "", ",,", *LONG[3:]],
            "utf-8",
            "2 lines that begin with #",
        ),
        ("variant,seed,score", [*LONG, LONG[0]], "utf-8", "1 of 7 rows repeats another and is skipped"),
        ("seed,a,b", ["0,.7,.712", "1,.72,.738", "2,.71,.719"], "utf-8", "one column for each variant (a, b)"),
        ("a;b", [".7;.712", ".72;.738", ".71;.719"], "utf-8", "the scores of a row form a pair"),
        (",a,b", ["0,.7,.712", "1,.72,.738", "2,.71,.719"], "utf-8", "numbered by the unnamed first column"),
        (",seed,a,b", ["5,0,.7,.712", "6,1,.72,.738", "7,2,.71,.719"], "utf-8", "an unnamed column is dropped"),
        ("variant,seed_0,seed_1,seed_2", ["a,.7,.72,.71", "b,.712,.738,.719"], "utf-8", "one column for each seed"),
    ],
)
def test_a_table_with_one_meaning_is_read_and_the_report_says_how(
    header: str, lines: list[str], encoding: str, note: str, tmp_path: Path
) -> None:
    runs = read_rows(tmp_path, *lines, header=header, encoding=encoding)
    assert values(runs) == pytest.approx(SCORES)
    assert (runs.problems, runs.missing, runs.partial) == ((), (), "")
    assert B_IS_BETTER in text(runs)
    (head,) = runs.head
    if note:
        assert note in head
        assert ASSUMED in head
        assert first_line(runs).startswith("How the file was read: ")
    else:
        assert head == READ_AS_IS


def test_old_line_ends_are_line_ends() -> None:
    assert [line.cells for line in parse_table(b"a,b\r1,2\r3,4\r").rows] == [["1", "2"], ["3", "4"]]
    rows = parse_table(b'a,b\n\n"1\n2",3\n# no\n4,5\n').rows
    assert [line.number for line in rows] == [3, 6]  # as an editor counts


@pytest.mark.parametrize("column", ["env", "dataset", "Task"])
def test_each_data_set_of_a_file_is_a_part_of_the_report(column: str, tmp_path: Path) -> None:
    better = {"x": True, "y": False, "z": True}
    rows = [
        f"{variant if better[level] else {'a': 'b', 'b': 'a'}[variant]},{level},{seed},{score}"
        for level in better
        for (variant, seed), score in SCORES.items()
    ]
    runs = read_rows(tmp_path, *rows, header=f"variant,{column},seed,score")
    swapped = {("b" if variant == "a" else "a", seed): score for (variant, seed), score in SCORES.items()}
    assert [values(runs, data) for data in better] == [SCORES, swapped, SCORES]
    assert (runs.partial, runs.problems, runs.missing, runs.head) == ("", (), (), (READ_AS_IS,))
    parts = analyse(runs, "title", "command").parts
    assert [part.data_set.name for part in parts] == ["x", "y", "z"]
    assert [part.answers[0].headline for part in parts] == [
        f"{'b' if wins else 'a'} is better than {'a' if wins else 'b'} on this data." for wins in better.values()
    ]
    assert all(variant.axes == {} for part in parts for variant in part.data_set.variants)


def test_a_row_without_the_name_of_its_data_set_is_left_out(tmp_path: Path) -> None:
    rows = [f"{variant},{level},{seed},{score}" for level in ("x", "") for (variant, seed), score in SCORES.items()]
    runs = read_rows(tmp_path, *rows, header="variant,dataset,seed,score")
    assert values(runs) == SCORES
    assert {run.data for run in runs.runs} == {"x"}
    assert runs.partial == "6 of 12 rows are left out"
    assert first_line(runs).startswith("6 of 12 rows are left out, so nothing is concluded from the rest: ")
    assert "dataset must be the name of a data set (6)." in runs.head[0]
    assert "line 8 (and 5 more rows like it): dataset must be the name of a data set, got nothing" in runs.problems[0]
    assert len(runs.problems) == 1
    assert "So b" not in text(runs)
    assert "That does not say which is better (6 of 12 rows are left out)" in text(runs)
    assert "n/a (6 of 12 rows are" in text(runs)


def test_variants_of_different_data_sets_are_not_compared(tmp_path: Path) -> None:
    rows = [f"{variant},{'x' if variant == 'a' else 'y'},{seed},{score}" for (variant, seed), score in SCORES.items()]
    runs = read_rows(tmp_path, *rows, header="variant,dataset,seed,score")
    assert {(run.name, run.data) for run in runs.runs} == {("a", "x"), ("b", "y")}
    assert (runs.partial, runs.problems) == ("", ())
    parts = analyse(runs, "title", "command").parts
    assert [(part.data_set.name, part.comparisons, part.answers) for part in parts] == [("x", (), ()), ("y", (), ())]
    assert "So b" not in text(runs)
    wide = read_rows(tmp_path, "x,0,.7,.8", "x,1,.7,.9", "y,0,.2,.1", header="dataset,seed,a,b")
    assert values(wide, "x") == {("a", 0): 0.7, ("b", 0): 0.8, ("a", 1): 0.7, ("b", 1): 0.9}
    assert values(wide, "y") == {("a", 0): 0.2, ("b", 0): 0.1}
    assert (wide.partial, wide.problems) == ("", ())


def test_several_settings_of_one_variant_are_not_mixed(tmp_path: Path) -> None:
    rows = [f"{variant},{rate},{seed},{score}" for rate in (0.1, 0.2) for (variant, seed), score in SCORES.items()]
    runs = read_rows(tmp_path, *rows, header="variant,lr,seed,score")
    assert values(runs) == SCORES
    assert {run.axes["lr"] for run in runs.runs} == {"0.1"}
    assert "lr other than the variant's first (6); give each setting a variant name." in runs.head[0]
    assert "So b" not in text(runs)


def test_a_column_that_differs_from_run_to_run_is_no_setting(tmp_path: Path) -> None:
    rows = [f"{line},{1 / (n + 1):.3f},{n % 2},small,NA" for n, line in enumerate(LONG)]
    runs = read_rows(tmp_path, *rows, header="variant,seed,score,loss,host,size,width")
    assert values(runs) == SCORES
    assert runs.head == (
        f"How the file was read: {ASSUMED}; columns ignored, because they differ between the runs of a variant: loss.",
    )
    assert runs.partial == ""
    assert runs.runs[0].axes == {"host": "0", "size": "small"}
    assert B_IS_BETTER in text(runs)


def test_a_seed_twice_with_two_scores_is_left_out(tmp_path: Path) -> None:
    runs = read_rows(tmp_path, *LONG, "b,2,0.9")
    assert values(runs) == SCORES
    assert first_line(runs).startswith(
        "1 of 7 rows is left out, so nothing is concluded from the rest: the same variant"
    )
    assert "So b" not in text(runs)
    timed = read_rows(
        tmp_path, *(f"{row},{n}" for n, row in enumerate([*LONG, "b,2,.9"])), header="variant,seed,score,time"
    )
    assert "b has seed 2 twice; the first counts" in timed.problems[1]


@pytest.mark.parametrize("cell", ["NA", "N/A", "-", "None", "", "nan", "#N/A", "<NA>"])
def test_a_missing_value_is_missing_and_did_not_fail(cell: str, tmp_path: Path) -> None:
    runs = read_rows(tmp_path, *LONG[:5], f"b,2,{cell}", header="variant,seed,score")
    (part,) = analyse(runs, "title", "command").parts
    a, b = part.data_set.variants
    assert (a.finished, b.finished, b.failures) == ("3", "2/3", "")
    assert [(run.folder.name, run.state) for run in part.missing] == [("scores of mine.csv, line 7", "missing")]
    (comparison,) = part.comparisons
    assert (len(comparison.pairs), comparison.expected_pairs) == (2, 3)
    assert comparison.why_no_stars == "1 of 3 seeds has no pair of scores"
    assert first_line(runs).startswith("1 of 6 rows has no score, so no comparison that needs it is decided")
    assert "the mean of 2 seeds of 3" in text(runs)
    assert "That does not say which is better (1 of 3 seeds has no pair of scores)" in text(runs)
    assert "failed and" not in text(runs)


def test_a_missing_row_is_a_missing_run(tmp_path: Path) -> None:
    runs = read_rows(tmp_path, *LONG[:5])
    told_first = "1 of 6 pairs of variant and seed has no row, so no comparison that needs it is decided."
    assert runs.head == (told_first, READ_AS_IS)
    (part,) = analyse(runs, "title", "command").parts
    (comparison,) = part.comparisons
    assert (len(comparison.pairs), comparison.expected_pairs) == (2, 3)
    assert comparison.why_no_stars == "1 of 3 seeds has no pair of scores"
    rows = [f"{line},s{n if n > 4 else n // 2}" for n, line in enumerate(LONG)]  # the last pair has two splits
    (part,) = analyse(read_rows(tmp_path, *rows, header="variant,seed,score,split"), "title", "command").parts
    assert part.comparisons[0].why_no_stars == "1 of 3 seeds has no pair of scores"


def test_a_variant_without_any_score_is_named(tmp_path: Path) -> None:
    runs = read_rows(tmp_path, *LONG, "c,0,NA", "c,1,NA")
    (part,) = analyse(runs, "title", "command").parts
    assert [run.reason for run in part.data_set.missing] == ["no score of c with seed 0", "no score of c with seed 1"]
    assert B_IS_BETTER in text(runs)  # a comparison that lacks nothing


@pytest.mark.parametrize(
    ("column", "words"), [("status", ("ok", "failed")), ("Failed", ("False", "True")), ("diverged", ("0", "1"))]
)
def test_a_column_says_which_runs_failed(column: str, words: tuple[str, str], tmp_path: Path) -> None:
    rows = [f"{line},{words[line.startswith('b,2')]}" for line in LONG]
    (part,) = analyse(read_rows(tmp_path, *rows, header=f"variant,seed,score,{column}"), "title", "command").parts
    a, b = part.data_set.variants
    assert (a.failures, b.failures, b.finished) == ("", "1 failed", "3")
    assert part.comparisons[0].why_no_stars == "1 failed"
    assert a.axes == {}
    rows = [f"{line},{'running' if line.startswith('b,2') else 'done'}" for line in LONG]
    assert len(read_rows(tmp_path, *rows, header="variant,seed,score,status").missing) == 1


def test_effects_of_a_part_of_the_scores_are_left_out(tmp_path: Path) -> None:
    rows = [f"{line},{'small' if line[0] == 'a' else 'large'}" for line in LONG]
    header = "variant,seed,score,size"
    for lines, words in (
        (rows, None),
        (rows[:5], "(scores missing)"),
        ([*rows[:5], "b,2,NA,large"], "(scores missing)"),
        ([*rows, "b,2,.9,large"], "(1 of 7 rows is left out)"),
    ):
        (part,) = analyse(read_rows(tmp_path, *lines, header=header), "title", "command").parts
        table = effects_table(part.data_set, "score", unit_of(part.data_set, "score"), PublishedFigures())
        assert table is not None
        assert len(table.rows) == (words is None)
        assert words is None or words in table.caption[-1]


@pytest.mark.parametrize(
    "rows",
    [
        ["a,0,0.71", "a,1,0.72", "b,0,72.5", "b,1,73.1"],
        ["a,0,0.71", "a,1,71", "b,0,0.725", "b,1,0.731"],
    ],
)
def test_shares_next_to_percentages_are_refused(rows: list[str], tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"must have scores of one scale, got 0\.71 in line 2 \(. such\) and 7"):
        read_rows(tmp_path, *rows)


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ("71% 72% 72.5 73.1", "got 71% in line 2 (2 such) and 72.5 in line 4 (2 such): write all in one way"),
        ("71% .72 73% .7", "got 71% in line 2 (2 such) and .72 in line 3 (2 such)"),
        ("0.7 0.5% 0 0.6%", "got 0.7 in line 2 (1 such) and 0.5% in line 3 (2 such)"),  # shares, or percent?
    ],
)
def test_a_percent_sign_at_some_scores_is_refused(scores: str, words: str, tmp_path: Path) -> None:
    cells = scores.split()
    with pytest.raises(ReportError, match=re.escape(f"must have a % sign at all scores or at none, {words}")):
        read_rows(tmp_path, *(f"{'ab'[n // 2]},{n % 2},{cell}" for n, cell in enumerate(cells)))
    wide = [f"{n},{cells[n]},{cells[n + 2]}" for n in range(2)]
    with pytest.raises(ReportError, match="must have a % sign at all scores or at none"):
        read_rows(tmp_path, *wide, header="seed,a,b")


@pytest.mark.parametrize(
    "scores", ["0.9 1.1 1.3 0.8", "-0.5 40 0.3 60", "0 70 71 72", "0.5 400 0.3 600", "71% 72% 0 0%"]
)
def test_scores_of_one_unit_are_not_refused(scores: str, tmp_path: Path) -> None:
    cells = scores.split()
    assert len(read_rows(tmp_path, *(f"{'ab'[n // 2]},{n % 2},{cell}" for n, cell in enumerate(cells))).runs) == 4


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a,0,0.7\nb,0,0.8\n", "must have the columns variant, seed and score, got a, 0, 0.7"),
        (
            b"variant,seed,score\na,0,0,70\nb,0,0,72\n",
            r"line 2 \(and 1 more row like it\): it has more cells than the head",
        ),
        (b'variant,seed,score\na,0,"1,234"\nb,0,"1,300"\n', "got 1,234, which may be 1.234 or 1234"),
        (
            b"variant,seed,score\na,0,NA\nb,0,-\n",
            "must have a usable row, got none: none of 2 rows has a score",
        ),
        (b"variant,seed,score\na,0,.7\n\xfc,0,.8\n", r"line 3 is not UTF-8: save the file as UTF-8"),
        ("variant,seed,score\na,0,.7\n".encode("utf-16-le"), "it contains NUL characters"),
        (b'variant,seed,score\n"a,0,.7\n', "cannot be read as a table of scores .line 2"),
        (b"Seed,variant,seed,score\n0,a,0,.7\n", "must have each column once, got seed twice"),
        (b"seed,accuracy,val_loss\n0,.7,.8\n1,.7,.9\n", "got accuracy, val_loss, which may be something else"),
        (b"epoch,wer,cer\n0,.7,.8\n1,.7,.9\n", "got epoch, which may be something else"),
        (b"seed,model,wer,cer\n0,a,.7,.8\n0,b,.7,.9\n", "must have the columns variant, seed and score"),
        (b"a,b,c\n.7,.8,x\n.7,.9,y\n", "or, as a wide table, the column seed and a column of scores for each variant"),
    ],
)
def test_an_ambiguous_table_is_refused_in_one_sentence(content: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_bytes(content)
    with pytest.raises(ReportError, match=sentence) as error:
        read_scores(tmp_path / "scores.csv")
    assert "\n" not in str(error.value)


def test_slips_of_one_kind_are_one_sentence(tmp_path: Path) -> None:
    runs = read_rows(tmp_path, *LONG, *(f"b,{n},much{n}" for n in range(3, 300)))
    (problem,) = runs.problems
    assert problem.endswith(
        "line 8 (and 296 more rows like it): score must be a number, at most 1e+100, got much3; they are left out"
    )
    assert runs.partial == "297 of 303 rows are left out"
    runs = read_rows(tmp_path, *LONG, *(f"c,{n}," for n in range(300)))
    assert "- and 280 more: the page has them all" in text(runs)


def test_the_page_says_first_what_is_left_out(tmp_path: Path, report: Command, capsys: Any) -> None:
    path = tmp_path / "my scores.tsv"
    path.write_text("\n".join(["variant,seed,score", *LONG, "b,2,0.9"]).replace(",", "\t"), encoding="utf-8")
    assert report(path, "--to", tmp_path / "told") == 0
    assert capsys.readouterr().out.startswith("1 of 7 rows is left out, so nothing is concluded from the rest: ")
    page = (tmp_path / "told" / "index.html").read_text(encoding="utf-8")
    header = page[page.index("<header>") : page.index("</header>")]
    assert '<p class="head">1 of 7 rows is left out, so nothing is concluded' in header
    assert f'<p class="head">How the file was read: cells separated by tabs; {ASSUMED}.</p>' in header
