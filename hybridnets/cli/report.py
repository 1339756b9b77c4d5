"""Compares finished runs, or the scores of any project: `hybridnets report --help`."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridnets import program
from hybridnets.cli.arguments import Parser, end_with_a_sentence, epilog, path_of

if TYPE_CHECKING:
    from hybridnets.data.dataset import ImageDataset
    from hybridnets.report.analysis import DataSetReport

OUTCOMES = 45_000  # of an accuracy of the paper: three runs of 15,000 val images
COMMANDS = ("pack", "unpack", "status", "verify", "mlflow")
EXAMPLES = """\
examples:
  PROGRAM runs/digits                               the answer, tables, figures, one page: runs/digits/report
  PROGRAM runs --baseline crnn-lstm-1x16            every variant against this one
  PROGRAM runs --baseline model=cnn --vary rnn      tables by the variants' own axes
  PROGRAM runs --primary ecrnn-lstm-1x16 cnn --margin 1      which comparison answers; 1 point matters
  PROGRAM scores.csv                                scores of any project: columns variant, seed, score
  PROGRAM losses.csv --lower-is-better --metric loss      scores of which less is better
  PROGRAM multirun --metric val/acc                 runs of Hydra, TensorBoard, W&B or MLflow
  PROGRAM --verify runs/digits                      computes everything again from the stored predictions
  PROGRAM --watch runs --serve                      keeps the page fresh while runs are trained, and serves it
  PROGRAM --status runs                             how far the runs of a sweep are
  PROGRAM --mlflow sqlite:///mlflow.db runs         copies finished runs to MLflow, each once
  PROGRAM --pack runs/digits -o evidence.npz        what the report needs, in one small file
  PROGRAM evidence.npz                              the same report from it
  PROGRAM --unpack evidence.npz -o runs             restores the runs: the sweep trains what is missing
  PROGRAM --published published.csv                 what the stars of published figures counted

A variant is a configuration without its seeds. Its label is the name of its folder; where several variants share that
name, the settings that differ follow ("crnn-lstm-1x16 sequence=positions", in quotes). The first table lists all labels.
"""


def main(argv: list[str]) -> int:
    """Runs one command, or makes the report; a user's error is one sentence and exit code 2.

    Args:
        argv: The command's name, and its arguments.
    """
    arguments = parse_arguments(argv[1:])
    # Imported after the arguments are parsed, so that --help does not wait for numpy.
    from hybridnets.report import ReportError
    from hybridnets.runs.published_figures import DeclarationError

    command = shlex.join([*program.words("report"), *argv[1:]])
    return end_with_a_sentence("report", lambda: run_command(arguments, command), (ReportError, DeclarationError))


def run_command(arguments: argparse.Namespace, command: str) -> int:
    """Does what the arguments say.

    Args:
        arguments: The parsed arguments.
        command: The command line, which the report repeats.
    """
    from hybridnets.report import ReportRequest, commands
    from hybridnets.report.reading.scores.mapping import Reading
    from hybridnets.report.reading.sources import opened

    if arguments.published:
        return commands.recount_published(arguments.published, OUTCOMES if arguments.n is None else arguments.n)
    check_arguments(arguments)
    if arguments.unpack:
        return commands.unpack_runs(arguments.paths, arguments.output)
    request = ReportRequest.of(vars(arguments))
    reading = Reading.of(arguments.map, arguments.at, request.score_options)
    first: Path = arguments.paths[0]
    to: Path = arguments.to or default_folder(first)
    with opened(arguments.paths) as sources:  # archives are unpacked meanwhile
        if arguments.pack:
            return commands.pack_runs(sources, arguments.output, arguments.probabilities)
        if arguments.status:
            return commands.show_status(sources)
        if arguments.verify:
            return commands.verify(sources, arguments.paths, to, reading)
        if arguments.mlflow:
            return commands.copy_to_mlflow(sources, arguments.mlflow)
        folder = None if arguments.no_page else to
        task = commands.ReportTask(sources, arguments.paths, request, command, folder, load_images, reading)
        return commands.make_report(task, arguments.watch, arguments.serve)


def check_arguments(arguments: argparse.Namespace) -> None:
    """Refuses options that cannot be combined.

    Args:
        arguments: The parsed arguments.

    Raises:
        ReportError: If a path is missing, or if two options contradict each other.
    """
    from hybridnets.report import ReportError

    if arguments.serve and not (arguments.paths or arguments.serve.isdecimal()):  # --serve FOLDER, without a port
        arguments.paths, arguments.serve = [path_of(arguments.serve)], ""
    if not arguments.paths:
        raise ReportError("FOLDER is missing: give the folder that runs were written to, or a file of scores")
    given = [f"--{name}" for name in COMMANDS if getattr(arguments, name)]
    live = [f"--{name}" for name in ("watch", "serve") if getattr(arguments, name) not in (False, None)]
    if live and given:
        raise ReportError(f"{live[0]} makes a report, and {given[0]} makes none: give one of them")
    if len(given) > 1:
        raise ReportError(f"{' and '.join(given)} are several commands: give one of them")
    if arguments.probabilities and not arguments.pack:
        raise ReportError("--probabilities goes with --pack: it is about what an archive keeps")
    if arguments.n is not None:
        raise ReportError("-n goes with --published: it is about published accuracies")
    if arguments.output and not (arguments.pack or arguments.unpack):
        raise ReportError(
            f"-o goes with --pack and --unpack, got {arguments.output} without: --to is the report's folder"
        )


def source_of(text: str) -> Path:
    """A source's path; that of a SQLite database may be written as MLflow writes it, sqlite:///FILE."""
    return path_of(text.removeprefix("sqlite:///"))


