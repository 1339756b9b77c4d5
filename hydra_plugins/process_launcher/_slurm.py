"""Hydra launcher `slurm`: the jobs that are not finished, as an array of SLURM's, or a few where they need each other."""

import contextlib
import getpass
import json
import math
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore

from ._jobs import LauncherError, Run
from ._launcher import Document, SweepLauncher, program, write_config
from ._processes import SHOW_SECONDS, Ending, last_lines, outcome, settle, signals_unwind
from ._table import display, summary
from ._task import MARGIN_SECONDS, Task

LATE_SECONDS = 15.0  # a report may reach us through a network file system after its job has left the queue
UNKNOWN = ("", "PENDING", "RUNNING", "COMPLETING")  # SLURM's accounting, a little behind, of a job that has just ended
GOING = "Leaving."
OWN = {"array", "output", "error", "signal", "open-mode", "no-requeue", "wait", "parsable", "test-only"}
LEFT = "The jobs stay with SLURM: squeue shows them, scancel ends them, and the same command finds them again."


@dataclass
class SlurmLauncherConf:
    """The settings `hydra.launcher.*`."""

    _target_: str = "hydra_plugins.process_launcher._slurm.SlurmLauncher"
    partition: str | None = None  # null for the cluster's own choice, as with all that follow
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    minutes: int = 240  # a job that needs more is queued again, and goes on where it was
    cpus: int = 4  # a process
    memory: str | None = None  # a node, such as 16G
    jobs: int = 256  # how many run at a time
    retries: int = 0  # how often a job that failed is started again
    requeues: int = 100  # how often a job whose time was up is queued again
    signal_seconds: int = 120  # before its time is up a job is asked to end where it can go on from
    setup: list[str] = field(default_factory=list)  # shell commands that come first, such as "module load cuda"
    sbatch: dict[str, Any] = field(default_factory=dict)  # further options of sbatch, without their dashes
    folder: str = "${oc.select:out,.}/slurm"  # for configurations and logs; every node must see it
    wait: bool = True  # false: submit, and leave
    check_seconds: float = 10.0  # between two looks at the queue
    dry_run: bool = False  # say what would run, and submit nothing
    plan: str | None = None  # dotted name of a function (configs: list[DictConfig]) -> list[Job]


ConfigStore.instance().store(group="hydra/launcher", name="slurm", node=SlurmLauncherConf, provider="process_launcher")


