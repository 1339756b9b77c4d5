"""Jobs that need other jobs, in a foreign application."""

import json
import signal
from pathlib import Path

import pytest

from application import App, wait_for
from cluster import needs_slurm, slurm_app, slurm_queue, wait_for_slurm

PLAN = """
import fcntl
from pathlib import Path
from hydra_plugins.process_launcher import PlannedJob

NEEDS = {"b": "a", "c": "a", "d": "c", "p": "q", "q": "p"}

class Job(PlannedJob):
    def __init__(self, x):
        super().__init__(x, f"job {x}", gpus=0)
        self.x = x
    def finished(self): return Path(f"done-{self.x}").exists()
    def result(self): return "from before"
    def refuses(self): return "it is hopeless" if Path(f"hopeless-{self.x}").exists() else ""
    def needs(self): return [([f"x={x}"], Job(x)) for x in NEEDS.get(self.x, "")]
    def replaces(self): return {"no.such": 1} if self.x == "lost" else {}
    def cost(self): return 30.0, 1e6
    def busy(self):
        try:
            with open(f"lock-{self.x}", "rb") as lock: fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError: return ""
        except BlockingIOError: return "by another sweep"
        return ""

def plan(configs): return [Job(config.x) for config in configs]
"""

BODY = """
import fcntl
lock = open(here / f"lock-{cfg.x}", "a")
fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
with open(here / "started", "a") as file: file.write(f"{cfg.x} ")
while (here / f"hold-{cfg.x}").exists(): time.sleep(0.05)
if (here / f"fail-{cfg.x}").exists(): raise ValueError("no luck")
(here / f"done-{cfg.x}").touch()
return cfg.x
"""

WITH_PLAN = "hydra.launcher.plan=their_plan.plan"


def write_app(folder: Path, plan: str = PLAN, body: str = BODY, config: str = "") -> App:
    (folder / "their_plan.py").write_text(plan)
    return App(folder, body, config)


def started(folder: Path) -> list[str]:
    """The jobs in the order in which they started."""
    return (folder / "started").read_text().split() if (folder / "started").exists() else []


def test_a_needed_job_runs_first_and_once_and_delays_no_other_job(tmp_path: Path) -> None:
    app = write_app(tmp_path)
    (tmp_path / "hold-a").touch()
    with app.start("x=b,c,free", WITH_PLAN, "hydra.launcher.jobs=2") as parent:
        wait_for((tmp_path / "done-free").exists)
        (tmp_path / "hold-a").unlink()
        output, _ = parent.communicate(timeout=60)
    assert parent.returncode == 0, output
    assert [sorted(pair) for pair in (started(tmp_path)[:2], started(tmp_path)[2:])] == [["a", "free"], ["b", "c"]]
    assert [row[1] for row in app.returns()] == ["b", "c", "free"]
    assert "[0/4] started        job a  added: needed by job b and 1 more\n" in output
    assert "4 jobs: 4 finished (1 added: needed by others)\n" in output

    _, output = app.run("x=b,c", WITH_PLAN)
    assert "2 jobs: 2 already done\n" in output
    for name in ("done-a", "done-b"):
        (tmp_path / name).unlink()
    code, output = app.run("x=c,b,b,a", WITH_PLAN)  # a is requested, and c is done without it
    assert code == 0, output
    assert [row[1] for row in app.returns()] == ["from before", "b", "b", "a"]
    assert "3 jobs: 2 finished, 1 already done (4 requested, some of them identical)\n" in output
    assert started(tmp_path)[4:] == ["a", "b"]
    (tmp_path / "done-b").unlink()
    _, output = app.run("x=b", WITH_PLAN)
    assert "\n1 jobs: 1 finished\n" in output
    assert started(tmp_path)[6:] == ["b"]


