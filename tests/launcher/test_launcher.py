"""The launcher as a foreign application meets it: each test writes a small one and runs it from its command line."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

APP = """
import hydra, json, os, pathlib, signal, subprocess, sys, time
from hydra.core.hydra_config import HydraConfig

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg):
    here = pathlib.Path.cwd()
    BODY

if __name__ == "__main__":
    main()
"""

# A user's own sweeper; it writes down what the launcher returned.
SWEEPER = """
import json
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

class Recording(BasicSweeper):
    def setup(self, **arguments):
        super().setup(**arguments)
        launch = self.launcher.launch
        def recorded(*args, **keywords):
            returns = launch(*args, **keywords)
            with open("returns.json", "w") as file:
                rows = [(r.status.name, r._return_value, r.overrides, r.cfg.x, r.hydra_cfg.hydra.job.num, r.task_name)
                        for r in returns]
                json.dump(rows, file, default=str)
            return returns
        self.launcher.launch = recorded
"""

CONFIG = """
defaults: [{override hydra/launcher: local}, _self_]
x: 0
hydra:
  sweep: {dir: out, subdir: "${hydra.job.num}"}
  sweeper: {_target_: hydra_plugins.recording.Recording}
"""


class App:
    """A foreign application in a folder of its own."""

    def __init__(self, folder: Path, body: str, config: str = "") -> None:
        self.folder = folder
        self.environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
        self.environment |= {"PYTHONPATH": f"{ROOT}:{folder}", "TMPDIR": str(folder / "tmp")}
        lines = body.strip().replace("\n", "\n    ")
        for name, text in {
            "app.py": APP.replace("BODY", lines),
            "conf/config.yaml": CONFIG + config,
            "hydra_plugins/recording/__init__.py": SWEEPER,
            "tmp/.keep": "",
        }.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)

    def start(self, *overrides: str) -> subprocess.Popen[str]:
        command = [sys.executable, "app.py", "-m", *overrides]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=pipe,
            stderr=subprocess.STDOUT,
            text=True,
            # A shell's & has Ctrl-C ignored, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *overrides: str) -> tuple[int, str]:
        with self.start(*overrides) as process:
            output, _ = process.communicate(timeout=60)
        assert [path.name for path in (self.folder / "tmp").iterdir()] == [".keep"], output
        return process.returncode, output

    def returns(self) -> Any:
        return json.loads((self.folder / "returns.json").read_text())


def test_values_reach_the_sweeper_and_jobs_overlap(tmp_path: Path) -> None:
    body = """
(here / f"began{cfg.x}").touch()
until = time.monotonic() + 50
while not all((here / f"began{x}").exists() for x in (5, 6)) and time.monotonic() < until: time.sleep(0.05)  # both at once
both = time.monotonic() < until
return {"x": cfg.x, "both": both, "threads": os.environ["OMP_NUM_THREADS"], "name": HydraConfig.get().job.name,
        "dirname": HydraConfig.get().job.override_dirname}
"""
    app = App(tmp_path, body)
    code, output = app.run("x=5,6", "hydra.launcher.jobs=2")
    assert code == 0, output
    assert "2 jobs: 2 finished" in output
    (first, second) = app.returns()
    assert first[0] == second[0] == "COMPLETED"
    assert first[2:] == [["x=5"], 5, 0, "app"]
    assert second[2:] == [["x=6"], 6, 1, "app"]
    a, b = first[1], second[1]
    assert (a["x"], b["x"]) == (5, 6)
    assert a["both"]
    assert b["both"]
    assert a["threads"] == str(max(1, len(os.sched_getaffinity(0)) // 2))
    assert (a["name"], a["dirname"]) == ("app", "x=5")
    assert (tmp_path / "out/1/.hydra/overrides.yaml").read_text() == "- x=6\n"
    assert (tmp_path / "out/0/app.log").exists()


def test_any_death_loses_one_job_only(tmp_path: Path) -> None:
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
        "exit code 0 before main had returned",
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


def test_jobs_run_what_was_composed(tmp_path: Path) -> None:
    """Whatever happens to the configuration meanwhile; nor do values change on their way."""
    config = r"""
