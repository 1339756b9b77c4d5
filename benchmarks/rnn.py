"""How fast are the recurrent layers on this CPU, beside torch's own and beside the arithmetic?

python benchmarks/rnn.py [--batches 32 128] [--nodes 16 32] [--layers 1 2] [--rnn lstm bilstm ...] [--threads N] [--json FILE]
python benchmarks/rnn.py --device cuda   torch's layers alone (there cuDNN's) beside the floor: ours are for CPUs

One process measures both sides in turns: after a warm-up, the median over `--repeats` of forward plus backward of 1,024 steps
of one number, float32, denormal numbers flushed for both, as in training. Columns:

- torch, fused: milliseconds; infer: the fused forward pass alone, without gradients;
- ratio: the median over the turns of torch / fused, so that a machine busy elsewhere disturbs it least;
- floor: milliseconds that the arithmetic alone takes, GFLOP over the rate of a large matrix product plus the hyperbolic
  tangents (a sigmoid counts as one) over torch's rate, both measured here;
- kept: MB that a forward pass keeps for its backward pass, torch / fused;
- off: largest difference of outputs, and of gradients relative to each gradient's largest, torch against fused.

The goals: ratio 5 for one layer of LSTM or BiLSTM, 3.5 for two, 3 for GRU; within 1.5 of the floor; no more kept than torch.
"""

import argparse
import itertools
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.benchmark import Timer

from hybridnets import rnn

STEPS = 1024
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
    """Measures every setting, prints its row, and writes all rows where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--nodes", type=int, nargs="+", default=[16, 32])
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rnn", nargs="+", choices=KINDS, default=["lstm", "bilstm", "gru", "bigru"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cpu", help="in torch's words")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the rows go as well")
    arguments = parser.parse_args()
    torch.set_flush_denormal(True)
    torch.set_num_threads(arguments.threads)
    if arguments.device != "cpu":
        return _elsewhere(arguments)
    start = time.perf_counter()
    rnn.LSTM(1, 1, backend="fused")(torch.zeros(1, 1, 1))
    first = time.perf_counter() - start
    flops, tanhs = _matrix_rate(), _tanh_rate()
    machine = {
        "processor": _processor(),
        "threads": arguments.threads,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numba": __import__("numba").__version__,
        "matrix product GFLOP/s": flops / 1e9,
        "tanh G/s": tanhs / 1e9,
        "seconds to compile or load": first,
    }
    print("\n".join(f"{name}: {round(v, 2) if isinstance(v, float) else v}" for name, v in machine.items()), "\n")
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
    for kind in arguments.rnn:
        for layers in arguments.layers:
            for nodes in arguments.nodes:
                for batch in arguments.batches:
                    row = _measure(kind, layers, nodes, batch, arguments.repeats)
                    row["floor"] = 1e3 * (row["flop"] / flops + row["tanhs"] / tanhs)
                    rows.append(row)
                    cells = (
                        f"{kind} {layers}x{nodes}",
                        str(batch),
                        *(f"{row[name]:.1f}" for name in ("torch", "fused", "ratio", "infer", "floor")),
                        f"{row['fused'] / row['floor']:.2f}",
                        f"{row['torch kept']:.0f} / {row['fused kept']:.0f}",
                        f"{row['off']:.1e}",
                        f"{row['gradients off']:.1e}",
                    )
                    line = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
                    print(" ".join(line), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1), encoding="utf-8")
    return 0


def _elsewhere(arguments: argparse.Namespace) -> int:
    """Torch's layers on another device, in milliseconds, beside the floor of their products."""
    device = torch.device(arguments.device)
    a = torch.randn(4096, 4096, device=device)
    rate = 2 * 4096**3 / Timer("a @ a", globals={"a": a}).blocked_autorange().median
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    print(f"{name}, torch {torch.__version__}, matrix product {rate / 1e9:.0f} GFLOP/s\n")
    print("      setting batch    torch    floor torch/floor")
    rows = []
    for kind, layers, nodes, batch in itertools.product(
        arguments.rnn, arguments.layers, arguments.nodes, arguments.batches
    ):
        _, torchs, two = KINDS[kind]
        layer = torchs(1, nodes, layers, batch_first=True, bidirectional=two).to(device)
        x = torch.randn(batch, STEPS, 1, device=device, requires_grad=True)
        step = Timer("layer(x)[0][:, -1].sum().backward()", globals={"layer": layer, "x": x})
        milliseconds, floor = 1e3 * step.blocked_autorange().median, 1e3 * _flop(kind, layers, nodes, batch) / rate
        print(
            f"{kind} {layers}x{nodes}".rjust(13),
            f"{batch:5} {milliseconds:8.2f} {floor:8.3f} {milliseconds / floor:11.1f}",
        )
        rows.append(
            {"rnn": kind, "layers": layers, "nodes": nodes, "batch": batch, "torch": milliseconds, "floor": floor}
        )
    if arguments.json:
        arguments.json.write_text(json.dumps({"device": name, "rows": rows}, indent=1), encoding="utf-8")
    return 0


