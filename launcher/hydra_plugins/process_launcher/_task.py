"""A SLURM job on its node: starts the application's process, and asks it to end before SLURM would kill it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ._commands import job_command
from ._outcomes import last_lines, read_outcome, write_outcome
from ._processes import POLL_SECONDS, SAFE_POINT, start_process
from ._settings import MARGIN_SECONDS


@dataclass
class Task:
    """What submitit calls on the node; each process of a job with several processes is a task.

    Args:
        program: Interpreter and script.
        folder: Holds the configuration; receives the outcome.
        number: The job's number.
        retries: How often a job with a single process is started again if it fails.
        signal_seconds: Seconds between SLURM's signal and the time limit.
    """

    program: list[str]
    folder: Path
    number: int
    retries: int
    signal_seconds: float
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __call__(self) -> None:
        """Run the job; exit with 1 if it fails, so that SLURM knows too."""
        rank = os.environ.get("SLURM_PROCID", "0")
        file = self.folder / f"job-{self.number}.pickle"
        log = self.folder / f"job-{self.number}-{rank}.log"  # not SLURM's log, so that the last lines are the job's
        attempts = 1 + self.retries if os.environ.get("SLURM_NTASKS", "1") == "1" else 1
        reasons: list[str] = []
        for _ in range(attempts):
            file.unlink(missing_ok=True)
            self._run(log)
            assert self.process
            outcome = read_outcome(file, self.process.returncode, last_lines(log))
            reasons += outcome.reasons
            if outcome.finished:
                break
        if rank == "0":
            write_outcome(file, replace(outcome, reasons=reasons))
        if not outcome.finished:
            print(*outcome.output, f"failed: {reasons[-1]}", sep="\n", flush=True)
            sys.exit(1)

    def _run(self, log: Path) -> None:
        """Start the application's process, and wait until it has ended."""
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        environment.setdefault("OMP_NUM_THREADS", os.environ.get("SLURM_CPUS_PER_TASK", "1"))
        command = job_command(self.program, self.folder, self.number)
        self.process = start_process(command, log, environment, process_group=0)
        while self.process.poll() is None:  # wait() would hold a lock that checkpoint needs
            time.sleep(POLL_SECONDS)

    def checkpoint(self) -> Any:
        """End the process at its next safe point; submitit calls this on preemption and before the time limit.

        Returns:
            What submitit queues again.
        """
        from submitit.helpers import DelayedSubmission

        if self.process:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):  # the process has ended
                os.killpg(self.process.pid, SAFE_POINT)
                deadline = time.monotonic() + self.signal_seconds - MARGIN_SECONDS
                ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
                while time.monotonic() < deadline and not os.waitid(os.P_PID, self.process.pid, ended):
                    time.sleep(POLL_SECONDS)
                os.killpg(self.process.pid, signal.SIGKILL)
        return DelayedSubmission(replace(self))
