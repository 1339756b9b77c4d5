"""Images for a finished run from what a person names: pictures, folders of them, patterns, and arrays of NumPy."""

import glob
import itertools
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridnets.data.dataset import EVALUATION_BATCH_SIZE
from hybridnets.data.decoding import (
    COLOURS,
    ENDINGS,
    DecodingError,
    Form,
    check_plain_file,
    decode_and_measure,
    needs_pillow,
    require_pillow,
    thumbnail,
)
from hybridnets.data.walking import Walker
from hybridnets.program import few

ARRAY = ".npy"
NAMED = 3  # broken files that a message names


@dataclass(frozen=True)
class ImageFile:
    """A picture, or an array of images.

    Attributes:
        path: The file.
        group: The folder that it is in, directly below a folder that was named, in Unicode's form NFC; None if there is none.
        named: The folder that was named, alike; None of a file that was named itself.
    """

    path: Path
    group: str | None = None
    named: str | None = None

    @property
    def is_array(self) -> bool:
        """Whether the file is an array of NumPy by its name; everything else is taken for a picture."""
        return self.path.suffix.lower() == ARRAY


@dataclass(frozen=True)
class Image:
    """One image of a file.

    Attributes:
        file: The file.
        index: Its place in the file's array; None of a picture.
    """

    file: ImageFile
    index: int | None = None

    @property
    def name(self) -> str:
        """The file's path and, in an array, the image's place."""
        return str(self.file.path) if self.index is None else f"{self.file.path}[{self.index}]"


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """A few images with their pixels.

    Attributes:
        images: B images.
        pixels: uint8, (B, C, H, W) or, from an array, (B, H, W, C).
        resized: How many of them had another size.
    """

    images: Sequence[Image]
    pixels: NDArray[np.uint8]
    resized: int


def find_files(paths: Sequence[Path]) -> tuple[list[ImageFile], list[Path]]:
    """The files that paths name, and the files in folders that are left out because they do not
    have an image's file ending.

    They come in the order of the paths, those of a folder or a pattern in order of their names, and no path comes twice. A
    folder is searched with all that is below it, as `Walker` does. A path that
    does not exist is a pattern, as shells have them, in which ** stands for any folders.

    Args:
        paths: Files, folders and patterns.

    Raises:
        ValueError: If a path names nothing, a folder holds no image, or it cannot be read.
    """
    files: dict[Path, ImageFile] = {}
    others: list[Path] = []
    for path in paths:
        matches = [path] if path.exists() else _matches(str(path))
        if not matches:
            raise ValueError(f"no file matches PATH {path}" if glob.has_magic(str(path)) else f"PATH not found: {path}")
        for match in matches:
            if not match.is_dir():
                files.setdefault(match, ImageFile(match))
                continue
            named = (match.resolve() if match.name in ("", "..") else match).name
            named = unicodedata.normalize("NFC", named)
            below = [ImageFile(file, _group(file, match), named) for file in map(Path, Walker().files(match))]
            images = [file for file in below if file.path.suffix.lower() in (ARRAY, *ENDINGS)]
            if not images:
                kinds = ", ".join((*ENDINGS, ARRAY))
                raise ValueError(f"PATH must hold an image ({kinds}) if it is a folder, and {match} holds none")
            files.update((file.path, file) for file in images)
            others += [file.path for file in below if file.path.suffix.lower() not in (ARRAY, *ENDINGS)]
    return list(files.values()), others


def check_pillow(files: Iterable[ImageFile]) -> None:
    """Refuses pictures where Pillow is not installed.

    Args:
        files: The files.

    Raises:
        ValueError: If it is not, and one file is a picture.
    """
    picture = next((file.path for file in files if not file.is_array), None)
    if picture:
        require_pillow(str(picture), ", or give a .npy")


def count_images(files: Iterable[ImageFile]) -> int:
    """How many images files hold; one that cannot be read counts as one.

    Args:
        files: The files.
    """
    counts = 0
    for file in files:
        try:
            counts += len(_array(file.path)) if file.is_array else 1
        except DecodingError:
            counts += 1
    return counts


def read_batches(files: Sequence[ImageFile], form: Form, broken: dict[Path, str]) -> Iterator[ImageBatch]:
    """The images of files in the order given, a batch at a time; never more than one is in memory.

    Args:
        files: The files; arrays are memory-mapped.
        form: The form of the run's images.
        broken: Gets the reason for each file that cannot be used, which is left out; of an array of which some images cannot be
            resized, only those are.

    Raises:
        ValueError: If a file is a picture, and the run's images are of other channels than grey or colour.
    """
    for are_arrays, group in itertools.groupby(files, key=lambda file: file.is_array):
        if are_arrays:
            for file in group:
                yield from _array_batches(file, form, broken)
            continue
        pictures = list(group)
        if form.channels not in COLOURS:
            raise ValueError(
                f"images of {form.channels} channels, as the run's are, must be in a .npy, got {pictures[0].path}"
            )
        for start in range(0, len(pictures), EVALUATION_BATCH_SIZE):
            some = pictures[start : start + EVALUATION_BATCH_SIZE]
            yield _decoded([Image(file) for file in some], (file.path for file in some), form, broken)