def default_folder(source: Path) -> Path:
    """Where a report is written if the user does not say it.

    Args:
        source: The first folder or file to read.
    """
    if source.is_dir():
        return source / "report"
    name = f"{source.stem}-report"
    return Path(name) if str(source).startswith("wandb:") else source.with_name(name)  # a project on a server


def load_images(part: "DataSetReport") -> "ImageDataset | None":
    """The images that the runs were trained on, if they are on this machine; nothing is downloaded.

    Args:
        part: The data set's part of the report.
    """
    from hybridnets.cli.images import read_images
    from hybridnets.runs.store import CONFIG

    runs = (run for variant in part.data_set.variants for run in variant.runs)
    own = (run for run in runs if "data" in run.identity)  # no scores of another program
    run = next((run for run in own if (run.folder / CONFIG).is_file()), None)  # an archive has none
    if run is None:
        return None
    try:
        return read_images(run.folder, run.identity, users_code=False)  # a report runs no code that a run's file names
    except Exception as error:  # whatever reading the data set raises, the rest of the report does not need it
        why = " ".join(str(error).split())[:200] or type(error).__name__
        print(f"{program.name('report')}: no images of {part.data_set.name} are shown ({why})", file=sys.stderr)
        return None


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Parses the command line.

    Args:
        arguments: The words after the program's name.
    """
    parser = Parser(
        prog=program.name("report"),
        description="Compare finished runs: how large and how certain are their differences?",
        epilog=epilog(EXAMPLES, "report"),
    )
    parser.add_argument(
        "paths",
        nargs="*",
        type=source_of,
        metavar="FOLDER",
        help="a folder with finished runs at any depth, an archive of runs, a CSV of scores, or what Hydra, TensorBoard, "
        "W&B or MLflow recorded",
    )
    _add_comparison_options(parser.add_argument_group("what is compared").add_argument)
    _add_reading_options(parser.add_argument_group("scores of another tool: which column is what").add_argument)
    _add_watching(parser.add_argument_group("while runs are trained").add_argument)
    _add_commands(parser.add_argument_group("instead of a report").add_argument)
    return parser.parse_args(arguments)


def _add_comparison_options(add: Any) -> None:
    several: dict[str, Any] = {"nargs": "+", "action": "extend", "default": []}
    add(
        "--baseline",
        metavar="LABEL",
        help="compare every other variant with this one, or every level of an axis with this one: model=cnn",
    )
    add("--compare", **several, metavar="LABEL", help="labels in pairs: the first is compared with the second")
    add("--vary", **several, metavar="AXIS", help="make the tables of these axes: model, rnn, layers ...")
    add(
        "--primary",
        nargs=2,
        metavar=("VARIANT", "BASELINE"),
        help="a comparison that answers, too, VARIANT minus BASELINE; chosen after the runs, it is corrected for that choice",
    )
    add(
        "--planned",
        action="store_true",
        help="with --primary: this comparison was planned before the runs; the page says that this is your word",
    )
    add(
        "--metric",
        metavar="NAME",
        help="the metric of the answer (default: test), or which metric of a source is the score",
    )
    add("--margin", type=float, metavar="POINTS", help="the smallest difference that matters")
    add(
        "--test",
        choices=("paired", "corrected"),
        help="the test over seeds that answers: paired is about this data set, corrected about new data (default: as "
        "declared, or corrected where the scores are of held-out parts of random splits)",
    )
    add(
        "--sweep",
        **several,
        metavar="NAME",
        help="the sweeps that the report is about, or all (default: the last that declared a question)",
    )
    direction = {"dest": "lower_is_better", "action": "store_const", "default": None}
    add("--lower-is-better", **direction, const=True, help="of a file's scores, as of errors and losses")
    add("--higher-is-better", **direction, const=False, help="of a file's scores")
    add("--unit", metavar="UNIT", help="the unit of a file's scores: percent, seconds ...")
    add(
        "--to",
        type=path_of,
        metavar="FOLDER",
        help="where page, tables and figures are written (default: FOLDER/report)",
    )
    add("--no-page", action="store_true", help="only print; write nothing")


def _add_reading_options(add: Any) -> None:
    add(
        "--map",
        nargs="+",
        action="extend",
        default=[],
        metavar="ROLE=COLUMN",
        help="variant=model+rnn seed=seed score=val_acc; also split, fold, repetition, dataset, n_train, n_val, predictions, "
        "seconds, parameters, status (default: proposed, and said in the report's first lines)",
    )
    add("--at", choices=("best", "last"), help="which value of the metric counts (default: last)")


def _add_watching(add: Any) -> None:
    add("--watch", action="store_true", help="keep the page fresh while runs are trained, until none is pending")
    add("--serve", nargs="?", const="", metavar="PORT", help="serve the page to this machine's browsers until Ctrl-C")


def _add_commands(add: Any) -> None:
    add("--status", action="store_true", help="print how far the runs are, also while they run")
    add(
        "--verify",
        action="store_true",
        help="compute everything again from the stored predictions and print what differs",
    )
    add("--pack", action="store_true", help="copy the finished runs into an archive, without weights and pixels")
    add(
        "--probabilities",
        action="store_true",
        help="with --pack: keep the probabilities of all classes, not only the true",
    )
    add("--unpack", action="store_true", help="restore the runs of an archive; existing runs are left alone")
    add("-o", "--output", type=path_of, metavar="PATH", help="the archive of --pack (.npz), or the folder of --unpack")
    add(
        "--mlflow", metavar="URI", help="copy the finished runs to MLflow, each once: sqlite:///mlflow.db or http://..."
    )
    add("--published", type=path_of, metavar="CSV", help="print what the stars of published accuracies counted")
    add(
        "-n",
        type=int,
        help="with --published: outcomes per variant (default: 45000, 3 x 15,000 val images)",
    )
