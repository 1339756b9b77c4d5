"""Recurrent layers on CUDA tensors by Triton: the recurrent weights stay in registers while a kernel walks the sequence.

A layer is one matrix product for the inputs of all its steps, then one kernel. Each step waits for the one before, and a batch
is small beside a GPU: nothing counts but the time from one state to the next. So a program is one warp for one row and
direction. A lane is a unit, and its registers hold the weights that lead there (below 32 units every second one; the other
half is another lane's), so that a step's sums need no other warp; the states change places in shared memory. More warps a row
would do less each, but wait for each other more than once a step. A tile of rows for `tl.dot` would take more instructions a
step, on fewer multiprocessors. Above 32 units, or in float64, the weights need the registers of several warps all the same.

An array's row is one step of one sequence, and after each sequence comes a row of zeros: (B * (T + 1), any). The state before
the first step of either direction is then such a row, and the products over all steps that give the weights' gradients need no
copies. Units beyond the real ones have weights of zero, under which a state stays zero.

The forward pass keeps states, gates and, of an LSTM, cells or, of a GRU, what its reset gate multiplies: 6 and 5 numbers a
unit and step, of an RNN 1. Every sum has one order, so that two runs are equal bit for bit.
"""

# ruff: noqa: N803, RET505, SIM108 (Triton's constants are upper case, and it compiles the branch that they choose)
# mypy: allow-untyped-defs, allow-untyped-decorators, allow-untyped-calls, allow-incomplete-defs

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["LARGEST", "final", "probe", "shape_of"]

LARGEST = 64  # units whose weights fit into the registers of a multiprocessor
WARP = 16384  # bytes of weights a warp holds: half of its registers
PROBE = 0.6946351, 0.0483439  # output and first gradient of an LSTM whose weights and two inputs are all 0.5
GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "GRU": 3, "LSTM": 4}
CELLS = {"RNN_TANH": 0, "RNN_RELU": 1, "GRU": 2, "LSTM": 3}
RNN_TANH, RNN_RELU, GRU, LSTM = (tl.constexpr(cell) for cell in CELLS.values())
KEEP_NAN = tl.constexpr(tl.PropagateNan.ALL)
INTERPRETED = triton.knobs.runtime.interpret


class Shape(NamedTuple):
    """What a net is: torch's mode (RNN_TANH, RNN_RELU, LSTM or GRU), units a layer and direction, layers, directions."""

    mode: str
    hidden: int
    layers: int
    directions: int


def shape_of(mode: str, hidden_size: int, num_layers: int, bidirectional: bool) -> Shape:
    """What a net is, in torch's words.

    Raises:
        ValueError: If it has more than `LARGEST` units.
    """
    if hidden_size > LARGEST:
        raise ValueError(f"backend=fused takes {LARGEST} units at most on a GPU, got {hidden_size}: take backend=auto")
    return Shape(mode, hidden_size, num_layers, 2 if bidirectional else 1)


# A kernel's FAST: float32 on a GPU, where two instructions may stand without the care that a compiler adds for numbers that are
# never met here (a divisor is from .004 to 1, or at least 1; a tiny exponential beside 1 is nothing).


@triton.jit
def _one_over(x, FAST: tl.constexpr):
    if FAST:
        return tl.inline_asm_elementwise("rcp.approx.ftz.f32 $0, $1;", "=f,f", [x], tl.float32, True, 1)
    else:
        return 1.0 / x


@triton.jit
def _sigmoid(x, FAST: tl.constexpr):
    x = x * -1.4426950408889634
    if FAST:
        e = tl.inline_asm_elementwise("ex2.approx.ftz.f32 $0, $1;", "=f,f", [x], tl.float32, True, 1)
    else:
        e = tl.exp2(x)
    return _one_over(1.0 + e, FAST)


