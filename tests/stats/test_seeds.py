import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from statsmodels.stats.weightstats import DescrStatsW

from hybridnets.stats import (
    bayesian_t,
    effect_size,
    kfold_ratio,
    mean_score,
    paired_t,
    probability_of_improvement,
    sign_flip,
    tost,
    wilcoxon,
)

WORKED = [0.012, 0.018, 0.009]
# Student 1908: additional hours of sleep, difference of two drugs.
SLEEP = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
# Darwin 1876, heights of cross-fertilised maize less self-fertilised, in eighths of an inch, as in Fisher 1935, chapter 3.
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]

# Differences of accuracies on 15,000 images, at least two of them different.
DIFFERENCES = st.lists(st.integers(-300, 300), min_size=2, max_size=12).map(lambda d: np.array(d) / 15_000)
SPREAD = DIFFERENCES.filter(lambda d: np.ptp(d) > 0)
RATIOS = st.integers(0, 200).map(lambda percent: percent / 100)
relaxed = settings(deadline=None, max_examples=60)  # the machine may be busy


def test_the_worked_example_plain_and_corrected() -> None:
    plain, corrected = paired_t(WORKED), paired_t(WORKED, 3 / 7)
    assert (plain.statistic, plain.p) == pytest.approx((4.9135, 0.0390), abs=5e-5)
    assert (corrected.statistic, corrected.p) == pytest.approx((3.25, 0.08305), abs=5e-6)
    assert corrected.interval == pytest.approx((-0.00421, 0.03021), abs=5e-6)
    assert corrected.estimate == pytest.approx(0.013)
    assert (corrected.n, corrected.why) == (3, "")


def test_the_paired_t_on_students_sleep_data() -> None:
    result = paired_t(SLEEP)  # from R's help page of t.test
    assert (result.statistic, result.p) == pytest.approx((4.0621, 0.002833), rel=2e-4)
    assert result.interval == pytest.approx((0.7001142, 2.4598858), abs=1e-7)


def test_all_three_tests_on_darwins_maize() -> None:
    t = paired_t(DARWIN)
    assert (t.statistic, t.p) == pytest.approx((2.148, 0.04970), abs=5e-4)  # Fisher 1935, section 17
    assert sign_flip(DARWIN).p == 2 * 863 / 2**15  # Fisher 1935, section 21: 5.267 %
    result = wilcoxon(DARWIN)  # from scipy's page of wilcoxon
    assert (result.statistic, result.p) == (24, 0.041259765625)


def test_tost_of_students_sleep_data() -> None:
    # R 4.2.2: t.test(d, mu = -3, alternative = "greater"), t.test(d, mu = 3, alternative = "less"), conf.level = .90
    result = tost(SLEEP, 3)
    assert result.statistic == pytest.approx(-3.65077298, abs=5e-6)
    assert result.p == pytest.approx(2.65557029266e-03, rel=1e-6)
    assert result.interval == pytest.approx((0.866994732971, 2.293005267029), abs=1e-7)
    assert result.estimate == pytest.approx(1.58)
    assert (result.n, result.why) == (10, "")


@relaxed
@given(SPREAD, st.integers(1, 300), RATIOS)
def test_tost_is_two_one_sided_tests_and_says_equivalent_if_the_90_percent_interval_is_within_the_margin(
    d: np.ndarray, points: int, ratio: float
) -> None:
    margin = points / 15_000
    result, mirrored = tost(d, margin, ratio), tost(-d, margin, ratio)
    assert result.p is not None
    assert result.interval is not None
    assert mirrored.p == pytest.approx(result.p)
    assert mirrored.interval == pytest.approx((-result.interval[1], -result.interval[0]), abs=1e-15)
    if abs(result.p - 0.05) > 1e-9:
        assert (result.p < 0.05) == (-margin < result.interval[0] and result.interval[1] < margin)
    if ratio == 0:
        one_sided = [
            scipy_stats.ttest_1samp(d, bound, alternative=side).pvalue
            for bound, side in ((-margin, "greater"), (margin, "less"))
        ]
        assert result.p == pytest.approx(max(one_sided), rel=1e-9)
        assert result.p == pytest.approx(DescrStatsW(d).ttost_mean(-margin, margin)[0], rel=1e-9)


def test_the_ratio_of_folds_is_that_of_their_sizes() -> None:
    assert [kfold_ratio(k) for k in (2, 5, 10)] == [1, 1 / 4, 1 / 9]
    # Bouckaert and Frank 2004, section 2.4: r times k folds, t = mean / sqrt((1 / (k r) + n2 / n1) s^2)
    d = np.random.default_rng(8).normal(0.5, 1, 100)
    t = d.mean() / ((1 / 100 + 10 / 90) * d.var(ddof=1)) ** 0.5
    assert paired_t(d, kfold_ratio(10)).statistic == pytest.approx(t)


