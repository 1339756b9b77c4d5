"""Recurrent layers with one contract: a sequence in, its final output out.

`LSTM(input_size, hidden_size, num_layers, bidirectional)` maps (B, T, I) to (B, D * H), with D = 2 for two directions. The
layers are torch's own, so that they load torch's `state_dict`, with the semantics that the paper's figures imply, Keras's:

- the final output of a bidirectional layer is the forward half's last state beside the backward half's last state, which is
  the one that has read the whole sequence (torch's `output[:, -1]` holds the backward half's *first* step);
- RNN and LSTM learn one bias vector a direction: torch's second, `bias_hh`, is held at zero. GRU learns two, as Keras's
  default GRU (`reset_after=True`) does, because its reset gate acts between them;
- input weights are Glorot uniform over all gates together, recurrent weights orthogonal, biases zero, forget bias one.

On a CPU the layers compute by kernels of their own, several times faster than torch's, where Numba is installed
(`pip install 'hybridnets[fast]'`), else by torch's; on a GPU by torch's, which are cuDNN's, or in Triton where `backend` says
so. All give the same numbers up to rounding. While torch records a call or transforms it (torch.export, torch.compile,
torch.jit.trace, torch.func) torch's layers compute, because it cannot look into the kernels.

A layer of your own needs no more than the contract: a module built as `layer(input_size=, hidden_size=, num_layers=)` that maps
(B, T, I) to (B, output_size) and says its `output_size`.
"""

import functools
import importlib
import importlib.util
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

__all__ = ["GRU", "LSTM", "RNN", "Chooses", "load", "settle", "traced"]

LARGEST = 1024  # layers, and units a layer
# Units up to which `auto` takes the kernels, by device. On a GPU they wait to be measured: where `benchmarks/rnn.py` says that
# they are at least 1.5 times faster there, add "cuda": 64.
FUSED_LARGEST = {"cpu": 256}
MODULES = {"cpu": "hybridnets.rnn.cpu", "cuda": "hybridnets.rnn.gpu"}
BACKENDS = ("auto", "torch", "fused")
NUMBA = "needs Numba, which is not installed: run pip install 'hybridnets[fast]'"
TRITON = "needs Triton, which is not installed: it comes with torch's builds for CUDA; or run pip install triton"
MISSING = {"numba": NUMBA, "llvmlite": NUMBA, "triton": TRITON}
Backend = Literal["auto", "torch", "fused"]

log = logging.getLogger("hybridnets")


class Chooses(nn.Module):
    """Layers that torch computes or, where they fit and work, kernels of their own.

    Attributes:
        backend: auto, torch or the kernels' name.
        own: That name.
    """

    backend: str = "auto"
    own = "fused"

    def fast(self, device: str) -> ModuleType | None:
        """The kernels' module where they are what is fastest on a device, in torch's words, loaded at the first call.

        None where they do not fit, or do not work, which is logged once.
        """
        raise NotImplementedError


class _Keras(Chooses, nn.RNNBase):
    """Keras's initialisation, bias and final output for torch's layer that stands next in the bases."""

    one_bias = True
    forget_bias = 0.0

    def reset_parameters(self) -> None:
        """Draws the weights as Keras does; torch's constructor calls it last."""
        for name, parameter in self.named_parameters():
            if name.startswith("weight_ih"):
                nn.init.xavier_uniform_(parameter)
            elif name.startswith("weight_hh"):
                nn.init.orthogonal_(parameter)
            else:
                nn.init.zeros_(parameter)
                if name.startswith("bias_hh"):
                    parameter.requires_grad_(not self.one_bias)
                elif self.forget_bias:
                    with torch.no_grad():  # torch's gates are input, forget, cell, output
                        parameter[self.hidden_size : 2 * self.hidden_size] = self.forget_bias

    @property
    def output_size(self) -> int:
        """Features of the final output, D * H."""
        return self.hidden_size * (2 if self.bidirectional else 1)

    def fast(self, device: str) -> ModuleType | None:
        """The kernels' module, where they are faster than torch's layer."""
        return _recurrent(device)[0] if self.hidden_size <= FUSED_LARGEST.get(device, 0) else None

    def forward(self, sequence: Tensor) -> Tensor:
        """The final output of a sequence, (B, T, I) to (B, D * H), the forward half first.

        Raises:
            ValueError: If the sequence is not of that shape, or empty, or where `backend` is fused and cannot compute it.
        """
        if sequence.dim() != 3 or sequence.shape[2] != self.input_size or 0 in sequence.shape:
            raise ValueError(
                f"a sequence must be (batch, steps, {self.input_size}) with at least one of each, "
                f"got {tuple(sequence.shape)}"
            )
        if self.backend != "torch" and not traced(sequence):
            kernels = _fused(sequence, self)
            if kernels is not None:
                return _by_kernels(kernels, self, sequence)
        if _lacks_autocast(self, sequence):
            kind = torch.get_autocast_dtype("cpu")
            with torch.autocast("cpu", enabled=False):
                return self._by_torch(sequence.to(self.weight_ih_l0.dtype)).to(kind)  # type: ignore[arg-type]
        return self._by_torch(sequence)

    def _by_torch(self, sequence: Tensor) -> Tensor:
        state = super().forward(sequence)[1]
        hidden = state[0] if isinstance(state, tuple) else state  # (layers * D, B, H); an LSTM has its cells beside it
        return torch.cat((hidden[-2], hidden[-1]), dim=1) if self.bidirectional else hidden[-1]


