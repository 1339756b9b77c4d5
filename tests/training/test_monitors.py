"""The metrics that the model, early stopping and checkpoints watch; and optimisers that a run cannot have."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from hybridnets.models import CNN
from hybridnets.runs.records import Result
from tests.conftest import SMALL, Said

WORDS = (*SMALL, "trainer.limit_train_batches=4")
LIGHTNING = "pytorch_lightning.callbacks"


class Scored(CNN):
    """Watches its own score, which is NaN in the first epoch."""

    monitor = "val/score"

    def on_validation_epoch_end(self) -> None:
        self.log("val/score", torch.tensor(0.5 if self.trainer.current_epoch else math.nan))


class Watches(pl.Callback):
    """Has an attribute `monitor` that does not name a metric."""

    monitor = "weights"


def test_watched_metric_of_nan_means_divergence(command: Callable[..., Said], tmp_path: Path) -> None:
    words = (*WORDS, "model=cnn", f"model._target_={__name__}.Scored")
    answer = command(*words)
    assert answer.code == 2
    assert "val/score is nan after epoch 1: the training diverged" in answer.err
    assert not list(tmp_path.rglob("result.json"))
    answer = command(*words)
    assert answer.code == 2
    assert "is not trained again: DivergedError: val/score is nan after epoch 1" in answer.err


def measured(monitor: str, *value: float) -> Result:
    return Result({}, monitor, dict.fromkeys([monitor], *value) if value else {}, {}, 1, {}, "", "", (), {})


def test_null_is_nan_to_a_sweeper(command: Callable[..., Said], tmp_path: Path) -> None:
    assert math.isnan(measured("val/score", math.nan).monitored)
    assert math.isnan(measured("val/score").monitored)
    assert measured("val/loss", 0).monitored == 0
    # Older versions wrote null: such a run is finished, alone and in a sweep.
    assert command(*WORDS, "model=cnn").code == 0
    (path,) = tmp_path.rglob("result.json")
    result = json.loads(path.read_text())
    result["best"][result["monitor"]] = None
    path.write_text(json.dumps(result))
    assert "is finished already" in command(*WORDS, "model=cnn").out
    answer = command(*WORDS, "-m", "model=cnn", "seed=0")
    assert (answer.code, answer.out.splitlines()[-2]) == (0, "1 jobs: 1 already done"), answer.err


def test_only_callbacks_that_would_fail_need_their_metric(command: Callable[..., Said], tmp_path: Path) -> None:
    words = (*WORDS, "model=cnn")
    answer = command(
        *(*words, f"+callbacks.a._target_={__name__}.Watches"),
        f"+callbacks.b={{_target_:{LIGHTNING}.EarlyStopping,monitor:no/such,strict:false}}",
        f"+callbacks.c={{_target_:{LIGHTNING}.ModelCheckpoint,monitor:step,mode:max}}",
        f"+callbacks.d={{_target_:{LIGHTNING}.ModelCheckpoint,monitor:no/such,save_top_k:0}}",
    )
    assert answer.code == 0, answer.err
    (result,) = tmp_path.rglob("result.json")
    assert json.loads(result.read_text())["epochs"] == 2
    answer = command(*words, f"+callbacks.c={{_target_:{LIGHTNING}.ModelCheckpoint,monitor:no/such}}")
    assert answer.code == 2
    assert "ModelCheckpoint.monitor must be a metric that is logged, train/acc" in answer.err


@pytest.mark.parametrize(
    ("optimizer", "why"), [("LBFGS", "it evaluates a batch several times"), ("SparseAdam", "it takes sparse gradients")]
)
def test_optimisers_that_need_more_than_a_gradient_are_refused(
    command: Callable[..., Said], tmp_path: Path, optimizer: str, why: str
) -> None:
    answer = command(*WORDS, "model=cnn", f"optimizer={{_target_:torch.optim.{optimizer},lr:0.1}}")
    assert answer.code == 2
    sentence = f"optimizer._target_ must be one that steps by a batch's gradients, got {optimizer}: {why}"
    assert answer.err.startswith(f"train.py: {sentence}")
    assert not list(tmp_path.iterdir())
