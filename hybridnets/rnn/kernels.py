"""Recurrent kernels in Numba: one batch row a vector lane, the state in the first cache, the whole sequence in one call.

A vector is 64 bytes, 16 lanes of float32 or 8 of float64, written out as LLVM's vector type rather than left to a loop
vectoriser: the same source then runs at the machine's rate with AVX-512, AVX2 or NEON. A batch is cut into blocks of as many
rows as there are lanes. A block and a direction are one task. Tasks share no memory that they write, so neither the threads'
number nor their order can change a bit.

Arrays end in the lanes. Their other axes: t or s the step (s in the sequence, t in the chunk at hand), k a column of inputs
(the last column holds one, the bias's input), u a unit, r a row of gates (gate * units + unit). Units are padded to a multiple
of `EDGE` with weights of zero, under which a state stays zero. Gates stand in an order in which those that read the input come
first and those that read the state come last:

- RNN: the sum itself;
- LSTM: input, forget, cell, output (torch's), all of which read both;
- GRU: new (its input's part), reset, update, new (its state's part), as the reset gate acts between the two parts.

The backward pass keeps no gates. The forward pass saves the state before every `CHUNK` steps, and the backward pass repeats a
chunk in the second cache: to write seven numbers a unit and step to memory and to read them again takes longer than that.
"""

import functools
import inspect
import platform
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import carray  # type: ignore[attr-defined]
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

# For `hybridnets.rnn.cpu`; V and Rows, beside these, are what bodies of `vectors` are written in.
__all__ = [
    *(
        "BACKWARD",
        "CHUNK",
        "EDGE",
        "FORWARD",
        "GRU",
        "HEAD",
        "LSTM",
        "NUMBERS",
        "PACK",
        "RNN_RELU",
        "RNN_TANH",
        "TABLE",
        "TILE",
    ),
    *("UNITS", "UNPACK", "VECTOR"),
    *("claim", "compiled", "flush", "four_axes", "inline", "memory", "set_control", "three_axes", "vectors", "worker"),
]

Array = NDArray[Any]
VECTOR = 64  # bytes
CHUNK = 16  # steps between two saved states
WIDE = bool(llvm.get_host_cpu_features().get("avx512f"))
TILE = (
    16 if WIDE else 4
)  # vectors that are summed in registers: of 32 with AVX-512, else of 16 half as long or 32 a quarter as long
UNITS = TILE // 4
BLOCK = 16  # columns whose chunk stays in the first cache
EDGE = 4 if WIDE else 2  # a tile's rows and columns where both are vectors
RNN_TANH, RNN_RELU, LSTM, GRU = range(4)
# tanh(x) = x TOP(x^2) / BOTTOM(x^2), highest power first.
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

