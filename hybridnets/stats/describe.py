"""One sample: its mean and spread."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Summary:
    """The mean and spread of a sample.

    Attributes:
        mean: The sample's mean.
        sd: Its standard deviation with n - 1 in the denominator; None for a single value.
        n: The number of values.
    """

    mean: float
    sd: float | None
    n: int


def summary(x: npt.ArrayLike) -> Summary:
    """Mean and standard deviation of a sample.

    Args:
        x: The values, (n,), n at least 1, finite; assumed independent of each other.

    Raises:
        ValueError: If there are no values, or one is not finite.
    """
    values = sample(x, "x")
    return Summary(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None, len(values))


def sample(x: npt.ArrayLike, name: str) -> npt.NDArray[np.float64]:
    """Returns the values as float64, (n,), after checking that they are a sample.

    Args:
        x: The values, (n,).
        name: The argument's name for the error message.

    Raises:
        ValueError: If they are not a row of at least one finite number.
    """
    values = np.asarray(x, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"{name} must be a row of at least one finite number, got {values!r}")
    return values


def rounding(d: npt.NDArray[np.float64]) -> float:
    """The rounding error of differences of scores, within which they count as equal, as .75 - .74 and .76 - .75."""
    return max(1e-9 * float(np.abs(d).max()), 8 * float(np.finfo(np.float64).eps))


def no_spread(d: npt.NDArray[np.float64]) -> str:
    """The reason why the differences have no spread; empty if they have one."""
    if len(d) == 1:
        return "one seed"
    return "all differences equal" if np.ptp(d) <= rounding(d) else ""
