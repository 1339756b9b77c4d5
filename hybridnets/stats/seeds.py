"""Tests and estimates over seeds, where each seed gives one difference of scores between two variants.

They are about runs with other seeds, that is, with another split, initialisation and order.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hybridnets.stats.describe import no_spread, rounding, sample
from hybridnets.stats.result import Test, at_least_0, noncentral_t_below, share, student


def paired_t(d: npt.ArrayLike, ratio: float = 0.0, confidence: float = 0.95) -> Test:
    """The paired t test of a mean difference of 0, plain or corrected for overlapping training parts.

    t = mean(d) / (s sqrt(1 / n + ratio)) with n - 1 degrees of freedom; the interval uses the same error. Ratio 0 is the
    plain test: "on this data set, over splits and seeds, do the two differ?". Over random splits of one fixed pool the
    differences are independent given that pool, and the plain test is right. With the splits' ratio the question is "on new
    data of this kind and size?": there the differences correlate, because the splits' training parts overlap.

    Args:
        d: One difference of scores per seed, (n,), finite, roughly normal.
        ratio: 0, n_val / n_train of each split (3/7 for 7:3), or `kfold_ratio`, if the splits are folds.
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
    if why := no_spread(x):
        return Test(mean, None, None, None, n, why, ratio)
    return replace(student(mean, float(x.std(ddof=1)) * (1 / n + ratio) ** 0.5, n - 1, n, confidence), ratio=ratio)


def mean_score(x: npt.ArrayLike, confidence: float = 0.95) -> Test:
    """The mean of a variant's scores over seeds, with Student's interval; no p, because a score of 0 is no hypothesis.

    The interval is about further seeds on the same data set.

    Args:
        x: One score per seed, (n,), finite, roughly normal.
        confidence: The share of samples whose interval holds the true mean, between 0 and 1.

    Returns:
        The mean and its interval over n seeds. With one seed, or if all scores are equal, only the mean is defined.

    Raises:
        ValueError: If a score is not finite, or the confidence is not between 0 and 1.

    Source: Student 1908, The probable error of a mean, Biometrika 6(1), 1-25.
    """
    values = sample(x, "x")
    n, mean = len(values), float(values.mean())
    share(confidence, "confidence")
    if why := no_spread(values):
        return Test(mean, None, None, None, n, why.replace("differences", "scores"))
    interval = student(mean, float(values.std(ddof=1)) / n**0.5, n - 1, n, confidence).interval
    return Test(mean, None, None, interval, n)


def tost(d: npt.ArrayLike, margin: float, ratio: float = 0.0) -> Test:
    """Two one-sided tests at 5 % of whether two variants are equivalent: whether the mean difference lies within a margin.

    One test is of a mean of at most -margin, the other of a mean of at least margin, both by `paired_t`'s error with n - 1
    degrees of freedom; p is the larger of the two. p < .05 says "equivalent", and then the interval, of 90 %, lies between
    -margin and margin. A large p does not say that they differ.

    Args:
        d: One difference of scores per seed, (n,), finite, roughly normal.
        margin: The largest difference, in the scores' unit, that does not matter; above 0, and chosen before the runs.
        ratio: 0, n_val / n_train of each split, or `kfold_ratio`, as in `paired_t`.

    Returns:
        The mean difference, the t that is closer to 0, p and the 90 % interval over n seeds. With one seed, or if all
        differences are equal, only the mean is defined.

    Raises:
        ValueError: If a difference is not finite, the margin is not above 0, or the ratio is negative.

    Source: Schuirmann 1987, A comparison of the two one-sided tests procedure and the power approach, Journal of
    Pharmacokinetics and Biopharmaceutics 15(6), 657-680; Lakens 2017, Equivalence tests, Social Psychological and Personality
    Science 8(4), 355-362.
    """
    from scipy.special import stdtr

    x = sample(d, "d")
    if not at_least_0(margin, "margin"):
        raise ValueError(f"margin must be above 0, got {margin!r}")
    result = paired_t(x, ratio, 0.9)
    if result.interval is None:
        return result
    n, mean = len(x), float(x.mean())
    error = float(x.std(ddof=1)) * (1 / n + ratio) ** 0.5
    t = min((mean + margin) / error, (margin - mean) / error)
    return Test(mean, -t if mean > 0 else t, float(stdtr(n - 1, -t)), result.interval, n)


def kfold_ratio(folds: int) -> float:
    """The ratio for `paired_t` and the like where splits are folds: 1 / (folds - 1), which is n_val / n_train of a fold.

    The same correction holds for one k-fold cross-validation and for repetitions of it, with n the differences of all folds of
    all repetitions. It assumes that any two differences correlate by n_val / (n_val + n_train) = 1 / folds. That is a rule, no
    theorem: within a repetition the held-out parts are disjoint and the training parts overlap more than between
    repetitions, and no estimate of the variance over the folds of one pool is unbiased (Bengio and Grandvalet 2004). It keeps
    its level about new data (1 to 3 % for 5 % in benchmarks/folds.py, where the plain t errs in 27 % with three repetitions).
    On one fixed pool it is far too careful, as is the plain t, because every image is held out once.

    Args:
        folds: The number of folds, at least 2.

    Raises:
        ValueError: If it is not a whole number of at least 2.

    Source: Nadeau and Bengio 2003, Inference for the generalization error, Machine Learning 52, 239-281; Bouckaert and Frank
    2004, Evaluating the replicability of significance tests for comparing learning algorithms, PAKDD, LNAI 3056, 3-12
    (corrected repeated k-fold cv test); Bengio and Grandvalet 2004, No unbiased estimator of the variance of K-fold
    cross-validation, Journal of Machine Learning Research 5, 1089-1105.
    """
    if folds != int(folds) or folds < 2:
        raise ValueError(f"folds must be a whole number of at least 2, got {folds!r}")
    return 1 / (folds - 1)


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
    if why := no_spread(x):
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

    @property
    def reversed(self) -> "Improvement":
        """The probability that the other variant beats this one."""
        (low, high), (lowest, highest) = self.interval, self.bootstrap
        return Improvement(1 - self.value, (1 - high, 1 - low), (1 - highest, 1 - lowest))


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
    zero = rounding(x)
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
