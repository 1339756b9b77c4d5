"""How every command ends on a signal, and how it copes with standard streams that are closed or that nobody reads.

This module imports nothing slow, because commands install it before their other imports.
"""

import atexit
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

# Ctrl-C, kill, a closed terminal, and the signal of launchers and schedulers before they take a node away.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)
RESEND_SECONDS = 0.05  # until a signal is sent again whose exception was lost


class Ended(SystemExit):
    """A signal ended the process; the exit code follows the shell's convention, 128 plus the signal's number.

    Args:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number

    def __str__(self) -> str:
        """The text in messages and in the record of an attempt, where the exception's type precedes it."""
        return f"by {signal.Signals(self.number).name}"


class Unprintable(SystemExit):
    """A standard stream cannot be written to, as on a full disk, and the process ends with code 2.

    It is no OSError, so that nobody takes it for an error of a file of the user's.

    Args:
        error: The error of the stream.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(2)
        self.reason = error.strerror

    def __str__(self) -> str:
        """The text in messages and in the record of an attempt."""
        return f"the output cannot be printed ({self.reason})"


@dataclass
class _State:
    command: str = ""
    message: str = ""
    process: int = 0  # the id of the process that installed the handlers
    number: int | None = None  # the first signal
    unprintable: bool = False  # whether a standard stream could not be written to
    raised: bool = False  # whether `Ended` was raised
    unwinding: int = 0  # how many `unwinding` blocks are active
    cleanups: list[Callable[[], object]] = field(default_factory=list)


_state = _State()


def install(command: str, then: str = "") -> None:
    """Makes signals end the process with a one-sentence message, and makes standard streams safe to write to.

    Ends the process with code 2 where the working folder was deleted, which nearly everything below would trip over.

    A signal ends the process at once, without an exception: libraries that are being imported could lose an exception, or
    mistake it for another error. Code that must not leave something half made uses `unwinding`.

    Args:
        command: The command's name, with which the message begins.
        then: The end of the message, such as what the same command would do now.
    """
    _open_streams()
    atexit.register(_flush)  # the first registered, so the last called
    _state.command, _state.message, _state.process = command, f"{command}: ended {{}}{then}", os.getpid()
    try:
        os.getcwd()  # noqa: PTH109 (this module imports nothing slow)
    except FileNotFoundError:
        print(
            f"{command}: the working folder must exist, and was deleted: change to another, as by cd ~", file=sys.stderr
        )
        sys.exit(2)
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup and a shell's & ignore signals on purpose
            signal.signal(number, _end)
    sys.unraisablehook = _unraisable


@contextlib.contextmanager
def unwinding() -> Iterator[None]:
    """Marks code that has something half made: the first signal raises `Ended`, so that the code can clean up."""
    _state.unwinding += 1
    try:
        yield
    finally:
        _state.unwinding -= 1


def at_end(cleanup: Callable[[], object]) -> None:
    """Registers a function to be called before a signal ends the process at once.

    Args:
        cleanup: Ends a process, or removes a folder. It must be quick, may be called twice, and its exceptions are ignored.
    """
    _state.cleanups.append(cleanup)


def exit_code() -> int | None:
    """The exit code if a signal or an unprintable stream ends the process; None otherwise.

    Libraries may turn `Ended` into another exception, so check this before reporting an error.
    """
    if _state.number is None:
        return 2 if _state.unprintable else None
    return 128 + _state.number


def interrupted() -> bool:
    """Whether a signal has interrupted the process."""
    return _state.number is not None


def _end(number: int, _frame: FrameType | None) -> None:
    if os.getpid() != _state.process:  # a forked process ends like any other
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    if _state.number is None:
        _state.number = number
        _report(Ended(number))
    if _state.unwinding and not _state.raised:
        _state.raised = True
        raise Ended(_state.number)
    for cleanup in reversed(_state.cleanups):
        with contextlib.suppress(Exception):
            cleanup()
    os._exit(128 + _state.number)


def _report(ended: Ended) -> None:
    if os.environ.get("LOCAL_RANK", "0") != "0":  # the run's first process reports for all of them
        return
    with contextlib.suppress(OSError):  # the terminal may be gone
        newline = "\n" if os.isatty(2) else ""  # after a line that shows ^C, or a progress bar
        os.write(2, f"{newline}{_state.message.format(ended)}\n".encode())  # print is not safe in a signal handler


def _unraisable(lost: Any) -> None:
    """Sends the signal again, a little later, if Python lost our exception, as it does in a destructor."""
    if isinstance(lost.exc_value, Ended):
        _state.raised = False
        threading.Timer(RESEND_SECONDS, os.kill, (os.getpid(), lost.exc_value.number)).start()
    else:
        sys.__unraisablehook__(lost)


class _Stream(io.FileIO):
    """A standard stream that outlives its reader: what nobody can read is dropped.

    So the runs of `hybridnets train ... | head` continue when head ends, or when the terminal is closed.
    """

    def write(self, data: Any) -> int:
        """Writes the data, or drops it if nobody reads the stream."""
        try:
            return super().write(data)
        except OSError as error:
            problem = error
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())  # what follows is dropped
        os.close(null)
        if problem.errno in (errno.EPIPE, errno.EIO) or os.getpid() != _state.process:
            return memoryview(data).nbytes
        _state.unprintable = True
        ended = Unprintable(problem)
        with contextlib.suppress(OSError):
            os.write(2, f"{_state.command}: {ended}\n".encode())
        raise ended


def _flush() -> None:
    """Writes what is still buffered, while an error can still be reported: Python would print a traceback."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Unprintable:
            os._exit(2)
        except (OSError, ValueError):  # closed, or somebody else's
            continue


def _open_streams() -> None:
    # Otherwise a file opened later would get the descriptor of a closed stream, and with it everything that is printed.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout, sys.stderr = _wrap_stream(1, sys.stdout, "strict"), _wrap_stream(2, sys.stderr, "backslashreplace")


def _wrap_stream(descriptor: int, previous: io.TextIOWrapper | Any | None, errors: str) -> io.TextIOWrapper:
    raw = _Stream(descriptor, "w", closefd=False)
    if not isinstance(previous, io.TextIOWrapper):  # the stream was closed
        return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", errors=errors, line_buffering=True)
    buffer = io.BufferedWriter(raw) if isinstance(previous.buffer, io.BufferedWriter) else raw  # python -u
    return io.TextIOWrapper(
        buffer,
        encoding=previous.encoding,
        errors=previous.errors,
        line_buffering=previous.line_buffering,
        write_through=previous.write_through,
    )
