"""SIMD vectors inside Numba functions: their width, arithmetic, loads and stores.

Numba leaves vectors to LLVM's loop vectoriser, which finds few of those needed here. So the innermost loops are written out as
operations on LLVM's own vector type. The body of a function decorated with `vectors` is ordinary Python that runs when Numba
compiles a caller, and each operation on a `Vector` writes one instruction. The same source then runs at full rate with
AVX-512, AVX2 or NEON.

All vector arrays end in the lanes: `rows[t, u]` is the vector of step t and unit u.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["EDGE", "TILE", "TILE_UNITS", "VECTOR_BYTES", "Array", "Rows", "Vector", "inline", "jit", "vectors"]

Array = NDArray[Any]
VECTOR_BYTES = 64  # 16 lanes of float32 or 8 of float64
HAS_AVX512 = bool(llvm.get_host_cpu_features().get("avx512f"))
# Sums that a loop keeps in registers. AVX-512 has 32 registers of a vector each; other processors have 16 of half a vector,
# or 32 of a quarter.
TILE = 16 if HAS_AVX512 else 4
TILE_UNITS = TILE // 4  # units of a tile, with up to four gates each
EDGE = 4 if HAS_AVX512 else 2  # rows, and columns, of a tile in products whose factors are both vectors

_OPTIONS: dict[str, Any] = {
    "error_model": "numpy",
    "boundscheck": False,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
jit: Any = numba.njit(**_OPTIONS)
inline: Any = numba.njit(**_OPTIONS, forceinline=True)


class Vector:
    """A vector while its function is being written: an operation on it emits LLVM's instruction.

    A multiplication and an addition after it may be fused into one instruction.
    """

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def __add__(self, operand: "Vector | float") -> "Vector":
        """Sum."""
        return self._apply("fadd", operand)

    def __sub__(self, operand: "Vector | float") -> "Vector":
        """Difference."""
        return self._apply("fsub", operand)

    def __rsub__(self, operand: float) -> "Vector":
        """Difference from a number."""
        return self.constant(operand) - self

    def __mul__(self, operand: "Vector | float") -> "Vector":
        """Product."""
        return self._apply("fmul", operand)

    __radd__, __rmul__ = __add__, __mul__

    @property
    def is_double(self) -> bool:
        """Whether the lanes are float64."""
        return isinstance(self.value.type.element, ir.DoubleType)

    def reciprocal(self) -> "Vector":
        """1 / x."""
        return Vector(self.builder, self.builder.fdiv(self.constant(1.0).value, self.value))

    def constant(self, number: float) -> "Vector":
        """A number in all lanes of a vector of this type."""
        return Vector(self.builder, ir.Constant(self.value.type, [number] * self.value.type.count))

    def at_most(self, bound: float) -> "Vector":
        """The smaller of each lane and a bound; NaN stays NaN."""
        return self._bounded(">", bound)

    def at_least(self, bound: float) -> "Vector":
        """The larger of each lane and a bound; NaN stays NaN."""
        return self._bounded("<", bound)

    def call_by_lane(self, name: str) -> "Vector":
        """The result of a C function of one number, lane by lane."""
        builder, kind = self.builder, self.value.type
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind.element, [kind.element]), name)
        result = self.value
        for lane in range(kind.count):
            index = ir.Constant(ir.IntType(32), lane)
            value = builder.call(function, [builder.extract_element(self.value, index)])
            result = builder.insert_element(result, value, index)
        return Vector(builder, result)

    def _apply(self, operation: str, operand: "Vector | float") -> "Vector":
        operand = operand if isinstance(operand, Vector) else self.constant(operand)
        return Vector(self.builder, getattr(self.builder, operation)(self.value, operand.value, flags=("contract",)))

    def _bounded(self, beyond: str, number: float) -> "Vector":
        bound = self.constant(number).value
        is_beyond = self.builder.fcmp_ordered(beyond, self.value, bound)  # false for NaN
        return Vector(self.builder, self.builder.select(is_beyond, bound, self.value))


class Rows:
    """A Numba array that ends in the lanes, while a function is being written.

    `rows[t, u]` is a vector to load or to store, and `rows[t, u, 7]` the vector that begins at lane 7.
    """

    def __init__(self, context: Any, builder: Any, kind: Any, value: Any, lanes: int | None = None) -> None:
        self.context, self.builder, self.kind = context, builder, kind
        self.array = context.make_array(kind)(context, builder, value)
        element = context.get_value_type(kind.dtype)
        self.bytes = kind.dtype.bitwidth // 8
        self.vector = ir.VectorType(element, lanes or VECTOR_BYTES // self.bytes)

    def __getitem__(self, index: tuple[Any, ...]) -> Vector:
        """Loads a vector."""
        pointer = self.builder.bitcast(self.pointer(*index), self.vector.as_pointer())
        return Vector(self.builder, self.builder.load(pointer, align=self.bytes))

    def __setitem__(self, index: tuple[Any, ...], value: Vector) -> None:
        """Stores a vector."""
        pointer = self.builder.bitcast(self.pointer(*index), self.vector.as_pointer())
        self.builder.store(value.value, pointer, align=self.bytes)

    def pointer(self, *index: Any) -> Any:
        """The address of an element; missing indices are zero."""
        indices = [self.integer(i) for i in index] + [self.integer(0)] * (self.kind.ndim - len(index))
        return cgutils.get_item_pointer(self.context, self.builder, self.kind, self.array, indices)

    def integer(self, i: Any) -> Any:
        """A Python integer as LLVM's; LLVM's integers stay as they are."""
        return ir.Constant(ir.IntType(64), i) if isinstance(i, int) else i

    def is_nonzero(self, number: Any) -> Any:
        """A condition for `builder.if_then`."""
        return self.builder.icmp_signed("!=", number, self.integer(0))

    def size(self, axis: int) -> Any:
        """The size of an axis."""
        return self.builder.extract_value(self.array.shape, axis)

    def splat(self, *index: Any) -> Vector:
        """One element of an array of weights, in all lanes."""
        number = self.builder.load(self.pointer(*index))
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.vector.count), None)
        return Vector(self.builder, self.builder.shuffle_vector(first, undefined, mask))

    def zeros(self) -> Vector:
        """A vector of zeros."""
        return Vector(self.builder, ir.Constant(self.vector, [0.0] * self.vector.count))

    def registers(self, values: Sequence[Vector]) -> "Registers":
        """Variables that begin with these values."""
        return Registers(self, values)


class Registers:
    """Vectors that a loop changes, such as sums; LLVM keeps them in registers."""

    def __init__(self, rows: Rows, values: Sequence[Vector]) -> None:
        self.builder = rows.builder
        self.places = [cgutils.alloca_once(self.builder, rows.vector) for _ in values]
        for place, value in zip(self.places, values, strict=True):
            self.builder.store(value.value, place)

    def __getitem__(self, i: int) -> Vector:
        return Vector(self.builder, self.builder.load(self.places[i]))

    def __setitem__(self, i: int, value: Vector) -> None:
        self.builder.store(value.value, self.places[i])


def vectors(body: Callable[..., None], lanes: int | None = None) -> Any:
    """A Numba function whose instructions `body` writes. Its arguments are arrays, which `body` sees as `Rows`, and integers.

    Args:
        body: Runs when Numba compiles a caller; returns nothing.
        lanes: Lanes of a vector, for every array; None for `VECTOR_BYTES`.
    """

    def typing(_: Any, *arguments: Any) -> Any:
        kinds = [kind if isinstance(kind, types.Array) else types.intp for kind in arguments]

        def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            pairs = zip(signature.args, values, strict=True)
            body(*[Rows(context, builder, k, v, lanes) if isinstance(k, types.Array) else v for k, v in pairs])
            return context.get_dummy_value()

        return types.void(*kinds), codegen

    # Numba counts the arguments by the signature.
    typed: Any = typing
    typed.__name__ = body.__name__
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = ("context", *inspect.signature(body).parameters)
    typed.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in names])
    return intrinsic(typed)
