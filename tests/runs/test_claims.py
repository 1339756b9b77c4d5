"""Who trains a run: over processes of one host, and over hosts that share a folder but neither locks nor clocks.

Another host is a process here whose `flock` does nothing, whose boot id is another, and whose clock is a day off.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hybridnets.runs import claims
from hybridnets.runs.files import read_json
from hybridnets.runs.store import state
from tests.conftest import ROOT, SMALL

# Python imports it at every start, so that a sweep's jobs are on their parent's host.
HOST = """
import os, time
from hybridnets.runs import claims
if "HOST" in os.environ:
    claims._boot = lambda: os.environ["HOST"]
    claims.fcntl.flock = lambda *_: None
now, written, ahead = time.time, time.strftime, float(os.environ["AHEAD"])
time.time = lambda: now() + ahead
time.strftime = lambda form, *when: written(form, *when or [time.localtime(time.time())])
claims.BEAT_SECONDS, claims.LOOK_SECONDS, claims.SILENCE_SECONDS = 0.2, 0.1, float(os.environ["SILENCE"])
"""
HOLD = """
import sys
from pathlib import Path
from hybridnets.runs import claims
folder = Path(sys.argv[1])
with claims.hold(folder) as claim:
    print("holds", flush=True)
    for word in sys.stdin:
        claim.check()
        (folder / "written").write_text(word)
        print("wrote", flush=True)
    claim.give_back(finished=False)
