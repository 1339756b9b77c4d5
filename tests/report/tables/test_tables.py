"""The cells of the tables, the runs that they are computed from, and what is printed where a test does not apply."""

import csv
import io
import math
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridnets import stats
from hybridnets.report import ReportError, ReportRequest, analyse
from hybridnets.report.analysis import DataSetReport
from hybridnets.report.reading.results import read
from hybridnets.report.rendering.files import all_tables, table_files
from hybridnets.report.tables import table as formats
from hybridnets.report.tables.table import Cell, Table, row
from hybridnets.runs import Run, manifest
from hybridnets.runs.declaration import parse_declaration
from hybridnets.runs.published_figures import DeclarationError, parse_figures, read_figures

Make = Callable[..., Run]
Contrast = Callable[..., list[Run]]
ROOT = Path(__file__).parents[3]
PRIMARY = {"variant": "ecrnn-bilstm-1x16", "baseline": "cnn", "margin": 1.0}


def part(out: Path, **request: Any) -> DataSetReport:
    (report_part,) = analyse(read([out]), "title", "command", ReportRequest(**request)).parts
    return report_part


def lines(printed: Table) -> dict[str, list[str]]:
    """Cells by a row's first words; rows below a line are under its words and theirs."""
    result, line = {}, ""
    for first, *rest in printed.rows:
        line = first.text if not first.text.startswith(" ") else line
        result[first.text if first.text == line else line + first.text] = [cell.text for cell in rest]
    return result


def table(report_part: DataSetReport, key: str) -> Table:
    return next(candidate for candidate in all_tables(report_part) if candidate.key == key)


def test_a_grid_becomes_the_papers_tables(tmp_path: Path, grid: Contrast) -> None:
    grid()
    digits = part(tmp_path)
    titles = [candidate.title for candidate in digits.tables if candidate.kind == "grid" and candidate.metric == "test"]
    assert titles == [
        f"{title} (test accuracy)"
        for title in (
            "model: cnn and crnn",
            "model: cnn and ecrnn",
            "model: crnn and ecrnn",
            "rnn: lstm and bilstm",
            "nodes: 16 and 32",
        )
    ]
    third = table(digits, "table-3-val")
    assert third.header == ("", "1x16", "1x32")
    cells = lines(third)
    by_label = {variant.label: variant for variant in digits.data_set.variants}
    mean = by_label["crnn-lstm-1x16"].scores("val")
    assert mean is not None
    assert cells["crnn lstm"][0].startswith(f"{100 * mean.mean:.2f} ± ")
    assert cells["crnn lstm"][0].endswith(" (3)")
    d = [
        100 * (a.scores["val"] - b.scores["val"])
        for a, b in zip(by_label["ecrnn-bilstm-1x32"].runs, by_label["crnn-bilstm-1x32"].runs, strict=True)
    ]
    assert cells["ecrnn - crnn, bilstm"][1] == f"{np.mean(d):+.2f} (3)"
    # Two kinds of stars, each from its own test; over seeds they are corrected for the family, here of all comparisons.
    evidence = {c.name: c.evidence("val") for c in digits.comparisons}
    name = "ecrnn-bilstm-1x32 - crnn-bilstm-1x32"
    place = list(evidence).index(name)
    assert cells["ecrnn - crnn, bilstm  stars over images"][1] == (stats.stars(evidence[name].pooled.p) or "-")
    p = stats.holm([e.corrected.p or 0.0 for e in evidence.values()])[place]
    assert cells["ecrnn - crnn, bilstm  stars over seeds"][1] == (stats.stars(p) or "-")
    holm = {member.evidence.comparison.name: member.holm for member in digits.families.at("val").values()}
    assert holm[name] == pytest.approx(p)
    family = f"exploratory: all comparisons that were not declared ({len(evidence)} comparisons)"
    assert any(family in sentence for sentence in third.caption)
    assert any("corrected resampled t" in sentence for sentence in third.caption)
    assert "corrected resampled t" not in " ".join(table(digits, "table-3-test").caption)  # r is about val
    assert [c.name for c in digits.contrasts[0].best] == []  # one CNN is no choice


