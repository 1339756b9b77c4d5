"""An epoch from end to end, three ways: hybridnets, the obvious way of writing it, and a bare loop over our own layers.

    HYBRIDNETS_DATA=... python -m benchmarks.epoch [--images 1500] [--rounds 2] [--json FILE]

Real CIFAR-10, or images of noise where it is not at hand (the time is the same). The obvious way is Lightning with a
DataLoader that transforms one image after the other in two workers, torch's own layers and memory format, Lightning's own
logging and checkpoints. The bare loop has our batches, our model and the optimiser, and nothing else: what it is faster by is
what Lightning, logging, checkpoints and callbacks cost. Each side trains on 70 % of `--images` and validates on the rest; its
second epoch counts. The sides take turns, `--rounds` times; a ratio is the median over the rounds of ratios within a round.
What ours takes beyond bare is measured once more on a model that does next to nothing.

Before that, both models get equal weights and must give equal logits, which `off` shows.
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

from benchmarks.machine import file, machine, positive, shown
from hybridnets import rnn
from hybridnets.data import cifar10
from hybridnets.data.datamodule import ImageDataModule
from hybridnets.data.dataset import ImageDataset
from hybridnets.models import CNN, ECRNN, Classifier
from hybridnets.runs import Run
from hybridnets.runs.identity import identity
from hybridnets.training import assemble, run_callbacks, train
from hybridnets.training.callbacks import Record
from hybridnets.training.checkpoints import DurableCheckpointIO

MODELS: dict[str, tuple[int, int] | None] = {"CNN": None, "ECRNN BiLSTM 1x16": (1, 16), "ECRNN BiLSTM 2x32": (2, 32)}
GOALS = {"32-true": (1.5, 2.5, 3.5), "bf16-mixed": (2.2, 3.5, 4.0)}


class Plain(pl.LightningModule):
    """CNN or ECRNN as one writes it down: torch's layers in torch's order, means over the epoch, Adam."""

    def __init__(self, recurrent: tuple[int, int] | None) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for wide, out in ((3, 32), (32, 64), (64, 128), (128, 256)):
            blocks += [nn.Conv2d(wide, out, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(out, eps=1e-3, momentum=0.01)]
            blocks += [nn.MaxPool2d(2)]
        self.cnn = nn.Sequential(*blocks)
        self.rnn: nn.LSTM | None = None
        size = 1024
        if recurrent:
            dense: list[nn.Module] = []
            for wide, out in ((1024, 512), (512, 256), (256, 512), (512, 1024)):
                dense += [nn.Linear(wide, out), nn.ReLU(), nn.BatchNorm1d(out, eps=1e-3, momentum=0.01)]
            self.encoder = nn.Sequential(*dense)
            layers, nodes = recurrent
            self.rnn = nn.LSTM(1, nodes, layers, batch_first=True, bidirectional=True)
            size = 2 * nodes
        self.head = nn.Linear(size, 10)
        self.train_accuracy, self.val_accuracy = MulticlassAccuracy(10), MulticlassAccuracy(10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        flat = self.cnn(images).permute(0, 2, 3, 1).flatten(1)
        if self.rnn is not None:
            _, (state, _) = self.rnn(self.encoder(flat)[:, :, None])
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


class Pictures(Dataset[tuple[Tensor, int]]):
    """One image after the other, as the usual transforms do it: to floats, channels first, standardised."""

    def __init__(self, images: Any, labels: Any) -> None:
        self.images, self.labels = images.transpose(0, 2, 3, 1), labels

    def __len__(self) -> int:
        """Images."""
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """An image (3, 32, 32), and its class."""
        picture = torch.from_numpy(np.ascontiguousarray(self.images[index])).permute(2, 0, 1).float().div(255)
        return (picture - 0.47) / 0.25, int(self.labels[index])


class Clock(pl.Callback):
    """Notes when each epoch begins and when the training ends."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_epoch_start(self, *_: Any) -> None:
        """Note the time."""
        self.times.append(time.perf_counter())

    def on_train_end(self, *_: Any) -> None:
        """Note the time."""
        self.times.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """Of the second epoch, training and validation."""
        return self.times[2] - self.times[1]


