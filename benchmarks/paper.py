"""How many hours would the whole paper take on this machine? 17 variants, three seeds, 20 epochs each, extrapolated.

    HYBRIDNETS_DATA=... python -m benchmarks.paper [--jobs 2] [--precision bf16-mixed] [--json FILE]

Every variant trains for two epochs on a tenth of CIFAR-10, 3,500 images, and is validated on 1,500; the second epoch counts,
times 10, 20 epochs and three seeds. Images of noise serve where CIFAR-10 is not at hand: the time is the same.

With `--jobs N`, as with `hydra.launcher.jobs=N`, N processes share the cores' threads: N runs of a variant side by side, whose
mean counts, and an Nth of the hours. What a job spends beyond its epochs (`benchmarks.launcher`) is not in it.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import torch

from benchmarks.epoch import by_hybridnets, pictures
from benchmarks.machine import file, machine, positive, shown
from hybridnets import rnn
from hybridnets.data.datamodule import ImageDataModule
from hybridnets.models import CNN, CRNN, ECRNN, Classifier

EPOCHS, SEEDS, TENTH = 20, 3, 10
SHAPE = (3, 32, 32)


def variants() -> dict[str, Callable[[], Classifier]]:
    """The paper's 17, by name."""
    found: dict[str, Callable[[], Classifier]] = {"cnn": partial(CNN, SHAPE, 10)}
    for name, model in (("crnn", CRNN), ("ecrnn", ECRNN)):
        for two in (False, True):
            layer = partial(rnn.LSTM, bidirectional=two)
            for layers in (1, 2):
                for nodes in (16, 32):
                    found[f"{name}-{'bi' * two}lstm-{layers}x{nodes}"] = partial(
                        model, SHAPE, 10, layer, hidden_size=nodes, num_layers=layers
                    )
    return found


def epoch_seconds(name: str, batch: int, precision: str) -> float:
    """Of a variant, on the whole of CIFAR-10."""
    warnings.filterwarnings("ignore")
    module = ImageDataModule(pictures(50_000 // TENTH), split_seed=0, order_seed=0, batch_size=batch)
    return TENTH * by_hybridnets(module, variants()[name], precision)


def main() -> None:
    """Measures, prints a table, and writes it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=positive, default=1, help="runs at a time")
    parser.add_argument("--precision", default="32-true", help="Lightning's word")
    parser.add_argument("--batch", type=positive, default=32)
    parser.add_argument("--json", type=file, metavar="FILE")
    arguments = parser.parse_args()
    threads = max(1, (os.cpu_count() or 1) // arguments.jobs)
    facts = machine("torch", "numba")
    setting = f"{arguments.jobs} at a time, threads each {threads}, {arguments.precision}, batches of {arguments.batch}"
    print(f"{shown(facts)}\n{setting}\n\nvariant              seconds an epoch")
    seconds = {}
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.jobs, fresh, torch.set_num_threads, (threads,)) as workers:
        for name in variants():
            together = [
                workers.submit(epoch_seconds, name, arguments.batch, arguments.precision) for _ in range(arguments.jobs)
            ]
            seconds[name] = statistics.mean(each.result() for each in together)
            print(f"{name:20} {seconds[name]:16.0f}", flush=True)
    hours = sum(seconds.values()) * EPOCHS * SEEDS / 3600 / arguments.jobs
    print(f"\n{len(seconds) * SEEDS} runs of {EPOCHS} epochs: {hours:.1f} hours; median epoch", end=" ")
    print(f"{statistics.median(seconds.values()):.0f} s")
    if arguments.json:
        text = json.dumps({"machine": facts, "setting": setting, "epoch_seconds": seconds, "hours": hours}, indent=1)
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
