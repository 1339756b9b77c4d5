"""What a run predicted of val and test, as its file holds it, and as an archive holds that of many runs.

A run's predictions.npz has for each part, val and test, the arrays PART_index, PART_label and PART_class, (N,), one row an
image, and one of

    PART_probabilities   (N, K), of every class: what training writes
    PART_probability     (N,), of the true class alone: what an archive keeps

and of a run that stands on another PART_before, (N,), the class that the other one predicts. More may stand there
(examples_*: feature maps of a few images), which no archive keeps.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PARTS = ("val", "test")
CLASSES = ("class", "before")
STEPS = {"probability": 2**16 - 2, "probabilities": 2**8 - 2}  # the highest value is left for what is not finite
ROUNDING = (
    "probability (of the true class): two planes of 8 bits, high and low, of round(65534 p); probabilities: 8 bits of "
    "round(254 p); the highest value stands for one that is not finite. class and before: less the label, modulo `modulus`. "
    "index: the first, then the steps. All else is exact."
)

Columns = dict[str, NDArray[Any]]


def kept(path: Path, *, every: bool) -> dict[str, Columns]:
    """The columns of a run's predictions.npz that an archive keeps, by part, in order of index; empty without the file.

    Args:
        path: The file.
        every: Whether to keep the probabilities of all classes.

    Raises:
        ValueError: If it is damaged, or lacks a column.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {part: _columns(arrays, part, every) for part in PARTS}
    except FileNotFoundError:
        return {}
    except Exception as error:  # numpy and zipfile raise nearly anything
        raise ValueError(f"{path} does not hold a run's predictions ({error})") from None


def _columns(arrays: Mapping[str, NDArray[Any]], part: str, every: bool) -> Columns:
    there = [key for key in ("index", "label", *CLASSES) if key != "before" or f"{part}_before" in arrays]
    found = {key: np.asarray(arrays[f"{part}_{key}"], np.int64) for key in there}
    shape = found["index"].shape
    if len(shape) != 1 or not shape[0] or any(column.shape != shape for column in found.values()):
        raise ValueError(f"{part}: columns of different lengths, or none")
    if any(column.min() < 0 or column.max() >= 2**31 for column in found.values()):
        raise ValueError(f"{part}: a number outside 0 to 2^31")
    rows, label = np.arange(len(found["index"])), found["label"]
    if f"{part}_probabilities" in arrays:
        whole = arrays[f"{part}_probabilities"]
        if every:
            found["probabilities"] = _rounded(whole, "probabilities", (*shape, whole.shape[1]))
        elif label.max() < whole.shape[1]:
            found["probability"] = _rounded(whole[rows, label], "probability", shape)
    elif f"{part}_probability" in arrays:
        found["probability"] = _rounded(arrays[f"{part}_probability"], "probability", shape)
    order = np.argsort(found["index"], kind="stable")
    found = {key: column[order] for key, column in found.items()}
    if np.any(np.diff(found["index"]) == 0):
        raise ValueError(f"{part}: an image stands there twice")
    return found


def _rounded(values: NDArray[Any], name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Probabilities as whole numbers of steps."""
    if values.shape != shape:
        raise ValueError(f"{name} {values.shape}")
    steps = STEPS[name]
    whole = np.rint(np.clip(np.asarray(values, np.float64), 0, 1) * steps)
    return np.where(np.isfinite(values), whole, steps + 1).astype(np.min_scalar_type(steps))


def _probabilities(whole: NDArray[Any], name: str) -> NDArray[np.float32]:
    steps = STEPS[name]
    return np.where(whole > steps, np.nan, whole / steps).astype(np.float32)


def restored(columns: Columns) -> Columns:
    """A part's columns as a run's file has them.

    Args:
        columns: What `kept` gave.
    """
    return {key: _probabilities(column, key) if key in STEPS else column for key, column in columns.items()}


class Shelf:
    """Columns of many runs: those of the same images together, index and label once."""

    def __init__(self) -> None:
        self._sets: dict[Any, list[Columns]] = {}

    def add(self, columns: Columns) -> int:
        """Adds a part of a run; returns the number of its set of images, in which it is the next row."""
        shapes = tuple((key, column.shape[1:]) for key, column in columns.items())
        key = (columns["index"].tobytes(), columns["label"].tobytes(), shapes)
        self._sets.setdefault(key, []).append(columns)
        return list(self._sets).index(key)

    def packed(self) -> tuple[list[dict[str, Any]], Columns]:
        """What the header tells of each set, and the arrays, named NUMBER-COLUMN."""
        told, arrays = [], {}
        for number, rows in enumerate(self._sets.values()):
            index, label = rows[0]["index"], rows[0]["label"]
            modulus = 1 + max(int(row[key].max()) for row in rows for key in ("label", *CLASSES) if key in row)
            arrays[f"{number}-index"] = _small(np.diff(index, prepend=0))
            arrays[f"{number}-label"] = _small(label)
            names = [key for key in rows[0] if key not in ("index", "label")]
            for name in names:
                column = np.stack([row[name] for row in rows])
                if name in CLASSES:  # 0 where it is right: that is most of them, and packs well
                    column = _small((column - label) % modulus)
                elif name == "probability":
                    column = np.stack([column >> 8, column & 255]).astype(np.uint8)
                arrays[f"{number}-{name}"] = column
            told.append({"columns": names, "modulus": modulus, "rows": len(rows)})
        return told, arrays


class Sets:
    """The columns of many runs as an archive holds them; of each run they are made when they are asked for.

    Args:
        told: What the header tells of the sets.
        arrays: The archive's arrays.

    Attributes:
        rows: How many rows each set has.

    Raises:
        ValueError: If they do not fit together; or KeyError and the like, if something is missing.
    """

    def __init__(self, told: Sequence[Mapping[str, Any]], arrays: Mapping[str, NDArray[Any]]) -> None:
        self._told, self._arrays = told, arrays
        self.rows = [int(facts["rows"]) for facts in told]
        for number, facts in enumerate(told):
            index, label = arrays[f"{number}-index"], arrays[f"{number}-label"]
            if index.ndim != 1 or index.shape != label.shape or "class" not in facts["columns"] or facts["modulus"] < 1:
                raise ValueError(f"set {number} of images")
            for name in facts["columns"]:
                shape = arrays[f"{number}-{name}"].shape[name == "probability" :]
                if shape[:2] != (facts["rows"], len(index)) or len(shape) != 2 + (name == "probabilities"):
                    raise ValueError(f"{name} of {shape}")

    def columns(self, number: int, row: int) -> Columns:
        """The columns of one part of a run.

        Args:
            number: Its set of images.
            row: Its row there.
        """
        facts = self._told[number]
        index, label = (self._arrays[f"{number}-{name}"].astype(np.int64) for name in ("index", "label"))
        found: Columns = {"index": np.cumsum(index), "label": label}
        for name in facts["columns"]:
            column = self._arrays[f"{number}-{name}"]
            if name in CLASSES:
                found[name] = (column[row] + label) % facts["modulus"]
            elif name == "probability":
                found[name] = column[0, row] * np.uint16(256) + column[1, row]
            else:
                found[name] = column[row]
        return found


def _small(column: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in as few bytes as they take."""
    return column.astype(np.min_scalar_type(int(column.max())))
