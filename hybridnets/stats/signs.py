"""Tests over seeds by ranks and by signs, which do not assume that differences are normal."""

from math import erfc

import numpy as np
import numpy.typing as npt

from hybridnets.stats.describe import rounding, sample
from hybridnets.stats.result import Test, at_least_0, share

MAX_ENUMERATED = 18  # seeds up to which all 2^n sign patterns are enumerated (a few milliseconds)
MAX_RANKED = 50  # differences up to which the distribution of the rank sum is computed (two milliseconds)
PATTERNS = 100_000  # sign patterns drawn for more seeds
LEAST_SEEDS = 6  # 2 / 2^6 is the first p below .05 that signs alone can give


def wilcoxon(d: npt.ArrayLike, confidence: float = 0.95) -> Test:
    """Wilcoxon's signed-rank test with Hodges and Lehmann's estimate: exact, also with ties, up to 50 differences.

    The statistic is the smaller of the two rank sums. Zeros are dropped, ties share their mean rank, and p comes from the
    distribution of the rank sum over all 2^n signs, or from its normal approximation with the variance of the tied ranks
    (without a correction for continuity). It assumes differences that are independent and symmetric about one centre.

    The estimate is Hodges and Lehmann's, the median of the means of all pairs of differences (each also with itself): the
    centre that the test would find least reason to reject, neither the mean nor the median of the differences. The interval's
    ends are two of these means, by the distribution of the rank sum of n differences without ties. So interval and test agree
    if there are no zeros and ties; with them the interval contains the centre more often than it says.

    Args:
        d: One difference of scores per seed, (n,), finite.
        confidence: The share of samples whose interval contains the true centre, between 0 and 1.

    Returns:
        Hodges and Lehmann's estimate, the statistic, p and the interval over n seeds. With fewer than 6 differences that
        are not zero no p could be below .05, so p and the interval are None; so is an interval of a confidence that n signs
        cannot give.

    Raises:
        ValueError: If a difference is not finite, or the confidence is not between 0 and 1.

    Source: Wilcoxon 1945, Individual comparisons by ranking methods, Biometrics Bulletin 1(6), 80-83; Hodges and Lehmann 1963,
    Estimates of location based on rank tests, Annals of Mathematical Statistics 34(2), 598-611; Hollander and Wolfe 1999,
    Nonparametric statistical methods, sections 3.1 to 3.3.
    """
    x = sample(d, "d")
    share(confidence, "confidence")
    n = len(x)
    means = n * (n + 1) // 2  # of all pairs
    ascending = np.sort(x)
    centre = (_mean_of_pair(ascending, (means + 1) // 2) + _mean_of_pair(ascending, means // 2 + 1)) / 2
    nonzero = x[np.abs(x) > rounding(x)]
    order = np.argsort(np.abs(nonzero))
    size = np.abs(nonzero)[order]
    # Sizes that differ by rounding only are tied. Ranks are doubled, so that mean ranks are integers.
    group = np.cumsum(np.diff(size, prepend=size[:1]) > rounding(x))
    count = np.bincount(group)
    ranks = (2 * np.cumsum(count) - count + 1)[group]
    total, positive = int(ranks.sum()), int(ranks[nonzero[order] > 0].sum())
    smaller = min(positive, total - positive)
    if why := _too_few(n, len(nonzero)):
        return Test(centre, smaller / 2, None, None, n, why)
    if len(nonzero) > MAX_RANKED:
        p = erfc(abs(2 * positive - total) / float(np.linalg.norm(ranks)) / 2**0.5)
    else:
        p = min(1.0, 2 * float(_rank_sums(ranks)[: smaller + 1].sum()))
    beyond = _means_beyond(n, (1 - confidence) / 2)
    ends = (_mean_of_pair(ascending, beyond), _mean_of_pair(ascending, means + 1 - beyond)) if beyond else None
    return Test(centre, smaller / 2, p, ends, n)


def _rank_sums(ranks: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The probability of each sum of those ranks whose sign is positive, from 0 to the sum of all."""
    probability = np.zeros(int(ranks.sum()) + 1)
    probability[0] = 1
    for rank in ranks:
        probability[rank:] = probability[rank:] + probability[:-rank]
        probability /= 2
    return probability


def _mean_of_pair(x: npt.NDArray[np.float64], place: int) -> float:
    """One of the n (n + 1) / 2 means of pairs (x_i + x_j) / 2, i <= j, in ascending order.

    Args:
        x: The values in ascending order, (n,).
        place: The place of the mean, from 1.
    """
    low, high = float(x[0]), float(x[-1])
    rounding_error = 1e-15 * max(abs(low), abs(high))
    itself = np.arange(1, len(x) + 1)
    # All means up to a bound are counted, because a table of all would take gigabytes for 50,000 values.
    while high - low > rounding_error and low < (bound := (low + high) / 2) < high:
        # Each unordered pair is counted twice, and x_i with itself once.
        up_to = np.searchsorted(x, 2 * bound - x, side="right")
        pairs = (int(up_to.sum()) + int((up_to >= itself).sum())) // 2
        low, high = (low, bound) if pairs >= place else (bound, high)
    # The bisection ends within rounding of the mean; the largest mean up to its end is that mean.
    partner = np.searchsorted(x, 2 * high - x, side="right")
    reached = partner > 0
    return float(np.max((x[reached] + x[partner[reached] - 1]) / 2))


def _means_beyond(n: int, tail: float) -> int:
    """The place of the interval's lower end among the means of pairs, from 1; 0 if n signs cannot give such a tail."""
    if n <= MAX_RANKED:
        cumulative = np.cumsum(_rank_sums(np.arange(1, n + 1)))
        return int(np.searchsorted(cumulative, tail, side="right"))
    from scipy.special import ndtri

    return int(n * (n + 1) / 4 + float(ndtri(tail)) * (n * (n + 1) * (2 * n + 1) / 24) ** 0.5)


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
    if why := _too_few(n, int((np.abs(x) > rounding(x)).sum())):
        return Test(mean, mean, None, None, n, why)
    observed = abs(float(x.sum())) - n * rounding(x)  # because sums in another order differ by rounding
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


def _too_few(n: int, nonzero: int) -> str:
    """The reason why signs alone cannot give p < .05; empty if they can."""
    if n < LEAST_SEEDS:
        return f"fewer than {LEAST_SEEDS} seeds"
    return f"fewer than {LEAST_SEEDS} differences that are not zero" if nonzero < LEAST_SEEDS else ""
