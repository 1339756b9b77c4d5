"""Looking at a t test several times: the exact probability of a false answer, and bounds that keep it at a level.

If the true mean difference is 0, the statistics z = sum(d) / sqrt(sum(d^2)) at successive looks are a Markov chain whatever the
spread, because the direction of normal differences is independent of their length. So the joint distribution of the t
statistics (t is a function of z and n) needs one integral per look, and no normal approximation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
from numpy.polynomial import Chebyshev, chebyshev

from hybridnets.stats.result import share

Array = npt.NDArray[np.float64]
Spending = Literal["obrien-fleming", "pocock"]

DEGREE = 50  # of the polynomial in x^2 that interpolates a density; 100 changes an error probability by less than 1e-5
NODES = 56  # of an integral
REACH = 8.0  # |z| beyond which a density is taken as 0: it needs 64 seeds and has a probability below 1e-14
LEAST_P = 1e-9  # the smallest repeated p-value
LEAST_SPENT = 1e-12  # a smaller probability is saved for the next look, because the integrals are no more exact


@dataclass(frozen=True)
class _Law:
    """The distribution of z at a look, without the studies that have stopped before.

    Attributes:
        n: The number of seeds at the look.
        radius: The largest |z| that can occur.
        limit: The largest |x|, where z = radius sin(x).
        angular: The density of x, which is even, as Chebyshev coefficients in 2 (x / limit)^2 - 1.
        integral: Its integral from 0, as Chebyshev coefficients in x / limit.
    """

    n: int
    radius: float
    limit: float
    angular: Array
    integral: Array

    @classmethod
    def of(cls, n: int, radius: float, angular: Callable[[Array], Array], reach: float = REACH) -> "_Law":
        """Interpolates a density of x, which is asked for x >= 0 only, where |z| is at most `reach`."""
        limit = float(np.arcsin(min(1.0, reach / radius)))
        even = Chebyshev.interpolate(lambda w: angular(limit * np.sqrt((w + 1) / 2)), DEGREE, domain=[-1, 1]).coef
        full = np.zeros(2 * DEGREE + 1)
        full[::2] = even  # because T_2k(u) = T_k(2 u^2 - 1)
        return cls(n, radius, limit, full[::2], limit * np.asarray(chebyshev.chebint(full, lbnd=0.0), np.float64))

    def density(self, z: Array) -> Array:
        """The density of z; 0 where |z| is too large."""
        sine = np.clip(z / self.radius, -1.0, 1.0)
        u = np.arcsin(sine) / self.limit
        value = chebyshev.chebval(2 * np.minimum(u**2, 1.0) - 1, self.angular)
        result: Array = np.where(np.abs(u) <= 1, value / (self.radius * np.sqrt(np.maximum(1 - sine**2, 1e-16))), 0.0)
        return result

    def beyond(self, x: Array) -> Array:
        """The probability that |x| is at least the given values, (k,), each at least 0."""
        u = np.minimum(x / self.limit, 1.0)
        result: Array = 2 * (chebyshev.chebval(1.0, self.integral) - chebyshev.chebval(u, self.integral))
        return np.maximum(result, 0.0)

    def crossed(self, bound: float) -> float:
        """The probability that |z| is at least a bound."""
        return float(self.beyond(np.arcsin(np.array([min(bound / self.radius, 1.0)])))[0])


def repeated_error(looks: Sequence[int], critical: Sequence[float]) -> tuple[float, ...]:
    """The probability of a false answer at or before each look, if a t test is looked at several times.

    With the plain test's critical values (`student_critical`) it is what an extension does to a plain 5 %: .086 with
    looks at 3 and 5 seeds, .159 with looks at 3, 5, 7, 10 and 15. Exact for independent normal differences around 0 of any
    spread.

    Args:
        looks: The number of seeds at each look, (k,), increasing, at least 2.
        critical: The |t| that ends the study at each look, (k,), above 0; infinity where it goes on in any case.

    Returns:
        The cumulative probabilities, (k,), correct to about 1e-6.

    Raises:
        ValueError: If the looks do not increase from at least 2, or the two differ in length.

    Source: Armitage, McPherson and Rowe 1969, Repeated significance tests on accumulating data, Journal of the Royal
    Statistical Society A 132(2), 235-244 (the recursion, for normal differences of known spread).
    """
    _check(looks)
    if len(critical) != len(looks):
        raise ValueError(f"critical must have one value per look, got {len(critical)} for {len(looks)} looks")
    law, errors, spent = None, [], 0.0
    bound = 0.0
    for n, t in zip(looks, critical, strict=True):
        law = _start(n) if law is None else _after(law, bound, n)
        bound = _z(t, n)
        spent += law.crossed(bound)
        errors.append(spent)
    return tuple(errors)


def student_critical(looks: Sequence[int], alpha: float = 0.05) -> tuple[float, ...]:
    """The plain two-sided t test's critical |t| at each look, which takes no account of the other looks.

    Args:
        looks: The number of seeds at each look, (k,), increasing, at least 2.
        alpha: The level, between 0 and 1.

    Raises:
        ValueError: If the looks do not increase from at least 2, or alpha is not between 0 and 1.
    """
    from scipy.special import stdtrit

    _check(looks)
    share(alpha, "alpha")
    return tuple(float(-stdtrit(n - 1, alpha / 2)) for n in looks)


def group_sequential_critical(
    looks: Sequence[int], spending: Spending = "obrien-fleming", alpha: float = 0.05
) -> tuple[float, ...]:
    """The critical |t| at each look, so that the probability of any false answer is alpha.

    By look k the part alpha(n_k / n_K) of alpha is spent, half of it on each side: for "obrien-fleming"
    4 (1 - Phi(z / sqrt(x))) with Phi(z) = 1 - alpha / 4, which spends little early, for "pocock"
    alpha log(1 + (e - 1) x), which spends nearly evenly. The looks may be irregular. They are planned beforehand; the study may
    stop at any of them, for any reason. For independent normal differences.

    mean +- this s / sqrt(n) are repeated confidence intervals: they contain the true mean at all looks at once with a
    probability of 1 - alpha.

    Args:
        looks: The number of seeds at each look, (k,), increasing, at least 2; the last is the largest number of seeds.
        spending: How alpha is spent.
        alpha: The level over all looks, two-sided, between 0 and 1.

    Returns:
        The critical values, (k,), correct to about 1e-4 of themselves; infinity at a look that spends less than 1e-12.

    Raises:
        ValueError: If the looks do not increase from at least 2, the spending is unknown, or alpha is not between 0 and 1.

    Source: Lan and DeMets 1983, Discrete sequential boundaries for clinical trials, Biometrika 70(3), 659-663; Jennison and
    Turnbull 1989, Interim analyses: the repeated confidence interval approach, Journal of the Royal Statistical Society B
    51(3), 305-361.
    """
    _check(looks)
    share(alpha, "alpha")
    if spending not in ("obrien-fleming", "pocock"):
        raise ValueError(f"spending must be obrien-fleming or pocock, got {spending!r}")
    return _critical(tuple(looks), tuple(_spent(n / looks[-1], spending, alpha) for n in looks))


def repeated_p(t: float, looks: Sequence[int], look: int, spending: Spending = "obrien-fleming") -> float:
    """The repeated p-value of a look: the smallest level whose bounds the look's |t| reaches.

    The minimum over the looks so far holds at any of them: it is at most alpha with a probability of at most alpha.

    Args:
        t: The t statistic at the look.
        looks: The number of seeds at each planned look, (k,), as in `group_sequential_critical`.
        look: The look's position, from 0 to k - 1.
        spending: How the level is spent.

    Returns:
        The p-value, correct to about 1e-4 of itself; 1e-9 if it is at most that.

    Raises:
        ValueError: As `group_sequential_critical`, or if the position is none of the looks'.

    Source: Jennison and Turnbull 1989, as above.
    """
    from scipy.optimize import brentq

    _check(looks)
    if not 0 <= look < len(looks):
        raise ValueError(f"look must be from 0 to {len(looks) - 1}, got {look!r}")

    def excess(log_level: float) -> float:
        level = float(np.exp(log_level))
        spent = tuple(_spent(n / looks[-1], spending, level) for n in looks[: look + 1])
        # z instead of t, because it is finite at all levels
        return _z(_critical(tuple(looks[: look + 1]), spent)[-1], looks[look]) - _z(abs(t), looks[look])

    least, most = float(np.log(LEAST_P)), -1e-6
    if excess(most) >= 0:
        return 1.0
    if excess(least) <= 0:
        return LEAST_P
    return float(np.exp(brentq(excess, least, most, xtol=1e-5)))


@lru_cache(maxsize=256)
def _critical(looks: tuple[int, ...], spent: tuple[float, ...]) -> tuple[float, ...]:
    """The critical |t| at each look, given the probabilities to be spent until then."""
    law, critical = None, []
    bound = total = 0.0
    for n, target in zip(looks, spent, strict=True):
        law = _start(n) if law is None else _after(law, bound, n)
        bound = _quantile(law, target - total)
        total += law.crossed(bound)
        critical.append(_t(bound, n))
    return tuple(critical)


def _spent(x: float, spending: Spending, alpha: float) -> float:
    """The part of alpha that is spent after the share x of the seeds."""
    from scipy.special import ndtr, ndtri

    if spending == "pocock":
        return float(alpha * np.log1p((np.e - 1) * x))
    return float(4 * ndtr(ndtri(alpha / 4) / x**0.5))


def _quantile(law: _Law, probability: float) -> float:
    """The z that |z| reaches with a probability; the largest z that n seeds can have if the probability is too small."""
    if probability < LEAST_SPENT:
        return float(law.n**0.5)
    low, high = 0.0, law.limit
    for _ in range(3):  # each round divides the interval by 128
        x = np.linspace(low, high, 129)
        chance = law.beyond(x)
        i = int(np.argmax(chance < probability)) or 128
        low, high = float(x[i - 1]), float(x[i])
    part = (chance[i - 1] - probability) / max(chance[i - 1] - chance[i], 1e-300)
    return float(law.radius * np.sin(low + np.clip(part, 0, 1) * (high - low)))


def _start(n: int) -> _Law:
    """The law of z with n seeds, before anything has stopped: z / sqrt(n) is a coordinate of a random direction."""
    from scipy.special import betaln

    radius, constant = n**0.5, betaln(0.5, (n - 1) / 2)
    return _Law.of(n, radius, lambda x: np.exp((n - 2) * np.log(np.maximum(np.cos(x), 1e-300)) - constant))


def _after(law: _Law, bound: float, n: int) -> _Law:
    """The law of z at the next look, with n seeds, for the studies whose |z| was below the bound at the last look.

    With m seeds before and j = n - m new ones, z becomes cos(b) (z cos(a) + sqrt(j) sin(a)), where a and b are independent of
    z and of each other: sqrt(m) tan(a) has Student's t distribution with m degrees of freedom (the new seeds' sum against the
    length of the old differences), and cos(b)^2 a beta distribution (the new seeds' spread around their mean); b = 0 if j = 1.
    """
    m, j = law.n, n - law.n
    bound = min(bound, law.radius, REACH)
    radius = (j + bound**2) ** 0.5
    reach = REACH * (n / m) ** 0.5  # because h is wider than z: the new seeds' spread is not in it yet
    shifted = _Law.of(n, radius, lambda x: _shifted(law, bound, j, radius, x) * radius * np.cos(x), reach)
    if j == 1:
        return shifted
    return _Law.of(n, radius, lambda x: _shrunk(shifted, m, j, radius * np.sin(x)) * radius * np.cos(x))


def _shifted(law: _Law, bound: float, j: int, radius: float, x: Array) -> Array:
    """The density of h = z cos(a) + sqrt(j) sin(a) at h = radius sin(x), where x, (k,), is at least 0 and |z| < bound."""
    from scipy.special import betaln

    m, width = law.n, np.arctan2(bound, j**0.5)
    widest = min(np.pi / 2, 10 / m**0.5)
    # For these angles |z| < bound; beyond h = sqrt(j) they lie around the angle at which z is smallest.
    low, high = np.maximum(x - width, -widest), np.minimum(np.minimum(x + width, np.pi - x - width), widest)
    a, weight = _nodes(low, high)
    cosine = np.maximum(np.cos(a), 1e-300)
    z = np.clip((radius * np.sin(x)[:, None] - j**0.5 * np.sin(a)) / cosine, -bound, bound)
    likelihood = np.exp((m - 2) * np.log(cosine) - betaln(0.5, m / 2))
    result: Array = (law.density(z) * likelihood * weight).sum(axis=1)
    return result


def _shrunk(law: _Law, m: int, j: int, z: Array) -> Array:
    """The density of cos(b) h at z, (k,), at least 0, where h follows the law."""
    from scipy.special import betaln

    peak, spread = np.arctan(((j - 2) / m) ** 0.5), (2 * (m + j - 2)) ** -0.5
    low = np.full_like(z, max(0.0, peak - 14 * spread))
    b, weight = _nodes(low, np.minimum(np.arccos(np.minimum(z / law.radius, 1.0)), peak + 14 * spread))
    cosine, sine = np.maximum(np.cos(b), 1e-300), np.maximum(np.sin(b), 1e-300)
    likelihood = 2 * np.exp((m - 1) * np.log(cosine) + (j - 2) * np.log(sine) - betaln((m + 1) / 2, (j - 1) / 2))
    result: Array = (law.density(z[:, None] / cosine) * likelihood * weight).sum(axis=1)
    return result


def _nodes(low: Array, high: Array) -> tuple[Array, Array]:
    """Nodes and weights, (k, NODES), of integrals from low to high, (k,), whose integrand may be like 1 / sqrt at its ends.

    They are Gauss and Legendre's in v, where the variable is middle + half sin(v); an interval with high < low has weight 0.
    """
    v, w = np.polynomial.legendre.leggauss(NODES)
    middle, half = (low + high)[:, None] / 2, np.maximum(high - low, 0.0)[:, None] / 2
    return middle + half * np.sin(np.pi / 2 * v), half * np.pi / 2 * np.cos(np.pi / 2 * v) * w


def _z(t: float, n: int) -> float:
    """z for a |t| of n seeds."""
    if not np.isfinite(t):
        return float(n**0.5)
    return float(n**0.5 / (1 + (n - 1) / t**2) ** 0.5) if t else 0.0


def _t(z: float, n: int) -> float:
    """|t| for a |z| of n seeds; infinity for the largest."""
    return float(z * ((n - 1) / (n - z**2)) ** 0.5) if z < n**0.5 else float("inf")


def _check(looks: Sequence[int]) -> None:
    """Raises ValueError if the numbers of seeds do not increase from at least 2."""
    if not looks or looks[0] < 2 or any(b <= a for a, b in pairwise(looks)):
        raise ValueError(f"looks must be numbers of seeds that increase from at least 2, got {list(looks)!r}")
