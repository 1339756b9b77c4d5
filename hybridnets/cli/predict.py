"""Classifies images with a finished run: `hybridnets predict --help`."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hybridnets.cli.arguments import Parser, end_with_a_sentence, epilog, find_modules_here, path_of
from hybridnets.cli.classes import answer, check_output

if TYPE_CHECKING:
    from hybridnets.predicting import Predictor

EXAMPLES = """\
examples:
  PROGRAM runs/digits/cnn/seed=0-68ad30 *.png               each image's class and its probability
  PROGRAM RUN images.npy -o classes.csv                     the probabilities of all classes, as a file

RUN is the folder of a finished run. IMAGE is a PNG or JPEG of the size that the run was trained on, or a .npy of uint8
(B, H, W, C) or (B, C, H, W). In Python: hybridnets.load(RUN).predict(images).
"""


def main(argv: list[str]) -> int:
    """Classifies images; returns the exit code.

    Args:
        argv: The command's name, and its arguments.
    """
    parser = Parser(
        prog="hybridnets predict",
        description="Classify images with a finished run.",
        epilog=epilog(EXAMPLES, "predict"),
    )
    parser.add_argument("run", type=path_of, metavar="RUN", help="folder of a finished run")
    parser.add_argument(
        "images", type=path_of, nargs="+", metavar="IMAGE", help="PNG or JPEG files, or a .npy of uint8"
    )
    parser.add_argument(
        "-o", "--output", type=path_of, metavar="FILE.csv", help="write all classes' probabilities to a file"
    )
    parser.add_argument("--device", default="cpu", help="the device that computes, such as cuda (default: cpu)")
    arguments = parser.parse_args(argv[1:])
    return end_with_a_sentence("predict", lambda: _predict(arguments))


def _predict(arguments: argparse.Namespace) -> int:
    from hybridnets.data.pictures import check_images
    from hybridnets.runs.store import result_with_weights

    result_with_weights(arguments.run)
    check_images(arguments.images)
    check_output(arguments.output, ".csv")
    # Imported after the arguments are checked, so that no error waits for torch.
    import hybridnets

    find_modules_here()
    run = hybridnets.load(arguments.run, arguments.device)
    rows = list(_rows(run, arguments.images))
    if not rows:
        raise ValueError("IMAGE must hold at least one image, got none")
    names, probabilities = zip(*rows, strict=True)
    answer(names, run.classes, probabilities, arguments.output, run.name)
    return 0


def _rows(run: "Predictor", paths: list[Path]) -> Iterator[tuple[str, list[float]]]:
    """The name of each image and its classes' probabilities."""
    from hybridnets.data.pictures import BATCH_SIZE, read_batches

    for pixels, names, source in read_batches(paths, run.image_shape):
        for start in range(0, max(len(pixels), 1), BATCH_SIZE):
            part = slice(start, start + BATCH_SIZE)
            try:
                probabilities = run.predict(pixels[part]).tolist()
            except ValueError as error:
                raise ValueError(f"{source}: {error}") from error
            yield from zip(names[part], probabilities, strict=True)
