"""What every command does when it is asked to end, and with standard streams that are closed or that nobody reads.

It imports nothing that takes time: commands install it before their other imports.
"""

import contextlib
import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

# Ctrl-C, kill, a closed terminal, and what launchers and schedulers send before they take a node away.
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)
AGAIN_SECONDS = 0.05  # until a signal whose exception was lost comes once more


class Ended(SystemExit):
    """A signal ended the process; its exit code is a shell's, 128 and the signal's number.

    Args:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number

    def __str__(self) -> str:
        """What is told, and recorded of an attempt at a run: its type, and this."""
        return f"by {signal.Signals(self.number).name}"


@dataclass
class _State:
    words: str = ""
    process: int = 0
    number: int | None = None  # of the first signal
    raised: bool = False
    unwinding: int = 0
    last: list[Callable[[], object]] = field(default_factory=list)


_state = _State()


def install(command: str, then: str = "") -> None:
    """Makes signals end the process with one sentence, and standard streams safe to write to.

    A signal ends the process at once, as nothing is lost by that: no exception then runs through libraries that are just
    being imported, which lose it or take it for another. Where it would leave something half made, see `unwinding`.

    Args:
        command: Its name, which begins the sentence.
        then: What the sentence says after it, such as what the same command would do now.
    """
    _open_streams()
    _state.words, _state.process = f"{command}: ended {{}}{then}", os.getpid()
    for number in NUMBERS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and a shell's & do
            signal.signal(number, _end)
    sys.unraisablehook = _unraisable


@contextlib.contextmanager
def unwinding() -> Iterator[None]:
    """Meanwhile something is half made: the first signal raises `Ended`, so that whoever made it clears it away."""
    _state.unwinding += 1
    try:
        yield
    finally:
        _state.unwinding -= 1


def at_end(clear: Callable[[], object]) -> None:
    """Has something called before a signal ends the process at once; it must be quick, and may be called twice.

    Args:
        clear: Ends a process, or removes a folder; what it raises is lost.
    """
    _state.last.append(clear)


def exit_code() -> int | None:
    """The exit code if a signal has ended what the process did; None without one.

    Libraries may have made another exception of `Ended`: whoever would tell an error asks this first.
    """
    return None if _state.number is None else 128 + _state.number


def _end(number: int, _frame: FrameType | None) -> None:
    if os.getpid() != _state.process:  # a copy of the process, which ends like any other
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    if _state.number is None:
        _state.number = number
        _tell(Ended(number))
    if _state.unwinding and not _state.raised:
        _state.raised = True
        raise Ended(_state.number)
    for clear in reversed(_state.last):
        with contextlib.suppress(Exception):
            clear()
    os._exit(128 + _state.number)


def _tell(ended: Ended) -> None:
    if os.environ.get("LOCAL_RANK", "0") != "0":  # the first of a run's processes tells it for all
        return
    with contextlib.suppress(OSError):  # a terminal may have gone
        below = "\n" if os.isatty(2) else ""  # the line that shows ^C, or a bar
        os.write(2, f"{below}{_state.words.format(ended)}\n".encode())  # print is not safe in a handler


def _unraisable(found: Any) -> None:
    """Python lost an exception, as in a destructor: if it was ours, the signal comes again when that is over."""
    if isinstance(found.exc_value, Ended):
        _state.raised = False
        threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), found.exc_value.number)).start()
    else:
        sys.__unraisablehook__(found)


class _Stream(io.FileIO):
    """A standard stream that survives its reader.

    `train.py ... | head` ends head, not the runs: what nobody can read is dropped. So it is when the terminal has gone.
    """

    def write(self, data: Any) -> int:
        """Writes what is still read."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)
        return memoryview(data).nbytes


def _open_streams() -> None:
    # A file opened later would take the number of a stream that is closed, and get what is printed.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout, sys.stderr = _stream(1, sys.stdout, "strict"), _stream(2, sys.stderr, "backslashreplace")


def _stream(descriptor: int, before: io.TextIOWrapper | Any | None, errors: str) -> io.TextIOWrapper:
    raw = _Stream(descriptor, "w", closefd=False)
    if not isinstance(before, io.TextIOWrapper):  # it was closed
        return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", errors=errors, line_buffering=True)
    buffer = io.BufferedWriter(raw) if isinstance(before.buffer, io.BufferedWriter) else raw  # raw by python -u
    return io.TextIOWrapper(
        buffer,
        encoding=before.encoding,
        errors=before.errors,
        line_buffering=before.line_buffering,
        write_through=before.write_through,
    )
