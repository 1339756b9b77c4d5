"""Images for a finished run from files: pictures, and arrays of NumPy."""

import contextlib
import importlib.util
import itertools
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

BATCH_SIZE = 100  # pictures that are in memory at a time
# By an image's channels, Pillow's modes that can be converted without a loss
MODES = {3: ("RGB", "P", "L", "1"), 1: ("L", "1")}
PICTURES = (".png", ".jpg", ".jpeg")


def check_images(paths: Sequence[Path]) -> None:
    """Refuses a file that cannot hold images, as far as its name and this environment say so.

    Args:
        paths: Files of pictures, or of arrays.

    Raises:
        ValueError: If one is missing or of another kind, or needs Pillow where that is not installed.
    """
    for path in paths:
        if path.suffix.lower() not in (".npy", *PICTURES):
            raise ValueError(f"IMAGE must be a PNG or JPEG file or a .npy, got {path}")
        if not path.is_file():
            raise ValueError(f"IMAGE not found: {path}")
        if not _is_array(path) and importlib.util.find_spec("PIL") is None:
            raise ValueError(
                f"{path} needs Pillow, which is not installed: pip install 'hybridnets[report]', or give a .npy"
            )


def read_batches(paths: Sequence[Path], shape: tuple[int, ...]) -> Iterator[tuple[NDArray[Any], list[str], str]]:
    """The images of files in the order given; never more than one batch of pictures is in memory.

    Args:
        paths: Files of pictures, or of arrays, which are memory-mapped.
        shape: Shape of the run's images, (C, H, W).

    Yields:
        Images: pictures as uint8 (B, H, W, C), an array as it is; their names; and what to call them in a message.

    Raises:
        ValueError: If a file cannot be read, or if a picture has another size.
    """
    for path in paths:
        if not _is_array(path):
            with _picture(path, shape):
                pass  # the file's header suffices to refuse an unfit picture before anything is computed
    for are_arrays, group in itertools.groupby(paths, key=_is_array):
        files = list(group)
        if are_arrays:
            for path in files:
                pixels = _array(path)
                yield pixels, [f"{path}[{i}]" for i in range(len(pixels))], str(path)
        else:
            for start in range(0, len(files), BATCH_SIZE):
                batch = files[start : start + BATCH_SIZE]
                yield np.stack([_pixels(path, shape) for path in batch]), list(map(str, batch)), str(batch[0])


def _is_array(path: Path) -> bool:
    return path.suffix.lower() == ".npy"


def _array(path: Path) -> NDArray[Any]:
    """A file's array, memory-mapped."""
    try:
        # "c" (copy on write), because torch warns about read-only arrays; nothing is written.
        return np.atleast_1d(np.lib.format.open_memmap(path, mode="c"))
    except Exception as error:  # numpy raises nearly anything
        reason = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise ValueError(f"{path} must be a .npy of uint8 images, but cannot be read as one ({reason})") from error


def _pixels(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The pixels of a picture, (H, W, C)."""
    with _picture(path, shape) as picture:
        pixels = np.asarray(picture.convert("RGB" if shape[0] == 3 else "L"))  # (H, W, 3) or (H, W)
    return pixels.reshape(*shape[1:], shape[0])


@contextlib.contextmanager
def _picture(path: Path, shape: tuple[int, ...]) -> "Iterator[Image]":
    """Opens a picture of the run's size; its pixels are not read yet."""
    from PIL import Image

    channels, height, width = shape
    if channels not in MODES:
        raise ValueError(f"images of {channels} channels, as the run's are, must be in a .npy, got {path}")
    try:
        # Pillow's warnings concern pictures so large that we refuse them anyway.
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=("PNG", "JPEG")) as picture:
            size, mode = picture.size, "transparent" if "transparency" in picture.info else picture.mode
            if size == (width, height) and mode in MODES[channels]:
                yield picture
                return
    except Exception as error:  # Pillow raises nearly anything
        reason = (isinstance(error, OSError) and error.strerror) or type(error).__name__
        raise ValueError(f"{path} must be a complete PNG or JPEG file, but cannot be read as one ({reason})") from error
    raise ValueError(
        f"{path} must be {width} wide, {height} high and of mode {' or '.join(MODES[channels])}, got "
        f"{size[0]} wide, {size[1]} high and {mode}: convert it to the form of the images that the run was trained on"
    )
