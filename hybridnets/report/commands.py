"""What the command report does: one function per command, which prints its result and returns the exit code."""

import dataclasses
import functools
import importlib.util
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hybridnets.report.analysis import DataSetReport, Report, analyse
from hybridnets.report.comparing.stars import recount_stars
from hybridnets.report.reading import results
from hybridnets.report.reading.results import ReportError, RunSet
from hybridnets.report.reading.scores.reader import SUFFIXES, read_scores
from hybridnets.report.reading.sources import SUFFIX, Sources, is_archive
from hybridnets.report.rendering.files import RECORD, check_folder, read_record, table_files, write_files
from hybridnets.report.rendering.status import status_text
from hybridnets.report.rendering.terminal import report_text
from hybridnets.report.rendering.verification import compare_tables, recompute
from hybridnets.report.request import ReportRequest
from hybridnets.report.tables.cells import plural
from hybridnets.report.tables.published import recount_table, recount_verdict
from hybridnets.report.tables.table import text, wrapped
from hybridnets.runs.archive import Archive, ArchiveError, pack
from hybridnets.runs.published_figures import read_figures

if TYPE_CHECKING:
    from hybridnets.report.figures.gallery import Images
    from hybridnets.report.figures.picture import Picture

T = TypeVar("T")
PAGE_NEEDS = ("jinja2", "matplotlib")  # packages


def make_report(
    sources: Sources,
    paths: list[Path],
    request: ReportRequest,
    command: str,
    to: Path | None,
    load_images: Callable[[DataSetReport], "Images | None"],
) -> int:
    """Prints the comparison and writes it as tables, figures and a page.

    Args:
        sources: The folders and files to read.
        paths: The same as the user gave them.
        request: What to compare.
        command: The command that repeats the report.
        to: The folder to write; None to print only.
        load_images: Gives a data set's images; None where they are not available.
    """
    if to:
        check_folder(to)  # before the runs are read, which may take minutes
    title = ", ".join(os.fsencode(path.resolve().name).decode(errors="backslashreplace") for path in paths)
    report = analyse(_read(sources.paths), title, command, request)
    report = dataclasses.replace(report, problems=tuple(map(sources.named, report.problems)))
    labels = {variant.label for part in report.parts for variant in part.data_set.variants}
    print(
        report_text(report, grids=bool(request.vary) or request.baseline_is_level(labels)), flush=True
    )  # the page takes longer
    if to:
        _write(report, request, to, load_images)
    return 0


def _read(paths: list[Path]) -> RunSet:
    files = [path for path in paths if path.is_file()]
    tables = [path for path in files if path.suffix.lower() in SUFFIXES]
    if len(paths) == len(tables) == 1:
        return read_scores(paths[0])
    if tables:
        raise ReportError("FOLDER must be folders of runs, or one file of scores, got both or several files")
    if files:
        raise ReportError(
            "FOLDER must be a folder of finished runs, an archive of them (.npz), or a file of scores "
            f"({', '.join(SUFFIXES)}), got {files[0]}, which is another kind of file: save tables as uncompressed CSV"
        )
    return results.read(paths, progress=_progress)


def _progress(items: Iterable[T], description: str = "reading runs", unit: str = "run") -> Iterable[T]:
    """Shows a progress bar if the output is a terminal."""
    from tqdm import tqdm

    bar: Iterable[T] = tqdm(items, desc=description, unit=unit, leave=False, disable=None)
    return bar


def _write(
    report: Report, request: ReportRequest, to: Path, load_images: Callable[[DataSetReport], "Images | None"]
) -> None:
    missing = [name for name in PAGE_NEEDS if importlib.util.find_spec(name) is None]
    drawn: dict[str, list[Picture]] = {}
    page = None
    if not missing:
        from hybridnets.report.figures import pictures
        from hybridnets.report.rendering.page import render_page

        for part in report.parts:
            analyses = [answer.analysis for answer in part.answers]
            images = functools.partial(load_images, part)
            figures = pictures(part.data_set, part.comparisons, analyses, part.compressed, images)
            drawn[part.data_set.name] = list(_progress(figures, "drawing figures", "figure"))
        page = render_page(report, drawn)
    write_files(to, report, dataclasses.asdict(request), page, drawn)
    if missing:
        raise ReportError(
            f"the page and the figures need {' and '.join(missing)}: pip install 'hybridnets[report]', or --no-page; "
            f"the tables are in {to / 'tables'}"
        )
    print(f"\nThe page: {to / 'index.html'}; tables and figures are in the same folder")


