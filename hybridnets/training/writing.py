"""What a run's folder is given while the run is trained. Of the processes of a distributed run only the first one writes."""

import contextlib
import logging
import sys
from collections.abc import Iterator, Sequence

import torch

from hybridnets.models.summary import table
from hybridnets.runs.claims import LostError
from hybridnets.runs.origin import describe_origin
from hybridnets.runs.records import Result, metrics
from hybridnets.runs.store import CONFIG, Attempt, is_stop
from hybridnets.training.near_chance import near_chance
from hybridnets.training.parts import Parts
from hybridnets.training.predictions import Measured, examples, write_predictions

log = logging.getLogger("hybridnets")


@contextlib.contextmanager
def claim(parts: Parts) -> Iterator["RunWriter"]:
    """Claims the run for the first of its processes, and keeps its log; the others get a writer that writes nothing."""
    if not parts.trainer.is_global_zero:
        yield NullWriter(parts, Attempt(parts.run))
        return
    with parts.run.claim() as attempt, _log_file(parts):
        yield RunWriter(parts, attempt)


class RunWriter:
    """Writes a run's files.

    Args:
        parts: What the run consists of.
        attempt: The attempt at the run, whose claim is held.
    """

    def __init__(self, parts: Parts, attempt: Attempt) -> None:
        self.parts = parts
        self.attempt = attempt
        self.run = parts.run

    def begin(self, kernels: list[str] | None, command: str, configuration: str) -> None:
        """Writes provenance.json and config.yaml."""
        self.attempt.note(
            threads=torch.get_num_threads(),
            kernels=kernels,
            device=str(self.parts.trainer.strategy.root_device),
            devices=self.parts.trainer.world_size,
            sync_batchnorm=self.parts.synchronized,
            **describe_origin(command, self.run.identity),
        )
        self.run.write_text(self.run.folder / CONFIG, configuration)
        log.info("%s in %s\n%s", self.run.name, self.run.folder, table(self.parts.layers))

    def resume(self, epoch: float) -> None:
        """Logs after which epoch the run continues."""
        log.info("continuing after epoch %d", epoch + 1)

    def write_epoch(self, history: Sequence[dict[str, float]], seconds: float, is_best: bool) -> None:
        """Writes metrics.csv, and how long the last epoch took; logs it, counted from 1."""
        self._write_metrics(history)
        epoch = int(history[-1]["epoch"])
        self.attempt.epoch(epoch, seconds)
        values = "  ".join(f"{key} {value:.4f}" for key, value in history[-1].items() if key != "epoch")
        log.info("epoch %d: %s  %.1f s%s", epoch + 1, values, seconds, "  best" if is_best else "")

    def write_result(self, result: Result, measured: Measured) -> Result:
        """Writes predictions.npz and result.json, and returns what result.json holds."""
        self._write_metrics(
            self.parts.recorder.history
        )  # the last epoch's process may have ended just before it did so
        kept = {**measured.predictions, "examples": examples(self.parts.model, self.parts.data)}
        write_predictions(self.run, kept)
        best, last = result.best, result.last
        log.info(
            "best on val: epoch %d, val/acc %.4f (chosen there: optimistic), test/acc %.4f; last epoch %d, val/acc %.4f",
            *(best["epoch"] + 1, best["val/acc"], best["test/acc"], last["epoch"] + 1, last["val/acc"]),
        )
        labels = measured.predictions["val"]["label"]
        if warning := near_chance(last, result.epochs, labels, self.parts.model, best["epoch"]):
            log.warning("%s", warning)
        return self.attempt.finish(result)

    def _write_metrics(self, history: Sequence[dict[str, float]]) -> None:
        self.run.write_text(self.run.folder / metrics.FILE, metrics.to_csv(history))


class NullWriter(RunWriter):
    """The writer of the processes that write nothing."""

    def begin(self, kernels: list[str] | None, command: str, configuration: str) -> None:
        """Does nothing."""

    def resume(self, epoch: float) -> None:
        """Does nothing."""

    def write_epoch(self, history: Sequence[dict[str, float]], seconds: float, is_best: bool) -> None:
        """Does nothing."""

    def write_result(self, result: Result, measured: Measured) -> Result:  # noqa: ARG002
        """Returns the result."""
        return result


@contextlib.contextmanager
def _log_file(parts: Parts) -> Iterator[None]:
    """Writes the log to log.txt in the run's folder, errors with the traceback that the terminal may not show.

    A run that is stopped ends in one line.
    """
    file = logging.FileHandler(parts.run.folder / "log.txt", encoding="utf-8", errors="backslashreplace")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(file)
    try:
        yield
    except LostError:
        raise  # the folder is another process's, and so is its log
    except BaseException as error:
        if is_stop(error):
            file.handle(log.makeRecord(log.name, logging.INFO, __file__, 0, "ended early: %s", (error,), None))
        else:
            file.handle(log.makeRecord(log.name, logging.ERROR, __file__, 0, "ended early", (), sys.exc_info()))
        raise
    finally:
        logging.getLogger().removeHandler(file)
        file.close()
