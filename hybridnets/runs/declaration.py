"""What a sweep declares before it runs: its primary analysis, its tables, and published figures to compare them with."""

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
        baseline: Label of the variant that is subtracted.
        metric: test, val, or score for a file of scores.
        test: A key of TESTS.
        margin: The smallest difference that matters, a fraction for an accuracy; 0 if every difference does.
    """

    variant: str
    baseline: str
    metric: str = "test"
    test: str = "paired"
    margin: float = 0.0


@dataclass(frozen=True)
class Contrast:
    """Two levels of one axis, all other axes being equal; one table.

    Attributes:
        axis: The axis, such as model.
        low: The level that is subtracted.
        high: The level that it is subtracted from.
        title: The table's title; empty for one made of axis and levels.
    """

    axis: str
    low: str
    high: str
    title: str = ""


@dataclass(frozen=True)
class Declaration:
    """A sweep's `report:` section.

    Attributes:
        primary: The analysis that heads the page; None if none was declared.
        tables: The tables; empty for those that follow from the variants' axes.
        published: Published figures to print next to ours.
    """

    primary: Primary | None = None
    tables: tuple[Contrast, ...] = ()
    published: PublishedFigures = field(default_factory=PublishedFigures)


def parse_declaration(section: Any) -> Declaration:
    """Checks a `report:` section.

    Args:
        section: Its plain content, or None.

    Raises:
        DeclarationError: If a key or a value is not legal, in one sentence that names it.
    """
    if section is None:
        return Declaration()
    values = _check_keys("report", section, ("primary", "tables", "published"))
    tables = values.get("tables") or []
    if not isinstance(tables, list):
        raise DeclarationError(f"report.tables must be a list of tables (vary, from, to, title), got {tables}")
    rows = values.get("published") or []
    if not isinstance(rows, list):
        raise DeclarationError(f"report.published must be the rows of a CSV of published figures, got {rows}")
    return Declaration(
        _parse_primary(values["primary"]) if values.get("primary") is not None else None,
        tuple(_parse_contrast(f"report.tables[{n}]", table) for n, table in enumerate(tables)),
        parse_figures(rows),
    )


def _parse_primary(section: Any) -> Primary:
    values = _check_keys(
        "report.primary", section, ("variant", "baseline", "metric", "test", "margin"), ("variant", "baseline")
    )
    primary = Primary(
        str(values["variant"]),
        str(values["baseline"]),
        _check_choice("report.primary.metric", values.get("metric", "test"), METRICS),
        _check_choice("report.primary.test", values.get("test", "paired"), tuple(TESTS)),
        _parse_percent("report.primary.margin", values.get("margin", 0)),
    )
    if primary.variant == primary.baseline:
        raise DeclarationError(
            f"report.primary must compare two variants, got {primary.variant} as both variant and baseline"
        )
    if (primary.metric, primary.test) == ("test", "corrected"):
        raise DeclarationError(
            "report.primary.test must be paired if metric is test, got corrected: the correction is for the held-out parts of "
            "random splits, so give metric: val or test: paired"
        )
    return primary


def _parse_contrast(key: str, section: Any) -> Contrast:
    values = _check_keys(key, section, ("vary", "from", "to", "title"), ("vary", "from", "to"))
    return Contrast(str(values["vary"]), str(values["from"]), str(values["to"]), str(values.get("title") or ""))


def _check_keys(key: str, section: Any, legal: tuple[str, ...], needed: tuple[str, ...] = ()) -> Mapping[str, Any]:
    if not isinstance(section, Mapping):
        raise DeclarationError(f"{key} must be a section with {', '.join(legal)}, got {section}")
    if unknown := [str(name) for name in section if name not in legal]:
        raise DeclarationError(f"{key} must have no other keys than {', '.join(legal)}, got {', '.join(unknown)}")
    if missing := [name for name in needed if section.get(name) is None]:
        raise DeclarationError(f"{key} must have {', '.join(needed)}, got no {', '.join(missing)}")
    return section


def _check_choice(key: str, value: Any, legal: tuple[str, ...]) -> str:
    if value not in legal:
        raise DeclarationError(f"{key} must be {', '.join(legal[:-1])} or {legal[-1]}, got {value}")
    return str(value)


def _parse_percent(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise DeclarationError(f"{key} must be a percentage from 0 to 100, got {value}")
    return value / 100
