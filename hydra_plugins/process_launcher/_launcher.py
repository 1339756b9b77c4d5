"""The launcher: compose every job, ask the plan which of them to run, run those, return what all of them returned."""

import contextlib
import copy
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from ._table import Progress, display, foreseen, summary

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


@dataclass
class Composed:
    """A job's configuration: as Hydra has it, and as its process will."""

    number: int
    config: DictConfig  # with Hydra's section
    document: Document
    job_return: JobReturn  # to be completed


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
            runs: The jobs, each once, and after those that it needs.
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
        self.composing = Progress("composing settings")
        self.load = _once(hydra_context.config_loader, self.composing)
        self.task_function = task_function
        self.config = config
        self.extra = 0  # jobs composed because others need them

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs that are not finished yet, and return in the order of `job_overrides`.

        Raises:
            ValueError: The plan refuses a configuration.
        """
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        asked = [self._compose(number, overrides) for number, overrides in enumerate(job_overrides, initial_job_idx)]
        self.composing.end()
        needed: dict[tuple[str, ...], Composed] = {}

        def compose(overrides: Sequence[str]) -> Composed:
            if (key := tuple(overrides)) not in needed:
                # Counted below 0: the sweeper counts its own from 0 on, over all that it launches.
                self.extra += 1
                needed[key] = self._compose(-self.extra, overrides)
            return needed[key]

        jobs = self._plan(asked)
        runs, composed = _runs(jobs, asked, compose)
        documents = {
            run.number: self._given(run.job, part)
            for run, part in zip(runs, composed, strict=True)
            if run.state == "pending"
        }
        if self.dry_run:
            self.find(runs)
            print(foreseen(runs, len(jobs), self.jobs), flush=True)
            sys.exit(0)  # Hydra's sweepers would take missing values for results

        self.run(runs, documents, len(jobs))
        ended = {run.job.key: run for run in runs}
        for job, part in zip(jobs, asked, strict=True):
            run = ended[job.key]
            part.job_return.status = JobStatus.FAILED if run.state == "failed" else JobStatus.COMPLETED
            part.job_return.return_value = run.failure if run.state == "failed" else run.value
        return [part.job_return for part in asked]

    def _compose(self, number: int, overrides: Sequence[str]) -> Composed:
        """The job's configuration as Hydra makes it."""
        config = self.load(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = str(number)
            config.hydra.job.num = number
        with _current(config):
            directory = str(Path(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir)))
            with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
                config.hydra.runtime.output_dir = str(Path.cwd() / directory)
        with _current(config):
            document = _document(config, directory)
            hydra_config = copy.deepcopy(HydraConfig.instance().cfg)
        task = OmegaConf.create({key: value for key, value in document.items() if key != "hydra"})
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
        return Composed(number, config, document, job_return)

    def _plan(self, asked: list[Composed]) -> list[Job]:
        """The jobs as the plan sees them, one for each configuration that was asked for."""
        configs = [part.job_return.cfg for part in asked]
        if self.plan is None:
            names = [" ".join(filter_overrides(part.job_return.overrides or [])) for part in asked]
            return [Job(shlex.join([*program(), name, str(i)]), name) for i, name in enumerate(names)]
        try:
            plan = get_method(self.plan)
        except Exception as error:  # whatever importing the application's module raises
            raise LauncherError(f"hydra.launcher.plan must name a function, got '{self.plan}': {error}") from error
        HydraConfig.instance().set_config(self.config)  # for a plan that asks what was called
        jobs: list[Job] = list(plan(configs))
        if len(jobs) != len(configs):
            raise LauncherError(
                f"hydra.launcher.plan={self.plan} returned {len(jobs)} jobs for {len(configs)} configurations."
            )
        return jobs

    def _given(self, job: Job, composed: Composed) -> Document:
        """The document for the job's process, with the values that the plan has put into it.

        Raises:
            LauncherError: If the configuration has no place for one.
        """
        values = job.replaces()
        if not values:
            return composed.document
        for key, value in values.items():
            try:
                OmegaConf.update(composed.config, key, _literal(value), merge=False)
            except OmegaConfBaseException as error:
                raise LauncherError(
                    f"hydra.launcher.plan={self.plan} cannot replace {key} in the configuration of '{job.name}': "
                    f"{str(error).splitlines()[0]}."
                ) from error
        with _current(composed.config):
            return _document(composed.config, composed.document["hydra"]["run"]["dir"])


