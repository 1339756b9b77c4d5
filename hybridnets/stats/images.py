"""Tests over images, which treat the trained networks as fixed.

They can show that these trained networks differ, but never that an architecture is better, because they ignore the variation
between seeds. A row is one image in one seed. `image` is an id; d is correct_a - correct_b: 1 if only a is right, -1 if only b
is right, otherwise 0.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hybridnets.stats.describe import sample
from hybridnets.stats.result import Test, share, student


def pooled_t(d: npt.ArrayLike) -> Test:
    """The paired t test on 0/1 outcomes pooled over seeds, which the paper calls its paired t-test.

    It treats the N rows as independent pairs. They are not: rows of one seed share a network, and rows of one image share
    the image. So its p is too small for any claim about architectures.

    Args:
        d: correct_a - correct_b per row, (N,), each -1, 0 or 1.

    Returns:
        The mean difference, t, p and interval (95 %), with the N rows as n.

    Raises:
        ValueError: If a value is not -1, 0 or 1.

    Source: Student 1908, The probable error of a mean, Biometrika 6(1), 1-25.
    """
    x = _outcomes(d)
    n, mean = len(x), float(x.mean())
    if why := _no_spread(x):
        return Test(mean, None, None, None, n, why)
    return student(mean, float(x.std(ddof=1)) / n**0.5, n - 1, n)


def wilson(right: int, images: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of a trained network's accuracy on images like those that it was measured on: Wilson's score interval.

    It contains the shares p for which |right / images - p| <= z sqrt(p (1 - p) / images). Assumes independent images; it says
    nothing about a network that another seed would train.

    Args:
        right: How many images were predicted right.
        images: How many there are, at least 1.
        confidence: The share of samples whose interval contains the true share, between 0 and 1.

    Returns:
        The lower and the upper end, each from 0 to 1.

    Raises:
        ValueError: If a count is not possible, or the confidence is not between 0 and 1.

    Source: Wilson 1927, Probable inference, the law of succession, and statistical inference, Journal of the American
    Statistical Association 22(158), 209-212.
    """
    from scipy.stats import binomtest

    if images < 1 or not 0 <= right <= images:
        raise ValueError(f"right must be 0 to images, and images at least 1, got {right!r} of {images!r}")
    interval = binomtest(right, images).proportion_ci(share(confidence, "confidence"), "wilson")
    return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of one pair of trained networks.

    Attributes:
        exact: The exact two-sided p, whose error rate never exceeds the level.
        mid_p: The mid-p, less conservative than the exact one, with an error rate close to the level.
        only_a: Number of images that only a classifies correctly.
        only_b: Number of images that only b classifies correctly.
    """

    exact: float
    mid_p: float
    only_a: int
    only_b: int


def mcnemar(only_a: int, only_b: int) -> McNemar:
    """McNemar's test in its exact and its mid-p form, for two networks on the same images.

    If the two networks are equally good, each image that only one of them classifies correctly is like the toss of a fair
    coin. With k the smaller count and m the sum of both, exact = min(1, 2 P(K <= k)) and mid-p = 2 P(K <= k) - P(K = k), K
    binomial (m, 1/2). Without such images both are 1. The images are assumed independent, so never add the counts of seeds
    that share images.

    Args:
        only_a: Number of images that only a classifies correctly, in one seed.
        only_b: Number of images that only b classifies correctly.

    Raises:
        ValueError: If a count is negative or not an integer.

    Source: McNemar 1947, Note on the sampling error of the difference between correlated proportions or percentages,
    Psychometrika 12(2), 153-157; Fagerland, Lydersen and Laake 2013, The McNemar test for binary matched-pairs data, BMC
    Medical Research Methodology 13, 91 (exact and mid-p).
    """
    from scipy.special import bdtr

    for name, count in (("only_a", only_a), ("only_b", only_b)):
        if not 0 <= count < np.inf or count != int(count):
            raise ValueError(f"{name} must be a count, an integer of at least 0, got {count!r}")
    k, m = int(min(only_a, only_b)), int(only_a + only_b)
    at_most_k, less_than_k = float(bdtr(k, m, 0.5)), float(bdtr(k - 1, m, 0.5)) if k else 0.0
    return McNemar(min(1.0, 2 * at_most_k), min(1.0, at_most_k + less_than_k), int(only_a), int(only_b))


def clustered_t(image: npt.ArrayLike, d: npt.ArrayLike) -> Test:
    """Tests the mean difference over all rows, with its standard error clustered by image.

    All rows of one image form a cluster, because a hard image is hard for every network. The variance of the mean m
    is G / (G - 1) sum_g (sum of d - m over the rows of image g)^2 / N^2 over G images, with G - 1 degrees of freedom.
    Images are assumed to be independent and many. Their numbers of rows may differ, as on val, where each seed has its own
    split.

    Args:
        image: The image's id per row, (N,).
        d: correct_a - correct_b per row, (N,), each -1, 0 or 1.

    Returns:
        The mean difference, t, p and interval (95 %), with the G images as n.

    Raises:
        ValueError: If the two do not pair row by row, or a value of d is not -1, 0 or 1.

    Source: Liang and Zeger 1986, Longitudinal data analysis using generalized linear models, Biometrika 73(1), 13-22;
    Cameron and Miller 2015, A practitioner's guide to cluster-robust inference, Journal of Human Resources 50(2), 317-372
    (the factor G / (G - 1) and the degrees of freedom).
    """
    x = _outcomes(d)
    index, count = _index(image, len(x), "image")
    mean = float(x.mean())
    sums = np.bincount(index, x - mean, count)
    error = float(np.sqrt(count / max(1, count - 1) * (sums @ sums))) / len(x)
    why = "one image" if count == 1 else _no_spread(x)
    if not why and error < 1e-12:
        why = "no spread between images"
    if why:
        return Test(mean, None, None, None, count, why)
    return student(mean, error, count - 1, count)


def _outcomes(d: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Returns the differences of outcomes, (N,), after checking that each is -1, 0 or 1."""
    x = sample(d, "d")
    if not np.isin(x, (-1, 0, 1)).all():
        raise ValueError(f"d must be -1, 0 or 1 in every row, got {x!r}")
    return x


def _index(ids: npt.ArrayLike, rows: int, name: str) -> tuple[npt.NDArray[np.intp], int]:
    """The position of each row's id among the distinct ids, (N,), and the number of distinct ids."""
    values = np.asarray(ids)
    if values.shape != (rows,):
        raise ValueError(f"{name} must have one id for each of the {rows} rows, got shape {values.shape}")
    distinct, index = np.unique(values, return_inverse=True)
    return index, len(distinct)


def _no_spread(d: npt.NDArray[np.float64]) -> str:
    """The reason why the outcomes have no spread; empty if they have one."""
    if len(d) == 1:
        return "one row"
    return "all differences equal" if np.ptp(d) == 0 else ""
