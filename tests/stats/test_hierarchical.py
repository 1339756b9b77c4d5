from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats as scipy_stats
from scipy.special import gammaln, stdtr, stdtrit

from hybridnets.stats import bayesian_hierarchical
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
    centre = np.linspace(-farthest, farthest, 241)[:, None]  # (C, 1)
    scale = np.geomspace(1e-4, 0.3, 36)
    rest = np.geomspace(1e-2, 300, 10)  # nu - 1
    alpha, beta = np.linspace(0.5, 5, 91)[:, None, None], np.linspace(0.05, 0.15, 21)[:, None]
    log_gamma = alpha * np.log(beta) - gammaln(alpha) + (alpha - 1) * np.log(rest) - beta * rest
    prior = np.exp(log_gamma).mean((0, 1)) * rest  # the grid is even in log(nu - 1)
    level = (np.arange(80) + 0.5) / 80
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


def test_the_sampler_agrees_with_a_sum_over_a_grid() -> None:
    chances, most, mean = brute_force(TINY, 0.01, 3 / 7)
    # A finer grid (121 x 60 x 24, 400 steps within) gives .4971, .3997, .1032 and .00916.
    assert (*chances, mean) == pytest.approx((0.4971, 0.3997, 0.1032, 0.00916), abs=0.003)
    result = bayesian_hierarchical(TINY, 0.01, 3 / 7)
    assert result.r_hat is not None
    assert result.error is not None
    assert result.r_hat < 1.01
    assert result.error < 0.005
    assert (result.better, result.equivalent, result.worse) == pytest.approx(chances, abs=0.012)
    assert result.most_probable == pytest.approx(most, abs=0.02)
    assert result.mean == pytest.approx(mean, abs=2e-4)


# Drawn once; rows are data sets, columns folds. Beside them stands what baycomp 1.0.3 gives on pystan 3.10.0 with the paper's
# priors (lower_alpha=.5, upper_alpha=5, lower_beta=.05, upper_beta=.15): for five folds its program with delta=.995 and 80,000
# draws; for eight folds with its own settings and 5,000 draws, which differ from run to run by up to .02, as Stan's transitions
# diverge where the scale is small.
FIVE_FOLDS = [
    [-0.0035, -0.0059, 0.0095, 0.0183, 0.0047],
    [-0.0156, -0.0128, 0.0128, -0.0012, -0.0206],
    [0.0067, -0.0041, 0.0012, 0.0026, 0.0004],
    [0.0197, 0.0136, 0.0083, 0.0183, 0.0225],
    [0.0049, 0.0188, 0.0116, 0.0196, 0.0085],
    [0.0113, 0.0107, 0.0081, 0.0006, 0.0071],
]
EIGHT_FOLDS = [
    [0.0002, -0.0214, -0.0107, -0.0079, -0.0124, 0.013, 0.0006, -0.0099],
    [0.0096, 0.018, -0.0314, -0.0037, -0.0182, -0.002, -0.0244, 0.0018],
    [0.0037, -0.0016, -0.0165, -0.0034, -0.0173, -0.0226, 0.009, -0.0177],
    [0.0297, 0.0206, -0.0337, 0.0117, -0.0158, 0.0069, 0.0071, -0.0335],
    [-0.0011, -0.0016, 0.0228, -0.0201, 0.0183, -0.0184, -0.0031, -0.0133],
    [0.0295, 0.0119, 0.0492, 0.0134, 0.0174, 0.0173, -0.0116, -0.0009],
    [0.0281, -0.0068, 0.0049, 0.0007, 0.0133, -0.0062, -0.002, 0.0059],
    [0.0083, -0.0111, 0.0241, -0.0198, -0.0178, -0.0194, 0.0255, -0.001],
    [-0.016, -0.0193, 0.0118, -0.0177, -0.022, 0.0157, -0.0205, -0.003],
    [-0.0006, -0.0094, -0.0015, 0.0263, -0.0108, -0.0257, -0.0372, -0.0046],
]


@pytest.mark.parametrize(
    ("differences", "margin", "chances", "most", "off"),
    [
        (FIVE_FOLDS, 0.01, (0.3191, 0.6348, 0.0461), (0.2510, 0.7354, 0.0136), 0.01),
        (EIGHT_FOLDS, 0.005, (0.0847, 0.5776, 0.3378), (0.0300, 0.6554, 0.3146), 0.025),
    ],
)
def test_baycomp_agrees(
    differences: list[list[float]], margin: float, chances: tuple[float, ...], most: tuple[float, ...], off: float
) -> None:
    folds = len(differences[0])
    result = bayesian_hierarchical(differences, margin, 1 / (folds - 1))
    assert (result.better, result.equivalent, result.worse) == pytest.approx(chances, abs=off)
    assert result.most_probable == pytest.approx(most, abs=1.5 * off)


