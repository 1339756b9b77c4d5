"""Writes and reads images as the codes of a feature autoencoder: `python features.py --help`."""

from hybridnets import signals

if __name__ == "__main__":  # before the imports that take time
    signals.install("features.py")

import argparse
import contextlib
import csv
import importlib.util
import io
import itertools
import math
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from hybridnets.training.codes import Codes
    from hybridnets.training.predictor import Predictor

BYTES = 4  # of a number, float32
MODES = {3: ("RGB", "P", "L", "1"), 1: ("L", "1")}  # Pillow's, by an image's channels: what becomes it without a loss
PICTURES = (".png", ".jpg", ".jpeg")
EXAMPLES = """\
examples:
  python features.py encode runs/cifar10/cnn+cae-32/seed=0-41e5df *.png -o codes.npz       the device: images to codes
  python features.py encode RUN images.npy -o codes.npz --precision 16                     half the bytes
  python features.py decode RUN codes.npz                                                  the cloud: codes to classes
  python features.py decode RUN codes.npz -o classes.csv                                   with every class's probability

RUN is the folder of a finished run of model=feature_autoencoder; both sides need the same one, and codes of another are
refused. IMAGE is a PNG or JPEG of the size that the run was trained on, or a .npy of uint8 (B, H, W, C) or (B, C, H, W).
What a file of codes holds is told in hybridnets/training/codes.py.
"""


