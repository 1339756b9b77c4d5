"""What a sweep declares before it runs: its one primary analysis, its tables, and published figures to stand beside them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hybridnets.runs.published_figures import DeclarationError, PublishedFigures, parse_figures

METRICS = ("test", "val", "score")
TESTS = {
    "paired": "the plain paired t over seeds",
    "corrected": "the corrected resampled t over seeds (Nadeau and Bengio 2003)",
}


@dataclass(frozen=True)
class Primary:
    """The one analysis that answers a sweep's question.

    Attributes:
        variant: Label of the variant that a positive difference favours.
        baseline: Label of the other.
        metric: test, val, or score of anybody's file.
        test: A key of TESTS.
        margin: The smallest difference that matters, as a fraction (of 1 for an accuracy); 0 where any does.
    """

    variant: str
    baseline: str
    metric: str = "test"
    test: str = "paired"
    margin: float = 0.0


@dataclass(frozen=True)
class Contrast:
    """One table: two levels of one axis against each other, all other axes being equal.

    Attributes:
        axis: The axis, such as model.
        low: The level that is subtracted.
        high: The other.
        title: What stands above it; empty for one made from axis and levels.
    """

    axis: str
    low: str
    high: str
    title: str = ""


@dataclass(frozen=True)
class Declaration:
    """A sweep's `report:` section.

    Attributes:
        primary: The analysis that heads the page; None where none was declared.
        tables: The tables; none for those that follow from the variants' axes.
        published: Published figures to stand beside ours.
    """

    primary: Primary | None = None
    tables: tuple[Contrast, ...] = ()
    published: PublishedFigures = field(default_factory=PublishedFigures)


def parse_declaration(section: Any) -> Declaration:
    """Reads a `report:` section.

    Args:
        section: Its plain content, or None.

    Raises:
        DeclarationError: If a key or a value has no meaning, in one sentence that names it.
    """
    if section is None:
        return Declaration()
    known = _keys("report", section, ("primary", "tables", "published"))
    tables = known.get("tables") or []
    if not isinstance(tables, list):
        raise DeclarationError(f"report.tables must be a list of tables (vary, from, to, title), got {tables}")
    rows = known.get("published") or []
    if not isinstance(rows, list):
        raise DeclarationError(f"report.published must be the rows of a CSV of published figures, got {rows}")
    return Declaration(
        _primary(known["primary"]) if known.get("primary") is not None else None,
        tuple(_grid(f"report.tables[{n}]", table) for n, table in enumerate(tables)),
        parse_figures(rows),
    )


def _primary(section: Any) -> Primary:
    known = _keys(
        "report.primary", section, ("variant", "baseline", "metric", "test", "margin"), ("variant", "baseline")
    )
    found = Primary(
        str(known["variant"]),
        str(known["baseline"]),
        _one_of("report.primary.metric", known.get("metric", "test"), METRICS),
        _one_of("report.primary.test", known.get("test", "paired"), tuple(TESTS)),
        _percent("report.primary.margin", known.get("margin", 0)),
    )
    if found.variant == found.baseline:
        raise DeclarationError(
            f"report.primary must compare two variants, got {found.variant} as variant and as baseline"
        )
    if (found.metric, found.test) == ("test", "corrected"):
        raise DeclarationError(
            "report.primary.test must be paired where metric is test, got corrected: the correction is for the held-out "
            "parts of random splits, so give metric: val or test: paired"
        )
    return found


def _grid(key: str, section: Any) -> Contrast:
    known = _keys(key, section, ("vary", "from", "to", "title"), ("vary", "from", "to"))
    return Contrast(str(known["vary"]), str(known["from"]), str(known["to"]), str(known.get("title") or ""))


def _keys(key: str, section: Any, legal: tuple[str, ...], needed: tuple[str, ...] = ()) -> Mapping[str, Any]:
    if not isinstance(section, Mapping):
        raise DeclarationError(f"{key} must be a section with {', '.join(legal)}, got {section}")
    if unknown := [str(name) for name in section if name not in legal]:
        raise DeclarationError(f"{key} must hold {', '.join(legal)} only, got {', '.join(unknown)}")
    if missing := [name for name in needed if section.get(name) is None]:
        raise DeclarationError(f"{key} must have {', '.join(needed)}, got no {', '.join(missing)}")
    return section


def _one_of(key: str, value: Any, legal: tuple[str, ...]) -> str:
    if value not in legal:
        raise DeclarationError(f"{key} must be {', '.join(legal[:-1])} or {legal[-1]}, got {value}")
    return str(value)


def _percent(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise DeclarationError(f"{key} must be a number of percent from 0 to 100, got {value}")
    return value / 100
