"""Recurrent layers on CUDA tensors: torch's tensors and autograd around Triton's kernels in `hybridnets.kernels.gpu.cells`."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor
from torch.autograd.function import once_differentiable

from hybridnets.kernels.gpu.cells import CELLS, GATES, backward_kernel, forward_kernel

__all__ = ["LARGEST", "final", "probe", "shape_of"]

LARGEST = 64  # units whose weights fit into the registers of a multiprocessor
WARP_BYTES = 16384  # of weights that a warp holds: half of its registers
PROBE = 0.6946351, 0.0483439  # output and first gradient of an LSTM whose weights and two inputs are all 0.5
INTERPRETED = triton.knobs.runtime.interpret


class Shape(NamedTuple):
    """The shape of a net: torch's mode (RNN_TANH, RNN_RELU, LSTM or GRU), units a layer and direction, layers, directions."""

    mode: str
    hidden: int
    layers: int
    directions: int


def shape_of(mode: str, hidden_size: int, num_layers: int, bidirectional: bool) -> Shape:
    """The shape of a net, from torch's arguments.

    Raises:
        ValueError: If it has more than `LARGEST` units.
    """
    if hidden_size > LARGEST:
        raise ValueError(f"backend=fused takes {LARGEST} units at most on a GPU, got {hidden_size}: use backend=auto")
    return Shape(mode, hidden_size, num_layers, 2 if bidirectional else 1)


def final(x: Tensor, weights: Sequence[Tensor], shape: Shape) -> Tensor:
    """The final output of a sequence, (B, T, I) to (B, D * H).

    Args:
        x: Input, of the weights' dtype, float32 or float64, on their GPU; neither B nor T is 0.
        weights: weight_ih, weight_hh, bias_ih and bias_hh of each direction of each layer, in torch's order.
        shape: The net's.
    """
    if not (x.is_cuda or INTERPRETED):
        raise ValueError(f"a sequence must be on a CUDA GPU, got one on {x.device}")
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *weights)):
        return _Final.apply(shape, x, *weights)  # type: ignore[no-any-return, no-untyped-call]
    return _forward(shape, x, weights, keep=False)[0]


class _Final(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, shape: Shape, x: Tensor, *weights: Tensor) -> Tensor:
        output, kept = _forward(shape, x, weights, keep=True)
        ctx.shape, ctx.batch = shape, len(x)
        ctx.save_for_backward(*kept, *weights)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        count = 4 * ctx.shape.layers * ctx.shape.directions
        kept, weights = ctx.saved_tensors[:-count], ctx.saved_tensors[-count:]
        dx, dw = _backward(ctx.shape, gradient, ctx.batch, kept, weights, ctx.needs_input_grad[1])
        return None, dx, *dw


def probe() -> None:
    """Compiles the kernels, or loads them from the cache, and computes a net of one unit with gradients.

    Raises:
        RuntimeError: If the result is wrong.
    """
    device = "cpu" if INTERPRETED else "cuda"
    with torch.inference_mode(False), torch.enable_grad():  # the first caller may be under no_grad
        sizes = (1, 2, 1), (4, 1), (4, 1), (4,), (4,)
        x, *weights = (torch.full(size, 0.5, device=device, dtype=torch.float32).requires_grad_() for size in sizes)
        output = final(x, weights, shape_of("LSTM", 1, 1, False))
        (gradient,) = torch.autograd.grad(output, x, torch.ones_like(output))
    result = output.item(), gradient[0, 0, 0].item()
    if max(abs(a - b) for a, b in zip(result, PROBE, strict=True)) > 1e-4:  # torch may multiply in TF32
        raise RuntimeError(f"an LSTM of one unit gave {result}, not {PROBE}")


def _layer(shape: Shape, weights: Sequence[Tensor], layer: int) -> tuple[tuple[Tensor, ...], ...]:
    """weight_ih, weight_hh, bias_ih and bias_hh of a layer, of each direction."""
    count = 4 * shape.directions
    layer_weights = weights[layer * count : (layer + 1) * count]
    return tuple(tuple(layer_weights[kind::4]) for kind in range(4))


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat(tuple(tensors)) if len(tensors) > 1 else tensors[0]


