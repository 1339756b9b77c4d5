"""One run on the digits from the command line: its files, its resumption bit for bit, and Lightning's own methods."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

import hybridnets
from hybridnets.config import resolve
from hybridnets.config.build import build, build_data, build_model
from hybridnets.data import digits
from hybridnets.data.datamodule import ImageDataModule
from hybridnets.models import CNN, CRNN
from hybridnets.runs.store import state
from hybridnets.training import train
from tests.conftest import ROOT, SMALL, Said

# Everything that could carry state from one epoch to the next: order, augmentation, dropout, schedule, early stopping. No epoch
# is better than the first by min_delta, so the run has five epochs, however its sums are rounded.
STATEFUL = (
    *SMALL,
    *("model=crnn", "rnn=bigru", "nodes=4", "model.sequence=positions", "model.dropout=0.3", "data.augment.crop=2"),
    *("trainer.max_epochs=6", "callbacks.early_stopping.patience=4", "+callbacks.early_stopping.min_delta=2"),
    *(
        "scheduler.patience=0",
        "optimizer.lr=0.02",
        "data.augment.erase=0.2",
        "data.augment.mixup=0.2",
        "data.augment.cutmix=1",
    ),
    *("loss.label_smoothing=0.05", "loss.class_weights=balanced"),
)


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *words, f"out={folder}"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def only_run(out: Path) -> Path:
    (checkpoints,) = out.glob("*/*/*/checkpoints")
    return checkpoints.parent


def weights(folder: Path) -> dict[str, torch.Tensor]:
    checkpoint = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    return checkpoint["state_dict"]  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was not interrupted."""
    out = tmp_path_factory.mktemp("alone")
    process = start(out, *STATEFUL)
    assert process.communicate()[1].count("epoch ") >= 3
    assert process.returncode == 0
    return only_run(out)


def test_run_writes_its_files(finished: Path) -> None:
    result = json.loads((finished / "result.json").read_text())
    with (finished / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "train/acc", "train/loss", "val/acc", "val/loss"]
    assert [int(row["epoch"]) for row in rows] == list(range(result["epochs"]))
    assert len(rows) == 5
    best = max(rows, key=lambda row: float(row["val/acc"]))  # the first of equals
    assert result["best"]["epoch"] == int(best["epoch"])
    assert result["last"]["epoch"] == len(rows) - 1
    with np.load(finished / "predictions.npz") as predictions:
        for part, images in (("val", 450), ("test", 297)):
            index, label, kind, probabilities = (
                predictions[f"{part}_{name}"] for name in ("index", "label", "class", "probabilities")
            )
            assert len(np.unique(index)) == images == result["images"][part]
            np.testing.assert_array_equal(probabilities.argmax(1), kind)
            np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
            assert (kind == label).mean() == result["best"][f"{part}/acc"]
            images_ = digits.load().train_labels if part == "val" else digits.load().test_labels
            np.testing.assert_array_equal(label, images_[index])
    provenance = json.loads((finished / "provenance.json").read_text())
    assert len(provenance["attempts"]) == 1
    assert provenance["attempts"][0]["command"].startswith("python train.py data=digits ")
    assert len(provenance["epoch_seconds"]) == len(rows)
    assert (finished / "config.yaml").exists()
    log = (finished / "log.txt").read_text()
    assert re.findall(r"hybridnets: epoch (\d+): ", log) == [
        "1",
        "2",
        "3",
        "4",
        "5",
    ]  # files count from 0, people from 1
    assert f"best on val: epoch {result['best']['epoch'] + 1}, " in log
    assert f"; last epoch 5, val/acc {result['last']['val/acc']:.4f}" in log


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR2])
def test_interrupted_run_is_the_same_bit_for_bit(number: signal.Signals, finished: Path, tmp_path: Path) -> None:
    process = start(tmp_path, *STATEFUL)
    assert process.stderr
    for line in process.stderr:
        if line.startswith("epoch 1" if number == signal.SIGUSR2 else "epoch 2"):
            time.sleep(0.1)
            process.send_signal(number)
            break
    rest = process.communicate()[1]
    folder = only_run(tmp_path)
    if number == signal.SIGUSR2:  # stops at the next safe point
        assert process.returncode == 2
        sentence = "stopped on request after epoch 2: the same command continues from there"
        assert f"train.py: {sentence}\n" in rest
        assert state(folder) == "stopped"
        *_, line = (folder / "log.txt").read_text().splitlines()
        assert line.endswith(" INFO hybridnets: ended early: " + sentence)
        assert len((folder / "metrics.csv").read_text().splitlines()) == 3
    assert not (folder / "result.json").exists()
    again = start(tmp_path, *STATEFUL)
    after = "continuing after epoch " + "2\n" * (number == signal.SIGUSR2)
    assert after in again.communicate()[1]
    for name in ("result.json", "metrics.csv", "predictions.npz"):
        assert (folder / name).read_bytes() == (finished / name).read_bytes(), name
    for name, tensor in weights(finished).items():
        assert torch.equal(tensor, weights(folder)[name]), name
    attempts = json.loads((folder / "provenance.json").read_text())["attempts"]
    assert len(attempts) == 2


