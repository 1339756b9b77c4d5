"""Who trains a run: a lock between the processes of one host, and a heartbeat that other hosts can watch.

A shared folder may share its locks between hosts, or not, and its clocks may differ. So an owner beats: it counts in a file of
its own, and it is dead for another host once that count has stood still for two minutes of the observer's own clock. Owners
are numbered, and a number is taken by creating its file, which only one process can: whoever sees a number above its own has
lost the run, and writes nothing more.
"""

import contextlib
import errno
import fcntl
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

BEAT_SECONDS = 10.0
SILENCE_SECONDS = 120.0
LOOK_SECONDS = 1.0  # between two looks at another host's heartbeat
EMPTY_SECONDS = 5.0  # a file without a first beat: its owner died between creating and writing it

log = logging.getLogger("hybridnets")


class RunBusyError(ValueError):
    """Another process trains this run just now."""


class LostError(ValueError):
    """Another process took this run over, because this one had shown no sign of life."""


@dataclass(frozen=True)
class Owner:
    """What a claim's file says.

    Attributes:
        number: Its place among the run's owners, from 1.
        sign: The file's bytes, which change with every beat.
        text: Process and host, to be shown.
        here: Whether it belongs to this host, since it was started last.
        ended: Whether it gave the run back.
    """

    number: int
    sign: bytes
    text: str
    here: bool
    ended: bool


def owner(folder: Path) -> Owner | None:
    """The run's last owner, or None where none is recorded."""
    numbers = _numbers(folder)
    if not numbers:
        return None
    try:
        sign = (folder / f"owner-{numbers[-1]}").read_bytes()
    except FileNotFoundError:  # finished meanwhile
        return None
    except OSError:  # no file at all
        sign = b""
    try:
        held = json.loads(sign)
        text = f"process {held['process']} on {held['host']}"
        return Owner(numbers[-1], sign, text, held["boot"] == _boot(), bool(held["ended"]))
    except (ValueError, KeyError, TypeError):  # just being written
        return Owner(numbers[-1], sign, "another process", False, False)


class Watch:
    """Looks at a run's owner from outside, again and again.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: bytes | None = None
        self.since = 0.0

    def look(self) -> Literal["free", "busy", "silent"]:
        """Whether somebody trains the run; "silent" while an owner on another host has not moved, for less than two minutes."""
        locked, found = _held(self.folder), owner(self.folder)
        if locked:
            return "busy"
        return self.judge(found, locks=locked is not None)

    def judge(self, found: Owner | None, *, locks: bool) -> Literal["free", "busy", "silent"]:
        """The same of an owner that does not hold the lock.

        Args:
            found: The owner.
            locks: Whether the file system has locks at all.
        """
        if found is None or found.ended or (found.here and locks):
            return "free"
        first, moved = self.seen is None, self.seen != found.sign
        if moved:
            self.seen, self.since = found.sign, time.monotonic()
        if moved and not first:
            return "busy"
        limit = SILENCE_SECONDS if found.sign else EMPTY_SECONDS
        return "silent" if time.monotonic() - self.since < limit else "free"


class Claim:
    """A run held by this process.

    Args:
        folder: The run's folder.
        number: The number taken.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self.number = folder, number
        self.path = folder / f"owner-{number}"
        self.beat = 0
        self.stop = threading.Event()
        self._write()
        self.thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self.thread.start()

    def check(self) -> None:
        """Asked before everything that is written in the run's folder.

        Raises:
            LostError: If the run is another process's by now.
        """
        if not self.folder.is_dir():
            raise LostError(f"{self.folder} is not there any more: somebody removed it, and nothing is written")
        numbers = _numbers(self.folder)
        if not numbers and not (self.folder / "result.json").exists():
            raise LostError(f"{self.folder} has lost its files: somebody removed them, and nothing is written")
        if not numbers or numbers[-1] != self.number:
            who = found.text if (found := owner(self.folder)) else "another process, which finished it"
            raise LostError(
                f"{self.folder} was taken over by {who}: this process had shown no sign of life, and writes nothing"
            )

    def give_back(self, *, finished: bool) -> None:
        """Ends the claim; a finished run needs none any more."""
        self.stop.set()
        self.thread.join()
        with contextlib.suppress(OSError, LostError):
            self.check()
            if finished:
                for number in _numbers(self.folder):
                    (self.folder / f"owner-{number}").unlink(missing_ok=True)
                (self.folder / "lock").unlink(missing_ok=True)
            else:
                self._write(ended=True)

    def _beat(self) -> None:
        while not self.stop.wait(BEAT_SECONDS):
            self.beat += 1
            with contextlib.suppress(OSError):  # a beat that is missed is made up for by the next
                self._write()

    def _write(self, *, ended: bool = False) -> None:
        """In place, so that a process which wakes up too late changes no file but its own."""
        held = {
            "process": os.getpid(),
            "host": socket.gethostname(),
            "boot": _boot(),
            "ended": ended,
            "beat": self.beat,
        }
        # As long as the last, for a reader at the same time; spaces are no part of JSON's values.
        text = f"{json.dumps(held):<300}\n".encode()
        with self.path.open("r+b") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[Claim]:
    """Takes the run, if nobody has it or its owner is dead; waits two minutes for a sign of life from another host.

    Raises:
        RunBusyError: If somebody trains it.
    """
    # Opened by Python, so closed in every program that the job starts: the lock ends with the job itself.
    with (folder / "lock").open("a", encoding="utf-8") as lock:
        locks = _lock(lock, folder)
        yield Claim(folder, _take(folder, locks=locks))


