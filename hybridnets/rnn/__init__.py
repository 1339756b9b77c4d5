"""Recurrent layers with one contract: a sequence in, its final output out.

`LSTM(input_size, hidden_size, num_layers, bidirectional)` maps (B, T, I) to (B, D * H), with D = 2 for two directions. The
layers are torch's own, so that they load torch's `state_dict`, with the semantics that the paper's figures imply, Keras's:

- the final output of a bidirectional layer is the forward half's last state beside the backward half's last state, which is
  the one that has read the whole sequence (torch's `output[:, -1]` holds the backward half's *first* step);
- RNN and LSTM learn one bias vector a direction: torch's second, `bias_hh`, is held at zero. GRU learns two, as Keras's
  default GRU (`reset_after=True`) does, because its reset gate acts between them;
- input weights are Glorot uniform over all gates together, recurrent weights orthogonal, biases zero, forget bias one.

A layer of your own needs no more than the contract: a module built as `layer(input_size=, hidden_size=, num_layers=)` that maps
(B, T, I) to (B, output_size) and says its `output_size`.
"""

from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["GRU", "LSTM", "RNN"]

LARGEST = 1024  # layers, and units a layer


class _Keras(nn.RNNBase):
    """Keras's initialisation, bias and final output for torch's layer that stands next in the bases."""

    one_bias = True
    forget_bias = 0.0

    def reset_parameters(self) -> None:
        """Draws the weights as Keras does; torch's constructor calls it last."""
        for name, parameter in self.named_parameters():
            if name.startswith("weight_ih"):
                nn.init.xavier_uniform_(parameter)
            elif name.startswith("weight_hh"):
                nn.init.orthogonal_(parameter)
            else:
                nn.init.zeros_(parameter)
                if name.startswith("bias_hh"):
                    parameter.requires_grad_(not self.one_bias)
                elif self.forget_bias:
                    with torch.no_grad():  # torch's gates are input, forget, cell, output
                        parameter[self.hidden_size : 2 * self.hidden_size] = self.forget_bias

    @property
    def output_size(self) -> int:
        """Features of the final output, D * H."""
        return self.hidden_size * (2 if self.bidirectional else 1)

    def forward(self, sequence: Tensor) -> Tensor:
        """The final output of a sequence, (B, T, I) to (B, D * H), the forward half first."""
        state = super().forward(sequence)[1]
        hidden = state[0] if isinstance(state, tuple) else state  # (layers * D, B, H); an LSTM has its cells beside it
        return torch.cat((hidden[-2], hidden[-1]), dim=1) if self.bidirectional else hidden[-1]


class RNN(_Keras, nn.RNN):  # type: ignore[misc]
    """Elman's recurrence, (B, T, I) to (B, D * H).

    Args:
        input_size: Features a step, I.
        hidden_size: Units a layer and direction, H, from 1 to 1,024.
        num_layers: Layers, from 1 to 1,024; each reads the whole output sequence of the one before.
        bidirectional: Whether a second half reads the sequence from its end.
        nonlinearity: What follows the sum: tanh or relu.

    Raises:
        ValueError: If a size is not a whole number in its range.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
    ) -> None:
        _check(input_size, hidden_size, num_layers)
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            batch_first=True,
            bidirectional=bidirectional,
            nonlinearity=nonlinearity,
        )


class LSTM(_Keras, nn.LSTM):  # type: ignore[misc]
    """Long short-term memory with forget bias one, (B, T, I) to (B, D * H).

    Args:
        input_size: Features a step, I.
        hidden_size: Units a layer and direction, H, from 1 to 1,024.
        num_layers: Layers, from 1 to 1,024; each reads the whole output sequence of the one before.
        bidirectional: Whether a second half reads the sequence from its end.

    Raises:
        ValueError: If a size is not a whole number in its range.
    """

    forget_bias = 1.0  # Keras's unit_forget_bias

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bidirectional: bool = False) -> None:
        _check(input_size, hidden_size, num_layers)
        super().__init__(input_size, hidden_size, num_layers, batch_first=True, bidirectional=bidirectional)


class GRU(_Keras, nn.GRU):  # type: ignore[misc]
    """Gated recurrent unit with two bias vectors a direction, (B, T, I) to (B, D * H).

    Args:
        input_size: Features a step, I.
        hidden_size: Units a layer and direction, H, from 1 to 1,024.
        num_layers: Layers, from 1 to 1,024; each reads the whole output sequence of the one before.
        bidirectional: Whether a second half reads the sequence from its end.

    Raises:
        ValueError: If a size is not a whole number in its range.
    """

    one_bias = False

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bidirectional: bool = False) -> None:
        _check(input_size, hidden_size, num_layers)
        super().__init__(input_size, hidden_size, num_layers, batch_first=True, bidirectional=bidirectional)


def _check(input_size: int, hidden_size: int, num_layers: int) -> None:
    sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
    for name, value in sizes.items():
        if type(value) is not int or not 1 <= value <= LARGEST:
            raise ValueError(f"{name} must be a whole number from 1 to {LARGEST:,}, got {value!r}")