@pytest.mark.parametrize("stop", [False, True])
def test_a_job_that_needs_a_failed_job_is_blocked(tmp_path: Path, stop: bool) -> None:
    app = write_app(tmp_path)
    (tmp_path / "fail-a").touch()
    code, output = app.run(
        "x=d,b,free",
        WITH_PLAN,
        "hydra.launcher.retries=1",
        f"hydra.launcher.on_failure={'stop' if stop else 'continue'}",
    )
    assert code == 1
    assert started(tmp_path) == ["a", "a", "free"][: 2 if stop else 3]
    assert f"5 jobs: {'' if stop else '1 finished, '}1 failed, 3 blocked" in output
    assert "(2 added: needed by others)" in output
    assert "\nblocked by job a:\n  job c\n  job d\n  job b" in output
    assert output.count("why:") == 1
    (status, reason, *_), (_, second_reason, *_), _ = app.returns()
    assert (status, reason) == ("FAILED", "Job 'job d' failed: blocked by job a; repeat it with: python app.py x=d")
    assert second_reason.startswith("Job 'job b' failed: blocked by job a;")

    (tmp_path / "fail-a").unlink()
    (tmp_path / "hopeless-c").touch()
    code, output = app.run("x=d,b", WITH_PLAN, "hydra.launcher.dry_run=true")
    assert "  job d: would not be started: blocked by job c\n" in output
    code, output = app.run("x=d,b", WITH_PLAN)
    assert code == 1
    assert [row[0] for row in app.returns()] == ["FAILED", "COMPLETED"]
    assert "why:    it is hopeless" in output
    assert "blocked by job c:\n  job d" in output


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        ("p", "A job must not need itself, but 'job p' needs 'job q' needs 'job p'."),
        (
            "lost",
            "hydra.launcher.plan=their_plan.plan cannot replace no.such in the configuration of 'job lost': Key 'no' ",
        ),
    ],
)
def test_plans_that_cannot_be_followed_are_refused(tmp_path: Path, x: str, sentence: str) -> None:
    code, output = write_app(tmp_path).run(f"x=free,{x}", WITH_PLAN)
    assert code == 1
    assert sentence in output
    assert "Traceback" not in output
    assert not started(tmp_path)


def test_a_dry_run_lists_the_added_jobs(tmp_path: Path) -> None:
    code, output = write_app(tmp_path).run("x=b,d", WITH_PLAN, "hydra.launcher.jobs=4", "hydra.launcher.dry_run=true")
    assert code == 0, output
    # On a busy machine a line about composing comes first.
    assert [line for line in output.splitlines() if not line.startswith("composing configurations")] == [
        "4 jobs: 4 would run, 0 already done (2 added: needed by others)",
        "  job a: would run  (added: needed by job b and 1 more)",
        "  job b: would run after job a",
        "  job c: would run after job a  (added: needed by job d)",
        "  job d: would run after job c",
        "about 1:30 with 4 at a time, and 4 MB of disk, estimated from earlier jobs",
        "nothing was started",
    ]
    assert not started(tmp_path)


def test_a_killed_sweep_continues(tmp_path: Path) -> None:
    app = write_app(tmp_path)
    (tmp_path / "hold-c").touch()
    with app.start("x=d", WITH_PLAN, "hydra.launcher.jobs=2") as parent:
        wait_for(lambda: "c" in started(tmp_path))
        parent.send_signal(signal.SIGTERM)
        output, _ = parent.communicate(timeout=60)
    assert "3 jobs: 1 finished, 1 stopped, 1 pending (2 added: needed by others)" in output
    (tmp_path / "hold-c").unlink()
    code, output = app.run("x=d", WITH_PLAN)
    assert code == 0, output
    assert started(tmp_path) == ["a", "c", "c", "d"]
    assert "2 jobs: 2 finished (1 added: needed by others)" in output