def main(argv: list[str] | None = None) -> int:
    """Encodes images, or classifies what was encoded."""
    arguments = _arguments(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a path may hold what a terminal cannot show
    try:
        _check(arguments)
        # After the arguments, so that --help need not wait for torch.
        import hybridnets

        run = hybridnets.load(arguments.run, arguments.device)
        (_encode if arguments.command == "encode" else _decode)(run, arguments)
        sys.stdout.flush()  # here, where a full disk can still be told
    except ValueError as error:
        print(f"features.py: {_visible(str(error))}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"features.py: the answer cannot be printed ({error.strerror})", file=sys.stderr)
        os._exit(2)  # Python would try to flush once more, and tell in its own words
    return 0


def _encode(run: "Predictor", arguments: argparse.Namespace) -> None:
    from hybridnets.training import codes

    device, cloud = run.sizes()  # which refuses a run of another model, before images are read
    made = codes.joined(list(_codes(run, arguments.images)))
    size = codes.write(arguments.output, made, arguments.precision)
    n, maps, one = len(made.names), run.model.shape, made.code.shape[1:]
    rows = [
        (f"pixels, {_shown(run.image_shape)} uint8", n * math.prod(run.image_shape)),
        (f"maps, {_shown(maps)} float32", n * math.prod(maps) * BYTES),
        (f"codes, {_shown(one)} float{arguments.precision}", n * math.prod(one) * arguments.precision // 8),
        (f"{_visible(str(arguments.output))} on disk", size),
    ]
    print(f"{_counted(n)} encoded by {run.name}\n")
    wide = max(len(what) for what, _ in rows)
    print(f"{'':{wide}}  {'bytes':>15}  {'an image':>11}  of the maps")
    for what, count in rows:
        print(f"{what:{wide}}  {count:>15,}  {count / n:>11,.1f}  {count / rows[1][1]:>11.1%}")
    print(
        f"\nOf the model's numbers the device needs {device:,} ({BYTES * device:,} bytes as float32), the cloud the other"
    )
    print(f"{cloud:,} ({BYTES * cloud:,} bytes).")


def _decode(run: "Predictor", arguments: argparse.Namespace) -> None:
    from hybridnets.runs.files import replacing
    from hybridnets.training import codes

    found = codes.read(arguments.codes)
    probabilities = run.decode(found).cpu().numpy()
    kinds = [run.classes[k] for k in probabilities.argmax(1)]
    if not arguments.output:
        names = [_visible(name) for name in found.names]
        widths = [max(map(len, column)) for column in (["image", *names], ["class", *kinds])]
        print(f"{'image':{widths[0]}}  {'class':{widths[1]}}  probability")
        for name, kind, probability in zip(names, kinds, probabilities.max(1), strict=True):
            print(f"{name:{widths[0]}}  {kind:{widths[1]}}  {probability:11.4f}")
        return
    try:
        with (
            replacing(arguments.output) as beside,
            beside.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
        ):
            table = csv.writer(file)
            table.writerow(["image", "class", *run.classes])
            for name, kind, row in zip(found.names, kinds, probabilities.tolist(), strict=True):
                table.writerow([name, kind, *row])
    except OSError as error:
        raise ValueError(f"classes cannot be written to {arguments.output} ({error.strerror})") from error
    print(f"{_counted(len(kinds))} classified by {run.name}: {_visible(str(arguments.output))}")


def _codes(run: "Predictor", paths: list[Path]) -> Iterator["Codes"]:
    """Codes of all images in the order given; in memory are the pixels of no more than a batch of files."""
    import numpy as np

    from hybridnets.training.predictor import AT_ONCE

    for path in paths:
        if not _is_array(path):
            with _picture(path, run.image_shape):
                pass  # its head will do, so that a slip is told before anything is encoded
    for arrays, group in itertools.groupby(paths, key=_is_array):
        files = list(group)
        if arrays:
            for path in files:
                pixels = _array(path)
                try:
                    yield run.encode(pixels, [f"{path}[{i}]" for i in range(len(pixels))])
                except ValueError as error:
                    raise ValueError(f"{path}: {error}") from error
        else:
            for start in range(0, len(files), AT_ONCE):
                batch = files[start : start + AT_ONCE]
                pixels = np.stack([_pixels(path, run.image_shape) for path in batch])
                yield run.encode(pixels, [str(path) for path in batch])


def _is_array(path: Path) -> bool:
    return path.suffix.lower() == ".npy"


def _array(path: Path) -> "NDArray[Any]":
    """A file's array, of which what is used comes to memory."""
    import numpy as np

    try:
        # "c" because torch warns of arrays that cannot be written to; nothing is written.
        return np.atleast_1d(np.lib.format.open_memmap(path, mode="c"))
    except Exception as error:  # numpy raises nearly anything
        why = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise ValueError(f"{path} must be a .npy of uint8 images, and cannot be read as one ({why})") from error


def _pixels(path: Path, shape: tuple[int, ...]) -> "NDArray[np.uint8]":
    """A picture's pixels, (H, W, C)."""
    import numpy as np

    with _picture(path, shape) as picture:
        pixels = np.asarray(picture.convert("RGB" if shape[0] == 3 else "L"))  # (H, W, 3) or (H, W)
    return pixels.reshape(*shape[1:], shape[0])


@contextlib.contextmanager
def _picture(path: Path, shape: tuple[int, ...]) -> "Iterator[Image]":
    """A picture of the run's size, of which only the head was read."""
    from PIL import Image

    channels, height, width = shape
    if channels not in MODES:
        raise ValueError(f"images of {channels} channels, as the run's are, must be in a .npy, got {path}")
    try:
        # Without Pillow's warnings, of pictures so large that they are refused here.
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=("PNG", "JPEG")) as picture:
            size, mode = picture.size, "transparent" if "transparency" in picture.info else picture.mode
            if size == (width, height) and mode in MODES[channels]:
                yield picture
                return
    except Exception as error:  # Pillow raises nearly anything
        why = (isinstance(error, OSError) and error.strerror) or type(error).__name__
        raise ValueError(f"{path} must be a whole PNG or JPEG file, and cannot be read as one ({why})") from error
    raise ValueError(
        f"{path} must be {width} wide, {height} high and of mode {' or '.join(MODES[channels])}, got "
        f"{size[0]} wide, {size[1]} high and {mode}: the run's images are so, convert it first"
    )


def _check(arguments: argparse.Namespace) -> None:
    """Refuses what can be refused before torch is imported."""
    suffix = ".npz" if arguments.command == "encode" else ".csv"
    to: Path | None = arguments.output
    if to and (to.suffix != suffix or to.is_dir()):  # so that a word too few replaces no image and no codes
        raise ValueError(f"--output must be a {suffix} file, got {to}")
    if to and not to.parent.is_dir():
        raise ValueError(f"--output must be in a folder that is there, got {to}")
    for path in getattr(arguments, "images", []):
        if path.suffix.lower() not in (".npy", *PICTURES):
            raise ValueError(f"IMAGE must be a PNG or JPEG file or a .npy, got {path}")
        if not path.is_file():
            raise ValueError(f"IMAGE must be a file, got {path}, which is none")
        if not _is_array(path) and importlib.util.find_spec("PIL") is None:
            raise ValueError(
                f"{path} needs Pillow, which is not installed: pip install 'hybridnets[report]', or give a .npy"
            )


def _shown(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _counted(n: int) -> str:
    return f"{n:,} image{'s' * (n > 1)}"


def _visible(words: str) -> str:
    """Words as a terminal can show them: a file's names may hold anything."""
    return "".join(letter if letter.isprintable() else f"[U+{ord(letter):04X}]" for letter in words)


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text))  # noqa: PTH111 (Path's own raises of users who do not exist); shells leave --to=~/x


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="features.py",
        description="Write images as the codes of a feature autoencoder, and classify what was written.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="encode | decode")
    encode = commands.add_parser("encode", help="the device's side: images to a file of codes, and what it weighs")
    encode.add_argument("run", type=_path, metavar="RUN", help="folder of a finished run of model=feature_autoencoder")
    encode.add_argument("images", type=_path, nargs="+", metavar="IMAGE", help="PNG or JPEG files, or a .npy of uint8")
    encode.add_argument("-o", "--output", type=_path, required=True, metavar="FILE.npz", help="where the codes go")
    encode.add_argument("--precision", type=int, choices=(32, 16), default=32, help="bits of a number (default: 32)")
    decode = commands.add_parser("decode", help="the cloud's side: a file of codes to each image's class")
    decode.add_argument("run", type=_path, metavar="RUN", help="folder of the run that encoded")
    decode.add_argument("codes", type=_path, metavar="FILE.npz", help="what encode wrote")
    decode.add_argument("-o", "--output", type=_path, metavar="FILE.csv", help="every class's probability, in a file")
    for command in (encode, decode):
        command.add_argument("--device", default="cpu", help="where it computes, such as cuda (default: cpu)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
