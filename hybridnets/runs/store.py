"""The run store: every run has a folder, which only its own process writes, and holds for as long as it lives."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from hybridnets import signals
from hybridnets.runs import claims, files, identities
from hybridnets.runs.files import make_folder, replacing, sha256, write_json, write_text
from hybridnets.runs.origin import code_of
from hybridnets.runs.records import metrics, provenance, result
from hybridnets.runs.records.errors import RecordError
from hybridnets.runs.records.provenance import AttemptRecord, Provenance
from hybridnets.runs.records.result import Result

State = Literal["finished", "unreadable", "running", "stopped", "failed", "pending"]
# In a run's folder: its weights, and the configuration that it was trained with.
BEST_CHECKPOINT = Path("checkpoints", "best.ckpt")
CONFIG = "config.yaml"


class DivergedError(ValueError):
    """The loss is no longer finite: the same run would end so again."""


class StoppedError(ValueError):
    """The run was asked to stop, and stopped where it can be resumed."""


class WrongWeightsError(ValueError):
    """The weights to publish are not those that the published value was measured with."""


class Run:
    """One run: an identity and the folder that follows from it.

    Args:
        out: Folder of all runs.
        identity: What determines the run's result; see `hybridnets.runs.identities`.

    Attributes:
        out: Folder of all runs.
        identity: What determines the run's result.
        folder: The run's own folder.
        hash: SHA-256 of the identity.
        name: The variant's short name and the seed.
    """

    def __init__(self, out: Path, identity: identities.Identity) -> None:
        self.out = out
        self.identity = identity
        self.folder = out / identities.folder(identity)
        self.hash = identities.hash_of(identity)
        self.name = f"{identities.name(identity)} seed={identities.seed(identity)}"
        self._claim: claims.Claim | None = None

    @property
    def last_checkpoint(self) -> Path:
        """The state from which training resumes."""
        return self.folder / "checkpoints" / "last.ckpt"

    @property
    def previous_checkpoint(self) -> Path:
        """The state one epoch earlier, used when the last checkpoint is damaged or was being replaced."""
        return self.folder / "checkpoints" / "previous.ckpt"

    @property
    def best_checkpoint(self) -> Path:
        """The weights of the reported epoch."""
        return self.folder / BEST_CHECKPOINT

    def changed_code(self) -> list[str]:
        """The user's own modules that have changed since the run was trained, as far as that was recorded."""
        record = _provenance(self.folder)
        return record.changed_code(code_of(self.identity)) if record else []

    def result(self) -> Result | None:
        """The finished run's result; None where it is not finished.

        Raises:
            ValueError: If the folder holds the result of another run, which six digits of a hash cannot exclude, or one that
                is damaged or of another version.
        """
        path = self.folder / result.FILE
        try:
            record = result.read(self.folder)
        except RecordError as error:
            raise ValueError(f"{error.advice}, or choose another folder with out=") from None
        if record is not None and record.hash != self.hash:
            raise ValueError(
                f"{path} must be this run's result, and is another run's: delete it, or choose another folder with out="
            )
        return record

    def history(self) -> list[dict[str, float]]:
        """The metrics of the finished epochs, the oldest first; empty before the first."""
        return metrics.read(self.folder).epochs()

    @contextlib.contextmanager
    def claim(self) -> Iterator["Attempt"]:
        """Makes the folder and claims it; the body trains and calls `Attempt.finish`.

        Raises:
            RunBusyError: If another process trains the run.
            LostError: On writing, if another process took over the run meanwhile.
        """
        make_folder(self.folder / "checkpoints")
        with signals.unwinding(), claims.hold(self.folder) as self._claim:
            for temporary in (*self.folder.glob(".*.*"), *self.folder.glob("checkpoints/.*.*")):
                if temporary.suffix[1:].isdecimal():
                    temporary.unlink()  # half written by an attempt that was killed
            attempt = Attempt(self)
            try:
                yield attempt
            except BaseException as error:
                with contextlib.suppress(OSError, claims.LostError):  # a full disk: the error itself says so
                    attempt.end(error)
                raise
            else:
                attempt.end(None)
            finally:
                self._claim.give_back(finished=(self.folder / result.FILE).exists())

    def check_owned(self) -> None:
        """Checks that this process owns the run; called before every write to the folder.

        Raises:
            LostError: If the run was claimed, and another process owns it now.
        """
        if self._claim:
            self._claim.check()

    @contextlib.contextmanager
    def replacing(self, path: Path) -> Iterator[Path]:
        """A temporary path to write to, which replaces a file once it is written, if this process still owns the run."""
        with replacing(path, self.check_owned) as temporary:
            yield temporary

    def write_text(self, path: Path, text: str) -> None:
        """Writes a text file of the folder as a whole."""
        write_text(path, text, self.check_owned)

    def write_json(self, path: Path, value: Any) -> None:
        """Writes a JSON file of the folder as a whole."""
        write_json(path, value, self.check_owned)


