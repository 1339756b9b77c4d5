"""A data set of this project: conf/data/shapes.yaml names it, so data=shapes trains on it. Replace it by your own images."""

import numpy as np
from hybridnets.data.dataset import ImageDataset, canonical

CLASSES = ("circle", "square", "triangle")
SIZE = 16  # pixels


def load(train: int = 1200, test: int = 300) -> ImageDataset:
    """Drawn shapes of random size and place, with noise: uint8 images (N, 1, 16, 16) and labels 0 to 2 (N,)."""
    rng = np.random.default_rng(0)  # the same images in every run: a run's seed must not change its data
    images, labels = zip(*(_draw(k % len(CLASSES), rng) for k in range(train + test)), strict=True)
    pixels, classes = np.stack(images), np.array(labels)
    # `canonical` orders images by content, so that a split does not depend on the order in which they were read.
    return ImageDataset(
        *canonical(pixels[:train], classes[:train]), *canonical(pixels[train:], classes[train:]), classes=CLASSES
    )


def _draw(label: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    radius, (x, y) = rng.uniform(2, 5), rng.uniform(5, SIZE - 5, 2)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    down, right = (rows - y) / radius, (columns - x) / radius
    shapes = {
        "circle": down**2 + right**2 < 1,
        "square": np.maximum(abs(down), abs(right)) < 0.9,
        "triangle": (abs(right) < (down + 1) / 2) & (abs(down) < 1),
    }
    noisy = 160.0 * shapes[CLASSES[label]] + rng.normal(40, 40, (SIZE, SIZE))
    return noisy.clip(0, 255).astype(np.uint8)[np.newaxis], label
