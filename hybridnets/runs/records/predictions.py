"""predictions.npz: what a run predicts of every val and test image with the weights of its reported epoch.

For each part, val and test, the file has the arrays PART_index, PART_label and PART_class, (N,), one row for each image in
order of index, and one of

    PART_probabilities   (N, K), of every class: what training writes
    PART_probability     (N,), of the true class alone: what an archive keeps

and, of a run that uses another one as its backbone, PART_before, (N,), the class that the backbone predicts. A feature
autoencoder adds the feature maps of a few test images: examples_index (M,), examples_maps and examples_rebuilt (M, C, H, W).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridnets.runs.files import unusable
from hybridnets.runs.records.errors import ForbiddenRecordError, refuse

FILE = "predictions.npz"
PARTS = ("val", "test")
COLUMNS = ("index", "label", "class")
TOO_LARGE = 2**31  # for an index or a class

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class PartPredictions:
    """The predictions of one network on one set of images, in order of the images' index.

    Attributes:
        index: The image's place in its data set, (N,), ascending, each once.
        label: Its class, (N,).
        predicted: The class that was predicted, (N,).
        before: Of a run that uses another one as its backbone, what the backbone predicts of the same images; else None.
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
            np.bincount(labels, minlength=classes)[:classes] for labels in (self.label, self.label[self.right])
        )
        return np.where(images > 0, right / np.maximum(images, 1), np.nan)


@dataclass(frozen=True, eq=False)
class ExampleMaps:
    """Feature maps of a few test images, before and after a code.

    Attributes:
        index: The image's place in its data set, (M,).
        maps: The maps before, (M, C, H, W), finite.
        rebuilt: The maps that the autoencoder rebuilds, (M, C, H, W), finite.
    """

    index: NDArray[Any]
    maps: NDArray[Any]
    rebuilt: NDArray[Any]


def to_arrays(parts: Mapping[str, Mapping[str, NDArray[Any]]]) -> Arrays:
    """The arrays of the file.

    Args:
        parts: Columns by name, by part: val, test and, where there are any, examples.
    """
    return {f"{part}_{name}": column for part, columns in parts.items() for name, column in columns.items()}


def read_examples(folder: Path) -> ExampleMaps | None:
    """The feature maps in a run's folder; None where there are none that can be drawn.

    Args:
        folder: The run's folder.
    """
    try:
        with (folder / FILE).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            examples = ExampleMaps(*(arrays[f"examples_{name}"] for name in ("index", "maps", "rebuilt")))
            sound = examples.index.dtype.kind in "iu" and min(examples.maps.shape) > 0
            finite = np.isfinite(examples.maps).all() and np.isfinite(examples.rebuilt).all()
    except (
        Exception
    ):  # numpy and zipfile raise nearly anything; that the file is damaged is reported by the run's reader
        return None
    fits = examples.maps.ndim == 4 and examples.maps.shape == examples.rebuilt.shape
    return examples if sound and finite and fits and examples.index.shape == examples.maps.shape[:1] else None


def read_probabilities(folder: Path, part: str) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    """The probabilities of all classes, (N, K), and those of the true class alone, (N,); None for what is not stored.

    They are in the order of the file, which a run writes in ascending order of the images' index.

    Args:
        folder: The run's folder.
        part: val or test.
    """
    try:
        with (folder / FILE).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            every, own = (arrays.get(f"{part}_{name}") for name in ("probabilities", "probability"))
    except Exception:  # numpy and zipfile raise nearly anything; the run's reader reports what is damaged
        return None, None
    return every, own


class PredictionsReader:
    """Reads the predictions of many runs; columns that several runs share are kept in memory once."""

    def __init__(self) -> None:
        self._shared: dict[tuple[str, bytes], NDArray[Any]] = {}

    def read(self, folder: Path) -> dict[str, PartPredictions]:
        """The predictions in a run's folder by part, val and test; empty where no file is there.

        Args:
            folder: The run's folder.

        Raises:
            RecordError: If the file is damaged, or lacks a column.
        """
        path = folder / FILE
        try:
            # Opened here, because numpy leaves the file of a damaged archive open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return {part: self._part(arrays, part) for part in PARTS}
        except FileNotFoundError:
            return {}
        except PermissionError as error:
            raise ForbiddenRecordError(unusable(error)) from None
        except Exception as error:  # numpy and zipfile raise nearly anything
            refuse(path, f"does not hold a run's predictions ({first_line(error)})")

    def check(self, index: NDArray[Any], label: NDArray[Any], predicted: NDArray[Any]) -> PartPredictions:
        """Predictions from columns that somebody wrote, sorted by index.

        Args:
            index: The images' places in their data set, (N,).
            label: Their classes, (N,).
            predicted: The classes that were predicted, (N,).

        Raises:
            ValueError: If they are not whole numbers of one length, or an image is there twice.
        """
        columns = (index, label, predicted)
        for name, column in zip(COLUMNS, columns, strict=True):
            if column.ndim != 1 or not len(column) or column.dtype.kind not in "iu" or column.shape != index.shape:
                raise ValueError(f"{name} is {column.dtype} {column.shape}")
        lowest, highest = min(int(column.min()) for column in columns), max(int(column.max()) for column in columns)
        if lowest < 0 or highest >= TOO_LARGE:
            raise ValueError(f"a number outside 0 to 2^31, {lowest if lowest < 0 else highest}")
        index, label, predicted = (column.astype(np.int32) for column in columns)
        if np.any(np.diff(index) <= 0):
            order = np.argsort(index, kind="stable")
            index, label, predicted = index[order], label[order], predicted[order]
            if np.any(np.diff(index) == 0):
                raise ValueError("an image is there twice")
        small = np.min_scalar_type(max(int(label.max()), int(predicted.max()), 1))
        return PartPredictions(
            self._once("index", index), self._once("label", label.astype(small)), predicted.astype(small)
        )

    def _part(self, arrays: Mapping[str, NDArray[Any]], part: str) -> PartPredictions:
        index, label, predicted = (arrays[f"{part}_{column}"] for column in COLUMNS)
        predictions = self.check(index, label, predicted)
        if f"{part}_before" not in arrays:
            return predictions
        return replace(predictions, before=self.check(index, label, arrays[f"{part}_before"]))

    def _once(self, name: str, column: NDArray[Any]) -> NDArray[Any]:
        return self._shared.setdefault((name + str(column.dtype), column.tobytes()), column)


def unpaired(first: Mapping[str, PartPredictions], second: Mapping[str, PartPredictions], part: str) -> str:
    """Why the images of two runs do not pair; empty where they do.

    Args:
        first: The predictions of one run by part.
        second: The predictions of the other run by part.
        part: val or test.
    """
    if part not in first or part not in second:
        return "no predictions"
    if not np.array_equal(first[part].index, second[part].index):
        return "predictions of different images"
    return "" if np.array_equal(first[part].label, second[part].label) else "predictions with different labels"


def first_line(error: Exception) -> str:
    """The first line of what numpy or zipfile say, for a sentence."""
    return (str(error) or type(error).__name__).splitlines()[0].strip("'\"")[:100]
