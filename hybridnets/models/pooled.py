"""ReLU, batch normalisation and 2x2 maximum pooling of CPU maps in one operation, which reads and writes them less often.

Torch's layers pass over the full-size maps about twelve times in a training step, and memory is what they wait for. Here the
forward pass reads them twice (sums; the result, a quarter their size) and the backward pass reads them twice and writes them
once. Nothing is kept but the convolution's output: what stood highest in a window is found again by the same instructions.

Arrays end in the channels (channels_last), which are the vectors' lanes: sixteen at a time, those left over one by one. Work is
cut into as many tasks as the maps' shape says; sums of a task are added in the tasks' order: neither the threads' number nor
their order can change a bit.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import carray  # type: ignore[attr-defined]
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hybridnets.rnn.cpu import spread
from hybridnets.rnn.kernels import HEAD, TABLE, Rows, V, claim, compiled, flush, four_axes, inline, set_control, three_axes
from hybridnets.rnn.kernels import vectors

__all__ = ["pooled", "probe"]

Array = NDArray[Any]
LANES = 16
TASK = 1 << 16  # bytes of maps a task is given, about
MOST = 64  # tasks
AT_ONCE = 4  # pixels added up in registers


def _relu(x: V) -> V:
    """Not a number stays so, as with torch."""
    below = x.builder.fcmp_ordered("<=", x.value, x.like(0.0).value)
    return V(x.builder, x.builder.select(below, x.like(0.0).value, x.value))


def _double(x: V) -> V:
    kind = ir.VectorType(ir.DoubleType(), x.value.type.count)
    return V(x.builder, x.builder.fpext(x.value, kind))


def _window(x: Rows, image: Any, i: Any, j: Any, c: Any) -> list[V]:
    """The four of a window, row by row."""
    rows = [i, x.builder.add(i, x.integer(1))]
    columns = [j, x.builder.add(j, x.integer(1))]
    return [x[image, row, column, c] for row in rows for column in columns]


def _highest(ys: list[V], scale: V, shift: V) -> tuple[V, V, list[Any]]:
    """The highest of y * scale + shift, its y, and for every y but the first whether it is or follows a lower one.

    As torch decides: the first of equal ones, the last that is not a number. Multiplied and added in two steps, never fused, so
    that both passes decide alike.
    """
    builder = scale.builder
    best, which, later = None, ys[0], []
    for y in ys:
        value = builder.fadd(builder.fmul(y.value, scale.value), shift.value)
        if best is None:
            best = value
            continue
        higher = builder.or_(builder.fcmp_ordered(">", value, best), builder.fcmp_unordered("uno", value, value))
        best = builder.select(higher, value, best)
        which = V(builder, builder.select(higher, y.value, which.value))
        later.append(higher)
    return V(builder, best), which, later


def _add(count: int) -> Callable[..., None]:
    def add(sums: Rows, task: Any, x: Rows, p: Any, c: Any) -> None:
        """sums[task] += y and y^2 of so many pixels."""
        first = second = None
        for i in range(count):
            y = _double(_relu(x[0, x.builder.add(p, x.integer(i)), c]))
            first = y if first is None else first + y
            second = y * y if second is None else second + y * y
        sums[task, 0, c] = sums[task, 0, c] + first
        sums[task, 1, c] = sums[task, 1, c] + second

    return add


def _pool(out: Rows, image: Any, i: Any, j: Any, c: Any, x: Rows, terms: Rows) -> None:
    """One of the result."""
    two = x.integer(2)
    ys = [_relu(v) for v in _window(x, image, x.builder.mul(i, two), x.builder.mul(j, two), c)]
    out[image, i, j, c] = _highest(ys, terms[0, 0, c], terms[0, 1, c])[0]


def _add_back(sums: Rows, task: Any, image: Any, i: Any, j: Any, c: Any, x: Rows, up: Rows, terms: Rows) -> None:
    """sums[task] += the gradient and its product with y."""
    two = x.integer(2)
    ys = [_relu(v) for v in _window(x, image, x.builder.mul(i, two), x.builder.mul(j, two), c)]
    y = _highest(ys, terms[0, 0, c], terms[0, 1, c])[1]
    gradient = _double(up[image, i, j, c])
    sums[task, 0, c] = sums[task, 0, c] + gradient
    sums[task, 1, c] = sums[task, 1, c] + gradient * _double(y)


def _gradient(x: V, y: V, up: V | None, terms: Rows, c: Any) -> V:
    """Of x, from that of the normalised y."""
    value = (y - terms[0, 2, c]) * terms[0, 3, c] + terms[0, 4, c]
    if up is not None:
        value = value + up * terms[0, 0, c]
    below = x.builder.fcmp_ordered("<=", x.value, x.like(0.0).value)
    return V(x.builder, x.builder.select(below, x.like(0.0).value, value.value))


def _back(dx: Rows, image: Any, i: Any, j: Any, c: Any, x: Rows, up: Rows, terms: Rows) -> None:
    """The four of a window."""
    builder, two, zero = x.builder, x.integer(2), None
    at, beside = builder.mul(i, two), builder.mul(j, two)
    xs = _window(x, image, at, beside, c)
    ys = [_relu(v) for v in xs]
    later = _highest(ys, terms[0, 0, c], terms[0, 1, c])[2]
    gradient = up[image, i, j, c]
    zero = gradient.like(0.0)
    left, ups = gradient, []  # what no later one has taken
    for higher in reversed(later):
        ups.append(V(builder, builder.select(higher, left.value, zero.value)))
        left = V(builder, builder.select(higher, zero.value, left.value))
    ups.append(left)
    rows, columns = [at, builder.add(at, x.integer(1))], [beside, builder.add(beside, x.integer(1))]
    places = [(row, column) for row in rows for column in columns]
    for (row, column), v, y, mine in zip(places, xs, ys, reversed(ups), strict=True):
        dx[image, row, column, c] = _gradient(v, y, mine, terms, c)


def _back_outside(dx: Rows, image: Any, i: Any, j: Any, c: Any, x: Rows, terms: Rows) -> None:
    """One pixel that no window reads, in the last row or column."""
    v = x[image, i, j, c]
    dx[image, i, j, c] = _gradient(v, _relu(v), None, terms, c)


_several_wide, _several_narrow = (vectors(_add(AT_ONCE), lanes) for lanes in (LANES, 1))
_one_wide, _one_narrow = (vectors(_add(1), lanes) for lanes in (LANES, 1))
_pool_wide, _pool_narrow = (vectors(_pool, lanes) for lanes in (LANES, 1))
_add_back_wide, _add_back_narrow = (vectors(_add_back, lanes) for lanes in (LANES, 1))
_back_wide, _back_narrow = (vectors(_back, lanes) for lanes in (LANES, 1))
_outside_wide, _outside_narrow = (vectors(_back_outside, lanes) for lanes in (LANES, 1))


@inline
def _outside(dx: Array, image: int, i: int, j: int, x: Array, terms: Array) -> None:
    c = 0
    while c + LANES <= x.shape[3]:
        _outside_wide(dx, image, i, j, c, x, terms)
        c += LANES
    while c < x.shape[3]:
        _outside_narrow(dx, image, i, j, c, x, terms)
        c += 1


def _sums_work(data: Any) -> None:
    """Sums of y and y^2: arrays x, (1, pixels, C), and sums, (tasks, 2, C) in float64."""
    table, setting = carray(data, (TABLE,), np.int64), flush()
    x, sums = three_axes(table, HEAD, np.float32), three_axes(table, HEAD + 4, np.float64)
    task = claim(table, 0)
    while task < table[2]:
        for c in range(x.shape[2]):
            sums[task, 0, c] = sums[task, 1, c] = 0
        p, end = x.shape[1] * task // table[2], x.shape[1] * (task + 1) // table[2]
        while p + AT_ONCE <= end:
            c = 0
            while c + LANES <= x.shape[2]:
                _several_wide(sums, task, x, p, c)
                c += LANES
            while c < x.shape[2]:
                _several_narrow(sums, task, x, p, c)
                c += 1
            p += AT_ONCE
        while p < end:
            c = 0
            while c + LANES <= x.shape[2]:
                _one_wide(sums, task, x, p, c)
                c += LANES
            while c < x.shape[2]:
                _one_narrow(sums, task, x, p, c)
                c += 1
            p += 1
        task = claim(table, 0)
    set_control(setting)


def _pool_work(data: Any) -> None:
    """The result: arrays x, (B, H, W, C), terms, (1, any, C), and out, (B, H // 2, W // 2, C)."""
    table, setting = carray(data, (TABLE,), np.int64), flush()
    x, terms = four_axes(table, HEAD, np.float32), three_axes(table, HEAD + 5, np.float32)
    out = four_axes(table, HEAD + 9, np.float32)
    high, wide, channels = out.shape[1], out.shape[2], out.shape[3]
    rows = out.shape[0] * high
    task = claim(table, 0)
    while task < table[2]:
        for row in range(rows * task // table[2], rows * (task + 1) // table[2]):
            image, i = row // high, row % high
            for j in range(wide):
                c = 0
                while c + LANES <= channels:
                    _pool_wide(out, image, i, j, c, x, terms)
                    c += LANES
                while c < channels:
                    _pool_narrow(out, image, i, j, c, x, terms)
                    c += 1
        task = claim(table, 0)
    set_control(setting)


def _back_sums_work(data: Any) -> None:
    """Sums of the gradient and of its product with y: x, terms and up as in the others, sums as in `_sums_work`."""
    table, setting = carray(data, (TABLE,), np.int64), flush()
    x, terms = four_axes(table, HEAD, np.float32), three_axes(table, HEAD + 5, np.float32)
    up, sums = four_axes(table, HEAD + 9, np.float32), three_axes(table, HEAD + 14, np.float64)
    high, wide, channels = up.shape[1], up.shape[2], up.shape[3]
    rows = up.shape[0] * high
    task = claim(table, 0)
    while task < table[2]:
        for c in range(channels):
            sums[task, 0, c] = sums[task, 1, c] = 0
        for row in range(rows * task // table[2], rows * (task + 1) // table[2]):
            image, i = row // high, row % high
            for j in range(wide):
                c = 0
                while c + LANES <= channels:
                    _add_back_wide(sums, task, image, i, j, c, x, up, terms)
                    c += LANES
                while c < channels:
                    _add_back_narrow(sums, task, image, i, j, c, x, up, terms)
                    c += 1
        task = claim(table, 0)
    set_control(setting)


def _back_work(data: Any) -> None:
    """The gradient of x: x, terms, up as in the others, and dx, (B, H, W, C)."""
    table, setting = carray(data, (TABLE,), np.int64), flush()
    x, terms = four_axes(table, HEAD, np.float32), three_axes(table, HEAD + 5, np.float32)
    up, dx = four_axes(table, HEAD + 9, np.float32), four_axes(table, HEAD + 14, np.float32)
    channels = x.shape[3]
    high = (x.shape[1] + 1) // 2
    rows = x.shape[0] * high
    task = claim(table, 0)
    while task < table[2]:
        for row in range(rows * task // table[2], rows * (task + 1) // table[2]):
            image, i = row // high, row % high
            if i < up.shape[1]:
                for j in range(up.shape[2]):
                    c = 0
                    while c + LANES <= channels:
                        _back_wide(dx, image, i, j, c, x, up, terms)
                        c += LANES
                    while c < channels:
                        _back_narrow(dx, image, i, j, c, x, up, terms)
                        c += 1
                for j in range(2 * up.shape[2], x.shape[2]):
                    _outside(dx, image, 2 * i, j, x, terms)
                    _outside(dx, image, 2 * i + 1, j, x, terms)
            else:
                for j in range(x.shape[2]):
                    _outside(dx, image, 2 * i, j, x, terms)
        task = claim(table, 0)
    set_control(setting)


@functools.cache
def _kernel(work: Callable[[Any], None]) -> Any:
    return compiled(work)


def pooled(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """What `norm(relu(x))` is after 2x2 maximum pooling, (B, C, H, W) to (B, C, H // 2, W // 2), channels_last.

    Args:
        x: float32 on a CPU; B is at least 1, H and W at least 2.
        norm: With weight, bias, running statistics and a momentum, all of them such tensors; the statistics change in training
            as torch changes them.
    """
    x = x.contiguous(memory_format=torch.channels_last)
    if torch.is_grad_enabled() and (x.requires_grad or norm.weight.requires_grad or norm.bias.requires_grad):
        return _Pooled.apply(x, norm.weight, norm.bias, norm)  # type: ignore[no-any-return, no-untyped-call]
    return _forward(x, norm)[0]


class _Pooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, _: Tensor, norm: nn.BatchNorm2d) -> Tensor:
        out, ctx.terms, ctx.mean, ctx.deviation = _forward(x, norm)
        ctx.batch = norm.training
        ctx.save_for_backward(x, weight)  # the weight, so that autograd sees if it was changed
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, up: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        up = up.contiguous(memory_format=torch.channels_last)
        terms, mean, deviation = ctx.terms, ctx.mean, ctx.deviation
        tasks = _tasks(x)
        sums = x.new_empty(tasks, 2, x.shape[1], dtype=torch.float64)
        maps = _last(x), terms, _last(up)
        spread(_kernel(_back_sums_work), tasks, (), *maps, sums)
        first, second = sums.numpy().sum(axis=0)
        second = (second - mean * first) / deviation  # of gradients by normalised y
        dx = None
        if ctx.needs_input_grad[0]:
            if ctx.batch:
                count = x.numel() // x.shape[1]
                scale = weight.detach().numpy() / (deviation * count)
                slope = -scale * second / deviation
                terms = terms.clone()
                terms.numpy()[0, 2:] = mean, slope, -scale * first
                maps = maps[0], terms, maps[2]
            dx = torch.empty_like(x, memory_format=torch.channels_last)
            spread(_kernel(_back_work), tasks, (), *maps, _last(dx))
        return dx, torch.from_numpy(second.astype(np.float32)), torch.from_numpy(first.astype(np.float32)), None


def _forward(x: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor, Array, Array]:
    """The result, the kernels' terms, (1, 5, C), and mean and deviation of each channel that it was normalised by."""
    batch, channels, height, width = x.shape
    tasks = _tasks(x)
    x = x.detach()
    if norm.training:
        sums = x.new_empty(tasks, 2, channels, dtype=torch.float64)
        count = batch * height * width
        spread(_kernel(_sums_work), tasks, (), _last(x).view(1, count, channels), sums)
        mean, square = sums.numpy().sum(axis=0) / count
        variance = np.maximum(square - mean * mean, 0)
        _update(norm, mean, variance * (count / (count - 1)))
    else:
        mean, variance = (t.numpy().astype(np.float64) for t in (norm.running_mean, norm.running_var))
    deviation = np.sqrt(variance + norm.eps)
    terms = x.new_zeros(1, 5, channels)  # scale and shift of the normalisation; of the gradient mean, slope and shift
    scale = norm.weight.detach().numpy() / deviation
    terms.numpy()[0, :2] = scale, norm.bias.detach().numpy() - mean * scale
    out = torch.empty(
        (batch, channels, height // 2, width // 2), dtype=x.dtype, memory_format=torch.channels_last
    )
    spread(_kernel(_pool_work), tasks, (), _last(x), terms, _last(out))
    return out, terms, mean, deviation


def _update(norm: nn.BatchNorm2d, mean: Array, variance: Array) -> None:
    """Moves the running statistics towards a batch's, as torch does."""
    with torch.no_grad():
        norm.num_batches_tracked.add_(1)
        norm.running_mean.lerp_(torch.from_numpy(mean.astype(np.float32)), norm.momentum)
        norm.running_var.lerp_(torch.from_numpy(variance.astype(np.float32)), norm.momentum)


def _last(maps: Tensor) -> Tensor:
    return maps.permute(0, 2, 3, 1)


def _tasks(x: Tensor) -> int:
    return min(MOST, max(1, x.numel() * x.element_size() // TASK))


def probe() -> None: ...
