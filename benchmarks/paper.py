"""Estimates the hours that the whole paper would take on this machine: 17 variants with three seeds and 20 epochs each.

    HYBRIDNETS_DATA=... python -m benchmarks.paper [--jobs 2] [--precision bf16-mixed] [--json FILE]

Every variant trains for two epochs on a tenth of CIFAR-10, 3,500 images, and is validated on 1,500. The seconds of the second
epoch are multiplied by 10, by 20 epochs and by three seeds. Without CIFAR-10, images of noise are used, which take as long.

With `--jobs N`, as with `hydra.launcher.jobs=N`, N processes share the cores' threads: N runs of a variant train at the same
time, their mean is used, and the hours are divided by N. The overhead of a job (`benchmarks.launcher`) is not included.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import statistics
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import torch

from benchmarks.epoch import cifar10_or_noise, time_hybridnets
from benchmarks.machine import facts_line, machine_facts, output_file, positive
from hybridnets import rnn
from hybridnets.data.datamodule import ImageDataModule
from hybridnets.models import CNN, CRNN, ECRNN, Classifier

EPOCHS, SEEDS, TENTH = 20, 3, 10
SHAPE = (3, 32, 32)


def variants() -> dict[str, Callable[[], Classifier]]:
    """The paper's 17 variants, by name."""
    models: dict[str, Callable[[], Classifier]] = {"cnn": partial(CNN, SHAPE, 10)}
    for name, model in (("crnn", CRNN), ("ecrnn", ECRNN)):
        for bidirectional, layers, nodes in itertools.product((False, True), (1, 2), (16, 32)):
            layer = partial(rnn.LSTM, bidirectional=bidirectional)
            models[f"{name}-{'bi' * bidirectional}lstm-{layers}x{nodes}"] = partial(
                model, SHAPE, 10, layer, hidden_size=nodes, num_layers=layers
            )
    return models


def epoch_seconds(name: str, batch: int, precision: str) -> float:
    """Seconds per epoch of a variant on all of CIFAR-10."""
    warnings.filterwarnings("ignore")
    module = ImageDataModule(cifar10_or_noise(50_000 // TENTH), split_seed=0, order_seed=0, batch_size=batch)
    return TENTH * time_hybridnets(module, variants()[name], precision)


def main() -> None:
    """Measures all variants, prints a table, and writes it to a file if requested."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=positive, default=1, help="runs at the same time")
    parser.add_argument("--precision", default="32-true", help="as Lightning names it")
    parser.add_argument("--batch", type=positive, default=32)
    parser.add_argument("--json", type=output_file, metavar="FILE")
    arguments = parser.parse_args()
    threads = max(1, (os.cpu_count() or 1) // arguments.jobs)
    facts = machine_facts("torch", "numba")
    setting = f"{arguments.jobs} at the same time, {threads} threads each, {arguments.precision}, batches of {arguments.batch}"
    print(f"{facts_line(facts)}\n{setting}\n\nvariant              seconds/epoch")
    seconds = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.jobs, context, torch.set_num_threads, (threads,)) as workers:
        for name in variants():
            measurements = [
                workers.submit(epoch_seconds, name, arguments.batch, arguments.precision) for _ in range(arguments.jobs)
            ]
            seconds[name] = statistics.mean(measurement.result() for measurement in measurements)
            print(f"{name:20} {seconds[name]:13.0f}", flush=True)
    hours = sum(seconds.values()) * EPOCHS * SEEDS / 3600 / arguments.jobs
    print(f"\n{len(seconds) * SEEDS} runs of {EPOCHS} epochs: {hours:.1f} hours; median epoch", end=" ")
    print(f"{statistics.median(seconds.values()):.0f} s")
    if arguments.json:
        text = json.dumps({"machine": facts, "setting": setting, "epoch_seconds": seconds, "hours": hours}, indent=1)
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
