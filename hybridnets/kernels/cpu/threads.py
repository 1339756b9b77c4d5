"""Who executes a kernel's tasks: as many threads as torch uses, torch's own where possible, the calling thread among them."""

import contextlib
import ctypes
import functools
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import torch

from hybridnets.kernels.cpu.tasks import Kernel, Memory

__all__ = ["run_tasks"]

_PROCESS = os.getpid()  # OpenMP's threads belong to this process; a forked one has none, and OpenMP does not notice


def run_tasks(
    kernel: Kernel, tasks: int, memory: Mapping[str, tuple[int, int]] | None = None, **arguments: Any
) -> None:
    """Executes all tasks of a kernel; no result depends on the number of threads.

    Args:
        kernel: What to execute.
        tasks: The number of tasks.
        memory: Rows and columns of each array of a thread's working memory.
        **arguments: Of the kernel's signature: integers and contiguous tensors.
    """
    threads = torch.get_num_threads()
    signature = kernel.signature
    working = None
    if memory:
        working = Memory([memory[name] for name in signature.memory], kernel.lanes, threads, _allocate)
    words = signature.pack(tasks, arguments, working)
    pointer = words.ctypes.data
    if threads == 1 or tasks == 1:
        kernel.call(pointer)
    elif os.getpid() == _PROCESS and (run_team := _openmp()):
        run_team(kernel.address, pointer, threads, 0)
    else:
        pool = _pool(os.getpid(), threads)
        futures = [pool.submit(kernel.call, pointer) for _ in range(min(threads, tasks) - 1)]
        try:
            kernel.call(pointer)
        finally:  # no thread may write into memory that has been freed
            wait(futures)


def _allocate(count: int) -> torch.Tensor:
    return torch.empty(
        count, dtype=torch.uint8, device="cpu"
    )  # torch's memory begins at a multiple of 64 bytes, NumPy's need not


@functools.cache
def _openmp() -> Any:
    """The function by which torch's own threads call another, where torch ships GNU's OpenMP (Linux); else None.

    Between two calls these threads look for work in a loop, for milliseconds: other threads would share their cores.
    """
    for file in (Path(torch.__file__).parent / "lib").glob("libgomp*"):
        with contextlib.suppress(OSError, AttributeError):
            function = ctypes.CDLL(str(file), mode=os.RTLD_NOW | os.RTLD_NOLOAD).GOMP_parallel
            function.argtypes = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint
            function.restype = None
            return function
    return None


@functools.cache
def _pool(_process: int, threads: int) -> ThreadPoolExecutor:  # a forked process has none of its parent's threads
    return ThreadPoolExecutor(threads - 1, "recurrent")
