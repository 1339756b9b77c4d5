"""The report as one HTML page that needs no network and no other file."""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, get_args
from xml.etree import ElementTree

from hybridnets import pages
from hybridnets.program import plural
from hybridnets.report.analysis import DataSetReport, Report
from hybridnets.report.comparing.evidence import NEW, POOL
from hybridnets.report.comparing.resources import duration
from hybridnets.report.figures.picture import Picture
from hybridnets.report.reading.results import ReportError
from hybridnets.report.rendering.for_paper import CHECK, for_paper
from hybridnets.report.rendering.live import Live
from hybridnets.report.tables.cells import LEVELS, OPTIMISTIC, counted
from hybridnets.report.tables.joint import ALL
from hybridnets.report.tables.table import Cell, Kind, Table, row
from hybridnets.report.text import printable

if TYPE_CHECKING:
    from markupsafe import Markup

# Tables whose rows can be sorted; in a grid, a row belongs to the row above it.
SORTABLE = {
    *(
        "variants",
        "best",
        "datasets",
        "ranks",
        "pairs",
        "qualities",
        "apart",
        "compression",
        "differences",
        "sensitivity",
    ),
    *("power", "effects", "lost"),
}
SHORT = 20  # characters of a cell that stay on one line
PRIMARY = "primary"  # begins the key of an answer's figure
RELOAD_SECONDS = 10  # between two looks of a page at itself while runs are trained
INK = "#123456"  # the colour of a picture's text and axes


class Figure(NamedTuple):
    """A picture in the page: its SVG as markup, and the width at which it was drawn, as a CSS length."""

    picture: Picture
    name: str
    svg: "Markup"
    width: str


class Chapter(NamedTuple):
    """A data set's part of the page: a figure for each of its answers, its other figures, and its tables by their kind."""

    part: DataSetReport
    answers: list[Figure]
    figures: list[Figure]
    tables: Mapping[Kind, list[Table]]


class Fact(NamedTuple):
    """One of the facts below the answer: a value, and what it counts."""

    value: str
    meaning: str


def render_page(report: Report, pictures: Mapping[str, Sequence[Picture]], live: Live | None = None) -> str:
    """Lays out the page: answer, tables, figures, missing runs, provenance, and the commands that repeat it.

    Args:
        report: The report.
        pictures: The figures by the data set's name; a data set without figures needs no entry.
        live: How far the runs are; None for a page that is made once.

    Raises:
        ReportError: If Jinja2 is not installed.
    """
    try:
        environment = pages.environment(__package__, ["jinja2.ext.do"])
    except ModuleNotFoundError:
        raise ReportError(
            "the page needs Jinja2, which is not installed: run pip install 'hybridnets[report]'"
        ) from None
    environment.filters["digest"] = _digest
    environment.tests["sortable"] = lambda table: table.kind in SORTABLE
    answers = [answer for part in report.parts for answer in part.answers]
    chapters = [
        _chapter(f"part-{n}", part, pictures.get(part.data_set.name, ())) for n, part in enumerate(report.parts, 1)
    ]
    first = next((chapter for chapter in chapters if chapter.part.answers), chapters[0] if chapters else None)
    html = environment.get_template("page.html").render(
        report=report,
        chapters=chapters,
        joint_figures=[_figure(picture, f"joint-figure-{n}") for n, picture in enumerate(pictures.get(ALL, ()), 1)],
        first=first,
        facts=_facts(report),
        paper=for_paper(report) if report.parts else None,
        CHECK=CHECK,
        live=live,
        RELOAD_SECONDS=RELOAD_SECONDS,
        primary=answers[0] if answers else None,
        others=len(answers) - 1,
        lost=_lost(report),
        sources=_sources(report),
        SHORT=SHORT,
        LEVELS=LEVELS,
        OPTIMISTIC=OPTIMISTIC,
        POOL=POOL,
        NEW=NEW,
    )
    return printable(html)


