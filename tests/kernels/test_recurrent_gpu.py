"""The Triton kernels against torch's layers in float64 in Triton's interpreter, and compiled for a GPU that is not present.

Whether Triton interprets is decided when it is imported, for a whole process. So what is called `interpreted_*` or `compiled_*`
runs in a process of its own, which a test here starts: `TRITON_INTERPRET=1 pytest -o python_functions=interpreted_* FILE`.
"""

import builtins
import importlib.util
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import hybridnets.rnn
from hybridnets.rnn import GRU, LSTM, RNN, backends
from hybridnets.rnn.backends import settle_backends

LAYERS: list[Any] = [LSTM, GRU, RNN, "relu"]
TORCHS: dict[Any, Any] = {LSTM: torch.nn.LSTM, GRU: torch.nn.GRU, RNN: torch.nn.RNN, "relu": torch.nn.RNN}
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed; it comes with torch's builds for CUDA"
)


def in_a_process(prefix: str, folder: os.PathLike[str], interpret: bool) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "TRITON_"))}
    environment |= {"TRITON_INTERPRET": str(int(interpret)), "TRITON_CACHE_DIR": str(folder), "OMP_NUM_THREADS": "1"}
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", f"python_functions={prefix}_*")
    process = subprocess.run([*command, __file__], env=environment, capture_output=True, text=True, timeout=600)
    assert not process.returncode, process.stdout + process.stderr
    if "skipped" in process.stdout:
        pytest.skip(process.stdout)


@needs_triton
def test_the_kernels_in_tritons_interpreter(tmp_path: os.PathLike[str]) -> None:
    in_a_process("interpreted", tmp_path, interpret=True)


@needs_triton
def test_the_kernels_compile(tmp_path: os.PathLike[str]) -> None:
    in_a_process("compiled", tmp_path, interpret=False)


def on_a_gpu() -> Any:
    return SimpleNamespace(device=torch.device("cuda", 0))


def test_auto_on_a_gpu_is_torch_until_the_kernels_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large, double = LSTM(1, 64), LSTM(1, 65), LSTM(1, 64).half()
    assert [hybridnets.rnn._choose_kernels(on_a_gpu(), layer) for layer in (small, large, double)] == [None] * 3
    assert settle_backends(LSTM(1, 64), "cuda", None) == ["torch"]
    kernels, devices = ModuleType("kernels"), []

    def kernels_on(device: str) -> tuple[ModuleType | None, str]:
        devices.append(device)
        return kernels, ""

    monkeypatch.setattr(hybridnets.rnn, "_kernels_on", kernels_on)
    monkeypatch.setitem(hybridnets.rnn.FUSED_LARGEST, "cuda", 64)
    chosen = [hybridnets.rnn._choose_kernels(on_a_gpu(), layer) for layer in (small, large, double)]
    assert chosen == [kernels, None, None]
    assert [settle_backends(LSTM(1, units), "cuda", None) for units in (64, 65)] == [["fused"], ["torch"]]
    assert settle_backends(LSTM(1, 64), "cuda", ["torch"]) == ["torch"]
    assert set(devices) == {"cuda"}


