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
    from hybridnets.report.sources import Sources

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
  python report.py --pack runs/digits -o evidence.npz        what the report needs, in one small file
  python report.py evidence.npz                              the same report from it
  python report.py --unpack evidence.npz -o runs             restores the runs: train.py trains what is missing
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
    from hybridnets.report.sources import opened
    from hybridnets.report.text import told

    try:
        if arguments.published:
            return _published(arguments.published, arguments.n)
        if not arguments.paths:
            raise ReportError("FOLDER must be given: the folder of runs that train.py wrote to, or a file of scores")
        _check(arguments)
        if arguments.unpack:
            return _unpack(arguments)
        with opened(arguments.paths) as sources:
            if arguments.pack:
                return _pack(arguments, sources)
            if arguments.status:
                from hybridnets.report import status

                print(sources.named(status.told(sources.paths)))
                return 0
            if arguments.verify:
                return _verify(arguments, sources)
            if arguments.mlflow:
                return _to_mlflow(arguments, sources)
            asked = Asked.of(vars(arguments))
            command = shlex.join(["python", "report.py", *(argv or sys.argv[1:])])
            report = analyse(_read(sources.paths), _title(arguments.paths), command, asked)
            report = dataclasses.replace(report, problems=tuple(map(sources.named, report.problems)))
            labels = {variant.label for part in report.parts for variant in part.section.variants}
            print(told(report, grids=bool(asked.vary) or asked.by_level(labels)), flush=True)  # pages take a while
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

    tables = [path for path in paths if path.suffix.lower() in scores.SUFFIXES and path.is_file()]
    if len(paths) == len(tables) == 1:
        return scores.read(paths[0])
    if tables:
        raise ReportError("FOLDER must be folders of runs, or one file of scores, got both or several files")
    if other := next((path for path in paths if path.is_file()), None):
        raise ReportError(
            "FOLDER must be a folder of finished runs, an archive of them (.npz), or a file of scores "
            f"({', '.join(scores.SUFFIXES)}), got {other}, which is a file of another kind: save a table as CSV, unpacked"
        )
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

    runs = (run for variant in part.section.variants for run in variant.runs)
    run = next((run for run in runs if (run.folder / "config.yaml").is_file()), None)  # which no archive keeps
    if run is None:
        return None
    path = run.folder / "config.yaml"
    try:
        cfg: Any = OmegaConf.load(path)
        if not str(cfg.data.dataset._target_).startswith(OURS):
            return None  # a report runs no code that a run's file names
        if "mirrors" in cfg.data.dataset:
            cfg.data.dataset.mirrors = []
        found = config.load_dataset(OmegaConf.to_container(cfg.data.dataset, resolve=True))
    except Exception as error:  # whatever a data set of anybody's raises, the report is about something else
        why = " ".join(str(error).split())[:200] or type(error).__name__
        print(f"report.py: no images of {part.section.data} are shown ({why})", file=sys.stderr)
        return None
    return found if found.sha256 == run.identity["data"].get("sha256") else None


def _check(arguments: argparse.Namespace) -> None:
    """Refuses options that do not go together."""
    from hybridnets.report import ReportError

    doing = [f"--{name}" for name in ("pack", "unpack", "status", "verify", "mlflow") if getattr(arguments, name)]
    if len(doing) > 1:
        raise ReportError(f"{' and '.join(doing)} are several commands: give one of them")
    if arguments.probabilities and not arguments.pack:
        raise ReportError("--probabilities goes with --pack: it is about what an archive keeps")
    if arguments.output and not (arguments.pack or arguments.unpack):
        raise ReportError(
            f"-o goes with --pack and --unpack, got {arguments.output} without: --to is the report's folder"
        )


def _pack(arguments: argparse.Namespace, sources: "Sources") -> int:
    """Packs what a report would count, so that a report on the archive counts the same."""
    from hybridnets.report import ReportError, results
    from hybridnets.report.sources import SUFFIX
    from hybridnets.runs.archive import ArchiveError
    from hybridnets.runs.packing import pack

    to: Path | None = arguments.output
    if to is None or to.suffix.lower() != SUFFIX or to.is_dir():
        raise ReportError(f"-o must name the archive to write, as in -o evidence{SUFFIX}, got {to or 'nothing'}")
    found = results.read(sources.paths, progress=_progress)
    try:
        pack([run.folder for run in found.runs], sources.paths, to, every=arguments.probabilities)
    except ArchiveError as error:
        raise ReportError(str(error)) from None
    for sentence in found.problems:
        print(f"- {sources.named(sentence)}")
    count = len(found.runs)
    print(
        f"{count} finished run{'s' * (count != 1)} packed into {to}, {to.stat().st_size:,} bytes; no weights, no pixels"
    )
    return 0


