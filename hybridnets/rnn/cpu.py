"""Recurrent layers on CPU tensors by `hybridnets.rnn.kernels`: what torch's weights are to them, threads, autograd."""

import contextlib
import ctypes
import functools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from hybridnets.rnn import kernels

__all__ = ["final", "probe", "shape_of", "spread"]

Array = NDArray[Any]
CELLS = {"RNN_TANH": kernels.RNN_TANH, "RNN_RELU": kernels.RNN_RELU, "LSTM": kernels.LSTM, "GRU": kernels.GRU}
# Torch's gate that stands at each of the kernels' gates, of the weights for the input and for the state; -1: none reads it.
ORDER = {
    "RNN_TANH": ((0,), (0,)),
    "RNN_RELU": ((0,), (0,)),
    "LSTM": ((0, 1, 2, 3), (0, 1, 2, 3)),
    "GRU": ((2, 0, 1, -1), (-1, 0, 1, 2)),
}
PROBE = 0.6946351, 0.0483439  # output and first gradient of an LSTM whose weights and two inputs are all 0.5
FIRST = os.getpid()  # OpenMP's threads are this process's; a forked one has none, and OpenMP does not notice
HALVED = {"LSTM": (0, 1, 3), "GRU": (1, 2)}  # a sigmoid is (1 + tanh(x / 2)) / 2


class Shape:
    """What a net is, and what follows from it for the kernels.

    Args:
        mode: Torch's: RNN_TANH, RNN_RELU, LSTM or GRU.
        hidden_size: Units a layer and direction, H.
        num_layers: Layers.
        bidirectional: Whether a second half reads the sequence from its end.
    """

    def __init__(self, mode: str, hidden_size: int, num_layers: int, bidirectional: bool) -> None:
        self.mode, self.hidden, self.layers, self.directions = mode, hidden_size, num_layers, 2 if bidirectional else 1
        self.cell = CELLS[mode]
        self.gates = len(ORDER[mode][0])
        self.units = -(-hidden_size // kernels.EDGE) * kernels.EDGE
        self.tiles = -(-self.units // kernels.TILE)  # of the gradient of the state
        self.rows = self.gates * self.units
        self.reading = self.rows - self.units * (mode == "GRU")  # rows that read the state; as many read the input
        self.stored = self.units * (2 if mode == "LSTM" else 1)

    def weights(self, all_weights: Sequence[Tensor], layer: int) -> Tensor:
        """A layer's weights as `_Layout` counts them, (D, any)."""
        parts, zero = [], all_weights[0].new_zeros(1)
        for first in range(4 * layer * self.directions, 4 * (layer + 1) * self.directions, 4):
            w_ih, w_hh, b_ih, b_hh = all_weights[first : first + 4]
            parts += [w_ih.reshape(-1), w_hh.reshape(-1), b_ih, b_hh, b_ih + b_hh, zero]
        return torch.cat(parts).view(self.directions, -1)


shape_of = functools.cache(Shape)


def final(x: Tensor, weights: Sequence[Tensor], shape: Shape) -> Tensor:
    """The final output of a sequence, (B, T, I) to (B, D * H).

    Args:
        x: Input, of the weights' dtype, float32 or float64; neither B nor T is 0.
        weights: weight_ih, weight_hh, bias_ih and bias_hh of each direction of each layer, in torch's order.
        shape: Which net the weights are.
    """
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *weights)):
        return _Final.apply(shape, x, *weights)  # type: ignore[no-any-return, no-untyped-call]
    return _forward(shape, x, weights, history=False)[0]


class _Final(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, shape: Shape, x: Tensor, *weights: Tensor) -> Tensor:
        output, inputs, states, ctx.laid_out = _forward(shape, x, weights, history=True)
        ctx.shape, ctx.batch = shape, len(x)
        ctx.save_for_backward(*inputs, *states, *weights)  # the weights, so that autograd sees if they were changed
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        saved, layers = ctx.saved_tensors, ctx.shape.layers
        inputs, states = saved[:layers], saved[layers : 2 * layers]
        dx, dw = _backward(ctx.shape, gradient, ctx.batch, ctx.laid_out, inputs, states, ctx.needs_input_grad[1])
        return None, dx, *dw


def probe() -> None:
    """Compiles, or loads what was compiled before, and computes a net of one unit with gradients.

    Raises:
        RuntimeError: If the result is wrong.
    """
    with torch.inference_mode(False), torch.enable_grad():  # whoever computes first may want no gradients
        sizes = (1, 2, 1), (4, 1), (4, 1), (4,), (4,)
        x, *weights = (torch.full(size, 0.5, device="cpu", dtype=torch.float32).requires_grad_() for size in sizes)
        result = final(x, weights, shape_of("LSTM", 1, 1, False))
        (gradient,) = torch.autograd.grad(result, x, torch.ones_like(result))
    found = result.item(), gradient[0, 0, 0].item()
    if not np.allclose(found, PROBE, rtol=0, atol=1e-6):
        raise RuntimeError(f"an LSTM of one unit gave {found}, not {PROBE}")


