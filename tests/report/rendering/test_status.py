"""The state of runs follows from their folder alone."""

import contextlib
import json
import os
import pwd
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybridnets.report import ReportError
from hybridnets.report.rendering.status import status_text
from hybridnets.runs import Run, manifest
from hybridnets.runs.store import StoppedError
from hybridnets.signals import Ended

Make = Callable[..., Run]


def rows_of(text: str) -> dict[str, list[str]]:
    """The words of each run's row, by the name of its folder; the label is two words where it has a setting."""
    return {word: line.split() for line in text.splitlines() for word in line.split() if word.startswith("seed=")}


def end(run: Run, error: BaseException) -> None:
    with contextlib.suppress(type(error)), run.claim() as attempt:
        attempt.note(threads=1)
        raise error


def write_metrics(run: Run, *accuracies: float | str) -> None:
    lines = [f"{epoch},{accuracy}" for epoch, accuracy in enumerate(accuracies)]
    (run.folder / "metrics.csv").write_text("\n".join(["epoch,val/acc", *lines]) + "\n", encoding="utf-8")


def test_each_state_follows_from_the_folder_alone(tmp_path: Path, requested: Make, finished: Make) -> None:
    runs = [
        finished("cnn", 0, predictions=True, val=0.8),
        *(requested("cnn", seed) for seed in (1, 2, 3, 4)),
        finished("cnn", 10),
        requested("crnn", 0, "other"),
    ]
    manifest.write(tmp_path, "sweep", "train.py", runs, None)
    end(runs[1], KeyError("nobody knows it"))
    end(runs[4], StoppedError("stopped on request after epoch 3: the same command continues from there"))
    write_metrics(runs[4], 0.5, 0.75, "nan")
    result = runs[5].folder / "result.json"
    result.write_bytes(result.read_bytes()[:-100])
    with runs[2].claim() as attempt:
        attempt.note(threads=1)
        write_metrics(runs[2], 0.25)
        text = status_text([tmp_path])
    rows = rows_of(text)
    name = runs[0].folder.name
    assert rows[name] == ["finished", "cnn", name, "3/12", "0.8000"]
    name = runs[1].folder.name
    assert rows[name] == ["failed", "cnn", name, "0/12", "-", "KeyError:", "'nobody", "knows", "it'"]
    name = runs[2].folder.name
    assert rows[name][:7] == ["running", "cnn", name, "1/12", "0.2500", "by", "process"]
    name = runs[3].folder.name
    assert rows[name] == ["pending", "cnn", name, "-", "-"]
    name = runs[4].folder.name
    assert rows[name] == ["stopped", "cnn", name, "3/12", "0.7500", "on", "request"]
    name = runs[5].folder.name
    assert rows[name] == ["unreadable", "cnn", name, "0/12", "-"]
    assert "result.json is not a complete JSON file; delete it to rebuild it" in " ".join(text.split())
    assert (
        [row for row in rows if row in {run.folder.name for run in runs[:6]}]
        == [  # seed 10 comes after seed 4
            run.folder.name for run in runs[:6]
        ]
    )
    assert text.splitlines()[-2:] == [
        "7 runs: 1 finished, 1 unreadable, 1 running, 1 stopped, 1 failed, 2 pending",
        "A stopped run continues where it ended when its command is started again.",
    ]
    assert "other" not in status_text([tmp_path / "digits"])
    assert status_text([runs[0].folder]).splitlines()[-1] == "1 run: 1 finished"


def test_a_damaged_file_of_metrics_is_named(tmp_path: Path, requested: Make) -> None:
    run = requested("cnn")
    end(run, Ended(signal.SIGINT))
    write_metrics(run, "half")
    text = status_text([tmp_path])
    assert rows_of(text)[run.folder.name][3:] == ["?/12", "-", "by", "SIGINT;", "metrics.csv", "is", "damaged"]


