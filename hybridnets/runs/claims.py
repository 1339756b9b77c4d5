"""The claim on a run: a lock between the processes of one host, and a heartbeat that other hosts can watch.

A shared folder may or may not share its locks between hosts, and the hosts' clocks may differ. So every owner of a run has a
heartbeat, a count in a file that only this owner writes. Another host takes an owner for dead once the count has stood
still for two minutes of the observer's own clock. Owners are numbered, and a process takes a number by creating its file, which
only one process can do. A process that sees a number above its own has lost the run and writes nothing more.
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

from hybridnets.runs.records import result

BEAT_SECONDS = 10.0
SILENCE_SECONDS = 120.0
LOOK_SECONDS = 1.0  # between two looks at another host's heartbeat
EMPTY_SECONDS = 5.0  # for a file without a first beat, whose owner died between creating and writing it

log = logging.getLogger("hybridnets")


class RunBusyError(ValueError):
    """Another process is training this run."""


class LostError(ValueError):
    """Another process took over this run, because this one showed no sign of life."""


@dataclass(frozen=True)
class Owner:
    """The content of an owner's file.

    Attributes:
        number: Its place among the run's owners, from 1.
        sign: The file's bytes, which change with every beat.
        text: Process and host, for messages.
        here: Whether it is a process of this host since the host's last start.
        ended: Whether it gave back the run.
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
    except OSError:  # something else than a file
        sign = b""
    try:
        content = json.loads(sign)
        text = f"process {content['process']} on {content['host']}"
        return Owner(numbers[-1], sign, text, content["boot"] == _boot(), bool(content["ended"]))
    except (ValueError, KeyError, TypeError):  # it is being written
        return Owner(numbers[-1], sign, "another process", False, False)


class Watch:
    """Observes the owner of a run from outside, over several looks.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.last_sign: bytes | None = None
        self.since = 0.0

    def state(self) -> Literal["free", "busy", "silent"]:
        """Whether a process trains the run; "silent" for an owner on another host whose heartbeat has just stopped."""
        locked, current = _is_locked(self.folder), owner(self.folder)
        if locked:
            return "busy"
        return self.judge(current, locks=locked is not None)

    def judge(self, current: Owner | None, *, locks: bool) -> Literal["free", "busy", "silent"]:
        """As `state`, for an owner that does not hold the lock.

        Args:
            current: The owner.
            locks: Whether the file system has locks at all.
        """
        if current is None or current.ended or (current.here and locks):
            return "free"
        first, moved = self.last_sign is None, self.last_sign != current.sign
        if moved:
            self.last_sign, self.since = current.sign, time.monotonic()
        if moved and not first:
            return "busy"
        limit = SILENCE_SECONDS if current.sign else EMPTY_SECONDS
        return "silent" if time.monotonic() - self.since < limit else "free"


class Claim:
    """The claim of this process on a run.

    Args:
        folder: The run's folder.
        number: The owner's number that it took.
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
        """Checks that this process still owns the run; called before every write to its folder.

        Raises:
            LostError: If another process owns the run now.
        """
        if not self.folder.is_dir():
            raise LostError(f"{self.folder} no longer exists: somebody deleted it, and nothing is written")
        numbers = _numbers(self.folder)
        if not numbers and not (self.folder / result.FILE).exists():
            raise LostError(f"{self.folder} has lost its files: somebody deleted them, and nothing is written")
        if not numbers or numbers[-1] != self.number:
            current = owner(self.folder)
            text = current.text if current else "another process, which finished it"
            raise LostError(
                f"{self.folder} was taken over by {text}: this process showed no sign of life, and writes nothing"
            )

    def give_back(self, *, finished: bool) -> None:
        """Ends the claim; a finished run needs no owner."""
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
            with contextlib.suppress(OSError):  # the next beat makes up for a missed one
                self._write()

    def _write(self, *, ended: bool = False) -> None:
        """Writes in place, so that a process which wakes up too late changes no file but its own."""
        content = {
            "process": os.getpid(),
            "host": socket.gethostname(),
            "boot": _boot(),
            "ended": ended,
            "beat": self.beat,
        }
        # The length never changes, so that a reader at the same moment sees whole JSON; trailing spaces are legal there.
        text = f"{json.dumps(content):<300}\n".encode()
        with self.path.open("r+b") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[Claim]:
    """Claims the run if it has no owner or a dead one; waits two minutes for a sign of life from another host.

    Raises:
        RunBusyError: If another process trains it.
    """
    # Python opens files close-on-exec, so no program that the job starts inherits the lock: it ends with the job.
    with (folder / "lock").open("a", encoding="utf-8") as lock:
        locks = _lock(lock, folder)
        yield Claim(folder, _take(folder, locks=locks))


def _take(folder: Path, *, locks: bool) -> int:
    """Takes the next owner's number of the run, and returns it."""
    watch = Watch(folder)
    announced = False
    while True:
        current = owner(folder)
        verdict = watch.judge(current, locks=locks)
        if verdict == "busy":
            raise _busy(folder)
        if verdict == "free":
            number = current.number + 1 if current else 1
            try:
                os.close(os.open(folder / f"owner-{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            except FileExistsError:
                continue  # another host was first
            for old in _numbers(folder):
                if old < number:
                    with contextlib.suppress(OSError):
                        (folder / f"owner-{old}").unlink()
            return number
        if not announced and current:
            announced = True
            log.info(
                "%s was being trained by %s: this process takes it over unless there is a sign of life within %.0f s",
                *(folder, current.text, SILENCE_SECONDS),
            )
        time.sleep(LOOK_SECONDS)


def _lock(lock: IO[Any], folder: Path) -> bool:
    """Locks the file; False where the file system cannot.

    Raises:
        RunBusyError: If another process holds it.
    """
    for _ in range(10):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)  # `state` of another process also locks it, for a moment
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                return False
            raise
        else:
            return True
    raise _busy(folder)


def _is_locked(folder: Path) -> bool | None:
    """Whether a process that this host can see holds the lock; None where the file system has no locks."""
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
    """Whether a process trains the run, judged by a single look: an owner on another host counts until it is taken over."""
    locked, current = _is_locked(folder), owner(folder)
    return bool(locked) or (current is not None and not current.ended and (locked is None or not current.here))


def _busy(folder: Path) -> RunBusyError:
    current = owner(folder)
    text = current.text if current else "another process"
    return RunBusyError(f"{folder} is being trained by {text}: wait for it to end and run the command again")


def _numbers(folder: Path) -> list[int]:
    """The owners' numbers that have a file, lowest first."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        names = [entry.name.removeprefix("owner-") for entry in entries if entry.name.startswith("owner-")]
        return sorted(int(name) for name in names if name.isdecimal())
    return []


def _boot() -> str:
    """Identifies this host since its last start; its processes share its locks, whatever name the host has for them."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return socket.gethostname()
