"""Pictures in folders, one for each class: decoded once into a cache that is mapped into memory, so that they need not fit.

`layout` finds the files, `decoders` reads them, `assignment` gives them class and part, `image_cache` keeps their pixels.
"""

import dataclasses
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hybridnets.data.assignment import Assignment, assign, copies_remarks, count_copies
from hybridnets.data.dataset import DataError, ImageDataset, path_of
from hybridnets.data.decoders import Decoders, Fact
from hybridnets.data.decoding import Form, Resize, form_of, require_pillow
from hybridnets.data.image_cache import HEAD, NONE, PIXELS, ImageCache, KnownFile, Pixels, Rows
from hybridnets.data.layout import Layout, listed, read_layout
from hybridnets.data.progress import announced, as_size, progress

log = logging.getLogger("hybridnets")

FILES_PER_PROCESS = 32  # fewer are not worth the start of another process


def load(
    root: str | os.PathLike[str],
    image_size: int | Sequence[int] | None = None,
    resize: Resize = "crop",
    channels: int = 3,
    skip_broken: bool = False,
    test_share: float = 0.2,
    test_seed: int = 0,
    cache: str | os.PathLike[str] = "runs/cache",
    *,
    here_only: bool = False,
) -> ImageDataset:
    """Reads pictures from ROOT/train/CLASS, ROOT/test/CLASS and maybe ROOT/val/CLASS, or from ROOT/CLASS.

    What is odd about them but no error, such as test images that are also in train, is logged as warnings.

    Args:
        root: The folder.
        image_size: Height and width of all images in pixels, one number if they are equal.
        resize: How pictures of other sizes are brought to it, as `hybridnets.data.decoding.Form` says.
        channels: 1 for grey, 3 for colour.
        skip_broken: Whether files that are no pictures are left out; otherwise they are refused.
        test_share: The share of each class that becomes test where the folder has no test/.
        test_seed: Determines which pictures that are.
        cache: A folder to keep decoded images in.
        here_only: Whether to refuse a folder that would have to be decoded.

    Raises:
        DataError: If a setting is not legal, or the folder holds no data set.
    """
    path, place = _places(root, cache)
    form = form_of(image_size, resize, channels)
    if type(skip_broken) is not bool:
        raise DataError(f"data.skip_broken must be true or false, got {skip_broken!r}")
    if type(test_share) not in (int, float) or not 0 < test_share < 1:
        raise DataError(f"data.test_share must be a number between 0 and 1, got {test_share!r}")
    if type(test_seed) is not int or test_seed < 0:
        raise DataError(f"data.test_seed must be a whole number from 0, got {test_seed!r}")
    folder = _Folder(path, ImageCache(place), form, skip_broken, test_share, test_seed)
    assignment, pixels = folder.opened() or folder.prepared(here_only)
    for remark in (*assignment.remarks, *copies_remarks(assignment, pixels.copies)):
        log.warning("%s: %s", root, remark)
    n = pixels.n_train
    return ImageDataset(
        pixels.images[:n],
        pixels.labels[:n],
        pixels.images[n:],
        pixels.labels[n:],
        assignment.classes,
        val=pixels.val if len(pixels.val) else None,
        resize=form.resize,
        computed=pixels.computed,
    )


def _places(root: str | os.PathLike[str], cache: str | os.PathLike[str]) -> tuple[Path, Path]:
    """The folder of pictures, and that of the cache, which must not be a class of it.

    Raises:
        DataError: If they cannot be used.
    """
    folder, place = path_of(root), path_of(cache, "cache")
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise DataError(f"data.root must be a folder, but {folder.absolute()} {what}")
    if place.resolve().is_relative_to(folder.resolve()):
        raise DataError(
            f"data.cache must not lie in data.root, whose folders are classes, got {place.absolute()} in {folder.absolute()}: "
            "give another out= or data.cache="
        )
    return folder, place


