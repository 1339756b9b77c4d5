"""What follows a block's convolution, on CPU maps: ReLU, batch normalisation and 2x2 maximum pooling in one operation.

Torch's layers pass over the full-size maps about twelve times in a training step, and wait for memory. Here the forward pass
reads the maps twice (sums; the result, a quarter their size), and the backward pass reads them twice and writes them once.
Only the convolution's output is kept: the same instructions work out again which pixel of a window was the highest.
`hybridnets.kernels.steps.block` has the same operation as a formula.

Arrays end in the channels (channels_last), which are the vectors' lanes: sixteen at a time, the rest one by one. The number
of tasks follows from the maps' shape, and their sums are added in the tasks' order, so the number of threads changes no bit.

    x, dx     maps and their gradient, (B, H, W, C)
    out, up   pooled maps and the gradient of the result, (B, H // 2, W // 2, C)
    terms     (1, 5, C): scale and shift of the normalisation; for the gradient, mean, factor of the distance from it, shift
    sums      (tasks, 2, C), float64
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from llvmlite import ir
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hybridnets.kernels.cpu.tasks import Kernel, Signature, claim_task, flush_denormals, restore_denormals
from hybridnets.kernels.cpu.threads import run_tasks
from hybridnets.kernels.cpu.vectors import Array, Rows, Vector, inline, vectors

__all__ = ["probe", "relu_norm_pool"]

LANES = 16
TASK_BYTES = 1 << 16  # of maps a task is given, about
MOST_TASKS = 64
PIXELS = 4  # added up in registers


def _relu(x: Vector) -> Vector:
    return _where_positive(x, x)


def _where_positive(x: Vector, value: Vector) -> Vector:
    """The value where x is positive or NaN, as with torch; zero elsewhere."""
    zero = x.constant(0.0).value
    return Vector(x.builder, x.builder.select(x.builder.fcmp_ordered("<=", x.value, zero), zero, value.value))


def _to_double(x: Vector) -> Vector:
    return Vector(x.builder, x.builder.fpext(x.value, ir.VectorType(ir.DoubleType(), x.value.type.count)))


def _window(x: Rows, i: Any, j: Any) -> list[tuple[Any, Any]]:
    """Row and column of the four pixels of a window, row by row."""
    builder = x.builder
    rows, columns = (
        (first, builder.add(first, x.integer(1))) for first in (builder.mul(k, x.integer(2)) for k in (i, j))
    )
    return [(row, column) for row in rows for column in columns]


def _highest(ys: list[Vector], scale: Vector, shift: Vector) -> tuple[Vector, Vector, list[Any]]:
    """The highest of y * scale + shift, its y, and for every y but the first whether it is above those before it.

    Torch takes the first of equal values and the last NaN, and so does this. It multiplies and adds in two steps, never
    fused, so that all passes decide alike.
    """
    builder = scale.builder
    values = [builder.fadd(builder.fmul(y.value, scale.value), shift.value) for y in ys]
    best, best_y, is_above = values[0], ys[0].value, []
    for y, value in zip(ys[1:], values[1:], strict=True):
        higher = builder.or_(builder.fcmp_ordered(">", value, best), builder.fcmp_unordered("uno", value, value))
        best, best_y = builder.select(higher, value, best), builder.select(higher, y.value, best_y)
        is_above.append(higher)
    return Vector(builder, best), Vector(builder, best_y), is_above


# The following write what happens to the channels from c on.


def _add_pixels(count: int) -> Any:
    """The function for `count` pixels."""

    def add(c: Any, sums: Rows, task: Any, x: Rows, p: Any) -> None:
        """sums[task] += y and y^2 of the pixels from p on, where y = relu(x)."""
        ys = [_to_double(_relu(x[0, x.builder.add(p, x.integer(i)), c])) for i in range(count)]
        first, second = ys[0], ys[0] * ys[0]
        for y in ys[1:]:
            first, second = first + y, second + y * y
        sums[task, 0, c] = sums[task, 0, c] + first
        sums[task, 1, c] = sums[task, 1, c] + second

    return add


def _pool(c: Any, out: Rows, image: Any, i: Any, j: Any, x: Rows, terms: Rows) -> None:
    """out = the highest value of a window."""
    ys = [_relu(x[image, row, column, c]) for row, column in _window(x, i, j)]
    out[image, i, j, c] = _highest(ys, terms[0, 0, c], terms[0, 1, c])[0]


def _add_gradients(c: Any, sums: Rows, task: Any, image: Any, i: Any, j: Any, x: Rows, up: Rows, terms: Rows) -> None:
    """sums[task] += a window's gradient, and its product with the y of the highest pixel."""
    ys = [_relu(x[image, row, column, c]) for row, column in _window(x, i, j)]
    y = _highest(ys, terms[0, 0, c], terms[0, 1, c])[1]
    gradient = _to_double(up[image, i, j, c])
    sums[task, 0, c] = sums[task, 0, c] + gradient
    sums[task, 1, c] = sums[task, 1, c] + gradient * _to_double(y)


