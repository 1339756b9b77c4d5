"""What a run is called must never change, or nobody's finished runs are found again."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from hybridnets.config import devices, plan, resolve
from hybridnets.data.augment_settings import OFF
from hybridnets.data.dataset import ImageDataset
from hybridnets.runs import identities
from tests.conftest import ROOT, Said

BAR = "{_target_:pytorch_lightning.callbacks.RichProgressBar}"
TIMER = "{_target_:pytorch_lightning.callbacks.Timer}"
MINE = "mine.DataModule"
FIXTURE = Path(__file__).with_name("identities.json")


@pytest.fixture(autouse=True)
def cifar10(monkeypatch: pytest.MonkeyPatch) -> None:
    """CIFAR-10 by its content's hash alone, which is all of it that an identity knows."""
    import numpy as np

    from hybridnets.data import cifar10

    images, labels = np.zeros((50_000, 1, 1, 1), np.uint8), np.zeros(50_000, np.int64)
    dataset = ImageDataset(images, labels, images[:1], labels[:1], tuple("abcdefghij"))
    object.__setattr__(dataset, "sha256", "c1fa10")
    monkeypatch.setattr(cifar10, "load", lambda **_: dataset)


@pytest.mark.parametrize("words", json.loads(FIXTURE.read_text()))
def test_identities_of_old(composed: Callable[..., DictConfig], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities, "PROTOCOL", 1)  # raising it changes every hash, but must not hide another change
    run = resolve(composed(*words.split())).run
    assert {"folder": str(run.folder), "hash": run.hash} == json.loads(FIXTURE.read_text())[words]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("model=cnn rnn=lstm", "model=cnn rnn=bigru layers=2 nodes=32"),
        ("seed=0 seeds.split=1", "seed=1 seeds.init=0 seeds.order=0"),
        ("optimizer.lr=1", "optimizer.lr=1.0"),
        ("batch_norm_momentum=0.9", "model.batch_norm_momentum=0.9"),
        ("activation=elu", "model.activation=elu model.dense_activation=elu"),
        ("initialisation=torch", "model.initialisation=torch"),
        ("", "recipe=cifar10"),
        (
            "model=vgg16",
            "model=vgg16 batch_norm_momentum=0.9 activation=elu initialisation=torch",
        ),  # it has none of them
        (
            "recipe=digits",
            "batch_norm_momentum=0.9 optimizer.lr=3e-3 trainer.max_epochs=20 trainer.gradient_clip_val=1 "
            "callbacks.early_stopping.patience=100 ~scheduler "
            "+scheduler={_target_:torch.optim.lr_scheduler.CosineAnnealingLR,_partial_:true,T_max:20}",
        ),
        (
            "",
            "trainer.accelerator=cpu trainer.devices=1 trainer.enable_progress_bar=false data.root=elsewhere logger=none",
        ),
        ("", "optimizer.fused=false"),
        ("", "report={baseline:cnn}"),
        ("", "data.split=random data.folds=null"),
        ("", "data.stratify=false data.licence=mine"),
        # What data.dataset takes too says where the images come from.
        ("", "+data.image_size=64 +data.dataset.image_size=${data.image_size}"),
        ("", "data.augment.rotate=0.0 data.augment.erase=0 data.augment.mixup=0 data.augment.randaugment=null"),
        ("", "loss.label_smoothing=0 loss.class_weights=null"),
        ("loss.class_weights=[1,2,1,1,1,1,1,1,1,1]", "loss.class_weights=[1.0,2.0,1,1,1,1,1,1,1,1]"),
        (
            "data.split=kfold data.folds=5",
            "data.split=kfold data.folds=5 data.train_fraction=0.8",
        ),  # folds do without it
        ("", "trainer.precision=32"),
        ("", "trainer.precision=32-true"),
        ("trainer.precision=bf16", "trainer.precision=bf16-mixed"),
        ("trainer.precision=16", "trainer.precision='16-mixed'"),
        ("", "trainer.devices=auto trainer.accelerator=cpu"),
        ("", "trainer.devices=null trainer.accelerator=cpu"),
        ("", "trainer.devices='1'"),
        ("trainer.devices=2", "trainer.devices=[0,1]"),
        ("trainer.devices=2", "trainer.devices='0,1'"),
        ("", "trainer.limit_train_batches=1.0 trainer.limit_val_batches=1.0 trainer.overfit_batches=0.0"),
        ("", "trainer.max_steps=-1 trainer.accumulate_grad_batches=1 trainer.val_check_interval=1.0"),
        ("", "trainer.check_val_every_n_epoch=1 trainer.deterministic=false trainer.gradient_clip_val=0"),
        ("~callbacks.early_stopping", "callbacks.early_stopping=null"),
        ("", "+callbacks.mine=null"),
        ("", "trainer.gradient_clip_algorithm=value"),
        ("", "trainer.gradient_clip_algorithm=value trainer.gradient_clip_val=0.0"),
        ("", "trainer.min_epochs=1 trainer.min_steps=1"),
        ("", "trainer.min_epochs=0 trainer.min_steps=0"),
        ("", "trainer.plugins=[]"),
        ("", "trainer.reload_dataloaders_every_n_epochs=1"),
        ("", "trainer.sync_batchnorm=false"),
        ("", "+trainer.enable_autolog_hparams=false"),
        (f"+callbacks.a={BAR} +callbacks.b={TIMER}", f"+callbacks.0=null +callbacks.a={BAR} +callbacks.b={TIMER}"),
    ],
)
def test_one_run(composed: Callable[..., DictConfig], first: str, second: str) -> None:
    assert resolve(composed(*first.split())).run.folder == resolve(composed(*second.split())).run.folder


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (f"+callbacks.a={BAR} +callbacks.b={TIMER}", f"+callbacks.b={TIMER} +callbacks.a={BAR}"),
        (f"+callbacks.b={BAR}", f"~callbacks.early_stopping +callbacks.b={BAR}"),
        ("trainer.gradient_clip_val=1", "trainer.gradient_clip_val=1 trainer.gradient_clip_algorithm=value"),
        ("trainer.min_epochs=1", "trainer.min_epochs=2"),
        ("trainer.devices=2", "trainer.devices=2 trainer.sync_batchnorm=false"),
        ("data.train_fraction=0.8", "data.split=kfold data.folds=5"),
        ("", "data.train_fraction=null"),
        ("", "data.stratify=true"),
        ("data.split=kfold data.folds=5", "data.split=kfold data.folds=5 data.stratify=true"),
        # The name, and what our data module takes, determine the run, whatever the data set takes; another module may take any.
        ("", "data.name=other +data.dataset.name=other"),
        ("", "data.batch_size=64 +data.dataset.batch_size=64"),
        (f"data._target_={MINE}", f"data._target_={MINE} +data.image_size=64 +data.dataset.image_size=64"),
        ("data.split=kfold data.folds=10", "data.split=kfold data.folds=5"),
        (
            f"data._target_={MINE} data.split=kfold",
            f"data._target_={MINE} data.split=kfold data.train_fraction=0.8",
        ),
        (f"data._target_={MINE}", f"data._target_={MINE} trainer.reload_dataloaders_every_n_epochs=1"),
    ],
)
def test_two_runs(composed: Callable[..., DictConfig], first: str, second: str) -> None:
    assert resolve(composed(*first.split())).run.hash != resolve(composed(*second.split())).run.hash


