"""--watch keeps the page fresh while runs are trained, and ends with them; --serve ends with Ctrl-C."""

import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from hybridnets.report import commands
from hybridnets.report.reading.progress import Progress, read_progress, stamps
from hybridnets.runs import Run, manifest

ROOT = Path(__file__).parents[2]
Make = Callable[..., Run]
RELOADS = '<meta http-equiv="refresh" content="10">'


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Callable[[Iterator[Any]], None]:
    """Makes what happens between two looks at the folders happen instead of a pause."""

    def happen(story: Iterator[Any]) -> None:
        monkeypatch.setattr(commands, "REST", 0.0)
        monkeypatch.setattr(commands, "_pause", lambda _: next(story))

    return happen


def write_epochs(run: Run, *accuracies: float) -> None:
    lines = [f"{epoch},{value}" for epoch, value in enumerate(accuracies)]
    (run.folder / "metrics.csv").write_text("\n".join(["epoch,val/acc", *lines]), encoding="utf-8")


def test_the_page_follows_the_runs_until_none_is_pending(
    tmp_path: Path,
    finished: Make,
    requested: Make,
    report: Callable[..., int],
    looks: Callable[[Iterator[Any]], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = [requested(model, seed) for model in ("cnn", "crnn") for seed in (0, 1)]
    manifest.write(tmp_path, "question", "python train.py -cn question", runs, None)
    page = tmp_path / "report" / "index.html"
    pages: list[str] = []
    builds: list[Any] = []
    write = commands._write

    def counted_write(*words: Any) -> Any:
        builds.append(words)
        return write(*words)

    monkeypatch.setattr(commands, "_write", counted_write)

    def story() -> Iterator[None]:
        with ExitStack() as claims:
            claims.enter_context(runs[0].claim())
            pages.append(page.read_text(encoding="utf-8"))  # nothing has begun
            yield
            pages.append(page.read_text(encoding="utf-8"))  # a run has
            write_epochs(runs[0], 0.5, 0.71)
            yield
            pages.append(page.read_text(encoding="utf-8"))
            written = page.stat().st_mtime_ns
            yield
            assert page.stat().st_mtime_ns == written  # nothing new, nothing written
            (runs[0].folder / "metrics.csv").write_text("epoch,val/acc\n0,0.", encoding="utf-8")
            (runs[0].folder / "result.json").write_text('{"half": ', encoding="utf-8")  # no writer of ours leaves this
            yield
            pages.append(page.read_text(encoding="utf-8"))
            (runs[0].folder / "result.json").unlink()
        assert len(builds) == 2
        finished("cnn", 0, predictions=True)
        finished("crnn", 0)
        yield
        pages.append(page.read_text(encoding="utf-8"))
        finished("cnn", 1)
        finished("crnn", 1, test=0.8)
        yield

    looks(story())
    assert report("--watch", tmp_path) == 0
    nothing, running, epochs, half, some = pages
    for text in pages:
        assert RELOADS in text
    assert "0 of 4 requested runs finished, 4 pending" in nothing
    assert "No run is finished yet." in nothing
    assert "0 of 4 requested runs finished, 3 pending, 1 running" in running
    assert "before the end of its first epoch" in running
    assert re.search(rf"digits/cnn/{runs[0].folder.name}: epoch 2 finished, best val/acc 71\.00 %", epochs)
    assert "is not a complete JSON file" in half
    assert "2 of 4 requested runs finished, 2 pending" in some
    assert 'max="4" value="2"' in some
    assert "digits: variants" in some
    last = page.read_text(encoding="utf-8")
    assert 'http-equiv="refresh"' not in last
    assert 'id="progress"' not in last
    output = capsys.readouterr().out
    assert "  2 of 4 requested runs finished, 2 pending\n" in output
    assert "digits: 2 variants, 4 runs" in output
    assert "Nothing is pending: the page is complete and does not reload itself" in output


def test_without_anything_pending_it_is_written_once(
    tmp_path: Path, finished: Make, report: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    finished("cnn")
    path = tmp_path / "scores.csv"
    path.write_text("variant,seed,score\na,0,1.5\na,1,1.6\nb,0,1.4\nb,1,1.3\n", encoding="utf-8")
    archive = tmp_path / "evidence.npz"
    assert report("--pack", tmp_path, "-o", archive) == 0
    for source, page in ((tmp_path, "report"), (path, "scores-report"), (archive, "evidence-report")):
        assert report(source, "--watch") == 0
        assert "Nothing is pending" in capsys.readouterr().out
        assert RELOADS not in (tmp_path / page / "index.html").read_text(encoding="utf-8")
    assert report(tmp_path / "nowhere", "--watch") == 2
    assert "which does not exist" in capsys.readouterr().err


def test_a_report_that_cannot_be_made_yet_is_waited_for(
    tmp_path: Path,
    finished: Make,
    requested: Make,
    report: Callable[..., int],
    looks: Callable[[Iterator[Any]], None],
) -> None:
    first = finished("cnn")
    manifest.write(tmp_path, "question", "python train.py", [first, requested("crnn")], None)
    page = tmp_path / "report" / "index.html"

    def story() -> Iterator[None]:
        assert "must be one of cnn, got crnn-lstm-1x16" in " ".join(page.read_text(encoding="utf-8").split())
        finished("crnn")
        yield

    looks(story())
    assert report("--watch", tmp_path, "--baseline", "crnn-lstm-1x16") == 0
    assert "Differences on test accuracy" in " ".join(page.read_text(encoding="utf-8").split())


def test_a_report_that_is_deleted_meanwhile_is_made_again(
    tmp_path: Path,
    finished: Make,
    requested: Make,
    report: Callable[..., int],
    looks: Callable[[Iterator[Any]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs = [finished("cnn"), requested("crnn"), requested("crnn", 1)]
    manifest.write(tmp_path, "question", "python train.py", runs, None)
    page = tmp_path / "report" / "index.html"

    def story() -> Iterator[None]:
        for _ in range(2):
            shutil.rmtree(page.parent)
            yield  # nothing else has changed
            assert "1 of 3 requested runs finished" in page.read_text(encoding="utf-8")
            assert (page.parent / "tables" / "digits-variants.csv").is_file()
        shutil.rmtree(page.parent)
        with runs[1].claim():
            yield  # the progress has changed, too
            assert "1 running" in page.read_text(encoding="utf-8")
            shutil.rmtree(page.parent)
            page.parent.touch()  # now it cannot be made
            yield

    looks(story())
    assert report("--watch", tmp_path) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.startswith("hybridnets report: --to must be a folder that can be written to, got ")


def test_progress_is_read_from_the_folders(tmp_path: Path, finished: Make, requested: Make) -> None:
    runs = [finished("cnn"), requested("cnn", 1), requested("cnn", 2), requested("cnn", 3)]
    manifest.write(tmp_path, "question", "python train.py", runs, None)
    before = stamps([tmp_path])
    with pytest.raises(KeyError), runs[1].claim():
        raise KeyError
    with runs[2].claim():
        write_epochs(runs[2], 0.25)
        progress = read_progress([tmp_path])
    assert progress.sentence == "1 of 4 requested runs finished, 1 failed, 1 pending, 1 running"
    assert (progress.finished, progress.under_way, len(progress.failed)) == (1, 2, 1)
    ((run),) = progress.running
    assert (run.epochs, run.accuracy) == (1, 0.25)
    assert stamps([tmp_path]) == before  # epochs make no new report
    finished("cnn", 3)
    assert stamps([tmp_path]) != before
    assert read_progress([tmp_path / "nowhere"]) == Progress()


def start(*words: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "report.py", *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test that runs in a shell's background inherits that the signal is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.parametrize("watch", [True, False])
def test_ctrl_c_ends_watching_and_serving_with_one_sentence(
    tmp_path: Path, finished: Make, requested: Make, watch: bool
) -> None:
    manifest.write(tmp_path, "question", "python train.py", [finished("cnn"), requested("cnn", 1)], None)
    page = tmp_path / "report" / "index.html"
    with start(tmp_path, "--serve", *["--watch"] * watch) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            address = re.fullmatch(r"Serving .+ at (http://127\.0\.0\.1:\d+/) until Ctrl-C\n", line)
            assert address, line
            for line in process.stdout:
                if line.startswith("The page: ") or (watch and "requested runs finished" in line):
                    break
            with urllib.request.urlopen(address[1], timeout=60) as answer:
                assert answer.read() == page.read_bytes()
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert error.splitlines()[-1] == "report.py: ended by SIGINT"
    assert "Traceback" not in error
    text = page.read_text(encoding="utf-8")
    assert RELOADS not in text
    assert ("when --watch ended: this page no longer changes" in text) == watch
