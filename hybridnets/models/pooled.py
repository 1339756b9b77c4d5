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
import torch.nn.functional as F
from llvmlite import ir
from numba import carray  # type: ignore[attr-defined]
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hybridnets.rnn.cpu import spread
from hybridnets.rnn.kernels import (
    HEAD,
    TABLE,
    Rows,
    V,
    claim,
    compiled,
    flush,
    four_axes,
    inline,
    set_control,
    three_axes,
    vectors,
)

__all__ = ["pooled", "probe"]

Array = NDArray[Any]
LANES = 16
TASK = 1 << 16  # bytes of maps a task is given, about
MOST = 64  # tasks
SEVERAL = 4  # pixels added up in registers


def _relu(x: V) -> V:
    return _where_positive(x, x)


def _where_positive(x: V, value: V) -> V:
    """Zero elsewhere; what is not a number counts as positive, as with torch."""
    zero = x.like(0.0).value
    return V(x.builder, x.builder.select(x.builder.fcmp_ordered("<=", x.value, zero), zero, value.value))


def _double(x: V) -> V:
    return V(x.builder, x.builder.fpext(x.value, ir.VectorType(ir.DoubleType(), x.value.type.count)))


def _places(x: Rows, i: Any, j: Any) -> list[tuple[Any, Any]]:
    """The four of a window, row by row."""
    builder, one, two = x.builder, x.integer(1), x.integer(2)
    top, left = builder.mul(i, two), builder.mul(j, two)
    return [(row, column) for row in (top, builder.add(top, one)) for column in (left, builder.add(left, one))]


def _highest(ys: list[V], scale: V, shift: V) -> tuple[V, V, list[Any]]:
    """The highest of y * scale + shift, its y, and of every y but the first whether it is above those before it.

    As torch decides: the first of equal ones, the last that is not a number. Multiplied and added in two steps, never fused, so
    that all passes decide alike.
    """
    builder = scale.builder
    values = [builder.fadd(builder.fmul(y.value, scale.value), shift.value) for y in ys]
    best, of, above = values[0], ys[0].value, []
    for y, value in zip(ys[1:], values[1:], strict=True):
        higher = builder.or_(builder.fcmp_ordered(">", value, best), builder.fcmp_unordered("uno", value, value))
        best, of = builder.select(higher, value, best), builder.select(higher, y.value, of)
        above.append(higher)
    return V(builder, best), V(builder, of), above


# What stands at the channels from c on. Terms are numbers of each channel: scale and shift of the normalisation, and, of the
# gradient, the mean and what the distance from it is multiplied by, and a shift.


def _add(count: int) -> Any:
    def add(c: Any, sums: Rows, task: Any, x: Rows, p: Any) -> None:
        """sums[task] += y and y^2 of so many pixels from p on."""
        ys = [_double(_relu(x[0, x.builder.add(p, x.integer(i)), c])) for i in range(count)]
        first, second = ys[0], ys[0] * ys[0]
        for y in ys[1:]:
            first, second = first + y, second + y * y
        sums[task, 0, c] = sums[task, 0, c] + first
        sums[task, 1, c] = sums[task, 1, c] + second

    return add


def _pool(c: Any, out: Rows, image: Any, i: Any, j: Any, x: Rows, terms: Rows) -> None:
    """out = the highest of a window."""
    ys = [_relu(x[image, row, column, c]) for row, column in _places(x, i, j)]
    out[image, i, j, c] = _highest(ys, terms[0, 0, c], terms[0, 1, c])[0]


def _add_back(c: Any, sums: Rows, task: Any, image: Any, i: Any, j: Any, x: Rows, up: Rows, terms: Rows) -> None:
    """sums[task] += a window's gradient, and its product with the y that stood highest."""
    ys = [_relu(x[image, row, column, c]) for row, column in _places(x, i, j)]
    y = _highest(ys, terms[0, 0, c], terms[0, 1, c])[1]
    gradient = _double(up[image, i, j, c])
    sums[task, 0, c] = sums[task, 0, c] + gradient
    sums[task, 1, c] = sums[task, 1, c] + gradient * _double(y)


def _through(c: Any, y: V, terms: Rows) -> V:
    """The gradient of y by way of mean and variance."""
    return (y - terms[0, 2, c]) * terms[0, 3, c] + terms[0, 4, c]


def _back(c: Any, dx: Rows, image: Any, i: Any, j: Any, x: Rows, up: Rows, terms: Rows) -> None:
    """dx = the gradients of a window."""
    builder, places = x.builder, _places(x, i, j)
    xs = [x[image, row, column, c] for row, column in places]
    ys = [_relu(value) for value in xs]
    scale = terms[0, 0, c]
    above = _highest(ys, scale, terms[0, 1, c])[2]
    left = up[image, i, j, c] * scale  # what none of those behind has taken
    zero = left.like(0.0).value
    for k in (3, 2, 1, 0):
        own = left
        if k:
            own = V(builder, builder.select(above[k - 1], left.value, zero))
            left = V(builder, builder.select(above[k - 1], zero, left.value))
        dx[image, places[k][0], places[k][1], c] = _where_positive(xs[k], _through(c, ys[k], terms) + own)


