"""Encodes images with a feature autoencoder, and classifies their codes: `hybridnets encode --help`."""

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridnets import program
from hybridnets.cli.arguments import Parser, end_with_a_sentence, find_modules_here, path_of
from hybridnets.cli.classes import (
    Classified,
    add_answer_arguments,
    answer,
    check_answer_arguments,
    check_output,
)
from hybridnets.cli.notes import on_left_out, on_sizes, say
from hybridnets.program import plural, printable

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
refused. PATH is a picture (PNG, JPEG, WebP, BMP, TIFF), a .npy of uint8 (B, H, W, C) or (B, C, H, W), a folder of these,
or a pattern in quotes; images of another size are resized as the run's data were.
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

    notes: list[str] = []
    encoded = concatenate(list(_encoded_batches(run, arguments.paths, notes)))
    device, cloud = run.sizes()
    size = write_codes(arguments.output, encoded, arguments.precision)
    say("encode", notes)
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
    print(f"{plural(n, 'image')} encoded by {run.name}\n")
    width = max(len(label) for label, _ in rows)
    print(f"{'':{width}}  {'bytes':>15}  {'per image':>11}  of the maps")
    for label, count in rows:
        print(f"{label:{width}}  {count:>15,}  {count / n:>11,.1f}  {count / rows[1][1]:>11.1%}")
    print(f"\nOf the model's parameters and running statistics the device needs {device:,} ({FLOAT32_BYTES * device:,}")
    print(f"bytes as float32), and the cloud needs the other {cloud:,} ({FLOAT32_BYTES * cloud:,} bytes).")


def _decode(run: "AutoencoderPredictor", arguments: argparse.Namespace) -> None:
    from hybridnets.predicting import read_codes

    encoded = read_codes(arguments.codes)
    probabilities = run.decode(encoded).float().cpu().numpy()
    classified = Classified(encoded.names, run.classes, probabilities, run.name)
    answer(classified, arguments.format, arguments.top, arguments.output)


def _encoded_batches(run: "AutoencoderPredictor", paths: list[Path], notes: list[str]) -> Iterator["EncodedImages"]:
    """Encodes all images in the order given; notes gets what to say of them.

    Raises:
        ValueError: If files cannot be used; they are all named.
    """
    from hybridnets.data.pictures import describe_broken, find_files, read_batches

    encode = run.encode  # a run of another model is refused here, before any image is read
    broken: dict[Path, str] = {}
    resized = images = 0
    files, others = find_files(paths)
    for batch in read_batches(files, run.form, broken):
        if len(batch.images) and not broken:
            yield encode(batch.pixels, [image.name for image in batch.images])
        images, resized = images + len(batch.images), resized + batch.resized
    if broken:
        raise ValueError(describe_broken(broken))
    notes += on_left_out(others, "named like no image") + on_sizes(run, resized, images)


def _check(arguments: argparse.Namespace) -> None:
    """Checks the arguments as far as possible before torch is imported."""
    from hybridnets.data.pictures import check_pillow, find_files
    from hybridnets.runs.store import result_with_weights

    result_with_weights(arguments.run)
    if arguments.command == "encode":
        check_output(arguments.output, ".npz")
        check_pillow(find_files(arguments.paths)[0])
        return
    check_answer_arguments(arguments)
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
        "paths", type=path_of, nargs="+", metavar="PATH", help="pictures, arrays (.npy), folders of them, or patterns"
    )
    encode.add_argument("-o", "--output", type=path_of, required=True, metavar="FILE.npz", help="where the codes go")
    encode.add_argument("--precision", type=int, choices=(32, 16), default=32, help="bits per value (default: 32)")
    decode = commands.add_parser("decode", help="the cloud's side: a file of codes to the images' classes")
    decode.add_argument("run", type=path_of, metavar="RUN", help="folder of the run that encoded the images")
    decode.add_argument("codes", type=path_of, metavar="FILE.npz", help="the file that encode wrote")
    add_answer_arguments(decode)
    for subparser in (encode, decode):
        subparser.add_argument("--device", default="cpu", help="the device that computes, such as cuda (default: cpu)")
    return parser.parse_args(argv)
