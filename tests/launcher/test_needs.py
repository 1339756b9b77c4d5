"""Jobs that need other jobs, in an application that is not ours."""

import json
import signal
from pathlib import Path

import pytest

from tests.launcher.test_launcher import App, _wait_for
from tests.launcher.test_slurm import app as on_slurm
from tests.launcher.test_slurm import queue, slurm, until

PLAN = """
import fcntl
from pathlib import Path
from hydra_plugins.process_launcher import Job as Base

NEEDS = {"b": "a", "c": "a", "d": "c", "p": "q", "q": "p"}

class Job(Base):
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
with open(here / "begun", "a") as file: file.write(f"{cfg.x} ")
while (here / f"hold-{cfg.x}").exists(): time.sleep(0.05)
if (here / f"fail-{cfg.x}").exists(): raise ValueError("no luck")
(here / f"done-{cfg.x}").touch()
return cfg.x
"""

WITH_PLAN = "hydra.launcher.plan=their_plan.plan"


def made(folder: Path, plan: str = PLAN, body: str = BODY, config: str = "") -> App:
    (folder / "their_plan.py").write_text(plan)
    return App(folder, body, config)


def begun(folder: Path) -> list[str]:
    """The jobs in the order in which they began."""
    return (folder / "begun").read_text().split() if (folder / "begun").exists() else []


def test_what_is_needed_runs_first_once_and_holds_up_nobody_else(tmp_path: Path) -> None:
    app = made(tmp_path)
    (tmp_path / "hold-a").touch()
    with app.start("x=b,c,free", WITH_PLAN, "hydra.launcher.jobs=2") as parent:
        _wait_for((tmp_path / "done-free").exists)
        (tmp_path / "hold-a").unlink()
        output, _ = parent.communicate(timeout=60)
    assert parent.returncode == 0, output
    assert [sorted(pair) for pair in (begun(tmp_path)[:2], begun(tmp_path)[2:])] == [["a", "free"], ["b", "c"]]
    assert [row[1] for row in app.returns()] == ["b", "c", "free"]
    assert "[0/4] started        job a  added: needed by job b and 1 more\n" in output
    assert "4 jobs: 4 finished (1 added: needed by others)\n" in output

    _, output = app.run("x=b,c", WITH_PLAN)
    assert "2 jobs: 2 there already\n" in output
    for name in ("done-a", "done-b"):
        (tmp_path / name).unlink()
    code, output = app.run("x=c,b,b,a", WITH_PLAN)  # a was asked for, and c is there without it
    assert code == 0, output
    assert [row[1] for row in app.returns()] == ["from before", "b", "b", "a"]
    assert "3 jobs: 2 finished, 1 there already (4 were asked for, but some are the same)\n" in output
    assert begun(tmp_path)[4:] == ["a", "b"]
    (tmp_path / "done-b").unlink()
    _, output = app.run("x=b", WITH_PLAN)
    assert "\n1 jobs: 1 finished\n" in output
    assert begun(tmp_path)[6:] == ["b"]


@pytest.mark.parametrize("stop", [False, True])
def test_what_needs_a_job_that_fails_is_blocked_by_its_name(tmp_path: Path, stop: bool) -> None:
    app = made(tmp_path)
    (tmp_path / "fail-a").touch()
    code, output = app.run(
        "x=d,b,free",
        WITH_PLAN,
        "hydra.launcher.retries=1",
        f"hydra.launcher.on_failure={'stop' if stop else 'continue'}",
    )
    assert code == 1
    assert begun(tmp_path) == ["a", "a", "free"][: 2 if stop else 3]
    assert f"5 jobs: {'' if stop else '1 finished, '}1 failed, 3 blocked" in output
    assert "(2 added: needed by others)" in output
    assert "\nblocked by job a:\n  job c\n  job d\n  job b" in output
    assert output.count("why:") == 1
    (status, reason, *_), (_, other, *_), _ = app.returns()
    assert (status, reason) == ("FAILED", "Job 'job d' failed: blocked by job a; repeat it with: python app.py x=d")
    assert other.startswith("Job 'job b' failed: blocked by job a;")

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
        ("p", "A job must not need itself, and here 'job p' needs 'job q' needs 'job p'."),
        (
            "lost",
            "hydra.launcher.plan=their_plan.plan cannot replace no.such in the configuration of 'job lost': Key 'no' ",
        ),
    ],
)
def test_plans_that_cannot_be_followed_are_refused(tmp_path: Path, x: str, sentence: str) -> None:
    code, output = made(tmp_path).run(f"x=free,{x}", WITH_PLAN)
    assert code == 1
    assert sentence in output
    assert "Traceback" not in output
    assert not begun(tmp_path)


def test_a_dry_run_says_what_would_be_added(tmp_path: Path) -> None:
    code, output = made(tmp_path).run("x=b,d", WITH_PLAN, "hydra.launcher.jobs=4", "hydra.launcher.dry_run=true")
    assert code == 0, output
    # On a busy machine a line says first how far composing is.
    assert [line for line in output.splitlines() if not line.startswith("composing settings")] == [
        "4 jobs: 4 would run, 0 there already (2 added: needed by others)",
        "  job a: would run  (added: needed by job b and 1 more)",
        "  job b: would run after job a",
        "  job c: would run after job a  (added: needed by job d)",
        "  job d: would run after job c",
        "about 1:30 with 4 at a time, and 4 MB of disk, by what earlier jobs took",
        "nothing was started",
    ]
    assert not begun(tmp_path)


