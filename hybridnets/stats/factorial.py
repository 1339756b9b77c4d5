"""Effects in a full grid of two-level factors, with the seed as block."""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def effects(scores: npt.ArrayLike, names: Sequence[str]) -> dict[tuple[str, ...], npt.NDArray[np.float64]]:
    """The contrast of every main effect and interaction in each seed; `paired_t` of one tests its effect.

    Over k factors an effect is 2^(1 - k) times the sum of the 2^k cells, each with the product of the effect's signs: -1 at a
    factor's first level and 1 at its second. So a main effect is the mean at the second level minus the mean at the first;
    an interaction of two is half the difference between the one's effect at the other's second level and that at its first;
    of three, half the difference between two such interactions. Since each seed has every cell, what a seed adds to all of
    them cancels, and no two effects share an error term.

    Args:
        scores: One score a seed and cell, (S, 2, ..., 2), an axis of two levels for each factor; finite.
        names: The factors, in the order of the axes.

    Returns:
        By the factors that take part, in their order: the contrasts, (S,), in the scores' unit. Main effects come first,
        then pairs and so on.

    Raises:
        ValueError: If the scores are no full grid of two levels a factor, one is not finite, or names do not fit.

    Source: Yates 1937, The design and analysis of factorial experiments, Imperial Bureau of Soil Science, Technical
    Communication 35; Box, Hunter and Hunter 2005, Statistics for experimenters, 2nd edition, chapter 5.
    """
    grid = np.asarray(scores, dtype=np.float64)
    factors = grid.ndim - 1
    if factors < 1 or not len(grid) or grid.shape[1:] != (2,) * factors:
        raise ValueError(f"scores must have the shape (seeds, 2, ..., 2), an axis for each factor, got {grid.shape}")
    if not np.isfinite(grid).all():
        raise ValueError("scores must be finite: a seed takes part with its full grid only")
    if len(names) != factors or len(set(names)) != factors:
        raise ValueError(f"names must be {factors} different ones, one for each factor, got {list(names)!r}")
    found = {}
    for size in range(1, factors + 1):
        for taking_part in itertools.combinations(range(factors), size):
            contrast = grid
            for factor in reversed(range(factors)):  # from the last axis, so that the others stay in place
                first, second = np.moveaxis(contrast, factor + 1, 0)
                contrast = second - first if factor in taking_part else (first + second) / 2
            found[tuple(names[factor] for factor in taking_part)] = contrast / 2 ** (size - 1)
    return found
