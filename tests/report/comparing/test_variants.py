"""Runs grouped into variants: their labels, and the runs that are missing."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hybridnets.report.comparing.variants import variants_by_data_set
from hybridnets.report.reading.results import read
from hybridnets.runs import Run, manifest

Make = Callable[..., Run]


Report = Callable[..., int]


def labels(out: Path) -> list[str]:
    return [variant.label for section in variants_by_data_set(read([out])) for variant in section.variants]


def test_labels_add_only_the_settings_that_differ(tmp_path: Path, finished: Make) -> None:
    finished("cnn")
    finished("crnn", trainer__max_epochs=5)
    assert labels(tmp_path) == ["cnn", "crnn-lstm-1x16"]
    finished("cnn", optimizer__lr=0.01)
    finished("cnn", optimizer__lr=0.01, scheduler=None)
    finished("crnn", model__hidden_size=8)
    finished("crnn", model__hidden_size=8, callbacks__early_stopping__patience=9, model__dropout=0.5)
    finished("crnn", 3, model__hidden_size=8, trainer__precision="bf16-mixed")
    finished("cnn", 0, "other")
    finished("cnn", 0, "other", model__channels=[8, 16], data__sha256="b" * 64)
    assert labels(tmp_path) == [
        "cnn lr=0.001 scheduler=ReduceLROnPlateau",
        "cnn lr=0.01 scheduler=ReduceLROnPlateau",
        "cnn lr=0.01 scheduler=null",
        "crnn-lstm-1x8 early_stopping.patience=4 dropout=0 precision=bf16-mixed",
        "crnn-lstm-1x8 early_stopping.patience=4 dropout=0 precision=unset",
        "crnn-lstm-1x8 early_stopping.patience=9 dropout=0.5 precision=unset",
        "crnn-lstm-1x16",
        "cnn sha256=aaaaaa channels=unset",
        "cnn sha256=bbbbbb channels=[8,16]",
    ]


def test_classes_of_one_name_keep_their_package(tmp_path: Path, finished: Make) -> None:
    finished("cnn")
    finished("cnn", model___target_="theirs.CNN")
    assert labels(tmp_path) == ["cnn model=hybridnets.models.CNN", "cnn model=theirs.CNN"]


def test_unfinished_runs_of_a_sweep_count_for_their_variant(
    tmp_path: Path, requested: Make, finished: Make, report: Report, capsys: Any
) -> None:
    runs = [finished("crnn", seed) for seed in (0, 1)] + [requested("crnn", 2)]
    runs += [finished("crnn", 0, model__dropout=0.5), requested("crnn", (0, 1, 2), model__dropout=0.5)]
    runs += [requested("crnn", 0, model__dropout=0.9), requested("crnn", 0, model__hidden_size=8), finished("cnn", 0)]
    runs += [requested("cnn", 0, "elsewhere")]
    manifest.write(tmp_path, "first", "train.py", runs, None)
    manifest.write(tmp_path, "second", "train.py", runs[:3], None)  # asked for twice is missing once
    with contextlib.suppress(ZeroDivisionError), runs[2].claim():
        raise ZeroDivisionError("nothing to divide")
    assert report(tmp_path / "digits", "--no-page") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "cnn 1 75.00" in text
    assert "crnn-lstm-1x16 dropout=0 2/3 75.00" in text
    assert "crnn-lstm-1x16 dropout=0.5 1/2 75.00" in text
    assert "Runs without a result (4)" in text
    assert "digits/crnn-lstm-1x16/seed=2-" in text
    assert ": failed, ZeroDivisionError: nothing to divide" in text
    assert f"digits/crnn-lstm-1x8/{runs[6].folder.name}: pending" in text
    assert "elsewhere" not in text  # not below the folder given
