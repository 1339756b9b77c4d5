from typing import Any

import numpy as np
import pytest
import torch

from hybridnets.data.dataset import DataError, ImageDataset
from hybridnets.data.split import (
    AUGMENT,
    FOLDS,
    ORDER,
    PARAMETER,
    PIXELS,
    SPLIT,
    check_settings,
    draw_fold,
    draw_split,
    permutation,
    stream,
)

LEGAL = {
    "train_fraction": 0.7,
    "batch_size": 32,
    "standardize": {"statistics": "scalar", "over": "all"},
    "augment": {"flip": False, "crop": 0},
}


def test_the_parts_are_disjoint_and_complete() -> None:
    parts = draw_split(50_000, 0.7, 0)
    assert (len(parts.train), len(parts.val)) == (35_000, 15_000)
    np.testing.assert_array_equal(np.sort(np.concatenate([parts.train, parts.val])), np.arange(50_000))
    # The split is random: every range of positions has the same share, here within five deviations.
    assert abs((parts.train < 10_000).sum() - 7_000) < 5 * np.sqrt(10_000 * 0.7 * 0.3)


def test_a_split_depends_on_its_seed_alone() -> None:
    before = draw_split(1_000, 0.7, 0)
    np.random.seed(5)
    torch.manual_seed(5)
    again = draw_split(1_000, 0.7, 0)
    np.testing.assert_array_equal(before.train, again.train)
    assert before.sha256 == again.sha256
    assert len({draw_split(1_000, 0.7, seed).sha256 for seed in range(20)}) == 20
    # The order of the positions is the same, but it is cut at another place.
    assert len({draw_split(3, fraction, 0).sha256 for fraction in (0.3, 0.6)}) == 2


def test_an_order_and_an_augmentation_never_change() -> None:
    """Runs are found again by their seeds: another order may come only together with another protocol number."""
    assert permutation(10, ORDER, 3, 2).tolist() == [8, 9, 1, 0, 6, 7, 3, 4, 5, 2]
    assert permutation(5, AUGMENT, 3, 2).tolist() == [3, 0, 4, 1, 2]


def test_a_split_never_changes() -> None:
    """Recorded runs name their split by this hash; it may change only together with the protocol number."""
    parts = draw_split(10, 0.7, 0)
    assert parts.train.tolist() == [0, 2, 4, 5, 7, 8, 9]
    assert parts.sha256 == "33218a7c2b3c201b776786978c25100034b33151d75811f6ed0f280a2847523e"


