"""A sweep whose processes, parent included, are killed at random moments: every run is finished once, and equal.

The short form kills a few times; HYBRIDNETS_LONG=1 (make torture) kills 30 times in 12 runs, and 30 times between two
parents that compete for them.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, SMALL

LONG = bool(os.environ.get("HYBRIDNETS_LONG"))
KILLS, SEEDS = (30, 6) if LONG else (3, 1)
WORDS = (*SMALL, "-m", "model=cnn,ecnn", f"seed=range({SEEDS})", "trainer.max_epochs=3", "hydra.launcher.jobs=2")
SAME = ("result.json", "metrics.csv", "predictions.npz")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def start(out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *WORDS, f"out={out}"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def family(parent: int) -> list[int]:
    """The parent and its descendants."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue  # it has just ended
    members = [parent]
    for child in sorted(parents):
        ancestor = child
        while ancestor in parents and ancestor != parent:
            ancestor = parents[ancestor]
        if ancestor == parent and child != parent:
            members.append(child)
    return members


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    assert start(out).wait() == 0
    return out


@pytest.mark.parametrize("parents", [1, 2])
def test_every_run_is_finished_once_and_equal_despite_kills(parents: int, undisturbed: Path, tmp_path: Path) -> None:
    draw = random.Random(parents)
    expected = sorted(path.parent.relative_to(undisturbed) for path in undisturbed.rglob("result.json"))
    assert len(expected) == 2 * SEEDS
    running: list[subprocess.Popen[bytes]] = []
    kills = 0
    until = time.monotonic() + (3600 if LONG else 280)
    try:
        while len(list(tmp_path.rglob("result.json"))) < len(expected) or running:
            assert time.monotonic() < until, f"after {kills} kills"
            running = [sweep for sweep in running if sweep.poll() is None]
            is_done = len(list(tmp_path.rglob("result.json"))) == len(expected)
            while len(running) < parents and not is_done:
                running.append(start(tmp_path))
            time.sleep(draw.uniform(2, 9))
            if kills < KILLS and not is_done:
                victims = [pid for sweep in running for pid in family(sweep.pid)]
                victim = draw.choice(victims)
                try:
                    os.kill(victim, signal.SIGKILL)
                    kills += 1
                except ProcessLookupError:
                    pass
    finally:
        for sweep in running:
            sweep.kill()
            sweep.wait()
    assert kills == KILLS or not LONG
    finished = sorted(path.parent.relative_to(tmp_path) for path in tmp_path.rglob("result.json"))
    assert finished == expected
    for folder in expected:
        for name in SAME:
            assert (tmp_path / folder / name).read_bytes() == (undisturbed / folder / name).read_bytes(), (folder, name)
        attempts = json.loads((tmp_path / folder / "provenance.json").read_text())["attempts"]
        complete = [attempt for attempt in attempts if "ended" in attempt and "error" not in attempt]
        assert len(complete) <= 1, folder  # nothing was trained to its end twice