class Attempt:
    """One try at a run, recorded in provenance.json after those before it.

    Args:
        run: The run, whose claim is held.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.provenance = provenance.read(run.folder) or Provenance()
        self.provenance.identity = run.identity
        self.current: AttemptRecord = {"host": socket.gethostname(), "process": os.getpid(), "started": _now()}

    def note(self, **facts: Any) -> None:
        """Adds facts about this attempt: where it runs, with which versions, by which command."""
        if self.current not in self.provenance.attempts:
            self.provenance.attempts.append(self.current)
        self.current.update(facts)  # type: ignore[typeddict-item]
        self._write()

    def epoch(self, number: int, seconds: float) -> None:
        """Records how long an epoch took, training and validation."""
        self.provenance.epoch_seconds[str(number)] = round(seconds, 3)
        self._write()

    @property
    def threads(self) -> int | None:
        """Threads of the first attempt, which a resumed run keeps: another count changes sums in their last bits."""
        return next((attempt["threads"] for attempt in self.provenance.attempts if "threads" in attempt), None)

    @property
    def kernels(self) -> list[str] | None:
        """The kernels of the first attempt; None where this is the first.

        An attempt that recorded none had no layers that chose: recurrent ones, before convolution blocks chose too.
        """
        attempts = (attempt for attempt in self.provenance.attempts if "threads" in attempt)
        return next((attempt.get("kernels") or ["torch"] for attempt in attempts), None)

    def finish(self, record: Result) -> Result:
        """Writes result.json, which makes the run a finished one, and returns its content."""
        content = record.to_json()
        record = result.parse(content, self.run.folder / result.FILE)  # our own reader must accept what is written
        # With this, somebody can verify without torch that these are the weights which were measured.
        if self.run.best_checkpoint.exists():
            self.provenance.best_checkpoint_sha256 = sha256(self.run.best_checkpoint)
            self._write()
        self.run.write_json(self.run.folder / result.FILE, content)
        return record

    def end(self, error: BaseException | None) -> None:
        """Records how the attempt ended; one that had nothing to do leaves no record."""
        if not error and self.current not in self.provenance.attempts:
            return
        failure: dict[str, Any] = {"error": f"{type(error).__name__}: {error}".strip(": ")} if error else {}
        if isinstance(error, DivergedError):
            failure["diverged"] = True
        elif error and is_stop(error):
            failure["stopped"] = True
        self.note(ended=_now(), **failure)

    def _write(self) -> None:
        self.run.write_json(self.run.folder / provenance.FILE, self.provenance.to_json())


def result_with_weights(folder: Path) -> Result:
    """The result of a finished run whose folder still has the weights of its reported epoch.

    Args:
        folder: The run's folder.

    Raises:
        ValueError: If the folder holds no finished run, or its weights are missing.
    """
    record = result.read(folder) if folder.is_dir() else None
    if record is None:
        now = state(folder)
        why = f"whose run is {now}" if now != "pending" else "which has no result"
        raise ValueError(
            f"RUN must be the folder of a finished run, with {result.FILE} and {BEST_CHECKPOINT} in it, got {folder}, "
            f"{why if folder.is_dir() else 'which does not exist'}"
        )
    check_weights(folder)
    return record


def check_weights(folder: Path) -> None:
    """Refuses the folder of a finished run that lacks the weights of its reported epoch.

    Args:
        folder: The run's folder.

    Raises:
        ValueError: If they are missing.
    """
    if not (folder / BEST_CHECKPOINT).exists():
        raise ValueError(
            f"the weights of {folder} are missing, as archives of runs contain none: copy {BEST_CHECKPOINT} from where "
            "the run was trained, or train it again with another out="
        )


def state(folder: Path) -> State:
    """The state that follows from a run's folder.

    With a result it is finished, or unreadable if the result is damaged; with an owner running; with an attempt stopped if that
    was asked to end, else failed; without one pending.
    """
    try:
        if result.read(folder) is not None:
            return "finished"
    except RecordError:
        return "unreadable"
    if claims.running(folder):
        return "running"
    if not (folder / provenance.FILE).exists():
        return "pending"
    record = _provenance(folder)
    return "stopped" if record and record.stopped else "failed"


def is_stop(error: BaseException) -> bool:
    """Whether an exception ends an attempt because somebody asked for it: at a safe point, or at once by a signal.

    A signal may surface as another exception: libraries catch it, and Lightning turns a KeyboardInterrupt into an exit.
    """
    stops = (StoppedError, signals.Ended, KeyboardInterrupt)
    return isinstance(error, stops) or isinstance(error.__context__, stops) or signals.interrupted()


def owner(folder: Path) -> str:
    """The process that trains a run, in its own words; empty where nobody ever did."""
    return claim.text if (claim := claims.owner(folder)) else ""


def reason(folder: Path) -> str:
    """Why the last attempt at a run ended early, in one line; empty where it did not, or where nothing is recorded."""
    record = _provenance(folder)
    return record.reason if record else ""


def diverged(folder: Path) -> bool:
    """Whether the last attempt at a run ended because its loss was not finite."""
    record = _provenance(folder)
    return record is not None and record.diverged


def seconds(folder: Path) -> float:
    """The seconds of all epochs that a run recorded, finished or not; each epoch counts once."""
    record = _provenance(folder)
    return sum(map(float, record.epoch_seconds.values())) if record else 0.0


def find(folders: list[Path], problems: list[str] | None = None) -> list[Path]:
    """The folders of finished runs at or below the given ones, each once, in order of their paths.

    Args:
        folders: The folders.
        problems: Gets a sentence on each folder that may not be listed.
    """
    runs: set[Path] = set()
    for top in folders:
        results, forbidden = files.find(top, result.FILE)
        runs.update(path.parent for path in results)
        if problems is not None:
            problems += forbidden
    return sorted(runs)


def _provenance(folder: Path) -> Provenance | None:
    try:
        return provenance.read(folder)
    except RecordError:
        return None


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