def _chapter(name: str, part: DataSetReport, pictures: Sequence[Picture]) -> Chapter:
    tables: dict[Kind, list[Table]] = {kind: [] for kind in get_args(Kind)}
    for table in part.tables:
        tables[table.kind].append(table)
    figures = [_figure(picture, f"{name}-figure-{n}") for n, picture in enumerate(pictures, 1)]
    answers = [figure for figure in figures if figure.picture.key.startswith(PRIMARY)]
    return Chapter(part, answers, [figure for figure in figures if figure not in answers], tables)


def _facts(report: Report) -> list[Fact]:
    """Runs, seeds, hardware and hours."""
    took = report.resources
    hardware = [name for name in took.hardware if name]
    where = f" on {hardware[0]}" if len(hardware) == 1 else f" on {len(hardware)} kinds of hardware" if hardware else ""
    recorded = took.finished - took.unrecorded
    part = f" ({recorded} of {took.finished} runs)" if took.unrecorded else ""
    return [
        Fact(
            counted(took.finished, took.requested),
            f"finished run{'s' * (took.requested != 1)} of {plural(took.variants, 'variant')}",
        ),
        Fact(str(took.seeds), f"different seed{'s' * (took.seeds != 1)}{_splits(report)}"),
        Fact(duration(took.seconds), f"of training{where}{part}")
        if recorded
        else Fact("n/a", "hours and hardware: not recorded"),
    ]


def _splits(report: Report) -> str:
    """How many splits the seeds have, where that is known."""
    splits = {run.split for part in report.parts for variant in part.data_set.variants for run in variant.runs}
    return "" if "" in splits or not splits else f", {plural(len(splits), 'split')} into train and val"


def _lost(report: Report) -> Table | None:
    """The runs without a result, one per row; None where all have one."""
    rows = [
        row(part.data_set.name, run.folder.as_posix(), run.state, run.reason or "no reason was recorded")
        for part in report.parts
        for run in part.missing
    ]
    header = ("data set", "folder", "state", "reason")
    return Table("lost", "Requested runs without a result", header, tuple(rows), (), labels=4) if rows else None


def _sources(report: Report) -> Table | None:
    """The code that made the runs; None where no run recorded it."""
    rows = [row(source or "unknown", Cell(str(runs), runs)) for source, runs in report.sources]
    caption = ("Commit and versions of each run's last attempt.",)
    return Table("sources", "The code that made the runs", ("source", "runs"), tuple(rows), caption) if rows else None


def _digest(script: str) -> str:
    """A script's hash, as a Content-Security-Policy names it."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _figure(picture: Picture, name: str) -> Figure:
    """Prepares the SVG for the page: no namespaces, ids that are unique in the page, the page's text colour and width."""
    from markupsafe import Markup

    root = ElementTree.fromstring(printable(picture.svg))
    for metadata in root.findall("{*}metadata"):
        root.remove(metadata)
    for element in root.iter():
        element.tag = _local(element.tag)
        element.attrib = dict(_attributes(element, name))
        if element.tag == "style":  # for this picture alone: a rule in one SVG applies to the whole page
            element.text = f"#{name} {{ {(element.text or '').replace(INK, 'currentColor')} }}"
    width = root.attrib.pop("width", "100%")
    root.attrib.pop("height", None)
    root.attrib |= {
        "id": name,
        "role": "img",
        "aria-labelledby": f"{name}-title",
        "aria-describedby": f"{name}-caption",
    }
    # ElementTree has escaped all text and all values, so this is safe as markup.
    return Figure(picture, name, Markup(ElementTree.tostring(root, encoding="unicode")), width)


def _attributes(element: ElementTree.Element, name: str) -> Iterator[tuple[str, str]]:
    for qualified, value in element.attrib.items():
        key = _local(qualified)
        if key == "id":
            value = f"{name}-{value}"
        elif key == "href" and value.startswith("#"):
            value = f"#{name}-{value[1:]}"
        else:
            value = value.replace("url(#", f"url(#{name}-").replace(INK, "currentColor")
        yield key, value


def _local(name: str) -> str:
    return name.rpartition("}")[2]