class SlurmLauncher(SweepLauncher):
    """Submits the jobs that are neither finished nor queued already, each once, and waits for them, or leaves.

    On preemption and before its time is up a job is asked to end at its next safe point, and queued again by submitit. Each job
    has an exit code of its own, so that SLURM knows which failed. Jobs with several processes or GPUs are arrays of their own,
    and so are those that need the same jobs: SLURM starts them once those have finished, and cancels them if one fails.

    Args:
        partition: SLURM's, as `account`, `qos`, `constraint`.
        account: SLURM's.
        qos: SLURM's.
        constraint: SLURM's.
        minutes: The time limit.
        cpus: A process.
        memory: A node, as sbatch takes it.
        jobs: How many run at a time.
        retries: How often a job of one process that failed is started again, on its node.
        requeues: How often a job whose time was up is queued again.
        signal_seconds: How long before its end a job is told of it.
        setup: Shell commands before the job.
        sbatch: Further options of sbatch.
        folder: Seen by all nodes.
        wait: Whether to stay until all jobs have ended.
        check_seconds: Between two looks at the queue.
        dry_run: As `SweepLauncher`.
        plan: As `SweepLauncher`.
    """

    def __init__(
        self,
        *,
        partition: str | None,
        account: str | None,
        qos: str | None,
        constraint: str | None,
        minutes: int,
        cpus: int,
        memory: str | None,
        jobs: int,
        retries: int,
        requeues: int,
        signal_seconds: int,
        setup: list[str],
        sbatch: dict[str, Any],
        folder: str,
        wait: bool,
        check_seconds: float,
        dry_run: bool,
        plan: str | None,
    ) -> None:
        super().__init__(jobs, plan, dry_run)
        given = {"partition": partition, "account": account, "qos": qos, "constraint": constraint, "mem": memory}
        self.options: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        self.options |= {
            "time": minutes,
            "cpus_per_task": cpus,
            "array_parallelism": jobs,
            "signal_delay_s": signal_seconds,
            "stderr_to_stdout": True,
            "srun_args": ["--kill-on-bad-exit=1"],  # the other processes of a job would wait for a dead one
            "additional_parameters": {"requeue": True, **sbatch},
        }
        self.ranges = {"minutes": (minutes, 1), "cpus": (cpus, 1), "jobs": (jobs, 1), "retries": (retries, 0)}
        self.ranges |= {"requeues": (requeues, 0), "signal_seconds": (signal_seconds, 2 * int(MARGIN_SECONDS))}
        self.retries, self.requeues, self.signal_seconds = retries, requeues, signal_seconds
        self.commands = list(setup)
        self.folder, self.wait, self.check_seconds = Path(folder), wait, check_seconds

    def check(self) -> None:
        """Refuse numbers out of their range, and machines without SLURM."""
        for key, (value, least) in self.ranges.items():
            if value < least:
                raise LauncherError(f"hydra.launcher.{key} must be {least} or more, got {value}.")
        if not self.check_seconds >= 1:
            raise LauncherError(f"hydra.launcher.check_seconds must be 1 or more, got {self.check_seconds}.")
        if self.signal_seconds >= 60 * self.options["time"]:
            raise LauncherError(
                f"hydra.launcher.signal_seconds must be less than hydra.launcher.minutes, got {self.signal_seconds} s of "
                f"{self.options['time']} min."
            )
        for key in OWN & {str(key).replace("_", "-") for key in self.options["additional_parameters"]}:
            raise LauncherError(f"hydra.launcher.sbatch.{key} must not be set: the launcher sees to it itself.")
        if self.folder == Path():
            raise LauncherError("hydra.launcher.folder must be the path of a folder that all nodes see, got nothing.")
        if not self.dry_run and not (shutil.which("sbatch") and shutil.which("srun")):
            raise LauncherError(
                "hydra/launcher=slurm must find sbatch and srun on PATH: start it where your cluster takes jobs."
            )
        if not self.dry_run and not find_spec("submitit"):
            raise LauncherError("hydra/launcher=slurm needs the package submitit: pip install submitit.")

    def run(self, runs: list[Run], documents: Mapping[int, Document], requested: int) -> None:
        """Submit the pending ones that nobody is at, and follow them to their ends."""
        jobs = self._queued([run for run in runs if run.state == "pending"])
        queued = {job.run.number for job in jobs}
        super().find([run for run in runs if run.number not in queued])
        held: set[Run] = set()  # SLURM cannot wait for what is in other hands
        new = []
        for run in runs:
            if run.state == "pending" and run.number not in queued:
                if any(need.state == "elsewhere" or need in held for need in run.awaits):
                    held.add(run)
                else:
                    new.append(run)
        if new:
            with signals_unwind(GOING) as ending:  # what is being submitted is recorded first
                jobs += self._submit(new, documents, jobs)
            if ending.asked:
                print(LEFT, flush=True)
                sys.exit(128 + signal.SIGINT)
        if not self.wait:
            self._tidy(runs)
            states = Counter(run.state for run in runs)
            added = sum(run.added for run in new)
            words = f"{len(new)} jobs submitted{f' ({added} added: needed by others)' if added else ''}"
            words += f", {len(queued)} were queued already"
            words += f", {states['elsewhere']} are in other hands" if states["elsewhere"] else ""
            words += f", {len(held)} wait for those" if held else ""
            words += f", {states['failed']} are not to be started" if states["failed"] else ""
            print(f"{words}. {LEFT}", flush=True)
            sys.exit(0)  # Hydra's sweepers would take missing values for results
        with signals_unwind(GOING) as ending, display(runs) as show:
            self._follow(jobs, ending, show)
        print(summary(runs, requested), flush=True)
        if ending.asked:
            print(LEFT, flush=True)
            sys.exit(128 + signal.SIGINT)
        for folder in sorted({job.folder for job in jobs if job.run.state == "failed"}):
            print(f"What was printed there: {folder}", flush=True)
        self._tidy(runs)

    def find(self, runs: list[Run]) -> None:
        """Mark those that SLURM has already, too."""
        for job in self._queued([run for run in runs if run.state == "pending"]):
            job.run.state, job.run.text = "elsewhere", f"queued as {job.slurm}"
        super().find(runs)

    def _tidy(self, runs: list[Run]) -> None:
        """Remove what is left of the submissions whose jobs are all done."""
        done = {run.job.key for run in runs if run.state in ("finished", "there already")}
        held = {record.parent: _submitted(record.parent) for record in self.folder.glob("*/jobs.json")}
        over = [folder for folder, jobs in held.items() if jobs and all(key in done for key, _, _ in jobs)]
        if over and (live := _queue()) is not None:
            for folder in over:
                if not any(slurm in live for _, _, slurm in held[folder]):
                    _remove(folder)

    def _queued(self, runs: list[Run]) -> list["Submitted"]:
        """Those that an earlier command has submitted, and that SLURM still has."""
        wanted = {run.job.key: run for run in runs}
        found = {}
        for record in sorted(self.folder.glob("*/jobs.json"), key=lambda record: record.stat().st_mtime):
            for key, number, slurm in _submitted(record.parent):
                if key in wanted:
                    found[key] = Submitted(wanted[key], record.parent, number, slurm)
        live = _queue() if found else {}
        # Ended, or about to be cancelled, as something that it needs has failed.
        over = (None, "PENDING DependencyNeverSatisfied")
        return [job for job in found.values() if live is None or live.get(job.slurm) not in over]

    def _submit(
        self, runs: list[Run], documents: Mapping[int, Document], queued: list["Submitted"]
    ) -> list["Submitted"]:
        """One array for each number of GPUs, processes and nodes, and for what is needed; first those that others need.

        Raises:
            LauncherError: With SLURM's own words, if it takes none.
        """
        import submitit
        from submitit.core.utils import FailedJobError

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=time.strftime("%Y-%m-%d-"), dir=self.folder)).resolve()
        except OSError as error:
            raise LauncherError(
                f"hydra.launcher.folder must be a folder that can be written to, got {self.folder} ({error.strerror})."
            ) from error
        for run in runs:
            write_config(documents[run.number], folder, run.number, parent=None)
        jobs: list[Submitted] = []
        names = {job.run: job.slurm for job in queued}
        # Where this package lies the node's Python has to look too, before it knows anything of the application.
        path = f"export PYTHONPATH={shlex.quote(str(Path(__file__).parents[2]))}${{PYTHONPATH:+:$PYTHONPATH}}"
        setup = ["set -e", *self.commands, path]  # a command of the user's that fails ends the job
        left = list(runs)
        while left:
            # The first that can be depended on, and all that are like it.
            ready = [run for run in left if all(need in names for need in run.awaits)]
            kind = _kind(ready[0], names)
            alike = [run for run in ready if _kind(run, names) == kind]
            left = [run for run in left if run not in alike]
            gpus, processes, nodes, needed = kind
            executor = submitit.SlurmExecutor(folder=folder, max_num_timeout=self.requeues)
            shape = {"nodes": nodes, "ntasks_per_node": processes} | ({"gpus_per_node": gpus} if gpus else {})
            executor.update_parameters(
                job_name=self.config.hydra.job.name, setup=setup, **shape, **self._options(needed)
            )
            try:
                with executor.batch():
                    submitted = [
                        executor.submit(Task(program(), folder, run.number, self.retries, self.signal_seconds))
                        for run in alike
                    ]
            except BaseException as error:
                if not jobs:
                    _remove(folder)
                if not isinstance(error, FailedJobError):
                    raise
                words = " ".join(str(error).split()) or type(error).__name__
                raise LauncherError(f"SLURM takes no such job: {words}") from error
            jobs += [Submitted(run, folder, run.number, job.job_id) for run, job in zip(alike, submitted, strict=True)]
            names |= {job.run: job.slurm for job in jobs}
            record = [[job.run.job.key, job.number, job.slurm] for job in jobs]
            (folder / "jobs.json").write_text(json.dumps(record, indent=0), encoding="utf-8")
        return jobs

    def _options(self, needed: tuple[str, ...]) -> dict[str, Any]:
        """Those of an array that is to start once the jobs of these names have finished."""
        if not needed:
            return self.options
        further = self.options["additional_parameters"]
        conditions = [str(further["dependency"])] if "dependency" in further else []
        depends = {"dependency": ",".join([*conditions, ":".join(["afterok", *needed])]), "kill-on-invalid-dep": "yes"}
        return self.options | {"additional_parameters": further | depends}

    def _follow(self, jobs: list["Submitted"], ending: Ending, show: Callable[[], None]) -> None:
        """Note what becomes of the jobs, until all have ended or the user goes."""
        left = list(jobs)
        looked = -math.inf
        while left and not ending.asked:
            if time.monotonic() - looked >= self.check_seconds:
                live, looked = _queue(), time.monotonic()
                if live is not None:
                    followed = {job.run for job in left}
                    for job in left:
                        job.note(live.get(job.slurm), waits=not followed.isdisjoint(job.run.needs))
            else:
                for job in left:
                    job.look()
            left = [job for job in left if job.run.state not in ("finished", "failed")]
            show()
            time.sleep(SHOW_SECONDS)


