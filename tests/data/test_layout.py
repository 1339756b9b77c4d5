"""The folders and files of a data set of pictures: what belongs to it, and which layouts are refused."""

import errno
import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from hybridnets.data import layout
from hybridnets.data.dataset import DataError, ImageDataset
from tests.data.conftest import pixels, refusal, save


def test_what_file_managers_leave_behind_is_ignored(photos: Path, read: Callable[..., ImageDataset]) -> None:
    content = read().sha256
    for name in (".DS_Store", "train/.DS_Store", "train/cat/Thumbs.db", "train/cat/desktop.ini", "train/cat/._0.png"):
        (photos / name).write_bytes(b"none")
    for name in (".git", "__MACOSX", "train/__MACOSX", "train/cat/@eaDir"):
        (photos / name).mkdir()
        (photos / name / "0.png").write_bytes(b"none")
    (photos / "README.md").write_text("Photographs of cats and dogs.")
    (photos / "train" / "labels.csv").write_text("0.png,cat")
    assert read().sha256 == content


def test_links_are_followed_but_not_in_circles(photos: Path, read: Callable[..., ImageDataset]) -> None:
    content = read().sha256
    elsewhere = photos.parent / "elsewhere"
    (photos / "train" / "cat").rename(elsewhere)
    (photos / "train" / "cat").symlink_to(elsewhere)
    (photos / "train" / "dog" / "0.png").rename(elsewhere.parent / "0.png")
    (photos / "train" / "dog" / "0.png").symlink_to("../../../0.png")
    (photos / "train" / "dog" / "circle").symlink_to(photos)
    (elsewhere / "circle").symlink_to(elsewhere)
    assert read().sha256 == content


def test_a_link_that_leads_to_itself_is_a_file_that_is_no_picture(
    photos: Path, read: Callable[..., ImageDataset]
) -> None:
    content = read().sha256
    for path in (photos / "self", photos / "train" / "self"):  # beside parts and classes: no picture by its name
        path.symlink_to(path.name)
    assert read().sha256 == content
    for name in ("train/cat/self.png", "train/self.png"):
        (photos / name).symlink_to("self.png")
    sentence = refusal(read)
    assert "train/cat/self.png (it is a link to itself)" in sentence
    assert "train/self.png (" in sentence


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_what_may_pass_is_no_fault_of_a_file(number: int) -> None:
    """It would be left out with data.skip_broken=true."""

    class Entry:
        def __fspath__(self) -> str:
            return "photos/cat/0.png"

        def stat(self) -> None:
            raise OSError(number, os.strerror(number))

    with pytest.raises(DataError, match=rf"^photos/cat/0\.png cannot be read \({os.strerror(number)}\)$"):
        layout._file(Entry(), "cat/0.png", "", "cat")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["한국어 사진", "İğdır Işıklar", "a name = two, three", "~", "'quoted'"])  # noqa: RUF001
def test_names_of_folders_may_be_anything(name: str, photos: Path, read: Callable[..., ImageDataset]) -> None:
    content = read().sha256
    root = photos.rename(photos.with_name(name))
    assert read(root=root).sha256 == content
    (root / "train" / "cat").rename(root / "train" / name)
    (root / "test" / "cat").rename(root / "test" / name)
    assert set(read(root=root).classes) == {name, "dog"}


def test_macos_and_linux_agree_on_the_name_of_a_class(photos: Path, read: Callable[..., ImageDataset]) -> None:
    composed = unicodedata.normalize("NFC", "Müll 각")
    (photos / "train" / "cat").rename(photos / "train" / composed)
    (photos / "test" / "cat").rename(photos / "test" / unicodedata.normalize("NFD", composed))
    assert read().classes == (composed, "dog")


def test_a_picture_beside_the_classes_is_named(photos: Path, read: Callable[..., ImageDataset]) -> None:
    save(photos / "train" / "stray.PNG", pixels(1)[0])
    assert "train/stray.PNG (it is not in a class folder)" in refusal(read)


def test_odd_classes_are_said(
    photos: Path, read: Callable[..., ImageDataset], caplog: pytest.LogCaptureFixture
) -> None:
    (photos / "train" / "bird").mkdir()
    save(photos / "train" / "eel" / "0.png", pixels(1)[0])
    data = read()
    assert data.classes == ("cat", "dog", "eel")
    for sentence in (
        "class bird has no picture, and the network does not learn of it",
        "class eel has no picture in test, so that test accuracy leaves it out",
        "class eel has one training picture, which is either in train or in val",
    ):
        assert sentence in caplog.text