def test_a_sweep_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    app = made(tmp_path)
    (tmp_path / "hold-c").touch()
    with app.start("x=d", WITH_PLAN, "hydra.launcher.jobs=2") as parent:
        _wait_for(lambda: "c" in begun(tmp_path))
        parent.send_signal(signal.SIGTERM)
        output, _ = parent.communicate(timeout=60)
    assert "3 jobs: 1 finished, 1 stopped, 1 pending (2 added: needed by others)" in output
    (tmp_path / "hold-c").unlink()
    code, output = app.run("x=d", WITH_PLAN)
    assert code == 0, output
    assert begun(tmp_path) == ["a", "c", "c", "d"]
    assert "2 jobs: 2 finished (1 added: needed by others)" in output


def test_a_needed_job_in_other_hands_is_waited_for(tmp_path: Path) -> None:
    app = made(tmp_path)
    (tmp_path / "hold-a").touch()
    with app.start("x=a", WITH_PLAN) as one:
        _wait_for(lambda: "a" in begun(tmp_path))
        with app.start("x=b", WITH_PLAN) as other:
            assert other.stdout
            line = next(line for line in other.stdout if not line.startswith("composing settings"))
            assert "elsewhere      job a" in line
            (tmp_path / "hold-a").unlink()
            outputs = [process.communicate(timeout=60)[0] for process in (one, other)]
    assert [one.returncode, other.returncode] == [0, 0], outputs
    assert begun(tmp_path) == ["a", "b"]
    assert "2 jobs: 1 finished, 1 there already (1 added: needed by others)" in outputs[1]


COMPOSING = """
from pathlib import Path
from hydra import compose
from hydra_plugins.process_launcher import Job as Base

class Job(Base):
    def __init__(self, cfg):
        self.cfg = cfg
        self.source = [(list(cfg.words), Job(compose("config", list(cfg.words))))] if cfg.words else []
        super().__init__(f"{cfg.x} {[job.key for _, job in self.source]}", f"job {cfg.x}")
    def needs(self): return self.source
    def replaces(self): return {"words": f"made of {self.source[0][1].cfg.x}, ${{x}}"} if self.source else {}

def plan(configs):
    Path("asked").open("a").write(f"{len(configs)} ")
    return [Job(cfg) for cfg in configs]
"""


def test_what_a_plan_composed_is_added_and_its_place_given_to_the_process(tmp_path: Path) -> None:
    config = "words: []\nmodel: {source: '${words}'}"
    body = "return str(cfg.model.source)"
    app = made(tmp_path, COMPOSING, body, config)
    code, output = app.run("x=5,6", "words=['x=7']", WITH_PLAN)
    assert code == 0, output
    assert [row[1] for row in app.returns()] == ["made of 7, ${x}"] * 2
    assert (tmp_path / "out/-1/.hydra/overrides.yaml").read_text() == "- x=7\n"
    assert (tmp_path / "asked").read_text() == "2 "
    assert "3 jobs: 3 finished (1 added: needed by others)" in output


@slurm
def test_slurm_starts_a_job_once_what_it_needs_has_finished(tmp_path: Path) -> None:
    (tmp_path / "their_plan.py").write_text(PLAN)
    made = on_slurm(tmp_path, BODY)
    (tmp_path / "hold-a").touch()
    code, output = made.run("x=b", WITH_PLAN, "hydra.launcher.wait=false")
    assert code == 0, output
    assert "2 jobs submitted (1 added: needed by others), 0 were queued already." in output
    until(lambda: "a" in begun(tmp_path))
    process = made.start("x=d,b,free", WITH_PLAN)  # c, on a that is queued already, and d on c
    until((tmp_path / "done-free").exists, process)
    (tmp_path / "hold-a").unlink()
    output = process.communicate()[0]
    assert process.returncode == 0, output
    assert [row[1] for row in made.returns()] == ["d", "b", "free"]
    order = begun(tmp_path)
    assert sorted(order) == ["a", "b", "c", "d", "free"]
    assert order.index("d") > order.index("c") > order.index("a") < order.index("b")
    assert "5 jobs: 5 finished (2 added: needed by others)" in output
    assert not (tmp_path / "slurm").exists()


@slurm
def test_slurm_cancels_what_needs_a_job_that_fails(tmp_path: Path) -> None:
    (tmp_path / "their_plan.py").write_text(PLAN)
    made = on_slurm(tmp_path, BODY)
    (tmp_path / "fail-a").touch()
    code, output = made.run("x=d,b,free", WITH_PLAN)
    assert code == 1
    assert [(row[0], row[1].partition(";")[0]) for row in made.returns()] == [
        ("FAILED", "Job 'job d' failed: blocked by job a"),
        ("FAILED", "Job 'job b' failed: blocked by job a"),
        ("COMPLETED", "free"),
    ]
    assert "5 jobs: 1 finished, 1 failed, 3 blocked (2 added: needed by others)" in output
    assert "why:    ValueError: no luck\n" in output
    assert "\nblocked by job a:\n  job c\n  job d\n  job b\n" in output
    assert sorted(begun(tmp_path)) == ["a", "free"]
    (record,) = (tmp_path / "slurm").glob("*/jobs.json")
    assert not {name for *_, name in json.loads(record.read_text())} & set(queue())
