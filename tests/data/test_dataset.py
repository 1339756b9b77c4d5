"""Arrays of another form than a data set's are refused in one sentence that says how to make them so."""

from typing import Any

import numpy as np
import pytest

from hybridnets.config import load_dataset
from hybridnets.data.dataset import DataError, ImageDataset, canonical, canonical_pool, path_of

IMAGES = np.arange(4 * 3 * 8 * 8, dtype=np.uint8).reshape(4, 3, 8, 8)
LABELS = np.array([0, 1, 0, 1])
CLASSES = ("a", "b")
PARTS = (IMAGES, LABELS, IMAGES, LABELS)
RAGGED = [np.zeros((3, 8, 8), np.uint8), np.zeros((3, 9, 8), np.uint8)]


def make(
    images: Any = IMAGES, labels: Any = LABELS, test_images: Any = IMAGES, test_labels: Any = LABELS
) -> ImageDataset:
    return ImageDataset(images, labels, test_images, test_labels, CLASSES)


@pytest.mark.parametrize(
    ("images", "remedy"),
    [
        (IMAGES.transpose(0, 2, 3, 1), "got uint8 (4, 8, 8, 3): their channels are last: images.transpose(0, 3, 1, 2)"),
        (IMAGES.transpose(0, 2, 3, 1) / 255, "their channels are last: images.transpose(0, 3, 1, 2)"),
        (IMAGES[:, 0], "got uint8 (4, 8, 8): grey images need an axis for their one channel: images[:, numpy.newaxis]"),
        (IMAGES / 255, "numpy.rint(images * 255.0).astype(numpy.uint8), because pixels reach from 0 to 255"),
        (IMAGES > 9, "numpy.rint(images * 255.0).astype(numpy.uint8), because pixels reach from 0 to 255"),
        (IMAGES.astype(np.float32), "got float32 (4, 3, 8, 8): numpy.rint(images).astype(numpy.uint8)"),
        (IMAGES.astype(np.int64), "got int64 (4, 3, 8, 8): numpy.rint(images).astype(numpy.uint8)"),
        (IMAGES.astype(np.uint16) << 8, "(images >> 8).astype(numpy.uint8), because pixels reach from 0 to 255"),
        (IMAGES / 128 - 1.0, "give pixels of 0 to 255, not -1 to 0.992188: data.standardize subtracts the mean"),
        (
            RAGGED,
            "must have one size, got some of (3, 8, 8) and some of (3, 9, 8): bring all images to one height and width",
        ),
        (
            np.array([*RAGGED, None], dtype=object)[:2],
            "must have one size, got some of (3, 8, 8) and some of (3, 9, 8)",
        ),
        (list(IMAGES), "must be one uint8 array (N, C, H, W), got a list: numpy.stack(images)"),
        (IMAGES[:0], "must be a non-empty uint8 array (N, C, H, W), got uint8 (0, 3, 8, 8)"),
    ],
)
def test_images(images: Any, remedy: str) -> None:
    for name, arguments in (("training", {"images": images}), ("test", {"test_images": images})):
        with pytest.raises(DataError) as caught:
            make(**arguments)
        assert str(caught.value).startswith(f"the {name} images must ")
        assert remedy in str(caught.value)


def test_the_remedies_help() -> None:
    make(IMAGES.transpose(0, 2, 3, 1).transpose(0, 3, 1, 2))
    grey = IMAGES[:, 0][:, np.newaxis]
    make(grey, LABELS, grey)
    assert (make(np.rint(IMAGES / 255 * 255.0).astype(np.uint8)).train_images == IMAGES).all()
    names, positions = np.unique(["x", "y", "x", "y"], return_inverse=True)
    assert (make(labels=positions).train_labels == LABELS).all()
    assert tuple(names) == ("x", "y")


@pytest.mark.parametrize(
    ("labels", "remedy"),
    [
        (
            np.array(["a", "b", "a", "b"]),
            "classes, labels = numpy.unique(names, return_inverse=True), and classes=tuple(classes)",
        ),
        (np.eye(2)[LABELS], "got float64 (4, 2): one-hot labels become positions by labels.argmax(axis=1)"),
        (LABELS[:, None], "got int64 (4, 1): labels[:, 0].astype(numpy.int64)"),
        (LABELS.astype(np.int32), "got int32 (4,): labels.astype(numpy.int64)"),
        ([0, 1, 0, 1], "got a list: numpy.array(labels)"),
        (LABELS[:3], "must be int64, one for each of the 4 images, got int64 (3,)"),
        (LABELS + 1, "must lie from 0 to 1, one for each of the classes, got 1 to 2: labels - 1, which counts"),
        (
            LABELS * 5,
            "got 0 to 5: labels = numpy.unique(labels, return_inverse=True)[1], over training and test labels",
        ),
        (LABELS - 1, "got -1 to 0: labels = numpy.unique(labels, return_inverse=True)[1]"),
    ],
)
def test_labels(labels: Any, remedy: str) -> None:
    for name, arguments in (("training", {"labels": labels}), ("test", {"test_labels": labels})):
        with pytest.raises(DataError) as caught:
            make(**arguments)
        assert str(caught.value).startswith(f"the {name} labels must ")
        assert remedy in str(caught.value)


