"""Corrections of p-values for multiple comparisons, and stars."""

import numpy as np
import numpy.typing as npt


def holm(p: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Holm's step-down p-values: at level alpha, the chance of any false rejection in the family is at most alpha.

    The i-th smallest of m becomes the largest of (m - j + 1) p_(j) over j <= i, at most 1. Valid under any dependence.

    Args:
        p: The family's p-values, (m,). NaN (or None) stays NaN and does not count in the family.

    Raises:
        ValueError: If a value lies outside [0, 1].

    Source: Holm 1979, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6(2),
    65-70.
    """
    adjusted, valid = _family(p)
    values = adjusted[valid]
    order = np.argsort(values)
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    values[order] = np.minimum(stepped, 1)
    adjusted[valid] = values
    return adjusted


def benjamini_hochberg(p: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Benjamini and Hochberg's p-values: rejecting those below q keeps the expected share of false rejections at q.

    Valid for independent and for positively dependent tests.

    Args:
        p: The family's p-values, (m,). NaN (or None) stays NaN and does not count in the family.

    Raises:
        ValueError: If a value lies outside [0, 1].

    Source: Benjamini and Hochberg 1995, Controlling the false discovery rate, Journal of the Royal Statistical Society B
    57(1), 289-300.
    """
    adjusted, valid = _family(p)
    if valid.any():
        from scipy.stats import false_discovery_control

        adjusted[valid] = false_discovery_control(adjusted[valid], method="bh")
    return adjusted


def stars(p: float | None, levels: tuple[float, ...] = (0.05, 0.005, 0.0001)) -> str:
    """One star for each level that is larger than p.

    Args:
        p: The p-value; None or NaN gets no star.
        levels: The levels, by default those of the paper's Table 2.
    """
    return "" if p is None else "*" * sum(p < level for level in levels)


def _family(p: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """A copy of the p-values, and a mask of those that are not NaN."""
    values = np.array(p, dtype=np.float64)
    valid = ~np.isnan(values)
    if values.ndim != 1 or not ((values[valid] >= 0) & (values[valid] <= 1)).all():
        raise ValueError(f"p must be a row of values between 0 and 1 (or NaN), got {values!r}")
    return values, valid
