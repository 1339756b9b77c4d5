"""A published value is that of the published weights with any flags and callbacks, or these are refused."""

import csv
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from hybridnets.models import CNN
from hybridnets.report.reading import results
from hybridnets.report.rendering.verification import recompute
from hybridnets.runs.accuracy import same_weights
from hybridnets.training.checkpoints import hash_weights, load_checkpoint
from tests.conftest import SMALL, Said

WORDS = (*SMALL, "model=cnn")  # 33 steps an epoch
LIGHTNING = "pytorch_lightning.callbacks"
ALLOWED = {
    "max_steps in mid-epoch": ["trainer.max_steps=40"],
    "max_steps in the first epoch": ["trainer.max_steps=7"],
    "accumulated gradients": ["trainer.accumulate_grad_batches=4"],
    "a share of the batches": ["trainer.limit_train_batches=0.4"],
    "min_epochs": ["trainer.min_epochs=2", "callbacks.early_stopping.patience=1"],
    "sanity steps": ["trainer.num_sanity_val_steps=2"],
    "an average": [f"+callbacks.a._target_={LIGHTNING}.EMAWeightAveraging", "+callbacks.a.decay=0.9"],
    "an average of epochs": [
        f"+callbacks.a._target_={LIGHTNING}.EMAWeightAveraging",
        *("+callbacks.a.update_every_n_steps=0", "+callbacks.a.update_starting_at_epoch=0"),
    ],
    "growing batches": [
        f"+callbacks.a._target_={LIGHTNING}.GradientAccumulationScheduler",
        "+callbacks.a.scheduling={0:1,1:4}",
    ],
    "checkpoints in mid-epoch": [
        f"+callbacks.a._target_={LIGHTNING}.ModelCheckpoint",
        *("+callbacks.a.every_n_train_steps=5", "+callbacks.a.save_top_k=-1", "+callbacks.a.filename=last"),
    ],
    "a logger's metrics.csv": [
        *("+logger._target_=pytorch_lightning.loggers.CSVLogger", "+logger.save_dir=runs", "+logger.version=''"),
        *(f"+callbacks.a._target_={LIGHTNING}.ModelCheckpoint", "trainer.log_every_n_steps=5"),
    ],
}
REFUSED = {
    "trainer.val_check_interval=10": "trainer.val_check_interval must be null or 1.0: val is measured once an epoch",
    "trainer.val_check_interval=0.5": "trainer.val_check_interval must be null or 1.0",
    "trainer.val_check_interval=1": "trainer.val_check_interval must be null or 1.0",
    "trainer.check_val_every_n_epoch=2": "trainer.check_val_every_n_epoch must be null or 1",
    "trainer.overfit_batches=2": "trainer.overfit_batches must be null or 0",
    "trainer.limit_train_batches=0": "trainer.limit_train_batches must be null, a whole number of batches from 1",
    "trainer.limit_train_batches=1.5": "trainer.limit_train_batches must be null, a whole number of batches from 1",
    "trainer.limit_train_batches=0.01": "trainer.limit_train_batches must leave at least one of 33 batches, got 0.01",
    "trainer.limit_val_batches=0.1": "trainer.limit_val_batches must leave at least one of 5 batches, got 0.1",
    "trainer.limit_test_batches=3": "trainer.limit_test_batches must be null: all test images are predicted",
    "trainer.max_time=00:00:00:00": "trainer.max_time must be null or a duration above zero such as 00:12:00:00",
    "trainer={max_steps:40,min_epochs:2}": "trainer.min_epochs must be null where trainer.max_steps ends the run",
    "trainer.max_steps=0": "trainer.max_steps must be null, -1 or a whole number of at least 1",
    "trainer.accumulate_grad_batches=0": "trainer.accumulate_grad_batches must be null or a whole number of at least 1",
    "trainer.barebones=true": "trainer.barebones must be null or false",
    "trainer.enable_checkpointing=false": "trainer.enable_checkpointing must be null or true",
    "+logger={_target_:pytorch_lightning.loggers.CSVLogger,_partial_:true,name:'',version:''}": (
        "logger must not overwrite the run's own metrics.csv"
    ),
    f"+callbacks.a={{_target_:{LIGHTNING}.StochasticWeightAveraging,swa_lrs:0.01}}": (
        "callbacks must not include StochasticWeightAveraging: the average that it computes after the last epoch"
    ),
    f"+callbacks.a={{_target_:{LIGHTNING}.ModelPruning,pruning_fn:l1_unstructured,amount:0.5}}": (
        "callbacks must not include ModelPruning: it changes weights after they were measured"
    ),
    f"+callbacks.a={{_target_:{LIGHTNING}.LearningRateFinder}}": "callbacks must not include LearningRateFinder",
    f"+callbacks.a={{_target_:{LIGHTNING}.BatchSizeFinder}}": "callbacks must not include BatchSizeFinder",
}


