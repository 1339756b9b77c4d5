"""Times an epoch of three implementations: hybridnets, an obvious one with Lightning, and a bare loop over our own layers.

    HYBRIDNETS_DATA=... python -m benchmarks.epoch [--images 1500] [--rounds 2] [--json FILE]

The images are those of CIFAR-10 or, without it, of noise, which takes as long. The obvious implementation uses Lightning with
a DataLoader that transforms one image after the other in two workers, torch's layers and memory format, and Lightning's
logging and checkpoints. The bare loop has only our batches, our model and the optimiser, so that the difference between
hybridnets and the bare loop is the cost of Lightning, logging, checkpoints and callbacks. Each implementation trains on 70 %
of `--images` and validates on the rest, and the second epoch is timed. They take turns for `--rounds` rounds; a ratio is the
median of the ratios within each round. The overhead of hybridnets over the bare loop is also measured on a tiny model.

Before that, both models get the same weights; the column `off` has the largest difference of their logits.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchmetrics.classification import MulticlassAccuracy

from benchmarks.machine import facts_line, machine_facts, output_file, positive
from hybridnets import rnn
from hybridnets.data import cifar10
from hybridnets.data.datamodule import ImageDataModule
from hybridnets.data.dataset import ImageDataset
from hybridnets.models import CNN, ECRNN, Classifier
from hybridnets.runs import Run
from hybridnets.runs.identities import identity
from hybridnets.training import assemble, complete_callbacks, train
from hybridnets.training.callbacks import EpochRecorder
from hybridnets.training.checkpoints import DurableCheckpointIO

MODELS: dict[str, tuple[int, int] | None] = {"CNN": None, "ECRNN BiLSTM 1x16": (1, 16), "ECRNN BiLSTM 2x32": (2, 32)}
GOALS = {"32-true": (1.5, 2.5, 3.5), "bf16-mixed": (2.2, 3.5, 4.0)}


class ObviousModel(pl.LightningModule):
    """CNN or ECRNN in the obvious way: torch's layers in torch's order, means over the epoch, Adam."""

    def __init__(self, recurrent: tuple[int, int] | None) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for channels_in, channels_out in ((3, 32), (32, 64), (64, 128), (128, 256)):
            blocks += [nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.ReLU()]
            blocks += [nn.BatchNorm2d(channels_out, eps=1e-3, momentum=0.01), nn.MaxPool2d(2)]
        self.cnn = nn.Sequential(*blocks)
        self.rnn: nn.LSTM | None = None
        size = 1024
        if recurrent:
            dense: list[nn.Module] = []
            for units_in, units_out in ((1024, 512), (512, 256), (256, 512), (512, 1024)):
                dense += [nn.Linear(units_in, units_out), nn.ReLU(), nn.BatchNorm1d(units_out, eps=1e-3, momentum=0.01)]
            self.encoder = nn.Sequential(*dense)
            layers, nodes = recurrent
            self.rnn = nn.LSTM(1, nodes, layers, batch_first=True, bidirectional=True)
            size = 2 * nodes
        self.head = nn.Linear(size, 10)
        self.train_accuracy, self.val_accuracy = MulticlassAccuracy(10), MulticlassAccuracy(10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, (B, 3, 32, 32) to (B, 10)."""
        flat = self.cnn(images).permute(0, 2, 3, 1).flatten(1)  # (B, 1024), channels fastest
        if self.rnn is not None:
            _, (state, _) = self.rnn(self.encoder(flat)[:, :, None])  # (B, 1024, 1)
            flat = torch.cat((state[-2], state[-1]), dim=1)
        return self.head(flat)  # type: ignore[no-any-return]

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """Cross-entropy of a batch."""
        logits = self(batch[0])
        loss = F.cross_entropy(logits, batch[1])
        self.train_accuracy(logits, batch[1])
        self.log("train/loss", loss)
        self.log("train/acc", self.train_accuracy)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """Loss and accuracy of a batch."""
        logits = self(batch[0])
        self.val_accuracy(logits, batch[1])
        self.log("val/loss", F.cross_entropy(logits, batch[1]))
        self.log("val/acc", self.val_accuracy)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class TransformedImages(Dataset[tuple[Tensor, int]]):
    """Transforms one image after the other in the usual way: to floats, channels first, standardised."""

    def __init__(self, images: Any, labels: Any) -> None:
        self.images, self.labels = images.transpose(0, 2, 3, 1), labels

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """An image, (3, 32, 32), and its class."""
        image = torch.from_numpy(np.ascontiguousarray(self.images[index])).permute(2, 0, 1).float().div(255)
        return (image - 0.47) / 0.25, int(self.labels[index])


