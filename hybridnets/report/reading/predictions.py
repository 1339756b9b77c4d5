"""Which images a training got right: read from stored predictions, and matched image by image between two trainings."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

COLUMNS = ("index", "label", "class")


@dataclass(frozen=True, eq=False)
class PartPredictions:
    """The predictions of one training on one set of images, in order of the images' index.

    Attributes:
        index: The image's place in its data set, (N,), ascending, each once.
        label: Its class, (N,).
        predicted: The class that was predicted, (N,).
        before: Of a training that stands on another: what that other one predicts of the same images; None of any other.
    """

    index: NDArray[Any]
    label: NDArray[Any]
    predicted: NDArray[Any]
    before: "PartPredictions | None" = None

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Whether the prediction is the label, (N,)."""
        return np.asarray(self.predicted == self.label)

    @property
    def accuracy(self) -> float:
        """Share of images that were predicted right."""
        return float(self.right.mean())

    def by_class(self, classes: int) -> NDArray[np.float64]:
        """Share of each class's images that were predicted right, (K,); NaN of a class without any.

        Args:
            classes: How many classes, K; labels beyond it are left out.
        """
        images, right = (
            np.bincount(found, minlength=classes)[:classes] for found in (self.label, self.label[self.right])
        )
        return np.where(images > 0, right / np.maximum(images, 1), np.nan)


@dataclass(frozen=True, eq=False)
class Examples:
    """Feature maps of a few test images before and after a code.

    Attributes:
        index: The image's place in its data set, (N,).
        maps: The maps before, (N, C, H, W), finite.
        rebuilt: The same after it, (N, C, H, W), finite.
    """

    index: NDArray[Any]
    maps: NDArray[Any]
    rebuilt: NDArray[Any]


def examples(folder: Path) -> Examples | None:
    """The feature maps that a run stored; None where it stored none that can be drawn.

    Args:
        folder: The run's folder.
    """
    try:
        with (folder / "predictions.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = Examples(*(arrays[f"examples_{name}"] for name in ("index", "maps", "rebuilt")))
            whole = found.index.dtype.kind in "iu" and min(found.maps.shape) > 0
            finite = np.isfinite(found.maps).all() and np.isfinite(found.rebuilt).all()
    except Exception:  # numpy and zipfile raise nearly anything; what is damaged was told when the run was read
        return None
    shapes = (
        found.maps.ndim == 4 and found.maps.shape == found.rebuilt.shape and found.index.shape == found.maps.shape[:1]
    )
    return found if whole and finite and shapes else None


class Reader:
    """Reads files of predictions; columns that several trainings share are kept once."""

    def __init__(self) -> None:
        self._shared: dict[tuple[str, bytes], NDArray[Any]] = {}

    def run(self, path: Path) -> dict[str, PartPredictions]:
        """A run's predictions.npz, by part: val and test; empty where there is no such file.

        Raises:
            ValueError: If the file is damaged, or does not hold such columns.
        """
        try:
            # Opened here, for numpy leaves the file of a damaged archive open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return {part: self._part(arrays, part) for part in ("val", "test")}
        except FileNotFoundError:
            return {}
        except Exception as error:  # numpy and zipfile raise nearly anything
            raise ValueError(f"{path} does not hold a run's predictions ({_first(error)})") from None

    def file(self, path: Path) -> PartPredictions:
        """Predictions of anybody's: arrays, or columns with a header, named index, label and class.

        Args:
            path: A .npz or a .csv.

        Raises:
            ValueError: If the file is missing or damaged, or does not hold such columns.
        """
        try:
            if path.suffix == ".npz":
                with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                    return self._outcomes([arrays[column] for column in COLUMNS])
            with path.open(newline="", encoding="utf-8-sig") as text:
                rows = list(csv.DictReader(text))
            return self._outcomes([np.array([int(row[column]) for row in rows]) for column in COLUMNS])
        except Exception as error:  # likewise
            raise ValueError(
                f"{path} must hold the columns index, label and class as whole numbers, one row an image ({_first(error)})"
            ) from None

    def _part(self, arrays: Mapping[str, NDArray[Any]], part: str) -> PartPredictions:
        index, label, predicted = (arrays[f"{part}_{column}"] for column in COLUMNS)
        found = self._outcomes([index, label, predicted])
        if f"{part}_before" not in arrays:
            return found
        return replace(found, before=self._outcomes([index, label, arrays[f"{part}_before"]]))

    def _outcomes(self, columns: list[NDArray[Any]]) -> PartPredictions:
        index, label, predicted = columns
        for name, column in zip(COLUMNS, columns, strict=True):
            if column.ndim != 1 or not len(column) or column.dtype.kind not in "iu" or column.shape != index.shape:
                raise ValueError(f"{name} is {column.dtype} {column.shape}")
        lowest, most = (
            end(int(getattr(column, which)()) for column in columns) for which, end in (("min", min), ("max", max))
        )
        if lowest < 0 or most >= 2**31:
            raise ValueError(f"a number outside 0 to 2^31, {lowest if lowest < 0 else most}")
        index, label, predicted = (column.astype(np.int32) for column in columns)
        if np.any(np.diff(index) <= 0):
            order = np.argsort(index, kind="stable")
            index, label, predicted = index[order], label[order], predicted[order]
            if np.any(np.diff(index) == 0):
                raise ValueError("an image stands there twice")
        small = np.min_scalar_type(max(int(label.max()), int(predicted.max()), 1))
        return PartPredictions(
            self._once("index", index),
            self._once("label", label.astype(small)),
            predicted.astype(small),
        )

    def _once(self, what: str, column: NDArray[Any]) -> NDArray[Any]:
        return self._shared.setdefault((what + str(column.dtype), column.tobytes()), column)


def unpaired(one: Mapping[str, PartPredictions], other: Mapping[str, PartPredictions], part: str) -> str:
    """Why the images of two trainings do not pair; empty where they do.

    Args:
        one: The outcomes of one training by part.
        other: Those of the other.
        part: val or test.
    """
    if part not in one or part not in other:
        return "no predictions"
    left, right = one[part], other[part]
    if not np.array_equal(left.index, right.index):
        return "predictions of different images"
    return "" if np.array_equal(left.label, right.label) else "predictions with different labels"


def _first(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].strip("'\"")[:100]