def test_three_seeds_are_significant_from_a_known_effect_size() -> None:
    def at(size: float) -> list[float]:  # three differences with mean / s = size
        return [size - 1, size, size + 1]

    assert [paired_t(at(size)).p < 0.05 for size in (2.483, 2.485)] == [False, True]  # type: ignore[operator]
    assert [paired_t(at(size), 3 / 7).p < 0.05 for size in (3.755, 3.757)] == [False, True]  # type: ignore[operator]


@relaxed
@given(SPREAD, RATIOS, RATIOS)
def test_the_correction_only_raises_p_and_widens_the_interval(d: np.ndarray, ratio: float, second_ratio: float) -> None:
    plain, small, large = (paired_t(d, ratio) for ratio in (0.0, *sorted((ratio, second_ratio))))
    reference = scipy_stats.ttest_1samp(d, 0)
    assert (plain.statistic, plain.p) == pytest.approx((reference.statistic, reference.pvalue), rel=1e-9)
    assert plain.interval == pytest.approx(tuple(reference.confidence_interval()), rel=1e-9, abs=1e-15)
    assert plain.p is not None
    assert small.p is not None
    assert large.p is not None
    assert plain.p <= small.p * (1 + 1e-12)
    assert small.p <= large.p * (1 + 1e-12)
    widths = [test.interval[1] - test.interval[0] for test in (plain, small, large) if test.interval]
    assert widths[0] <= widths[1] * (1 + 1e-12)
    assert widths[1] <= widths[2] * (1 + 1e-12)


@relaxed
@given(DIFFERENCES, RATIOS, st.randoms(use_true_random=False))
def test_swapping_sides_flips_signs_and_the_order_of_seeds_does_not_matter(
    d: np.ndarray, ratio: float, order: object
) -> None:
    shuffled = d.tolist()
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    for test in (lambda x: paired_t(x, ratio), wilcoxon, sign_flip):
        result, mirrored, again = test(d), test(-d), test(shuffled)
        assert (mirrored.why, again.why) == (result.why, result.why)
        assert (mirrored.p is None) == (again.p is None) == (result.p is None)
        if result.p is not None:
            assert (mirrored.p, again.p) == pytest.approx((result.p, result.p), rel=1e-9)
        assert result.estimate is not None
        assert (mirrored.estimate, again.estimate) == pytest.approx((-result.estimate, result.estimate), abs=1e-15)
        if result.interval:
            assert mirrored.interval == pytest.approx((-result.interval[1], -result.interval[0]), abs=1e-15)
    improvement, opposite = probability_of_improvement(d), probability_of_improvement(-d)
    assert improvement.value == pytest.approx(1 - opposite.value)
    assert improvement.interval == pytest.approx((1 - opposite.interval[1], 1 - opposite.interval[0]))
    chances, mirrored_chances = bayesian_t(d, 0.005, ratio), bayesian_t(-d, 0.005, ratio)
    assert chances.why == mirrored_chances.why
    if not chances.why:
        assert (chances.better, chances.equivalent) == pytest.approx(
            (mirrored_chances.worse, mirrored_chances.equivalent), abs=1e-12
        )


def test_hedges_correction_equals_its_closed_form() -> None:
    # J in closed form for 2, 3 and 4 degrees of freedom, and by Hedges' approximation 1 - 3 / (4 m - 1)
    cases = {3: (1 / np.pi) ** 0.5, 4: (np.pi / 6) ** 0.5, 5: (2 / np.pi) ** 0.5, 31: 1 - 3 / 119, 101: 1 - 3 / 399}
    for n, factor in cases.items():
        effect = effect_size(np.arange(n))
        assert effect.g is not None
        assert effect.d_z is not None
        assert effect.g / effect.d_z == pytest.approx(factor, rel=1e-12 if n < 6 else 5e-5)


@relaxed
@given(SPREAD)
def test_the_ends_of_the_effects_interval_put_t_in_the_tails(d: np.ndarray) -> None:
    effect, n = effect_size(d), len(d)
    assert effect.d_z == pytest.approx(d.mean() / d.std(ddof=1))
    assert effect.interval is not None
    assert (effect.g is None, effect.why) == ((True, "two seeds have no g") if n == 2 else (False, ""))
    t = effect.d_z * n**0.5
    tails = scipy_stats.nct.cdf(t, n - 1, np.array(effect.interval) * n**0.5)
    assert tails == pytest.approx((0.975, 0.025), abs=1e-6)


def test_effects_of_almost_equal_differences_are_finite() -> None:
    effect = effect_size([1.0, 1.0 + 1e-7, 1.0 - 1e-7])
    assert effect.interval == pytest.approx(
        (0.15912e7, 1.92065e7), rel=1e-4
    )  # due to the uncertainty of the spread alone


