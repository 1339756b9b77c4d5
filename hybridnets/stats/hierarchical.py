"""Two variants on several data sets, by a Bayesian model of seeds within data sets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hybridnets.stats.describe import sample
from hybridnets.stats.result import at_least_0

Array = npt.NDArray[np.float64]

LEAST_DATA_SETS = 5  # below it, the spread between data sets is hardly known
LEAST_SEEDS = 3  # below it, the flat prior on a data set's spread leaves its mean without a posterior of its own
CHAINS, WARM_UP, DRAWS = 32, 400, 1500  # draws are per chain; about two seconds
LONGER = 4  # times as many draws, where the first have not converged
CONVERGED = 1.01  # the largest R-hat of a converged sample (Vehtari et al. 2021)
ALPHA, BETA = (0.5, 5.0), (0.05, 0.15)  # bounds of the gamma prior's parameters (Corani et al. 2017, section 3.2)
WIDEST = 1000.0  # spreads are bounded by so many times the observed ones (the same)


@dataclass(frozen=True)
class HierarchicalPosterior:
    """What the posterior says about the next data set, and about the mean over data sets.

    Attributes:
        better: The probability that the mean difference on the next data set lies above the margin; None without a
            posterior.
        equivalent: The probability that it lies within the margin.
        worse: The probability that it lies below minus the margin.
        most_probable: The probability that "better" is the most probable outcome of the three on the next data set, and
            likewise for "equivalent" and "worse": the answer that Corani et al. report.
        mean: The posterior mean of the mean difference over data sets.
        interval: Its central 95 %, lower end first.
        inside: The posterior mean difference of each data set, pulled towards `mean`.
        r_hat: The largest split R-hat of what was drawn; a converged sampler has at most 1.01.
        error: The largest Monte Carlo standard error of the six probabilities.
        why: The reason for a missing posterior, otherwise empty.
    """

    better: float | None
    equivalent: float | None
    worse: float | None
    most_probable: tuple[float, float, float] | None
    mean: float | None
    interval: tuple[float, float] | None
    inside: tuple[float, ...]
    r_hat: float | None
    error: float | None
    why: str = ""


def bayesian_hierarchical(
    differences: Sequence[npt.ArrayLike], margin: float, ratio: float = 0.0, draws: int = DRAWS
) -> HierarchicalPosterior:
    """The hierarchical Bayesian comparison of two variants on at least five data sets.

    Model: the n_i differences of data set i are normal with mean delta_i, spread sigma_i and correlation rho = ratio / (1 +
    ratio); delta_i follows a Student t with nu degrees of freedom, location delta_0 and scale sigma_0. Priors: delta_0
    uniform within the largest absolute difference; sigma_i and sigma_0 uniform up to 1000 times the observed spread; nu - 1
    gamma with shape alpha and rate beta, alpha uniform on (0.5, 5), beta uniform on (0.05, 0.15). It is sampled by Gibbs
    steps, with Metropolis steps for nu, alpha and beta, and with a second, non-centred step for delta_0 and sigma_0,
    without which a sampler sticks where sigma_0 is small.

    With few seeds the flat prior on sigma_i is wide: it leaves n_i - 2 degrees of freedom to a data set's mean, one for 3
    seeds.

    Args:
        differences: For each of D data sets one difference of scores per seed or fold, at least 3; their numbers may
            differ. (D, S) where they do not.
        margin: Differences in [-margin, margin], in the scores' unit, count as equivalent in practice.
        ratio: 0 for independent differences (runs on one fixed pool, over splits and seeds); n_val / n_train of each split,
            or 1 / (k - 1) for k-fold cross-validation, where the question is about new data.
        draws: Draws of each of 32 chains, after 400 of warm-up, at least 4; four times as many follow where R-hat exceeds
            1.01.

    Returns:
        The posterior; none, with a reason, for fewer than 5 data sets, fewer than 3 seeds, equal differences in a data set,
        or chains that disagree all the same. The generator is private, so the same differences give the same
        posterior.

    Raises:
        ValueError: If a difference is not finite, the margin or the ratio is negative, or there are fewer than 4 draws.

    Source: Corani, Benavoli, Demsar, Mangili and Zaffalon 2017, Statistical comparison of classifiers through Bayesian
    hierarchical modelling, Machine Learning 106, 1817-1837 (model, priors, decision; delta_0 and nu as in the authors'
    program); Yu and Meng 2011, To center or not to center: that is not the question, Journal of Computational and Graphical
    Statistics 20(3), 531-570; Vehtari et al. 2021, Rank-normalization, folding, and localization: an improved R-hat,
    Bayesian Analysis 16(2), 667-718.
    """
    at_least_0(margin, "margin")
    if draws < 4:
        raise ValueError(f"draws must be at least 4, got {draws!r}")
    rows = [sample(d, "differences of a data set") for d in differences]
    if why := _why_not(rows):
        return HierarchicalPosterior(None, None, None, None, None, None, (), None, None, why)
    state = _State(_data(rows, at_least_0(ratio, "ratio")), np.random.default_rng(0))
    _draw(state, WARM_UP)
    posterior = _posterior(state, margin, draws)
    return _posterior(state, margin, LONGER * draws) if posterior.why else posterior


def _posterior(state: "_State", margin: float, draws: int) -> HierarchicalPosterior:
    """Goes on drawing, and says what the new draws say about the next data set."""
    from scipy.special import stdtr

    (centre, scale, nu), inside = _draw(state, draws)  # each (draws, CHAINS)
    better, worse = stdtr(nu, (centre - margin) / scale), stdtr(nu, (-margin - centre) / scale)
    r_hat = max(split_r_hat(x) for x in (centre, np.log(scale), np.log(nu), better, worse))
    outcome = np.stack((better, np.clip(1 - better - worse, 0, 1), worse))
    is_most = np.stack([outcome.argmax(0) == k for k in range(3)]).astype(np.float64)
    # The means of independent chains show how far their mean is from the posterior.
    error = float((np.concatenate((outcome, is_most)).mean(1).std(-1, ddof=1) / CHAINS**0.5).max())
    if r_hat > CONVERGED:
        why = f"the sampler has not converged (R-hat {r_hat:.3f})"
        return HierarchicalPosterior(None, None, None, None, None, None, (), r_hat, error, why)
    chances, most = outcome.mean((1, 2)).tolist(), is_most.mean((1, 2)).tolist()
    low, high = np.quantile(centre, (0.025, 0.975)).tolist()
    return HierarchicalPosterior(
        chances[0],
        chances[1],
        chances[2],
        (most[0], most[1], most[2]),
        float(centre.mean()),
        (low, high),
        inside,
        r_hat,
        error,
    )


def split_r_hat(x: Array) -> float:
    """The split R-hat: 1 where all halves of all chains have the same distribution, more where they do not.

    Args:
        x: Draws, (T, C), T at least 4.

    Source: Gelman et al. 2013, Bayesian data analysis, 3rd edition, section 11.4.
    """
    half = len(x) // 2
    halves = np.concatenate((x[:half], x[-half:]), axis=1)
    within = float(halves.var(0, ddof=1).mean())
    between = float(halves.mean(0).var(ddof=1))
    return float("inf") if within == 0 else ((half - 1) / half + between / within) ** 0.5


class _Data(NamedTuple):
    """What the likelihood needs of each data set, (D,), and the priors' bounds."""

    n: Array
    mean: Array
    squares: Array  # the sum of squares around the mean over 1 - rho
    factor: Array  # the variance of the mean over sigma^2
    farthest: float  # the bound of delta_0
    widest: float  # the bound of sigma_i
    widest_among: float  # the bound of sigma_0


