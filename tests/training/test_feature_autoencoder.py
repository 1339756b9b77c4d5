"""Runs of feature autoencoders: what they take from their backbone, what stays unchanged, and what they store."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

import hybridnets
from hybridnets.cli import train
from hybridnets.config import resolve
from hybridnets.data import digits
from hybridnets.models import FeatureAutoencoder
from hybridnets.runs.archive import Archive, pack
from tests.conftest import ROOT, Said

# The backbone has a recurrent layer and dropout, because both must stay in evaluation mode. The autoencoder stops early, after
# four epochs under any rounding of sums, because no loss is better than the first by min_delta.
BACKBONE = (
    *("model=crnn", "rnn=bigru", "nodes=3", "model.sequence=positions", "model.channels=[4,8]", "model.dropout=0.3"),
    *("recipe=cifar10", "model.batch_norm_momentum=0.9", "trainer.max_epochs=2", "optimizer.lr=1e-2"),
)
ON_BACKBONE = f"backbone=[{','.join(BACKBONE)}]"
AUTOENCODER = (
    *("data=digits", "model=feature_autoencoder", "model.channels=2", "trainer.max_epochs=5"),
    *("recipe=cifar10", "optimizer.lr=0.03"),
)
STOPS = (
    *("callbacks.early_stopping.patience=3", "+callbacks.early_stopping.min_delta=1000", "scheduler.patience=0"),
    "data.augment.crop=2",
)


def run(*words: str) -> int:
    GlobalHydra.instance().clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYDRA_FULL_ERROR", "0")
        patch.setattr("sys.argv", [str(ROOT / "train.py"), *words])
        return train.main()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished backbone and of an autoencoder that uses it."""
    out = tmp_path_factory.mktemp("runs")
    assert run("data=digits", *BACKBONE, "data.augment.crop=2", f"out={out}") == 0
    assert run(*AUTOENCODER, *STOPS, ON_BACKBONE, f"out={out}") == 0
    return out


def folder(runs: Path, name: str) -> Path:
    (path,) = runs.glob(f"digits/{name}/seed=0-*")
    return path


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]  # type: ignore[no-any-return]


@pytest.fixture
def backbone_run(runs: Path) -> Path:
    return folder(runs, "crnn-bigru-1x3")


@pytest.fixture
def autoencoder_run(runs: Path) -> Path:
    return folder(runs, "crnn-bigru-1x3+cae-2")


def test_no_bit_of_the_backbone_changes_and_the_autoencoder_learns(backbone_run: Path, autoencoder_run: Path) -> None:
    before, after = weights(backbone_run), weights(autoencoder_run)
    assert {name.removeprefix("backbone.") for name in after if name.startswith("backbone.")} == set(before)
    assert "cnn.2.running_mean" in before
    for name, tensor in before.items():
        assert torch.equal(tensor, after[f"backbone.{name}"]), name
    with (autoencoder_run / "metrics.csv").open() as file:
        losses = [float(row["val/loss"]) for row in csv.DictReader(file)]
    assert min(losses) < losses[0]


def test_the_best_epoch_is_the_one_with_the_lowest_loss_on_val(autoencoder_run: Path) -> None:
    result = json.loads((autoencoder_run / "result.json").read_text())
    with (autoencoder_run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "train/loss", "val/acc", "val/loss"]
    assert result["monitor"] == "val/loss"
    assert result["best"]["epoch"] == int(min(rows, key=lambda row: float(row["val/loss"]))["epoch"])
    assert result["maps"] == {"shape": [8, 8, 8], "numbers": 512}
    assert result["code"] == {"shape": [2, 6, 6], "numbers": 72, "compression": 1 - 72 / 512, "bytes": 288}


