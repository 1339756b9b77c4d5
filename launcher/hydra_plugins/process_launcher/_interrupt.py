"""Ctrl-C and other signals while a sweep runs."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType


@dataclass
class Interrupt:
    """What signals have requested."""

    requested: bool = False  # to start nothing more, and to end running jobs at their next safe point
    unwinding: bool = False  # to end at once: the stack unwinds
    hurried: bool = False  # to unwind without waiting for processes


@contextlib.contextmanager
def interruptible(message: str) -> Iterator[Interrupt]:
    """Let signals end the sweep without a traceback, and without leaving processes or files behind.

    The first Ctrl-C only sets `requested`. The second one unwinds the stack; SIGTERM and SIGHUP do so at once. Later signals
    only shorten the wait for processes.

    Args:
        message: Printed at the first Ctrl-C.
    """
    interrupt = Interrupt()

    def handle(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and not interrupt.requested and not interrupt.unwinding:
            interrupt.requested = True
            os.write(2, f"\n{message}\n".encode())  # print is not safe in a signal handler
            return
        if interrupt.unwinding:  # a second exception would interrupt the cleaning up
            interrupt.hurried = True
            return
        interrupt.unwinding = True
        sys.exit(128 + number)

    if threading.current_thread() is not threading.main_thread():  # only the main thread can set handlers
        yield interrupt
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        for number, handler in previous.items():
            if handler is not signal.SIG_IGN:  # nohup and a shell's & ignore signals on purpose
                signal.signal(number, handle)
        yield interrupt
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