def only_run(out: Path) -> Path:
    (checkpoints,) = out.glob("*/*/*/checkpoints")
    return checkpoints.parent


@pytest.mark.parametrize("words", ALLOWED.values(), ids=ALLOWED.keys())
@pytest.mark.filterwarnings("ignore:Found .* module")  # Lightning on a module in eval mode
def test_the_best_epochs_value_is_that_of_its_weights(
    command: Callable[..., Said], tmp_path: Path, words: list[str]
) -> None:
    answer = command(*WORDS, *words)
    assert answer.code == 0, answer.err
    folder = only_run(tmp_path / "runs")
    result = json.loads((folder / "result.json").read_text())
    with (folder / "metrics.csv").open() as file:
        recorded = {int(row["epoch"]): float(row["val/acc"]) for row in csv.DictReader(file)}
    assert len(recorded) == result["epochs"]
    assert recorded[result["best"]["epoch"]] == pytest.approx(
        result["best"]["val/acc"], abs=1e-6
    )  # metrics.csv has six digits
    assert hash_weights(load_checkpoint(folder / "checkpoints" / "best.ckpt")["state_dict"]) == result["weights"]
    assert sorted(path.name for path in (folder / "checkpoints").iterdir())[:2] == ["best.ckpt", "last.ckpt"]
    assert recompute(results.read([tmp_path / "runs"]))[1] == []


@pytest.mark.parametrize(("word", "sentence"), REFUSED.items())
def test_flags_that_separate_value_and_weights_are_refused(
    command: Callable[..., Said], tmp_path: Path, word: str, sentence: str
) -> None:
    answer = command(*WORDS, word)
    assert answer.code == 2
    assert sentence in answer.err
    assert len(answer.err.splitlines()) == 1, answer.err
    assert not list(tmp_path.iterdir())


def test_early_stopping_watches_the_configured_metric(command: Callable[..., Said], tmp_path: Path) -> None:
    # A loss that must sink by more than it can stops after the second epoch; val/acc would not.
    answer = command(*WORDS, "trainer.max_epochs=5", "+callbacks.early_stopping.monitor=train/loss",
                   "+callbacks.early_stopping.min_delta=100", "callbacks.early_stopping.patience=1")  # fmt: skip
    assert answer.code == 0, answer.err
    assert json.loads((only_run(tmp_path / "runs") / "result.json").read_text())["epochs"] == 2
    answer = command(*WORDS, "+callbacks.early_stopping.monitor=no/such", "out=other")
    assert answer.code == 2
    sentence = (
        "EarlyStopping.monitor must be a metric that is logged, train/acc, train/loss, val/acc, val/loss, got no/such"
    )
    assert sentence in answer.err
    assert "Traceback" not in answer.err


class Overwrites(pl.Callback):
    """Replaces the best weights, as another program might do."""

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        path = only_run(Path("runs")) / "checkpoints" / "best.ckpt"
        checkpoint = torch.load(path, weights_only=True)
        checkpoint["state_dict"] = {name: 0 * tensor for name, tensor in checkpoint["state_dict"].items()}
        torch.save(checkpoint, path)


class Dies(pl.Callback):
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        if os.environ.get("DIES") == str(trainer.current_epoch):
            raise KeyError("as if it had been killed")