def _by_statistics(c: Any, y: Vector, terms: Rows) -> Vector:
    """The gradient of y by way of mean and variance."""
    return (y - terms[0, 2, c]) * terms[0, 3, c] + terms[0, 4, c]


def _pool_back(c: Any, dx: Rows, image: Any, i: Any, j: Any, x: Rows, up: Rows, terms: Rows) -> None:
    """dx = the gradients of a window."""
    builder, pixels = x.builder, _window(x, i, j)
    xs = [x[image, row, column, c] for row, column in pixels]
    ys = [_relu(value) for value in xs]
    scale = terms[0, 0, c]
    is_above = _highest(ys, scale, terms[0, 1, c])[2]
    remaining = up[image, i, j, c] * scale  # goes to the last pixel that is above those before it
    zero = remaining.constant(0.0).value
    for k in (3, 2, 1, 0):
        gradient = remaining
        if k:
            gradient = Vector(builder, builder.select(is_above[k - 1], remaining.value, zero))
            remaining = Vector(builder, builder.select(is_above[k - 1], zero, remaining.value))
        dx[image, pixels[k][0], pixels[k][1], c] = _where_positive(xs[k], _by_statistics(c, ys[k], terms) + gradient)


def _pixel_back(c: Any, dx: Rows, image: Any, row: Any, column: Any, x: Rows, terms: Rows) -> None:
    """dx = the gradient of a pixel that no window reads, in an odd last row or column."""
    value = x[image, row, column, c]
    dx[image, row, column, c] = _where_positive(value, _by_statistics(c, _relu(value), terms))


def _all_channels(body: Any) -> Any:
    """The function for all channels: a vector at a time, the rest one by one."""
    wide, narrow = vectors(body, LANES), vectors(body, 1)

    def loop(channels: int, *arguments: Any) -> None:
        c = 0
        while c + LANES <= channels:
            wide(c, *arguments)
            c += LANES
        while c < channels:
            narrow(c, *arguments)
            c += 1

    return inline(loop)


_add_several, _add_pixel, _pool_window, _add_window = map(
    _all_channels, (_add_pixels(PIXELS), _add_pixels(1), _pool, _add_gradients)
)
_window_back, _unread_back = map(_all_channels, (_pool_back, _pixel_back))

# What a thread does. A task is a range of pixels, or of the windows' rows.

_SUMS = Signature(x=3, sums=3, double=("sums",))  # x: (1, pixels, C)
_POOL = Signature(x=4, terms=3, out=4)
_BACK_SUMS = Signature(x=4, terms=3, up=4, sums=3, double=("sums",))
_BACK = Signature(x=4, terms=3, up=4, dx=4)
_read_sums, _read_pool, _read_back_sums, _read_back = (
    signature.reader() for signature in (_SUMS, _POOL, _BACK_SUMS, _BACK)
)


def _sums_work(pointer: Any) -> None:
    a, setting = _read_sums(pointer, np.float32), flush_denormals()
    pixels, channels = a.x.shape[1], a.x.shape[2]
    task = claim_task(pointer)
    while task < a.tasks:
        for c in range(channels):  # a slice takes longer to compile
            a.sums[task, 0, c] = a.sums[task, 1, c] = 0
        p, end = pixels * task // a.tasks, pixels * (task + 1) // a.tasks
        while p + PIXELS <= end:
            _add_several(channels, a.sums, task, a.x, p)
            p += PIXELS
        while p < end:
            _add_pixel(channels, a.sums, task, a.x, p)
            p += 1
        task = claim_task(pointer)
    restore_denormals(setting)