def test_parts_of_different_shapes() -> None:
    with pytest.raises(
        DataError, match=r"the same shape, got \(3, 8, 8\) and \(3, 8, 4\): bring all images to one height"
    ):
        make(test_images=IMAGES[..., :4])
    with pytest.raises(
        DataError, match=r"got \(3, 8, 8\) and \(1, 8, 8\): give both the same channels, with Pillow: image.conv"
    ):
        make(test_images=IMAGES[:, :1])


def test_images_are_checked_before_they_are_sorted() -> None:
    with pytest.raises(DataError, match="the images must have one size"):
        canonical(RAGGED, LABELS[:2])  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"the labels must be int64, .* by labels.argmax"):
        canonical(IMAGES, np.eye(2)[LABELS])


def ragged(way: str) -> Any:
    """A data set as a user might load it from images of two sizes."""
    if way == "fill":
        images = np.empty((2, 3, 8, 8), np.uint8)
        images[1] = RAGGED[1]
        return images
    return np.stack(RAGGED) if way == "stack" else np.array(RAGGED)


@pytest.mark.parametrize("way", ["array", "stack", "fill"])
def test_ragged_images_in_a_users_function(way: str) -> None:
    with pytest.raises(ValueError, match=r"must return images of one size, but some differ .* image\.resize") as caught:
        load_dataset({"_target_": f"{__name__}.ragged", "way": way})
    assert "shape" in str(caught.value)  # numpy's own words, too


def test_a_validation_part_of_its_own_changes_the_content() -> None:
    without = make()
    with_val = ImageDataset(*PARTS, CLASSES, val=np.array([1, 3]))
    assert without.sha256 == ImageDataset(*PARTS, CLASSES, resize="crop").sha256
    assert len({without.sha256, with_val.sha256, ImageDataset(*PARTS, CLASSES, val=np.array([1, 2])).sha256}) == 3


@pytest.mark.parametrize("val", [[], [0, 1, 2, 3], [1, 1], [3, 1], [-1, 2], [2, 4]])
def test_a_validation_part_that_is_none_is_refused(val: list[int]) -> None:
    with pytest.raises(
        DataError, match="val must be ascending positions of some, but not all, of the 4 training images"
    ):
        ImageDataset(*PARTS, CLASSES, val=np.array(val, dtype=np.int64))


def test_a_validation_part_is_sorted_with_the_training_images() -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, size=(12, 1, 4, 4), dtype=np.uint8), np.arange(12) % 3
    images[9] = images[2]  # an image of the training part, with the same label, that val has too
    labels[9] = labels[2]
    for order in (np.arange(12), np.array([3, 1, 0, 2, 7, 6, 5, 4, 11, 9, 10, 8])):  # files in another order
        train, val = order[:8], order[8:]
        pool, pool_labels, positions = canonical_pool(images[train], labels[train], images[val], labels[val])
        expected, expected_labels = canonical(images, labels)
        np.testing.assert_array_equal(pool, expected)
        np.testing.assert_array_equal(pool_labels, expected_labels)
        assert {image.tobytes() for image in pool[positions]} == {image.tobytes() for image in images[8:]}
        assert len(positions) == 4
        assert (np.diff(positions) > 0).all()
        twins = [i for i, image in enumerate(pool) if image.tobytes() == images[2].tobytes()]
        assert [i in positions for i in twins] == [False, True]
    # Channels last in memory make no difference.
    turned = np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    again = canonical_pool(turned[:8], labels[:8], turned[8:], labels[8:])
    first = canonical_pool(images[:8], labels[:8], images[8:], labels[8:])
    for one, other in zip(again, first, strict=True):
        np.testing.assert_array_equal(one, other)
    assert again[0].flags.c_contiguous
    with pytest.raises(DataError, match="training and validation images must have the same shape, got uint8"):
        canonical_pool(images, labels, images[:, :, :2], labels)


def test_the_home_folder_of_nobody_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"data\.root must name a folder, got ~nobody-of-this-name/x, but there is no such"
    ):
        path_of("~nobody-of-this-name/x")
