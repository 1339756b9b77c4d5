"""Folders of pictures become data sets; what is odd about them is said, and what is wrong is refused, in one sentence."""

import logging
import os
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hybridnets.data import decoding, progress
from hybridnets.data.dataset import DataError, ImageDataset, canonical
from tests.data.conftest import RNG, SIZE, pixels, refusal, save


def test_a_folder_is_the_data_set_of_its_pixels(tmp_path: Path, read: Callable[..., ImageDataset]) -> None:
    """Whatever the files are called, and in whatever form without losses they were saved."""
    images, labels = pixels(40), np.arange(40) % 3
    images[7] = images[4]  # equal images of one class
    kinds = ("png", "PNG", "bmp", "tif", "TIFF", "webp", "")
    for part, places in (("train", range(30)), ("test", range(30, 40))):
        for i in places:
            path = tmp_path / "photos" / part / "abc"[labels[i]] / f"{i * 7919 % 101}.{kinds[i % 7]}".rstrip(".")
            path.parent.mkdir(parents=True, exist_ok=True)
            kind = (kinds[i % 7] or "png").upper()
            lossless = {"lossless": True} if kind == "WEBP" else {}
            Image.fromarray(images[i].transpose(1, 2, 0)).save(path, {"TIF": "TIFF"}.get(kind, kind), **lossless)
    data = read()
    expected = ImageDataset(*canonical(images[:30], labels[:30]), *canonical(images[30:], labels[30:]), tuple("abc"))
    assert data.sha256 == expected.sha256
    assert (data.train_sha256, data.test_sha256) == (expected.train_sha256, expected.test_sha256)
    np.testing.assert_array_equal(data.train_images, expected.train_images)
    np.testing.assert_array_equal(data.test_labels, expected.test_labels)
    for got, wanted in zip(data.train_sums, expected.train_sums, strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert isinstance(data.train_images, np.memmap)
    assert data.resize == "crop"
    again = read()  # from the cache
    assert again.sha256 == expected.sha256
    np.testing.assert_array_equal(again.test_images, expected.test_images)


@pytest.mark.parametrize("name", ["val", "valid", "Validation"])
def test_a_validation_part_is_known_among_the_training_images(
    photos: Path, read: Callable[..., ImageDataset], name: str
) -> None:
    held_out = pixels(2)
    for i, image in enumerate(held_out):
        save(photos / name / "dog" / f"{i}.png", image)
    data = read()
    assert data.train_images.shape == (8, 3, *SIZE)
    assert data.val is not None
    expected, _ = canonical(held_out, np.array([1, 1]))
    np.testing.assert_array_equal(data.train_images[data.val], expected)
    assert data.train_labels[data.val].tolist() == [1, 1]


def test_classes_alone_are_divided_once(tmp_path: Path, read: Callable[..., ImageDataset]) -> None:
    root = tmp_path / "photos"
    for name in ("cat", "dog"):
        for i, image in enumerate(pixels(20)):
            save(root / name / f"{i}.png", image)
    data = read()
    assert np.bincount(data.test_labels).tolist() == [4, 4]
    assert np.bincount(data.train_labels).tolist() == [16, 16]
    content = data.sha256
    # Neither names nor places within a class matter.
    (root / "cat" / "0.png").rename(root / "cat" / "other.png")
    (root / "dog" / "deeper").mkdir()
    (root / "dog" / "3.png").rename(root / "dog" / "deeper" / "3.png")
    assert read().sha256 == content
    # The same pictures are held out at another size.
    large = read(image_size=[8, 12], resize="stretch")
    small = {image.tobytes() for image in data.test_images}
    assert {image[:, ::2, ::2].shape for image in large.test_images} == {(3, *SIZE)}
    means = sorted(float(image.mean()) for image in data.test_images)
    np.testing.assert_allclose(sorted(float(image.mean()) for image in large.test_images), means, atol=6)
    other = read(test_seed=1)
    assert other.sha256 != content
    assert {image.tobytes() for image in other.test_images} != small
    assert len(read(test_share=0.5).test_labels) == 20


def test_equal_files_are_not_divided_between_train_and_test(tmp_path: Path, read: Callable[..., ImageDataset]) -> None:
    for name in ("cat", "dog"):
        for i, image in enumerate(pixels(5)):
            for copy in range(3):
                save(tmp_path / "photos" / name / f"{i}-{copy}.png", image)
    data = read()
    train, test = ({image.tobytes() for image in images} for images in (data.train_images, data.test_images))
    assert not train & test
    assert (len(train), len(test)) == (8, 2)


def odd_files(folder: Path) -> dict[str, str]:
    """Writes one file of each kind that is no picture, or none of a kind that we read; gives part of each's reason."""
    noise = BytesIO()
    Image.fromarray(RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(noise, "PNG")
    gif = BytesIO()
    Image.fromarray(pixels(1, 1)[0, 0]).save(gif, "GIF")
    deep = BytesIO()
    Image.fromarray(np.zeros(SIZE, np.float32)).save(deep, "TIFF")
    contents = {
        "a-empty.png": (b"", "not a PNG, JPEG, WEBP, BMP or TIFF"),
        "b-text.jpg": (b"not a picture", "not a PNG, JPEG, WEBP, BMP or TIFF"),
        "c-truncated.png": (noise.getvalue()[:-60], "truncated"),
        "d-notes.txt": (b"cats, mostly", "not a PNG, JPEG, WEBP, BMP or TIFF"),
        "e-moving.gif": (gif.getvalue(), "not a PNG, JPEG, WEBP, BMP or TIFF"),
        "f-deep.tif": (deep.getvalue(), "32 bits"),
        "g-array.npy": (b"\x93NUMPY", "not a PNG, JPEG, WEBP, BMP or TIFF"),
    }
    for name, (content, _) in contents.items():
        (folder / name).write_bytes(content)
    (folder / "h-nothing.png").symlink_to("nowhere.png")
    os.mkfifo(folder / "i-pipe.png")
    return {
        **{name: reason for name, (_, reason) in contents.items()},
        "h-nothing.png": "it is a link to nothing",
        "i-pipe.png": "it is no plain file",
    }


def test_files_that_are_no_pictures_are_refused_together_or_left_out(
    photos: Path, read: Callable[..., ImageDataset], caplog: pytest.LogCaptureFixture
) -> None:
    content = read().sha256
    reasons = odd_files(photos / "train" / "cat")
    save(photos / "train" / "z-stray.JPG", pixels(1)[0])
    sentence = refusal(read)
    assert sentence == refusal(read)  # also when it is known already
    assert (
        "must contain only pictures, but 10 of 20 files cannot be read as pictures: train/cat/a-empty.png (" in sentence
    )
    assert "and 7 more; remove them, or give data.skip_broken=true to leave them out" in sentence
    caplog.clear()
    assert read(skip_broken=True).sha256 == content
    assert "10 files cannot be read as pictures and are left out: train/cat/a-empty.png (" in caplog.text
    for name, reason in reasons.items():  # each alone
        for other in reasons:
            if other != name:
                (photos / "train" / "cat" / other).unlink(missing_ok=True)
        (photos / "train" / "z-stray.JPG").unlink(missing_ok=True)
        assert f"1 of 11 files cannot be read as a picture: train/cat/{name} (" in (sentence := refusal(read))
        assert reason in sentence
        (photos / "train" / "cat" / name).unlink()
        odd_files(photos / "train" / "cat") if name != "i-pipe.png" else None
    assert read().sha256 == content


def test_files_that_may_not_be_read_are_named(photos: Path, read: Callable[..., ImageDataset]) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (photos / "train" / "cat" / "0.png").chmod(0)
    assert "train/cat/0.png (Permission denied)" in refusal(read)


def test_pictures_of_every_kind_become_one_form(photos: Path, read: Callable[..., ImageDataset]) -> None:
    """Grey, palette, alpha, 16 bits, turned, JPEG, and of other sizes; tests/data/test_decoding.py has their values."""
    class_folder = photos / "train" / "cat"
    grey = pixels(1, 1)[0]
    save(class_folder / "grey.png", grey)
    Image.fromarray(grey[0].astype(np.uint16) << 8).save(class_folder / "deep.png")
    Image.fromarray(pixels(1)[0].transpose(1, 2, 0)).quantize(8).save(class_folder / "palette.png")
    Image.fromarray(pixels(1, 4)[0].transpose(1, 2, 0)).save(class_folder / "alpha.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels(1)[0].transpose(1, 2, 0)).save(class_folder / "turned.jpg", exif=exif)
    Image.fromarray(RNG.integers(0, 256, (50, 20, 3), dtype=np.uint8)).save(class_folder / "tall.webp")
    data = read()
    assert data.train_images.shape == (12, 3, *SIZE)
    found = {image.tobytes() for image in data.train_images}
    assert np.repeat(grey, 3, axis=0).tobytes() in found
    assert read(channels=1).train_images.shape == (12, 1, *SIZE)
    square = read(image_size=9, resize="pad")
    assert square.train_images.shape == (12, 3, 9, 9)
    assert square.resize == "pad"


def test_images_that_occur_twice_are_said(
    photos: Path, read: Callable[..., ImageDataset], caplog: pytest.LogCaptureFixture
) -> None:
    image, other, third = pixels(3)
    save(photos / "train" / "cat" / "leak.png", image)
    save(photos / "test" / "cat" / "leaked.bmp", image)  # another file of equal pixels
    save(photos / "train" / "cat" / "both.png", other)
    save(photos / "train" / "dog" / "both.png", other)
    save(photos / "val" / "dog" / "again.png", third)
    save(photos / "train" / "dog" / "again.png", third)
    save(photos / "train" / "dog" / "copy.png", third)
    for _ in range(2):  # also from the cache
        caplog.clear()
        read()
        for sentence in (
            "1 image of test is also in train or val, so that test accuracy is too high: "
            "test/cat/leaked.bmp = train/cat/leak.png",
            "1 image of val/ is also in train/: val/dog/again.png = train/dog/",
            "2 images are equal but in different classes: train/cat/both.png = train/dog/both.png",
            "2 images of train are a copy of another, and the split may divide them: train/cat/both.png = train/dog/both.png",
        ):
            assert any(f"photos: {sentence}" in line and " more" not in line for line in caplog.messages)
    caplog.clear()
    (photos / "test" / "cat" / "leaked.bmp").unlink()
    (photos / "val" / "dog" / "again.png").unlink()
    (photos / "train" / "dog" / "copy.png").unlink()
    (photos / "train" / "dog" / "both.png").unlink()
    read()
    assert not caplog.records[1:], "only that the images were decoded"


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"root": None}, "data.root must name a folder, as data.root=PATH, got nothing"),
        ({"root": ""}, "data.root must name a folder, as data.root=PATH, got ''"),
        ({"cache": 3}, "data.cache must name a folder, as data.cache=PATH, got 3"),
        ({"image_size": None}, "data.image_size must be the height and width of all images, a whole number of pixels"),
        ({"image_size": 0}, "data.image_size must be .*, got 0"),
        ({"image_size": [4, 4, 4]}, r"data.image_size must be .*, got \[4, 4, 4\]"),
        ({"image_size": 4.0}, r"data.image_size must be .*, got 4\.0"),
        ({"resize": "squash"}, "data.resize must be crop, pad or stretch, got 'squash'"),
        ({"channels": 2}, r"data.channels must be 1 \(grey\) or 3 \(colour\), got 2"),
        ({"channels": True}, r"data.channels must be 1 \(grey\) or 3 \(colour\), got True"),
        ({"skip_broken": 1}, "data.skip_broken must be true or false, got 1"),
        ({"test_share": 1}, "data.test_share must be a number between 0 and 1, got 1"),
        ({"test_seed": -1}, "data.test_seed must be a whole number from 0, got -1"),
    ],
)
def test_illegal_settings_are_refused(
    settings: dict[str, Any], sentence: str, read: Callable[..., ImageDataset]
) -> None:
    with pytest.raises(DataError, match=sentence):
        read(**settings)


@pytest.mark.usefixtures("photos")
def test_without_pillow_the_message_has_the_remedy(
    read: Callable[..., ImageDataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "needs_pillow", lambda: True)
    assert refusal(read) == "data=folder needs Pillow, which is not installed: pip install 'hybridnets[images]'"


def test_progress_is_told_in_lines_where_there_is_no_terminal(
    photos: Path, read: Callable[..., ImageDataset], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    with caplog.at_level(logging.INFO):
        read()
    assert f"reading {photos}: 10 files" in caplog.text
    assert f"decoding {photos}: 4 of 10 files" in caplog.text
    assert "10 images decoded into" in caplog.text


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("photos")
def test_progress_is_a_bar_in_a_terminal(read: Callable[..., ImageDataset], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    read()
    assert "reading" in terminal.getvalue()
    assert "decoding" in terminal.getvalue()
    assert "| 0/10 [" in terminal.getvalue()
    read()  # from the cache: nothing to wait for
    assert terminal.getvalue().count("| 0/10 [") == 2