def _take(folder: Path, *, locks: bool) -> int:
    """The number under which the run is this process's from now on."""
    watch = Watch(folder)
    told = False
    while True:
        found = owner(folder)
        verdict = watch.judge(found, locks=locks)
        if verdict == "busy":
            raise _busy(folder)
        if verdict == "free":
            number = found.number + 1 if found else 1
            try:
                os.close(os.open(folder / f"owner-{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            except FileExistsError:
                continue  # another host was first: let us see who
            for old in _numbers(folder):
                if old < number:
                    with contextlib.suppress(OSError):
                        (folder / f"owner-{old}").unlink()
            return number
        if not told and found:
            told = True
            log.info(
                "%s was being trained by %s: it is taken over unless there is a sign of life within %.0f s",
                *(folder, found.text, SILENCE_SECONDS),
            )
        time.sleep(LOOK_SECONDS)


def _lock(lock: IO[Any], folder: Path) -> bool:
    """Locks the file; False where the file system cannot.

    Raises:
        RunBusyError: If another process has it.
    """
    for _ in range(10):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)  # it may only be somebody's look, which locks for a moment
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                return False
            raise
        else:
            return True
    raise _busy(folder)


def _held(folder: Path) -> bool | None:
    """Whether a process that this host can see has the lock; None where there are no locks."""
    try:
        with (folder / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    except OSError:
        return None
    return False


def running(folder: Path) -> bool:
    """Whether somebody trains the run, as far as one look can tell: an owner on another host counts until it is taken over."""
    held, found = _held(folder), owner(folder)
    return bool(held) or (found is not None and not found.ended and (held is None or not found.here))


def _busy(folder: Path) -> RunBusyError:
    who = found.text if (found := owner(folder)) else "another process"
    return RunBusyError(f"{folder} is being trained by {who}: wait for it to end and run the command again")


def _numbers(folder: Path) -> list[int]:
    """The numbers of the owners that have a file, lowest first."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        names = [entry.name.removeprefix("owner-") for entry in entries if entry.name.startswith("owner-")]
        return sorted(int(name) for name in names if name.isdecimal())
    return []


def _boot() -> str:
    """This host since it was started last: the processes that share it share its locks, whatever they call it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return socket.gethostname()