def test_the_posterior_is_a_t_around_the_mean() -> None:
    result = bayesian_t(WORKED, 0.01, 3 / 7)
    scale = np.std(WORKED, ddof=1) * (1 / 3 + 3 / 7) ** 0.5
    posterior = scipy_stats.t(2, 0.013, scale)
    expected = (posterior.sf(0.01), posterior.cdf(0.01) - posterior.cdf(-0.01), posterior.cdf(-0.01))
    assert (result.better, result.equivalent, result.worse) == pytest.approx(expected)
    assert result.interval == pytest.approx(posterior.interval(0.95))
    # Without a margin, the chance of being worse is half the t test's p.
    assert bayesian_t(WORKED, 0).worse == pytest.approx(0.0390123 / 2, abs=1e-7)


@pytest.mark.parametrize(("wins", "n"), [(0, 1), (1, 1), (2, 3), (10, 10), (7, 20)])
def test_the_probability_of_improvement_has_two_binomial_intervals(wins: int, n: int) -> None:
    result = probability_of_improvement([0.1] * wins + [-0.2] * (n - wins))
    exact = scipy_stats.binomtest(wins, n).proportion_ci(0.95, method="exact")
    assert result.value == wins / n
    assert result.interval == pytest.approx((exact.low, exact.high))
    assert result.bootstrap == pytest.approx(scipy_stats.binom.ppf((0.025, 0.975), n, wins / n) / n)


def test_ties_count_one_half() -> None:
    result = probability_of_improvement([0.0, 0.1, -0.1, 0.1])
    assert result.value == 0.625
    resampled = np.random.default_rng(0).choice([0.5, 1, 0, 1], (100_000, 4)).mean(1)
    assert result.bootstrap == tuple(np.quantile(resampled, (0.025, 0.975), method="inverted_cdf"))
    assert result.interval[0] < result.value < result.interval[1]
    assert probability_of_improvement([0.0]).value == 0.5


@pytest.mark.parametrize(
    ("d", "why"), [([0.01], "one seed"), ([0.75 - 0.74, 0.76 - 0.75, 0.77 - 0.76], "all differences equal")]
)
def test_without_a_spread_the_result_has_a_mean_and_a_reason(d: list[float], why: str) -> None:
    for ratio in (0, 3 / 7):
        result = paired_t(d, ratio)
        assert (result.statistic, result.p, result.interval, result.why) == (None, None, None, why)
        assert tost(d, 0.02, ratio) == result
        assert result.estimate == pytest.approx(0.01)
        posterior = bayesian_t(d, 0.005, ratio)
        assert (posterior.better, posterior.interval, posterior.why) == (None, None, why)
    assert effect_size(d).why == why
    assert effect_size(d).d_z is None


@pytest.mark.parametrize("d", [[], [0.1, float("nan")], [0.1, float("inf")]])
def test_an_illegal_sample_is_refused_by_name(d: list[float]) -> None:
    of_margin = (lambda x: bayesian_t(x, 0.01), lambda x: tost(x, 0.01))
    tests = (paired_t, wilcoxon, sign_flip, effect_size, probability_of_improvement, *of_margin)
    for test in tests:
        with pytest.raises(ValueError, match=r"^d must be a row of at least one finite number"):
            test(d)


def test_arguments_out_of_range_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="ratio must be a finite number, at least 0, got -1"):
        paired_t([0.1], -1)
    with pytest.raises(ValueError, match="margin"):
        bayesian_t(WORKED, float("nan"))
    for test in (paired_t, effect_size, probability_of_improvement):
        with pytest.raises(ValueError, match="confidence must lie between 0 and 1, got 1"):
            test(WORKED, confidence=1)
    with pytest.raises(ValueError, match="margin must be a finite number, at least 0, got nan"):
        tost(WORKED, float("nan"))
    with pytest.raises(ValueError, match="margin must be above 0, got 0"):
        tost(WORKED, 0)
    with pytest.raises(ValueError, match="ratio must be"):
        tost(WORKED, 0.01, -1)
    for folds in (1, 2.5, -3):
        with pytest.raises(ValueError, match="folds must be a whole number of at least 2"):
            kfold_ratio(folds)  # type: ignore[arg-type]


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_a_mean_score_has_students_interval_and_no_p(confidence: float) -> None:
    scores = [0.75, 0.8, 0.9, 0.85]
    result = mean_score(scores, confidence)
    expected = scipy_stats.t.interval(confidence, 3, np.mean(scores), scipy_stats.sem(scores))
    assert result.interval == pytest.approx(expected, rel=1e-12)
    assert result.estimate == pytest.approx(0.825)
    assert (result.p, result.statistic, result.n) == (None, None, 4)


@pytest.mark.parametrize(("scores", "why"), [([0.8], "one seed"), ([0.8, 0.8], "all scores equal")])
def test_a_mean_score_without_spread_has_no_interval(scores: list[float], why: str) -> None:
    result = mean_score(scores)
    assert (result.estimate, result.interval, result.why) == (0.8, None, why)
