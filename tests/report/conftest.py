import errno
import importlib.util
import io
import itertools
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridnets.runs import Run, manifest
from hybridnets.runs.identities import identity
from hybridnets.runs.records import LayerRecord, Result

LSTM = {"_target_": "hybridnets.rnn.LSTM", "_partial_": True, "bidirectional": False}
RECURRENT = {"rnn": LSTM, "num_layers": 1, "hidden_size": 16, "dropout": 0.0}
MODELS: dict[str, dict[str, Any]] = {
    "cnn": {"_target_": "hybridnets.models.CNN", "dropout": 0.0},
    "crnn": {"_target_": "hybridnets.models.CRNN", **RECURRENT},
    "ecrnn": {"_target_": "hybridnets.models.ECRNN", **RECURRENT},
}
IMAGES = {"val": 300, "test": 200}
LAYERS = (
    LayerRecord("input", "Input", (32, 32, 3), 0),
    LayerRecord("features", "Conv2D 3x3", (16, 16, 64), 1792),
    LayerRecord("head", "Dense", (10,), 330),
)


def _predictions(seed: int, accuracies: dict[str, float]) -> dict[str, Any]:
    """Columns as the training writes them: the share of right predictions is the accuracy, which images is chance."""
    draw = np.random.default_rng([seed, *(round(1e6 * value) for value in accuracies.values())])
    columns: dict[str, Any] = {}
    for part, accuracy in accuracies.items():
        n = IMAGES[part]
        index = np.sort(np.random.default_rng(seed).permutation(1000)[:n]) if part == "val" else np.arange(n)
        label = index % 10
        wrong = draw.permutation(n) >= round(accuracy * n)
        columns |= {f"{part}_index": index, f"{part}_label": label, f"{part}_class": (label + wrong) % 10}
        columns[f"{part}_probabilities"] = np.eye(10, dtype=np.float32)[columns[f"{part}_class"]]
    return columns