def test_a_gpu_without_triton_is_an_error_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "triton":
            raise ModuleNotFoundError("No module named 'triton'", name="triton")
        return real(name, *rest, **more)

    layer = LSTM(1, 4)
    layer.backend = "fused"  # its constructor asks for Numba where there is no GPU
    monkeypatch.delitem(sys.modules, "hybridnets.kernels.gpu.recurrent", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    backends._load.cache_clear()
    try:
        with (
            caplog.at_level(logging.WARNING, "hybridnets"),
            pytest.raises(
                ValueError, match=r"backend=fused needs Triton, which is not installed: .*pip install triton"
            ),
        ):
            hybridnets.rnn._choose_kernels(on_a_gpu(), layer)
    finally:
        backends._load.cache_clear()
    with pytest.raises(
        ValueError, match=r"float32 or float64 on a CUDA GPU, not torch\.float16 on cuda:0: use backend=auto"
    ):
        hybridnets.rnn._choose_kernels(on_a_gpu(), layer.half())


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The GPU's kernels, which layers then take on a CPU."""
    monkeypatch.setitem(hybridnets.rnn.KERNELS, "cpu", "hybridnets.kernels.gpu.recurrent")
    backends._load.cache_clear()
    yield importlib.import_module("hybridnets.kernels.gpu.recurrent")
    backends._load.cache_clear()


def build(layer: Any, *sizes: int, bidirectional: bool = False) -> tuple[Any, Any]:
    """A layer by the kernels, and torch's own in float64 with the same weights."""
    torch.manual_seed(0)
    kind: Any = RNN if layer == "relu" else layer
    more = {"nonlinearity": "relu"} if layer == "relu" else {}
    theirs = TORCHS[layer](*sizes, batch_first=True, bidirectional=bidirectional, **more)
    ours = kind(*sizes, bidirectional=bidirectional, **more)
    ours.load_state_dict(theirs.state_dict())
    ours.requires_grad_().backend = "fused"
    return ours, theirs.double()


def final(module: Any, x: Tensor) -> Tensor:
    state = module(x)[1]
    hidden: Tensor = state[0] if isinstance(state, tuple) else state
    return torch.cat((hidden[-2], hidden[-1]), dim=1) if module.bidirectional else hidden[-1]


def agree(ours: Tensor, theirs: Tensor, relative: float) -> None:
    assert ours.shape == theirs.shape
    assert (ours.double() - theirs).abs().max().item() <= relative * max(theirs.abs().max().item(), 1e-6)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("batch", "steps", "features", "hidden", "layers", "bidirectional"),
    [
        (1, 1, 1, 1, 1, False),
        (17, 1, 1, 3, 1, False),
        (1, 7, 1, 16, 1, True),
        (3, 2, 2, 17, 2, True),
        (1, 6, 3, 33, 1, False),
        (1, 3, 2, 4, 3, False),
    ],
)
def interpreted_outputs_and_gradients_are_torchs(
    kernels: ModuleType,
    layer: Any,
    batch: int,
    steps: int,
    features: int,
    hidden: int,
    layers: int,
    bidirectional: bool,
) -> None:
    ours, theirs = build(layer, features, hidden, layers, bidirectional=bidirectional)
    x = torch.randn(steps, batch, features).transpose(0, 1).requires_grad_()
    exact = x.detach().double().requires_grad_()
    output, wanted = ours(x), final(theirs, exact)
    assert output.grad_fn._forward_cls.__module__ == kernels.__name__
    agree(output, wanted, 1e-5)
    up = torch.randn_like(wanted)
    results = torch.autograd.grad(output, [x, *ours.parameters()], up.float())
    for a, b in zip(results, torch.autograd.grad(wanted, [exact, *theirs.parameters()], up), strict=True):
        agree(a, b, 1e-4)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.usefixtures("kernels")
