import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from hybridnets.stats import components, crossed, paired_t
from hybridnets.stats.crossed import Components

relaxed = settings(deadline=None, max_examples=60)  # the machine may be busy


def draw(seeds: int, images: int, by_seed: float = 0.4, by_image: float = 0.8, key: int = 0) -> np.ndarray:
    """Outcomes of -1, 0 and 1, (S, I), in which seeds and images both have an effect."""
    rng = np.random.default_rng([seeds, images, key])
    latent = 0.2 + by_seed * rng.normal(size=(seeds, 1)) + by_image * rng.normal(size=images)
    latent = latent + 0.6 * rng.normal(size=(seeds, images))
    return np.where(latent > 1, 1, np.where(latent < -1, -1, 0))


def test_the_mean_squares_equal_the_analysis_of_variance() -> None:
    d = draw(4, 25)
    seed, image = np.indices(d.shape)
    frame = pytest.importorskip("pandas").DataFrame({"d": d.ravel(), "seed": seed.ravel(), "image": image.ravel()})
    squares = anova_lm(ols("d ~ C(seed) + C(image)", frame).fit())
    expected = (squares["sum_sq"] / squares["df"]).tolist()
    result = components(d)
    assert (result.seed, result.image, result.rest) == pytest.approx(expected)
    assert result.mean == pytest.approx(d.mean())
    assert (result.seeds, result.images) == (4, 25)


def test_the_interval_of_a_worked_table() -> None:
    # By hand: row means 0 and 1, column means -.5, .5, 1.5; no rest, so the mean squares are 1.5, 2 and 0 and the squared
    # errors 1.5 / 6 and 2 / 6. The quantiles of 1 and 2 degrees of freedom are tan(.475 pi) and sqrt(2) .95 / sqrt(1 - .95^2).
    result = crossed([[-1, 0, 1], [0, 1, 2]])
    one, two = np.tan(0.475 * np.pi), 2**0.5 * 0.95 / (1 - 0.95**2) ** 0.5
    half = (one**2 * 1.5 / 6 + two**2 * 2 / 6) ** 0.5
    assert result.estimate == 0.5
    assert result.interval == pytest.approx((0.5 - half, 0.5 + half), rel=1e-9)
    assert result.statistic == pytest.approx(0.5 / (3.5 / 6) ** 0.5)
    assert (result.n, result.why) == (2, "")


def test_without_an_effect_of_images_it_is_the_plain_t_over_seeds() -> None:
    table = np.arange(5.0)[:, None] + np.array([[1, -1], [-1, 1]] * 2 + [[0, 0]]).reshape(5, 2)  # image means are equal
    result, plain = crossed(table), paired_t(table.mean(1))
    assert (result.statistic, result.p) == pytest.approx((plain.statistic, plain.p), rel=1e-9)
    assert result.interval == pytest.approx(plain.interval, rel=1e-9)


def test_where_only_images_vary_it_is_the_t_over_images() -> None:
    values = np.random.default_rng(1).normal(0.1, 1, 60)
    seeds = np.array([-1e-6, 0, 1e-6])[:, None]  # a spread, so that the plain t is defined
    result, expected = crossed(values + seeds), scipy_stats.ttest_1samp(values, 0)
    assert (result.statistic, result.p) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-6)
    assert result.interval == pytest.approx(tuple(expected.confidence_interval()), rel=1e-6)


@relaxed
@given(st.integers(2, 8), st.integers(2, 40), st.integers(0, 99), st.sampled_from([0.8, 0.95, 0.999]))
def test_p_is_the_level_whose_interval_ends_at_0_and_seeds_alone_never_give_a_wider_one(
    seeds: int, images: int, key: int, confidence: float
) -> None:
    d = draw(seeds, images, key=key)
    result, plain = crossed(d, confidence), paired_t(d.mean(1), confidence=confidence)
    assert result.why == plain.why
    if result.interval is None or plain.interval is None or result.p is None:
        return
    slack = 1e-9 * (plain.interval[1] - plain.interval[0])
    assert result.interval[0] <= plain.interval[0] + slack
    assert result.interval[1] >= plain.interval[1] - slack
    assert (result.p < 1 - confidence) == (result.interval[0] > 0 or result.interval[1] < 0)
    if 1e-12 < result.p < 1 - 1e-9:
        ends = crossed(d, 1 - result.p).interval
        assert ends is not None
        assert min(map(abs, ends)) < 1e-6 * (ends[1] - ends[0])
    mirrored, shuffled = crossed(-d), crossed(d[::-1, ::-1])
    assert (mirrored.statistic, mirrored.p) == pytest.approx((-(result.statistic or 0), result.p))
    assert (shuffled.statistic, shuffled.p) == pytest.approx((result.statistic, result.p))


def test_a_negative_variance_of_images_counts_as_0() -> None:
    table = Components(0.1, 3, 100, 2.0, 0.5, 0.8)
    assert table.error_of_images == 0
    assert table.error_of_seeds == 2 / 300


def test_very_small_p_stay_finite_and_above_0() -> None:
    far = crossed(np.random.default_rng(0).normal(1, 1e-9, (20, 4000))).p
    assert far is not None
    assert 0 < far < 1e-100


@pytest.mark.parametrize(
    ("d", "why"),
    [
        ([[1, 0, 1]], "one seed"),
        ([[1], [0]], "one image"),
        ([[1, 0, 1], [0, 1, 1]], "all differences equal"),
        ([[0, 0, 0], [0, 0, 0]], "all differences equal"),
        ([[1, 0, np.nan], [np.nan, 1, 1]], "every seed has its own images"),
    ],
)
def test_without_a_spread_or_with_holes_the_result_has_a_mean_and_a_reason(d: list[list[float]], why: str) -> None:
    result = crossed(d)
    assert (result.statistic, result.p, result.interval, result.why) == (None, None, None, why)
    assert result.estimate == pytest.approx(np.nanmean(d))


def test_tables_that_do_not_fit_are_refused_by_name() -> None:
    for d in (np.array([1, 0]), np.empty((1, 0)), np.array([[np.inf, 1], [0, 1]]), np.array([[np.nan]])):
        with pytest.raises(ValueError, match="d must be a table"):
            crossed(d)
    for d in (np.array([[1, 2]]), np.array([[1], [2]]), np.array([[1, np.nan], [0, 1]])):
        with pytest.raises(ValueError, match="d must be a table of at least two seeds and two images"):
            components(d)
    with pytest.raises(ValueError, match="confidence"):
        crossed([[0, 1], [1, 1]], confidence=95)


def test_two_seeds_and_many_images_do_not_overflow() -> None:
    """Two seeds have one degree of freedom, whose quantiles at a tiny level are beyond what a square can hold."""
    generator = np.random.default_rng(0)
    d = (generator.random((2, 10_000)) < 0.3).astype(float) - (generator.random((2, 10_000)) < 0.1)
    result = crossed(d)
    plain = paired_t(d.mean(1))
    assert result.p is not None
    assert plain.p is not None
    assert 0 < plain.p <= result.p < 1