def test_a_needed_job_that_runs_elsewhere_is_waited_for(tmp_path: Path) -> None:
    app = write_app(tmp_path)
    (tmp_path / "hold-a").touch()
    with app.start("x=a", WITH_PLAN) as first:
        wait_for(lambda: "a" in started(tmp_path))
        with app.start("x=b", WITH_PLAN) as second:
            assert second.stdout
            line = next(line for line in second.stdout if not line.startswith("composing configurations"))
            (tmp_path / "hold-a").unlink()  # before the assertion: a failure waits for the sweeps to end
            assert "elsewhere      job a" in line
            outputs = [process.communicate(timeout=60)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    assert started(tmp_path) == ["a", "b"]
    assert "2 jobs: 1 finished, 1 already done (1 added: needed by others)" in outputs[1]


COMPOSING = """
from pathlib import Path
from hydra import compose
from hydra_plugins.process_launcher import PlannedJob

class Job(PlannedJob):
    def __init__(self, cfg):
        self.cfg = cfg
        self.source = [(list(cfg.words), Job(compose("config", list(cfg.words))))] if cfg.words else []
        super().__init__(f"{cfg.x} {[job.key for _, job in self.source]}", f"job {cfg.x}")
    def needs(self): return self.source
    def replaces(self): return {"words": f"composed from {self.source[0][1].cfg.x}, ${{x}}"} if self.source else {}

def plan(configs):
    Path("plan_calls").open("a").write(f"{len(configs)} ")
    return [Job(cfg) for cfg in configs]
"""


def test_a_job_that_the_plan_composed_is_added_and_replaces_a_value(tmp_path: Path) -> None:
    config = "words: []\nmodel: {source: '${words}'}"
    body = "return str(cfg.model.source)"
    app = write_app(tmp_path, COMPOSING, body, config)
    code, output = app.run("x=5,6", "words=['x=7']", WITH_PLAN)
    assert code == 0, output
    assert [row[1] for row in app.returns()] == ["composed from 7, ${x}"] * 2
    assert (tmp_path / "out/-1/.hydra/overrides.yaml").read_text() == "- x=7\n"
    assert (tmp_path / "plan_calls").read_text() == "2 "
    assert "3 jobs: 3 finished (1 added: needed by others)" in output


@needs_slurm
def test_slurm_starts_a_job_after_those_that_it_needs(tmp_path: Path) -> None:
    (tmp_path / "their_plan.py").write_text(PLAN)
    app = slurm_app(tmp_path, BODY)
    (tmp_path / "hold-a").touch()
    code, output = app.run("x=b", WITH_PLAN, "hydra.launcher.wait=false")
    assert code == 0, output
    assert "2 jobs submitted (1 added: needed by others), 0 already queued." in output
    wait_for_slurm(lambda: "a" in started(tmp_path))
    process = app.start("x=d,b,free", WITH_PLAN)  # c needs a, which is already queued, and d needs c
    wait_for_slurm((tmp_path / "done-free").exists, process)
    (tmp_path / "hold-a").unlink()
    output = process.communicate()[0]
    assert process.returncode == 0, output
    assert [row[1] for row in app.returns()] == ["d", "b", "free"]
    order = started(tmp_path)
    assert sorted(order) == ["a", "b", "c", "d", "free"]
    assert order.index("d") > order.index("c") > order.index("a") < order.index("b")
    assert "5 jobs: 5 finished (2 added: needed by others)" in output
    assert not (tmp_path / "slurm").exists()


@needs_slurm
def test_slurm_cancels_jobs_that_need_a_failed_job(tmp_path: Path) -> None:
    (tmp_path / "their_plan.py").write_text(PLAN)
    app = slurm_app(tmp_path, BODY)
    (tmp_path / "fail-a").touch()
    code, output = app.run("x=d,b,free", WITH_PLAN)
    assert code == 1
    assert [(row[0], row[1].partition(";")[0]) for row in app.returns()] == [
        ("FAILED", "Job 'job d' failed: blocked by job a"),
        ("FAILED", "Job 'job b' failed: blocked by job a"),
        ("COMPLETED", "free"),
    ]
    assert "5 jobs: 1 finished, 1 failed, 3 blocked (2 added: needed by others)" in output
    assert "why:    ValueError: no luck\n" in output
    assert "\nblocked by job a:\n  job c\n  job d\n  job b\n" in output
    assert sorted(started(tmp_path)) == ["a", "free"]
    (record,) = (tmp_path / "slurm").glob("*/jobs.json")
    assert not {name for *_, name in json.loads(record.read_text())} & set(slurm_queue())
