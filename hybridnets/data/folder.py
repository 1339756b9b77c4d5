"""Pictures in folders, one for each class: decoded once into a cache that is mapped into memory, so that they need not fit.

`layout` finds the files, `decoders` reads them, `assignment` gives them class and part, `image_cache` keeps their pixels.
"""

import dataclasses
import hashlib
import json
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from hybridnets.data.assignment import Assignment, assign, copies_remarks, count_copies, listed
from hybridnets.data.dataset import DataError, ImageDataset
from hybridnets.data.decoders import Decoders
from hybridnets.data.decoding import COLOURS, RESIZES, Form, Resize, needs_pillow
from hybridnets.data.image_cache import HEAD, NONE, PIXELS, ImageCache, KnownFile, Pixels, Rows
from hybridnets.data.layout import Layout, read_layout

T = TypeVar("T")
log = logging.getLogger("hybridnets")

LARGEST_SIZE = 4096  # height and width of an image in pixels
QUIET_SECONDS = 1.0  # after which a message says what takes so long
LINE_SECONDS = 30.0  # between lines of progress where there is no terminal
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
    path, place = _folder_of("root", root), _folder_of("cache", cache)
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise DataError(f"data.root must be a folder, but {path.absolute()} {what}")
    form = _form(image_size, resize, channels)
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


def _folder_of(key: str, value: Any) -> Path:
    if isinstance(value, str | os.PathLike) and os.fspath(value):
        return Path(value).expanduser()
    got = "nothing" if value is None else repr(value)
    raise DataError(f"data.{key} must name a folder, as data.{key}=PATH, got {got}")


