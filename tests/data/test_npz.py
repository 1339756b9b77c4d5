"""Files like Keras's and MedMNIST's become the right arrays, and anything else is one sentence."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridnets.data import npz
from hybridnets.data.dataset import DataError, ImageDataset, canonical

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, size=(40, 8, 9, 3), dtype=np.uint8)  # (N, H, W, C)
LABELS = np.arange(40) % 4


def keras(**changes: Any) -> dict[str, Any]:
    """Arrays as Keras's cifar10.npz has them; a change to None leaves one out."""
    arrays = {
        "x_train": COLOUR[:30],
        "y_train": LABELS[:30, np.newaxis].astype(np.uint8),
        "x_test": COLOUR[30:],
        "y_test": LABELS[30:, np.newaxis].astype(np.uint8),
        **changes,
    }
    return {name: array for name, array in arrays.items() if array is not None}


def medmnist(**changes: Any) -> dict[str, Any]:
    """Arrays as MedMNIST's pathmnist.npz has them."""
    arrays: dict[str, Any] = {}
    for part, start, stop in (("train", 0, 20), ("val", 20, 30), ("test", 30, 40)):
        arrays |= {f"{part}_images": COLOUR[start:stop], f"{part}_labels": LABELS[start:stop, np.newaxis]}
    return {name: array for name, array in (arrays | changes).items() if array is not None}


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """An .npz file of arrays."""

    def write(arrays: dict[str, Any], compressed: bool = True) -> Path:
        path = tmp_path / "images=of a lab.npz"
        (np.savez_compressed if compressed else np.savez)(path, **arrays)
        return path

    return write


def first_channels(images: Any) -> Any:
    return images.transpose(0, 3, 1, 2)


def test_keras_layout(file: Callable[..., Path]) -> None:
    data = npz.load(file(keras()))
    expected = ImageDataset(
        *canonical(first_channels(COLOUR[:30]), LABELS[:30]),
        *canonical(first_channels(COLOUR[30:]), LABELS[30:]),
        tuple("0123"),
    )
    assert data.sha256 == expected.sha256
    assert (data.val, data.resize) == (None, None)
    label_of = {image.tobytes(): label for image, label in zip(first_channels(COLOUR), LABELS, strict=True)}
    assert [label_of[image.tobytes()] for image in data.train_images] == data.train_labels.tolist()


def test_medmnist_layout_brings_its_val(file: Callable[..., Path]) -> None:
    data = npz.load(file(medmnist()))
    assert data.val is not None
    assert len(data.train_images) == 30
    pictures = {image.tobytes() for image in first_channels(COLOUR[20:30])}
    assert {image.tobytes() for image in data.train_images[data.val]} == pictures
    # One pool: the same training content as of a file without that part.
    assert data.train_sha256 == npz.load(file(keras())).train_sha256
    assert data.sha256 != npz.load(file(keras())).sha256


@pytest.mark.parametrize(
    "changes",
    [
        {"x_train": first_channels(COLOUR[:30])},  # channels first
        {"x_train": COLOUR[:30].astype(np.int64), "x_test": COLOUR[30:].astype(np.int16)},
        {"x_train": np.asfortranarray(COLOUR[:30])},
        {"y_train": LABELS[:30].astype(np.int8), "y_test": LABELS[30:].astype(">u8")},
        {"x_val": None},
    ],
)
def test_layout_of_channels_and_types_do_not_matter(file: Callable[..., Path], changes: dict[str, Any]) -> None:
    assert npz.load(file(keras(**changes), compressed=False)).sha256 == npz.load(file(keras())).sha256


def test_grey_images_have_one_channel(file: Callable[..., Path]) -> None:
    grey = {name: COLOUR[part][..., 0] for name, part in (("x_train", slice(30)), ("x_test", slice(30, 40)))}
    data = npz.load(file(keras(**grey)))
    assert data.train_images.shape == (30, 1, 8, 9)
    with_axis = {name: images[..., np.newaxis] for name, images in grey.items()}
    assert npz.load(file(keras(**with_axis))).sha256 == data.sha256


