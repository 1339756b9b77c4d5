"""Pictures as pixels: a file of any usual kind becomes uint8 of one shape, with Pillow."""

import contextlib
import errno
import importlib.metadata
import importlib.util
import io
import typing
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np

from hybridnets.data.dataset import DataError, Images
from hybridnets.program import either

if TYPE_CHECKING:
    from PIL.Image import Image

Resize = Literal["crop", "pad", "stretch"]
RESIZES: tuple[Resize, ...] = typing.get_args(Resize)

# Pillow's names of the kinds of files that we read, and the endings of their names.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")

LARGEST_SIZE = 4096  # height and width of an image in pixels
COLOURS = {1: "L", 3: "RGB"}  # Pillow's mode for each number of channels
SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
WHITE = (255, 255, 255, 255)

CODECS = ("zlib", "jpg", "libtiff", "webp")  # parts of Pillow that a build of it may lack
OF_CONTENT = (errno.EINVAL, errno.EOVERFLOW)  # what a damaged picture causes, which sends Pillow to an impossible place


class DecodingError(ValueError):
    """A picture that cannot be read; the message is a clause that says why, without the picture's name."""


class UnreadError(DecodingError):
    """A picture that cannot be read now, but may be sound: memory is short, the disk fails, or Pillow lacks a codec."""


@dataclass(frozen=True)
class Form:
    """What every picture of a data set is brought to.

    Attributes:
        channels: 1 for grey, 3 for colour.
        height: In pixels.
        width: In pixels.
        resize: What happens to a picture of another size. `crop` scales it until it covers the form and cuts off what
            sticks out on two sides, `pad` scales it until it fits in and fills up with black, `stretch` changes its
            proportions. A picture of exactly this size keeps its pixels.
    """

    channels: int
    height: int
    width: int
    resize: Resize = "crop"


def form_of(image_size: Any, resize: Any, channels: Any) -> Form:
    """The form that the settings of a data set say.

    Args:
        image_size: Height and width in pixels, one number if they are equal.
        resize: One of RESIZES.
        channels: 1 or 3.

    Raises:
        DataError: If one of them is something else.
    """
    sizes = image_size if isinstance(image_size, list | tuple) else [image_size, image_size]
    if len(sizes) != 2 or not all(type(size) is int and 1 <= size <= LARGEST_SIZE for size in sizes):
        raise DataError(
            f"data.image_size must be the height and width of all images, a whole number of pixels from 1 to {LARGEST_SIZE:,}, "
            f"as 64, or two, as [64,96], got {'nothing' if image_size is None else image_size}"
        )
    if resize not in RESIZES:
        raise DataError(f"data.resize must be {either(RESIZES)}, got {resize!r}")
    if type(channels) is not int or channels not in COLOURS:
        raise DataError(f"data.channels must be 1 (grey) or 3 (colour), got {channels!r}")
    height, width = sizes
    return Form(channels, height, width, resize)


def decode(source: "Path | IO[bytes] | Image", form: Form) -> Images:
    """The pixels of one picture in a form, (C, H, W); see `decode_and_measure`."""
    return decode_and_measure(source, form)[0]


def decode_and_measure(source: "Path | IO[bytes] | Image", form: Form) -> tuple[Images, tuple[int, int]]:
    """The pixels of one picture in a form, (C, H, W), and the height and width that it had before, upright.

    A picture is turned as its camera says (EXIF), transparent parts are laid on white, and of 16 bits per channel the upper
    8 are kept. Of a file with several pictures, the first counts.

    Args:
        source: A file, its content, or a picture that Pillow has opened already.
        form: The form of the result.

    Raises:
        DecodingError: If it is no complete picture of a kind that we read, or its pixels have no fixed range.
        DataError: If Pillow is not installed.
        UnreadError: If that cannot be known, because its file cannot be read, memory is short, or Pillow lacks a codec.
    """
    with _upright(source) as picture:
        pixels = np.asarray(_resized(_coloured(picture, form.channels), form))  # (H, W) or (H, W, 3)
        pixels = pixels.reshape(form.height, form.width, form.channels).transpose(2, 0, 1)
        return np.ascontiguousarray(pixels), (picture.height, picture.width)


