"""A study that adds seeds until its question is settled: what each look says, and what a design can be expected to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from hybridnets.stats.anytime import anytime_critical, log_e_value
from hybridnets.stats.describe import sample
from hybridnets.stats.group_sequential import group_sequential_critical, repeated_p
from hybridnets.stats.result import at_least_0
from hybridnets.stats.seeds import paired_t

Method = Literal["anytime", "obrien-fleming", "pocock"]
Settled = Literal["better", "worse", "equivalent", "open"]
METHODS: tuple[Method, ...] = ("anytime", "obrien-fleming", "pocock")


@dataclass(frozen=True)
class Look:
    """What a study says when it is looked at.

    Attributes:
        n: The number of seeds.
        estimate: Their mean difference, in the scores' unit.
        interval: The interval of this look, lower end first; infinite ends where nothing is known yet. The intervals of all
            looks contain the true mean at once with a probability of 1 - alpha, and so does their intersection.
        p: The p-value against a difference of 0, which holds although the study could have stopped at another look. With
            "anytime" it is the smallest 1 / e so far, at most 1; with group-sequential bounds it is the `repeated_p` of the
            look at which the study stops, because it is settled or was the last one planned, and None before.
        settled: "better" or "worse" if the interval of this look or an earlier one lies above or below 0, "equivalent" if it
            contains 0 and lies within the margin; the first answer stays. Otherwise "open".
        why: The reason for an infinite interval ("one seed"), otherwise empty.
    """

    n: int
    estimate: float
    interval: tuple[float, float]
    p: float | None
    settled: Settled
    why: str = ""


def critical_values(looks: Sequence[int], method: Method, alpha: float = 0.05) -> tuple[float, ...]:
    """The |t| from which on each look's interval, mean +- this s / sqrt(n), excludes 0.

    Args:
        looks: The number of seeds at each look, (k,), increasing; from 1 for "anytime", otherwise from 2.
        method: "anytime" (`anytime_critical`), which knows no largest number of seeds, or group-sequential bounds
            (`group_sequential_critical`), for which the looks are planned and the last is the largest.
        alpha: The level over all looks, between 0 and 1.

    Returns:
        The critical values, (k,); infinity where no t is enough.

    Raises:
        ValueError: If the looks do not increase, the method is unknown, or alpha is not between 0 and 1.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if method != "anytime":
        return group_sequential_critical(looks, method, alpha)
    _increasing(looks)
    return tuple(anytime_critical(n, alpha) for n in looks)


def sequential(
    d: npt.ArrayLike, looks: Sequence[int], method: Method = "anytime", margin: float = 0.0, alpha: float = 0.05
) -> tuple[Look, ...]:
    """What a study says at each of its looks so far, so that its answer holds although it could have stopped at any of them.

    Assumes differences that are independent and normal: those of one data set, over splits and seeds, or on fixed test images.
    It is not for new data of this kind, because differences over splits of one pool correlate there.

    Args:
        d: One difference of scores per seed, in the order in which the seeds were added, (n,), finite.
        looks: The number of seeds at each look, also the planned ones after n, (k,), as in `critical_values`. Seeds after the
            last look that has its seeds are not used.
        method: As in `critical_values`.
        margin: Smaller differences, in the scores' unit, count as equivalent in practice; with 0 none does.
        alpha: The level over all looks, between 0 and 1.

    Returns:
        The looks that have their seeds, possibly none.

    Raises:
        ValueError: If a difference is not finite, the margin is negative, or an argument of `critical_values` is refused.

    Source: As `log_e_value` and `group_sequential_critical`.
    """
    x = sample(d, "d")
    at_least_0(margin, "margin")
    critical = critical_values(looks, method, alpha)
    result: list[Look] = []
    for i, n in enumerate(looks):
        if n > len(x):
            break
        test, earlier = paired_t(x[:n]), result[-1] if result else None
        mean, interval = float(x[:n].mean()), (-np.inf, np.inf)
        if test.statistic is not None and np.isfinite(critical[i]):
            half = critical[i] * float(x[:n].std(ddof=1)) / n**0.5
            interval = (mean - half, mean + half)
        settled = earlier.settled if earlier and earlier.settled != "open" else _settled(interval, margin)
        p = None if earlier is None else earlier.p
        if method == "anytime":
            p = min(1.0 if p is None else p, float(np.exp(-log_e_value(x[:n]))))
        elif p is None and (settled != "open" or i == len(looks) - 1):
            p = 1.0 if test.statistic is None else repeated_p(test.statistic, looks, i, method)
        why = test.why or ("" if np.isfinite(critical[i]) else "too few seeds for this level")
        result.append(Look(n, mean, interval, p, settled, why))
    return tuple(result)


