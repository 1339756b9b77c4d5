"""The launcher: compose every job, ask the plan which of them to run, run those, return what all of them returned."""

import copy
import os
import re
import shlex
import signal
import sys
import tempfile
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hydra import version
from hydra._internal.utils import get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import (
    JobReturn,
    JobRuntime,
    JobStatus,
    configure_log,
    filter_overrides,
    setup_globals,
)
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from hydra.utils import get_method
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

import __main__

from ._jobs import Job, LauncherError, Limits, Run
from ._processes import run_all, signals_unwind
from ._table import display, foreseen, summary

Document = dict[str, Any]  # a job's configuration, as its process will have it


@dataclass
class LocalLauncherConf:
    """The settings `hydra.launcher.*`."""

    _target_: str = "hydra_plugins.process_launcher._launcher.LocalLauncher"
    jobs: int = 1  # how many run at a time
    jobs_per_gpu: int = 1  # how many of those share a GPU, where there are any
    retries: int = 0  # how often a job that failed is started again
    on_failure: str = "continue"  # or stop: then nothing more is started
    dry_run: bool = False  # say what would run, and start nothing
    plan: str | None = None  # dotted name of a function (configs: list[DictConfig]) -> list[Job]


ConfigStore.instance().store(group="hydra/launcher", name="local", node=LocalLauncherConf, provider="process_launcher")

ENDING = "Ending: running jobs go on to their next safe point. Ctrl-C again ends them at once."

# The parts of the section `hydra` that a job's process gets besides its logging.
CARRIED = ("callbacks", "job", "output_subdir", "overrides", "runtime", "sweep", "verbose")


