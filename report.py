"""Compares finished runs, or anybody's scores: `python report.py --help`."""

from hybridnets import signals

if __name__ == "__main__":  # before the imports that take time
    signals.install("report.py")

import argparse
import dataclasses
import functools
import importlib.util
import io
import json
import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from hybridnets.data.dataset import ImageDataset
    from hybridnets.report import Asked, Found, Report
    from hybridnets.report.analysis import Part
    from hybridnets.report.picture import Picture

T = TypeVar("T")
OURS = "hybridnets.data."  # where data sets are read
EXTRA = ("jinja2", "matplotlib")  # what page and figures need
EXAMPLES = """\
examples:
  python report.py runs/digits                               the answer, tables, figures, one page: runs/digits/report
  python report.py runs --baseline crnn-lstm-1x16            every variant against this one
  python report.py runs --baseline model=cnn --vary rnn      tables by the variants' own axes
  python report.py runs --primary ecrnn-lstm-1x16 cnn --margin 1      which comparison answers; 1 point matters
  python report.py scores.csv                                any project's: columns variant, seed, score
  python report.py --verify runs/digits                      computes it all again from the stored predictions
  python report.py --status runs                             how far a sweep is
  python report.py --mlflow sqlite:///mlflow.db runs         copies finished runs to MLflow, each once
  python report.py --published sweeps/published.csv          what the stars of published figures counted

A variant is a configuration without its seeds. Its label is the name of its folder; where variants share that name, the
settings that set them apart follow ("crnn-lstm-1x16 sequence=positions", in quotes). The first table shows all labels.
"""


def main(argv: list[str] | None = None) -> int:
    """Prints the comparison, and writes it as tables, figures and a page."""
    arguments = _arguments(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a path may hold what a terminal cannot show
    # After the arguments, so that --help need not wait for numpy.
    from hybridnets.report import Asked, ReportError, analyse
    from hybridnets.report.text import told

    try:
        if arguments.published:
            return _published(arguments.published, arguments.n)
        if not arguments.paths:
            raise ReportError("FOLDER must be given: the folder of runs that train.py wrote to, or a file of scores")
        if arguments.status:
            from hybridnets.report import status

            print(status.told(arguments.paths))
            return 0
        if arguments.verify:
            return _verify(arguments)
        if arguments.mlflow:
            return _to_mlflow(arguments)
        asked = Asked.of(vars(arguments))
        found = _read(arguments.paths)
        report = analyse(
            found, _title(arguments.paths), shlex.join(["python", "report.py", *(argv or sys.argv[1:])]), asked
        )
        print(told(report, grids=bool(asked.vary or "=" in (asked.baseline or ""))), flush=True)  # pages take a while
        if not arguments.no_page:
            _write(report, asked, _folder(arguments))
        sys.stdout.flush()  # here, where a full disk can still be told
    except ReportError as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"report.py: the report cannot be printed ({error.strerror})", file=sys.stderr)
        os._exit(2)  # Python would try to flush once more, and tell in its own words
    return 0


def _read(paths: list[Path]) -> "Found":
    from hybridnets.report import ReportError, results, scores

    if len(paths) == 1 and paths[0].suffix.lower() == ".csv" and paths[0].is_file():
        return scores.read(paths[0])
    if any(path.suffix.lower() == ".csv" and path.is_file() for path in paths):
        raise ReportError("FOLDER must be folders of runs, or one file of scores, got both or several files")
    return results.read(paths, progress=_progress)


def _progress(things: Iterable[T], what: str = "reading runs", unit: str = "run") -> Iterable[T]:
    """Shows how far it got, where somebody looks."""
    from tqdm import tqdm

    shown: Iterable[T] = tqdm(things, desc=what, unit=unit, leave=False, disable=None)
    return shown


def _write(report: "Report", asked: "Asked", to: Path) -> None:
    from hybridnets.report import ReportError
    from hybridnets.report.export import export

    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    pictures: dict[str, list[Picture]] = {}
    page = None
    if not missing:
        from hybridnets.report.figures import pictures as drawn
        from hybridnets.report.page import page as laid_out

        for part in report.parts:
            figures = drawn(part, functools.partial(_dataset, part))
            pictures[part.section.data] = list(_progress(figures, "drawing figures", "figure"))
        page = laid_out(report, pictures)
    export(to, report, dataclasses.asdict(asked), page, pictures)
    if missing:
        raise ReportError(
            f"the page and the figures need {' and '.join(missing)}: pip install 'hybridnets[report]', or --no-page; "
            f"the tables are in {to / 'tables'}"
        )
    print(f"\nThe page: {to / 'index.html'}; tables and figures beside it")


