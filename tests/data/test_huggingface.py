"""Data sets in the formats of Hugging Face: local ones, because tests have no network."""

import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hybridnets.data import decoding, huggingface
from hybridnets.data.dataset import DataError, ImageDataset, canonical, canonical_pool

datasets = pytest.importorskip("datasets", reason="datasets is not installed")

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, size=(40, 6, 8, 3), dtype=np.uint8)  # (N, H, W, C)
LABELS = np.arange(40) % 3
NAMES = ("cat", "dog", "eel")
BORDERS = {"train": (0, 24), "validation": (24, 30), "test": (30, 40)}


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches of its own, no network, and no bars."""
    import huggingface_hub.constants

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def png(pixels: Any) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def images(start: int, stop: int) -> list[dict[str, Any]]:
    return [{"bytes": png(pixels), "path": None} for pixels in PIXELS[start:stop]]


def part(start: int, stop: int, label: Any = None, pixels: Any = PIXELS, columns: Any = MappingProxyType({})) -> Any:
    """One part, with another type of labels, other pixels or other values of columns."""
    features = datasets.Features({"img": datasets.Image(), "label": label or datasets.ClassLabel(names=list(NAMES))})
    rows = {"img": [{"bytes": png(p), "path": None} for p in pixels[start:stop]], "label": LABELS[start:stop].tolist()}
    return datasets.Dataset.from_dict({**rows, **columns}, features=features)


def parts(**changes: Any) -> dict[str, Any]:
    made = {name: part(*borders) for name, borders in BORDERS.items()} | changes
    return {name: dataset for name, dataset in made.items() if dataset is not None}


@pytest.fixture
def parquet(tmp_path: Path) -> Callable[..., str]:
    """A folder as the hub has them."""

    def write(made: dict[str, Any]) -> str:
        folder = tmp_path / "a set"
        for name, dataset in made.items():
            dataset.to_parquet(folder / "data" / f"{name}-00000-of-00001.parquet")
        return str(folder)

    return write


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., str]:
    """A folder that save_to_disk wrote."""

    def write(made: dict[str, Any]) -> str:
        datasets.DatasetDict(made).save_to_disk(tmp_path / "saved")
        return str(tmp_path / "saved")

    return write


def expected(pixels: Any = PIXELS, classes: tuple[str, ...] = NAMES) -> ImageDataset:
    images = pixels.transpose(0, 3, 1, 2)
    pool, labels, val = canonical_pool(images[:24], LABELS[:24], images[24:30], LABELS[24:30])
    return ImageDataset(pool, labels, *canonical(images[30:], LABELS[30:]), classes, val=val)


def sentence(call: Callable[[], object]) -> str:
    with pytest.raises(DataError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_parquet_and_save_to_disk_are_the_same_data(parquet: Callable[..., str], saved: Callable[..., str]) -> None:
    first = huggingface.load(parquet(parts()), image="img", label="label")
    second = huggingface.load(saved(parts()))  # whose columns are the only ones of their kind
    assert first.sha256 == second.sha256 == expected().sha256
    assert first.val is not None
    assert (len(first.val), first.classes, first.resize) == (6, NAMES, "crop")


def test_what_was_downloaded_once_needs_no_network(
    parquet: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = Path(parquet(parts())).rename(tmp_path / "pets")
    huggingface.load(str(source), image="img")
    (folder,) = (path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    (configuration,) = (path for path in folder.iterdir() if path.is_dir())
    configuration.rename(configuration.with_name("default"))
    folder.rename(folder.with_name("somebody___pets"))  # as one of the hub is kept
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    level = datasets.logging.get_verbosity()
    assert huggingface.load("somebody/pets", image="img", here_only=True).sha256 == expected().sha256
    assert not caplog.records
    assert datasets.logging.get_verbosity() == level
    assert datasets.config.HF_HUB_OFFLINE is False


def test_parts_may_have_other_names(saved: Callable[..., str]) -> None:
    path = saved({"fit": part(0, 24), "held": part(24, 30), "final": part(30, 40)})
    own = huggingface.load(path, train_split="fit", val_split="held", test_split="final")
    assert own.sha256 == expected().sha256
    none = huggingface.load(path, train_split="fit", test_split="final")
    assert (none.val, len(none.train_labels)) == (None, 24)
    # A validation part that is the test part is no validation part.
    other = saved(parts(test=None))
    without = huggingface.load(other, test_split="validation")
    assert (without.val, len(without.train_labels), len(without.test_labels)) == (None, 24, 6)


def test_images_are_brought_to_one_form(saved: Callable[..., str]) -> None:
    path = saved(parts())
    grey = huggingface.load(path, channels=1)
    assert grey.train_images.shape == (30, 1, 6, 8)
    small = huggingface.load(path, image_size=[3, 4], resize="stretch")
    assert (small.train_images.shape, small.resize) == ((30, 3, 3, 4), "stretch")
    assert huggingface.load(path, image_size=5).test_images.shape == (10, 3, 5, 5)
    odd = PIXELS[:24, :, :7]
    path = saved(parts(train=part(0, 24, pixels=[*PIXELS[:9], *odd[9:]])))
    message = sentence(lambda: huggingface.load(path))
    assert "image 9 in train of " in message
    assert "has (6, 7) pixels and others have (6, 8): data.image_size=64" in message
    assert huggingface.load(path, image_size=[6, 8]).train_images.shape == (30, 3, 6, 8)


def test_an_image_that_a_camera_turned_has_its_size_as_it_is_seen(saved: Callable[..., str]) -> None:
    picture = Image.fromarray(PIXELS[0].transpose(1, 0, 2))  # (8, 6): on its side
    exif = picture.getexif()
    exif[0x0112] = 6
    file = BytesIO()
    picture.save(file, "PNG", exif=exif)
    rows = [{"bytes": file.getvalue(), "path": None}, *images(1, 24)]
    path = saved(parts(train=part(0, 24, columns={"img": rows})))
    assert huggingface.load(path).train_images.shape == (30, 3, 6, 8)


def test_images_may_be_files(saved: Callable[..., str], tmp_path: Path) -> None:
    rows = []
    for i, pixels in enumerate(PIXELS[:24]):
        (tmp_path / f"{i}.png").write_bytes(png(pixels))
        rows.append({"bytes": None, "path": str(tmp_path / f"{i}.png")})
    train = part(0, 24, columns={"img": rows})
    assert huggingface.load(saved(parts(train=train))).sha256 == expected().sha256


@pytest.mark.parametrize("kind", ["int64", "int8", "string"])
def test_labels_need_no_names(saved: Callable[..., str], kind: str) -> None:
    value = datasets.Value(kind)
    names = np.array(["z", "a", "m"])
    made = {
        name: part(
            start, stop, label=value, columns={"label": names[LABELS[start:stop]].tolist()} if kind == "string" else {}
        )
        for name, (start, stop) in BORDERS.items()
    }
    data = huggingface.load(saved(made), label="label")
    if kind == "string":
        assert data.classes == ("a", "m", "z")
        by_image = {
            p.tobytes(): str(names[label]) for p, label in zip(PIXELS.transpose(0, 3, 1, 2), LABELS, strict=True)
        }
        assert [by_image[p.tobytes()] for p in data.test_images] == [data.classes[i] for i in data.test_labels]
    else:
        assert data.sha256 == expected(classes=("0", "1", "2")).sha256


BROKEN = [*images(0, 23), {"bytes": b"x", "path": None}]
MANY = datasets.Sequence(datasets.Value("int64"))


@pytest.mark.parametrize(
    ("made", "settings", "words"),
    [
        (
            parts(test=None),
            {},
            "has no part test, but train, validation: data.test_split=NAME says which one is for test",
        ),
        (parts(), {"val_split": "dev"}, "has no part dev, but train, validation, test: data.val_split=NAME"),
        (parts(), {"test_split": "train"}, "must be different parts, got train, train"),
        (parts(), {"image": "picture"}, "has no column picture in train: data.image must be one of img ("),
        (parts(), {"image": "label"}, "data.image must be a column of images, but label of "),
        (
            {name: part(*b, label=datasets.Value("int64")) for name, b in BORDERS.items()},
            {},
            "data.label must name a column of",
        ),
        (
            parts(test=part(30, 40, label=datasets.ClassLabel(names=["a", "b", "c"]))),
            {},
            "must have the same classes in every",
        ),
        (parts(test=part(30, 40, columns={"label": [-1] * 10})), {}, "test of"),
        (
            parts(test=part(30, 40, columns={"label": [-1] * 10})),
            {},
            "has images without a label (-1): data.test_split=NAME takes",
        ),
        (parts(test=part(30, 40, columns={"label": [None] * 10})), {}, "has images without a label"),
        (
            {name: part(*b, label=datasets.Value("float64")) for name, b in BORDERS.items()},
            {"label": "label"},
            "got float64: labels.astype(numpy.int64) makes them classes",
        ),
        (
            {n: part(a, b, label=MANY, columns={"label": [[1, 1]] * (b - a)}) for n, (a, b) in BORDERS.items()},
            {"label": "label"},
            "has 2 labels for each image (multi-label",
        ),
        (
            {
                n: part(a, b, label=MANY, columns={"label": [[1], *[[1, 2]] * (b - a - 1)]})
                for n, (a, b) in BORDERS.items()
            },
            {"label": "label"},
            "has several labels for an image (multi-label)",
        ),
        (
            parts(train=part(0, 24, columns={"img": [None, *images(1, 24)]})),
            {"image_size": 6},
            "image 0 in train of",
        ),
        (
            parts(train=part(0, 24, columns={"img": BROKEN})),
            {},
            "image 23 in train of",
        ),
        (
            parts(train=part(0, 24, columns={"img": BROKEN})),
            {},
            "cannot be decoded: it is not a PNG, JPEG, WEBP, BMP or TIFF",
        ),
        (
            parts(train=part(0, 24, columns={"label": [0, 1] * 12})),
            {},
            "has images of eel in test, but none in train: add some, or remove it",
        ),
        (
            parts(),
            {"image_size": 0},
            "data.image_size must be the height and width of all images, a whole number of pixels from 1 to 4,096",
        ),
        (parts(), {"resize": "zoom"}, "data.resize must be crop, pad or stretch, got 'zoom'"),
        (parts(), {"channels": 4}, "data.channels must be 1 (grey) or 3 (colour), got 4"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    saved: Callable[..., str], made: dict[str, Any], settings: dict[str, Any], words: str
) -> None:
    path = saved(made)
    assert words in sentence(lambda: huggingface.load(path, **settings))


def test_a_set_without_parts_is_refused(tmp_path: Path) -> None:
    part(0, 24).save_to_disk(tmp_path / "one")
    assert "holds one part without a name" in sentence(lambda: huggingface.load(str(tmp_path / "one")))


def test_code_of_a_data_set_is_not_run(parquet: Callable[..., str], tmp_path: Path) -> None:
    path = Path(parquet(parts()))
    ran = tmp_path / "ran"
    for name in (f"{path.name}.py", "a_set.py", "dataset.py"):
        (path / name).write_text(f"import pathlib\npathlib.Path({str(ran)!r}).touch()\n")
    assert "is a folder that cannot be read" in sentence(lambda: huggingface.load(str(path)))
    assert not ran.exists()


def test_without_a_network_one_sentence_says_what_a_name_needs(tmp_path: Path) -> None:
    message = sentence(lambda: huggingface.load("nobody/nothing"))
    assert "data.path=nobody/nothing is no folder here, and as a data set of the hub cannot be read (" in message
    assert "give a name on the hub (which needs a network the first time), or a folder with parquet files" in message
    (tmp_path / "empty").mkdir()
    assert "is a folder that cannot be read" in sentence(lambda: huggingface.load(str(tmp_path / "empty")))
    (tmp_path / "file.parquet").touch()
    assert "is a file: give its folder" in sentence(lambda: huggingface.load(str(tmp_path / "file.parquet")))
    assert "data.path must name a data set" in sentence(lambda: huggingface.load(""))


def test_a_missing_or_old_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr(huggingface, "version", absent)
    assert "needs datasets, which is not installed: pip install 'hybridnets[huggingface]'" in sentence(
        lambda: huggingface.load("a/b")
    )
    monkeypatch.setattr(huggingface, "version", lambda _: "3.6.0")
    assert "needs datasets of version 4 or later, which never runs code of a data set, got 3.6.0" in sentence(
        lambda: huggingface.load("a/b")
    )
    monkeypatch.setattr(huggingface, "version", lambda _: "4.0.0")
    monkeypatch.setattr(decoding, "needs_pillow", lambda: True)
    assert "data=huggingface needs Pillow, which is not installed: pip install 'hybridnets[images]'" in sentence(
        lambda: huggingface.load("a/b")
    )
    assert "datasets" in sys.modules