def _why_not(rows: Sequence[Array]) -> str:
    """The reason why there is no posterior; empty if there is one."""
    if len(rows) < LEAST_DATA_SETS:
        return f"fewer than {LEAST_DATA_SETS} data sets"
    if min(map(len, rows)) < LEAST_SEEDS:
        return f"a data set has fewer than {LEAST_SEEDS} seeds"
    # Differences such as .75 - .74 and .76 - .75 are equal but for rounding.
    if any(np.ptp(x) <= max(1e-9 * float(np.abs(x).max()), 8 * float(np.finfo(np.float64).eps)) for x in rows):
        return "a data set has equal differences"
    return ""


def _data(rows: Sequence[Array], ratio: float) -> _Data:
    n, mean = np.array([len(x) for x in rows], dtype=np.float64), np.array([x.mean() for x in rows])
    rho = ratio / (1 + ratio)
    squares = np.array([((x - x.mean()) ** 2).sum() for x in rows])
    within = float(np.sqrt(squares / n).mean())
    among = float(mean.std()) or within
    farthest = max(float(np.abs(x).max()) for x in rows)
    return _Data(
        n,
        mean,
        squares / (1 - rho),
        (1 + (n - 1) * rho) / n,
        farthest,
        WIDEST * within,
        WIDEST * max(among, 1e-3 * within),
    )


