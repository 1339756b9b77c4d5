"""Recurrent layers on CPU tensors: torch's tensors and autograd around the kernels of `hybridnets.kernels.cpu.walks`."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hybridnets.kernels.cpu.threads import run_tasks
from hybridnets.kernels.cpu.vectors import VECTOR_BYTES
from hybridnets.kernels.cpu.walks import CHUNK, kernel
from hybridnets.kernels.cpu.weights import Shape, layout_of

__all__ = ["final", "probe", "shape_of"]

PROBE = 0.6946351, 0.0483439  # output and first gradient of an LSTM whose weights and two inputs are all 0.5

shape_of = functools.cache(Shape)


def final(x: Tensor, weights: Sequence[Tensor], shape: Shape) -> Tensor:
    """The final output of a sequence, (B, T, I) to (B, D * H).

    Args:
        x: Input, of the weights' dtype, float32 or float64; neither B nor T is 0.
        weights: weight_ih, weight_hh, bias_ih and bias_hh of each direction of each layer, in torch's order.
        shape: The net's.
    """
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *weights)):
        return _Final.apply(shape, x, *weights)  # type: ignore[no-any-return]
    return _forward(shape, x, weights, history=False)[0]


def probe() -> None:
    """Compiles the kernels, or loads them from the cache, and computes a net of one unit with gradients.

    Raises:
        RuntimeError: If the result is wrong.
    """
    with torch.inference_mode(False), torch.enable_grad():  # the first caller may be under no_grad
        sizes = (1, 2, 1), (4, 1), (4, 1), (4,), (4,)
        x, *weights = (torch.full(size, 0.5, device="cpu", dtype=torch.float32).requires_grad_() for size in sizes)
        output = final(x, weights, shape_of("LSTM", 1, 1, False))
        (gradient,) = torch.autograd.grad(output, x, torch.ones_like(output))
    result = output.item(), gradient[0, 0, 0].item()
    if not np.allclose(result, PROBE, rtol=0, atol=1e-6):
        raise RuntimeError(f"an LSTM of one unit gave {result}, not {PROBE}")


class _Final(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, shape: Shape, x: Tensor, *weights: Tensor) -> Tensor:
        output, inputs, states, ctx.layer_weights = _forward(shape, x, weights, history=True)
        ctx.shape, ctx.batch = shape, len(x)
        ctx.save_for_backward(*inputs, *states, *weights)  # with the weights, so that autograd notices if they change
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        saved, layers = ctx.saved_tensors, ctx.shape.layers
        inputs, states = saved[:layers], saved[layers : 2 * layers]
        dx, dw = _backward(ctx.shape, gradient, ctx.batch, ctx.layer_weights, inputs, states, ctx.needs_input_grad[1])
        return None, dx, *dw


def _forward(
    shape: Shape, x: Tensor, weights: Sequence[Tensor], history: bool
) -> tuple[Tensor, list[Tensor], list[Tensor], list[tuple[Tensor, Tensor]]]:
    """The final output; with history also each layer's input, saved states, and weights, flat and packed."""
    batch, steps, columns = x.shape
    lanes, dtype = VECTOR_BYTES // x.element_size(), str(x.dtype)
    blocks, directions, hidden = -(-batch // lanes), shape.directions, shape.hidden
    sequence = x.new_empty(blocks, steps, columns + 1, lanes)
    run_tasks(kernel("pack", dtype), blocks, x=x.detach().contiguous(), out=sequence)
    last = x.new_empty(blocks, directions, hidden, lanes)
    inputs, states, layer_weights = [sequence], [], []
    chunks = -(-steps // CHUNK) if history else 0
    for layer in range(shape.layers):
        columns = inputs[-1].shape[2] - 1
        # The input of the next layer, whose last column is one; nothing reads the last layer's outputs before the end.
        outputs = x.new_empty(blocks, 0 if layer == shape.layers - 1 else steps, directions * hidden + 1, lanes)
        if len(outputs[0]):
            outputs[:, :, -1] = 1
        states.append(x.new_empty(directions, blocks, chunks, shape.saved, lanes))
        flat, layout = shape.flat_weights(weights, layer), layout_of(shape, columns)
        layer_weights.append((flat, layout.packed(flat)))
        run_tasks(
            kernel("forward", dtype),
            blocks * directions,
            layout.forward_memory,
            cell=shape.cell.number,
            hidden=hidden,
            directions=directions,
            w=layer_weights[-1][1],
            x=inputs[-1],
            y=outputs,
            states=states[-1],
            last=last,
        )
        if not history:
            inputs, states = [], []
        inputs.append(outputs)
    output = last.permute(0, 3, 1, 2).reshape(blocks * lanes, directions * hidden)[:batch]
    return output, inputs[: shape.layers], states, layer_weights


def _backward(
    shape: Shape,
    gradient: Tensor,
    batch: int,
    layer_weights: Sequence[tuple[Tensor, Tensor]],
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    needs_input: bool,
) -> tuple[Tensor | None, list[Tensor]]:
    """The gradients of the input, where needed, and of the weights."""
    blocks, steps, width, lanes = inputs[0].shape
    directions, hidden, dtype = shape.directions, shape.hidden, str(gradient.dtype)
    up = gradient.new_zeros(blocks * lanes, directions, hidden)
    up[:batch] = gradient.view(batch, directions, hidden)
    up = up.view(blocks, lanes, directions, hidden).permute(0, 2, 3, 1).contiguous()
    dw: list[Tensor] = []
    dy = gradient.new_empty(
        blocks, 0, steps, 0, lanes
    )  # (blocks, directions of the layer above, steps, columns, lanes)
    for layer in reversed(range(shape.layers)):
        columns = inputs[layer].shape[2] - 1
        layout = layout_of(shape, columns)
        flat, packed = layer_weights[layer]
        w_state, w_input = layout.transposed(flat)
        dx = gradient.new_empty(blocks, directions, steps if layer or needs_input else 0, columns, lanes)
        sums = gradient.new_empty(blocks, directions, layout.length)
        run_tasks(
            kernel("backward", dtype),
            blocks * directions,
            layout.backward_memory,
            cell=shape.cell.number,
            hidden=hidden,
            directions=directions,
            w=packed,
            w_state=w_state,
            w_input=w_input,
            x=inputs[layer],
            up=up,
            dy=dy,
            states=states[layer],
            dx=dx,
            dw=sums,
        )
        dw = layout.unpacked(sums.numpy().sum(axis=0)) + dw  # NumPy adds in the order of the blocks
        up, dy = up[:0], dx
    if not needs_input:
        return None, dw
    dx = gradient.new_empty(batch, steps, width - 1)
    run_tasks(kernel("unpack", dtype), blocks, dx=dy, out=dx)
    return dx, dw