@dataclass
class Submitted:
    """A job of ours that is a job of SLURM's.

    Args:
        run: Ours.
        folder: Of its submission.
        number: Its number there.
        slurm: SLURM's name for it.
    """

    run: Run
    folder: Path
    number: int
    slurm: str
    gone: float = math.nan  # when the queue was seen without it

    def note(self, said: str | None, waits: bool) -> None:
        """Take over what the queue says of it.

        Args:
            said: State and reason; None where it is not there any more.
            waits: Whether it is not known yet what became of a job that it needs.
        """
        run = self.run
        state, _, why = (said or "").partition(" ")
        if said is None:
            file = self.folder / f"job-{self.number}.pickle"
            if run.state == "pending" and not file.exists() and (waits or run.block()):
                return  # SLURM has cancelled it, as a job that it needs has failed
            self.gone = time.monotonic() if math.isnan(self.gone) else self.gone
            self._end(file, late=time.monotonic() - self.gone > LATE_SECONDS)
        elif state == "PENDING":
            run.state, run.text = "pending", f"queued as {self.slurm} ({why})"  # such as Priority, or PartitionConfig
        elif run.state != "running":
            run.begin()
        else:
            run.look()

    def look(self) -> None:
        """Read how far it is, where it runs."""
        if self.run.state == "running":
            self.run.look()

    def _end(self, file: Path, late: bool) -> None:
        """Note how it ended, once its report is there and SLURM's accounting knows, or it is too late for both."""
        run, reported = self.run, file.exists()
        finished = not reported and run.job.finished()
        if not (reported or finished or late):
            return
        logs = (self.folder / f"job-{self.number}-0.log", self.folder / f"{self.slurm}_0_log.out")
        found = {} if finished else outcome(file, 0, next((last_lines(log) for log in logs if log.exists()), []))
        if not finished and "value" not in found:
            state, ended = _ended(self.slurm)
            if state in UNKNOWN and not late:
                return
            if not (reported and state in ("FAILED", *UNKNOWN)):  # then the report says more
                found["reasons"][-1] = f"SLURM says {ended}" + (f": {found['reasons'][-1]}" if reported else "")
        run.look()
        run.ended = time.monotonic()
        run.started = run.ended if math.isnan(run.started) else run.started
        if finished:
            run.take("finished")
        else:
            settle(run, found)


