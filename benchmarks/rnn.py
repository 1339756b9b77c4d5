"""How fast are the recurrent layers on this machine, compared with torch's own and with the arithmetic?

python -m benchmarks.rnn [--batches 32 128] [--nodes 16 32] [--layers 1 2] [--rnn lstm bilstm ...] [--threads N] [--json FILE]
python -m benchmarks.rnn --device cuda   the Triton kernels and cuDNN's; cuDNN's alone where Triton does not work

One process measures both in turns: after a warm-up, the median over `--repeats` of forward plus backward of 1,024 steps of one
feature, float32, denormal numbers flushed for both, as in training. A turn on a GPU is ten passes, which may overlap with their
launches as in training, until the GPU has finished them. Columns:

- torch, fused: milliseconds; infer: the fused forward pass alone, without gradients;
- ratio: the median over the turns of torch / fused, so that a machine busy elsewhere disturbs it least;
- floor: milliseconds that the arithmetic alone takes: GFLOP over the rate of a large matrix product plus the hyperbolic
  tangents (a sigmoid counts as one) over torch's rate, both measured here;
- kept: MB that a forward pass keeps for its backward pass, torch / fused;
- off: largest difference of outputs, and of gradients relative to each gradient's largest, torch against fused (for these
  cuDNN computes in float32 throughout, for the times as torch has set it).

The goals: on a CPU ratio 5 for one layer of LSTM or BiLSTM, 3.5 for two, 3 for GRU; within 1.5 of the floor; no more kept than
torch. On a GPU ratio 1.5: `auto` is then to take the kernels there (`FUSED_LARGEST` in hybridnets/rnn/__init__.py). The floor
says little there, as 1,024 steps wait for each other, whatever their arithmetic.
"""

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.machine import machine_facts, output_file, positive
from hybridnets import rnn

STEPS = 1024
COMPILERS = {"cpu": "numba", "cuda": "triton"}
KINDS = {
    "rnn": (rnn.RNN, torch.nn.RNN, False),
    "lstm": (rnn.LSTM, torch.nn.LSTM, False),
    "gru": (rnn.GRU, torch.nn.GRU, False),
    "birnn": (rnn.RNN, torch.nn.RNN, True),
    "bilstm": (rnn.LSTM, torch.nn.LSTM, True),
    "bigru": (rnn.GRU, torch.nn.GRU, True),
}
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
TANHS = {"rnn": 1, "lstm": 5, "gru": 3}


def main() -> int:
    """Measures every setting, prints its row, and writes all rows to --json."""
    arguments = _arguments()
    device = arguments.device
    torch.set_flush_denormal(True)
    torch.set_num_threads(arguments.threads)
    start = time.perf_counter()
    why_torch = _why_torch_alone(device)
    first = time.perf_counter() - start
    flops, tanhs = _matrix_rate(device), _tanh_rate(device)
    facts = machine_facts("torch", *(COMPILERS[device.type],) if device.type in COMPILERS else ()) | {
        **({"device": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}),
        "threads": arguments.threads,
        "matrix product GFLOP/s": flops / 1e9,
        "tanh G/s": tanhs / 1e9,
        "seconds to compile or load": first,
    }
    print("\n".join(f"{name}: {round(v, 2) if isinstance(v, float) else v}" for name, v in facts.items()), "\n")
    if why_torch:
        print(f"torch's layers alone: {why_torch}\n")
    titles = (
        "setting",
        "batch",
        "torch",
        "fused",
        "ratio",
        "infer",
        "floor",
        "fused/floor",
        "kept MB",
        "off",
        "gradients off",
    )
    widths = (13, 5, 8, 8, 5, 8, 8, 11, 15, 8, 13)
    print(" ".join(title.rjust(width) for title, width in zip(titles, widths, strict=True)))
    rows = []
    for kind, layers, nodes, batch in itertools.product(
        arguments.rnn, arguments.layers, arguments.nodes, arguments.batches
    ):
        row = _measure(kind, layers, nodes, batch, arguments.repeats, device, fused=not why_torch)
        row["floor"] = 1e3 * (row["flop"] / flops + row["tanhs"] / tanhs)
        rows.append(row)
        cells = _cells(f"{kind} {layers}x{nodes}", row, 1 if device.type == "cpu" else 2)
        print(" ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True)), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": facts, "rows": rows}, indent=1), encoding="utf-8")
    return 0


def _arguments() -> argparse.Namespace:
    """The command line, its device as torch's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=positive, nargs="+", default=[32, 128])
    parser.add_argument("--nodes", type=positive, nargs="+", default=[16, 32])
    parser.add_argument("--layers", type=positive, nargs="+", default=[1, 2])
    parser.add_argument("--rnn", nargs="+", choices=KINDS, default=["lstm", "bilstm", "gru"])
    parser.add_argument("--threads", type=positive, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=positive, default=7)
    parser.add_argument("--device", default="cpu", help="in torch's words")
    parser.add_argument("--json", type=output_file, metavar="FILE", help="where the rows go as well")
    arguments = parser.parse_args()
    try:
        arguments.device = torch.zeros(1, device=arguments.device).device
    except (AssertionError, RuntimeError) as error:
        parser.error(f"--device {arguments.device} is not available: {str(error).splitlines()[0]}")
    return arguments


def _cells(setting: str, row: dict[str, Any], digits: int) -> list[str]:
    """The cells of a row; those of the kernels are empty where torch's layers were measured alone."""
    cells = [setting, str(row["batch"])]
    if "fused" not in row:
        cells += [f"{row['torch']:.{digits}f}", "", "", "", f"{row['floor']:.{digits}f}", ""]
        return [*cells, f"{row['torch kept']:.0f}", "", ""]
    cells += [f"{row[name]:.{digits}f}" for name in ("torch", "fused", "ratio", "infer", "floor")]
    cells += [f"{row['fused'] / row['floor']:.2f}", f"{row['torch kept']:.0f} / {row['fused kept']:.0f}"]
    return [*cells, f"{row['off']:.1e}", f"{row['gradients off']:.1e}"]


