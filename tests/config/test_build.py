"""What is built of a configuration, where that is more than to hand its settings on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig
from pytorch_lightning.callbacks import RichProgressBar

from hybridnets.config.build import build
from tests.conftest import SMALL

BAR = "+callbacks.bar._target_=pytorch_lightning.callbacks.RichProgressBar"
SENTENCE = "RichProgressBar is left out: progress bars are shown in a terminal only"


@pytest.mark.parametrize(
    ("terminal", "words"), [(False, ()), (True, ()), (False, ("trainer.enable_progress_bar=true",))]
)
def test_a_progress_bar_needs_a_terminal_or_that_it_is_asked_for(
    terminal: bool,
    words: tuple[str, ...],
    composed: Callable[..., DictConfig],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    caplog.set_level("INFO")
    parts = build(composed("model=cnn", *SMALL, BAR, *words))
    callbacks = parts.callbacks(monitor="val/acc", mode="max")
    trainer: Any = parts.trainer(callbacks=callbacks, plugins=[], default_root_dir=tmp_path)
    shown = terminal or bool(words)
    assert any(isinstance(callback, RichProgressBar) for callback in trainer.callbacks) == shown
    assert (SENTENCE in caplog.messages) == (not shown)
    assert len(callbacks) == 2  # and early stopping, which stays
