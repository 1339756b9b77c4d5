"""Planning: the number of seeds that a test needs to detect a difference, and its uncertainty after a pilot."""

from dataclasses import dataclass
from math import ceil, pi

import numpy as np
import numpy.typing as npt

from hybridnets.stats.describe import sample
from hybridnets.stats.result import at_least_0, noncentral_t_below, share
from hybridnets.stats.seeds import paired_t
from hybridnets.stats.signs import LEAST_SEEDS

MOST_SEEDS = 10_000  # where the search ends
FEWEST_PILOT_SEEDS = 5  # with fewer, the spread is known at best to within a factor of 3


def power(difference: float, sd: float, n: int, ratio: float = 0.0, alpha: float = 0.05) -> float:
    """The probability that the two-sided paired t test, plain or corrected, detects a difference at level alpha.

    With n seeds t follows a noncentral t with n - 1 degrees of freedom and noncentrality
    difference / (sd sqrt(1 / n + ratio)). Assumes normal differences. With a ratio it also assumes that their correlation is
    the correction's, ratio / (1 + ratio), and that `sd` is their spread within a pool.

    Args:
        difference: The true mean difference, in the scores' unit, either sign.
        sd: The differences' standard deviation over seeds, above 0.
        n: The number of seeds, at least 1; with one seed the power is 0.
        ratio: 0, or n_val / n_train of each split, as in `paired_t`.
        alpha: The test's level, between 0 and 1.

    Raises:
        ValueError: If an argument lies outside its range.

    Source: Johnson and Welch 1940, Applications of the non-central t-distribution, Biometrika 31(3/4), 362-389; the error:
    Nadeau and Bengio 2003, Inference for the generalization error, Machine Learning 52, 239-281.
    """
    from scipy.special import stdtrit

    size = _size(difference, sd)
    at_least_0(ratio, "ratio")
    share(alpha, "alpha")
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n!r}")
    if n == 1:
        return 0.0
    critical = float(stdtrit(n - 1, 1 - alpha / 2))
    noncentrality = size / (1 / n + ratio) ** 0.5
    upper_tail = 1 - noncentral_t_below(critical, n - 1, noncentrality)
    return upper_tail + noncentral_t_below(-critical, n - 1, noncentrality)


_power = power  # for functions that have an argument of the same name