def test_best_is_chosen_on_val_and_compared_on_test(tmp_path: Path, grid: Contrast) -> None:
    runs = grid(2, lost=(("ecrnn", "lstm", 32, 1),))
    digits = part(tmp_path)
    best = digits.contrasts[2].best
    assert [c.variant.axes["rnn"] for c in best] == [
        "bilstm"
    ]  # among lstm one cell is not complete: nobody knows its best
    (comparison,) = best
    for side in (comparison.variant, comparison.baseline):
        means = {
            v.label: np.mean([run.scores["val"] for run in v.runs])
            for v in digits.data_set.variants
            if v.axes.get("rnn") == "bilstm" and v.axes["model"] == side.axes["model"]
        }
        assert side.label == max(means, key=lambda label: means[label])
    captions = {key: " ".join(table(digits, f"table-3-{key}").caption) for key in ("test", "val")}
    assert "chosen by its mean on val and compared here on test" in captions["test"]
    assert "chosen on the data that it is compared on" in captions["val"]
    assert len(runs) == 18


def test_incomplete_and_diverged_cells_are_marked(tmp_path: Path, grid: Contrast) -> None:
    grid(3, PRIMARY and {"primary": PRIMARY}, lost=(("ecrnn", "bilstm", 16, 1),), diverged=(("crnn", "lstm", 32, 2),))
    digits = part(tmp_path)
    cells = lines(table(digits, "table-3-test"))
    assert cells["ecrnn bilstm"][0].endswith("(2/3 runs)")
    assert cells["ecrnn - crnn, bilstm"][0].endswith("(2/3 seeds)")
    crnn = next(v for v in digits.data_set.variants if v.label == "crnn-lstm-1x32")
    sound = [run.scores["test"] for run in crnn.runs if not run.diverged]
    assert len(sound) == 2
    cell = table(digits, "variants").rows[[v.label for v in digits.data_set.variants].index("crnn-lstm-1x32")]
    assert cell[1].text == "3, 1 diverged"
    assert cell[2].text.startswith(f"{100 * np.mean(sound):.2f} ± ")
    assert cell[2].text.endswith(f"[{100 * np.mean([*sound, 0.1]):.2f}]")  # chance among ten classes
    for kind in ("images", "seeds"):
        assert cells[f"ecrnn - crnn, lstm  stars over {kind}"][1] == "n/a (1 diverged)"
    assert "crnn (runs diverged)" in " ".join(table(digits, "effects-test").caption)
    (answer,) = digits.answers
    assert "(test, the mean of 2 seeds of 3 requested)" in answer.sentences[0]


def test_effects_are_contrasts_per_seed(tmp_path: Path, grid: Contrast) -> None:
    grid()
    digits = part(tmp_path)
    score = {(*v.axes.values(), run.seed): run.scores["val"] for v in digits.data_set.variants for run in v.runs}
    nodes = [
        np.mean([score["crnn", r, "1", "32", s] - score["crnn", r, "1", "16", s] for r in ("lstm", "bilstm")])
        for s in "012"
    ]
    (line,) = [
        cells
        for cells in table(digits, "effects-val").rows
        if cells[0].text == "crnn" and cells[1].text == "nodes 16 to 32"
    ]
    assert line[3].value == pytest.approx(np.mean(nodes))
    assert line[5].value == pytest.approx(stats.paired_t(nodes).p)
    assert line[6].value == pytest.approx(stats.paired_t(nodes, ratio=3 / 7).p)
    both = [cells for cells in table(digits, "effects-val").rows if cells[1].text == "rnn x nodes"]
    assert [cells[0].text for cells in both] == ["crnn", "ecrnn"]


