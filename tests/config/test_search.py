"""A search, whose sweeper launches several batches, is one sweep: it has one manifest, and the sweeper's files are kept."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from omegaconf import OmegaConf

from hybridnets.config import sweep
from hybridnets.runs import Run, manifest
from tests.conftest import SMALL, Said


class Batches(Sweeper):
    """Launches one run per batch, and writes the results, as Optuna's sweeper does.

    Args:
        seeds: The runs' seeds.
    """

    def __init__(self, seeds: list[int]) -> None:
        self.seeds = seeds

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=hydra_context, task_function=task_function
        )

    def sweep(self, arguments: list[str]) -> None:
        assert self.launcher
        assert self.config
        values = {}
        for number, seed in enumerate(self.seeds):
            (returned,) = self.launcher.launch([[*arguments, f"seed={seed}"]], initial_job_idx=number)
            values[seed] = returned.return_value
        OmegaConf.save(OmegaConf.create(values), Path(self.config.hydra.sweep.dir, "optimization_results.yaml"))


def test_search_has_one_manifest_and_keeps_its_results(
    command: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = "hydra_plugins.of_this_test.Batches"  # Hydra takes plugins from this package only
    monkeypatch.setitem(Plugins.instance().class_name_to_class, target, Batches)
    node = {"_target_": target, "seeds": [0, 1]}
    ConfigStore.instance().store(group="hydra/sweeper", name="batches", node=node)
    monkeypatch.setattr(
        "__main__.__spec__", None
    )  # jobs are started by train.py, which is sys.argv[0], and not by pytest
    at_exit: dict[Path, Callable[[Path], None]] = {}
    monkeypatch.setattr(sweep, "atexit", SimpleNamespace(register=lambda keep, folder: at_exit.update({folder: keep})))

    words = (
        "-m",
        "hydra/sweeper=batches",
        *SMALL,
        "model=cnn",
        "trainer.max_epochs=1",
        "trainer.limit_train_batches=2",
    )
    for finished in (0, 1):
        answer = command(*words)
        assert answer.code == 0, answer.err
        assert answer.out.count(f"1 settings, 1 runs, {finished} finished already") == 2
        (path,) = (tmp_path / "runs" / "sweeps").glob("*.json")
        requested = {run["folder"] for run in json.loads(path.read_text())["runs"]}
        assert {tmp_path / "runs" / folder for folder in requested} == {p.parent for p in tmp_path.rglob("result.json")}
        assert len(requested) == 2
    for folder, keep in at_exit.items():
        keep(folder)
    results = OmegaConf.load(path.with_suffix("") / "optimization_results.yaml")
    assert list(results.values()) == [
        json.loads(p.read_text())["best"]["val/acc"] for p in sorted(tmp_path.rglob("r*.json"))
    ]
    assert sorted(p.name for p in path.with_suffix("").iterdir()) == ["optimization_results.yaml"]
    assert len(manifest.read(tmp_path / "runs")[0]) == 1


def test_repeated_search_reuses_its_manifest_and_a_different_one_does_not(tmp_path: Path) -> None:
    def run(seed: int) -> Run:
        identity = {
            "data": {"name": "d"},
            "model": {"_target_": "m.CNN"},
            "seeds": dict.fromkeys(("split", "init", "order"), seed),
        }
        return Run(tmp_path, identity)

    def run_count(path: Path) -> int:
        return len(json.loads(path.read_text())["runs"])

    for name in (None, "paper"):
        first = manifest.write(tmp_path, name, "first", [run(0)], None)
        manifest.extend(first, tmp_path, [run(1), run(2)])
        manifest.extend(first, tmp_path, [run(1)])
        assert run_count(first) == 3
        before = first.read_bytes()
        again = manifest.write(tmp_path, name, "again", [run(0)], None)
        manifest.extend(again, tmp_path, [run(1), run(2)])
        assert (again, first.read_bytes()) == (first, before)
        second = manifest.write(tmp_path, name, "other", [run(1)], None)  # a sweep with only one of these runs
        assert second != first
        assert run_count(second) == 1
    (manifests, problems) = manifest.read(tmp_path)
    assert ([len(read.runs) for read in manifests].count(3), problems) == (2, [])