def _kind(run: Run, names: Mapping[Run, str]) -> tuple[int, int, int, tuple[str, ...]]:
    """What jobs of one array have in common: GPUs, processes, nodes, and SLURM's names for what they need."""
    needed = tuple(sorted(names[need] for need in run.awaits))
    return run.job.gpus, run.job.processes, run.job.nodes, needed


def _remove(folder: Path) -> None:
    """Remove a submission's folder, and the one of all submissions after the last."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()


def _submitted(folder: Path) -> list[tuple[str, int, str]]:
    """Key, number and SLURM's name of the jobs of a submission; none where its record cannot be read."""
    try:
        held = json.loads((folder / "jobs.json").read_text(encoding="utf-8"))
        return [(str(key), int(number), str(slurm)) for key, number, slurm in held]
    except (OSError, ValueError, TypeError):
        return []


def _queue() -> dict[str, str] | None:
    """State and reason of the user's jobs that SLURM has not done with; None while it does not answer."""
    said = _said("squeue", "--noheader", "--array", f"--user={getpass.getuser()}", "--format=%i %T %r")
    return None if said is None else dict(line.split(maxsplit=1) for line in said.splitlines() if line.strip())


def _ended(slurm: str) -> tuple[str, str]:
    """How a job ended by SLURM's accounting: its state, and a few words."""
    form = ("--noheader", "--allocations", "--parsable2", "--format=State,ExitCode,NodeList")
    words = (_said("sacct", *form, f"--jobs={slurm}") or "").strip().split("|")
    if len(words) != 3:
        return "", "nothing of it any more"
    state, code, node = words
    return state, f"{state} on {node}, exit code {code.partition(':')[0]}"


def _said(*command: str) -> str | None:
    """What a command of SLURM's prints; None where it fails or does not answer."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
