"""What the command line of the report requests: which variants are compared, and by which analysis."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from hybridnets.program import either
from hybridnets.report.reading.results import ReportError
from hybridnets.report.reading.score_kind import ScoreOptions
from hybridnets.runs.declaration import TESTS

LARGEST_MARGIN = 1e12  # that a figure can still draw


@dataclass(frozen=True)
class ReportRequest:
    """What the command line requests; what it leaves open follows from the sweeps and the variants.

    Attributes:
        baseline: A variant's label, or axis=level.
        compare: Labels in pairs.
        vary: The axes to make tables of.
        primary: The labels of variant and baseline of the primary analysis.
        margin: The smallest difference that matters, in percent points, or in the score's unit; None: as declared.
        metric: The metric of the primary analysis; for a file of scores its name.
        test: The test over seeds that answers, a key of TESTS; None: as declared, or as follows from the splits.
        planned: Whether the primary analysis was planned before the runs, which only the user knows.
        sweep: The names of the sweeps that the report is about; empty for the last one that declared a question.
        lower_is_better: Which direction of a file's scores is better; None: as the file says.
        unit: The unit of a file's scores; None: as the file says.
    """

    baseline: str | None = None
    compare: tuple[str, ...] = ()
    vary: tuple[str, ...] = ()
    primary: tuple[str, str] | None = None
    margin: float | None = None
    metric: str | None = None
    test: str | None = None
    planned: bool = False
    sweep: tuple[str, ...] = ()
    lower_is_better: bool | None = None
    unit: str | None = None

    @property
    def score_options(self) -> ScoreOptions:
        """What it says of a file's scores."""
        return ScoreOptions(self.metric or "", self.lower_is_better, self.unit or "")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "ReportRequest":
        """Checks plain values by name: the command line's arguments, or what a report's record holds.

        A record of an earlier version lacks the values that are new.

        Raises:
            ReportError: If a value is not legal.
        """
        plain: dict[str, Any] = {
            field.name: values[field.name] if field.default is MISSING else values.get(field.name, field.default)
            for field in fields(cls)
        }
        plain |= {key: tuple(value) for key, value in plain.items() if isinstance(value, list)}
        for key, (rule, is_legal) in RULES.items():
            if not is_legal(plain[key]):
                raise ReportError(f"--{key.replace('_', '-')} must be {rule}, got {plain[key]}")
        if plain["planned"] and not plain["primary"]:
            raise ReportError("--planned goes with --primary: it says that this comparison was planned before the runs")
        return cls(**plain)

    def baseline_is_level(self, labels: Collection[str]) -> bool:
        """Whether the baseline is a level of an axis: it has the form axis=level, and no variant has it as its label.

        Args:
            labels: The labels of all variants.
        """
        return "=" in (self.baseline or "") and self.baseline not in labels

    def baseline_level(self, labels: Collection[str], axes: Collection[str]) -> tuple[str, str] | None:
        """The axis and the level that the baseline names; None if it names a variant, or if there is none.

        Args:
            labels: The labels of all variants.
            axes: The axes of all variants.
        """
        if not self.baseline or not self.baseline_is_level(labels):
            return None
        axis, _, level = self.baseline.partition("=")
        if axis not in axes and any("=" in label for label in labels):
            return None  # a misspelt label
        return axis, level


def _is_none_or(is_legal: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_legal(value)


def _are_texts(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(text, str) for text in value)


# What each value must be, in words and as a test.
RULES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "baseline": ("a label, or axis=level", _is_none_or(lambda value: isinstance(value, str))),
    "compare": ("labels", _are_texts),
    "vary": ("axes", _are_texts),
    "primary": (
        "the labels of two different variants",
        _is_none_or(lambda value: _are_texts(value) and len(set(value)) == len(value) == 2),
    ),
    "margin": (
        f"a difference from 0 to {LARGEST_MARGIN:g}",
        _is_none_or(lambda value: isinstance(value, int | float) and 0 <= value <= LARGEST_MARGIN),
    ),
    "metric": ("the name of a metric", _is_none_or(lambda value: isinstance(value, str) and bool(value.strip()))),
    "test": (either(TESTS), _is_none_or(lambda value: value in TESTS)),
    "planned": ("given or not", lambda value: isinstance(value, bool)),
    "sweep": ("names of sweeps", _are_texts),
    "lower_is_better": ("given or not", _is_none_or(lambda value: isinstance(value, bool))),
    "unit": ("a unit", _is_none_or(lambda value: isinstance(value, str))),
}
