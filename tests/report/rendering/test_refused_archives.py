"""Archives that are refused: forged or damaged ones, and slips of the command; nothing is written then."""

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hybridnets.runs import manifest
from hybridnets.runs.archive import Archive, ArchiveError
from hybridnets.runs.archive import container as archive
from hybridnets.runs.identities import hash_of
from tests.report.rendering.test_archives import Make, Report, files, packed


def forged(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """The archive with another header, and a checksum that says nothing against it."""
    header, arrays = archive.read(path)
    change(header)
    archive.write(path.with_name("forged.npz"), {k: v for k, v in header.items() if k != "format"}, arrays)
    return path.with_name("forged.npz")


def with_identity(header: dict[str, Any], **changes: Any) -> None:
    """The first run as another one, whose hash follows from its identity."""
    result = json.loads(header["runs"][0]["result"])
    result["identity"] |= changes
    result |= {"hash": hash_of(result["identity"]), "seeds": result["identity"]["seeds"]}
    header["runs"][0]["result"] = json.dumps(result)


def altered(header: dict[str, Any]) -> None:
    header["runs"][0]["result"] = header["runs"][0]["result"].replace('"lr": 0.001', '"lr": 0.002')


def sweep(header: dict[str, Any]) -> Any:
    return header["sweeps"]["s.json"]


IDENTITY = "must hold results whose hashes follow from their identities, and does not"
WRONG = "does not hold runs as --pack writes them"
FORGERIES: Mapping[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "an identity under another's hash": (altered, IDENTITY),
    "a data set above": (lambda h: with_identity(h, data={"name": ".."}), IDENTITY),
    "a data set far above": (lambda h: with_identity(h, data={"name": "../../x"}), IDENTITY),
    "a data set at the root": (lambda h: with_identity(h, data={"name": "/tmp"}), IDENTITY),
    "a model with a folder": (lambda h: with_identity(h, model={"_target_": "x.y/../z"}), IDENTITY),
    "seeds with a folder": (
        lambda h: with_identity(h, seeds=dict.fromkeys(("split", "init", "order"), "../../x")),
        IDENTITY,
    ),
    "a name that no file can have": (lambda h: with_identity(h, data={"name": "a\0b"}), IDENTITY),
    "a name that no text can have": (lambda h: with_identity(h, data={"name": "\ud800"}), IDENTITY),
    "no identity": (lambda h: h["runs"][0].update(result="{}"), IDENTITY),
    "a run twice": (lambda h: h["runs"].append(h["runs"][0]), "a run twice"),
    "no run": (lambda h: h.update(runs=[]), "or none"),
    "a sweep above": (lambda h: h.update(sweeps={"../s.json": sweep(h)}), WRONG),
    "a sweep that is no JSON file": (lambda h: h.update(sweeps={"s.py": sweep(h)}), WRONG),
    "a sweep over folders above": (lambda h: sweep(h)["runs"][0].update(folder="../../x"), WRONG),
    "a sweep over absolute folders": (lambda h: sweep(h)["runs"][0].update(folder="/a/b"), WRONG),
    "a sweep without a date": (lambda h: sweep(h).pop("declared"), WRONG),
    "a report on a folder above": (lambda h: h.update(below=["../.."]), WRONG),
    "a report on nothing": (lambda h: h.update(below=["other"]), "a folder without a run"),
    "a report on the root": (lambda h: h.update(below=["/"]), WRONG),
    "a failure that nobody asked for": (
        lambda h: h.update(lost={"a/b/c": {"attempts": [], "epoch_seconds": {}}}),
        "failed runs that no sweep requested",
    ),
    "a failure above": (lambda h: h.update(lost={"../b/c": {"attempts": [], "epoch_seconds": {}}}), WRONG),
    "predictions of nobody": (lambda h: h["runs"][0].update(predictions={}), "predictions of more runs or of fewer"),
    "predictions of others": (lambda h: h["runs"][0].update(predictions={"val": 0, "test": -1}), WRONG),
    "a column of its own": (lambda h: h["images"][0].update(columns=["class", "../x"]), WRONG),
    "more rows": (lambda h: h["images"][0].update(rows=7), WRONG),
    "no modulus": (lambda h: h["images"][0].update(modulus=0), WRONG),
    "metrics that are no text": (lambda h: h["runs"][0].update(metrics=3), WRONG),
    "provenance that is none": (lambda h: h["runs"][0].update(provenance=[]), WRONG),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_archives_are_refused(name: str, tmp_path: Path, finished: Make, report: Report, capsys: Any) -> None:
    runs = [finished("cnn", seed, predictions=True) for seed in range(2)]
    manifest.write(tmp_path, "s", "python", runs, None)
    change, sentence = FORGERIES[name]
    path = forged(packed(tmp_path, tmp_path / "e.npz"), change)
    before = files(tmp_path)
    deep = tmp_path / "a" / "b" / "c" / "out"  # so that what is above it is still this test's
    for words in ((path,), ("--unpack", path, "-o", deep), ("--pack", path, "-o", tmp_path / "new.npz")):
        assert report(*words) == 2
        captured = capsys.readouterr()
        assert (captured.out, len(captured.err.splitlines())) == ("", 1)
        assert captured.err.startswith(f"hybridnets report: {path} ")
        assert sentence in captured.err
    assert files(tmp_path) == before


def test_predictions_that_do_not_give_the_result_are_refused(
    tmp_path: Path, finished: Make, report: Report, capsys: Any
) -> None:
    finished("cnn", predictions=True)
    header, arrays = archive.read(packed(tmp_path, tmp_path / "e.npz"))
    archive.write(tmp_path / "e.npz", header, {**arrays, "0-class": (arrays["0-class"] + 1) % 10})
    assert report(tmp_path / "e.npz", "--no-page") == 2
    error = capsys.readouterr().err
    assert re.search(r"e\.npz/digits/cnn/seed=0-\w+/predictions\.npz gives val/acc .*: one was altered", error)


def test_slips_are_one_sentence(
    tmp_path: Path, finished: Make, report: Report, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    finished("cnn")  # without predictions, which older runs lack
    assert report("--pack", "digits", "-o", "e.npz") == 0
    assert report("e.npz", "--no-page") == 0
    assert report("--unpack", "e.npz", "-o", "out") == 0
    assert report("--status", "out") == 0
    assert "1 run: 1 finished" in capsys.readouterr().out  # which no sweep asked for
    Path("half.npz").write_bytes(Path("e.npz").read_bytes()[:100])
    capsys.readouterr()
    for words, sentence in (
        (("--pack", "digits"), "-o must name the archive to write, as in -o evidence.npz, got nothing"),
        (("--pack", "digits", "-o", "e.zip"), "-o must name the archive to write, as in -o evidence.npz, got e.zip"),
        (("--pack", "digits", "-o", "no/e.npz"), "no/e.npz cannot be written (No such file or directory)"),
        (("--pack", "none", "-o", "e.npz"), "FOLDER must be a folder of finished runs, got none, which does not exist"),
        (("--unpack", "e.npz"), "-o must name the folder of all runs, got nothing"),
        (("--unpack", "e.npz", "-o", "half.npz"), "-o must name the folder of all runs, got half"),
        (("--unpack", "digits", "-o", "out"), "--unpack takes archives that --pack wrote, got digits"),
        (("half.npz",), "half.npz must be an archive of runs, as --pack writes it, and is damaged"),
        (("digits", "-o", "e.npz"), "-o goes with --pack and --unpack, got e.npz without"),
        (("digits", "--probabilities"), "--probabilities goes with --pack"),
        (("digits", "-n", "15000"), "-n goes with --published"),
        (("--pack", "--unpack", "e.npz", "-o", "out"), "--pack and --unpack"),
    ):
        assert report(*words) == 2
        captured = capsys.readouterr()
        assert sentence in captured.err
        assert (captured.out, len(captured.err.splitlines())) == ("", 1), words
    Path("out/sweeps").mkdir(exist_ok=True)
    Path("out/sweeps/s.json").write_text("{")
    assert report("--unpack", "e.npz", "-o", "out") == 2
    assert "out/sweeps/s.json must be JSON, and is damaged" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to(tmp_path: Path, finished: Make) -> None:
    finished("cnn")
    path = packed(tmp_path, tmp_path / "e.npz")
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(ArchiveError, match="out must be a folder that can be written to, and is not"):
        Archive(path).unpack(tmp_path / "out")
