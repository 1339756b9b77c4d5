"""The cells in Triton: one program walks one sequence in one direction, with the recurrent weights in registers.

A layer is one matrix product for the inputs of all its steps, then one of these kernels. Each step waits for the one before,
and a batch is small for a GPU, so only the time from one state to the next counts. Therefore a program is one warp for one
row and direction. A lane is a unit, and its registers hold the weights that lead to it (below 32 units every second one;
another lane has the other half), so the sums of a step need no other warp; the states are exchanged in shared memory. More
warps a row would do less each, but would wait for each other more than once a step. A tile of rows for `tl.dot` would take
more instructions a step, on fewer multiprocessors. Above 32 units, or in float64, the weights need the registers of several
warps all the same.

A row of an array is one step of one sequence, and a row of zeros follows each sequence: (B * (T + 1), any). The state before
the first step of either direction is then such a row, and the products over all steps that give the weights' gradients need
no copies. Units beyond the real ones have weights of zero, under which a state stays zero.

The forward pass keeps states, gates and, for an LSTM, cells or, for a GRU, what its reset gate multiplies: 6 and 5 values a
unit and step, for an RNN 1. Every sum has one order, so that two runs are equal bit for bit.

`hybridnets.kernels.steps` has the same steps as formulas. To add a cell, add it to `CELLS` and `GATES`, and a branch to
`_step`, `_recall` and `_step_back`.
"""

# ruff: noqa: N803, RET505, SIM108 (Triton's constants are upper case, and it compiles the branch that they choose)
# mypy: allow-untyped-defs, allow-untyped-decorators, allow-untyped-calls, allow-incomplete-defs

import triton
import triton.language as tl

from hybridnets.kernels import tanh

__all__ = ["CELLS", "GATES", "backward_kernel", "forward_kernel"]

GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "GRU": 3, "LSTM": 4}
CELLS = {"RNN_TANH": 0, "RNN_RELU": 1, "GRU": 2, "LSTM": 3}
RNN_TANH, RNN_RELU, GRU, LSTM = (tl.constexpr(cell) for cell in CELLS.values())
KEEP_NAN = tl.constexpr(tl.PropagateNan.ALL)
LIMIT, TOP, BOTTOM = (tl.constexpr(value) for value in (tanh.LIMIT, tanh.TOP, tanh.BOTTOM))
TOP_COUNT, BOTTOM_COUNT = (tl.constexpr(len(coefficients)) for coefficients in (tanh.TOP, tanh.BOTTOM))


# FAST means float32 on a GPU. There two bare instructions do without the compiler's care for values that do not occur here: a
# divisor is from .004 to 1, or at least 1, and a tiny exponential is added to 1.


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
    # In float32 the approximation of `hybridnets.kernels.tanh`: as fast as by an exponential, and exact for small x too.
    if x.dtype == tl.float64:
        e = tl.exp(-2.0 * tl.abs(x))
        y = (1.0 - e) / (1.0 + e)
        return tl.where(x < 0.0, -y, y)
    else:
        x = tl.clamp(x, -LIMIT, LIMIT, KEEP_NAN)
        square = x * x
        top = square * TOP[0] + TOP[1]
        for i in tl.static_range(2, TOP_COUNT):
            top = top * square + TOP[i]
        bottom = square * BOTTOM[0] + BOTTOM[1]
        for i in tl.static_range(2, BOTTOM_COUNT):
            bottom = bottom * square + BOTTOM[i]
        return x * top * _one_over(bottom, FAST)


