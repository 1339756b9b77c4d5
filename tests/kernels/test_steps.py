"""The kernels against the NumPy formulas of `hybridnets.kernels.steps`, and these against torch."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hybridnets.kernels import steps, tanh
from hybridnets.rnn import GRU, LSTM, RNN

LAYERS: list[tuple[str, Any, dict[str, str]]] = [
    ("RNN_TANH", RNN, {}),
    ("RNN_RELU", RNN, {"nonlinearity": "relu"}),
    ("LSTM", LSTM, {}),
    ("GRU", GRU, {}),
]


def test_every_cell_of_the_kernels_has_its_formulas() -> None:
    cells = pytest.importorskip("hybridnets.kernels.cpu.cells", exc_type=ImportError)
    assert set(cells.CELLS) == set(steps.CELLS)


@pytest.mark.parametrize(("cell", "layer", "arguments"), LAYERS)
@pytest.mark.parametrize("backend", ["torch", "fused"])
def test_output_and_gradients_are_the_formulas(cell: str, layer: Any, arguments: dict[str, str], backend: str) -> None:
    if backend == "fused":
        pytest.importorskip("numba")
    torch.manual_seed(0)
    module = layer(3, 5, backend=backend, **arguments).double().requires_grad_()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x = torch.randn(4, 19, 3, dtype=torch.float64, requires_grad=True)
    up = torch.randn(4, 5, dtype=torch.float64)
    output = module(x)
    results: tuple[Tensor, ...] = torch.autograd.grad(output, [x, *module.parameters()], up)
    weights, sequence = [parameter.detach().numpy() for parameter in module.parameters()], x.detach().numpy()
    np.testing.assert_allclose(
        output.detach().numpy(), steps.states(cell, weights, sequence)[-1], rtol=1e-10, atol=1e-12
    )
    for result, expected in zip(results, steps.gradients(cell, weights, sequence, up.numpy()), strict=True):
        np.testing.assert_allclose(result.numpy(), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("size", [(8, 8), (7, 5)])
def test_a_convolution_block_is_the_formula(size: tuple[int, int]) -> None:
    blocks = pytest.importorskip("hybridnets.kernels.cpu.blocks", exc_type=ImportError)
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm2d(17, eps=1e-3)
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(3, 17, *size, requires_grad=True)
    output = blocks.relu_norm_pool(x, norm)
    up = torch.randn_like(output)
    results = torch.autograd.grad(output, [x, norm.weight, norm.bias], up)
    last = [t.detach().double().permute(0, 2, 3, 1).numpy() for t in (output, x, up, results[0])]
    weight, bias = (p.detach().double().numpy() for p in (norm.weight, norm.bias))
    np.testing.assert_allclose(last[0], steps.block(last[1], weight, bias, 1e-3), rtol=1e-4, atol=1e-5)
    expected = steps.block_back(last[1], weight, bias, 1e-3, last[2])
    for result, right in zip((last[3], results[1].numpy(), results[2].numpy()), expected, strict=True):
        np.testing.assert_allclose(result, right, rtol=1e-4, atol=1e-4)


def test_the_approximation_of_tanh_is_close_everywhere() -> None:
    x = np.linspace(-20, 20, 100_001, dtype=np.float32)
    assert np.abs(tanh.approximate_tanh(x) - np.tanh(x.astype(np.float64))).max() < 4e-7
    small = np.logspace(-30, -3, 1000, dtype=np.float32)
    np.testing.assert_allclose(tanh.approximate_tanh(small), np.tanh(small.astype(np.float64)), rtol=3e-7)
