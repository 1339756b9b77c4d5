"""Which class and part each picture of a folder is in, and what is odd about that."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybridnets.data.dataset import DataError
from hybridnets.data.image_cache import TEST, TRAIN, VAL
from hybridnets.data.labels import check_learned
from hybridnets.data.layout import MOST, Layout, PictureFile, listed

PART_OF = {"train": TRAIN, "val": VAL, "test": TEST}


@dataclass(frozen=True)
class Assignment:
    """The pictures of a data set.

    Attributes:
        classes: The classes' names, sorted.
        files: The pictures' files.
        part: TRAIN, VAL or TEST of each.
        labels: The class of each, as a position in `classes`.
        sha256: The hash of each file.
        remarks: What the user should know, each a sentence.
    """

    classes: tuple[str, ...]
    files: tuple[PictureFile, ...]
    part: tuple[int, ...]
    labels: tuple[int, ...]
    sha256: tuple[str, ...]
    remarks: tuple[str, ...]

    def identities(self) -> list[tuple[int, str, str]]:
        """For each picture, what a data set knows it by whatever its name is: part, class and hash."""
        names = (self.classes[label] for label in self.labels)
        return list(zip(self.part, names, self.sha256, strict=True))


def assign(root: Path, layout: Layout, sha256: Mapping[str, str], test_share: float, test_seed: int) -> Assignment:
    """Gives each picture its class and part.

    Where the folder has classes alone, a share of each class becomes test: the files whose hashes, combined with the seed, are
    smallest. So the choice depends neither on names and order nor on the size that pictures are brought to, and equal files
    within a class are not divided. A class keeps at least one picture for training, and has at least one in test if it has two.

    Args:
        root: The folder.
        layout: What it holds.
        sha256: The hashes of those files that are pictures, by their names.
        test_share: The share that becomes test.
        test_seed: Determines which pictures do.

    Raises:
        DataError: If there is nothing to learn or to measure.
    """
    files = tuple(file for file in layout.files if file.name in sha256)
    hashes = tuple(sha256[file.name] for file in files)
    if layout.has_parts:
        part = tuple(PART_OF[file.part] for file in files)
    else:
        held_out = _held_out(files, hashes, test_share, test_seed)
        part = tuple(TEST if (f.class_name, h) in held_out else TRAIN for f, h in zip(files, hashes, strict=True))
    counts: dict[int, Counter[str]] = {value: Counter() for value in PART_OF.values()}
    for file, value in zip(files, part, strict=True):
        counts[value][file.class_name] += 1
    learned, measured = {*counts[TRAIN], *counts[VAL]}, set(counts[TEST])
    _check(root, layout, learned, measured)
    check_learned({name: counts[value] for name, value in PART_OF.items()}, f"data.root={root}")
    classes = tuple(sorted(learned))
    place = {name: i for i, name in enumerate(classes)}
    labels = tuple(place[file.class_name] for file in files)
    remarks = []
    if empty := sorted({name for _, name in layout.classes} - learned):
        remarks.append(f"{_named(empty, 'has')} no picture, and the network does not learn of it")
    if unmeasured := sorted(learned - measured):
        remarks.append(f"{_named(unmeasured, 'has')} no picture in test, so that test accuracy leaves it out")
    if single := sorted(name for name in learned if counts[TRAIN][name] + counts[VAL][name] == 1):
        remarks.append(f"{_named(single, 'has')} one training picture, which is either in train or in val")
    return Assignment(classes, files, part, labels, hashes, tuple(remarks))


def _check(root: Path, layout: Layout, learned: set[str], measured: set[str]) -> None:
    """Refuses a folder from which nothing can be learned or measured."""
    if len(learned) < 2:
        got = f"only {min(learned)}/" if learned else "none"
        hint = (
            "train/CLASS and test/CLASS"
            if layout.has_parts
            else "a folder for each class, or train/CLASS and test/CLASS"
        )
        raise DataError(f"data.root={root} must have pictures of at least two classes, got {got}: it needs {hint}")
    if not measured:
        raise DataError(
            f"data.root={root} has no picture in test: "
            + ("add some to test/" if layout.has_parts else "a class needs two different ones")
        )


def _held_out(files: Sequence[PictureFile], hashes: Sequence[str], share: float, seed: int) -> set[tuple[str, str]]:
    """Class and hash of the files that become test."""
    by_class: dict[str, Counter[str]] = defaultdict(Counter)
    for file, sha256 in zip(files, hashes, strict=True):
        by_class[file.class_name][sha256] += 1
    held_out = set()
    for name, copies in by_class.items():
        wanted = max(1, round(share * copies.total()))
        taken = 0
        ordered = sorted(copies, key=lambda sha256: hashlib.sha256(f"{seed} {sha256}".encode()).digest())
        for sha256 in ordered[:-1]:  # so that one stays for training
            if taken >= wanted:
                break
            held_out.add((name, sha256))
            taken += copies[sha256]
    return held_out


def count_copies(assignment: Assignment, pixels: Sequence[str]) -> dict[str, Any]:
    """Counts the images that occur more than once, with some pairs of them for each kind of harm that they do.

    Args:
        assignment: The pictures.
        pixels: A hash of each one's pixels.
    """
    groups: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
    for key, identity in zip(pixels, assignment.identities(), strict=True):
        groups[key].append(identity)
    counts: dict[str, Any] = {kind: {"images": 0, "pairs": []} for kind in ("test", "val", "labels", "train")}

    def add(kind: str, images: int, pair: tuple[Any, Any]) -> None:
        counts[kind]["images"] += images
        if len(counts[kind]["pairs"]) < MOST:
            counts[kind]["pairs"].append(pair)

    for group in sorted(sorted(group) for group in groups.values() if len(group) > 1):
        train, val, test = ([member for member in group if member[0] == part] for part in (TRAIN, VAL, TEST))
        if test and (train or val):
            add("test", len(test), (test[0], (train or val)[0]))
        if val and train:
            add("val", len(val), (val[0], train[0]))
        if other := next((member for member in group if member[1] != group[0][1]), None):
            add("labels", len(group), (group[0], other))
        if len(train) > 1:
            add("train", len(train) - 1, (train[0], train[1]))
    return counts


def copies_remarks(assignment: Assignment, copies: Mapping[str, Any]) -> list[str]:
    """Sentences on images that occur more than once.

    Args:
        assignment: The pictures.
        copies: What `count_copies` counted.
    """
    names: dict[Any, list[str]] = defaultdict(list)
    for identity, file in zip(assignment.identities(), assignment.files, strict=True):
        names[identity].append(file.name)

    def pairs(kind: str) -> str:
        texts = []
        for first, second in copies[kind]["pairs"]:
            one, two = names[tuple(first)], names[tuple(second)]
            texts.append(f"{one[0]} = {two[1 if one is two else 0]}")
        more = copies[kind]["images"] - len(texts) * (2 if kind == "labels" else 1)  # which shows both images
        return f"{', '.join(texts)}{f' and {more:,} more' if more > 0 else ''}"

    sentences = {
        "test": "{} of test {} also in train or val, so that test accuracy is too high: {}",
        "val": "{} of val/ {} also in train/: {}",
        "labels": "{} {} equal but in different classes: {}",
        "train": "{} of train {} a copy of another, and the split may divide them: {}",
    }
    counts = {kind: copies[kind]["images"] for kind in sentences}
    words = {kind: ("1 image", "is") if n == 1 else (f"{n:,} images", "are") for kind, n in counts.items()}
    return [text.format(*words[kind], pairs(kind)) for kind, text in sentences.items() if counts[kind]]


def _named(names: Sequence[str], verb: str) -> str:
    """Classes with a verb."""
    return f"class {names[0]} {verb}" if len(names) == 1 else f"each of the classes {listed(names)} {verb}"
