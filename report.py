"""Compares finished runs, or the scores of any project: `python report.py --help`."""

from hybridnets import signals

if __name__ == "__main__":  # before the imports that take time
    signals.install("report.py")

import argparse
import io
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridnets.data.dataset import ImageDataset
    from hybridnets.report.analysis import DataSetReport

DATA_SETS = "hybridnets.data."  # the package of the data sets whose images are shown
COMMANDS = ("pack", "unpack", "status", "verify", "mlflow")
EXAMPLES = """\
examples:
  python report.py runs/digits                               the answer, tables, figures, one page: runs/digits/report
  python report.py runs --baseline crnn-lstm-1x16            every variant against this one
  python report.py runs --baseline model=cnn --vary rnn      tables by the variants' own axes
  python report.py runs --primary ecrnn-lstm-1x16 cnn --margin 1      which comparison answers; 1 point matters
  python report.py scores.csv                                scores of any project: columns variant, seed, score
  python report.py --verify runs/digits                      computes everything again from the stored predictions
  python report.py --watch runs --serve                      keeps the page fresh while runs are trained, and serves it
  python report.py --status runs                             how far the runs of a sweep are
  python report.py --mlflow sqlite:///mlflow.db runs         copies finished runs to MLflow, each once
  python report.py --pack runs/digits -o evidence.npz        what the report needs, in one small file
  python report.py evidence.npz                              the same report from it
  python report.py --unpack evidence.npz -o runs             restores the runs: train.py trains what is missing
  python report.py --published sweeps/published.csv          what the stars of published figures counted

A variant is a configuration without its seeds. Its label is the name of its folder; where several variants share that
name, the settings that differ follow ("crnn-lstm-1x16 sequence=positions", in quotes). The first table lists all labels.
"""


def main(argv: list[str] | None = None) -> int:
    """Runs one command, or makes the report; a user's error is one sentence and exit code 2."""
    arguments = parse_arguments(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a path may hold characters that the terminal lacks
    # Imported after the arguments are parsed, so that --help does not wait for numpy.
    from hybridnets.report import ReportError
    from hybridnets.runs.published_figures import DeclarationError

    try:
        code = run_command(arguments, shlex.join(["python", "report.py", *(argv or sys.argv[1:])]))
        sys.stdout.flush()  # inside the try block, so that a full disk is reported
        return code
    except (ReportError, DeclarationError) as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"report.py: the report cannot be printed ({error.strerror})", file=sys.stderr)
        os._exit(2)  # a normal exit would flush again and print a traceback


def run_command(arguments: argparse.Namespace, command: str) -> int:
    """Does what the arguments say.

    Args:
        arguments: The parsed arguments.
        command: The command line, which the report repeats.
    """
    from hybridnets.report import ReportRequest, commands
    from hybridnets.report.reading.sources import opened

    if arguments.published:
        return commands.recount_published(arguments.published, arguments.n)
    check_arguments(arguments)
    if arguments.unpack:
        return commands.unpack_runs(arguments.paths, arguments.output)
    first: Path = arguments.paths[0]
    to: Path = arguments.to or (first / "report" if first.is_dir() else first.with_name(f"{first.stem}-report"))
    with opened(arguments.paths) as sources:  # archives are unpacked meanwhile
        if arguments.pack:
            return commands.pack_runs(sources, arguments.output, arguments.probabilities)
        if arguments.status:
            return commands.show_status(sources)
        if arguments.verify:
            return commands.verify(sources, arguments.paths, to)
        if arguments.mlflow:
            return commands.copy_to_mlflow(sources, arguments.mlflow)
        request = ReportRequest.of(vars(arguments))
        folder = None if arguments.no_page else to
        task = commands.ReportTask(sources, arguments.paths, request, command, folder, load_images)
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
        arguments.paths, arguments.serve = [_path(arguments.serve)], ""
    if not arguments.paths:
        raise ReportError("FOLDER is missing: give the folder of runs that train.py wrote to, or a file of scores")
    given = [f"--{name}" for name in COMMANDS if getattr(arguments, name)]
    live = [f"--{name}" for name in ("watch", "serve") if getattr(arguments, name) not in (False, None)]
    if live and given:
        raise ReportError(f"{live[0]} makes a report, and {given[0]} makes none: give one of them")
    if len(given) > 1:
        raise ReportError(f"{' and '.join(given)} are several commands: give one of them")
    if arguments.probabilities and not arguments.pack:
        raise ReportError("--probabilities goes with --pack: it is about what an archive keeps")
    if arguments.output and not (arguments.pack or arguments.unpack):
        raise ReportError(
            f"-o goes with --pack and --unpack, got {arguments.output} without: --to is the report's folder"
        )