@dataclass(frozen=True)
class Characteristics:
    """What a design does in the long run, if a true standardised effect is given.

    Attributes:
        better: The share of studies that settle as better.
        worse: The share that settle as worse.
        equivalent: The share that settle as equivalent.
        open: The share that reach the last look without an answer.
        seeds: The mean number of seeds at which a study stops.
        covered: The share of studies whose interval at the stop contains the true mean.
    """

    better: float
    worse: float
    equivalent: float
    open: float
    seeds: float
    covered: float


def characteristics(
    looks: Sequence[int],
    critical: Sequence[float],
    effect: float,
    margin: float = 0.0,
    repeats: int = 20_000,
    seed: int = 0,
) -> Characteristics:
    """Simulates studies that stop at the first look that settles the question, or at the last look.

    Args:
        looks: The number of seeds at each look, (k,), increasing from at least 2.
        critical: The critical |t| at each look, (k,), of `critical_values` or of any other rule (`student_critical`).
        effect: The true mean difference in units of its standard deviation over seeds.
        margin: The margin in the same units; 0 for none.
        repeats: The number of studies, at least 1; a share has a Monte Carlo standard error of at most .5 / sqrt(repeats).
        seed: The seed of the private generator.

    Raises:
        ValueError: If the looks do not increase from at least 2, the two differ in length, or an argument is out of range.
    """
    _increasing(looks)
    at_least_0(margin, "margin")
    if looks[0] < 2 or len(critical) != len(looks):
        raise ValueError(f"looks must start at 2 or more and have one critical value each, got {looks!r}, {critical!r}")
    if not np.isfinite(effect) or repeats < 1:
        raise ValueError(f"effect must be finite and repeats at least 1, got {effect!r} and {repeats!r}")
    generator = np.random.default_rng(seed)
    mean, squares = np.zeros(repeats), np.zeros(repeats)  # of the studies that go on; squares around their mean
    answers, before = dict.fromkeys(("better", "worse", "equivalent", "open"), 0), 0
    seeds = covered = 0
    for n, bound in zip(looks, critical, strict=True):
        j = n - before
        new = effect + generator.standard_normal(len(mean)) / j**0.5  # the mean of the new seeds
        squares += (new - mean) ** 2 * before * j / n
        squares += 2 * generator.standard_gamma((j - 1) / 2, len(mean)) if j > 1 else 0.0
        mean, before = mean + (new - mean) * j / n, n
        half = bound * (squares / (n - 1) / n) ** 0.5
        low, high = mean - half, mean + half
        better, worse = low > 0, high < 0
        equivalent = ~better & ~worse & (np.maximum(-low, high) < margin)
        stops = better | worse | equivalent if n < looks[-1] else np.ones(len(mean), dtype=bool)
        for name, answer in (("better", better), ("worse", worse), ("equivalent", equivalent)):
            answers[name] += int(answer.sum())
        seeds += n * int(stops.sum())
        covered += int((stops & (low <= effect) & (effect <= high)).sum())
        mean, squares = mean[~stops], squares[~stops]
    answers["open"] = repeats - sum(answers.values())
    share_of = {name: count / repeats for name, count in answers.items()}
    return Characteristics(**share_of, seeds=seeds / repeats, covered=covered / repeats)


def _settled(interval: tuple[float, float], margin: float) -> Settled:
    """What an interval says about a difference of 0 and the margin."""
    low, high = interval
    if low > 0:
        return "better"
    if high < 0:
        return "worse"
    return "equivalent" if max(-low, high) < margin else "open"


def _increasing(looks: Sequence[int]) -> None:
    """Raises ValueError if the numbers of seeds do not increase from at least 1."""
    if not looks or looks[0] < 1 or any(b <= a for a, b in pairwise(looks)):
        raise ValueError(f"looks must be numbers of seeds that increase from at least 1, got {list(looks)!r}")