def test_accuracy_before_and_after_is_measured_on_the_same_images(
    runs: Path, backbone_run: Path, autoencoder_run: Path
) -> None:
    result, backbone_result = (json.loads((run / "result.json").read_text()) for run in (autoencoder_run, backbone_run))
    assert result["before"] == {key: backbone_result["best"][key] for key in ("val/acc", "test/acc")}
    reference = result["backbone"]
    assert reference == {
        "name": "crnn-bigru-1x3",
        "hash": backbone_result["hash"],
        "folder": str(backbone_run.relative_to(runs)),
    }
    assert not {"backbone", "before", "code", "maps"} & backbone_result.keys()  # other models do not have these
    with np.load(autoencoder_run / "predictions.npz") as after, np.load(backbone_run / "predictions.npz") as before:
        examples = {"examples_index", "examples_maps", "examples_rebuilt"}
        assert set(before) == set(after) - {"val_before", "test_before"} - examples
        np.testing.assert_array_equal(after["examples_index"], after["test_index"][:8])
        model: Any = hybridnets.load(autoencoder_run).model
        with torch.no_grad():
            rebuilt = model.decode(model.encode(torch.from_numpy(after["examples_maps"])))
        np.testing.assert_allclose(after["examples_rebuilt"], rebuilt, rtol=1e-4, atol=1e-5)
        for part in ("val", "test"):
            np.testing.assert_array_equal(after[f"{part}_index"], before[f"{part}_index"])
            np.testing.assert_array_equal(after[f"{part}_before"], before[f"{part}_class"])
            assert (after[f"{part}_class"] == after[f"{part}_label"]).mean() == result["best"][f"{part}/acc"]
            assert (after[f"{part}_class"] != after[f"{part}_before"]).any()


