"""CIFAR-100, read from a folder or downloaded first: 100 classes, or their 20 superclasses.

Source: Krizhevsky (2009), Learning Multiple Layers of Features from Tiny Images; https://www.cs.toronto.edu/~kriz/cifar.html
gives both layouts, the superclasses and the archives' checksums.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from hybridnets.data import plain_pickle
from hybridnets.data.cifar10 import PIXELS, SHAPE, read_binary
from hybridnets.data.dataset import DataError, ImageDataset, Images, Integers, canonical
from hybridnets.data.download import Archive
from hybridnets.data.published import check_source, obtain_folder
from hybridnets.program import either

Kind = Literal["fine", "coarse"]

SUPERCLASSES = {
    "aquatic_mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium_fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food_containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit_and_vegetables": ("apple", "mushroom", "orange", "pear", "sweet_pepper"),
    "household_electrical_devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household_furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large_carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large_man-made_outdoor_things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large_natural_outdoor_scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large_omnivores_and_herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium_mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect_invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small_mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"),
    "vehicles_1": ("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
    "vehicles_2": ("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
}
# A label is the position of its name in the alphabet.
COARSE = tuple(sorted(SUPERCLASSES))
FINE = tuple(sorted(name for names in SUPERCLASSES.values() for name in names))
COARSE_OF_FINE = np.array(
    [COARSE.index(next(group for group, names in SUPERCLASSES.items() if name in names)) for name in FINE]
)

BINARY = Archive("cifar-100-binary.tar.gz", 168_513_733, "03b5dce01913d631647c71ecec9e9cb8", folder="cifar-100-binary")
PYTHON = Archive("cifar-100-python.tar.gz", 169_001_437, "eb9058c3a382ffc7106e4002c42a8d85", folder="cifar-100-python")
FILES = {BINARY: ("train.bin", "test.bin"), PYTHON: ("train", "test")}
# Of the second layout's files, as torchvision verifies them; of the first one's, only the archive's checksum is published.
MD5 = {"train": "16019d7e3df5f24257cddd939b257f8d", "test": "f0ef6b0ae62326f3e7ffdfab6717acfc"}
PER_CLASS = (500, 100)  # images of each of the 100 classes, for training and test
LABELS = 2  # bytes of a record before its pixels: the superclass, then the class


def load(
    root: str | os.PathLike[str], mirrors: Sequence[str] = (), labels: Kind = "fine", *, here_only: bool = False
) -> ImageDataset:
    """Reads CIFAR-100, downloading it first if the folder does not hold it.

    Args:
        root: The folder that holds `cifar-100-binary`, torchvision's `cifar-100-python` or the archive of either, or one of
            these two folders itself.
        mirrors: Addresses of `cifar-100-binary.tar.gz`, tried in this order.
        labels: The 100 classes (`fine`) or the 20 superclasses (`coarse`).
        here_only: Whether to refuse a data set that would have to be downloaded or unpacked.

    Raises:
        DataError: If the data cannot be downloaded, or a file of it is missing, truncated or altered.
    """
    if labels not in get_args(Kind):
        raise DataError(f"data.labels must be {either(get_args(Kind))}, got {labels!r}")
    try:
        place = check_source(root, mirrors)
        layout, folder = obtain_folder("CIFAR-100", place, mirrors, FILES, here_only=here_only)
        if missing := [name for name in FILES[layout] if not (folder / name).is_file()]:
            raise DataError(
                f"{folder} lacks {' and '.join(missing)} of CIFAR-100: put it there, or delete the folder to download it again"
            )
        parts = [_part(layout, folder / name, n, labels) for name, n in zip(FILES[layout], PER_CLASS, strict=True)]
    except OSError as error:
        raise DataError(f"data.root={root} cannot be used: {error}") from error
    return ImageDataset(*parts[0], *parts[1], FINE if labels == "fine" else COARSE)


def _part(layout: Archive, path: Path, per_class: int, kind: Kind) -> tuple[Images, Integers]:
    """The images of one file, (N, 3, 32, 32), and their labels, (N,)."""
    records = np.empty((per_class * len(FINE), LABELS + PIXELS), dtype=np.uint8)
    (read_binary if layout is BINARY else _read_pickle)(path, records)
    coarse, fine = records[:, 0], records[:, 1]
    if fine.max() >= len(FINE) or (COARSE_OF_FINE[fine] != coarse).any():
        raise DataError(f"{path} is altered: some of its classes are not in their superclass: replace it")
    if (counts := np.bincount(fine, minlength=len(FINE))).tolist() != [per_class] * len(FINE):
        raise DataError(
            f"{path} is altered: it must hold {per_class} images of each class, but holds {counts.min()} to {counts.max()}: "
            "replace it"
        )
    images, labels = canonical(records[:, LABELS:], (fine if kind == "fine" else coarse).astype(np.int64))
    return images.reshape(-1, *SHAPE), labels


def _read_pickle(path: Path, records: Images) -> None:
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    if digest != MD5[path.name]:
        raise DataError(f"{path} is not CIFAR-100's (md5 {digest} instead of {MD5[path.name]}): replace it")
    try:
        content = plain_pickle.read(path)
        for column, key in enumerate((b"coarse_labels", b"fine_labels")):
            records[:, column] = np.array(content[key], dtype=np.uint8)
        records[:, LABELS:] = content[b"data"].values
    except OSError:
        raise
    except Exception as error:  # a foreign pickle raises nearly anything
        raise DataError(f"{path} is not CIFAR-100 as Python pickle: {error}") from error