class RNN(_Keras, nn.RNN):  # type: ignore[misc]
    """Elman's recurrence, (B, T, I) to (B, D * H).

    Args:
        input_size: Features a step, I.
        hidden_size: Units a layer and direction, H, from 1 to 1,024.
        num_layers: Layers, from 1 to 1,024; each reads the whole output sequence of the one before.
        bidirectional: Whether a second half reads the sequence from its end.
        nonlinearity: What follows the sum: tanh or relu.
        backend: auto, torch or fused: what computes; see the module.

    Raises:
        ValueError: If a size is not a whole number in its range, or the backend is unknown or not installed.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        *,
        backend: Backend = "auto",
    ) -> None:
        _check(input_size, hidden_size, num_layers, backend)
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            batch_first=True,
            bidirectional=bidirectional,
            nonlinearity=nonlinearity,
        )
        self.backend = backend


class LSTM(_Keras, nn.LSTM):  # type: ignore[misc]
    """Long short-term memory with forget bias one, (B, T, I) to (B, D * H).

    Args:
        input_size: Features a step, I.
        hidden_size: Units a layer and direction, H, from 1 to 1,024.
        num_layers: Layers, from 1 to 1,024; each reads the whole output sequence of the one before.
        bidirectional: Whether a second half reads the sequence from its end.
        backend: auto, torch or fused: what computes; see the module.

    Raises:
        ValueError: If a size is not a whole number in its range, or the backend is unknown or not installed.
    """

    forget_bias = 1.0  # Keras's unit_forget_bias

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        *,
        backend: Backend = "auto",
    ) -> None:
        _check(input_size, hidden_size, num_layers, backend)
        super().__init__(input_size, hidden_size, num_layers, batch_first=True, bidirectional=bidirectional)
        self.backend = backend


class GRU(_Keras, nn.GRU):  # type: ignore[misc]
    """Gated recurrent unit with two bias vectors a direction, (B, T, I) to (B, D * H).

    Args:
        input_size: Features a step, I.
        hidden_size: Units a layer and direction, H, from 1 to 1,024.
        num_layers: Layers, from 1 to 1,024; each reads the whole output sequence of the one before.
        bidirectional: Whether a second half reads the sequence from its end.
        backend: auto, torch or fused: what computes; see the module.

    Raises:
        ValueError: If a size is not a whole number in its range, or the backend is unknown or not installed.
    """

    one_bias = False

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        *,
        backend: Backend = "auto",
    ) -> None:
        _check(input_size, hidden_size, num_layers, backend)
        super().__init__(input_size, hidden_size, num_layers, batch_first=True, bidirectional=bidirectional)
        self.backend = backend


def settle(model: nn.Module, device: str, before: str | None) -> str | None:
    """Has a model's layers compute by what `auto` means now, or meant before: a run that goes on keeps its kernels.

    Args:
        model: Any module.
        device: Where it will compute, in torch's words.
        before: What this said in the part of the run that is behind; None at its beginning.

    Returns:
        What they compute by, torch or kernels' names, joined by " and " where they differ; None for a model without such
        layers.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, Chooses)]
    for layer in layers:
        if layer.backend == "auto":
            kept = before is None or layer.own in before.split(" and ")
            layer.backend = layer.own if kept and layer.fast(device) else "torch"
    return " and ".join(sorted({layer.backend for layer in layers})) or None


def _check(input_size: int, hidden_size: int, num_layers: int, backend: str) -> None:
    sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
    for name, value in sizes.items():
        if type(value) is not int or not 1 <= value <= LARGEST:
            raise ValueError(f"{name} must be a whole number from 1 to {LARGEST:,}, got {value!r}")
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    if backend == "fused" and importlib.util.find_spec("numba") is None and not torch.cuda.is_available():
        raise ValueError(f"backend=fused {NUMBA}")


