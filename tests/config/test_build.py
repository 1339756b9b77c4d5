"""The parts that are built from a configuration, where building does more than pass settings on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig
from pytorch_lightning.callbacks import EarlyStopping, RichProgressBar

from hybridnets.config import resolve
from hybridnets.config.build import build, build_data
from tests.conftest import SMALL

BAR = "+callbacks.bar._target_=pytorch_lightning.callbacks.RichProgressBar"
SENTENCE = "RichProgressBar is left out: progress bars are shown in a terminal only"


@pytest.mark.parametrize(
    ("terminal", "overrides"), [(False, ()), (True, ()), (False, ("trainer.enable_progress_bar=true",))]
)
def test_progress_bar_needs_terminal_or_explicit_flag(
    terminal: bool,
    overrides: tuple[str, ...],
    composed: Callable[..., DictConfig],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    caplog.set_level("INFO")
    trainer: Any = build(resolve(composed("model=cnn", *SMALL, BAR, *overrides, f"out={tmp_path}"))).trainer
    has_bar = terminal or bool(overrides)
    assert any(isinstance(callback, RichProgressBar) for callback in trainer.callbacks) == has_bar
    assert (SENTENCE in caplog.messages) == (not has_bar)
    assert any(isinstance(callback, EarlyStopping) for callback in trainer.callbacks)


def test_every_model_has_the_same_fold_at_the_same_seed(composed: Callable[..., DictConfig], tmp_path: Path) -> None:
    def fold(model: str, seed: int) -> str:
        words = (f"model={model}", *SMALL[:2], "data.split=kfold", "data.folds=5", f"seed={seed}", f"out={tmp_path}")
        return str(build_data(resolve(composed(*words))).split.sha256)

    hashes = [[fold(model, seed) for seed in (0, 1, 5)] for model in ("cnn", "ecnn", "crnn")]
    assert hashes[0] == hashes[1] == hashes[2]
    assert len(set(hashes[0])) == 3
