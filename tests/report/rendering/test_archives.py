"""Runs in an archive and back: the same report, the same runs, nothing about the machine, and no run overwritten."""

import html
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridnets import signals
from hybridnets.report import analyse
from hybridnets.report.reading.results import read
from hybridnets.report.reading.sources import opened
from hybridnets.report.rendering import files as rendering
from hybridnets.report.rendering.files import table_files
from hybridnets.report.rendering.terminal import report_text
from hybridnets.runs import Run, manifest
from hybridnets.runs.archive import Archive, pack
from hybridnets.runs.archive import container as archive
from hybridnets.runs.identities import hash_of
from hybridnets.runs.store import DivergedError, state

Make = Callable[..., Run]
Report = Callable[..., int]
ROOT = Path(__file__).parents[3]
DECLARED = {"primary": {"variant": "ecrnn-lstm-1x16", "baseline": "cnn", "margin": 1}}


def fails(run: Run, error: Exception) -> None:
    with suppress(type(error)), run.claim() as attempt:
        attempt.note(device="cpu", threads=1)
        raise error


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def packed(out: Path, path: Path, **more: Any) -> Path:
    pack([run.folder for run in read([out]).runs], [out], path, **more)
    return path


@pytest.fixture
def incomplete(grid: Callable[..., list[Run]]) -> list[Run]:
    """A grid in which one run diverged with a result, one without, one is missing, and one failed otherwise."""
    lost = (("crnn", "lstm", 32, 1), ("ecrnn", "bilstm", 16, 2), ("crnn", "bilstm", 16, 0))
    runs = grid(declared=DECLARED, lost=lost, diverged=(("ecrnn", "lstm", 32, 0),))
    unfinished = [run for run in runs if run.result() is None]
    fails(unfinished[0], DivergedError("train/loss is not finite from step 3 of epoch 1"))
    fails(unfinished[1], OSError("no space left"))
    return runs


@pytest.mark.usefixtures("incomplete")
def test_every_cell_and_every_sentence_is_the_folders(tmp_path: Path) -> None:
    for top in (tmp_path / "digits" / "crnn-lstm-1x32", tmp_path, tmp_path / "digits"):
        path = packed(top, tmp_path / "e.npz", all_probabilities=True)
        original = analyse(read([top]), "title", "command")
        with opened([path]) as sources:
            same = analyse(read(sources.paths), "title", "command")
            again, inside = report_text(same), sources.paths[0]
        assert again == report_text(original)
        assert (same.commands, same.sources) == (original.commands, original.sources)
        assert not inside.exists()
    assert table_files(same) == table_files(original)
    assert "declared" in same.parts[0].answers[0].analysis.declared
    assert [run.state for run in same.parts[0].missing] == [run.state for run in original.parts[0].missing]
    assert sorted(run.state for run in same.parts[0].missing) == ["failed", "failed", "pending"]
    assert sum(run.diverged for run in same.parts[0].missing) == 1
    with opened([packed(tmp_path / "digits", tmp_path / "small.npz")]) as sources:
        small = analyse(read(sources.paths), "title", "command")
    less = {name: text for name, text in table_files(small).items() if "qualities" not in name}
    assert less == {name: text for name, text in table_files(original).items() if "qualities" not in name}
    # Without the probabilities of all classes, the measures that need them are left out, and the others are the same.
    every, few = (
        next(table for table in report.parts[0].tables if table.kind == "qualities") for report in (original, small)
    )
    assert few.header == tuple(
        name for name in every.header if name.startswith(("variant", "runs", "macro", "balanced", "nega"))
    )
    kept = [every.header.index(name) for name in few.header]
    assert few.rows == tuple(tuple(cells[n] for n in kept) for cells in every.rows)


def words(command: str) -> str:
    """A command as the page has it, in which a line may only break between words."""
    return " ".join(f"<span>{html.escape(word)}</span>" for word in command.split())


