"""The user's callbacks: which of them a run can have, so that a published value is that of its weights, and where they save."""

from collections.abc import Collection, Mapping
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning import callbacks as lightning
from pytorch_lightning.callbacks import Callback

from hybridnets.runs import Run
from hybridnets.training.checkpoints import check_foreign

REFUSED: Mapping[type[Callback], str] = {
    lightning.StochasticWeightAveraging: (
        "the average that it makes after the last epoch is measured by nothing; "
        "pytorch_lightning.callbacks.EMAWeightAveraging has its average measured after every epoch"
    ),
    lightning.ModelPruning: "it changes weights after they were measured",
    lightning.BatchSizeFinder: "the batch size is part of what identifies a run; find one first, and set data.batch_size",
    lightning.LearningRateFinder: "the learning rate is part of what identifies a run; find one first, and set optimizer.lr",
}


def admit(callbacks: list[Callback], run: Run) -> None:
    """Refuses callbacks that a run cannot have, and has those that save checkpoints keep them in a folder of their own.

    Args:
        callbacks: The user's.
        run: The run, in whose folder those that name no other keep their checkpoints.

    Raises:
        ValueError: With a sentence that names the callback and the reason.
    """
    for callback in callbacks:
        name = type(callback).__name__
        for refused, reason in REFUSED.items():
            if isinstance(callback, refused):
                raise ValueError(f"callbacks must hold no {name}, for {reason}")
        if isinstance(callback, lightning.ModelCheckpoint) and callback.dirpath is None:
            callback.dirpath = str((run.folder / "lightning" / "checkpoints").absolute())
        if (target := getattr(callback, "dirpath", None)) is not None:
            check_foreign(run, Path(target))


class MonitoredMetrics(Callback):
    """Says which callback waits for a metric that no epoch logs, before that callback fails in its own words.

    Args:
        callbacks: The callbacks to look at, which come after this one.
    """

    def __init__(self, callbacks: list[Callback]) -> None:
        self.callbacks = callbacks

    def on_validation_end(self, trainer: pl.Trainer, *_: object) -> None:
        """Looks at those that ask as soon as val is measured; what is logged of training is not there yet."""
        if not trainer.sanity_checking:
            self._look(trainer, [c for c in self.callbacks if not getattr(c, "_check_on_train_epoch_end", True)])

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: object) -> None:
        """Looks at all of them."""
        self._look(trainer, self.callbacks)

    def _look(self, trainer: pl.Trainer, callbacks: list[Callback]) -> None:
        for callback in callbacks:
            if missing := _missing_metric(callback, trainer.callback_metrics):
                logged = ", ".join(sorted(trainer.callback_metrics))
                raise ValueError(
                    f"{type(callback).__name__}.monitor must be a metric that is logged, {logged}, got {missing}"
                )


def _missing_metric(callback: Callback, metrics: Collection[str]) -> str | None:
    """The metric that a callback would fail without; what another's attribute `monitor` means, nobody knows."""
    if isinstance(callback, lightning.EarlyStopping) and callback.strict and callback.monitor not in metrics:
        return callback.monitor
    if isinstance(callback, lightning.ModelCheckpoint) and callback.save_top_k:
        return callback.monitor if callback.monitor not in {*metrics, "epoch", "step"} else None
    return None