def _runs(
    jobs: list[Job], asked: list[Composed], compose: Callable[[Sequence[str]], Composed]
) -> tuple[list[Run], list[Composed]]:
    """The jobs, each once and after those that it needs, which are added where they are missing and nobody asked for them.

    Raises:
        LauncherError: If jobs need each other.
    """
    given: dict[str, tuple[Job, Composed]] = {}
    for job, part in zip(jobs, asked, strict=True):
        given.setdefault(job.key, (job, part))
    runs: dict[str, tuple[Run, Composed]] = {}

    def add(job: Job, overrides: Sequence[str], below: tuple[Job, ...]) -> Run:
        if job.key in runs:
            return runs[job.key][0]
        if job.key in (other.key for other in below):
            circle = " needs ".join(f"'{other.name}'" for other in (*below, job))
            raise LauncherError(f"A job must not need itself, and here {circle}.")
        added = job.key not in given
        job, part = (job, compose(overrides)) if added else given[job.key]
        run = Run(part.number, job, _repeat(part.job_return), added=added)
        run.look()
        if job.finished():
            run.take("there already")
        elif reason := job.refuses():
            run.state, run.reasons = "failed", [reason]
        else:
            run.needs = [add(need, words, (*below, job)) for words, need in job.needs()]
            for need in run.needs:
                need.needed_by.append(run)
            run.block()
        runs[job.key] = (run, part)
        return run

    for job in jobs:
        add(job, (), ())
    kept = [(run, part) for run, part in runs.values() if not (run.added and run.state == "there already")]
    return [run for run, _ in kept], [part for _, part in kept]


@contextlib.contextmanager
def _current(config: DictConfig) -> Iterator[None]:
    """Make it Hydra's configuration meanwhile, so that ${hydra:...} can be resolved."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before


def _document(config: DictConfig, directory: str) -> Document:
    """What a job's process will have for its configuration."""
    document: Document = _plain(config, [key for key in config if key != "hydra"])
    hydra = _plain(config.hydra, CARRIED)
    raw: Any = OmegaConf.to_container(config.hydra)
    # Logging unresolved: DDP's ranks have a hydra.job.name of their own, and by it their own log files.
    document["hydra"] = hydra | {"mode": "RUN", "run": {"dir": directory}}
    document["hydra"] |= {key: raw[key] for key in ("job_logging", "hydra_logging")}
    document["hydra"] |= {"runtime": {"choices": hydra["runtime"]["choices"]}}
    document["hydra"]["job"]["env_copy"] = []  # copied into env_set already
    return document


def _once(loader: ConfigLoader, progress: Progress) -> Callable[[DictConfig, list[str]], DictConfig]:
    """The loader's `load_sweep_config`: the sweeper composes every job to check it, and the launcher takes what it composed."""
    load = loader.load_sweep_config
    composed: dict[tuple[str, ...], DictConfig] = {}

    def check(master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        key = tuple(sweep_overrides)
        try:
            composed[key] = load(master_config, sweep_overrides)
        except Exception:  # which is told on a line of its own
            progress.end()
            raise
        progress.show(len(composed))
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
        return _literal(node)  # "${" in a value was escaped before: escape it again

    if isinstance(config, ListConfig):
        return [value(index) for index in range(len(config))]
    return {key: value(key) for key in (config if keys is None else keys)}


def _literal(value: Any) -> Any:
    """A value written so that loading it gives the same again: what looks like `${...}`, and the backslashes before it."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", value)
    if isinstance(value, Mapping):
        return {key: _literal(part) for key, part in value.items()}
    return [_literal(part) for part in value] if isinstance(value, list | tuple) else value


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
        name, installed = Path(sys.argv[0]).name, shutil.which(Path(sys.argv[0]).name)
        words = [name] if installed and Path(installed).samefile(sys.argv[0]) else ["python", sys.argv[0]]
    arguments, _ = get_args_parser().parse_known_args()
    for option in ("config_path", "config_name", "config_dir"):
        if getattr(arguments, option):
            words += ["--" + option.replace("_", "-"), getattr(arguments, option)]
    assert job_return.hydra_cfg is not None
    if "hydra.mode=MULTIRUN" not in job_return.hydra_cfg.hydra.overrides.hydra:  # then a configuration file says so
        words.append("hydra.mode=RUN")
    return shlex.join([*words, *(job_return.overrides or [])])
