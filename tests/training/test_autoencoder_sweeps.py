"""Feature autoencoders before their backbones are trained: identities, what a sweep adds, and the paper's two stages."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf

from hybridnets.config import plan, resolve
from hybridnets.data.dataset import ImageDataset
from hybridnets.runs import identities
from tests.conftest import ROOT, Said
from tests.training.test_feature_autoencoder import AUTOENCODER

LONG = pytest.mark.skipif("HYBRIDNETS_LONG" not in os.environ, reason="minutes, and 3 GB on the disk: make torture")


def test_a_variant_has_the_same_seeds_as_its_backbone(composed: Callable[..., DictConfig]) -> None:
    def identity(seed: int, *overrides: str) -> identities.Identity:
        cfg = composed(*AUTOENCODER, f"seed={seed}")
        backbone = composed("data=digits", "model=cnn", f"seed={seed}", *overrides)
        cfg.backbone = OmegaConf.to_container(backbone, resolve=True)  # its interpolations are about itself
        return resolve(cfg).run.identity

    assert identities.variant(identity(0)) == identities.variant(identity(1))
    assert identities.hash_of(identity(0)) != identities.hash_of(identity(1))
    assert identities.variant(identity(0, "seeds.init=7")) != identities.variant(identity(0))
    assert identities.variant(identity(0, "optimizer.lr=1")) != identities.variant(identity(0))
    cfg = composed("data=digits", "model=cnn", "seed=3")
    assert identities.backbone(identity(3)) == resolve(cfg).run.identity
    assert identities.backbone(resolve(cfg).run.identity) is None


def test_a_sweep_adds_the_backbones_that_are_missing(
    command: Callable[..., Said], composed: Callable[..., DictConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan builds every part once, with untrained backbones."""
    jobs: list[Any] = []

    def planned(configs: list[DictConfig]) -> list[Any]:
        jobs.extend(plan(configs))
        raise ValueError("planned")

    monkeypatch.setattr("hybridnets.config.plan", planned)
    sweep = ("model.kind=cae,sae", "backbone=[model=ecnn,trainer.max_epochs=1]", "seed=1,2", "trainer.accelerator=cpu")
    assert command("-m", *AUTOENCODER, *sweep).err == "train.py: planned\n"
    assert [job.name for job in jobs] == [f"ecnn+{kind}-2 seed={seed}" for kind in ("cae", "sae") for seed in (1, 2)]
    for job in jobs:
        ((overrides, need),) = job.needs()
        (seed,) = {job.run.identity["seeds"]["split"]}
        assert list(overrides) == [
            *("data=digits", "recipe=cifar10", f"seed={seed}", "trainer.accelerator=cpu"),
            *("model=ecnn", "trainer.max_epochs=1"),
        ]
        assert need.run.hash == resolve(composed(*overrides)).run.hash
        assert need.needs() == []
        assert job.replaces() == {"backbone": str(need.run.folder)}


def test_a_trial_needs_no_trained_backbone(command: Callable[..., Said], tmp_path: Path) -> None:
    words = (*AUTOENCODER, "backbone=[model=cnn,model.channels=[4,8]]", "trainer.fast_dev_run=true")
    assert command(*words).code == 0
    assert command("-m", *words, "dry_run=true").code == 0
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_configuration_file_may_name_the_backbone(command: Callable[..., Said], tmp_path: Path) -> None:
    lines = "defaults: [config, {override model: feature_autoencoder}, _self_]", "backbone: [model=cnn]"
    (tmp_path / "mine.yaml").write_text("\n".join(lines))
    output = command("-cd", str(tmp_path), "-cn", "mine", "data=digits")
    assert (
        "cnn seed=0 is not finished: train it first, by python train.py -cn mine hydra.mode=RUN data=digits backbone=null"
        in output.err
    )


def few() -> ImageDataset:
    """Twelve images to train on, four to validate and eight to test, for three steps with the paper's batches of four."""
    images = np.random.default_rng(0).integers(0, 256, size=(24, 3, 32, 32), dtype=np.uint8)
    labels = np.arange(24, dtype=np.int64) % 10
    return ImageDataset(images[:16], labels[:16], images[16:], labels[16:], tuple("0123456789"))


@pytest.mark.parametrize(
    ("size", "dense", "rate", "shape"),
    [
        ("null", "[8,8]", 0.75, [128, 1, 1]),
        pytest.param(224, "[4096,4096]", 1 - 3200 / 25088, [128, 5, 5], marks=LONG),
    ],
)
def test_both_stages_of_the_papers_protocol(
    tmp_path: Path, size: Any, dense: str, rate: float, shape: list[int]
) -> None:
    """Three steps each, by the sweep's file; with HYBRIDNETS_LONG=1 at 224x224, which takes minutes and 3 GB on the disk."""
    small = (
        *("data=digits", "data.name=few", f"data.dataset._target_={__name__}.few"),
        *("data.train_fraction=0.75", "seed=0"),
    )
    backbone = (
        f"backbone=[model=vgg16,optimizer.lr=1e-5,trainer.max_epochs=1,model.image_size={size},model.dense={dense}]"
    )
    words = ("-cn", "compression_paper", *small, backbone, "trainer.max_epochs=1", "trainer.accelerator=cpu")
    output = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert output.returncode == 0, output.stdout + output.stderr
    assert "2 jobs: 2 finished (1 added: needed by others)" in output.stdout
    backbone_result, result = (
        json.loads(next(tmp_path.glob(f"runs/few/{name}/*/result.json")).read_text()) for name in ("vgg16", "*+*")
    )
    assert (result["code"]["shape"], result["code"]["compression"]) == (shape, pytest.approx(rate))
    assert result["before"] == {key: backbone_result["best"][key] for key in ("val/acc", "test/acc")}


def test_a_sweep_over_nothing_is_refused_with_one_sentence(command: Callable[..., Said]) -> None:
    output = command("-m", *AUTOENCODER, "backbone=glob(nothing*)")
    assert (output.code, len(output.err.splitlines())) == (2, 1)
    assert "does a glob() match nothing?" in output.err