def load_images(part: "DataSetReport") -> "ImageDataset | None":
    """The images that the runs were trained on, if they are on this machine; nothing is downloaded.

    Args:
        part: The data set's part of the report.
    """
    from omegaconf import OmegaConf

    from hybridnets import config

    runs = (run for variant in part.data_set.variants for run in variant.runs)
    run = next((run for run in runs if (run.folder / "config.yaml").is_file()), None)  # an archive has none
    if run is None:
        return None
    path = run.folder / "config.yaml"
    try:
        cfg: Any = OmegaConf.load(path)
        if not str(cfg.data.dataset._target_).startswith(DATA_SETS):
            return None  # a report never runs code that is named in a run's file
        if "mirrors" in cfg.data.dataset:
            cfg.data.dataset.mirrors = []
        dataset = config.load_dataset(OmegaConf.to_container(cfg.data.dataset, resolve=True))
    except Exception as error:  # whatever reading the data set raises, the rest of the report does not need it
        why = " ".join(str(error).split())[:200] or type(error).__name__
        print(f"report.py: no images of {part.data_set.name} are shown ({why})", file=sys.stderr)
        return None
    return dataset if dataset.sha256 == run.identity["data"].get("sha256") else None


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line.

    Args:
        argv: The words after the program's name; None for this process's.
    """
    parser = argparse.ArgumentParser(
        prog="report.py",
        description="Compare finished runs: how large and how certain are their differences?",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths",
        nargs="*",
        type=_path,
        metavar="FOLDER",
        help="a folder with finished runs at any depth, an archive of runs, or a CSV of scores",
    )
    _add_comparison_options(parser.add_argument_group("what is compared").add_argument)
    _add_watching(parser.add_argument_group("while runs are trained").add_argument)
    _add_commands(parser.add_argument_group("instead of a report").add_argument)
    return parser.parse_args(argv)


def _add_comparison_options(add: Any) -> None:
    several: dict[str, Any] = {"nargs": "+", "action": "extend", "default": []}
    add(
        "--baseline",
        metavar="LABEL",
        help="compare every other variant with this one, or every level of an axis with this one: model=cnn",
    )
    add("--compare", **several, metavar="LABEL", help="labels in pairs: the first is compared with the second")
    add("--vary", **several, metavar="AXIS", help="make the tables of these axes: model, rnn, layers ...")
    add("--primary", nargs=2, metavar="LABEL", help="the comparison that answers, instead of the declared one")
    add("--metric", choices=("test", "val", "score"), help="the metric of the answer (default: test)")
    add("--margin", type=float, metavar="POINTS", help="the smallest difference that matters")
    add(
        "--to", type=_path, metavar="FOLDER", help="where page, tables and figures are written (default: FOLDER/report)"
    )
    add("--no-page", action="store_true", help="only print; write nothing")


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
    add("-o", "--output", type=Path, metavar="PATH", help="the archive of --pack (.npz), or the folder of --unpack")
    add(
        "--mlflow", metavar="URI", help="copy the finished runs to MLflow, each once: sqlite:///mlflow.db or http://..."
    )
    add("--published", type=_path, metavar="CSV", help="print what the stars of published accuracies counted")
    add(
        "-n",
        type=int,
        default=45_000,
        help="with --published: outcomes per variant (default: 45000, 3 x 15,000 val images)",
    )


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text))  # noqa: PTH111 (Path.expanduser raises for unknown users); shells keep --to=~/x


if __name__ == "__main__":
    sys.exit(main())