class SweepLauncher(Launcher):
    """What the launchers share: compose every job, ask the plan, run what is missing, return what all of them returned.

    Args:
        jobs: How many run at a time.
        dry_run: Say what would run and what is there, and start nothing.
        plan: Dotted name of a function that takes the jobs' configurations, resolved, and returns a `Job` for each. It
            is called once, before any process starts; a ValueError that it raises ends the sweep before it began.
    """

    def __init__(self, jobs: int, plan: str | None, dry_run: bool) -> None:
        self.jobs = jobs
        self.plan = plan
        self.dry_run = dry_run

    @abstractmethod
    def check(self) -> None:
        """Refuse settings that cannot be followed.

        Raises:
            ValueError: With the key, the rule and the value.
        """

    @abstractmethod
    def run(self, runs: list[Run], documents: Mapping[int, Document], requested: int) -> None:
        """Run the pending ones of `runs`, which are updated in place.

        Args:
            runs: The jobs, each once.
            documents: Their configurations, by number.
            requested: How many were asked for, equal ones included.
        """

    def find(self, runs: list[Run]) -> None:
        """Mark the pending ones that somebody else is at."""
        for run in runs:
            if run.state == "pending":
                run.leave()

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives every launcher.

        Raises:
            ValueError: A setting lies outside its range.
        """
        self.check()  # here, since Hydra wraps what __init__ raises
        self.hydra_context = hydra_context
        self.load = _once(hydra_context.config_loader)
        self.task_function = task_function
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs that are not finished yet, and return in the order of `job_overrides`.

        Raises:
            ValueError: The plan refuses a configuration.
        """
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
        composed = [self._compose(number, overrides) for number, overrides in zip(numbers, job_overrides, strict=True)]
        returns = [job_return for job_return, _ in composed]
        jobs = self._plan(returns)

        runs: dict[str, Run] = {}
        for number, job, job_return in zip(numbers, jobs, returns, strict=True):
            if job.key not in runs:
                run = runs[job.key] = Run(number, job, _repeat(job_return))
                run.look()
                if job.finished():
                    run.take("there already")
                elif reason := job.refuses():
                    run.state, run.reasons = "failed", [reason]
        if self.dry_run:
            self.find(list(runs.values()))
            print(foreseen(list(runs.values()), len(jobs), self.jobs), flush=True)
            sys.exit(0)  # Hydra's sweepers would take missing values for results

        self.run(
            list(runs.values()),
            {number: document for number, (_, document) in zip(numbers, composed, strict=True)},
            len(jobs),
        )
        for job, job_return in zip(jobs, returns, strict=True):
            run = runs[job.key]
            job_return.status = JobStatus.FAILED if run.state == "failed" else JobStatus.COMPLETED
            job_return.return_value = run.failure if run.state == "failed" else run.value
        return returns

    def _compose(self, number: int, overrides: Sequence[str]) -> tuple[JobReturn, Document]:
        """The job's return, to be completed, and the document that its process will have for its configuration."""
        config = self.load(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = str(number)
            config.hydra.job.num = number
        before = HydraConfig.instance().cfg
        HydraConfig.instance().set_config(config)  # so that ${hydra:...} can be resolved
        try:
            directory = str(Path(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir)))
            with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
                config.hydra.runtime.output_dir = str(Path.cwd() / directory)
            HydraConfig.instance().set_config(config)
            document: Document = _plain(config, [key for key in config if key != "hydra"])
            hydra = _plain(config.hydra, CARRIED)
            hydra_config = copy.deepcopy(HydraConfig.instance().cfg)
        finally:
            HydraConfig.instance().cfg = before
        raw: Any = OmegaConf.to_container(config.hydra)

        task = OmegaConf.create(document)
        OmegaConf.set_struct(task, True)
        chdir = config.hydra.job.chdir
        changes = not version.base_at_least("1.2") if chdir is None else chdir
        job_return = JobReturn(
            overrides=list(config.hydra.overrides.task),
            cfg=task,
            hydra_cfg=cast(DictConfig, hydra_config),
            working_dir=directory if changes else str(Path.cwd()),
            task_name=JobRuntime.instance().get("name"),
        )
        # Logging unresolved: DDP's ranks have a hydra.job.name of their own, and by it their own log files.
        document["hydra"] = hydra | {"mode": "RUN", "run": {"dir": directory}}
        document["hydra"] |= {key: raw[key] for key in ("job_logging", "hydra_logging")}
        document["hydra"] |= {"runtime": {"choices": hydra["runtime"]["choices"]}}
        document["hydra"]["job"]["env_copy"] = []  # copied into env_set already
        return job_return, document

    def _plan(self, returns: list[JobReturn]) -> list[Job]:
        """The jobs as the plan sees them, one for each configuration."""
        if self.plan is None:
            names = [" ".join(filter_overrides(r.overrides or [])) for r in returns]
            return [Job(shlex.join([*program(), name, str(i)]), name) for i, name in enumerate(names)]
        try:
            plan = get_method(self.plan)
        except Exception as error:  # whatever importing the application's module raises
            raise LauncherError(f"hydra.launcher.plan must name a function, got '{self.plan}': {error}") from error
        HydraConfig.instance().set_config(self.config)  # for a plan that asks what was called
        jobs: list[Job] = list(plan([r.cfg for r in returns]))
        if len(jobs) != len(returns):
            raise LauncherError(
                f"hydra.launcher.plan={self.plan} returned {len(jobs)} jobs for {len(returns)} configurations."
            )
        return jobs


