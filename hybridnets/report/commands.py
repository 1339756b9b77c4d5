"""What the command report does: one function per command, which prints its result and returns the exit code."""

import contextlib
import dataclasses
import functools
import importlib.util
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hybridnets import signals
from hybridnets.program import plural
from hybridnets.report.analysis import DataSetReport, Report, analyse
from hybridnets.report.comparing.stars import recount_stars
from hybridnets.report.reading import results
from hybridnets.report.reading.progress import Progress, read_progress, stamps
from hybridnets.report.reading.results import ReportError, RunSet
from hybridnets.report.reading.score_kind import NO_OPTIONS
from hybridnets.report.reading.scores.mapping import AS_IT_IS, Reading
from hybridnets.report.reading.scores.reader import SUFFIXES, read_scores
from hybridnets.report.reading.sources import SUFFIX, Sources, is_archive
from hybridnets.report.reading.tools.source import read_source
from hybridnets.report.rendering.files import (
    PAGE,
    RECORD,
    check_folder,
    read_reading,
    read_record,
    table_files,
    write_files,
    write_page,
)
from hybridnets.report.rendering.live import Live
from hybridnets.report.rendering.serving import parse_port, serving
from hybridnets.report.rendering.status import status_text
from hybridnets.report.rendering.terminal import columns, report_text
from hybridnets.report.rendering.verification import compare_tables, recompute
from hybridnets.report.request import ReportRequest
from hybridnets.report.tables.joint import ALL
from hybridnets.report.tables.published import recount_table, recount_verdict
from hybridnets.report.tables.table import text, wrapped
from hybridnets.runs.archive import Archive, ArchiveError, pack
from hybridnets.runs.published_figures import read_figures

if TYPE_CHECKING:
    from hybridnets.report.figures.gallery import Images
    from hybridnets.report.figures.picture import Picture

T = TypeVar("T")
PAGE_NEEDS = ("jinja2", "matplotlib")  # packages
LOOK_SECONDS = 2.0  # between two looks at the folders
REST = 9.0  # times as long as a look or a report took, --watch rests after it: the runs need the processor more


@dataclass(frozen=True)
class ReportTask:
    """A report to make.

    Attributes:
        sources: The folders and files to read.
        paths: The same as the user gave them.
        request: What to compare.
        command: The command that repeats the report.
        to: The folder to write; None to print only.
        load_images: Gives a data set's images; None where they are not available.
        reading: Which column of a source of scores is what, where its names do not say it.
    """

    sources: Sources
    paths: list[Path]
    request: ReportRequest
    command: str
    to: Path | None
    load_images: Callable[[DataSetReport], "Images | None"]
    reading: Reading = AS_IT_IS

    @property
    def title(self) -> str:
        """The report's title: what it is about."""
        return ", ".join(os.fsencode(path.resolve().name).decode(errors="backslashreplace") for path in self.paths)

    def analyse(self) -> Report:
        """Reads and compares the runs."""
        report = analyse(_read(self.sources.paths, self.reading), self.title, self.command, self.request, self.paths)
        return dataclasses.replace(report, problems=tuple(map(self.sources.named, report.problems)))

    def text(self, report: Report) -> str:
        """The report for the terminal."""
        labels = {variant.label for part in report.parts for variant in part.data_set.variants}
        return report_text(report, grids=bool(self.request.vary) or self.request.baseline_is_level(labels))


def make_report(task: ReportTask, watch: bool = False, serve: str | None = None) -> int:
    """Prints the comparison and writes it as tables, figures and a page.

    Args:
        task: The report to make.
        watch: Whether to make it again while runs are trained.
        serve: The port at which to serve it, empty for a free one; None to serve nothing.
    """
    if task.to:
        check_folder(task.to)  # before the runs are read, which may take minutes
    if not watch and serve is None:
        report = task.analyse()
        print(task.text(report), flush=True)  # the page takes longer
        if task.to:
            _write(task, report, task.to)
            print(f"\nThe page: {task.to / PAGE}; tables and figures are in the same folder")
        return 0
    if not task.to:
        raise ReportError("--watch and --serve need the page: leave out --no-page")
    with signals.unwinding(), contextlib.ExitStack() as stack:
        address = stack.enter_context(serving(task.to, parse_port(serve))) if serve is not None else ""
        if address:
            print(f"Serving {task.to} at {address} until Ctrl-C", flush=True)
        if watch:
            _watch(task, task.to)
        else:
            report = task.analyse()
            print(task.text(report), flush=True)
            _write(task, report, task.to)
        print(f"\nThe page: {address or task.to / PAGE}", flush=True)
        if address:
            threading.Event().wait()
    return 0


