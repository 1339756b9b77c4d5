"""The Numba kernels of a recurrent layer: each task walks one block's sequence in one direction, forward or backward.

The backward pass keeps no gates. The forward pass saves the state before every `CHUNK` steps, and the backward pass repeats a
chunk from there, in the second cache: to write and read again seven values a unit and step would take longer.

Two directions are two tasks, and tasks write to no common memory, so neither the number of threads nor their order changes a
bit.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from hybridnets.kernels.cpu.cells import LSTM, step, step_back
from hybridnets.kernels.cpu.products import add_state_gradient, add_weight_gradient, input_gradient
from hybridnets.kernels.cpu.tasks import (
    Kernel,
    Signature,
    claim_task,
    flush_denormals,
    restore_denormals,
)
from hybridnets.kernels.cpu.vectors import TILE, Array, Rows, inline, jit, vectors

__all__ = ["CHUNK", "backward_memory", "forward_memory", "kernel"]

CHUNK = 16  # steps between two saved states


@vectors
def _copy(a: Rows, i: Any, j: Any, b: Rows, m: Any, n: Any) -> None:
    """a[i, j] = b[m, n]."""
    a[i, j] = b[m, n]


@vectors
def _set_zero(a: Rows, i: Any, j: Any) -> None:
    """a[i, j] = 0."""
    a[i, j] = a.zeros()


@vectors
def _add(a: Rows, i: Any, j: Any, b: Rows, m: Any, n: Any, o: Any) -> None:
    """a[i, j] += b[m, n, o]."""
    a[i, j] = a[i, j] + b[m, n, o]


@jit
def _pack(x: Array, block: int, out: Array) -> None:
    """A block of x, (batch, steps, columns), into (steps, columns + 1, lanes), the last column one.

    Lanes beyond the batch repeat its last row. Rows of zeros could overflow where no real row does, and infinity times their
    zero gradient is NaN.
    """
    columns, lanes = x.shape[2], out.shape[2]
    for lane in range(lanes):
        row = min(block * lanes + lane, x.shape[0] - 1)
        for t in range(x.shape[1]):
            for k in range(columns):
                out[t, k, lane] = x[row, t, k]
            out[t, columns, lane] = 1


@jit
def _unpack(dx: Array, block: int, out: Array) -> None:
    """A block of gradients, (directions, steps, columns, lanes), added over directions, into (batch, steps, columns)."""
    lanes = dx.shape[3]
    for lane in range(min(lanes, out.shape[0] - block * lanes)):
        for t in range(dx.shape[1]):
            for k in range(dx.shape[2]):
                total = dx[0, t, k, lane]
                for d in range(1, dx.shape[0]):
                    total += dx[d, t, k, lane]
                out[block * lanes + lane, t, k] = total


@jit
def _forward(
    cell: int,
    reverse: bool,
    hidden: int,
    w: Array,
    x: Array,
    y: Array,
    offset: int,
    states: Array,
    z: Array,
    h: Array,
    c: Array,
    tc: Array,
) -> None:
    """One direction of one block.

    Args:
        cell: The cell's number.
        reverse: Whether the last step is read first.
        hidden: Units, without the padded ones.
        w: Weights as the sums read them, (tiles, 1 + columns + units, gates * TILE_UNITS).
        x: Input, (steps, columns + 1, lanes).
        y: All outputs, into rows from `offset` on, (steps, any, lanes); (0, any, lanes) where nothing reads them.
        offset: See y.
        states: The state before every chunk, (chunks, units and, for an LSTM, units, lanes); (0, any, lanes) without history.
        z: Working memory, (1, rows + 1, lanes); a row more than needed, so that steps do not share places in the cache.
        h: Working memory, (2, units + 1, lanes); h[0] is the last state afterwards.
        c: Working memory, (2, units, lanes).
        tc: Working memory, (1, units, lanes).
    """
    steps, columns, units = x.shape[0], x.shape[1] - 1, h.shape[1] - 1
    for u in range(units):
        _set_zero(h, 0, u)
        _set_zero(c, 0, u)
    for number in range(steps):
        before = number & 1
        after = 1 - before
        s = steps - 1 - number if reverse else number
        if number % CHUNK == 0 and states.shape[0] > 0:
            for u in range(units):
                _copy(states, number // CHUNK, u, h, before, u)
                if cell == LSTM:
                    _copy(states, number // CHUNK, units + u, c, before, u)
        step(cell, w, x, s, columns, z, 0, h, c, tc, before, after, False)
        if y.shape[0] > 0:
            for u in range(hidden):
                _copy(y, s, offset + u, h, after, u)
    if steps & 1:
        for u in range(units):
            _copy(h, 0, u, h, 1, u)


@inline
def _add_lanes(sums: Array, dw: Array, n: int) -> None:
    """The sums over the lanes, one after another, into dw from n on."""
    for r in range(sums.shape[0]):
        for k in range(sums.shape[1]):
            total = sums[r, k, 0]
            for lane in range(1, sums.shape[2]):
                total += sums[r, k, lane]
            dw[n] = total
            n += 1


# Longer than other functions: one loop over the chunks, whose working arrays every part of it shares.
@jit
def _backward(
    cell: int,
    reverse: bool,
    hidden: int,
    w: Array,
    w_state: Array,
    w_input: Array,
    x: Array,
    dy: Array,
    offset: int,
    states: Array,
    dx: Array,
    dw: Array,
    z: Array,
    h: Array,
    c: Array,
    tc: Array,
    dh: Array,
    dc: Array,
    dw_input: Array,
    dw_state: Array,
) -> None:
    """The gradients of `_forward`.

    Args:
        cell: The cell's number.
        reverse: Whether the last step was read first.
        hidden: Units, without the padded ones.
        w: See `_forward`.
        w_state: Recurrent weights, (tiles, rows that read the state, TILE).
        w_input: Input weights, (columns, rows that read the input).
        x: See `_forward`.
        dy: Gradients of the outputs, to be added over the first axis, (any, steps, any, lanes), or (0, any, any, lanes).
        offset: The rows of dy that belong to this direction begin here.
        states: See `_forward`.
        dx: Gradient of the input, (steps, columns, lanes), or (0, any, lanes).
        dw: Gradient of the weights: of all rows by the input's columns and one, then of rows that read the state by units.
        z: Working memory, (CHUNK, rows + 1, lanes).
        h: Working memory, (CHUNK + 1, units + 1, lanes).
        c: Working memory, (CHUNK + 1, units, lanes).
        tc: Working memory, (CHUNK, units, lanes).
        dh: Gradient of the last state, (1, tiles * TILE, lanes).
        dc: Working memory, (1, units, lanes).
        dw_input: Working memory, (rows, columns + 1, lanes).
        dw_state: Working memory, (rows that read the state, units, lanes).
    """
    steps, columns, units = x.shape[0], x.shape[1] - 1, h.shape[1] - 1
    gates = (z.shape[1] - 1) // units
    reading = w_state.shape[1]  # rows that read the state
    first = gates * units - reading
    way = -1 if reverse else 1
    for u in range(units):
        _set_zero(dc, 0, u)
    for r in range(dw_input.shape[0]):
        for k in range(dw_input.shape[1]):
            _set_zero(dw_input, r, k)
    for r in range(dw_state.shape[0]):
        for k in range(dw_state.shape[1]):
            _set_zero(dw_state, r, k)
    for chunk in range(states.shape[0] - 1, -1, -1):
        count = min(CHUNK, steps - chunk * CHUNK)
        start = steps - 1 - chunk * CHUNK if reverse else chunk * CHUNK
        for u in range(units):
            _copy(h, 0, u, states, chunk, u)
            if cell == LSTM:
                _copy(c, 0, u, states, chunk, units + u)
        for t in range(count):
            step(cell, w, x, start + way * t, columns, z, t, h, c, tc, t, t + 1, True)
        for t in range(count - 1, -1, -1):
            s = start + way * t
            for d in range(dy.shape[0]):
                for u in range(hidden):
                    _add(dh, 0, u, dy, d, s, offset + u)
            step_back(cell, z, t, h, c, tc, dh, dc)
            for tile in range(w_state.shape[0]):
                add_state_gradient(dh, w_state, tile, z, t, first, reading)
        if dx.shape[0] > 0:
            input_gradient(dx, start, way, w_input, z, count)
        add_weight_gradient(dw_input, z, 0, x, start, way, count)
        add_weight_gradient(dw_state, z, first, h, 0, 1, count)
    _add_lanes(dw_input, dw, 0)
    _add_lanes(dw_state, dw, dw_input.shape[0] * dw_input.shape[1])


_PACK = Signature(x=3, out=4)
_UNPACK = Signature(dx=5, out=3)
_FORWARD = Signature(cell=0, hidden=0, directions=0, w=4, x=4, y=4, states=5, last=4, memory=("z", "h", "c", "tc"))
_BACKWARD = Signature(
    cell=0,
    hidden=0,
    directions=0,
    w=4,
    w_state=4,
    w_input=3,
    x=4,
    up=4,
    dy=5,
    states=5,
    dx=5,
    dw=3,
    memory=("z", "h", "c", "tc", "dh", "dc", "dw_input", "dw_state"),
)
_read_pack, _read_unpack, _read_forward, _read_backward = (
    signature.reader() for signature in (_PACK, _UNPACK, _FORWARD, _BACKWARD)
)


def forward_memory(rows: int, units: int) -> dict[str, tuple[int, int]]:
    """Rows and columns of the working memory of the forward kernel, given the rows of all gates and the padded units."""
    return {"z": (1, rows + 1), "h": (2, units + 1), "c": (2, units), "tc": (1, units)}


def backward_memory(rows: int, reading: int, units: int, tiles: int, columns: int) -> dict[str, tuple[int, int]]:
    """Rows and columns of the working memory of the backward kernel.

    Args:
        rows: Rows of all gates.
        reading: Rows of gates that read the state.
        units: Units with the padded ones.
        tiles: Tiles of `TILE` units.
        columns: Features of the layer's input.
    """
    return {
        "z": (CHUNK, rows + 1),
        "h": (CHUNK + 1, units + 1),
        "c": (CHUNK + 1, units),
        "tc": (CHUNK, units),
        "dh": (1, tiles * TILE),
        "dc": (1, units),
        "dw_input": (rows, columns + 1),
        "dw_state": (reading, units),
    }


def _pack_work(real: Any) -> Callable[[Any], None]:
    def work(pointer: Any) -> None:
        a, setting = _read_pack(pointer, real), flush_denormals()
        task = claim_task(pointer)
        while task < a.tasks:
            _pack(a.x, task, a.out[task])
            task = claim_task(pointer)
        restore_denormals(setting)

    return work


def _unpack_work(real: Any) -> Callable[[Any], None]:
    def work(pointer: Any) -> None:
        a, setting = _read_unpack(pointer, real), flush_denormals()
        task = claim_task(pointer)
        while task < a.tasks:
            _unpack(a.dx[task], task, a.out)
            task = claim_task(pointer)
        restore_denormals(setting)

    return work


def _forward_work(real: Any) -> Callable[[Any], None]:
    def work(pointer: Any) -> None:
        a, setting = _read_forward(pointer, real), flush_denormals()
        task = claim_task(pointer)
        while task < a.tasks:
            block, d = task // a.directions, task % a.directions
            _forward(
                *(a.cell, d == 1, a.hidden, a.w[d], a.x[block], a.y[block], d * a.hidden, a.states[d, block]),
                *(a.z, a.h, a.c, a.tc),
            )
            for u in range(a.hidden):
                for lane in range(a.last.shape[3]):
                    a.last[block, d, u, lane] = a.h[0, u, lane]
            task = claim_task(pointer)
        restore_denormals(setting)

    return work


def _backward_work(real: Any) -> Callable[[Any], None]:
    def work(pointer: Any) -> None:
        a, setting = _read_backward(pointer, real), flush_denormals()
        task = claim_task(pointer)
        while task < a.tasks:
            block, d = task // a.directions, task % a.directions
            for u in range(a.dh.shape[1]):
                for lane in range(a.dh.shape[2]):
                    a.dh[0, u, lane] = a.up[block, d, u, lane] if u < a.hidden and a.up.shape[0] > 0 else 0
            _backward(
                *(a.cell, d == 1, a.hidden, a.w[d], a.w_state[d], a.w_input[d], a.x[block], a.dy[block], d * a.hidden),
                *(a.states[d, block], a.dx[block, d], a.dw[block, d]),
                *(a.z, a.h, a.c, a.tc, a.dh, a.dc, a.dw_input, a.dw_state),
            )
            task = claim_task(pointer)
        restore_denormals(setting)

    return work


_KERNELS = {
    "pack": (_PACK, _pack_work),
    "unpack": (_UNPACK, _unpack_work),
    "forward": (_FORWARD, _forward_work),
    "backward": (_BACKWARD, _backward_work),
}


@functools.cache
def kernel(name: str, dtype: str) -> Kernel:
    """A kernel, compiled at its first use.

    Args:
        name: `pack` takes a sequence apart into blocks, and `unpack` joins blocks of gradients; each task is a block.
        `forward` and
            `backward` walk; each task is a block and direction.
        dtype: torch.float32 or torch.float64.
    """
    signature, make_work = _KERNELS[name]
    real = np.float32 if dtype == "torch.float32" else np.float64
    return Kernel(signature, make_work(real), real)