def test_the_order_of_callbacks_is_told_only_where_it_is_not_the_usual_one(
    composed: Callable[..., DictConfig],
) -> None:
    usual = resolve(composed(f"+callbacks.b={TIMER}", f"+callbacks.c={BAR}", f"+callbacks.g={BAR}")).run
    assert "callbacks_order" not in usual.identity
    run = resolve(composed(f"+callbacks.g={BAR}", f"+callbacks.b={TIMER}")).run
    assert run.identity["callbacks_order"] == ["early_stopping", "g", "b"]


@pytest.mark.parametrize(
    "overrides",
    [
        *("seed=1", "seeds.order=1", "layers=2", "rnn=gru", "model.order=permuted", "data.train_fraction=0.8"),
        *(
            "data.batch_size=64",
            "recipe=digits",
            "batch_norm_momentum=0.9",
            "activation=elu",
            "initialisation=torch",
            "optimizer.lr=2e-3",
            "scheduler=null",
            "trainer.max_epochs=7",
            "trainer.precision=bf16-mixed",
        ),
        *("trainer.limit_train_batches=1", "trainer.limit_train_batches=0.5", "trainer.accumulate_grad_batches=2"),
        *("callbacks.early_stopping.patience=9", "trainer.devices=2", "data.augment.flip=true"),
        *(
            "data.augment.rotate=5",
            "data.augment.brightness=0.1",
            "data.augment.contrast=0.1",
            "data.augment.saturation=0.1",
        ),
        *("data.augment.hue=0.1", "data.augment.erase=0.1", "data.augment.mixup=0.1", "data.augment.cutmix=1"),
        *(
            "data.augment.randaugment={operations:2,magnitude:9}",
            "loss.label_smoothing=0.1",
            "loss.class_weights=balanced",
        ),
    ],
)
def test_another_run(composed: Callable[..., DictConfig], overrides: str) -> None:
    assert resolve(composed()).run.hash != resolve(composed(*overrides.split())).run.hash


