"""Decoded pictures on the disk: one file of pixels that is mapped into memory, and what was computed from them.

CACHE/files-ROOT.json     what is known of a folder's files: their state and SHA-256, and which are no pictures
CACHE/images-KEY/         pixels.npy and facts.npz of a data set; KEY follows from the content of its files
CACHE/.lock               held by the process that writes here
CACHE/.unfinished         of the process that writes here, or of one that was killed
"""

import hashlib
import io
import json
import logging
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hybridnets import signals
from hybridnets.data.dataset import Computed, Images, Integers, Sums, content_hash, pixel_sums
from hybridnets.data.decoding import pillow_version
from hybridnets.data.download import locked
from hybridnets.data.ordering import content_order, rearrange, write_all
from hybridnets.runs.files import replacing

log = logging.getLogger("hybridnets")

VERSION = 1  # of what the files mean; those of another version are made again
HEAD = 128  # bytes of a .npy before its array
PIXELS, FACTS = "pixels.npy", "facts.npz"
CHECKED = 16  # images whose sums are compared when a data set is opened

TRAIN, VAL, TEST, NONE = 0, 1, 2, -1  # parts; what is no picture is in none


@dataclass
class KnownFile:
    """What is known of a file.

    Attributes:
        state: Its size, and when it was modified and changed.
        sha256: Of its content.
        fault: Why it is no picture; empty if it is one; None if nobody tried to decode it.
    """

    state: tuple[int, int, int]
    sha256: str
    fault: str | None = None


@dataclass(frozen=True, eq=False)
class Pixels:
    """The pixels of a data set's pictures: those of train and val in canonical order, then those of test.

    Attributes:
        images: (N, C, H, W), mapped from a file.
        labels: (N,).
        n_train: How many images train and val have.
        val: Positions of those of val.
        computed: What was computed from the images.
        copies: What is known of images that occur more than once, as `write` was given it.
    """

    images: Images
    labels: Integers
    n_train: int
    val: Integers
    computed: Computed
    copies: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Rows:
    """What is known of decoded pictures before they are in order.

    Attributes:
        shape: (C, H, W) of each.
        part: TRAIN, VAL, TEST or NONE, (R,).
        labels: (R,).
        sums: The sum of the pixels of each channel, (R, C).
        squares: The sum of their squares, (R, C).
    """

    shape: tuple[int, int, int]
    part: Integers
    labels: Integers
    sums: Sums
    squares: Sums