def _unpack(arguments: argparse.Namespace) -> int:
    """Restores the runs of archives."""
    from hybridnets.report import ReportError
    from hybridnets.report.sources import is_archive
    from hybridnets.runs.archive import ArchiveError
    from hybridnets.runs.packing import Archive

    to: Path | None = arguments.output
    if to is None or (to.exists() and not to.is_dir()):
        raise ReportError(
            f"-o must name the folder of all runs, as train.py's out, got {to or 'nothing'}: as in -o runs"
        )
    for path in arguments.paths:
        if not is_archive(path):
            raise ReportError(f"--unpack takes archives that --pack wrote, got {path}")
        try:
            done = Archive(path).unpack(to)
        except ArchiveError as error:
            raise ReportError(str(error)) from None
        left = [f"{done.there} finished there already"] * bool(done.there)
        left += [f"{done.begun} begun there"] * bool(done.begun)
        print(f"{path}: {done.new} runs restored in {to}{'; left alone: ' * bool(left)}{', '.join(left)}")
    return 0


def _verify(arguments: argparse.Namespace, sources: "Sources") -> int:
    from hybridnets.report import Asked, ReportError, analyse
    from hybridnets.report.export import RECORD, tables
    from hybridnets.report.verify import cells, recomputed

    found, said = recomputed(_read(sources.paths))
    to = _folder(arguments)
    verified = sum(bool(run.outcomes) for run in found.runs)
    told = f"{verified} run{'s' * (verified != 1)} verified from their predictions, and "
    if not found.predictions:
        told = f"{arguments.paths[0]} names no predictions, so its scores cannot be verified; "
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
        said += cells(now, to / "tables", "predictions" if found.predictions else "scores")
        count = sum(name.endswith(".csv") for name in now)
        told += f"every cell of the {count} tables in {to / 'tables'}, in each format (not the page's)"
    else:
        told = f"{told.removesuffix(', and ').removesuffix('; ')}; there are no tables in {to} to verify"
        if not found.predictions:
            print(told)
            return 1
    for sentence in said:
        print(f"- {sources.named(sentence)}")
    print(f"{told}: {f'{len(said)} do not agree' if said else 'all agree'}")
    return 1 if said else 0


def _to_mlflow(arguments: argparse.Namespace, sources: "Sources") -> int:
    from hybridnets.report import results, to_mlflow

    found = results.read(sources.paths, progress=_progress)
    new, there = to_mlflow.into(
        arguments.mlflow, found, progress=lambda runs: _progress(runs, "importing runs"), named=sources.named
    )
    for sentence in found.problems:
        print(f"- {sources.named(sentence)}")
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
    """Where the report goes: into the folder of runs, or beside the archive or the file of scores."""
    first: Path = arguments.paths[0]
    beside = first / "report" if first.is_dir() else first.with_name(f"{first.stem}-report")
    return arguments.to or beside


def _title(paths: list[Path]) -> str:
    return ", ".join(os.fsencode(path.resolve().name).decode(errors="backslashreplace") for path in paths)


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text))  # noqa: PTH111 (Path's own raises of users who do not exist); shells leave --to=~/x


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
        type=_path,
        metavar="FOLDER",
        help="finished runs at or below it are read; or an archive of runs; or a CSV of scores",
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
    add("--to", type=_path, metavar="FOLDER", help="where page, tables and figures go (default: FOLDER/report)")
    add("--no-page", action="store_true", help="print only, write nothing")
    add("--status", action="store_true", help="how far the runs are, also while they run")
    add(
        "--verify",
        action="store_true",
        help="compute everything again from the stored predictions, and say what differs",
    )
    add("--pack", action="store_true", help="copy the finished runs into an archive, without weights and pixels")
    add("--probabilities", action="store_true", help="of all classes into the archive, not only of the true one")
    add("--unpack", action="store_true", help="restore the runs of an archive; those that are there are left alone")
    add("-o", "--output", type=Path, metavar="PATH", help="the archive of --pack (.npz), the folder of --unpack")
    add(
        "--mlflow",
        metavar="URI",
        help="copy the finished runs to MLflow, each once: sqlite:///mlflow.db, or http://...",
    )
    add("--published", type=_path, metavar="CSV", help="what the stars of published accuracies counted")
    add(
        "-n",
        type=int,
        default=45_000,
        help="outcomes a variant for --published (default: 45000, 3 x 15,000 val images)",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
