"""What a sweep declares before it runs: its primary analysis, its tables, and published figures to compare them with."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from hybridnets.program import either
from hybridnets.runs.published_figures import DeclarationError, PublishedFigures, parse_figures

Method = Literal["anytime", "obrien-fleming", "pocock"]
METHODS: Mapping[Method, str] = {  # of adding seeds
    "anytime": "the anytime-valid t over seeds (Lai 1976; Wang and Ramdas 2024)",
    "obrien-fleming": "the group-sequential t over seeds, with O'Brien-Fleming-like spending (Lan and DeMets 1983)",
    "pocock": "the group-sequential t over seeds, with Pocock-like spending (Lan and DeMets 1983)",
}
STEPS = {"first": 5, "most": 20, "every": 1}  # seeds before the first look, at most, and between two looks
FEWEST, LARGEST_LOOK = 2, 1000  # seeds
ANYTIME_FEWEST = 5  # seeds from which the anytime-valid t can exclude a difference at 5 %
METRICS = ("test", "val", "score")  # what tables are made of by default
QUALITIES = {  # measures of the predictions of the test images, and whether each is a share
    "macro_f1": True,
    "balanced_accuracy": True,
    "top2": True,
    "top5": True,
    "nll": False,
    "brier": False,
    "ece": True,
    "auroc": False,
}
LEGAL_METRICS = (*METRICS, "val_last", *(f"test/{quality}" for quality in QUALITIES))
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
        metric: One of LEGAL_METRICS; score is that of a file of scores.
        test: A key of TESTS; empty for the one that follows from the splits: corrected on held-out parts, else paired.
        margin: The smallest difference that matters, a fraction for a share; 0 if every difference does.
    """

    variant: str
    baseline: str
    metric: str = "test"
    test: str = ""
    margin: float = 0.0


@dataclass(frozen=True)
class Until:
    """How seeds are added until the question is settled.

    Attributes:
        looks: The number of seeds at each look, increasing.
        method: A key of METHODS.
        train: Which variants get the seeds after the first look: those of the primary analysis, or all.
    """

    looks: tuple[int, ...]
    method: Method = "anytime"
    train: str = "primary"

    @property
    def most(self) -> int:
        """The largest number of seeds."""
        return self.looks[-1]


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
        primary: The analyses that head the page; several are corrected for their number; empty if none was declared.
        tables: The tables; empty for those that follow from the variants' axes.
        until: How seeds are added until the question is settled; None where their number is fixed.
        published: Published figures to print next to ours.
    """

    primary: tuple[Primary, ...] = ()
    tables: tuple[Contrast, ...] = ()
    until: Until | None = None
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
    values = _check_keys("report", section, ("primary", "until", "tables", "published"))
    tables = values.get("tables") or []
    if not isinstance(tables, list):
        raise DeclarationError(f"report.tables must be a list of tables (vary, from, to, title), got {tables}")
    rows = values.get("published") or []
    if not isinstance(rows, list):
        raise DeclarationError(f"report.published must be the rows of a CSV of published figures, got {rows}")
    primary = values.get("primary")
    return Declaration(
        tuple(_parse_primary(f"report.primary[{n}]", section) for n, section in enumerate(primary))
        if isinstance(primary, list)
        else (_parse_primary("report.primary", primary),)
        if primary is not None
        else (),
        tuple(_parse_contrast(f"report.tables[{n}]", table) for n, table in enumerate(tables)),
        _parse_until(values["until"]) if values.get("until") is not None else None,
        parse_figures(rows),
    )


def _parse_primary(key: str, section: Any) -> Primary:
    values = _check_keys(key, section, ("variant", "baseline", "metric", "test", "margin"), ("variant", "baseline"))
    metric = _check_choice(f"{key}.metric", values.get("metric", "test"), LEGAL_METRICS)
    primary = Primary(
        str(values["variant"]),
        str(values["baseline"]),
        metric,
        _check_choice(f"{key}.test", values["test"], tuple(TESTS)) if values.get("test") is not None else "",
        _parse_margin(f"{key}.margin", values.get("margin", 0), metric),
    )
    if primary.variant == primary.baseline:
        raise DeclarationError(f"{key} must compare two variants, got {primary.variant} as both variant and baseline")
    if metric.startswith("test") and primary.test == "corrected":
        raise DeclarationError(
            f"{key}.test must be paired if metric is {metric}, got corrected: the correction is for the held-out parts of "
            "random splits, so give metric: val or test: paired"
        )
    return primary


def _parse_until(section: Any) -> Until:
    values = _check_keys("report.until", section, ("first", "most", "every", "looks", "method", "train"))
    method = _check_choice("report.until.method", values.get("method", "anytime"), tuple(METHODS))
    train = _check_choice("report.until.train", values.get("train", "primary"), ("primary", "all"))
    if "looks" in values:
        looks = values["looks"]
        if not isinstance(looks, list) or not looks or not all(type(n) is int for n in looks):
            raise DeclarationError(f"report.until.looks must be numbers of seeds, as in [3, 5, 10], got {looks}")
        if set(values) & {"first", "most", "every"}:
            raise DeclarationError("report.until must have looks, or first, most and every, got both")
    else:
        first, most, every = (_parse_count(f"report.until.{key}", values.get(key, d)) for key, d in STEPS.items())
        if first > most:
            raise DeclarationError(f"report.until.first must be at most report.until.most, {most}, got {first}")
        looks = sorted({*range(first, most, every), most})
    if not looks[0] >= FEWEST or any(later <= earlier for earlier, later in itertools.pairwise(looks)):
        raise DeclarationError(
            f"report.until must look at increasing numbers of seeds from {FEWEST} on, got {', '.join(map(str, looks))}"
        )
    if method == "anytime" and looks[-1] < ANYTIME_FEWEST:
        raise DeclarationError(
            f"report.until must go on to {ANYTIME_FEWEST} seeds at least with the method anytime, which settles nothing before "
            f"that, got {looks[-1]}"
        )
    return Until(tuple(looks), cast("Method", method), train)


def _parse_count(key: str, value: Any) -> int:
    if type(value) is not int or not 1 <= value <= LARGEST_LOOK:
        raise DeclarationError(f"{key} must be a whole number from 1 to {LARGEST_LOOK}, got {value}")
    return value


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
        raise DeclarationError(f"{key} must be {either(legal)}, got {value}")
    return str(value)


def _parse_margin(key: str, value: Any, metric: str) -> float:
    is_share = QUALITIES.get(metric.removeprefix("test/"), True)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        rule = "a percentage from 0 to 100" if is_share else "a number from 0 to 100"
        raise DeclarationError(f"{key} must be {rule}, got {value}")
    return value / 100 if is_share else float(value)
