import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybridnets.runs import Run
from hybridnets.runs.identity import identity

LSTM = {"_target_": "hybridnets.rnn.LSTM", "_partial_": True, "bidirectional": False}
MODELS: dict[str, dict[str, Any]] = {
    "cnn": {"_target_": "hybridnets.models.CNN", "dropout": 0.0},
    "crnn": {"_target_": "hybridnets.models.CRNN", "rnn": LSTM, "num_layers": 1, "hidden_size": 16, "dropout": 0.0},
}


def _settings(seed: int | tuple[int, int, int], model: str, data: str, changes: dict[str, Any]) -> Run:
    seeds = dict(zip(("split", "init", "order"), seed if isinstance(seed, tuple) else (seed,) * 3, strict=True))
    parts: dict[str, Any] = {
        "model": {**MODELS[model]},
        "data": {"name": data, "train_fraction": 0.7, "sha256": "a" * 64},
        "optimizer": {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.001},
        "scheduler": {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau", "_partial_": True, "patience": 1},
        "callbacks": {"early_stopping": {"_target_": "pytorch_lightning.callbacks.EarlyStopping", "patience": 4}},
        "trainer": {"max_epochs": 12},
    }
    for path, value in changes.items():
        *above, key = path.split(".")
        inner = parts
        for step in above:
            inner[step] = {**inner[step]}
            inner = inner[step]
        inner[key] = value
    return Run(Path(), identity(seeds, **parts))


@pytest.fixture
def asked(tmp_path: Path) -> Callable[..., Run]:
    """A run below tmp_path of which nothing exists yet; changes are settings by their dotted path."""

    def make(model: str = "cnn", seed: int | tuple[int, int, int] = 0, data: str = "digits", **changes: Any) -> Run:
        dotted = {path.replace("__", "."): value for path, value in changes.items()}
        return Run(tmp_path, _settings(seed, model, data, dotted).identity)

    return make


@pytest.fixture
def finished(asked: Callable[..., Run]) -> Callable[..., Run]:
    """The same run once it is finished, written by the store itself."""

    def make(
        *which: Any, test: float = 0.75, val: float = 0.8, split: str = "", parameters: int = 400_586, **changes: Any
    ) -> Run:
        run = asked(*which, **changes)
        with run.claim() as attempt:
            attempt.record(device="cpu", threads=1, processor="a processor")
            for epoch, seconds in enumerate((9.0, 2.0, 4.0)):
                attempt.epoch(epoch, seconds)
            attempt.finish(
                {
                    "monitor": "val/acc",
                    "best": {"epoch": 1.0, "val/acc": val, "test/acc": test},
                    "last": {"epoch": 2.0, "val/acc": val - 0.01},
                    "epochs": 3,
                    "split": split or f"split {run.identity['seeds']['split']}",
                    "parameters": {"keras": parameters, "torch": parameters - 960},
                }
            )
        return run

    return make


@pytest.fixture
def report() -> Callable[..., int]:
    """The entry point's main, in this process."""
    spec = importlib.util.spec_from_file_location("report_command", Path(__file__).parents[2] / "report.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda *arguments: int(module.main([str(argument) for argument in arguments]))