class Clock(pl.Callback):
    """Records when each epoch begins and when training ends."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_epoch_start(self, *_: Any) -> None:
        """Records the time."""
        self.times.append(time.perf_counter())

    def on_train_end(self, *_: Any) -> None:
        """Records the time."""
        self.times.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """Seconds of the second epoch, including validation."""
        return self.times[2] - self.times[1]


def hybridnets_model(recurrent: tuple[int, int] | None) -> Classifier:
    """The same model as conf/model builds it."""
    shape = (3, 32, 32)
    if recurrent is None:
        return CNN(shape, 10)
    layers, nodes = recurrent
    return ECRNN(shape, 10, partial(rnn.LSTM, bidirectional=True), hidden_size=nodes, num_layers=layers)


def time_hybridnets(module: ImageDataModule, build_model: Callable[[], Classifier], precision: Any) -> float:
    """Seconds per epoch of `hybridnets.training.train`."""
    clock = Clock()
    settings = {"model": {"_target_": "x.Model"}, "data": {"name": "cifar10"}, "trainer": {"max_epochs": 2}}
    torch.set_flush_denormal(True)
    model = build_model()
    model.optimizer = partial(torch.optim.Adam, lr=1e-3, eps=1e-7, fused=True)
    with tempfile.TemporaryDirectory() as out:
        recorder = EpochRecorder(Run(Path(out), identity({"split": 0, "init": 0, "order": 0}, **settings)))
        trainer = pl.Trainer(
            max_epochs=2,
            accelerator="cpu",
            logger=False,
            precision=precision,
            callbacks=complete_callbacks(recorder, [clock]),
            plugins=[DurableCheckpointIO(recorder.run)],
            default_root_dir=recorder.run.folder,
            **QUIET,
            num_sanity_val_steps=0,
        )
        train(assemble(module, model, trainer, recorder), command="", configuration="")
    return clock.seconds


def time_obvious(module: ImageDataModule, recurrent: tuple[int, int] | None, precision: Any) -> float:
    """Seconds per epoch of the obvious implementation."""
    clock, batch = Clock(), module.batch_size
    images, labels = module.dataset.train_images, module.dataset.train_labels
    train, val = (TransformedImages(images[part], labels[part]) for part in (module.split.train, module.split.val))
    train_loader = DataLoader(train, batch, shuffle=True, num_workers=2)
    val_loader = DataLoader(val, batch, num_workers=2)
    with tempfile.TemporaryDirectory() as out:
        trainer = pl.Trainer(
            max_epochs=2, accelerator="cpu", precision=precision, default_root_dir=out, callbacks=[clock], **QUIET
        )
        trainer.fit(ObviousModel(recurrent), train_loader, val_loader)
    return clock.seconds


def time_bare_loop(module: ImageDataModule, build_model: Callable[[], Classifier], precision: Any) -> float:
    """Seconds per epoch of our layers and batches without Lightning."""
    model, train_loader, val_loader = build_model(), module.train_dataloader(), module.val_dataloader()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7, fused=True)
    cast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed")
    start = 0.0
    for epoch in range(2):
        start = time.perf_counter()
        train_loader.set_epoch(epoch)
        model.train()
        for images, labels, _ in train_loader:
            with cast:
                loss = F.cross_entropy(model(module.standardized(images)), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        model.eval()
        with torch.no_grad(), cast:
            for images, labels, _ in val_loader:
                F.cross_entropy(model(module.standardized(images)), labels)
    return time.perf_counter() - start


QUIET: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False}
IMPLEMENTATIONS: dict[str, Callable[..., float]] = {
    "hybridnets": lambda module, recurrent, precision: time_hybridnets(
        module, partial(hybridnets_model, recurrent), precision
    ),
    "obvious": time_obvious,
    "bare": lambda module, recurrent, precision: time_bare_loop(
        module, partial(hybridnets_model, recurrent), precision
    ),
}


def step_overhead(batch: int, rounds: int) -> float:
    """Milliseconds per step that hybridnets takes longer than the bare loop, the median of 3 * `rounds` measurements.

    Lightning, logging and callbacks cost the same for every model, but only with a tiny model is this cost larger than the
    noise. Their cost per epoch, above all of checkpoints, cancels in the difference between many and few images.
    """
    layer = partial(CNN, (3, 32, 32), 10, channels=())
    small, large = (
        ImageDataModule(cifar10_or_noise(n), split_seed=0, order_seed=0, batch_size=batch) for n in (1000, 8000)
    )
    steps = len(large.train_dataloader()) - len(small.train_dataloader())

    def overhead(module: ImageDataModule) -> float:
        return time_hybridnets(module, layer, "32-true") - time_bare_loop(module, layer, "32-true")

    return 1e3 * statistics.median((overhead(large) - overhead(small)) / steps for _ in range(3 * rounds))


def logit_difference(recurrent: tuple[int, int] | None) -> float:
    """The largest difference of both models' logits with equal weights."""
    model, obvious = hybridnets_model(recurrent).eval(), ObviousModel(recurrent).eval()
    with torch.no_grad():
        for target, source in zip(obvious.parameters(), model.parameters(), strict=True):
            target.copy_(source)
        images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        return float((model(images) - obvious(images)).abs().max())


