"""Recurrent layers on CPU tensors by `hybridnets.rnn.kernels`: what torch's weights are to them, threads, autograd."""

import functools
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from hybridnets.rnn import kernels

__all__ = ["Shape", "final", "probe"]

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

    def part(self, direction: int) -> slice:
        """The features of a direction in an output."""
        return slice(direction * self.hidden, (direction + 1) * self.hidden)

    def weights(self, all_weights: Sequence[Tensor], layer: int) -> list[list[Array]]:
        """A layer's weights, by direction."""
        first = 4 * layer * self.directions
        return [
            [weight.detach().numpy() for weight in all_weights[first + 4 * d : first + 4 * d + 4]]
            for d in range(self.directions)
        ]


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
        output, inputs, states = _forward(shape, x, weights, history=True)
        ctx.shape, ctx.batch = shape, len(x)
        ctx.save_for_backward(*weights, *inputs, *states)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        saved, layers = ctx.saved_tensors, ctx.shape.layers
        weights, inputs, states = saved[: -2 * layers], saved[-2 * layers : -layers], saved[-layers:]
        dx, dw = _backward(ctx.shape, gradient, ctx.batch, weights, inputs, states, ctx.needs_input_grad[1])
        return None, dx, *dw


def probe() -> None:
    """Compiles, or loads what was compiled before, and computes a net of one unit with gradients.

    Raises:
        RuntimeError: If the result is wrong.
    """
    with torch.inference_mode(False), torch.enable_grad():  # whoever computes first may want no gradients
        x, *weights = (torch.full(size, 0.5).requires_grad_() for size in ((1, 2, 1), (4, 1), (4, 1), (4,), (4,)))
        result = final(x, weights, Shape("LSTM", 1, 1, False))
        (gradient,) = torch.autograd.grad(result, x, torch.ones(1, 1))
    found = result.item(), gradient[0, 0, 0].item()
    if not np.allclose(found, PROBE, rtol=0, atol=1e-6):
        raise RuntimeError(f"an LSTM of one unit gave {found}, not {PROBE}")


