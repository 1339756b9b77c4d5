"""Blocks' ReLU, batch normalisation and pooling in one operation, against torch's layers in float64."""

import builtins
import copy
import functools
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from hybridnets.models import CNN, CRNN
from hybridnets.models.stages import Features
from hybridnets.rnn import LSTM, backends
from hybridnets.rnn.backends import settle_backends

pytest.importorskip("numba")

import hybridnets.kernels.cpu.blocks
from hybridnets.kernels.cpu.blocks import relu_norm_pool

LAST = torch.channels_last


def norm_of(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.1)
    with torch.no_grad():
        norm.weight.normal_()
        norm.weight[::3] = 0
        norm.bias.normal_()
        norm.running_mean.normal_()  # type: ignore[union-attr]
        norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return norm


def layers(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    return F.max_pool2d(norm(torch.relu(x)), 2)


def everything(operation: Any, x: Tensor, norm: nn.BatchNorm2d, up: Tensor) -> list[Tensor]:
    x = x.detach().requires_grad_()
    out = operation(x, norm)
    results = torch.autograd.grad(out, [x, norm.weight, norm.bias], up)
    return [out.detach(), *results, norm.running_mean, norm.running_var]


def agree(x: Tensor, norm: nn.BatchNorm2d, up: Tensor) -> None:
    exact = copy.deepcopy(norm).double()
    ours, theirs = everything(relu_norm_pool, x, norm, up), everything(layers, x.double(), exact, up.double())
    for name, result, wanted in zip(["out", "dx", "dw", "db", "mean", "var"], ours, theirs, strict=True):
        off = (result.double() - wanted).abs().max() / wanted.abs().max().clamp(min=1)
        assert off < 1e-5, (name, off)
    assert torch.equal(norm.num_batches_tracked, exact.num_batches_tracked)  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 33),
    channels=st.sampled_from([1, 3, 16, 17, 32, 256]),
    height=st.integers(2, 33),
    width=st.integers(2, 33),
    training=st.booleans(),
    last=st.booleans(),
    seed=st.integers(0, 99),
)
def test_results_are_those_of_the_three_layers(
    batch: int, channels: int, height: int, width: int, training: bool, last: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    batch = max(1, min(batch, 60_000 // (channels * height * width)))
    # Multiples of 1/128: two that differ are never equal after rounding, which would move a gradient to another pixel.
    x = torch.randn(batch, channels, height, width).mul(128).round().div(128)
    up = torch.randn(batch, channels, height // 2, width // 2)
    if last:
        x, up = x.contiguous(memory_format=LAST), up.contiguous(memory_format=LAST)
    agree(x, norm_of(channels).train(training), up)


@pytest.mark.parametrize("training", [True, False])
def test_the_first_of_equal_values_gets_the_gradient(training: bool) -> None:
    """As after ReLU, where zeros tie; there the gradient ends, but with a negative weight zero is the highest."""
    torch.manual_seed(0)
    x = torch.randint(-1, 3, (5, 17, 7, 6)).float()
    up = torch.randn(5, 17, 3, 3)
    for x_ in (x, x.abs() + 1, torch.ones_like(x), -torch.ones_like(x)):
        agree(x_, norm_of(17).train(training), up)


def test_statistics_of_maps_far_from_zero_are_exact() -> None:
    x = 1000 + torch.randn(8, 16, 8, 8)
    norm = norm_of(16)
    norm.reset_running_stats()
    exact = copy.deepcopy(norm).double()
    relu_norm_pool(x, norm)
    layers(x.double(), exact)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(norm, name).double(), getattr(exact, name), rtol=1e-6, atol=0)


def test_nan_is_where_torch_has_it() -> None:
    x = torch.randn(3, 17, 4, 4)
    x[0, :, 0, 0] = x[1, 2, 3, 3] = torch.nan
    x[2, 1, 1, 1] = torch.inf
    for training in (False, True):
        norm = norm_of(17).train(training)
        exact = copy.deepcopy(norm)
        assert torch.equal(relu_norm_pool(x, norm).isnan(), layers(x, exact).isnan())


@pytest.mark.parametrize("which", [0, 1, 2])
def test_only_tensors_that_require_a_gradient_get_one(which: int) -> None:
    norm = norm_of(16)
    leaves = [torch.randn(2, 16, 4, 4), norm.weight, norm.bias]
    wanted = everything(relu_norm_pool, leaves[0], copy.deepcopy(norm), torch.ones(2, 16, 2, 2))[1 + which]
    for i, leaf in enumerate(leaves):
        leaf.requires_grad_(i == which)
    relu_norm_pool(leaves[0], norm).sum().backward()  # type: ignore[no-untyped-call]  # an expanded gradient
    assert [leaf.grad is not None for leaf in leaves] == [i == which for i in range(3)]
    assert torch.equal(leaves[which].grad, wanted)  # type: ignore[arg-type]


@pytest.fixture
def threads() -> Iterator[Any]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("shape", [(32, 32, 32, 32), (3, 17, 33, 31)])
def test_no_bit_depends_on_threads_or_runs(shape: tuple[int, ...], threads: Any) -> None:
    torch.manual_seed(0)
    x, norm = torch.randn(shape), norm_of(shape[1])
    up = torch.randn(shape[0], shape[1], shape[2] // 2, shape[3] // 2)
    first: list[Tensor] = []
    for count in (1, 2, 3, 2):
        threads(count)
        results = everything(relu_norm_pool, x, copy.deepcopy(norm), up)
        first = first or results
        assert all(map(torch.equal, results, first))


def test_a_network_computes_the_same_by_either_and_its_state_is_torchs() -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 3, 33, 32)
    ours = CNN((3, 33, 32), 10)
    theirs, exact = copy.deepcopy(ours), copy.deepcopy(ours).double()
    theirs.cnn.backend = exact.cnn.backend = "torch"
    assert ours.cnn.kernels_on("cpu")  # probed before its calls are counted
    for training in (False, True):
        ours, theirs, exact = (model.train(training) for model in (ours, theirs, exact))
        with mock.patch.object(hybridnets.kernels.cpu.blocks, "relu_norm_pool", wraps=relu_norm_pool) as operation:
            results = ours(x)
            assert operation.call_count == 4  # blocks
            torch.testing.assert_close(
                theirs(x), results, rtol=1e-2, atol=1e-2
            )  # torch's own statistics are less exact
            assert operation.call_count == 4
        torch.testing.assert_close(results.double(), exact(x.double()), rtol=1e-4, atol=1e-4)
        assert torch.equal(ours.cnn(x), ours.cnn.flat(ours.cnn.maps(x)))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [name for name, _ in ours.cnn.named_modules()] == ["", *map(str, range(17))]


def uses_kernels(features: Features, x: Tensor) -> bool:
    """Whether the blocks computed by the kernels."""
    calls: list[Any] = []
    features.kernels_on = lambda _: calls.append(1)  # type: ignore[method-assign, assignment]
    features(x)
    del features.kernels_on
    return bool(calls)


def test_torchs_layers_compute_what_the_kernels_cannot() -> None:
    called: list[int] = []

    def features(activation: str = "relu", size: int = 4) -> Features:
        return Features((3, size, size), (4, 4), activation, 0.9)

    x = torch.randn(2, 3, 4, 4)
    assert uses_kernels(features(), x)
    assert not uses_kernels(features("tanh"), x)
    assert not uses_kernels(features().double(), x.double())
    assert not uses_kernels(features().to("meta"), x.to("meta"))
    chosen = features()
    chosen.backend = "torch"
    assert not uses_kernels(chosen, x)
    with torch.autocast("cpu", torch.bfloat16):
        assert not uses_kernels(features(), x)
    assert not uses_kernels(nn.SyncBatchNorm.convert_sync_batchnorm(features()).eval(), x)  # type: ignore[no-untyped-call]
    hooked = Features((3, 4, 4), (4,), "relu", 0.9)
    for layer in hooked[1], hooked[2], hooked[3]:
        handle = layer.register_forward_hook(lambda *_: called.append(1))
        assert not uses_kernels(hooked, x)
        handle.remove()
        assert uses_kernels(hooked, x)
    assert len(called) == 3
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        features(size=4)(torch.randn(1, 3, 1, 1))
    with pytest.raises(RuntimeError, match="too small"):
        features(size=4)(torch.randn(2, 3, 1, 1))


def test_a_resumed_run_keeps_its_blocks_kernels() -> None:
    model = nn.Sequential(Features((3, 4, 4), (4,), "relu", 0.9), LSTM(1, 3))
    for device, before, now in [
        ("cpu", None, ["fused", "pooled"]),
        ("cpu", ["fused", "pooled"], ["fused", "pooled"]),
        ("cpu", ["fused"], ["fused", "torch"]),  # started before blocks had kernels
        ("cpu", ["fused", "torch"], ["fused", "torch"]),
        ("cpu", ["pooled", "torch"], ["pooled", "torch"]),
        ("cpu", ["torch"], ["torch"]),
        ("cuda", None, ["torch"]),
    ]:
        assert settle_backends(copy.deepcopy(model), device, before) == now
    settle_backends(model, "cpu", ["torch"])
    assert not uses_kernels(model[0], torch.randn(2, 3, 4, 4))  # type: ignore[arg-type]


def test_without_numba_torch_computes_and_warns_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    features, x = Features((3, 4, 4), (4,), "relu", 0.9), torch.randn(2, 3, 4, 4)
    features.backend = "torch"
    wanted = features(x)
    features.backend = "auto"
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] in ("numba", "llvmlite"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])
        return real(name, *rest, **more)

    for name in [name for name in sys.modules if name.startswith("hybridnets.kernels.cpu.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    backends._load.cache_clear()
    backends._warn_once.cache_clear()
    try:
        with caplog.at_level(logging.WARNING, "hybridnets"):
            for _ in range(2):
                assert torch.equal(features(x), wanted)
                LSTM(1, 2)(torch.zeros(1, 2, 1))
        (message,) = caplog.messages
        assert message == ("falling back to torch's layers: Numba is not installed: run pip install 'hybridnets[fast]'")
    finally:
        backends._load.cache_clear()
        backends._warn_once.cache_clear()


def test_importing_the_models_does_not_import_numba() -> None:
    code = "import sys, hybridnets.models as m; m.CNN((3, 32, 32), 10); assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_first_call_may_be_under_no_grad() -> None:
    for context in (torch.no_grad, torch.inference_mode):
        backends._load.cache_clear()
        with context():
            Features((3, 4, 4), (4,), "relu", 0.9)(torch.randn(2, 3, 4, 4))


@pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:DeprecationWarning")
def test_a_first_call_that_is_exported_computes_by_torch_and_the_next_by_the_operation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Of a network with blocks and a recurrent layer, both by kernels of their own."""
    torch.manual_seed(0)
    model = CRNN((3, 32, 32), 10, functools.partial(LSTM), hidden_size=3, channels=(4, 4)).eval()
    exact = copy.deepcopy(model).double()
    for layer in (exact.cnn, exact.rnn):
        layer.backend = "torch"
    x = torch.randn(2, 3, 32, 32)
    backends._load.cache_clear()
    with caplog.at_level(logging.WARNING, "hybridnets"), torch.no_grad():
        program = torch.export.export(model, (torch.zeros_like(x),)).module()
        assert uses_kernels(model.cnn, x)
        for results in (program(x), model(x)):
            torch.testing.assert_close(results.double(), exact(x.double()), rtol=1e-4, atol=1e-4)
    assert not caplog.messages


def test_no_state_of_the_first_caller_decides_what_is_found_out() -> None:
    for context in (lambda: torch.device("meta"), FakeTensorMode, lambda: torch.autocast("cpu", torch.bfloat16)):
        backends._load.cache_clear()
        features = Features((3, 4, 4), (4,), "relu", 0.9)
        with context():
            assert features.kernels_on("cpu") is hybridnets.kernels.cpu.blocks
