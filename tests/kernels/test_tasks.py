"""How a kernel's arguments are packed and read, and when its compiled code is forgotten."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("numba")

from numba.core.registry import cpu_target

from hybridnets.kernels.cpu import tasks
from hybridnets.kernels.cpu.tasks import Kernel, Signature, claim_task
from hybridnets.kernels.cpu.threads import run_tasks

SIGNATURE = Signature(factor=0, x=2, out=2, sums=1, double=("sums",), memory=("row",))
read = SIGNATURE.reader()


def multiply(pointer: Any) -> None:
    """out = factor * x; sums, of each row; a task is a row."""
    a = read(pointer, np.float32)
    task = claim_task(pointer)
    while task < a.tasks:
        a.sums[task] = 0
        for i in range(a.x.shape[1]):
            a.row[0, i, 0] = a.factor * a.x[task, i]
        for i in range(a.x.shape[1]):
            a.out[task, i] = a.row[0, i, 0]
            a.sums[task] += a.out[task, i]
        task = claim_task(pointer)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_kernel_reads_what_its_signature_declares(threads: int) -> None:
    kernel, before = Kernel(SIGNATURE, multiply, np.float32), torch.get_num_threads()
    x = torch.randn(500, 7)
    out, sums = torch.empty_like(x), torch.empty(500, dtype=torch.float64)
    try:
        torch.set_num_threads(threads)
        run_tasks(kernel, 500, {"row": (1, 7)}, factor=3, x=x, out=out, sums=sums)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(out, 3 * x)
    torch.testing.assert_close(sums, out.double().sum(1))


def test_arrays_with_other_axes_are_refused() -> None:
    with pytest.raises(ValueError, match="a kernel's arrays must have"):
        Signature(x=2).pack(1, {"x": torch.zeros(3)}, None)
    with pytest.raises(KeyError, match="x"):
        Signature(x=2).pack(1, {}, None)


def test_compiled_code_is_forgotten_when_any_source_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    def key() -> Any:
        return tasks._Cache(multiply)._index_key(None, cpu_target.target_context.codegen())  # type: ignore[no-untyped-call]

    before = key()
    assert key() == before
    monkeypatch.setattr(tasks, "SOURCES", "another digest")
    assert key() != before
    folder, read_bytes = Path(tasks.__file__).parent, Path.read_bytes
    for name in ("cells.py", "products.py", "vectors.py", "walks.py", "../tanh.py"):
        edited = (folder / name).resolve()
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_bytes", lambda p, edited=edited: read_bytes(p) + b"#" * (p.resolve() == edited))
            assert tasks._digest() != before[-1], name


def test_a_second_process_loads_what_the_first_compiled() -> None:
    code = "from hybridnets.kernels.cpu import walks; walks.kernel('pack', 'torch.float32')"
    environment = {**os.environ, "NUMBA_DEBUG_CACHE": "1"}
    for _ in range(2):
        process = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
    assert "data loaded from" in process.stdout
    assert "data saved to" not in process.stdout