@pytest.mark.parametrize(
    ("damaged", "sentence"),
    [
        (("last",), "last.ckpt is set aside as last.ckpt.damaged: the run continues from the one before"),
        (("last", "previous"), "previous.ckpt is set aside as previous.ckpt.damaged: the run starts again"),
        (("best",), "last.ckpt is set aside as last.ckpt.damaged: the best weights are lost, and the run starts again"),
    ],
)
def test_damaged_checkpoint_is_set_aside_without_changing_the_result(
    damaged: tuple[str, ...], sentence: str, finished: Path, tmp_path: Path
) -> None:
    folder = tmp_path / finished.relative_to(finished.parents[2])
    shutil.copytree(finished, folder)
    (folder / "result.json").unlink()  # as if it had been killed before its last file
    for name in damaged:
        path = folder / "checkpoints" / f"{name}.ckpt"
        path.write_bytes(path.read_bytes()[:-1000])
    again = start(tmp_path, *STATEFUL)
    assert sentence in again.communicate()[1]
    for name in ("result.json", "metrics.csv", "predictions.npz"):
        assert (folder / name).read_bytes() == (finished / name).read_bytes(), name
    for name in damaged:
        assert (folder / "checkpoints" / f"{name}.ckpt.damaged").exists()


def test_full_or_read_only_disk_is_named_and_does_no_harm(finished: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", small], check=False, capture_output=True
    ).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        answer = start(small, *STATEFUL)
        sentence = answer.communicate()[1].splitlines()[-1]
        assert answer.returncode == 2
        assert sentence.startswith("train.py: out must be a folder with free space, got ")
        assert "No space left on device" in sentence
        subprocess.run(["mount", "-o", "remount,ro,size=9m", small], check=True)
        answer = start(small, *STATEFUL)
        sentence = answer.communicate()[1].splitlines()[-1]
        assert answer.returncode == 2
        assert sentence.startswith(f"train.py: out must be a folder that can be written to, got {small}: ")
        subprocess.run(["mount", "-o", "remount,rw", small], check=True)
        answer = start(small, *STATEFUL)
        answer.communicate()
        assert answer.returncode == 0
        folder = only_run(small)
        for name in ("result.json", "metrics.csv", "predictions.npz"):
            assert (folder / name).read_bytes() == (finished / name).read_bytes(), name
        assert not [path for path in folder.rglob(".*") if path.is_file()]  # no temporary file remains
    finally:
        subprocess.run(["umount", small], check=True)


def test_diverged_run_fails_and_is_not_tried_again(command: Callable[..., Said], tmp_path: Path) -> None:
    words = (*SMALL, "model=cnn", "optimizer.lr=1e30")
    answer = command(*words)
    assert answer.code == 2
    assert "train.py: train/loss is nan at step 2 of epoch 1: the training diverged; " in answer.err
    folder = only_run(tmp_path / "runs")
    assert not (folder / "result.json").exists()
    answer = command(*words)
    assert answer.code == 2
    assert "train.py: cnn seed=0 is not trained again: DivergedError: train/loss is nan at step 2" in answer.err
    assert "(retry_diverged=true tries it again)" in answer.err
    answer = command(*words, "retry_diverged=true")
    assert "the training diverged" in answer.err
    assert len(json.loads((folder / "provenance.json").read_text())["attempts"]) == 2
    answer = command("-m", *words, "seed=0,1", "dry_run=true")
    assert answer.code == 0
    assert "2 jobs: 1 would run, 0 already done, 1 would not be started" in answer.out
    assert not list(tmp_path.glob("runs/*/*/seed=1*"))


