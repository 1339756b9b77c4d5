"""Start the jobs' processes, a few at a time, watch them, and leave none behind."""

import contextlib
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from ._jobs import Limits, Run

GRACE_SECONDS = 5.0  # between asking a process to end and killing it
POLL_SECONDS = 0.1
SHOW_SECONDS = 0.5
LAST_LINES = 20
SAFE_POINT = signal.SIGUSR2  # asks a job to end where nothing is lost, as schedulers do before they take a node away


@dataclass
class Ending:
    """What signals asked for.

    Attributes:
        asked: The end: nothing more is started, and what runs ends at its next safe point.
        leaving: The end at once; the stack unwinds.
        hurried: That it unwinds without waiting.
    """

    asked: bool = False
    leaving: bool = False
    hurried: bool = False


def run_all(
    runs: list[Run], program: list[str], scratch: Path, limits: Limits, ending: Ending, show: Callable[[], None]
) -> None:
    """Run each pending job as `program --config-path scratch --config-name job-N`, until all have ended.

    Args:
        runs: The jobs, each after those that it needs; they are updated in place.
        program: Interpreter and script.
        scratch: The folder that holds the configurations; receives reports and output.
        limits: How many run at a time, and how often.
        ending: Once asked for, the running jobs get SAFE_POINT, which ends those that know nothing of it.
        show: Called about twice a second.
    """
    waiting = deque(run for run in runs if run.state == "pending")
    running: list[tuple[Run, subprocess.Popen[bytes]]] = []
    gpus = _gpus()
    shown = 0.0
    told = False
    try:
        while (waiting and not ending.asked) or running:
            while len(running) < limits.jobs and not ending.asked and (run := _next(waiting)):
                devices = _deal(gpus, [run for run, _ in running], run.job.gpus, limits.jobs_per_gpu)
                if devices is None:  # until a job gives one back
                    break
                waiting.remove(run)
                run.devices = devices
                run.begin()
                running.append((run, _start(run, program, scratch, limits.jobs)))
            if ending.asked and not told:
                told = True
                for _, process in running:
                    _signal_group(process, SAFE_POINT)
            if time.monotonic() - shown >= SHOW_SECONDS:
                for run, _ in running:
                    run.look()
                show()
                shown = time.monotonic()
            time.sleep(POLL_SECONDS if running else SHOW_SECONDS)
            for run, process in list(running):
                if _has_ended(run, process):
                    _signal_group(process, signal.SIGKILL)  # ranks of a dead job would wait for it for ever
                    _settle(run, process.returncode, scratch)
                    running.remove((run, process))
                    if run.state == "failed" and ending.asked:
                        run.state = "stopped"
                    elif run.state == "failed" and (run.job.finished() or run.job.busy()):
                        run.reasons.pop()  # another sweep was first
                        run.state, run.ended = "pending", math.nan
                        waiting.append(run)
                    elif run.state == "failed" and len(run.reasons) <= limits.retries and not run.job.refuses():
                        run.state, run.ended = "pending", math.nan
                        waiting.appendleft(run)
                    elif run.state == "failed":
                        _block(runs, waiting)
                        if limits.on_failure == "stop":
                            waiting.clear()
    finally:
        for run in waiting:
            run.state = "pending"
        for run, _ in running:
            run.state, run.ended = "stopped", time.monotonic()
        _stop([process for _, process in running], ending)
        show()


def _next(waiting: deque[Run]) -> Run | None:
    """The first job that can start and that nobody else is at; those finished by others meanwhile leave the queue."""
    for run in list(waiting):
        if run.awaits:
            continue
        if run.job.finished():
            run.take("there already")
            waiting.remove(run)
        elif not run.leave():
            run.state = "pending"
            return run
    return None


def _block(runs: list[Run], waiting: deque[Run]) -> None:
    """Take from the queue what needs a job that has failed, near or far."""
    for run in runs:  # in their order: each comes after what it needs
        if run.state == "pending" and run.block() and run in waiting:
            waiting.remove(run)


