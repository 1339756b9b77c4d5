"""The progress of one run in a terminal counts epochs from 1."""

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

from hybridnets.training import progress
from tests.conftest import SMALL, Said

WORDS = (*SMALL, "model=cnn", "trainer.limit_train_batches=2", "trainer.enable_progress_bar=true")


@pytest.mark.parametrize("package", ["rich", "tqdm"])
def test_epochs_count_from_1(package: str, command: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    if package == "rich":
        pytest.importorskip("rich")
    monkeypatch.setattr(
        progress, "find_spec", lambda _: importlib.util.find_spec("json") if package == "rich" else None
    )
    answer = command(*WORDS)
    assert answer.code == 0
    output: Any = answer.out + answer.err
    assert "Epoch 2/2" in output
    assert "Epoch 0" not in output
