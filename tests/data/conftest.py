"""Folders of small pictures, for the tests of data=folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hybridnets.data.dataset import DataError, ImageDataset, Images
from hybridnets.data.folder import load

SIZE = (4, 6)  # height, width
RNG = np.random.default_rng(0)


def pixels(n: int, channels: int = 3) -> Images:
    return RNG.integers(0, 256, (n, channels, *SIZE), dtype=np.uint8)


def save(path: Path, image: Images) -> Path:
    """An image (C, H, W) as a PNG, or of the kind that the name ends in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = image.transpose(1, 2, 0)
    Image.fromarray(rows if len(image) == 3 else rows[:, :, 0]).save(path)
    return path


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., ImageDataset]:
    """`load` of tmp_path/photos, with a cache beside it."""

    def call(**settings: Any) -> ImageDataset:
        return load(**{"root": tmp_path / "photos", "image_size": SIZE, "cache": tmp_path / "cache", **settings})

    return call


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes with three pictures each in train, and with two each in test."""
    root = tmp_path / "photos"
    for part, n in (("train", 3), ("test", 2)):
        for name in ("cat", "dog"):
            for i, image in enumerate(pixels(n)):
                save(root / part / name / f"{i}.png", image)
    return root


def refusal(read: Callable[..., ImageDataset], **settings: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(**settings)
    return str(caught.value)