def _forward(
    shape: Shape, x: Tensor, weights: Sequence[Tensor], history: bool
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The final output; with history also each layer's input and saved states."""
    batch, steps, columns = x.shape
    lanes = kernels.VECTOR // x.element_size()
    blocks = -(-batch // lanes)
    empty = functools.partial(torch.empty, dtype=x.dtype)
    source, sequence = x.detach().contiguous().numpy(), empty(blocks, steps, columns + 1, lanes)
    packed = sequence.numpy()
    _spread(lambda _, block: kernels.pack(source, block, packed[block]), [(block,) for block in range(blocks)])
    output = empty(batch, shape.directions * shape.hidden)
    result = output.numpy()
    inputs, states = [sequence], []
    for layer in range(shape.layers):
        last = layer == shape.layers - 1
        # The input of the next layer, its last column one; nobody reads what the last layer says before the end.
        following = empty(blocks, 0 if last else steps, shape.directions * shape.hidden + 1, lanes)
        following[:, :, -1] = 1
        chunks = -(-steps // kernels.CHUNK) if history else 0
        states.append(empty(shape.directions, blocks, chunks, shape.stored, lanes))
        run = functools.partial(
            _forward_block,
            shape,
            [_packed(shape, *weight) for weight in shape.weights(weights, layer)],
            inputs[-1].numpy(),
            following.numpy(),
            states[-1].numpy(),
            result if last else None,
        )
        sizes = (1, shape.rows + 1), (2, shape.units + 1), (2, shape.units), (1, shape.units)
        memory = functools.partial(_scratch, x.dtype, lanes, sizes)
        _spread(run, [(block, d) for block in range(blocks) for d in range(shape.directions)], memory)
        if not history:
            inputs, states = [], []
        if not last:
            inputs.append(following)
    return output, inputs, states


def _forward_block(
    shape: Shape,
    w: list[Array],
    x: Array,
    y: Array,
    states: Array,
    result: Array | None,
    memory: list[Array],
    block: int,
    d: int,
) -> None:
    """One direction of one block of a layer."""
    lanes = x.shape[-1]
    z, h, c, tc = memory
    kernels.forward(
        shape.cell, d == 1, shape.hidden, w[d], x[block], y[block], d * shape.hidden, states[d, block], z, h, c, tc
    )
    if result is not None:
        rows = result[block * lanes : (block + 1) * lanes, shape.part(d)]
        rows[:] = h[0, : shape.hidden, : len(rows)].T


def _backward(
    shape: Shape,
    gradient: Tensor,
    batch: int,
    weights: Sequence[Tensor],
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    need: bool,
) -> tuple[Tensor | None, list[Tensor]]:
    """The gradients of the input, where there is need, and of the weights."""
    blocks, steps, width, lanes = inputs[0].shape
    empty = functools.partial(torch.empty, dtype=gradient.dtype)
    dw: list[Tensor] = []
    dy = empty(blocks, 0, steps, 0, lanes)  # (blocks, directions of the layer above, steps, columns, lanes)
    for layer in reversed(range(shape.layers)):
        columns = inputs[layer].shape[2] - 1
        dx = empty(blocks, shape.directions, steps if layer or need else 0, columns, lanes)
        sums = empty(blocks, shape.directions, shape.rows * (columns + 1) + shape.reading * shape.units).numpy()
        given = shape.weights(weights, layer)
        run = functools.partial(
            _backward_block,
            shape,
            [_packed(shape, *weight) for weight in given],
            [_turned(shape, *weight) for weight in given],
            inputs[layer].numpy(),
            states[layer].numpy(),
            gradient.numpy() if layer == shape.layers - 1 else None,
            dy.numpy(),
            dx.numpy(),
            sums,
        )
        sizes = (
            (kernels.CHUNK, shape.rows + 1),
            (kernels.CHUNK + 1, shape.units + 1),
            (kernels.CHUNK + 1, shape.units),
            (kernels.CHUNK, shape.units),
            (1, shape.tiles * kernels.TILE),
            (1, shape.units),
            (shape.rows, columns + 1),
            (shape.reading, shape.units),
        )
        memory = functools.partial(_scratch, gradient.dtype, lanes, sizes)
        _spread(run, [(block, d) for block in range(blocks) for d in range(shape.directions)], memory)
        total = sums.sum(axis=0)  # always in the blocks' order
        dw = [part for d in range(shape.directions) for part in _unpacked(shape, total[d], columns)] + dw
        dy = dx
    if not need:
        return None, dw
    found, ended = empty(batch, steps, width - 1), dy.numpy()
    result = found.numpy()
    _spread(lambda _, block: kernels.unpack(ended[block], block, result), [(block,) for block in range(blocks)])
    return found, dw


def _backward_block(
    shape: Shape,
    w: list[Array],
    turned: list[tuple[Array, Array]],
    x: Array,
    states: Array,
    gradient: Array | None,
    dy: Array,
    dx: Array,
    sums: Array,
    memory: list[Array],
    block: int,
    d: int,
) -> None:
    """One direction of one block of a layer."""
    lanes = x.shape[-1]
    z, h, c, tc, dh, dc, a, b = memory
    dh[:] = 0
    if gradient is not None:
        rows = gradient[block * lanes : (block + 1) * lanes, shape.part(d)]
        dh[0, : shape.hidden, : len(rows)] = rows.T
    kernels.backward(
        *(shape.cell, d == 1, shape.hidden, w[d], *turned[d], x[block], dy[block], d * shape.hidden),
        *(states[d, block], dx[block, d], sums[block, d], z, h, c, tc, dh, dc, a, b),
    )


def _scratch(dtype: torch.dtype, lanes: int, sizes: Sequence[tuple[int, int]]) -> list[Array]:
    """Working memory of a thread; torch's begins at a multiple of 64 bytes, NumPy's need not."""
    return [torch.empty(*size, lanes, dtype=dtype).numpy() for size in sizes]


def _whole(shape: Shape, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array) -> Array:
    """The weights in the kernels' order, (gates, units, 1 + I + units): bias, input, state."""
    size, columns = shape.hidden, w_ih.shape[1]
    whole = np.zeros((shape.gates, shape.units, 1 + columns + shape.units), w_ih.dtype)
    for gate, (i, j) in enumerate(zip(*ORDER[shape.mode], strict=True)):
        if i >= 0:
            whole[gate, :size, 0] = b_ih[i * size : (i + 1) * size]
            whole[gate, :size, 1 : 1 + columns] = w_ih[i * size : (i + 1) * size]
        if j >= 0:
            whole[gate, :size, 0] += b_hh[j * size : (j + 1) * size]
            whole[gate, :size, 1 + columns : 1 + columns + size] = w_hh[j * size : (j + 1) * size]
    return whole


def _packed(shape: Shape, *weights: Array) -> Array:
    """The weights as the sums read them, (tiles, 1 + I + units, gates * UNITS)."""
    whole = _whole(shape, *weights)
    for gate in HALVED.get(shape.mode, ()):
        whole[gate] *= 0.5
    tiles = whole.reshape(shape.gates, -1, kernels.UNITS, whole.shape[2]).transpose(1, 3, 0, 2)
    return np.ascontiguousarray(tiles).reshape(tiles.shape[0], tiles.shape[1], -1)


def _turned(shape: Shape, *weights: Array) -> tuple[Array, Array]:
    """The weights as the gradients read them: of the state (tiles, rows, TILE), of the input (I, rows)."""
    columns = weights[0].shape[1]
    whole = _whole(shape, *weights).reshape(shape.rows, -1)
    state = np.zeros((shape.reading, shape.tiles * kernels.TILE), whole.dtype)
    state[:, : shape.units] = whole[shape.rows - shape.reading :, 1 + columns :]
    tiles = state.reshape(shape.reading, shape.tiles, kernels.TILE).transpose(1, 0, 2)
    return np.ascontiguousarray(tiles), np.ascontiguousarray(whole[: shape.reading, 1 : 1 + columns].T)


def _unpacked(shape: Shape, dw: Array, columns: int) -> list[Tensor]:
    """The gradients of torch's four weights."""
    size = shape.hidden
    inputs, states = np.split(dw, [shape.rows * (columns + 1)])
    inputs = inputs.reshape(shape.gates, shape.units, columns + 1)[:, :size]
    states = states.reshape(-1, shape.units, shape.units)[:, :size, :size]
    skipped = shape.gates - len(states)
    xs, hs = ([order.index(gate) for gate in range(len(order)) if gate in order] for order in ORDER[shape.mode])
    w_ih, b_ih = inputs[xs, :, :columns].reshape(-1, columns), inputs[xs, :, columns].reshape(-1)
    w_hh, b_hh = states[[g - skipped for g in hs]].reshape(-1, size), inputs[hs, :, columns].reshape(-1)
    return [torch.from_numpy(part) for part in (w_ih, w_hh, b_ih, b_hh)]


def _spread(
    run: Callable[..., None], tasks: Sequence[tuple[int, ...]], memory: Callable[[], list[Array]] = list
) -> None:
    """Runs tasks on as many threads as torch uses, this one among them, each thread with memory of its own."""
    left = deque(tasks)
    helpers = min(torch.get_num_threads(), len(left)) - 1
    futures = [_pool(os.getpid(), helpers).submit(_work, run, left, memory) for _ in range(helpers)]
    try:
        _work(run, left, memory)
    finally:  # nobody may write into memory that is given back
        left.clear()
        wait(futures)
    for future in futures:
        future.result()


def _work(run: Callable[..., None], left: deque[tuple[int, ...]], memory: Callable[[], list[Array]]) -> None:
    # Gradients that fade become denormal numbers, on which x86 is slow. Whether they become zero is each thread's own setting.
    setting = kernels.flush()
    try:
        own = memory()
        while True:
            try:
                task = left.popleft()
            except IndexError:
                return
            run(own, *task)
    finally:
        kernels.restore(setting)


@functools.cache
def _pool(_process: int, threads: int) -> ThreadPoolExecutor:  # a forked process has none of its parent's threads
    return ThreadPoolExecutor(threads, "recurrent")
