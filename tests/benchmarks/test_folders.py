"""Images that lie in a file are never loaded as a whole, from the first start of a folder to its training.

The short form has 376 MB of images, ten times what a step was measured to need beside them; HYBRIDNETS_LONG=1 has 15 GB,
and needs 17 GB of disk and a quarter of an hour.
"""

import os
from pathlib import Path

import numpy as np

from benchmarks.folders import CLASSES, measure, write_pictures
from hybridnets.data.dataset import content_hash
from hybridnets.data.folder import load

IS_LONG = os.environ.get("HYBRIDNETS_LONG") == "1"
IMAGES, SIZE, STEPS = (100_000, 224, 12) if IS_LONG else (2_500, 224, 3)
MOST = 2e9


def test_a_folder_needs_little_memory_however_large_it_is(tmp_path: Path) -> None:
    root, cache = tmp_path / "pictures", tmp_path / "cache"
    write_pictures(root, IMAGES, SIZE)
    words = ("--folder", tmp_path, "--size", SIZE, "--steps", STEPS)
    decoding, start, epoch, training = (measure(step, *words) for step in ("load", "load", "read", "train"))
    data = load(root, SIZE, cache=cache)
    size = data.train_images.nbytes + data.test_images.nbytes
    assert (decoding["images"], decoding["sha256"], start["sha256"]) == (IMAGES, data.sha256, data.sha256)
    assert size == IMAGES * SIZE**2 * 3
    for step in (decoding, start, epoch):
        # Had they been loaded, it would be all of them; threads and the allocator take some tens of MB, more on other machines.
        assert step["anonymous_bytes"] - step["bytes_before"] < size / 2
        assert step["anonymous_bytes"] < MOST
    assert training["anonymous_bytes"] < MOST
    assert np.bincount(data.test_labels).tolist() == [-(-IMAGES // CLASSES // 100)] * CLASSES
    if not IS_LONG:  # which would read everything once more
        assert data.train_sha256 == content_hash(np.array(data.train_images), data.train_labels)
