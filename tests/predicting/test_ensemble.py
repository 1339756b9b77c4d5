"""Networks predict pictures of any kind, alone and as the mean of a variant's seeds."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import hybridnets
from hybridnets.data.dataset import ImageDataset
from hybridnets.data.decoding import Form, decode
from hybridnets.predicting import Ensemble, Predictor
from hybridnets.runs.members import Members, members
from tests.predicting.test_codes import CNN, IMAGES, folder, run

CLASSES = ("고양이", "köpek", "a = b")
PETS = ("data=digits", "data.name=pets", f"data.dataset._target_={__name__}.pets", "data.batch_size=8")


def pets() -> ImageDataset:
    """48 images of noise that were padded."""
    images = np.random.default_rng(0).integers(0, 256, size=(48, 3, 16, 16), dtype=np.uint8)
    labels = np.arange(48, dtype=np.int64) % 3
    return ImageDataset(images[:40], labels[:40], images[40:], labels[40:], CLASSES, resize="pad")


@pytest.fixture(scope="module")
def variant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    for seed in (0, 10, 2):
        run(*PETS, *CNN, f"seed={seed}", f"out={out}")
    return out / "pets" / "cnn"


@pytest.fixture(scope="module")
def predictor(variant: Path) -> Predictor:
    return hybridnets.load(folder(variant.parent, "cnn"))


def test_pictures_are_brought_to_the_runs_form(predictor: Predictor, tmp_path: Path) -> None:
    assert (predictor.resize, predictor.form) == ("pad", Form(3, 16, 16, "pad"))
    wide = Image.fromarray(IMAGES[0].transpose(1, 2, 0)).resize((40, 20))
    wide.save(tmp_path / "w = ide 사진.png")
    wide.convert("LA").save(tmp_path / "grey.webp", lossless=True)
    paths: list[str | Path] = [str(tmp_path / "w = ide 사진.png"), tmp_path / "grey.webp"]
    pixels = np.stack([decode(Path(path), Form(3, 16, 16, "pad")) for path in paths])
    expected = predictor.predict(pixels)
    assert expected.shape == (2, 3)
    torch.testing.assert_close(predictor.predict(paths), expected)
    torch.testing.assert_close(predictor.predict((*paths,)), expected)
    torch.testing.assert_close(predictor.predict(paths[0]), expected[:1])
    torch.testing.assert_close(predictor.predict(wide), expected[:1])
    torch.testing.assert_close(predictor.predict([wide, Image.open(paths[1])]), expected)


def test_batches_do_not_change_the_probabilities(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = predictor.predict(IMAGES)
    torch.testing.assert_close(expected, torch.cat([predictor.probabilities(torch.from_numpy(IMAGES))]))
    monkeypatch.setattr("hybridnets.predicting.predictor.EVALUATION_BATCH_SIZE", 7)
    pictures = [Image.fromarray(image.transpose(1, 2, 0)) for image in IMAGES]
    for images in (IMAGES, IMAGES.transpose(0, 2, 3, 1), torch.from_numpy(IMAGES), list(IMAGES), pictures):
        torch.testing.assert_close(predictor.predict(images), expected)
    assert [len(batch) for batch in predictor.batches(pictures)] == [7] * 5 + [5]
    assert predictor.predict(IMAGES[:0]).shape == (0, 3)


def test_pictures_that_cannot_be_read_are_named(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("text")
    good = Image.new("L", (9, 9))
    for images, sentence in (
        (tmp_path / "none.png", r"none\.png cannot be used: No such file or directory"),
        (
            [good, tmp_path / "text.png", "none.png"],
            r"2 files cannot be used: .*text\.png \(it is not a PNG.*none\.png \(No",
        ),
        ([good, Image.new("F", (9, 9))], "image 1 cannot be used: its pixels have 32 bits"),
        ([], "images must hold at least one picture, got none"),
        (IMAGES[:, :, :9], r"images must be uint8 of shape \(B, 3, 16, 16\) or \(B, 16, 16, 3\), got uint8 of"),
    ):
        with pytest.raises(ValueError, match=sentence):
            predictor.predict(images)  # type: ignore[arg-type]


def test_an_ensemble_averages_over_the_seeds(variant: Path, predictor: Predictor, tmp_path: Path) -> None:
    runs = members(variant).folders
    assert [path.name.partition("-")[0] for path in runs] == ["seed=0", "seed=2", "seed=10"]
    assert members(runs[1]) == members(variant) == Members(runs, {})
    expected = torch.stack([hybridnets.load(path).predict(IMAGES) for path in runs]).mean(dim=0)
    for where in (variant, runs[2], str(runs[0])):
        ensemble = hybridnets.load(where, ensemble=True)
        assert isinstance(ensemble, Ensemble)
        torch.testing.assert_close(ensemble.predict(IMAGES), expected)
    assert (ensemble.seeds, ensemble.name) == (("0", "2", "10"), "cnn, mean of 3 seeds")
    assert (ensemble.classes, ensemble.image_shape, ensemble.form) == (CLASSES, (3, 16, 16), predictor.form)
    Image.fromarray(IMAGES[3].transpose(1, 2, 0)).save(tmp_path / "3.png")
    torch.testing.assert_close(ensemble.predict([tmp_path / "3.png"]), expected[3:4])


def test_an_ensemble_is_of_one_variant_with_all_its_weights(variant: Path, tmp_path: Path) -> None:
    copy = tmp_path / "pets" / "cnn"
    shutil.copytree(variant, copy)
    first, second, third = members(copy).folders
    with pytest.raises(ValueError, match=r"the folder of a run or of a variant, got .*none, which does not exist"):
        members(tmp_path / "none")
    with pytest.raises(ValueError, match=r"an ensemble needs at least 2 finished runs of one variant, and .* has 0"):
        members(tmp_path)

    result = json.loads((third / "result.json").read_text())
    for key, value, what in (("sha256", "0" * 64, "their data"), ("batch_size", 9, "their settings")):
        changed = json.loads(json.dumps(result))
        changed["identity"]["data"][key] = value
        changed["hash"] = hybridnets.runs.identities.hash_of(changed["identity"])
        (third / "result.json").write_text(json.dumps(changed))
        with pytest.raises(
            ValueError, match=f"an ensemble needs runs of one variant, and .*cnn has runs of .*{what}: name"
        ):
            members(copy)
        assert members(first).folders == (first, second)  # the run says which variant is meant
        with pytest.raises(ValueError, match="has 1: train more seeds"):
            members(third)
    (third / "result.json").unlink()
    assert members(copy).folders == (first, second)  # an unfinished run does not count
    (second / "checkpoints" / "best.ckpt").unlink()
    with pytest.raises(ValueError, match=r"the weights of .*seed=2.* are missing"):
        members(copy)


def test_a_run_that_diverged_or_cannot_be_read_is_left_out(variant: Path, tmp_path: Path) -> None:
    copy = tmp_path / "pets" / "cnn"
    shutil.copytree(variant, copy)
    first, second, third = members(copy).folders
    expected = torch.stack([hybridnets.load(path).predict(IMAGES) for path in (first, second)]).mean(dim=0)
    result = json.loads((third / "result.json").read_text())
    result["last"]["train/loss"] = None  # as NaN is stored
    (third / "result.json").write_text(json.dumps(result))
    broken = copy / "seed=3-other"  # whose variant nobody knows
    broken.mkdir()
    (broken / "result.json").write_text("{")
    left_out = {third: "diverged", broken: "its result.json cannot be read"}
    for where in (copy, first, third):
        assert members(where) == Members((first, second), left_out)
        torch.testing.assert_close(hybridnets.load(where, ensemble=True).predict(IMAGES), expected)
    (second / "result.json").write_text("[]")
    with pytest.raises(
        ValueError,
        match=r"has 1 without seed=2\S* \(its result.json cannot be read\), .*\(diverged\): train more seeds",
    ):
        members(copy)


def test_networks_of_other_classes_do_not_predict_together(predictor: Predictor, variant: Path) -> None:
    other = hybridnets.load(members(variant).folders[1])
    other.classes = ("x", "y", "z")
    with pytest.raises(ValueError, match="of the same classes and shape of images, got cnn seed=0 and cnn seed=2"):
        Ensemble([predictor, other])
