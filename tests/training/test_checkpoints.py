"""What callbacks may save: nothing among the run's own checkpoints, and no state that cannot be loaded again; and no checkpoint
executes code, whatever loads it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

import hybridnets
from hybridnets.models import CNN
from hybridnets.training.checkpoints import ARGUMENTS
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


def attack(architecture: type[CNN], arguments: dict[str, Any]) -> CNN:
    """Stands in for what somebody wants to execute where a checkpoint is loaded."""
    Path("attacked").touch()
    return architecture(**arguments)


INSTANTIATOR = f"{__name__}.attack"
ONE_SENTENCE = (
    "{} must not name a function that builds its model, because checkpoints are loaded without executing code, but its {} have "
    f"_instantiator={INSTANTIATOR!r}: no checkpoint of a run has this entry, so use one from a source that you trust"
)


def poison(path: Path, key: str) -> None:
    """Has a checkpoint name `attack` as what builds its model, as plain text, which `weights_only` lets through."""
    checkpoint = torch.load(path, weights_only=True)
    checkpoint[key] = {**checkpoint.get(key, {}), "_instantiator": INSTANTIATOR}
    torch.save(checkpoint, path)


@pytest.fixture
def trained(command: Callable[..., Said]) -> Path:
    """The folder of a finished run, in an empty folder."""
    assert command(*WORDS, "trainer.max_epochs=1").code == 0
    return only_run(Path("runs"))


@pytest.mark.parametrize("key", ARGUMENTS)
def test_a_checkpoint_that_names_a_function_to_call_is_refused_by_all_that_load_it(
    command: Callable[..., Said], trained: Path, key: str
) -> None:
    best, last = trained / "checkpoints" / "best.ckpt", trained / "checkpoints" / "last.ckpt"
    poison(best, key)
    poison(last, key)
    with pytest.raises(
        ValueError, match="must not name a function"
    ) as refusal:  # also features.py, which loads by the same function
        hybridnets.load(trained)
    assert str(refusal.value) == ONE_SENTENCE.format(best, key)
    answer = command("data=digits", "model=feature_autoencoder", f"backbone={trained}", "out=autoencoder")
    assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    assert ONE_SENTENCE.format(best, key) in answer.err
    for path in (best, last):
        answer = command(*WORDS, "trainer.max_epochs=3", f"ckpt_path={path}", "out=longer")
        assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    assert ONE_SENTENCE.format(f"ckpt_path={last}", key) in answer.err
    (trained / "result.json").unlink()  # the run has to continue
    before = {path: path.read_bytes() for path in (best, last)}
    answer = command(*WORDS, "trainer.max_epochs=1")
    assert answer.code == 2
    assert ONE_SENTENCE.format(last, key) in answer.err
    assert {path: path.read_bytes() for path in last.parent.iterdir()} == before
    assert not Path("attacked").exists()


@pytest.mark.parametrize("key", ARGUMENTS)
def test_lightning_refuses_it_where_nothing_of_ours_reads_the_checkpoint(
    trained: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    path = trained / "checkpoints" / "best.ckpt"
    poison(path, key)
    with pytest.raises(
        ValueError, match=f"The instantiator '{INSTANTIATOR}' from the checkpoint is not in the allowlist"
    ):
        CNN.load_from_checkpoint(path, weights_only=True)
    assert not Path("attacked").exists()
    # The attack is a real one: it succeeds where Lightning is told to trust it, as versions before 2.6.6 trusted all.
    monkeypatch.setattr("pytorch_lightning.core.saving._ALLOWED_INSTANTIATORS", {INSTANTIATOR})
    CNN.load_from_checkpoint(path, weights_only=True)
    assert Path("attacked").exists()
