"""What the kernels compute, as plain NumPy formulas: one step of each recurrent cell, and a convolution block.

These are for reading and for tests, which compare the kernels with them. A cell's step takes

    x_part, h_part    w_ih x + b_ih and w_hh h + b_hh, (B, gates * H); the gates in torch's order
    h, c              the state and an LSTM's cell state before the step, (B, H)

and returns h and c after it. The function that ends in `_back` takes the same and dh and dc, the gradients of h and c after
the step. It returns the gradients of x_part, h_part, h and c, where that of h leaves out the way through h_part.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CELLS", "block", "block_back", "gradients", "states"]

Array = NDArray[Any]


def sigmoid(x: Array) -> Array:
    """The logistic function."""
    return 1 / (1 + np.exp(-x))


def rnn_tanh(x_part: Array, h_part: Array, h: Array, c: Array) -> tuple[Array, Array]:  # noqa: ARG001
    """Elman's cell."""
    return np.tanh(x_part + h_part), c


def rnn_tanh_back(x_part: Array, h_part: Array, h: Array, c: Array, dh: Array, dc: Array) -> tuple[Array, ...]:  # noqa: ARG001
    """Its gradients."""
    dz = dh * (1 - np.tanh(x_part + h_part) ** 2)
    return dz, dz, np.zeros_like(dh), dc


def rnn_relu(x_part: Array, h_part: Array, h: Array, c: Array) -> tuple[Array, Array]:  # noqa: ARG001
    """Elman's cell with ReLU."""
    return np.maximum(x_part + h_part, 0), c


def rnn_relu_back(x_part: Array, h_part: Array, h: Array, c: Array, dh: Array, dc: Array) -> tuple[Array, ...]:  # noqa: ARG001
    """Its gradients."""
    dz = np.where(x_part + h_part > 0, dh, 0)
    return dz, dz, np.zeros_like(dh), dc


def lstm(x_part: Array, h_part: Array, h: Array, c: Array) -> tuple[Array, Array]:  # noqa: ARG001
    """Long short-term memory; gates: input, forget, cell, output."""
    i, f, g, o = np.split(x_part + h_part, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def lstm_back(x_part: Array, h_part: Array, h: Array, c: Array, dh: Array, dc: Array) -> tuple[Array, ...]:
    """Its gradients."""
    i, f, g, o = np.split(x_part + h_part, 4, axis=1)
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    squashed = np.tanh(lstm(x_part, h_part, h, c)[1])
    dc = dc + dh * o * (1 - squashed**2)
    di, df, dg = dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2)
    do = dh * squashed * o * (1 - o)
    dz = np.concatenate([di, df, dg, do], axis=1)
    return dz, dz, np.zeros_like(dh), dc * f


def gru(x_part: Array, h_part: Array, h: Array, c: Array) -> tuple[Array, Array]:
    """Gated recurrent unit; gates: reset, update, new. The reset gate multiplies the state's part of new (reset_after)."""
    (xr, xz, xn), (hr, hz, hn) = np.split(x_part, 3, axis=1), np.split(h_part, 3, axis=1)
    r, z = sigmoid(xr + hr), sigmoid(xz + hz)
    return (1 - z) * np.tanh(xn + r * hn) + z * h, c


def gru_back(x_part: Array, h_part: Array, h: Array, c: Array, dh: Array, dc: Array) -> tuple[Array, ...]:  # noqa: ARG001
    """Its gradients."""
    (xr, xz, xn), (hr, hz, hn) = np.split(x_part, 3, axis=1), np.split(h_part, 3, axis=1)
    r, z = sigmoid(xr + hr), sigmoid(xz + hz)
    n = np.tanh(xn + r * hn)
    dn = dh * (1 - z) * (1 - n**2)
    dr, dz = dn * hn * r * (1 - r), dh * (h - n) * z * (1 - z)
    return np.concatenate([dr, dz, dn], axis=1), np.concatenate([dr, dz, dn * r], axis=1), dh * z, dc


CELLS: dict[str, tuple[Callable[..., tuple[Array, Array]], Callable[..., tuple[Array, ...]]]] = {  # by torch's name
    "RNN_TANH": (rnn_tanh, rnn_tanh_back),
    "RNN_RELU": (rnn_relu, rnn_relu_back),
    "LSTM": (lstm, lstm_back),
    "GRU": (gru, gru_back),
}


