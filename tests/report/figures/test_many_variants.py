"""The figures of several variants draw their statistics, and stay readable with twenty long names."""

import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from hybridnets import stats
from hybridnets.report.figures.picture import Picture
from hybridnets.report.figures.profiles import draw_expected_best, draw_profiles
from hybridnets.report.figures.ranks import _levels, draw_best, draw_ranking

NAMES = [f"ecrnn-bilstm-2x{16 + n}-backbone-resnet18-augment-randaug-{n}" if n % 3 else f"_cnn-{n}" for n in range(20)]
TAUS = np.linspace(0, 1, 41)


def elements(picture: Picture, gid: str) -> list[ElementTree.Element]:
    root = ElementTree.fromstring(picture.svg)
    return [element for element in root.iter() if re.fullmatch(gid, element.get("id") or "")]


def points(picture: Picture, gid: str) -> list[tuple[float, float]]:
    """The points of a drawn line, by the id of its group."""
    (group,) = elements(picture, gid)
    path = next(element for element in group.iter() if element.tag.endswith("}path")).attrib["d"]
    return [(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", path)]


def words(picture: Picture) -> list[str]:
    root = ElementTree.fromstring(picture.svg)
    return ["".join(element.itertext()) for element in root.iter() if element.tag.endswith("}text")]


def scores(variants: int, rows: int = 25) -> np.ndarray:
    generator = np.random.default_rng(variants)
    return (
        generator.normal(0.7, 0.05, (rows, 1))
        + np.linspace(0, 0.03, variants)
        + generator.normal(0, 0.01, (rows, variants))
    )


@pytest.mark.parametrize("variants", [2, 3, 5, 20])
def test_a_ranking_has_every_variant_and_every_group(variants: int) -> None:
    ranking = stats.ranking(scores(variants))
    drawn = draw_ranking("all", NAMES[:variants], ranking)
    assert drawn is not None
    texts = words(drawn)
    assert drawn.key == "ranking"
    assert len(elements(drawn, r"group-\d+")) == len(ranking.groups)
    for rank in ranking.ranks:
        assert f"{rank:.2f}" in texts
    for number, group in enumerate(ranking.groups):
        (bar,) = elements(drawn, f"group-{number}")
        assert sum(element.tag.endswith("}use") for element in bar.iter()) == len(group)
        xs = [x for x, _ in points(drawn, f"group-{number}")]
        assert xs == sorted(xs, reverse=True)  # from the best, at the right, to the left
    assert "over 25 data sets" in drawn.caption
    assert drawn.svg == getattr(draw_ranking("all", NAMES[:variants], ranking), "svg", None)


def test_labels_of_twenty_variants_do_not_overlap() -> None:
    ranking = stats.ranking(scores(20))
    drawn = draw_ranking("all", NAMES, ranking)
    assert drawn is not None
    root = ElementTree.fromstring(drawn.svg)
    places = []
    for element in root.iter():
        if element.tag.endswith("}text"):
            style, place = (
                element.get("style", ""),
                re.search(r"translate\((\S+) (\S+)\)", element.get("transform", "")),
            )
            x, y = (
                (float(v) for v in place.groups())
                if place
                else (float(element.get("x", 0)), float(element.get("y", 0)))
            )
            places.append(("end" in style, x, y))
    for a, b in itertools.combinations(places, 2):
        assert a[0] != b[0] or abs(a[1] - b[1]) > 5 or abs(a[2] - b[2]) > 8  # 8 points of text
    assert all(0 <= x <= 8 * 72 for _, x, _ in places)


def test_a_ranking_in_which_all_differ_says_so() -> None:
    clear = np.arange(3.0) + np.arange(1, 13.0)[:, None] ** 2 + 0.01 * np.arange(36).reshape(12, 3) % 0.07
    drawn = draw_ranking("all", ["a", "b", "c"], stats.ranking(clear))
    assert drawn is not None
    assert "Every two variants differ at 5 %" in drawn.caption
    assert draw_ranking("all", [str(n) for n in range(41)], stats.ranking(scores(41, 3))) is None


def test_bars_of_one_level_keep_apart() -> None:
    order = [4, 2, 0, 1, 3]
    assert _levels([(4, 2), (0, 1), (1, 3), (2, 3)], order) == [0, 0, 1, 2]
    assert _levels([(4, 3), (4, 2, 0), (1, 3)], order) == [0, 1, 1]


def test_the_best_variant_has_the_longest_bar() -> None:
    ranks = stats.rank_distribution(scores(20, 5))
    drawn = draw_best("digits", NAMES, ranks)
    assert drawn is not None
    assert len(elements(drawn, r"best-\d+")) == len(elements(drawn, r"rank-\d+")) == 20
    order = sorted(range(20), key=lambda v: ranks.expected[v])
    widths = [
        max(x for x, _ in points(drawn, f"best-{n}")) - min(x for x, _ in points(drawn, f"best-{n}")) for n in range(3)
    ]
    share = [ranks.best[v] for v in order[:3]]
    assert np.array(widths) / widths[0] == pytest.approx(np.array(share) / share[0], abs=1e-3)
    spans = [points(drawn, f"rank-{n}") for n in range(20)]
    lengths = np.array([span[-1][0] - span[0][0] for span in spans])
    expected = np.array([ranks.interval[v][1] - ranks.interval[v][0] for v in order])
    assert lengths / lengths.max() == pytest.approx(expected / expected.max(), abs=1e-3)
    assert "given 5 seeds" in drawn.caption
    assert draw_best("digits", NAMES[:2], stats.rank_distribution(scores(2, 1))) is None


def test_more_variants_than_can_be_read() -> None:
    drawn = draw_best("digits", [f"v{n}" for n in range(50)], stats.rank_distribution(scores(50, 4)))
    assert drawn is not None
    assert len(elements(drawn, r"best-\d+")) == 40
    assert "The 40 best of 50 variants." in drawn.caption


@pytest.mark.parametrize("lower_is_better", [False, True])
def test_profiles_colour_the_best_six(lower_is_better: bool) -> None:
    generator = np.random.default_rng(0)
    table = generator.beta(6, 2, (5, 7, 1)) + np.linspace(-0.1, 0.1, 9) + generator.normal(0, 0.01, (5, 7, 9))
    sign = -1 if lower_is_better else 1
    profiles = [stats.performance_profile(sign * table[:, :, k], sign * TAUS, lower_is_better) for k in range(9)]
    drawn = draw_profiles("all", NAMES[:9], profiles, "test loss", lower_is_better=lower_is_better)
    assert drawn is not None
    assert len(elements(drawn, r"profile-\d")) == 9
    assert {element.get("id") for element in elements(drawn, r"band-\d")} == {f"band-{n}" for n in range(3, 9)}
    assert any("3 others" in text for text in words(drawn))
    assert "In colour: the 6 of 9" in drawn.caption
    line = points(drawn, "profile-8")
    assert (
        line[0][1] < line[-1][1] if line[0][0] < line[-1][0] else line[0][1] > line[-1][1]
    )  # it falls towards the better
    assert any(("below" if lower_is_better else "above") in text for text in words(drawn))
    assert draw_profiles("all", [], [], "test loss") is None


def test_the_expected_best_of_searches_of_different_sizes() -> None:
    generator = np.random.default_rng(1)
    curves = [stats.expected_best(generator.random(n)) for n in (1, 4, 30)]
    drawn = draw_expected_best("digits", NAMES[:3], curves, "val accuracy (%)", 100)
    assert drawn is not None
    assert [len(points(drawn, f"curve-{n}")) for n in range(3)] == [1, 4, 30]
    assert len(elements(drawn, r"spread-\d")) == 3
    assert any("(1 setting)" in text for text in words(drawn))
    assert "Shaded" in drawn.caption
    losses = [stats.expected_best(generator.random(n), lower_is_better=True) for n in (4, 5, 6, 7)]
    drawn = draw_expected_best("digits", NAMES[:4], losses, "val loss", lower_is_better=True)
    assert drawn is not None
    assert not elements(drawn, r"spread-\d")
    assert "Shaded" not in drawn.caption
    ys = [y for _, y in points(drawn, "curve-3")]
    assert ys == sorted(ys)  # y grows downwards in SVG: the loss falls
    assert draw_expected_best("digits", NAMES[:1], curves[:1], "val accuracy") is None
