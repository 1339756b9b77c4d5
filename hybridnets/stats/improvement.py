"""A decision by the probability of improvement, and the number of seeds that it needs."""

from math import ceil
from typing import Literal

from hybridnets.stats.result import share
from hybridnets.stats.seeds import Improvement

MEANINGFUL = 0.75  # the probability of improvement that Bouthillier et al. recommend as the least meaningful one

Decision = Literal["not significant", "significant, not meaningful", "significant and meaningful"]


def improvement_decision(improvement: Improvement, threshold: float = MEANINGFUL) -> Decision:
    """Bouthillier's rule: significant if the interval lies above .5, and meaningful if it reaches above the threshold, too.

    The upper end decides on "meaningful", so the word means that such a probability has not been ruled out, not that it has
    been established. Here the interval is Clopper and Pearson's; the authors used the percentile bootstrap's, which has no
    width if all seeds agree.

    Args:
        improvement: P(A > B) with its interval, of `probability_of_improvement`.
        threshold: The smallest probability that matters, between .5 and 1.

    Raises:
        ValueError: If the threshold is not between .5 and 1.

    Source: Bouthillier et al. 2021, Accounting for variance in machine learning benchmarks, Proceedings of Machine Learning and
    Systems 3, section 4 and appendix C.
    """
    _threshold(threshold)
    low, high = improvement.interval
    if low <= 0.5:
        return "not significant"
    return "significant and meaningful" if high > threshold else "significant, not meaningful"


def improvement_seeds(threshold: float = MEANINGFUL, alpha: float = 0.05, power: float = 0.95) -> int:
    """The seeds per variant that the rule needs, if the true probability of improvement is the threshold.

    N = ((z(1 - alpha) + z(power)) / (sqrt(6) (threshold - 1/2)))^2, one-sided: 29 for .75 with errors of 5 %. It is derived
    for the Mann-Whitney test of two unpaired groups; the authors use it for pairs, too.

    Args:
        threshold: The probability of improvement to detect, between .5 and 1.
        alpha: The one-sided level, between 0 and 1.
        power: The requested power, between 0 and 1 and above alpha.

    Raises:
        ValueError: If an argument lies outside its range.

    Source: Noether 1987, Sample size determination for some common nonparametric tests, Journal of the American Statistical
    Association 82(398), 645-647; as used by Bouthillier et al. 2021, appendix C.
    """
    from scipy.special import ndtri

    _threshold(threshold)
    if share(power, "power") <= share(alpha, "alpha"):
        raise ValueError(f"power must be above alpha, got {power!r} and {alpha!r}")
    return ceil((float(ndtri(1 - alpha) + ndtri(power)) / (6**0.5 * (threshold - 0.5))) ** 2)


def _threshold(threshold: float) -> None:
    """Raises ValueError if a probability of improvement is not above .5 and below 1."""
    if not 0.5 < threshold < 1:
        raise ValueError(f"threshold must lie between .5 and 1, got {threshold!r}")
