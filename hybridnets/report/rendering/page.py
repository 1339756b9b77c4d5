"""The report as one HTML page that needs no network and no other file."""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree

from hybridnets.report.analysis import DataSetReport, Report
from hybridnets.report.comparing.evidence import NEW, POOL
from hybridnets.report.figures.picture import Picture
from hybridnets.report.reading.results import ReportError
from hybridnets.report.tables.table import UNSEEN, Cell, Table, row
from hybridnets.report.tables.units import LEVELS, OPTIMISTIC

if TYPE_CHECKING:
    from markupsafe import Markup

# Tables whose rows stand alone, by how their keys begin; a grid's row belongs to the one above it.
SORTABLE = ("variants", "compression", "differences", "sensitivity", "power", "effects", "lost")
SHORT = 20  # characters of a cell that stay on one line
INK = "#123456"  # what a picture draws its text and axes in


class Figure(NamedTuple):
    """A picture to stand in the page: its SVG as markup, and how wide it was drawn, as a CSS length."""

    picture: Picture
    name: str
    svg: "Markup"
    width: str


class Chapter(NamedTuple):
    """A data set's share of the page, in the order in which it stands there."""

    part: DataSetReport
    figures: list[Figure]
    grids: list[Table]
    effects: list[Table]
    differences: list[Table]
    compression: list[Table]
    classes: list[Table]


def page(report: Report, pictures: Mapping[str, Sequence[Picture]]) -> str:
    """The page's HTML: answer, tables, figures, what is missing, where it came from, and how to repeat it.

    Args:
        report: What is told.
        pictures: The figures by data set's name; a data set without any needs no entry.

    Raises:
        ReportError: If Jinja2 is not installed.
    """
    try:
        import jinja2
    except ModuleNotFoundError:
        raise ReportError(
            "the page needs Jinja2, which is not installed: run pip install 'hybridnets[report]'"
        ) from None
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
    )
    environment.filters["digest"] = _digest
    environment.tests["sortable"] = _sortable
    answers = [answer for part in report.parts for answer in part.answers]
    html = environment.get_template("page.html").render(
        report=report,
        chapters=[
            _chapter(f"part-{n}", part, pictures.get(part.section.data, ())) for n, part in enumerate(report.parts, 1)
        ],
        primary=answers[0] if answers else None,
        others=len(answers) - 1,
        lost=_lost(report),
        sources=_sources(report),
        variants=sum(len(part.section.variants) for part in report.parts),
        finished=sum(len(variant.runs) for part in report.parts for variant in part.section.variants),
        SHORT=SHORT,
        LEVELS=LEVELS,
        OPTIMISTIC=OPTIMISTIC,
        POOL=POOL,
        NEW=NEW,
    )
    return _shown(html)


def _chapter(name: str, part: DataSetReport, pictures: Sequence[Picture]) -> Chapter:
    kinds: dict[str, list[Table]] = {"effects": [], "differences": [], "compression": [], "classes": [], "": []}
    for table in part.tables:
        kinds[next(kind for kind in kinds if table.key.startswith(kind))].append(table)
    figures = [_figure(picture, f"{name}-figure-{n}") for n, picture in enumerate(pictures, 1)]
    grids = kinds.pop("")
    return Chapter(part, figures, grids, **kinds)


def _lost(report: Report) -> Table | None:
    """The runs without a result, a row each; None where there is none."""
    rows = [
        row(part.section.data, run.folder.as_posix(), run.state, run.reason or "no reason was recorded")
        for part in report.parts
        for run in part.lost
    ]
    header = ("data set", "folder", "state", "reason")
    return (
        Table("lost", "Runs that were asked for and have no result", header, tuple(rows), (), left=4) if rows else None
    )


def _sources(report: Report) -> Table | None:
    """What the runs were made with; None where that is not known of any."""
    rows = [row(source or "unknown", Cell(str(runs), runs)) for source, runs in report.sources]
    caption = ("Commit and versions of each run's last attempt.",)
    return Table("sources", "What the runs were made with", ("source", "runs"), tuple(rows), caption) if rows else None


def _sortable(table: Table) -> bool:
    return table.key.startswith(SORTABLE)


def _digest(script: str) -> str:
    """A script's hash, as a Content-Security-Policy names it."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _shown(text: str) -> str:
    return UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


def _figure(picture: Picture, name: str) -> Figure:
    """The SVG as part of the page: without namespaces, its ids its own, its ink and its width the page's."""
    from markupsafe import Markup

    root = ElementTree.fromstring(_shown(picture.svg))
    for found in root.findall("{*}metadata"):
        root.remove(found)
    for element in root.iter():
        element.tag = _local(element.tag)
        element.attrib = dict(_attributes(element, name))
        if element.tag == "style":  # of this picture alone: a rule of one SVG holds for the whole page
            element.text = f"#{name} {{ {(element.text or '').replace(INK, 'currentColor')} }}"
    width = root.attrib.pop("width", "100%")
    root.attrib.pop("height", None)
    root.attrib |= {
        "id": name,
        "role": "img",
        "aria-labelledby": f"{name}-title",
        "aria-describedby": f"{name}-caption",
    }
    # ElementTree escapes all text and all values, so this is markup and not words.
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