def test_runs_that_share_a_name_are_told_apart_by_their_settings(
    tmp_path: Path, requested: Make, finished: Make
) -> None:
    """Of a finished run by its result, of a single run that began by its provenance, of others by the sweep's manifest."""
    runs = [
        finished("crnn", 0, model__dropout=0.5),
        requested("crnn", 0, model__dropout=0.25),
        requested("crnn", 0),
    ]
    end(runs[1], Ended(signal.SIGTERM))
    manifest.write(tmp_path, "sweep", "train.py", [runs[0], runs[2]], None)
    text = status_text([tmp_path])
    rows = rows_of(text)
    assert [rows[run.folder.name][2] for run in runs] == ["dropout=0.5", "dropout=0.25", "dropout=0"]
    (tmp_path / "sweeps" / "sweep.json").unlink()
    content = json.loads((runs[1].folder / "provenance.json").read_text())
    del content["identity"]  # as the first versions wrote it
    (runs[1].folder / "provenance.json").write_text(json.dumps(content))
    rows = rows_of(status_text([tmp_path]))
    assert rows[runs[1].folder.name][:4] == ["stopped", "crnn-lstm-1x16", runs[1].folder.name, "0"]
    content["identity"] = runs[0].identity  # another run's
    (runs[1].folder / "provenance.json").write_text(json.dumps(content))
    assert rows_of(status_text([tmp_path]))[runs[1].folder.name][:2] == ["stopped", "crnn-lstm-1x16"]


def test_lines_fit_100_columns(tmp_path: Path, requested: Make) -> None:
    changes = {"optimizer__lr": 0.01, "scheduler__patience": 9, "callbacks__early_stopping__patience": 12}
    runs = [requested("crnn", 0), requested("crnn", 0, model__dropout=0.25, trainer__precision="bf16-mixed", **changes)]
    manifest.write(tmp_path, "sweep", "train.py", runs, None)
    end(runs[0], OSError("no space left on the device, " * 8))
    text = status_text([tmp_path])
    assert max(map(len, text.splitlines()[1:])) <= 100
    assert " ".join(text.split()).count("no space left on the device") == 8
    assert "precision=bf16-mixed" in text


def test_slips_end_with_one_sentence(tmp_path: Path, report: Callable[..., int], capsys: Any) -> None:
    assert report("--status", tmp_path) == 2
    assert "FOLDER must hold runs" in capsys.readouterr().err
    with pytest.raises(ReportError, match="which does not exist"):
        status_text([tmp_path / "nowhere"])


def test_what_may_not_be_read_is_named_and_not_to_be_deleted(
    tmp_path: Path, requested: Make, finished: Make, forbid: Callable[[Path], None]
) -> None:
    runs = [finished("cnn", seed) for seed in range(4)]
    write_metrics(runs[0], 0.5)
    owner = pwd.getpwuid(os.getuid()).pw_name
    denied = f"cannot be used (Permission denied; it belongs to {owner} and has mode 000): have its permissions changed"
    forbid(runs[0].folder)
    forbid(runs[1].folder / "result.json")
    text = " ".join(status_text([tmp_path]).split())
    assert f"{runs[0].folder} {denied}; runs in it are not counted" in text
    assert f"result.json {denied}" in text
    assert "3 runs: 2 finished, 1 unreadable" in text
    assert "delete it" not in text
    manifest.write(tmp_path, "sweep", "train.py", [*runs, requested("cnn", 7)], None)
    text = " ".join(status_text([tmp_path]).split())
    assert "5 runs: 2 finished, 2 unreadable, 1 pending" in text  # the manifest knows what the folder does not show
    assert f"{runs[0].folder.name} ?/12" in text
    forbid(tmp_path / "sweeps")
    text = " ".join(status_text([tmp_path]).split())
    assert f"{tmp_path / 'sweeps'} {denied}; runs that it requested and that are missing are not counted" in text
    with pytest.raises(
        ReportError, match=r"without any: \S+ cannot be used \(Permission denied; .*; runs in it are not"
    ):
        status_text([runs[0].folder])
