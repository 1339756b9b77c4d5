"""The parts that are built from a configuration, where building does more than pass settings on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig
from pytorch_lightning.callbacks import EarlyStopping, RichProgressBar

from hybridnets.config import resolve
from hybridnets.config.build import build
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