def test_load_predicts_as_the_run_did(finished: Path) -> None:
    predictor = hybridnets.load(finished)
    images = digits.load().test_images
    with np.load(finished / "predictions.npz") as stored:
        expected = stored["test_probabilities"][np.argsort(stored["test_index"])]
    torch.testing.assert_close(predictor.predict(images), torch.from_numpy(expected))
    torch.testing.assert_close(predictor.predict(images.transpose(0, 2, 3, 1)[:3]), torch.from_numpy(expected[:3]))
    with pytest.raises(ValueError, match="images must be uint8"):
        predictor.predict(images.astype(np.float32))
    with pytest.raises(ValueError, match="RUN must be the folder of a finished run"):
        hybridnets.load(finished / "checkpoints")


def test_load_from_checkpoint_needs_nothing_else(finished: Path) -> None:
    model = CRNN.load_from_checkpoint(finished / "checkpoints" / "last.ckpt", weights_only=True)
    assert type(model.rnn).__name__ == "GRU"
    assert model.rnn.bidirectional


@pytest.mark.filterwarnings("ignore:The `srun` command is available")  # where it is installed
@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")  # our callbacks are left out on purpose
def test_lightnings_own_fit_continues_from_a_checkpoint(
    finished: Path, composed: Callable[..., DictConfig], tmp_path: Path
) -> None:
    request = resolve(composed(*STATEFUL))
    data = build_data(request)
    model = build_model(request, data.image_shape, data.num_classes)
    epochs = json.loads((finished / "result.json").read_text())["epochs"]
    settings: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    trainer = pl.Trainer(max_epochs=epochs + 1, default_root_dir=tmp_path, accelerator="cpu", **settings)
    trainer.fit(model, data, ckpt_path=finished / "checkpoints" / "last.ckpt", weights_only=True)
    assert trainer.current_epoch == epochs + 1


def test_fast_dev_run_goes_all_the_way_and_leaves_nothing(command: Callable[..., Said], tmp_path: Path) -> None:
    answer = command(*SMALL, "model=ecrnn", "nodes=2", "trainer.fast_dev_run=true")
    assert answer.code == 0, answer.err
    assert not list(tmp_path.iterdir())


def test_callbacks_and_loggers_by_configuration(command: Callable[..., Said], tmp_path: Path) -> None:
    answer = command(
        *(*SMALL, "model=cnn", "trainer.log_every_n_steps=5", "callbacks.early_stopping=null"),
        *("scheduler._target_=torch.optim.lr_scheduler.StepLR",),
        *("~scheduler.factor", "~scheduler.patience", "+scheduler.step_size=1", "+scheduler.gamma=0.5"),
        *("+callbacks.rate._target_=pytorch_lightning.callbacks.LearningRateMonitor", "out=runs"),
        *("+logger._target_=pytorch_lightning.loggers.CSVLogger", "+logger.save_dir=logged", "+logger.version=''"),
    )
    assert answer.code == 0, answer.err
    (logged,) = (tmp_path / "logged").rglob("metrics.csv")
    rates = [row["lr-Adam"] for row in csv.DictReader(logged.read_text().splitlines()) if row["lr-Adam"]]
    assert [float(rate) for rate in rates] == [1e-3, 5e-4]


class CutShort(pl.Callback):
    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.fit_loop.batch_idx == 3:
            raise KeyError


@pytest.mark.filterwarnings("ignore:The `srun` command is available")  # where it is installed
def test_interrupted_epoch_does_not_affect_the_next(tmp_path: Path) -> None:
    data = ImageDataModule(digits.load(), split_seed=0, order_seed=0)
    model = CNN(data.image_shape, data.num_classes, channels=[4])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    settings: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}

    def fit(*callbacks: pl.Callback) -> dict[str, Any]:
        model.load_state_dict(before)
        trainer = pl.Trainer(
            max_epochs=1, accelerator="cpu", default_root_dir=tmp_path, callbacks=[*callbacks], **settings
        )
        trainer.fit(model, data)
        return dict(trainer.callback_metrics)

    uninterrupted = fit()
    with pytest.raises(KeyError):
        fit(CutShort())
    assert fit() == uninterrupted
    assert len(uninterrupted) == 4


class Silent(CNN):
    """A model whose hooks do not call super's, which are empty in Lightning's classes."""

    metrics: ClassVar[list[set[str]]] = []

    def on_validation_epoch_end(self) -> None:
        self.metrics.append({*self.trainer.callback_metrics})

    def on_train_epoch_end(self) -> None:
        self.metrics.append({*self.trainer.callback_metrics})


