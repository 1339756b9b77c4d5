"""Classifies images with a finished run, or with all seeds of a variant: `hybridnets predict --help`."""

import argparse
import importlib.util
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hybridnets.cli.arguments import Parser, end_with_a_sentence, epilog, find_modules_here, path_of
from hybridnets.cli.classes import (
    Classified,
    add_answer_arguments,
    answer,
    check_answer_arguments,
    check_output,
)
from hybridnets.cli.notes import on_left_out, on_left_out_runs, on_sizes, on_training_images, say
from hybridnets.program import few

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hybridnets.data.pictures import Image, ImageFile
    from hybridnets.predicting import Ensemble, Predictor
    from hybridnets.runs.members import Members

EXAMPLES = """\
examples:
  PROGRAM runs/digits/cnn/seed=0-68ad30 *.png               each image's class and its probability
  PROGRAM RUN photos/ --top 3                               all pictures in a folder; three classes for each
  PROGRAM RUN photos/ -o classes.csv                        the probabilities of all classes, as a file
  PROGRAM RUN 'photos/**/*.jpg' --format jsonl | jq .class  for another program
  PROGRAM RUN test/ --page test.html                        test/CLASS/*: accuracy, confusion, the worst mistakes
  PROGRAM runs/digits/cnn --ensemble photos/                the mean over all seeds of a variant

RUN is the folder of a finished run. PATH is a picture (PNG, JPEG, WebP, BMP, TIFF) of any size, a .npy of uint8
(B, H, W, C) or (B, C, H, W), a folder of these with all below it, or a pattern in quotes. Images of another size are
resized as the run's data were. In Python: hybridnets.load(RUN).predict(images or paths).
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
        "paths", type=path_of, nargs="+", metavar="PATH", help="pictures, arrays (.npy), folders of them, or patterns"
    )
    add_answer_arguments(parser)
    parser.add_argument(
        "--page",
        type=path_of,
        metavar="FILE.html",
        help="where PATH has a folder per class: write accuracy, confusion and the worst mistakes as a page",
    )
    parser.add_argument(
        "--ensemble",
        action="store_true",
        help="average the probabilities over all finished seeds of RUN's variant; RUN may be the variant's folder",
    )
    parser.add_argument(
        "--skip-broken", action="store_true", help="leave out files that cannot be read, which are refused otherwise"
    )
    parser.add_argument("--device", default="cpu", help="the device that computes, such as cuda (default: cpu)")
    arguments = parser.parse_args(argv[1:])
    return end_with_a_sentence("predict", lambda: _predict(arguments))


def _predict(arguments: argparse.Namespace) -> int:
    files, seeds, notes = _check(arguments)
    from tqdm import tqdm

    from hybridnets.data import pictures

    # The bar precedes torch, whose import takes seconds.
    with tqdm(total=pictures.count_images(files), desc="predicting", unit="image", leave=False, disable=None) as bar:
        from hybridnets.predicting import load_ensemble, load_predictor

        find_modules_here()
        device = arguments.device
        run = load_ensemble(seeds.folders, device) if seeds else load_predictor(arguments.run, device)
        positions, more = _classes_of_folders(files, run.classes)
        if arguments.page and not positions:
            raise ValueError(
                "--page needs images of known classes, in folders directly below PATH, or in a PATH, that are named as the "
                f"run's classes ({few(run.classes)}), and there is none"
            )
        reading = _classify(run, files, bar.update, skip_broken=arguments.skip_broken)
    notes += more + _notes(run, reading)
    if positions:
        folder = seeds.folders[0] if seeds else arguments.run
        notes += on_training_images(folder, (file.path for file in files))
    say("predict", notes)
    labels = _labels(reading.images, positions) if positions else None
    is_known = labels is not None and bool((labels >= 0).any())
    if arguments.page and not is_known:
        raise ValueError("--page needs an image of a known class that can be read, and there is none")
    names = [image.name for image in reading.images]
    classified = Classified(names, run.classes, reading.probabilities, run.name, labels)
    answer(classified, arguments.format, arguments.top, arguments.output)
    if is_known:
        from hybridnets.cli import labelled

        only_data = arguments.format != "table" and not arguments.output
        to = sys.stderr if only_data else sys.stdout
        title = f"{run.name} on {', '.join(map(str, arguments.paths))}"
        labelled.report(classified, reading.images, to, arguments.page, title, notes)
    return 0


def _check(arguments: argparse.Namespace) -> "tuple[list[ImageFile], Members | None, list[str]]":
    """Checks the arguments as far as possible before torch is imported; the files, the ensemble's runs, and notes on both."""
    from hybridnets.data.pictures import check_pillow, find_files

    seeds = _check_run(arguments.run, ensemble=arguments.ensemble)
    check_answer_arguments(arguments)
    check_output(arguments.page, ".html", option="--page")
    if arguments.page and importlib.util.find_spec("jinja2") is None:
        raise ValueError("--page needs Jinja2, which is not installed: pip install 'hybridnets[report]'")
    files, others = find_files(arguments.paths)
    check_pillow(files)
    return (
        files,
        seeds,
        on_left_out(others, "named like no image") + (on_left_out_runs(seeds.left_out) if seeds else []),
    )


