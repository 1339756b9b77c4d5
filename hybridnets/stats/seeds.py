"""Tests and estimates over seeds, where each seed gives one difference of scores between two variants.

They are about runs with other seeds, that is, with another split, initialisation and order.
"""

from dataclasses import dataclass, replace
from math import erfc

import numpy as np
import numpy.typing as npt

from hybridnets.stats.describe import sample
from hybridnets.stats.result import Test, at_least_0, noncentral_t_below, share, student

MAX_ENUMERATED = 18  # seeds up to which all 2^n sign patterns are enumerated (a few milliseconds)
MAX_RANKED = 500  # differences up to which the distribution of the rank sum is computed (a tenth of a second)
PATTERNS = 100_000  # sign patterns drawn for more seeds
LEAST_SEEDS = 6  # 2 / 2^6 is the first p below .05 that signs alone can give


def paired_t(d: npt.ArrayLike, ratio: float = 0.0, confidence: float = 0.95) -> Test:
    """The paired t test of a mean difference of 0, plain or corrected for overlapping training parts.

    t = mean(d) / (s sqrt(1 / n + ratio)) with n - 1 degrees of freedom; the interval uses the same error. Ratio 0 is the
    plain test: "on this data set, over splits and seeds, do the two differ?". Over random splits of one fixed pool the
    differences are independent given that pool, and the plain test is right. With the splits' ratio the question is "on new
    data of this kind and size?": there the differences correlate, because the splits' training parts overlap.

    Args:
        d: One difference of scores per seed, (n,), finite, roughly normal.
        ratio: 0, or n_val / n_train of each split (3/7 for 7:3).
        confidence: The share of samples whose interval holds the true mean, between 0 and 1.

    Returns:
        The mean difference, t, p and interval over n seeds. With one seed, or if all differences are equal, only the mean
        is defined.

    Raises:
        ValueError: If a difference is not finite, the ratio is negative, or the confidence is not between 0 and 1.

    Source: Student 1908, The probable error of a mean, Biometrika 6(1), 1-25; corrected: Nadeau and Bengio 2003, Inference
    for the generalization error, Machine Learning 52, 239-281 (corrected resampled t-test).
    """
    x = sample(d, "d")
    n, mean = len(x), float(x.mean())
    at_least_0(ratio, "ratio")
    share(confidence, "confidence")
    if why := _no_spread(x):
        return Test(mean, None, None, None, n, why, ratio)
    return replace(student(mean, float(x.std(ddof=1)) * (1 / n + ratio) ** 0.5, n - 1, n, confidence), ratio=ratio)


def wilcoxon(d: npt.ArrayLike) -> Test:
    """Wilcoxon's signed-rank test: exact, also with ties, up to 500 differences, and with the normal approximation above.

    The statistic is the smaller of the two rank sums. Zeros are dropped, ties share their mean rank, and p comes from the
    distribution of the rank sum over all 2^n signs (built rank by rank, in n^3 steps with n^2 values). It assumes
    differences that are independent and symmetric about one centre.

    Args:
        d: One difference of scores per seed, (n,), finite.

    Returns:
        The median difference, the statistic and p, without an interval, over n seeds. With fewer than 6 differences that
        are not zero no p could be below .05, so p is None.

    Raises:
        ValueError: If a difference is not finite.

    Source: Wilcoxon 1945, Individual comparisons by ranking methods, Biometrics Bulletin 1(6), 80-83.
    """
    x = sample(d, "d")
    median = float(np.median(x))
    nonzero = x[np.abs(x) > _rounding(x)]
    order = np.argsort(np.abs(nonzero))
    size = np.abs(nonzero)[order]
    # Sizes that differ by rounding only are tied. Ranks are doubled, so that mean ranks are integers.
    group = np.cumsum(np.diff(size, prepend=size[:1]) > _rounding(x))
    count = np.bincount(group)
    ranks = (2 * np.cumsum(count) - count + 1)[group]
    total, positive = int(ranks.sum()), int(ranks[nonzero[order] > 0].sum())
    smaller = min(positive, total - positive)
    if why := _too_few(len(x), len(nonzero)):
        return Test(median, smaller / 2, None, None, len(x), why)
    if len(nonzero) > MAX_RANKED:
        z = abs(2 * positive - total) / float(np.linalg.norm(ranks))
        return Test(median, smaller / 2, erfc(z / 2**0.5), None, len(x))
    probability = np.zeros(total + 1)  # of each doubled rank sum
    probability[0] = 1
    for rank in ranks:
        probability[rank:] = probability[rank:] + probability[:-rank]
        probability /= 2
    return Test(median, smaller / 2, min(1.0, 2 * float(probability[: smaller + 1].sum())), None, len(x))


