"""The user's callbacks: which of them a run can have, and where they save checkpoints."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning import callbacks as lightning
from pytorch_lightning.callbacks import Callback

from hybridnets.runs import Run
from hybridnets.training.checkpoints import check_foreign

# A published value must be that of the published weights, and a run's identity must say how it was trained.
REFUSED: Mapping[type[Callback], str] = {
    lightning.StochasticWeightAveraging: (
        "the average that it computes after the last epoch is never measured; "
        "that of pytorch_lightning.callbacks.EMAWeightAveraging is measured after every epoch"
    ),
    lightning.ModelPruning: "it changes weights after they were measured",
    lightning.BatchSizeFinder: "the batch size is part of the run's identity; find one first, and set data.batch_size",
    lightning.LearningRateFinder: "the learning rate is part of the run's identity; find one first, and set optimizer.lr",
}


def check_callbacks(callbacks: Sequence[Callback], run: Run) -> None:
    """Refuses callbacks that a run cannot have, and gives those that save checkpoints a folder for them.

    Args:
        callbacks: The user's callbacks.
        run: The run, in whose folder they save if they name no other.

    Raises:
        ValueError: With a sentence that names the callback and the reason.
    """
    for callback in callbacks:
        name = type(callback).__name__
        for refused, reason in REFUSED.items():
            if isinstance(callback, refused):
                raise ValueError(f"callbacks must not include {name}: {reason}")
        if isinstance(callback, lightning.ModelCheckpoint) and callback.dirpath is None:
            callback.dirpath = str((run.folder / "lightning" / "checkpoints").absolute())
        if (target := getattr(callback, "dirpath", None)) is not None:
            check_foreign(run, Path(target))


class MonitoredMetrics(Callback):
    """Names a callback that waits for a metric that no epoch logs, before the callback fails with its own message.

    Args:
        callbacks: The callbacks to check, which come after this one.
    """

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.callbacks = callbacks

    def on_validation_end(self, trainer: pl.Trainer, *_: object) -> None:
        """Checks those that read a metric as soon as val is measured, when those of training are not logged yet."""
        if not trainer.sanity_checking:
            self._check(trainer, [c for c in self.callbacks if not getattr(c, "_check_on_train_epoch_end", True)])

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: object) -> None:
        """Checks all of them."""
        self._check(trainer, self.callbacks)

    def _check(self, trainer: pl.Trainer, callbacks: Sequence[Callback]) -> None:
        for callback in callbacks:
            if missing := _missing_metric(callback, trainer.callback_metrics):
                logged = ", ".join(sorted(trainer.callback_metrics))
                raise ValueError(
                    f"{type(callback).__name__}.monitor must be a metric that is logged, {logged}, got {missing}"
                )


def _missing_metric(callback: Callback, metrics: Collection[str]) -> str | None:
    """The metric that a callback would fail without; only Lightning's classes are known to read `monitor`."""
    if isinstance(callback, lightning.EarlyStopping) and callback.strict and callback.monitor not in metrics:
        return callback.monitor
    if isinstance(callback, lightning.ModelCheckpoint) and callback.save_top_k:
        return callback.monitor if callback.monitor not in {*metrics, "epoch", "step"} else None
    return None
