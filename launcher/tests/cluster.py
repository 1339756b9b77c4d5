"""What tests on a real SLURM share; slurm.sh, which is next to this file, starts one."""

import os
import shutil
import subprocess
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from application import App

os.environ.setdefault("SLURM_CONF", "/tmp/slurm-one-node/slurm.conf")  # where launcher/tests/slurm.sh puts it


def slurm_answers() -> bool:
    try:
        return subprocess.run(["sinfo"], capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


needs_slurm = pytest.mark.skipif(
    not shutil.which("sbatch") or not slurm_answers(),
    reason="SLURM does not answer: launcher/tests/slurm.sh up starts one (on Debian, as root)",
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