@triton.jit
def _tanh(x, FAST: tl.constexpr):
    # In float32 the approximation of `hybridnets.rnn.kernels`: as fast as by an exponential, and exact for small numbers too.
    if x.dtype == tl.float64:
        e = tl.exp(-2.0 * tl.abs(x))
        y = (1.0 - e) / (1.0 + e)
        return tl.where(x < 0.0, -y, y)
    else:
        x = tl.clamp(x, -7.90531110763549805, 7.90531110763549805, KEEP_NAN)
        s = x * x
        top = s * -2.76076847742355e-16 + 2.00018790482477e-13
        top = top * s + -8.60467152213735e-11
        top = top * s + 5.12229709037114e-08
        top = top * s + 1.48572235717979e-05
        top = top * s + 6.37261928875436e-04
        top = top * s + 4.89352455891786e-03
        bottom = s * 1.19825839466702e-06 + 1.18534705686654e-04
        bottom = bottom * s + 2.26843463243900e-03
        bottom = bottom * s + 4.89352518554385e-03
        return x * top * _one_over(bottom, FAST)


@triton.jit
def _read(p, mask, hop: tl.constexpr, GATES: tl.constexpr):
    # A number of each gate; a cell's missing gates repeat its first, and nobody reads them.
    a = tl.load(p, mask=mask, other=0.0)
    b, c, d = a, a, a
    if GATES > 1:
        b = tl.load(p + hop, mask=mask, other=0.0)
        c = tl.load(p + 2 * hop, mask=mask, other=0.0)
    if GATES > 3:
        d = tl.load(p + 3 * hop, mask=mask, other=0.0)
    return a, b, c, d


@triton.jit
def _step(
    x,
    w,
    bias,
    h,
    c,
    zs,
    es,
    hs,
    real,
    CELL: tl.constexpr,
    H: tl.constexpr,
    KEEP: tl.constexpr,
    STATES: tl.constexpr,
    FAST: tl.constexpr,
):
    before = h[:, None]
    total = x[0] + bias[0] + tl.sum(w[0] * before, axis=0)
    if CELL == LSTM:
        i = _sigmoid(total, FAST)
        f = _sigmoid(x[1] + bias[1] + tl.sum(w[1] * before, axis=0), FAST)
        g = _tanh(x[2] + bias[2] + tl.sum(w[2] * before, axis=0), FAST)
        o = _sigmoid(x[3] + bias[3] + tl.sum(w[3] * before, axis=0), FAST)
        c = f * c + i * g
        h = o * _tanh(c, FAST)
        if KEEP:
            tl.store(zs, i, mask=real)
            tl.store(zs + H, f, mask=real)
            tl.store(zs + 2 * H, g, mask=real)
            tl.store(zs + 3 * H, o, mask=real)
            tl.store(es, c, mask=real)
    elif CELL == GRU:
        r = _sigmoid(total, FAST)
        z = _sigmoid(x[1] + bias[1] + tl.sum(w[1] * before, axis=0), FAST)
        m = bias[2] + tl.sum(w[2] * before, axis=0)
        n = _tanh(x[2] + r * m, FAST)
        h = n + z * (h - n)
        if KEEP:
            tl.store(zs, r, mask=real)
            tl.store(zs + H, z, mask=real)
            tl.store(zs + 2 * H, n, mask=real)
            tl.store(es, m, mask=real)
    elif CELL == RNN_TANH:
        h = _tanh(total, FAST)
    else:
        h = tl.maximum(total, 0.0, KEEP_NAN)
    if STATES:
        tl.store(hs, h, mask=real)
    return h, c