def test_the_primary_analysis_heads_and_says_when_it_was_declared(
    tmp_path: Path, grid: Contrast, finished: Make
) -> None:
    finished("cnn", 9)
    runs = grid(3, {"primary": PRIMARY})
    (answer,) = part(tmp_path).answers
    assert (
        answer.question
        == "Is ecrnn-bilstm-1x16 better than cnn by its test accuracy, on these test images, over splits and seeds?"
    )
    evidence = answer.comparison.evidence("test")
    assert evidence.plain.interval is not None
    low, high = (100 * end for end in evidence.plain.interval)
    assert f"95 % interval {low:+.2f} to {high:+.2f} (the plain paired t over seeds)" in answer.sentences[0]
    assert len(answer.sentences) == 4
    crossed = evidence.crossed.interval  # never narrower than the plain t's
    assert crossed is not None
    assert crossed[1] - crossed[0] >= (1 - 1e-9) * (evidence.plain.interval[1] - evidence.plain.interval[0])
    wide = f"{100 * crossed[0]:+.2f} to {100 * crossed[1]:+.2f} points"
    assert f"For other test images like these the 95 % interval is {wide}" in answer.sentences[2]
    assert answer.sentences[3].startswith("With fewer than 6 seeds this rests on normally distributed differences")
    path = tmp_path / "sweeps" / "grid.json"
    text = path.read_text(encoding="utf-8")
    for century, when in (("19", "before the runs"), ("30", "after 6 of its 6 runs had begun")):
        path.write_text(text.replace('"declared": "20', f'"declared": "{century}'), encoding="utf-8")
        (answer,) = part(tmp_path).answers
        assert answer.analysis.declared.endswith(when)
    assert len(runs) == 27


@pytest.mark.parametrize(
    ("d", "margin", "verdict"),
    [
        (
            (0.030, 0.031, 0.029),
            1.0,
            "So crnn-lstm-1x16 is better than cnn on these test images, by more than the 1.00 points that matter.",
        ),
        ((-0.030, -0.031, -0.029), 0, "So cnn is better than crnn-lstm-1x16 on these test images."),
        (
            (0.030, 0.031, 0.029),
            5.0,
            "is better than cnn on these test images, but by less than the 5.00 points that would matter.",
        ),
        (
            (0.030, 0.031, 0.029),
            3.0,
            "is better than cnn on these test images; whether by the 3.00 points that matter is not settled.",
        ),
        (
            (0.001, -0.001, 0.0),
            1.0,
            "So the two are equivalent on these test images: the whole interval lies within the 1.00 points",
        ),
        ((0.05, -0.03, 0.01), 1.0, "So these runs do not settle which is better: the interval contains 0; about "),
    ],
)
def test_the_answer_in_plain_words(
    d: tuple[float, ...], margin: float, verdict: str, tmp_path: Path, finished: Make
) -> None:
    for seed, difference in enumerate(d):
        finished("cnn", seed, test=0.7)
        finished("crnn", seed, test=0.7 + difference)
    (answer,) = part(tmp_path, primary=("crnn-lstm-1x16", "cnn"), margin=margin).answers
    assert verdict in answer.sentences[1]


def test_a_plan_without_a_number_of_seeds_names_a_remedy(tmp_path: Path, finished: Make) -> None:
    runs = []
    for seed, difference in enumerate((0.02, -0.01, 0.0)):
        runs += [finished("cnn", seed, val=0.7), finished("crnn", seed, val=0.7 + difference)]
    declared = {
        "primary": {"variant": "crnn-lstm-1x16", "baseline": "cnn", "metric": "val", "test": "corrected", "margin": 0.5}
    }
    manifest.write(tmp_path, "sweep", "command", runs, declared)
    (answer,) = part(tmp_path).answers
    assert (
        "more seeds alone cannot settle a difference of 0.50 points (no number of seeds can on overlapping splits"
        in answer.sentences[1]
    )
    power = table(part(tmp_path), "power")
    assert any(
        cells[0].text == "val" and cells[1].text == "corrected t" and cells[3].text == "n/a" for cells in power.rows
    )
    assert any("Hold out less" in sentence for sentence in power.caption)


