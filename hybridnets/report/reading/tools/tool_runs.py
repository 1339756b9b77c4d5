"""The runs of a source as a tool recorded them, before anybody said which setting is the seed and which metric the score."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAX_DEPTH = 20  # of nested settings


class SourceError(ValueError):
    """A file cannot be read, in one sentence that begins with its path."""


@dataclass(frozen=True)
class ToolRun:
    """One run as a tool recorded it.

    Attributes:
        place: Where it is, as a sentence begins.
        settings: What it was configured with; a variant and a seed may be proposed among them.
        labels: What else is known about it, such as its name: for --map only.
        metrics: The values of each metric by step, the first step first.
        state: How it ended, in the tool's word; empty if the tool does not record that.
    """

    place: str
    settings: Mapping[str, str]
    metrics: Mapping[str, Mapping[float, float]]
    labels: Mapping[str, str] = field(default_factory=dict)
    state: str = ""


@dataclass(frozen=True)
class ToolRuns:
    """The runs of a source.

    Attributes:
        path: The source.
        tool: The tool's name.
        runs: Its runs.
        problems: A sentence on each file that could not be read.
    """

    path: Path
    tool: str
    runs: tuple[ToolRun, ...]
    problems: tuple[str, ...] = ()


def text_of(value: Any) -> str:
    """A setting's value as text; None and nothing as nothing, true and false in lower case, as YAML writes them."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))  # JSON and messages know only one kind of number
    return " ".join(str(value).split())


def flatten(value: Any, name: str = "", depth: int = MAX_DEPTH) -> Iterator[tuple[str, str]]:
    """Nested settings with dots between their keys: {"model": {"width": 8}} has model.width.

    Args:
        value: A value of JSON or YAML.
        name: Its own name.
        depth: How many levels are opened; the rest is one text.
    """
    if isinstance(value, Mapping) and value and depth:
        for key, inner in value.items():
            yield from flatten(inner, f"{name}.{key}" if name else str(key), depth - 1)
    elif name:
        yield name, text_of(value)


def number_of(value: Any) -> float | None:
    """A metric's value in JSON; W&B writes what is no number as text. None if it is something else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and value not in ("NaN", "Infinity", "-Infinity"):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