@dataclass(frozen=True)
class _Folder:
    """A folder of pictures and its cache."""

    root: Path
    cache: ImageCache
    form: Form
    skip_broken: bool
    test_share: float
    test_seed: int

    def opened(self) -> tuple[Assignment, Pixels] | None:
        """The pictures and their pixels; None if something has to be read or decoded first."""
        layout = self._layout()
        return self._opened(layout, _current(layout, self.cache.known_files(self.root)))

    def prepared(self, here_only: bool) -> tuple[Assignment, Pixels]:
        """The pictures and their pixels, read and decoded into the cache.

        Raises:
            DataError: If that fails, or may not be done.
        """
        if here_only:
            raise DataError(
                f"the pictures in {self.root.absolute()} are not in the cache {self.cache.folder.absolute()}"
            )
        require_pillow("data=folder")
        try:
            with self.cache.writing():
                return self._prepared()
        except OSError as error:  # of the cache: what concerns pictures or processes is a DataError
            raise DataError(
                f"data.cache must be a folder that can be written to, got {self.cache.folder} ({error.strerror or error})"
            ) from error

    def _layout(self) -> Layout:
        with announced(f"looking for pictures in {self.root}"):
            return read_layout(self.root)

    def _opened(self, layout: Layout, known: dict[str, KnownFile]) -> tuple[Assignment, Pixels] | None:
        if any(not file.fault and file.name not in known for file in layout.files):
            return None
        if all(file.fault is not None for file in known.values()):
            self._refuse_broken(layout, known)
        assignment = self._assigned(layout, known)
        pixels = self.cache.open(self._key(assignment))
        if not pixels:
            return None
        self._refuse_broken(layout, known)  # the cache has all other files, so that these are all that are broken
        return assignment, pixels

    def _prepared(self) -> tuple[Assignment, Pixels]:
        layout = self._layout()  # another process may have prepared it meanwhile
        known = _current(layout, self.cache.known_files(self.root))
        if ready := self._opened(layout, known):
            return ready
        readable = [file.name for file in layout.files if not file.fault]
        processes = -(-len(readable) // FILES_PER_PROCESS)
        with Decoders(self.form, self.cache.unfinished / PIXELS, HEAD, processes) as decoders:
            if new := [file for file in layout.files if not file.fault and file.name not in known]:
                hashes = self._facts("reading", decoders.hashes, [file.name for file in new])
                for file in new:
                    if "sha256" in hashes[file.name]:
                        known[file.name] = KnownFile(file.state, hashes[file.name]["sha256"])
                self._keep(known, hashes)
                if ready := self._opened(layout, known):
                    return ready
            names = [name for name in readable if not known[name].fault]
            self._assigned(layout, known)  # refuses a folder that is no data set before it is decoded
            self._check_room(len(names))
            decoded = self._facts("decoding", decoders.pixels, names)
        if self._layout() != layout:
            raise DataError(f"{self.root} changed while it was read: try again when nothing is written there")
        for name, fact in decoded.items():
            known[name].fault = None if "unread" in fact else fact.get("fault", "")
        self._keep(known, decoded)
        return self._written(layout, known, decoded)

    def _facts(
        self, activity: str, read: Callable[[Iterable[str]], Iterator[tuple[int, Fact]]], names: Sequence[str]
    ) -> dict[str, Fact]:
        """What processes find out of files, by their names and in this order."""
        facts = read(str(self.root / name) for name in names)
        by_place: dict[int, Fact] = {}
        with progress(f"{activity} {self.root}", len(names), "files") as advance:
            for place, fact in facts:
                by_place[place] = fact
                advance(1)
        return {name: by_place[place] for place, name in enumerate(names)}

    def _keep(self, known: dict[str, KnownFile], facts: Mapping[str, Fact]) -> None:
        """Writes down what is known, and refuses files that could not be read, of which nothing is known."""
        self.cache.keep_known_files(self.root, known)
        if unread := [f"{name} ({fact['unread']})" for name, fact in facts.items() if "unread" in fact]:
            raise DataError(
                f"data.root={self.root} has {len(unread):,} of {len(facts):,} files that could not be read now: "
                f"{listed(unread)}; try again, or make them readable, or remove them"
            )

    def _written(
        self, layout: Layout, known: dict[str, KnownFile], decoded: dict[str, Fact]
    ) -> tuple[Assignment, Pixels]:
        """Puts the pixels into the cache, and only then refuses files that are no pictures: nothing is decoded twice for them.

        Args:
            layout: The folder's files.
            known: What is known of them, now that all have been decoded.
            decoded: What the processes found out of each, in the order in which the pixels lie in the unfinished file.
        """
        try:
            assignment = self._assigned(layout, known)
        except DataError:
            self._refuse_broken(layout, known)  # a likelier cause
            raise
        place = {file.name: i for i, file in enumerate(assignment.files)}
        rows = Rows(
            shape=(self.form.channels, self.form.height, self.form.width),
            part=np.array([assignment.part[place[name]] if name in place else NONE for name in decoded]),
            labels=np.array([assignment.labels[place[name]] if name in place else 0 for name in decoded]),
            sums=_column(decoded.values(), "sums", self.form.channels),
            squares=_column(decoded.values(), "squares", self.form.channels),
        )
        copies = count_copies(assignment, [decoded[file.name]["pixels"] for file in assignment.files])
        key = self._key(assignment)
        with announced("putting the images in order"):
            self.cache.write(key, rows, copies)
        pixels = self.cache.open(key)
        assert pixels
        log.info(
            "%s images decoded into %s (%s)",
            f"{len(pixels.images):,}",
            self.cache.images(key),
            as_size(pixels.images.nbytes),
        )
        self._refuse_broken(layout, known)
        return assignment, pixels

    def _assigned(self, layout: Layout, known: dict[str, KnownFile]) -> Assignment:
        """The pictures with their classes and parts; a file that has not been decoded yet counts as a picture."""
        hashes = {name: file.sha256 for name, file in known.items() if not file.fault}
        assignment = assign(self.root, layout, hashes, self.test_share, self.test_seed)
        if broken := _broken(layout, known):
            many = (
                "file cannot be read as a picture and is"
                if len(broken) == 1
                else "files cannot be read as pictures and are"
            )
            remark = f"{len(broken):,} {many} left out: {listed(broken)}"
            assignment = dataclasses.replace(assignment, remarks=(remark, *assignment.remarks))
        return assignment

    def _refuse_broken(self, layout: Layout, known: dict[str, KnownFile]) -> None:
        if (broken := _broken(layout, known)) and not self.skip_broken:
            what = "a picture" if len(broken) == 1 else "pictures"
            some = f"{len(broken):,} of {len(layout.files):,} files cannot be read as {what}"
            raise DataError(
                f"data.root={self.root} must contain only pictures, but {some}: {listed(broken)}; remove them, or give "
                "data.skip_broken=true to leave them out"
            )

    def _key(self, assignment: Assignment) -> str:
        """What the pixels are kept by: it follows from the content of the files, their classes and parts, and the form."""
        content = json.dumps([dataclasses.asdict(self.form), sorted(assignment.identities())])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def _check_room(self, n: int) -> None:
        needed = n * self.form.channels * self.form.height * self.form.width
        free = shutil.disk_usage(self.cache.folder).free
        if free < needed:
            raise DataError(
                f"data.cache needs {as_size(needed)} for {n:,} images, but {self.cache.folder.absolute()} has {as_size(free)}: "
                "name a folder on another disk, or a smaller data.image_size"
            )


def _current(layout: Layout, known: dict[str, KnownFile]) -> dict[str, KnownFile]:
    """What is known of files that have not changed since."""
    files = ((file.name, file.state, known.get(file.name)) for file in layout.files if not file.fault)
    return {name: file for name, state, file in files if file and file.state == state}


def _broken(layout: Layout, known: dict[str, KnownFile]) -> list[str]:
    """The files that are no pictures, as far as is known, each with the reason."""
    faults = (
        (file.name, file.fault or (known[file.name].fault if file.name in known else "")) for file in layout.files
    )
    return [f"{name} ({fault})" for name, fault in faults if fault]


def _column(facts: Iterable[Fact], key: str, channels: int) -> Any:
    return np.array([fact.get(key, [0] * channels) for fact in facts], np.uint64)
