"""metrics.csv: the metrics of every epoch, one line for each, in deterministic bytes."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hybridnets.runs.files import unusable
from hybridnets.runs.records.errors import LARGEST_COUNT, ForbiddenRecordError, refuse

FILE = "metrics.csv"


@dataclass(frozen=True)
class Metrics:
    """The metrics of the epochs so far.

    Attributes:
        columns: For each metric, and for `epoch`, which counts from 0, one value per epoch; no columns before the first epoch.
    """

    columns: Mapping[str, tuple[float, ...]]

    def __len__(self) -> int:
        """How many epochs are recorded."""
        return len(next(iter(self.columns.values()), ()))

    def epochs(self) -> list[dict[str, float]]:
        """The metrics epoch by epoch, the oldest first."""
        return [dict(zip(self.columns, values, strict=True)) for values in zip(*self.columns.values(), strict=True)]

    def highest(self, metric: str) -> float:
        """The highest value of a metric so far, of those that are finite; NaN without any."""
        return max(filter(math.isfinite, self.columns.get(metric, ())), default=math.nan)


def to_csv(epochs: Sequence[Mapping[str, float]]) -> str:
    """The content of metrics.csv.

    Args:
        epochs: The metrics of each epoch, with its number; the columns are those of the last one.
    """
    keys = list(epochs[-1])
    lines = [",".join(_to_text(epoch.get(key, math.nan)) for key in keys) for epoch in epochs]
    return "\n".join([",".join(keys), *lines]) + "\n"


def read(folder: Path) -> Metrics:
    """The metrics of a run's folder; without any where no epoch is finished.

    Raises:
        RecordError: If the file is damaged.
    """
    path = folder / FILE
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = [row for row in csv.reader(file) if row]
        columns = list(zip(*([float(cell or "nan") for cell in row] for row in rows), strict=True))
        if any(abs(value) > LARGEST_COUNT for column in columns for value in column):
            raise ValueError("a value that cannot be")
        return Metrics(dict(zip(header, columns, strict=True)) if rows else {})
    except FileNotFoundError:
        return Metrics({})
    except PermissionError as error:
        raise ForbiddenRecordError(unusable(error)) from None
    except (OSError, ValueError, csv.Error):
        refuse(path, "cannot be read")


def _to_text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6f}"