"""


def environment(folder: Path, host: str | None, ahead: float = 0.0, silence: float = 1.5) -> dict[str, str]:
    (folder / "site").mkdir(exist_ok=True)
    (folder / "site" / "sitecustomize.py").write_text(HOST)
    path = os.pathsep.join([str(folder / "site"), str(ROOT)])
    named = {"HOST": host} if host else {}
    return {**os.environ, "PYTHONPATH": path, "AHEAD": str(ahead), "SILENCE": str(silence), **named}


def holder(tmp_path: Path, host: str | None, ahead: float = 0.0) -> subprocess.Popen[str]:
    (tmp_path / "run").mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(tmp_path, host, ahead),
    )


def line_from(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def asked_to_write(process: subprocess.Popen[str], word: str) -> str:
    assert process.stdin
    process.stdin.write(f"{word}\n")
    process.stdin.flush()
    return line_from(process)


@pytest.mark.parametrize(("first", "second"), [(None, None), ("a", "b"), (None, "b")])
def test_a_live_owner_is_left_alone(first: str | None, second: str | None, tmp_path: Path) -> None:
    owner = holder(tmp_path, first)
    assert line_from(owner) == "holds"
    assert state(tmp_path / "run") == "running"
    rival = holder(tmp_path, second, ahead=-86_400)
    error = rival.communicate()[1]
    assert f"RunBusyError: {tmp_path / 'run'} is being trained by process {owner.pid} on " in error
    assert asked_to_write(owner, "mine") == "wrote"
    owner.communicate()
    assert state(tmp_path / "run") == "pending"


def test_a_dead_owner_on_the_same_host_is_followed_at_once(tmp_path: Path) -> None:
    owner = holder(tmp_path, None)
    assert line_from(owner) == "holds"
    owner.kill()
    owner.communicate()
    assert claims.Watch(tmp_path / "run").state() == "free"
    began = time.monotonic()
    with claims.hold(tmp_path / "run") as claim:
        claim.check()
        claim.give_back(finished=False)
    assert time.monotonic() - began < 1
    last_owner = claims.owner(tmp_path / "run")
    assert last_owner
    assert last_owner.ended


def test_what_stands_in_an_owners_place_is_passed_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "EMPTY_SECONDS", 0.1)
    monkeypatch.setattr(claims, "LOOK_SECONDS", 0.1)
    (tmp_path / "owner-1").mkdir()
    with claims.hold(tmp_path) as claim:
        assert claim.number == 2
        claim.check()
        claim.give_back(finished=False)


def test_files_that_are_removed_are_missed(tmp_path: Path) -> None:
    with claims.hold(tmp_path) as claim:
        (tmp_path / "owner-1").unlink()
        with pytest.raises(claims.LostError, match="has lost its files: somebody deleted them"):
            claim.check()
        claim.give_back(finished=False)


def test_an_owner_that_gave_back_is_followed_at_once_by_another_host(tmp_path: Path) -> None:
    owner = holder(tmp_path, "a")
    assert line_from(owner) == "holds"
    owner.kill()
    owner.communicate()
    claim = claims.Claim(tmp_path / "run", 1)
    claim.give_back(finished=False)
    assert claims.Watch(tmp_path / "run").state() == "free"


def test_one_that_was_paused_for_too_long_has_lost_its_run_and_writes_nothing(tmp_path: Path) -> None:
    owner = holder(tmp_path, "a", ahead=86_400)
    assert line_from(owner) == "holds"
    assert asked_to_write(owner, "before") == "wrote"
    owner.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    rival = holder(tmp_path, "b")
    assert line_from(rival) == "holds"
    assert time.monotonic() - began > 1.5
    assert asked_to_write(rival, "theirs") == "wrote"
    owner.send_signal(signal.SIGCONT)
    time.sleep(0.5)  # for a beat or two
    out, error = owner.communicate("after\n")
    assert out == ""
    assert f"LostError: {tmp_path / 'run'} was taken over by process {rival.pid} on " in error
    assert (tmp_path / "run" / "written").read_text() == "theirs\n"
    assert asked_to_write(rival, "still theirs") == "wrote"
    rival.communicate()


def test_of_many_that_wait_for_a_dead_owner_one_follows(tmp_path: Path) -> None:
    owner = holder(tmp_path, "a")
    assert line_from(owner) == "holds"
    owner.kill()
    owner.communicate()
    rivals = [holder(tmp_path, f"b{number}") for number in range(4)]
    deadline = time.monotonic() + 60
    while sum(rival.poll() is None for rival in rivals) > 1 and time.monotonic() < deadline:
        time.sleep(0.1)
    (winner,) = [rival for rival in rivals if rival.poll() is None]
    assert line_from(winner) == "holds"
    assert asked_to_write(winner, "one") == "wrote"
    for rival in rivals:
        error = rival.communicate()[1]
        # which of the two, depends on whether its owner had signed yet
        assert rival is winner or re.search(f"is being trained by (process {winner.pid}|another process)", error)


def test_a_clock_that_is_set_back_changes_nothing(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "train.py"), *SMALL, "model=cnn", "trainer.max_epochs=4"]

    def train(out: str, ahead: float) -> subprocess.Popen[str]:
        words = [*command, f"out={tmp_path / out}"]
        return subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment(tmp_path, None, ahead))

    with train("whole", 0) as uninterrupted, train("runs", 0) as first:
        assert first.stderr
        next(line for line in first.stderr if line.startswith("epoch 2"))
        first.kill()
        first.communicate()
        uninterrupted.communicate()
    with train("runs", -86_400) as second:
        assert second.communicate()[1].count("continuing after epoch") == 1
    (run,) = (tmp_path / "runs").glob("digits/*/*")
    for name in ("result.json", "metrics.csv", "predictions.npz"):
        assert (run / name).read_bytes() == (
            tmp_path / "whole" / run.relative_to(tmp_path / "runs") / name
        ).read_bytes()
    attempts = read_json(run / "provenance.json")["attempts"]
    assert attempts[1]["started"] < attempts[0]["started"]
    report = [sys.executable, str(ROOT / "report.py"), str(tmp_path / "runs")]
    assert subprocess.run(report, capture_output=True, check=False).returncode == 0


def test_two_hosts_whose_clocks_differ_train_each_run_of_a_grid_once(tmp_path: Path) -> None:
    words = (*SMALL, "model=cnn", "trainer.max_epochs=1", "seed=0,1,2", "hydra.launcher.jobs=1", "-m")
    sweeps = [
        subprocess.Popen(
            [sys.executable, str(ROOT / "train.py"), *words, f"out={tmp_path / 'runs'}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(tmp_path, host, ahead, silence=20),
        )
        for host, ahead in (("a", 0.0), ("b", -86_400.0))
    ]
    output = [sweep.communicate()[0] for sweep in sweeps]
    assert [sweep.returncode for sweep in sweeps] == [0, 0], output
    runs = sorted((tmp_path / "runs").glob("digits/cnn/*"))
    assert len(runs) == 3
    for run in runs:
        attempts = read_json(run / "provenance.json")["attempts"]
        assert [attempt.get("error", "") for attempt in attempts] == [""], output
        assert not list(run.glob("owner-*"))
        with np.load(run / "predictions.npz") as predictions:
            assert len(predictions["test_index"]) == 297
