"""The four steps of a run: prepare, fit, measure, finish."""

import contextlib
import logging
import signal
import warnings
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException

from hybridnets import signals
from hybridnets.rnn.backends import settle_backends
from hybridnets.runs.records import LayerRecord, Result
from hybridnets.runs.store import StoppedError
from hybridnets.training.checkpoints import hash_weights, load_checkpoint, resumable
from hybridnets.training.parts import Parts
from hybridnets.training.predictions import Measured, accuracy, predict
from hybridnets.training.published import check_published
from hybridnets.training.writing import RunWriter, claim

# Of Lightning's messages only the warnings are about this run.
for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch"):
    logging.getLogger(name).setLevel(logging.WARNING)
warnings.filterwarnings("ignore", message=".*LeafSpec.*deprecated")  # Lightning's own use of torch


def train(parts: Parts, *, command: str, configuration: str, checkpoint: str | None = None) -> Result:
    """Trains a run, from its last epoch if it was cut short, and writes and returns its result.

    Args:
        parts: What the run consists of.
        command: The command that repeats it.
        configuration: The resolved configuration as YAML, kept beside the result.
        checkpoint: A Lightning checkpoint to start from.

    Raises:
        ValueError: If another process trains the run, or if the training cannot be finished.
    """
    with claim(parts) as writer, _ending_together(parts.trainer):
        parts.recorder.write_epoch = writer.write_epoch
        if result := parts.run.result():  # another process finished the run just before it was claimed
            return result
        resumed = prepare(parts, writer, command, configuration)
        fit(parts, resumed or checkpoint)
        measured = measure(parts)
        return finish(parts, writer, measured)


def prepare(parts: Parts, writer: RunWriter, command: str, configuration: str) -> str | None:
    """Sets threads and kernels, writes down where the run comes from, and returns the checkpoint of a run that was cut short.

    A resumed run keeps the thread count and the kernels of its first attempt, because others round otherwise.
    """
    run, recorder, trainer = parts.run, parts.recorder, parts.trainer
    torch.set_num_threads(writer.attempt.threads or torch.get_num_threads())
    kernels = settle_backends(parts.model, trainer.strategy.root_device.type, writer.attempt.kernels)
    writer.begin(kernels, command, configuration)
    resumed = resumable(run, renames=trainer.is_global_zero)
    if not resumed:
        return None
    recorder.load_state_dict(resumed.state)  # here too, because a run that lacks only its result is not fitted
    writer.resume(recorder.history[-1]["epoch"])
    return str(resumed.path)


def fit(parts: Parts, checkpoint: str | None) -> None:
    """Trains the epochs that are left.

    Raises:
        StoppedError: If the process is asked to end.
        ValueError: If something else than the run's own limits ends the training.
    """
    recorder = parts.recorder
    if recorder.ended:  # only the result is missing
        return
    try:
        parts.trainer.fit(parts.model, parts.data, ckpt_path=checkpoint, weights_only=True)
    except SIGTERMException:
        raise StoppedError("ended by SIGTERM: the same command continues after the last epoch") from None
    if not recorder.ended:
        raise ValueError(
            f"the run must end by its own limits or by early stopping, but ended after {len(recorder.history)} epochs: leave "
            "out the callback that stops it or changes its limits"
        )


def measure(parts: Parts) -> Measured:
    """Predicts every image of val and test with the weights of the best epoch."""
    best_checkpoint = load_checkpoint(parts.run.best_checkpoint)
    weights = hash_weights(best_checkpoint["state_dict"])
    parts.model.load_state_dict(best_checkpoint["state_dict"])
    return Measured(best_checkpoint, weights, predict(parts.trainer, parts.model, parts.data))


def finish(parts: Parts, writer: RunWriter, measured: Measured) -> Result:
    """Verifies what was measured, and writes and returns the result, which makes the run a finished one.

    Raises:
        WrongWeightsError: If the measured weights are not those that the recorded value belongs to.
    """
    if parts.trainer.is_global_zero:
        check_published(parts, measured)
    recorder, model, data, predictions = parts.recorder, parts.model, parts.data, measured.predictions
    accuracies = {f"{part}/acc": accuracy(columns) for part, columns in predictions.items()}
    counts = {part: len(columns["index"]) for part, columns in predictions.items()}
    result = Result(
        identity=parts.run.identity,
        monitor=model.monitor,
        best={**recorder.best, **accuracies},  # the accuracies of the published weights, measured once more
        last=recorder.history[-1],
        epochs=len(recorder.history),
        images={"train": len(data.split.train), **counts},
        split=data.split.sha256,
        weights=measured.weights,
        classes=tuple(data.classes),
        parameters={way: sum(getattr(layer, way) for layer in parts.layers) for way in ("keras", "torch")},
        layers=tuple(LayerRecord(layer.stage, layer.name, layer.shape, layer.keras) for layer in parts.layers),
        facts=model.facts(predictions),
    )
    return writer.write_result(result, measured)


@contextlib.contextmanager
def _ending_together(trainer: pl.Trainer) -> Iterator[None]:
    """Ends the processes that the trainer has started for the run's other devices if a signal ends this one."""
    kill: Any = getattr(trainer.strategy.launcher, "kill", lambda _: None)
    signals.at_end(lambda: kill(signal.SIGKILL))
    try:
        yield
    except signals.Ended:
        kill(signal.SIGKILL)
        raise
