"""Recurrent layers with one contract: a sequence in, its final output out.

`LSTM(input_size, hidden_size, num_layers, bidirectional)` maps (B, T, I) to (B, D * H), where D is 2 for two directions. The
layers are torch's own, so they load torch's `state_dict`. Their semantics are those that the paper's figures imply, Keras's:

- the final output of a bidirectional layer joins the forward half's last state and the backward half's last state, the one
  that has read the whole sequence (torch's `output[:, -1]` holds the backward half's *first* step);
- RNN and LSTM learn one bias vector a direction: torch's second, `bias_hh`, is held at zero. GRU learns two, as Keras's
  default GRU (`reset_after=True`) does, because its reset gate acts between them;
- input weights are Glorot uniform over all gates together, recurrent weights orthogonal, biases zero, forget bias one.

`backend` chooses what computes, with results equal up to rounding:

- `torch`: torch's layers, which are cuDNN's on a GPU;
- `fused`: the kernels of `hybridnets.kernels`, in Numba on a CPU (`pip install 'hybridnets[fast]'`) and in Triton on a GPU;
- `auto`: the kernels where they are faster and work, else torch.

While torch records a call or transforms it (torch.export, torch.compile, torch.func), torch's layers compute, because it cannot
look into the kernels; while it records one for ONNX, each layer becomes ONNX's own operator. torch.jit.trace, and torch's old
exporter to ONNX, which uses it, are refused.

A layer of your own needs only the contract: a module built as `layer(input_size=, hidden_size=, num_layers=)` that maps
(B, T, I) to (B, output_size) and has the attribute `output_size`.
"""

import functools
import importlib.util
from types import ModuleType
from typing import Literal

import torch
from torch import Tensor, nn

from hybridnets.rnn import operators
from hybridnets.rnn.backends import (
    BACKENDS,
    NUMBA,
    Accelerated,
    Backend,
    call_apart,
    is_recorded_for_onnx,
    is_traced,
    load_kernels,
    refuse_jit_trace,
)

__all__ = ["GRU", "LSTM", "RNN"]

LARGEST = 1024  # layers, and units a layer
# The largest number of units for which `auto` takes the kernels, by device. On a GPU they are not measured yet: where
# `benchmarks/rnn.py` finds them at least 1.5 times faster, add "cuda": 64.
FUSED_LARGEST = {"cpu": 256}
KERNELS = {"cpu": "hybridnets.kernels.cpu.recurrent", "cuda": "hybridnets.kernels.gpu.recurrent"}


class _Keras(Accelerated, nn.RNNBase):
    """Keras's initialisation, bias and final output, for the torch layer that is the next base class."""

    one_bias = True
    forget_bias = 0.0

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
        super().__init__(input_size, hidden_size, num_layers, batch_first=True, bidirectional=bidirectional)  # type: ignore[arg-type]
        self.backend = backend

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

    def kernels_on(self, device: str) -> ModuleType | None:
        """The module of the kernels, where they are faster than torch's layer."""
        return _kernels_on(device)[0] if self.hidden_size <= FUSED_LARGEST.get(device, 0) else None

    def forward(self, sequence: Tensor) -> Tensor:
        """The final output of a sequence, (B, T, I) to (B, D * H), the forward half first.

        Raises:
            ValueError: If the sequence is empty or of another shape, if `backend` is fused and cannot compute it, or if
                torch.jit.trace records the call.
        """
        refuse_jit_trace()
        if sequence.dim() != 3 or sequence.shape[2] != self.input_size or 0 in sequence.shape:
            raise ValueError(
                f"a sequence must be (batch, steps, {self.input_size}) with at least one of each, "
                f"got {tuple(sequence.shape)}"
            )
        if is_recorded_for_onnx():
            return torch.cat(operators.recorded(self, sequence), dim=1)
        if self.backend != "torch" and not is_traced(sequence):
            kernels = _choose_kernels(sequence, self)
            if kernels is not None:
                return _compute_by_kernels(kernels, self, sequence)
        if _lacks_autocast(self, sequence):
            dtype = torch.get_autocast_dtype("cpu")
            with torch.autocast("cpu", enabled=False):
                return self._compute_by_torch(sequence.to(self.weight_ih_l0.dtype)).to(dtype)  # type: ignore[arg-type]
        return self._compute_by_torch(sequence)

    def _compute_by_torch(self, sequence: Tensor) -> Tensor:
        state = super().forward(sequence)[1]
        hidden = (
            state[0] if isinstance(state, tuple) else state
        )  # (layers * D, B, H); an LSTM's state has its cells too
        return torch.cat((hidden[-2], hidden[-1]), dim=1) if self.bidirectional else hidden[-1]


