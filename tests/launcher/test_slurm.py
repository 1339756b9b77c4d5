"""`hydra/launcher=slurm` on a real SLURM; `tests/slurm.sh up` starts one with a single node and two simulated GPUs."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, SMALL, Said
from tests.launcher.application import App

os.environ.setdefault("SLURM_CONF", "/tmp/slurm-one-node/slurm.conf")  # where tests/slurm.sh puts it


def slurm_answers() -> bool:
    try:
        return subprocess.run(["sinfo"], capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


needs_slurm = pytest.mark.skipif(
    not shutil.which("sbatch") or not slurm_answers(),
    reason="SLURM does not answer: tests/slurm.sh up starts one (on Debian, as root)",
)


def slurm_app(folder: Path, body: str) -> App:
    app = App(folder, textwrap.dedent(body), "  launcher: {check_seconds: 1, cpus: 1, minutes: 10, memory: 300M}\n")
    config = folder / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("launcher: local", "launcher: slurm"))
    return app


def wait_for_slurm(condition: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process is None or process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "timeout"
        time.sleep(0.2)


def job_states() -> dict[str, str]:
    """The states of all jobs of the last day, by their names in SLURM."""
    output = subprocess.check_output(["sacct", "-nXP", "--starttime=now-1day", "--format=JobID,State"], text=True)
    return dict(line.split("|") for line in output.splitlines())


def slurm_queue() -> list[str]:
    return subprocess.check_output(["squeue", "-hr", "--format=%i"], text=True).split()


@needs_slurm
def test_an_array_loses_only_the_jobs_that_raise_or_are_cancelled(tmp_path: Path) -> None:
    app = slurm_app(
        tmp_path,
        """
        if cfg.x == 1: raise ValueError("no such thing as 1")
        if cfg.x == 2:
            (here / "waiting").write_text(os.environ["SLURM_ARRAY_JOB_ID"] + "_" + os.environ["SLURM_ARRAY_TASK_ID"])
            time.sleep(600)
        return cfg.x * 10, os.environ.get("SLURM_JOB_GPUS", "")
        """,
    )
    process = app.start("x=0,1,2,3", "hydra.launcher.retries=1")
    wait_for_slurm((tmp_path / "waiting").exists, process)
    name = (tmp_path / "waiting").read_text()
    subprocess.run(["scancel", name], check=True)
    out = process.communicate()[0]
    assert process.returncode == 1
    returns = json.loads((tmp_path / "returns.json").read_text())
    assert [row[0] for row in returns] == ["COMPLETED", "FAILED", "FAILED", "COMPLETED"]
    assert [returns[i][1][0] for i in (0, 3)] == [0, 30]
    assert all(returns[i][1][1] in ("0", "1") for i in (0, 3))  # a GPU each
    assert "4 jobs: 2 finished, 2 failed" in out
    assert "why:    ValueError: no such thing as 1 (2 attempts)" in out
    assert "repeat: python app.py x=1" in out
    assert "why:    SLURM says CANCELLED" in out
    number = name.partition("_")[0]
    states = job_states()
    assert [states[f"{number}_{i}"].split()[0] for i in range(4)] == ["COMPLETED", "FAILED", "CANCELLED", "COMPLETED"]


@needs_slurm
def test_a_job_preempted_in_mid_epoch_gets_the_result_of_an_undisturbed_one(tmp_path: Path) -> None:
    words = [*SMALL, "model=crnn", "rnn=gru", "nodes=4", "model.sequence=positions", "model.dropout=0.3"]
    words += ["data.augment.crop=2", "trainer.accelerator=cpu", "trainer.max_epochs=5", "callbacks.early_stopping=null"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "train.py"), *words]
    subprocess.run([*command, f"out={tmp_path / 'alone'}"], check=True, capture_output=True, env=environment)
    (alone,) = (tmp_path / "alone").glob("*/*/*/result.json")
    folder = tmp_path / "runs" / alone.parent.relative_to(tmp_path / "alone")

    submit = [*command, f"out={tmp_path / 'runs'}", "-m", "seed=0", "hydra/launcher=slurm"]
    settings = ["check_seconds=1", "cpus=1", "minutes=20", "memory=2G", "signal_seconds=60"]
    submit += [f"hydra.launcher.{setting}" for setting in settings]
    process = subprocess.Popen(submit, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    wait_for_slurm((folder / "metrics.csv").exists, process)
    (record,) = (tmp_path / "runs" / "slurm").glob("*/jobs.json")
    ((_, _, name),) = json.loads(record.read_text())
    subprocess.run(["scancel", "--signal=USR2", name], check=True)
    out = process.communicate(timeout=300)[0]
    assert process.returncode == 0, out
    attempts = json.loads((folder / "provenance.json").read_text())["attempts"]
    assert attempts[0]["error"].startswith("StoppedError: stopped on request after epoch")
    assert len(attempts) == 2
    for file in ("result.json", "metrics.csv", "predictions.npz"):
        assert (folder / file).read_bytes() == (alone.parent / file).read_bytes()
    assert not (tmp_path / "runs" / "slurm").exists()


@needs_slurm
def test_the_user_may_leave_and_come_back(tmp_path: Path) -> None:
    app = slurm_app(
        tmp_path,
        """
        with open("started", "a") as file: file.write("x")
        while not (here / "go").exists(): time.sleep(0.1)
        return cfg.x
        """,
    )
    code, out = app.run("x=0,1", "hydra.launcher.wait=false")
    assert code == 0
    assert "2 jobs submitted, 0 already queued. The jobs stay in SLURM's queue" in out
    wait_for_slurm(lambda: len(slurm_queue()) >= 2)
    code, out = app.run("x=0,1", "hydra.launcher.wait=false")
    assert "0 jobs submitted, 2 already queued" in out
    process = app.start("x=0,1")
    assert process.stdout
    assert "started" in next(line for line in process.stdout if not line.startswith("composing configurations"))
    (tmp_path / "go").touch()
    out = process.communicate()[0]
    assert process.returncode == 0, out
    assert [row[1] for row in json.loads((tmp_path / "returns.json").read_text())] == [0, 1]
    assert (tmp_path / "started").read_text() == "xx"


@needs_slurm
def test_each_process_of_a_distributed_run_is_a_task(tmp_path: Path) -> None:
    words = [
        *SMALL,
        "model=cnn",
        "trainer.max_epochs=1",
        "trainer.accelerator=cpu",
        "trainer.devices=2",
        "trainer.strategy=ddp",
    ]
    words += [f"out={tmp_path}", "-m", "seed=0", "hydra/launcher=slurm"]
    words += [f"hydra.launcher.{setting}" for setting in ("check_seconds=1", "cpus=1", "memory=3G")]
    process = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *words], capture_output=True, text=True, check=False, timeout=300
    )
    assert process.returncode == 0, process.stdout + process.stderr
    (result,) = tmp_path.glob("digits/cnn/*/result.json")
    (attempt,) = json.loads((result.parent / "provenance.json").read_text())["attempts"]
    assert attempt["devices"] == 2


@needs_slurm
def test_an_array_that_slurm_rejects_is_reported_in_one_sentence(tmp_path: Path) -> None:
    code, out = slurm_app(tmp_path, "return cfg.x").run("x=0,1", "hydra.launcher.partition=nowhere")
    assert code != 0
    assert "SLURM rejected the jobs:" in out
    assert "invalid partition specified: nowhere" in out
    assert not (tmp_path / "slurm").exists()


@needs_slurm
def test_a_failing_setup_is_reported_and_the_next_command_cleans_up(tmp_path: Path) -> None:
    app = slurm_app(tmp_path, "return cfg.x")
    code, out = app.run("x=0", "hydra.launcher.setup=[echo no such module, exit 3]")
    assert code == 1
    assert "why:    SLURM says FAILED on " in out
    assert ", exit code 3" in out
    assert "  | no such module" in out
    (folder,) = (tmp_path / "slurm").iterdir()
    assert f"Logs of the failed jobs: {folder}" in out
    assert app.run("x=0")[0] == 0
    assert not folder.exists()


def test_a_missing_slurm_and_a_value_out_of_range_are_reported(tmp_path: Path) -> None:
    app = slurm_app(tmp_path, "return cfg.x")
    app.environment["PATH"] = str(tmp_path)
    assert "hydra/launcher=slurm needs sbatch and srun on PATH" in app.run("x=0,1")[1]
    assert (
        "hydra.launcher.signal_seconds must be 30 or more, got 5"
        in app.run("x=0", "hydra.launcher.signal_seconds=5")[1]
    )


def test_the_documented_profile_works(command: Callable[..., Said], tmp_path: Path) -> None:
    profile = tmp_path / "mine" / "hydra" / "launcher" / "mylab.yaml"
    profile.parent.mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "slurm-profile.yaml", profile)
    words = [*SMALL, "model=cnn", "seed=0,1", "hydra/launcher=mylab", "dry_run=true"]
    answer = command("--config-dir", str(tmp_path / "mine"), "-m", *words)
    assert "2 jobs: 2 would run" in answer.out, answer.err
