"""A job as the application's plan describes it (`PlannedJob`), and its way through the launcher (`TrackedJob`)."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hydra.errors import CompactHydraException

from ._outcomes import Outcome


class PlannedJob:
    """A job as described by the function that `hydra.launcher.plan` names; without a plan every job is one of these.

    Applications override the methods whose defaults do not suit them.

    Args:
        key: Jobs with equal keys are the same job: it is started once, and its result counts for each of them.
        name: Short and readable, for tables and messages.
        gpus: How many GPUs the job uses per node, if the machine has any; 0 for none, or if the job chooses them itself.
        processes: How many processes the job has per node; SLURM starts them all, the local launcher only the first.
        nodes: How many nodes the job uses.
    """

    def __init__(self, key: str, name: str, gpus: int = 1, processes: int = 1, nodes: int = 1) -> None:
        self.key, self.name = key, name
        self.gpus, self.processes, self.nodes = gpus, processes, nodes

    def finished(self) -> bool:
        """Whether the job already has its result, so that no process needs to be started."""
        return False

    def refuses(self) -> str:
        """Why the job must not be started although it has no result, for instance as it would fail again; else empty."""
        return ""

    def needs(self) -> Sequence[tuple[Sequence[str], "PlannedJob"]]:
        """The jobs that must be finished before this one starts, each with all overrides from which it is composed.

        Those that the user did not request are added to the sweep. Called once, if the job is neither finished nor refused.
        """
        return ()

    def replaces(self) -> Mapping[str, Any]:
        """Dotted keys of the configuration, and values that replace the composed ones in the job's process.

        This can pass on the folder of a job that this one needs. What refers to such a key by `${...}` gets the value too.
        """
        return {}

    def busy(self) -> str:
        """Who is running the job now, such as another sweep; empty if nobody is. Called before the job is started."""
        return ""

    def result(self) -> Any:
        """What the application's main function returned; called only for a finished job."""
        return None

    def progress(self) -> tuple[float, str]:
        """The share that is done, from 0 to 1, and a short text such as "epoch 3/20  val/acc 0.713".

        Called about twice a second, and also before the job has started: it must be cheap.
        """
        return 0.0, ""

    def cost(self) -> tuple[float, float]:
        """The whole job's seconds and the bytes that it stores, estimated from earlier jobs; NaN if unknown."""
        return math.nan, math.nan


class JobFailed(CompactHydraException, RuntimeError):  # noqa: N818 (it names an event)
    """A job ended without a result; the message says which one, why, and how to repeat it.

    Attributes:
        traceback: The traceback of the exception that ended the job, as text, or empty.
    """

    traceback: str = ""


State = Literal["pending", "running", "finished", "already done", "elsewhere", "failed", "stopped"]


@dataclass(eq=False)  # compared and hashed by identity
class TrackedJob:
    """A job on its way through the launcher; times are those of `time.monotonic`."""

    number: int
    planned: PlannedJob
    repeat: str  # the shell command that runs the job alone
    state: State = "pending"
    share: float = 0.0  # done so far, from 0 to 1
    text: str = ""  # its progress in words
    share_at_start: float = 0.0  # above 0 if the job continues an earlier attempt
    started: float = math.nan
    ended: float = math.nan
    value: Any = None  # what main returned
    reasons: list[str] = field(default_factory=list)  # why each attempt failed
    gpus: tuple[str, ...] = ()  # the GPUs that the job may use
    traceback: str = ""
    last_output: list[str] = field(default_factory=list)
    needs: list["TrackedJob"] = field(default_factory=list)
    needed_by: list["TrackedJob"] = field(default_factory=list)
    added: bool = False  # not requested by the user, but needed by another job
    asked_to_end: bool = False  # whether the last attempt failed because somebody outside stopped it
    blocked_by: "TrackedJob | None" = None  # the failed job because of which this one was never started
    document: dict[str, Any] = field(default_factory=dict)  # the configuration for the job's process

    def update_progress(self) -> None:
        """Ask the application how far the job is."""
        try:
            self.share, self.text = self.planned.progress()
        except Exception as error:  # a mere display must not end the sweep
            self.text = f"progress unknown: {type(error).__name__}: {error}"

    def start(self) -> None:
        """Record that the job's process starts now."""
        self.update_progress()
        self.state, self.started, self.share_at_start = "running", time.monotonic(), self.share

    def accept_result(self, state: State) -> None:
        """Take the result of a job that its application reports as finished."""
        self.state, self.share, self.value = state, 1.0, self.planned.result()

    def conclude(self, outcome: Outcome) -> None:
        """Record how the job's process ended."""
        if outcome.finished:
            self.state, self.share, self.value = "finished", 1.0, outcome.value
        else:
            self.state, self.traceback, self.last_output = "failed", outcome.traceback, outcome.output
            self.reasons += outcome.reasons
            self.asked_to_end = outcome.stopped

    def defer_if_busy(self) -> bool:
        """Leave the job to whoever is running it now, if anybody is; return whether somebody is."""
        if owner := self.planned.busy():
            self.update_progress()
            self.state, self.text = "elsewhere", f"{self.text}  {owner}".strip()
        return bool(owner)

    def block_if_need_failed(self) -> bool:
        """Mark the job as failed if a job that it needs has failed; return whether one has."""
        failed = next((need for need in self.needs if need.state == "failed"), None)
        if failed:
            self.blocked_by = failed.blocked_by or failed
            self.state, self.reasons = "failed", [f"blocked by {self.blocked_by.planned.name}"]
        return failed is not None

    @property
    def word(self) -> State:
        """The state as users read it: a job that was stopped from outside has failed, but nothing is wrong with it."""
        return "stopped" if self.state == "failed" and self.asked_to_end and not self.blocked_by else self.state

    @property
    def unfinished_needs(self) -> list["TrackedJob"]:
        """The jobs that this one still waits for."""
        return [need for need in self.needs if need.state not in ("finished", "already done")]

    @property
    def elapsed(self) -> float:
        """Seconds from the start of the job's process to its end, or until now."""
        return (time.monotonic() if math.isnan(self.ended) else self.ended) - self.started

    @property
    def remaining(self) -> float:
        """Seconds until the job's end at the pace of this process; NaN if unknown."""
        gained = self.share - self.share_at_start
        return self.elapsed * (1 - self.share) / gained if self.state == "running" and gained > 0 else math.nan

    @property
    def reason(self) -> str:
        """Why the job failed; with different reasons, one for each attempt."""
        last = self.reasons[-1] if self.reasons else ""
        if len(self.reasons) < 2:
            return last
        if len(set(self.reasons)) == 1:
            return f"{last} ({len(self.reasons)} attempts)"
        return "; ".join(f"attempt {n}: {reason}" for n, reason in enumerate(self.reasons, start=1))

    @property
    def failure(self) -> JobFailed:
        """The failed job as an exception."""
        error = JobFailed(f"Job '{self.planned.name}' {self.word}: {self.reason}; repeat it with: {self.repeat}")
        error.traceback = self.traceback
        return error


def estimate_remaining(jobs: list[TrackedJob], elapsed: float) -> float:
    """Seconds until all jobs have ended, at the pace of the `elapsed` seconds; NaN if unknown."""
    started = [job for job in jobs if not math.isnan(job.started)]
    gained = sum((1.0 if job.state == "finished" else job.share) - job.share_at_start for job in started)
    missing = sum(1 - job.share for job in jobs if job.state in ("pending", "running"))
    return elapsed * missing / gained if gained > 0 else math.nan
