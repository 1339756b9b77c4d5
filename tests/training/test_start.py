"""A run that starts from another's checkpoint: what a user sets is used, or refused; val stays unseen."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import SMALL, Said

WORDS = (*SMALL, "model=cnn", "trainer.limit_train_batches=4")


def checkpoint_of(out: Path) -> Path:
    (path,) = out.glob("*/*/*/checkpoints/last.ckpt")
    return path


def result_of(out: Path) -> Any:
    (path,) = out.glob("*/*/*/result.json")
    return json.loads(path.read_text())


REFUSED = {
    "optimizer.lr=0.1": "optimizer.lr must be 0.001, which the run takes over from ckpt_path={path}, got 0.1",
    "+optimizer.weight_decay=0.5": "optimizer.weight_decay must be 0, which the run takes over from",
    "+optimizer.betas=[0.5,0.9]": "optimizer.betas must be (0.9, 0.999), which the run takes over from",
    "optimizer={_target_:torch.optim.SGD,lr:1e-3}": (
        "optimizer must be one with the settings amsgrad, betas, decoupled_weight_decay, eps, maximize, weight_decay, which "
        "the run takes over from ckpt_path={path}, got SGD with the settings dampening, maximize, momentum, nesterov"
    ),
    "optimizer={_target_:torch.optim.AdamW,lr:1e-3,eps:1e-7,weight_decay:0}": (
        "optimizer.decoupled_weight_decay must be False, which the run takes over from"
    ),
    "scheduler.factor=0.5": "scheduler.factor must be 0.3, which the run takes over from ckpt_path={path}, got 0.5",
    "scheduler.patience=0": "scheduler.patience must be 1, which the run takes over from",
    "+scheduler.min_lr=1e-5": "scheduler.min_lr must be [0], which the run takes over from ckpt_path={path}, got [1e-05]",
    "scheduler=null": "scheduler must be a section as in the checkpoint's run",
    "scheduler={_target_:torch.optim.lr_scheduler.StepLR,step_size:1}": (
        "scheduler must be of another class, one without gamma, which the run takes over from ckpt_path={path}, got StepLR"
    ),
    "callbacks.early_stopping.patience=1": (
        "EarlyStopping.patience must be 4, which the run takes over from ckpt_path={path}, got 1"
    ),
    "trainer.max_steps=8": "trainer.max_steps must be above the 8 steps of {path}, got 8",
    "seed=1": (
        "ckpt_path must be a checkpoint of this run's split, because with another one it was trained on images of this run's "
        "val, got {path}: set"
    ),
    "data.train_fraction=0.6": "ckpt_path must be a checkpoint of this run's split",
}


def test_a_start_keeps_what_is_set_or_refuses_it(command: Callable[..., Said]) -> None:
    assert command(*WORDS, "out=first").code == 0
    path = checkpoint_of(Path("first"))
    for word, sentence in REFUSED.items():
        answer = command(*WORDS, "trainer.max_epochs=3", f"ckpt_path={path}", word)
        assert answer.code == 2, word
        assert sentence.format(path=path) in answer.err
        assert len(answer.err.splitlines()) == 1, answer.err
    answer = command(*WORDS, "-m", "trainer.max_epochs=3", f"ckpt_path={path}", "seed=0,1")  # before the first job
    assert answer.code == 2
    assert REFUSED["seed=1"].format(path=path) in answer.err
    assert not Path("runs").exists()
    # With the same settings, or others that a checkpoint does not hold, the run is a longer one.
    start = (
        "trainer.max_epochs=3",
        f"ckpt_path={path}",
        "callbacks.early_stopping.patience=4",
        "optimizer.fused=false",
    )
    assert command(*WORDS, "trainer.max_epochs=3", "out=uninterrupted").code == 0
    assert command(*WORDS, *start, "seeds.init=5").code == 0
    uninterrupted, started = result_of(Path("uninterrupted")), result_of(Path("runs"))
    assert started["epochs"] == 1
    assert started["last"] == uninterrupted["last"]
    assert started["hash"] != uninterrupted["hash"]


def test_an_older_checkpoint_is_known_by_the_run_that_it_lies_in(
    command: Callable[..., Said], caplog: pytest.LogCaptureFixture
) -> None:
    assert command(*WORDS, "out=first").code == 0
    path = checkpoint_of(Path("first"))
    old = torch.load(path, weights_only=True)
    del old["ImageDataModule"]["split"]
    for group in old["optimizer_states"][0]["param_groups"]:
        del group["initial_lr"]
    torch.save(old, path)
    start = (*WORDS, "trainer.max_epochs=3", "dry_run=true")
    answer = command(*start, f"ckpt_path={path}", "seed=1")
    assert "ckpt_path must be a checkpoint of this run's split" in answer.err
    alone = shutil.copy(path, "alone.ckpt")
    caplog.clear()
    assert command(*start, f"ckpt_path={alone}", "seed=1").code == 0
    assert caplog.messages == [
        "alone.ckpt does not say which images it was trained on: some of them may be in val",
        "alone.ckpt does not say which optimizer.lr it started with: it continues at 0.001",
    ]
    # A checkpoint of another project, without a schedule, gets the configured one.
    old["lr_schedulers"] = []
    torch.save(old, alone)
    assert command(*start, f"ckpt_path={alone}", "scheduler.patience=3").code == 0
    assert "optimizer.lr must be 0.001" in command(*start, f"ckpt_path={alone}", "optimizer.lr=0.1").err


@pytest.mark.filterwarnings(
    "ignore:A `OneCycleLR` scheduler is using"
)  # by Lightning, though it goes by epochs on purpose
def test_a_schedule_that_keeps_its_settings_in_the_optimiser_is_compared_too(command: Callable[..., Said]) -> None:
    cycle = "scheduler={{_target_:torch.optim.lr_scheduler.OneCycleLR,max_lr:{},total_steps:9}}"
    assert command(*WORDS, cycle.format(0.01), "out=first").code == 0
    start = (*WORDS, "trainer.max_epochs=3", f"ckpt_path={checkpoint_of(Path('first'))}", "dry_run=true")
    assert command(*start, cycle.format(0.01)).code == 0  # although momentum and learning rate have moved
    assert "scheduler.max_lr must be 0.01, which the run takes over" in command(*start, cycle.format(0.02)).err


@pytest.mark.parametrize("fresh", [False, True])
def test_another_runs_checkpoint_is_not_taken_for_this_ones(command: Callable[..., Said], *, fresh: bool) -> None:
    assert command(*WORDS, "out=first").code == 0
    assert command(*WORDS, "seed=1", "out=runs").code == 0
    path = checkpoint_of(Path("runs"))
    for leftover in (path.parents[1] / "result.json", *(path.parent.iterdir() if fresh else ())):
        leftover.unlink()
    shutil.copy(checkpoint_of(Path("first")), path)
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    answer = command(*WORDS, "seed=1", "out=runs")
    assert answer.code == 2
    owner = result_of(Path("first"))["hash"]
    assert (
        f"last.ckpt must be this run's own, but belongs to the run with the hash {owner}: move it elsewhere"
        in answer.err
    )
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == before
    # Once it is out of the way, the run continues from the checkpoint before that, or starts again.
    path.unlink()
    assert command(*WORDS, "seed=1", "out=runs").code == 0
    assert result_of(Path("runs"))["epochs"] == 2
