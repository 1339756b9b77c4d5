"""Runs on a real SLURM; `launcher/tests/slurm.sh up` starts one with a single node and two simulated GPUs."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from cluster import needs_slurm, wait_for_slurm
from tests.conftest import ROOT, SMALL, Said


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


def test_the_documented_profile_works(command: Callable[..., Said], tmp_path: Path) -> None:
    profile = tmp_path / "mine" / "hydra" / "launcher" / "mylab.yaml"
    profile.parent.mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "slurm-profile.yaml", profile)
    words = [*SMALL, "model=cnn", "seed=0,1", "hydra/launcher=mylab", "dry_run=true"]
    answer = command("--config-dir", str(tmp_path / "mine"), "-m", *words)
    assert "2 jobs: 2 would run" in answer.out, answer.err
