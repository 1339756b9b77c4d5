"""An autoencoder on a run's features: what it takes from that run, what it leaves as it is, and what its own run holds."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

import hybridnets
import train
from hybridnets.config import check, plan
from hybridnets.data import digits
from hybridnets.data.dataset import ImageDataset
from hybridnets.models import FeatureAutoencoder
from hybridnets.runs import identity as ids
from hybridnets.runs.packing import Archive, pack
from tests.conftest import ROOT, Said

# A backbone with a recurrent layer and dropout, because neither may stir; and an autoencoder that stops early, after
# four epochs however its sums are rounded: no loss is better than the first by min_delta.
BELOW = (
    *("model=crnn", "rnn=bigru", "nodes=3", "model.sequence=positions", "model.channels=[4,8]", "model.dropout=0.3"),
    *("model.batch_norm_momentum=0.9", "trainer.max_epochs=2", "optimizer.lr=1e-2"),
)
ON = f"backbone=[{','.join(BELOW)}]"
OWN = ("data=digits", "model=feature_autoencoder", "model.channels=2", "trainer.max_epochs=5", "optimizer.lr=0.03")
STOPS = (
    *("callbacks.early_stopping.patience=3", "+callbacks.early_stopping.min_delta=1000", "scheduler.patience=0"),
    "data.augment.crop=2",
)

LONG = pytest.mark.skipif("HYBRIDNETS_LONG" not in os.environ, reason="minutes, and 3 GB on the disk: make torture")


def run(*words: str) -> int:
    GlobalHydra.instance().clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYDRA_FULL_ERROR", "0")
        patch.setattr("sys.argv", [str(ROOT / "train.py"), *words])
        return train.command_line()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backbone and an autoencoder on it."""
    out = tmp_path_factory.mktemp("runs")
    assert run("data=digits", *BELOW, "data.augment.crop=2", f"out={out}") == 0
    assert run(*OWN, *STOPS, ON, f"out={out}") == 0
    return out


def folder(runs: Path, name: str) -> Path:
    (found,) = runs.glob(f"digits/{name}/seed=0-*")
    return found


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]  # type: ignore[no-any-return]


@pytest.fixture
def below(runs: Path) -> Path:
    return folder(runs, "crnn-bigru-1x3")


@pytest.fixture
def own(runs: Path) -> Path:
    return folder(runs, "crnn-bigru-1x3+cae-2")


def test_the_backbone_stays_to_the_last_bit_and_the_autoencoder_learns(below: Path, own: Path) -> None:
    before, after = weights(below), weights(own)
    assert {name.removeprefix("backbone.") for name in after if name.startswith("backbone.")} == set(before)
    assert "cnn.2.running_mean" in before
    for name, tensor in before.items():
        assert torch.equal(tensor, after[f"backbone.{name}"]), name
    with (own / "metrics.csv").open() as file:
        losses = [float(row["val/loss"]) for row in csv.DictReader(file)]
    assert min(losses) < losses[0]


def test_its_result_is_of_the_epoch_that_gives_the_maps_back_best(own: Path) -> None:
    result = json.loads((own / "result.json").read_text())
    with (own / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "train/loss", "val/acc", "val/loss"]
    assert result["monitor"] == "val/loss"
    assert result["best"]["epoch"] == int(min(rows, key=lambda row: float(row["val/loss"]))["epoch"])
    assert result["maps"] == {"shape": [8, 8, 8], "numbers": 512}
    assert result["code"] == {"shape": [2, 6, 6], "numbers": 72, "compression": 1 - 72 / 512, "bytes": 288}


