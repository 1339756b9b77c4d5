import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, ttest_1samp
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar as table_mcnemar

from hybridnets.stats import bootstrap, clustered_t, mcnemar, pooled_t, wilson

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


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_the_bootstrap_equals_a_pigeonhole_bootstrap_that_draws_images(share: float) -> None:
    seed, image, d = rows(6, 500, share)
    generator = np.random.default_rng(1)
    means = []
    for _ in range(4000):
        by_seed, by_image = (
            generator.multinomial(6, np.full(6, 1 / 6)),
            generator.multinomial(500, np.full(500, 1 / 500)),
        )
        weight = by_seed[seed] * by_image[image]
        means.append((weight @ d) / weight.sum())
    result = bootstrap(seed, image, d, resamples=20_000)
    lower, upper = np.quantile(means, (0.025, 0.975))
    assert result.interval == pytest.approx((lower, upper), abs=0.05 * (upper - lower))
    assert (result.p, result.n, result.why) == (None, 6, "an interval, not a test")
    assert result.estimate == pytest.approx(d.mean())
    # It includes the variation of seeds, so it is wider than an interval over images alone.
    over_images = clustered_t(image, d).interval
    assert over_images is not None
    assert upper - lower > 1.5 * (over_images[1] - over_images[0])


def test_the_bootstrap_is_reproducible_and_ignores_the_type_of_ids() -> None:
    seed, image, d = rows(4, 100, 0.5)
    order = np.random.default_rng(0).permutation(len(d))
    named = np.array([f"image {i}" for i in image])
    assert bootstrap(seed, image, d) == bootstrap(seed, image, d)
    assert bootstrap(seed[order], named[order], d[order]).interval == pytest.approx(bootstrap(seed, image, d).interval)
    narrow, wide = bootstrap(seed, image, d, confidence=0.5).interval, bootstrap(seed, image, d).interval
    assert narrow is not None
    assert wide is not None
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_the_bootstrap_of_ten_seeds_with_25000_images_is_fast() -> None:
    seed, image, d = rows(10, 25_000)
    start = time.process_time()  # which excludes the load of other processes
    result = bootstrap(seed, image, d)
    assert time.process_time() - start < 5  # .03 s; drawing images would take minutes
    assert result.interval is not None


def test_without_a_spread_the_result_has_a_mean_and_a_reason() -> None:
    two = [0, 1]
    assert pooled_t([1]).why == "one row"
    assert pooled_t([1, 1]).why == clustered_t(two, [1, 1]).why == "all differences equal"
    assert bootstrap(two * 2, [0, 0, 1, 1], [1] * 4).why == "all differences equal"
    assert clustered_t([5, 5, 5], [1, 0, 1]).why == "one image"
    assert clustered_t([5, 5, 6, 6], [1, 0, 0, 1]).why == "no spread between images"
    assert bootstrap([0, 0], two, [1, 0]).why == "one seed"
    assert bootstrap(two, [0, 0], [1, 0]).why == "one image"
    for result in (pooled_t([1, 1]), clustered_t([5, 5], [1, 0]), bootstrap([0, 0], two, [1, 0])):
        assert result.estimate is not None
        assert (result.statistic, result.p, result.interval) == (None, None, None)


def test_rows_that_do_not_fit_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="d must be -1, 0 or 1"):
        pooled_t([0.5, 1])
    with pytest.raises(ValueError, match="d must be a row of at least one finite number"):
        pooled_t([float("nan"), 1])
    with pytest.raises(ValueError, match="image must have one id for each of the 2 rows"):
        clustered_t([1], [1, 0])
    with pytest.raises(ValueError, match="seed must have one id"):
        bootstrap([1], [1, 2], [1, 0])
    with pytest.raises(ValueError, match="image must occur once in each seed"):
        bootstrap([0, 0, 1], [4, 4, 4], [1, 0, 1])
    with pytest.raises(ValueError, match="resamples must be at least 1"):
        bootstrap([0, 1], [4, 4], [1, 0], resamples=0)
    with pytest.raises(ValueError, match="confidence"):
        bootstrap([0, 1], [4, 4], [1, 0], confidence=95)


@pytest.mark.parametrize(("right", "images"), [(0, 1), (1, 1), (150, 200), (81, 263), (10_000, 10_000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilsons_interval_is_scipys(right: int, images: int, confidence: float) -> None:
    expected = binomtest(right, images).proportion_ci(confidence, method="wilson")
    assert wilson(right, images, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilsons_interval_of_a_published_example() -> None:
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)  # Newcombe 1998, table I, method 3


@pytest.mark.parametrize(("right", "images"), [(0, 0), (-1, 2), (3, 2)])
def test_wilsons_interval_refuses_impossible_counts(right: int, images: int) -> None:
    with pytest.raises(ValueError, match="right must be 0 to images"):
        wilson(right, images)
