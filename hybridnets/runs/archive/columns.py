"""The predictions of many runs in an archive: runs on the same images share index and label, and values are rounded."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridnets.runs.records import predictions
from hybridnets.runs.records.predictions import PARTS

CLASSES = ("class", "before")
STEPS = {"probability": 2**16 - 2, "probabilities": 2**8 - 2}  # the highest value stands for one that is not finite
ROUNDING = (
    "probability (of the true class): two planes of 8 bits, high and low, of round(65534 p); probabilities: 8 bits of "
    "round(254 p); the highest value stands for one that is not finite. class and before: less the label, modulo `modulus`. "
    "index: the first, then the steps. All else is exact."
)

Columns = dict[str, NDArray[Any]]  # by name: index, label, class and others, one row for each image


def read(folder: Path, *, all_probabilities: bool) -> dict[str, Columns]:
    """The columns of a run's predictions that an archive keeps, by part, in order of index; empty without the file.

    Args:
        folder: The run's folder.
        all_probabilities: Whether to keep the probabilities of all classes.

    Raises:
        ValueError: If the file is damaged, or lacks a column.
    """
    path = folder / predictions.FILE
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {part: _round_part(arrays, part, all_probabilities) for part in PARTS}
    except FileNotFoundError:
        return {}
    except Exception as error:  # numpy and zipfile raise nearly anything
        raise ValueError(f"{path} does not hold a run's predictions ({error})") from None


def _round_part(arrays: Mapping[str, NDArray[Any]], part: str, all_probabilities: bool) -> Columns:
    names = [name for name in ("index", "label", *CLASSES) if name != "before" or f"{part}_before" in arrays]
    columns = {name: np.asarray(arrays[f"{part}_{name}"], np.int64) for name in names}
    shape = columns["index"].shape
    if len(shape) != 1 or not shape[0] or any(column.shape != shape for column in columns.values()):
        raise ValueError(f"{part}: columns of different lengths, or none")
    if any(column.min() < 0 or column.max() >= predictions.TOO_LARGE for column in columns.values()):
        raise ValueError(f"{part}: a number outside 0 to 2^31")
    label = columns["label"]
    if f"{part}_probabilities" in arrays:
        every = arrays[f"{part}_probabilities"]
        if all_probabilities:
            columns["probabilities"] = _to_steps(every, "probabilities", (*shape, every.shape[1]))
        elif label.max() < every.shape[1]:
            columns["probability"] = _to_steps(every[np.arange(shape[0]), label], "probability", shape)
    elif f"{part}_probability" in arrays:
        columns["probability"] = _to_steps(arrays[f"{part}_probability"], "probability", shape)
    order = np.argsort(columns["index"], kind="stable")
    columns = {name: column[order] for name, column in columns.items()}
    if np.any(np.diff(columns["index"]) == 0):
        raise ValueError(f"{part}: an image is there twice")
    return columns


def _to_steps(values: NDArray[Any], name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Probabilities as whole numbers of steps."""
    if values.shape != shape:
        raise ValueError(f"{name} {values.shape}")
    steps = STEPS[name]
    rounded = np.rint(np.clip(np.asarray(values, np.float64), 0, 1) * steps)
    return np.where(np.isfinite(values), rounded, steps + 1).astype(np.min_scalar_type(steps))


def _from_steps(rounded: NDArray[Any], name: str) -> NDArray[np.float32]:
    steps = STEPS[name]
    return np.where(rounded > steps, np.nan, rounded / steps).astype(np.float32)


class Packer:
    """Collects the columns of many runs; runs on the same images share index and label."""

    def __init__(self) -> None:
        self._sets: dict[Any, list[Columns]] = {}

    def add(self, columns: Columns) -> int:
        """Adds one part of a run; returns the number of its set of images, in which it is the next row."""
        shapes = tuple((name, column.shape[1:]) for name, column in columns.items())
        key = (columns["index"].tobytes(), columns["label"].tobytes(), shapes)
        self._sets.setdefault(key, []).append(columns)
        return list(self._sets).index(key)

    def packed(self) -> tuple[list[dict[str, Any]], Columns]:
        """The header's entry for each set, and the arrays, named NUMBER-COLUMN."""
        entries, arrays = [], {}
        for number, rows in enumerate(self._sets.values()):
            index, label = rows[0]["index"], rows[0]["label"]
            modulus = 1 + max(int(row[name].max()) for row in rows for name in ("label", *CLASSES) if name in row)
            arrays[f"{number}-index"] = _smallest_type(np.diff(index, prepend=0))
            arrays[f"{number}-label"] = _smallest_type(label)
            names = [name for name in rows[0] if name not in ("index", "label")]
            for name in names:
                column = np.stack([row[name] for row in rows])
                if name in CLASSES:  # 0 where it is right: that is most of them, and compresses well
                    column = _smallest_type((column - label) % modulus)
                elif name == "probability":
                    column = np.stack([column >> 8, column & 255]).astype(np.uint8)
                arrays[f"{number}-{name}"] = column
            entries.append({"columns": names, "modulus": modulus, "rows": len(rows)})
        return entries, arrays


class PackedSets:
    """The columns of many runs as an archive holds them; those of one run are made when they are needed.

    Args:
        entries: The header's entries for the sets.
        arrays: The archive's arrays.

    Attributes:
        rows: How many rows each set has.

    Raises:
        ValueError: If they do not fit together; or KeyError and the like, if something is missing.
    """

    def __init__(self, entries: Sequence[Mapping[str, Any]], arrays: Mapping[str, NDArray[Any]]) -> None:
        self._entries, self._arrays = entries, arrays
        self.rows = [int(entry["rows"]) for entry in entries]
        for number, entry in enumerate(entries):
            index, label = arrays[f"{number}-index"], arrays[f"{number}-label"]
            if index.ndim != 1 or index.shape != label.shape or "class" not in entry["columns"] or entry["modulus"] < 1:
                raise ValueError(f"set {number} of images")
            for name in entry["columns"]:
                shape = arrays[f"{number}-{name}"].shape[name == "probability" :]
                if shape[:2] != (entry["rows"], len(index)) or len(shape) != 2 + (name == "probabilities"):
                    raise ValueError(f"{name} of {shape}")

    def columns(self, number: int, row: int) -> Columns:
        """The columns of one part of a run, as its predictions.npz has them.

        Args:
            number: Its set of images.
            row: Its row there.
        """
        entry = self._entries[number]
        index, label = (self._arrays[f"{number}-{name}"].astype(np.int64) for name in ("index", "label"))
        columns: Columns = {"index": np.cumsum(index), "label": label}
        for name in entry["columns"]:
            array = self._arrays[f"{number}-{name}"]
            if name in CLASSES:
                columns[name] = (array[row] + label) % entry["modulus"]
            elif name == "probability":
                columns[name] = _from_steps(array[0, row] * np.uint16(256) + array[1, row], name)
            else:
                columns[name] = _from_steps(array[row], name)
        return columns


def _smallest_type(column: NDArray[Any]) -> NDArray[Any]:
    """The same values in the smallest type that holds them."""
    return column.astype(np.min_scalar_type(int(column.max())))
