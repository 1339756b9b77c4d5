"""Recurrent layers as ONNX operators: what ONNX Runtime computes of them is what torch's layers compute in float64."""

import functools
from typing import Any

import pytest
import torch
from torch import nn

from hybridnets.rnn import GRU, LSTM, RNN
from hybridnets.rnn.operators import GATES
from tests.kernels.test_recurrent_cpu import exact

pytest.importorskip("onnxscript", reason="the extra export is not installed")
onnxruntime: Any = pytest.importorskip("onnxruntime", reason="the extra export is not installed")

CELLS: dict[str, Any] = {"lstm": LSTM, "gru": GRU, "rnn": RNN, "rnn, relu": functools.partial(RNN, nonlinearity="relu")}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("layers", "bidirectional"), [(1, False), (1, True), (2, False), (3, True)])
def test_a_layer_is_one_operator_with_the_right_values_for_every_batch(
    cell: str, layers: int, bidirectional: bool
) -> None:
    torch.manual_seed(0)
    layer: Any = CELLS[cell](3, 5, layers, bidirectional=bidirectional)
    for name, parameter in layer.named_parameters():  # biases too, the one that is held at zero among them
        nn.init.normal_(parameter.data, std=0.3 if "weight" in name else 0.5)
    layer.eval()
    batch = torch.export.Dim("batch", min=1)
    program: Any = torch.onnx.export(
        layer, (torch.zeros(2, 400, 3),), dynamo=True, verbose=False, dynamic_shapes=({0: batch},)
    )
    operators = [node.op_type for node in program.model.graph]
    assert operators.count(cell[:4].rstrip(",").upper()) == layers
    assert len(operators) < 200  # of 400 steps none is written by itself
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    (name,) = [each.name for each in session.get_inputs()]
    for images in (1, 2, 7):
        sequence = torch.randn(images, 400, 3)
        (result,) = session.run(None, {name: sequence.numpy()})
        with torch.no_grad():
            expected = exact(layer)(sequence.double())
        torch.testing.assert_close(torch.from_numpy(result).double(), expected, rtol=0, atol=1e-5)


def test_every_gate_of_torch_has_one_place() -> None:
    layers: dict[str, Any] = {"LSTM": LSTM, "GRU": GRU, "RNN_TANH": RNN}
    gates = {mode: len(layer(1, 1).weight_ih_l0) for mode, layer in layers.items()}
    assert {mode: sorted(places) for mode, places in GATES.items() if mode in gates} == {
        mode: list(range(count)) for mode, count in gates.items()
    }
