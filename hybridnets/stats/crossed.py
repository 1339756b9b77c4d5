"""One interval for a mean difference over seeds and test images: both are samples, and every seed sees every image.

The model is d_si = mean + seed_s + image_i + rest_si with crossed random effects: the claim is about other seeds and other
images like these. The plain t over seeds takes the images as given, the tests over images take the trained networks as given.
"""

from dataclasses import dataclass
from math import hypot

import numpy as np
import numpy.typing as npt

from hybridnets.stats.result import Test, share


@dataclass(frozen=True)
class Components:
    """The mean squares of a table of seeds and images.

    Attributes:
        mean: The mean over all cells.
        seeds: The number of seeds, S.
        images: The number of images, I.
        seed: The mean square between seeds, with S - 1 degrees of freedom; it estimates rest + I times the seeds' variance.
        image: The mean square between images, with I - 1; it estimates rest + S times the images' variance.
        rest: The mean square of the interaction and the residual, with (S - 1) (I - 1); it estimates their variance.
    """

    mean: float
    seeds: int
    images: int
    seed: float
    image: float
    rest: float

    @property
    def error_of_seeds(self) -> float:
        """The squared standard error of the plain t over seeds, which holds seeds and the rest, with the images as given."""
        return self.seed / (self.seeds * self.images)

    @property
    def error_of_images(self) -> float:
        """What the sampling of images adds to it, their estimated variance over I, or 0 where the estimate is negative."""
        return max(0.0, self.image - self.rest) / (self.seeds * self.images)


def components(d: npt.ArrayLike) -> Components:
    """The mean squares of a complete table of seeds and images (analysis of variance of two crossed random factors).

    Args:
        d: The difference per seed and image, (S, I), S and I at least 2, finite.

    Raises:
        ValueError: If it is not such a table.

    Source: Searle, Casella and McCulloch 1992, Variance components, section 4.3 (the two-way crossed classification).
    """
    x = np.asarray(d, dtype=np.float64)
    if x.ndim != 2 or min(x.shape) < 2 or not np.isfinite(x).all():
        raise ValueError(f"d must be a table of at least two seeds and two images, all finite, got shape {x.shape}")
    seeds, images = x.shape
    mean = float(x.mean())
    by_seed, by_image = x.mean(1), x.mean(0)
    between_seeds = images * float(((by_seed - mean) ** 2).sum())
    between_images = seeds * float(((by_image - mean) ** 2).sum())
    rest = float(((x - by_seed[:, None] - by_image + mean) ** 2).sum())
    return Components(
        mean,
        seeds,
        images,
        between_seeds / (seeds - 1),
        between_images / (images - 1),
        rest / ((seeds - 1) * (images - 1)),
    )


def crossed(d: npt.ArrayLike, confidence: float = 0.95) -> Test:
    """Tests the mean difference over seeds and images alike, with its interval.

    The mean's squared error is A + B: A that of the plain t over seeds, which holds the seeds' variance and the rest, and
    B what the images' own sampling adds; a negative estimate of B counts as 0, A is never reduced. The interval is
    mean +- sqrt(t_A^2 A + t_B^2 B) with Student's quantiles t_A of S - 1 and t_B of I - 1 degrees of freedom, each part with
    its own: so it is never narrower than the plain t's. p is the level at which the interval's end meets 0. If the effects
    are normal and B is known not to be negative, the interval contains the true mean at least as often as it says, for any
    number of seeds (Banerjee). One quantile for A + B with Satterthwaite's degrees of freedom falls to 92 % at 3 seeds
    where both parts matter: a small A by chance raises the degrees of freedom at the same time. benchmarks/coverage.py
    simulates both.

    On val every seed has its own images, and a table of seeds and images has holes. The corrected t is about new data there.

    Args:
        d: The difference per seed and image, (S, I): correct_a - correct_b of test images, -1, 0 or 1, or the difference of any
            other measure of one image; NaN where a seed does not have an image.
        confidence: The share of samples whose interval contains the true mean, between 0 and 1.

    Returns:
        The mean difference, the mean over its standard error sqrt(A + B), p and the interval over the S seeds. Without a
        spread over seeds, or if seeds have different images, only the mean is defined.

    Raises:
        ValueError: If d is no table, a value is infinite, or the confidence is not between 0 and 1.

    Source: Banerjee 1960, Approximate confidence interval for linear functions of means of k populations when the population
    variances are not equal, Sankhya 22, 357-358, and 1961, On confidence interval for two-means problem based on separate
    estimates of variances and tabulated values of t-table, Sankhya A 23, 359-378 (the interval); Owen 2007, The pigeonhole
    bootstrap, Annals of Applied Statistics 1(2), 386-411 (seeds and images as crossed random effects).
    """
    x = np.asarray(d, dtype=np.float64)
    share(confidence, "confidence")
    if x.ndim != 2 or not x.size or np.isinf(x).any() or np.isnan(x).all():
        raise ValueError(f"d must be a table of finite differences, seeds by images, got shape {x.shape}")
    seeds, images = x.shape
    mean = float(np.nanmean(x))
    why = "one seed" if seeds == 1 else "one image" if images == 1 else ""
    why = why or ("every seed has its own images" if np.isnan(x).any() else "")
    if not why and np.ptp(by_seed := x.mean(1)) <= 1e-12 * max(1.0, float(np.abs(by_seed).max())):
        why = "all differences equal"
    if why:
        return Test(mean, None, None, None, seeds, why)
    table = components(x)
    half = _half_width(table, (1 - confidence) / 2)
    t = mean / (table.error_of_seeds + table.error_of_images) ** 0.5
    return Test(mean, t, _p(table, t), (mean - half, mean + half), seeds)


def _half_width(table: Components, tail: float) -> float:
    """Half the interval's width, with a probability of `tail` beyond either end."""
    from scipy.special import stdtrit

    t_seeds, t_images = (float(stdtrit(n - 1, tail)) for n in (table.seeds, table.images))
    return hypot(t_seeds * table.error_of_seeds**0.5, t_images * table.error_of_images**0.5)  # a square may overflow


def _p(table: Components, t: float) -> float:
    """The two-sided p: the level whose interval ends at 0.

    With only one of the two numbers of degrees of freedom it would be Student's p, so that it lies between these two.
    """
    from scipy.optimize import brentq
    from scipy.special import stdtr

    low, high = sorted(max(1e-290, float(2 * stdtr(n - 1, -abs(t)))) for n in (table.seeds, table.images))

    def beyond(log_p: float) -> float:
        return _half_width(table, float(np.exp(log_p)) / 2) - abs(table.mean)

    ends = float(np.log(low)), float(np.log(high))
    if beyond(ends[0]) <= 0 or beyond(ends[1]) >= 0:  # equal but for rounding, or below what can be computed
        return low if beyond(ends[0]) <= 0 else high
    return float(np.exp(brentq(beyond, *ends, xtol=1e-12)))