def test_tables_by_the_variants_own_axes(tmp_path: Path, grid: Contrast) -> None:
    grid(2)
    keys = [c.levels for c in part(tmp_path, vary=("rnn",)).contrasts]
    assert [(g.axis, g.low, g.high) for g in keys] == [("rnn", "lstm", "bilstm")]
    keys = [c.levels for c in part(tmp_path, baseline="model=crnn", vary=("nodes",)).contrasts]
    assert [(g.axis, g.low, g.high) for g in keys] == [
        ("model", "crnn", "cnn"),
        ("model", "crnn", "ecrnn"),
        ("nodes", "16", "32"),
    ]
    with pytest.raises(ReportError, match=r"--vary must be an axis .* got depth: there is model \(cnn, crnn, ecrnn\)"):
        part(tmp_path, vary=("depth",))
    with pytest.raises(ReportError, match="--baseline must be a level of an axis"):
        part(tmp_path, baseline="model=resnet")
    assert {c.baseline.label for c in part(tmp_path, baseline="crnn-lstm-1x16").comparisons} == {"crnn-lstm-1x16"}


def test_published_figures_are_printed_below_ours(tmp_path: Path, grid: Contrast) -> None:
    grid(2, {"published": read_figures(ROOT / "sweeps" / "published.csv")})
    cells = lines(table(part(tmp_path), "table-2-val"))
    assert cells["ecrnn bilstm  published"] == ["77.08", "75.95"]
    assert cells["cnn  published"][0] == "73.25"
    assert cells["ecrnn - cnn, bilstm  published"] == ["+3.83 ***", "+2.70 ***"]


def test_published_differences_follow_the_direction_of_the_page(tmp_path: Path, grid: Contrast) -> None:
    declared = {
        "published": read_figures(ROOT / "sweeps" / "published.csv"),
        "tables": [{"title": "A", "vary": "model", "from": "cnn", "to": "ecrnn"}],
    }
    grid(2, declared)
    digits = part(tmp_path, primary=("cnn", "ecrnn-bilstm-1x16"))
    cells = lines(table(digits, "table-1-val"))
    assert cells["cnn - ecrnn, ecrnn-bilstm-1x16  published"][0] == "-3.83 ***"
    stars = [cells[2].text for cells in table(digits, "stars").rows if cells[0].text == "published"]
    assert stars == ["+0 -4", "+0 -4"]


def test_published_effects_stand_beside_ours(tmp_path: Path, grid: Contrast) -> None:
    grid(2, {"published": read_figures(ROOT / "sweeps" / "published.csv")})
    effects = table(part(tmp_path), "effects-val")
    column = effects.header.index("published")
    published = {(cells[0].text, cells[1].text): cells[column].text for cells in effects.rows}
    assert published["crnn", "nodes 16 to 32"] == "+0.50"  # (73.96 - 74.08 + 74.52 - 73.40) / 2
    assert published["ecrnn", "rnn lstm to bilstm"] == "+0.73"  # (77.08 - 75.97 + 75.95 - 75.60) / 2
    assert published["ecrnn", "rnn x nodes"] == "-0.38"  # ((75.95 - 75.60) - (77.08 - 75.97)) / 2


def test_a_grid_with_a_cell_that_was_not_published_has_no_published_effects(tmp_path: Path, grid: Contrast) -> None:
    rows = read_figures(ROOT / "sweeps" / "published.csv")
    lacking = [figures for figures in rows if "ecrnn-bilstm-1x16" not in (figures["candidate"], figures["baseline"])]
    grid(2, {"published": lacking})
    effects = table(part(tmp_path), "effects-val")
    column = effects.header.index("published")
    assert {(cells[0].text, cells[column].text != "") for cells in effects.rows} == {("crnn", True), ("ecrnn", False)}


def test_without_published_figures_no_table_is_about_them(tmp_path: Path, grid: Contrast) -> None:
    grid(2)
    digits = part(tmp_path)
    assert "stars" not in {candidate.key for candidate in all_tables(digits)}
    assert "published" not in table(digits, "effects-val").header


