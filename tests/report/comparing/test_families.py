"""One hierarchy of comparisons: each has one direction and one corrected p, wherever it is shown."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridnets import stats
from hybridnets.report import ReportRequest, analyse
from hybridnets.report.analysis import DataSetReport
from hybridnets.report.comparing.answers import Verdict
from hybridnets.report.comparing.families import Rank
from hybridnets.report.reading.results import read
from hybridnets.report.reading.scores.reader import read_scores
from hybridnets.report.rendering.terminal import report_text
from hybridnets.runs import Run

Grid = Callable[..., list[Run]]
QUESTION = {"variant": "ecrnn-bilstm-1x16", "baseline": "cnn", "margin": 1.0}
TABLES = [{"vary": "model", "from": "cnn", "to": "ecrnn"}, {"vary": "rnn", "from": "lstm", "to": "bilstm"}]


def part_of(out: Path, **request: Any) -> DataSetReport:
    (part,) = analyse(read([out]), "title", "command", ReportRequest(**request)).parts
    return part


def scores(folder: Path, columns: dict[str, list[float]]) -> Path:
    path = folder / "scores.csv"
    rows = [f"{name},{seed},{value}" for name, values in columns.items() for seed, value in enumerate(values)]
    path.write_text("\n".join(["variant,seed,score", *rows]), encoding="utf-8")
    return path


def test_each_comparison_is_in_the_first_family_that_has_it(tmp_path: Path, grid: Grid) -> None:
    grid(4, {"primary": QUESTION, "tables": TABLES})
    part = part_of(tmp_path)
    members = part.families.at("test")
    ranks = {member.evidence.comparison.name: member.family.rank for member in members.values()}
    assert ranks["ecrnn-bilstm-1x16 - cnn"] is Rank.PRIMARY  # and not of its declared table
    assert ranks["ecrnn-lstm-1x16 - cnn"] is Rank.SECONDARY
    assert ranks["ecrnn-bilstm-1x16 - ecrnn-lstm-1x16"] is Rank.SECONDARY
    assert len(members) == len(part.comparisons)
    tables = {contrast.title: [*contrast.comparisons, *contrast.best] for contrast in part.contrasts}
    (first, second) = tables.values()
    rest = [c for c in dict.fromkeys(first) if c.name != "ecrnn-bilstm-1x16 - cnn"]
    for family in (rest, [c for c in dict.fromkeys(second) if c not in first]):
        expected = stats.holm([c.evidence("test").plain.p or 0.0 for c in family])
        assert [members[c].holm for c in family] == pytest.approx(list(expected))
    (primary,) = (m for m in members.values() if m.family.rank is Rank.PRIMARY)
    assert primary.holm == primary.test.p == part.answers[0].analysis.test.p


def test_stars_and_p_values_are_the_same_in_every_table(tmp_path: Path, grid: Grid) -> None:
    grid(4, {"primary": QUESTION, "tables": TABLES})
    part = part_of(tmp_path)
    holm = {m.evidence.comparison.name: m.holm for m in part.families.at("test").values()}
    (differences,) = (t for t in part.tables if t.kind == "differences" and t.metric == "test")
    for cells in differences.rows:
        assert cells[7].value == holm[f"{cells[0].text} - {cells[1].text}"]
    grids = [t for t in part.tables if t.kind == "grid" and t.metric == "test"]
    stars = [
        cell.text for t in grids for cells in t.rows if "over seeds" in cells[0].text for cell in cells[1:] if cell.text
    ]
    shown = [c for contrast in part.contrasts for c in (*contrast.comparisons, *contrast.best)]
    assert sorted(stars) == sorted(stats.stars(holm[c.name]) or "-" for c in shown)


def test_several_questions_are_corrected_among_themselves(tmp_path: Path, grid: Grid) -> None:
    other = {"variant": "crnn-lstm-1x16", "baseline": "cnn", "margin": 1.0}
    grid(4, {"primary": [QUESTION, other]})
    part = part_of(tmp_path)
    assert len(part.answers) == 2
    primary = [m for m in part.families.at("test").values() if m.family.rank is Rank.PRIMARY]
    assert [m.holm for m in primary] == pytest.approx(list(stats.holm([m.test.p or 0.0 for m in primary])))
    (differences,) = (t for t in part.tables if t.kind == "differences" and t.metric == "test")
    assert any("primary: the 2 comparisons that answer" in sentence for sentence in differences.caption)


def test_a_pair_has_the_direction_of_the_question(tmp_path: Path) -> None:
    """The README's example: plain and hybrid are one comparison, whichever is named first."""
    path = scores(tmp_path, {"hybrid": [0.74, 0.755, 0.75], "plain": [0.70, 0.72, 0.71]})
    for variant, baseline in (("hybrid", "plain"), ("plain", "hybrid")):
        (part,) = analyse(read_scores(path), "t", "c", ReportRequest(primary=(variant, baseline))).parts
        assert [c.name for c in part.comparisons] == [f"{variant} - {baseline}"]
        (member,) = part.families.at("score").values()
        assert member.holm == member.test.p  # alone in its family
    (part,) = analyse(read_scores(path), "t", "c", ReportRequest(baseline="hybrid")).parts
    assert part.answers[0].question.startswith("Is plain better than hybrid")  # the baseline steers the headline, too
    assert [c.name for c in part.comparisons] == ["plain - hybrid"]