def _fused(sequence: Tensor, layer: _Keras) -> ModuleType | None:
    """The kernels' module, if they are to compute this."""
    kind: torch.dtype = layer.weight_ih_l0.dtype  # type: ignore[assignment]
    device = sequence.device.type
    fits = device in MODULES and kind in (torch.float32, torch.float64)
    if layer.backend == "auto":
        return layer.fast(device) if fits else None
    if not fits:
        where = "a CUDA GPU" if device == "cuda" else "a CPU"
        raise ValueError(
            f"backend=fused computes float32 or float64 on {where}, not {kind} on {sequence.device}: take backend=auto"
        )
    module, reason = _recurrent(device)
    if module is None:
        raise ValueError(f"backend=fused {reason}")
    return module


def _by_kernels(kernels: ModuleType, layer: _Keras, sequence: Tensor) -> Tensor:
    """What torch's layer would return; under autocast computed in the weights' precision all the same."""
    kind: torch.dtype = layer.weight_ih_l0.dtype  # type: ignore[assignment]
    result_kind, device = sequence.dtype, sequence.device.type
    if torch.is_autocast_enabled(device):
        if layer.mode != "GRU" or device != "cpu":  # whose GRU knows no autocast
            result_kind = torch.get_autocast_dtype(device)
        sequence = sequence.to(kind)
    if sequence.dtype != kind:
        raise ValueError(f"a sequence must have the weights' type, {kind}, got {sequence.dtype}")
    shape = kernels.shape_of(layer.mode, layer.hidden_size, layer.num_layers, layer.bidirectional)
    result: Tensor = kernels.final(sequence, layer._flat_weights, shape)
    return result.to(result_kind)


def traced(x: Tensor) -> bool:
    """Whether torch records or transforms the call that a tensor is given to, or only pretends to compute.

    Kernels of our own read and write memory behind torch's back, and in such a call there is no memory, or nobody would see it.
    """
    return (
        torch.compiler.is_compiling()  # first: torch.compile knows it, and leaves the rest out; torch.export sets it too
        or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        or torch._C._are_functorch_transforms_active()  # torch.func
        or type(x) not in (Tensor, nn.Parameter)  # a fake tensor
        or _get_current_dispatch_mode() is not None  # make_fx, fake tensors' mode
    )


def _lacks_autocast(layer: _Keras, sequence: Tensor) -> bool:
    """Whether torch's layer would fail under autocast: on a CPU an LSTM needs a primitive that some processors lack."""
    return (
        layer.mode == "LSTM"
        and sequence.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and not traced(sequence)
        and not _computes_under_autocast(torch.get_autocast_dtype("cpu"))
    )


@functools.cache
def _computes_under_autocast(kind: torch.dtype) -> bool:
    """Whether torch's LSTM can be trained under autocast to a type on this CPU: for bfloat16 it needs AVX-512."""

    def attempt() -> None:
        with torch.random.fork_rng(devices=()):  # whoever asks goes on with the same random numbers
            lstm = nn.LSTM(1, 1, device="cpu", dtype=torch.float32)
        with torch.autocast("cpu", kind):
            state = lstm(torch.zeros(1, 1, 1, device="cpu", dtype=torch.float32))[1][0]
        state.sum().backward()

    try:
        _apart(attempt)
    except RuntimeError:
        return False
    return True


def _recurrent(device: str) -> tuple[ModuleType | None, str]:
    return load(MODULES[device], "recurrent layers compute by torch, as the faster backend=fused")


def load(module: str, what: str) -> tuple[ModuleType | None, str]:
    """A module of kernels, imported and found to work, or None and why not, which is logged once.

    Args:
        module: Its name; its `probe` raises where it does not work.
        what: Words for the log, which the reason follows.
    """
    with _lock:
        return _load(module, what)


_lock = threading.Lock()


@functools.cache
def _load(module: str, what: str) -> tuple[ModuleType | None, str]:
    try:
        found = importlib.import_module(module)  # imports Numba, which takes half a second, or Triton
        _apart(found.probe)  # the answer is remembered, whoever asked first
    except Exception as error:
        text = " ".join(str(error).split())
        missing = MISSING.get(error.name or "") if isinstance(error, ModuleNotFoundError) else None
        reason = missing or f"does not work on this machine: {type(error).__name__}: {text}"
        _warn(f"layers compute by torch, as what is faster {reason}" if missing else f"{what} {reason}")
        return None, reason
    return found, ""


def _apart(attempt: Callable[[], None]) -> None:
    """Calls a function in a thread of its own, where no mode, hook or default device of the caller's has a part in it."""
    # torch knows the current GPU by thread, too
    gpu = torch.cuda.current_device() if torch.cuda.is_initialized() else -1  # type: ignore[no-untyped-call]

    def call() -> None:
        with torch.cuda.device(gpu):
            attempt()

    with ThreadPoolExecutor(1, "probe") as pool:
        pool.submit(call).result()


_warn = functools.cache(log.warning)  # each sentence once, whatever lacks Numba
