"""What a job is to the application (`Job`), and where the launcher has got with it (`Run`)."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hydra.errors import CompactHydraException


class Job:
    """One job as the function named by `hydra.launcher.plan` describes it; without a plan every job is such a one.

    Args:
        key: Jobs with equal keys are one job: it is started once, and each of them gets its result.
        name: Short and readable, for the table and the messages.
        gpus: How many GPUs it uses on a node, where there are any; 0 for none, or where it sees to that itself.
        processes: How many processes it is on a node; a scheduler starts them all, other launchers the first.
        nodes: On how many nodes.
    """

    def __init__(self, key: str, name: str, gpus: int = 1, processes: int = 1, nodes: int = 1) -> None:
        self.key, self.name = key, name
        self.gpus, self.processes, self.nodes = gpus, processes, nodes

    def finished(self) -> bool:
        """Whether its result is there already, so that no process has to be started."""
        return False

    def refuses(self) -> str:
        """Why it is not to be started although it has no result, as when it would only fail again; empty where it is."""
        return ""

    def needs(self) -> Sequence[tuple[Sequence[str], "Job"]]:
        """The jobs that must be finished before this one starts, each with all the overrides that compose it.

        Those that nobody asked for are added to the sweep. Asked once, of a job that is neither finished nor refused.
        """
        return ()

    def replaces(self) -> Mapping[str, Any]:
        """Dotted keys of the configuration, and the values that its process reads in the place of those composed.

        So it can be given the folder of a job that it needs. What refers to such a key by `${...}` gets the value too.
        """
        return {}

    def busy(self) -> str:
        """Who else is at it just now, as another sweep may be; empty where nobody is. Asked before it is started."""
        return ""

    def result(self) -> Any:
        """What the application's main function returned; asked of a finished job only."""
        return None

    def progress(self) -> tuple[float, str]:
        """The share done, 0 to 1, and a few words such as "epoch 3/20  val/acc 0.713".

        Asked about twice a second, also before the job has begun: it must be cheap.
        """
        return 0.0, ""

    def cost(self) -> tuple[float, float]:
        """Seconds that the whole job takes, and bytes that it leaves, as far as earlier ones tell; NaN where unknown."""
        return math.nan, math.nan


@dataclass(frozen=True)
class Limits:
    """What may run at a time, and how often; see `LocalLauncher`."""

    jobs: int
    jobs_per_gpu: int
    retries: int
    on_failure: str

    def check(self) -> None:
        """Refuse what cannot be followed.

        Raises:
            ValueError: With the key, the rule and the value.
        """
        for key, least, what in (
            ("jobs", 1, "how many jobs run at a time"),
            ("jobs_per_gpu", 1, "how many jobs share a GPU"),
            ("retries", 0, "how often a job that failed is started again"),
        ):
            value = getattr(self, key)
            if value < least:
                raise LauncherError(f"hydra.launcher.{key} must be {least} or more, got {value}: it says {what}.")
        if self.on_failure not in ("continue", "stop"):
            raise LauncherError(f"hydra.launcher.on_failure must be continue or stop, got '{self.on_failure}'.")


class LauncherError(CompactHydraException, ValueError):
    """A setting of the launcher that cannot be followed; Hydra prints its sentence without a traceback."""


class JobFailed(CompactHydraException, RuntimeError):  # noqa: N818 (it names what happened)
    """A job ended without a result; the message says which, why, and how to repeat it.

    Attributes:
        traceback: The traceback of the exception that ended the job, as text; empty where none was seen.
    """

    traceback: str = ""


State = Literal["pending", "running", "finished", "there already", "elsewhere", "failed", "stopped"]


@dataclass(eq=False)  # two are never the same
class Run:
    """A job on its way through the launcher; times are of `time.monotonic`."""

    number: int
    job: Job
    repeat: str  # the shell command that runs it alone
    state: State = "pending"
    share: float = 0.0
    text: str = ""
    share_at_start: float = 0.0  # above 0 for a job that continues an earlier attempt
    started: float = math.nan
    ended: float = math.nan
    value: Any = None  # what main returned
    reasons: list[str] = field(default_factory=list)  # why each attempt failed
    devices: tuple[str, ...] = ()  # the GPUs that it was dealt
    traceback: str = ""
    last_output: list[str] = field(default_factory=list)
    needs: list["Run"] = field(default_factory=list)
    needed_by: list["Run"] = field(default_factory=list)
    added: bool = False  # nobody asked for it, but it is needed
    blocked_by: "Run | None" = None  # what failed, so that this one was never started

    def look(self) -> None:
        """Ask the job how far it is."""
        try:
            self.share, self.text = self.job.progress()
        except Exception as error:  # what is only shown must not end the sweep
            self.text = f"progress unknown: {type(error).__name__}: {error}"

    def take(self, state: State) -> None:
        """Take over the result of a job that is finished."""
        self.state, self.share, self.value = state, 1.0, self.job.result()

    def leave(self) -> bool:
        """Whether somebody else is at it just now; then it is left to them."""
        if who := self.job.busy():
            self.look()
            self.state, self.text = "elsewhere", f"{self.text}  {who}".strip()
        return bool(who)

    def block(self) -> bool:
        """Whether something that it needs has failed; then it has too, and says which job is to be mended."""
        failed = next((need for need in self.needs if need.state == "failed"), None)
        if failed:
            self.blocked_by = failed.blocked_by or failed
            self.state, self.reasons = "failed", [f"blocked by {self.blocked_by.job.name}"]
        return failed is not None

    def begin(self) -> None:
        """Note that its process starts now."""
        self.look()
        self.state, self.started, self.share_at_start = "running", time.monotonic(), self.share

    @property
    def awaits(self) -> list["Run"]:
        """What must be finished before it starts, and is not yet."""
        return [need for need in self.needs if need.state not in ("finished", "there already")]

    @property
    def elapsed(self) -> float:
        """Seconds since its process was started, until its end."""
        return (time.monotonic() if math.isnan(self.ended) else self.ended) - self.started

    @property
    def left(self) -> float:
        """Seconds until its end at the pace of this process; NaN while unknown."""
        gained = self.share - self.share_at_start
        return self.elapsed * (1 - self.share) / gained if self.state == "running" and gained > 0 else math.nan

    @property
    def reason(self) -> str:
        """Why it failed; of several attempts, why each did."""
        last = self.reasons[-1] if self.reasons else ""
        if len(self.reasons) < 2:
            return last
        if len(set(self.reasons)) == 1:
            return f"{last} ({len(self.reasons)} attempts)"
        return "; ".join(f"attempt {n}: {reason}" for n, reason in enumerate(self.reasons, start=1))

    @property
    def failure(self) -> JobFailed:
        """The failed run as an exception."""
        error = JobFailed(f"Job '{self.job.name}' failed: {self.reason}; repeat it with: {self.repeat}")
        error.traceback = self.traceback
        return error


def time_left(runs: list[Run], elapsed: float) -> float:
    """Seconds until all are done, from the shares gained in the seconds `elapsed`; NaN while unknown."""
    started = [run for run in runs if not math.isnan(run.started)]
    gained = sum((1.0 if run.state == "finished" else run.share) - run.share_at_start for run in started)
    missing = sum(1 - run.share for run in runs if run.state in ("pending", "running"))
    return elapsed * missing / gained if gained > 0 else math.nan
