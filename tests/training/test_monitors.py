"""What watches a metric: the model, early stopping, checkpoints; and optimisers that a run cannot have."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from hybridnets import config
from hybridnets.models import CNN
from tests.conftest import SMALL, Said

WORDS = (*SMALL, "trainer.limit_train_batches=4")
LIGHTNING = "pytorch_lightning.callbacks"


class Scored(CNN):
    """Watches a score of its own, which is none in the first epoch."""

    monitor = "val/score"

    def on_validation_epoch_end(self) -> None:
        self.log("val/score", torch.tensor(0.5 if self.trainer.current_epoch else math.nan))


class Watches(pl.Callback):
    """Whose attribute of that name is no metric."""

    monitor = "weights"


def test_a_model_that_watches_nan_has_diverged(command: Callable[..., Said], tmp_path: Path) -> None:
    words = (*WORDS, "model=cnn", f"model._target_={__name__}.Scored")
    said = command(*words)
    assert said.code == 2
    assert "val/score is nan after epoch 0: the training diverged" in said.err
    assert not list(tmp_path.rglob("result.json"))
    said = command(*words)
    assert said.code == 2
    assert "is not trained again: DivergedError: val/score is nan after epoch 0" in said.err


def test_null_is_nan_to_a_sweeper(command: Callable[..., Said], tmp_path: Path) -> None:
    assert math.isnan(config.objective({"monitor": "val/score", "best": {"val/score": None}}))
    assert config.objective({"monitor": "val/loss", "best": {"val/loss": 0}}) == 0
    # As an older version wrote it: such a run is finished, alone and in a sweep.
    assert command(*WORDS, "model=cnn").code == 0
    (path,) = tmp_path.rglob("result.json")
    result = json.loads(path.read_text())
    result["best"][result["monitor"]] = None
    path.write_text(json.dumps(result))
    assert "is finished already" in command(*WORDS, "model=cnn").out
    said = command(*WORDS, "-m", "model=cnn", "seed=0")
    assert (said.code, said.out.splitlines()[-1]) == (0, "1 jobs: 1 there already"), said.err


def test_only_what_would_fail_needs_its_metric(command: Callable[..., Said], tmp_path: Path) -> None:
    words = (*WORDS, "model=cnn")
    said = command(
        *(*words, f"+callbacks.a._target_={__name__}.Watches"),
        f"+callbacks.b={{_target_:{LIGHTNING}.EarlyStopping,monitor:no/such,strict:false}}",
        f"+callbacks.c={{_target_:{LIGHTNING}.ModelCheckpoint,monitor:step,mode:max}}",
        f"+callbacks.d={{_target_:{LIGHTNING}.ModelCheckpoint,monitor:no/such,save_top_k:0}}",
    )
    assert said.code == 0, said.err
    (result,) = tmp_path.rglob("result.json")
    assert json.loads(result.read_text())["epochs"] == 2
    said = command(*words, f"+callbacks.c={{_target_:{LIGHTNING}.ModelCheckpoint,monitor:no/such}}")
    assert said.code == 2
    assert "ModelCheckpoint.monitor must be a metric that is logged, train/acc" in said.err


@pytest.mark.parametrize(
    ("optimizer", "why"), [("LBFGS", "it evaluates a batch several times"), ("SparseAdam", "it takes sparse gradients")]
)
def test_optimisers_that_need_more_than_a_gradient_are_refused(
    command: Callable[..., Said], tmp_path: Path, optimizer: str, why: str
) -> None:
    said = command(*WORDS, "model=cnn", f"optimizer={{_target_:torch.optim.{optimizer},lr:0.1}}")
    assert said.code == 2
    sentence = f"optimizer._target_ must be one that steps by a batch's gradients, got {optimizer}: {why}"
    assert said.err.startswith(f"train.py: {sentence}")
    assert not list(tmp_path.iterdir())
