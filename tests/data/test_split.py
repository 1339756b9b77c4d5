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
    STRATA,
    STRATA_FOLDS,
    check_settings,
    draw,
    draw_fold,
    draw_split,
    draw_stratified_fold,
    draw_stratified_split,
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
    purposes = (SPLIT, ORDER, AUGMENT, FOLDS, STRATA, STRATA_FOLDS, PARAMETER, PIXELS)
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


def labels_of(*counts: int) -> Any:
    """So many labels of each class, in a mixed order."""
    labels = np.repeat(np.arange(len(counts)), counts)
    return labels[permutation(len(labels), 99)]


def test_a_stratified_split_has_the_exact_sizes_of_largest_remainders() -> None:
    labels = labels_of(13, 5, 0, 7, 5)  # of 30 images 21 train: 9.1, 3.5, 0, 4.9 and 3.5 of the classes
    for seed in range(5):
        parts = draw_stratified_split(labels, 0.7, seed)
        # 9 + 3 + 0 + 4 + 3 leave two over: the largest remainder is .9, and of the two of .5 the first class comes first.
        assert np.bincount(labels[parts.train]).tolist() == [9, 4, 0, 5, 3]
        assert np.bincount(labels[parts.val]).tolist() == [4, 1, 0, 2, 2]
        assert sorted([*parts.train, *parts.val]) == list(range(30))
        assert (np.diff(parts.train) > 0).all()
    assert len({draw_stratified_split(labels, 0.7, seed).sha256 for seed in range(20)}) == 20


def test_a_stratified_split_is_a_pure_function_of_seed_class_and_image() -> None:
    labels = labels_of(300, 500, 200)
    before = draw_stratified_split(labels, 0.7, 3)
    np.random.seed(123)
    np.random.default_rng(1).random(10)
    assert draw_stratified_split(labels, 0.7, 3).sha256 == before.sha256
    # Which images of a class are for training depends on no other class.
    for label, size in enumerate((210, 350, 140)):
        order = np.flatnonzero(labels == label)[permutation((300, 500, 200)[label], STRATA, 3, label)]
        assert before.train[labels[before.train] == label].tolist() == sorted(order[:size].tolist())
    assert before.sha256 == "f8ff7f03f0fb486a0fe289d3ca71cbfa14fde16c25e3a8b0da9b4c76ef5e3a99"
    assert (
        draw_stratified_fold(labels, 5, 7).sha256 == "096789883828b397d252825fb9e9f0bc5bfab17543be0f5b13f076d62a1b19cc"
    )


@pytest.mark.parametrize("folds", [2, 3, 7])
def test_stratified_folds_are_a_partition_whose_sizes_differ_by_one_image_at_most(folds: int) -> None:
    labels = labels_of(40, 9, 2, 23)
    for first in (0, folds):
        parts = [draw_stratified_fold(labels, folds, first + fold) for fold in range(folds)]
        assert sorted(i for part in parts for i in part.val.tolist()) == list(range(74))
        for part in parts:
            assert sorted([*part.train.tolist(), *part.val.tolist()]) == list(range(74))
        counts = np.array([np.bincount(labels[part.val], minlength=4) for part in parts])  # (folds, classes)
        assert (np.ptp(counts, axis=0) <= 1).all()
        assert np.ptp(counts.sum(axis=1)) <= 1
    assert len({draw_stratified_fold(labels, folds, seed).sha256 for seed in range(2 * folds)}) == 2 * folds
    assert draw_stratified_fold(labels, folds, 0).sha256 != draw_fold(74, folds, 0).sha256


def test_a_class_with_one_image_cannot_be_stratified() -> None:
    images, labels = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1), np.array([0, 0, 1, 2, 2, 2])
    data = ImageDataset(images, labels, images, labels, ("a", "b", "c"))
    assert len(draw(data, 0, "random", None, 0.5, False).train) == 3
    for way, folds in (("random", None), ("kfold", 2)):
        with pytest.raises(DataError, match=r"data\.stratify=true .* but b has one image only: .*data\.stratify=false"):
            draw(data, 0, way, folds, 0.5, True)


def test_a_data_sets_own_validation_part_is_the_same_split_for_every_seed() -> None:
    images, labels = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1), np.tile([0, 1], 5)
    data = ImageDataset(images, labels, images, labels, ("a", "b"), val=np.array([1, 2, 7]))
    parts = [draw(data, seed, "random", None, None, False) for seed in (0, 1, 77)]
    assert parts[0].val.tolist() == [1, 2, 7]
    assert parts[0].train.tolist() == [0, 3, 4, 5, 6, 8, 9]
    assert len({part.sha256 for part in parts}) == 1
    # A fraction and folds divide all ten images.
    assert len(draw(data, 0, "random", None, 0.8, False).train) == 8
    assert draw(data, 4, "kfold", 5, None, False).sha256 == draw_fold(10, 5, 4).sha256
    assert draw(data, 4, "kfold", 5, None, True).sha256 == draw_stratified_fold(labels, 5, 4).sha256


@pytest.mark.parametrize(
    ("settings", "val", "sentence"),
    [
        ({"stratify": 1}, None, "data.stratify must be true or false, got 1"),
        (
            {"train_fraction": None},
            None,
            "data.train_fraction must be a number such as 0.7, because this data set brings no validation part of its own, "
            "got None",
        ),
        (
            {"train_fraction": None, "stratify": True},
            np.arange(20),
            "data.stratify must be false where data.train_fraction is null, because the data set's own validation part is",
        ),
        ({"train_fraction": None, "batch_size": 81}, np.arange(20), "to the 80 images of the training part, got 81"),
    ],
)
def test_illegal_settings_of_the_validation_part_are_refused(settings: dict[str, Any], val: Any, sentence: str) -> None:
    for legal in ({"train_fraction": None}, {"stratify": True}, {"way": "kfold", "folds": 5, "train_fraction": None}):
        check_settings(100, (3, 32, 32), **{**LEGAL, **legal}, val=np.arange(20))  # type: ignore[arg-type]
    with pytest.raises(DataError) as caught:
        check_settings(100, (3, 32, 32), **{**LEGAL, **settings}, val=val)
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