_part: dict[str, Any] = {
    "error_model": "numpy",
    "boundscheck": False,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
_jit: Any = numba.njit(**_part)
inline: Any = numba.njit(**_part, forceinline=True)


class V:
    """A vector in the making: arithmetic on it writes LLVM's instructions; multiply and add may fuse."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def __add__(self, other: "V | float") -> "V":
        return self._do("fadd", other)

    def __sub__(self, other: "V | float") -> "V":
        return self._do("fsub", other)

    def __rsub__(self, other: float) -> "V":
        return self.like(other) - self

    def __mul__(self, other: "V | float") -> "V":
        return self._do("fmul", other)

    __radd__, __rmul__ = __add__, __mul__

    def reciprocal(self) -> "V":
        return V(self.builder, self.builder.fdiv(self.like(1.0).value, self.value))

    def like(self, number: float) -> "V":
        return V(self.builder, ir.Constant(self.value.type, [number] * self.value.type.count))

    def at_most(self, other: float) -> "V":
        return self._choose("<", other)

    def at_least(self, other: float) -> "V":
        return self._choose(">", other)

    def _do(self, operation: str, other: "V | float") -> "V":
        other = other if isinstance(other, V) else self.like(other)
        return V(self.builder, getattr(self.builder, operation)(self.value, other.value, flags=("contract",)))

    def _choose(self, sign: str, other: float) -> "V":  # a NaN compares false to everything and must stay
        bound = self.like(other).value
        beyond = self.builder.fcmp_ordered({"<": ">", ">": "<"}[sign], self.value, bound)
        return V(self.builder, self.builder.select(beyond, bound, self.value))


def _tanhs(xs: Sequence[V]) -> list[V]:
    """Hyperbolic tangents, a step of all before the next step of any, as a processor looks ahead only so far.

    Source: Eigen's generic_fast_tanh_float, a rational minimax approximation on [-7.9, 7.9]: at most 1.5e-7 off.
    """
    if isinstance(xs[0].value.type.element, ir.DoubleType):
        return [_by_lane(x, "tanh") for x in xs]
    xs = [x.at_most(LIMIT).at_least(-LIMIT) for x in xs]
    squares = [x * x for x in xs]
    tops, bottoms = ([x.like(coefficients[0]) for x in xs] for coefficients in (TOP, BOTTOM))
    for coefficient in TOP[1:]:
        tops = [top * square + coefficient for top, square in zip(tops, squares, strict=True)]
    for coefficient in BOTTOM[1:]:
        bottoms = [bottom * square + coefficient for bottom, square in zip(bottoms, squares, strict=True)]
    tops = [x * top for x, top in zip(xs, tops, strict=True)]
    ones = [one for i in range(0, len(xs), 4) for one in _reciprocals(bottoms[i : i + 4])]
    return [top * one for top, one in zip(tops, ones, strict=True)]


def _reciprocals(xs: list[V]) -> list[V]:
    """1 / x of each, one division for all; of up to four numbers of .004 to 1, whose product cannot underflow."""
    if len(xs) == 1:
        return [xs[0].reciprocal()]
    left, right = xs[: len(xs) // 2], xs[len(xs) // 2 :]
    a, b = _product(left), _product(right)
    both = (a * b).reciprocal()
    return _shares(left, both * b) + _shares(right, both * a)


def _shares(xs: list[V], one: V) -> list[V]:
    """1 / x of each from 1 / (their product)."""
    if len(xs) == 1:
        return [one]
    left, right = xs[: len(xs) // 2], xs[len(xs) // 2 :]
    return _shares(left, one * _product(right)) + _shares(right, one * _product(left))


def _product(xs: list[V]) -> V:
    result = xs[0]
    for x in xs[1:]:
        result = result * x
    return result


def _by_lane(x: V, name: str) -> V:
    builder, kind = x.builder, x.value.type
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind.element, [kind.element]), name)
    result = x.value
    for lane in range(kind.count):
        index = ir.Constant(ir.IntType(32), lane)
        result = builder.insert_element(
            result, builder.call(function, [builder.extract_element(x.value, index)]), index
        )
    return V(builder, result)


class Rows:
    """A Numba array that ends in the lanes, inside an intrinsic: `rows[t, u]` is a vector, `rows[t, u, 7]` the one from 7."""

    def __init__(self, context: Any, builder: Any, kind: Any, value: Any, lanes: int | None = None) -> None:
        self.context, self.builder, self.kind = context, builder, kind
        self.array = context.make_array(kind)(context, builder, value)
        element = context.get_value_type(kind.dtype)
        self.bytes = kind.dtype.bitwidth // 8
        self.vector = ir.VectorType(element, lanes or VECTOR // self.bytes)

    def pointer(self, *index: Any) -> Any:
        whole = [self.integer(i) for i in index] + [self.integer(0)] * (self.kind.ndim - len(index))
        return cgutils.get_item_pointer(self.context, self.builder, self.kind, self.array, whole)

    def integer(self, i: Any) -> Any:
        return ir.Constant(ir.IntType(64), i) if isinstance(i, int) else i

    def true(self, number: Any) -> Any:
        return self.builder.icmp_signed("!=", number, self.integer(0))

    def size(self, axis: int) -> Any:
        return self.builder.extract_value(self.array.shape, axis)

    def __getitem__(self, index: tuple[Any, ...]) -> V:
        pointer = self.builder.bitcast(self.pointer(*index), self.vector.as_pointer())
        return V(self.builder, self.builder.load(pointer, align=self.bytes))

    def __setitem__(self, index: tuple[Any, ...], value: V) -> None:
        pointer = self.builder.bitcast(self.pointer(*index), self.vector.as_pointer())
        self.builder.store(value.value, pointer, align=self.bytes)

    def splat(self, *index: Any) -> V:
        """One number of an array of weights, in all lanes."""
        number = self.builder.load(self.pointer(*index))
        one = self.builder.insert_element(
            ir.Constant(self.vector, ir.Undefined), number, ir.Constant(ir.IntType(32), 0)
        )
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.vector.count), None)
        return V(self.builder, self.builder.shuffle_vector(one, ir.Constant(self.vector, ir.Undefined), mask))

    def slots(self, values: Sequence[V]) -> "_Slots":
        return _Slots(self, values)


class _Slots:
    """Sums that a loop carries; LLVM keeps them in registers."""

    def __init__(self, rows: Rows, values: Sequence[V]) -> None:
        self.builder = rows.builder
        self.places = [cgutils.alloca_once(self.builder, rows.vector) for _ in values]
        for place, value in zip(self.places, values, strict=True):
            self.builder.store(value.value, place)

    def __getitem__(self, i: int) -> V:
        return V(self.builder, self.builder.load(self.places[i]))

    def __setitem__(self, i: int, value: V) -> None:
        self.builder.store(value.value, self.places[i])


def vectors(body: Callable[..., None], lanes: int | None = None) -> Any:
    """A Numba function whose instructions `body` writes; its arguments are arrays, as `Rows`, and whole numbers.

    Args:
        body: What writes them, when Numba compiles a caller.
        lanes: Numbers a vector, of every array; None for `VECTOR` bytes.
    """

    def typing(_: Any, *arguments: Any) -> Any:
        kinds = [kind if isinstance(kind, types.Array) else types.intp for kind in arguments]

        def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            pairs = zip(signature.args, values, strict=True)
            body(*[Rows(context, builder, k, v, lanes) if isinstance(k, types.Array) else v for k, v in pairs])
            return context.get_dummy_value()

        return types.void(*kinds), codegen

    named: Any = typing
    named.__name__ = body.__name__
    parameters = ("context", *inspect.signature(body).parameters)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    named.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in parameters])
    return intrinsic(named)


def _tile(z: Rows, tile: Any) -> list[Any]:
    """The units of a tile."""
    return [z.builder.add(z.builder.mul(tile, z.integer(UNITS)), z.integer(i)) for i in range(UNITS)]


def _rows(z: Rows, u: Any, units: Any) -> list[Any]:
    """The rows of the four gates of a unit."""
    return [z.builder.add(z.builder.mul(units, z.integer(gate)), u) for gate in range(4)]


def _sums(
    gates: int, each: int, w: Rows, tile: Any, x: Rows, s: Any, columns: Any, h: Rows, before: Any, units: Any
) -> list[list[V]]:
    """Bias + w x[s] + w h[before] of a tile's units, by unit and gate; the first `each` gates read x, the last h."""
    builder = x.builder
    found = x.slots([w.splat(tile, 0, i) for i in range(gates * UNITS)])
    first = x.integer(1)
    for source, index, count, which in (
        (x, s, columns, range(each * UNITS)),
        (h, before, units, range((gates - each) * UNITS, gates * UNITS)),
    ):
        with cgutils.for_range(builder, count) as loop:
            k = builder.add(first, loop.index)
            value = source[index, loop.index]
            for i in which:
                found[i] = found[i] + w.splat(tile, k, i) * value
        first = builder.add(first, count)
    return [[found[gate * UNITS + unit] for gate in range(gates)] for unit in range(UNITS)]


# A cell's step, of one tile of units: h[after] and c[after] of x[s], h[before] and c[before], and, to keep, the gates' values
# into z[t] and, of an LSTM, tanh(c[after]) into tc[t].


@vectors
def _rnn_tanh(w: Rows, tile: Any, x: Rows, s: Any, columns: Any, h: Rows, before: Any, after: Any, units: Any) -> None:
    sums = _sums(1, 1, w, tile, x, s, columns, h, before, units)
    for u, value in zip(_tile(h, tile), _tanhs([total for (total,) in sums]), strict=True):
        h[after, u] = value


@vectors
def _rnn_relu(w: Rows, tile: Any, x: Rows, s: Any, columns: Any, h: Rows, before: Any, after: Any, units: Any) -> None:
    sums = _sums(1, 1, w, tile, x, s, columns, h, before, units)
    for u, (total,) in zip(_tile(h, tile), sums, strict=True):
        h[after, u] = total.at_least(0.0)


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
    sums = _sums(4, 4, w, tile, x, s, columns, h, before, units)
    us, cells, outs = _tile(z, tile), [], []
    for u, four in zip(us, sums, strict=True):
        i, f, g, o = _tanhs(four)
        i, f, o = (x * 0.5 + 0.5 for x in (i, f, o))
        cells.append(f * c[before, u] + i * g)
        outs.append(o)
        c[after, u] = cells[-1]
        with z.builder.if_then(z.true(keep)):
            for row, value in zip(_rows(z, u, units), (i, f, g, o), strict=True):
                z[t, row] = value
    squashed = _tanhs(cells)
    for u, value, out in zip(us, squashed, outs, strict=True):
        h[after, u] = out * value
    with z.builder.if_then(z.true(keep)):
        for u, value in zip(us, squashed, strict=True):
            tc[t, u] = value


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
    sums = _sums(4, 3, w, tile, x, s, columns, h, before, units)
    sigmoids = [x * 0.5 + 0.5 for x in _tanhs([total for four in sums for total in four[1:3]])]
    resets, updates = sigmoids[::2], sigmoids[1::2]
    news = _tanhs([four[0] + reset * four[3] for four, reset in zip(sums, resets, strict=True)])
    us = _tile(z, tile)
    for u, new, update in zip(us, news, updates, strict=True):
        h[after, u] = new + update * (h[before, u] - new)
    with z.builder.if_then(z.true(keep)):
        for u, new, reset, update, four in zip(us, news, resets, updates, sums, strict=True):
            for row, value in zip(_rows(z, u, units), (new, reset, update, four[3]), strict=True):
                z[t, row] = value


@inline
def _step(
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
    units = h.shape[1] - 1
    for tile in range(units // UNITS):
        if cell == LSTM:
            _lstm(z, t, w, tile, x, s, columns, h, c, tc, before, after, units, keep)
        elif cell == GRU:
            _gru(z, t, w, tile, x, s, columns, h, before, after, units, keep)
        elif cell == RNN_TANH:
            _rnn_tanh(w, tile, x, s, columns, h, before, after, units)
        else:
            _rnn_relu(w, tile, x, s, columns, h, before, after, units)


def _control(write: bool) -> Any:
    """Reads or writes the register that says what becomes of denormal numbers."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")

    def codegen(_: Any, builder: Any, __: Any, values: Any) -> Any:
        if not x86:  # elsewhere denormal numbers are not slow
            return values[0] if values else ir.Constant(ir.IntType(32), 0)
        place = cgutils.alloca_once(builder, ir.IntType(32))
        if write:
            builder.store(values[0], place)
        name = "llvm.x86.sse.ldmxcsr" if write else "llvm.x86.sse.stmxcsr"
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        builder.call(function, [builder.bitcast(place, ir.IntType(8).as_pointer())])
        return builder.load(place)

    if write:
        return intrinsic(lambda _, value: (types.uint32(types.uint32), codegen))  # noqa: ARG005 (Numba reads the names)
    return intrinsic(lambda _: (types.uint32(), codegen))


_get_control: Any
set_control: Any
_get_control, set_control = _control(write=False), _control(write=True)


@_jit
def pack(x: Array, block: int, out: Array) -> None:
    """A block of x, (batch, steps, columns), into (steps, columns + 1, lanes), the last column one.

    Lanes beyond the batch repeat its last row: one of their own could overflow where no real one does, and infinity times the
    zero that is its gradient is not a number.
    """
    columns, lanes = x.shape[2], out.shape[2]
    for lane in range(lanes):
        row = min(block * lanes + lane, x.shape[0] - 1)
        for t in range(x.shape[1]):
            for k in range(columns):
                out[t, k, lane] = x[row, t, k]
            out[t, columns, lane] = 1


@_jit
def unpack(dx: Array, block: int, out: Array) -> None:
    """A block of gradients, (directions, steps, columns, lanes), added over directions, into (batch, steps, columns)."""
    lanes = dx.shape[3]
    for lane in range(min(lanes, out.shape[0] - block * lanes)):
        for t in range(dx.shape[1]):
            for k in range(dx.shape[2]):
                total = dx[0, t, k, lane]
                for d in range(1, dx.shape[0]):
                    total += dx[d, t, k, lane]
                out[block * lanes + lane, t, k] = total


@vectors
def _copy(a: Rows, i: Any, j: Any, b: Rows, m: Any, n: Any) -> None:
    a[i, j] = b[m, n]


@vectors
def _zero(a: Rows, i: Any, j: Any) -> None:
    a[i, j] = V(a.builder, ir.Constant(a.vector, [0.0] * a.vector.count))


@_jit
def forward(
    cell: int,
    backwards: bool,
    real: int,
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
        cell: RNN_TANH, RNN_RELU, LSTM or GRU.
        backwards: Whether the last step is read first.
        real: Units without the padded ones.
        w: Weights as `pack` lays them out, (tiles, 1 + columns + units, gates * UNITS).
        x: Input, (steps, columns + 1, lanes).
        y: All outputs, into rows from `offset` on, (steps, any, lanes); (0, 0, lanes) where nobody asks.
        offset: See y.
        states: The state before every chunk, (chunks, units and, for an LSTM, units, lanes); (0, 0, lanes) without history.
        z: Working memory, (1, rows + 1, lanes); a row more than there are keeps steps off each other's place in the cache.
        h: Likewise, (2, units + 1, lanes); h[0] is the last state afterwards.
        c: Likewise, (2, units, lanes).
        tc: Likewise, (1, units, lanes).
    """
    steps, columns, units = x.shape[0], x.shape[1] - 1, h.shape[1] - 1
    for u in range(units):
        _zero(h, 0, u)
        _zero(c, 0, u)
    for step in range(steps):
        before = step & 1
        after = 1 - before
        s = steps - 1 - step if backwards else step
        if step % CHUNK == 0 and states.shape[0] > 0:
            for u in range(units):
                _copy(states, step // CHUNK, u, h, before, u)
                if cell == LSTM:
                    _copy(states, step // CHUNK, units + u, c, before, u)
        _step(cell, w, x, s, columns, z, 0, h, c, tc, before, after, False)
        if y.shape[0] > 0:
            for u in range(real):
                _copy(y, s, offset + u, h, after, u)
    if steps & 1:
        for u in range(units):
            _copy(h, 0, u, h, 1, u)


@vectors
def _rnn_tanh_back(z: Rows, t: Any, h: Rows, after: Any, dh: Rows, u: Any) -> None:
    value = h[after, u]
    z[t, u] = dh[0, u] * (1.0 - value * value)
    dh[0, u] = value.like(0.0)


@vectors
def _rnn_relu_back(z: Rows, t: Any, h: Rows, after: Any, dh: Rows, u: Any) -> None:
    zero = dh[0, u].like(0.0)
    alive = z.builder.fcmp_unordered(">", h[after, u].value, zero.value)
    z[t, u] = V(z.builder, z.builder.select(alive, dh[0, u].value, zero.value))
    dh[0, u] = zero


@vectors
def _lstm_back(z: Rows, t: Any, c: Rows, tc: Rows, dh: Rows, dc: Rows, u: Any, units: Any) -> None:
    rows = _rows(z, u, units)
    i, f, g, o = (z[t, row] for row in rows)
    squashed, up = tc[t, u], dh[0, u]
    cell = dc[0, u] + up * o * (1.0 - squashed * squashed)
    z[t, rows[0]] = cell * g * i * (1.0 - i)
    z[t, rows[1]] = cell * c[t, u] * f * (1.0 - f)
    z[t, rows[2]] = cell * i * (1.0 - g * g)
    z[t, rows[3]] = up * squashed * o * (1.0 - o)
    dc[0, u] = cell * f
    dh[0, u] = up.like(0.0)


@vectors
def _gru_back(z: Rows, t: Any, h: Rows, dh: Rows, u: Any, units: Any) -> None:
    rows = _rows(z, u, units)
    new, reset, update, state = (z[t, row] for row in rows)
    up = dh[0, u]
    inner = up * (1.0 - update) * (1.0 - new * new)
    z[t, rows[0]] = inner
    z[t, rows[1]] = inner * state * reset * (1.0 - reset)
    z[t, rows[2]] = up * (h[t, u] - new) * update * (1.0 - update)
    z[t, rows[3]] = inner * reset
    dh[0, u] = up * update


@vectors
def _down(dh: Rows, w: Rows, tile: Any, z: Rows, t: Any, first: Any, count: Any) -> None:
    """dh += w z[t], of one tile of units."""
    builder = z.builder
    units = [builder.add(builder.mul(tile, z.integer(TILE)), z.integer(i)) for i in range(TILE)]
    found = z.slots([dh[0, unit] for unit in units])
    with cgutils.for_range(builder, count) as loop:
        value = z[t, builder.add(first, loop.index)]
        for i in range(TILE):
            found[i] = found[i] + w.splat(tile, loop.index, i) * value
    for i in range(TILE):
        dh[0, units[i]] = found[i]


def _inputs(wide: int) -> Any:
    """Of so many columns."""

    @vectors
    def inputs(dx: Rows, s: Any, way: Any, k: Any, w: Rows, z: Rows, t: Any, steps: Any) -> None:
        """dx[s + way * t, k] = w z[t], of one tile of steps, as far as there are so many, and columns."""
        builder = z.builder
        ts = [builder.add(t, z.integer(i)) for i in range(EDGE)]
        columns = [builder.add(k, z.integer(i)) for i in range(wide)]
        found = z.slots([V(builder, ir.Constant(z.vector, [0.0] * z.vector.count))] * (EDGE * wide))
        with cgutils.for_range(builder, w.size(1)) as loop:
            left = [z[i, loop.index] for i in ts]
            right = [w.splat(column, loop.index) for column in columns]
            for i in range(EDGE):
                for j in range(wide):
                    found[i * wide + j] = found[i * wide + j] + left[i] * right[j]
        for i in range(EDGE):
            with builder.if_then(builder.icmp_signed("<", ts[i], steps)):
                for j in range(wide):
                    dx[builder.add(s, builder.mul(way, ts[i])), columns[j]] = found[i * wide + j]

    return inputs


_edge_inputs, _two_inputs, _one_input = _inputs(EDGE), _inputs(2), _inputs(1)


@inline
def _up(dx: Array, s: int, way: int, w: Array, z: Array, steps: int) -> None:
    """dx = w z of a chunk's steps."""
    for t in range(0, steps, EDGE):
        k = 0
        while k + EDGE <= dx.shape[1]:
            _edge_inputs(dx, s, way, k, w, z, t, steps)
            k += EDGE
        while k + 2 <= dx.shape[1]:
            _two_inputs(dx, s, way, k, w, z, t, steps)
            k += 2
        if k < dx.shape[1]:
            _one_input(dx, s, way, k, w, z, t, steps)


def _products(wide: int) -> Any:
    """Of so many columns."""

    @vectors
    def products(a: Rows, r: Any, k: Any, z: Rows, first: Any, x: Rows, s: Any, way: Any, steps: Any) -> None:
        """a[r, k] += z[t, first + r] x[s + way * t, k] over a chunk's steps, of one tile of rows and columns."""
        builder = z.builder
        rows = [builder.add(r, z.integer(i)) for i in range(EDGE)]
        columns = [builder.add(k, z.integer(i)) for i in range(wide)]
        found = z.slots([a[row, column] for row in rows for column in columns])
        with cgutils.for_range(builder, steps) as loop:
            t = loop.index
            left = [z[t, builder.add(first, row)] for row in rows]
            right = [x[builder.add(s, builder.mul(way, t)), column] for column in columns]
            for i in range(EDGE):
                for j in range(wide):
                    found[i * wide + j] = found[i * wide + j] + left[i] * right[j]
        for i in range(EDGE):
            for j in range(wide):
                a[rows[i], columns[j]] = found[i * wide + j]

    return products


_edge_products, _two_products, _one_product = _products(EDGE), _products(2), _products(1)


@inline
def _outer(a: Array, z: Array, first: int, x: Array, s: int, way: int, steps: int) -> None:
    """a += z x over a chunk's steps, in blocks of columns that stay in the first cache."""
    for block in range(0, a.shape[1], BLOCK):
        end = min(block + BLOCK, a.shape[1])
        for r in range(0, a.shape[0], EDGE):
            k = block
            while k + EDGE <= end:
                _edge_products(a, r, k, z, first, x, s, way, steps)
                k += EDGE
            while k + 2 <= end:
                _two_products(a, r, k, z, first, x, s, way, steps)
                k += 2
            if k < end:
                _one_product(a, r, k, z, first, x, s, way, steps)


@vectors
def _add(a: Rows, i: Any, j: Any, b: Rows, m: Any, n: Any, o: Any) -> None:
    a[i, j] = a[i, j] + b[m, n, o]


@inline
def _flatten(dw: Array, n: int, sums: Array) -> None:
    """The sums over lanes, one after another."""
    for r in range(sums.shape[0]):
        for k in range(sums.shape[1]):
            total = sums[r, k, 0]
            for lane in range(1, sums.shape[2]):
                total += sums[r, k, lane]
            dw[n] = total
            n += 1


@_jit
def backward(
    cell: int,
    backwards: bool,
    real: int,
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
    a: Array,
    b: Array,
) -> None:
    """The gradients of `forward`.

    Args:
        cell: RNN_TANH, RNN_RELU, LSTM or GRU.
        backwards: Whether the last step was read first.
        real: Units without the padded ones.
        w: See `forward`.
        w_state: Recurrent weights, (tiles, rows that read the state, TILE).
        w_input: Input weights, (columns, rows that read the input).
        x: See `forward`.
        dy: Gradients of the outputs, to be added over the first axis, (any, steps, any, lanes), or (0, 0, 0, lanes).
        offset: The rows of dy that belong to this direction begin here.
        states: See `forward`.
        dx: Gradient of the input, (steps, columns, lanes), or (0, 0, lanes).
        dw: Gradient of the weights: of all rows by the input's columns and one, then of rows that read the state by units.
        z: Working memory, (CHUNK, rows + 1, lanes).
        h: Likewise, (CHUNK + 1, units + 1, lanes).
        c: Likewise, (CHUNK + 1, units, lanes).
        tc: Likewise, (CHUNK, units, lanes).
        dh: Gradient of the last state, (1, tiles * TILE, lanes).
        dc: Working memory, (1, units, lanes).
        a: Likewise, (rows, columns + 1, lanes).
        b: Likewise, (rows that read the state, units, lanes).
    """
    steps, columns, units = x.shape[0], x.shape[1] - 1, h.shape[1] - 1
    gates = (z.shape[1] - 1) // units
    reading = w_state.shape[1]  # rows that read the state
    first = gates * units - reading
    way = -1 if backwards else 1
    for u in range(units):
        _zero(dc, 0, u)
    for r in range(a.shape[0]):
        for k in range(a.shape[1]):
            _zero(a, r, k)
    for r in range(b.shape[0]):
        for k in range(b.shape[1]):
            _zero(b, r, k)
    for chunk in range(states.shape[0] - 1, -1, -1):
        count = min(CHUNK, steps - chunk * CHUNK)
        start = steps - 1 - chunk * CHUNK if backwards else chunk * CHUNK
        for u in range(units):
            _copy(h, 0, u, states, chunk, u)
            if cell == LSTM:
                _copy(c, 0, u, states, chunk, units + u)
        for t in range(count):
            _step(cell, w, x, start + way * t, columns, z, t, h, c, tc, t, t + 1, True)
        for t in range(count - 1, -1, -1):
            s = start + way * t
            for d in range(dy.shape[0]):
                for u in range(real):
                    _add(dh, 0, u, dy, d, s, offset + u)
            for u in range(units):
                if cell == LSTM:
                    _lstm_back(z, t, c, tc, dh, dc, u, units)
                elif cell == GRU:
                    _gru_back(z, t, h, dh, u, units)
                elif cell == RNN_TANH:
                    _rnn_tanh_back(z, t, h, t + 1, dh, u)
                else:
                    _rnn_relu_back(z, t, h, t + 1, dh, u)
            for tile in range(w_state.shape[0]):
                _down(dh, w_state, tile, z, t, first, reading)
        if dx.shape[0] > 0:
            _up(dx, start, way, w_input, z, count)
        _outer(a, z, 0, x, start, way, count)
        _outer(b, z, first, h, 0, 1, count)
    _flatten(dw, 0, a)
    _flatten(dw, a.shape[0] * a.shape[1], b)


# What a thread does: the tasks of a table, one after another, until other threads have taken the last. It is native code from
# end to end: threads that took turns at Python's lock between two tasks lost a third of their time. A table is whole numbers:
# how many tasks have been taken, how many threads have come, how many tasks there are, five numbers for the kernel, and then of
# every array its address and its sizes.

PACK, UNPACK, FORWARD, BACKWARD = range(4)
TABLE = 64  # whole numbers, of which some at the end are left
NUMBERS = 5
HEAD = 3 + NUMBERS


def _pointer(_: Any, number: Any) -> Any:
    """A number as a pointer."""

    def codegen(_: Any, builder: Any, __: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], cgutils.voidptr_t)

    return types.voidptr(number), codegen


def _next(_: Any, table: Any, place: Any) -> Any:
    """Adds one to a number of the table, which no other thread does at the same time; returns what it was."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, values[0])
        pointer = cgutils.get_item_pointer(context, builder, signature.args[0], array, [values[1]])
        return builder.atomic_rmw("add", pointer, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(table, place), codegen


_address: Any = intrinsic(_pointer)
claim: Any = intrinsic(_next)
_cfunc: Any = numba.cfunc
compiled = _cfunc("void(voidptr)", cache=True, error_model="numpy", boundscheck=False)


@inline
def flush() -> Any:
    """Lets denormal numbers count as zero on this thread; returns its setting until then."""
    setting = _get_control()
    set_control(numba.uint32(setting | numba.uint32(0x8040)))
    return setting


@inline
def three_axes(table: Array, at: int, dtype: Any) -> Array:
    """An array of the table, whose address stands at a place and its sizes after it."""
    return carray(_address(table[at]), (table[at + 1], table[at + 2], table[at + 3]), dtype)


@inline
def four_axes(table: Array, at: int, dtype: Any) -> Array:
    """Likewise."""
    return carray(_address(table[at]), (table[at + 1], table[at + 2], table[at + 3], table[at + 4]), dtype)


@inline
def _five(table: Array, at: int, dtype: Any) -> Array:
    sizes = table[at + 1], table[at + 2], table[at + 3], table[at + 4], table[at + 5]
    return carray(_address(table[at]), sizes, dtype)


@inline
def _cut(own: Array, at: int, rows: int, columns: int, lanes: int) -> tuple[Array, int]:
    """The next of a thread's working memory, and where the one after it begins."""
    end = at + rows * columns * lanes
    return own[at:end].reshape(rows, columns, lanes), end


def _pack(dtype: Any) -> Any:
    def work(data: Any) -> None:
        table, setting = carray(data, (TABLE,), np.int64), flush()
        x, out = three_axes(table, HEAD, dtype), four_axes(table, HEAD + 4, dtype)
        task = claim(table, 0)
        while task < table[2]:
            pack(x, task, out[task])
            task = claim(table, 0)
        set_control(setting)

    return work


def _unpack(dtype: Any) -> Any:
    def work(data: Any) -> None:
        table, setting = carray(data, (TABLE,), np.int64), flush()
        dx, out = _five(table, HEAD, dtype), three_axes(table, HEAD + 6, dtype)
        task = claim(table, 0)
        while task < table[2]:
            unpack(dx[task], task, out)
            task = claim(table, 0)
        set_control(setting)

    return work


def _forward(dtype: Any) -> Any:
    def work(data: Any) -> None:
        table, setting = carray(data, (TABLE,), np.int64), flush()
        cell, real, directions, rows, units = table[3], table[4], table[5], table[6], table[7]
        w = four_axes(table, HEAD, dtype)
        x = four_axes(table, HEAD + 5, dtype)
        y = four_axes(table, HEAD + 10, dtype)
        states = _five(table, HEAD + 15, dtype)
        last = four_axes(table, HEAD + 21, dtype)
        lanes = x.shape[3]
        own = three_axes(table, HEAD + 26, dtype)[claim(table, 1), 0]
        z, at = _cut(own, 0, 1, rows + 1, lanes)
        h, at = _cut(own, at, 2, units + 1, lanes)
        c, at = _cut(own, at, 2, units, lanes)
        tc, at = _cut(own, at, 1, units, lanes)
        task = claim(table, 0)
        while task < table[2]:
            block, d = task // directions, task % directions
            forward(cell, d == 1, real, w[d], x[block], y[block], d * real, states[d, block], z, h, c, tc)
            for u in range(real):
                for lane in range(lanes):
                    last[block, d, u, lane] = h[0, u, lane]
            task = claim(table, 0)
        set_control(setting)

    return work


def _backward(dtype: Any) -> Any:
    def work(data: Any) -> None:
        table, setting = carray(data, (TABLE,), np.int64), flush()
        cell, real, directions, rows, units = table[3], table[4], table[5], table[6], table[7]
        w = four_axes(table, HEAD, dtype)
        w_state = four_axes(table, HEAD + 5, dtype)
        w_input = three_axes(table, HEAD + 10, dtype)
        x = four_axes(table, HEAD + 14, dtype)
        up = four_axes(table, HEAD + 19, dtype)
        dy = _five(table, HEAD + 24, dtype)
        states = _five(table, HEAD + 30, dtype)
        dx = _five(table, HEAD + 36, dtype)
        dw = three_axes(table, HEAD + 42, dtype)
        lanes, reading = x.shape[3], w_state.shape[2]
        own = three_axes(table, HEAD + 46, dtype)[claim(table, 1), 0]
        z, at = _cut(own, 0, CHUNK, rows + 1, lanes)
        h, at = _cut(own, at, CHUNK + 1, units + 1, lanes)
        c, at = _cut(own, at, CHUNK + 1, units, lanes)
        tc, at = _cut(own, at, CHUNK, units, lanes)
        dh, at = _cut(own, at, 1, w_state.shape[1] * TILE, lanes)
        dc, at = _cut(own, at, 1, units, lanes)
        a, at = _cut(own, at, rows, x.shape[2], lanes)
        b, at = _cut(own, at, reading, units, lanes)
        task = claim(table, 0)
        while task < table[2]:
            block, d = task // directions, task % directions
            for u in range(dh.shape[1]):
                for lane in range(lanes):
                    dh[0, u, lane] = up[block, d, u, lane] if u < real and up.shape[0] > 0 else 0
            backward(
                *(cell, d == 1, real, w[d], w_state[d], w_input[d], x[block], dy[block], d * real),
                *(states[d, block], dx[block, d], dw[block, d], z, h, c, tc, dh, dc, a, b),
            )
            task = claim(table, 0)
        set_control(setting)

    return work


def memory(which: int, shape: Any, columns: int) -> Any:
    """Vectors of working memory that a thread needs for FORWARD or BACKWARD of a layer with so many columns."""
    rows, units = shape.rows, shape.units
    if which == FORWARD:
        return rows + 1 + 2 * (units + 1) + 2 * units + units
    once = shape.tiles * TILE + units + rows * (columns + 1) + shape.reading * units
    return CHUNK * (rows + 1) + (CHUNK + 1) * (2 * units + 1) + CHUNK * units + once


@functools.cache
def worker(which: int, name: str) -> Any:
    """The C function `void work(table)` of PACK, UNPACK, FORWARD or BACKWARD in float32 or float64, for any number of threads.

    Gradients that fade become denormal numbers, on which x86 is slow: here they count as zero, by a setting of each thread's.
    """
    work = (_pack, _unpack, _forward, _backward)[which](np.float32 if name == "float32" else np.float64)
    return compiled(work)
