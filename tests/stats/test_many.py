import itertools

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats as scipy_stats

from hybridnets.stats import expected_best, interquartile_mean, many, performance_profile, rank_distribution

# Seeds down, data sets across; rliable 1.2.0 was given the same.
SIX = np.array(
    [
        [0.154, 0.490, 1.026, 1.169],
        [0.167, 0.463, 0.875, 1.252],
        [0.157, 0.470, 0.935, 1.088],
        [0.180, 0.389, 0.899, 1.056],
        [0.317, 0.565, 0.898, 1.167],
        [0.166, 0.605, 0.899, 1.158],
    ]
)
TAUS = (0.1, 0.25, 0.5, 0.8, 1.0, 1.2)


def chance_of_two(scores: npt.NDArray[np.float64]) -> float:
    """The probability that the first of two variants is the better one, by a sum over both variances."""
    seeds = len(scores)
    means = scores.mean(0)
    within, between = (
        np.square(scores[:, 0] - scores[:, 1] - means[0] + means[1]).sum() / 2,
        seeds * np.ptp(means) ** 2 / 2,
    )
    noise_share = (np.arange(400) + 0.5)[:, None] / 400
    variance = np.geomspace(1e-3, 1e5, 800) * within  # even in the logarithm: the prior 1 / variance
    weight = scipy_stats.chi2.pdf(within / variance, seeds - 1) / variance
    weight = weight * scipy_stats.chi2.pdf(between * noise_share / variance, 1) * noise_share / variance
    centre, error = (1 - noise_share) * (means[0] - means[1]), np.sqrt(2 * (1 - noise_share) * variance / seeds)
    return float((weight * scipy_stats.norm.cdf(centre / error)).sum() / weight.sum())


@pytest.mark.parametrize("shift", [0.0, 0.01, 0.05])
def test_two_variants_agree_with_a_sum_over_both_variances(shift: float) -> None:
    scores = np.random.default_rng(4).normal(0.8, 0.02, (4, 1)) + np.random.default_rng(5).normal(0, 0.01, (4, 2))
    scores[:, 0] += shift
    result = rank_distribution(scores)
    chance = chance_of_two(scores)
    assert result.best == pytest.approx((chance, 1 - chance), abs=0.015)
    assert result.expected == pytest.approx((2 - chance, 1 + chance), abs=0.015)
    assert result.n == 4


def test_what_a_seed_adds_to_all_variants_cancels() -> None:
    generator = np.random.default_rng(1)
    scores = generator.normal(0, 1, (5, 6)) + np.arange(6) / 2
    result = rank_distribution(scores)
    shifted = rank_distribution(scores + 3 * generator.normal(0, 1, (5, 1)))
    assert shifted.best == pytest.approx(result.best, abs=1e-3)
    assert shifted.interval == result.interval
    mirrored = rank_distribution(-scores, lower_is_better=True)
    assert mirrored.best == pytest.approx(result.best, abs=0.02)
    assert rank_distribution(scores) == result


def test_the_parts_of_a_distribution_of_ranks_fit_together() -> None:
    scores = np.random.default_rng(8).normal(0, 1, (4, 5)) + np.array([0, 1, 2, 3, 8.0])
    result = rank_distribution(scores)
    distribution = np.array(result.distribution)
    assert distribution.sum(0) == pytest.approx(1)
    assert distribution.sum(1) == pytest.approx(1)
    assert result.best == tuple(distribution[:, 0])
    assert result.expected == pytest.approx(distribution @ np.arange(1, 6))
    for row, (low, high) in zip(distribution, result.interval, strict=True):
        assert row[: int(low) - 1].sum() < 0.025 <= row[: int(low)].sum() + 1e-12
        assert row[int(high) :].sum() <= 0.025 + 1e-9 < row[int(high) - 1 :].sum() + 1e-9
    assert result.best[4] > 0.98
    assert result.interval[4] == (1, 1)
    # Means are pulled together, and keep their order.
    means = scores.mean(0)
    pulled = (np.array(result.means) - means.mean()) / (means - means.mean())
    assert pulled == pytest.approx(pulled[0])
    assert 0.5 < pulled[0] < 1


def test_equal_variants_are_not_told_apart_and_intervals_keep_their_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "DRAWS", 1000)
    generator = np.random.default_rng(0)
    for spread, largest in ((0.0, 0.25), (2.0, 0.9)):
        covered, best = [], []
        for _ in range(150):
            truth = spread * generator.standard_normal(20)
            order = np.argsort(np.argsort(-truth if spread else generator.random(20))) + 1
            result = rank_distribution(truth + generator.standard_normal((3, 20)))
            low, high = np.array(result.interval).T
            covered.append(np.mean((low <= order) & (order <= high)))
            best.append(max(result.best))
        assert np.mean(covered) > 0.92
        assert np.mean(best) < largest