def _once(loader: ConfigLoader) -> Callable[[DictConfig, list[str]], DictConfig]:
    """The loader's `load_sweep_config`: the sweeper composes every job to check it, and the launcher takes what it composed."""
    load = loader.load_sweep_config
    composed: dict[tuple[str, ...], DictConfig] = {}

    def check(master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        key = tuple(sweep_overrides)
        composed[key] = load(master_config, sweep_overrides)
        return composed[key]

    def take(master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        found = composed.pop(tuple(sweep_overrides), None)  # each is changed by who takes it
        return load(master_config, sweep_overrides) if found is None else found

    loader.load_sweep_config = check  # type: ignore[method-assign]
    return take


class LocalLauncher(SweepLauncher):
    """Runs each job as a process of its own, on the configuration that was composed before the first one started.

    Args:
        jobs: How many run at a time, 1 or more.
        jobs_per_gpu: How many of them share a GPU; GPUs are dealt out in turn by CUDA_VISIBLE_DEVICES.
        retries: How often a job that failed is started again; the reason of each attempt is kept.
        on_failure: "continue" with the other jobs, or "stop": what runs goes on to its end, and nothing more is started.
        dry_run: As `SweepLauncher`.
        plan: As `SweepLauncher`.
    """

    def __init__(
        self, jobs: int, plan: str | None, jobs_per_gpu: int, retries: int, on_failure: str, dry_run: bool
    ) -> None:
        super().__init__(jobs, plan, dry_run)
        self.limits = Limits(jobs, jobs_per_gpu, retries, on_failure)

    def check(self) -> None:
        """Refuse numbers out of their range."""
        self.limits.check()

    def run(self, runs: list[Run], documents: Mapping[int, Document], requested: int) -> None:
        """Run the pending ones, a few at a time, and leave no process behind."""
        with signals_unwind(ENDING) as ending, tempfile.TemporaryDirectory(prefix="hydra-jobs-") as scratch:
            for run in runs:
                if run.state == "pending":
                    write_config(documents[run.number], Path(scratch), run.number, os.getpid())
            try:
                with display(runs) as show:
                    run_all(runs, program(), Path(scratch), self.limits, ending, show)
            finally:
                print(summary(runs, requested), flush=True)
            if ending.asked:
                sys.exit(128 + signal.SIGINT)


def write_config(document: Document, folder: Path, number: int, parent: int | None) -> None:
    """Write job-N.yaml: the document as a primary configuration that Hydra merges with none of its own logging.

    Args:
        document: The job's configuration.
        folder: Where.
        number: N.
        parent: The process with which the job ends; None for the one that starts it.
    """
    hydra = document["hydra"]
    report = {
        "_target_": "hydra_plugins.process_launcher._child.Report",
        "file": str(folder / f"job-{number}.pickle"),
        "parent": parent,
        "job": {key: hydra["job"][key] for key in ("override_dirname", "config_name")},
    }
    defaults = [{"override hydra/job_logging": "none"}, {"override hydra/hydra_logging": "none"}, "_self_"]
    hydra = hydra | {"callbacks": {"process_launcher": report} | (hydra["callbacks"] or {})}
    config = OmegaConf.create({"defaults": defaults} | document | {"hydra": hydra})
    OmegaConf.save(config, folder / f"job-{number}.yaml")


def _plain(config: DictConfig | ListConfig, keys: Sequence[Any] | None = None) -> Any:
    """The container's values (those of `keys`), resolved, and written so that loading them gives the same values again.

    What cannot be resolved stays as it was written: a job that never reads it does not fail of it either.
    """

    def value(key: Any) -> Any:
        if OmegaConf.is_missing(config, key):
            return "???"
        try:
            node = config[key]
        except OmegaConfBaseException:
            raw: Any = OmegaConf.to_container(config)
            return raw[key]
        if isinstance(node, DictConfig | ListConfig):
            return _plain(node)
        if isinstance(node, str):  # "${" in a value was escaped before: escape it again, and the backslashes before it
            return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", node)
        return node

    if isinstance(config, ListConfig):
        return [value(index) for index in range(len(config))]
    return {key: value(key) for key in (config if keys is None else keys)}


def program() -> list[str]:
    """The command that runs the application again."""
    if __main__.__spec__ is not None:
        return [sys.executable, "-m", __main__.__spec__.name]
    return [sys.executable, str(Path.cwd() / sys.argv[0])]


def _repeat(job_return: JobReturn) -> str:
    """The shell command that runs a single job as the user would, with the same configuration files."""
    if __main__.__spec__ is not None:
        words = ["python", *program()[1:]]
    else:  # a script, or else an installed command
        words = ["python", sys.argv[0]] if sys.argv[0].endswith(".py") else [Path(sys.argv[0]).name]
    arguments, _ = get_args_parser().parse_known_args()
    for option in ("config_path", "config_name", "config_dir"):
        if getattr(arguments, option):
            words += ["--" + option.replace("_", "-"), getattr(arguments, option)]
    assert job_return.hydra_cfg is not None
    if "hydra.mode=MULTIRUN" not in job_return.hydra_cfg.hydra.overrides.hydra:  # then a configuration file says so
        words.append("hydra.mode=RUN")
    return shlex.join([*words, *(job_return.overrides or [])])
