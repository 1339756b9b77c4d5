"""Writes a finished run's network as one file that needs no hybridnets: `hybridnets export --help`."""

import argparse
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from hybridnets.cli.arguments import Parser, end_with_a_sentence, epilog, find_modules_here, path_of
from hybridnets.cli.classes import check_output
from hybridnets.cli.notes import say
from hybridnets.program import either, printable

if TYPE_CHECKING:
    from hybridnets.predicting.exporting import Examples, Exported, Format
    from hybridnets.predicting.predictor import Predictor
    from hybridnets.runs.records.result import Result

ENDINGS: "dict[Format, str]" = {"onnx": ".onnx", "pt2": ".pt2"}
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
MANY_STEPS = 256  # of a sequence, at which torch.export takes so long that one wonders
EXAMPLES = """\
examples:
  PROGRAM runs/digits/cnn/seed=0-68ad30 -o digits.onnx      for ONNX Runtime, in any of its languages
  PROGRAM RUN -o digits.pt2                                 for torch alone: torch.export.load
  PROGRAM RUN -o digits.model --format onnx                 whatever the file's name

The graph takes uint8 images (B, C, H, W), a batch of any length, and gives probabilities (B, K): standardisation and softmax
are inside. It is written only if it gives the run's own probabilities within 1e-4: those that the run stored of its test
images if the data set is here, otherwise those of 100 random images. ONNX needs pip install 'hybridnets[export]'.
"""


def main(argv: list[str]) -> int:
    """Exports a network; returns the exit code.

    Args:
        argv: The command's name, and its arguments.
    """
    parser = Parser(
        prog="hybridnets export",
        description="Write a finished run's network as one file, ONNX or torch's pt2, that needs no hybridnets.",
        epilog=epilog(EXAMPLES, "export"),
    )
    parser.add_argument("run", type=path_of, metavar="RUN", help="folder of a finished run")
    parser.add_argument(
        "-o",
        "--output",
        type=path_of,
        required=True,
        metavar="FILE",
        help="where the network goes: FILE.onnx or FILE.pt2",
    )
    parser.add_argument("--format", choices=tuple(ENDINGS), help="the file's format (default: by its ending)")
    arguments = parser.parse_args(argv[1:])
    return end_with_a_sentence("export", lambda: _export(arguments))


def _export(arguments: argparse.Namespace) -> int:
    from hybridnets.runs.store import result_with_weights

    record = result_with_weights(arguments.run)
    kind = _format(arguments.output, arguments.format)
    check_output(arguments.output, arguments.output.suffix)
    if kind == "onnx" and (missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]):
        raise ValueError(f"ONNX needs {', '.join(missing)}, not installed here: pip install 'hybridnets[export]'")
    # Imported after the arguments are checked, so that no error waits for torch.
    import hybridnets
    from hybridnets.predicting import exporting

    find_modules_here()
    run = hybridnets.load(arguments.run)
    examples = _examples(run, arguments.run, record)
    steps = exporting.steps(run)
    if kind == "pt2" and steps and steps >= MANY_STEPS:
        say("export", [f"torch.export records the {steps:,} steps one by one, which takes a minute or more"])
    exported = exporting.export(run, arguments.output, kind, examples)
    checkpoint = (arguments.run / "checkpoints" / "best.ckpt").stat().st_size
    print(_answer(arguments.output, run, exported, examples, checkpoint))
    return 0


def _format(output: Path, requested: "Format | None") -> "Format":
    """The format of a file, by request or by its ending."""
    by_ending = {ending: kind for kind, ending in ENDINGS.items()}.get(output.suffix)
    if requested and by_ending not in (None, requested):
        raise ValueError(f"--output must be a {ENDINGS[requested]} file with --format {requested}, got {output}")
    if kind := requested or by_ending:
        return kind
    endings = either(ENDINGS.values())
    raise ValueError(f"--output must be a {endings} file, or --format must say which it is, got {output}")


def _examples(run: "Predictor", folder: Path, record: "Result") -> "Examples":
    """What the graph is checked against: the run's stored predictions if its images are here."""
    from hybridnets.cli.images import read_images
    from hybridnets.predicting import exporting

    try:
        dataset = read_images(folder, record.identity, users_code=True)  # whose model's code was run, too
        if dataset is None:
            raise ValueError("the data set's content is not what the run was trained on")
        precision = record.identity["trainer"].get("precision", "32-true")
        return exporting.stored_examples(run, folder, dataset.test_images, precision)
    except Exception as error:  # whatever reading the data set raises, the network can be checked without it
        why = " ".join(str(error).split())[:200] or type(error).__name__
        say("export", [f"checked with random images, because the run's test images are not available ({why})"])
        return exporting.random_examples(run)


def _answer(path: Path, run: "Predictor", exported: "Exported", examples: "Examples", checkpoint: int) -> str:
    from hybridnets.predicting.exporting import SPEED_BATCH

    shape = ", ".join(map(str, run.image_shape))
    steps = f", a sequence of {exported.steps:,} steps" if exported.steps else ""
    return "\n".join(
        [
            f"{printable(str(path))}: {run.name}{steps}",
            f"  takes   uint8 images (B, {shape}), gives probabilities (B, {len(run.classes)}), for any B",
            f"  check   batches of 1, 2, 7 and 32 by {exported.computed_by}; largest difference "
            f"{exported.difference:.1e} from {examples.source}",
            f"  size    {exported.size:,} bytes (the run's checkpoint: {checkpoint:,})",
            f"  speed   {exported.milliseconds:.1f} ms for {SPEED_BATCH} images; hybridnets {exported.own_milliseconds:.1f} ms "
            f"({exported.own_kernels}); measured now on this machine's CPU",
        ]
    )
