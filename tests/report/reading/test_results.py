"""Finished runs are read one by one: a broken file is named, and the others count."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybridnets.report import ReportError, analyse
from hybridnets.report.reading.results import read
from hybridnets.runs import Run, manifest
from hybridnets.runs.identities import hash_of

Make = Callable[..., Run]


Report = Callable[..., int]


def _renamed(text: str, name: str) -> str:
    """Another data set's name, with the hash that follows from it."""
    result = json.loads(text)
    result["identity"]["data"]["name"] = name
    return json.dumps({**result, "hash": hash_of(result["identity"])})


BROKEN: dict[str, tuple[Callable[[str], str], str]] = {
    "cut short": (lambda text: text[:100], "is not a complete JSON file"),
    "empty": (lambda _: "", "is not a complete JSON file"),
    "foreign": (lambda _: '{"loss": 1}', "is not the result of a run: it states no schema"),
    "a list": (lambda _: "[]", "is not the result of a run: it states no schema"),
    "altered settings": (lambda text: text.replace('"dropout": 0.0', '"dropout": 0.1'), "was altered"),
    "altered seeds": (lambda text: text.replace('"split": 0', '"split": 9', 1), "was altered"),
    "no finite setting": (lambda text: text.replace('"lr": 0.001', '"lr": Infinity'), "the shape of a result"),
    "an accuracy above 1": (lambda text: text.replace('"test/acc": 0.75', '"test/acc": 75'), "test/acc 75"),
    "not a number": (lambda text: text.replace('"test/acc": 0.75', '"test/acc": NaN'), "test/acc nan"),
    "no accuracy": (lambda text: text.replace('"test/acc"', '"test/f1"'), "lacks 'test/acc'"),
    "another shape": (lambda text: text.replace('"epochs": 3', '"epochs": 2.5'), "epochs 2.5"),
    "a path for a name": (lambda text: _renamed(text, "../../../elsewhere"), "must name its data set plainly"),
    "an endless count": (
        lambda text: text.replace('"keras": 400586', '"keras": 1' + 40 * "0"),
        "which is not a whole number",
    ),
    "half a character": (lambda text: _renamed(text, "\ud800"), "the shape of a result"),
    "no parts": (lambda text: json.dumps({**json.loads(text), "best": None}), "the shape of a result"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_result_is_named_and_left_out(
    how: str, tmp_path: Path, finished: Make, report: Report, capsys: Any
) -> None:
    broken = finished("crnn").folder / "result.json"
    damage, sentence = BROKEN[how]
    broken.write_text(damage(broken.read_text(encoding="utf-8")), encoding="utf-8")
    assert report(tmp_path, "--no-page") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err
    assert captured.err.count("\n") == 1
    finished("cnn")
    (finished("cnn", 1).folder / "provenance.json").write_text("{", encoding="utf-8")
    assert report(tmp_path, "--no-page") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Left out (2)" in text
    assert f"{broken} " in text
    assert sentence in text
    assert "1 variant, 2 runs" in text
    assert "the run counts, its seconds do not" in text


def test_a_copied_run_counts_once(tmp_path: Path, finished: Make, report: Report, capsys: Any) -> None:
    run = finished("cnn")
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "result.json").write_bytes((run.folder / "result.json").read_bytes())
    assert report("--no-page", tmp_path, run.folder) == 0  # the same folder twice is no copy
    text = capsys.readouterr().out
    assert "1 variant, 1 run\n" in text
    assert "Left out (1)" in text
    (tmp_path / "empty").mkdir()
    assert report("--no-page", run.folder, tmp_path / "empty") == 0
    assert f"- {tmp_path / 'empty'} holds no finished run" in " ".join(capsys.readouterr().out.split())


def test_a_run_with_a_loss_of_nan_diverged(tmp_path: Path, finished: Make) -> None:
    path = finished("cnn").folder / "result.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"val/loss": 0.5', '"val/loss": NaN'), encoding="utf-8")
    assert [run.diverged for run in read([tmp_path]).runs] == [True]


BROKEN_FILES: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "flipped predictions": (
        "predictions.npz",
        lambda b: b[:2000] + bytes(100) + b[2100:],
        "does not hold a run's predictions",
    ),
    "an object": (
        "predictions.npz",
        lambda _: b"\x93NUMPY\x01\x00v\x00{'descr': '|O'",
        "does not hold a run's predictions",
    ),
    "endless seconds": ("provenance.json", lambda b: b.replace(b"9.0", b"1" + 400 * b"0"), "its seconds do not"),
    "negative seconds": ("provenance.json", lambda b: b.replace(b"9.0", b"-9.0"), "its seconds do not"),
    "year 1": ("provenance.json", lambda b: b.replace(b'"started": "20', b'"started": "00'), "its seconds do not"),
    "deep": ("provenance.json", lambda _: b"[" * 100_000, "its seconds do not"),
    "endless accuracy": ("metrics.csv", lambda b: b.replace(b"0.8", b"1e308"), "its learning curve is missing"),
}


@pytest.mark.parametrize("how", BROKEN_FILES)
def test_a_broken_file_next_to_a_result_is_named(how: str, tmp_path: Path, finished: Make) -> None:
    finished("cnn", 1, predictions=True)
    name, damage, sentence = BROKEN_FILES[how]
    path = finished("cnn", predictions=True).folder / name
    path.write_bytes(damage(path.read_bytes()))
    runs = read([tmp_path])
    assert [problem for problem in runs.problems if sentence in problem and str(path) in problem], runs.problems
    assert len(runs.runs) == (1 if name == "predictions.npz" else 2)


@pytest.mark.parametrize("folder", ["", "a", "../../../x/y/z", "digits/cnn/\0", "digits/cnn/" + 300 * "n", "/etc/x/y"])
def test_a_broken_manifest_is_named(folder: str, tmp_path: Path, requested: Make, finished: Make) -> None:
    path = manifest.write(tmp_path, "sweep", "command", [finished("cnn"), requested("cnn", 1)], None)
    content = json.loads(path.read_text(encoding="utf-8"))
    content["runs"][1]["folder"] = folder
    path.write_text(json.dumps(content), encoding="utf-8")
    report = analyse(read([tmp_path]), "title", "command")
    assert any(f"{path} cannot be read" in problem for problem in report.problems)


def test_what_may_not_be_read_is_named(tmp_path: Path, finished: Make, forbid: Callable[[Path], None]) -> None:
    runs = [finished("cnn", seed, predictions=True) for seed in range(5)]
    for path in (
        runs[0].folder,
        *(runs[n].folder / name for n, name in enumerate(("result.json", "predictions.npz", "metrics.csv"), start=1)),
    ):
        forbid(path)
    run_set = read([tmp_path])
    assert {run.seed for run in run_set.runs} == {"3", "4"}
    problems = sorted(re.sub(r"; it belongs to \w+ and has mode 000", "", problem) for problem in run_set.problems)
    denied = "cannot be used (Permission denied): have its permissions changed"
    assert problems == sorted(
        [
            f"{runs[0].folder} {denied}; runs in it are not counted",
            f"{runs[1].folder / 'result.json'} {denied}",
            f"{runs[2].folder / 'predictions.npz'} {denied}",
            f"{runs[3].folder / 'metrics.csv'} {denied}; the run counts, its learning curve is missing",
        ]
    )
    forbid(tmp_path / "digits")
    with pytest.raises(ReportError, match=rf"without any: {tmp_path / 'digits'} cannot be used \(Permission denied"):
        read([tmp_path])
