"""The error of all records, and the checks of single values that they share."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

LARGEST_COUNT = 1e15  # of anything that is counted, or measured in seconds
SHARE_ROUNDING = 1e-6  # between two ways to a share of images: a float32 mean, and a count


class RecordError(ValueError):
    """A file of a run does not hold what it must; the message is one sentence that begins with its path."""

    @property
    def advice(self) -> str:
        """The message, and what to do."""
        return f"{self}; delete it to rebuild it"


class ForbiddenRecordError(RecordError):
    """A file of a run may not be read, which says nothing against what it holds."""

    @property
    def advice(self) -> str:
        """The message, which says already what to do."""
        return str(self)


def refuse(path: Path, why: str) -> NoReturn:
    """Raises the error for a file.

    Args:
        path: The file.
        why: What is wrong with it, as the rest of the sentence.
    """
    raise RecordError(f"{path} {why}")


def is_finite(value: Any) -> bool:
    """Whether a value of a JSON file is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def share(path: Path, values: Mapping[str, Any], key: str) -> float:
    """A share of images, such as an accuracy, from 0 to 1.

    Raises:
        RecordError: If it is something else.
        KeyError: If it is missing.
    """
    value = values[key]
    if type(value) not in (int, float) or not 0 <= value <= 1 + SHARE_ROUNDING:
        refuse(path, f"has {key} {value}, which is not a share of images")
    return float(value)


def count(path: Path, values: Mapping[str, Any], key: str) -> int:
    """A whole number from 0.

    Raises:
        RecordError: If it is something else.
        KeyError: If it is missing.
    """
    value = values[key]
    if type(value) not in (int, float) or not 0 <= value <= LARGEST_COUNT or value != value // 1:
        refuse(path, f"has {key} {value}, which is not a whole number")
    return int(value)