def test_ranks_need_two_seeds_and_some_spread() -> None:
    assert rank_distribution([[0.7, 0.8]]).why == "one seed"
    constant = rank_distribution([[0.70, 0.72], [0.71, 0.73], [0.79, 0.81]])
    assert (constant.best, constant.n, constant.why) == ((), 3, "no spread over seeds")
    assert rank_distribution(np.ones((3, 4))).why == "no spread over seeds"


def test_the_interquartile_mean_agrees_with_rliable() -> None:
    result = interquartile_mean(SIX)
    assert result.estimate == pytest.approx(0.7095)
    assert result.interval == pytest.approx((0.67625, 0.74483), abs=0.002)  # rliable, 50,000 resamples
    assert (result.n, result.p) == (24, None)
    assert interquartile_mean(SIX) == result
    ragged = np.random.default_rng(0).standard_normal((7, 3))  # 21 values: 5 are cut off at either end
    assert interquartile_mean(ragged).estimate == pytest.approx(scipy_stats.trim_mean(ragged, 0.25, axis=None))
    assert (interquartile_mean(SIX[:1]).interval, interquartile_mean(SIX[:1]).why) == (None, "one seed")
    assert interquartile_mean([[0.2], [0.4]]).estimate == pytest.approx(0.3)


def test_performance_profiles_agree_with_rliable() -> None:
    profile = performance_profile(SIX, TAUS)
    assert profile.share == pytest.approx((1, 0.79166667, 0.58333333, 0.5, 0.29166667, 0.04166667))
    # rliable, 20,000 resamples
    assert profile.low == pytest.approx((1, 0.75, 0.5, 0.5, 0.25, 0))
    assert profile.high == pytest.approx((1, 0.875, 0.66666667, 0.5, 0.375, 0.125))
    mirrored = performance_profile(-SIX, [-tau for tau in TAUS], lower_is_better=True)
    assert (mirrored.share, mirrored.low, mirrored.high) == (profile.share, profile.low, profile.high)
    assert performance_profile(SIX, [0.154]).share == (23 / 24,)  # equal to the threshold is not above it


def test_rliable_itself() -> None:
    library, metrics = pytest.importorskip("rliable.library"), pytest.importorskip("rliable.metrics")
    assert interquartile_mean(SIX).estimate == pytest.approx(metrics.aggregate_iqm(SIX))
    profiles, bands = library.create_performance_profile({"a": SIX}, TAUS, reps=4000)
    profile = performance_profile(SIX, TAUS)
    assert profile.share == pytest.approx(profiles["a"])
    assert (profile.low, profile.high) == pytest.approx(bands["a"], abs=0.05)


@pytest.mark.parametrize("lower_is_better", [False, True])
def test_the_expected_best_equals_an_enumeration_of_all_draws(lower_is_better: bool) -> None:
    scores = [0.71, 0.64, 0.80, 0.71]
    result = expected_best(scores, lower_is_better)
    for n in range(1, 5):
        best = [(min if lower_is_better else max)(draw) for draw in itertools.product(scores, repeat=n)]
        assert (result.mean[n - 1], result.sd[n - 1]) == pytest.approx((np.mean(best), np.std(best)))
    assert len(result.mean) == 4
    assert result.best == (min if lower_is_better else max)(scores)


def test_the_expected_best_of_many_uniform_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = (np.arange(600) + 0.5) / 600
    result = expected_best(scores)
    n = np.arange(1, 31)
    assert result.mean[:30] == pytest.approx(n / (n + 1), abs=1e-3)
    assert result.sd[:30] == pytest.approx(np.sqrt(n / (n + 1) ** 2 / (n + 2)), abs=1e-3)
    assert result.mean[-1] <= scores[-1]
    monkeypatch.setattr(many, "AT_A_TIME", 100_000)
    again = expected_best(scores)  # in chunks
    assert again.mean == pytest.approx(result.mean)
    assert again.sd == pytest.approx(result.sd)
    assert expected_best([0.5]) == many.ExpectedBest((0.5,), (0.0,), 0.5)


def test_illegal_arguments_are_refused_by_name() -> None:
    with pytest.raises(
        ValueError, match=r"scores must have the shape \(seeds, variants\), at least 1 x 2, got \(3, 1\)"
    ):
        rank_distribution([[1.0], [2.0], [3.0]])
    with pytest.raises(ValueError, match="scores must be finite"):
        performance_profile([[np.inf]], [0.5])
    with pytest.raises(ValueError, match="thresholds must be a row"):
        performance_profile(SIX, [])
    with pytest.raises(ValueError, match="resamples must be at least 1, got 0"):
        interquartile_mean(SIX, resamples=0)
    for function in (rank_distribution, interquartile_mean):
        with pytest.raises(ValueError, match="confidence must lie between 0 and 1"):
            function(SIX, confidence=0)
    with pytest.raises(ValueError, match="scores must be a row of at least one finite number"):
        expected_best([])
