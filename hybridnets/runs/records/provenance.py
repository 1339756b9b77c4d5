"""provenance.json: the attempts at a run, with the times, places and versions on which no result depends."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict

from hybridnets.runs.files import ForbiddenError, read_json
from hybridnets.runs.identities import Identity
from hybridnets.runs.records.errors import LARGEST_COUNT, ForbiddenRecordError, refuse

FILE = "provenance.json"

STOP = r"(StoppedError|Ended|KeyboardInterrupt): "  # how the error of an attempt begins that was asked to end

HARDWARE = ("device", "threads", "processor")  # what of an attempt says where its seconds were measured


class AttemptRecord(TypedDict, total=False):
    """One attempt at a run. Versions differ in what they record, so any key may be missing.

    `host`, `process`, `started` and `ended` (ISO 8601) say where and when; `command` repeats the run; `git_commit`,
    `git_dirty`, `versions`, `code` (SHA-256 of each module of the user's own), `system`, `processor` and `cores` say with what;
    `threads`, `kernels`, `device`, `devices` and `sync_batchnorm` say how it computed; `error` says why it ended early,
    `diverged` that the loss was not finite, and `stopped` that it was asked to end.
    """

    host: str
    process: int
    started: str
    ended: str
    command: str
    git_commit: str | None
    git_dirty: bool | None
    versions: dict[str, str | None]
    code: dict[str, str]
    system: str
    processor: str
    cores: int
    threads: int
    kernels: list[str] | None
    device: str
    devices: int
    sync_batchnorm: bool
    error: str
    diverged: bool
    stopped: bool


@dataclass
class Provenance:
    """What provenance.json holds.

    Attributes:
        attempts: The attempts, the oldest first.
        epoch_seconds: The seconds of each epoch, training and validation, by the epoch's number, which counts from 0.
        best_checkpoint_sha256: SHA-256 of checkpoints/best.ckpt when the result was written; None before that.
        identity: What determines the run, which nothing else says of a run without a result; None in archives, and as the
            first versions wrote it.
    """

    attempts: list[AttemptRecord] = field(default_factory=list)
    epoch_seconds: dict[str, float] = field(default_factory=dict)
    best_checkpoint_sha256: str | None = None
    identity: Identity | None = None

    def to_json(self) -> dict[str, Any]:
        """The content of provenance.json."""
        noted = {"best_checkpoint_sha256": self.best_checkpoint_sha256, "identity": self.identity}
        noted = {key: value for key, value in noted.items() if value}
        return {"attempts": self.attempts, "epoch_seconds": self.epoch_seconds, **noted}

    @property
    def reason(self) -> str:
        """Why the last attempt ended early, in one line; empty where it did not."""
        return re.sub(STOP, "", self._error) if self.stopped else self._error

    @property
    def _error(self) -> str:
        return str(self.attempts[-1].get("error", "")).partition("\n")[0] if self.attempts else ""

    @property
    def stopped(self) -> bool:
        """Whether the last attempt ended because somebody asked it to."""
        if not self.attempts:
            return False
        # Attempts of the first versions say so by the error's name alone.
        return self.attempts[-1].get("stopped", re.match(STOP, self._error) is not None)

    @property
    def diverged(self) -> bool:
        """Whether the last attempt ended because its loss was not finite."""
        if not self.attempts:
            return False
        # Attempts of the first versions say so by the error's name alone.
        return self.attempts[-1].get("diverged", self._error.startswith("DivergedError"))

    @property
    def started(self) -> datetime | None:
        """When the first attempt began; None where unknown."""
        text = self.attempts[0].get("started") if self.attempts else None
        return datetime.fromisoformat(text) if text else None

    @property
    def hardware(self) -> str:
        """Device, threads and processor of the last attempt; empty where unknown."""
        last: Any = self.attempts[-1] if self.attempts else {}
        words = [_counted(last[key]) if key == "threads" else str(last[key]) for key in HARDWARE if key in last]
        return ", ".join([*words, *["batch statistics over all devices"] * bool(last.get("sync_batchnorm"))])

    @property
    def source(self) -> str:
        """Commit and versions of the last attempt; empty where unknown."""
        last: AttemptRecord = self.attempts[-1] if self.attempts else {}
        commit, changed = last.get("git_commit"), " with changes" if last.get("git_dirty") else ""
        versions = [f"{package} {version}" for package, version in last.get("versions", {}).items()]
        code = [f"{module} {str(sha256)[:10]}" for module, sha256 in last.get("code", {}).items()]
        return ", ".join([*([f"commit {str(commit)[:10]}{changed}"] if commit else []), *code, *versions])

    def changed_code(self, now: Mapping[str, str]) -> list[str]:
        """The modules whose code differs from that of the last attempt, as far as it was recorded.

        Args:
            now: SHA-256 of each module's code now.
        """
        before = self.attempts[-1].get("code", {}) if self.attempts else {}
        return [module for module, sha256 in now.items() if before.get(module, sha256) != sha256]


def _counted(threads: Any) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


def read(folder: Path) -> Provenance | None:
    """The provenance of a run's folder; None where no attempt was recorded.

    Raises:
        RecordError: If the file is damaged.
    """
    path = folder / FILE
    try:
        content = read_json(path)
        return None if content is None else parse(content)
    except ForbiddenError as error:
        raise ForbiddenRecordError(str(error)) from None
    except (OSError, ValueError, ArithmeticError, RecursionError, KeyError, TypeError, AttributeError):
        refuse(path, "must be what earlier attempts wrote, and is damaged: remove it")


def parse(content: Any) -> Provenance:
    """The provenance from the content of a file.

    Args:
        content: The value of the JSON file.

    Raises:
        ValueError: If it is damaged; or KeyError, TypeError, AttributeError or ArithmeticError.
    """
    attempts, seconds = content["attempts"], content["epoch_seconds"]
    if not isinstance(attempts, list) or not all(isinstance(part, dict) for part in (*attempts, seconds)):
        raise ValueError("attempts or seconds of another shape")
    for attempt in attempts:
        if isinstance(joined := attempt.get("kernels"), str):  # as earlier versions wrote the list
            attempt["kernels"] = joined.split(" and ")
    identity = content.get("identity")
    if not isinstance(identity, dict | None):
        raise ValueError("an identity of another shape")
    provenance = Provenance(attempts, seconds, content.get("best_checkpoint_sha256"), identity)
    if not all(0 <= float(value) <= LARGEST_COUNT for value in seconds.values()):
        raise ValueError("seconds that cannot be")
    if (started := provenance.started) and started.timestamp() < 0:
        raise ValueError("a date that cannot be")
    str(provenance.source + provenance.hardware)
    return provenance