class ImageCache:
    """A folder of decoded pictures.

    Args:
        folder: The folder; it is made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unfinished = folder / ".unfinished"

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Makes this process the only one that writes here, and removes what it has not finished at the end.

        Raises:
            OSError: If nothing can be written here.
        """
        with signals.unwinding():  # so that a signal leaves neither an unfinished file nor a lock
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / ".lock"):
                self._remove_unfinished()  # of a process that was killed
                try:
                    self.unfinished.mkdir()
                    yield
                finally:
                    self._remove_unfinished()

    def known_files(self, root: Path) -> dict[str, KnownFile]:
        """What is known of the files of a folder, by their paths in it; empty if nothing is.

        What one version of Pillow could not decode, another may; without Pillow, nobody can try again.
        """
        try:
            content = json.loads(self._files_of(root).read_text(encoding="utf-8"))
            if content["version"] != VERSION:
                return {}
            is_doubtful = pillow_version() not in ("", content["pillow"])
            return {
                name: KnownFile(tuple(state), sha256, None if fault and is_doubtful else fault)
                for name, (state, sha256, fault) in content["files"].items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # missing, damaged or somebody else's
            return {}

    def keep_known_files(self, root: Path, files: Mapping[str, KnownFile]) -> None:
        """Writes down what is known of the files of a folder."""
        content = {
            "version": VERSION,
            "pillow": pillow_version(),
            "root": str(root.resolve()),
            "files": {name: [file.state, file.sha256, file.fault] for name, file in files.items()},
        }
        with replacing(self._files_of(root)) as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")  # other letters than ASCII's are escaped

    def images(self, key: str) -> Path:
        """The folder of a data set's pixels."""
        return self.folder / f"images-{key}"

    def open(self, key: str) -> Pixels | None:
        """The pixels of a data set; None if they are missing or damaged, or were written by something else.

        All of them would take too long to read, so that sizes are checked, and the sums of some images.
        """
        folder = self.images(key)
        if not folder.exists():
            return None
        try:
            return _opened(folder, key)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            log.info("%s is damaged, and is made again (%s)", folder, " ".join(str(error).split()))
            return None

    def write(self, key: str, rows: Rows, copies: Mapping[str, Any]) -> None:
        """Puts the pictures that lie unfinished into order, and makes them the pixels of a data set.

        Args:
            key: The data set's.
            rows: What is known of the pictures, as they lie in the file.
            copies: What is known of images that occur more than once: anything that JSON can hold.

        Raises:
            OSError: If they cannot be written.
        """
        order = self._arrange(rows)
        images = np.lib.format.open_memmap(self.unfinished / PIXELS, mode="r")
        part, labels = rows.part[order], rows.labels[order]
        n_train = int(np.count_nonzero(part != TEST))
        info = {
            "version": VERSION,
            "key": key,
            "n_train": n_train,
            "train_sha256": content_hash(images[:n_train], labels[:n_train]),
            "test_sha256": content_hash(images[n_train:], labels[n_train:]),
            "copies": copies,
        }
        with (self.unfinished / FACTS).open("wb") as file:
            np.savez(
                file,
                labels=labels,
                val=np.flatnonzero(part == VAL),
                sums=rows.sums[order],
                squares=rows.squares[order],
                info=np.frombuffer(json.dumps(info).encode(), np.uint8),
            )
            file.flush()
            os.fsync(file.fileno())
        shutil.rmtree(self.images(key), ignore_errors=True)  # damaged
        self.unfinished.rename(self.images(key))
        self.unfinished.mkdir()

    def _arrange(self, rows: Rows) -> Integers:
        """Puts the rows of the file of pixels into their order, without those that are no pictures, and returns it."""
        size = int(np.prod(rows.shape))
        path = self.unfinished / PIXELS
        with path.open("r+b") as file:
            file.truncate(HEAD + len(rows.part) * size)  # the last rows may be missing, which are no pictures then
            pixels = np.memmap(path, np.uint8, "r", HEAD, (len(rows.part), size))
            by_content = content_order(pixels, rows.labels, rows.part)
            part = rows.part[by_content]
            pieces = [by_content[(part == TRAIN) | (part == VAL)], by_content[part == TEST]]
            order = np.concatenate(pieces)
            rearrange(file.fileno(), np.concatenate([order, by_content[part == NONE]]), size, HEAD)
            file.truncate(HEAD + len(order) * size)
            write_head(file.fileno(), (len(order), *rows.shape))
            os.fsync(file.fileno())
        return order

    def _files_of(self, root: Path) -> Path:
        return self.folder / f"files-{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]}.json"

    def _remove_unfinished(self) -> None:
        shutil.rmtree(self.unfinished, ignore_errors=True)


def write_head(descriptor: int, shape: tuple[int, ...]) -> None:
    """Writes what a .npy of uint8 of some shape begins with."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    assert file.tell() == HEAD
    write_all(descriptor, file.getvalue(), 0)


def _opened(folder: Path, key: str) -> Pixels:
    with (folder / FACTS).open("rb") as file, np.load(file, allow_pickle=False) as facts:
        info = json.loads(facts["info"].tobytes())
        labels, val, sums, squares = (facts[name] for name in ("labels", "val", "sums", "squares"))
    if (info["version"], info["key"]) != (VERSION, key):
        raise ValueError("it is of another data set or version")
    images = np.lib.format.open_memmap(folder / PIXELS, mode="r")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[:2] != sums.shape or len(images) != len(labels):
        raise ValueError(f"its pixels are {images.dtype} {images.shape}")
    if (size := (folder / PIXELS).stat().st_size) != HEAD + images.nbytes:
        raise ValueError(f"its pixels have {size:,} bytes")
    some = np.unique(np.linspace(0, len(images) - 1, CHECKED).astype(np.int64))
    if not all(map(np.array_equal, pixel_sums(images[some]), (sums[some], squares[some]))):
        raise ValueError("its pixels have changed")
    n = info["n_train"]
    computed = Computed(info["train_sha256"], info["test_sha256"], (sums[:n], squares[:n]))
    return Pixels(images, labels, n, val, computed, info["copies"])
