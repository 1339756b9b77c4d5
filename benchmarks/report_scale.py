"""How long does a report of 1,000 runs take, and how much memory?

python benchmarks/report_scale.py [--runs 1000] [--keep FOLDER]

Writes finished runs of 25,000 predictions each (15,000 val and 10,000 test images, ten classes with probabilities, as the
paper's splits of CIFAR-10 give) into a folder of its own, makes the whole report of them in a process of its own, and prints
seconds and the largest memory. 1,000 runs take 1.3 GB of disk for the time being. The goal: 60 s and 2 GiB on 2 cores.
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
from hybridnets.runs.identity import identity
from hybridnets.runs.records import LayerRecord, Result

SEEDS = 10
IMAGES = {"val": 15_000, "test": 10_000}
ROOT = Path(__file__).parents[1]


def main() -> int:
    """Writes the runs, makes the report, prints what it cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the runs go and stay (default: nowhere)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        out = arguments.keep or Path(scratch)
        _write(out, arguments.runs)
        command = [sys.executable, str(ROOT / "report.py"), str(out / "cifar10"), "--to", str(out / "report")]
        start = time.monotonic()
        done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        seconds = time.monotonic() - start
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        page = (out / "report" / "index.html").stat().st_size / 1e6
        print(f"{shlex.join(command)}: exit {done.returncode}")
        print(f"{arguments.runs} runs: {seconds:.1f} s, {memory:.2f} GiB at most, page {page:.1f} MB")
    return done.returncode


def _write(out: Path, number: int) -> None:
    """Finished runs of a grid: learning rates in the place of further architectures, each on the same seeds."""
    runs = []
    draw = np.random.default_rng(0)
    label = {part: draw.integers(0, 10, 50_000 if part == "val" else 10_000) for part in IMAGES}
    for n in tqdm(range(number), desc="writing runs", unit="run", leave=False):
        variant, seed = divmod(n, SEEDS)
        run = _run(out, variant, seed)
        runs.append(run)
        split = np.random.default_rng(seed).permutation(50_000)
        arrays: dict[str, Any] = {}
        best: dict[str, Any] = {"epoch": 9}
        for part, count in IMAGES.items():
            index = np.sort(split[:count]) if part == "val" else np.arange(count)
            wrong = draw.random(count) > 0.75 + 0.02 * (variant % 3) + 0.01 * draw.normal()
            predicted = (label[part][index] + wrong) % 10
            best[f"{part}/acc"] = float(np.mean(~wrong))
            arrays |= {f"{part}_index": index, f"{part}_label": label[part][index], f"{part}_class": predicted}
            arrays[f"{part}_probabilities"] = np.eye(10, dtype=np.float32)[predicted]
        with run.claim() as attempt:
            attempt.record(threads=1, device="cpu")
            for epoch in range(3):
                attempt.epoch(epoch, 50 + draw.normal())
            np.savez(run.folder / "predictions.npz", **arrays)
            curve = [f"{epoch},{1 - 0.5 / (1 + epoch)},{best['val/acc'] - 0.1 / (1 + epoch)}" for epoch in range(20)]
            (run.folder / "metrics.csv").write_text("\n".join(["epoch,train/acc,val/acc", *curve]), encoding="utf-8")
            attempt.finish(
                Result(
                    identity=run.identity,
                    monitor="val/acc",
                    best=best,
                    last={"epoch": 19, "val/acc": best["val/acc"] - 0.005},
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


def _run(out: Path, variant: int, seed: int) -> Run:
    kind, step = ("cnn", "crnn", "ecrnn")[min(variant, 1 + variant % 2)], variant // 2
    model: dict[str, Any] = {"_target_": f"hybridnets.models.{kind.upper()}"}
    if kind != "cnn":
        model |= {"rnn": {"_target_": "hybridnets.rnn.LSTM"}, "num_layers": 1 + step % 2, "hidden_size": 1 + step}
    data = {"name": "cifar10", "sha256": "0" * 64}
    return Run(out, identity({"split": seed, "init": seed, "order": seed}, model=model, data=data))


if __name__ == "__main__":
    sys.exit(main())