small: 1e-5
large: "1e3"
word: "on"
no_yes: [no, "no", null, "null", "~", "", "007", 0x1f, 1_000]
nested: [[1, [2.0, {a: [b, {c: null}]}]], []]
escaped: '\${x} and \\${x} and C:\dir'
text: "two\nlines: # none\t"
missing: ???
to_missing: ${missing}
unset: ${oc.env:NO_SUCH_VARIABLE}
dir: ${hydra:sweep.dir}
number: ${hydra:job.num}
keys: {1: one, "2": two, "on": three}
time: 12:30:00
infinite: .inf
"""
    body = r"""
from omegaconf import OmegaConf
(here / "conf" / "config.yaml").write_text("x: [broken")
(here / "conf" / "group" / "a.yaml").unlink(missing_ok=True)
unset = OmegaConf.is_missing(cfg, "missing"), OmegaConf.to_container(cfg).pop("unset")
values = {k: OmegaConf.to_container(cfg[k]) if OmegaConf.is_config(cfg[k]) else cfg[k]
          for k in cfg if k not in ("missing", "to_missing", "unset")}
return repr((values, unset))
"""
    app = App(tmp_path, body, config)
    (tmp_path / "conf/group").mkdir()
    (tmp_path / "conf/group/a.yaml").write_text("lr: 1e-4\n")
    code, output = app.run("x=1,2", "+group=a")
    assert code == 0, output
    for number, row in enumerate(app.returns()):
        values, (missing, unset) = eval(row[1], {"inf": float("inf")})
        assert missing
        assert unset == "${oc.env:NO_SUCH_VARIABLE}"
        assert values == {
            "x": number + 1,
            "group": {"lr": 1e-4},
            "small": 1e-5,
            "large": "1e3",
            "word": "on",
            "no_yes": [False, "no", None, "null", "~", "", "007", 31, 1000],
            "nested": [[1, [2.0, {"a": ["b", {"c": None}]}]], []],
            "escaped": f"${{x}} and \\{number + 1} and C:\\dir",
            "text": "two\nlines: # none\t",
            "dir": "out",
            "number": number,
            "keys": {1: "one", "2": "two", "on": "three"},
            "time": 45000,
            "infinite": float("inf"),
        }


PLAN = """
import pathlib
from hydra_plugins.process_launcher import Job as Base

class Job(Base):
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


def test_plan_saves_jobs(tmp_path: Path) -> None:
    app = App(tmp_path, "(here / f'began{cfg.x}').touch()\nreturn cfg.x", "folder: ${hydra:runtime.output_dir}")
    (tmp_path / "their_plan.py").write_text(PLAN)
    code, output = app.run("x=1,-1,3,2", "hydra.launcher.plan=their_plan.plan")
    assert code == 0, output
    assert [row[1] for row in app.returns()] == [1, 1, "from before", 2]
    assert sorted(path.name for path in tmp_path.glob("began*")) == ["began1", "began2"]
    assert "3 jobs: 2 finished, 1 there already (4 were asked for, but some are the same)" in output
    assert "finished       job 2" in output

    code, output = app.run("x=4,10", "hydra.launcher.plan=their_plan.plan")
    assert code != 0
    assert "x must be 9 or less, got 10." in output
    assert not (tmp_path / "began4").exists()


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("hydra.launcher.jobs=0", "hydra.launcher.jobs must be 1 or more, got 0: it says how many jobs run at a time."),
        ("hydra.launcher.jobs_per_gpu=0", "hydra.launcher.jobs_per_gpu must be 1 or more, got 0: it says"),
        ("hydra.launcher.retries=-1", "hydra.launcher.retries must be 0 or more, got -1: it says"),
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