def _back_beside(c: Any, dx: Rows, image: Any, row: Any, column: Any, x: Rows, terms: Rows) -> None:
    """dx = the gradient of a pixel that no window reads, in a last row or column."""
    value = x[image, row, column, c]
    dx[image, row, column, c] = _where_positive(value, _through(c, _relu(value), terms))


def _across(body: Any) -> Any:
    """All channels: a vector at a time, those left over one by one."""
    wide, narrow = vectors(body, LANES), vectors(body, 1)

    def across(channels: int, *arguments: Any) -> None:
        c = 0
        while c + LANES <= channels:
            wide(c, *arguments)
            c += LANES
        while c < channels:
            narrow(c, *arguments)
            c += 1

    return inline(across)


_add_several, _add_one, _pool_window, _add_window = map(_across, (_add(SEVERAL), _add(1), _pool, _add_back))
_back_window, _back_pixel = map(_across, (_back, _back_beside))


# What a thread does, as in `hybridnets.rnn.kernels`. Arrays: x and dx, (B, H, W, C); out and up, (B, H // 2, W // 2, C); terms,
# (1, 5, C); sums, (tasks, 2, C), in float64. A task is a range of pixels or of the windows' rows.


def _sums_work(data: Any) -> None:
    table, setting = carray(data, (TABLE,), np.int64), flush()
    x, sums = three_axes(table, HEAD, np.float32), three_axes(table, HEAD + 4, np.float64)  # x: (1, pixels, C)
    pixels, channels = x.shape[1], x.shape[2]
    task = claim(table, 0)
    while task < table[2]:
        for c in range(channels):  # a slice would take longer to compile
            sums[task, 0, c] = sums[task, 1, c] = 0
        p, end = pixels * task // table[2], pixels * (task + 1) // table[2]
        while p + SEVERAL <= end:
            _add_several(channels, sums, task, x, p)
            p += SEVERAL
        while p < end:
            _add_one(channels, sums, task, x, p)
            p += 1
        task = claim(table, 0)
    set_control(setting)


