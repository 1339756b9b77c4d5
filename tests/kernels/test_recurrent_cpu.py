"""The kernels against torch's layers in float64, over shapes that fit no vector and shapes that do."""

import builtins
import copy
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import hybridnets.rnn
from hybridnets.rnn import GRU, LSTM, RNN, backends
from hybridnets.rnn.backends import settle_backends

pytest.importorskip("numba")

LAYERS: list[Any] = [LSTM, GRU, RNN, "relu"]


def build(layer: Any, *sizes: int, bidirectional: bool = False, backend: str = "fused", seed: int = 0) -> Any:
    torch.manual_seed(seed)
    kind: Any = RNN if layer == "relu" else layer
    more = {"nonlinearity": "relu"} if layer == "relu" else {}
    module = kind(*sizes, bidirectional=bidirectional, backend=backend, **more)
    for name, parameter in module.named_parameters():
        if name.startswith("bias"):  # zeros would hide a bias that is not added
            torch.nn.init.normal_(parameter.requires_grad_(), std=0.5)
        elif layer == "relu":  # stays finite over many steps
            with torch.no_grad():
                parameter *= 0.7
    return module


def exact(module: Any) -> Any:
    """The same layer by torch in float64."""
    reference = copy.deepcopy(module).double()
    reference.backend = "torch"
    return reference


def gradients(module: Any, x: Tensor, up: Tensor) -> list[Tensor]:
    x = x.detach().requires_grad_()
    return list(torch.autograd.grad(module(x), [x, *module.parameters()], up))


def agree(ours: Tensor, theirs: Tensor, relative: float) -> None:
    scale = max(theirs.abs().max().item(), 1e-6)
    assert (ours.double() - theirs).abs().max().item() <= relative * scale


@settings(max_examples=40, deadline=None)
@given(
    layer=st.sampled_from(LAYERS),
    batch=st.integers(1, 40),
    steps=st.sampled_from([1, 2, 15, 16, 17, 50]),
    features=st.integers(1, 5),
    hidden=st.sampled_from([1, 3, 16, 17, 33, 64]),
    layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    double=st.booleans(),
    seed=st.integers(0, 9),
)
def test_outputs_and_gradients_are_torchs(
    layer: Any,
    batch: int,
    steps: int,
    features: int,
    hidden: int,
    layers: int,
    bidirectional: bool,
    double: bool,
    seed: int,
) -> None:
    module = build(layer, features, hidden, layers, bidirectional=bidirectional, seed=seed)
    module = module.double() if double else module
    reference = exact(module)
    x = torch.randn(steps, batch, features, dtype=torch.float64 if double else torch.float32).transpose(0, 1)
    wanted = reference(x.double())
    agree(module(x), wanted, 1e-12 if double else 1e-5)
    up = torch.randn_like(wanted)
    for ours, theirs in zip(gradients(module, x, up.to(x.dtype)), gradients(reference, x.double(), up), strict=True):
        assert ours.shape == theirs.shape
        agree(ours, theirs, 1e-10 if double else 1e-4)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_long_sequence(layer: Any) -> None:
    """1,024 steps of one number, as the hybrids have them."""
    module = build(layer, 1, 16, 2, bidirectional=True)
    x = torch.randn(20, 1024, 1)
    wanted = exact(module)(x.double())
    agree(module(x), wanted, 1e-5)
    up = torch.randn_like(wanted)
    for ours, theirs in zip(gradients(module, x, up.float()), gradients(exact(module), x.double(), up), strict=True):
        agree(ours, theirs, 1e-4)


@pytest.mark.parametrize("layer", LAYERS)
def test_gradcheck(layer: Any) -> None:
    module = build(layer, 2, 3, 2, bidirectional=True).double()
    names, weights = zip(*module.named_parameters(), strict=True)

    def function(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(module, dict(zip(names, values, strict=True)), x)  # type: ignore[no-any-return]

    x = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, (x, *weights), fast_mode=True)


def test_bits_do_not_depend_on_the_run_nor_on_the_threads() -> None:
    module = build(LSTM, 1, 16, 2, bidirectional=True)
    x, up = torch.randn(100, 60, 1), torch.randn(100, 32)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 1, 2, 3, 8):
            torch.set_num_threads(threads)
            results.append([module(x), *gradients(module, x, up)])
    finally:
        torch.set_num_threads(before)
    for repeated in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], repeated, strict=True))


def test_rows_do_not_depend_on_their_batch() -> None:
    module = build(LSTM, 1, 16)
    x = torch.randn(37, 30, 1)
    assert torch.equal(module(x)[:5], module(x[:5]))


