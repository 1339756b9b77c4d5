"""Augmentation beyond flip and crop: what it does to pixels and labels, and that seed, epoch and image alone decide it."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hybridnets.data.augment_settings import OFF, check_augment
from hybridnets.data.augmentation import (
    ERASE,
    MIX_KIND,
    RANDAUGMENT,
    ROTATE,
    Augmentation,
    Draws,
    adjust,
    as_pixels,
    as_shares,
    beta_share,
    cut_rectangles,
    erased_rectangles,
    rotate,
)
from hybridnets.data.dataset import DataError
from hybridnets.data.loader import BatchLoader

RNG = np.random.default_rng(0)
IMAGES = torch.from_numpy(RNG.integers(0, 256, size=(90, 3, 12, 10), dtype=np.uint8))
LABELS = torch.arange(90) % 5
PART = np.arange(5, 85)
OFF_BY_ONE = 1  # what another processor's rounding may change
RANDOM = {"operations": 2, "magnitude": 9}
KINDS: dict[str, Any] = {
    **{"rotate": 20, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "erase": 0.5},
    **{"randaugment": RANDOM, "mixup": 0.4, "cutmix": 1.0},
}
MIXING = ("mixup", "cutmix")
KORNIA = ("rotate", "contrast", "saturation", "hue", "randaugment")

# What the random numbers were when they were introduced: numbers, then pixels [:6, 0, 3, 2:4] and labels of a batch.
PINNED_NUMBERS = {
    0: [3975596898045135, 8344655078684446, 7425121481467780, 2312186625169408, 965560241528029],
    5: [8256249366371645, 7195719775831096, 7707214246753217, 4485906154277692, 418378574085785],
    10: [8227015109387374, 2724990180155900, 5892212894702169, 7209716504619507, 8074862962644009],
    32: [531738880616347, 8169269021632180, 214953131517386, 4129066673506519, 491358406959640],
}
PINNED_PIXELS = [128, 132, 250, 91, 77, 137, 243, 174, 216, 151, 163]
PINNED_ERASED = [[2, 1, 3, 6], [7, 2, 3, 8], [4, 6, 5, 4], [0, 3, 3, 5], [6, 4, 4, 4]]
PINNED_CUT = [[3, 0, 8, 3], [2, 0, 10, 4], [8, 2, 2, 2], [5, 0, 6, 3], [0, 0, 7, 5]]
PINNED: dict[str, tuple[list[int], list[Any]]] = {
    "rotate": ([185, 212, 191, 81, 139, 93, 75, 96, 90, 180, 36, 54], [0, 0, 4, 4]),
    "brightness": ([130, 181, 147, 55, 205, 128, 44, 169, 15, 206, 6, 13], [0, 0, 4, 4]),
    "contrast": ([150, 190, 200, 68, 176, 110, 33, 135, 56, 165, 0, 0], [0, 0, 4, 4]),
    "saturation": ([156, 224, 195, 76, 173, 114, 31, 136, 6, 186, 4, 9], [0, 0, 4, 4]),
    "hue": ([163, 210, 225, 73, 177, 114, 35, 120, 13, 180, 98, 13], [0, 0, 4, 4]),
    "erase": ([163, 226, 195, 73, 177, 110, 35, 135, 13, 180, 6, 13], [0, 0, 4, 4]),
    "randaugment": ([193, 255, 145, 122, 84, 17, 0, 148, 13, 180, 6, 13], [0, 0, 4, 4]),
    "mixup": (
        [181, 140, 193, 77, 177, 110, 22, 161, 8, 63, 165, 120],
        [
            [1.0, 0.0, 0.0, 0.0, 0.0],
            [0.887565, 0.0, 0.0, 0.0, 0.112435],
            [0.0, 0.0, 0.0, 0.0, 1.0],
            [0.580562, 0.0, 0.0, 0.0, 0.419438],
        ],
    ),
    "cutmix": (
        [195, 73, 195, 73, 177, 110, 35, 135, 6, 13, 6, 13],
        [[1.0, 0.0, 0.0, 0.0, 0.0], [0.8, 0.0, 0.0, 0.0, 0.2], [0.0, 0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0, 1.0]],
    ),
}


def augmentation(**settings: Any) -> Augmentation:
    return Augmentation({"flip": False, "crop": 0, **settings}, 5)


def by_image(
    part: Any, epoch: int, settings: Mapping[str, Any], *rank_and_world: int, batch: int = 16
) -> dict[int, bytes]:
    """The pixels and labels of every image of an epoch."""
    loader = BatchLoader(
        IMAGES, LABELS, part, batch, *rank_and_world, order_seed=3, augmentation=augmentation(**settings)
    )
    loader.set_epoch(epoch)
    result = {}
    for images, labels, index in loader:
        assert images.dtype == torch.uint8
        for i, image, label in zip(index.tolist(), images, labels, strict=True):
            result[i] = image.numpy().tobytes() + label.numpy().tobytes()
    return result


@pytest.fixture(autouse=True)
def _kornia(request: pytest.FixtureRequest) -> None:
    words = request.node.name.split("[")[-1]
    if any(kind in words for kind in KORNIA):
        pytest.importorskip("kornia")


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_changes_by_seed_epoch_and_image_alone(kind: str) -> None:
    settings = {kind: KINDS[kind]}
    everywhere = by_image(PART, 1, settings)
    torch.manual_seed(0)
    assert by_image(PART, 1, settings) == everywhere
    assert by_image(PART, 0, settings) != everywhere
    assert by_image(PART, 1, settings, 0, 2) | by_image(PART, 1, settings, 1, 2) == everywhere
    assert (
        by_image(PART, 1, settings, 0, 3) | by_image(PART, 1, settings, 1, 3) | by_image(PART, 1, settings, 2, 3)
        == everywhere
    )
    if kind not in MIXING:  # the second image is the next one of the epoch's batch
        assert by_image(PART[::2], 1, settings).items() <= everywhere.items()
        assert by_image(PART, 1, settings, batch=7) == everywhere


def test_each_kind_has_random_numbers_of_its_own() -> None:
    """Another kind that is on does not change what a kind draws: a factor of nearly 1 leaves images as they are."""
    pytest.importorskip("kornia")
    alone = by_image(PART, 1, {"erase": 0.5})
    assert by_image(PART, 1, {"erase": 0.5, "brightness": 1e-9, "contrast": 1e-9}) == alone
    assert by_image(PART, 1, {"erase": 0.5, "mixup": 0.4}) != alone


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_an_epoch_that_is_begun_again_gives_the_same_bytes(kind: str | None) -> None:
    settings = KINDS if kind is None else {kind: KINDS[kind]}
    loader = BatchLoader(IMAGES, LABELS, PART, 16, order_seed=3, augmentation=augmentation(**settings))
    loader.set_epoch(2)
    first = iter(loader)
    next(first)
    next(first)  # an epoch that was cut short
    again = BatchLoader(IMAGES, LABELS, PART, 16, order_seed=3, augmentation=augmentation(**settings))
    again.set_epoch(2)
    for one, two in zip([*loader], [*again], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_the_random_numbers_never_change() -> None:
    """Runs are found again by their settings: other numbers may come only together with another protocol number."""
    draws = Draws(5, 3, 2)
    numbers = {
        parameter: [round(x * 2**53) for x in draws.uniform(parameter, np.arange(5))]
        for parameter in (ROTATE, ERASE, MIX_KIND, RANDAUGMENT)
    }
    assert numbers == PINNED_NUMBERS
    assert draws.pixels(4, 11).tolist() == PINNED_PIXELS
    assert erased_rectangles(torch.Size((12, 10)), np.arange(5), draws).tolist() == PINNED_ERASED
    assert cut_rectangles(torch.Size((12, 10)), 1.0, np.arange(5), draws).tolist() == PINNED_CUT


@pytest.mark.parametrize("kind", KINDS)
def test_the_pixels_never_change(kind: str) -> None:
    # One operation of RandAugment: a second may meet a threshold that another processor's rounding crosses.
    setting = {**RANDOM, "operations": 1} if kind == "randaugment" else KINDS[kind]
    loader = BatchLoader(IMAGES, LABELS, PART, 16, order_seed=3, augmentation=augmentation(**{kind: setting}))
    loader.set_epoch(1)
    images, labels, _ = next(iter(loader))
    pixels, expected = PINNED[kind]
    assert (images[:6, 0, 3, 2:4].flatten().int() - torch.tensor(pixels)).abs().max() <= OFF_BY_ONE
    if kind in MIXING:
        torch.testing.assert_close(
            labels[:4, :].double(), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-5
        )
    else:
        assert labels[:4].tolist() == expected


def test_numbers_are_uniform_and_different_for_every_parameter() -> None:
    draws = Draws(20_000, 0, 0)
    index = np.arange(20_000)
    streams = [draws.uniform(parameter, index) for parameter in range(40)]
    for numbers in streams:
        assert 0 <= numbers.min() < numbers.max() < 1
        assert abs(numbers.mean() - 0.5) < 5 / math.sqrt(12 * 20_000)
    assert np.abs(np.corrcoef(streams) - np.eye(40)).max() < 6 / math.sqrt(20_000)
    np.testing.assert_array_equal(draws.uniform(0, index[::3], -2, 2), -2 + 4 * streams[0][::3])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_rotate_by_right_angles_is_torchs(channels: int) -> None:
    pytest.importorskip("kornia")
    square = torch.from_numpy(RNG.integers(0, 256, size=(3, channels, 9, 9), dtype=np.uint8))
    turned = as_pixels(rotate(square, np.array([90.0, 180.0, -90.0])))
    for image, result, quarters in zip(square, turned, (1, 2, 3), strict=True):
        assert torch.equal(result, torch.rot90(image, quarters, (1, 2)))
    wide = square[:, :, :5]
    assert torch.equal(as_pixels(rotate(wide, np.full(3, 180.0))), wide.flip(2, 3))
    half = as_pixels(rotate(torch.full((1, 1, 9, 9), 255, dtype=torch.uint8), np.array([45.0])))
    assert half[0, 0, 0, 0] == 0  # a corner comes from outside
    assert half[0, 0, 4].min() == 255


def test_colours_follow_their_formulas() -> None:
    pytest.importorskip("kornia")
    images = IMAGES[:4]
    pixels, factors = images.double(), np.array([2.0, 0.5, 1.0, 0.0])
    f = torch.from_numpy(factors)[:, None, None, None]
    grey = (pixels * torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)[:, None, None]).sum(1, keepdim=True)
    expected = {
        "brightness": f * pixels,
        "contrast": f * pixels + (1 - f) * grey.mean((2, 3), keepdim=True),
        "saturation": f * pixels + (1 - f) * grey,
    }
    for what, values in expected.items():
        got = as_pixels(adjust(what, images, factors)).double()
        assert (got - values.clamp(0, 255)).abs().max() < 0.5 + 1e-3, what
    # A third of the circle turns red into green, green into blue, blue into red.
    assert (as_pixels(adjust("hue", images, np.full(4, 1 / 3))).int() - images.roll(1, 1).int()).abs().max() <= 1
    assert torch.equal(as_pixels(adjust("hue", images, np.zeros(4))), images)


def test_the_settings_bound_what_is_drawn() -> None:
    pytest.importorskip("kornia")
    grey = torch.full((90, 3, 4, 4), 100, dtype=torch.uint8)
    index, draws = np.arange(90), Draws(90, 0, 0)
    levels = as_pixels(augmentation(brightness=0.4).change(grey, index, draws))[:, 0, 0, 0]
    assert 60 <= levels.min() < 66
    assert 134 < levels.max() <= 140
    turned = augmentation(rotate=1).change(IMAGES, index, draws)
    assert (turned - as_shares(IMAGES)).abs().max() > 0


def test_an_erased_rectangle_has_the_size_drawn() -> None:
    images = torch.full((400, 2, 20, 30), 77, dtype=torch.uint8)
    index, draws = np.arange(400), Draws(400, 1, 0)
    erased = augmentation(erase=0.25).change(images, index, draws)
    assert (images == 77).all()  # the data set's own pixels
    rectangles = erased_rectangles(torch.Size((20, 30)), index, draws)
    changed = (erased != 77).any(1)  # of two channels: a random pixel is 77 twice once in 65,536
    chosen = draws.uniform(ERASE, index) < 0.25
    assert 70 < chosen.sum() < 130
    for i, (top, left, high, wide) in enumerate(rectangles.tolist()):
        assert 0 <= top <= 20 - high
        assert 0 <= left <= 30 - wide
        inside = torch.zeros(20, 30, dtype=torch.bool)
        inside[top : top + high, left : left + wide] = True
        assert not (changed[i] & ~inside).any()
        assert (inside & ~changed[i]).sum() <= 2 if chosen[i] else not changed[i].any()
    shares = rectangles[:, 2] * rectangles[:, 3] / 600
    assert 0.015 < shares.min() < 0.04
    assert 0.35 < shares.max() < 0.44  # the sides are rounded
    noise = erased[chosen][:, :, 5:15].float()
    assert noise.std() > 20


def test_mixup_mixes_labels_as_pixels() -> None:
    black_and_white = torch.stack([torch.zeros(1, 4, 6), torch.full((1, 4, 6), 255)]).to(torch.uint8)
    images, labels = black_and_white[torch.arange(64) % 2], torch.arange(64) % 2
    index, draws = np.arange(64), Draws(64, 0, 0)
    mixed, shares = Augmentation({"flip": False, "crop": 0, "mixup": 0.7}, 3).mix(
        images, labels, images.roll(-1, 0), labels.roll(-1), index, draws
    )
    assert shares.shape == (64, 3)
    assert shares.dtype == torch.float32
    torch.testing.assert_close(shares.sum(1), torch.ones(64))
    assert (shares[:, 2] == 0).all()
    torch.testing.assert_close(mixed, shares[:, 1, None, None, None].expand_as(mixed))  # white's share is the pixel
    assert len(set(shares[:, 1].tolist())) > 60


def test_cutmix_mixes_labels_by_the_exact_area() -> None:
    images = torch.stack([torch.zeros(1, 9, 14), torch.full((1, 9, 14), 255)]).to(torch.uint8)[torch.arange(200) % 2]
    labels = torch.arange(200) % 2
    index, draws = np.arange(200), Draws(200, 0, 0)
    mixed, shares = augmentation(cutmix=1).mix(images, labels, images.roll(-1, 0), labels.roll(-1), index, draws)
    assert mixed.dtype == torch.uint8
    white = (mixed == 255).float().mean((1, 2, 3))
    torch.testing.assert_close(shares[:, 1], white)
    for image, (top, left, high, wide), label in zip(
        mixed[:, 0], cut_rectangles(torch.Size((9, 14)), 1, index, draws).tolist(), labels.tolist(), strict=True
    ):
        expected = torch.full((9, 14), 255 * label)
        expected[top : top + high, left : left + wide] = 255 * (1 - label)
        assert torch.equal(image.int(), expected.int())
    assert 0 <= shares.min() < shares.max() <= 1
    assert (
        abs(shares[labels == 1, 1].mean() - (1 - 1 / 3)) < 0.15
    )  # a cut is 1 / 2 of the area in the mean, less what the border takes


def test_with_both_each_image_is_mixed_in_one_way() -> None:
    images = torch.stack([torch.zeros(1, 8, 8), torch.full((1, 8, 8), 255)]).to(torch.uint8)[torch.arange(300) % 2]
    labels = torch.arange(300) % 2
    index, draws = np.arange(300), Draws(300, 0, 0)

    def mixed(**settings: Any) -> tuple[Tensor, Tensor]:
        return augmentation(**settings).mix(images, labels, images.roll(-1, 0), labels.roll(-1), index, draws)

    (by_mixup, mixup_shares), (by_cutmix, cutmix_shares) = mixed(mixup=0.4), mixed(cutmix=1)
    both, shares = mixed(mixup=0.4, cutmix=1)
    cuts = torch.from_numpy(draws.uniform(MIX_KIND, index) < 0.5)
    assert 110 < cuts.sum() < 190
    assert torch.equal(both, torch.where(cuts[:, None, None, None], as_shares(by_cutmix), by_mixup))
    assert torch.equal(shares, torch.where(cuts[:, None], cutmix_shares, mixup_shares))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_shares_follow_the_beta_distribution(alpha: float) -> None:
    shares = beta_share(alpha, Draws(20_000, 0, 0).uniform(0, np.arange(20_000)))
    variance = 1 / (4 * (2 * alpha + 1))
    assert 0 <= shares.min() < shares.max() <= 1
    assert abs(shares.mean() - 0.5) < 5 * math.sqrt(variance / 20_000)
    assert abs(shares.var() / variance - 1) < 0.05


def test_the_second_image_is_the_next_of_the_batch_of_all_devices() -> None:
    for world in (1, 2, 4):
        for rank in range(world):
            loader = BatchLoader(
                IMAGES, LABELS, PART, 16, rank, world, order_seed=3, augmentation=augmentation(cutmix=1)
            )
            plain = [index.numpy() for _, _, index in BatchLoader(IMAGES, LABELS, PART, 16, order_seed=3)]
            for (images, labels, index), whole in zip(loader, plain, strict=True):
                partners = np.roll(whole, -1)[rank::world]
                np.testing.assert_array_equal(index, whole[rank::world])
                own, other = IMAGES[index], IMAGES[torch.from_numpy(partners)]
                assert ((images == own) | (images == other)).all()
                assert (labels[:, :].argmax(1) == LABELS[index]).sum() + (
                    labels.argmax(1) == LABELS[torch.from_numpy(partners)]
                ).sum() >= len(index)
                np.testing.assert_allclose(labels.sum(1), 1, rtol=1e-6)


def test_val_is_never_changed() -> None:
    loader = BatchLoader(IMAGES, LABELS, PART, 16, augmentation=augmentation(**KINDS))
    for images, labels, index in loader:
        assert torch.equal(images, IMAGES[index])
        assert torch.equal(labels, LABELS[index])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("rotate", value) for value in (-1, 181, True, "5", None, float("nan"))],
        *[(key, value) for key in ("brightness", "contrast", "saturation", "erase") for value in (-0.1, 1.1, None)],
        *[("hue", value) for value in (0.6, -0.1)],
        *[(key, value) for key in MIXING for value in (-0.1, 101, float("inf"), True)],
        *[("randaugment", value) for value in (9, True, {}, {"operations": 2}, {**RANDOM, "more": 1})],
        *[("randaugment.operations", value) for value in (0, 17, 2.0, None)],
        *[("randaugment.magnitude", value) for value in (-1, 11, None, True)],
    ],
)
def test_an_illegal_setting_is_refused_with_its_key_and_value(key: str, value: Any) -> None:
    name, _, inner = key.partition(".")
    settings = {"flip": False, "crop": 0, name: {**RANDOM, inner: value} if inner else value}
    with pytest.raises(DataError) as caught:
        check_augment(settings, (3, 32, 32))
    assert f"data.augment.{key} must be " in str(caught.value)
    assert repr(value) in str(caught.value)


def test_what_images_or_installation_cannot_do_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("hue", "saturation"):
        with pytest.raises(DataError, match=rf"data\.augment\.{key} must be 0 for images of 1 channel, because"):
            check_augment({**OFF, key: 0.1}, (1, 32, 32))
    with pytest.raises(DataError, match=r"null for images of 2x8, because sharpening needs 3x3"):
        check_augment({**OFF, "randaugment": RANDOM}, (1, 2, 8))
    monkeypatch.setattr("hybridnets.data.augment_settings.find_spec", lambda _: None)
    for key in KORNIA:
        with pytest.raises(
            DataError, match=rf"data\.augment\.{key} needs kornia, .* pip install 'hybridnets\[augment\]'"
        ):
            check_augment({**OFF, key: KINDS[key]}, (3, 32, 32))
    check_augment({**OFF, "erase": 0.5, "mixup": 1, "cutmix": 1, "flip": True, "crop": 2}, (3, 32, 32))


def test_a_data_set_of_old_may_state_flip_and_crop_alone() -> None:
    check_augment({"flip": True, "crop": 4}, (3, 32, 32))
    assert not augmentation().is_on
    assert augmentation(erase=0.1).is_on