def ours(recurrent: tuple[int, int] | None) -> Classifier:
    """The model as conf/model builds it."""
    shape = (3, 32, 32)
    if recurrent is None:
        return CNN(shape, 10)
    layers, nodes = recurrent
    return ECRNN(shape, 10, partial(rnn.LSTM, bidirectional=True), hidden_size=nodes, num_layers=layers)


def by_hybridnets(module: ImageDataModule, build_model: Callable[[], Classifier], precision: Any) -> float:
    """Seconds of an epoch of `hybridnets.training.train`."""
    clock = Clock()
    settings = {"model": {"_target_": "x.Model"}, "data": {"name": "cifar10"}, "trainer": {"max_epochs": 2}}
    torch.set_flush_denormal(True)
    model = build_model()
    model.optimizer = partial(torch.optim.Adam, lr=1e-3, eps=1e-7, fused=True)
    with tempfile.TemporaryDirectory() as out:
        record = Record(Run(Path(out), identity({"split": 0, "init": 0, "order": 0}, **settings)))
        trainer = pl.Trainer(
            max_epochs=2,
            accelerator="cpu",
            logger=False,
            precision=precision,
            callbacks=run_callbacks(record, [clock]),
            plugins=[DurableCheckpointIO(record.run)],
            default_root_dir=record.run.folder,
            **QUIET,
            num_sanity_val_steps=0,
        )
        train(assemble(module, model, trainer, record), command="", configuration="")
    return clock.seconds


def by_the_obvious_way(module: ImageDataModule, recurrent: tuple[int, int] | None, precision: Any) -> float:
    """Seconds of an epoch as it is usually written."""
    clock, batch = Clock(), module.batch_size
    images, labels = module.dataset.train_images, module.dataset.train_labels
    first, second = (Pictures(images[part], labels[part]) for part in (module.split.train, module.split.val))
    training = DataLoader(first, batch, shuffle=True, num_workers=2)
    validation = DataLoader(second, batch, num_workers=2)
    with tempfile.TemporaryDirectory() as out:
        trainer = pl.Trainer(
            max_epochs=2, accelerator="cpu", precision=precision, default_root_dir=out, callbacks=[clock], **QUIET
        )
        trainer.fit(Plain(recurrent), training, validation)
    return clock.seconds


def by_a_bare_loop(module: ImageDataModule, build_model: Callable[[], Classifier], precision: Any) -> float:
    """Seconds of an epoch of our layers and batches without Lightning."""
    model, loaders = build_model(), (module.train_dataloader(), module.val_dataloader())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7, fused=True)
    cast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed")
    began = 0.0
    for epoch in range(2):
        began = time.perf_counter()
        loaders[0].set_epoch(epoch)
        model.train()
        for images, labels, _ in loaders[0]:
            with cast:
                loss = F.cross_entropy(model(module.standardized(images)), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        model.eval()
        with torch.no_grad(), cast:
            for images, labels, _ in loaders[1]:
                F.cross_entropy(model(module.standardized(images)), labels)
    return time.perf_counter() - began


QUIET: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False}
SIDES: dict[str, Callable[..., float]] = {
    "hybridnets": lambda module, recurrent, precision: by_hybridnets(module, partial(ours, recurrent), precision),
    "obvious": by_the_obvious_way,
    "bare": lambda module, recurrent, precision: by_a_bare_loop(module, partial(ours, recurrent), precision),
}


