"""Ctrl-C, kill and a closed terminal at any moment of a command: one sentence, an exit code, and no leftovers.

Moments are points that Python itself reports (a module is imported, a file is opened) or lines that are printed: nothing
depends on how fast a machine is.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hybridnets.runs.store import reason, state
from tests.conftest import ROOT, SMALL

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# The command signals itself; its children do not, as the variables are gone when it starts them.
HOOK = """
import os, sys
event, _, what = os.environ.pop("AT", "").partition(" ")
number = int(os.environ.pop("NUMBER", "0"))
armed = bool(event)

def look(name, arguments):
    global armed
    if armed and name == event and what in str(arguments[0]):
        armed = False
        os.kill(os.getpid(), number)

if armed:
    sys.addaudithook(look)
"""
FEW = (*SMALL, "trainer.limit_train_batches=2", "trainer.max_epochs=1")
INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


class Command:
    """A command in its own folder, whose child processes can be identified."""

    def __init__(self, folder: Path, *words: str, at: str = "", number: int = 0) -> None:
        self.folder = folder
        for name, text in (("hook/sitecustomize.py", HOOK), ("tmp/.keep", "")):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        self.mark = f"HYBRIDNETS_MARK={folder}"
        variables = {"PYTHONPATH": str(folder / "hook"), "TMPDIR": str(folder / "tmp"), "HYBRIDNETS_MARK": str(folder)}
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / words[0]), *words[1:]],
            cwd=folder,
            env={**os.environ, **variables, "AT": at, "NUMBER": str(number)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A shell's & has Ctrl-C ignored, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.output = ""

    def reads(self, words: str) -> None:
        """Waits until the command prints some words."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.output += line
            if words in line:
                return
        raise AssertionError(f"{words} was not printed: {self.output}")

    def family(self) -> list[str]:
        """The processes that belong to the command."""
        processes = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if self.mark.encode() in path.read_bytes().split(b"\0"):
                    processes.append(path.parent.name)
            except OSError:  # it has just ended, or is somebody else's
                continue
        return processes

    def ends(self, number: int) -> str:
        """Its output, once it has ended by a signal without leftovers."""
        self.output += self.process.communicate(timeout=240)[0]
        assert self.process.returncode == 128 + number, self.output
        assert "Traceback" not in self.output
        assert "Error" not in self.output
        wait_for(lambda: not self.family())
        # torch always creates a folder for its compiler.
        leftovers = [path.name for path in (self.folder / "tmp").iterdir() if not path.name.startswith("torchinductor")]
        assert leftovers == [".keep"]
        assert not list((self.folder / "runs").rglob(".*"))
        return self.output


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("at", "number"),
    [
        ("import hydra", INT),  # Python imports
        ("open conf/model/cnn.yaml", TERM),  # Hydra composes
        ("open digits.csv", INT),  # data is read
        ("import torch", HUP),
        ("open .metrics.csv", TERM),  # it trains
        ("open .result.json", INT),  # the result is written
    ],
)
def test_one_run(tmp_path: Path, at: str, number: signal.Signals) -> None:
    output = Command(tmp_path, "train.py", "model=cnn", *FEW, at=at, number=number).ends(number)
    sentence = f"train.py: ended by {number.name}: the same command continues where this one ended"
    assert output.splitlines().count(sentence) == 1
    assert not list(tmp_path.rglob("result.json"))
    begun = [path.parent for path in tmp_path.glob("runs/digits/*/*/provenance.json")]
    assert len(begun) == ("open ." in at)
    for folder in begun:
        assert (state(folder), reason(folder)) == ("stopped", f"by {number.name}")
        log = (folder / "log.txt").read_text()
        assert log.splitlines()[-1].endswith(f"ended early: by {number.name}")
        assert "Traceback" not in log


def test_a_run_on_two_devices(tmp_path: Path) -> None:
    """Its processes end together, although the signal reaches only the first one."""
    devices = ("trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp", "data.batch_size=64")
    Command(tmp_path, "train.py", "model=cnn", *FEW, *devices, at="open .metrics.csv", number=INT).ends(INT)


@pytest.mark.parametrize(
    ("words", "number"),
    [("composing configurations", INT), ("checking 2 variants", INT), ("checking 2 variants", TERM)],
)
def test_a_sweep_before_its_first_job(tmp_path: Path, words: str, number: signal.Signals) -> None:
    sweep = Command(tmp_path, "train.py", "-m", "model=cnn,ecnn", *FEW)
    sweep.reads(words)
    os.kill(sweep.process.pid, number)
    assert f"train.py: ended by {number.name}: the same command" in sweep.ends(number)
    assert not (tmp_path / "runs").exists()


def test_a_sweep_while_jobs_run(tmp_path: Path) -> None:
    sweep = Command(tmp_path, "train.py", "-m", "model=cnn", "seed=0,1,2", *FEW, "hydra.launcher.jobs=2")
    sweep.reads("started")
    os.kill(sweep.process.pid, INT)
    sweep.reads("Press Ctrl-C again to end them at once.")
    os.kill(sweep.process.pid, INT)
    output = sweep.ends(INT)
    assert "2 stopped, 1 pending" in output
    assert "Run the same command again to continue." in output


@pytest.mark.parametrize(
    ("at", "number"),
    [("import numpy", INT), ("import matplotlib", TERM), ("open .index.html", INT)],
)
def test_a_report(tmp_path: Path, at: str, number: signal.Signals) -> None:
    (tmp_path / "scores.csv").write_text("variant,seed,score\na,0,.5\na,1,.6\nb,0,.7\nb,1,.9\n")
    output = Command(tmp_path, "report.py", "scores.csv", at=at, number=number).ends(number)
    assert output.splitlines()[-1] == f"report.py: ended by {number.name}"
    assert ("b reached" in output) == (at != "import numpy")
    assert not list(tmp_path.rglob("index.html"))
    assert not [path for path in tmp_path.rglob(".*") if path.name != ".keep"]


def test_features(tmp_path: Path) -> None:
    (tmp_path / "a.npy").touch()
    words = ("features.py", "encode", "nowhere", "a.npy", "-o", "codes.npz")
    assert Command(tmp_path, *words, at="import numpy", number=TERM).ends(TERM) == "features.py: ended by SIGTERM\n"


def test_before_a_download(tmp_path: Path) -> None:
    words = ("train.py", "model=cnn", "data.root=images", "data.mirrors=[]")
    Command(tmp_path, *words, at="open images/cifar-10.lock", number=INT).ends(INT)
    assert not (tmp_path / "images").exists()


def test_closed_pipe_loses_no_runs(tmp_path: Path) -> None:
    """And a progress bar, which needs a terminal, does not keep a sweep's jobs from training."""
    bar = "+callbacks.bar._target_=pytorch_lightning.callbacks.RichProgressBar"
    sweep = [sys.executable, str(ROOT / "train.py"), "-m", "model=cnn", "seed=0,1", *FEW, bar]
    # The rest of its output goes into a pipe that nobody reads, and it has no standard input.
    shell = '("$@" <&-; echo "code $?" >&2) | head -n 1'
    completed = subprocess.run(
        ["sh", "-c", shell, "sh", *sweep], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240
    )
    assert (completed.stdout, completed.stderr) == ("composing configurations\n", "code 0\n")
    assert len(list(tmp_path.rglob("result.json"))) == 2
