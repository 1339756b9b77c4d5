import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from hybridnets.stats import benjamini_hochberg, holm, stars

# The example of Benjamini and Hochberg 1995: 15 comparisons of two treatments of myocardial infarction.
INFARCTION = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459]
INFARCTION += [0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
FAMILY = st.lists(
    st.one_of(st.floats(0, 1, allow_subnormal=False), st.sampled_from([0.01, 0.05])), min_size=1, max_size=12
)


def test_holm_on_a_worked_example() -> None:
    assert holm([0.016, 0.019, 0.607]) == pytest.approx([0.048, 0.048, 0.607])


def test_the_infarction_family_rejects_as_published() -> None:
    assert (benjamini_hochberg(INFARCTION) <= 0.05).sum() == 4
    assert (holm(INFARCTION) <= 0.05).sum() == 3


@pytest.mark.parametrize("size", [1, 2, 12])
def test_both_corrections_equal_those_of_statsmodels(size: int) -> None:
    p = np.round(np.random.default_rng(size).random(size) ** 3, 2)  # with ties and zeros
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1])


@settings(deadline=None, max_examples=60)
@given(FAMILY)
def test_corrections_only_raise_p_and_holm_raises_it_more(p: list[float]) -> None:
    by_holm, by_bh = holm(p), benjamini_hochberg(p)
    assert np.all(by_bh >= np.array(p) * (1 - 1e-12))
    assert np.all(by_holm >= by_bh * (1 - 1e-12))
    assert np.all(by_holm <= 1)
    assert np.all(np.diff(by_holm[np.argsort(p)]) >= 0)
    assert holm(p[::-1]) == pytest.approx(by_holm[::-1])


def test_missing_p_values_do_not_count_in_the_family() -> None:
    for correct in (holm, benjamini_hochberg):
        corrected = correct(np.array([0.016, float("nan"), 0.019, None, 0.607]))
        assert np.isnan(corrected[[1, 3]]).all()
        assert corrected[[0, 2, 4]] == pytest.approx(correct([0.016, 0.019, 0.607]))
        assert correct([]).shape == (0,)
        assert np.isnan(correct([float("nan")])).all()
        with pytest.raises(ValueError, match="p must be a row of values between 0 and 1"):
            correct([0.5, 1.5])


def test_corrections_do_not_modify_their_argument() -> None:
    p = np.array([0.04, 0.01])
    holm(p)
    benjamini_hochberg(p)
    assert p.tolist() == [0.04, 0.01]


def test_stars_are_strict_and_monotone() -> None:
    p = [0.0, 9e-5, 1e-4, 0.004, 0.005, 0.04, 0.05, 1.0]
    assert [stars(value) for value in p] == ["***", "***", "**", "**", "*", "*", "", ""]
    assert stars(None) == stars(float("nan")) == ""
    assert stars(0.04, (0.01,)) == ""