RANKS = """
rank = HydraConfig.get().job.name
if rank == "app":  # as Lightning's DDP does it
    subprocess.Popen([sys.executable, *sys.argv, "hydra.job.name=rank1", "hydra.output_subdir=null"])
(here / "ready").mkdir(exist_ok=True)
(here / "ready" / f"{rank}-{cfg.x}").write_text(str(os.getpid()))
other, until = here / "ready" / f"rank1-{cfg.x}", time.monotonic() + 50
while rank == "app" and not (other.exists() and other.read_text()) and time.monotonic() < until: time.sleep(0.05)
time.sleep(cfg.seconds if rank == "app" else cfg.rank_seconds)
if rank == "app" and cfg.x == 9: sys.exit(3)
return rank
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ranks_do_not_report_and_end_with_the_job(tmp_path: Path) -> None:
    app = App(tmp_path, RANKS, "seconds: 0\nrank_seconds: 0")
    code, output = app.run("x=1")
    assert (code, app.returns()[0][1]) == (0, "app"), output
    code, output = app.run("x=9", "rank_seconds=60")
    assert code == 1
    assert "exit code 3" in output
    assert not _alive(tmp_path / "ready/rank1-9")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_jobs_end_with_their_parent(tmp_path: Path, number: signal.Signals) -> None:
    app = App(tmp_path, RANKS, "seconds: 60\nrank_seconds: 60")
    ready = [tmp_path / "ready" / name for name in ("app-1", "rank1-1", "app-2", "rank1-2")]
    with app.start("x=1,2,3", "hydra.launcher.jobs=2") as parent:
        _wait_for(lambda: all(path.exists() and path.read_text() for path in ready))
        assert all(_alive(path) for path in ready)
        parent.send_signal(number)
        output, _ = parent.communicate(timeout=60)
    _wait_for(lambda: not any(_alive(path) for path in ready))
    assert not (tmp_path / "ready/app-3").exists()
    if number == signal.SIGKILL:
        return
    assert parent.returncode == 128 + number
    assert [path.name for path in (tmp_path / "tmp").iterdir()] == [".keep"]
    assert "3 jobs: 2 stopped, 1 pending" in output
    assert "Traceback" not in output


def test_repeat_command_of_a_script_without_a_suffix(tmp_path: Path) -> None:
    app = App(tmp_path, "raise ValueError('no')")
    (tmp_path / "link").symlink_to("app.py")
    command = [sys.executable, "link", "-m", "x=8"]
    done = subprocess.run(command, cwd=tmp_path, env=app.environment, capture_output=True, text=True, check=False)
    assert "repeat: python link x=8\n" in done.stdout, done.stdout + done.stderr


def test_repeat_command_keeps_the_configuration_files(tmp_path: Path) -> None:
    app = App(tmp_path, "sys.exit(cfg.x)")
    (tmp_path / "sweeps").mkdir()
    sweep = "defaults: [config, _self_]\nhydra: {mode: MULTIRUN, sweeper: {params: {x: '7,8'}}}"
    (tmp_path / "sweeps/my sweep.yaml").write_text(sweep)
    command = [sys.executable, "-m", "app", "-cd", "sweeps", "-cn", "my sweep"]
    done = subprocess.run(command, cwd=tmp_path, env=app.environment, capture_output=True, text=True, check=False)
    repeat = "python -m app --config-name 'my sweep' --config-dir sweeps hydra.mode=RUN x=8"
    assert f"repeat: {repeat}\n" in done.stdout
    again = [sys.executable, *shlex.split(repeat)[1:]]
    assert subprocess.run(again, cwd=tmp_path, env=app.environment, capture_output=True, check=False).returncode == 8


def test_plugin_is_light_and_loaded_once() -> None:
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
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)


def _alive(file: Path) -> bool:
    """Whether the process whose id the file holds runs; one that ended and that nobody waited for does not."""
    try:
        return Path(f"/proc/{file.read_text()}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_failed_job_is_tried_again_and_each_reason_is_kept(tmp_path: Path) -> None:
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


def test_different_reasons_are_all_told() -> None:
    from hydra_plugins.process_launcher._jobs import Job, Run

    run = Run(0, Job("0", "job"), "", "failed", reasons=["exit code 3", "killed by SIGKILL"])
    assert run.reason == "attempt 1: exit code 3; attempt 2: killed by SIGKILL"


def test_after_a_failure_nothing_more_is_started_where_that_is_wanted(tmp_path: Path) -> None:
    body = """
