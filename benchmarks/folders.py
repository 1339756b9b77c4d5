"""Times data=folder, and measures the memory that it needs, on pictures made for it: decoding, the next start, training.

    python -m benchmarks.folders [--images 100000] [--size 224] [--steps 40] [--rounds 3] [--folder runs/bench] [--json FILE]

Pictures are JPEG files of size x size in ten classes, 1 % of them test. Decoded they take images x size x size x 3 bytes, which
is 15 GB for 100,000 of 224 x 224; with the files themselves, 17 GB of disk are needed, which are freed at the end.

Each step is a process of its own, and the largest RssAnon of it (memory other than that of mapped files, from
/proc/self/status) is sampled every 20 ms. In the last step, CNN is trained on images that are mapped from the file, anywhere in
it, and on a part of them that was copied into memory, in turns; the ratio is the median of the ratios of the rounds.
"""

import argparse
import functools
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.machine import facts_line, machine_facts, output_file, positive
from hybridnets.cli.train import SPINS
from hybridnets.data.dataset import ImageDataset
from hybridnets.data.folder import load

CLASSES = 10
IN_MEMORY = 500e6  # bytes of the images that are copied into memory
BATCH = 16
MODELS = {"CNN": (32, 64, 128, 256), "CNN with a tenth of the channels": (4, 6, 12, 24)}


def write_pictures(root: Path, n: int, size: int) -> None:
    """Writes n pictures of size x size into train/CLASS and test/CLASS, the same ones every time."""
    for part in ("train", "test"):
        for name in range(CLASSES):
            (root / part / str(name)).mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        list(pool.map(_write_some, [(root, start, min(n, start + 500), size) for start in range(0, n, 500)]))