def interpreted_gradcheck(layer: Any) -> None:
    ours = build(layer, 1, 2, bidirectional=True)[0].double()
    names, weights = zip(*ours.named_parameters(), strict=True)

    def function(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(ours, dict(zip(names, values, strict=True)), x)  # type: ignore[no-any-return]

    x = torch.randn(1, 3, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, (x, *weights), fast_mode=True)


@pytest.mark.parametrize(("layer", "values"), [(LSTM, 6), (GRU, 5), (RNN, 1)])
@pytest.mark.usefixtures("kernels")
def interpreted_inference_keeps_nothing_and_training_little(layer: Any, values: int) -> None:
    ours, x = build(layer, 1, 4, 2)[0], torch.randn(2, 3, 1)
    trained = ours(x)
    saved: list[Tensor] = []

    def see(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(see, see):
        with torch.inference_mode():
            plain = ours(x)
        assert torch.equal(ours.requires_grad_(False)(x), plain)
        assert not saved
        output = ours.requires_grad_()(x)
    assert torch.equal(output, trained)
    assert torch.equal(output, plain)
    storages = {tensor.data_ptr(): tensor.untyped_storage().nbytes() for tensor in saved if tensor.numel()}
    weights = {parameter.data_ptr() for parameter in ours.parameters()}
    kept = sum(size for place, size in storages.items() if place not in weights)
    assert kept == 4 * 2 * (3 + 1) * (
        2 * 4 * values + 1
    )  # bytes * rows * (steps + 1) * (layers * units * values + input)


@pytest.mark.usefixtures("kernels")
def interpreted_backward_does_not_change_its_inputs() -> None:
    ours, x = build(GRU, 1, 4, bidirectional=True)[0], torch.randn(2, 3, 1)  # it needs no gradient
    output = ours(x)
    first, again = (torch.autograd.grad(output.sum(), [*ours.parameters()], retain_graph=True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    with torch.no_grad():
        ours.weight_hh_l0 += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()
    x.requires_grad_()
    up = torch.ones(2, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(ours(x), x, up, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.usefixtures("kernels")
def interpreted_a_diverged_net_is_seen(layer: Any) -> None:
    ours, x = build(layer, 1, 3)[0], torch.randn(3, 2, 1)
    x[1, 0] = torch.nan
    output = ours(x)
    assert output.isnan().any(dim=1).tolist() == [False, True, False]
    output.sum().backward()
    assert ours.weight_ih_l0.grad.isnan().any()


@pytest.mark.usefixtures("kernels")
def interpreted_autocast_changes_the_outputs_type_alone() -> None:
    ours, x = build(LSTM, 1, 3)[0], torch.randn(2, 3, 1)
    wanted = ours(x)
    with torch.autocast("cpu", torch.bfloat16):
        output = ours(x)
        assert output.dtype == torch.bfloat16
        assert torch.equal(output, wanted.bfloat16())
        results = torch.autograd.grad(
            output.float().sum(), [*ours.parameters()]
        )  # the backward pass is under autocast too
    for a, b in zip(results, torch.autograd.grad(wanted.sum(), [*ours.parameters()]), strict=True):
        assert torch.equal(a, b)


@pytest.mark.usefixtures("kernels")
def interpreted_more_units_than_fit_are_refused() -> None:
    ours, _ = build(LSTM, 1, 65)
    with pytest.raises(ValueError, match="backend=fused takes 64 units at most on a GPU, got 65: use backend=auto"):
        ours(torch.randn(1, 2, 1))


def compiled_for_an_absent_gpu() -> None:
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from hybridnets.kernels.gpu import cells
    from hybridnets.kernels.gpu import recurrent as gpu

    with pytest.raises(ValueError, match="a sequence must be on a CUDA GPU, got one on cpu"):
        gpu.final(torch.zeros(1, 1, 1), [], gpu.shape_of("LSTM", 1, 1, False))
    if importlib.util.find_spec("triton.backends.nvidia") is None:
        pytest.skip("this Triton does not compile for NVIDIA's GPUs")
    for mode, hidden in (("LSTM", 32), ("GRU", 17), ("RNN_TANH", 16)):
        settings = gpu._settings(gpu.shape_of(mode, hidden, 1, False), torch.zeros(1))
        options = {name: settings.pop(name) for name in ("num_warps", "maxnreg", "enable_fp_fusion")}
        for kernel, more in (
            (cells.forward_kernel, {"KEEP": True, "STATES": True}),
            (cells.backward_kernel, {"ABOVE": True}),
        ):
            constants = settings | more
            kinds = {name: "i32" if name == "steps" else "*fp32" for name in kernel.arg_names}
            signature = kinds | dict.fromkeys(constants, "constexpr")
            aligned = {
                (place,): [["tt.divisibility", 16]]
                for place, name in enumerate(kernel.arg_names)
                if signature[name] == "*fp32" and name != "w_ptr"
            }
            source = ASTSource(kernel, signature, constants, aligned)
            compiled = compile(source, GPUTarget("cuda", 90, 32), options)
            assert compiled.asm["cubin"]
            # A warp for a row, whose lanes are units: if they are not, a step exchanges sums and takes ten times longer.
            assert compiled.metadata.num_warps == 1
            steps = 3  # in the text: the odd one and two of a pair
            assert compiled.asm["ptx"].count("shfl.sync") <= steps * 8
