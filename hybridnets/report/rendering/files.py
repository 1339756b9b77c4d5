"""The report as files: the page, the tables in four formats, the figures in three, and what was tested and measured."""

import contextlib
import csv
import io
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hybridnets import stats
from hybridnets.report.analysis import DataSetReport, Report
from hybridnets.report.comparing.evidence import Evidence
from hybridnets.report.figures.picture import Picture
from hybridnets.report.reading.results import ReportError
from hybridnets.report.tables import table as formats
from hybridnets.report.tables.table import Table, visible
from hybridnets.runs.files import read_json, replacing, write_text

FORMATS = {
    "txt": formats.text,
    "md": formats.markdown,
    "tex": formats.latex,
    "csv": formats.comma_separated,
}
RECORD = "report.json"  # what was asked for and which files were written


def export(
    to: Path, report: Report, asked: Mapping[str, Any], page: str | None, pictures: Mapping[str, Sequence[Picture]]
) -> None:
    """Writes the report's folder; files of an earlier report there that this one does not have go.

    Args:
        to: Where to; made if it is not there.
        report: The report.
        asked: What was asked for, to make the same report again.
        page: The page; None where it cannot be made.
        pictures: The figures by data set.

    Raises:
        ReportError: If the folder cannot be made or written to, or holds something else.
    """
    files: dict[str, str | bytes] = {f"tables/{name}": text for name, text in tables(report).items()}
    for data, drawn in pictures.items():
        for picture in drawn:
            for suffix, content in (("svg", picture.svg), ("png", picture.png), ("pdf", picture.pdf)):
                files[f"figures/{_slug(data)}-{picture.key}.{suffix}"] = content
    if page is not None:
        files["index.html"] = page
    try:
        before = _before(to)
        to.mkdir(parents=True, exist_ok=True)
        # First what may come to be there: a report that is cut short leaves nothing that the next one does not know.
        _record(to, asked, before | files.keys(), whole=False)
        for name, content in files.items():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            with replacing(to / name) as beside:
                beside.write_bytes(content.encode() if isinstance(content, str) else content)
        for name in before - files.keys():
            (to / name).unlink(missing_ok=True)
        for left in (each for part in ("tables", "figures", ".") for each in (to / part).glob(".*.*")):
            if found := re.fullmatch(r"\..+\.([0-9]+)", left.name):
                with contextlib.suppress(ProcessLookupError, OverflowError):
                    os.kill(int(found[1]), 0)  # another report is being written just now
                    continue
                left.unlink(missing_ok=True)
        _record(to, asked, set(files), whole=True)
    except OSError as error:
        raise ReportError(
            f"--to must be a folder that can be written to, got {to} ({error.strerror}): give another, or --no-page to "
            "write nothing"
        ) from None


def _record(to: Path, asked: Mapping[str, Any], files: set[str], whole: bool) -> None:
    write_text(to / RECORD, json.dumps({"asked": asked, "whole": whole, "files": sorted(files)}, indent=2) + "\n")


def _before(to: Path) -> set[str]:
    """The files of an earlier report, as it recorded them."""
    try:
        record = read_json(to / RECORD)
        names = {str(name) for name in record["files"]} if record else set()
    except (ValueError, KeyError, TypeError, RecursionError):
        return set()
    return {name for name in names if name.split("/")[0] in ("tables", "figures", "index.html") and ".." not in name}


def _slug(name: str) -> str:
    """A name that files may have."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "data"


def tables(report: Report) -> dict[str, str]:
    """Every table as text by its file's name; the CSVs hold fractions in full precision.

    Args:
        report: The report.
    """
    files = {}
    for part in report.parts:
        for table in all_tables(part):
            for suffix, form in FORMATS.items():
                files[f"{_slug(part.section.data)}-{table.key}.{suffix}"] = form(table).rstrip() + "\n"
    files["tests.csv"] = _csv(line for part in report.parts for line in _tests(part))
    files["runs.csv"] = _csv(line for part in report.parts for line in _runs(part))
    return files


def all_tables(part: DataSetReport) -> list[Table]:
    """The tables of a data set; those of a second answer get a number."""
    answers = [
        Table(**{**vars(table), "key": f"{table.key}-{n}" if n > 1 else table.key})
        for n, answer in enumerate(part.answers, start=1)
        for table in answer.tables
    ]
    return [part.variants, *answers, *part.tables]


def _csv(lines: Iterator[dict[str, Any]]) -> str:
    file = io.StringIO()
    rows = list(lines)
    writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _tests(part: DataSetReport) -> Iterator[dict[str, Any]]:
    """Every test of every comparison, a row each, as numbers; `why` where there is no p."""
    for comparison in part.comparisons:
        for metric in part.section.metrics:
            for name, test in _each(comparison.evidence(metric)):
                low, high = test.interval or (None, None)
                yield {
                    "data": part.section.data,
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
                    "why": comparison.no_star or test.why,
                }


def _each(e: Evidence) -> Iterator[tuple[str, stats.Test]]:
    yield "paired t over seeds", e.plain
    yield "corrected resampled t over seeds", e.corrected
    yield "Wilcoxon over seeds", e.wilcoxon
    yield "sign flip over seeds", e.sign_flip
    yield "paired t over images", e.pooled
    yield "paired t over images, clustered", e.clustered
    yield "bootstrap over seeds and images", e.bootstrap
    for (one, _), found in zip(e.pairs, e.mcnemar, strict=False):
        discordant = found.only_a + found.only_b
        yield f"McNemar exact, seed {one.seed}", stats.Test(None, None, found.exact, None, discordant)
        yield f"McNemar mid-p, seed {one.seed}", stats.Test(None, None, found.mid_p, None, discordant)


def _runs(part: DataSetReport) -> Iterator[dict[str, Any]]:
    for variant in part.section.variants:
        for run in variant.runs:
            split, init, order = run.seeds
            yield {
                "data": part.section.data,
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