def _settings(shape: Shape, x: Tensor) -> dict[str, Any]:
    """Constants and launch options of both kernels for a net."""
    units = max(16, triton.next_power_of_2(shape.hidden))
    size = (1 if GATES[shape.mode] == 1 else 4) * units * units * x.element_size()
    return {
        "CELL": CELLS[shape.mode],
        "GATES": GATES[shape.mode],
        "H": shape.hidden,
        "UNITS": units,
        "FAST": x.dtype == torch.float32 and not INTERPRETED,
        "num_warps": max(1, size // WARP_BYTES),
        "maxnreg": 255,  # by default ptxas stops at 168, and loads one state after another
        "enable_fp_fusion": True,  # the default until Triton 3.9
    }


def _forward(shape: Shape, x: Tensor, weights: Sequence[Tensor], keep: bool) -> tuple[Tensor, list[Tensor]]:
    """The final output and, with `keep`, each layer's input, gates, cells and states, as far as its cell has them."""
    batch, steps, _ = x.shape
    width = shape.directions * shape.hidden
    settings, kept = _settings(shape, x), []
    with torch.cuda.device_of(x), torch.autocast(x.device.type, enabled=False):  # type: ignore[no-untyped-call]
        last = x.new_empty(batch, width)
        inputs = torch.nn.functional.pad(x, (0, 0, 0, 1)).flatten(0, 1)
        for layer in range(shape.layers):
            w_ih, w_hh, b_ih, b_hh = _layer(shape, weights, layer)
            gates = torch.addmm(_joined(b_ih), inputs, _joined(w_ih).t())
            states = x.new_empty(len(gates) if keep or layer < shape.layers - 1 else 0, width)
            extra = x.new_empty(len(gates) if keep and settings["GATES"] > 1 else 0, width)
            forward_kernel[(batch, shape.directions)](
                *(gates, torch.stack([w.t() for w in w_hh]), _joined(b_hh), states, extra, last, steps),
                KEEP=keep,
                STATES=len(states) > 0,
                **settings,
            )
            if keep:
                kept += [inputs, gates[:0] if settings["GATES"] == 1 else gates, extra, states]
            inputs = states
    return last, kept


def _backward(
    shape: Shape, gradient: Tensor, batch: int, kept: Sequence[Tensor], weights: Sequence[Tensor], needs_input: bool
) -> tuple[Tensor | None, list[Tensor]]:
    """The gradients of the input, where needed, and of the weights."""
    hidden, directions, gru = shape.hidden, shape.directions, shape.mode == "GRU"
    settings = _settings(shape, gradient)
    gate_rows = settings["GATES"] * hidden
    dw: list[Tensor] = []
    with torch.cuda.device_of(gradient), torch.autocast(gradient.device.type, enabled=False):  # type: ignore[no-untyped-call]
        last, dy = gradient.contiguous(), gradient.new_empty(0)
        for layer in reversed(range(shape.layers)):
            inputs, gates, extra, states = kept[4 * layer : 4 * layer + 4]
            w_ih, w_hh, _, _ = _layer(shape, weights, layer)
            rows = len(states)
            dz = states.new_empty(rows, directions, gate_rows)
            reset_products = states.new_empty(rows if gru else 0, directions, hidden)  # gradients
            backward_kernel[(batch, directions)](
                *(gates, torch.stack(w_hh), states, extra, dy, last, dz, reset_products, rows // batch - 1),
                ABOVE=layer < shape.layers - 1,
                **settings,
            )
            w_gradients, biases = dz.flatten(1).t() @ inputs, dz.flatten(1).sum(0)
            layer_dw: list[Tensor] = []
            for d in range(directions):
                # Pairs each step with the state before it: in the row before, or after; a row of zeros meets no state.
                now, before = (slice(1, None), slice(-1)) if d == 0 else (slice(-1), slice(1, None))
                h = states.view(rows, directions, hidden)[before, d]
                b_ih = b_hh = biases[d * gate_rows : (d + 1) * gate_rows]
                if gru:
                    parts = [dz[now, d, : 2 * hidden].t() @ h, reset_products[now, d].t() @ h]
                    b_hh = torch.cat([b_ih[: 2 * hidden], reset_products[:, d].sum(0)])
                else:
                    parts = [dz[now, d].t() @ h]
                layer_dw += [w_gradients[d * gate_rows : (d + 1) * gate_rows], _joined(parts), b_ih, b_hh]
            dw = layer_dw + dw
            if layer or needs_input:
                dy = dz.flatten(1) @ _joined(w_ih)
            last = torch.zeros_like(last)
    return (dy.view(batch, -1, dy.shape[1])[:, :-1] if needs_input else None), dw
