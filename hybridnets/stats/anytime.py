"""The anytime-valid t test: evidence and interval over seeds that hold at any number of seeds, however it was chosen."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hybridnets.stats.describe import sample
from hybridnets.stats.result import share
from hybridnets.stats.seeds import paired_t

EFFECT = 1.0  # the standardised effect of the two points, and the standard deviation of the normal part
POINTS = 0.75  # the weight of the two points, chosen by simulated power (docs/statistics.md)
HALVINGS = 60  # of the interval that contains a root


def log_e_value(d: npt.ArrayLike, points: float = POINTS) -> float:
    """The natural logarithm of the e-value against a true mean difference of 0: 3.0 (= log 20) or more is "significant".

    The likelihood ratio of the t statistic under a mixture of standardised effects (true mean over true spread) against an
    effect of 0: three quarters of the mixture are the two effects +1 and -1 in equal parts, one quarter is normal around 0
    with a standard deviation of 1. With m = n - 1, y = t^2 / (t^2 + m) and r = 1 + n the two parts are

        exp(-n / 2) 1F1(n / 2; 1 / 2; n y / 2)    and    r^(-1/2) (1 - y (1 - 1 / r))^(-n / 2).

    Seed by seed these ratios are a nonnegative martingale if the differences are independent and normal around 0, whatever
    their spread. So the probability that the ratio ever reaches 1 / alpha is at most alpha, and 1 / e is a p-value at any
    number of seeds, also one that depends on the differences. Its minimum over the looks so far is one, too.

    Why this mixture: of those simulated for effects of .5 to 2 in 3 to 30 seeds, the two points alone have the most power, but
    their interval never becomes narrower than about half the spread to each side, so that no smaller margin is ever settled.
    The normal part alone needs 1.7 seeds more for an effect of 1, and its interval shrinks to nothing. The mixture needs .3
    seeds more than the points, and its interval shrinks as well.

    Args:
        d: One difference of scores per seed, (n,), finite, independent and normal.
        points: The weight of the two points, from 0 to 1. Another weight is another test, to be chosen beforehand.

    Returns:
        log e. With one seed, or if all differences are equal, it is 0: they say nothing about the mean against the spread.

    Raises:
        ValueError: If a difference is not finite, or the weight is not from 0 to 1.

    Source: Lai 1976, On confidence sequences, Annals of Statistics 4(2), 265-280; Grünwald, de Heide and Koolen 2024, Safe
    testing, Journal of the Royal Statistical Society B 86(5), 1091-1128 (the likelihood ratio of the maximal invariant); Wang
    and Ramdas 2024, Anytime-valid t-tests and confidence sequences for Gaussian means with unknown variance, Sequential
    Analysis 44(1), 56-110 (the normal mixture).
    """
    x = sample(d, "d")
    _weight(points)
    t = paired_t(x).statistic
    if t is None:
        return 0.0
    n = len(x)
    return float(_log_ratio(1 / (1 + (n - 1) / t**2) if t else 0.0, n, points))


def anytime_critical(n: int, alpha: float = 0.05, points: float = POINTS) -> float:
    """The |t| of n seeds from which on the e-value is at least 1 / alpha.

    mean +- this s / sqrt(n) is the confidence sequence: with a probability of 1 - alpha the interval contains the true mean at
    all numbers of seeds at once. So does the running intersection of these intervals, which is empty with a probability of at
    most alpha.

    Args:
        n: The number of seeds, at least 1.
        alpha: The level, between 0 and 1.
        points: The weight of the two points, as in `log_e_value`.

    Returns:
        The critical |t|; infinity where no t is enough: at level .05 below 5 seeds.

    Raises:
        ValueError: If n is below 1, alpha is not between 0 and 1, or the weight is not from 0 to 1.

    Source: As `log_e_value`.
    """
    needed = -float(np.log(share(alpha, "alpha")))
    _weight(points)
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n!r}")
    return _critical(n, needed, points)


@lru_cache(maxsize=1024)
def _critical(n: int, needed: float, points: float) -> float:
    """The |t| of n seeds whose log e-value is `needed`; infinity where there is none."""
    if n == 1 or _log_ratio(1.0, n, points) <= needed:
        return float("inf")
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _log_ratio(middle, n, points) < needed else (low, middle)
    return float(np.sqrt((n - 1) * low / (1 - low)))


def _log_ratio(y: float, n: int, weight: float) -> float:
    """The logarithm of the mixture's likelihood ratio.

    Args:
        y: t^2 / (t^2 + n - 1), from 0 to 1.
        n: The number of seeds.
        weight: Of the two points.
    """
    from scipy.special import gammaln

    information = n * EFFECT**2
    r = 1 + information
    normal = -0.5 * np.log(r) - n / 2 * np.log1p(-y * (1 - 1 / r))
    # 1F1 as its power series in logarithms: its terms are all positive, largest at or before 0.81 n, negligible from 2 n on.
    k = np.arange(200 + 2 * n)
    rising = gammaln(n / 2 + k) - gammaln(n / 2) - gammaln(0.5 + k) + gammaln(0.5) - gammaln(k + 1)
    with np.errstate(divide="ignore"):  # the logarithm of 0 is minus infinity
        terms = rising + np.concatenate(([0.0], k[1:] * np.log(information * y / 2)))
    points = -information / 2 + terms.max() + np.log(np.exp(terms - terms.max()).sum())
    with np.errstate(divide="ignore"):
        return float(np.logaddexp(np.log(weight) + points, np.log(1 - weight) + normal))


def _weight(points: float) -> None:
    """Raises ValueError if a weight is not from 0 to 1."""
    if not 0 <= points <= 1:
        raise ValueError(f"points must be from 0 to 1, got {points!r}")