def _check_run(run: Path, *, ensemble: bool) -> "Members | None":
    """The runs of the ensemble; None for a single run, which can be loaded."""
    from hybridnets.runs.members import members
    from hybridnets.runs.records import result
    from hybridnets.runs.store import result_with_weights

    if ensemble:
        return members(run)
    if not (run / result.FILE).exists() and next(run.glob(f"*/{result.FILE}"), None):
        raise ValueError(
            f"RUN must be the folder of a run, and {run} is a folder of several: name one of them, or average them with "
            "--ensemble"
        )
    result_with_weights(run)
    return None


@dataclass(frozen=True, eq=False)
class _Reading:
    """Images that were classified, their probabilities (N, K), how many had another size, and the files left out."""

    images: "list[Image]"
    probabilities: "NDArray[np.float32]"
    resized: int
    broken: Mapping[Path, str]


def _classify(
    run: "Predictor | Ensemble", files: "list[ImageFile]", advance: Callable[[int], object], *, skip_broken: bool
) -> _Reading:
    """Classifies the images of the files.

    Once a file proves to be broken, and is not to be left out, the others are only read, so that one sentence names all
    that are broken.
    """
    import numpy as np

    from hybridnets.data.pictures import describe_broken, read_batches

    images: list[Image] = []
    probabilities: list[NDArray[np.float32]] = []
    broken: dict[Path, str] = {}
    resized = 0
    for batch in read_batches(files, run.form, broken):
        if len(batch.images) and (skip_broken or not broken):
            images += batch.images
            probabilities.append(run.predict(batch.pixels).float().cpu().numpy())
            resized += batch.resized
        advance(len(batch.images))
    if broken and not (skip_broken and images):
        remedy = "" if skip_broken else f": --skip-broken leaves {'it' if len(broken) == 1 else 'them'} out"
        raise ValueError(describe_broken(broken) + remedy)
    return _Reading(images, np.concatenate(probabilities), resized, broken)


def _notes(run: "Predictor | Ensemble", reading: _Reading) -> list[str]:
    """What a reader of the answer must know of how it came about."""
    broken = [f"{path} ({reason})" for path, reason in reading.broken.items()]
    notes = on_left_out(broken, "as they cannot be used") + on_sizes(run, reading.resized, len(reading.images))
    if seeds := getattr(run, "seeds", ()):
        notes.append(f"probabilities are the mean of {len(seeds)} runs, seeds {', '.join(seeds)}")
    return notes


def _classes_of_folders(files: "list[ImageFile]", classes: Sequence[str]) -> "tuple[dict[ImageFile, int], list[str]]":
    """The positions of the classes that the files' folders are named after, where they are, and what to say of the others."""
    positions = {unicodedata.normalize("NFC", name): place for place, name in enumerate(classes)}
    known = {
        file: positions[name]
        for file in files
        if (name := next((name for name in (file.group, file.named) if name in positions), None)) is not None
    }
    others = dict.fromkeys((file.group, file.named) for file in files if file not in known)
    if known:
        folders = dict.fromkeys(name for group, named in others if (name := group or named))
        what = "the images in folders that are no class of the run do not count in the accuracy"
        return known, [f"{what}: {few(folders)}"] if folders else []
    if not any(group for group, _ in others):
        return known, []
    return known, [
        f"no accuracy, because neither PATH nor a folder directly below it is named as a class of the run ({few(classes)})"
    ]


def _labels(images: "list[Image]", positions: "Mapping[ImageFile, int]") -> "NDArray[np.int64]":
    """The classes of images by their folders, (N,); -1 where it is not known."""
    import numpy as np

    return np.array([positions.get(image.file, -1) for image in images], np.int64)