@triton.jit(do_not_specialize=["steps"], do_not_specialize_on_alignment=["w_ptr"])
def _forward(
    z_ptr,
    w_ptr,
    bias_ptr,
    h_ptr,
    e_ptr,
    last_ptr,
    steps,
    CELL: tl.constexpr,
    GATES: tl.constexpr,
    H: tl.constexpr,
    UNITS: tl.constexpr,
    KEEP: tl.constexpr,
    STATES: tl.constexpr,
    FAST: tl.constexpr,
):
    row, d, directions = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.num_programs(1)
    u = tl.arange(0, UNITS)
    real = u < H
    both = real[:, None] & real[None, :]
    # Weights lie (from, gate, to): the last, contiguous and not known to be aligned, becomes the lanes, one unit each.
    w = _read(w_ptr + d * (GATES * H * H) + u[:, None] * (GATES * H) + u[None, :], both, H, GATES)
    bias = _read(bias_ptr + d * (GATES * H) + u, real, H, GATES)
    h = tl.zeros([UNITS], bias[0].dtype)
    c = h
    if STATES:
        tl.store(h_ptr + ((row * (steps + 1) + steps) * directions + d) * H + u, h, mask=real)
    at = (row * (steps + 1) + d * (steps - 1)) * directions + d
    hop = directions * (1 - 2 * d)
    z_hop, h_hop = hop * (GATES * H), hop * H
    zs, es, hs = z_ptr + at * (GATES * H) + u, e_ptr + at * H + u, h_ptr + at * H + u
    # Two steps at a time, while the numbers for the next two are on their way: memory answers more slowly than a step takes.
    left = steps
    x = _read(zs, real, H, GATES)
    y = _read(zs + z_hop, tl.where(left - 1 > 0, real, False), H, GATES)
    if left % 2 == 1:
        h, c = _step(x, w, bias, h, c, zs, es, hs, real, CELL, H, KEEP, STATES, FAST)
        left -= 1
        zs, es, hs = zs + z_hop, es + h_hop, hs + h_hop
        x, y = y, _read(zs + z_hop, tl.where(left > 0, real, False), H, GATES)
    while left > 0:
        left -= 2
        next_x = _read(zs + 2 * z_hop, tl.where(left > 0, real, False), H, GATES)
        next_y = _read(zs + 3 * z_hop, tl.where(left > 0, real, False), H, GATES)
        h, c = _step(x, w, bias, h, c, zs, es, hs, real, CELL, H, KEEP, STATES, FAST)
        h, c = _step(y, w, bias, h, c, zs + z_hop, es + h_hop, hs + h_hop, real, CELL, H, KEEP, STATES, FAST)
        zs, es, hs = zs + 2 * z_hop, es + 2 * h_hop, hs + 2 * h_hop
        x, y = next_x, next_y
    tl.store(last_ptr + (row * directions + d) * H + u, h, mask=real)


@triton.jit
def _recall(
    zs, es, hs, ys, real, left, hop, CELL: tl.constexpr, H: tl.constexpr, GATES: tl.constexpr, ABOVE: tl.constexpr
):
    # What a step left: gates; an LSTM's cell before it, a GRU's product for its reset gate; the state before it, an RNN's after
    # it; the gradient from the layer above.
    mask, earlier = tl.where(left > 0, real, False), tl.where(left - 1 > 0, real, False)
    if CELL >= GRU:
        gates = _read(zs, mask, H, GATES)
    else:
        a = tl.load(hs, mask=mask, other=0.0)
        gates = a, a, a, a
    e, h, y = gates[0], gates[0], gates[0]
    if CELL == LSTM:
        e = tl.load(es + hop, mask=earlier, other=0.0)
    elif CELL == GRU:
        e = tl.load(es, mask=mask, other=0.0)
        h = tl.load(hs + hop, mask=earlier, other=0.0)
    if ABOVE:
        y = tl.load(ys, mask=mask, other=0.0)
    return gates[0], gates[1], gates[2], gates[3], e, h, y


