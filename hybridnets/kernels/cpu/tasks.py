"""What a thread executes: a kernel's arguments, how threads claim tasks, and how a kernel is compiled and cached.

A kernel is native code from end to end, because threads that took turns at Python's lock between two tasks lost a third of
their time. Every thread calls the same C function with the same pointer, claims one task after another until none is left,
and returns. `hybridnets.kernels.cpu.threads` starts the threads.
"""

import collections
import hashlib
import platform
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.caching import FunctionCache
from numba.core.ccallback import CFunc
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from hybridnets.kernels.cpu.vectors import VECTOR_BYTES, Array, inline

__all__ = ["Kernel", "Memory", "Signature", "claim_task", "flush_denormals", "restore_denormals"]

_WORD = ir.IntType(64)
_HEAD = 3  # integers before the number of tasks


class Signature:
    """The arguments of a kernel: one declaration, from which the caller's packing and the kernel's reading both follow.

    In memory they are 64-bit integers: the tasks claimed so far, the threads that have read the arguments so far, the bytes of
    a thread's working memory, the number of tasks; and then, in the declared order, the value of each integer, and the
    address and the sizes of each array, which is contiguous.

    Args:
        memory: Arrays of working memory, (rows, columns, lanes); each thread reads its own.
        double: Arrays that are float64 whatever the others are.
        **axes: The number of axes of each other argument; 0 for an integer.
    """

    def __init__(self, *, memory: Collection[str] = (), double: Collection[str] = (), **axes: int) -> None:
        self.shared, self.memory, self.double = tuple(axes.items()), tuple(memory), double
        self.axes = {"tasks": 0, **axes, **dict.fromkeys(memory, 3)}
        self.length = _HEAD + sum(1 + count for count in self.axes.values())
        self._class = collections.namedtuple("Arguments", self.axes)  # type: ignore[misc]

    def pack(self, tasks: int, arguments: Mapping[str, Any], memory: "Memory | None") -> Array:
        """The arguments in memory.

        Args:
            tasks: The number of tasks.
            arguments: By name, an integer or a contiguous tensor.
            memory: The working memory of all threads.
        """
        words = [0, 0, memory.thread_bytes if memory else 0, tasks]
        for name, axes in self.shared:
            argument = arguments[name]
            if axes:
                words.append(argument.data_ptr())
                words += argument.shape
            else:
                words.append(argument)
        if memory:
            words += memory.words
        if len(words) != self.length:
            raise ValueError(f"a kernel's arrays must have {self.axes} axes")
        return np.array(words, np.int64)

    def reader(self) -> Any:
        """A Numba function of the pointer and of the float type: the arguments as a named tuple, with `tasks` before them.

        A thread must call it once, as each call takes another part of the working memory.
        """

        def read(_: Any, pointer: Any, real: Any) -> Any:
            kinds = {
                name: types.Array(types.float64 if name in self.double else real.dtype, axes, "C")
                if axes
                else types.int64
                for name, axes in self.axes.items()
            }

            def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
                place = _add_one(builder, values[0], 1)
                offset = builder.mul(place, builder.load(_word(builder, values[0], 2)))
                arguments, at = [], _HEAD
                for (name, axes), kind in zip(self.axes.items(), kinds.values(), strict=True):
                    value, *sizes = (builder.load(_word(builder, values[0], at + i)) for i in range(1 + axes))
                    if name in self.memory:
                        value = builder.add(value, offset)
                    arguments.append(_array(context, builder, kind, value, sizes) if axes else value)
                    at += 1 + axes
                return context.make_tuple(builder, signature.return_type, arguments)

            return types.NamedTuple(kinds.values(), self._class)(pointer, real), codegen

        return intrinsic(read)


