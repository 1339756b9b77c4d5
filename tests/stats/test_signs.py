import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from hybridnets.stats import least_p, paired_t, sign_flip, wilcoxon

# Darwin 1876, heights of cross-fertilised maize less self-fertilised, in eighths of an inch, as in Fisher 1935, chapter 3.
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]

relaxed = settings(deadline=None, max_examples=60)  # the machine may be busy


@relaxed
@given(st.lists(st.integers(-9, 9), min_size=6, max_size=9))
def test_rank_and_sign_tests_equal_an_enumeration_of_all_signs(counts: list[int]) -> None:
    d = np.array(counts) / 15_000 + 0.7 - 0.7  # with rounding errors, so that ties and zeros are inexact
    nonzero = np.array([count for count in counts if count])
    ranked, flipped = wilcoxon(d), sign_flip(d)
    if len(nonzero) < 6:
        assert ranked.p is flipped.p is None
        assert ranked.why == flipped.why == "fewer than 6 differences that are not zero"
        return
    ranks = scipy_stats.rankdata(np.abs(nonzero))
    signs = np.array(list(itertools.product((-1, 1), repeat=len(nonzero))))
    for p, size in ((ranked.p, ranks), (flipped.p, np.abs(nonzero))):
        sums = np.abs(signs @ size)
        assert p is not None
        assert p == pytest.approx(np.mean(sums >= abs(np.sign(nonzero) @ size) - 1e-9))
        assert p >= least_p(len(nonzero))


def test_with_fifty_seeds_ranks_are_exact_and_sign_patterns_are_drawn() -> None:
    d = np.random.default_rng(3).normal(0.4, 1, 50)
    assert wilcoxon(d).p == pytest.approx(scipy_stats.wilcoxon(d, method="exact").pvalue)
    assert sign_flip(d).p == pytest.approx(paired_t(d).p, abs=0.003)
    assert sign_flip(d) == sign_flip(d)  # the same patterns are drawn
    assert sign_flip(d + 3).p == 1 / 100_001  # never 0


@pytest.mark.parametrize("n", [51, 1200, 50_000])
def test_very_many_seeds_use_the_normal_approximation(n: int) -> None:
    d = (
        np.random.default_rng(3).normal(0.01, 1, n).round(2)
    )  # with ties and zeros; the exact distribution for 50,000 would need 20 GB
    assert wilcoxon(d).p == pytest.approx(scipy_stats.wilcoxon(d, method="asymptotic").pvalue, rel=1e-9)


@pytest.mark.parametrize(("n", "p"), [(1, 1), (3, 0.25), (5, 0.0625), (6, 0.03125)])
def test_the_least_p_of_signs(n: int, p: float) -> None:
    assert least_p(n) == p
    if n >= 6:
        assert wilcoxon(range(1, n + 1)).p == sign_flip(range(1, n + 1)).p == p
    else:
        assert wilcoxon(range(1, n + 1)).why == sign_flip(range(1, n + 1)).why == "fewer than 6 seeds"


def means_of_pairs(d: np.ndarray) -> np.ndarray:
    """The sorted means of all pairs, each value also with itself."""
    return np.sort(((d[:, None] + d) / 2)[np.triu_indices(len(d))])


def test_hodges_and_lehmanns_estimate_of_darwins_maize_with_its_interval() -> None:
    result = wilcoxon(DARWIN)  # R 4.2.2, wilcox.test(d, conf.int = TRUE)
    assert (result.estimate, result.interval) == (25.0, (4.0, 41.5))
    assert wilcoxon(DARWIN, 0.9).interval == (8.0, 39.5)
    assert wilcoxon(DARWIN, 0.99999).interval is None  # 2 / 2^15 are left beyond all means


@relaxed
@given(st.lists(st.integers(-300, 300), min_size=6, max_size=60))
def test_the_estimate_is_the_median_of_the_means_of_pairs_and_the_interval_two_of_them(counts: list[int]) -> None:
    d = np.array(counts) / 15_000
    means, result = means_of_pairs(d), wilcoxon(d)
    assert result.estimate == pytest.approx(np.median(means), abs=1e-15)
    if result.interval is not None:
        for end in result.interval:
            assert np.abs(means - end).min() < 1e-15
        assert result.estimate is not None
        assert result.interval[0] <= result.estimate + 1e-15
        assert result.interval[1] >= result.estimate - 1e-15


@relaxed
@given(st.integers(6, 70), st.integers(0, 999), st.sampled_from([0.8, 0.95]))
def test_without_ties_the_interval_contains_0_unless_p_is_small(n: int, key: int, confidence: float) -> None:
    d = np.random.default_rng([n, key]).normal(0.4, 1, n)
    result = wilcoxon(d, confidence)
    assert result.interval is not None
    assert result.p is not None
    contains = result.interval[0] <= 0 <= result.interval[1]
    if abs(result.p - (1 - confidence)) > 2e-3:  # above 50 differences the normal approximation rounds to a whole place
        assert contains == (result.p > 1 - confidence)


def test_the_estimate_of_very_many_differences_needs_no_table_of_all_pairs() -> None:
    d = np.random.default_rng(0).normal(0.3, 1, 3000)
    means = means_of_pairs(d)
    result = wilcoxon(d)
    assert result.estimate == pytest.approx(np.median(means), abs=1e-15)
    assert result.interval is not None
    # Hollander and Wolfe's place of the lower end: n (n + 1) / 4 - z sqrt(n (n + 1) (2 n + 1) / 24)
    place = 3000 * 3001 / 4 - 1.959964 * (3000 * 3001 * 6001 / 24) ** 0.5
    assert result.interval == pytest.approx((means[int(place) - 1], means[-int(place)]), abs=1e-12)


@pytest.mark.parametrize("d", [[0.0], [0.5, 0.1], [-1.0, 0.0, 0.0, 1.0], [1e-300, 3e-300]])
def test_few_differences_have_an_estimate_too(d: list[float]) -> None:
    assert wilcoxon(d).estimate == np.median(means_of_pairs(np.array(d)))
    assert wilcoxon(d).interval is None


def test_differences_that_are_equal_but_for_rounding_are_ties() -> None:
    d = [0.75 - 0.74, 0.02 - 0.01, 0.29 - 0.28, 0.58 - 0.57, 0.12 - 0.11, 0.25 - 0.26, 0.73 - 0.70]
    assert len(set(np.abs(d))) > 2
    assert wilcoxon(d).statistic == 3.5  # the mean rank of six
    assert wilcoxon(d).p == pytest.approx(wilcoxon(np.round(d, 2)).p)
    assert sign_flip(d).p == pytest.approx(sign_flip(np.round(d, 2)).p)
    zeros = [0.1 + 0.2 - 0.3, *d[:5]]
    assert wilcoxon(zeros).why == sign_flip(zeros).why == "fewer than 6 differences that are not zero"


def test_arguments_out_of_range_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="confidence must lie between 0 and 1, got 95"):
        wilcoxon(DARWIN, 95)
    with pytest.raises(ValueError, match="n must be"):
        least_p(-1)
