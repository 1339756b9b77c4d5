"""RandAugment's operations against Pillow's, and which of them an image has."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hybridnets.data.augmentation import as_pixels, as_shares

pytest.importorskip("kornia")

from hybridnets.data.randaugment import BITS, DEGREES, FACTOR, OPERATIONS, SHEAR, SHIFT, randaugment

RNG = np.random.default_rng(1)
IMAGES = torch.from_numpy(RNG.integers(40, 221, size=(6, 3, 24, 32), dtype=np.uint8))


def changed(name: str, images: Tensor, strengths: list[float]) -> Tensor:
    return as_pixels(OPERATIONS[name](as_shares(images), torch.tensor(strengths)))


def pillow(operation: Callable[[Any], Any], image: Tensor) -> Tensor:
    module = pytest.importorskip("PIL.Image")
    picture = module.fromarray(image.permute(1, 2, 0).numpy())
    return torch.from_numpy(np.array(operation(picture))).permute(2, 0, 1)


def test_operations_without_a_magnitude_are_pillows() -> None:
    ops = pytest.importorskip("PIL.ImageOps")
    images = IMAGES.clone()
    images[1, 0] = 9  # a channel of one value
    images[2, :, :, 5:] = 100  # nearly one value
    for name, operation in (("auto_contrast", ops.autocontrast), ("equalize", ops.equalize)):
        for image, result in zip(images, changed(name, images, [1.0] * 6), strict=True):
            # Pillow cuts fractions off where these round.
            assert (result.int() - pillow(operation, image).int()).abs().max() <= 1, name
    assert torch.equal(changed("identity", images, [1.0] * 6), images)


@pytest.mark.parametrize("magnitude", [0, 3, 9, 10])
def test_thresholds_and_bits_are_pillows(magnitude: float) -> None:
    ops = pytest.importorskip("PIL.ImageOps")
    share = magnitude / 10
    for sign in (-1, 1):
        solarized = changed("solarize", IMAGES, [sign * share] * 6)
        posterized = changed("posterize", IMAGES, [sign * share] * 6)
        threshold, bits = 256 - round(256 * share), 8 - round(BITS * share)
        for image, inverted, coarse in zip(IMAGES, solarized, posterized, strict=True):
            assert torch.equal(inverted, pillow(functools.partial(ops.solarize, threshold=threshold), image))
            assert torch.equal(coarse, pillow(functools.partial(ops.posterize, bits=bits), image))


@pytest.mark.parametrize("name", ["colour", "contrast", "brightness", "sharpness"])
def test_colours_are_pillows(name: str) -> None:
    enhance = pytest.importorskip("PIL.ImageEnhance")
    make = getattr(enhance, {"colour": "Color"}.get(name, name.capitalize()))
    strengths = [-1.0, -0.4, 0.0, 0.3, 0.7, 1.0]
    for image, result, strength in zip(IMAGES, changed(name, IMAGES, strengths), strengths, strict=True):
        expected = pillow(lambda picture: make(picture).enhance(1 + FACTOR * strength), image)  # noqa: B023
        # Pillow rounds the grey, or the blurred image, before it blends: by half, which the factor may double.
        assert (result.int() - expected.int()).abs().max() <= 2, strength


def test_movements_are_those_of_the_formula() -> None:
    """A shifted image is the image at other positions; shears and turns move a spot to where the formula has it."""
    shifted = changed("shift_x", IMAGES, [1 / (SHIFT * 32) * 5] * 6)
    assert torch.equal(shifted[..., 5:], IMAGES[..., :-5])
    assert not shifted[..., :5].any()
    shifted = changed("shift_y", IMAGES, [-1 / (SHIFT * 24) * 7] * 6)
    assert torch.equal(shifted[:, :, :-7], IMAGES[:, :, 7:])
    assert not shifted[:, :, -7:].any()
    assert torch.equal(changed("rotate", IMAGES, [0.0] * 6), IMAGES)

    spot = torch.zeros(1, 1, 41, 41, dtype=torch.uint8)
    spot[0, 0, 20, 30] = 255  # ten pixels right of the centre

    def place(name: str, strength: float) -> tuple[float, float]:
        mass = changed(name, spot, [strength])[0, 0].double()
        total = mass.sum()
        return (mass.sum(1) @ torch.arange(41.0).double() / total).item(), (
            mass.sum(0) @ torch.arange(41.0).double() / total
        ).item()

    angle = np.deg2rad(DEGREES)
    assert place("rotate", 1.0) == pytest.approx((20 - 10 * np.sin(angle), 20 + 10 * np.cos(angle)), abs=0.3)
    for strength in (-1.0, 1.0):
        assert abs(place("shear_x", strength)[1] - 30) == pytest.approx(SHEAR * 20, abs=0.3)
        assert place("shear_x", strength)[0] == pytest.approx(20, abs=0.3)
    assert abs(place("shear_y", 0.5)[0] - 20) == pytest.approx(0.5 * SHEAR * 30, abs=0.3)


def test_grey_images_and_images_of_measurements_have_all_operations_but_colour() -> None:
    for channels in (1, 4):
        images = torch.from_numpy(RNG.integers(40, 200, size=(2, channels, 24, 32), dtype=np.uint8))
        for name in OPERATIONS:
            result = changed(name, images, [0.7, -0.7])
            assert result.shape == images.shape
            assert torch.equal(result, images) == (name in ("identity", "colour")), name


def test_every_image_has_the_operations_that_it_draws() -> None:
    which = (np.arange(14) + 0.5) / 14
    images = IMAGES[torch.arange(14) % 6]
    shares = as_shares(images)
    sign = np.tile([0.2, 0.8], 7)
    result = randaugment(shares, np.array([[which, sign]]), 9)
    for i, (name, strength) in enumerate(zip(OPERATIONS, np.where(sign < 0.5, -0.9, 0.9), strict=True)):
        alone = OPERATIONS[name](shares[i : i + 1], torch.tensor([strength]).float()).clamp(0, 1)
        assert torch.equal(result[i], alone[0]), name
    twice = randaugment(shares, np.array([[which, sign], [which, 1 - sign]]), 9)
    again = randaugment(result, np.array([[which, 1 - sign]]), 9)
    assert torch.equal(twice, again)
    assert torch.equal(shares, as_shares(images))