def misfit(dtype: object, shape: Sequence[int], form: Form) -> str:
    """Why an array is no images of a form, in a clause that begins with "must"; empty where it is.

    Args:
        dtype: The type of its values.
        shape: Its shape.
        form: The form.
    """
    channels, height, width = form.channels, form.height, form.width
    orders = ((channels, height, width), (height, width, channels))
    if str(dtype).removeprefix("torch.") == "uint8" and tuple(shape[1:]) in orders:
        return ""
    legal = " or ".join(f"(B, {', '.join(map(str, order))})" for order in orders)
    return f"must be uint8 of shape {legal}, got {dtype} of {tuple(shape)}"


def describe_broken(broken: Mapping[Any, str]) -> str:
    """A sentence on files that cannot be used, which names the first few.

    Args:
        broken: The reason for each file.
    """
    if len(broken) == 1:
        ((name, reason),) = broken.items()
        return f"{name} cannot be used: {reason}"
    named = few((f"{name} ({reason})" for name, reason in broken.items()), NAMED)
    return f"{len(broken):,} files cannot be used: {named}"


def thumbnail_of(image: Image, side: int) -> bytes:
    """An image for people to look at, as a PNG.

    Args:
        image: The image.
        side: Pixels that neither its height nor its width exceeds.

    Raises:
        DecodingError: If the file has become unreadable.
    """
    if image.index is None:
        return thumbnail(image.file.path, side)
    return thumbnail(_as_picture(_channels_last(_array(image.file.path)[image.index])), side)


def _matches(pattern: str) -> list[Path]:
    """What a pattern names, which may begin at the root; Path.glob takes no such pattern."""
    return [Path(text) for text in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207


def _group(file: Path, folder: Path) -> str | None:
    first, *below = file.relative_to(folder).parts
    return unicodedata.normalize("NFC", first) if below else None


def _decoded(images: Sequence[Image], sources: Iterable[Any], form: Form, broken: dict[Path, str]) -> ImageBatch:
    """A batch of those images that can be decoded.

    Args:
        images: The images.
        sources: The file or the Pillow image of each.
        form: What they are brought to.
        broken: Gets the reason for the file of each other image; in an array it names the first one.
    """
    good, pixels, resized = [], [], 0
    for image, source in zip(images, sources, strict=True):
        try:
            decoded, size = decode_and_measure(source, form)
        except DecodingError as error:
            broken.setdefault(
                image.file.path, str(error) if image.index is None else f"its image {image.index}: {error}"
            )
            continue
        good.append(image)
        pixels.append(decoded)
        resized += size != (form.height, form.width)
    shape = (len(pixels), form.channels, form.height, form.width)
    return ImageBatch(good, np.array(pixels, np.uint8).reshape(shape), resized)


def _array_batches(file: ImageFile, form: Form, broken: dict[Path, str]) -> Iterator[ImageBatch]:
    try:
        array = _array(file.path)
        fits = not misfit(array.dtype, array.shape, form)
        if not fits and (array.dtype != np.uint8 or array.ndim != 4 or _channel_axis(array) is None or needs_pillow()):
            raise DecodingError(f"its images {misfit(array.dtype, array.shape, form)}")
        if not len(array):
            raise DecodingError("it holds no image")
    except DecodingError as error:
        broken[file.path] = str(error)
        return
    for start in range(0, len(array), EVALUATION_BATCH_SIZE):
        pixels = array[start : start + EVALUATION_BATCH_SIZE]
        images = [Image(file, index) for index in range(start, start + len(pixels))]
        sources = (_as_picture(_channels_last(image)) for image in pixels)
        yield ImageBatch(images, pixels, 0) if fits else _decoded(images, sources, form, broken)


def _array(path: Path) -> NDArray[Any]:
    """A file's array, memory-mapped."""
    check_plain_file(path)
    try:
        # "c" (copy on write), because torch warns about read-only arrays; nothing is written.
        return np.atleast_1d(np.lib.format.open_memmap(path, mode="c"))
    except Exception as error:  # numpy raises nearly anything
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise DecodingError(f"it is no complete .npy of uint8 images ({reason})") from error


def _channel_axis(images: NDArray[Any]) -> int | None:
    """Which axis of (B, C, H, W) or (B, H, W, C) has the channels; None if it cannot be known."""
    first, last = images.shape[1] in COLOURS, images.shape[-1] in COLOURS
    return None if first == last else 1 if first else 3


def _channels_last(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image of either order as (H, W, C)."""
    return image if image.shape[-1] in COLOURS and image.shape[0] not in COLOURS else image.transpose(1, 2, 0)


def _as_picture(pixels: NDArray[np.uint8]) -> Any:
    """A Pillow image of pixels, (H, W, C)."""
    require_pillow("an image as a picture")
    import PIL.Image

    return PIL.Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels))
