"""`hydra/launcher=slurm` on a real SLURM; `launcher/tests/slurm.sh up` starts one with a single node and two simulated GPUs."""

import json
import subprocess
from pathlib import Path

from cluster import job_states, needs_slurm, slurm_app, slurm_queue, wait_for_slurm


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