def test_what_becomes_of_the_published_stars(tmp_path: Path, grid: Contrast) -> None:
    declared = {
        "published": read_figures(ROOT / "sweeps" / "published.csv"),
        "tables": [{"title": "A", "vary": "model", "from": "cnn", "to": "ecrnn"}],
    }
    grid(3, declared, diverged=(("ecrnn", "lstm", 32, 2),))
    digits = part(tmp_path)
    stars = table(digits, "stars")
    assert stars.header == ("metric", "by", "A: 4")
    counts = {(cells[0].text, cells[1].text): cells[2].text for cells in stars.rows}
    assert counts["published", "its stars"] == counts["published", "the sign of the difference"] == "+4 -0"
    evidence = [c.evidence("val") for c in digits.comparisons if not c.why_no_stars]
    assert len(evidence) == 3  # without the variant of which a run diverged

    def count(p: list[float | None]) -> str:
        found = [float(e.d.mean()) for e, value in zip(evidence, p, strict=True) if value is not None and value < 0.05]
        return f"+{sum(d > 0 for d in found)} -{sum(d < 0 for d in found)}"

    assert counts["val", "the sign of the difference"] == count([0.0] * 3)
    assert counts["val", "paired t over images (the paper's)"] == count([e.pooled.p for e in evidence])
    assert counts["val", "the same, clustered by image"] == count([e.clustered.p for e in evidence])
    assert counts["val", "plain paired t over seeds"] == count([e.plain.p for e in evidence])
    assert counts["val", "corrected resampled t over seeds"] == count([e.corrected.p for e in evidence])
    holm = [member.holm for member in digits.families.at("val").values() if member.evidence in evidence]
    assert counts["val", "corrected resampled t (Nadeau and Bengio 2003), Holm"] == count(holm)
    assert not any("corrected" in test for metric, test in counts if metric == "test")


SECTIONS: dict[str, tuple[Any, str]] = {
    "no section": ([], "report must be a section with primary, until, tables, published"),
    "a typo": ({"primry": {}}, "report must have no other keys than primary, until, tables, published, got primry"),
    "no baseline": ({"primary": {"variant": "a"}}, "report.primary must have variant, baseline, got no baseline"),
    "one variant": ({"primary": {"variant": "a", "baseline": "a"}}, "must compare two variants, got a"),
    "a metric": (
        {"primary": PRIMARY | {"metric": "loss"}},
        "report.primary.metric must be test, val, score, val_last, test/macro_f1, .* or test/auroc, got loss",
    ),
    "a test": ({"primary": PRIMARY | {"test": "z"}}, "report.primary.test must be paired or corrected, got z"),
    "corrected on test": ({"primary": PRIMARY | {"test": "corrected"}}, "must be paired if metric is test"),
    "a margin": (
        {"primary": PRIMARY | {"margin": -1}},
        "report.primary.margin must be a percentage from 0 to 100, got -1",
    ),
    "tables": ({"tables": "all"}, "report.tables must be a list"),
    "a table": (
        {"tables": [{"vary": "rnn", "from": "lstm"}]},
        r"report.tables\[0\] must have vary, from, to, got no to",
    ),
    "published": ({"published": [{"candidate": "a"}]}, "with percentages in each row, but row 1 does not"),
}


@pytest.mark.parametrize("which", SECTIONS)
def test_a_report_section_is_refused_in_one_sentence(which: str) -> None:
    section, sentence = SECTIONS[which]
    with pytest.raises(DeclarationError, match=sentence):
        parse_declaration(section)


def test_the_paper_is_transcribed_whole() -> None:
    figures = parse_figures(read_figures(ROOT / "sweeps" / "published.csv"))
    assert len(figures.accuracies) == 17
    assert len(figures.stars) == 34  # of 36 labels two comparisons stand twice
    for (candidate, baseline), (difference, _) in figures.stars.items():
        assert 100 * (figures.accuracies[candidate] - figures.accuracies[baseline]) == pytest.approx(
            difference, abs=0.011
        )


AWKWARD = Table(
    "variants",
    r"100 % of {_$#&~^\} | <b>",
    ("variant", "a_b", "p < .05"),
    (
        row("[a]", "1", "-"),
        row("*b", "2", "-"),
        row("x|y & *z* \\", Cell("77.95 ± 0.30", 0.7795), "***"),
        row("  sub $x_1$", Cell("n/a (one seed)"), "-"),
    ),
    ("* optimistic; 50 %.", "p < .05"),
)


