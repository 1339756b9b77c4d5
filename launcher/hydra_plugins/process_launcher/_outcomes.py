"""How a job ended: written to a file by the job's process, read by the launcher."""

import pickle
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LAST_LINES = 20
# What asks a process to end; its exit code is 128 plus the number where it handles the signal, as a shell's would be.
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)


@dataclass
class Outcome:
    """How a job ended, after one attempt or several."""

    finished: bool  # whether main returned
    value: Any = None  # what main returned
    reasons: list[str] = field(default_factory=list)  # why each attempt failed
    traceback: str = ""
    output: list[str] = field(default_factory=list)  # the last lines that a failed job printed
    stopped: bool = False  # whether it has no result because somebody asked it to end


def write_outcome(file: Path, outcome: Outcome) -> None:
    """Write the outcome, so that the file is either complete or missing."""
    if outcome.finished:
        record: dict[str, Any] = {"value": outcome.value}
    else:
        record = {"reasons": outcome.reasons, "traceback": outcome.traceback}
        record |= {"output": outcome.output} if outcome.output else {}
        record |= {"stopped": True} if outcome.stopped else {}
    content = pickle.dumps(record)
    temporary = file.with_suffix(".part")
    temporary.write_bytes(content)
    temporary.replace(file)


def read_outcome(file: Path, exit_code: int, output: list[str]) -> Outcome:
    """Read the outcome of a process that has ended; without a file, infer it from exit code and output.

    Once main has returned, the job counts as finished, whatever its exit code.

    Args:
        file: Written by the process, unless it ended early.
        exit_code: Of the process; negative for a signal.
        output: The last lines that it printed.
    """
    record: dict[str, Any] = {}
    if file.exists():
        try:
            record = pickle.loads(file.read_bytes())
        except Exception as error:  # for instance a class that only the job could import
            record = {"reasons": [f"main's return value cannot be read back: {error}"]}
    if "value" in record:
        return Outcome(True, record["value"])
    reasons = record.get("reasons") or [_describe(exit_code, output)]
    stopped = record.get("stopped", any(exit_code in (-number, 128 + number) for number in STOPS))
    return Outcome(False, None, reasons, record.get("traceback", ""), record.get("output", output), stopped)


def _describe(exit_code: int, output: list[str]) -> str:
    if exit_code == -signal.SIGKILL:
        return "killed by SIGKILL (out of memory?)"
    if exit_code < 0:
        names = {int(number): number.name for number in signal.Signals}
        return f"killed by {names.get(-exit_code, f'signal {-exit_code}')}"
    if exit_code == 0:
        return "exit code 0 before main returned"
    return f"exit code {exit_code}: {output[-1]}" if output else f"exit code {exit_code}"


def last_lines(log: Path) -> list[str]:
    """The last lines of a log; of a line that a progress bar overwrote, its last version."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 100_000))
        text = file.read().decode(errors="replace")
    lines = [line.rstrip().rpartition("\r")[2] for line in text.split("\n")]
    return [line for line in lines if line.strip()][-LAST_LINES:]
