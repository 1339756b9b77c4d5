"""The figures draw what was measured, and leave out what cannot be drawn."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from hybridnets.report import ReportRequest, analyse
from hybridnets.report.analysis import DataSetReport
from hybridnets.report.figures import pictures
from hybridnets.report.figures.accuracy import draw_accuracy, draw_differences
from hybridnets.report.figures.architecture import draw_architecture
from hybridnets.report.figures.cost import Box, draw_cost
from hybridnets.report.figures.curves import draw_curves
from hybridnets.report.figures.gallery import _only_right, draw_gallery
from hybridnets.report.figures.picture import Picture
from hybridnets.report.figures.primary import draw_primary
from hybridnets.report.figures.style import letters_without_font
from hybridnets.report.reading.results import read
from hybridnets.report.reading.scores.reader import read_scores
from hybridnets.runs import Run
from hybridnets.runs.published_figures import read_figures
from tests.conftest import ROOT

Contrast = Callable[..., list[Run]]
PRIMARY = {"primary": {"variant": "ecrnn-bilstm-1x16", "baseline": "cnn", "margin": 1.0}}
IMAGES = SimpleNamespace(
    train_images=np.zeros((1000, 3, 4, 4), np.uint8), test_images=np.full((200, 1, 4, 4), 90, np.uint8)
)


def part(out: Path) -> DataSetReport:
    (report_part,) = analyse(read([out]), "title", "command").parts
    return report_part


def figures_of(part: DataSetReport, images: Any = None) -> list[Picture]:
    """All pictures of a data set."""
    analyses = [answer.analysis for answer in part.answers]
    return list(pictures(part.data_set, part.comparisons, analyses, part.compressed, lambda: images))


def forest(part: DataSetReport) -> Picture | None:
    return draw_differences(part.data_set, part.comparisons, [answer.analysis for answer in part.answers])


def marks(picture: Picture, gid: str) -> int:
    """How many marks the element with that id draws."""
    root = ElementTree.fromstring(picture.svg)
    (group,) = [element for element in root.iter() if element.get("id") == gid]
    return sum(element.tag.endswith("}use") for element in group.iter())


def words(picture: Picture) -> str:
    root = ElementTree.fromstring(picture.svg)
    return " ".join("".join(element.itertext()) for element in root.iter() if element.tag.endswith("}text"))


def ends(svg: str, gid: str) -> tuple[float, float]:
    """The smallest and the largest x of a drawn line, by the id of its group."""
    root = ElementTree.fromstring(svg)
    (group,) = [element for element in root.iter() if element.get("id") == gid]
    path = next(element for element in group.iter() if element.tag.endswith("}path")).attrib["d"]
    xs = [float(x) for x in re.findall(r"[ML] (\S+) ", path)]
    return min(xs), max(xs)


def test_every_figure_of_a_grid(tmp_path: Path, grid: Contrast) -> None:
    grid(3, PRIMARY, lost=(("crnn", "lstm", 16, 2),), diverged=(("crnn", "lstm", 32, 1),))
    drawn = figures_of(part(tmp_path), IMAGES)
    keys = ["primary", "accuracy", "differences", "cost", "curves", "classes", "gallery", "architecture"]
    assert [picture.key for picture in drawn] == keys
    for picture in drawn:
        assert picture.png.startswith(b"\x89PNG")
        assert picture.pdf.startswith(b"%PDF")
        assert "#123456" in picture.svg  # which the page replaces by its own colour
        assert picture.caption.endswith(".")
    by_key = dict(zip(keys, drawn, strict=True))
    rows = [variant.label for variant in part(tmp_path).data_set.variants]
    for label, dots in (("cnn", 3), ("crnn-lstm-1x16", 2), ("crnn-lstm-1x32", 2)):
        assert marks(by_key["accuracy"], f"seeds-test-{rows.index(label)}") == dots
    assert marks(by_key["differences"], "seeds-val-0") == 3  # the primary analysis stands first
    assert "2/3" in words(by_key["accuracy"])
    assert "1 diverged" in words(by_key["accuracy"])
    assert marks(by_key["classes"], "class-9") == 3
    assert "only ecrnn-bilstm-1x16 is right, cnn is not" in words(by_key["gallery"])
    assert "1,792" in words(by_key["architecture"])
    for axis in ("test accuracy (%)", "parameters (Keras's count)", "training time of a run"):
        assert axis in words(by_key["cost"])
    assert [picture.svg for picture in figures_of(part(tmp_path), IMAGES)] == [picture.svg for picture in drawn]


def test_published_accuracies_stand_among_ours(tmp_path: Path, grid: Contrast) -> None:
    grid(2, {**PRIMARY, "published": read_figures(ROOT / "sweeps" / "published.csv")})
    digits = part(tmp_path)
    published = digits.scope.published.accuracies
    assert len(published) == 17
    drawn = draw_accuracy(digits.data_set, "test", (), published)
    plain = draw_accuracy(digits.data_set, "test", (), {})
    assert drawn
    assert plain
    assert [marks(drawn, f"published-{row}") for row in range(len(digits.data_set.variants))] == [1] * 9
    assert words(drawn).endswith("published")
    assert "as published" in drawn.caption
    assert "published" not in words(plain) + plain.caption


def test_intervals_end_where_the_tests_say(tmp_path: Path, grid: Contrast) -> None:
    grid(3, PRIMARY)
    digits = part(tmp_path)
    drawn = forest(digits)
    assert drawn is not None
    evidence = digits.answers[0].comparison.evidence("val")
    assert evidence.plain.interval is not None
    assert evidence.corrected.interval is not None

    plain, corrected = ends(drawn.svg, "plain-val-0"), ends(drawn.svg, "corrected-val-0")
    wider = (evidence.corrected.interval[1] - evidence.corrected.interval[0]) / (
        evidence.plain.interval[1] - evidence.plain.interval[0]
    )
    assert (corrected[1] - corrected[0]) / (plain[1] - plain[0]) == pytest.approx(wider, rel=1e-3)
    assert sum(corrected) == pytest.approx(sum(plain), rel=1e-3)


def test_the_answers_figure_has_its_interval_its_seeds_and_its_margin(tmp_path: Path, grid: Contrast) -> None:
    grid(3, PRIMARY)
    digits = part(tmp_path)
    analysis = digits.answers[0].analysis
    drawn = draw_primary(digits.data_set, analysis)
    assert analysis.test.interval is not None

    low, high = ends(drawn.svg, "primary-margin")  # from -1 to 1 point
    start, end = ends(drawn.svg, "primary-interval")
    points = [2 * (x - low) / (high - low) - 1 for x in (start, end)]
    assert points == pytest.approx([100 * x for x in analysis.test.interval], abs=1e-2)
    assert marks(drawn, "primary-seeds") == 3
    assert "cnn better" in words(drawn)
    assert "ecrnn-bilstm-1x16 better" in words(drawn)
    assert f"{100 * analysis.evidence.differences.mean:+.2f}" in words(drawn)
    assert draw_primary(digits.data_set, analysis, 2).key == "primary-2"


def test_the_name_of_an_axis_takes_two_lines_where_one_would_be_cut(tmp_path: Path, grid: Contrast) -> None:
    grid(3, PRIMARY)
    (digits,) = analyse(read([tmp_path]), "title", "command", ReportRequest(metric="val_last")).parts
    short, long = (draw_primary(digits.data_set, answer.analysis).svg for answer in digits.answers)
    assert ">difference in test accuracy (percentage points)<" in short
    assert ">difference in val accuracy at the last epoch<" in long


def test_an_interval_that_is_too_wide_is_cut_and_one_seed_has_none(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"

    def drawn_of(rows: str) -> Picture:
        path.write_text(f"variant,seed,score\n{rows}", encoding="utf-8")
        (scores,) = analyse(read_scores(path), "title", "command", ReportRequest(primary=("b", "a"))).parts
        return draw_primary(scores.data_set, scores.answers[0].analysis)

    wide = drawn_of("a,0,1\na,1,1\nb,0,2\nb,1,4\n")  # 2, 95 % interval -10.7 to 14.7: cut at 4 times 3
    limits = [float(x.replace("\u2212", "-")) for x in re.findall(r">(\u2212?[0-9.]+)<", wide.svg)]
    assert max(limits) <= 12.96
    assert "with its 95 % interval" in wide.caption
    assert "primary-margin" not in wide.svg
    one = drawn_of("a,0,1\nb,0,2\n")
    assert "primary-interval" not in one.svg
    assert "no interval. Dots: the only seed." in one.caption


def test_names_of_points_cover_nothing_where_there_is_room() -> None:
    box = Box(0, 0, 10, 2)
    assert box.overlap(Box(5, 1, 20, 9)) == 5
    assert box.overlap(Box(11, 0, 20, 2)) == box.overlap(Box(0, 3, 10, 4)) == 0


def test_curves_continue_with_the_seeds_that_still_train(tmp_path: Path, grid: Contrast) -> None:
    runs = grid(2, PRIMARY)
    (runs[0].folder / "metrics.csv").write_text("epoch,train/acc,val/acc\n0,0.5,0.5\n", encoding="utf-8")
    digits = part(tmp_path)
    drawn = draw_curves(digits.data_set, digits.answers[0].comparison)
    assert drawn is not None
    assert "Where seeds stopped early" in drawn.caption
    (runs[1].folder / "metrics.csv").write_text("epoch,val/acc\n0,half\n", encoding="utf-8")
    report = analyse(read([tmp_path]), "title", "command")
    assert any("its learning curve is missing" in problem for problem in report.problems)


def test_figures_that_do_not_apply_are_left_out(tmp_path: Path, finished: Callable[..., Run]) -> None:
    finished("cnn")
    alone = part(tmp_path)
    assert forest(alone) is None
    assert draw_cost(alone.data_set, "test", ()) is None
    assert draw_curves(alone.data_set, None) is None
    assert alone.comparisons == ()
    assert [picture.key for picture in figures_of(alone)] == ["accuracy", "architecture"]
    finished("crnn", loss=float("nan"))
    assert [picture.key for picture in figures_of(part(tmp_path), IMAGES)] == ["accuracy", "architecture"]


def test_labels_are_drawn_as_plain_text(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    name = r"$x_1$ & <b> \alpha_{2} " + 20 * "long"
    path.write_text(f'variant,seed,score\n"{name}",0,1.5\n"{name}",1,1.7\n_b,0,2.5\n_b,1,2.0\n', encoding="utf-8")
    (scores,) = analyse(read_scores(path), "title", "command", ReportRequest(primary=("_b", name), margin=0.1)).parts
    drawn = draw_accuracy(scores.data_set, "score", (), {})
    assert drawn is not None
    assert r"$x_1$ & <b> \alpha_{2}" in words(drawn)
    assert "score (its own unit)" in words(drawn)
    assert [picture.key for picture in figures_of(scores)] == ["primary", "accuracy", "differences"]


def test_a_hundred_variants_stay_readable(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    rows = [f"v{n:03},{seed},{n + seed / 2}" for n in range(120) for seed in range(2)]
    path.write_text("\n".join(["variant,seed,score", *rows]), encoding="utf-8")
    (scores,) = analyse(read_scores(path), "title", "command", ReportRequest(baseline="v000")).parts
    drawn = draw_accuracy(scores.data_set, "score", (), {})
    assert drawn is not None
    assert "Of 120 variants these are the 25 with the best mean on score and the 10 with the worst" in drawn.caption
    assert "v119" in words(drawn)
    assert "v060" not in words(drawn)
    differences_drawn = forest(scores)
    assert differences_drawn is not None
    assert "The first 40 of 119 comparisons" in differences_drawn.caption


def test_images_are_those_that_only_one_side_gets_right(tmp_path: Path, grid: Contrast) -> None:
    grid(2, PRIMARY)
    digits = part(tmp_path)
    comparison = digits.answers[0].comparison
    for sign, (right, wrong) in ((1, (0, 1)), (-1, (1, 0))):
        chosen = _only_right(comparison, "test", sign)
        assert len(chosen) == 8
        for index in chosen:
            sides = [
                [bool(pair[side].outcomes["test"].right[index]) for pair in comparison.pairs] for side in (right, wrong)
            ]
            assert sum(sides[0]) > sum(sides[1])
            assert all(a >= b for a, b in zip(*sides, strict=True))
    keys = [picture.key for picture in figures_of(replace(digits, answers=(), comparisons=()), IMAGES)]
    assert "gallery" not in keys
    assert "classes" not in keys
    assert draw_gallery(comparison, "score", IMAGES) is None
    assert draw_gallery(comparison, "test", IMAGES) is not None
    assert draw_architecture("digits", digits.data_set.variants) is not None


def test_letters_that_no_font_has_are_named(tmp_path: Path, report: Callable[..., int], capsys: Any) -> None:
    assert letters_without_font("cat, \u00e7\u0131 \u0416 \U00012000\U00012001\U00012000") == "\U00012000\U00012001"
    path = tmp_path / "scores.csv"
    path.write_text(
        "variant,seed,score\n" + "".join(f"{v},{s},0.{70 + s}\n" for v in ("a\U00012000", "b") for s in range(3))
    )
    assert report(str(path), "--to", str(tmp_path / "report")) == 0
    assert (
        "no font here has the letters \U00012000, which are boxes in the PNG and PDF figures" in capsys.readouterr().err
    )