def _flop(kind: str, layers: int, nodes: int, batch: int) -> int:
    """Of the products of a forward and a backward pass; backward is twice forward."""
    directions = 2 if KINDS[kind][2] else 1
    inputs = [1, *[directions * nodes] * (layers - 1)]
    steps = batch * STEPS * directions * nodes
    return 3 * 2 * steps * GATES[kind.removeprefix("bi")] * sum(columns + nodes for columns in inputs)


def _measure(kind: str, layers: int, nodes: int, batch: int, repeats: int) -> dict[str, Any]:
    ours, torchs, two = KINDS[kind]
    torch.manual_seed(0)
    mine = ours(1, nodes, layers, bidirectional=two, backend="fused").requires_grad_()  # torch learns both its biases
    theirs = torchs(1, nodes, layers, batch_first=True, bidirectional=two)
    theirs.load_state_dict(mine.state_dict())
    x = torch.randn(batch, STEPS, 1, requires_grad=True)
    up = torch.randn(batch, mine.output_size)

    def reference(x: Tensor) -> Tensor:
        state = theirs(x)[1]
        hidden = state[0] if isinstance(state, tuple) else state
        return torch.cat((hidden[-2], hidden[-1]), dim=1) if two else hidden[-1]

    def step(layer: Callable[[Tensor], Tensor], module: torch.nn.Module) -> list[Tensor]:
        output = layer(x)
        return [output, *torch.autograd.grad(output, [x, *module.parameters()], up)]

    def inference() -> None:
        with torch.no_grad():
            mine(x)

    kept = {"torch": _kept(lambda: reference(x)), "fused": _kept(lambda: mine(x))}
    both = [step(mine, mine), step(reference, theirs)]
    times: dict[str, list[float]] = {"torch": [], "fused": [], "infer": []}
    turns = {"fused": lambda: step(mine, mine), "torch": lambda: step(reference, theirs), "infer": inference}
    for _ in range(repeats):
        for name, turn in turns.items():
            start = time.perf_counter()
            turn()
            times[name].append(1e3 * (time.perf_counter() - start))
    directions, cell = (2 if two else 1), kind.removeprefix("bi")
    evaluations = batch * STEPS * directions * nodes
    return {
        "rnn": kind,
        "layers": layers,
        "nodes": nodes,
        "batch": batch,
        **{name: statistics.median(each) for name, each in times.items()},
        "ratio": statistics.median(a / b for a, b in zip(times["torch"], times["fused"], strict=True)),
        "torch kept": kept["torch"],
        "fused kept": kept["fused"],
        "flop": _flop(kind, layers, nodes, batch),
        "tanhs": evaluations * TANHS[cell] * layers,
        "off": (both[0][0] - both[1][0]).abs().max().item(),
        "gradients off": max(
            ((a - b).abs().max() / b.abs().max()).item() for a, b in zip(both[0][1:], both[1][1:], strict=True)
        ),
    }


def _kept(run: Callable[[], Tensor]) -> float:
    """MB of the distinct storages that a forward pass keeps."""
    found: dict[int, int] = {}

    def see(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(see, lambda tensor: tensor):
        output = run()
        total = sum(found.values()) / 1e6
    del output
    return total


def _matrix_rate() -> float:
    """Floating-point operations a second of a large matrix product, on all threads."""
    a, b = torch.randn(2, 2048, 2048)
    return 2 * 2048**3 / _fastest(lambda: a @ b)


def _tanh_rate() -> float:
    """Hyperbolic tangents a second on numbers in the cache: one thread's, times the threads."""
    threads, x = torch.get_num_threads(), torch.randn(65536)
    out = torch.empty_like(x)
    torch.set_num_threads(1)
    try:
        return threads * x.numel() / _fastest(lambda: torch.tanh(x, out=out))
    finally:
        torch.set_num_threads(threads)


def _fastest(run: Callable[[], object]) -> float:
    times = []
    for _ in range(20):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    raise SystemExit(main())
