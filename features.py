"""Encodes images with a feature autoencoder, and classifies their codes: `python features.py --help`."""

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

from hybridnets.arguments import ArgumentParser

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from hybridnets.predicting import AutoencoderPredictor, EncodedImages

FLOAT32_BYTES = 4
# By an image's channels, Pillow's modes that can be converted without a loss
MODES = {3: ("RGB", "P", "L", "1"), 1: ("L", "1")}
PICTURES = (".png", ".jpg", ".jpeg")
EXAMPLES = """\
examples:
  python features.py encode runs/cifar10/cnn+cae-32/seed=0-41e5df *.png -o codes.npz       the device: images to codes
  python features.py encode RUN images.npy -o codes.npz --precision 16                     half the bytes
  python features.py decode RUN codes.npz                                                  the cloud: codes to classes
  python features.py decode RUN codes.npz -o classes.csv                                   with every class's probability

RUN is the folder of a finished run of model=feature_autoencoder. Both sides need the same run; codes of another one are
refused. IMAGE is a PNG or JPEG of the size that the run was trained on, or a .npy of uint8 (B, H, W, C) or (B, C, H, W).
hybridnets/predicting/codes.py documents the format of a file of codes.
"""


def main(argv: list[str] | None = None) -> int:
    """Encodes images, or classifies codes; returns the exit code."""
    arguments = _arguments(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a path may hold what a terminal cannot show
    try:
        _check(arguments)
        # Imported after the arguments are parsed, so that --help does not wait for torch.
        import hybridnets

        run: Any = hybridnets.load(arguments.run, arguments.device)  # a run without a code refuses by itself
        (_encode if arguments.command == "encode" else _decode)(run, arguments)
        sys.stdout.flush()  # here, where a full disk can still be reported
    except ValueError as error:
        print(f"features.py: {_printable(str(error))}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"features.py: the output cannot be printed ({error.strerror})", file=sys.stderr)
        os._exit(2)  # because Python would flush once more, and print a traceback
    return 0


def _encode(run: "AutoencoderPredictor", arguments: argparse.Namespace) -> None:
    from hybridnets.predicting import concatenate, write_codes

    encoded = concatenate(list(_encoded_batches(run, arguments.images)))
    device, cloud = run.sizes()
    size = write_codes(arguments.output, encoded, arguments.precision)
    n, map_shape, code_shape = len(encoded.names), run.model.shape, encoded.code.shape[1:]
    rows = [
        (f"pixels, {_dimensions(run.image_shape)} uint8", n * math.prod(run.image_shape)),
        (f"maps, {_dimensions(map_shape)} float32", n * math.prod(map_shape) * FLOAT32_BYTES),
        (
            f"codes, {_dimensions(code_shape)} float{arguments.precision}",
            n * math.prod(code_shape) * arguments.precision // 8,
        ),
        (f"{_printable(str(arguments.output))} on disk", size),
    ]
    print(f"{_count_images(n)} encoded by {run.name}\n")
    width = max(len(label) for label, _ in rows)
    print(f"{'':{width}}  {'bytes':>15}  {'per image':>11}  of the maps")
    for label, count in rows:
        print(f"{label:{width}}  {count:>15,}  {count / n:>11,.1f}  {count / rows[1][1]:>11.1%}")
    print(f"\nOf the model's parameters and running statistics the device needs {device:,} ({FLOAT32_BYTES * device:,}")
    print(f"bytes as float32), and the cloud needs the other {cloud:,} ({FLOAT32_BYTES * cloud:,} bytes).")


def _decode(run: "AutoencoderPredictor", arguments: argparse.Namespace) -> None:
    from hybridnets.predicting import read_codes
    from hybridnets.runs.files import replacing

    encoded = read_codes(arguments.codes)
    probabilities = run.decode(encoded).cpu().numpy()
    classes = [run.classes[k] for k in probabilities.argmax(1)]
    if not arguments.output:
        names = [_printable(name) for name in encoded.names]
        widths = [max(map(len, column)) for column in (["image", *names], ["class", *classes])]
        print(f"{'image':{widths[0]}}  {'class':{widths[1]}}  probability")
        for name, class_name, probability in zip(names, classes, probabilities.max(1), strict=True):
            print(f"{name:{widths[0]}}  {class_name:{widths[1]}}  {probability:11.4f}")
        return
    try:
        with (
            replacing(arguments.output) as temporary,
            temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
        ):
            table = csv.writer(file)
            table.writerow(["image", "class", *run.classes])
            for name, class_name, row in zip(encoded.names, classes, probabilities.tolist(), strict=True):
                table.writerow([name, class_name, *row])
    except OSError as error:
        raise ValueError(f"classes cannot be written to {arguments.output} ({error.strerror})") from error
    print(f"{_count_images(len(classes))} classified by {run.name}: {_printable(str(arguments.output))}")


def _encoded_batches(run: "AutoencoderPredictor", paths: list[Path]) -> Iterator["EncodedImages"]:
    """Encodes all images in the order given; never more than one batch of picture files is in memory."""
    import numpy as np

    from hybridnets.predicting.predictor import BATCH_SIZE

    encode = run.encode  # a run of another model is refused here, before any image is read
    for path in paths:
        if not _is_array(path):
            with _picture(path, run.image_shape):
                pass  # the file's header suffices to refuse an unfit picture before anything is encoded
    for are_arrays, group in itertools.groupby(paths, key=_is_array):
        files = list(group)
        if are_arrays:
            for path in files:
                pixels = _array(path)
                try:
                    yield encode(pixels, [f"{path}[{i}]" for i in range(len(pixels))])
                except ValueError as error:
                    raise ValueError(f"{path}: {error}") from error
        else:
            for start in range(0, len(files), BATCH_SIZE):
                batch = files[start : start + BATCH_SIZE]
                pixels = np.stack([_pixels(path, run.image_shape) for path in batch])
                yield encode(pixels, [str(path) for path in batch])


def _is_array(path: Path) -> bool:
    return path.suffix.lower() == ".npy"


def _array(path: Path) -> "NDArray[Any]":
    """A file's array, memory-mapped."""
    import numpy as np

    try:
        # "c" (copy on write), because torch warns about read-only arrays; nothing is written.
        return np.atleast_1d(np.lib.format.open_memmap(path, mode="c"))
    except Exception as error:  # numpy raises nearly anything
        reason = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise ValueError(f"{path} must be a .npy of uint8 images, but cannot be read as one ({reason})") from error


def _pixels(path: Path, shape: tuple[int, ...]) -> "NDArray[np.uint8]":
    """The pixels of a picture, (H, W, C)."""
    import numpy as np

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


def _check(arguments: argparse.Namespace) -> None:
    """Checks the arguments as far as possible before torch is imported."""
    suffix = ".npz" if arguments.command == "encode" else ".csv"
    output: Path | None = arguments.output
    if output and (output.suffix != suffix or output.is_dir()):  # so that a forgotten word overwrites no image or codes
        raise ValueError(f"--output must be a {suffix} file, got {output}")
    if output and not output.parent.is_dir():
        raise ValueError(f"--output must be in an existing folder, got {output}")
    for path in getattr(arguments, "images", []):
        if path.suffix.lower() not in (".npy", *PICTURES):
            raise ValueError(f"IMAGE must be a PNG or JPEG file or a .npy, got {path}")
        if not path.is_file():
            raise ValueError(f"IMAGE not found: {path}")
        if not _is_array(path) and importlib.util.find_spec("PIL") is None:
            raise ValueError(
                f"{path} needs Pillow, which is not installed: pip install 'hybridnets[report]', or give a .npy"
            )


def _dimensions(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _count_images(n: int) -> str:
    return f"{n:,} image{'s' * (n > 1)}"


def _printable(text: str) -> str:
    """Replaces the characters that a terminal cannot show; the name of a file may contain any."""
    return "".join(letter if letter.isprintable() else f"[U+{ord(letter):04X}]" for letter in text)


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text))  # noqa: PTH111 (Path.expanduser raises for unknown users)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = ArgumentParser(
        prog="features.py",
        description="Encode images with a feature autoencoder, and classify their codes.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="encode | decode")
    encode = commands.add_parser("encode", help="the device's side: images to a file of codes, with its size")
    encode.add_argument("run", type=_path, metavar="RUN", help="folder of a finished run of model=feature_autoencoder")
    encode.add_argument("images", type=_path, nargs="+", metavar="IMAGE", help="PNG or JPEG files, or a .npy of uint8")
    encode.add_argument("-o", "--output", type=_path, required=True, metavar="FILE.npz", help="where the codes go")
    encode.add_argument("--precision", type=int, choices=(32, 16), default=32, help="bits per value (default: 32)")
    decode = commands.add_parser("decode", help="the cloud's side: a file of codes to the images' classes")
    decode.add_argument("run", type=_path, metavar="RUN", help="folder of the run that encoded the images")
    decode.add_argument("codes", type=_path, metavar="FILE.npz", help="the file that encode wrote")
    decode.add_argument(
        "-o", "--output", type=_path, metavar="FILE.csv", help="write the probabilities of all classes to a file"
    )
    for command in (encode, decode):
        command.add_argument("--device", default="cpu", help="the device that computes, such as cuda (default: cpu)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
