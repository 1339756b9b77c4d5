"""Start the jobs' processes, a few at a time, watch them, and leave none behind."""

import ctypes
import math
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ._commands import job_command
from ._interrupt import Interrupt
from ._jobs import TrackedJob
from ._outcomes import last_lines, read_outcome
from ._settings import LocalSettings

PR_SET_PDEATHSIG = 1  # linux/prctl.h
GRACE_SECONDS = 5.0  # between asking a process to end and killing it
POLL_SECONDS = 0.1
SHOW_SECONDS = 0.5
SAFE_POINT = signal.SIGUSR2  # asks a job to end where nothing is lost, as schedulers do before they take a node away


def run_processes(
    jobs: list[TrackedJob],
    program: list[str],
    folder: Path,
    settings: LocalSettings,
    interrupt: Interrupt,
    refresh: Callable[[], None],
) -> None:
    """Run each pending job as `program --config-path folder --config-name job-N`, until all have ended.

    Args:
        jobs: Each after those that it needs; they are updated in place.
        program: Interpreter and script.
        folder: Holds the configurations; receives outcomes and logs.
        settings: How many jobs run at a time, and how often each.
        interrupt: Once it is requested, the running jobs get SAFE_POINT, which ends a job that does not handle it.
        refresh: Called about twice a second.
    """
    pool = _Pool(jobs, program, folder, settings, interrupt)
    last_shown = 0.0
    asked_to_end = False
    try:
        while (pool.waiting and not interrupt.requested) or pool.running:
            pool.start_ready()
            if interrupt.requested and not asked_to_end:
                asked_to_end = True
                for _, process in pool.running:
                    signal_group(process, SAFE_POINT)
            if time.monotonic() - last_shown >= SHOW_SECONDS:
                for job, _ in pool.running:
                    job.update_progress()
                refresh()
                last_shown = time.monotonic()
            time.sleep(POLL_SECONDS if pool.running else SHOW_SECONDS)
            pool.collect_ended()
    finally:
        pool.stop()
        refresh()


class _Pool:
    """The jobs that wait and the processes that run."""

    def __init__(
        self, jobs: list[TrackedJob], program: list[str], folder: Path, settings: LocalSettings, interrupt: Interrupt
    ) -> None:
        self.jobs, self.program, self.folder = jobs, program, folder
        self.settings, self.interrupt = settings, interrupt
        self.gpus = _visible_gpus()
        self.waiting = deque(job for job in jobs if job.state == "pending")
        self.running: list[tuple[TrackedJob, subprocess.Popen[bytes]]] = []

    def start_ready(self) -> None:
        """Start as many waiting jobs as the settings, the GPUs and the jobs' needs allow."""
        while len(self.running) < self.settings.jobs and not self.interrupt.requested and (job := self._next_ready()):
            running = [tracked for tracked, _ in self.running]
            gpus = assign_gpus(self.gpus, running, job.planned.gpus, self.settings.jobs_per_gpu)
            if gpus is None:  # wait until a job frees one
                break
            self.waiting.remove(job)
            job.gpus = gpus
            job.start()
            self.running.append((job, _start(job, self.program, self.folder, self.settings.jobs)))

    def collect_ended(self) -> None:
        """Take the outcomes of ended processes; jobs that failed may wait for another attempt."""
        for job, process in list(self.running):
            if _has_ended(job, process):
                signal_group(process, signal.SIGKILL)  # ranks of a dead job would wait for it forever
                job.update_progress()
                log = self.folder / f"job-{job.number}.log"
                job.conclude(read_outcome(_outcome_file(self.folder, job), process.returncode, last_lines(log)))
                log.unlink()  # a long sweep's logs would fill the temporary folder
                self.running.remove((job, process))
                if job.state == "failed":
                    self._handle_failure(job)

    def stop(self) -> None:
        """End all processes: ask first, then kill; another Ctrl-C shortens the wait."""
        for job in self.waiting:
            job.state = "pending"
        for job, _ in self.running:
            job.state, job.ended = "stopped", time.monotonic()
        processes = [process for _, process in self.running]
        for process in processes:
            signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
            if self.interrupt.hurried:
                break
            time.sleep(POLL_SECONDS)
        for process in processes:
            signal_group(process, signal.SIGKILL)
            process.wait()

    def _next_ready(self) -> TrackedJob | None:
        """The first waiting job that needs nothing more and that nobody else is running.

        Jobs that somebody else has finished meanwhile leave the queue.
        """
        for job in list(self.waiting):
            if job.unfinished_needs:
                continue
            if job.planned.finished():
                job.accept_result("already done")
                self.waiting.remove(job)
            elif not job.defer_if_busy():
                job.state = "pending"
                return job
        return None

    def _handle_failure(self, job: TrackedJob) -> None:
        """Put the failed job back into the queue, or block the jobs that need it."""
        if self.interrupt.requested:
            job.state = "stopped"
        elif job.planned.finished() or job.planned.busy():  # another sweep was faster, which is no failure
            job.reasons.pop()
            job.state, job.ended = "pending", math.nan
            self.waiting.append(job)
        elif len(job.reasons) <= self.settings.retries and not job.planned.refuses():
            job.state, job.ended = "pending", math.nan
            self.waiting.appendleft(job)
        else:
            for dependent in self.jobs:  # each comes after those that it needs, so one pass reaches all
                if dependent.state == "pending" and dependent.block_if_need_failed() and dependent in self.waiting:
                    self.waiting.remove(dependent)
            if self.settings.on_failure == "stop":
                self.waiting.clear()