def test_a_tables_files_are_named_by_kind_number_and_metric() -> None:
    def key(kind: Any, metric: str = "", number: int = 0) -> str:
        return Table(kind, "", (), (), (), metric, number).key

    assert [key("grid", "val", 2), key("classes", "test", 1)] == ["table-2-val", "classes-1-test"]
    assert [key("differences", "test"), key("effects", "score")] == ["differences-test", "effects-score"]
    assert [key("compression"), key("compression", "val")] == ["compression", "compression-val"]
    assert [key("sensitivity"), key("power", number=2)] == ["sensitivity", "power-2"]


def test_markdown_escapes_what_would_be_markup() -> None:
    text = formats.markdown(AWKWARD)
    assert r"| x\|y & \*z\* \\ | 77.95 ± 0.30 | \*\*\* |" in text
    assert "| --- | ---: | ---: |" in text
    assert "| &emsp;sub $x\\_1$ |" in text


def test_csv_holds_the_numbers_behind_the_cells() -> None:
    assert list(csv.reader(io.StringIO(formats.comma_separated(AWKWARD))))[3:] == [
        ["x|y & *z* \\", "0.7795", "***"],
        ["  sub $x_1$", "n/a (one seed)", "-"],
    ]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path: Path, grid: Contrast) -> None:
    grid(2, {"primary": PRIMARY}, diverged=(("crnn", "lstm", 32, 1),))
    report = analyse(read([tmp_path]), "title", "command")
    bodies = [text for name, text in table_files(report).items() if name.endswith(".tex")]
    bodies.append(formats.latex(AWKWARD))
    assert len(bodies) > 10
    source = "\n".join(
        [
            r"\documentclass{article}\usepackage{booktabs}\begin{document}",
            *(rf"{body}\clearpage" for body in bodies),
            r"\end{document}",
        ]
    )
    (tmp_path / "all.tex").write_text(source, encoding="utf-8")
    process = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "all.tex"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout.decode(errors="replace")[-2000:]


def test_every_test_is_written_as_csv(tmp_path: Path, grid: Contrast) -> None:
    grid(2)
    files = table_files(analyse(read([tmp_path]), "title", "command"))
    assert {name.rpartition(".")[2] for name in files} == {"txt", "md", "tex", "csv"}
    tests = list(csv.DictReader(io.StringIO(files["tests.csv"])))
    assert {line["test"] for line in tests} >= {
        "paired t over images",
        "McNemar exact, seed 1",
        "t over seeds and images, crossed",
    }
    assert all(bool(line["p"]) != bool(line["why"]) for line in tests)
    assert not any(math.isnan(float(line["estimate"] or 0)) for line in tests)


def test_seeds_that_share_a_split_are_averaged_within_it(tmp_path: Path, finished: Make) -> None:
    """Three splits with two seeds each are three units, whose differences are independent given the pool."""
    differences = {0: (0.02, 0.04), 5: (0.01, 0.03), 7: (0.02, 0.02)}
    for split, pair in differences.items():
        for init, difference in enumerate(pair):
            finished("cnn", (split, init, 0), test=0.7, val=0.7, split=f"split {split}")
            finished("crnn", (split, init, 0), test=0.7 + difference, val=0.7 + difference, split=f"split {split}")
    (answer,) = part(tmp_path).answers
    means = [np.mean(pair) for pair in differences.values()]
    assert answer.analysis.evidence.d == pytest.approx(means)
    assert answer.analysis.test.p == pytest.approx(stats.paired_t(means).p)
    assert "the mean of 6 seeds in 3 splits): a difference of +2.33 points" in answer.sentences[0]
    assert "fewer than 6 splits" in answer.sentences[-1]
    on_val = answer.comparison.evidence("val")
    assert on_val.corrected.p == pytest.approx(stats.paired_t(means, ratio=3 / 7).p)