def sign_flip(d: npt.ArrayLike) -> Test:
    """The sign-flip (Fisher's randomisation) test of the mean difference.

    p is the share of sign patterns whose mean is at least as far from 0 as the observed mean. Up to 18 seeds these are all
    2^n patterns; for more seeds, 100,000 patterns drawn by a private generator and the observed one. It assumes differences
    that are independent and, if the two variants do not differ, symmetric about 0.

    Args:
        d: One difference of scores per seed, (n,), finite.

    Returns:
        The mean difference (also as statistic) and p, without an interval, over n seeds. With fewer than 6 differences that
        are not zero no p could be below .05, so p is None.

    Raises:
        ValueError: If a difference is not finite.

    Source: Fisher 1935, The design of experiments, section 21; the drawn p: Phipson and Smyth 2010, Permutation p-values
    should never be zero, Statistical Applications in Genetics and Molecular Biology 9(1), article 39.
    """
    x = sample(d, "d")
    n, mean = len(x), float(x.mean())
    if why := _too_few(n, int((np.abs(x) > _rounding(x)).sum())):
        return Test(mean, mean, None, None, n, why)
    observed = abs(float(x.sum())) - n * _rounding(x)  # because sums in another order differ by rounding
    if n <= MAX_ENUMERATED:
        sums = x[:1]  # the first sign stays, because a pattern and its mirror image are equally far from 0
        for value in x[1:]:
            sums = np.concatenate((sums + value, sums - value))
        return Test(mean, mean, float((np.abs(sums) >= observed).mean()), None, n)
    generator, count = np.random.default_rng(0), 0
    for chunk in np.array_split(np.arange(PATTERNS), 1 + PATTERNS * n // 2_000_000):  # at most 16 MB at a time
        signs = generator.integers(0, 2, (len(chunk), n), dtype=np.int8) * 2.0 - 1
        count += int((np.abs(signs @ x) >= observed).sum())
    return Test(mean, mean, (1 + count) / (1 + PATTERNS), None, n)


def least_p(n: int) -> float:
    """The smallest two-sided p that `sign_flip` and `wilcoxon` can give: 2 / 2^n, .25 for 3 seeds, .03125 for 6.

    Args:
        n: The number of seeds whose difference is not zero.

    Raises:
        ValueError: If n is negative.
    """
    return float(min(1.0, 2.0 ** (1 - at_least_0(n, "n"))))


@dataclass(frozen=True)
class Effect:
    """A mean difference in units of the differences' spread.

    Attributes:
        d_z: mean(d) / s; None without a spread.
        g: The same with Hedges' correction for its bias; None if it is undefined.
        interval: The confidence interval for the true mean over the true spread, lower end first; None without d_z.
        why: The reason for a missing value, otherwise empty.
    """

    d_z: float | None
    g: float | None
    interval: tuple[float, float] | None
    why: str = ""


def effect_size(d: npt.ArrayLike, confidence: float = 0.95) -> Effect:
    """The standardised mean of paired differences, d_z, with Hedges' g and an interval.

    d_z = mean(d) / s, and g = J d_z with J = Gamma(m / 2) / (sqrt(m / 2) Gamma((m - 1) / 2)), m = n - 1. The interval contains
    the noncentralities, divided by sqrt(n), for which the observed t is neither too large nor too small. Assumes differences
    that are independent and normal. The effect compares a difference with the noise of seeds; it does not say how much the
    difference matters.

    Args:
        d: One difference of scores per seed, (n,), finite.
        confidence: The share of samples whose interval contains the true value, between 0 and 1.

    Returns:
        The effect. It is undefined for one seed and for equal differences; g is undefined for two seeds (J is 0).

    Raises:
        ValueError: If a difference is not finite, or the confidence is not between 0 and 1.

    Source: Hedges 1981, Distribution theory for Glass's estimator of effect size, Journal of Educational Statistics 6(2),
    107-128 (J); Cumming and Finch 2001, A primer on confidence intervals that are based on central and
    noncentral distributions, Educational and Psychological Measurement 61(4), 532-574 (interval).
    """
    from scipy.optimize import brentq
    from scipy.special import gammaln

    x = sample(d, "d")
    tail = (1 - share(confidence, "confidence")) / 2
    if why := _no_spread(x):
        return Effect(None, None, None, why)
    n = len(x)
    d_z = float(x.mean() / x.std(ddof=1))
    t = d_z * n**0.5

    def noncentrality(probability: float) -> float:
        # The probability of a value below t falls from 1 to 0 as the noncentrality grows past t.
        reach = 40.0 + 10 * abs(t)
        return float(brentq(lambda nc: noncentral_t_below(t, n - 1, nc) - probability, t - reach, t + reach, xtol=1e-9))

    interval = (noncentrality(1 - tail) / n**0.5, noncentrality(tail) / n**0.5)
    if n == 2:
        return Effect(d_z, None, interval, "two seeds have no g")
    m = n - 1
    correction = float(np.exp(gammaln(m / 2) - gammaln((m - 1) / 2))) / (m / 2) ** 0.5
    return Effect(d_z, correction * d_z, interval)


@dataclass(frozen=True)
class Posterior:
    """The posterior of the true mean difference, as three probabilities that sum to 1.

    Attributes:
        better: The probability that it lies above the margin; None without a spread.
        equivalent: The probability that it lies between minus the margin and the margin.
        worse: The probability that it lies below minus the margin.
        interval: The central 95 %, lower end first.
        why: The reason for a missing posterior, otherwise empty.
    """

    better: float | None
    equivalent: float | None
    worse: float | None
    interval: tuple[float, float] | None
    why: str = ""


def bayesian_t(d: npt.ArrayLike, margin: float, ratio: float = 0.0) -> Posterior:
    """The correlated Bayesian t test with a region of practical equivalence.

    Given d, the mean difference follows a Student t with n - 1 degrees of freedom, location mean(d) and scale
    s sqrt(1 / n + ratio) (a flat prior on the mean and on the logarithm of the spread). Assumes normal differences whose
    correlation is ratio / (1 + ratio).

    Args:
        d: One difference of scores per seed, (n,), finite.
        margin: Differences in [-margin, margin], in the scores' unit, count as equivalent in practice.
        ratio: 0, or n_val / n_train of each split, as in `paired_t`.

    Raises:
        ValueError: If a difference is not finite, or the margin or the ratio is negative.

    Source: Benavoli, Corani, Demsar and Zaffalon 2017, Time for a change: a tutorial for comparing multiple classifiers
    through Bayesian analysis, Journal of Machine Learning Research 18(77), 1-36; the posterior: Corani and
    Benavoli 2015, A Bayesian approach for comparing cross-validated algorithms, Machine Learning 100, 285-304.
    """
    from scipy.special import stdtr

    x = sample(d, "d")
    at_least_0(margin, "margin")
    posterior = paired_t(x, ratio)  # the same location, scale and central interval
    if posterior.statistic is None:
        return Posterior(None, None, None, None, posterior.why)
    df, mean = len(x) - 1, float(x.mean())
    scale = float(x.std(ddof=1)) * (1 / len(x) + ratio) ** 0.5
    better = float(stdtr(df, (mean - margin) / scale))
    worse = float(stdtr(df, (-margin - mean) / scale))
    return Posterior(better, max(0.0, 1 - better - worse), worse, posterior.interval)


@dataclass(frozen=True)
class Improvement:
    """The probability that one variant beats the other.

    Attributes:
        value: The share of seeds in which it does; a tie counts one half.
        interval: Clopper and Pearson's interval, lower end first.
        bootstrap: The percentile bootstrap's interval, which has no width if all seeds agree.
    """

    value: float
    interval: tuple[float, float]
    bootstrap: tuple[float, float]


def probability_of_improvement(d: npt.ArrayLike, confidence: float = 0.95) -> Improvement:
    """P(A > B): the share of seeds in which A scores higher, counting ties as one half, with two intervals.

    If the seeds are resampled with replacement, the number of wins is binomial, and the percentile bootstrap consists of two of
    its quantiles, divided by n. That interval has no width if all differences have the same sign, so Clopper and Pearson's is
    given, too. Assumes independent seeds. With ties the number of wins may be a half-integer, which both intervals accept.

    Args:
        d: One difference A - B of scores per seed, (n,), n at least 1, finite.
        confidence: The share of samples whose interval contains the true value, between 0 and 1.

    Raises:
        ValueError: If a difference is not finite, or the confidence is not between 0 and 1.

    Source: Bouthillier et al. 2021, Accounting for variance in machine learning benchmarks, Proceedings of Machine Learning
    and Systems 3; Clopper and Pearson 1934, The use of confidence or fiducial limits illustrated in the case of
    the binomial, Biometrika 26(4), 404-413.
    """
    from scipy.special import betaincinv

    x = sample(d, "d")
    tail = (1 - share(confidence, "confidence")) / 2
    n = len(x)
    zero = _rounding(x)
    positive, negative = int((x > zero).sum()), int((x < -zero).sum())
    wins = positive + (n - positive - negative) / 2
    lower = 0.0 if wins == 0 else float(betaincinv(wins, n - wins + 1, tail))
    upper = 1.0 if wins == n else float(betaincinv(wins + 1, n - wins, 1 - tail))
    # The distribution of half points (2 per win, 1 per tie), summed over n seeds drawn with replacement.
    per_seed = np.array([negative, n - positive - negative, positive]) / n
    probability = np.ones(1)
    for _ in range(n):
        probability = np.convolve(probability, per_seed)
    cumulative = np.cumsum(probability) + 1e-12  # so that rounding does not miss a quantile that is met exactly
    low, high = (int(np.argmax(cumulative >= level)) / (2 * n) for level in (tail, 1 - tail))
    return Improvement(wins / n, (lower, upper), (low, high))


def _rounding(d: npt.NDArray[np.float64]) -> float:
    """The rounding error of differences of scores, within which they count as equal, as .75 - .74 and .76 - .75."""
    return max(1e-9 * float(np.abs(d).max()), 8 * float(np.finfo(np.float64).eps))


def _no_spread(d: npt.NDArray[np.float64]) -> str:
    """The reason why the differences have no spread; empty if they have one."""
    if len(d) == 1:
        return "one seed"
    return "all differences equal" if np.ptp(d) <= _rounding(d) else ""


def _too_few(n: int, nonzero: int) -> str:
    """The reason why signs alone cannot give p < .05; empty if they can."""
    if n < LEAST_SEEDS:
        return f"fewer than {LEAST_SEEDS} seeds"
    return f"fewer than {LEAST_SEEDS} differences that are not zero" if nonzero < LEAST_SEEDS else ""
