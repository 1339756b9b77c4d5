"""The launcher: compose all jobs, let the plan decide which of them to run, run those, and return all results."""

import os
import shlex
import signal
import sys
import tempfile
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from hydra.utils import get_method
from omegaconf import DictConfig

from ._commands import program, repeat_command
from ._composition import Document, JobConfig, compose, compose_once, write_config
from ._interrupt import interruptible
from ._jobs import PlannedJob, TrackedJob
from ._output import Progress, display, forecast, summarize
from ._processes import run_processes
from ._settings import LauncherError, LocalSettings, SweepSettings

STOPPING = "Stopping: running jobs continue to their next safe point. Press Ctrl-C again to end them at once."


class SweepLauncher(Launcher):
    """What the launchers share; a subclass decides how the pending jobs run.

    The plan is called once, before any process starts; a ValueError that it raises ends the sweep.
    """

    settings: SweepSettings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives every launcher.

        Raises:
            LauncherError: If a setting cannot be followed.
        """
        self.settings.check()  # not in __init__, whose exceptions Hydra wraps
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config
        self.composing = Progress("composing configurations")
        self.load = compose_once(hydra_context.config_loader, self.composing)
        self.added = 0  # how many jobs were added because others need them

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs that are not finished yet, and return all results in the order of `job_overrides`.

        Raises:
            ValueError: If the plan refuses a configuration.
        """
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        configs = [
            compose(self.load, self.config, number, overrides)
            for number, overrides in enumerate(job_overrides, initial_job_idx)
        ]
        self.composing.end()
        plan = self._plan(configs)
        jobs = self._track(plan, configs)
        if self.settings.dry_run:
            self.mark_busy(jobs)
            print(forecast(jobs, len(configs), self.settings.jobs), flush=True)
            sys.exit(0)  # Hydra's sweepers would take missing values for results
        self.run(jobs, len(configs))
        by_key = {job.planned.key: job for job in jobs}
        for planned, config in zip(plan, configs, strict=True):
            job = by_key[planned.key]
            config.job_return.status = JobStatus.FAILED if job.state == "failed" else JobStatus.COMPLETED
            config.job_return.return_value = job.failure if job.state == "failed" else job.value
        return [config.job_return for config in configs]

    @abstractmethod
    def run(self, jobs: list[TrackedJob], requested: int) -> None:
        """Run the pending jobs, and update them in place.

        Args:
            jobs: Each after those that it needs.
            requested: How many configurations were requested, including equal ones.
        """

    def mark_busy(self, jobs: list[TrackedJob]) -> None:
        """Mark the pending jobs that somebody else is running."""
        for job in jobs:
            if job.state == "pending":
                job.defer_if_busy()

    def _plan(self, configs: list[JobConfig]) -> list[PlannedJob]:
        """The jobs as the application describes them, one for each configuration."""
        name = self.settings.plan
        if name is None:
            labels = [" ".join(filter_overrides(config.job_return.overrides or [])) for config in configs]
            return [PlannedJob(shlex.join([*program(), label, str(i)]), label) for i, label in enumerate(labels)]
        try:
            plan = get_method(name)
        except Exception as error:  # importing the application's module can raise anything
            raise LauncherError(f"hydra.launcher.plan must name a function, got '{name}': {error}") from error
        HydraConfig.instance().set_config(self.config)  # for a plan that reads the sweep's configuration
        jobs: list[PlannedJob] = list(plan([config.job_return.cfg for config in configs]))
        if len(jobs) != len(configs):
            raise LauncherError(
                f"hydra.launcher.plan={name} returned {len(jobs)} jobs for {len(configs)} configurations."
            )
        return jobs

    def _track(self, plan: list[PlannedJob], configs: list[JobConfig]) -> list[TrackedJob]:
        """The jobs, each once and after those that it needs; needed jobs that were not requested are added.

        Raises:
            LauncherError: If jobs need each other, or if the plan replaces a value that a configuration does not have.
        """
        requested: dict[str, tuple[PlannedJob, JobConfig]] = {}
        for planned, config in zip(plan, configs, strict=True):
            requested.setdefault(planned.key, (planned, config))
        tracked: dict[str, TrackedJob] = {}

        def track(planned: PlannedJob, overrides: Sequence[str], dependents: tuple[PlannedJob, ...]) -> TrackedJob:
            if planned.key in tracked:
                return tracked[planned.key]
            if planned.key in (dependent.key for dependent in dependents):
                circle = " needs ".join(f"'{job.name}'" for job in (*dependents, planned))
                raise LauncherError(f"A job must not need itself, but {circle}.")
            if added := planned.key not in requested:
                self.added += 1
                config = compose(self.load, self.config, -self.added, overrides)  # the sweeper counts its own from 0
            else:
                planned, config = requested[planned.key]
            job = TrackedJob(config.number, planned, repeat_command(config.job_return), added=added)
            job.update_progress()
            if planned.finished():
                job.accept_result("already done")
            elif reason := planned.refuses():
                job.state, job.reasons = "failed", [reason]
            else:
                job.needs = [track(need, words, (*dependents, planned)) for words, need in planned.needs()]
                for need in job.needs:
                    need.needed_by.append(job)
                if not job.block_if_need_failed():
                    job.document = self._document(planned, config)
            tracked[planned.key] = job
            return job

        for planned in plan:
            track(planned, (), ())
        return [job for job in tracked.values() if not (job.added and job.state == "already done")]

    def _document(self, planned: PlannedJob, config: JobConfig) -> Document:
        """The configuration for the job's process, including the values that the plan replaces."""
        values = planned.replaces()
        try:
            return config.document_with(values)
        except KeyError as error:
            key, reason = error.args
            raise LauncherError(
                f"hydra.launcher.plan={self.settings.plan} cannot replace {key} in the configuration of '{planned.name}': "
                f"{reason}."
            ) from error


class LocalLauncher(SweepLauncher):
    """Runs each job in a process of its own on this machine, a few at a time.

    Args:
        **settings: The fields of `LocalSettings`.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings: LocalSettings = LocalSettings(**settings)

    def run(self, jobs: list[TrackedJob], requested: int) -> None:
        """Run the pending jobs, and leave no process behind."""
        with interruptible(STOPPING) as interrupt, tempfile.TemporaryDirectory(prefix="hydra-jobs-") as folder:
            for job in jobs:
                if job.state == "pending":
                    write_config(job.document, Path(folder), job.number, os.getpid())
            try:
                with display(jobs) as refresh:
                    run_processes(jobs, program(), Path(folder), self.settings, interrupt, refresh)
            finally:
                print(summarize(jobs, requested), flush=True)
            if interrupt.requested:
                sys.exit(128 + signal.SIGINT)