def test_layouts_that_cannot_be_understood_are_refused(photos: Path, read: Callable[..., ImageDataset]) -> None:
    def sentence(change: Callable[[], object], undo: Callable[[], object]) -> str:
        change()
        text = refusal(read)
        undo()
        return text

    extra = photos / "test" / "eel"
    assert f"data.root={photos} has images of eel in test, but none in train: add some, or remove it" in sentence(
        lambda: save(extra / "0.png", pixels(1)[0]), lambda: shutil.rmtree(extra)
    )
    assert f"data.root={photos} has images of eel in val, but none in train: add some, or remove it" in sentence(
        lambda: save(photos / "val" / "eel" / "0.png", pixels(1)[0]), lambda: shutil.rmtree(photos / "val")
    )
    other = photos / "more"
    assert "has train/ and, beside it, more/; only test/ and val/" in sentence(other.mkdir, other.rmdir)
    for name in ("val", "valid"):
        (photos / name).mkdir()
    assert "has val/ and valid/, which mean the same part: keep one" in refusal(read)
    for name in ("val", "valid"):
        (photos / name).rmdir()
    (photos / "train").rename(photos.parent / "away")
    assert "has test/ but no train/: add train/CLASS" in refusal(read)
    (photos.parent / "away").rename(photos / "train")
    (photos / "test").rename(photos.parent / "away")
    assert f"has train/ but no test/: add test/CLASS, or give data.root={photos / 'train'}, of which" in refusal(read)
    assert len(read(root=photos / "train").test_labels) == 2
    (photos.parent / "away").rename(photos / "test")
    above = photos.parent / "above"
    above.mkdir()
    (above / "photos").symlink_to(photos)
    remedy = f"must be the folder of a class, but has train/ and test/: give data.root={above / 'photos'}"
    assert remedy in refusal(read, root=above)


@pytest.mark.parametrize("name", ["test", "val", "Valid", "validation"])
def test_a_part_beside_classes_is_not_taken_for_a_class(
    name: str, tmp_path: Path, read: Callable[..., ImageDataset]
) -> None:
    root = tmp_path / "photos"
    for i, image in enumerate(pixels(10)):
        save(root / ("cat", "dog")[i % 2] / f"{i}.png", image)
    save(root / name / "cat" / "deep" / "0.png", pixels(1)[0])
    assert f"{root} has {name}/ with pictures in cat/, as a part has them, but no train/CLASS: move the" in refusal(
        read
    )
    shutil.rmtree(root / name / "cat")
    (root / name / "empty").mkdir()
    for i, image in enumerate(pixels(5)):
        save(root / name / f"{i}.png", image)
    assert read().classes == tuple(sorted(("cat", "dog", name)))  # pictures alone make it a class


def test_fewer_than_two_classes_are_refused(tmp_path: Path, read: Callable[..., ImageDataset]) -> None:
    assert f"data.root must be a folder, but {tmp_path / 'photos'} does not exist" == refusal(read)
    (tmp_path / "photos").mkdir()
    assert "must have pictures of at least two classes, got none: it needs a folder for each class" in refusal(read)
    save(tmp_path / "photos" / "cat" / "0.png", pixels(1)[0])
    (tmp_path / "photos" / "dog").mkdir()
    assert "must have pictures of at least two classes, got only cat/" in refusal(read)
    save(tmp_path / "photos" / "dog" / "0.png", pixels(1)[0])
    assert "has no picture in test: a class needs two different ones" in refusal(read)
    assert "is a file" in refusal(read, root=tmp_path / "photos" / "dog" / "0.png")


def test_a_class_may_be_called_train(tmp_path: Path, read: Callable[..., ImageDataset]) -> None:
    for name in ("bus", "train"):
        for i, image in enumerate(pixels(5)):
            save(tmp_path / "photos" / name / f"{i}.png", image)
    assert read().classes == ("bus", "train")


def test_a_cache_among_the_classes_is_refused(tmp_path: Path, read: Callable[..., ImageDataset]) -> None:
    """A class that held it would have to be skipped as a whole, and its next start would find files that are no pictures."""
    for name in ("cat", "dog"):
        for i, image in enumerate(pixels(5)):
            save(tmp_path / "photos" / name / f"{i}.png", image)
    (tmp_path / "link").symlink_to(tmp_path / "photos" / "cat")
    for cache in ("photos", "photos/cat/cache", "photos/runs/cache", "link/cache"):
        assert "data.cache must not lie in data.root, whose folders are classes, got " in refusal(
            read, cache=tmp_path / cache
        )