class _State:
    """All chains at one time: `delta`, `sigma` and `weight` (C, D); `centre`, `scale`, `nu`, `alpha` and `beta` (C, 1).

    A weight w turns the t into a normal: delta_i is normal around `centre` with variance scale^2 / w_i, w_i gamma (nu / 2,
    nu / 2). Each step draws from a full conditional distribution without the prior's bound and keeps the old value where
    the draw lies outside, which is a Metropolis step with acceptance 0 or 1.
    """

    def __init__(self, data: _Data, generator: np.random.Generator) -> None:
        shape = (CHAINS, len(data.n))
        self.data, self.generator = data, generator
        spread = float(data.mean.std()) + float(np.sqrt(data.squares / data.n**2).mean())
        self.sigma = np.sqrt(data.squares / data.n) * np.exp(0.3 * generator.standard_normal(shape))
        self.delta = data.mean + 0.5 * spread * generator.standard_normal(shape)
        centre = data.mean.mean() + 0.5 * spread * generator.standard_normal((CHAINS, 1))
        self.centre = np.clip(centre, -data.farthest, data.farthest)
        self.scale = np.minimum(spread * np.exp(generator.standard_normal((CHAINS, 1))), data.widest_among)
        self.alpha = generator.uniform(*ALPHA, (CHAINS, 1))
        self.beta = generator.uniform(*BETA, (CHAINS, 1))
        self.nu = 1 + generator.gamma(self.alpha) / self.beta
        self.weight = np.ones(shape)

    def step(self) -> None:
        """One sweep over all parameters."""
        self.draw_inside()
        self.draw_tails()
        self.draw_centred()
        self.draw_not_centred()

    def draw_inside(self) -> None:
        """Draws each data set's spread and mean."""
        data, generator = self.data, self.generator
        rest = data.squares + (data.mean - self.delta) ** 2 / data.factor
        sigma = np.sqrt(rest / 2 / generator.standard_gamma((data.n - 1) / 2, self.delta.shape))
        self.sigma = np.where(sigma < data.widest, sigma, self.sigma)
        own, common = 1 / (data.factor * self.sigma**2), self.weight / self.scale**2
        mean = (own * data.mean + common * self.centre) / (own + common)
        self.delta = mean + generator.standard_normal(mean.shape) / np.sqrt(own + common)

    def draw_tails(self) -> None:
        """Draws nu with its prior's parameters, then the weights."""
        from scipy.special import gammaln

        generator, shape = self.generator, self.nu.shape
        z2 = ((self.delta - self.centre) / self.scale) ** 2

        def log_density(nu: Array) -> Array:  # of log(nu - 1), with the weights integrated out
            constant = gammaln((nu + 1) / 2) - gammaln(nu / 2) - np.log(nu) / 2
            tails = (constant - (nu + 1) / 2 * np.log1p(z2 / nu)).sum(1, keepdims=True)
            return np.asarray(tails + self.alpha * np.log(nu - 1) - self.beta * (nu - 1))

        for size in (0.5, 2.0):
            proposed = 1 + (self.nu - 1) * np.exp(size * generator.standard_normal(shape))
            accept = np.log(generator.random(shape)) < log_density(proposed) - log_density(self.nu)
            self.nu = np.where(accept, proposed, self.nu)

        def log_prior(alpha: Array, beta: Array) -> Array:
            return np.asarray(alpha * np.log(beta) - gammaln(alpha) + alpha * np.log(self.nu - 1) - beta * self.nu)

        alpha, beta = generator.uniform(*ALPHA, shape), generator.uniform(*BETA, shape)
        accept = np.log(generator.random(shape)) < log_prior(alpha, beta) - log_prior(self.alpha, self.beta)
        self.alpha, self.beta = np.where(accept, alpha, self.alpha), np.where(accept, beta, self.beta)
        self.weight = 2 * generator.standard_gamma((self.nu + 1) / 2, self.delta.shape) / (self.nu + z2)

    def draw_centred(self) -> None:
        """Draws the centre and the scale given each data set's mean."""
        data, generator = self.data, self.generator
        total = self.weight.sum(1, keepdims=True)
        mean = (self.weight * self.delta).sum(1, keepdims=True) / total
        centre = mean + self.scale * generator.standard_normal(mean.shape) / np.sqrt(total)
        self.centre = np.where(np.abs(centre) < data.farthest, centre, self.centre)
        squares = (self.weight * (self.delta - self.centre) ** 2).sum(1, keepdims=True)
        scale = np.sqrt(squares / 2 / generator.standard_gamma((len(data.n) - 1) / 2, squares.shape))
        self.scale = np.where((scale > 0) & (scale < data.widest_among), scale, self.scale)

    def draw_not_centred(self) -> None:
        """Draws both again, given the data and each data set's place in units of the scale."""
        from scipy.special import ndtr, ndtri

        data, generator = self.data, self.generator
        z = (self.delta - self.centre) / self.scale
        own = 1 / (data.factor * self.sigma**2)
        total = own.sum(1, keepdims=True)
        z_mean = (own * z).sum(1, keepdims=True) / total
        x_mean = (own * data.mean).sum(1, keepdims=True) / total
        precision = (own * (z - z_mean) ** 2).sum(1, keepdims=True)
        error = 1 / np.sqrt(precision)
        slope = (own * (z - z_mean) * (data.mean - x_mean)).sum(1, keepdims=True) / precision
        scale = slope - error * ndtri(generator.random(slope.shape) * ndtr(slope / error))  # above 0
        centre = x_mean - scale * z_mean + generator.standard_normal(slope.shape) / np.sqrt(total)
        accept = (scale > 0) & (scale < data.widest_among) & (np.abs(centre) < data.farthest)
        self.scale, self.centre = np.where(accept, scale, self.scale), np.where(accept, centre, self.centre)
        self.delta = self.centre + self.scale * z


def _draw(state: _State, draws: int) -> tuple[Array, tuple[float, ...]]:
    """Draws of centre, scale and nu, (3, draws, CHAINS), and the posterior mean of each data set's mean."""
    drawn, inside = np.empty((3, draws, CHAINS)), np.zeros(len(state.data.n))
    for n in range(draws):
        state.step()
        drawn[:, n] = state.centre[:, 0], state.scale[:, 0], state.nu[:, 0]
        inside += state.delta.mean(0) / draws
    return drawn, tuple(inside.tolist())