def test_the_unit_of_the_scores_does_not_matter_and_the_generator_is_private() -> None:
    result, scaled = (
        bayesian_hierarchical(TINY, 0.01, draws=4),
        bayesian_hierarchical([8 * x for x in TINY], 0.08, draws=4),
    )
    assert (scaled.r_hat, scaled.error) == (result.r_hat, result.error)  # a power of 2 is exact
    assert bayesian_hierarchical(TINY, 0.01, draws=4) == result


def test_sides_mirror() -> None:
    result, mirrored = (bayesian_hierarchical([sign * x for x in TINY], 0.01) for sign in (1, -1))
    assert (mirrored.worse, mirrored.equivalent) == pytest.approx((result.better, result.equivalent), abs=0.015)
    assert mirrored.inside == pytest.approx([-mean for mean in result.inside], abs=5e-4)


def test_where_data_sets_agree_the_next_one_is_known() -> None:
    clear = bayesian_hierarchical([normal_like(0.05 + 1e-4 * n, 0.002, 10) for n in range(12)], 0.01)
    assert clear.better is not None
    assert clear.better > 0.99
    assert clear.most_probable == (1, 0, 0)
    equal = bayesian_hierarchical([normal_like(1e-4 * (n - 6), 0.002, 10) for n in range(12)], 0.01)
    assert equal.equivalent is not None
    assert equal.equivalent > 0.99
    # Where they do not, the next one is open, and the mean is not: nothing pulls exact values together.
    wide = bayesian_hierarchical([normal_like(mean, 1e-3, 20) for mean in np.linspace(-0.3, 0.3, 11)], 0.01)
    assert wide.better == pytest.approx(0.49, abs=0.02)
    assert wide.inside == pytest.approx(np.linspace(-0.3, 0.3, 11), abs=1e-3)


def test_noisy_data_sets_are_pulled_towards_the_others() -> None:
    rows = [normal_like(mean, 0.002, 10) for mean in (0.01, 0.012, 0.008, 0.011, 0.009)]
    result = bayesian_hierarchical([*rows, normal_like(0.06, 0.1, 4)], 0.005)
    assert result.inside[:5] == pytest.approx((0.01, 0.012, 0.008, 0.011, 0.009), abs=6e-4)
    assert abs(result.inside[5] - 0.01) < 0.01


@pytest.mark.parametrize(
    ("differences", "why"),
    [
        ([[0.1, 0.2, 0.3]] * 4, "fewer than 5 data sets"),
        ([[0.1, 0.2, 0.3]] * 5 + [[0.1, 0.2]], "a data set has fewer than 3 seeds"),
        ([[0.1, 0.2, 0.3]] * 5 + [[0.75 - 0.74, 0.76 - 0.75, 0.01]], "a data set has equal differences"),
    ],
)
def test_without_a_posterior_there_is_a_reason(differences: list[list[float]], why: str) -> None:
    result = bayesian_hierarchical(differences, 0.01)
    assert (result.better, result.most_probable, result.interval, result.why) == (None, None, None, why)


def test_chains_that_disagree_give_no_answer() -> None:
    result = bayesian_hierarchical(TINY, 0.01, draws=4)
    assert result.better is None
    assert result.r_hat is not None
    assert result.r_hat > 1.01
    assert result.why == f"the sampler has not converged (R-hat {result.r_hat:.3f})"
    draws = np.random.default_rng(0).standard_normal((400, 8))
    assert split_r_hat(draws) == pytest.approx(1, abs=0.01)
    assert split_r_hat(draws + np.arange(8)) > 1.5
    assert split_r_hat(draws + np.linspace(-2, 2, 400)[:, None]) > 1.3  # all chains drift
    assert split_r_hat(np.ones((4, 2))) == np.inf


def test_illegal_arguments_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="margin must be a finite number, at least 0"):
        bayesian_hierarchical(TINY, -1)
    with pytest.raises(ValueError, match="ratio"):
        bayesian_hierarchical(TINY, 0.01, -1)
    with pytest.raises(ValueError, match="draws must be at least 4, got 3"):
        bayesian_hierarchical(TINY, 0.01, draws=3)
    with pytest.raises(ValueError, match="differences of a data set"):
        bayesian_hierarchical([[float("nan")]], 0.01)
