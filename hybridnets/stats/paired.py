"""Differences of two samples that pair value by value, such as one score per seed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hybridnets.stats.describe import sample
from hybridnets.stats.result import student


@dataclass(frozen=True)
class Differences:
    """The differences a - b of n pairs.

    Attributes:
        mean: Their mean.
        sd: Their standard deviation with n - 1 in the denominator; None for one pair.
        n: The number of pairs.
        minimum: The smallest difference.
        maximum: The largest.
        positive: Pairs in which a is larger.
        negative: Pairs in which b is larger; the others are equal.
        interval: The plain paired t's interval for the mean difference, lower end first; None if it is undefined.
        why: The reason for a missing interval, otherwise empty.
    """

    mean: float
    sd: float | None
    n: int
    minimum: float
    maximum: float
    positive: int
    negative: int
    interval: tuple[float, float] | None
    why: str


def paired_differences(a: npt.ArrayLike, b: npt.ArrayLike, confidence: float = 0.95) -> Differences:
    """Describes the paired differences a - b, with the plain paired t's interval for their mean.

    The interval assumes differences that are independent of each other and roughly normal. Over random splits of one
    fixed pool they are independent given that pool, so that the interval is valid for this data set, over splits and seeds.
    For new data of the same kind it is too narrow (Nadeau and Bengio 2003), because the splits' training parts overlap.

    Args:
        a: One score per pair, (n,), n at least 1, finite.
        b: The other score of each pair, (n,).
        confidence: The share of samples whose interval contains the true mean, between 0 and 1.

    Raises:
        ValueError: If a and b differ in length, a value is not finite, or the confidence is not between 0 and 1.

    Source: Student 1908, The probable error of a mean, Biometrika 6(1), 1-25: mean +- t(1 - alpha/2; n - 1) s / sqrt(n).
    """
    x, y = sample(a, "a"), sample(b, "b")
    if x.shape != y.shape:
        raise ValueError(f"a and b must pair value by value, got {len(x)} and {len(y)} values")
    d = x - y
    n, mean = len(d), float(d.mean())
    # Differences of fractions differ by rounding: .75 - .74 and .76 - .75 count as equal.
    rounding = 8 * np.finfo(np.float64).eps * max(np.abs(x).max(), np.abs(y).max())
    equal = bool(np.ptp(d) <= rounding)
    sd = None if n < 2 else 0.0 if equal else float(d.std(ddof=1))
    equal = equal or sd == 0  # because squares of tiny differences underflow
    interval, why = None, ""
    if sd is None:
        why = "one pair"
    elif equal:
        why = "all differences equal"
    else:
        interval = student(mean, sd / n**0.5, n - 1, n, confidence).interval
    positive, negative = int((d > 0).sum()), int((d < 0).sum())
    return Differences(mean, sd, n, float(d.min()), float(d.max()), positive, negative, interval, why)
