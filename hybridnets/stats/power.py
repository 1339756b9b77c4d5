"""Planning: how many seeds a difference needs, and how well a pilot knows that."""

from dataclasses import dataclass
from math import ceil, pi

import numpy as np
import numpy.typing as npt

from hybridnets.stats.describe import sample
from hybridnets.stats.result import at_least_0, noncentral_t_below, share
from hybridnets.stats.seeds import LEAST_SEEDS, paired_t

MOST_SEEDS = 10_000  # nobody trains more
FEWEST_PILOT_SEEDS = 5  # below, the pilot's spread is known to a factor of 3 at best


def power(difference: float, sd: float, n: int, ratio: float = 0.0, alpha: float = 0.05) -> float:
    """The chance that the two-sided paired t test, plain or corrected, finds a difference at level alpha.

    With n seeds t follows a noncentral t with n - 1 degrees of freedom and noncentrality
    difference / (sd sqrt(1 / n + ratio)). Assumes normal differences; with a ratio, ones whose correlation is the
    correction's, ratio / (1 + ratio), and `sd` their spread within a pool.

    Args:
        difference: The true mean difference, in the scores' unit, either sign.
        sd: The differences' standard deviation over seeds, above 0.
        n: How many seeds, at least 1; one seed never finds anything.
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
    above = 1 - noncentral_t_below(critical, n - 1, noncentrality)
    return above + noncentral_t_below(-critical, n - 1, noncentrality)


_power = power  # for the functions whose argument has its name


def seeds_needed(
    difference: float, sd: float, ratio: float = 0.0, power: float = 0.8, alpha: float = 0.05
) -> int | None:
    """The smallest number of seeds with which the paired t test finds a difference with the wanted chance.

    Args:
        difference: The true mean difference, in the scores' unit, either sign.
        sd: The differences' standard deviation over seeds, above 0.
        ratio: 0, or n_val / n_train of each split, as in `paired_t`.
        power: The wanted chance, between 0 and 1.
        alpha: The test's level, between 0 and 1.

    Returns:
        The number, at least 2; None where no number up to 10,000 does: with a ratio, that is so wherever
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
    few, many = 1, 2
    while not enough(many):
        few, many = many, min(2 * many, MOST_SEEDS)
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many


def floor(ratio: float, power: float = 0.8, alpha: float = 0.05) -> float:
    """What |difference| / sd the corrected test needs with infinitely many seeds; below it no number of seeds is enough.

    With n to infinity t becomes normal with mean difference / (sd sqrt(ratio)), not infinite: more splits of one pool say no
    more about other pools. For ratio 3/7 the floor is 1.283 at 50 % and 1.834 at 80 % power; without a ratio it is 0.

    Args:
        ratio: n_val / n_train of each split, or 0.
        power: The wanted chance, between 0 and 1.
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
    """How many seeds one test needs.

    Attributes:
        test: The test's name.
        seeds: The number at the pilot's spread; None where there is none.
        interval: The numbers at the ends of the 95 % interval of the spread, lower first; an end is None where no number up
            to 10,000 does, or the pilot has no spread.
        rough: Whether the pilot has fewer than 5 seeds, so that the interval says more than the number.
        why: Why there is no number, and what to change; empty where there is one.
    """

    test: str
    seeds: int | None
    interval: tuple[int | None, int | None]
    rough: bool
    why: str = ""


def plan(
    d: npt.ArrayLike, difference: float, ratio: float | None = None, power: float = 0.8, alpha: float = 0.05
) -> list[Plan]:
    """How many seeds each test needs to find a difference, from a pilot's spread and that spread's own uncertainty.

    The plain paired t by `seeds_needed`; Wilcoxon's test by the t's number over its asymptotic relative efficiency 3 / pi; the
    sign-flip test like the t, which it is as efficient as in the limit. Where signs alone cannot give p < alpha with so few
    seeds, the last two need more (6 for .05). With a ratio also the corrected t. The interval takes the ends of the
    chi-square interval of the spread (95 %). Assumes normal differences that are independent given the pool.

    Args:
        d: The pilot's differences, one a seed, (n,), finite.
        difference: The difference to find, in the scores' unit, either sign.
        ratio: n_val / n_train of each split; None leaves the corrected t out.
        power: The wanted chance, between 0 and 1.
        alpha: The tests' level, between 0 and 1.

    Returns:
        A plan a test. One pilot seed, equal differences, or a number above 10,000: no number and the reason.

    Raises:
        ValueError: If an argument lies outside its range.

    Source: Hodges and Lehmann 1956, The efficiency of some nonparametric competitors of the t-test, Annals of Mathematical
    Statistics 27(2), 324-335 (3 / pi under normality); Hoeffding 1952, The large-sample power of tests based on
    permutations of observations, Annals of Mathematical Statistics 23(2), 169-192 (sign-flip).
    """
    from scipy.special import chdtri

    x = sample(d, "d")
    rough = len(x) < FEWEST_PILOT_SEEDS
    tests = ["paired t", "Wilcoxon", "sign-flip"] + ["corrected t"] * (ratio is not None)
    _size(difference, 1.0)
    limit = floor(ratio or 0.0, power, alpha)
    why = paired_t(x).why
    if why:
        why = "one pilot seed has no spread" if len(x) == 1 else "all differences of the pilot are equal"
        return [Plan(test, None, (None, None), rough, why) for test in tests]
    sd, df = float(x.std(ddof=1)), len(x) - 1
    spreads = (sd, sd * float(df / chdtri(df, 0.025)) ** 0.5, sd * float(df / chdtri(df, 0.975)) ** 0.5)
    least = max(LEAST_SEEDS, 1 + int(1 - np.log2(alpha)))
    plain = [seeds_needed(difference, spread, 0.0, power, alpha) for spread in spreads]
    numbers = {
        "paired t": plain,
        "Wilcoxon": [_at_most(n and max(least, ceil(n * pi / 3))) for n in plain],
        "sign-flip": [n and max(least, n) for n in plain],
    }
    if ratio is not None:
        numbers["corrected t"] = [seeds_needed(difference, spread, ratio, power, alpha) for spread in spreads]
    plans = []
    for test in tests:
        seeds, low, high = numbers[test]
        why = "" if seeds else f"more than {MOST_SEEDS:,} seeds" if difference else "a difference of 0 cannot be found"
        if not seeds and difference and test == "corrected t" and abs(difference) <= limit * sd:
            enough = (ratio or 0.0) * (abs(difference) / (limit * sd)) ** 2
            why = (
                f"no number of seeds can on overlapping splits: the difference is {abs(difference) / sd:.3g} times the spread "
                f"and {limit:.3g} are needed. Hold out less (n_val / n_train below {enough:.2g}), look for a difference of "
                f"more than {limit * sd:.2g}, or ask about this data set or its fixed test set, by the paired t"
            )
        plans.append(Plan(test, seeds, (low, high), rough, why))
    return plans


def _size(difference: float, sd: float) -> float:
    """|difference| / sd, once both are in range."""
    if not np.isfinite(difference):
        raise ValueError(f"difference must be a finite number, got {difference!r}")
    if not (np.isfinite(sd) and sd > 0):
        raise ValueError(f"sd must be a finite number above 0, got {sd!r}")
    return abs(difference) / sd


def _at_most(n: int | None) -> int | None:
    """The number, unless it is beyond what the search goes to."""
    return n if n and n <= MOST_SEEDS else None
