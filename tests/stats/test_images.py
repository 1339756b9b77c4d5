import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, ttest_1samp
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar as table_mcnemar

from hybridnets.stats import clustered_t, mcnemar, pooled_t, wilson

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


def rows(seeds: int, images: int, share: float = 1.0) -> Rows:
    """Rows in which seeds and images both have an effect; each seed has a share of the images."""
    generator = np.random.default_rng(seeds * images)
    seed, image = np.nonzero(generator.random((seeds, images)) < share)
    latent = generator.normal(0, 0.5, seeds)[seed] + generator.normal(0.8, 0.8, images)[image]
    latent += generator.normal(0, 0.8, len(seed))
    return seed, image, np.where(latent > 1, 1, np.where(latent < -1, -1, 0))


@pytest.mark.parametrize(
    ("only_a", "only_b", "exact", "mid_p"),
    [
        (11, 1, 0.00634765625, 0.00341796875),
        (1, 7, 0.0703125, 0.0390625),  # Fagerland et al. 2013, table 1: airway hyper-responsiveness, p = .070 and .039
        (0, 0, 1, 1),
        (3, 3, 1, 1),
    ],
)
def test_mcnemar_on_worked_examples(only_a: int, only_b: int, exact: float, mid_p: float) -> None:
    result = mcnemar(only_a, only_b)
    assert (result.exact, result.mid_p) == pytest.approx((exact, mid_p), rel=1e-12)
    assert (result.only_a, result.only_b) == (only_a, only_b)


def test_mcnemar_on_agrestis_approval_of_the_prime_minister() -> None:
    # Agresti 1990, Categorical data analysis, table 10.1: 794 / 150 / 86 / 570, z^2 = 17.36
    assert table_mcnemar([[794, 150], [86, 570]], exact=False, correction=False).statistic == pytest.approx(
        17.36, abs=5e-3
    )
    result = mcnemar(150, 86)
    assert result.exact == pytest.approx(3.716e-5, rel=2e-4)
    assert result.exact == pytest.approx(table_mcnemar([[794, 150], [86, 570]], exact=True).pvalue)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_a_binomial_test(only_a: int, only_b: int) -> None:
    result = mcnemar(only_a, only_b)
    both = only_a + only_b
    assert result.exact == pytest.approx(binomtest(only_a, both).pvalue if both else 1)
    assert result.mid_p <= result.exact
    mirrored = mcnemar(only_b, only_a)
    assert (mirrored.exact, mirrored.mid_p) == (result.exact, result.mid_p)


@pytest.mark.parametrize("count", [-1, 1.5, float("nan"), float("inf")])
def test_an_illegal_count_is_refused(count: float) -> None:
    with pytest.raises(ValueError, match="only_b must be a count"):
        mcnemar(3, count)  # type: ignore[arg-type]


def test_the_pooled_t_equals_scipys() -> None:
    _, _, d = rows(3, 200)
    result, expected = pooled_t(d), ttest_1samp(d, 0)
    assert (result.statistic, result.p, result.n) == pytest.approx((expected.statistic, expected.pvalue, 600))
    assert result.interval == pytest.approx(tuple(expected.confidence_interval()))


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_the_clustered_t_equals_clustered_least_squares(share: float) -> None:
    _, image, d = rows(5, 200, share)
    result = clustered_t(image, d)
    # The small-sample factor of statsmodels is G / (G - 1) x (N - 1) / (N - k); for a mean, k = 1, the second part is 1.
    fit = OLS(d, np.ones(len(d))).fit(cov_type="cluster", cov_kwds={"groups": image}, use_t=True)
    assert (result.estimate, result.statistic, result.p) == pytest.approx(
        (fit.params[0], fit.tvalues[0], fit.pvalues[0])
    )
    assert result.interval == pytest.approx(fit.conf_int()[0])
    assert result.n == len(set(image.tolist()))
    mirrored = clustered_t(image, -d)
    assert (mirrored.statistic, mirrored.p) == pytest.approx((-fit.tvalues[0], result.p))


def test_with_one_row_per_image_the_clustered_t_is_the_pooled_t() -> None:
    _, _, d = rows(3, 50)
    clustered, pooled = clustered_t(np.arange(len(d)), d), pooled_t(d)
    assert (clustered.statistic, clustered.p) == pytest.approx((pooled.statistic, pooled.p))


def test_without_a_spread_the_result_has_a_mean_and_a_reason() -> None:
    two = [0, 1]
    assert pooled_t([1]).why == "one row"
    assert pooled_t([1, 1]).why == clustered_t(two, [1, 1]).why == "all differences equal"
    assert clustered_t([5, 5, 5], [1, 0, 1]).why == "one image"
    assert clustered_t([5, 5, 6, 6], [1, 0, 0, 1]).why == "no spread between images"
    for result in (pooled_t([1, 1]), clustered_t([5, 5], [1, 0])):
        assert result.estimate is not None
        assert (result.statistic, result.p, result.interval) == (None, None, None)


def test_rows_that_do_not_fit_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="d must be -1, 0 or 1"):
        pooled_t([0.5, 1])
    with pytest.raises(ValueError, match="d must be a row of at least one finite number"):
        pooled_t([float("nan"), 1])
    with pytest.raises(ValueError, match="image must have one id for each of the 2 rows"):
        clustered_t([1], [1, 0])


@pytest.mark.parametrize(
    ("right", "images", "interval"),
    [(8, 10, (0.4902, 0.9433)), (0, 20, (0.0, 0.1611)), (20, 20, (0.8389, 1.0)), (81, 263, (0.2553, 0.3662))],
)
def test_wilsons_interval(right: int, images: int, interval: tuple[float, float]) -> None:
    """81 of 263: Newcombe (1998), Statistics in Medicine 17, 857-872, table I, method 3; the others by Wilson's formula."""
    assert wilson(right, images) == pytest.approx(interval, abs=5e-5)


@pytest.mark.parametrize(("right", "images"), [(0, 0), (-1, 2), (3, 2)])
def test_wilsons_interval_refuses_impossible_counts(right: int, images: int) -> None:
    with pytest.raises(ValueError, match="right must be 0 to images"):
        wilson(right, images)
