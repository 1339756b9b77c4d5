"""Hydra launcher `slurm`: submits the unfinished jobs as an array, or as a few arrays if jobs differ or need each other."""

import math
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from ._commands import program
from ._composition import write_config
from ._interrupt import Interrupt, interruptible
from ._jobs import TrackedJob
from ._launcher import SweepLauncher
from ._output import display, summarize
from ._processes import SHOW_SECONDS
from ._settings import LauncherError, SlurmSettings
from ._submissions import SubmittedJob, find_submitted, read_queue, remove_finished, remove_submission, write_record
from ._task import Task

LEAVING = "Leaving."
STAYS = "The jobs stay in SLURM's queue: squeue shows them, scancel ends them, and the same command finds them again."


class SlurmLauncher(SweepLauncher):
    """Submits each job that is neither finished nor already queued, and waits for the jobs, or leaves.

    On preemption and before its time limit a job is asked to end at its next safe point, and submitit queues it again. Each
    job has its own exit code, so that SLURM knows which ones failed. Jobs that need the same jobs form an array, which SLURM
    starts once those have finished, and cancels if one of them fails.

    Args:
        **settings: The fields of `SlurmSettings`.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings: SlurmSettings = SlurmSettings(**settings)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives every launcher.

        Raises:
            LauncherError: If a setting cannot be followed, or if SLURM or submitit is missing.
        """
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.folder = Path(self.settings.folder)
        if self.settings.dry_run:
            return
        if not (shutil.which("sbatch") and shutil.which("srun")):
            raise LauncherError(
                "hydra/launcher=slurm needs sbatch and srun on PATH: start it on a machine where your cluster accepts jobs."
            )
        if not find_spec("submitit"):
            raise LauncherError("hydra/launcher=slurm needs the package submitit: pip install submitit.")

    def run(self, jobs: list[TrackedJob], requested: int) -> None:
        """Submit the pending jobs that nobody else is running, and follow them until they have ended."""
        queued = find_submitted(self.folder, [job for job in jobs if job.state == "pending"])
        queued_jobs = {entry.job for entry in queued}
        super().mark_busy([job for job in jobs if job not in queued_jobs])
        new, deferred = _split(jobs, queued_jobs)
        submitted = queued
        if new:
            with interruptible(LEAVING) as interrupt:  # what has been submitted is recorded before leaving
                submitted = queued + self._submit(new, queued)
            _exit_if_requested(interrupt)
        if not self.settings.wait:
            remove_finished(self.folder, jobs)
            counts = Counter(job.state for job in jobs)
            added = sum(job.added for job in new)
            text = f"{len(new)} jobs submitted{f' ({added} added: needed by others)' if added else ''}"
            text += f", {len(queued)} already queued"
            text += f", {counts['elsewhere']} elsewhere" if counts["elsewhere"] else ""
            text += f", {len(deferred)} waiting for those" if deferred else ""
            text += f", {counts['failed']} not started" if counts["failed"] else ""
            print(f"{text}. {STAYS}", flush=True)
            sys.exit(0)  # Hydra's sweepers would take missing values for results
        with interruptible(LEAVING) as interrupt, display(jobs) as refresh:
            self._follow(submitted, interrupt, refresh)
        print(summarize(jobs, requested), flush=True)
        _exit_if_requested(interrupt)
        for folder in sorted({entry.folder for entry in submitted if entry.job.state == "failed"}):
            print(f"Logs of the failed jobs: {folder}", flush=True)
        remove_finished(self.folder, jobs)

    def mark_busy(self, jobs: list[TrackedJob]) -> None:
        """Mark the pending jobs that SLURM has or that somebody else is running."""
        for entry in find_submitted(self.folder, [job for job in jobs if job.state == "pending"]):
            entry.job.state, entry.job.text = "elsewhere", f"queued as {entry.slurm_id}"
        super().mark_busy(jobs)

    def _submit(self, jobs: list[TrackedJob], queued: list[SubmittedJob]) -> list[SubmittedJob]:
        """Submit the jobs, those that others need first, as one array for each group of similar jobs.

        Raises:
            LauncherError: With SLURM's message, if it rejects the first array.
        """
        import submitit
        from submitit.core.utils import FailedJobError

        folder = self._create_folder()
        for job in jobs:
            write_config(job.document, folder, job.number, parent=None)
        submitted: list[SubmittedJob] = []
        slurm_ids = {entry.job: entry.slurm_id for entry in queued}
        waiting = list(jobs)
        while waiting:
            # The first job whose needs all have a name in SLURM, and all jobs that fit into an array with it.
            ready = [job for job in waiting if all(need in slurm_ids for need in job.unfinished_needs)]
            group = [job for job in ready if _array_key(job, slurm_ids) == _array_key(ready[0], slurm_ids)]
            waiting = [job for job in waiting if job not in group]
            executor = submitit.SlurmExecutor(folder=folder, max_num_timeout=self.settings.requeues)
            executor.update_parameters(**self._parameters(*_array_key(ready[0], slurm_ids)))
            retries, signal_seconds = self.settings.retries, self.settings.signal_seconds
            try:
                with executor.batch():
                    tasks = [
                        executor.submit(Task(program(), folder, job.number, retries, signal_seconds)) for job in group
                    ]
            except BaseException as error:
                if not submitted:
                    remove_submission(folder)
                if not isinstance(error, FailedJobError):
                    raise
                message = " ".join(str(error).split()) or type(error).__name__
                raise LauncherError(f"SLURM rejected the jobs: {message}") from error
            for job, task in zip(group, tasks, strict=True):
                submitted.append(SubmittedJob(job, folder, job.number, task.job_id))
                slurm_ids[job] = task.job_id
            write_record(folder, submitted)
        return submitted

    def _create_folder(self) -> Path:
        """Create the folder of a submission."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(prefix=time.strftime("%Y-%m-%d-"), dir=self.folder)).resolve()
        except OSError as error:
            raise LauncherError(
                f"hydra.launcher.folder must be writable, got {self.folder} ({error.strerror})."
            ) from error

    def _parameters(self, gpus: int, processes: int, nodes: int, needs: tuple[str, ...]) -> dict[str, Any]:
        """The parameters of submitit for an array of jobs that start once the jobs `needs` have finished."""
        settings = self.settings
        options: dict[str, Any] = {"requeue": True, **settings.sbatch}
        if needs:
            conditions = [str(options["dependency"])] if "dependency" in options else []
            options["dependency"] = ",".join([*conditions, ":".join(["afterok", *needs])])
            options["kill-on-invalid-dep"] = "yes"
        # The node's Python must find this package, before it knows anything about the application.
        path = f"export PYTHONPATH={shlex.quote(str(Path(__file__).parents[2]))}${{PYTHONPATH:+:$PYTHONPATH}}"
        optional = {
            "partition": settings.partition,
            "account": settings.account,
            "qos": settings.qos,
            "constraint": settings.constraint,
            "mem": settings.memory,
            "gpus_per_node": gpus or None,
        }
        return {
            "job_name": self.config.hydra.job.name,
            "setup": ["set -e", *settings.setup, path],  # a failing command of the user's ends the job
            "nodes": nodes,
            "ntasks_per_node": processes,
            "cpus_per_task": settings.cpus,
            "time": settings.minutes,
            "array_parallelism": settings.jobs,
            "signal_delay_s": settings.signal_seconds,
            "stderr_to_stdout": True,
            "srun_args": ["--kill-on-bad-exit=1"],  # the other processes of a job would wait for a dead one
            "additional_parameters": options,
            **{key: value for key, value in optional.items() if value is not None},
        }

    def _follow(self, submitted: list[SubmittedJob], interrupt: Interrupt, refresh: Callable[[], None]) -> None:
        """Update the jobs until all have ended, or until the user leaves."""
        active = list(submitted)
        last_check = -math.inf
        while active and not interrupt.requested:
            if time.monotonic() - last_check >= self.settings.check_seconds:
                queue, last_check = read_queue(), time.monotonic()
                if queue is not None:
                    followed = {entry.job for entry in active}
                    for entry in active:
                        entry.update(queue.get(entry.slurm_id), waits=not followed.isdisjoint(entry.job.needs))
            else:
                for entry in active:
                    if entry.job.state == "running":
                        entry.job.update_progress()
            active = [entry for entry in active if entry.job.state not in ("finished", "failed")]
            refresh()
            time.sleep(SHOW_SECONDS)


def _split(jobs: list[TrackedJob], queued: set[TrackedJob]) -> tuple[list[TrackedJob], set[TrackedJob]]:
    """The jobs to submit, and those that need a job which runs outside SLURM, for which SLURM cannot wait."""
    new: list[TrackedJob] = []
    deferred: set[TrackedJob] = set()
    for job in jobs:
        if job.state == "pending" and job not in queued:
            if any(need.state == "elsewhere" or need in deferred for need in job.unfinished_needs):
                deferred.add(job)
            else:
                new.append(job)
    return new, deferred


def _array_key(job: TrackedJob, slurm_ids: Mapping[TrackedJob, str]) -> tuple[int, int, int, tuple[str, ...]]:
    """What the jobs of an array have in common: GPUs, processes and nodes, and SLURM's names of the jobs that they need."""
    needs = tuple(sorted(slurm_ids[need] for need in job.unfinished_needs))
    return job.planned.gpus, job.planned.processes, job.planned.nodes, needs


def _exit_if_requested(interrupt: Interrupt) -> None:
    if interrupt.requested:
        print(STAYS, flush=True)
        sys.exit(128 + signal.SIGINT)