@contextlib.contextmanager
def signals_unwind(words: str) -> Iterator[Ending]:
    """Let signals end the sweep without a traceback, and with nothing that it started left behind.

    The first Ctrl-C asks for the end, the second unwinds the stack, as SIGTERM and SIGHUP do at once; later ones only hurry it.

    Args:
        words: What to say at the first.
    """
    ending = Ending()

    def leave(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and not ending.asked and not ending.leaving:
            ending.asked = True
            os.write(2, f"\n{words}\n".encode())  # print is not safe in a handler
            return
        if ending.leaving:  # once only, for it would cut short what clears away
            ending.hurried = True
            return
        ending.leaving = True
        sys.exit(128 + number)

    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        yield ending
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:  # as nohup and a shell's & do
                signal.signal(number, leave)
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _gpus() -> list[str]:
    """The names of the GPUs that the jobs may have, as CUDA_VISIBLE_DEVICES takes them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() and name.strip() != "-1"]
    return [str(number) for number, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]


def _deal(gpus: list[str], running: list[Run], wanted: int, jobs_per_gpu: int) -> tuple[str, ...] | None:
    """The GPUs with the fewest jobs; none where there are none or none is wanted; None where all are taken."""
    if not gpus or not wanted:
        return ()
    load = {gpu: sum(gpu in run.devices for run in running) for gpu in gpus}
    free = sorted((gpu for gpu in gpus if load[gpu] < jobs_per_gpu), key=lambda gpu: load[gpu])  # in turn where equal
    if wanted > len(gpus):
        return ()  # the job itself will say that it cannot have them
    return tuple(free[:wanted]) if len(free) >= wanted else None


def _start(run: Run, program: list[str], scratch: Path, jobs: int) -> subprocess.Popen[bytes]:
    """Start the job's process as the leader of a session of its own, which the terminal's Ctrl-C does not reach."""
    # A task of srun's may have started the sweep, but its jobs are none: they would take its number for their rank.
    task = ("SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_STEP_NUM_TASKS")
    environment = {key: value for key, value in os.environ.items() if key not in task} | {"PYTHONUNBUFFERED": "1"}
    if run.devices:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(run.devices)
    if "OMP_NUM_THREADS" not in environment:  # MKL follows it, where the user has set it
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        environment["OMP_NUM_THREADS"] = str(max(1, cores // jobs))
        environment.setdefault("MKL_NUM_THREADS", environment["OMP_NUM_THREADS"])
    command = command_of(program, scratch, run.number)
    (scratch / f"job-{run.number}.pickle").unlink(missing_ok=True)  # of an attempt before
    with (scratch / f"job-{run.number}.log").open("wb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def command_of(program: list[str], folder: Path, number: int) -> list[str]:
    """The command that runs the job whose configuration is job-N.yaml in `folder`."""
    return [*program, "--config-path", str(folder), "--config-name", f"job-{number}"]


def _has_ended(run: Run, process: subprocess.Popen[bytes]) -> bool:
    """Whether the process has ended and, if it ended well, what it had started too (DDP's ranks need a moment)."""
    if process.poll() is None:
        return False
    if math.isnan(run.ended):
        run.ended = time.monotonic()
    alone = process.returncode != 0 or not _signal_group(process, 0)
    return alone or time.monotonic() - run.ended > GRACE_SECONDS


def _settle(run: Run, code: int, scratch: Path) -> None:
    """Note how the job ended, from its report and its exit code."""
    run.look()
    output = scratch / f"job-{run.number}.log"
    settle(run, outcome(scratch / f"job-{run.number}.pickle", code, last_lines(output)))
    output.unlink()  # a long sweep's output would fill the temporary folder


def write_report(file: Path, report: bytes) -> None:
    """Write a pickled report, there whole or not at all."""
    temporary = file.with_suffix(".part")
    temporary.write_bytes(report)
    temporary.replace(file)


def outcome(file: Path, code: int, output: list[str]) -> dict[str, Any]:
    """What became of a job: its `value`, or else the `reasons` of its attempts, `traceback` and last `output`.

    Args:
        file: Its report.
        code: Its exit code.
        output: The last lines that it printed.
    """
    report: dict[str, Any] = {}
    if file.exists():
        try:
            report = pickle.loads(file.read_bytes())
        except Exception as error:  # a class that only the job could import, for instance
            report = {"reason": f"what main returned cannot be read back: {error}"}
    if "value" in report and code == 0:
        return report
    reason = report.pop("reason", "") or _reason(code, output)
    return {"traceback": "", "output": output, "reasons": [reason], **report}


def settle(run: Run, found: dict[str, Any]) -> None:
    """Note an outcome."""
    if "value" in found:
        run.state, run.value, run.share = "finished", found["value"], 1.0
    else:
        run.state, run.traceback, run.last_output = "failed", found["traceback"], found["output"]
        run.reasons += found["reasons"]


def _reason(code: int, output: list[str]) -> str:
    if code == -signal.SIGKILL:
        return "killed by SIGKILL (out of memory?)"
    if code < 0:
        return f"killed by {next((known.name for known in signal.Signals if known == -code), f'signal {-code}')}"
    if code == 0:
        return "exit code 0 before main had returned"
    return f"exit code {code}: {output[-1]}" if output else f"exit code {code}"


def last_lines(output: Path) -> list[str]:
    """The last lines, of a line that a progress bar overwrote its last form."""
    with output.open("rb") as file:
        file.seek(max(0, output.stat().st_size - 100_000))
        text = file.read().decode(errors="replace")
    lines = [line.rstrip().rpartition("\r")[2] for line in text.split("\n")]
    return [line for line in lines if line.strip()][-LAST_LINES:]


def _signal_group(process: subprocess.Popen[bytes], number: int) -> bool:
    """Signal the process and what it started (DDP's ranks, data loaders); whether anyone was left."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):  # macOS answers the second for a group of zombies
        return False
    return True


def _stop(processes: list[subprocess.Popen[bytes]], ending: Ending) -> None:
    """Ask the processes to end, then kill them; one more Ctrl-C shortens the wait."""
    for process in processes:
        _signal_group(process, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline and not ending.hurried:
        time.sleep(POLL_SECONDS)
    for process in processes:
        _signal_group(process, signal.SIGKILL)
        process.wait()
