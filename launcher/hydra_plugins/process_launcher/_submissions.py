"""Jobs that were submitted to SLURM: their records on disk, their states in the queue, and how they ended."""

import contextlib
import getpass
import json
import math
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from ._jobs import TrackedJob
from ._outcomes import Outcome, last_lines, read_outcome

LATE_SECONDS = 15.0  # an outcome may reach us through a network file system after its job has left the queue
UNDECIDED = (
    "",
    "PENDING",
    "RUNNING",
    "COMPLETING",
)  # in SLURM's accounting, which lags behind, of a job that has ended


@dataclass
class SubmittedJob:
    """A job that SLURM has.

    Args:
        job: The launcher's view of it.
        folder: The folder of its submission.
        number: Its number in that folder.
        slurm_id: Its name in SLURM, such as 12_3.
    """

    job: TrackedJob
    folder: Path
    number: int
    slurm_id: str
    left_queue: float = math.nan  # when the job was first missing from the queue

    def update(self, queue_entry: str | None, waits: bool) -> None:
        """Update the job from the queue.

        Args:
            queue_entry: State and reason; None if the job is no longer in the queue.
            waits: Whether a job that this one needs has not ended yet.
        """
        job = self.job
        state, _, reason = (queue_entry or "").partition(" ")
        if queue_entry is None:
            file = self.folder / f"job-{self.number}.pickle"
            if job.state == "pending" and not file.exists() and (waits or job.block_if_need_failed()):
                return  # SLURM has cancelled the job, because a job that it needs has failed
            self.left_queue = time.monotonic() if math.isnan(self.left_queue) else self.left_queue
            self._conclude(file, is_late=time.monotonic() - self.left_queue > LATE_SECONDS)
        elif state == "PENDING":
            job.state, job.text = (
                "pending",
                f"queued as {self.slurm_id} ({reason})",
            )  # such as Priority or PartitionConfig
        elif job.state != "running":
            job.start()
        else:
            job.update_progress()

    def _conclude(self, file: Path, is_late: bool) -> None:
        """Record how the job ended, once its outcome and SLURM's accounting are available, or late without them."""
        job, reported = self.job, file.exists()
        finished_unreported = not reported and job.planned.finished()
        if not (reported or finished_unreported or is_late):
            return
        outcome = Outcome(True) if finished_unreported else read_outcome(file, 0, self._last_lines())
        if not outcome.finished:
            state, description = _read_accounting(self.slurm_id)
            if state in UNDECIDED and not is_late:
                return
            if not (reported and state in ("FAILED", *UNDECIDED)):  # otherwise the reported reason says more
                reason = f": {outcome.reasons[-1]}" if reported else ""
                outcome.reasons[-1] = f"SLURM says {description}{reason}"
        job.update_progress()
        job.ended = time.monotonic()
        job.started = job.ended if math.isnan(job.started) else job.started
        if finished_unreported:
            job.accept_result("finished")
        else:
            job.conclude(outcome)

    def _last_lines(self) -> list[str]:
        """The last lines of the job's log, or of SLURM's if the job never started."""
        logs = (self.folder / f"job-{self.number}-0.log", self.folder / f"{self.slurm_id}_0_log.out")
        return next((last_lines(log) for log in logs if log.exists()), [])


def write_record(folder: Path, submitted: list[SubmittedJob]) -> None:
    """Record the jobs of a submission, so that a later command can find them."""
    record = [[entry.job.planned.key, entry.number, entry.slurm_id] for entry in submitted]
    (folder / "jobs.json").write_text(json.dumps(record, indent=0), encoding="utf-8")


def read_records(folder: Path) -> dict[Path, list[tuple[str, int, str]]]:
    """Key, number and SLURM's name of all recorded jobs, by the folder of their submission, oldest first."""
    files = sorted(folder.glob("*/jobs.json"), key=lambda file: file.stat().st_mtime)
    return {file.parent: _read_record(file) for file in files}


def _read_record(file: Path) -> list[tuple[str, int, str]]:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        return [(str(key), int(number), str(slurm_id)) for key, number, slurm_id in record]
    except (OSError, ValueError, TypeError):
        return []


def find_submitted(folder: Path, jobs: list[TrackedJob]) -> list[SubmittedJob]:
    """Those of the jobs that an earlier command has submitted and that SLURM still has."""
    by_key = {job.planned.key: job for job in jobs}
    candidates = {
        key: SubmittedJob(by_key[key], submission, number, slurm_id)
        for submission, record in read_records(folder).items()
        for key, number, slurm_id in record
        if key in by_key
    }
    queue = read_queue() if candidates else {}
    # Jobs that have ended, or that SLURM will cancel because a job that they need has failed.
    gone = (None, "PENDING DependencyNeverSatisfied")
    return [entry for entry in candidates.values() if queue is None or queue.get(entry.slurm_id) not in gone]


def remove_finished(folder: Path, jobs: list[TrackedJob]) -> None:
    """Remove the folders of submissions whose jobs have all finished."""
    finished = {job.planned.key for job in jobs if job.state in ("finished", "already done")}
    records = read_records(folder)
    removable = [
        submission for submission, record in records.items() if record and all(key in finished for key, _, _ in record)
    ]
    if removable and (queue := read_queue()) is not None:
        for submission in removable:
            if not any(slurm_id in queue for _, _, slurm_id in records[submission]):
                remove_submission(submission)


def remove_submission(folder: Path) -> None:
    """Remove the folder of a submission, and its parent folder if it was the last one there."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()


def read_queue() -> dict[str, str] | None:
    """State and reason of the user's jobs in SLURM's queue, by their names; None if SLURM does not answer."""
    output = _run_slurm("squeue", "--noheader", "--array", f"--user={getpass.getuser()}", "--format=%i %T %r")
    return None if output is None else dict(line.split(maxsplit=1) for line in output.splitlines() if line.strip())


def _read_accounting(slurm_id: str) -> tuple[str, str]:
    """How a job ended, from SLURM's accounting: its state, and a short description."""
    options = ("--noheader", "--allocations", "--parsable2", "--format=State,ExitCode,NodeList")
    fields = (_run_slurm("sacct", *options, f"--jobs={slurm_id}") or "").strip().split("|")
    if len(fields) != 3:
        return "", "nothing about it"
    state, code, node = fields
    return state, f"{state} on {node}, exit code {code.partition(':')[0]}"


def _run_slurm(*command: str) -> str | None:
    """The output of one of SLURM's commands; None if it fails or does not answer."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
