"""Tests on published accuracies alone, to infer how many outcomes the published stars counted."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hybridnets.stats.families import stars
from hybridnets.stats.result import Test, student


def uncorrelated(a: float, b: float, n: int) -> Test:
    """Tests the difference b - a of two accuracies as if each were the mean of n unpaired outcomes.

    t = (b - a) / sqrt((a (1 - a) + b (1 - b)) / n), two-sided: the paired t test on 0/1 outcomes whose correlation is 0,
    with n - 1 degrees of freedom. It assumes n independent images in each accuracy. If each accuracy is the mean of
    three runs with 15,000 images each, n = 45,000 counts images, not runs.

    Args:
        a: The baseline's accuracy, a fraction.
        b: The candidate's accuracy, a fraction.
        n: The number of outcomes behind each accuracy, at least 2.

    Returns:
        The difference, t, p and interval (95 %) over n outcomes; no p if both accuracies are 0 or 1.

    Raises:
        ValueError: If an accuracy is not a fraction or n is below 2.

    Source: Inferred from the published accuracies and stars (Tables 2 to 5); nothing published states it.
    """
    for name, accuracy in (("a", a), ("b", b)):
        if not 0 <= accuracy <= 1:
            raise ValueError(f"{name} must be an accuracy between 0 and 1, got {accuracy!r}")
    if not 2 <= n < np.inf:
        raise ValueError(f"n must be at least 2, got {n!r}")
    variance = a * (1 - a) + b * (1 - b)
    if variance == 0:
        return Test(b - a, None, None, None, n, "accuracies of 0 or 1 have no spread")
    return student(b - a, (variance / n) ** 0.5, n - 1, n)


def reproduced(a: npt.ArrayLike, b: npt.ArrayLike, labels: Sequence[str], n: int) -> int:
    """The number of published star labels that `uncorrelated` reproduces with n outcomes per accuracy.

    Args:
        a: The baselines' accuracies, (m,), fractions.
        b: The candidates' accuracies, (m,), fractions.
        labels: The published labels, m of "", "*", "**" and "***".
        n: The number of outcomes behind each accuracy, at least 2.

    Raises:
        ValueError: If the three differ in length, or `uncorrelated` refuses a value.
    """
    baselines, candidates = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if baselines.shape != (len(labels),) or candidates.shape != baselines.shape:
        raise ValueError(
            f"a, b and labels must pair one by one, got {baselines.shape}, {candidates.shape} and {len(labels)} labels"
        )
    rows = zip(baselines.tolist(), candidates.tolist(), labels, strict=True)
    return sum(stars(uncorrelated(baseline, candidate, n).p) == label for baseline, candidate, label in rows)
