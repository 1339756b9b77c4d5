"""The run store: a folder a run, written by its own job only, which holds it for its life."""

import contextlib
import csv
import math
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from hybridnets import signals
from hybridnets.runs import claims
from hybridnets.runs import identity as ids
from hybridnets.runs.files import make_folder, read_json, replacing, sha256, write_json, write_text

SCHEMA = 1  # of result.json; raised when its readers must change

BEST_SHA256 = "best_checkpoint_sha256"  # in provenance.json

State = Literal["finished", "running", "failed", "pending"]


class DivergedError(ValueError):
    """The loss is no longer finite: the same run would end so again."""


class StoppedError(ValueError):
    """The run was asked to end, and did so where it can go on from."""


class WrongWeightsError(ValueError):
    """The weights to publish are not those that the published value was measured with."""


class Run:
    """One run: an identity and the folder that follows from it.

    Args:
        out: Folder of all runs.
        identity: What determines the run's result; see `hybridnets.runs.identity`.

    Attributes:
        out: As given.
        folder: The run's own folder.
        digest: SHA-256 of the identity.
        name: The variant's short name and the seed.
    """

    def __init__(self, out: Path, identity: ids.Identity) -> None:
        self.out = out
        self.identity = identity
        self.folder = out / ids.folder(identity)
        self.digest = ids.digest(identity)
        self.name = f"{ids.name(identity)} seed={ids.seed(identity)}"
        self._claim: claims.Claim | None = None

    @property
    def last_checkpoint(self) -> Path:
        """Where training goes on from."""
        return self.folder / "checkpoints" / "last.ckpt"

    @property
    def previous_checkpoint(self) -> Path:
        """The one before, for when the last is damaged, or was just being replaced."""
        return self.folder / "checkpoints" / "previous.ckpt"

    @property
    def best_checkpoint(self) -> Path:
        """The weights of the reported epoch."""
        return self.folder / "checkpoints" / "best.ckpt"

    def result(self) -> dict[str, Any] | None:
        """The finished run's result, or None.

        Raises:
            ValueError: If the folder holds the result of another run, which six digits of a hash cannot exclude, or of
                another version.
        """
        found = read_json(self.folder / "result.json")
        if found is not None and (not isinstance(found, dict) or found.get("hash") != self.digest):
            raise ValueError(
                f"{self.folder / 'result.json'} must be this run's result, and is damaged or another's: remove it, or "
                "choose another folder with out="
            )
        if found is not None and found.get("schema") != SCHEMA:
            raise ValueError(
                f"{self.folder / 'result.json'} must have schema {SCHEMA}, which this version reads, and has "
                f"{found.get('schema')}: use the version that wrote it, or choose another folder with out="
            )
        return found

    def history(self) -> list[dict[str, float]]:
        """The finished epochs' metrics, oldest first; empty before the first."""
        try:
            with (self.folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
                return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
        except FileNotFoundError:
            return []

    @contextlib.contextmanager
    def claim(self) -> Iterator["Attempt"]:
        """Makes the folder and holds it; the body trains and calls `Attempt.finish`.

        Raises:
            RunBusyError: If another process has it.
            LostError: On writing, if another process took it over meanwhile.
        """
        make_folder(self.folder / "checkpoints")
        with signals.unwinding(), claims.hold(self.folder) as self._claim:
            for left in (*self.folder.glob(".*.*"), *self.folder.glob("checkpoints/.*.*")):
                if left.suffix[1:].isdecimal():
                    left.unlink()  # half written by an attempt that was killed
            attempt = Attempt(self)
            try:
                yield attempt
            except BaseException as error:
                with contextlib.suppress(OSError, claims.LostError):  # of a disk that is full the error itself tells
                    attempt.end(f"{type(error).__name__}: {error}".strip(": "))
                raise
            else:
                attempt.end(None)
            finally:
                self._claim.give_back(finished=(self.folder / "result.json").exists())

    def check_owned(self) -> None:
        """Asked before everything that is written in the folder.

        Raises:
            LostError: If the run was claimed, and is another process's by now.
        """
        if self._claim:
            self._claim.check()

    @contextlib.contextmanager
    def replacing(self, path: Path) -> Iterator[Path]:
        """A path to write to, which takes a file's place once it is written, if the run is still this process's."""
        with replacing(path, self.check_owned) as beside:
            yield beside

    def write_text(self, path: Path, text: str) -> None:
        """Writes a text file of the folder as a whole."""
        write_text(path, text, self.check_owned)

    def write_json(self, path: Path, value: Any) -> None:
        """Writes a JSON file of the folder as a whole."""
        write_json(path, value, self.check_owned)


class Attempt:
    """One try at a run, recorded in provenance.json beside those before it.

    Args:
        run: The run, whose lock is held.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.path = run.folder / "provenance.json"
        held = read_json(self.path) or {"attempts": [], "epoch_seconds": {}}
        if not (isinstance(held, dict) and isinstance(held.get("attempts"), list) and "epoch_seconds" in held):
            raise ValueError(f"{self.path} must be what earlier attempts wrote, and is damaged: remove it")
        self.provenance: dict[str, Any] = held
        self.mine: dict[str, Any] = {"host": socket.gethostname(), "process": os.getpid(), "started": _now()}

    def record(self, **facts: Any) -> None:
        """Adds facts of this attempt: where it runs, with which versions, by which command."""
        if self.mine not in self.provenance["attempts"]:
            self.provenance["attempts"].append(self.mine)
        self.mine.update(facts)
        self.run.write_json(self.path, self.provenance)

    def epoch(self, number: int, seconds: float) -> None:
        """Notes how long an epoch took, training and validation."""
        self.provenance["epoch_seconds"][str(number)] = round(seconds, 3)
        self.run.write_json(self.path, self.provenance)

    @property
    def threads(self) -> int | None:
        """Threads of the first attempt, which a resumed run keeps: another number changes sums in their last bits."""
        return next((a["threads"] for a in self.provenance["attempts"] if "threads" in a), None)

    @property
    def kernels(self) -> str | None:
        """What the layers of the first attempt computed by; None where this is the first.

        One that noted none had no layers that chose: recurrent ones, before convolution blocks chose too.
        """
        return next((a.get("kernels") or "torch" for a in self.provenance["attempts"] if "threads" in a), None)

    def finish(self, result: dict[str, Any]) -> dict[str, Any]:
        """Writes result.json, which makes the run a finished one, and returns it."""
        whole = {
            "schema": SCHEMA,
            "hash": self.run.digest,
            "data": self.run.identity["data"]["name"],
            "variant": ids.name(self.run.identity),
            "seeds": self.run.identity["seeds"],
            **_without_nan(result),
            **({"backbone": _reference(below)} if (below := ids.backbone(self.run.identity)) else {}),
            "identity": self.run.identity,
        }
        # That these are the weights which were measured can then be verified without torch.
        if self.run.best_checkpoint.exists():
            self.provenance[BEST_SHA256] = sha256(self.run.best_checkpoint)
            self.run.write_json(self.path, self.provenance)
        self.run.write_json(self.run.folder / "result.json", whole)
        return whole

    def end(self, error: str | None) -> None:
        """Notes how the attempt ended; one that had nothing to do is none."""
        if not error and self.mine not in self.provenance["attempts"]:
            return
        self.record(ended=_now(), **({"error": error} if error else {}))


def state(folder: Path) -> State:
    """What a run's folder alone tells: a result is finished, an owner running, an attempt without either failed."""
    if (folder / "result.json").exists():
        return "finished"
    if claims.running(folder):
        return "running"
    return "failed" if (folder / "provenance.json").exists() else "pending"


def owner(folder: Path) -> str:
    """Who trains a run, as it says; empty where nobody ever did."""
    return found.text if (found := claims.owner(folder)) else ""


def reason(folder: Path) -> str:
    """Why the last attempt at a run ended early, in one line; empty where it did not, or where nothing is recorded."""
    try:
        return str(read_json(folder / "provenance.json")["attempts"][-1].get("error", "")).partition("\n")[0]
    except (OSError, ValueError, RecursionError, KeyError, IndexError, TypeError, AttributeError):
        return ""


def find(folders: list[Path]) -> list[Path]:
    """The folders of finished runs at or below the given ones, each once, in order of their paths."""
    return sorted({result.parent for top in folders for result in top.rglob("result.json")})


def _reference(identity: ids.Identity) -> dict[str, str]:
    """Where among all runs another one is."""
    return {"name": ids.name(identity), "hash": ids.digest(identity), "folder": str(ids.folder(identity))}


def _without_nan(value: Any) -> Any:
    """A diverged run's loss as null: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