def _write_some(task: tuple[Path, int, int, int]) -> None:
    root, start, stop, size = task
    rng = np.random.default_rng(start)
    for i in range(start, stop):
        name = i % CLASSES
        blocks = rng.integers(0, 160, (7, 7, 3), dtype=np.uint8) + np.uint8(9 * name)
        picture = Image.fromarray(blocks).resize((size, size))
        picture.save(root / ("test" if i // CLASSES % 100 == 0 else "train") / str(name) / f"{i}.jpg", quality=50)


def anonymous_bytes() -> int:
    """The memory of this process that no file on the disk backs."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


class Watched:
    """Seconds and the largest anonymous memory of a block."""

    def __enter__(self) -> "Watched":
        """Begins to watch."""
        self.before = self.most = anonymous_bytes()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        self._start = time.perf_counter()
        return self

    def _watch(self) -> None:
        while not self._ends.wait(0.02):
            self.most = max(self.most, anonymous_bytes())

    def __exit__(self, *_: object) -> None:
        """Ends."""
        self.seconds = time.perf_counter() - self._start
        self._ends.set()
        self._thread.join()
        self.most = max(self.most, anonymous_bytes())

    def facts(self) -> dict[str, float]:
        """What was measured, in seconds and bytes."""
        return {"seconds": self.seconds, "anonymous_bytes": self.most, "bytes_before": self.before}


def load_step(root: Path, cache: Path, size: int) -> dict[str, Any]:
    """Loads the folder, decoding it where the cache lacks it."""
    with Watched() as watched:
        data = load(root, size, cache=cache)
    return {**watched.facts(), "images": len(data.train_labels) + len(data.test_labels), "sha256": data.sha256}


def read_step(root: Path, cache: Path, size: int) -> dict[str, Any]:
    """Reads all batches of an epoch, augmented and standardised, without a model."""
    data = load(root, size, cache=cache)
    from hybridnets.data.datamodule import ImageDataModule

    augment = {"flip": True, "crop": size // 8}
    module = ImageDataModule(data, split_seed=0, order_seed=0, batch_size=BATCH, augment=augment)
    loader = module.train_dataloader()
    for batch in itertools.islice(loader, 3):  # torch's own memory
        module.standardized(batch[0])
    with Watched() as watched:
        for images, _, _ in loader:
            module.standardized(images)
    return {**watched.facts(), "images": len(loader.part)}


def train_step(root: Path, cache: Path, size: int, steps: int) -> dict[str, Any]:
    """Trains on mapped images for some steps, and evaluates for as many."""
    data = load(root, size, cache=cache)
    import torch

    from hybridnets.models import CNN

    torch.set_flush_denormal(True)
    with Watched() as watched:
        train = trainer_of(data, CNN((3, size, size), CLASSES))
        train(steps)
    return {**watched.facts(), "images": steps * BATCH}


def trainer_of(data: ImageDataset, model: Any) -> Callable[[int], float]:
    """A function that trains for some steps, epoch after epoch, and returns the images per second."""
    import torch
    from torch.nn import functional as F

    from hybridnets.data.datamodule import ImageDataModule

    module = ImageDataModule(data, split_seed=0, order_seed=0, batch_size=BATCH)
    optimizer = torch.optim.Adam(model.parameters())
    loader = module.train_dataloader()
    epoch = 0

    def train(steps: int) -> float:
        nonlocal epoch
        start, done = time.perf_counter(), 0
        while done < steps:
            loader.set_epoch(epoch)
            epoch += 1
            for images, labels, _ in loader:
                optimizer.zero_grad()
                F.cross_entropy(model(module.standardized(images)), labels).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                done += 1
                if done == steps:
                    break
        return steps * BATCH / (time.perf_counter() - start)

    return train


def compare_step(root: Path, cache: Path, size: int, steps: int, rounds: int) -> dict[str, Any]:
    """Images per second in training on mapped images, and on images in memory, in turns."""
    import torch

    from hybridnets.models import CNN

    torch.set_flush_denormal(True)
    mapped = load(root, size, cache=cache)
    n = min(len(mapped.train_labels), int(IN_MEMORY / (3 * size**2)))
    some = np.sort(np.random.default_rng(0).permutation(len(mapped.train_labels))[:n])
    memory = ImageDataset(
        np.array(mapped.train_images[some]),
        mapped.train_labels[some],
        np.array(mapped.test_images[:2]),
        mapped.test_labels[:2],
        mapped.classes,
    )
    answer: dict[str, Any] = {}
    for name, channels in MODELS.items():
        trainers = {
            kind: trainer_of(data, CNN((3, size, size), CLASSES, channels))
            for kind, data in (("mapped", mapped), ("memory", memory))
        }
        speeds: dict[str, list[float]] = {kind: [] for kind in trainers}
        for train in trainers.values():
            train(3)
        for _ in range(rounds):
            for kind, train in trainers.items():
                speeds[kind].append(train(steps))
        ratios = [a / b for a, b in zip(speeds["mapped"], speeds["memory"], strict=True)]
        answer[name] = {"images_per_second": speeds, "ratio": statistics.median(ratios)}
    return answer


def measure(step: str, *words: object) -> dict[str, Any]:
    """What a step measures in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.folders", "--step", step, *map(str, words)]
    # As `hybridnets train` sets it: other processes on the machine would disturb two threads of OpenMP much more otherwise.
    environment = {"GOMP_SPINCOUNT": SPINS, **os.environ}
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    answer: dict[str, Any] = json.loads(said.stdout)
    return answer


def main() -> None:
    """Prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=positive, default=100_000)
    parser.add_argument("--size", type=positive, default=224, help="pixels")
    parser.add_argument("--steps", type=positive, default=40)
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--folder", type=Path, default=Path("runs/bench"))
    parser.add_argument("--json", type=output_file)
    parser.add_argument("--step", choices=("load", "read", "train", "compare"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    root, cache = given.folder / "pictures", given.folder / "cache"
    if given.step:
        steps: dict[str, Callable[..., dict[str, Any]]] = {
            "load": load_step,
            "read": read_step,
            "train": functools.partial(train_step, steps=given.steps),
            "compare": functools.partial(compare_step, steps=given.steps, rounds=given.rounds),
        }
        print(json.dumps(steps[given.step](root, cache, given.size)))
        return
    words = ("--folder", given.folder, "--size", given.size, "--steps", given.steps, "--rounds", given.rounds)
    print(facts_line(machine_facts()), flush=True)
    try:
        start = time.perf_counter()
        write_pictures(root, given.images, given.size)
        print(f"{given.images:,} pictures written in {time.perf_counter() - start:.0f} s", flush=True)
        facts: dict[str, Any] = {"machine": machine_facts(), "images": given.images, "size": given.size}
        steps_of = {"decoding": "load", "next start": "load", "an epoch's batches": "read", "training": "train"}
        for name, step in steps_of.items():
            facts[name] = measure(step, *words)
            seconds, images = facts[name]["seconds"], facts[name]["images"]
            print(
                f"{name}: {seconds:.1f} s, {images / seconds:,.0f} images/s, RssAnon at most "
                f"{facts[name]['anonymous_bytes'] / 1e9:.2f} GB",
                flush=True,
            )
        facts["compared"] = measure("compare", *words)
        for model, speeds in facts["compared"].items():
            medians = {kind: statistics.median(values) for kind, values in speeds["images_per_second"].items()}
            print(
                f"{model}: {medians['mapped']:.1f} images/s mapped, {medians['memory']:.1f} in memory, ratio "
                f"{speeds['ratio']:.2f}",
                flush=True,
            )
    finally:
        for path in (root, cache):
            shutil.rmtree(path, ignore_errors=True)
    if given.json:
        given.json.write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
