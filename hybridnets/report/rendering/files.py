"""The report as files: the page, the tables in four formats, the figures in three, and all tests and runs as CSV."""

import csv
import io
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridnets import stats
from hybridnets.report.analysis import DataSetReport, Report
from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.comparing.evidence import Evidence
from hybridnets.report.reading.results import ReportError
from hybridnets.report.reading.scores.mapping import AS_IT_IS, Reading
from hybridnets.report.rendering.for_paper import for_paper, paper_latex, paper_text
from hybridnets.report.request import ReportRequest
from hybridnets.report.tables import table as formats
from hybridnets.report.tables.joint import ALL
from hybridnets.report.tables.table import Table
from hybridnets.report.text import visible
from hybridnets.runs.files import read_json, replacing, write_text

if TYPE_CHECKING:  # matplotlib need not be installed, and takes a second to import
    from hybridnets.report.figures.picture import Picture

FORMATS = {
    "txt": formats.text,
    "md": formats.markdown,
    "tex": formats.latex,
    "csv": formats.comma_separated,
}
RECORD = "report.json"  # the request and the names of the files
PAGE = "index.html"
FOR_PAPER = ("for_your_paper.txt", "for_your_paper.tex")
OWN = ("tables", "figures", PAGE, *FOR_PAPER)  # the first parts of the names of a report's files


def write_files(
    to: Path, report: Report, request: Mapping[str, Any], page: str | None, pictures: Mapping[str, Sequence["Picture"]]
) -> None:
    """Writes the report's folder, and deletes files of an earlier report that this one does not have.

    Args:
        to: The folder; created if it does not exist.
        report: The report.
        request: The values of the request, from which the same report can be made again.
        page: The page; None where it cannot be made.
        pictures: The figures by data set.

    Raises:
        ReportError: If the folder cannot be created or written to, or holds something else.
    """
    files: dict[str, str | bytes] = {f"tables/{name}": text for name, text in table_files(report).items()}
    for data, figures in pictures.items():
        for picture in figures:
            for suffix, content in (("svg", picture.svg), ("png", picture.png), ("pdf", picture.pdf)):
                files[f"figures/{_slug(data)}-{picture.key}.{suffix}"] = content
    if report.parts:
        paper = for_paper(report)
        files |= dict(zip(FOR_PAPER, (paper_text(paper), paper_latex(paper)), strict=True))
    if page is not None:
        files[PAGE] = page
    try:
        earlier = recorded_files(to)
        to.mkdir(parents=True, exist_ok=True)
        # Recorded before they are written, so that the next report can delete them even if this one is interrupted.
        _write_record(to, request, earlier | files.keys(), complete=False)
        for name, content in files.items():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            with replacing(to / name) as temporary:
                temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        for name in earlier - files.keys():
            (to / name).unlink(missing_ok=True)
        _delete_temporary_files(to)
        _write_record(to, request, set(files), complete=True)
    except OSError as error:
        raise ReportError(
            f"--to must be a folder that can be written to, got {to} ({error.strerror}): give another, or --no-page to "
            "write nothing"
        ) from None


def check_folder(to: Path) -> None:
    """Refuses a report's folder that is a file, or lies in one.

    Args:
        to: The folder, which need not exist.

    Raises:
        ReportError: If it cannot be a folder.
    """
    try:
        existing = next(path for path in (to, *to.absolute().parents) if path.exists())
    except OSError:  # `write_files` says that it may not be used
        return
    if not existing.is_dir():
        where = "which is a file" if existing == to else f"and {existing} is a file"
        raise ReportError(f"--to must be a folder, got {to}, {where}: give another, or --no-page to write nothing")


def write_page(to: Path, page: str) -> None:
    """Writes the page alone again, in a folder whose other files stay as they are.

    Args:
        to: The report's folder.
        page: The page.
    """
    write_text(to / PAGE, page)


def _delete_temporary_files(to: Path) -> None:
    """Deletes what interrupted reports left behind; a process that is still writing keeps its files."""
    for path in (path for folder in ("tables", "figures", ".") for path in (to / folder).glob(".*.*")):
        if process := re.fullmatch(r"\..+\.([0-9]+)", path.name):
            try:
                os.kill(int(process[1]), 0)
            except (ProcessLookupError, OverflowError):
                path.unlink(missing_ok=True)
            except PermissionError:  # it lives, and is somebody else's
                continue


def _write_record(to: Path, request: Mapping[str, Any], files: set[str], complete: bool) -> None:
    record = {"asked": request, "whole": complete, "files": sorted(files)}
    write_text(to / RECORD, json.dumps(record, indent=2) + "\n")