@triton.jit
def _step_back(
    x,
    w,
    dh,
    dc,
    c,
    dzs,
    des,
    real,
    CELL: tl.constexpr,
    H: tl.constexpr,
    UNITS: tl.constexpr,
    ABOVE: tl.constexpr,
    FAST: tl.constexpr,
):
    if ABOVE:
        dh = dh + x[6]
    direct = tl.zeros_like(dh)
    if CELL == LSTM:
        i, f, g, o, before = x[0], x[1], x[2], x[3], x[4]
        squashed = _tanh(c, FAST)
        dc = dc + dh * (o * (1.0 - squashed * squashed))
        di = dc * (g * i * (1.0 - i))
        df = dc * (before * f * (1.0 - f))
        dg = dc * (i * (1.0 - g * g))
        do = dh * (squashed * o * (1.0 - o))
        dc = dc * f
        c = before
        tl.store(dzs, di, mask=real)
        tl.store(dzs + H, df, mask=real)
        tl.store(dzs + 2 * H, dg, mask=real)
        tl.store(dzs + 3 * H, do, mask=real)
        dz = tl.join(tl.join(di, dg), tl.join(df, do)).reshape(UNITS, 4)
    elif CELL == GRU:
        r, z, n, m, before = x[0], x[1], x[2], x[4], x[5]
        inner = (1.0 - z) * (1.0 - n * n)
        dr = dh * (inner * m * r * (1.0 - r))
        du = dh * ((before - n) * z * (1.0 - z))
        dm = dh * (inner * r)
        dn = dh * inner
        direct = dh * z
        tl.store(dzs, dr, mask=real)
        tl.store(dzs + H, du, mask=real)
        tl.store(dzs + 2 * H, dn, mask=real)
        tl.store(des, dm, mask=real)
        dz = tl.join(tl.join(dr, dm), tl.join(du, tl.zeros_like(dh))).reshape(UNITS, 4)
    else:
        if CELL == RNN_TANH:
            dz = dh * (1.0 - x[0] * x[0])
        else:
            dz = tl.where(x[0] <= 0.0, 0.0, dh)  # also where the state is not a number
        tl.store(dzs, dz, mask=real)
        dz = dz.reshape(UNITS, 1)
    # One exchange for all gates, then a chain of sums for each.
    dh = direct + tl.sum(tl.sum(w * tl.trans(dz)[:, :, None], axis=1), axis=0)
    return dh, dc, c


@triton.jit(do_not_specialize=["steps"], do_not_specialize_on_alignment=["w_ptr"])
def _backward(
    z_ptr,
    w_ptr,
    h_ptr,
    e_ptr,
    y_ptr,
    last_ptr,
    dz_ptr,
    de_ptr,
    steps,
    CELL: tl.constexpr,
    GATES: tl.constexpr,
    H: tl.constexpr,
    UNITS: tl.constexpr,
    ABOVE: tl.constexpr,
    FAST: tl.constexpr,
):
    row, d, directions = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.num_programs(1)
    u = tl.arange(0, UNITS)
    real = u < H
    # Weights lie (gate, to, from): the lanes are now the units from which a gate reads.
    gate = tl.arange(0, 1 if GATES == 1 else 4)[:, None, None]
    at = d * (GATES * H * H) + (gate * H + u[None, :, None]) * H + u[None, None, :]
    w = tl.load(w_ptr + at, mask=(gate < GATES) & real[None, :, None] & real[None, None, :], other=0.0)
    dh = tl.load(last_ptr + (row * directions + d) * H + u, mask=real, other=0.0)
    dc = tl.zeros_like(dh)
    end = (row * (steps + 1) + steps) * directions + d
    for gate in tl.static_range(GATES):
        tl.store(dz_ptr + end * (GATES * H) + gate * H + u, dc, mask=real)
    if CELL == GRU:
        tl.store(de_ptr + end * H + u, dc, mask=real)
    at = (row * (steps + 1) + (1 - d) * (steps - 1)) * directions + d
    hop = (directions * (2 * d - 1)).to(tl.int64)  # with 32 bits ptxas spills, of an LSTM of 32 units
    z_hop, h_hop = hop * (GATES * H), hop * H
    zs, dzs = z_ptr + at * (GATES * H) + u, dz_ptr + at * (GATES * H) + u
    es, des, hs, ys = e_ptr + at * H + u, de_ptr + at * H + u, h_ptr + at * H + u, y_ptr + at * H + u
    c = dc
    if CELL == LSTM:
        c = tl.load(es, mask=real, other=0.0)
    left = steps
    x = _recall(zs, es, hs, ys, real, left, h_hop, CELL, H, GATES, ABOVE)
    y = _recall(zs + z_hop, es + h_hop, hs + h_hop, ys + h_hop, real, left - 1, h_hop, CELL, H, GATES, ABOVE)
    if left % 2 == 1:
        dh, dc, c = _step_back(x, w, dh, dc, c, dzs, des, real, CELL, H, UNITS, ABOVE, FAST)
        left -= 1
        zs, dzs, es, des, hs, ys = zs + z_hop, dzs + z_hop, es + h_hop, des + h_hop, hs + h_hop, ys + h_hop
        x, y = y, _recall(zs + z_hop, es + h_hop, hs + h_hop, ys + h_hop, real, left - 1, h_hop, CELL, H, GATES, ABOVE)
    while left > 0:
        left -= 2
        a, b = 2 * h_hop, 3 * h_hop
        next_x = _recall(zs + 2 * z_hop, es + a, hs + a, ys + a, real, left, h_hop, CELL, H, GATES, ABOVE)
        next_y = _recall(zs + 3 * z_hop, es + b, hs + b, ys + b, real, left - 1, h_hop, CELL, H, GATES, ABOVE)
        dh, dc, c = _step_back(x, w, dh, dc, c, dzs, des, real, CELL, H, UNITS, ABOVE, FAST)
        dh, dc, c = _step_back(y, w, dh, dc, c, dzs + z_hop, des + h_hop, real, CELL, H, UNITS, ABOVE, FAST)
        zs, dzs, es, des, hs, ys = zs + 2 * z_hop, dzs + 2 * z_hop, es + a, des + a, hs + a, ys + a
        x, y = next_x, next_y