def cifar10_or_noise(number: int) -> ImageDataset:
    """The given number of training images of CIFAR-10, or of noise if HYBRIDNETS_DATA does not contain it."""
    root = Path(os.environ.get("HYBRIDNETS_DATA", "data"))
    if (root / "cifar-10-batches-bin").exists() or (root / "cifar-10-batches-py").exists():
        full = cifar10.load(str(root))
        return ImageDataset(
            full.train_images[:number],
            full.train_labels[:number],
            full.test_images[:100],
            full.test_labels[:100],
            full.classes,
        )
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (number, 3, 32, 32), np.uint8), rng.integers(0, 10, number)
    return ImageDataset(images, labels, images[:100], labels[:100], tuple("0123456789"))


def measure(name: str, module: ImageDataModule, precision: str, rounds: int, difference: float) -> dict[str, Any]:
    """Times one setting with all implementations, and prints its row.

    Args:
        name: A key of MODELS.
        module: The data.
        precision: A key of GOALS.
        rounds: Rounds in which the implementations take turns.
        difference: The largest difference of logits.
    """
    seconds: dict[str, list[float]] = {implementation: [] for implementation in IMPLEMENTATIONS}
    for _ in range(rounds):
        for implementation, time_epoch in IMPLEMENTATIONS.items():
            seconds[implementation].append(time_epoch(module, MODELS[name], precision))
    speedup, overhead = (
        statistics.median(a / b for a, b in zip(seconds[x], seconds[y], strict=True))
        for x, y in (("obvious", "hybridnets"), ("hybridnets", "bare"))
    )
    goal = GOALS[precision][list(MODELS).index(name)]
    hybridnets, obvious, bare = (statistics.median(values) for values in seconds.values())
    print(
        f"{name:18} {module.batch_size:5} {precision:10} {hybridnets:7.2f} {obvious:10.2f} {bare:8.2f}"
        f" {speedup:14.2f} {goal:5} {overhead:10.3f} {difference:8.1e}",
        flush=True,
    )
    return {"model": name, "batch": module.batch_size, "precision": precision, "seconds": seconds}


def main() -> None:
    """Measures all settings, prints a table, and writes it to a file if requested."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=positive, default=1500)
    parser.add_argument("--rounds", type=positive, default=2)
    parser.add_argument("--batches", type=positive, nargs="+", default=[32, 128])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--precisions", nargs="+", choices=GOALS, default=list(GOALS))
    parser.add_argument("--json", type=output_file, metavar="FILE")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_flush_denormal(True)
    dataset = cifar10_or_noise(arguments.images)
    facts = machine_facts("torch", "pytorch-lightning", "numba")
    print(
        f"{facts_line(facts)}\n{torch.get_num_threads()} threads, {arguments.images} images, {arguments.rounds} rounds"
    )
    overheads = {batch: step_overhead(batch, arguments.rounds) for batch in arguments.batches}
    listed = ", ".join(f"{value:.1f} ms in batches of {batch}" for batch, value in overheads.items())
    print(f"overhead per step: {listed}\n")
    print("model              batch precision   ours s  obvious s   bare s   obvious/ours  goal  ours/bare      off")
    rows = []
    for name in arguments.models:
        difference = logit_difference(MODELS[name])
        for batch in arguments.batches:
            module = ImageDataModule(dataset, split_seed=0, order_seed=0, batch_size=batch)
            rows += [measure(name, module, p, arguments.rounds, difference) for p in arguments.precisions]
    if arguments.json:
        content = {"machine": facts, "beyond_ms": overheads, "rows": rows}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