def test_resumed_run_keeps_its_average_and_its_pending_stop(
    command: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (
        *(*WORDS, "trainer.max_epochs=6", "trainer.min_epochs=4", "callbacks.early_stopping.patience=1"),
        # early stopping requests the end after every epoch, and the run stops as soon as it may
        *("+callbacks.early_stopping.min_delta=1", f"+callbacks.dies._target_={__name__}.Dies"),
        *(f"+callbacks.a._target_={LIGHTNING}.EMAWeightAveraging", "+callbacks.a.decay=0.9"),
    )
    assert command(*words, "out=alone").code == 0
    alone = only_run(tmp_path / "alone")
    assert json.loads((alone / "result.json").read_text())["epochs"] == 4
    monkeypatch.setenv("DIES", "2")
    with pytest.raises(KeyError):
        command(*words)
    folder = only_run(tmp_path / "runs")
    state = load_checkpoint(folder / "checkpoints" / "last.ckpt")["callbacks"]["Record"]
    assert state["stopping"]
    assert not state["ended"]
    monkeypatch.delenv("DIES")
    assert command(*words).code == 0
    for name in ("result.json", "metrics.csv", "predictions.npz"):
        assert (folder / name).read_bytes() == (alone / name).read_bytes(), name


class DrawsAtRandom(pl.Callback):
    """Draws like hand-written augmentations: by torch at the start of an epoch, by NumPy and Python at each step."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        self.brightness = float(torch.rand(()))

    def on_train_batch_start(self, *step: Any) -> None:
        _, _, batch, _ = step
        batch[0].add_(self.brightness + np.random.rand() + random.random())


@pytest.mark.parametrize(
    "words",
    [
        ["trainer.max_steps=80"],
        ["trainer.max_steps=1000", "callbacks.early_stopping=null", "scheduler=null"],
        ["trainer.precision=64"],
        [f"+callbacks.draws._target_={__name__}.DrawsAtRandom"],
    ],
    ids=" ".join,
)
def test_resumed_run_is_the_same(
    command: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    words = [*WORDS, "trainer.max_epochs=3", f"+callbacks.dies._target_={__name__}.Dies", *words]
    assert command(*words, "out=alone").code == 0
    alone = only_run(tmp_path / "alone")
    monkeypatch.setenv("DIES", "1")
    with pytest.raises(KeyError):
        command(*words)
    monkeypatch.delenv("DIES")
    answer = command(*words)
    assert answer.code == 0, answer.err
    folder = only_run(tmp_path / "runs")
    for name in ("result.json", "metrics.csv", "predictions.npz"):
        assert (folder / name).read_bytes() == (alone / name).read_bytes(), name
    if "trainer.max_steps=80" in words:  # 33 + 33 + 14
        assert len((folder / "metrics.csv").read_text().splitlines()) == 1 + 3


class Gains(CNN):
    """Has a state outside of its parameters and buffers."""

    gain = 1.0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.gain += 0.05 * self.training
        return super().forward(images * self.gain)


class Unnoticed(CNN):
    """Has a buffer that no checkpoint keeps."""

    noise: torch.Tensor

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.register_buffer("noise", torch.rand(3, 32, 32), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images + 3 * self.noise)


class ChangesAtTest(pl.Callback):
    def on_predict_batch_start(self, *step: Any) -> None:
        _, pl_module, _, _, dataloader_idx = step
        if dataloader_idx == 1:
            for parameter in pl_module.parameters():
                parameter.data.mul_(-1)


@pytest.mark.parametrize(
    "word",
    [
        f"model._target_={__name__}.Gains",
        f"model._target_={__name__}.Unnoticed",
        f"+callbacks.a._target_={__name__}.ChangesAtTest",
    ],
)
def test_result_is_not_published_if_a_loaded_model_predicts_otherwise(
    command: Callable[..., Said], tmp_path: Path, word: str
) -> None:
    answer = command(*WORDS, word, "trainer.limit_train_batches=12")
    assert answer.code == 2
    assert "best.ckpt must be the weights of epoch" in answer.err
    assert "a model that is loaded from it predicts another class for" in answer.err
    assert not (only_run(tmp_path / "runs") / "result.json").exists()


def test_share_of_val_is_compared_with_itself(command: Callable[..., Said], tmp_path: Path) -> None:
    assert command(*WORDS, "trainer.limit_val_batches=2").code == 0
    folder = only_run(tmp_path / "runs")
    (folder / "result.json").unlink()
    last = folder / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(last, weights_only=True)
    checkpoint["callbacks"]["Record"]["best"]["val/acc"] += 0.05
    torch.save(checkpoint, last)
    answer = command(*WORDS, "trainer.limit_val_batches=2")
    assert answer.code == 2
    assert " was measured; delete " in answer.err


def test_lightnings_environment_variables_are_refused(
    command: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PL_TRAINER_FAST_DEV_RUN", "1")
    answer = command(*WORDS)
    assert answer.code == 2
    assert answer.err == (
        "train.py: PL_TRAINER_FAST_DEV_RUN must not be set, because the configuration alone determines how a run is trained, "
        "got 1: unset it, and give trainer.fast_dev_run=1\n"
    )


def test_run_without_its_checkpoints_logs_that_it_starts_again(
    command: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*WORDS, f"+callbacks.dies._target_={__name__}.Dies")
    monkeypatch.setenv("DIES", "1")
    with pytest.raises(KeyError):
        command(*words)
    monkeypatch.delenv("DIES")
    (only_run(tmp_path / "runs") / "checkpoints" / "last.ckpt").unlink()
    answer = command(*words)
    assert answer.code == 0
    log = (only_run(tmp_path / "runs") / "log.txt").read_text()
    assert "has metrics of earlier epochs but no checkpoint: the run starts again" in log


def test_run_of_an_older_version_is_finished(command: Callable[..., Said], tmp_path: Path) -> None:
    assert command(*WORDS).code == 0
    folder = only_run(tmp_path / "runs")
    before = (folder / "result.json").read_bytes()
    (folder / "result.json").unlink()
    for name in ("best", "last"):
        path = folder / "checkpoints" / f"{name}.ckpt"
        checkpoint = torch.load(path, weights_only=True)
        del checkpoint["ImageDataModule"]["split"]  # missing in old checkpoints
        if name == "last":
            del checkpoint["callbacks"]["Record"]["best_weights"], checkpoint["callbacks"]["Record"]["stopping"]
        torch.save(checkpoint, path)
    answer = command(*WORDS)
    assert answer.code == 0, answer.err
    assert (folder / "result.json").read_bytes() == before


def test_different_mean_in_best_ckpt_is_refused(command: Callable[..., Said], tmp_path: Path) -> None:
    assert command(*WORDS).code == 0
    folder = only_run(tmp_path / "runs")
    (folder / "result.json").unlink()
    path = folder / "checkpoints" / "best.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["ImageDataModule"]["mean"] += 50
    torch.save(checkpoint, path)
    answer = command(*WORDS)
    assert answer.code == 2
    assert "and does not hold the run's data: the checkpoint was trained on data with these classes, mean" in answer.err


def test_replaced_best_weights_are_refused(command: Callable[..., Said], tmp_path: Path) -> None:
    answer = command(*WORDS, f"+callbacks.a._target_={__name__}.Overwrites")
    assert answer.code == 2
    assert "best.ckpt must be the weights of epoch" in answer.err
    assert "and holds other weights than those that were measured" in answer.err
    assert not (only_run(tmp_path / "runs") / "result.json").exists()


def test_verify_reports_a_value_that_its_weights_do_not_reach(command: Callable[..., Said], tmp_path: Path) -> None:
    assert command(*WORDS).code == 0
    folder = only_run(tmp_path / "runs")
    best = json.loads((folder / "result.json").read_text())["best"]
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    rows[best["epoch"]]["val/acc"] = f"{best['val/acc'] + 0.02:.6f}"
    (folder / "metrics.csv").write_text("\n".join(",".join(row) for row in (rows[0], *(row.values() for row in rows))))
    sentences = recompute(results.read([tmp_path / "runs"]))[1]
    assert any(sentence.endswith("the published weights are not that epoch's") for sentence in sentences)
    rows[best["epoch"]]["epoch"] = "77"
    (folder / "metrics.csv").write_text("\n".join(",".join(row) for row in (rows[0], *(row.values() for row in rows))))
    sentences = recompute(results.read([tmp_path / "runs"]))[1]
    assert any(
        sentence.endswith(f"no epoch {best['epoch']} (counted from 0), which the result reports")
        for sentence in sentences
    )
    (folder / "metrics.csv").write_text("epoch,val/acc\n0,half\n")
    sentences = recompute(results.read([tmp_path / "runs"]))[1]
    assert any(
        sentence.endswith("metrics.csv is damaged: its accuracy at the reported epoch cannot be verified")
        for sentence in sentences
    )
    assert not any("has no metrics.csv" in sentence for sentence in sentences)
    (folder / "metrics.csv").unlink()
    shutil.copy(folder / "checkpoints" / "last.ckpt", folder / "checkpoints" / "best.ckpt")
    sentences = recompute(results.read([tmp_path / "runs"]))[1]
    assert any("has no metrics.csv" in sentence for sentence in sentences)
    assert any(sentence.endswith("the published weights were replaced") for sentence in sentences)


def test_verify_compares_labels_between_runs(command: Callable[..., Said], tmp_path: Path) -> None:
    for seed in (0, 1):
        assert command(*WORDS, f"seed={seed}", "trainer.limit_train_batches=2").code == 0
    folder = sorted(tmp_path.glob("runs/*/*/seed=1-*"))[0]
    with np.load(folder / "predictions.npz") as stored:
        arrays = dict(stored)
    arrays["test_label"] = arrays["test_class"]  # as if everything had been right
    np.savez(folder / "predictions.npz", **arrays)
    result = json.loads((folder / "result.json").read_text())
    result["best"]["test/acc"] = 1.0
    (folder / "result.json").write_text(json.dumps(result))
    sentences = recompute(results.read([tmp_path / "runs"]))[1]
    assert any("of 297 images of test have other labels than in earlier runs" in sentence for sentence in sentences)


@pytest.mark.parametrize(
    ("recorded", "predicted", "images", "same"),
    [(0.5, 0.5, 450, True), (0.5, 0.5 + 1 / 450, 450, True), (0.5, 0.5 + 2 / 450, 450, False), (0.7, 0.702, 15_000, True),
     (0.7, 0.7021, 15_000, False), (0.6178, 0.4489, 450, False)],
)  # fmt: skip
def test_rounding_moves_few_images(recorded: float, predicted: float, images: int, same: bool) -> None:
    assert same_weights(recorded, predicted, images) == same
