"""Pictures as pixels: a file of any usual kind becomes uint8 of one shape, with Pillow."""

import importlib.util
import typing
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

import numpy as np

from hybridnets.data.dataset import Images

if TYPE_CHECKING:
    from PIL.Image import Image

Resize = Literal["crop", "pad", "stretch"]
RESIZES: tuple[Resize, ...] = typing.get_args(Resize)

# Pillow's names of the kinds of files that we read, and the endings of their names.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")

COLOURS = {1: "L", 3: "RGB"}  # Pillow's mode for each number of channels
SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
WHITE = (255, 255, 255, 255)


class DecodingError(ValueError):
    """A picture that cannot be read; the message is a clause that says why, without the picture's name."""


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


def decode(source: "Path | IO[bytes] | Image", form: Form) -> Images:
    """The pixels of one picture in a form, (C, H, W).

    A picture is turned as its camera says (EXIF), transparent parts are laid on white, and of 16 bits per channel the upper
    8 are kept. Of a file with several pictures, the first counts.

    Args:
        source: A file, its content, or a picture that Pillow has opened already.
        form: The form of the result.

    Raises:
        DecodingError: If it is no complete picture of a kind that we read, or its pixels have no fixed range.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        # Pillow warns of pictures that are so large that they may be an attack; it refuses those twice as large.
        with warnings.catch_warnings(action="ignore"):
            if isinstance(source, Image.Image):
                return _pixels(source, form)
            with Image.open(source, formats=FORMATS) as picture:
                return _pixels(picture, form)
    except DecodingError:
        raise
    except Exception as error:  # Pillow raises nearly anything
        if isinstance(error, OSError) and error.strerror:
            reason = error.strerror
        elif isinstance(error, UnidentifiedImageError):
            reason = f"it is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        else:
            reason = " ".join(str(error).split()) or type(error).__name__
        raise DecodingError(reason) from error


def needs_pillow() -> bool:
    """Whether Pillow is missing, which decoding needs."""
    return importlib.util.find_spec("PIL") is None


def _pixels(picture: "Image", form: Form) -> Images:
    from PIL import ImageOps

    picture = _resized(_coloured(ImageOps.exif_transpose(picture), form.channels), form)
    pixels = np.asarray(picture)  # (H, W) or (H, W, 3)
    return np.ascontiguousarray(pixels.reshape(form.height, form.width, form.channels).transpose(2, 0, 1))


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
