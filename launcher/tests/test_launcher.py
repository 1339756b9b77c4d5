"""The launcher's settings and plans, and sweeps that share jobs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from application import SOURCE, App

PLAN = """
import pathlib
from hydra_plugins.process_launcher import PlannedJob

class Job(PlannedJob):
    def __init__(self, x, folder):
        super().__init__(str(abs(x)), f"job {abs(x)}")
        self.x, self.folder = x, folder
    def finished(self): return self.x == 3
    def result(self): return "from before"
    def progress(self): return 0.5, "half"
    def cost(self): return 30.0, 2e6

def plan(configs):
    if any(config.x > 9 for config in configs):
        raise ValueError("x must be 9 or less, got 10.")
    return [Job(config.x, config.folder) for config in configs]
"""


def test_a_plan_saves_jobs(tmp_path: Path) -> None:
    app = App(tmp_path, "(here / f'began{cfg.x}').touch()\nreturn cfg.x", "folder: ${hydra:runtime.output_dir}")
    (tmp_path / "their_plan.py").write_text(PLAN)
    code, output = app.run("x=1,-1,3,2", "hydra.launcher.plan=their_plan.plan")
    assert code == 0, output
    assert [row[1] for row in app.returns()] == [1, 1, "from before", 2]
    assert sorted(path.name for path in tmp_path.glob("began*")) == ["began1", "began2"]
    assert "3 jobs: 2 finished, 1 already done (4 requested, some of them identical)" in output
    assert "finished       job 2" in output

    code, output = app.run("x=4,10", "hydra.launcher.plan=their_plan.plan")
    assert code != 0
    assert "x must be 9 or less, got 10." in output
    assert not (tmp_path / "began4").exists()


def test_a_dry_run_starts_nothing(tmp_path: Path) -> None:
    app = App(tmp_path, "(here / f'began{cfg.x}').touch()\nreturn cfg.x", "folder: ${hydra:runtime.output_dir}")
    (tmp_path / "their_plan.py").write_text(PLAN)
    code, output = app.run("x=1,-1,3,2", "hydra.launcher.plan=their_plan.plan", "hydra.launcher.dry_run=true")
    assert code == 0, output
    assert "3 jobs: 2 would run, 1 already done (4 requested, some of them identical)" in output
    assert "job 1: would run, continuing from 50% (half)" in output
    assert "job 3: already done" in output
    assert "about 0:30 with 1 at a time, and 4 MB of disk" in output
    assert not list(tmp_path.glob("began*"))


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("hydra.launcher.jobs=0", "hydra.launcher.jobs must be 1 or more, got 0: it sets how many jobs run at a time."),
        (
            "hydra.launcher.jobs_per_gpu=0",
            "hydra.launcher.jobs_per_gpu must be 1 or more, got 0: it sets how many jobs share a GPU.",
        ),
        (
            "hydra.launcher.retries=-1",
            "hydra.launcher.retries must be 0 or more, got -1: it sets how often a job that failed is started again.",
        ),
        ("hydra.launcher.on_failure=go", "hydra.launcher.on_failure must be continue or stop, got 'go'."),
        ("hydra.launcher.plan=no.such", "hydra.launcher.plan must name a function, got 'no.such': "),
    ],
)
def test_bad_settings_are_refused(tmp_path: Path, override: str, sentence: str) -> None:
    code, output = App(tmp_path, "(here / 'began').touch()").run("x=1,2", override)
    assert code == 1
    assert sentence in output
    assert "Traceback" not in output
    assert not (tmp_path / "began").exists()


SHARED = """
from hydra_plugins.process_launcher import PlannedJob
import fcntl, pathlib

class Job(PlannedJob):
    def __init__(self, x):
        super().__init__(str(x), f"job {x}")
        self.x = x
    def finished(self): return pathlib.Path(f"done{self.x}").exists()
    def result(self): return "theirs"
    def busy(self):
        try:
            with open(f"lock{self.x}", "rb") as lock: fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError: return ""
        except BlockingIOError: return "by another sweep"
        return ""

def plan(configs): return [Job(config.x) for config in configs]
"""


def test_two_sweeps_at_once_run_each_job_once(tmp_path: Path) -> None:
    body = """
import fcntl
with open(here / f"lock{cfg.x}", "a") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert not (here / f"done{cfg.x}").exists(), "twice"
    time.sleep(0.5)
    (here / f"done{cfg.x}").touch()
return "new"
"""
    app = App(tmp_path, body)
    (tmp_path / "their_plan.py").write_text(SHARED)
    words = ("x=1,2,3,4,5,6", "hydra.launcher.plan=their_plan.plan", "hydra.launcher.jobs=2")
    with app.start(*words) as first, app.start(*words) as second:
        outputs = [process.communicate(timeout=60)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    assert "twice" not in "".join(outputs)
    assert all("failed" not in output for output in outputs)


def test_the_plugin_is_light_and_loaded_once() -> None:
    script = """
import sys
from hydra.core.plugins import Plugins
plugins = Plugins.instance()
import hydra_plugins.process_launcher as ours
assert plugins.class_name_to_class["hydra_plugins.process_launcher._launcher.LocalLauncher"] is ours.LocalLauncher
assert ours.JobFailed is sys.modules["hydra_plugins.process_launcher._jobs"].JobFailed
heavy = {"torch", "rich", "lightning", "pytorch_lightning", "hybridnets"} & set(sys.modules)
assert not heavy, heavy
"""
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
