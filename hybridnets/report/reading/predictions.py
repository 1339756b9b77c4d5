"""Predictions of anybody's networks, which a file of scores names."""

import csv
from pathlib import Path

import numpy as np

from hybridnets.runs.records.predictions import COLUMNS, PartPredictions, PredictionsReader, first_line


def read_predictions(path: Path, reader: PredictionsReader) -> PartPredictions:
    """Predictions as arrays, or as columns with a header, named index, label and class.

    Args:
        path: A .npz or a .csv.
        reader: Keeps the columns that several files share in memory once.

    Raises:
        ValueError: If the file is missing or damaged, or does not hold such columns.
    """
    try:
        if path.suffix == ".npz":
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return reader.check(*(arrays[column] for column in COLUMNS))
        with path.open(newline="", encoding="utf-8-sig") as text:
            rows = list(csv.DictReader(text))
        return reader.check(*(np.array([int(row[column]) for row in rows]) for column in COLUMNS))
    except Exception as error:  # numpy, zipfile and csv raise nearly anything
        raise ValueError(
            f"{path} must hold the columns index, label and class as whole numbers, one row an image ({first_line(error)})"
        ) from None