def _why_torch_alone(device: torch.device) -> str:
    """Why our kernels cannot compute on a device; empty if they can, and have once."""
    try:
        rnn.LSTM(1, 1, backend="fused").to(device)(torch.zeros(1, 1, 1, device=device))
    except ValueError as error:
        if device.type == "cpu":
            raise SystemExit(str(error)) from None
        return str(error)
    return ""


def _flop(kind: str, layers: int, nodes: int, batch: int) -> int:
    """Floating-point operations of the products of a forward and a backward pass; backward is twice forward."""
    directions = 2 if KINDS[kind][2] else 1
    inputs = [1, *[directions * nodes] * (layers - 1)]
    steps = batch * STEPS * directions * nodes
    return 3 * 2 * steps * GATES[kind.removeprefix("bi")] * sum(columns + nodes for columns in inputs)


def _measure(
    kind: str, layers: int, nodes: int, batch: int, repeats: int, device: torch.device, fused: bool
) -> dict[str, Any]:
    our_layer, torch_layer, two = KINDS[kind]
    torch.manual_seed(0)
    ours = our_layer(1, nodes, layers, bidirectional=two)
    theirs = torch_layer(1, nodes, layers, batch_first=True, bidirectional=two)
    theirs.load_state_dict(ours.state_dict())
    ours.requires_grad_().to(device).backend = "fused"  # torch learns both its biases
    theirs.to(device)
    x = torch.randn(batch, STEPS, 1).to(device).requires_grad_()
    up = torch.randn(batch, ours.output_size).to(device)

    def reference(x: Tensor) -> Tensor:
        state = theirs(x)[1]
        hidden = state[0] if isinstance(state, tuple) else state
        return torch.cat((hidden[-2], hidden[-1]), dim=1) if two else hidden[-1]

    def step(layer: Callable[[Tensor], Tensor], module: torch.nn.Module) -> list[Tensor]:
        output = layer(x)
        return [output, *torch.autograd.grad(output, [x, *module.parameters()], up)]

    def inference() -> None:
        with torch.no_grad():
            ours(x)

    turns: dict[str, Callable[[], object]] = {"torch": lambda: step(reference, theirs)}
    kept = {"torch": _kept(lambda: reference(x))}
    differences: dict[str, Any] = {}
    if fused:
        turns = {"fused": lambda: step(ours, ours)} | turns | {"infer": inference}
        kept["fused"] = _kept(lambda: ours(x))
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            both = step(ours, ours), step(reference, theirs)
        differences["off"] = (both[0][0] - both[1][0]).abs().max().item()
        differences["gradients off"] = max(
            ((a - b).abs().max() / b.abs().max()).item() for a, b in zip(both[0][1:], both[1][1:], strict=True)
        )
    for turn in turns.values():
        _seconds(turn, device)
    times: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(repeats):
        for name, turn in turns.items():
            times[name].append(1e3 * _seconds(turn, device))
    directions, cell = (2 if two else 1), kind.removeprefix("bi")
    evaluations = batch * STEPS * directions * nodes
    if fused:
        differences["ratio"] = statistics.median(a / b for a, b in zip(times["torch"], times["fused"], strict=True))
    return {
        "rnn": kind,
        "layers": layers,
        "nodes": nodes,
        "batch": batch,
        **{name: statistics.median(durations) for name, durations in times.items()},
        **{f"{name} kept": megabytes for name, megabytes in kept.items()},
        "flop": _flop(kind, layers, nodes, batch),
        "tanhs": evaluations * TANHS[cell] * layers,
        **differences,
    }


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of a call; on a GPU the mean of ten, from an idle GPU to an idle GPU."""
    if device.type == "cpu":
        start = time.perf_counter()
        call()
        return time.perf_counter() - start
    torch.accelerator.synchronize(device)
    start = time.perf_counter()
    for _ in range(10):
        call()
    torch.accelerator.synchronize(device)
    return (time.perf_counter() - start) / 10


def _kept(call: Callable[[], Tensor]) -> float:
    """MB of the distinct storages that a forward pass keeps."""
    storages: dict[int, int] = {}

    def record(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
        output = call()
        total = sum(storages.values()) / 1e6
    del output
    return total


def _matrix_rate(device: torch.device) -> float:
    """Floating-point operations a second of a large matrix product in float32, on all threads."""
    size = 2048 if device.type == "cpu" else 8192
    a, b = torch.randn(2, size, size, device=device)
    return 2 * size**3 / _fastest(lambda: a @ b, device)


def _tanh_rate(device: torch.device) -> float:
    """Hyperbolic tangents a second: on a CPU of values in the cache, one thread's times the threads."""
    threads = torch.get_num_threads()
    x = torch.randn(65536 if device.type == "cpu" else 1 << 24, device=device)
    out = torch.empty_like(x)
    if device.type != "cpu":
        return x.numel() / _fastest(lambda: torch.tanh(x, out=out), device)
    torch.set_num_threads(1)
    try:
        return threads * x.numel() / _fastest(lambda: torch.tanh(x, out=out), device)
    finally:
        torch.set_num_threads(threads)


def _fastest(call: Callable[[], object], device: torch.device) -> float:
    return min(_seconds(call, device) for _ in range(20))


if __name__ == "__main__":
    raise SystemExit(main())