@pytest.mark.parametrize(("n", "folds"), [(1_500, 5), (103, 10), (7, 7), (9, 2)])
def test_the_folds_of_a_repetition_partition_the_images(n: int, folds: int) -> None:
    repetitions = []
    for first in range(0, 3 * folds, folds):
        parts = [draw_fold(n, folds, seed) for seed in range(first, first + folds)]
        np.testing.assert_array_equal(np.sort(np.concatenate([part.val for part in parts])), np.arange(n))
        for part in parts:
            np.testing.assert_array_equal(np.sort(np.concatenate([part.train, part.val])), np.arange(n))
            assert np.all(np.diff(part.train) > 0)
            assert np.all(np.diff(part.val) > 0)
        sizes = {len(part.val) for part in parts}
        assert sizes <= {n // folds, -(-n // folds)}
        repetitions.append(frozenset(part.val.tobytes() for part in parts))
    assert len(set(repetitions)) == (3 if folds < n else 1)  # another division, not the same in another order


def test_a_fold_depends_on_its_seed_alone_and_differs_from_a_random_split() -> None:
    before = draw_fold(1_000, 5, 7)
    np.random.seed(5)
    torch.manual_seed(5)
    again = draw_fold(1_000, 5, 7)
    np.testing.assert_array_equal(before.val, again.val)
    assert before.sha256 == again.sha256
    assert len({draw_fold(1_000, 5, seed).sha256 for seed in range(20)}) == 20
    assert draw_fold(1_000, 5, 0).sha256 != draw_split(1_000, 0.8, 0).sha256
    # The division of a repetition is random: every range of positions has the same share, here within five deviations.
    assert abs((draw_fold(50_000, 5, 3).val < 10_000).sum() - 2_000) < 5 * np.sqrt(10_000 * 0.2 * 0.8)


def test_a_fold_never_changes() -> None:
    """Recorded runs name their split by this hash; it may change only together with the protocol number."""
    parts = draw_fold(10, 5, 6)  # the second fold of the second repetition
    order = permutation(10, FOLDS, 1)
    assert parts.val.tolist() == sorted(order[2:4].tolist()) == [1, 2]
    assert parts.sha256 == "5514225a2d630ee45af2881d1cd92299670a1d43b69f3faa981fe03bd43227fa"


def test_purposes_seeds_and_epochs_have_different_streams() -> None:
    purposes = (SPLIT, ORDER, AUGMENT, FOLDS, PARAMETER, PIXELS)
    keys = [(purpose, seed, epoch) for purpose in purposes for seed in range(5) for epoch in range(5)]
    assert len({stream(4, *key).tobytes() for key in keys}) == len(keys)
    assert sorted(permutation(100, ORDER, 0, 0).tolist()) == list(range(100))
    for seed in (-1, 2**32):  # numpy would split the latter into epoch 1 of seed 0
        with pytest.raises(ValueError, match="from 0 to"):
            stream(4, ORDER, seed, 0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("train_fraction", value) for value in (0, 1, -0.1, float("nan"), 0.0001, True, "0.7", None)],
        *[("batch_size", value) for value in (0, 1, 71, 32.0, True, None)],
        *[("standardize", value) for value in (None, {}, {"statistics": "scalar"})],
        *[("standardize.statistics", value) for value in ("pixel", None)],
        ("standardize.over", "val"),
        *[("augment", value) for value in (None, {"flip": False, "crop": 0, "spin": 1}, {"flip": False})],
        *[("augment.flip", value) for value in (1, "yes")],
        *[("augment.crop", value) for value in (-1, 17, 4.0, True)],
    ],
)
def test_an_illegal_setting_is_refused_with_its_key_and_value(key: str, value: object) -> None:
    name, _, inner = key.partition(".")
    settings: dict[str, object] = dict(LEGAL)
    settings[name] = {**LEGAL[name], inner: value} if inner else value  # type: ignore[dict-item]
    check_settings(100, (3, 32, 32), **LEGAL)  # type: ignore[arg-type]
    with pytest.raises(DataError) as caught:
        check_settings(100, (3, 32, 32), **settings)  # type: ignore[arg-type]
    assert f"data.{key} " in str(caught.value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"way": "folds"}, "data.split must be random or kfold, got 'folds'"),
        ({"way": None}, "data.split must be random or kfold, got None"),
        ({"folds": 5}, "data.folds must be null where data.split is random, got 5: data.split=kfold makes folds"),
        *[
            (
                {"way": "kfold", "folds": folds},
                f"data.folds must be a whole number from 2 to the 100 images that data.split=kfold divides, got {folds!r}",
            )
            for folds in (None, 1, 0, -5, 101, 2.0, True, "5")
        ],
        ({"way": "kfold", "folds": 2, "batch_size": 51}, "to the 50 images of the training part, got 51"),
        ({"way": "kfold", "folds": 3, "batch_size": 67}, "to the 66 images of the training part, got 67"),
    ],
)
def test_illegal_folds_are_refused(settings: dict[str, Any], sentence: str) -> None:
    for legal in ({"way": "kfold", "folds": 100}, {"way": "kfold", "folds": 2, "train_fraction": 0}):
        check_settings(100, (3, 32, 32), **{**LEGAL, **legal})  # type: ignore[arg-type]
    with pytest.raises(DataError) as caught:
        check_settings(100, (3, 32, 32), **{**LEGAL, **settings})
    assert sentence in str(caught.value)


def test_an_inconsistent_data_set_is_refused() -> None:
    images, labels = np.zeros((4, 3, 2, 2), dtype=np.uint8), np.array([0, 1, 0, 1])
    ImageDataset(images, labels, images, labels, ("a", "b"))
    wrong: list[tuple[tuple[Any, Any, Any, Any], str]] = [
        ((images.astype(float), labels, images, labels), "uint8"),
        ((images[:0], labels[:0], images, labels), "non-empty"),
        ((images, labels[:3], images, labels), "labels"),
        ((images, labels, images, labels + 1), "0 to 1"),
        ((images, labels, images[:, :, :1], labels), "the same shape"),
    ]
    for arguments, word in wrong:
        with pytest.raises(DataError, match=word):
            ImageDataset(*arguments, classes=("a", "b"))


def test_the_hash_covers_all_of_the_content() -> None:
    images, labels = np.zeros((4, 3, 2, 2), dtype=np.uint8), np.array([0, 1, 0, 1])
    changed = images.copy()
    changed[0, 0, 0, 0] = 1
    variants = [
        (images, labels, images, labels, ("a", "b")),
        (changed, labels, images, labels, ("a", "b")),
        (images, labels[::-1], images, labels, ("a", "b")),
        (images, labels, changed, labels, ("a", "b")),
        (images, labels, images, labels[::-1], ("a", "b")),
        (images, labels, images, labels, ("a", "c")),
        (*[part.reshape(4, 3, 1, 4) if part.ndim == 4 else part for part in (images, labels) * 2], ("a", "b")),
    ]
    assert len({ImageDataset(*variant).sha256 for variant in variants}) == len(variants)  # type: ignore[arg-type]
