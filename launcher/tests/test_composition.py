"""What a job's process gets: its configuration, its environment, and the command that repeats it."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from application import App


def test_values_reach_the_sweeper_and_jobs_overlap(tmp_path: Path) -> None:
    body = """
(here / f"began{cfg.x}").touch()
until = time.monotonic() + 50
while not all((here / f"began{x}").exists() for x in (5, 6)) and time.monotonic() < until: time.sleep(0.05)  # for both
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


def test_jobs_run_the_configuration_that_was_composed(tmp_path: Path) -> None:
    """Changes of the configuration files come too late, and no value changes on its way."""
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


def test_repeat_command_of_a_script_without_a_suffix(tmp_path: Path) -> None:
    app = App(tmp_path, "raise ValueError('no')")
    (tmp_path / "link").symlink_to("app.py")
    command = [sys.executable, "link", "-m", "x=8"]
    process = subprocess.run(command, cwd=tmp_path, env=app.environment, capture_output=True, text=True, check=False)
    assert "repeat: python link x=8\n" in process.stdout, process.stdout + process.stderr


def test_repeat_command_keeps_the_configuration_files(tmp_path: Path) -> None:
    app = App(tmp_path, "sys.exit(cfg.x)")
    (tmp_path / "sweeps").mkdir()
    sweep = "defaults: [config, _self_]\nhydra: {mode: MULTIRUN, sweeper: {params: {x: '7,8'}}}"
    (tmp_path / "sweeps/my sweep.yaml").write_text(sweep)
    command = [sys.executable, "-m", "app", "-cd", "sweeps", "-cn", "my sweep"]
    process = subprocess.run(command, cwd=tmp_path, env=app.environment, capture_output=True, text=True, check=False)
    repeat = "python -m app --config-name 'my sweep' --config-dir sweeps hydra.mode=RUN x=8"
    assert f"repeat: {repeat}\n" in process.stdout
    again = [sys.executable, *shlex.split(repeat)[1:]]
    assert subprocess.run(again, cwd=tmp_path, env=app.environment, capture_output=True, check=False).returncode == 8