(here / f"began{cfg.x}").write_text(str(os.getpid()))
failing, until = here / "began0", time.monotonic() + 50
while cfg.x == 3 and time.monotonic() < until:  # until the parent has seen the other's end
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
    assert "The same command goes on where this one ended." in output


SAFE = """
signal.signal(signal.SIGUSR2, lambda *_: (here / f"asked{cfg.x}").touch())
(here / f"began{cfg.x}").touch()
until = time.monotonic() + 60
while not (here / f"go{cfg.x}").exists() and time.monotonic() < until: time.sleep(0.05)
raise SystemExit("at a safe point")
"""


@pytest.mark.parametrize("twice", [False, True])
def test_ctrl_c_waits_for_a_safe_point_and_a_second_does_not(tmp_path: Path, twice: bool) -> None:
    app = App(tmp_path, SAFE)
    with app.start("x=1,2", "hydra.launcher.jobs=1") as parent:
        _wait_for((tmp_path / "began1").exists)
        parent.send_signal(signal.SIGINT)
        _wait_for((tmp_path / "asked1").exists)
        if twice:
            parent.send_signal(signal.SIGINT)
        else:
            assert parent.poll() is None
            (tmp_path / "go1").touch()
        output, _ = parent.communicate(timeout=60)
    assert parent.returncode == 130
    assert "Ctrl-C again ends them at once." in output
    assert "2 jobs: 1 stopped, 1 pending" in output
    assert "The same command goes on where this one ended." in output
    assert not (tmp_path / "began2").exists()
    assert "Traceback" not in output


def test_gpus_are_dealt_out_in_turn(tmp_path: Path) -> None:
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


def test_no_gpu_has_more_jobs_than_it_may() -> None:
    from hydra_plugins.process_launcher._jobs import Job, Run
    from hydra_plugins.process_launcher._processes import _deal

    running = [Run(n, Job(str(n), ""), "", devices=(gpu,)) for n, gpu in enumerate("00112")]
    assert _deal(["0", "1", "2"], running, 1, 2) == ("2",)
    assert _deal(["0", "1", "2"], running, 2, 2) is None  # until one is given back
    assert _deal(["0", "1"], [], 2, 1) == ("0", "1")
    assert _deal(["0", "1"], running, 0, 1) == ()
    assert _deal([], running, 1, 1) == ()
    assert _deal(["0"], [], 2, 1) == ()  # the job says that it cannot have them


def test_a_dry_run_starts_nothing(tmp_path: Path) -> None:
    app = App(tmp_path, "(here / f'began{cfg.x}').touch()\nreturn cfg.x", "folder: ${hydra:runtime.output_dir}")
    (tmp_path / "their_plan.py").write_text(PLAN)
    code, output = app.run("x=1,-1,3,2", "hydra.launcher.plan=their_plan.plan", "hydra.launcher.dry_run=true")
    assert code == 0, output
    assert "3 jobs: 2 would run, 1 there already (4 were asked for, but some are the same)" in output
    assert "job 1: would run, from 50% on (half)" in output
    assert "job 3: there already" in output
    assert "about 0:30 with 1 at a time, and 4 MB of disk" in output
    assert not list(tmp_path.glob("began*"))


SHARED = """
from hydra_plugins.process_launcher import Job as Base
import fcntl, pathlib

class Job(Base):
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
return "mine"
"""
    app = App(tmp_path, body)
    (tmp_path / "their_plan.py").write_text(SHARED)
    words = ("x=1,2,3,4,5,6", "hydra.launcher.plan=their_plan.plan", "hydra.launcher.jobs=2")
    with app.start(*words) as one, app.start(*words) as other:
        outputs = [process.communicate(timeout=60)[0] for process in (one, other)]
    assert [one.returncode, other.returncode] == [0, 0], outputs
    assert "twice" not in "".join(outputs)
    assert all("failed" not in output for output in outputs)