def beyond(batch: int, rounds: int) -> float:
    """Milliseconds that a step of a dense layer alone takes beyond the bare loop's, the median of three times as many rounds.

    What Lightning, logging and callbacks cost is the same for every model, and clear of noise only here. What they cost an
    epoch, checkpoints above all, is the same for few images as for many, and so not in the difference.
    """
    layer = partial(CNN, (3, 32, 32), 10, channels=())
    few, many = (ImageDataModule(pictures(n), split_seed=0, order_seed=0, batch_size=batch) for n in (1000, 8000))
    steps = len(many.train_dataloader()) - len(few.train_dataloader())

    def extra(module: ImageDataModule) -> float:
        return by_hybridnets(module, layer, "32-true") - by_a_bare_loop(module, layer, "32-true")

    return 1e3 * statistics.median((extra(many) - extra(few)) / steps for _ in range(3 * rounds))


def off(recurrent: tuple[int, int] | None) -> float:
    """Largest difference of logits from equal weights."""
    model, plain = ours(recurrent).eval(), Plain(recurrent).eval()
    with torch.no_grad():
        for theirs, mine in zip(plain.parameters(), model.parameters(), strict=True):
            theirs.copy_(mine)
        images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        return float((model(images) - plain(images)).abs().max())


def pictures(number: int) -> ImageDataset:
    """That many training images of CIFAR-10, or of noise."""
    root = Path(os.environ.get("HYBRIDNETS_DATA", "data"))
    if (root / "cifar-10-batches-bin").exists() or (root / "cifar-10-batches-py").exists():
        whole = cifar10.load(str(root))
        return ImageDataset(
            whole.train_images[:number],
            whole.train_labels[:number],
            whole.test_images[:100],
            whole.test_labels[:100],
            whole.classes,
        )
    draw = np.random.default_rng(0)
    images, labels = draw.integers(0, 256, (number, 3, 32, 32), np.uint8), draw.integers(0, 10, number)
    return ImageDataset(images, labels, images[:100], labels[:100], tuple("0123456789"))


def main() -> None:
    """Measures all settings, prints a table, and writes it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=positive, default=1500)
    parser.add_argument("--rounds", type=positive, default=2)
    parser.add_argument("--batches", type=positive, nargs="+", default=[32, 128])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--precisions", nargs="+", choices=GOALS, default=list(GOALS))
    parser.add_argument("--json", type=file, metavar="FILE")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_flush_denormal(True)
    dataset = pictures(arguments.images)
    facts = machine("torch", "pytorch-lightning", "numba")
    print(f"{shown(facts)}\n{torch.get_num_threads()} threads, {arguments.images} images, {arguments.rounds} rounds")
    extra = {batch: beyond(batch, arguments.rounds) for batch in arguments.batches}
    each = ", ".join(f"{value:.1f} ms in batches of {batch}" for batch, value in extra.items())
    print(f"beyond the model and its batches a step takes {each}\n")
    print("model              batch precision   ours s  obvious s   bare s   obvious/ours  goal  ours/bare      off")
    rows = []
    for name in arguments.models:
        difference = off(MODELS[name])
        for batch in arguments.batches:
            module = ImageDataModule(dataset, split_seed=0, order_seed=0, batch_size=batch)
            for precision in arguments.precisions:
                seconds: dict[str, list[float]] = {side: [] for side in SIDES}
                for _ in range(arguments.rounds):
                    for side, measure in SIDES.items():
                        seconds[side].append(measure(module, MODELS[name], precision))
                middle = {side: statistics.median(values) for side, values in seconds.items()}
                faster, dearer = (
                    statistics.median(a / b for a, b in zip(seconds[x], seconds[y], strict=True))
                    for x, y in (("obvious", "hybridnets"), ("hybridnets", "bare"))
                )
                goal = GOALS[precision][list(MODELS).index(name)]
                own, obvious, bare = middle.values()
                print(
                    f"{name:18} {batch:5} {precision:10} {own:7.2f} {obvious:10.2f} {bare:8.2f}"
                    f" {faster:14.2f} {goal:5} {dearer:10.3f} {difference:8.1e}",
                    flush=True,
                )
                rows.append({"model": name, "batch": batch, "precision": precision, "seconds": seconds})
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"machine": facts, "beyond_ms": extra, "rows": rows}, indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