def test_hooks_see_their_own_epochs_metrics(composed: Callable[..., DictConfig], tmp_path: Path) -> None:
    overrides = (
        "model=cnn",
        "trainer.max_epochs=1",
        "trainer.num_sanity_val_steps=0",
        f"model._target_={__name__}.Silent",
    )
    parts = build(resolve(composed(*SMALL, *overrides, f"out={tmp_path}")))
    result = train(parts, command="", configuration="")
    keys = {"train/loss", "train/acc", "val/loss", "val/acc"}
    assert keys < result.best.keys()
    assert Silent.metrics[-1] == keys
    assert {"val/loss", "val/acc"} <= Silent.metrics[0]


@pytest.mark.filterwarnings("ignore:The `srun` command is available")  # where it is installed
def test_validation_may_precede_fit(tmp_path: Path) -> None:
    data = ImageDataModule(digits.load(), split_seed=0, order_seed=0)
    settings: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    model = CNN(data.image_shape, data.num_classes, channels=[2])
    settings |= {"accelerator": "cpu", "default_root_dir": tmp_path}
    trainer = pl.Trainer(max_epochs=1, **settings)
    trainer.validate(model, data, verbose=False)  # in inference mode, whose tensors do not change outside of it
    trainer.fit(model, data)
    (metrics,) = pl.Trainer(inference_mode=False, **settings).validate(model, data, verbose=False)
    assert metrics["val/loss"] == trainer.callback_metrics["val/loss"]


def test_losses_are_summed_in_float32_for_any_type_of_the_model() -> None:
    model = CNN((1, 8, 8), 10, channels=[2]).to(torch.bfloat16)  # in which 32 added to 8,192 changes nothing
    loss = torch.tensor(0.6, dtype=torch.bfloat16)
    for _ in range(1000):
        model.val_loss.update(loss, 32)
    assert model.val_loss.images == 32_000
    assert float(model.val_loss.compute()) == pytest.approx(float(loss), rel=1e-5)


def test_finished_run_is_not_trained_again(command: Callable[..., Said], tmp_path: Path) -> None:
    assert command(*SMALL, "model=cnn").code == 0
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    answer = command(*SMALL, "model=cnn", "rnn=gru")
    assert answer.code == 0
    assert "cnn seed=0 is finished already: see runs/digits/cnn/seed=0-" in answer.out
    assert written == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_damaged_result_is_named_and_not_changed(command: Callable[..., Said], tmp_path: Path) -> None:
    assert command(*SMALL, "model=cnn", "trainer.max_epochs=1").code == 0
    result = only_run(tmp_path / "runs") / "result.json"
    result.write_bytes(result.read_bytes()[:-100])
    damaged = result.read_bytes()
    answer = command(*SMALL, "model=cnn", "trainer.max_epochs=1")
    assert answer.code == 2
    assert answer.err.startswith(f"train.py: {result.relative_to(tmp_path)} is not a complete JSON file; ")
    assert answer.err.endswith("; delete it to rebuild it, or choose another folder with out=\n")
    assert result.read_bytes() == damaged
    result.unlink()
    assert command(*SMALL, "model=cnn", "trainer.max_epochs=1").code == 0
    content = json.loads(result.read_text())
    assert content["epochs"] == 1
    result.write_text(json.dumps(content | {"schema": 2}))  # a later version's
    answer = command(*SMALL, "model=cnn", "trainer.max_epochs=1")
    assert answer.code == 2
    assert "must have schema 1, which this version reads, and has 2: use the version that wrote it" in answer.err


def test_run_of_another_process_is_left_alone(command: Callable[..., Said], tmp_path: Path) -> None:
    process = start(tmp_path / "runs", *SMALL, "model=cnn", "trainer.max_epochs=50")
    assert process.stderr
    next(line for line in process.stderr if line.startswith("epoch 1"))
    answer = command(*SMALL, "model=cnn", "trainer.max_epochs=50")
    process.kill()
    process.communicate()
    assert answer.code == 2
    assert f"is being trained by process {process.pid} on " in answer.err


def test_run_finished_by_another_process_is_not_trained_again(
    composed: Callable[..., DictConfig], finished: Path, tmp_path: Path
) -> None:
    request = resolve(composed(*STATEFUL, f"out={tmp_path}"))
    run = request.run
    shutil.copytree(finished, run.folder)
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    result = train(build(request), command="", configuration="")
    assert result.to_json() == json.loads((finished / "result.json").read_text())
    before.pop(run.folder / "log.txt")
    assert {path: path.read_bytes() for path in before} == before  # nothing was written, no attempt noted