def test_before_and_after_are_told_of_the_same_images(runs: Path, below: Path, own: Path) -> None:
    result, theirs = (json.loads((one / "result.json").read_text()) for one in (own, below))
    assert result["before"] == {key: theirs["best"][key] for key in ("val/acc", "test/acc")}
    reference = result["backbone"]
    assert reference == {"name": "crnn-bigru-1x3", "hash": theirs["hash"], "folder": str(below.relative_to(runs))}
    assert not {"backbone", "before", "code", "maps"} & theirs.keys()  # what others hold is as it was
    with np.load(own / "predictions.npz") as mine, np.load(below / "predictions.npz") as before:
        examples = {"examples_index", "examples_maps", "examples_rebuilt"}
        assert set(before) == set(mine) - {"val_before", "test_before"} - examples
        np.testing.assert_array_equal(mine["examples_index"], mine["test_index"][:8])
        model = hybridnets.load(own).model
        with torch.no_grad():
            rebuilt = model.decode(model.encode(torch.from_numpy(mine["examples_maps"])))
        np.testing.assert_allclose(mine["examples_rebuilt"], rebuilt, rtol=1e-4, atol=1e-5)
        for part in ("val", "test"):
            np.testing.assert_array_equal(mine[f"{part}_index"], before[f"{part}_index"])
            np.testing.assert_array_equal(mine[f"{part}_before"], before[f"{part}_class"])
            assert (mine[f"{part}_class"] == mine[f"{part}_label"]).mean() == result["best"][f"{part}/acc"]
            assert (mine[f"{part}_class"] != mine[f"{part}_before"]).any()