def test_two_threads_at_once() -> None:
    module = build(GRU, 1, 16, bidirectional=True)
    xs, up = [torch.randn(50, 200, 1) for _ in range(2)], torch.randn(50, 32)
    wanted = [gradients(module, x, up) for x in xs]
    results: list[list[list[Tensor]]] = [[], []]

    def work(n: int) -> None:
        results[n] = [gradients(module, xs[n], up) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in range(2):
        assert len(results[n]) == 5
        assert all(torch.equal(a, b) for call in results[n] for a, b in zip(wanted[n], call, strict=True))


def test_inference_keeps_no_history() -> None:
    module, x = build(LSTM, 1, 16), torch.randn(3, 20, 1)
    trained = module(x)
    saved: list[Tensor] = []

    def see(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(see, see), torch.no_grad():
        plain = module(x)
    assert plain.grad_fn is None
    assert not saved
    assert torch.equal(plain, trained)
    frozen = module.requires_grad_(False)(x)
    assert frozen.grad_fn is None


def test_memory_is_freed_and_weights_are_guarded() -> None:
    module, x = build(LSTM, 1, 4), torch.randn(3, 20, 1)
    output = module(x).sum()
    output.backward()
    with pytest.raises(RuntimeError, match="second time"):
        output.backward()
    output = module(x).sum()
    with torch.no_grad():
        module.weight_hh_l0 += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.backward()
    x.requires_grad_()
    up = torch.ones(3, 4, requires_grad=True)
    (first,) = torch.autograd.grad(module(x), x, up, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()  # type: ignore[no-untyped-call]


def test_only_parameters_that_require_a_gradient_get_one() -> None:
    module, x = LSTM(1, 4, backend="fused"), torch.randn(3, 20, 1)  # its second bias is held at zero
    module(x).sum().backward()
    assert x.grad is None
    assert {name for name, p in module.named_parameters() if p.grad is None} == {"bias_hh_l0"}


@pytest.mark.parametrize("layer", [LSTM, GRU, RNN])
def test_nan_stays_visible(layer: Any) -> None:
    module = build(layer, 1, 16)
    x = torch.randn(3, 20, 1)
    x[1, 7] = torch.nan
    output = module(x)
    assert output.isnan().any(dim=1).tolist() == [False, True, False]
    assert gradients(module, x, torch.ones_like(output))[1].isnan().any()
    if layer is LSTM:  # its gates saturate
        agree(module(x.nan_to_num(torch.inf)), exact(module)(x.double().nan_to_num(torch.inf)), 1e-5)


def test_lanes_without_a_row_do_not_overflow() -> None:
    module = build("relu", 1, 1)
    with torch.no_grad():  # h' = relu(h - 2 x + 1000) overflows from an input of zero, and not from this one
        module.weight_hh_l0.fill_(3.0)
        module.weight_ih_l0.fill_(-2.0)
        module.bias_ih_l0.fill_(1000.0)
        module.bias_hh_l0.zero_()
    assert all(g.isfinite().all() for g in gradients(module, torch.full((3, 200, 1), 600.0), torch.ones(3, 1)))


@pytest.mark.parametrize("layer", [LSTM, GRU, RNN])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("backend", ["torch", "fused"])
@pytest.mark.parametrize("has_primitive", [True, False])
def test_autocast_returns_what_torchs_layer_returns(
    layer: Any, dtype: torch.dtype, backend: str, has_primitive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where torch's LSTM has no primitive for bfloat16, which needs AVX-512: there it is computed in float32."""
    if not has_primitive:
        monkeypatch.setattr(hybridnets.rnn, "_computes_under_autocast", lambda _: False)
    elif layer is LSTM and not hybridnets.rnn._computes_under_autocast(torch.bfloat16):
        pytest.skip("torch has no LSTM in bfloat16 on this processor")
    module = build(layer, 1, 4, backend=backend)
    x = torch.randn(2, 5, 1).to(dtype)
    wanted, up = exact(module)(x.double()), torch.ones(2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        ours = module(x)
        results = gradients(module, x, up.to(ours.dtype))
    torchs_gru = x.dtype if backend == "torch" else torch.float32 if dtype == torch.float32 else dtype
    assert ours.dtype == (torchs_gru if layer is GRU else torch.bfloat16)
    torch.testing.assert_close(ours.double(), wanted, rtol=0.05, atol=0.05)
    assert results[0].dtype == dtype
    for gradient, right in zip(results, gradients(exact(module), x.double(), up.double()), strict=True):
        torch.testing.assert_close(gradient.double(), right, rtol=0.1, atol=0.1)


def test_on_a_processor_without_avx512_torchs_lstm_computes_under_autocast() -> None:
    code = """
import torch
from hybridnets.rnn import LSTM, _computes_under_autocast
torch.manual_seed(0)
module, x = LSTM(1, 4, backend="torch"), torch.randn(2, 5, 1)
wanted, state = module(x), torch.get_rng_state()
with torch.autocast("cpu", torch.bfloat16):
    output = module(x)
assert torch.equal(torch.get_rng_state(), state)
assert output.dtype == torch.bfloat16
torch.testing.assert_close(output.float(), wanted, rtol=0, atol=0.01)
output.sum().backward()
print(_computes_under_autocast(torch.bfloat16))
"""
    older = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    process = subprocess.run([sys.executable, "-c", code], env=older, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout in ("False\n", "True\n")  # a later torch may have that primitive


@pytest.mark.parametrize("backend", ["torch", "fused", "auto"])
@pytest.mark.parametrize("shape", [(0, 5, 1), (5, 0, 1), (5, 5, 2), (5, 1)])
def test_empty_and_odd_sequences_are_refused(backend: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"a sequence must be \(batch, steps, 1\) with at least one of each, got"):
        build(LSTM, 1, 4, backend=backend)(torch.zeros(shape))


def test_inputs_that_the_kernels_cannot_compute_are_refused() -> None:
    with pytest.raises(ValueError, match="backend must be one of auto, torch, fused, got 'fast'"):
        build(LSTM, 1, 4, backend="fast")
    with pytest.raises(ValueError, match="weights' type"):
        build(LSTM, 1, 4)(torch.zeros(1, 2, 1, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"computes float32 or float64 on a CPU, not torch\.bfloat16"):
        build(LSTM, 1, 4).bfloat16()(torch.zeros(1, 2, 1, dtype=torch.bfloat16))


def test_state_dict_is_torchs() -> None:
    theirs = torch.nn.LSTM(2, 3, num_layers=2, batch_first=True, bidirectional=True)
    ours = build(LSTM, 2, 3, 2, bidirectional=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 4, 2)
    output = theirs(x)[0]
    torch.testing.assert_close(ours(x), torch.cat([output[:, -1, :3], output[:, 0, 3:]], dim=1))


def test_without_numba_torch_computes_and_warns_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    x, wanted = torch.randn(2, 5, 1), build(LSTM, 1, 4, backend="torch")
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "numba":
            raise ModuleNotFoundError("No module named 'numba'", name="numba")
        return real(name, *rest, **more)

    for name in [name for name in sys.modules if name.startswith("hybridnets.kernels.cpu.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    backends._load.cache_clear()
    try:
        with caplog.at_level(logging.WARNING, "hybridnets"):
            for _ in range(2):
                assert torch.equal(build(LSTM, 1, 4, backend="auto")(x), wanted(x))
        assert len(caplog.messages) == 1
        assert "pip install 'hybridnets[fast]'" in caplog.messages[0]
        with pytest.raises(ValueError, match=r"backend=fused needs Numba.*pip install 'hybridnets\[fast\]'"):
            build(LSTM, 1, 4)(x)
    finally:
        backends._load.cache_clear()


def test_importing_the_layers_does_not_import_numba() -> None:
    code = "import sys, hybridnets.rnn as r; r.LSTM(1, 2); assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_forked_process_computes() -> None:
    module, x = build(LSTM, 1, 4), torch.randn(40, 20, 1)
    module(x)  # the parent's threads, which the child does not have
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        module(x)
        context = torch.multiprocessing.get_context("fork")
        parent, child = context.Pipe()
        process = context.Process(target=lambda: child.send(module(x).tolist()))
        process.start()
        assert parent.poll(30)
        torch.testing.assert_close(torch.tensor(parent.recv()), module(x).detach())
        process.join(10)
    finally:
        torch.set_num_threads(before)


def test_the_first_call_may_be_under_no_grad() -> None:
    for context in (torch.no_grad, torch.inference_mode):
        backends._load.cache_clear()
        with context():
            LSTM(1, 3, backend="fused")(torch.zeros(2, 5, 1))


def test_a_resumed_run_keeps_its_kernels() -> None:
    model = torch.nn.Sequential(LSTM(1, 3), torch.nn.Linear(3, 2))
    assert settle_backends(copy.deepcopy(model), "cpu", None) == ["fused"]
    assert settle_backends(copy.deepcopy(model), "cpu", ["torch"]) == ["torch"]
    assert settle_backends(copy.deepcopy(model), "cuda", None) == ["torch"]
    assert settle_backends(torch.nn.Linear(3, 2), "cpu", None) is None
    assert settle_backends(torch.nn.ModuleList([LSTM(1, 3, backend="torch"), LSTM(1, 3)]), "cpu", None) == [
        "fused",
        "torch",
    ]


def test_the_pages_example_holds() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "recurrent-layers.md").read_text()
    (block,) = page.split("```python\n")[1:]
    exec(block.split("```")[0], {})
