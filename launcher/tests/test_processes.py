"""Jobs that fail, that are retried, and that share GPUs."""

from pathlib import Path

from application import App
from hydra_plugins.process_launcher._jobs import PlannedJob, TrackedJob
from hydra_plugins.process_launcher._processes import assign_gpus


def test_a_job_that_dies_takes_no_other_with_it(tmp_path: Path) -> None:
    body = """
print("about to", cfg.x)
if cfg.x == "raise": raise ValueError("no such thing")
if cfg.x == "exit": sys.exit(3)
if cfg.x == "leave": sys.exit(0)
if cfg.x == "kill": os.kill(os.getpid(), signal.SIGKILL)
if cfg.x == "lambda": return lambda: 1
return cfg.x
"""
    app = App(tmp_path, body)
    code, output = app.run("x=first,raise,exit,leave,kill,lambda,last word", "hydra.launcher.jobs=2")
    assert code == 1
    assert "7 jobs: 2 finished, 5 failed" in output
    rows = app.returns()
    assert [row[:2] for row in (rows[0], rows[6])] == [["COMPLETED", "first"], ["COMPLETED", "last word"]]
    reasons = [
        "ValueError: no such thing",
        "exit code 3",
        "exit code 0 before main returned",
        "killed by SIGKILL (out of memory?)",
        "main returned a function, which cannot be pickled: ",
    ]
    for (status, error, overrides, *_), reason in zip(rows[1:6], reasons, strict=True):
        assert status == "FAILED"
        assert error.startswith(f"Job '{overrides[0]}' failed: {reason}")
        assert error.endswith(f"; repeat it with: python app.py {overrides[0]}")
        assert f"  why:    {reason}" in output
        assert f"  | about to {overrides[0][2:]}" in output
    assert output.count("Traceback") == 1  # the job's own, in its last output


def test_a_job_that_is_stopped_from_outside_is_called_stopped(tmp_path: Path) -> None:
    body = """
if cfg.x == "default": os.kill(os.getpid(), signal.SIGTERM)
if cfg.x == "handled": os._exit(128 + signal.SIGUSR2)
if cfg.x == "killed": os.kill(os.getpid(), signal.SIGKILL)
return cfg.x
"""
    app = App(tmp_path, body)
    code, output = app.run("x=default,handled,killed,fine", "hydra.launcher.jobs=2")
    assert code == 1
    assert "4 jobs: 1 finished, 1 failed, 2 stopped\n" in output
    assert "Run the same command again to continue." in output
    assert "stopped: x=default\n  why:    killed by SIGTERM\n" in output
    assert "stopped: x=handled\n  why:    exit code 140\n" in output
    assert "failed: x=killed\n  why:    killed by SIGKILL (out of memory?)\n" in output
    errors = [row[1].partition(":")[0] for row in app.returns()[:3]]
    assert errors == ["Job 'x=default' stopped", "Job 'x=handled' stopped", "Job 'x=killed' failed"]


def test_a_failed_job_is_retried_and_each_reason_is_kept(tmp_path: Path) -> None:
    body = """
tries = here / f"tries{cfg.x}"
tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
n = len(tries.read_text())
if cfg.x == 1 and n < 3: raise ValueError(f"not at {n}")
if cfg.x == 2: os.kill(os.getpid(), signal.SIGKILL)
return n
"""
    app = App(tmp_path, body)
    code, output = app.run("x=1,2,3", "hydra.launcher.retries=2", "hydra.launcher.jobs=2")
    assert code == 1
    assert [row[1] for row in app.returns()][::2] == [3, 1]
    assert "3 jobs: 2 finished, 1 failed" in output
    assert "why:    killed by SIGKILL (out of memory?) (3 attempts)" in output
    assert len((tmp_path / "tries2").read_text()) == 3
    code, output = app.run("x=1", "hydra.launcher.retries=0")
    assert code == 0  # the third try


def test_different_reasons_are_all_reported() -> None:
    job = TrackedJob(0, PlannedJob("0", "job"), "", "failed", reasons=["exit code 3", "killed by SIGKILL"])
    assert job.reason == "attempt 1: exit code 3; attempt 2: killed by SIGKILL"


def test_after_a_failure_no_job_starts_with_on_failure_stop(tmp_path: Path) -> None:
    body = """
(here / f"began{cfg.x}").write_text(str(os.getpid()))
failing, until = here / "began0", time.monotonic() + 50
while cfg.x == 3 and time.monotonic() < until:  # until the parent has seen that the other ended
    if failing.exists() and (pid := failing.read_text()) and not pathlib.Path(f"/proc/{pid}").exists(): break
    time.sleep(0.05)
if cfg.x == 3: time.sleep(1)
assert cfg.x, "no x"
return cfg.x
"""
    app = App(tmp_path, body)
    code, output = app.run("x=0,3,2", "hydra.launcher.jobs=2", "hydra.launcher.on_failure=stop")
    assert code == 1
    assert "3 jobs: 1 finished, 1 failed, 1 pending" in output
    assert not (tmp_path / "began2").exists()
    assert "Run the same command again to continue." in output


def test_gpus_are_assigned_in_turn(tmp_path: Path) -> None:
    body = """
(here / f"began{cfg.x}").touch()
while not all((here / f"began{x}").exists() for x in range(4)): time.sleep(0.05)  # all four at once
return os.environ["CUDA_VISIBLE_DEVICES"]
"""
    app = App(tmp_path, body)
    app.environment["CUDA_VISIBLE_DEVICES"] = "2,5"
    code, output = app.run("x=0,1,2,3", "hydra.launcher.jobs=4", "hydra.launcher.jobs_per_gpu=2")
    assert code == 0, output
    assert [row[1] for row in app.returns()] == ["2", "5", "2", "5"]


def test_no_gpu_gets_more_jobs_than_allowed() -> None:
    running = [TrackedJob(n, PlannedJob(str(n), ""), "", gpus=(gpu,)) for n, gpu in enumerate("00112")]
    assert assign_gpus(["0", "1", "2"], running, 1, 2) == ("2",)
    assert assign_gpus(["0", "1", "2"], running, 2, 2) is None  # until a job frees one
    assert assign_gpus(["0", "1"], [], 2, 1) == ("0", "1")
    assert assign_gpus(["0", "1"], running, 0, 1) == ()
    assert assign_gpus([], running, 1, 1) == ()
    assert assign_gpus(["0"], [], 2, 1) == ()  # the job itself reports that it needs two
