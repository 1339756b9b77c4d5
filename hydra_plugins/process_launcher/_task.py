"""A job of SLURM's, on its node: it starts the application's process, and asks it to end before SLURM would."""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ._processes import POLL_SECONDS, SAFE_POINT, command_of, last_lines, outcome, write_report

MARGIN_SECONDS = 15.0  # kept of the time between SLURM's signal and its kill, for queueing the job again


@dataclass
class Task:
    """What submitit calls on the node; each task of a job with several processes is one.

    Args:
        program: Interpreter and script.
        folder: Holds the configuration; receives the report.
        number: The job's.
        retries: How often it is started again if it fails, where it is one process.
        signal_seconds: Between SLURM's signal and the end.
    """

    program: list[str]
    folder: Path
    number: int
    retries: int
    signal_seconds: float
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __call__(self) -> None:
        """Run the job, and end as it did: for SLURM too a job that failed has failed."""
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        environment.setdefault("OMP_NUM_THREADS", os.environ.get("SLURM_CPUS_PER_TASK", "1"))
        command = command_of(self.program, self.folder, self.number)
        file = self.folder / f"job-{self.number}.pickle"
        log = self.folder / f"job-{self.number}-{os.environ.get('SLURM_PROCID', '0')}.log"
        alone = os.environ.get("SLURM_NTASKS", "1") == "1"
        reasons: list[str] = []
        while True:
            file.unlink(missing_ok=True)
            with log.open("wb") as output:  # a file of its own, for its last lines
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    process_group=0,
                )
            while self.process.poll() is None:  # no wait(): its lock would be held when the signal comes
                time.sleep(POLL_SECONDS)
            found = outcome(file, self.process.returncode, last_lines(log))
            if "value" in found:
                break
            reasons += found["reasons"]
            if len(reasons) > self.retries or not alone:
                break
        if os.environ.get("SLURM_PROCID", "0") == "0":
            write_report(file, pickle.dumps(found | {"reasons": reasons}))
        if "value" not in found:
            print(*found["output"], f"failed: {reasons[-1]}", sep="\n", flush=True)
            sys.exit(1)

    def checkpoint(self) -> Any:
        """What submitit asks for on preemption, and when the time is up: end the process where it can go on from.

        Returns:
            What to run when the job's turn comes again.
        """
        from submitit.helpers import DelayedSubmission

        if self.process:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):  # it has ended
                os.killpg(self.process.pid, SAFE_POINT)
                deadline = time.monotonic() + self.signal_seconds - MARGIN_SECONDS
                ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
                while time.monotonic() < deadline and not os.waitid(os.P_PID, self.process.pid, ended):
                    time.sleep(POLL_SECONDS)
                os.killpg(self.process.pid, signal.SIGKILL)
        return DelayedSubmission(replace(self))
