"""Where the kernels find torch's weights, and torch the kernels' gradients: as places in flat arrays, worked out once a layer.

Packing a layer's weights is then one indexing operation, which takes a step's Python from 0.25 to 0.1 ms.
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hybridnets.kernels.cpu.cells import CELLS
from hybridnets.kernels.cpu.vectors import EDGE, TILE, TILE_UNITS
from hybridnets.kernels.cpu.walks import backward_memory, forward_memory

__all__ = ["Layout", "Shape", "layout_of"]

Array = NDArray[Any]


class Shape:
    """The shape of a recurrent net, and what follows from it for the kernels.

    Args:
        mode: Torch's: RNN_TANH, RNN_RELU, LSTM or GRU.
        hidden_size: Units a layer and direction, H.
        num_layers: Layers.
        bidirectional: Whether a second half reads the sequence from its end.

    Attributes:
        units: H, padded to a multiple of `EDGE`.
        tiles: Tiles of `TILE` units.
        rows: Rows of all gates, a row for each gate and padded unit.
        reading: Rows of gates that read the state; as many read the input.
        saved: Vectors that are saved before each chunk.
    """

    def __init__(self, mode: str, hidden_size: int, num_layers: int, bidirectional: bool) -> None:
        self.hidden, self.layers, self.directions = hidden_size, num_layers, 2 if bidirectional else 1
        self.cell = CELLS[mode]
        self.gates = len(self.cell.input_gates)
        self.units = -(-hidden_size // EDGE) * EDGE
        self.tiles = -(-self.units // TILE)
        self.rows = self.gates * self.units
        self.reading = self.units * sum(gate >= 0 for gate in self.cell.state_gates)
        self.saved = self.units * self.cell.states

    def flat_weights(self, weights: Sequence[Tensor], layer: int) -> Tensor:
        """A layer's weights in the order in which `Layout` counts them, (D, any).

        Args:
            weights: weight_ih, weight_hh, bias_ih and bias_hh of each direction of each layer, in torch's order.
            layer: Which layer, from 0.
        """
        parts, zero = [], weights[0].new_zeros(1)
        for first in range(4 * layer * self.directions, 4 * (layer + 1) * self.directions, 4):
            w_ih, w_hh, b_ih, b_hh = weights[first : first + 4]
            parts += [w_ih.reshape(-1), w_hh.reshape(-1), b_ih, b_hh, b_ih + b_hh, zero]
        return torch.cat(parts).view(self.directions, -1)


class Layout:
    """The places of the weights of a layer and direction, and of their gradients.

    Args:
        shape: The net's.
        columns: Features of the layer's input, I.

    Attributes:
        length: Values of a direction's gradient as the kernels return it.
        forward_memory: Working memory of a thread in the forward pass.
        backward_memory: The same of the backward pass.
    """

    def __init__(self, shape: Shape, columns: int) -> None:
        rows = self._place_weights(shape, columns)
        self._place_transposed(shape, columns, rows)
        self._place_gradients(shape, columns)
        self.forward_memory = forward_memory(shape.rows, shape.units)
        self.backward_memory = backward_memory(shape.rows, shape.reading, shape.units, shape.tiles, columns)

    def packed(self, flat: Tensor) -> Tensor:
        """The weights as the sums read them, (D, tiles, 1 + I + units, gates * TILE_UNITS), of flat ones, (D, any)."""
        return flat[:, self._sums] * self._scale

    def transposed(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        """The weights as the gradients read them: of the state (D, tiles, rows, TILE), of the input (D, I, rows)."""
        return flat[:, self._state], flat[:, self._input]

    def unpacked(self, dw: Array) -> list[Tensor]:
        """The gradients of the four weights that torch has per direction, from the kernels' gradients, (D, length)."""
        return [torch.from_numpy(gradient.take(places)) for gradient in dw for places in self._gradients]

    def _place_weights(self, shape: Shape, columns: int) -> Array:
        """Sets the places of the weights as the sums read them, and returns them by row, (rows, 1 + I + units)."""
        size, gates, units, cell = shape.hidden, shape.gates, shape.units, shape.cell
        torch_gates = len(set(cell.input_gates) - {-1})
        lengths = torch_gates * size * columns, torch_gates * size * size, *[torch_gates * size] * 3, 1
        w_ih, w_hh, b_ih, b_hh, b_both, zero = np.split(np.arange(sum(lengths)), np.cumsum(lengths)[:-1])
        places = np.full((gates, units, 1 + columns + units), zero)  # bias, input, state
        scale = np.ones_like(places, np.float32)
        scale[list(cell.sigmoids)] = 0.5
        for gate, (i, j) in enumerate(zip(cell.input_gates, cell.state_gates, strict=True)):
            places[gate, :size, 0] = (b_both if i == j else b_ih if j < 0 else b_hh).reshape(-1, size)[max(i, j)]
            if i >= 0:
                places[gate, :size, 1 : 1 + columns] = w_ih.reshape(-1, size, columns)[i]
            if j >= 0:
                places[gate, :size, 1 + columns : 1 + columns + size] = w_hh.reshape(-1, size, size)[j]
        self._zero = zero
        self._sums, self._scale = torch.from_numpy(_tiled(places)), torch.from_numpy(_tiled(scale))
        return places.reshape(shape.rows, -1)

    def _place_transposed(self, shape: Shape, columns: int, rows: Array) -> None:
        """Sets the places of the weights as the gradients of the state and of the input read them."""
        state = np.full((shape.reading, shape.tiles * TILE), self._zero)
        state[:, : shape.units] = rows[shape.rows - shape.reading :, 1 + columns :]
        tiles = state.reshape(shape.reading, shape.tiles, TILE).transpose(1, 0, 2)
        self._state = torch.from_numpy(np.ascontiguousarray(tiles))
        self._input = torch.from_numpy(np.ascontiguousarray(rows[: shape.reading, 1 : 1 + columns].T))

    def _place_gradients(self, shape: Shape, columns: int) -> None:
        """Says where in the kernels' gradients those of torch's weights lie."""
        size, gates, units, cell = shape.hidden, shape.gates, shape.units, shape.cell
        self.length = shape.rows * (columns + 1) + shape.reading * units
        inputs, states = np.split(np.arange(self.length), [shape.rows * (columns + 1)])
        inputs = inputs.reshape(gates, units, columns + 1)[:, :size]
        states = states.reshape(-1, units, units)[:, :size, :size]
        torch_gates = range(len(set(cell.input_gates) - {-1}))
        xs, hs = ([order.index(gate) for gate in torch_gates] for order in (cell.input_gates, cell.state_gates))
        skipped = gates - len(states)
        w_ih, b_ih = inputs[xs, :, :columns].reshape(-1, columns), inputs[xs, :, columns].reshape(-1)
        w_hh, b_hh = states[[gate - skipped for gate in hs]].reshape(-1, size), inputs[hs, :, columns].reshape(-1)
        self._gradients = w_ih, w_hh, b_ih, b_hh


def _tiled(places: Array) -> Array:
    """(gates, units, columns) to (tiles, columns, gates * TILE_UNITS), contiguous."""
    gates, _, columns = places.shape
    tiles = places.reshape(gates, -1, TILE_UNITS, columns).transpose(1, 3, 0, 2)
    return np.ascontiguousarray(tiles).reshape(tiles.shape[0], tiles.shape[1], -1)


layout_of = functools.lru_cache(16)(Layout)
