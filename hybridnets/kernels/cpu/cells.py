"""The cells: one step of a tile of units, forward and backward, in vectors whose lanes are the rows of a block.

`hybridnets.kernels.steps` has the same steps as formulas. To add a cell, add it to `CELLS`, its two functions, and a
case to `step` and to `step_back`.

Arrays, which all end in the lanes:

    x[s, k]   input at step s, columns k = 0 .. I - 1
    h[t, u]   state of unit u; c[t, u] and tc[t, u], an LSTM's cell state and its tanh
    z[t, r]   values of the gates, kept for the backward pass, row r = gate * units + unit; there their gradients replace them
    dh[0, u]  gradient of the state; dc[0, u], of the cell state
    w[tile, k, i]  weights as the sums read them, each a number without lanes: k = 0 the bias, then the input's columns, then
                   the state's units; i = gate * TILE_UNITS + unit of the tile

Steps s count in the sequence, steps t in the chunk at hand. Units are padded to a multiple of `EDGE` with weights of zero,
under which a state stays zero.
"""

from dataclasses import dataclass
from typing import Any

from numba.core import cgutils

from hybridnets.kernels.cpu.vectors import TILE_UNITS, Array, Rows, Vector, inline, vectors
from hybridnets.kernels.tanh import vector_tanhs

__all__ = ["CELLS", "LSTM", "Cell", "step", "step_back"]

RNN_TANH, RNN_RELU, LSTM, GRU = range(4)


@dataclass(frozen=True)
class Cell:
    """What the kernels have to know of a cell.

    The kernels order gates so that those that read the input come first and those that read the state come last.

    Attributes:
        number: Its number in the kernels.
        input_gates: For each gate of the kernels, torch's gate whose input weights it has; -1 where it does not read the input.
        state_gates: The same of the weights for the state.
        sigmoids: Gates whose weights are halved, as a sigmoid is (1 + tanh(x / 2)) / 2.
        states: Vectors a unit that the forward pass saves before each chunk.
    """

    number: int
    input_gates: tuple[int, ...]
    state_gates: tuple[int, ...]
    sigmoids: tuple[int, ...] = ()
    states: int = 1


CELLS = {  # by torch's name
    "RNN_TANH": Cell(RNN_TANH, (0,), (0,)),
    "RNN_RELU": Cell(RNN_RELU, (0,), (0,)),
    "LSTM": Cell(LSTM, (0, 1, 2, 3), (0, 1, 2, 3), sigmoids=(0, 1, 3), states=2),  # input, forget, cell, output
    # New (its input's part), reset, update, new (its state's part): the reset gate acts between the two parts.
    "GRU": Cell(GRU, (2, 0, 1, -1), (-1, 0, 1, 2), sigmoids=(1, 2)),
}


def _unit_indices(rows: Rows, tile: Any) -> list[Any]:
    """The units of a tile."""
    builder = rows.builder
    return [builder.add(builder.mul(tile, rows.integer(TILE_UNITS)), rows.integer(i)) for i in range(TILE_UNITS)]


def _gate_rows(z: Rows, u: Any, units: Any) -> list[Any]:
    """The rows of a unit's four gates."""
    return [z.builder.add(z.builder.mul(units, z.integer(gate)), u) for gate in range(4)]


def _gate_sums(
    gates: int, reading: int, w: Rows, tile: Any, x: Rows, s: Any, columns: Any, h: Rows, before: Any, units: Any
) -> list[list[Vector]]:
    """Bias + w x[s] + w h[before] of a tile, by unit and gate; the first `reading` gates read x, and the last ones h."""
    builder = x.builder
    sums = x.registers([w.splat(tile, 0, i) for i in range(gates * TILE_UNITS)])
    first = x.integer(1)
    for source, index, count, places in (
        (x, s, columns, range(reading * TILE_UNITS)),
        (h, before, units, range((gates - reading) * TILE_UNITS, gates * TILE_UNITS)),
    ):
        with cgutils.for_range(builder, count) as loop:
            k = builder.add(first, loop.index)
            value = source[index, loop.index]
            for i in places:
                sums[i] = sums[i] + w.splat(tile, k, i) * value
        first = builder.add(first, count)
    return [[sums[gate * TILE_UNITS + unit] for gate in range(gates)] for unit in range(TILE_UNITS)]


@vectors
def _rnn_tanh(w: Rows, tile: Any, x: Rows, s: Any, columns: Any, h: Rows, before: Any, after: Any, units: Any) -> None:
    sums = _gate_sums(1, 1, w, tile, x, s, columns, h, before, units)
    for u, value in zip(_unit_indices(h, tile), vector_tanhs([total for (total,) in sums]), strict=True):
        h[after, u] = value


@vectors
def _rnn_tanh_back(z: Rows, t: Any, h: Rows, after: Any, dh: Rows, u: Any) -> None:
    value = h[after, u]
    z[t, u] = dh[0, u] * (1.0 - value * value)
    dh[0, u] = value.constant(0.0)


@vectors
def _rnn_relu(w: Rows, tile: Any, x: Rows, s: Any, columns: Any, h: Rows, before: Any, after: Any, units: Any) -> None:
    sums = _gate_sums(1, 1, w, tile, x, s, columns, h, before, units)
    for u, (total,) in zip(_unit_indices(h, tile), sums, strict=True):
        h[after, u] = total.at_least(0.0)


@vectors
def _rnn_relu_back(z: Rows, t: Any, h: Rows, after: Any, dh: Rows, u: Any) -> None:
    zero = dh[0, u].constant(0.0)
    is_active = z.builder.fcmp_unordered(">", h[after, u].value, zero.value)  # true for NaN, which must stay visible
    z[t, u] = Vector(z.builder, z.builder.select(is_active, dh[0, u].value, zero.value))
    dh[0, u] = zero