def test_classes_are_the_sorted_labels_and_may_be_named(
    file: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    odd = np.array([-3, 10, 2, 700])[LABELS]
    path = file(keras(y_train=odd[:30], y_test=odd[30:]))
    data = npz.load(path)
    assert data.classes == ("-3", "2", "10", "700")
    value_of = {image.tobytes(): str(label) for image, label in zip(first_channels(COLOUR), odd, strict=True)}
    for images, labels in ((data.train_images, data.train_labels), (data.test_images, data.test_labels)):
        assert [value_of[image.tobytes()] for image in images] == [data.classes[label] for label in labels]
    assert npz.load(path, ["a", "b", "c", "d"]).classes == ("a", "b", "c", "d")
    assert npz.load(file(keras(y_train=odd[:30].astype(str), y_test=odd[30:].astype(str)))).classes == (
        *("-3", "10", "2", "700"),
    )
    assert not caplog.messages


def test_a_class_without_training_images_is_refused(file: Callable[..., Path]) -> None:
    """Whichever other part it has images in, as in a folder of pictures."""
    labels = LABELS[30:].copy()
    labels[0] = 9
    for part in ("test", "val"):
        path = file(keras(**{f"x_{part}": COLOUR[30:], f"y_{part}": labels}))
        with pytest.raises(
            DataError, match=rf"{path} has images of 9 in {part}, but none in train: add some, or remove it"
        ):
            npz.load(path)


ONES = np.ones((30, 4), np.int64)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        (
            keras(x_test=None, y_test=None),
            "lacks x_test and y_test (it holds x_train, y_train): a network is measured on test",
        ),
        (medmnist(test_labels=None), "lacks test_labels (it holds test_images, train_images"),
        (medmnist(val_labels=None), "lacks val_labels (it holds"),
        (
            {"images": COLOUR, "labels": LABELS},
            "it holds images, labels): it must have x_train, y_train, x_test, y_test (Keras)",
        ),
        ({}, "it holds nothing"),
        (keras(x_train=COLOUR[:30] / 255), "x_train in"),
        (keras(x_train=COLOUR[:30] / 255), "got float64 (30, 3, 8, 9): numpy.rint(images * 255.0).astype(numpy.uint8)"),
        (keras(x_train=COLOUR[:30].astype(np.uint16) * 257), "(images >> 8).astype(numpy.uint8)"),
        (keras(x_train=COLOUR[:30].astype(np.int32) - 1), "give pixels of 0 to 255, not -1 to"),
        (keras(x_train=COLOUR[:0], y_train=LABELS[:0]), "must be a non-empty uint8 array"),
        (keras(x_train=np.zeros((30, 8, 8, 8), np.uint8)), "volumes of three dimensions are not supported"),
        (
            keras(x_train=np.zeros((30, 8, 8, 8, 1), np.uint8)),
            "volumes of three dimensions, (30, 8, 8, 8, 1), which are not",
        ),
        (
            keras(x_train=np.zeros((30, 3, 9, 4), np.uint8)),
            "may have its channels first or last by its shape (30, 3, 9, 4)",
        ),
        (
            keras(x_train=COLOUR[:30].reshape(30, -1)),
            "must be a non-empty uint8 array (N, C, H, W), got uint8 (30, 216)",
        ),
        (keras(x_train=COLOUR[:30, :7]), "training and test images must have the same shape"),
        (medmnist(val_images=COLOUR[20:30, :7]), "training and validation images must have the same shape"),
        (keras(y_train=LABELS[:29]), "y_train in"),
        (keras(y_train=LABELS[:29]), "must have one label for each of the 30 images, got shape (29,)"),
        (keras(y_train=LABELS[:30] + 0.5), "got float64: a regression's values are no classes"),
        (keras(y_train=LABELS[:30].astype(float)), "got float64: labels.astype(numpy.int64) makes them classes"),
        (
            keras(y_train=np.eye(4, dtype=np.int64)[LABELS[:30]]),
            "is one-hot, (30, 4): give the classes as one number each",
        ),
        (keras(y_train=ONES), "has 4 labels for each image (multi-label, as ChestMNIST)"),
        (keras(y_train=LABELS[:30].astype("M8[s]")), "must be whole numbers or names, got datetime64[s]"),
        (keras(y_train=LABELS[:30].astype(str)), "must have labels of one kind"),
        (keras(y_train=np.array([{}] * 30)), "y_train in"),
        (
            keras(y_train=np.array([{}] * 30)),
            "holds Python objects, which are not loaded, because they may run any code",
        ),
        (keras(y_train=LABELS[:30] * 0, y_test=LABELS[30:] * 0), "classes must be at least two"),
    ],
)
def test_other_content_is_refused_by_name(file: Callable[..., Path], arrays: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        npz.load(file(arrays))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [
        (["a", "b"], r"data\.classes must name the 4 classes of .* \(0, 1, 2, 3\) in this order, got 2: \['a', 'b'\]"),
        ("abcd", r"data\.classes must be null or a list of names, \[cat,dog\], got 'abcd'"),
        ([1, 2, 3, 4], r"data\.classes must be null or a list of names"),
        (["a", "a", "b", "c"], "classes must be different names"),
    ],
)
def test_illegal_names_are_refused(file: Callable[..., Path], classes: Any, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        npz.load(file(keras()), classes)


def test_damaged_and_foreign_files_are_refused(file: Callable[..., Path], tmp_path: Path) -> None:
    path = file(keras())
    good = path.read_bytes()

    def sentence(root: Any) -> str:
        with pytest.raises(DataError) as caught:
            npz.load(root)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    path.write_bytes(good[: len(good) // 2])
    assert f"{path} is truncated, because" in sentence(path)
    damaged = bytearray(good)
    start = good.index(b"x_train.npy") + 200
    damaged[start : start + 100] = bytes(100)
    path.write_bytes(damaged)
    assert "x_train in" in sentence(path)
    assert "is damaged" in sentence(path)
    damaged = bytearray(good)
    table = good.rindex(b"PK\x01\x02")  # the last entry of the table of contents
    damaged[table : table + 4] = bytes(4)
    path.write_bytes(damaged)
    assert f"{path} is damaged" in sentence(path)
    path.write_bytes(b"junk before it" + good)
    assert f"{path} is damaged" in sentence(path)
    huge = b"{'descr': '|u1', 'fortran_order': False, 'shape': (4096, 3, 1048576, 1048576), }".ljust(117) + b"\n"
    magic = b"\x93NUMPY\x01\x00" + len(huge).to_bytes(2, "little")
    for member, rule in (
        (b"text", "x_train in {} is no array"),
        (magic + huge, "x_train in {} does not fit into memory"),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            for name, array in keras().items():
                content = io.BytesIO()
                np.save(content, array)
                archive.writestr(f"{name}.npy", member if name == "x_train" else content.getvalue())
        assert rule.format(path) in sentence(path)
    path.write_bytes(b"not at all")
    assert "is none: numpy.savez writes one" in sentence(path)
    np.save(tmp_path / "one.npy", COLOUR)
    assert "is none: numpy.savez writes one" in sentence(tmp_path / "one.npy")
    assert "does not exist" in sentence(tmp_path / "absent.npz")
    assert "is a folder (data=folder" in sentence(tmp_path)
    assert "data.root must name an .npz file, as data.root=PATH, got ''" in sentence("")