def _dataset(part: "Part") -> "ImageDataset | None":
    """The images that the runs were made with, where they are at hand; nothing is downloaded."""
    from omegaconf import OmegaConf

    from hybridnets import config

    run = part.section.variants[0].runs[0]
    path = run.folder / "config.yaml"
    if not path.is_file():
        return None
    try:
        cfg: Any = OmegaConf.load(path)
        if not str(cfg.data.dataset._target_).startswith(OURS):
            return None  # a report runs no code that a run's file names
        if "mirrors" in cfg.data.dataset:
            cfg.data.dataset.mirrors = []
        found = config.dataset(cfg)
    except Exception as error:  # whatever a data set of anybody's raises, the report is about something else
        why = " ".join(str(error).split())[:200] or type(error).__name__
        print(f"report.py: no images of {part.section.data} are shown ({why})", file=sys.stderr)
        return None
    return found if found.sha256 == run.identity["data"].get("sha256") else None


def _verify(arguments: argparse.Namespace) -> int:
    from hybridnets.report import Asked, ReportError, analyse
    from hybridnets.report.export import RECORD, tables
    from hybridnets.report.verify import cells, recomputed

    found, said = recomputed(_read(arguments.paths))
    to = _folder(arguments)
    told = f"{len(found.runs)} runs verified from their predictions"
    if (to / RECORD).is_file():
        try:
            record = json.loads((to / RECORD).read_text(encoding="utf-8"))
            asked = Asked.of(record["asked"])
            if not record["whole"]:
                said.append(f"{to / RECORD}: the report was cut short; make it again")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ReportError(
                f"{to / RECORD} must be what report.py wrote, and is damaged: make the report again"
            ) from None
        now = tables(analyse(found, "", "", asked))
        said += cells(now, to / "tables")
        count = sum(name.endswith(".csv") for name in now)
        told += f", and every cell of the {count} tables in {to / 'tables'}, in each format (not the page's)"
    else:
        told += f"; there are no tables in {to} to verify"
    for sentence in said:
        print(f"- {sentence}")
    print(f"{told}: {f'{len(said)} do not agree' if said else 'all agree'}")
    return 1 if said else 0


def _to_mlflow(arguments: argparse.Namespace) -> int:
    from hybridnets.report import results, to_mlflow

    found = results.read(arguments.paths, progress=_progress)
    new, there = to_mlflow.into(arguments.mlflow, found, progress=lambda runs: _progress(runs, "importing runs"))
    for sentence in found.problems:
        print(f"- {sentence}")
    print(f"{new} imported, {there} there already")
    return 0


def _published(path: Path, n: int) -> int:
    from hybridnets.report import ReportError
    from hybridnets.report.published import recount, rows
    from hybridnets.report.table import text, wrapped

    if not 2 <= n <= 10**12:
        raise ReportError(f"-n must be a number of outcomes from 2 to 10^12, got {n if n < 10**12 else 'more'}")
    table, said = recount(rows(path), n)
    print(f"{text(table)}\n\n{wrapped(said)}")
    return 0


def _folder(arguments: argparse.Namespace) -> Path:
    """Where the report goes: into the folder of runs, or beside the file of scores."""
    first: Path = arguments.paths[0]
    beside = first / "report" if first.is_dir() else first.with_name(f"{first.stem}-report")
    return arguments.to or beside


def _title(paths: list[Path]) -> str:
    return ", ".join(os.fsencode(path.resolve().name).decode(errors="backslashreplace") for path in paths)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="report.py",
        description="Compare finished runs: what their differences are worth, as text, tables, figures and one page.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "paths",
        nargs="*",
        type=Path,
        metavar="FOLDER",
        help="finished runs at or below it are read; or a CSV of scores",
    )
    add(
        "--baseline",
        metavar="LABEL",
        help="compare every other variant with this one, or every level with this: model=cnn",
    )
    add(
        "--compare",
        nargs="+",
        action="extend",
        default=[],
        metavar="LABEL",
        help="the first with the second, and so on",
    )
    add(
        "--vary",
        nargs="+",
        action="extend",
        default=[],
        metavar="AXIS",
        help="tables of these axes: model, rnn, layers ...",
    )
    add("--primary", nargs=2, metavar="LABEL", help="the comparison that answers, in the place of the sweep's own")
    add("--metric", choices=("test", "val", "score"), help="its metric (default: test)")
    add("--margin", type=float, metavar="POINTS", help="the smallest difference that matters")
    add("--to", type=Path, metavar="FOLDER", help="where page, tables and figures go (default: FOLDER/report)")
    add("--no-page", action="store_true", help="print only, write nothing")
    add("--status", action="store_true", help="how far the runs are, also while they run")
    add(
        "--verify",
        action="store_true",
        help="compute everything again from the stored predictions, and say what differs",
    )
    add(
        "--mlflow",
        metavar="URI",
        help="copy the finished runs to MLflow, each once: sqlite:///mlflow.db, or http://...",
    )
    add("--published", type=Path, metavar="CSV", help="what the stars of published accuracies counted")
    add(
        "-n",
        type=int,
        default=45_000,
        help="outcomes a variant for --published (default: 45000, 3 x 15,000 val images)",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