def _settings(seed: int | tuple[int, int, int], model: str, data: str, changes: dict[str, Any]) -> Run:
    seeds = dict(zip(("split", "init", "order"), seed if isinstance(seed, tuple) else (seed,) * 3, strict=True))
    parts: dict[str, Any] = {
        "model": {**MODELS[model]},
        "data": {"name": data, "train_fraction": 0.7, "sha256": "a" * 64},
        "loss": {},
        "optimizer": {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.001},
        "scheduler": {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau", "_partial_": True, "patience": 1},
        "callbacks": {"early_stopping": {"_target_": "pytorch_lightning.callbacks.EarlyStopping", "patience": 4}},
        "trainer": {"max_epochs": 12},
    }
    for path, value in changes.items():
        *parents, key = path.split(".")
        inner = parts
        for step in parents:
            inner[step] = {**inner[step]}
            inner = inner[step]
        inner[key] = value
    return Run(Path(), identity(seeds, **parts))


@pytest.fixture
def requested(tmp_path: Path) -> Callable[..., Run]:
    """A run below tmp_path of which nothing exists yet; changes are settings by their dotted path."""

    def make(model: str = "cnn", seed: int | tuple[int, int, int] = 0, data: str = "digits", **changes: Any) -> Run:
        dotted = {path.replace("__", "."): value for path, value in changes.items()}
        return Run(tmp_path, _settings(seed, model, data, dotted).identity)

    return make


@pytest.fixture
def finished(requested: Callable[..., Run]) -> Callable[..., Run]:
    """The same run once it is finished, written by the store itself."""

    def make(
        *which: Any,
        test: float = 0.75,
        val: float = 0.8,
        split: str = "",
        parameters: int = 400_586,
        loss: float = 0.5,
        predictions: bool = False,
        **changes: Any,
    ) -> Run:
        run = requested(*which, **changes)
        seed = run.identity["seeds"]["split"]
        with run.claim() as attempt:
            attempt.note(
                device="cpu", threads=1, processor="a processor", git_commit="c0ffee", versions={"torch": "2.13.0"}
            )
            for epoch, seconds in enumerate((9.0, 2.0, 4.0)):
                attempt.epoch(epoch, seconds)
            if predictions:
                columns = _predictions(seed, {"val": val, "test": test})
                val, test = (
                    float(np.mean(columns[f"{part}_class"] == columns[f"{part}_label"])) for part in ("val", "test")
                )
                np.savez(run.folder / "predictions.npz", **columns)
                rows = [f"{epoch},{value:.4f},{value:.4f}" for epoch, value in enumerate((val - 0.1, val, val - 0.01))]
                (run.folder / "metrics.csv").write_text("\n".join(["epoch,train/acc,val/acc", *rows]), encoding="utf-8")
            attempt.finish(
                Result(
                    identity=run.identity,
                    monitor="val/acc",
                    best={"epoch": 1.0, "val/acc": val, "val/loss": loss, "test/acc": test},
                    last={"epoch": 2.0, "val/acc": round(val - 0.01, 4) if predictions else val - 0.01},
                    epochs=3,
                    images={"train": 700, "val": 300, "test": 200},
                    split=split or f"split {seed}",
                    weights="",
                    classes=tuple(f"class {n}" for n in range(10)),
                    parameters={"keras": parameters, "torch": parameters - 960},
                    layers=LAYERS,
                )
            )
        return run

    return make


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes a file, or a folder and all in it, one that may not be read, also for the root user of a container."""
    forbidden: list[Path] = []

    def guard(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def guarded(path: Any = ".", *arguments: Any, **settings: Any) -> Any:
            if isinstance(path, str | Path) and any(Path(path).is_relative_to(top) for top in forbidden):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return original(path, *arguments, **settings)

        monkeypatch.setattr(owner, name, guarded)

    for owner, name in ((os, "scandir"), (os, "listdir"), (io, "open")):
        guard(owner, name)

    def make(path: Path) -> None:
        path.chmod(0o000)
        forbidden.append(path)

    return make


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 120 columns, in which a row of most tables is one line."""
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def report() -> Callable[..., int]:
    """The entry point's main, in this process."""
    spec = importlib.util.spec_from_file_location("report_command", Path(__file__).parents[2] / "report.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda *arguments: int(module.main(["report", *(str(argument) for argument in arguments)]))


@pytest.fixture
def grid(tmp_path: Path, requested: Callable[..., Run], finished: Callable[..., Run]) -> Callable[..., list[Run]]:
    """A small grid as the paper's: CNN, CRNN and ECRNN, LSTM and BiLSTM, 16 and 32 nodes, with predictions."""

    def make(
        seeds: int = 3, declared: Any = None, lost: tuple[Any, ...] = (), diverged: tuple[Any, ...] = ()
    ) -> list[Run]:
        draw = np.random.default_rng(0)
        runs = []
        for seed in range(seeds):
            runs.append(finished("cnn", seed, test=0.72, val=0.73 + draw.normal() / 100, predictions=True))
            for model, rnn, nodes in itertools.product(("crnn", "ecrnn"), ("lstm", "bilstm"), (16, 32)):
                changes = {"model__hidden_size": nodes, "model__rnn": {**LSTM, "bidirectional": rnn == "bilstm"}}
                if (model, rnn, nodes, seed) in lost:
                    runs.append(requested(model, seed, **changes))
                    continue
                test, val = (0.73 + 0.03 * (model == "ecrnn") + draw.normal() / 100 for _ in range(2))
                loss = math.nan if (model, rnn, nodes, seed) in diverged else 0.5
                size = 392_970 + 1000 * nodes * (1 + (rnn == "bilstm")) + 1_300_000 * (model == "ecrnn")
                runs.append(
                    finished(model, seed, test=test, val=val, loss=loss, parameters=size, predictions=True, **changes)
                )
        manifest.write(tmp_path, "grid", "python train.py -cn grid", runs, declared)
        return runs

    return make
