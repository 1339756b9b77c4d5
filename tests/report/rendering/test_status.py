"""The state of runs follows from their folder alone."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybridnets.report import ReportError
from hybridnets.report.rendering.status import status_text
from hybridnets.runs import Run, manifest

Make = Callable[..., Run]


def test_each_state_follows_from_the_folder_alone(tmp_path: Path, requested: Make, finished: Make) -> None:
    runs = [
        finished("cnn", 0, predictions=True),
        *(requested("cnn", seed) for seed in (1, 2, 3)),
        requested("crnn", 0, "other"),
    ]
    manifest.write(tmp_path, "sweep", "train.py", runs, None)
    with contextlib.suppress(KeyError), runs[1].claim():
        raise KeyError("nobody knows it")
    with runs[2].claim() as attempt:
        attempt.note(threads=1)
        text = status_text([tmp_path])
    lines = {line.split()[0]: line.split()[1:] for line in text.splitlines()}
    assert lines[f"digits/cnn/{runs[0].folder.name}"] == ["finished", "3"]
    assert lines[f"digits/cnn/{runs[1].folder.name}"][:3] == ["failed", "-", "KeyError:"]
    assert lines[f"digits/cnn/{runs[2].folder.name}"][:4] == ["running", "-", "by", "process"]
    assert lines[f"digits/cnn/{runs[3].folder.name}"] == ["pending", "-"]
    assert text.splitlines()[-1].startswith("5 runs: ")
    assert "other" not in status_text([tmp_path / "digits"])
    assert status_text([runs[0].folder]).splitlines()[-1] == "1 run: 1 finished"


def test_slips_end_with_one_sentence(tmp_path: Path, report: Callable[..., int], capsys: Any) -> None:
    assert report("--status", tmp_path) == 2
    assert "FOLDER must hold runs" in capsys.readouterr().err
    with pytest.raises(ReportError, match="which does not exist"):
        status_text([tmp_path / "nowhere"])