def _watch(task: ReportTask, to: Path) -> None:
    """Makes the report whenever a result is new, and its page whenever an epoch is, until no requested run is pending."""
    written: Written | None = None
    key: object = None
    progress, next_build = Progress(), 0.0
    try:
        while True:
            began = time.monotonic()
            earlier, progress = progress, read_progress([] if task.sources.names else task.sources.paths)
            new_key = (stamps(task.sources.paths), progress.failed)
            is_there = (to / RECORD).is_file()  # somebody may delete the folder meanwhile: it is made again
            if not is_there or (new_key != key and (began >= next_build or not progress.under_way)):
                key = new_key
                written = _write(task, _analyse_so_far(task, progress), to, _live(progress))
                next_build = time.monotonic() + REST * (time.monotonic() - began)
            elif written and progress != earlier:
                with contextlib.suppress(FileNotFoundError):  # deleted just now
                    write_page(to, written.page(_live(progress)))
            if progress != earlier:
                print(f"{time.strftime('%H:%M:%S')}  {progress.sentence}", flush=True)
            if not progress.under_way:
                break
            _pause(max(LOOK_SECONDS, REST * (time.monotonic() - began)))
    except BaseException:
        if written and progress.under_way:  # a page that nobody writes any more should not reload itself
            with contextlib.suppress(OSError):  # the error that ends this is the one to report
                write_page(to, written.page(_live(progress)._replace(reloads=False)))
        raise
    if written and written.report.parts:
        print(f"\n{task.text(written.report)}\n")
    print("Nothing is pending: the page is complete and does not reload itself", flush=True)


def _pause(seconds: float) -> None:
    time.sleep(seconds)


def _live(progress: Progress) -> Live:
    return Live(progress, time.strftime("%H:%M:%S"), reloads=bool(progress.under_way))


def _analyse_so_far(task: ReportTask, progress: Progress) -> Report:
    """The report; one without results while runs are pending and nothing can be compared yet."""
    try:
        return task.analyse()
    except ReportError as error:
        if not progress.under_way:
            raise
        has_results = progress.finished or progress.counts.get("unreadable")
        problems = (task.sources.named(str(error)),) if has_results else ()
        return Report(task.title, (), problems, (task.command,), ())


def _read(paths: list[Path], reading: Reading = AS_IT_IS) -> RunSet:
    files = [path for path in paths if path.is_file()]
    tables = [path for path in files if path.suffix.lower() in SUFFIXES]
    if len(paths) == len(tables) == 1:
        return read_scores(paths[0], reading)
    if len(paths) == 1 and (recorded := read_source(paths[0], reading)):
        return recorded
    if reading.options:
        raise ReportError(f"{reading.options} goes with one file of scores, or one folder of another tool's runs")
    if reading.scores.lower_is_better is not None or reading.scores.unit:
        raise ReportError(
            "--lower-is-better, --higher-is-better and --unit go with scores, got runs, whose metrics are known"
        )
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


@dataclass(frozen=True)
class Written:
    """A report whose files are written.

    Attributes:
        report: The report.
        drawn: Its figures by data set.
    """

    report: Report
    drawn: Mapping[str, "Sequence[Picture]"]

    def page(self, live: Live | None) -> str:
        """Its page.

        Args:
            live: How far the runs are; None for a page that does not say so.
        """
        from hybridnets.report.rendering.page import render_page

        return render_page(self.report, self.drawn, live)


def _write(task: ReportTask, report: Report, to: Path, live: Live | None = None) -> Written:
    """Draws the figures and writes all files."""
    missing = [name for name in PAGE_NEEDS if importlib.util.find_spec(name) is None]
    drawn: dict[str, list[Picture]] = {}
    written = Written(report, drawn)
    if not missing:
        from hybridnets.report.figures import joint_pictures, pictures
        from hybridnets.report.rendering.fonts import say_missing_letters

        for part in report.parts:
            analyses = [answer.analysis for answer in part.answers]
            images = functools.partial(task.load_images, part)
            figures = pictures(
                part.data_set,
                part.comparisons,
                analyses,
                part.compressed,
                images,
                part.best,
                part.searches,
                part.scope.published.accuracies,
            )
            drawn[part.data_set.name] = list(_progress(figures, "drawing figures", "figure"))
        say_missing_letters(report)
        if report.joint:
            drawn[ALL] = list(joint_pictures(report.joint.joint))
    page = None if missing else written.page(live)
    request = dataclasses.asdict(task.request) | dataclasses.asdict(task.reading)
    write_files(to, report, request, page, drawn)
    if missing:
        raise ReportError(
            f"the page and the figures need {' and '.join(missing)}: pip install 'hybridnets[report]', or --no-page; "
            f"the tables are in {to / 'tables'}"
        )
    return written


def verify(sources: Sources, paths: list[Path], to: Path, reading: Reading = AS_IT_IS) -> int:
    """Computes runs and written tables again from the stored predictions, and prints what differs.

    Args:
        sources: The folders and files to read.
        paths: The same as the user gave them.
        to: The folder of the report to verify.
        reading: Which column of a source of scores is what; as it was for the report if nothing is given.
    """
    record = read_record(to) if (to / RECORD).is_file() else None
    request = record[0] if record else ReportRequest()
    scores = request.score_options if reading.scores == NO_OPTIONS else reading.scores
    reading = reading if reading.options else read_reading(to)
    run_set, problems = recompute(_read(sources.paths, replace(reading, scores=scores)))
    verified = sum(bool(run.outcomes) for run in run_set.runs)
    summary = f"{plural(verified, 'run')} verified from their predictions"
    separator = ", and "
    if not run_set.predictions:
        summary, separator = f"{paths[0]} names no predictions, so its scores cannot be verified", "; "
    if record:
        if not record[1]:
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
    print(f"{plural(count, 'finished run')} packed into {to}, {to.stat().st_size:,} bytes; no weights, no pixels")
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
    width = columns()
    print(f"{text(recount_table(recount), width)}\n\n{wrapped(recount_verdict(recount), width=width)}")
    return 0


def _print_list(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        print(f"- {sentence}")
