"""The three matrix products of the backward pass, in tiles of sums that stay in registers.

For the gradients z[t, r] of the gates of a chunk's steps:

    add_state_gradient     dh[u]    += sum over r of w[r, u] z[t, r]    one step, w a number and z a vector
    input_gradient         dx[t, k]  = sum over r of w[k, r] z[t, r]    all steps of a chunk
    add_weight_gradient    a[r, k]  += sum over t of z[t, r] x[t, k]    all steps of a chunk, each lane by itself
"""

from typing import Any

from numba.core import cgutils

from hybridnets.kernels.cpu.vectors import EDGE, TILE, Array, Rows, inline, vectors

__all__ = ["add_state_gradient", "add_weight_gradient", "input_gradient"]

CACHED_COLUMNS = 16  # columns of x whose chunk stays in the first cache


@vectors
def add_state_gradient(dh: Rows, w: Rows, tile: Any, z: Rows, t: Any, first: Any, count: Any) -> None:
    """dh[0, u] += w z[t], for the units of a tile, of `count` rows of z from `first` on."""
    builder = z.builder
    units = [builder.add(builder.mul(tile, z.integer(TILE)), z.integer(i)) for i in range(TILE)]
    sums = z.registers([dh[0, unit] for unit in units])
    with cgutils.for_range(builder, count) as loop:
        value = z[t, builder.add(first, loop.index)]
        for i in range(TILE):
            sums[i] = sums[i] + w.splat(tile, loop.index, i) * value
    for i in range(TILE):
        dh[0, units[i]] = sums[i]


def _input_gradient_tile(width: int) -> Any:
    """The function for a tile of `width` columns."""

    @vectors
    def tile(dx: Rows, s: Any, way: Any, k: Any, w: Rows, z: Rows, t: Any, steps: Any) -> None:
        """dx[s + way * t, k] = w z[t], for a tile of steps, up to `steps`, and of columns."""
        builder = z.builder
        ts = [builder.add(t, z.integer(i)) for i in range(EDGE)]
        columns = [builder.add(k, z.integer(i)) for i in range(width)]
        sums = z.registers([z.zeros()] * (EDGE * width))
        with cgutils.for_range(builder, w.size(1)) as loop:
            values = [z[i, loop.index] for i in ts]
            weights = [w.splat(column, loop.index) for column in columns]
            for i in range(EDGE):
                for j in range(width):
                    sums[i * width + j] = sums[i * width + j] + values[i] * weights[j]
        for i in range(EDGE):
            with builder.if_then(builder.icmp_signed("<", ts[i], steps)):
                for j in range(width):
                    dx[builder.add(s, builder.mul(way, ts[i])), columns[j]] = sums[i * width + j]

    return tile


_input_gradient, _input_gradient_2, _input_gradient_1 = map(_input_gradient_tile, (EDGE, 2, 1))


@inline
def input_gradient(dx: Array, s: int, way: int, w: Array, z: Array, steps: int) -> None:
    """dx[s + way * t] = w z[t], for a chunk's steps t."""
    for t in range(0, steps, EDGE):
        k = 0
        while k + EDGE <= dx.shape[1]:
            _input_gradient(dx, s, way, k, w, z, t, steps)
            k += EDGE
        while k + 2 <= dx.shape[1]:
            _input_gradient_2(dx, s, way, k, w, z, t, steps)
            k += 2
        if k < dx.shape[1]:
            _input_gradient_1(dx, s, way, k, w, z, t, steps)


def _weight_gradient_tile(width: int) -> Any:
    """The function for a tile of `width` columns."""

    @vectors
    def tile(a: Rows, r: Any, k: Any, z: Rows, first: Any, x: Rows, s: Any, way: Any, steps: Any) -> None:
        """a[r, k] += z[t, first + r] x[s + way * t, k], added over a chunk's steps, for a tile of rows and columns."""
        builder = z.builder
        rows = [builder.add(r, z.integer(i)) for i in range(EDGE)]
        columns = [builder.add(k, z.integer(i)) for i in range(width)]
        sums = z.registers([a[row, column] for row in rows for column in columns])
        with cgutils.for_range(builder, steps) as loop:
            t = loop.index
            gradients = [z[t, builder.add(first, row)] for row in rows]
            values = [x[builder.add(s, builder.mul(way, t)), column] for column in columns]
            for i in range(EDGE):
                for j in range(width):
                    sums[i * width + j] = sums[i * width + j] + gradients[i] * values[j]
        for i in range(EDGE):
            for j in range(width):
                a[rows[i], columns[j]] = sums[i * width + j]

    return tile


_weight_gradient, _weight_gradient_2, _weight_gradient_1 = map(_weight_gradient_tile, (EDGE, 2, 1))


@inline
def add_weight_gradient(a: Array, z: Array, first: int, x: Array, s: int, way: int, steps: int) -> None:
    """a[r, k] += z[t, first + r] x[s + way * t, k], added over a chunk's steps t."""
    for block in range(0, a.shape[1], CACHED_COLUMNS):
        end = min(block + CACHED_COLUMNS, a.shape[1])
        for r in range(0, a.shape[0], EDGE):
            k = block
            while k + EDGE <= end:
                _weight_gradient(a, r, k, z, first, x, s, way, steps)
                k += EDGE
            while k + 2 <= end:
                _weight_gradient_2(a, r, k, z, first, x, s, way, steps)
                k += 2
            if k < end:
                _weight_gradient_1(a, r, k, z, first, x, s, way, steps)