def _visible_gpus() -> list[str]:
    """The names of the GPUs that jobs may use, as CUDA_VISIBLE_DEVICES takes them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() and name.strip() != "-1"]
    return [str(number) for number, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]


def assign_gpus(gpus: list[str], running: list[TrackedJob], count: int, jobs_per_gpu: int) -> tuple[str, ...] | None:
    """Choose the GPUs with the fewest jobs; None if a job must end first.

    Args:
        gpus: All GPUs that jobs may use.
        running: The running jobs.
        count: How many GPUs the job needs. Without GPUs, or with too few for it, the job gets none and will say so itself.
        jobs_per_gpu: How many jobs may share a GPU.
    """
    if not gpus or not count or count > len(gpus):
        return ()
    load = {gpu: sum(gpu in job.gpus for job in running) for gpu in gpus}
    free = sorted((gpu for gpu in gpus if load[gpu] < jobs_per_gpu), key=lambda gpu: load[gpu])  # in order if equal
    return tuple(free[:count]) if len(free) >= count else None


def _outcome_file(folder: Path, job: TrackedJob) -> Path:
    return folder / f"job-{job.number}.pickle"


def _start(job: TrackedJob, program: list[str], folder: Path, jobs: int) -> subprocess.Popen[bytes]:
    """Start the job's process as the leader of a new session, which the terminal's Ctrl-C does not reach."""
    # The sweep may be a task of srun's, but its jobs are not: they would take the task's number for their rank.
    task = ("SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_STEP_NUM_TASKS")
    environment = {key: value for key, value in os.environ.items() if key not in task} | {"PYTHONUNBUFFERED": "1"}
    if job.gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(job.gpus)
    if "OMP_NUM_THREADS" not in environment:  # if the user has set it, MKL follows it
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        environment["OMP_NUM_THREADS"] = str(max(1, cores // jobs))
        environment.setdefault("MKL_NUM_THREADS", environment["OMP_NUM_THREADS"])
    _outcome_file(folder, job).unlink(missing_ok=True)  # from an earlier attempt
    command, log = job_command(program, folder, job.number), folder / f"job-{job.number}.log"
    return start_process(command, log, environment, start_new_session=True)


def end_with_parent(parent: int | None) -> None:
    """Make the calling process end with its parent, even if the parent is killed; on Linux only.

    Args:
        parent: Process id of the parent, which may have died already; None if that does not matter.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent and os.getppid() != parent:  # it died before the line above
        os._exit(1)


def start_process(
    command: list[str], log: Path, environment: Mapping[str, str], **options: Any
) -> subprocess.Popen[bytes]:
    """Start a process that reads nothing and whose output goes to a file; `options` are those of Popen."""
    with log.open("wb") as file:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=environment, **options
        )


def _has_ended(job: TrackedJob, process: subprocess.Popen[bytes]) -> bool:
    """Whether the process has ended and, if it succeeded, its children too (DDP's ranks need a moment)."""
    if process.poll() is None:
        return False
    if math.isnan(job.ended):
        job.ended = time.monotonic()
    complete = process.returncode != 0 or not signal_group(process, 0)
    return complete or time.monotonic() - job.ended > GRACE_SECONDS


def signal_group(process: subprocess.Popen[bytes], number: int) -> bool:
    """Send a signal to the process and its children (DDP's ranks, data loaders); return whether any of them exists."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):  # macOS raises the second for a group of zombies
        return False
    return True
