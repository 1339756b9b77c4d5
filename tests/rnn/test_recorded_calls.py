"""Calls that torch records or transforms, where the kernels have no place; and what the first call leaves to the next."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

import hybridnets.rnn
from hybridnets.rnn import LSTM, backends
from hybridnets.rnn.backends import BACKENDS, Backend, settle_backends
from tests.kernels.test_recurrent_cpu import agree, build, exact

pytest.importorskip("numba")


def transformed(module: torch.nn.Module, x: Tensor) -> Tensor:
    """By a plain call inside torch.func, which has a rule for torch's layers and none for the kernels."""
    return torch.func.functionalize(module)(x)  # type: ignore[no-any-return]


RECORDED: dict[str, Callable[[torch.nn.Module, Tensor], Any]] = {
    "export": lambda module, x: torch.export.export(module, (torch.zeros_like(x),)).module()(x),
    "export, strict": lambda module, x: torch.export.export(module, (torch.zeros_like(x),), strict=True).module()(x),
    "compile": lambda module, x: torch.compile(module, backend="eager")(x),
    "make_fx": lambda module, x: make_fx(module)(torch.zeros_like(x))(x),
    "func": transformed,
}


@pytest.mark.filterwarnings(
    "ignore:.*:UserWarning", "ignore:.*:DeprecationWarning", "ignore:.*:torch.jit.TracerWarning"
)
@pytest.mark.parametrize("how", RECORDED)
@pytest.mark.parametrize("backend", ["auto", "fused"])
def test_a_first_call_that_is_recorded_computes_by_torch_and_the_next_by_the_kernels(
    how: str, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    """`backend` is fused after a training, whose network may be exported too."""
    module, x = build(LSTM, 1, 4, backend=backend).eval(), torch.randn(2, 5, 1)
    backends._load.cache_clear()
    with caplog.at_level(logging.WARNING, "hybridnets"), torch.no_grad():
        agree(RECORDED[how](module, x), exact(module)(x.double()), 1e-5)
        with mock.patch.object(
            hybridnets.rnn, "_compute_by_kernels", wraps=hybridnets.rnn._compute_by_kernels
        ) as kernels:
            agree(module(x), exact(module)(x.double()), 1e-5)
    assert kernels.call_count == 1
    assert not caplog.messages


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:.*:torch.jit.TracerWarning")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("wrapped", [False, True], ids=["layer", "in a model"])
def test_a_trace_is_refused_with_what_to_use_instead(backend: Backend, wrapped: bool) -> None:
    layer = LSTM(1, 3, backend=backend)
    module = torch.nn.Sequential(torch.nn.Identity(), layer) if wrapped else layer
    with pytest.raises(
        ValueError, match=r"must be exported by torch\.export, got torch\.jit\.trace .* use hybridnets export"
    ):
        torch.jit.trace(module, (torch.zeros(2, 5, 1),))  # type: ignore[no-untyped-call]
    assert module(torch.zeros(2, 5, 1)).shape == (2, 3)


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:.*:UserWarning")
def test_the_old_exporter_to_onnx_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    with pytest.raises(ValueError, match=r"or torch\.onnx\.export\(\.\.\., dynamo=True\)"):
        torch.onnx.export(LSTM(1, 3), (torch.zeros(2, 5, 1),), tmp_path / "layer.onnx", dynamo=False)
    assert not list(tmp_path.iterdir())


def test_no_state_of_the_first_caller_decides_what_is_found_out(caplog: pytest.LogCaptureFixture) -> None:
    def lossy(tensor: Tensor) -> Tensor:
        return tensor * 0

    before = torch.get_default_dtype()
    contexts: dict[str, Callable[[], Any]] = {
        "device": lambda: torch.device("meta"),
        "fake": FakeTensorMode,
        "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
        "hooks": lambda: torch.autograd.graph.saved_tensors_hooks(lossy, lossy),
        "inference": torch.inference_mode,
    }
    try:
        for name, context in contexts.items():
            backends._load.cache_clear()
            with caplog.at_level(logging.WARNING, "hybridnets"), context():
                assert settle_backends(LSTM(1, 3), "cpu", None) == ["fused"], name
        torch.set_default_dtype(torch.float64)
        backends._load.cache_clear()
        assert settle_backends(LSTM(1, 3), "cpu", None) == ["fused"]
    finally:
        torch.set_default_dtype(before)
    assert not caplog.messages
