"""What the command line of the report requests: which variants are compared, and by which analysis."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

from hybridnets.report.reading.results import ReportError
from hybridnets.runs.declaration import METRICS

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
        metric: The metric of the primary analysis.
    """

    baseline: str | None = None
    compare: tuple[str, ...] = ()
    vary: tuple[str, ...] = ()
    primary: tuple[str, str] | None = None
    margin: float | None = None
    metric: str | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "ReportRequest":
        """Checks plain values by name: the command line's arguments, or what a report's record holds.

        Raises:
            ReportError: If a value is not legal.
        """
        plain: dict[str, Any] = {field.name: values[field.name] for field in fields(cls)}
        plain |= {key: tuple(value) for key, value in plain.items() if isinstance(value, list)}
        for key, (rule, is_legal) in RULES.items():
            if not is_legal(plain[key]):
                raise ReportError(f"--{key} must be {rule}, got {plain[key]}")
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
    "metric": ("test, val or score", _is_none_or(lambda value: value in METRICS)),
}