def test_one_batch_is_not_all_of_them(composed: Callable[..., DictConfig]) -> None:
    one_batch, all_batches = (
        resolve(composed(f"trainer.limit_train_batches={limit}")).run.hash for limit in ("1", "1.0")
    )
    assert one_batch != all_batches


def test_the_identity_says_that_a_split_is_a_fold(composed: Callable[..., DictConfig]) -> None:
    at_random, fold = (
        resolve(composed(*words)).run.identity["data"] for words in ((), ("data.split=kfold", "data.folds=5"))
    )
    assert {"split", "folds"}.isdisjoint(at_random)
    assert (fold["split"], fold["folds"], "train_fraction" in fold) == ("kfold", 5, False)


def test_all_devices_are_as_many_as_the_machine_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    assert devices.device_count({"devices": "auto", "num_nodes": 2}) == 4
    assert devices.device_count({"devices": -1, "accelerator": "gpu"}) == 2
    assert devices.device_count({"devices": "auto", "accelerator": "cpu"}) == 1
    assert devices.device_count({"devices": "auto", "accelerator": "tpu"}) == "auto x 1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.device_count({"devices": "auto"}) == 1


def test_a_key_added_later_is_left_out_at_its_old_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    def hash_with(**extra: Any) -> str:
        return identities.hash_of(
            identities.identity({"split": 0, "init": 0, "order": 0}, model={"width": 3, **extra}, data={"name": "x"})
        )

    before = hash_with()
    monkeypatch.setattr(identities, "ADDED", {("model", "depth"): 1})
    assert hash_with(depth=1) == before
    assert hash_with(depth=2) != before


def test_an_identity_leaves_the_settings_as_they_are(composed: Callable[..., DictConfig]) -> None:
    request = resolve(composed("loss.label_smoothing=0.1"))
    assert request.run.identity["loss"] == {"label_smoothing": 0.1}
    assert request.settings["loss"] == {"label_smoothing": 0.1, "class_weights": None}
    assert set(request.run.identity["data"]["augment"]) == {"flip", "crop"}
    assert set(request.settings["data"]["augment"]) == set(OFF)


def test_canonical_json_refuses_nan() -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        identities.canonical({"lr": float("nan")})


def test_the_papers_72_settings_are_51_runs(command: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted by the plan, which the launcher asks before any process starts."""

    def planned(configs: list[DictConfig]) -> list[Any]:
        jobs = plan(configs)
        raise ValueError(f"{len(jobs)} settings, {len({job.key for job in jobs})} runs")

    monkeypatch.setattr("hybridnets.config.plan", planned)
    # The rehearsal is a process of its own, which would look for the real images.
    monkeypatch.setattr(importlib.import_module("hybridnets.config.sweep"), "_rehearse", lambda _: None)
    # Of data with one test image, a line on the margin comes before.
    assert command("-cn", "paper").err.endswith("\ntrain.py: 72 settings, 51 runs\n")
    manifest = json.loads(Path("runs/sweeps/paper.json").read_text())
    assert len(manifest["runs"]) == 51
    assert len({run["hash"] for run in manifest["runs"]}) == 51
    assert ROOT not in Path.cwd().parents