def test_the_command_gives_the_same_text_page_and_figures(
    tmp_path: Path, finished: Make, requested: Make, report: Report, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [finished(model, seed, predictions=True) for model in ("cnn", "crnn") for seed in (0, 1)]
    manifest.write(tmp_path, "s", "python train.py -cn s out=/home/me/runs", [*runs, requested("crnn", 2)], None)
    monkeypatch.chdir(tmp_path)
    assert report("--pack", "digits", "-o", "e.npz", "--probabilities") == 0
    output = capsys.readouterr().out
    size = Path("e.npz").stat().st_size
    assert output == f"4 finished runs packed into e.npz, {size:,} bytes; no weights, no pixels\n"
    assert report("digits", "--to", "a") == 0
    original = capsys.readouterr().out
    assert report("e.npz") == 0
    again = "hybridnets report --unpack e.npz -o runs && python train.py -cn s out=runs"  # an archive is unpacked first
    original = original.replace("a/index.html", "e-report/index.html")
    assert capsys.readouterr().out == original.replace("python train.py -cn s out=/home/me/runs", again)
    assert "2/3" in original
    expected, written = files(Path("a")), files(Path("e-report"))
    page = expected.pop("index.html").decode()
    page = page.replace("<title>digits<", "<title>e.npz<").replace("<h1>digits<", "<h1>e.npz<")
    assert page.count(words("python train.py -cn s out=/home/me/runs")) == 2  # the next step, and what repeats it
    page = page.replace(words("python train.py -cn s out=/home/me/runs"), words(again), 1)
    page = page.replace("out=/home/me/runs", "out=.../runs")
    page = page.replace(words("hybridnets report digits --to a"), words("hybridnets report e.npz"))
    assert written.pop("index.html").decode() == page
    for name in ("for_your_paper.txt", "for_your_paper.tex"):
        paper = expected.pop(name).decode().replace("out=/home/me/runs", "out=.../runs")
        assert written.pop(name).decode() == paper.replace("hybridnets report digits --to a", "hybridnets report e.npz")
    assert expected == written
    assert any(name.startswith("figures/") for name in expected)

    assert report("--verify", "e.npz") == 0
    assert "4 runs verified from their predictions, and every cell of the" in capsys.readouterr().out
    assert report("--status", "e.npz") == 0
    assert "4 finished, 1 pending" in capsys.readouterr().out
    broken = json.loads((runs[0].folder / "result.json").read_text())
    broken["best"]["val/acc"] += 1e-7
    (runs[0].folder / "result.json").write_text(json.dumps(broken))
    assert report("--pack", "digits", "-o", "e.npz") == 0
    capsys.readouterr()
    assert report("--verify", "e.npz") == 1
    assert f"- e.npz/{runs[0].folder.relative_to(tmp_path)}: predictions give val" in capsys.readouterr().out


def test_unpacked_runs_are_the_same_and_pack_to_the_same_bytes(tmp_path: Path, incomplete: list[Run]) -> None:
    for every in (False, True):
        path = packed(tmp_path, tmp_path / f"{every}.npz", all_probabilities=every)
        assert path.read_bytes() == packed(tmp_path, tmp_path / "again.npz", all_probabilities=every).read_bytes()
        out = tmp_path / "elsewhere" / str(every)
        restored = Archive(path).unpack(out)
        finished = [run for run in incomplete if run.result()]
        assert (restored.new, restored.finished, restored.started) == (len(finished), 0, 0)
        assert path.read_bytes() == packed(out, tmp_path / "again.npz", all_probabilities=every).read_bytes()
        for run in finished:
            copy = Run(out, run.identity)
            assert files(copy.folder).keys() == {"result.json", "metrics.csv", "predictions.npz", "provenance.json"}
            for name in ("result.json", "metrics.csv"):
                assert (copy.folder / name).read_bytes() == (run.folder / name).read_bytes()
            with (
                np.load(run.folder / "predictions.npz") as original,
                np.load(copy.folder / "predictions.npz") as unpacked,
            ):
                for name in ("val_index", "val_label", "val_class", "test_index", "test_label", "test_class"):
                    assert np.array_equal(original[name], unpacked[name])
                assert ("val_probabilities" in unpacked, "val_probability" in unpacked) == (every, not every)
                label = original["val_label"]
                right = original["val_probabilities"][np.arange(len(label)), label]
                assert every or np.array_equal(unpacked["val_probability"], right)  # 0 and 1 are exact
        shutil.rmtree(out.parent)


def test_an_archive_names_nothing_of_the_machine(tmp_path: Path, finished: Make, requested: Make) -> None:
    run, failed = finished("cnn", predictions=True), requested("crnn")
    provenance = json.loads((run.folder / "provenance.json").read_text())
    host = provenance["attempts"][0]["host"]
    provenance["attempts"][0] |= {
        "command": f"python train.py 'out={tmp_path}/my runs'",
        "error": f"by {host} in {tmp_path}/x",
    }
    (run.folder / "provenance.json").write_text(json.dumps(provenance))
    fails(failed, ValueError(f"{tmp_path}/y is damaged on {host}\nand more"))
    manifest.write(tmp_path, None, f"{sys.executable} train.py -m out={tmp_path}", [run, failed], None)
    header, _ = archive.read(packed(tmp_path, tmp_path / "e.npz"))
    text = json.dumps(header)
    assert str(tmp_path.parent) not in text
    assert str(Path(sys.executable).parent) not in text
    assert '"process"' not in text
    attempt = header["runs"][0]["provenance"]["attempts"][0]
    assert attempt["command"] == "python train.py 'out=.../my runs'"
    assert attempt["error"] == "by ... in .../x"
    assert (attempt["threads"], attempt["versions"], attempt["git_commit"]) == (1, {"torch": "2.13.0"}, "c0ffee")
    assert header["runs"][0]["provenance"]["epoch_seconds"] == {"0": 9.0, "1": 2.0, "2": 4.0}
    assert [run["attempts"] for run in header["lost"].values()] == [[{"error": "ValueError: .../y is damaged on ..."}]]
    assert "host" not in attempt
    assert host == socket.gethostname()


def test_existing_runs_are_left_alone(tmp_path: Path, finished: Make, report: Report, capsys: Any) -> None:
    runs = [finished("cnn", seed, predictions=True) for seed in range(5)]
    path, out = packed(tmp_path, tmp_path / "e.npz"), tmp_path / "out"
    done_before, interrupted, failed, trained, new = (Run(out, run.identity) for run in runs)
    shutil.copytree(runs[0].folder, done_before.folder)
    path_before = done_before.folder / "result.json"
    path_before.write_bytes(path_before.read_bytes().replace(b"0.75", b"0.5"))
    interrupted.last_checkpoint.parent.mkdir(parents=True)
    interrupted.last_checkpoint.write_bytes(b"weights")
    fails(failed, OSError("a disk"))
    with trained.claim():
        before = files(out)
        for _ in range(2):
            assert report("--unpack", path, "-o", out) == 0
            capsys.readouterr()
        assert report("--unpack", path, "-o", out) == 0
        summary = f"{path}: 0 runs restored in {out}; left alone: 2 already finished, 3 already started\n"
        assert capsys.readouterr().out == summary
        after = files(out)
        assert {name: after[name] for name in before if "owner-" not in name} == {
            name: text for name, text in before.items() if "owner-" not in name
        }
    assert state(new.folder) == "finished"
    assert {name.split("/")[2] for name in after.keys() - before.keys()} == {new.folder.name}


def test_an_unpacking_that_is_killed_leaves_no_run_that_looks_finished(tmp_path: Path, finished: Make) -> None:
    runs = [finished("cnn", seed, predictions=True) for seed in range(2)]
    manifest.write(tmp_path, "s", "python", runs, None)
    path, out = packed(tmp_path, tmp_path / "e.npz"), tmp_path / "out"
    script = (
        "import os, sys, pathlib\n"
        "from hybridnets.runs.archive import Archive\n"
        "replace, left = pathlib.Path.replace, int(sys.argv[3])\n"
        "def dies(*paths):\n"
        "    global left\n"
        "    left -= 1\n"
        "    return replace(*paths) if left >= 0 else os._exit(9)\n"
        "pathlib.Path.replace = dies\n"
        "Archive(pathlib.Path(sys.argv[1])).unpack(pathlib.Path(sys.argv[2]))\n"
    )
    complete = tmp_path / "whole"
    Archive(path).unpack(complete)
    for files_written in range(1, 9):
        process = subprocess.run([sys.executable, "-c", script, path, out, str(files_written)], cwd=ROOT, check=False)
        assert process.returncode == 9
        for result in out.rglob("result.json"):
            assert files(result.parent).keys() >= {"metrics.csv", "predictions.npz", "provenance.json"}
        assert len(list(out.rglob("result.json"))) == (files_written - 1) // 4
        Archive(path).unpack(out)
        assert {name: text for name, text in files(out).items() if "/." not in name} == files(complete)
        shutil.rmtree(out)


def test_a_later_archive_adds_runs_that_had_failed_in_an_earlier_one(
    tmp_path: Path, finished: Make, requested: Make
) -> None:
    runs = [finished("cnn", 0, predictions=True), requested("cnn", 1)]
    manifest.write(tmp_path, "s", "python", runs, None)
    fails(runs[1], DivergedError("loss"))
    out = tmp_path / "out"
    Archive(packed(tmp_path, tmp_path / "early.npz")).unpack(out)
    restored = Run(out, runs[1].identity)
    assert state(restored.folder) == "failed"
    finished("cnn", 1, predictions=True)
    late = packed(tmp_path / "digits", tmp_path / "late.npz")
    assert Archive(late).unpack(out).new == 1
    assert restored.result() == runs[1].result()
    assert packed(out / "digits", tmp_path / "again.npz").read_bytes() == late.read_bytes()


def test_a_sweep_keeps_its_first_date_on_every_machine(tmp_path: Path, finished: Make) -> None:
    run = finished("cnn", predictions=True)
    path = manifest.write(tmp_path, "s", "python train.py -cn s", [run], DECLARED)
    recorded = json.loads(path.read_text())
    without_seeds = [{"hash": requested["hash"], "folder": requested["folder"]} for requested in recorded["runs"]]
    archived = packed(tmp_path, tmp_path / "e.npz")
    for name, date, runs, expected in (
        ("later", "2999-01-01T00:00:00+0000", recorded["runs"], {"s.json": recorded["declared"]}),
        ("earlier", "1999-01-01T00:00:00+0000", recorded["runs"], {"s.json": "1999-01-01T00:00:00+0000"}),
        (
            *("another", "1999-01-01T00:00:00+0000", []),
            {
                "s.json": "1999-01-01T00:00:00+0000",
                f"s-{hash_of({'runs': without_seeds, 'report': recorded['report']})[:6]}.json": recorded["declared"],
            },
        ),
    ):
        out = tmp_path / name
        (out / "sweeps").mkdir(parents=True)
        (out / "sweeps" / "s.json").write_text(json.dumps({**recorded, "declared": date, "runs": runs}))
        Archive(archived).unpack(out)
        dates = {path.name: json.loads(path.read_text())["declared"] for path in (out / "sweeps").iterdir()}
        assert dates == expected
    both = tmp_path / "both.npz"
    pack([run.folder], [tmp_path, tmp_path / "later"], both)
    assert archive.read(both)[0]["sweeps"]["s.json"] == recorded


def test_an_ended_report_leaves_no_unpacked_archive_behind(
    tmp_path: Path, finished: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal ends the process without leaving any `with`."""
    pack([finished("cnn").folder], [tmp_path], tmp_path / "evidence.npz")
    cleanups: list[Callable[[], object]] = []
    monkeypatch.setattr(signals, "at_end", cleanups.append)
    with opened([tmp_path / "evidence.npz"]) as sources:
        (folder,) = sources.paths
        assert folder.is_dir()
        for cleanup in cleanups:
            cleanup()
        assert not folder.parent.exists()


def test_a_temporary_file_of_somebody_elses_process_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(process: int, _: int) -> None:
        if process == 4242:
            raise PermissionError
        raise ProcessLookupError

    monkeypatch.setattr(os, "kill", kill)
    for process in (4242, 4243):
        (tmp_path / f".index.html.{process}").touch()
    rendering._delete_temporary_files(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".index.html.4242"]
