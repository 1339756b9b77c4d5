"""Effects in a full grid of two-level factors, with seeds as blocks."""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def effects(scores: npt.ArrayLike, names: Sequence[str]) -> dict[tuple[str, ...], npt.NDArray[np.float64]]:
    """The contrast of every main effect and interaction per seed; `paired_t` of a contrast tests its effect.

    With k factors, an effect is 2^(1 - k) times the sum of the 2^k cells, each multiplied by a sign for every factor of the
    effect: -1 at the factor's first level and 1 at its second. So a main effect is the mean at the second level minus the mean
    at the first. An interaction of two factors is half the difference between the first factor's effects at the two levels of
    the second factor; an interaction of three is half the difference between two such interactions. Every seed has all cells,
    so that a constant which a seed adds to all its scores cancels, and no two effects share an error term.

    Args:
        scores: One score per seed and cell, (S, 2, ..., 2), with an axis of two levels for each factor; finite.
        names: The factors, in the order of the axes.

    Returns:
        The contrasts of each effect, (S,), in the scores' unit. The key is the tuple of its factors, in the order of `names`.
        Main effects come first, then pairs and so on.

    Raises:
        ValueError: If the scores are not a full grid of two levels per factor, one is not finite, or the names do not fit.

    Source: Yates 1937, The design and analysis of factorial experiments, Imperial Bureau of Soil Science, Technical
    Communication 35; Box, Hunter and Hunter 2005, Statistics for experimenters, 2nd edition, chapter 5.
    """
    grid = np.asarray(scores, dtype=np.float64)
    factors = grid.ndim - 1
    if factors < 1 or not len(grid) or grid.shape[1:] != (2,) * factors:
        raise ValueError(f"scores must have the shape (seeds, 2, ..., 2), an axis for each factor, got {grid.shape}")
    if not np.isfinite(grid).all():
        raise ValueError("scores must be finite: leave out seeds whose grid is incomplete")
    if len(names) != factors or len(set(names)) != factors:
        raise ValueError(f"names must be {factors} different names, one for each factor, got {list(names)!r}")
    contrasts = {}
    for size in range(1, factors + 1):
        for members in itertools.combinations(range(factors), size):
            contrast = grid
            for factor in reversed(range(factors)):  # from the last axis, so that the others keep their position
                first, second = np.moveaxis(contrast, factor + 1, 0)
                contrast = second - first if factor in members else (first + second) / 2
            contrasts[tuple(names[factor] for factor in members)] = contrast / 2 ** (size - 1)
    return contrasts
