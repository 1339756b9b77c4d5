"""The story of one run."""

import contextlib
import logging
import signal
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException

from hybridnets import signals
from hybridnets.models.summary import table
from hybridnets.rnn.backends import settle_backends
from hybridnets.runs.claims import LostError
from hybridnets.runs.origin import describe_origin
from hybridnets.runs.records.result import LayerRecord, Result
from hybridnets.runs.store import Attempt, Run, StoppedError
from hybridnets.training.assemble import Build, Parts, assemble
from hybridnets.training.checkpoints import load, resumable, weights_digest
from hybridnets.training.predictions import accuracy, examples, predict, write
from hybridnets.training.published import check_loaded, check_recorded
from hybridnets.training.start import check_start

log = logging.getLogger("hybridnets")

# Of Lightning's announcements only the warnings are about this run.
for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch"):
    logging.getLogger(name).setLevel(logging.WARNING)
warnings.filterwarnings("ignore", message=".*LeafSpec.*deprecated")  # Lightning's own use of torch


def train(run: Run, build: Build, *, command: str, configuration: str, checkpoint: str | None = None) -> Result:
    """Trains a run, from its last epoch if it was cut short, and writes and returns its result.

    Args:
        run: The run: its identity and its folder.
        build: How its parts are built.
        command: The command that repeats it.
        configuration: The resolved configuration as YAML, kept beside the result.
        checkpoint: A Lightning checkpoint to start from.

    Raises:
        ValueError: If a setting does not fit, before the run's folder is made; or if another process trains the run.
    """
    parts = prepare(run, build, checkpoint)
    data, model, trainer, record = parts.data, parts.model, parts.trainer, parts.record
    with _claim(run, first=trainer.is_global_zero) as attempt, _ending_together(trainer):
        record.attempt = attempt
        if attempt and (done := run.result()):
            return done  # somebody else's, who held the lock until just now
        device = trainer.strategy.root_device
        kernels = settle_backends(model, device.type, (attempt or Attempt(run)).kernels)
        if attempt:
            torch.set_num_threads(attempt.threads or torch.get_num_threads())
            attempt.record(
                threads=torch.get_num_threads(),
                kernels=kernels,
                device=str(device),
                devices=trainer.world_size,
                sync_batchnorm=parts.synchronized,
                **describe_origin(command),
            )
            run.write_text(run.folder / "config.yaml", configuration)
            log.info("%s in %s\n%s", run.name, run.folder, table(parts.rows))

        if found := resumable(run, record.state_key, first=trainer.is_global_zero):
            checkpoint = str(found.path)
            record.load_state_dict(found.state)
            if attempt:
                log.info("goes on after epoch %d", record.history[-1]["epoch"])
        if not record.ended:
            try:
                trainer.fit(model, data, ckpt_path=checkpoint, weights_only=True)
            except SIGTERMException:
                raise StoppedError("ended by SIGTERM: the same command goes on after the last epoch") from None

        if not record.ended:
            raise ValueError(
                f"the run must end by its own limits or by early stopping, and ended after {len(record.history)} epochs: leave "
                "out the callback that stops it or changes its limits"
            )
        best_checkpoint = load(run.best_checkpoint)
        weights = weights_digest(best_checkpoint["state_dict"])
        model.load_state_dict(best_checkpoint["state_dict"])
        predictions = predict(trainer, model, data)
        measured = {f"{part}/acc": accuracy(found) for part, found in predictions.items()}
        if attempt:
            check_recorded(record, weights, trainer, data, predictions)
            check_loaded(record, best_checkpoint, trainer, model, data, predictions)
        best, last = {**record.best, **measured}, record.history[-1]
        result = Result(
            identity=run.identity,
            monitor=model.monitor,
            best=best,
            last=last,
            epochs=len(record.history),
            images={"train": len(data.split.train), **{part: len(p["index"]) for part, p in predictions.items()}},
            split=data.split.sha256,
            weights=weights,
            classes=tuple(data.classes),
            parameters={"keras": sum(r.keras for r in parts.rows), "torch": sum(r.torch for r in parts.rows)},
            layers=tuple(LayerRecord(r.stage, r.name, r.shape, r.keras) for r in parts.rows),
            facts=model.facts(predictions),
        )
        if not attempt:
            return result
        record.write_metrics()
        write(run, {**predictions, "examples": examples(model, data)})
        log.info(
            "best on val: epoch %d, val/acc %.4f (chosen there: optimistic), test/acc %.4f; last epoch %d, val/acc %.4f",
            *(best["epoch"], best["val/acc"], best["test/acc"], last["epoch"], last["val/acc"]),
        )
        return attempt.finish(result)


def prepare(run: Run, build: Build, checkpoint: str | None = None) -> Parts:
    """Builds the parts of a run, and refuses what cannot be built or started from; writes nothing.

    Args:
        run: The run.
        build: How its parts are built.
        checkpoint: A Lightning checkpoint to start from.

    Raises:
        ValueError: If a setting does not fit.
    """
    parts = assemble(run, build)
    if checkpoint and not (run.last_checkpoint.exists() or run.previous_checkpoint.exists()):
        check_start(checkpoint, parts)
    return parts


@contextlib.contextmanager
def _ending_together(trainer: pl.Trainer) -> Iterator[None]:
    """Ends the processes that the trainer has started for the run's other devices, if a signal ends this one."""
    kill: Any = getattr(trainer.strategy.launcher, "kill", lambda _: None)
    signals.at_end(lambda: kill(signal.SIGKILL))
    try:
        yield
    except signals.Ended:
        kill(signal.SIGKILL)
        raise


@contextlib.contextmanager
def _claim(run: Run, *, first: bool) -> Iterator[Attempt | None]:
    """Holds the run and its log on the first rank; the others of a distributed run write nothing."""
    if not first:
        yield None
        return
    with run.claim() as attempt:
        file = logging.FileHandler(run.folder / "log.txt", encoding="utf-8", errors="backslashreplace")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logging.getLogger().addHandler(file)
        try:
            yield attempt
        except LostError:
            raise  # the folder, the log in it too, is another process's
        except BaseException:
            # With its traceback, which the terminal may be spared.
            file.handle(log.makeRecord(log.name, logging.ERROR, __file__, 0, "ended early", (), sys.exc_info()))
            raise
        finally:
            logging.getLogger().removeHandler(file)
            file.close()