def _pool_work(data: Any) -> None:
    table, setting = carray(data, (TABLE,), np.int64), flush()
    x, terms = four_axes(table, HEAD, np.float32), three_axes(table, HEAD + 5, np.float32)
    out = four_axes(table, HEAD + 9, np.float32)
    high, rows = out.shape[1], out.shape[0] * out.shape[1]
    task = claim(table, 0)
    while task < table[2]:
        for row in range(rows * task // table[2], rows * (task + 1) // table[2]):
            for j in range(out.shape[2]):
                _pool_window(out.shape[3], out, row // high, row % high, j, x, terms)
        task = claim(table, 0)
    set_control(setting)


def _back_sums_work(data: Any) -> None:
    table, setting = carray(data, (TABLE,), np.int64), flush()
    x, terms = four_axes(table, HEAD, np.float32), three_axes(table, HEAD + 5, np.float32)
    up, sums = four_axes(table, HEAD + 9, np.float32), three_axes(table, HEAD + 14, np.float64)
    high, rows, channels = up.shape[1], up.shape[0] * up.shape[1], up.shape[3]
    task = claim(table, 0)
    while task < table[2]:
        for c in range(channels):  # a slice would take longer to compile
            sums[task, 0, c] = sums[task, 1, c] = 0
        for row in range(rows * task // table[2], rows * (task + 1) // table[2]):
            for j in range(up.shape[2]):
                _add_window(channels, sums, task, row // high, row % high, j, x, up, terms)
        task = claim(table, 0)
    set_control(setting)


def _back_work(data: Any) -> None:
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
            windows = up.shape[2] if i < up.shape[1] else 0
            for j in range(windows):
                _back_window(channels, dx, image, i, j, x, up, terms)
            for line in range(2 * i, min(2 * i + 2, x.shape[1])):
                for column in range(2 * windows, x.shape[2]):
                    _back_pixel(channels, dx, image, line, column, x, terms)
        task = claim(table, 0)
    set_control(setting)


@functools.cache
def _kernel(work: Callable[[Any], None]) -> Any:
    return compiled(work)


def pooled(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """What `norm(relu(x))` is after 2x2 maximum pooling, (B, C, H, W) to (B, C, H // 2, W // 2), channels_last.

    Args:
        x: float32 on a CPU; B is at least 1, H and W at least 2.
        norm: With weight, bias, running statistics and a momentum, all of them such tensors too; in training its statistics
            change as torch changes them.
    """
    x = x.contiguous(memory_format=torch.channels_last)
    if torch.is_grad_enabled() and (x.requires_grad or norm.weight.requires_grad or norm.bias.requires_grad):
        return _Pooled.apply(x, norm.weight, norm.bias, norm)  # type: ignore[no-any-return, no-untyped-call]
    return _forward(x, norm)[0]


class _Pooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, _: Tensor, norm: nn.BatchNorm2d) -> Tensor:
        out, ctx.terms, ctx.mean, ctx.deviation = _forward(x, norm)
        ctx.training = norm.training
        ctx.save_for_backward(x, weight)  # the weight, so that autograd sees if it was changed
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, up: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        return *_backward(
            up, x, weight, ctx.terms, ctx.mean, ctx.deviation, ctx.training, ctx.needs_input_grad[0]
        ), None


@np.errstate(all="ignore")  # numbers that have grown beyond all bounds: torch says nothing either
def _forward(x: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor, Array, Array]:
    """The result, the kernels' terms, and each channel's mean and deviation by which it was normalised."""
    x, (batch, channels, height, width) = x.detach(), x.shape
    tasks = _tasks(x)
    if norm.training:
        count = batch * height * width
        sums = x.new_empty(tasks, 2, channels, dtype=torch.float64)
        spread(_kernel(_sums_work), tasks, (), _last(x).view(1, count, channels), sums)
        # In float64, where the difference of two large numbers is still exact enough; NumPy adds in the tasks' order always.
        mean, square = sums.numpy().sum(axis=0) / count
        variance = np.maximum(square - mean * mean, 0)
        with torch.no_grad():
            norm.num_batches_tracked.add_(1)  # type: ignore[union-attr]
            for running, now in (norm.running_mean, mean), (norm.running_var, variance * (count / (count - 1))):
                running.lerp_(_single(now), norm.momentum)  # type: ignore[union-attr, arg-type]
    else:
        mean, variance = (t.numpy().astype(np.float64) for t in (norm.running_mean, norm.running_var))  # type: ignore[union-attr]
    deviation = np.sqrt(variance + norm.eps)
    scale = norm.weight.detach().numpy() / deviation
    terms = x.new_zeros(1, 5, channels)
    terms.numpy()[0, :2] = scale, norm.bias.detach().numpy() - mean * scale
    out = torch.empty((batch, channels, height // 2, width // 2), dtype=x.dtype, memory_format=torch.channels_last)
    spread(_kernel(_pool_work), tasks, (), _last(x), terms, _last(out))
    return out, terms, mean, deviation


@np.errstate(all="ignore")
def _backward(
    up: Tensor, x: Tensor, weight: Tensor, terms: Tensor, mean: Array, deviation: Array, training: bool, need: bool
) -> tuple[Tensor | None, Tensor, Tensor]:
    """The gradients of x, where there is need, and of the normalisation's weight and bias."""
    up, tasks = up.contiguous(memory_format=torch.channels_last), _tasks(x)
    sums = x.new_empty(tasks, 2, x.shape[1], dtype=torch.float64)
    spread(_kernel(_back_sums_work), tasks, (), _last(x), terms, _last(up), sums)
    total, product = sums.numpy().sum(axis=0)
    product = (product - mean * total) / deviation  # with the normalised y
    dx = None
    if need:
        if training:  # mean and variance are the batch's own
            share = weight.detach().numpy() / deviation / (x.numel() // x.shape[1])
            terms = terms.clone()
            terms.numpy()[0, 2:] = mean, -share * product / deviation, -share * total
        dx = torch.empty_like(x, memory_format=torch.channels_last)
        spread(_kernel(_back_work), tasks, (), _last(x), terms, _last(up), _last(dx))
    return dx, _single(product), _single(total)


def probe() -> None:
    """Compiles, or loads what was compiled before, and computes a few maps with gradients.

    Raises:
        RuntimeError: If the result is not torch's.
    """
    with torch.inference_mode(False), torch.enable_grad():  # whoever computes first may want no gradients
        norm = nn.BatchNorm2d(LANES + 1, device="cpu", dtype=torch.float32)
        x = (
            torch.arange(2.0 * (LANES + 1) * 9, device="cpu", dtype=torch.float64)
            .sin()
            .view(2, -1, 3, 3)
            .requires_grad_()
        )
        result = pooled(x.float(), norm)
        wanted = F.max_pool2d(F.batch_norm(torch.relu(x), None, None, training=True, eps=norm.eps), 2)
        for found, right in ((result, wanted), [torch.autograd.grad(y.square().sum(), x)[0] for y in (result, wanted)]):
            if not torch.allclose(found.double(), right, rtol=0, atol=1e-5):
                raise RuntimeError("the highest of normalised maps, or their gradients, are wrong")


def _single(numbers: Array) -> Tensor:
    return torch.from_numpy(numbers.astype(np.float32))


def _last(maps: Tensor) -> Tensor:
    """Channels last, which they are in memory already."""
    return maps.permute(0, 2, 3, 1)


def _tasks(x: Tensor) -> int:
    return min(MOST, max(1, x.numel() * x.element_size() // TASK))