def final(x: Tensor, weights: Sequence[Tensor], shape: Shape) -> Tensor:
    """The final output of a sequence, (B, T, I) to (B, D * H).

    Args:
        x: Input, of the weights' dtype, float32 or float64, on their GPU; neither B nor T is 0.
        weights: weight_ih, weight_hh, bias_ih and bias_hh of each direction of each layer, in torch's order.
        shape: Which net the weights are.
    """
    if not (x.is_cuda or INTERPRETED):
        raise ValueError(f"a sequence must be on a CUDA GPU, got one on {x.device}")
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *weights)):
        return _Final.apply(shape, x, *weights)  # type: ignore[no-any-return]
    return _through(shape, x, weights, keep=False)[0]


class _Final(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, shape: Shape, x: Tensor, *weights: Tensor) -> Tensor:
        output, kept = _through(shape, x, weights, keep=True)
        ctx.shape, ctx.batch = shape, len(x)
        ctx.save_for_backward(*kept, *weights)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        count = 4 * ctx.shape.layers * ctx.shape.directions
        kept, weights = ctx.saved_tensors[:-count], ctx.saved_tensors[-count:]
        dx, dw = _back(ctx.shape, gradient, ctx.batch, kept, weights, ctx.needs_input_grad[1])
        return None, dx, *dw


def probe() -> None:
    """Compiles, or loads what was compiled before, and computes a net of one unit with gradients.

    Raises:
        RuntimeError: If the result is wrong.
    """
    device = "cpu" if INTERPRETED else "cuda"
    with torch.inference_mode(False), torch.enable_grad():  # whoever computes first may want no gradients
        sizes = (1, 2, 1), (4, 1), (4, 1), (4,), (4,)
        x, *weights = (torch.full(size, 0.5, device=device, dtype=torch.float32).requires_grad_() for size in sizes)
        result = final(x, weights, shape_of("LSTM", 1, 1, False))
        (gradient,) = torch.autograd.grad(result, x, torch.ones_like(result))
    found = result.item(), gradient[0, 0, 0].item()
    if max(abs(a - b) for a, b in zip(found, PROBE, strict=True)) > 1e-4:  # torch may multiply in TF32
        raise RuntimeError(f"an LSTM of one unit gave {found}, not {PROBE}")


def _layer(shape: Shape, weights: Sequence[Tensor], layer: int) -> tuple[tuple[Tensor, ...], ...]:
    """weight_ih, weight_hh, bias_ih and bias_hh of a layer, of each direction."""
    count = 4 * shape.directions
    mine = weights[layer * count : (layer + 1) * count]
    return tuple(tuple(mine[kind::4]) for kind in range(4))


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat(tuple(tensors)) if len(tensors) > 1 else tensors[0]


