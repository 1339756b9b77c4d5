"""Encodes images with a feature autoencoder, and classifies their codes: `hybridnets encode --help`."""

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridnets import program
from hybridnets.cli.arguments import Parser, end_with_a_sentence, find_modules_here, path_of
from hybridnets.cli.classes import answer, check_output, count_images
from hybridnets.program import printable

if TYPE_CHECKING:
    from hybridnets.predicting import AutoencoderPredictor, EncodedImages

FLOAT32_BYTES = 4
EXAMPLES = """\
examples:
  ENCODE runs/cifar10/cnn+cae-32/seed=0-41e5df *.png -o codes.npz       the device: images to codes
  ENCODE RUN images.npy -o codes.npz --precision 16                     half the bytes
  DECODE RUN codes.npz                                                  the cloud: codes to classes
  DECODE RUN codes.npz -o classes.csv                                   with every class's probability

RUN is the folder of a finished run of model=feature_autoencoder. Both sides need the same run; codes of another one are
refused. IMAGE is a PNG or JPEG of the size that the run was trained on, or a .npy of uint8 (B, H, W, C) or (B, C, H, W).
hybridnets/predicting/codes.py documents the format of a file of codes.
"""


def main(argv: list[str]) -> int:
    """Encodes images, or classifies codes; returns the exit code.

    Args:
        argv: encode or decode, and its arguments.
    """
    arguments = _parse(argv)
    return end_with_a_sentence(arguments.command, lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    _check(arguments)
    # Imported after the arguments are checked, so that neither --help nor an error waits for torch.
    import hybridnets

    find_modules_here()
    run: Any = hybridnets.load(arguments.run, arguments.device)  # a run without a code refuses by itself
    (_encode if arguments.command == "encode" else _decode)(run, arguments)
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
        (f"{printable(str(arguments.output))} on disk", size),
    ]
    print(f"{count_images(n)} encoded by {run.name}\n")
    width = max(len(label) for label, _ in rows)
    print(f"{'':{width}}  {'bytes':>15}  {'per image':>11}  of the maps")
    for label, count in rows:
        print(f"{label:{width}}  {count:>15,}  {count / n:>11,.1f}  {count / rows[1][1]:>11.1%}")
    print(f"\nOf the model's parameters and running statistics the device needs {device:,} ({FLOAT32_BYTES * device:,}")
    print(f"bytes as float32), and the cloud needs the other {cloud:,} ({FLOAT32_BYTES * cloud:,} bytes).")


def _decode(run: "AutoencoderPredictor", arguments: argparse.Namespace) -> None:
    from hybridnets.predicting import read_codes

    encoded = read_codes(arguments.codes)
    answer(encoded.names, run.classes, run.decode(encoded).tolist(), arguments.output, run.name)


def _encoded_batches(run: "AutoencoderPredictor", paths: list[Path]) -> Iterator["EncodedImages"]:
    """Encodes all images in the order given."""
    from hybridnets.data.pictures import read_batches

    encode = run.encode  # a run of another model is refused here, before any image is read
    for pixels, names, source in read_batches(paths, run.image_shape):
        try:
            yield encode(pixels, names)
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error


def _check(arguments: argparse.Namespace) -> None:
    """Checks the arguments as far as possible before torch is imported."""
    from hybridnets.data.pictures import check_images
    from hybridnets.runs.store import result_with_weights

    result_with_weights(arguments.run)
    check_output(arguments.output, ".npz" if arguments.command == "encode" else ".csv")
    if arguments.command == "encode":
        check_images(arguments.images)
        return
    try:
        arguments.codes.open("rb").close()
    except OSError as error:
        raise ValueError(f"codes cannot be read from {arguments.codes} ({error.strerror})") from error


def _dimensions(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _parse(argv: list[str]) -> argparse.Namespace:
    examples = EXAMPLES
    for command in ("encode", "decode"):
        examples = examples.replace(command.upper(), " ".join(program.words(command)))
    parser = Parser(
        prog=program.name("encode").removesuffix(" encode"),
        description="Encode images with a feature autoencoder, and classify their codes.",
        epilog=examples,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="encode | decode")
    encode = commands.add_parser("encode", help="the device's side: images to a file of codes, with its size")
    encode.add_argument(
        "run", type=path_of, metavar="RUN", help="folder of a finished run of model=feature_autoencoder"
    )
    encode.add_argument(
        "images", type=path_of, nargs="+", metavar="IMAGE", help="PNG or JPEG files, or a .npy of uint8"
    )
    encode.add_argument("-o", "--output", type=path_of, required=True, metavar="FILE.npz", help="where the codes go")
    encode.add_argument("--precision", type=int, choices=(32, 16), default=32, help="bits per value (default: 32)")
    decode = commands.add_parser("decode", help="the cloud's side: a file of codes to the images' classes")
    decode.add_argument("run", type=path_of, metavar="RUN", help="folder of the run that encoded the images")
    decode.add_argument("codes", type=path_of, metavar="FILE.npz", help="the file that encode wrote")
    decode.add_argument(
        "-o", "--output", type=path_of, metavar="FILE.csv", help="write the probabilities of all classes to a file"
    )
    for subparser in (encode, decode):
        subparser.add_argument("--device", default="cpu", help="the device that computes, such as cuda (default: cpu)")
    return parser.parse_args(argv)