@vectors
def _lstm(
    z: Rows,
    t: Any,
    w: Rows,
    tile: Any,
    x: Rows,
    s: Any,
    columns: Any,
    h: Rows,
    c: Rows,
    tc: Rows,
    before: Any,
    after: Any,
    units: Any,
    keep: Any,
) -> None:
    sums = _gate_sums(4, 4, w, tile, x, s, columns, h, before, units)
    indices, cells, outputs = _unit_indices(z, tile), [], []
    for u, unit_sums in zip(indices, sums, strict=True):
        i, f, g, o = vector_tanhs(unit_sums)
        i, f, o = (gate * 0.5 + 0.5 for gate in (i, f, o))
        cells.append(f * c[before, u] + i * g)
        outputs.append(o)
        c[after, u] = cells[-1]
        with z.builder.if_then(z.is_nonzero(keep)):
            for row, value in zip(_gate_rows(z, u, units), (i, f, g, o), strict=True):
                z[t, row] = value
    squashed = vector_tanhs(cells)
    for u, value, output in zip(indices, squashed, outputs, strict=True):
        h[after, u] = output * value
    with z.builder.if_then(z.is_nonzero(keep)):
        for u, value in zip(indices, squashed, strict=True):
            tc[t, u] = value


@vectors
def _lstm_back(z: Rows, t: Any, c: Rows, tc: Rows, dh: Rows, dc: Rows, u: Any, units: Any) -> None:
    rows = _gate_rows(z, u, units)
    i, f, g, o = (z[t, row] for row in rows)
    squashed, up = tc[t, u], dh[0, u]
    cell = dc[0, u] + up * o * (1.0 - squashed * squashed)
    z[t, rows[0]] = cell * g * i * (1.0 - i)
    z[t, rows[1]] = cell * c[t, u] * f * (1.0 - f)
    z[t, rows[2]] = cell * i * (1.0 - g * g)
    z[t, rows[3]] = up * squashed * o * (1.0 - o)
    dc[0, u] = cell * f
    dh[0, u] = up.constant(0.0)


@vectors
def _gru(
    z: Rows,
    t: Any,
    w: Rows,
    tile: Any,
    x: Rows,
    s: Any,
    columns: Any,
    h: Rows,
    before: Any,
    after: Any,
    units: Any,
    keep: Any,
) -> None:
    sums = _gate_sums(4, 3, w, tile, x, s, columns, h, before, units)
    sigmoids = [gate * 0.5 + 0.5 for gate in vector_tanhs([total for unit_sums in sums for total in unit_sums[1:3]])]
    resets, updates = sigmoids[::2], sigmoids[1::2]
    candidates = vector_tanhs([unit[0] + reset * unit[3] for unit, reset in zip(sums, resets, strict=True)])
    indices = _unit_indices(z, tile)
    for u, new, update in zip(indices, candidates, updates, strict=True):
        h[after, u] = new + update * (h[before, u] - new)
    with z.builder.if_then(z.is_nonzero(keep)):
        for u, new, reset, update, unit_sums in zip(indices, candidates, resets, updates, sums, strict=True):
            for row, value in zip(_gate_rows(z, u, units), (new, reset, update, unit_sums[3]), strict=True):
                z[t, row] = value


@vectors
def _gru_back(z: Rows, t: Any, h: Rows, dh: Rows, u: Any, units: Any) -> None:
    rows = _gate_rows(z, u, units)
    new, reset, update, state_part = (z[t, row] for row in rows)
    up = dh[0, u]
    inner = up * (1.0 - update) * (1.0 - new * new)
    z[t, rows[0]] = inner
    z[t, rows[1]] = inner * state_part * reset * (1.0 - reset)
    z[t, rows[2]] = up * (h[t, u] - new) * update * (1.0 - update)
    z[t, rows[3]] = inner * reset
    dh[0, u] = up * update


@inline
def step(
    cell: int,
    w: Array,
    x: Array,
    s: int,
    columns: int,
    z: Array,
    t: int,
    h: Array,
    c: Array,
    tc: Array,
    before: int,
    after: int,
    keep: bool,
) -> None:
    """The state h[after], and an LSTM's c[after], of x[s], h[before] and c[before]; with `keep` also z[t] and tc[t]."""
    units = h.shape[1] - 1
    for tile in range(units // TILE_UNITS):
        if cell == LSTM:
            _lstm(z, t, w, tile, x, s, columns, h, c, tc, before, after, units, keep)
        elif cell == GRU:
            _gru(z, t, w, tile, x, s, columns, h, before, after, units, keep)
        elif cell == RNN_TANH:
            _rnn_tanh(w, tile, x, s, columns, h, before, after, units)
        else:
            _rnn_relu(w, tile, x, s, columns, h, before, after, units)


@inline
def step_back(cell: int, z: Array, t: int, h: Array, c: Array, tc: Array, dh: Array, dc: Array) -> None:
    """The gradients of all gates, into z[t], given dh and dc after step t; dh and dc become those before it.

    Into dh goes only what does not pass through the gates; the product with the recurrent weights is added later. The loop
    over units is here because a call for each unit would count references to its arrays, which takes longer than the step.
    """
    units = h.shape[1] - 1
    for u in range(units):
        if cell == LSTM:
            _lstm_back(z, t, c, tc, dh, dc, u, units)
        elif cell == GRU:
            _gru_back(z, t, h, dh, u, units)
        elif cell == RNN_TANH:
            _rnn_tanh_back(z, t, h, t + 1, dh, u)
        else:
            _rnn_relu_back(z, t, h, t + 1, dh, u)
