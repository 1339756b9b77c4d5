"""The command line as a user drives it, in this process, where that is enough: a start costs a tenth of a process's."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from hybridnets import config
from hybridnets.cli import train
from hybridnets.config.rehearsal import rehearsal

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that tests start: the tests run side by side
torch.set_num_threads(1)
torch.set_flush_denormal(True)  # as training does

ROOT = Path(__file__).parents[1]

# What makes a run of seconds on the digits: a CNN of 1,000 parameters; with a schedule that waits for val, as a real one's.
SMALL = (
    *("data=digits", "recipe=cifar10", "model.channels=[4,4,4,8]", "model.batch_norm_momentum=0.9"),
    "trainer.max_epochs=2",
)


@dataclass
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """`python train.py ...` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Said:
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
        monkeypatch.setattr("sys.argv", [str(ROOT / "train.py"), *words])
        GlobalHydra.instance().clear()
        try:
            code = train.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        finally:
            rehearsal.stop()  # as a process does at its end
        return Said(code, *capfd.readouterr())

    return run


@pytest.fixture
def composed() -> Callable[..., DictConfig]:
    """The configuration that overrides give."""

    def make(*overrides: str, name: str = "config") -> DictConfig:
        config.register()
        GlobalHydra.instance().clear()
        folder = ROOT / ("conf" if name == "config" else "sweeps")
        search = [] if name == "config" else [f"hydra.searchpath=[file://{ROOT / 'conf'}]"]
        with initialize_config_dir(str(folder), version_base="1.3"):
            return compose(name, [*search, *overrides])

    return make
