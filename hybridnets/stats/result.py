"""The result of a test over seeds or images, and Student's t test, on which most of them rely."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Test:
    """The result of one test.

    Attributes:
        estimate: The mean difference, in the scores' unit; None if it is undefined.
        statistic: The test's statistic; None if it is undefined.
        p: The two-sided p-value; None if it is undefined.
        interval: The estimate's confidence interval, lower end first; None if it is undefined.
        n: The number of units: seeds, images or outcomes, depending on the test.
        why: The reason for a missing p as a short phrase ("one seed"), otherwise empty.
        ratio: What its error was corrected for: n_val / n_train of each split; 0 for a test without that correction.
    """

    estimate: float | None
    statistic: float | None
    p: float | None
    interval: tuple[float, float] | None
    n: int
    why: str = ""
    ratio: float = 0.0

    __test__ = False  # because pytest would collect the class by its name


def student(estimate: float, error: float, df: float, n: int, confidence: float = 0.95) -> Test:
    """Tests an estimate against 0 by Student's t, with its interval.

    Args:
        estimate: The estimate; its sampling distribution is assumed normal.
        error: Its standard error, above 0, independent of it.
        df: The degrees of freedom of the error.
        n: The number of units, for the result.
        confidence: The share of samples whose interval contains the true value, between 0 and 1.

    Raises:
        ValueError: If the confidence is not between 0 and 1.

    Source: Student 1908, The probable error of a mean, Biometrika 6(1), 1-25.
    """
    from scipy.special import stdtr, stdtrit  # because importing scipy.stats takes seconds

    quantile = float(stdtrit(df, (1 + share(confidence, "confidence")) / 2))
    t = estimate / error
    interval = (estimate - quantile * error, estimate + quantile * error)
    return Test(estimate, t, float(2 * stdtr(df, -abs(t))), interval, n)


def noncentral_t_below(t: float, df: float, noncentrality: float) -> float:
    """The cumulative distribution function of the noncentral t.

    Args:
        t: The argument.
        df: The degrees of freedom.
        noncentrality: The mean of the normal in the numerator.
    """
    from scipy.special import chdtrc, nctdtr

    if (
        abs(t) > 1000
    ):  # scipy takes seconds or fails; compared with such a t, the normal part's spread of 1 is negligible
        upper_tail = float(chdtrc(df, df * max(0.0, noncentrality / t) ** 2))
        return upper_tail if t > 0 else 1 - upper_tail
    chance = float(nctdtr(df, noncentrality, t))
    # scipy gives NaN if the result is within 1e-11 of 0 or 1 (compared with quadrature for up to 9,999 degrees of freedom).
    return chance if np.isfinite(chance) else float(t > noncentrality)


def share(x: float, name: str) -> float:
    """Returns the value after checking that it lies strictly between 0 and 1.

    Args:
        x: The value.
        name: The argument's name for the error message.

    Raises:
        ValueError: If it does not.
    """
    if not 0 < x < 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {x!r}")
    return x


def at_least_0(x: float, name: str) -> float:
    """Returns the value after checking that it is finite and not negative.

    Args:
        x: The value.
        name: The argument's name for the error message.

    Raises:
        ValueError: If it is not.
    """
    if not (np.isfinite(x) and x >= 0):
        raise ValueError(f"{name} must be a finite number, at least 0, got {x!r}")
    return x
