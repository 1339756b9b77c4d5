"""Which backend computes a layer: torch, or kernels of our own where they fit, work and are faster.

On a CPU the kernels need Numba (`pip install 'hybridnets[fast]'`), on a GPU Triton. A module of kernels is imported at the
first call that could use it, so that nobody waits for a compiler in vain, and its `probe` is computed once. If either fails,
torch computes, and the log says so once.
"""

import functools
import importlib
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

__all__ = [
    "BACKENDS",
    "Accelerated",
    "Backend",
    "is_recorded_for_onnx",
    "is_traced",
    "load_kernels",
    "refuse_jit_trace",
    "settle_backends",
]

Backend = Literal["auto", "torch", "fused"]
BACKENDS: tuple[Backend, ...] = ("auto", "torch", "fused")
NUMBA = "Numba", "run pip install 'hybridnets[fast]'"  # name and remedy
TRITON = "Triton", "it comes with torch's builds for CUDA; or run pip install triton"
_PACKAGES = {"numba": NUMBA, "llvmlite": NUMBA, "triton": TRITON}

log = logging.getLogger("hybridnets")


class Accelerated(nn.Module):
    """A layer that torch computes or, where they fit and work, kernels of our own.

    Attributes:
        backend: auto, torch, or the kernels' name.
        kernels_name: The name of its kernels.
    """

    backend: str = "auto"
    kernels_name = "fused"

    def kernels_on(self, device: str) -> ModuleType | None:
        """The module of the kernels if `auto` prefers them on a kind of device (torch's cpu or cuda), imported at the first
        call.

        None if they do not fit, or do not work; the latter is logged once.
        """
        raise NotImplementedError


def settle_backends(model: nn.Module, device: str, before: Sequence[str] | None) -> list[str] | None:
    """Replaces `auto` in a model's layers by what it means now, or meant before: a resumed run keeps its kernels.

    Args:
        model: Any module.
        device: Where it will compute, torch's cpu or cuda.
        before: What this returned in the part of the run that is done; None at its beginning.

    Returns:
        The backends of the layers, each once: torch or kernels' names; None for a model without such layers.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, Accelerated)]
    for layer in layers:
        if layer.backend == "auto":
            wanted = before is None or layer.kernels_name in before
            layer.backend = layer.kernels_name if wanted and layer.kernels_on(device) else "torch"
    return sorted({layer.backend for layer in layers}) or None


def is_traced(x: Tensor) -> bool:
    """Whether torch records or transforms the call that a tensor is given to, or only pretends to compute.

    Our kernels read and write memory without torch's knowledge. In such a call there is no memory, or torch would not see what
    they wrote.
    """
    return (
        torch.compiler.is_compiling()  # first: torch.compile knows it and leaves out the rest; torch.export sets it too
        or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        or torch._C._are_functorch_transforms_active()  # torch.func
        or type(x) not in (Tensor, nn.Parameter)  # a fake tensor
        or _get_current_dispatch_mode() is not None  # make_fx, fake tensors' mode
    )


def is_recorded_for_onnx() -> bool:
    """Whether torch.onnx.export(dynamo=True) records the call."""
    # first: of torch.compile, which cannot look into the rest, this is all that is true of both
    return torch.compiler.is_exporting() and torch.onnx.is_in_onnx_export()


def refuse_jit_trace() -> None:
    """Refuses a call that torch.jit.trace records.

    A trace holds what one batch made of a recurrent layer and of its initial state. What torch's old exporter to ONNX makes
    of it has been wrong for batches of another size, without a word.

    Raises:
        ValueError: If it does; the message names what to use instead.
    """
    if not torch.compiler.is_compiling() and torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        raise ValueError(
            "a recurrent layer must be exported by torch.export, got torch.jit.trace or torch.onnx.export(dynamo=False), whose "
            "graph may be wrong for batches of another size: use hybridnets export RUN -o model.onnx, or "
            "torch.onnx.export(..., dynamo=True)"
        )


def load_kernels(module: str, layers: str) -> tuple[ModuleType | None, str]:
    """Imports a module of kernels and tries it, at the first call.

    Args:
        module: Its name; its `probe` raises if the kernels do not work.
        layers: The layers that it computes, for the log.

    Returns:
        The module and "", or None and the reason, which is logged once.
    """
    with _lock:
        return _load(module, layers)


_lock = threading.Lock()


@functools.cache
def _load(module: str, layers: str) -> tuple[ModuleType | None, str]:
    try:
        kernels = importlib.import_module(module)  # imports Numba, which takes half a second, or Triton
        call_apart(kernels.probe)  # the result is remembered, so it must not depend on the first caller
    except Exception as error:
        package = _PACKAGES.get(error.name or "") if isinstance(error, ModuleNotFoundError) else None
        if package:
            name, remedy = package
            _warn_once(f"falling back to torch's layers: {name} is not installed: {remedy}")
            return None, f"needs {name}, which is not installed: {remedy}"
        reason = f"does not work on this machine: {type(error).__name__}: {' '.join(str(error).split())}"
        _warn_once(f"falling back to torch's {layers}: {module} {reason}")
        return None, reason
    return kernels, ""


def call_apart(function: Callable[[], None]) -> None:
    """Calls a function in a thread of its own, where no mode, hook or default device of the caller applies."""
    # torch keeps the current GPU by thread, too
    gpu = torch.cuda.current_device() if torch.cuda.is_initialized() else -1  # type: ignore[no-untyped-call]

    def call() -> None:
        with torch.cuda.device(gpu):
            function()

    with ThreadPoolExecutor(1, "probe") as pool:
        pool.submit(call).result()


_warn_once = functools.cache(log.warning)  # one warning, however many kinds of layers lack Numba