@triton.jit
def _read(p, mask, hop: tl.constexpr, GATES: tl.constexpr):
    # A value of each gate; the gates that a cell lacks repeat its first, and nothing reads them.
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
def forward_kernel(
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
    """Walks a sequence: last states, with STATES all states, with KEEP also gates and what a cell keeps besides, into e_ptr.

    Of z_ptr, (B * (T + 1), D, GATES * H), it reads the inputs' part of each gate's sum; with KEEP the gates take their place.
    """
    row, d, directions = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.num_programs(1)
    u = tl.arange(0, UNITS)
    real = u < H
    both = real[:, None] & real[None, :]
    # The weights lie (from, gate, to). The last axis, contiguous and not known to be aligned, becomes the lanes, a unit each.
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
    # Two steps at a time, while the values for the next two are being loaded: memory answers more slowly than a step takes.
    remaining = steps
    x = _read(zs, real, H, GATES)
    y = _read(zs + z_hop, tl.where(remaining - 1 > 0, real, False), H, GATES)
    if remaining % 2 == 1:
        h, c = _step(x, w, bias, h, c, zs, es, hs, real, CELL, H, KEEP, STATES, FAST)
        remaining -= 1
        zs, es, hs = zs + z_hop, es + h_hop, hs + h_hop
        x, y = y, _read(zs + z_hop, tl.where(remaining > 0, real, False), H, GATES)
    while remaining > 0:
        remaining -= 2
        next_x = _read(zs + 2 * z_hop, tl.where(remaining > 0, real, False), H, GATES)
        next_y = _read(zs + 3 * z_hop, tl.where(remaining > 0, real, False), H, GATES)
        h, c = _step(x, w, bias, h, c, zs, es, hs, real, CELL, H, KEEP, STATES, FAST)
        h, c = _step(y, w, bias, h, c, zs + z_hop, es + h_hop, hs + h_hop, real, CELL, H, KEEP, STATES, FAST)
        zs, es, hs = zs + 2 * z_hop, es + 2 * h_hop, hs + 2 * h_hop
        x, y = next_x, next_y
    tl.store(last_ptr + (row * directions + d) * H + u, h, mask=real)


@triton.jit
def _recall(
    zs, es, hs, ys, real, remaining, hop, CELL: tl.constexpr, H: tl.constexpr, GATES: tl.constexpr, ABOVE: tl.constexpr
):
    # What a step kept: gates; an LSTM's cell before it, or a GRU's product for its reset gate; the state before it, of an RNN
    # the one after it; and the gradient from the layer above.
    mask, earlier = tl.where(remaining > 0, real, False), tl.where(remaining - 1 > 0, real, False)
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
            dz = tl.where(x[0] <= 0.0, 0.0, dh)  # also where the state is NaN
        tl.store(dzs, dz, mask=real)
        dz = dz.reshape(UNITS, 1)
    # One exchange for all gates, then a chain of sums for each.
    dh = direct + tl.sum(tl.sum(w * tl.trans(dz)[:, :, None], axis=1), axis=0)
    return dh, dc, c


# Longer than other functions: a kernel keeps its state in registers over both loops, so it is one function.
@triton.jit(do_not_specialize=["steps"], do_not_specialize_on_alignment=["w_ptr"])
def backward_kernel(
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
    """Walks back: the gradients of the gates into dz_ptr, and of a GRU's product for its reset gate into de_ptr.

    It reads what `forward_kernel` kept, the gradient of the last states and, with ABOVE, that of all states, y_ptr.
    """
    row, d, directions = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.num_programs(1)
    u = tl.arange(0, UNITS)
    real = u < H
    # The weights lie (gate, to, from): the lanes are now the units from which a gate reads.
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
    hop = (directions * (2 * d - 1)).to(tl.int64)  # with 32 bits ptxas spills registers of an LSTM of 32 units
    z_hop, h_hop = hop * (GATES * H), hop * H
    zs, dzs = z_ptr + at * (GATES * H) + u, dz_ptr + at * (GATES * H) + u
    es, des, hs, ys = e_ptr + at * H + u, de_ptr + at * H + u, h_ptr + at * H + u, y_ptr + at * H + u
    c = dc
    if CELL == LSTM:
        c = tl.load(es, mask=real, other=0.0)
    remaining = steps
    x = _recall(zs, es, hs, ys, real, remaining, h_hop, CELL, H, GATES, ABOVE)
    y = _recall(zs + z_hop, es + h_hop, hs + h_hop, ys + h_hop, real, remaining - 1, h_hop, CELL, H, GATES, ABOVE)
    if remaining % 2 == 1:
        dh, dc, c = _step_back(x, w, dh, dc, c, dzs, des, real, CELL, H, UNITS, ABOVE, FAST)
        remaining -= 1
        zs, dzs, es, des, hs, ys = zs + z_hop, dzs + z_hop, es + h_hop, des + h_hop, hs + h_hop, ys + h_hop
        x, y = (
            y,
            _recall(zs + z_hop, es + h_hop, hs + h_hop, ys + h_hop, real, remaining - 1, h_hop, CELL, H, GATES, ABOVE),
        )
    while remaining > 0:
        remaining -= 2
        a, b = 2 * h_hop, 3 * h_hop
        next_x = _recall(zs + 2 * z_hop, es + a, hs + a, ys + a, real, remaining, h_hop, CELL, H, GATES, ABOVE)
        next_y = _recall(zs + 3 * z_hop, es + b, hs + b, ys + b, real, remaining - 1, h_hop, CELL, H, GATES, ABOVE)
        dh, dc, c = _step_back(x, w, dh, dc, c, dzs, des, real, CELL, H, UNITS, ABOVE, FAST)
        dh, dc, c = _step_back(y, w, dh, dc, c, dzs + z_hop, des + h_hop, real, CELL, H, UNITS, ABOVE, FAST)
        zs, dzs, es, des, hs, ys = zs + 2 * z_hop, dzs + 2 * z_hop, es + a, des + a, hs + a, ys + a
        x, y = next_x, next_y