def verify(sources: Sources, paths: list[Path], to: Path) -> int:
    """Computes runs and written tables again from the stored predictions, and prints what differs.

    Args:
        sources: The folders and files to read.
        paths: The same as the user gave them.
        to: The folder of the report to verify.
    """
    run_set, problems = recompute(_read(sources.paths))
    verified = sum(bool(run.outcomes) for run in run_set.runs)
    summary = f"{verified} run{'s' * (verified != 1)} verified from their predictions"
    separator = ", and "
    if not run_set.predictions:
        summary, separator = f"{paths[0]} names no predictions, so its scores cannot be verified", "; "
    if (to / RECORD).is_file():
        request, complete = read_record(to)
        if not complete:
            problems.append(f"{to / RECORD}: the report was cut short; make it again")
        tables = table_files(analyse(run_set, "", "", request))
        problems += compare_tables(tables, to / "tables", "predictions" if run_set.predictions else "scores")
        count = sum(name.endswith(".csv") for name in tables)
        summary += f"{separator}every cell of the {count} tables in {to / 'tables'}, in each format (not the page's)"
    else:
        summary += f"; there are no tables in {to} to verify"
        if not run_set.predictions:
            print(summary)
            return 1
    _print_list(map(sources.named, problems))
    print(f"{summary}: {f'{len(problems)} do not agree' if problems else 'all agree'}")
    return 1 if problems else 0


def show_status(sources: Sources) -> int:
    """Prints how far the runs are."""
    print(sources.named(status_text(sources.paths)))
    return 0


def pack_runs(sources: Sources, to: Path | None, all_probabilities: bool) -> int:
    """Packs the runs that a report would count, so that a report on the archive counts the same.

    Args:
        sources: The folders and files to read.
        to: The archive to write.
        all_probabilities: Whether to keep the probabilities of all classes, not only of the true one.
    """
    if to is None or to.suffix.lower() != SUFFIX or to.is_dir():
        raise ReportError(f"-o must name the archive to write, as in -o evidence{SUFFIX}, got {to or 'nothing'}")
    run_set = results.read(sources.paths, progress=_progress)
    try:
        pack([run.folder for run in run_set.runs], sources.paths, to, all_probabilities=all_probabilities)
    except ArchiveError as error:
        raise ReportError(str(error)) from None
    _print_list(map(sources.named, run_set.problems))
    count = len(run_set.runs)
    print(
        f"{count} finished run{'s' * (count != 1)} packed into {to}, {to.stat().st_size:,} bytes; no weights, no pixels"
    )
    return 0


def unpack_runs(paths: list[Path], to: Path | None) -> int:
    """Restores the runs of archives.

    Args:
        paths: The archives.
        to: The folder of all runs.
    """
    if to is None or (to.exists() and not to.is_dir()):
        raise ReportError(f"-o must name the folder of all runs, got {to or 'nothing'}: as in -o runs")
    for path in paths:
        if not is_archive(path):
            raise ReportError(f"--unpack takes archives that --pack wrote, got {path}")
        try:
            restored = Archive(path).unpack(to)
        except ArchiveError as error:
            raise ReportError(str(error)) from None
        skipped = [f"{restored.finished} already finished"] * bool(restored.finished)
        skipped += [f"{restored.started} already started"] * bool(restored.started)
        print(
            f"{path}: {plural(restored.new, 'run')} restored in {to}{'; left alone: ' * bool(skipped)}{', '.join(skipped)}"
        )
    return 0


def copy_to_mlflow(sources: Sources, uri: str) -> int:
    """Copies finished runs to MLflow.

    Args:
        sources: The folders and files to read.
        uri: sqlite:///FILE, or the address of a tracking server.
    """
    from hybridnets.report.rendering.to_mlflow import copy_runs

    run_set = results.read(sources.paths, progress=_progress)
    new, earlier = copy_runs(uri, run_set, lambda runs: _progress(runs, "importing runs"), sources.named)
    _print_list(map(sources.named, run_set.problems))
    print(f"{new} imported, {earlier} imported before")
    return 0


def recount_published(path: Path, n: int) -> int:
    """Prints what the stars of published accuracies counted.

    Args:
        path: The CSV of published comparisons.
        n: Outcomes per variant.
    """
    if not 2 <= n <= 10**12:
        raise ReportError(f"-n must be a number of outcomes from 2 to 10^12, got {n if n < 10**12 else 'more'}")
    rows = read_figures(path)
    if "class" in rows[0]:
        raise ReportError("--published must be a CSV of comparisons with stars, got one of accuracies by class")
    recount = recount_stars(rows, n)
    print(f"{text(recount_table(recount))}\n\n{wrapped(recount_verdict(recount))}")
    return 0


def _print_list(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        print(f"- {sentence}")