class RNN(_Keras, nn.RNN):  # type: ignore[misc]
    """Elman's recurrence, (B, T, I) to (B, D * H).

    Args:
        input_size: Features a step, I.
        hidden_size: Units a layer and direction, H, from 1 to 1,024.
        num_layers: Layers, from 1 to 1,024; each reads the whole output sequence of the one before.
        bidirectional: Whether a second half reads the sequence from its end.
        nonlinearity: What follows the sum: tanh or relu.
        backend: What computes: auto, torch or fused; see the module.

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
        sizes = input_size, hidden_size, num_layers
        nn.RNN.__init__(self, *sizes, batch_first=True, bidirectional=bidirectional, nonlinearity=nonlinearity)
        self.backend = backend


class LSTM(_Keras, nn.LSTM):  # type: ignore[misc]
    """Long short-term memory with forget bias one, (B, T, I) to (B, D * H); takes RNN's arguments, but no nonlinearity."""

    forget_bias = 1.0  # Keras's unit_forget_bias


class GRU(_Keras, nn.GRU):  # type: ignore[misc]
    """Gated recurrent unit with two bias vectors a direction, (B, T, I) to (B, D * H); takes LSTM's arguments."""

    one_bias = False


def _check(input_size: int, hidden_size: int, num_layers: int, backend: str) -> None:
    sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
    for name, value in sizes.items():
        if type(value) is not int or not 1 <= value <= LARGEST:
            raise ValueError(f"{name} must be a whole number from 1 to {LARGEST:,}, got {value!r}")
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    if backend == "fused" and importlib.util.find_spec("numba") is None and not torch.cuda.is_available():
        name, remedy = NUMBA
        raise ValueError(f"backend=fused needs {name}, which is not installed: {remedy}")


def _choose_kernels(sequence: Tensor, layer: _Keras) -> ModuleType | None:
    """The module of the kernels that will compute this call; None for torch."""
    dtype: torch.dtype = layer.weight_ih_l0.dtype  # type: ignore[assignment]
    device = sequence.device.type
    fits = device in KERNELS and dtype in (torch.float32, torch.float64)
    if layer.backend == "auto":
        return layer.kernels_on(device) if fits else None
    if not fits:
        where = "a CUDA GPU" if device == "cuda" else "a CPU"
        raise ValueError(
            f"backend=fused computes float32 or float64 on {where}, not {dtype} on {sequence.device}: use backend=auto"
        )
    module, reason = _kernels_on(device)
    if module is None:
        raise ValueError(f"backend=fused {reason}")
    return module


def _compute_by_kernels(kernels: ModuleType, layer: _Keras, sequence: Tensor) -> Tensor:
    """What torch's layer would return, and of its type; even under autocast computed in the weights' precision."""
    dtype: torch.dtype = layer.weight_ih_l0.dtype  # type: ignore[assignment]
    result_dtype, device = sequence.dtype, sequence.device.type
    if torch.is_autocast_enabled(device):
        if layer.mode != "GRU" or device != "cpu":  # torch's GRU on a CPU ignores autocast
            result_dtype = torch.get_autocast_dtype(device)
        sequence = sequence.to(dtype)
    if sequence.dtype != dtype:
        raise ValueError(f"a sequence must have the weights' type, {dtype}, got {sequence.dtype}")
    shape = kernels.shape_of(layer.mode, layer.hidden_size, layer.num_layers, layer.bidirectional)
    result: Tensor = kernels.final(sequence, layer._flat_weights, shape)
    return result.to(result_dtype)


def _lacks_autocast(layer: _Keras, sequence: Tensor) -> bool:
    """Whether torch's layer would fail under autocast: on a CPU an LSTM needs a primitive that some processors lack."""
    return (
        layer.mode == "LSTM"
        and sequence.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and not is_traced(sequence)
        and not _computes_under_autocast(torch.get_autocast_dtype("cpu"))
    )


@functools.cache
def _computes_under_autocast(dtype: torch.dtype) -> bool:
    """Whether torch can train an LSTM under autocast to a type on this CPU: for bfloat16 it needs AVX-512."""

    def attempt() -> None:
        with torch.random.fork_rng(devices=()):  # the caller's random numbers stay the same
            lstm = nn.LSTM(1, 1, device="cpu", dtype=torch.float32)
        with torch.autocast("cpu", dtype):
            state = lstm(torch.zeros(1, 1, 1, device="cpu", dtype=torch.float32))[1][0]
        state.sum().backward()

    try:
        call_apart(attempt)
    except RuntimeError:
        return False
    return True


def _kernels_on(device: str) -> tuple[ModuleType | None, str]:
    return load_kernels(KERNELS[device], "recurrent layers")
