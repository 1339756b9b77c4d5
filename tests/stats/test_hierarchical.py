from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats as scipy_stats
from scipy.special import gammaln, stdtr, stdtrit

from hybridnets.stats import bayesian_t, hierarchical
from hybridnets.stats.hierarchical import split_r_hat

Array = npt.NDArray[np.float64]


def normal_like(mean: float, sd: float, n: int) -> Array:
    """n values with exactly that mean and standard deviation."""
    z = scipy_stats.norm.ppf((np.arange(n) + 0.5) / n)
    return np.asarray(mean + sd * (z - z.mean()) / z.std(ddof=1))


TINY = [normal_like(mean, 0.01, 3) for mean in (0.004, 0.02, 0.013, -0.006, 0.016)]


def brute_force(rows: Sequence[Array], margin: float, ratio: float) -> tuple[Array, Array, float]:
    """The same posterior by summing over a grid of centre, scale and nu, all other parameters integrated out.

    Returns:
        The three probabilities of the next data set, how probable it is that each is the most probable, and the mean.
    """
    rho, margins = ratio / (1 + ratio), (margin, -margin)
    farthest = max(np.abs(x).max() for x in rows)
    centre = np.linspace(-farthest, farthest, 121)[:, None]  # (C, 1)
    scale = np.geomspace(1e-5, 1.0, 60)
    rest = np.geomspace(3e-3, 300, 24)  # nu - 1
    alpha, beta = np.linspace(0.5, 5, 91)[:, None, None], np.linspace(0.05, 0.15, 21)[:, None]
    log_gamma = alpha * np.log(beta) - gammaln(alpha) + (alpha - 1) * np.log(rest) - beta * rest
    prior = np.exp(log_gamma).mean((0, 1)) * rest  # the grid is even in log(nu - 1)
    level = (np.arange(400) + 0.5) / 400
    weights, outcomes = [], []
    for nu, p in zip(1 + rest, prior, strict=True):
        quantiles = stdtrit(nu, level)
        for s in scale:
            log_likelihood = np.zeros(len(centre))
            for x in rows:
                n, squares = len(x), ((x - x.mean()) ** 2).sum() / (1 - rho)
                factor = (1 + (n - 1) * rho) / n
                delta = centre + s * quantiles
                # sigma^-n exp(-q / (2 sigma^2)) integrates to a multiple of q^(-(n - 1) / 2)
                inside = (1 + (x.mean() - delta) ** 2 / factor / squares) ** (-(n - 1) / 2)
                log_likelihood += np.log(inside.mean(1))
            weights.append(p * s * np.exp(log_likelihood))  # the grid is even in log(scale)
            above = stdtr(nu, (centre[:, 0] - margins[0]) / s)
            below = stdtr(nu, (margins[1] - centre[:, 0]) / s)
            outcomes.append(np.stack((above, 1 - above - below, below)))
    w, outcome = np.array(weights), np.array(outcomes)  # (G, C), (G, 3, C)
    w /= w.sum()
    best = outcome.argmax(1)
    most = np.array([w[best == k].sum() for k in range(3)])
    return np.einsum("gc,gkc->k", w, outcome), most, float((w @ centre[:, 0]).sum())


@pytest.mark.parametrize("ratio", [0.0, 3 / 7])
def test_the_sampler_agrees_with_a_sum_over_a_grid(ratio: float) -> None:
    chances, most, mean = brute_force(TINY, 0.01, ratio)
    result = hierarchical(TINY, 0.01, ratio)
    assert result.r_hat is not None
    assert result.r_hat < 1.01
    assert (result.better, result.equivalent, result.worse) == pytest.approx(chances, abs=0.012)
    assert result.most_probable == pytest.approx(most, abs=0.015)
    assert result.mean == pytest.approx(mean, abs=2e-4)
    assert hierarchical(TINY, 0.01, ratio) == result  # the generator is private