def _form(image_size: Any, resize: Any, channels: Any) -> Form:
    """The form of all images."""
    sizes = image_size if isinstance(image_size, list | tuple) else [image_size, image_size]
    if len(sizes) != 2 or not all(type(size) is int and 1 <= size <= LARGEST_SIZE for size in sizes):
        raise DataError(
            f"data.image_size must be the height and width of all images, a whole number of pixels from 1 to {LARGEST_SIZE:,}, "
            f"as 64, or two, as [64,96], got {'nothing' if image_size is None else image_size}"
        )
    if resize not in RESIZES:
        raise DataError(f"data.resize must be {', '.join(RESIZES[:-1])} or {RESIZES[-1]}, got {resize!r}")
    if type(channels) is not int or channels not in COLOURS:
        raise DataError(f"data.channels must be 1 (grey) or 3 (colour), got {channels!r}")
    height, width = sizes
    return Form(channels, height, width, resize)


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
        if needs_pillow():
            raise DataError("data=folder needs Pillow, which is not installed: run pip install 'hybridnets[images]'")
        try:
            with self.cache.writing():
                return self._prepared()
        except OSError as error:
            raise DataError(
                f"data.cache must be a folder that can be written to, got {self.cache.folder} ({error.strerror or error})"
            ) from error

    def _layout(self) -> Layout:
        with _announced(f"looking for pictures in {self.root}"):
            return read_layout(self.root, self.cache.folder)

    def _opened(self, layout: Layout, known: dict[str, KnownFile]) -> tuple[Assignment, Pixels] | None:
        if any(not file.fault and file.name not in known for file in layout.files):
            return None
        if all(file.fault is not None for file in known.values()):
            self._refuse_broken(layout, known)
        assignment = self._assigned(layout, known)
        pixels = self.cache.open(self._key(assignment))
        if not pixels:
            return None
        self._refuse_broken(layout, known)  # what is not known to be broken is in the cache, so it is none
        return assignment, pixels

    def _prepared(self) -> tuple[Assignment, Pixels]:
        layout = self._layout()  # another process may have prepared it meanwhile
        known = _current(layout, self.cache.known_files(self.root))
        if ready := self._opened(layout, known):
            return ready
        readable = [file.name for file in layout.files if not file.fault]
        paths = {name: str(self.root / name) for name in readable}
        processes = -(-len(readable) // FILES_PER_PROCESS)
        with Decoders(self.form, self.cache.unfinished / PIXELS, HEAD, processes) as decoders:
            if unread := [name for name in readable if name not in known]:
                facts = _with_progress(f"reading {self.root}", decoders.hashes(paths[n] for n in unread), len(unread))
                states = {file.name: file.state for file in layout.files}
                for place, fact in facts:
                    name = unread[place]
                    known[name] = KnownFile(states[name], fact.get("sha256", ""), fact.get("fault"))
                self.cache.keep_known_files(self.root, known)
                if ready := self._opened(layout, known):
                    return ready
            names = [name for name in readable if not known[name].fault]
            self._assigned(layout, known)  # refuses a folder that is no data set before it is decoded
            self._check_room(len(names))
            decoded = dict(
                _with_progress(f"decoding {self.root}", decoders.pixels(paths[n] for n in names), len(names))
            )
        if self._layout() != layout:
            raise DataError(f"{self.root} changed while it was read: try again when nothing is written there")
        for place, name in enumerate(names):
            known[name].fault = decoded[place].get("fault", "")
        self.cache.keep_known_files(self.root, known)
        return self._written(layout, known, dict(zip(names, (decoded[i] for i in range(len(names))), strict=True)))

    def _written(
        self, layout: Layout, known: dict[str, KnownFile], decoded: dict[str, dict[str, Any]]
    ) -> tuple[Assignment, Pixels]:
        """Puts decoded pictures into the cache; also where others are refused, which need not be decoded again then."""
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
        with _announced("putting the images in order"):
            self.cache.write(key, rows, copies)
        pixels = self.cache.open(key)
        assert pixels
        log.info(
            "%s images decoded into %s (%s)",
            f"{len(pixels.images):,}",
            self.cache.images(key),
            _bytes(pixels.images.nbytes),
        )
        self._refuse_broken(layout, known)
        return assignment, pixels

    def _assigned(self, layout: Layout, known: dict[str, KnownFile]) -> Assignment:
        """The pictures; files that nobody tried to decode are taken for some."""
        hashes = {name: file.sha256 for name, file in known.items() if file.sha256 and not file.fault}
        assignment = assign(self.root, layout, hashes, self.test_share, self.test_seed)
        if broken := _broken(layout, known):
            what = "file is no picture and is" if len(broken) == 1 else "files are no pictures and are"
            remark = f"{len(broken):,} {what} left out: {listed(broken)}"
            assignment = dataclasses.replace(assignment, remarks=(remark, *assignment.remarks))
        return assignment

    def _refuse_broken(self, layout: Layout, known: dict[str, KnownFile]) -> None:
        if (broken := _broken(layout, known)) and not self.skip_broken:
            some = f"{len(broken):,} of {len(layout.files):,} files are no pictures that can be read"
            raise DataError(
                f"data.root={self.root} must hold pictures alone, but {some}: {listed(broken)}; remove them, or give "
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
                f"data.cache needs {_bytes(needed)} for {n:,} images, but {self.cache.folder.absolute()} has {_bytes(free)}: "
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


def _column(facts: Iterable[dict[str, Any]], key: str, channels: int) -> Any:
    return np.array([fact.get(key, [0] * channels) for fact in facts], np.uint64)


def _bytes(n: int) -> str:
    return f"{n / 1e9:.1f} GB" if n >= 1e8 else f"{n / 1e6:.1f} MB"


@contextmanager
def _announced(activity: str) -> Iterator[None]:
    """Says what is being done if it takes long."""
    timer = threading.Timer(QUIET_SECONDS, log.info, [activity])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _with_progress(activity: str, steps: Iterator[T], total: int) -> Iterator[T]:
    """The same steps, with a bar in a terminal, or a line now and then."""
    if sys.stderr.isatty():
        yield from tqdm(steps, desc=activity, total=total, unit=" files", leave=False)
        return
    log.info("%s: %s files", activity, f"{total:,}")
    last = time.monotonic()
    for done, step in enumerate(steps, start=1):
        if (now := time.monotonic()) - last >= LINE_SECONDS:
            last = now
            log.info("%s: %s of %s files", activity, f"{done:,}", f"{total:,}")
        yield step