class Memory:
    """Working memory of all threads, in whole vectors.

    All arrays of a thread lie together. With the same array of two threads side by side the backward pass took twice as long
    on two threads, probably because prefetching takes lines from the other thread.

    Args:
        shapes: Rows and columns of each array of the signature's `memory`, in its order.
        lanes: Lanes of a vector.
        threads: The number of threads.
        allocate: From a number of bytes to something with `data_ptr()` that begins at a multiple of `VECTOR_BYTES`.
    """

    def __init__(
        self, shapes: Collection[tuple[int, int]], lanes: int, threads: int, allocate: Callable[[int], Any]
    ) -> None:
        self.thread_bytes = VECTOR_BYTES * sum(rows * columns for rows, columns in shapes)
        self.buffer = allocate(threads * self.thread_bytes)
        address: int = self.buffer.data_ptr()
        self.words: list[int] = []
        for rows, columns in shapes:
            self.words += (address, rows, columns, lanes)
            address += rows * columns * VECTOR_BYTES


def _word(builder: Any, pointer: Any, place: int) -> Any:
    """The address of one of the integers behind a pointer."""
    return builder.gep(builder.bitcast(pointer, _WORD.as_pointer()), [ir.Constant(_WORD, place)])


def _array(context: Any, builder: Any, kind: Any, address: Any, sizes: list[Any]) -> Any:
    """A contiguous Numba array over memory that somebody else owns."""
    array = context.make_array(kind)(context, builder)
    itemsize = context.get_constant(types.intp, kind.dtype.bitwidth // 8)
    strides = [itemsize]
    for size in reversed(sizes[1:]):
        strides.insert(0, builder.mul(strides[0], size))
    data = builder.inttoptr(address, context.get_data_type(kind.dtype).as_pointer())
    populate_array(array, data=data, shape=sizes, strides=strides, itemsize=itemsize, meminfo=None)
    return array._getvalue()


def _add_one(builder: Any, pointer: Any, place: int) -> Any:
    """Adds one to an integer behind the pointer and returns the value before; atomic, so no two threads get the same value."""
    return builder.atomic_rmw("add", _word(builder, pointer, place), ir.Constant(_WORD, 1), "monotonic")


def _claim(_: Any, pointer: Any) -> Any:
    """The number of a task that no other thread has; at least the number of tasks if none is left."""

    def codegen(_: Any, builder: Any, __: Any, values: Any) -> Any:
        return _add_one(builder, values[0], 0)

    return types.int64(pointer), codegen


claim_task: Any = intrinsic(_claim)


def _control_register(write: bool) -> Any:
    """A Numba function that reads or writes the register that decides what becomes of denormal numbers."""
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


_read_control: Any = _control_register(write=False)
restore_denormals: Any = _control_register(write=True)


@inline
def flush_denormals() -> Any:
    """Makes denormal numbers count as zero on this thread, and returns the setting for `restore_denormals`.

    Gradients that fade become denormal numbers, on which x86 is slow.
    """
    setting = _read_control()
    restore_denormals(numba.uint32(setting | numba.uint32(0x8040)))
    return setting


def _digest() -> str:
    """A hash of every source that a compiled kernel can contain."""
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.py"), folder.parent / "tanh.py"]):
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()


SOURCES = _digest()


class _Cache(FunctionCache):
    """Numba's cache on disk, which forgets a kernel when any source of the kernels changes.

    Numba's own looks only at the file of the C function, and would go on with compiled code from old versions of the others.
    """

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return (*super()._index_key(sig, codegen), SOURCES)


class Kernel:
    """A compiled kernel, or one loaded from Numba's cache on disk (`__pycache__` beside the source).

    Each kernel's `work` must be a function of its own: the cache has a file for each function, and two processes that save
    different kernels in one file could mix them up.

    Args:
        signature: Its arguments.
        work: What a thread does with the pointer to them; in Numba's Python.
        real: Its float type, NumPy's float32 or float64.
    """

    def __init__(self, signature: Signature, work: Callable[[Any], None], real: Any) -> None:
        self.signature, self.lanes = signature, VECTOR_BYTES // np.dtype(real).itemsize
        options = {"error_model": "numpy", "boundscheck": False}
        function = CFunc(work, ((types.voidptr,), types.void), {}, options)
        function._cache = _Cache(work)  # type: ignore[attr-defined]
        function.compile()
        self.address, self.call = function.address, function.ctypes
