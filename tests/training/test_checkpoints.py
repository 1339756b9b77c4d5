"""What callbacks may save: nothing among the run's own checkpoints, and no state that cannot be loaded again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from tests.conftest import SMALL, Said
from tests.training.test_published_weights import only_run

WORDS = (*SMALL, "model=cnn")


class SavesAmongOurs(pl.Callback):
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        trainer.save_checkpoint(only_run(Path("runs")) / "checkpoints" / "best.ckpt")


class KeepsNumpy(pl.Callback):
    def state_dict(self) -> dict[str, Any]:
        return {"best": {"score": np.float64(0.5)}}


class Harmless(pl.Callback):
    def state_dict(self) -> dict[str, Any]:
        return {"best": 0.5}


def test_callbacks_cannot_save_among_the_runs_own_checkpoints(command: Callable[..., Said]) -> None:
    answer = command(*WORDS, f"+callbacks.a._target_={__name__}.SavesAmongOurs")
    assert answer.code == 2
    assert "callbacks must not save among the run's own checkpoints, got " in answer.err


def test_callback_state_that_cannot_be_loaded_is_refused_at_its_first_save(
    command: Callable[..., Said], tmp_path: Path
) -> None:
    answer = command(*WORDS, f"+callbacks.a._target_={__name__}.KeepsNumpy")
    assert answer.code == 2
    assert "the state of callback KeepsNumpy must hold tensors and plain types only" in answer.err
    assert "but best.score is of type numpy.float64: convert it, as by float(...)" in answer.err
    assert not list(tmp_path.rglob("last.ckpt"))
    # A complete checkpoint of an older version is neither called damaged nor replaced.
    words = (*WORDS, f"+callbacks.a._target_={__name__}.Harmless", "out=other")
    assert command(*words).code == 0
    folder = only_run(tmp_path / "other")
    (folder / "result.json").unlink()
    last = folder / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(last, weights_only=True)
    checkpoint["callbacks"]["Harmless"] = KeepsNumpy().state_dict()
    torch.save(checkpoint, last)
    before = last.read_bytes()
    answer = command(*words)
    assert answer.code == 2
    assert "last.ckpt must hold tensors and plain types only" in answer.err
    assert "it is complete, but no run can continue from it" in answer.err
    assert last.read_bytes() == before
    assert not list(folder.rglob("*.damaged"))
