"""A data set chooses its recipe, whoever composes it; the command line chooses last."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from tests.conftest import ROOT, Said

COSINE = {"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR", "_partial_": True, "T_max": 20}
MINE = """
defaults:
  - override /recipe@_global_.recipe: digits
_target_: hybridnets.data.datamodule.ImageDataModule
name: mine
dataset: {_target_: hybridnets.data.digits.load}
train_fraction: 0.7
batch_size: 32
standardize: {statistics: scalar, over: all}
augment: {flip: false, crop: 0}
"""


def recipe(cfg: DictConfig) -> tuple[Any, ...]:
    scheduler = OmegaConf.to_container(cfg.scheduler, resolve=True)
    return cfg.optimizer.lr, scheduler, cfg.trainer.max_epochs, cfg.model.get("batch_norm_momentum")


@pytest.mark.parametrize("model", ["cnn", "ecnn", "crnn", "ecrnn"])
def test_the_digits_have_their_own(composed: Callable[..., DictConfig], model: str) -> None:
    assert recipe(composed("data=digits", f"model={model}")) == (3e-3, COSINE, 20, 0.9)
    assert recipe(composed("recipe=digits", f"model={model}")) == (3e-3, COSINE, 20, 0.9)
    others = composed("data=digits", "recipe=cifar10", f"model={model}")
    assert recipe(others) == recipe(composed(f"model={model}"))
    assert recipe(others)[0] == 1e-3
    assert recipe(others)[2:] == (25, 0.99)


def test_the_command_line_is_last(composed: Callable[..., DictConfig]) -> None:
    cfg = composed("data=digits", "model=cnn", "optimizer.lr=0.1", "batch_norm_momentum=0.5", "trainer.max_epochs=3")
    assert recipe(cfg) == (0.1, {**COSINE, "T_max": 3}, 3, 0.5)


def test_every_recipe_is_complete(composed: Callable[..., DictConfig]) -> None:
    """A key that another recipe leaves out would make their choice depend on what stood there before."""
    recipes = sorted(path.stem for path in (ROOT / "conf" / "recipe").glob("*.yaml"))
    assert recipes == sorted({*recipes, "cifar10", "digits"})
    for name in recipes:
        settings = OmegaConf.load(ROOT / "conf" / "recipe" / f"{name}.yaml")
        assert {"optimizer", "scheduler", "callbacks", "trainer"} <= set(settings), name
        assert composed(f"recipe={name}").trainer.max_epochs > 0


@pytest.mark.parametrize(
    ("line", "lr"), [(MINE, 3e-3), (MINE.replace("defaults", "# defaults").replace("  - ", "# "), 1e-3)]
)
def test_a_users_data_set_chooses_in_one_line(
    composed: Callable[..., DictConfig], tmp_path: Path, line: str, lr: float
) -> None:
    composed()  # registers
    GlobalHydra.instance().clear()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_text(line)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("config", [f"hydra.searchpath=[file://{tmp_path}]", "data=mine"])
    assert cfg.optimizer.lr == lr
    assert cfg.data.name == "mine"


def test_each_data_set_of_a_sweep_has_its_own(command: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, float, int]] = []

    def planned(configs: list[DictConfig]) -> list[Any]:
        seen.extend((cfg.data.name, cfg.optimizer.lr, cfg.trainer.max_epochs) for cfg in configs)
        raise ValueError("planned")

    monkeypatch.setattr("hybridnets.config.plan", planned)
    assert command("-m", "data=digits,cifar10", "model=cnn").err == "train.py: planned\n"
    assert seen == [("digits", 3e-3, 20), ("cifar10", 1e-3, 25)]
