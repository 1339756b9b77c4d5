"""The project's own test: the data set is whole, and its model learns."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
from my_project.data import CLASSES, load

ROOT = Path(__file__).parents[1]


def test_every_class_has_its_share_of_the_images() -> None:
    dataset = load(train=120, test=30)
    assert dataset.train_images.shape == (120, 1, 16, 16)
    assert np.bincount(dataset.train_labels, minlength=len(CLASSES)).tolist() == [40, 40, 40]
    assert np.bincount(dataset.test_labels, minlength=len(CLASSES)).tolist() == [10, 10, 10]


def test_the_model_learns(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hybridnets", "train", "model=mlp", "data=shapes"]
    subprocess.run([*command, "trainer.max_epochs=5", f"out={tmp_path}"], cwd=ROOT, check=True)
    (metrics,) = tmp_path.glob("shapes/mlp/*/metrics.csv")
    rows = list(csv.DictReader(metrics.read_text().splitlines()))
    assert len(rows) == 5
    assert float(rows[-1]["val/acc"]) > 1.5 / len(CLASSES)  # chance is 1 / 3