def test_cached_maps_are_those_of_every_epoch(
    backbone_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses of all epochs are equal with and without the cache; maps of augmented images are not cached."""
    cached: list[bool] = []
    step = FeatureAutoencoder.training_step

    def recorded(self: FeatureAutoencoder, batch: Any, number: int) -> torch.Tensor:
        cached.append(self.map_cache.lookup(batch[2]) is not None)
        return step(self, batch, number)

    monkeypatch.setattr(FeatureAutoencoder, "training_step", recorded)
    losses: list[list[float]] = []
    for memory, words in ((2**30, ()), (0, ()), (2**30, ("data.augment.flip=true",))):
        monkeypatch.setattr("hybridnets.models.map_cache.MAX_BYTES", memory)
        out = tmp_path / str(len(losses))
        cached.clear()
        assert run(*AUTOENCODER, f"backbone={backbone_run}", "trainer.max_epochs=3", *words, f"out={out}") == 0
        assert set(cached) == {memory > 0 and not words}
        with next(out.rglob("metrics.csv")).open() as file:
            losses.append([float(row[f"{part}/loss"]) for row in csv.DictReader(file) for part in ("train", "val")])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    assert not np.allclose(losses[0], losses[2], rtol=1e-3)


def test_a_finished_autoencoder_loads_without_its_backbone(autoencoder_run: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(autoencoder_run, alone)
    predictor = hybridnets.load(alone)
    images = digits.load().test_images
    with np.load(autoencoder_run / "predictions.npz") as stored:
        expected = stored["test_probabilities"][np.argsort(stored["test_index"])]
    torch.testing.assert_close(predictor.predict(images), torch.from_numpy(expected))
    model = FeatureAutoencoder.load_from_checkpoint(alone / "checkpoints" / "last.ckpt", weights_only=True)
    assert type(model.backbone).__name__ == "CRNN"
    code = model.encode(torch.zeros(3, 8, 8, 8))
    assert code.shape == (3, 2, 6, 6)
    assert model.decode(code).shape == (3, 8, 8, 8)


@pytest.mark.parametrize("crop", [2, 0], ids=["augmented", "cached"])
def test_a_run_resumed_in_mid_epoch_is_equal_bit_for_bit(
    backbone_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crop: int
) -> None:
    words = (*AUTOENCODER, *STOPS, f"data.augment.crop={crop}", f"backbone={backbone_run}")
    assert run(*words, f"out={tmp_path / 'complete'}") == 0
    complete = folder(tmp_path / "complete", "*+*")
    step = FeatureAutoencoder.training_step

    def dies(self: FeatureAutoencoder, batch: Any, number: int) -> torch.Tensor:
        assert (self.map_cache.lookup(batch[2]) is None) == (crop > 0)
        if self.trainer.current_epoch == 2 and number == 5:
            raise ValueError("cut short")
        return step(self, batch, number)

    monkeypatch.setattr(FeatureAutoencoder, "training_step", dies)
    with pytest.raises(SystemExit):
        run(*words, f"out={tmp_path / 'resumed'}")
    monkeypatch.undo()
    resumed = folder(tmp_path / "resumed", "*+*")
    assert not (resumed / "result.json").exists()
    assert run(*words, f"out={tmp_path / 'resumed'}") == 0
    assert len(json.loads((resumed / "provenance.json").read_text())["attempts"]) == 2
    for name in ("result.json", "metrics.csv", "predictions.npz"):
        assert (resumed / name).read_bytes() == (complete / name).read_bytes(), name
    for name, tensor in weights(complete).items():
        assert torch.equal(tensor, weights(resumed)[name]), name


@pytest.mark.parametrize("path", ["{}", "{}/checkpoints/best.ckpt"])
def test_a_folder_names_the_run_that_its_overrides_name(
    command: Callable[..., Said], runs: Path, backbone_run: Path, autoencoder_run: Path, path: str
) -> None:
    output = command(*AUTOENCODER, *STOPS, f"backbone={path.format(backbone_run)}", f"out={runs}")
    assert (output.code, output.out) == (0, f"crnn-bigru-1x3+cae-2 seed=0 is finished already: see {autoencoder_run}\n")


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
        (
            ["model.channels=50"],
            "model.channels must give a code no larger than the 8 x 8 x 8 maps, 512 values, got 50",
        ),
    ],
)
def test_a_configuration_that_does_not_fit_its_backbone_is_refused(
    command: Callable[..., Said], backbone_run: Path, tmp_path: Path, words: list[str], sentence: str
) -> None:
    output = command(*AUTOENCODER, f"backbone={backbone_run}", *words)
    assert output.code == 2
    assert sentence in output.err
    assert len(output.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_an_autoencoder_is_no_backbone(command: Callable[..., Said], autoencoder_run: Path) -> None:
    output = command(*AUTOENCODER, f"backbone={autoencoder_run}")
    assert "must be a run without a backbone itself, got crnn-bigru-1x3+cae-2" in output.err


def test_batch_size_and_augmentation_may_differ_from_the_backbones(
    composed: Callable[..., DictConfig], backbone_run: Path
) -> None:
    cfg = composed(*AUTOENCODER, "data.batch_size=4", "data.augment.flip=true")
    cfg.backbone = str(backbone_run)
    assert resolve(cfg).run.name == "crnn-bigru-1x3+cae-2 seed=0"


def test_a_backbone_with_weights_of_another_run_is_refused(
    command: Callable[..., Said], backbone_run: Path, tmp_path: Path
) -> None:
    swapped = tmp_path / "swapped"
    shutil.copytree(backbone_run, swapped)
    checkpoint = torch.load(swapped / "checkpoints" / "best.ckpt", weights_only=True)
    next(iter(checkpoint["state_dict"].values()))[0] += 1
    torch.save(checkpoint, swapped / "checkpoints" / "best.ckpt")
    output = command(*AUTOENCODER, f"backbone={swapped}", "out=new")
    assert (output.code, len(output.err.splitlines())) == (2, 1)
    assert "backbone must be a complete run" in output.err
    assert "those that its result was measured with, but differ from them; delete that folder to train it" in output.err
    (swapped / "checkpoints" / "best.ckpt").write_bytes(b"damaged")
    output = command(*AUTOENCODER, f"backbone={swapped}", "out=new")
    assert (output.code, len(output.err.splitlines())) == (2, 1)
    assert "must hold a run whose model can be loaded" in output.err


def test_a_backbone_without_its_weights_is_refused_only_for_new_runs(
    command: Callable[..., Said], runs: Path, backbone_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    pack([backbone_run, folder(runs, "*+*")], [runs], tmp_path / "e.npz")
    assert Archive(tmp_path / "e.npz").unpack(out).new == 2
    unpacked = out / backbone_run.relative_to(runs)
    for backbone in (ON_BACKBONE, f"backbone={unpacked}"):
        output = command(*AUTOENCODER, *STOPS, backbone, f"out={out}")
        assert (output.code, output.err) == (0, ""), backbone
        assert "is finished already" in output.out
        output = command(*AUTOENCODER, *STOPS, backbone, f"out={out}", "model.channels=3")
        assert (output.code, len(output.err.splitlines())) == (2, 1), backbone
        assert (
            f"backbone must be a complete run: the weights of {unpacked} are missing, as archives of runs" in output.err
        )


def test_a_damaged_backbone_of_one_seed_does_not_stop_the_others(
    command: Callable[..., Said], runs: Path, backbone_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(backbone_run, tmp_path / backbone_run.relative_to(runs))
    (tmp_path / backbone_run.relative_to(runs) / "checkpoints" / "best.ckpt").write_bytes(b"damaged")
    dry_run = (f"out={tmp_path}", "dry_run=true")
    output = command("-m", *AUTOENCODER, ON_BACKBONE, "seed=1,2", *dry_run, "data.augment.crop=2")
    assert output.code == 0, output.err
    assert "4 jobs: 4 would run, 0 already done (2 added: needed by others)" in output.out
    assert not list(tmp_path.glob("sweeps/*"))  # a dry run writes no manifest
