"""The layers against the textbook equations in numpy, not against torch's own."""

from typing import Any

import numpy as np
import pytest
import torch

from hybridnets.kernels.steps import states
from hybridnets.rnn import GRU, LSTM, RNN


@pytest.mark.parametrize(("layer", "cell"), [(RNN, "RNN_TANH"), (LSTM, "LSTM"), (GRU, "GRU")])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_final_output_is_the_equations(layer: Any, cell: str, bidirectional: bool, num_layers: int) -> None:
    torch.manual_seed(0)
    module = layer(input_size=3, hidden_size=5, num_layers=num_layers, bidirectional=bidirectional).double()
    for parameter in module.parameters():  # biases too, or a bias that is not added would go unseen
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter)
    x = torch.randn(4, 7, 3, dtype=torch.float64)
    sequence, weights = x.numpy(), {k: v.detach().numpy() for k, v in module.named_parameters()}
    for number in range(num_layers):
        halves = []
        for suffix in ("", "_reverse")[: 2 if bidirectional else 1]:
            w = [weights[f"{kind}_l{number}{suffix}"] for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            sequence_states = states(cell, w, sequence[:, ::-1] if suffix else sequence)
            # The final output takes each half's own last state; the next layer reads both at the same position.
            halves.append((sequence_states[-1], np.stack(sequence_states[::-1] if suffix else sequence_states, axis=1)))
        final = np.concatenate([last for last, _ in halves], axis=1)
        sequence = np.concatenate([outputs for _, outputs in halves], axis=2)
    np.testing.assert_allclose(module(x).detach().numpy(), final, rtol=1e-10, atol=1e-12)
    assert module.output_size == final.shape[1]


@pytest.mark.parametrize(("layer", "count"), [(RNN, 2 * 16 * 18), (LSTM, 2304), (GRU, 2 * 3 * (16 + 256 + 32))])
def test_keras_counts_of_two_directions_of_sixteen(layer: Any, count: int) -> None:
    module = layer(1, 16, bidirectional=True)
    assert sum(p.numel() for p in module.parameters() if p.requires_grad) == count


def test_initialisation_is_keras() -> None:
    module = LSTM(8, 16, num_layers=2, bidirectional=True)
    for name, parameter in module.named_parameters():
        value = parameter.detach().numpy()
        if name.startswith("weight_ih"):
            limit = np.sqrt(6 / (value.shape[1] + 4 * 16))  # Glorot over all four gates together
            assert 0.9 * limit < np.abs(value).max() <= limit
        elif name.startswith("weight_hh"):
            np.testing.assert_allclose(value.T @ value, np.eye(16), atol=1e-5)
        else:
            forget = np.repeat([0.0, float(name.startswith("bias_ih")), 0.0, 0.0], 16)
            np.testing.assert_array_equal(value, forget)
            assert parameter.requires_grad == name.startswith("bias_ih")


@pytest.mark.parametrize(("ours", "torchs"), [(RNN, torch.nn.RNN), (LSTM, torch.nn.LSTM), (GRU, torch.nn.GRU)])
def test_loads_torch_weights(ours: Any, torchs: Any) -> None:
    theirs = torchs(2, 3, num_layers=2, batch_first=True, bidirectional=True)
    ours = ours(2, 3, num_layers=2, bidirectional=True)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 4, 2)
    output = theirs(x)[0]
    torch.testing.assert_close(ours(x), torch.cat([output[:, -1, :3], output[:, 0, 3:]], dim=1))


@pytest.mark.parametrize("layer", [RNN, LSTM, GRU])
@pytest.mark.parametrize("sizes", [{"hidden_size": 0}, {"hidden_size": 1025}, {"num_layers": 0}, {"hidden_size": 1.5}])
def test_sizes_out_of_range_are_named(layer: Any, sizes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(sizes))} must be a whole number from 1 to 1,024, got"):
        layer(**{"input_size": 1, "hidden_size": 4, **sizes})


@pytest.mark.parametrize("layer", [RNN, LSTM, GRU])
def test_smallest_and_largest(layer: Any) -> None:
    assert layer(1, 1)(torch.randn(2, 3, 1)).shape == (2, 1)
    assert layer(1, 1024, bidirectional=True)(torch.randn(2, 1, 1)).shape == (2, 2048)