def thumbnail(source: "Path | IO[bytes] | Image", side: int) -> bytes:
    """A picture for people to look at, as a PNG; the pixels of a small one become squares.

    Args:
        source: As for `decode_and_measure`.
        side: Pixels that neither its height nor its width exceeds.

    Raises:
        DecodingError: As `decode_and_measure` does.
    """
    require_pillow("a thumbnail")
    from PIL import Image

    with _upright(source) as picture:
        small = _coloured(picture, 3)
        small.thumbnail((side, side))
        if (factor := side // max(small.size)) > 1:
            small = small.resize((small.width * factor, small.height * factor), Image.Resampling.NEAREST)
        file = io.BytesIO()
        small.save(file, "PNG")
        return file.getvalue()


def check_plain_file(path: Path) -> None:
    """Refuses what exists and is no plain file: a pipe that nobody writes to is waited for without end.

    Raises:
        DecodingError: If it is none.
    """
    if path.exists() and not path.is_file():
        raise DecodingError("it is no plain file")


def needs_pillow() -> bool:
    """Whether Pillow is missing, which decoding needs."""
    return importlib.util.find_spec("PIL") is None


def require_pillow(what: str, otherwise: str = "") -> None:
    """Refuses to go on without Pillow.

    Args:
        what: What needs it.
        otherwise: What else could be done, which ends the sentence.

    Raises:
        DataError: If it is missing.
    """
    if needs_pillow():
        raise DataError(f"{what} needs Pillow, which is not installed: pip install 'hybridnets[images]'{otherwise}")


def pillow_version() -> str:
    """The installed version of Pillow, without importing it; empty if there is none."""
    try:
        return importlib.metadata.version("pillow")
    except importlib.metadata.PackageNotFoundError:
        return ""


@contextlib.contextmanager
def _upright(source: "Path | IO[bytes] | Image") -> "Iterator[Image]":
    """A picture, turned as its camera says; whatever goes wrong with it is a DecodingError."""
    require_pillow(f"{source if isinstance(source, Path) else 'a picture'}")
    from PIL import Image, ImageOps, UnidentifiedImageError, features

    # Pillow warns of pictures that are so large that they may be an attack; it refuses those twice as large. Filters belong to
    # the process: threads that set and restored them would restore each other's.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        if isinstance(source, Image.Image):
            yield ImageOps.exif_transpose(source)
            return
        if isinstance(source, Path):
            check_plain_file(source)
        with Image.open(source, formats=FORMATS) as picture:
            yield ImageOps.exif_transpose(picture)
    except DecodingError:
        raise
    except MemoryError as error:
        raise UnreadError("memory is short") from error
    except Exception as error:  # Pillow raises nearly anything
        if isinstance(error, OSError) and error.errno and error.errno not in OF_CONTENT:
            raise UnreadError(error.strerror or str(error)) from error
        if isinstance(error, UnidentifiedImageError):
            reason = f"it is not a {either(FORMATS)}"
        else:
            reason = " ".join(str(error).split()) or type(error).__name__
        if lacking := [codec for codec in CODECS if not features.check(codec)]:
            raise UnreadError(f"{reason}, as far as a Pillow without {' and '.join(lacking)} can tell") from error
        raise DecodingError(reason) from error


def _coloured(picture: "Image", channels: int) -> "Image":
    """A picture of 8 bits, without transparency, in grey or in colour."""
    from PIL import Image

    if picture.mode in ("I", "F"):
        raise DecodingError("its pixels have 32 bits, of no fixed range: save it with 8 or 16 bits per channel")
    if picture.mode in SIXTEEN_BITS:
        picture = Image.fromarray((np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8))
    if picture.has_transparency_data:
        colours = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", colours.size, WHITE), colours)
    return picture.convert(COLOURS[channels])


def _resized(picture: "Image", form: Form) -> "Image":
    from PIL import Image, ImageOps

    size, method = (form.width, form.height), Image.Resampling.BILINEAR  # which averages when it reduces
    if picture.size == size:
        return picture
    if form.resize == "stretch":
        return picture.resize(size, method)
    return (ImageOps.fit if form.resize == "crop" else ImageOps.pad)(picture, size, method)