def read_record(to: Path) -> tuple[ReportRequest, bool]:
    """The request that a folder's report was made for, and whether the report was written completely.

    Args:
        to: The report's folder, which has a record.

    Raises:
        ReportError: If the record is damaged.
    """
    try:
        record = json.loads((to / RECORD).read_text(encoding="utf-8"))
        return ReportRequest.of(record["asked"]), bool(record["whole"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ReportError(
            f"{to / RECORD} must be what the report wrote, and is damaged: make the report again"
        ) from None


def read_reading(to: Path) -> Reading:
    """How the source of a folder's report was read; as it is for an earlier report, or without one.

    Args:
        to: The report's folder.
    """
    try:
        record = read_json(to / RECORD) or {"asked": {}}
        columns = record["asked"].get("columns", {})
        return Reading.of([f"{role}={name}" for role, name in columns.items()], record["asked"].get("at"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return AS_IT_IS  # read_record says that the record is damaged


def recorded_files(to: Path) -> set[str]:
    """The names of the files of the report in a folder, as its record lists them; none without a record.

    Args:
        to: The report's folder.
    """
    try:
        record = read_json(to / RECORD)
        names = {str(name) for name in record["files"]} if record else set()
    except (ValueError, KeyError, TypeError, RecursionError):
        return set()
    return {name for name in names if name.split("/")[0] in OWN and ".." not in name}


def _slug(name: str) -> str:
    """A name that can be a file's."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "data"


def table_files(report: Report) -> dict[str, str]:
    """Every table in each format, by the name of its file; the CSVs hold fractions in full precision.

    Args:
        report: The report.
    """
    files = {}
    for part in report.parts:
        for table in all_tables(part):
            for suffix, form in FORMATS.items():
                files[f"{_slug(part.data_set.name)}-{table.key}.{suffix}"] = form(table).rstrip() + "\n"
    for table in report.joint.tables if report.joint else ():
        for suffix, form in FORMATS.items():
            files[f"{ALL}-{table.key}.{suffix}"] = form(table).rstrip() + "\n"
    files["tests.csv"] = _csv(line for part in report.parts for line in _test_lines(part))
    files["runs.csv"] = _csv(line for part in report.parts for line in _run_lines(part))
    return files


def all_tables(part: DataSetReport) -> list[Table]:
    """The tables of a data set; from the second answer on, its tables are numbered.

    Args:
        part: The data set's part of the report.
    """
    answers = [
        replace(table, number=n if n > 1 else 0)
        for n, answer in enumerate(part.answers, start=1)
        for table in answer.tables
    ]
    return [part.variants_table, *answers, *part.tables]


def _csv(lines: Iterator[dict[str, Any]]) -> str:
    file = io.StringIO()
    rows = list(lines)
    writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _test_lines(part: DataSetReport) -> Iterator[dict[str, Any]]:
    """The answers, then every test of every comparison, uncorrected, one per row; `why` says why there is no p."""
    for answer in part.answers:
        yield _test_line(
            part,
            answer.comparison,
            answer.analysis.metric,
            f"answer: {answer.analysis.test_name}",
            answer.analysis.test,
        )
    for comparison in part.comparisons:
        for metric in part.families.metrics:
            for name, test in _named_tests(comparison.evidence(metric)):
                yield _test_line(part, comparison, metric, name, test)


def _test_line(part: DataSetReport, comparison: Comparison, metric: str, name: str, test: stats.Test) -> dict[str, Any]:
    low, high = test.interval or (None, None)
    return {
        "data": part.data_set.name,
        "variant": comparison.variant.label,
        "baseline": comparison.baseline.label,
        "metric": metric,
        "test": name,
        "n": test.n,
        "estimate": test.estimate,
        "statistic": test.statistic,
        "p": test.p,
        "low": low,
        "high": high,
        "why": comparison.why_no_stars or test.why,
    }


def _named_tests(e: Evidence) -> Iterator[tuple[str, stats.Test]]:
    yield "paired t over seeds", e.plain
    yield "corrected resampled t over seeds", e.corrected
    yield "Wilcoxon over seeds", e.wilcoxon
    yield "sign flip over seeds", e.sign_flip
    yield "paired t over images", e.pooled
    yield "paired t over images, clustered", e.clustered
    yield "t over seeds and images, crossed", e.crossed
    for (run, _), mcnemar in zip(e.pairs, e.mcnemar, strict=False):
        discordant = mcnemar.only_a + mcnemar.only_b
        yield f"McNemar exact, seed {run.seed}", stats.Test(None, None, mcnemar.exact, None, discordant)
        yield f"McNemar mid-p, seed {run.seed}", stats.Test(None, None, mcnemar.mid_p, None, discordant)


def _run_lines(part: DataSetReport) -> Iterator[dict[str, Any]]:
    for variant in part.data_set.variants:
        for run in variant.runs:
            split, init, order = run.seeds
            yield {
                "data": part.data_set.name,
                "variant": variant.label,
                "seed_split": split,
                "seed_init": init,
                "seed_order": order,
                "best_epoch": run.best_epoch,
                **{metric: run.scores[metric] for metric in ("test", "val", "val_last") if metric in run.scores},
                **({"score": None if run.diverged else run.scores["score"]} if "score" in run.scores else {}),
                "diverged": run.diverged,
                "parameters": run.parameters,
                "epochs": run.epochs,
                "seconds": run.seconds,
                "folder": visible(run.relative.as_posix()),
                "hash": run.hash,
            }