def states(cell: str, weights: Sequence[Array], x: Array) -> list[Array]:
    """The states of one layer and direction after each step, each (B, H).

    Args:
        cell: A key of `CELLS`.
        weights: weight_ih (gates * H, I), weight_hh (gates * H, H), bias_ih and bias_hh (gates * H,), as torch has them.
        x: A sequence, (B, T, I).
    """
    return [h for h, _ in _walk(cell, weights, x)[1:]]


def gradients(cell: str, weights: Sequence[Array], x: Array, dh: Array) -> list[Array]:
    """The gradients of x and of the weights, given that of the last state, (B, H); other arguments as in `states`."""
    w_ih, w_hh, _, _ = weights
    dx, dw = np.zeros_like(x), [np.zeros_like(w) for w in weights]
    dc = np.zeros_like(dh)
    before = _walk(cell, weights, x)
    for t in reversed(range(x.shape[1])):
        h, c = before[t]
        x_part, h_part = _parts(weights, x[:, t], h)
        dx_part, dh_part, dh, dc = CELLS[cell][1](x_part, h_part, h, c, dh, dc)
        dx[:, t] = dx_part @ w_ih
        dh = dh + dh_part @ w_hh
        for total, term in zip(dw, (dx_part.T @ x[:, t], dh_part.T @ h, dx_part.sum(0), dh_part.sum(0)), strict=True):
            total += term
    return [dx, *dw]


def _parts(weights: Sequence[Array], x: Array, h: Array) -> tuple[Array, Array]:
    w_ih, w_hh, b_ih, b_hh = weights
    return x @ w_ih.T + b_ih, h @ w_hh.T + b_hh


def _walk(cell: str, weights: Sequence[Array], x: Array) -> list[tuple[Array, Array]]:
    """h and c before the first step and after each."""
    h = c = np.zeros((len(x), weights[1].shape[1]), x.dtype)
    steps = [(h, c)]
    for t in range(x.shape[1]):
        h, c = CELLS[cell][0](*_parts(weights, x[:, t], h), h, c)
        steps.append((h, c))
    return steps


def block(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    """ReLU, batch normalisation by the batch's statistics, and 2x2 maximum pooling, (B, H, W, C) to (B, H // 2, W // 2, C).

    Args:
        x: What a convolution gave, the channels last.
        weight: Factors of the normalised channels, (C,).
        bias: What is added to them, (C,).
        eps: Added to the variance.
    """
    return _windows(_normalised(np.maximum(x, 0), eps)[0] * weight + bias).max(axis=3)  # type: ignore[no-any-return]


def block_back(x: Array, weight: Array, bias: Array, eps: float, up: Array) -> tuple[Array, Array, Array]:
    """The gradients of x, weight and bias, given that of the result."""
    y_hat, deviation = _normalised(np.maximum(x, 0), eps)
    highest = _windows(y_hat * weight + bias).argmax(axis=3)  # the first of equal values
    dz = np.zeros_like(x)
    for pixel, (row, column) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        dz[:, row : up.shape[1] * 2 : 2, column : up.shape[2] * 2 : 2] = np.where(highest == pixel, up, 0)
    dy = weight / deviation * (dz - dz.mean((0, 1, 2)) - y_hat * (dz * y_hat).mean((0, 1, 2)))
    return np.where(x > 0, dy, 0), (dz * y_hat).sum((0, 1, 2)), dz.sum((0, 1, 2))


def _normalised(y: Array, eps: float) -> tuple[Array, Array]:
    """Maps with mean zero and variance one in each channel, and the deviation by which they were divided."""
    deviation = np.sqrt(y.var((0, 1, 2)) + eps)
    return (y - y.mean((0, 1, 2))) / deviation, deviation


def _windows(z: Array) -> Array:
    """The four pixels of each 2x2 window, row by row, (B, H, W, C) to (B, H // 2, W // 2, 4, C)."""
    batch, height, width, channels = z.shape
    h, w = height // 2, width // 2
    windows = z[:, : 2 * h, : 2 * w].reshape(batch, h, 2, w, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    return windows.reshape(batch, h, w, 4, channels)
