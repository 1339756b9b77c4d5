"""Measures the time and memory that a report of 1,000 runs takes.

python benchmarks/report_scale.py [--runs 1000] [--keep FOLDER]

Writes finished runs with 25,000 predictions each (15,000 val and 10,000 test images, ten classes with probabilities, like the
paper's splits of CIFAR-10) into a temporary folder, has a separate process write the whole report, and prints its seconds and
its peak memory. 1,000 runs take 1.3 GB on the disk. The goal is 60 s and 2 GiB on 2 cores.
"""

import argparse
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hybridnets.runs import Run, manifest
from hybridnets.runs.identities import identity
from hybridnets.runs.records import LayerRecord, Result

SEEDS = 10
IMAGES = {"val": 15_000, "test": 10_000}
ROOT = Path(__file__).parents[1]


def main() -> int:
    """Writes the runs and the report, and prints the time and memory of the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000, help="number of runs (default: 1000)")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep the runs in this folder (default: a temporary one)"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        out = arguments.keep or Path(scratch)
        _write(out, arguments.runs)
        command = [sys.executable, str(ROOT / "report.py"), str(out / "cifar10"), "--to", str(out / "report")]
        start = time.monotonic()
        process = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        seconds = time.monotonic() - start
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        page = (out / "report" / "index.html").stat().st_size / 1e6
        print(f"{shlex.join(command)}: exit {process.returncode}")
        print(f"{arguments.runs} runs: {seconds:.1f} s, {memory:.2f} GiB at the peak, page {page:.1f} MB")
    return process.returncode


def _write(out: Path, number: int) -> None:
    """Writes finished runs and their manifest; learning rates stand in for further architectures, each with the same seeds."""
    rng = np.random.default_rng(0)
    labels = {part: rng.integers(0, 10, 50_000 if part == "val" else 10_000) for part in IMAGES}
    runs = []
    for n in tqdm(range(number), desc="writing runs", unit="run", leave=False):
        variant, seed = divmod(n, SEEDS)
        run = _run(out, variant, seed)
        runs.append(run)
        arrays, accuracies = _predictions(rng, labels, variant, seed)
        val_accuracy = accuracies["val/acc"]
        with run.claim() as attempt:
            attempt.note(threads=1, device="cpu")
            for epoch in range(3):
                attempt.epoch(epoch, 50 + rng.normal())
            np.savez(run.folder / "predictions.npz", **arrays)
            curve = [f"{epoch},{1 - 0.5 / (1 + epoch)},{val_accuracy - 0.1 / (1 + epoch)}" for epoch in range(20)]
            (run.folder / "metrics.csv").write_text("\n".join(["epoch,train/acc,val/acc", *curve]), encoding="utf-8")
            attempt.finish(
                Result(
                    identity=run.identity,
                    monitor="val/acc",
                    best={"epoch": 9, **accuracies},
                    last={"epoch": 19, "val/acc": val_accuracy - 0.005},
                    epochs=20,
                    images={"train": 35_000, "val": 15_000, "test": 10_000},
                    split=f"split {seed}",
                    weights="",
                    classes=tuple(f"class {k}" for k in range(10)),
                    parameters={"keras": 400_000 + 1_000 * variant, "torch": 400_000},
                    layers=(
                        LayerRecord("features", "Conv2D 3x3", (32, 32, 64), 1792),
                        LayerRecord("head", "Dense", (10,), 330),
                    ),
                )
            )
    primary = {"primary": {"variant": "ecrnn-lstm-1x1", "baseline": "cnn", "margin": 1.0}}
    manifest.write(out, "scale", "python train.py -cn scale", runs, primary)


def _predictions(
    rng: np.random.Generator, labels: dict[str, Any], variant: int, seed: int
) -> tuple[dict[str, Any], dict[str, float]]:
    """The arrays of a run's predictions.npz, and the accuracies that follow from them."""
    split = np.random.default_rng(seed).permutation(50_000)
    arrays: dict[str, Any] = {}
    accuracies: dict[str, float] = {}
    for part, count in IMAGES.items():
        index = np.sort(split[:count]) if part == "val" else np.arange(count)
        wrong = rng.random(count) > 0.75 + 0.02 * (variant % 3) + 0.01 * rng.normal()
        predicted = (labels[part][index] + wrong) % 10
        accuracies[f"{part}/acc"] = float(np.mean(~wrong))
        arrays |= {f"{part}_index": index, f"{part}_label": labels[part][index], f"{part}_class": predicted}
        arrays[f"{part}_probabilities"] = np.eye(10, dtype=np.float32)[predicted]
    return arrays, accuracies


def _run(out: Path, variant: int, seed: int) -> Run:
    architecture, step = ("cnn", "crnn", "ecrnn")[min(variant, 1 + variant % 2)], variant // 2
    model: dict[str, Any] = {"_target_": f"hybridnets.models.{architecture.upper()}"}
    if architecture != "cnn":
        model |= {"rnn": {"_target_": "hybridnets.rnn.LSTM"}, "num_layers": 1 + step % 2, "hidden_size": 1 + step}
    data = {"name": "cifar10", "sha256": "0" * 64}
    return Run(out, identity({"split": seed, "init": seed, "order": seed}, model=model, data=data))


if __name__ == "__main__":
    sys.exit(main())
