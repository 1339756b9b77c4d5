"""data=folder from the command line: the same runs as other data sets of the same content, and reports with its pictures."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hybridnets.cli import report
from hybridnets.config import dataset
from hybridnets.data import cifar10, digits
from hybridnets.data.dataset import ImageDataset
from hybridnets.data.folder import load
from tests.conftest import ROOT, SMALL, Said

FEW = ("model=cnn", "model.channels=[4,4,4,8]", "trainer.max_epochs=1", "trainer.limit_train_batches=5")
IS_LONG = os.environ.get("HYBRIDNETS_LONG") == "1"


def save_as_folder(data: ImageDataset, root: Path) -> None:
    """Writes a data set as train/CLASS/*.png and test/CLASS/*.png, in an order of its own."""
    for part in ("train", "test"):
        images, labels = getattr(data, f"{part}_images"), getattr(data, f"{part}_labels")
        for name in data.classes:
            (root / part / name).mkdir(parents=True)
        for place, i in enumerate(np.random.default_rng(0).permutation(len(images))):
            picture = Image.fromarray(images[i].transpose(1, 2, 0))
            picture.save(root / part / data.classes[labels[i]] / f"{place}.png", compress_level=1)


def saved_photos(root: Path, n: int = 8) -> Path:
    rng = np.random.default_rng(0)
    for name, brightness in (("bright", 128), ("dark", 0)):
        (root / name).mkdir(parents=True)
        for i in range(n):
            pixels = rng.integers(0, 128, (20 + i, 30, 3), dtype=np.uint8) + np.uint8(brightness)
            Image.fromarray(pixels).save(root / name / f"{i}.jpg")
    return root


def results(out: Path) -> dict[str, bytes]:
    """The files of the runs that follow from their identity alone, by their paths."""
    names = ("result.json", "metrics.csv", "predictions.npz")
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.name in names}


def test_the_digits_as_pictures_give_the_same_run(command: Callable[..., Said], tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    save_as_folder(digits.load(), tmp_path / "pictures")
    words = ("model=cnn", *SMALL[1:], "seed=3", "trainer.limit_train_batches=5")
    assert command("data=digits", "out=first", *words).code == 0
    folder = ("data=folder", "data.name=digits", "data.root=pictures", "data.image_size=32")
    said = command(*folder, "out=second", *words)
    assert said.code == 0, said.err
    first, second = (results(tmp_path / name) for name in ("first", "second"))
    assert len(first) == 3
    assert first == second
    said = command(*folder, "out=first", "data.cache=elsewhere", "data.test_share=0.5", *words)
    assert "is finished already" in said.out  # the keys that load the data are no part of the identity


@pytest.mark.skipif(
    "HYBRIDNETS_DATA" not in os.environ or not IS_LONG, reason="HYBRIDNETS_DATA and HYBRIDNETS_LONG=1 are not set"
)
def test_cifar10_as_pictures_gives_the_same_run(command: Callable[..., Said], tmp_path: Path) -> None:
    data = cifar10.load(os.environ["HYBRIDNETS_DATA"])
    save_as_folder(data, tmp_path / "pictures")
    words = ("model=cnn", "recipe=cifar10", "trainer.max_epochs=2", "trainer.limit_train_batches=50", "seed=1")
    folder = ("data=folder", "data.name=cifar10", "data.root=pictures", "data.image_size=32", "out=second")
    said = command(*folder, *words)
    assert said.code == 0, said.err
    assert load("pictures", 32, cache="second/cache", here_only=True).sha256 == data.sha256
    assert command("data=cifar10", "out=first", *words).code == 0
    first, second = (results(tmp_path / name) for name in ("first", "second"))
    assert len(first) == 3
    assert first == second


@pytest.mark.parametrize("name", ["사진 모음", "İğdır Işıklar", "a name = with, everything"])  # noqa: RUF001
def test_a_folder_may_have_any_name(
    name: str, command: Callable[..., Said], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    saved_photos(tmp_path / name)
    said = command("data=folder", f"data.root='{name}'", "data.image_size=[16,24]", "data.batch_size=4", *FEW)
    assert said.code == 0, said.err
    assert "16 images decoded into runs/cache/images-" in caplog.text
    (result,) = tmp_path.glob("runs/folder/cnn/*/result.json")
    assert "bright" in result.read_text()
    moved = Path(shutil.move(tmp_path / name, tmp_path / "moved"))
    said = command("data=folder", f"data.root={moved}", "data.image_size=[16,24]", "data.batch_size=4", *FEW)
    assert "is finished already" in said.out


@pytest.mark.parametrize("root", ["a=b c", "한글 = 1", "~/pictures=1 of 2"])
def test_a_path_needs_no_quotes(
    root: str, command: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    saved_photos(tmp_path / root.replace("~", "home"))
    said = command("data=folder", f"data.root={root}", "data.image_size=16", "data.batch_size=4", "dry_run=true", *FEW)
    assert said.code == 0, said.err
    assert "would run" in said.out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "data.root must name a folder, as data.root=PATH, got nothing"),
        (("data.root=none",), "none does not exist"),
        (("data.root=photos",), "data.image_size must be the height and width of all images"),
        (("data.root=photos", "data.image_size=16", "data.resize=zoom"), "data.resize must be crop, pad or stretch"),
        (("data.root=photos", "data.image_size=16", "data.cache=photos/dark"), "data.cache must not lie in"),
    ],
)
def test_slips_are_one_sentence(
    words: tuple[str, ...], sentence: str, command: Callable[..., Said], tmp_path: Path
) -> None:
    saved_photos(tmp_path / "photos")
    said = command("data=folder", *words, *FEW)
    assert said.code == 2
    assert sentence in said.err.splitlines()[-1]
    assert "Traceback" not in said.err


def test_a_sweep_decodes_once_and_its_report_shows_the_pictures(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    saved_photos(tmp_path / "photos", 20)
    words = ("data=folder", "data.root=photos", "data.image_size=32", "data.batch_size=4", *FEW[1:], "model=cnn,ecnn")
    sweep = [sys.executable, str(ROOT / "train.py"), "-m", *words, "hydra.launcher.jobs=2"]  # jobs are processes
    said = subprocess.run(sweep, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    assert said.stderr.count("40 images decoded into runs/cache/images-") == 1
    assert len(results(tmp_path / "runs" / "folder")) == 6
    assert report.main(["report", "runs/folder"]) == 0
    assert "no images" not in capfd.readouterr().err
    assert list(Path("runs/folder/report").rglob("*gallery*.png"))
    shutil.rmtree(tmp_path / "runs" / "cache")
    dataset._load.cache_clear()  # as in another process
    assert report.main(["report", "runs/folder"]) == 0
    assert "no images of folder are shown (the pictures in " in capfd.readouterr().err
    assert not (tmp_path / "runs" / "cache").exists()
