"""Signals to the sweep and to its processes."""

import signal
import sys
from pathlib import Path

import pytest

from application import App, is_alive, wait_for

RANKS = """
rank = HydraConfig.get().job.name
if rank == "app":  # as Lightning's DDP does it
    subprocess.Popen([sys.executable, *sys.argv, "hydra.job.name=rank1", "hydra.output_subdir=null"])
(here / "ready").mkdir(exist_ok=True)
(here / "ready" / f"{rank}-{cfg.x}").write_text(str(os.getpid()))
second, until = here / "ready" / f"rank1-{cfg.x}", time.monotonic() + 50
while rank == "app" and not (second.exists() and second.read_text()) and time.monotonic() < until: time.sleep(0.05)
time.sleep(cfg.seconds if rank == "app" else cfg.rank_seconds)
if rank == "app" and cfg.x == 9: sys.exit(3)
return rank
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ranks_do_not_report_and_end_with_their_job(tmp_path: Path) -> None:
    app = App(tmp_path, RANKS, "seconds: 0\nrank_seconds: 0")
    code, output = app.run("x=1")
    assert (code, app.returns()[0][1]) == (0, "app"), output
    code, output = app.run("x=9", "rank_seconds=60")
    assert code == 1
    assert "exit code 3" in output
    assert not is_alive(tmp_path / "ready/rank1-9")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_jobs_end_with_their_parent(tmp_path: Path, number: signal.Signals) -> None:
    app = App(tmp_path, RANKS, "seconds: 60\nrank_seconds: 60")
    ready = [tmp_path / "ready" / name for name in ("app-1", "rank1-1", "app-2", "rank1-2")]
    with app.start("x=1,2,3", "hydra.launcher.jobs=2") as parent:
        wait_for(lambda: all(path.exists() and path.read_text() for path in ready))
        assert all(is_alive(path) for path in ready)
        parent.send_signal(number)
        output, _ = parent.communicate(timeout=60)
    wait_for(lambda: not any(is_alive(path) for path in ready))
    assert not (tmp_path / "ready/app-3").exists()
    if number == signal.SIGKILL:
        return
    assert parent.returncode == 128 + number
    assert [path.name for path in (tmp_path / "tmp").iterdir()] == [".keep"]
    assert "3 jobs: 2 stopped, 1 pending" in output
    assert "Traceback" not in output


SAFE = """
signal.signal(signal.SIGUSR2, lambda *_: (here / f"asked{cfg.x}").touch())
(here / f"began{cfg.x}").touch()
until = time.monotonic() + 60
while not (here / f"go{cfg.x}").exists() and time.monotonic() < until: time.sleep(0.05)
raise SystemExit("at a safe point")
"""


@pytest.mark.parametrize("twice", [False, True])
def test_the_first_ctrl_c_waits_for_a_safe_point_and_the_second_does_not(tmp_path: Path, twice: bool) -> None:
    app = App(tmp_path, SAFE)
    with app.start("x=1,2", "hydra.launcher.jobs=1") as parent:
        wait_for((tmp_path / "began1").exists)
        parent.send_signal(signal.SIGINT)
        wait_for((tmp_path / "asked1").exists)
        if twice:
            parent.send_signal(signal.SIGINT)
        else:
            assert parent.poll() is None
            (tmp_path / "go1").touch()
        output, _ = parent.communicate(timeout=60)
    assert parent.returncode == 130
    assert "Press Ctrl-C again to end them at once." in output
    assert "2 jobs: 1 stopped, 1 pending" in output
    assert "Run the same command again to continue." in output
    assert not (tmp_path / "began2").exists()
    assert "Traceback" not in output
