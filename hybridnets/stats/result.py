"""What a test over seeds or images found, and Student's t, which most of them end in."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Test:
    """The answer of one test.

    Attributes:
        estimate: The mean difference, in the scores' unit; None where there is none.
        statistic: The test's statistic; None where it is not defined.
        p: The two-sided p-value; None where there is none.
        interval: The estimate's confidence interval, lower end first; None where there is none.
        n: How many units the test counts: seeds, images or outcomes, as each test says.
        why: Why there is no p, as a short phrase ("one seed"); empty where there is one.
    """

    estimate: float | None
    statistic: float | None
    p: float | None
    interval: tuple[float, float] | None
    n: int
    why: str = ""

    __test__ = False  # its name makes pytest take it for a class of tests


def student(estimate: float, error: float, df: float, n: int, confidence: float = 0.95) -> Test:
    """Tests an estimate against 0 by Student's t, with its interval.

    Args:
        estimate: What was estimated; its sampling distribution is assumed normal.
        error: Its standard error, above 0, independent of it.
        df: The degrees of freedom of the error.
        n: How many units the test counts; handed on.
        confidence: The share of samples whose interval holds the true value, between 0 and 1.

    Raises:
        ValueError: If the confidence is no share.

    Source: Student 1908, The probable error of a mean, Biometrika 6(1), 1-25.
    """
    from scipy.special import stdtr, stdtrit  # scipy.stats would take seconds to import for these two

    quantile = float(stdtrit(df, (1 + share(confidence, "confidence")) / 2))
    t = estimate / error
    interval = (estimate - quantile * error, estimate + quantile * error)
    return Test(estimate, t, float(2 * stdtr(df, -abs(t))), interval, n)


def noncentral_t_below(t: float, df: float, noncentrality: float) -> float:
    """The chance of a noncentral t at or below t.

    Args:
        t: The quantile.
        df: The degrees of freedom.
        noncentrality: The mean of the normal in the numerator.
    """
    from scipy.special import chdtrc, nctdtr

    if abs(t) > 1000:  # scipy takes seconds or fails; beside so large a t the normal part, of spread 1, does not count
        above = float(chdtrc(df, df * max(0.0, noncentrality / t) ** 2))
        return above if t > 0 else 1 - above
    chance = float(nctdtr(df, noncentrality, t))
    # scipy gives NaN where the chance is within 1e-11 of 0 or 1 (held against quadrature for up to 9,999 degrees of freedom).
    return chance if np.isfinite(chance) else float(t > noncentrality)


def share(x: float, name: str) -> float:
    """The value, once it lies strictly between 0 and 1.

    Args:
        x: The value.
        name: What the error calls it.

    Raises:
        ValueError: If it does not.
    """
    if not 0 < x < 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {x!r}")
    return x


def at_least_0(x: float, name: str) -> float:
    """The value, once it is finite and not negative.

    Args:
        x: The value.
        name: What the error calls it.

    Raises:
        ValueError: If it is neither.
    """
    if not (np.isfinite(x) and x >= 0):
        raise ValueError(f"{name} must be a finite number, at least 0, got {x!r}")
    return x