def _settings(shape: Shape, x: Tensor) -> dict[str, Any]:
    """How both kernels are compiled and launched for a net."""
    units = max(16, triton.next_power_of_2(shape.hidden))
    size = (1 if GATES[shape.mode] == 1 else 4) * units * units * x.element_size()
    return {
        "CELL": CELLS[shape.mode],
        "GATES": GATES[shape.mode],
        "H": shape.hidden,
        "UNITS": units,
        "FAST": x.dtype == torch.float32 and not INTERPRETED,
        "num_warps": max(1, size // WARP),
        "maxnreg": 255,  # without a word ptxas stops at 168, and loads one state after another
        "enable_fp_fusion": True,  # the default until Triton 3.9
    }


def _through(shape: Shape, x: Tensor, weights: Sequence[Tensor], keep: bool) -> tuple[Tensor, list[Tensor]]:
    """The final output; and, to keep, each layer's input, gates, cells and states, as far as its cell has them."""
    batch, steps, _ = x.shape
    width = shape.directions * shape.hidden
    settings, kept = _settings(shape, x), []
    with torch.cuda.device_of(x), torch.autocast(x.device.type, enabled=False):
        last = x.new_empty(batch, width)
        inputs = torch.nn.functional.pad(x, (0, 0, 0, 1)).flatten(0, 1)
        for layer in range(shape.layers):
            w_ih, w_hh, b_ih, b_hh = _layer(shape, weights, layer)
            gates = torch.addmm(_joined(b_ih), inputs, _joined(w_ih).t())
            states = x.new_empty(len(gates) if keep or layer < shape.layers - 1 else 0, width)
            extra = x.new_empty(len(gates) if keep and settings["GATES"] > 1 else 0, width)
            _forward[(batch, shape.directions)](
                *(gates, torch.stack([w.t() for w in w_hh]), _joined(b_hh), states, extra, last, steps),
                KEEP=keep,
                STATES=len(states) > 0,
                **settings,
            )
            if keep:
                kept += [inputs, gates[:0] if settings["GATES"] == 1 else gates, extra, states]
            inputs = states
    return last, kept


def _back(
    shape: Shape, gradient: Tensor, batch: int, kept: Sequence[Tensor], weights: Sequence[Tensor], need: bool
) -> tuple[Tensor | None, list[Tensor]]:
    """The gradients of the input, where there is need, and of the weights."""
    hidden, directions, gru = shape.hidden, shape.directions, shape.mode == "GRU"
    settings = _settings(shape, gradient)
    each = settings["GATES"] * hidden
    dw: list[Tensor] = []
    with torch.cuda.device_of(gradient), torch.autocast(gradient.device.type, enabled=False):
        last, dy = gradient.contiguous(), gradient.new_empty(0)
        for layer in reversed(range(shape.layers)):
            inputs, gates, extra, states = kept[4 * layer : 4 * layer + 4]
            w_ih, w_hh, _, _ = _layer(shape, weights, layer)
            rows = len(states)
            dz = states.new_empty(rows, directions, each)
            side = states.new_empty(rows if gru else 0, directions, hidden)  # of a GRU's product for its reset gate
            _backward[(batch, directions)](
                *(gates, torch.stack(w_hh), states, extra, dy, last, dz, side, rows // batch - 1),
                ABOVE=layer < shape.layers - 1,
                **settings,
            )
            w_gradients, biases = dz.flatten(1).t() @ inputs, dz.flatten(1).sum(0)
            mine: list[Tensor] = []
            for d in range(directions):
                # Each step beside the state before it: in the row before, or behind; a row of zeros meets no state.
                now, before = (slice(1, None), slice(-1)) if d == 0 else (slice(-1), slice(1, None))
                h = states.view(rows, directions, hidden)[before, d]
                b_ih = b_hh = biases[d * each : (d + 1) * each]
                if gru:
                    parts = [dz[now, d, : 2 * hidden].t() @ h, side[now, d].t() @ h]
                    b_hh = torch.cat([b_ih[: 2 * hidden], side[:, d].sum(0)])
                else:
                    parts = [dz[now, d].t() @ h]
                mine += [w_gradients[d * each : (d + 1) * each], _joined(parts), b_ih, b_hh]
            dw = mine + dw
            if layer or need:
                dy = dz.flatten(1) @ _joined(w_ih)
            last = torch.zeros_like(last)
    return (dy.view(batch, -1, dy.shape[1])[:, :-1] if need else None), dw