def test_maps_computed_once_are_those_of_every_epoch(
    below: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every epoch's loss, and nothing that is augmented is kept."""
    kept: list[bool] = []
    step = FeatureAutoencoder.training_step

    def noted(self: FeatureAutoencoder, batch: Any, number: int) -> torch.Tensor:
        kept.append(self._kept is not None)
        return step(self, batch, number)

    monkeypatch.setattr(FeatureAutoencoder, "training_step", noted)
    losses: list[list[float]] = []
    for memory, words in ((2**30, ()), (0, ()), (2**30, ("data.augment.flip=true",))):
        monkeypatch.setattr("hybridnets.models.feature_autoencoder.MEMORY", memory)
        out = tmp_path / str(len(losses))
        kept.clear()
        assert run(*OWN, f"backbone={below}", "trainer.max_epochs=3", *words, f"out={out}") == 0
        assert set(kept) == {memory > 0 and not words}
        with next(out.rglob("metrics.csv")).open() as file:
            losses.append([float(row[f"{part}/loss"]) for row in csv.DictReader(file) for part in ("train", "val")])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    assert not np.allclose(losses[0], losses[2], rtol=1e-3)


def test_it_needs_no_backbone_any_more(own: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(own, alone)
    predictor = hybridnets.load(alone)
    images = digits.load().test_images
    with np.load(own / "predictions.npz") as stored:
        expected = stored["test_probabilities"][np.argsort(stored["test_index"])]
    torch.testing.assert_close(predictor.predict(images), torch.from_numpy(expected))
    model = FeatureAutoencoder.load_from_checkpoint(alone / "checkpoints" / "last.ckpt", weights_only=True)
    assert type(model.backbone).__name__ == "CRNN"
    code = model.encode(torch.zeros(3, 8, 8, 8))
    assert code.shape == (3, 2, 6, 6)
    assert model.decode(code).shape == (3, 8, 8, 8)


def test_cut_short_in_mid_epoch_and_started_again_is_the_same_bit_for_bit(
    runs: Path, below: Path, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(below, tmp_path / below.relative_to(runs))
    step = FeatureAutoencoder.training_step

    def dies(self: FeatureAutoencoder, batch: Any, number: int) -> torch.Tensor:
        if self.trainer.current_epoch == 2 and number == 5:
            raise ValueError("cut short")
        return step(self, batch, number)

    monkeypatch.setattr(FeatureAutoencoder, "training_step", dies)
    with pytest.raises(SystemExit):
        run(*OWN, *STOPS, ON, f"out={tmp_path}")
    monkeypatch.undo()
    assert not (tmp_path / own.relative_to(runs) / "result.json").exists()
    assert run(*OWN, *STOPS, ON, f"out={tmp_path}") == 0
    again = tmp_path / own.relative_to(runs)
    assert len(json.loads((again / "provenance.json").read_text())["attempts"]) == 2
    for name in ("result.json", "metrics.csv", "predictions.npz"):
        assert (again / name).read_bytes() == (own / name).read_bytes(), name
    for name, tensor in weights(own).items():
        assert torch.equal(tensor, weights(again)[name]), name


@pytest.mark.parametrize("path", ["{}", "{}/checkpoints/best.ckpt"])
def test_a_folder_names_the_run_that_its_overrides_name(
    command: Callable[..., Said], runs: Path, below: Path, own: Path, path: str
) -> None:
    said = command(*OWN, *STOPS, f"backbone={path.format(below)}", f"out={runs}")
    assert (said.code, said.out) == (0, f"crnn-bigru-1x3+cae-2 seed=0 is finished already: see {own}\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["seed=1"], "on this run's val, but its seeds.split is 0 and this run's is 1"),
        (["data.train_fraction=0.6"], "but its data.train_fraction is 0.7 and this run's is 0.6"),
        (
            ["data.standardize.over=train"],
            "but its data.standardize is {'statistics': 'scalar', 'over': 'all'} and this run's is {",
        ),
        (["data.name=figures"], "but its data.name is digits and this run's is figures"),
        (["model.channels=50"], "model.channels must give a code of no more numbers than the 8 x 8 x 8 maps have, 512"),
    ],
)
def test_what_does_not_fit_its_backbone_is_refused(
    command: Callable[..., Said], below: Path, tmp_path: Path, words: list[str], sentence: str
) -> None:
    said = command(*OWN, f"backbone={below}", *words)
    assert said.code == 2
    assert sentence in said.err
    assert len(said.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_an_autoencoder_is_no_backbone(command: Callable[..., Said], own: Path) -> None:
    assert "must be a run without a backbone itself, got crnn-bigru-1x3+cae-2" in command(*OWN, f"backbone={own}").err


def test_other_batches_and_augmentation_than_the_backbones_will_do(
    composed: Callable[..., DictConfig], below: Path
) -> None:
    cfg = composed(*OWN, "data.batch_size=4", "data.augment.flip=true")
    cfg.backbone = str(below)
    assert check(cfg).run.name == "crnn-bigru-1x3+cae-2 seed=0"


def test_a_variant_is_one_over_the_seeds_that_it_shares_with_its_backbone(composed: Callable[..., DictConfig]) -> None:
    def on(seed: int, *below: str) -> ids.Identity:
        cfg = composed(*OWN, f"seed={seed}")
        cfg.backbone = composed("data=digits", "model=cnn", f"seed={seed}", *below)
        return check(cfg).run.identity

    assert ids.variant(on(0)) == ids.variant(on(1))
    assert ids.digest(on(0)) != ids.digest(on(1))
    assert ids.variant(on(0, "seeds.init=7")) != ids.variant(on(0))
    assert ids.variant(on(0, "optimizer.lr=1")) != ids.variant(on(0))
    cfg = composed("data=digits", "model=cnn", "seed=3")
    assert ids.backbone(on(3)) == check(cfg).run.identity
    assert ids.backbone(check(cfg).run.identity) is None


def test_a_sweep_asks_for_the_backbones_that_are_missing(
    command: Callable[..., Said], composed: Callable[..., DictConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked of the plan, which has everything built once as it is, with untrained backbones."""
    jobs: list[Any] = []

    def planned(configs: list[DictConfig]) -> list[Any]:
        jobs.extend(plan(configs))
        raise ValueError("planned")

    monkeypatch.setattr("hybridnets.config.plan", planned)
    sweep = ("model.kind=cae,sae", "backbone=[model=ecnn,trainer.max_epochs=1]", "seed=1,2", "trainer.accelerator=cpu")
    assert command("-m", *OWN, *sweep).err == "train.py: planned\n"
    assert [job.name for job in jobs] == [f"ecnn+{kind}-2 seed={seed}" for kind in ("cae", "sae") for seed in (1, 2)]
    for job in jobs:
        ((overrides, need),) = job.needs()
        (seed,) = {job.run.identity["seeds"]["split"]}
        assert list(overrides) == [
            *("data=digits", f"seed={seed}", "trainer.accelerator=cpu", "model=ecnn", "trainer.max_epochs=1")
        ]
        assert need.run.digest == check(composed(*overrides)).run.digest
        assert need.needs() == []
        assert job.replaces() == {"backbone": str(need.run.folder)}


def test_a_trial_of_the_whole_way_needs_nothing_trained(command: Callable[..., Said], tmp_path: Path) -> None:
    words = (*OWN, "backbone=[model=cnn,model.channels=[4,8]]", "trainer.fast_dev_run=true")
    assert command(*words).code == 0
    assert command("-m", *words, "dry_run=true").code == 0
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_configuration_file_may_name_the_backbone(command: Callable[..., Said], tmp_path: Path) -> None:
    lines = "defaults: [config, {override model: feature_autoencoder}, _self_]", "backbone: [model=cnn]"
    (tmp_path / "mine.yaml").write_text("\n".join(lines))
    said = command("-cd", str(tmp_path), "-cn", "mine", "data=digits")
    assert (
        "cnn seed=0 is not finished: train it first, by python train.py -cn mine hydra.mode=RUN data=digits backbone=null"
        in said.err
    )


def few() -> ImageDataset:
    """Twelve images to train on, four to validate, eight to test: three steps of the paper's batches of four."""
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
    """Three steps each, by the sweep's file; with HYBRIDNETS_LONG=1 at 224x224, minutes and 3 GB on the disk."""
    small = (
        "data=digits",
        "data.name=few",
        f"data.dataset._target_={__name__}.few",
        "data.train_fraction=0.75",
        "seed=0",
    )
    backbone = (
        f"backbone=[model=vgg16,optimizer.lr=1e-5,trainer.max_epochs=1,model.image_size={size},model.dense={dense}]"
    )
    words = ("-cn", "compression_paper", *small, backbone, "trainer.max_epochs=1", "trainer.accelerator=cpu")
    said = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    assert "2 jobs: 2 finished (1 added: needed by others)" in said.stdout
    below, own = (
        json.loads(next(tmp_path.glob(f"runs/few/{name}/*/result.json")).read_text()) for name in ("vgg16", "*+*")
    )
    assert (own["code"]["shape"], own["code"]["compression"]) == (shape, pytest.approx(rate))
    assert own["before"] == {key: below["best"][key] for key in ("val/acc", "test/acc")}


def test_a_backbone_with_weights_of_another_run_is_refused(
    command: Callable[..., Said], below: Path, tmp_path: Path
) -> None:
    swapped = tmp_path / "swapped"
    shutil.copytree(below, swapped)
    checkpoint = torch.load(swapped / "checkpoints" / "best.ckpt", weights_only=True)
    next(iter(checkpoint["state_dict"].values()))[0] += 1
    torch.save(checkpoint, swapped / "checkpoints" / "best.ckpt")
    said = command(*OWN, f"backbone={swapped}", "out=new")
    assert (said.code, len(said.err.splitlines())) == (2, 1)
    assert "backbone must be a complete run" in said.err
    assert "weights that its result was measured with, and holds others; delete that folder to train it" in said.err
    (swapped / "checkpoints" / "best.ckpt").write_bytes(b"damaged")
    said = command(*OWN, f"backbone={swapped}", "out=new")
    assert (said.code, len(said.err.splitlines())) == (2, 1)
    assert "must hold a run whose model can be loaded" in said.err


def test_a_backbone_without_its_weights_is_refused_once_something_is_trained_on_it(
    command: Callable[..., Said], runs: Path, below: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    pack([below, folder(runs, "*+*")], [runs], tmp_path / "e.npz")
    assert Archive(tmp_path / "e.npz").unpack(out).new == 2
    there = out / below.relative_to(runs)
    for backbone in (ON, f"backbone={there}"):
        said = command(*OWN, *STOPS, backbone, f"out={out}")
        assert (said.code, said.err) == (0, ""), backbone
        assert "is finished already" in said.out
        said = command(*OWN, *STOPS, backbone, f"out={out}", "model.channels=3")
        assert (said.code, len(said.err.splitlines())) == (2, 1), backbone
        assert (
            f"backbone must be a complete run: the weights of {there} are not here, as an archive of runs" in said.err
        )


def test_a_damaged_backbone_of_one_seed_stops_no_other(
    command: Callable[..., Said], runs: Path, below: Path, tmp_path: Path
) -> None:
    shutil.copytree(below, tmp_path / below.relative_to(runs))
    (tmp_path / below.relative_to(runs) / "checkpoints" / "best.ckpt").write_bytes(b"damaged")
    said = command("-m", *OWN, ON, "seed=1,2", f"out={tmp_path}", "dry_run=true", "data.augment.crop=2")
    assert said.code == 0, said.err
    assert "4 jobs: 4 would run, 0 there already (2 added: needed by others)" in said.out
    assert not list(tmp_path.glob("sweeps/*"))  # a sweep is written down when it starts


def test_a_sweep_over_nothing_is_one_sentence(command: Callable[..., Said]) -> None:
    said = command("-m", *OWN, "backbone=glob(nothing*)")
    assert (said.code, len(said.err.splitlines())) == (2, 1)
    assert "does a glob() match nothing?" in said.err