def test_a_reversed_question_turns_the_declared_table(tmp_path: Path, grid: Grid) -> None:
    grid(3, {"primary": {"variant": "cnn", "baseline": "ecrnn-bilstm-1x16"}, "tables": TABLES[:1]})
    part = part_of(tmp_path)
    pairs = {frozenset((c.variant.label, c.baseline.label)) for c in part.comparisons}
    assert len(pairs) == len(part.comparisons)
    assert (part.contrasts[0].levels.low, part.contrasts[0].levels.high) == ("ecrnn", "cnn")
    assert all(c.variant.label == "cnn" for c in part.contrasts[0].comparisons)


def test_a_declared_question_stays_at_the_head(tmp_path: Path, grid: Grid) -> None:
    grid(4, {"primary": QUESTION})
    part = part_of(tmp_path, primary=("crnn-lstm-1x16", "cnn"))
    declared, later = (answer.analysis for answer in part.answers)
    assert (declared.primary.variant, declared.choices) == ("ecrnn-bilstm-1x16", 1)
    pairs = 9 * 8 // 2
    assert (later.primary.variant, later.choices) == ("crnn-lstm-1x16", pairs)
    plain = later.evidence.plain
    assert plain.p is not None
    assert later.test.p == pytest.approx(min(1.0, pairs * plain.p))
    assert later.test.interval == stats.paired_t(later.evidence.d, confidence=1 - 0.05 / pairs).interval
    assert f"corrected for the choice among all {pairs} pairs" in later.declared
    member = part.families.at("test")[later.comparison]
    assert (member.family.rank, member.holm) == (Rank.EXPLORATORY, later.test.p)
    assert f"{100 - 5 / pairs:.4g} % interval" in part.answers[1].sentences[0]
    again = part_of(tmp_path, primary=("cnn", "ecrnn-bilstm-1x16"))  # the declared question, asked the other way round
    assert len(again.answers) == 1


def test_the_best_of_twenty_equal_variants_is_not_better_than_the_worst(tmp_path: Path) -> None:
    generator = np.random.default_rng(10)
    columns = {f"v{n:02}": list(np.round(generator.normal(0.7, 0.01, 5), 5)) for n in range(20)}
    order = sorted(columns, key=lambda name: float(np.mean(columns[name])))
    question: Any = {"primary": (order[-1], order[0])}
    path = scores(tmp_path, columns)
    (part,) = analyse(read_scores(path), "t", "c", ReportRequest(**question)).parts
    analysis = part.answers[0].analysis
    plain = analysis.evidence.plain.p
    assert plain is not None
    assert plain < 0.05  # what the plain test alone would say
    assert (analysis.verdict, analysis.choices) == (Verdict.OPEN, 190)
    (part,) = analyse(read_scores(path), "t", "c", ReportRequest(**question, planned=True)).parts
    assert part.answers[0].analysis.test.p == plain
    assert "by the word of --planned" in part.answers[0].analysis.declared


def test_the_requested_test_answers_everywhere(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    rows = []
    for seed in range(10):
        level = 0.72 + generator.normal(0, 0.005)
        rows += [
            f"{v},{seed},{level + d + generator.normal(0, 0.006)},s{seed},700,300" for v, d in (("a", 0), ("b", 0.01))
        ]
    path = tmp_path / "scores.csv"
    path.write_text("\n".join(["variant,seed,score,split,n_train,n_val", *rows]), encoding="utf-8")
    for requested, ratio, about in ((None, 3 / 7, "on new data of this kind"), ("paired", 0.0, "on this data set")):
        report = analyse(read_scores(path), "t", "c", ReportRequest(test=requested, margin=0.1))
        (part,) = report.parts
        analysis = part.answers[0].analysis
        (member,) = part.families.at("score").values()
        assert member.test == analysis.test
        assert analysis.test.p == pytest.approx(stats.paired_t(analysis.evidence.d, ratio).p)
        (differences,) = (t for t in part.tables if t.kind == "differences")
        assert differences.rows[0][6].value == analysis.test.p
        assert about in " ".join(report_text(report).split())
