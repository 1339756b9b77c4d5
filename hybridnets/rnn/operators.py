"""Recurrent layers as ONNX operators, one for each layer, which is how torch.onnx.export(dynamo=True) writes them.

torch would look into its layers step by step: of 1,024 steps it writes 1,024 copies for an RNN, and takes a minute for an LSTM.
So while it records a graph for ONNX, these functions state the operator themselves. Nothing is computed here.

Source:
    The operators RNN, LSTM and GRU: https://onnx.ai/onnx/operators/, which order gates in another way than torch.
"""

from typing import Any

import torch
from torch import Tensor, nn

# Where each of ONNX's gates is among torch's: input, output, forget, cell of LSTM; update, reset, hidden of GRU.
GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN_TANH": (0,), "RNN_RELU": (0,)}


def recorded(layer: nn.RNNBase, sequence: Tensor) -> list[Tensor]:
    """The last states of the last layer, each (B, H): of a bidirectional one that of the forward half first.

    Args:
        layer: torch's LSTM, GRU or RNN, with biases and without projections or dropout.
        sequence: (B, T, I).
    """
    batch, steps, _ = sequence.shape
    directions, size = 1 + layer.bidirectional, layer.hidden_size
    operator, _, nonlinearity = layer.mode.partition("_")
    attributes: dict[str, Any] = {
        "hidden_size": size,
        "direction": "bidirectional" if layer.bidirectional else "forward",
    }
    if nonlinearity:
        attributes["activations"] = [nonlinearity.title()] * directions
    if operator == "GRU":
        attributes["linear_before_reset"] = 1  # torch's GRU resets what the recurrent weights give, as Keras's default
    outputs = sequence.transpose(0, 1)  # (T, B, I)
    for number in range(layer.num_layers):
        names = [f"l{number}{half}" for half in ("", "_reverse")[:directions]]
        weights = [
            torch.stack([_reordered(layer, f"{kind}_{name}") for name in names]) for kind in ("weight_ih", "weight_hh")
        ]
        bias = torch.stack(
            [torch.cat([_reordered(layer, f"{kind}_{name}") for kind in ("bias_ih", "bias_hh")]) for name in names]
        )
        every, last, *_ = torch.onnx.ops.symbolic_multi_out(
            operator,
            (outputs, *weights, bias),
            attributes,
            dtypes=(sequence.dtype,) * 2,
            shapes=((steps, directions, batch, size), (directions, batch, size)),
        )
        outputs = every.transpose(1, 2).flatten(2)  # (T, B, D * H)
    return list(last)


def _reordered(layer: nn.RNNBase, name: str) -> Tensor:
    """A weight or a bias, (gates * H, ...), with its gates in ONNX's order."""
    gates = getattr(layer, name).chunk(len(GATES[layer.mode]))
    return torch.cat([gates[k] for k in GATES[layer.mode]])
