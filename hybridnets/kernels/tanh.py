"""The hyperbolic tangent that all kernels compute in float32: its coefficients, and the approximation in NumPy and in vectors.

tanh(x) is x TOP(x^2) / BOTTOM(x^2) for |x| up to LIMIT and constant beyond; both polynomials list their highest power first. It
is at most 1.5e-7 off and exact for small x, where a form with exponentials is not. float64 uses the C library's tanh.

Source: Eigen's generic_fast_tanh_float, a rational minimax approximation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # the coefficients serve Triton too, without Numba
    from hybridnets.kernels.cpu.vectors import Vector

LIMIT = 7.90531110763549805
TOP = (
    -2.76076847742355e-16,
    2.00018790482477e-13,
    -8.60467152213735e-11,
    5.12229709037114e-08,
    1.48572235717979e-05,
    6.37261928875436e-04,
    4.89352455891786e-03,
)
BOTTOM = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)


def approximate_tanh(x: NDArray[np.float32]) -> NDArray[Any]:
    """The approximation as a formula, for an array of any shape. Without fused operations it is up to 3.2e-7 off."""
    x = np.clip(x, np.float32(-LIMIT), np.float32(LIMIT))
    top, bottom = (np.polyval(np.array(coefficients, np.float32), x * x) for coefficients in (TOP, BOTTOM))
    return x * top / bottom


def vector_tanhs(xs: Sequence[Vector]) -> list[Vector]:
    """The approximation of several vectors, interleaved: each operation is written for all of them before the next one.

    A processor looks ahead only a few dozen instructions, so it would not find the independent work by itself.
    """
    if xs[0].is_double:
        return [x.call_by_lane("tanh") for x in xs]
    xs = [x.at_most(LIMIT).at_least(-LIMIT) for x in xs]
    squares = [x * x for x in xs]
    tops, bottoms = ([x.constant(coefficients[0]) for x in xs] for coefficients in (TOP, BOTTOM))
    for coefficient in TOP[1:]:
        tops = [top * square + coefficient for top, square in zip(tops, squares, strict=True)]
    for coefficient in BOTTOM[1:]:
        bottoms = [bottom * square + coefficient for bottom, square in zip(bottoms, squares, strict=True)]
    tops = [x * top for x, top in zip(xs, tops, strict=True)]
    inverses = [inverse for i in range(0, len(xs), 4) for inverse in _reciprocals(bottoms[i : i + 4])]
    return [top * inverse for top, inverse in zip(tops, inverses, strict=True)]


def _reciprocals(xs: list[Vector]) -> list[Vector]:
    """1 / x for each of up to four vectors by one division; values are from .004 to 1: their product cannot underflow."""
    if len(xs) == 1:
        return [xs[0].reciprocal()]
    first, second = xs[: len(xs) // 2], xs[len(xs) // 2 :]
    a, b = _product(first), _product(second)
    inverse = (a * b).reciprocal()
    return _split(first, inverse * b) + _split(second, inverse * a)


def _split(xs: list[Vector], inverse: Vector) -> list[Vector]:
    """1 / x for each vector, given 1 / (their product)."""
    if len(xs) == 1:
        return [inverse]
    first, second = xs[: len(xs) // 2], xs[len(xs) // 2 :]
    return _split(first, inverse * _product(second)) + _split(second, inverse * _product(first))


def _product(xs: list[Vector]) -> Vector:
    result = xs[0]
    for x in xs[1:]:
        result = result * x
    return result