def _pool_work(pointer: Any) -> None:
    a, setting = _read_pool(pointer, np.float32), flush_denormals()
    high, rows = a.out.shape[1], a.out.shape[0] * a.out.shape[1]
    task = claim_task(pointer)
    while task < a.tasks:
        for row in range(rows * task // a.tasks, rows * (task + 1) // a.tasks):
            for j in range(a.out.shape[2]):
                _pool_window(a.out.shape[3], a.out, row // high, row % high, j, a.x, a.terms)
        task = claim_task(pointer)
    restore_denormals(setting)


def _back_sums_work(pointer: Any) -> None:
    a, setting = _read_back_sums(pointer, np.float32), flush_denormals()
    high, rows, channels = a.up.shape[1], a.up.shape[0] * a.up.shape[1], a.up.shape[3]
    task = claim_task(pointer)
    while task < a.tasks:
        for c in range(channels):  # a slice takes longer to compile
            a.sums[task, 0, c] = a.sums[task, 1, c] = 0
        for row in range(rows * task // a.tasks, rows * (task + 1) // a.tasks):
            for j in range(a.up.shape[2]):
                _add_window(channels, a.sums, task, row // high, row % high, j, a.x, a.up, a.terms)
        task = claim_task(pointer)
    restore_denormals(setting)


def _back_work(pointer: Any) -> None:
    a, setting = _read_back(pointer, np.float32), flush_denormals()
    channels = a.x.shape[3]
    high = (a.x.shape[1] + 1) // 2
    rows = a.x.shape[0] * high
    task = claim_task(pointer)
    while task < a.tasks:
        for row in range(rows * task // a.tasks, rows * (task + 1) // a.tasks):
            image, i = row // high, row % high
            windows = a.up.shape[2] if i < a.up.shape[1] else 0
            for j in range(windows):
                _window_back(channels, a.dx, image, i, j, a.x, a.up, a.terms)
            for line in range(2 * i, min(2 * i + 2, a.x.shape[1])):
                for column in range(2 * windows, a.x.shape[2]):
                    _unread_back(channels, a.dx, image, line, column, a.x, a.terms)
        task = claim_task(pointer)
    restore_denormals(setting)


@functools.cache
def _kernel(signature: Signature, work: Callable[[Any], None]) -> Kernel:
    return Kernel(signature, work, np.float32)


def relu_norm_pool(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """2x2 maximum pooling of `norm(relu(x))`, (B, C, H, W) to (B, C, H // 2, W // 2), channels_last.

    Args:
        x: float32 on a CPU; B is at least 1, H and W at least 2.
        norm: Has a momentum, and weight, bias and running statistics in float32 on the CPU; in training the statistics change
        as
            torch changes them.
    """
    x = x.contiguous(memory_format=torch.channels_last)
    if torch.is_grad_enabled() and (x.requires_grad or norm.weight.requires_grad or norm.bias.requires_grad):
        return _Pooled.apply(x, norm.weight, norm.bias, norm)  # type: ignore[no-any-return]
    return _forward(x, norm)[0]


class _Pooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, _: Tensor, norm: nn.BatchNorm2d) -> Tensor:
        out, ctx.terms, ctx.mean, ctx.deviation = _forward(x, norm)
        ctx.training = norm.training
        ctx.save_for_backward(x, weight)  # with the weight, so that autograd notices if it changes
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, up: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        return *_backward(
            up, x, weight, ctx.terms, ctx.mean, ctx.deviation, ctx.training, ctx.needs_input_grad[0]
        ), None


@np.errstate(all="ignore")  # torch does not warn of values that overflow either
def _forward(x: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor, Array, Array]:
    """The result, the kernels' terms, and the mean and deviation by which each channel was normalised."""
    x, (batch, channels, height, width) = x.detach(), x.shape
    tasks = _task_count(x)
    if norm.training:
        count = batch * height * width
        sums = x.new_empty(tasks, 2, channels, dtype=torch.float64)
        run_tasks(_kernel(_SUMS, _sums_work), tasks, x=_channels_last(x).view(1, count, channels), sums=sums)
        # In float64 the difference of two large values is still exact enough; NumPy adds in the order of the tasks.
        mean, square = sums.numpy().sum(axis=0) / count
        variance = np.maximum(square - mean * mean, 0)
        with torch.no_grad():
            norm.num_batches_tracked.add_(1)  # type: ignore[union-attr]
            unbiased = variance * (count / (count - 1))
            for running, batch_value in (norm.running_mean, mean), (norm.running_var, unbiased):
                running.lerp_(_single(batch_value), norm.momentum)  # type: ignore[union-attr, arg-type]
    else:
        mean, variance = (t.numpy().astype(np.float64) for t in (norm.running_mean, norm.running_var))  # type: ignore[union-attr]
    deviation = np.sqrt(variance + norm.eps)
    scale = norm.weight.detach().numpy() / deviation
    terms = x.new_zeros(1, 5, channels)
    terms.numpy()[0, :2] = scale, norm.bias.detach().numpy() - mean * scale
    out = torch.empty((batch, channels, height // 2, width // 2), dtype=x.dtype, memory_format=torch.channels_last)
    run_tasks(_kernel(_POOL, _pool_work), tasks, x=_channels_last(x), terms=terms, out=_channels_last(out))
    return out, terms, mean, deviation


@np.errstate(all="ignore")
def _backward(
    up: Tensor,
    x: Tensor,
    weight: Tensor,
    terms: Tensor,
    mean: Array,
    deviation: Array,
    training: bool,
    needs_input: bool,
) -> tuple[Tensor | None, Tensor, Tensor]:
    """The gradients of x, where needed, and of the normalisation's weight and bias."""
    up, tasks = up.contiguous(memory_format=torch.channels_last), _task_count(x)
    sums = x.new_empty(tasks, 2, x.shape[1], dtype=torch.float64)
    run_tasks(
        _kernel(_BACK_SUMS, _back_sums_work),
        tasks,
        x=_channels_last(x),
        terms=terms,
        up=_channels_last(up),
        sums=sums,
    )
    total, product = sums.numpy().sum(axis=0)
    product = (product - mean * total) / deviation  # of the gradient and the normalised y
    dx = None
    if needs_input:
        if training:  # mean and variance are the batch's own
            share = weight.detach().numpy() / deviation / (x.numel() // x.shape[1])
            terms = terms.clone()
            terms.numpy()[0, 2:] = mean, -share * product / deviation, -share * total
        dx = torch.empty_like(x, memory_format=torch.channels_last)
        run_tasks(
            _kernel(_BACK, _back_work),
            tasks,
            x=_channels_last(x),
            terms=terms,
            up=_channels_last(up),
            dx=_channels_last(dx),
        )
    return dx, _single(product), _single(total)


def probe() -> None:
    """Compiles the kernels, or loads them from the cache, and computes a few maps with gradients.

    Raises:
        RuntimeError: If the result is not torch's.
    """
    with torch.inference_mode(False), torch.enable_grad():  # the first caller may be under no_grad
        norm = nn.BatchNorm2d(LANES + 1, device="cpu", dtype=torch.float32)
        x = (
            torch.arange(2.0 * (LANES + 1) * 9, device="cpu", dtype=torch.float64)
            .sin()
            .view(2, -1, 3, 3)
            .requires_grad_()
        )
        result = relu_norm_pool(x.float(), norm)
        expected = F.max_pool2d(F.batch_norm(torch.relu(x), None, None, training=True, eps=norm.eps), 2)
        gradient, expected_gradient = (torch.autograd.grad(y.square().sum(), x)[0] for y in (result, expected))
        for values, right in ((result, expected), (gradient, expected_gradient)):
            if not torch.allclose(values.double(), right, rtol=0, atol=1e-5):
                raise RuntimeError("pooled maps or their gradients are not torch's")


def _single(values: Array) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _channels_last(maps: Tensor) -> Tensor:
    """A view with the channels last, (B, C, H, W) to (B, H, W, C), as they lie in memory."""
    return maps.permute(0, 2, 3, 1)


def _task_count(x: Tensor) -> int:
    return min(MOST_TASKS, max(1, x.numel() * x.element_size() // TASK_BYTES))
