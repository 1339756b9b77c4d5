import itertools

import numpy as np
import pytest
from statsmodels.stats.anova import AnovaRM

from hybridnets.stats import effects, paired_t


def test_effects_of_the_pilot_plant_are_as_published() -> None:
    # Box, Hunter and Hunter, Statistics for experimenters, chapter 5: yield by temperature, concentration and catalyst, in
    # standard order (temperature varies fastest).
    grid = np.reshape([60, 72, 54, 68, 52, 83, 45, 80], (1, 2, 2, 2)).transpose(0, 3, 2, 1)
    contrasts = {key: value.item() for key, value in effects(grid, ["T", "C", "K"]).items()}
    assert list(contrasts) == [("T",), ("C",), ("K",), ("T", "C"), ("T", "K"), ("C", "K"), ("T", "C", "K")]
    assert list(contrasts.values()) == [23, -5, 1.5, 1.5, 10, 0, 0.5]


def test_the_paired_t_of_an_effect_equals_the_repeated_measures_anova() -> None:
    scores = np.random.default_rng(4).normal(0.75, 0.01, (5, 2, 2, 2)) + np.arange(5)[:, None, None, None]
    names = ["rnn", "layers", "nodes"]
    cells = itertools.product(range(5), *[range(2)] * 3)
    # pandas comes with statsmodels
    frame = pytest.importorskip("pandas").DataFrame(
        [(*cell, scores[cell]) for cell in cells], columns=["seed", *names, "score"]
    )
    table = AnovaRM(frame, "score", "seed", within=names).fit().anova_table
    contrasts = effects(scores, names)
    assert len(contrasts) == len(table) == 7
    for key, contrast in contrasts.items():
        test, row = paired_t(contrast), table.loc[":".join(key)]
        assert test.statistic is not None
        assert (test.statistic**2, test.p) == pytest.approx((row["F Value"], row["Pr > F"]), rel=1e-6)


def test_an_effect_is_a_signed_sum_of_cells_and_swapping_levels_flips_its_sign() -> None:
    scores = np.random.default_rng(5).random((3, 2, 2))
    contrasts, swapped = effects(scores, "ab"), effects(scores[:, ::-1], "ab")
    (low_low, low_high), (high_low, high_high) = scores.transpose(1, 2, 0)
    assert contrasts["a",] == pytest.approx((high_low + high_high - low_low - low_high) / 2)
    assert contrasts["a", "b"] == pytest.approx((high_high - low_high - high_low + low_low) / 2)
    assert swapped["a",] == pytest.approx(-contrasts["a",])
    assert swapped["b",] == pytest.approx(contrasts["b",])
    assert swapped["a", "b"] == pytest.approx(-contrasts["a", "b"])


def test_an_incomplete_grid_is_refused() -> None:
    with pytest.raises(ValueError, match=r"scores must have the shape \(seeds, 2, ..., 2\)"):
        effects(np.zeros((3, 2, 3)), ["a", "b"])
    with pytest.raises(ValueError, match="scores must have the shape"):
        effects([0.5, 0.6], [])
    with pytest.raises(ValueError, match="scores must be finite"):
        effects([[0.5, float("nan")]], ["a"])
    with pytest.raises(ValueError, match="names must be 2 different names"):
        effects(np.zeros((3, 2, 2)), ["a", "a"])
