"""Accuracies and cells are verified from the stored predictions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hybridnets.runs import Run

Report = Callable[..., int]


def test_verify_recomputes_accuracies_and_cells(
    tmp_path: Path, grid: Callable[..., list[Run]], report: Report, capsys: Any
) -> None:
    runs = grid(2)
    folder = tmp_path / "digits" / "report"
    assert report(tmp_path / "digits", "--vary", "rnn") == 0
    assert report("--verify", tmp_path / "digits") == 0
    text = capsys.readouterr().out
    assert "18 runs verified from their predictions, and every cell of the " in text
    assert text.endswith("all agree\n")
    table = folder / "tables" / "digits-variants.csv"
    right = table.read_text(encoding="utf-8")
    table.write_text(right.replace("0.72", "0.73", 1), encoding="utf-8")
    assert report("--verify", tmp_path / "digits") == 1
    assert (
        "digits-variants.csv, line 2, test: 0.73 is written, 0.72 follows from the predictions"
        in capsys.readouterr().out
    )
    table.write_text(right, encoding="utf-8")
    path = runs[3].folder / "predictions.npz"
    with np.load(path) as arrays:
        columns = dict(arrays)
    columns["test_class"] = (columns["test_class"] + (np.arange(200) < 2)) % 10
    np.savez(path, **columns)
    assert report("--verify", tmp_path / "digits") == 1
    text = " ".join(capsys.readouterr().out.split())
    assert f"{path} gives test/acc" in text
    assert "one was altered" in text
    path.write_bytes(path.read_bytes()[:1000])
    assert report("--no-page", tmp_path / "digits") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"{path} does not hold a run's predictions" in text
    assert "9 variants, 17 runs" in text
