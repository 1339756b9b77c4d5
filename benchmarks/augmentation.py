"""How long does augmentation of a batch take, kind by kind, beside reading the batch?

python -m benchmarks.augmentation [--sizes 32 224] [--batch 32] [--repeats 15]

Milliseconds of processor time on one thread for each batch of three-channel images, as the loader makes them: the median over
`--repeats` epochs of four batches, after one that is not counted. Other work on the machine matters little to it. `none` is
reading alone; the other rows include it. An epoch's random numbers for all images are part of its first batch.
"""

import argparse
import statistics
import time
from typing import Any

import numpy as np
import torch

from benchmarks.machine import facts_line, machine_facts, positive
from hybridnets.data.augmentation import Augmentation
from hybridnets.data.loader import BatchLoader

CLASSES, BATCHES = 10, 4
RANDAUGMENT = {"operations": 2, "magnitude": 9}
SETTINGS: dict[str, dict[str, Any]] = {
    "none": {},
    "flip": {"flip": True},
    "crop=4": {"crop": 4},
    "rotate=15": {"rotate": 15},
    "brightness=0.4": {"brightness": 0.4},
    "contrast=0.4": {"contrast": 0.4},
    "saturation=0.4": {"saturation": 0.4},
    "hue=0.1": {"hue": 0.1},
    "randaugment 2, 9": {"randaugment": RANDAUGMENT},
    "erase=0.25": {"erase": 0.25},
    "mixup=0.2": {"mixup": 0.2},
    "cutmix=1": {"cutmix": 1},
    "all of them": {
        **{"flip": True, "crop": 4, "rotate": 15, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
        **{"randaugment": RANDAUGMENT, "erase": 0.25, "mixup": 0.2, "cutmix": 1},
    },
}


def main() -> int:
    """Measures every kind at every size, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=positive, nargs="+", default=[32, 224])
    parser.add_argument("--batch", type=positive, default=32)
    parser.add_argument("--repeats", type=positive, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(facts_line(machine_facts("torch", "kornia")), end="\n\n")
    print("ms for each batch".ljust(18), *(f"{arguments.batch}x3x{size}x{size}".rjust(14) for size in arguments.sizes))
    for name, settings in SETTINGS.items():
        times = [_milliseconds(settings, size, arguments.batch, arguments.repeats) for size in arguments.sizes]
        print(name.ljust(18), *(f"{value:14.2f}" for value in times), flush=True)
    return 0


def _milliseconds(settings: dict[str, Any], size: int, batch: int, repeats: int) -> float:
    n = BATCHES * batch
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, 3, size, size), dtype=np.uint8))
    augmentation = Augmentation({"flip": False, "crop": 0, **settings}, CLASSES)
    loader = BatchLoader(
        images, torch.arange(n) % CLASSES, np.arange(n), batch, order_seed=0, augmentation=augmentation
    )
    times = []
    for epoch in range(repeats + 1):
        loader.set_epoch(epoch)
        start = time.process_time()
        for _ in loader:
            pass
        times.append((time.process_time() - start) / BATCHES)
    return 1e3 * statistics.median(times[1:])


if __name__ == "__main__":
    raise SystemExit(main())