def _forward(
    shape: Shape, x: Tensor, weights: Sequence[Tensor], history: bool
) -> tuple[Tensor, list[Tensor], list[Tensor], list[tuple[Tensor, Tensor]]]:
    """The final output; with history also each layer's input, saved states, and weights as they are and as they are packed."""
    batch, steps, columns = x.shape
    lanes = kernels.VECTOR // x.element_size()
    blocks, directions, hidden = -(-batch // lanes), shape.directions, shape.hidden
    sequence = x.new_empty(blocks, steps, columns + 1, lanes)
    _spread(kernels.PACK, blocks, (), x.detach().contiguous(), sequence)
    last = x.new_empty(blocks, directions, hidden, lanes)
    inputs, states, laid_out = [sequence], [], []
    for layer in range(shape.layers):
        columns = inputs[-1].shape[2] - 1
        # The input of the next layer, its last column one; nobody reads what the last layer says before the end.
        following = x.new_empty(blocks, 0 if layer == shape.layers - 1 else steps, directions * hidden + 1, lanes)
        if len(following[0]):
            following[:, :, -1] = 1
        states.append(
            x.new_empty(directions, blocks, -(-steps // kernels.CHUNK) if history else 0, shape.stored, lanes)
        )
        flat = shape.weights(weights, layer)
        laid_out.append((flat, _layout(shape, columns).packed(flat)))
        _spread(
            kernels.FORWARD,
            blocks * directions,
            (shape.cell, hidden, directions, shape.rows, shape.units),
            *(laid_out[-1][1], inputs[-1], following, states[-1], last),
            memory=kernels.memory(kernels.FORWARD, shape, columns),
        )
        if not history:
            inputs, states = [], []
        inputs.append(following)
    output = last.permute(0, 3, 1, 2).reshape(blocks * lanes, directions * hidden)[:batch]
    return output, inputs[: shape.layers], states, laid_out


def _backward(
    shape: Shape,
    gradient: Tensor,
    batch: int,
    laid_out: Sequence[tuple[Tensor, Tensor]],
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    need: bool,
) -> tuple[Tensor | None, list[Tensor]]:
    """The gradients of the input, where there is need, and of the weights."""
    blocks, steps, width, lanes = inputs[0].shape
    directions, hidden = shape.directions, shape.hidden
    up = gradient.new_zeros(blocks * lanes, directions, hidden)
    up[:batch] = gradient.view(batch, directions, hidden)
    up = up.view(blocks, lanes, directions, hidden).permute(0, 2, 3, 1).contiguous()
    dw: list[Tensor] = []
    dy = gradient.new_empty(
        blocks, 0, steps, 0, lanes
    )  # (blocks, directions of the layer above, steps, columns, lanes)
    for layer in reversed(range(shape.layers)):
        columns = inputs[layer].shape[2] - 1
        layout = _layout(shape, columns)
        flat, packed = laid_out[layer]
        dx = gradient.new_empty(blocks, directions, steps if layer or need else 0, columns, lanes)
        sums = gradient.new_empty(blocks, directions, layout.length)
        _spread(
            kernels.BACKWARD,
            blocks * directions,
            (shape.cell, hidden, directions, shape.rows, shape.units),
            *(packed, *layout.turned(flat)),
            *(inputs[layer], up, dy, states[layer], dx, sums),
            memory=kernels.memory(kernels.BACKWARD, shape, columns),
        )
        dw = layout.unpacked(sums.numpy().sum(axis=0)) + dw  # NumPy adds in the blocks' order always
        up, dy = up[:0], dx
    if not need:
        return None, dw
    found = gradient.new_empty(batch, steps, width - 1)
    _spread(kernels.UNPACK, blocks, (), dy, found)
    return found, dw


class _Layout:
    """Where the kernels find the weights of a layer and direction, and torch their gradients, as places in flat arrays.

    Args:
        shape: Which net.
        columns: Features of the layer's input, I.
    """

    def __init__(self, shape: Shape, columns: int) -> None:
        size, gates, units = shape.hidden, shape.gates, shape.units
        torchs = len(set(ORDER[shape.mode][0]) - {-1})  # gates
        lengths = torchs * size * columns, torchs * size * size, *[torchs * size] * 3, 1
        w_ih, w_hh, b_ih, b_hh, b_both, zero = np.split(np.arange(sum(lengths)), np.cumsum(lengths)[:-1])
        whole = np.full((gates, units, 1 + columns + units), zero)  # bias, input, state
        scale = np.ones_like(whole, np.float32)
        scale[list(HALVED.get(shape.mode, ()))] = 0.5
        for gate, (i, j) in enumerate(zip(*ORDER[shape.mode], strict=True)):
            whole[gate, :size, 0] = (b_both if i == j else b_ih if j < 0 else b_hh).reshape(-1, size)[max(i, j)]
            if i >= 0:
                whole[gate, :size, 1 : 1 + columns] = w_ih.reshape(-1, size, columns)[i]
            if j >= 0:
                whole[gate, :size, 1 + columns : 1 + columns + size] = w_hh.reshape(-1, size, size)[j]

        def tiled(places: Array) -> Array:
            tiles = places.reshape(gates, -1, kernels.UNITS, places.shape[2]).transpose(1, 3, 0, 2)
            return np.ascontiguousarray(tiles).reshape(tiles.shape[0], tiles.shape[1], -1)

        self.sums, self.scale = torch.from_numpy(tiled(whole)), torch.from_numpy(tiled(scale))
        rows = whole.reshape(shape.rows, -1)
        state = np.full((shape.reading, shape.tiles * kernels.TILE), zero)
        state[:, :units] = rows[shape.rows - shape.reading :, 1 + columns :]
        tiles = state.reshape(shape.reading, shape.tiles, kernels.TILE).transpose(1, 0, 2)
        self.state = torch.from_numpy(np.ascontiguousarray(tiles))
        self.input = torch.from_numpy(np.ascontiguousarray(rows[: shape.reading, 1 : 1 + columns].T))

        self.length = shape.rows * (columns + 1) + shape.reading * units
        inputs, states = np.split(np.arange(self.length), [shape.rows * (columns + 1)])
        inputs = inputs.reshape(gates, units, columns + 1)[:, :size]
        states = states.reshape(-1, units, units)[:, :size, :size]
        xs, hs = ([order.index(gate) for gate in range(torchs)] for order in ORDER[shape.mode])
        skipped = gates - len(states)
        w_ih, b_ih = inputs[xs, :, :columns].reshape(-1, columns), inputs[xs, :, columns].reshape(-1)
        w_hh, b_hh = states[[g - skipped for g in hs]].reshape(-1, size), inputs[hs, :, columns].reshape(-1)
        self.gradients = w_ih, w_hh, b_ih, b_hh

    def packed(self, flat: Tensor) -> Tensor:
        """The weights as the sums read them, (D, tiles, 1 + I + units, gates * UNITS), of flat ones, (D, any)."""
        return flat[:, self.sums] * self.scale

    def turned(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        """The weights as the gradients read them: of the state (D, tiles, rows, TILE), of the input (D, I, rows)."""
        return flat[:, self.state], flat[:, self.input]

    def unpacked(self, dw: Array) -> list[Tensor]:
        """The gradients of torch's four weights, of each direction."""
        return [torch.from_numpy(each.take(places)) for each in dw for places in self.gradients]


_layout = functools.lru_cache(16)(_Layout)


def _spread(which: int, tasks: int, numbers: Sequence[int], *arrays: Tensor, memory: int = 0) -> None:
    """`spread` of PACK, UNPACK, FORWARD or BACKWARD."""
    spread(kernels.worker(which, str(arrays[0].dtype).removeprefix("torch.")), tasks, numbers, *arrays, memory=memory)


def spread(work: Any, tasks: int, numbers: Sequence[int], *arrays: Tensor, memory: int = 0) -> None:
    """Has as many threads as torch uses do a table's tasks, this one among them.

    Args:
        work: What `kernels.compiled` made.
        tasks: How many there are.
        numbers: What the kernel knows besides its arrays.
        *arrays: Contiguous.
        memory: Vectors of working memory for a thread.
    """
    threads = torch.get_num_threads()
    if memory:  # torch's memory begins at a multiple of 64 bytes, NumPy's need not
        arrays += (arrays[0].new_empty(threads, 1, memory * kernels.VECTOR // arrays[0].element_size()),)
    table = np.zeros(kernels.TABLE, np.int64)
    words = [0, 0, tasks, *numbers, *[0] * (kernels.NUMBERS - len(numbers))]
    for array in arrays:
        words += (array.data_ptr(), *array.shape)
    table[: len(words)] = words
    if threads == 1 or tasks == 1:
        work.ctypes(table.ctypes.data)
    elif os.getpid() == FIRST and (team := _team()):
        team(work.address, table.ctypes.data, threads, 0)
    else:
        futures = [
            _pool(os.getpid(), threads).submit(work.ctypes, table.ctypes.data) for _ in range(min(threads, tasks) - 1)
        ]
        try:
            work.ctypes(table.ctypes.data)
        finally:  # nobody may write into memory that is given back
            wait(futures)


@functools.cache
def _team() -> Any:
    """What has torch's own threads call a function, where torch brings GNU's OpenMP (Linux).

    Between two calls they look for work in a loop, for milliseconds: threads beside them would share their cores.
    """
    for file in (Path(torch.__file__).parent / "lib").glob("libgomp*"):
        with contextlib.suppress(OSError, AttributeError):
            team = ctypes.CDLL(str(file), mode=os.RTLD_NOW | os.RTLD_NOLOAD).GOMP_parallel
            team.argtypes, team.restype = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint), None
            return team
    return None


@functools.cache
def _pool(_process: int, threads: int) -> ThreadPoolExecutor:  # a forked process has none of its parent's threads
    return ThreadPoolExecutor(threads - 1, "recurrent")