def seeds_needed(
    difference: float, sd: float, ratio: float = 0.0, power: float = 0.8, alpha: float = 0.05
) -> int | None:
    """The smallest number of seeds with which the paired t test has the requested power.

    Args:
        difference: The true mean difference, in the scores' unit, either sign.
        sd: The differences' standard deviation over seeds, above 0.
        ratio: 0, or n_val / n_train of each split, as in `paired_t`.
        power: The requested power, between 0 and 1.
        alpha: The test's level, between 0 and 1.

    Returns:
        The number of seeds, at least 2; None if more than 10,000 are needed. With a ratio, that is the case whenever
        |difference| / sd is at most `floor`.

    Raises:
        ValueError: If an argument lies outside its range.

    Source: As `power`.
    """
    share(power, "power")

    def enough(n: int) -> bool:
        return _power(difference, sd, n, ratio, alpha) >= power

    if not enough(MOST_SEEDS):
        return None
    low, high = 1, 2
    while not enough(high):
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def floor(ratio: float, power: float = 0.8, alpha: float = 0.05) -> float:
    """The |difference| / sd that the corrected test needs with infinitely many seeds; smaller ones it cannot detect.

    As n grows, t becomes normal with the finite mean difference / (sd sqrt(ratio)), because more splits of one pool do not
    tell more about other pools. For ratio 3/7 the floor is 1.283 at 50 % and 1.834 at 80 % power; without a ratio it is 0.

    Args:
        ratio: n_val / n_train of each split, or 0.
        power: The requested power, between 0 and 1.
        alpha: The test's level, between 0 and 1.

    Raises:
        ValueError: If an argument lies outside its range.

    Source: The limit of `power` for n to infinity.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtr, ndtri

    at_least_0(ratio, "ratio")
    critical = -float(ndtri(share(alpha, "alpha") / 2))
    if share(power, "power") <= alpha:
        return 0.0
    mean = brentq(lambda m: ndtr(m - critical) + ndtr(-m - critical) - power, 0.0, critical + 40.0)
    return float(mean * ratio**0.5)


@dataclass(frozen=True)
class Plan:
    """The number of seeds that one test needs.

    Attributes:
        test: The test's name.
        seeds: The number of seeds at the pilot's spread; None if there is no such number.
        interval: The numbers of seeds at the two ends of the 95 % interval of the spread, lower end first; an end is None if
            more than 10,000 seeds are needed, or the pilot has no spread.
        rough: Whether the pilot has fewer than 5 seeds, so that the interval is more informative than `seeds`.
        why: The reason for a missing number, and the remedy; otherwise empty.
    """

    test: str
    seeds: int | None
    interval: tuple[int | None, int | None]
    rough: bool
    why: str = ""


def plan(
    d: npt.ArrayLike, difference: float, ratio: float | None = None, power: float = 0.8, alpha: float = 0.05
) -> list[Plan]:
    """The number of seeds that each test needs to detect a difference, from a pilot's spread and its uncertainty.

    The plain paired t uses `seeds_needed`. Wilcoxon's test needs the t's number divided by its asymptotic relative efficiency,
    3 / pi; the sign-flip test needs the t's number, because in the limit it is as efficient. Both need more if signs alone
    cannot give p < alpha with so few seeds (6 for .05). With a ratio, the corrected t is added. The interval of the number
    comes from the chi-square interval (95 %) of the spread. Assumes normal differences that are independent given the pool.

    Args:
        d: The pilot's differences, one per seed, (n,), finite.
        difference: The difference to detect, in the scores' unit, either sign.
        ratio: n_val / n_train of each split; None leaves out the corrected t.
        power: The requested power, between 0 and 1.
        alpha: The tests' level, between 0 and 1.

    Returns:
        A plan for each test. If the pilot has one seed or equal differences, or more than 10,000 seeds are needed, the plan
        has a reason instead of a number.

    Raises:
        ValueError: If an argument lies outside its range.

    Source: Hodges and Lehmann 1956, The efficiency of some nonparametric competitors of the t-test, Annals of Mathematical
    Statistics 27(2), 324-335 (3 / pi under normality); Hoeffding 1952, The large-sample power of tests based on
    permutations of observations, Annals of Mathematical Statistics 23(2), 169-192 (sign-flip).
    """
    x = sample(d, "d")
    rough = len(x) < FEWEST_PILOT_SEEDS
    _size(difference, 1.0)
    limit = floor(ratio or 0.0, power, alpha)
    if paired_t(x).why:
        why = "one pilot seed has no spread" if len(x) == 1 else "all differences of the pilot are equal"
        tests = ["paired t", "Wilcoxon", "sign-flip"] + ["corrected t"] * (ratio is not None)
        return [Plan(test, None, (None, None), rough, why) for test in tests]
    spreads = _spread_and_interval(x)
    least = max(LEAST_SEEDS, 1 + int(1 - np.log2(alpha)))
    plain = [seeds_needed(difference, spread, 0.0, power, alpha) for spread in spreads]
    counts = {
        "paired t": plain,
        "Wilcoxon": [_at_most(n and max(least, ceil(n * pi / 3))) for n in plain],
        "sign-flip": [n and max(least, n) for n in plain],
    }
    if ratio is not None:
        counts["corrected t"] = [seeds_needed(difference, spread, ratio, power, alpha) for spread in spreads]
    plans = []
    for test, (seeds, low, high) in counts.items():
        test_limit = limit if test == "corrected t" else 0.0
        why = "" if seeds else _why_none(difference, spreads[0], test_limit, ratio or 0.0)
        plans.append(Plan(test, seeds, (low, high), rough, why))
    return plans


def _spread_and_interval(x: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """The standard deviation of a sample, and the lower and upper end of its chi-square interval (95 %)."""
    from scipy.special import chdtri

    sd, df = float(x.std(ddof=1)), len(x) - 1
    return sd, sd * float(df / chdtri(df, 0.025)) ** 0.5, sd * float(df / chdtri(df, 0.975)) ** 0.5


def _why_none(difference: float, sd: float, limit: float, ratio: float) -> str:
    """The reason why no number of seeds up to 10,000 is enough.

    Args:
        difference: The difference to detect.
        sd: The spread of the differences.
        limit: The `floor` of |difference| / sd.
        ratio: n_val / n_train of each split.
    """
    if not difference:
        return "a difference of 0 cannot be found"
    if abs(difference) > limit * sd:
        return f"more than {MOST_SEEDS:,} seeds"
    sufficient = ratio * (abs(difference) / (limit * sd)) ** 2
    return (
        f"no number of seeds can on overlapping splits: the difference is {abs(difference) / sd:.3g} times the spread "
        f"and {limit:.3g} are needed. Hold out less (n_val / n_train below {sufficient:.2g}), look for a difference of "
        f"more than {limit * sd:.2g}, or ask about this data set or its fixed test set, by the paired t"
    )


def _size(difference: float, sd: float) -> float:
    """|difference| / sd, after checking both."""
    if not np.isfinite(difference):
        raise ValueError(f"difference must be a finite number, got {difference!r}")
    if not (np.isfinite(sd) and sd > 0):
        raise ValueError(f"sd must be a finite number above 0, got {sd!r}")
    return abs(difference) / sd


def _at_most(n: int | None) -> int | None:
    """The number of seeds, or None if it is above 10,000."""
    return n if n and n <= MOST_SEEDS else None
