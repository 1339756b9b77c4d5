"""What a run needs from Lightning's hooks: fresh random state an epoch, and a record it can go on from."""

import contextlib
import logging
import math
import random
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, Checkpoint
from torch import Tensor

from hybridnets.models import Classifier
from hybridnets.runs.records import metrics as stored_metrics
from hybridnets.runs.store import Attempt, DivergedError, Run, StoppedError
from hybridnets.training.checkpoints import OWN, weights_digest

log = logging.getLogger("hybridnets")

SAFE_POINT = signal.SIGUSR2  # from hydra/launcher=local, and from schedulers that are about to take the node away
ADVICE = "the training diverged; a smaller optimizer.lr or trainer.gradient_clip_val=1 may keep it"


class Reseed(Callback):
    """Seeds anew at each epoch's start, so that dropout is a function of seed and epoch and no random state is saved.

    numpy and Python are seeded too, for callbacks and models of the user's that draw by them; it comes before any of these.

    Args:
        seed: The run's order seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Seeds by order seed, epoch and rank."""
        key = np.random.SeedSequence([self.seed, trainer.current_epoch, trainer.global_rank])
        seed = int(key.generate_state(1, np.uint64)[0])
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)


class Finite(Callback):
    """Ends a training whose loss, or the metric that chooses the best epoch, is NaN or infinite; and says when that was.

    On the CPU each step is looked at when it is done. Elsewhere that would make the device wait for us at every step: there
    the first bad step is remembered on the device, and asked for at the epoch's end.
    """

    def on_train_epoch_start(self, _: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Nothing bad has been seen yet."""
        self.first = torch.full((), -1, dtype=torch.int64, device=pl_module.device)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any) -> None:
        """Looks at a step's loss."""
        bad = ~torch.isfinite(outputs["loss"].detach())
        step = trainer.fit_loop.batch_idx
        if pl_module.device.type == "cpu":
            if bad:
                what = f"train/loss is {float(outputs['loss'])}"
                raise DivergedError(f"{what} at step {step + 1} of epoch {trainer.current_epoch}: {ADVICE}")
        else:
            self.first = torch.where((self.first < 0) & bad, step, self.first)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Asks the device, and looks at val/loss: a model may blow up between the last step and its evaluation.

        And at what the model watches: beside NaN, no epoch would be better than another.
        """
        if (step := int(self.first)) >= 0:
            raise DivergedError(
                f"train/loss is not finite from step {step + 1} of epoch {trainer.current_epoch}: {ADVICE}"
            )
        for name in ("val/loss", getattr(pl_module, "monitor", "val/loss")):
            value = trainer.callback_metrics.get(name)
            if value is not None and not torch.isfinite(value):
                raise DivergedError(f"{name} is {float(value)} after epoch {trainer.current_epoch}: {ADVICE}")


class StopAtMaxSteps(Callback):
    """Ends a training after trainer.max_steps, in the place of Lightning.

    Lightning measures an epoch on val that is asked to stop, but not one that its own max_steps cuts short; and it cannot go
    on after an epoch where it was given max_steps: it takes the next epoch for one that had begun (2.6).

    Args:
        max_steps: Steps of the optimiser; -1 for no limit.
    """

    def __init__(self, max_steps: int) -> None:
        self.max_steps = max_steps

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Asks, once the last step is done."""
        if 0 < self.max_steps <= trainer.global_step:
            trainer.should_stop = True


class Record(Checkpoint):
    """Writes metrics.csv, checkpoints/best.ckpt and, last, checkpoints/last.ckpt after every epoch.

    The last checkpoint holds everything that the other two follow from: a run killed between the writes repeats the epoch
    and writes them again, equal.

    Args:
        run: The run whose folder is written.

    What an epoch is worth was measured on val, and best.ckpt holds the very weights that were measured then: callbacks may
    measure other weights than they train, such as their average.

    Attributes:
        attempt: Where epoch times go; None on the ranks that write nothing.
        history: Of each epoch, its number and its metrics.
        best: Those of the epoch whose weights best.ckpt holds.
        best_weights: SHA-256 of these weights; empty where the checkpoint of an older version was resumed.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.attempt: Attempt | None = None
        self.history: list[dict[str, float]] = []
        self.best: dict[str, float] = {}
        self.best_weights = ""
        self.measured: dict[str, Tensor] = {}
        self.measured_step = -1
        self.stopping = False
        self.ended = False
        self.asked = False

    def on_fit_start(self, *_: Any) -> None:
        """From here on the run ends after its epoch when it is asked to."""
        if threading.current_thread() is threading.main_thread():  # only there can handlers be set
            signal.signal(SAFE_POINT, self._ask)

    def _ask(self, *_: Any) -> None:
        self.asked = True

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run takes up."""
        return {
            **{"run": self.run.digest, "history": self.history, "best": self.best, "best_weights": self.best_weights},
            **{"stopping": self.stopping, "ended": self.ended},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the state of this run, cut short; another run's, with which one may start, is its own story."""
        if state_dict.get("run") != self.run.digest:
            return
        self.history, self.best, self.ended = state_dict["history"], state_dict["best"], state_dict["ended"]
        self.best_weights, self.stopping = state_dict.get("best_weights", ""), state_dict.get("stopping", False)

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Takes up that the training was to stop as soon as trainer.min_epochs or min_steps lets it."""
        trainer.should_stop = trainer.should_stop or self.stopping

    def on_train_epoch_start(self, *_: Any) -> None:
        """Starts the epoch's clock."""
        self.started = time.monotonic()

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *place: Any) -> None:
        """Keeps the weights that val was measured with, after its last batch."""
        _, _, batch_idx, *_ = place
        if not trainer.sanity_checking and batch_idx + 1 == trainer.num_val_batches[0]:
            self.measured = {name: tensor.detach().clone() for name, tensor in pl_module.state_dict().items()}
            self.measured_step = trainer.global_step

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the epoch down; Lightning calls it after early stopping and after the schedule's step."""
        assert isinstance(pl_module, Classifier)
        self.run.check_owned()
        if self.measured_step != trainer.global_step:
            raise ValueError(
                f"epoch {trainer.current_epoch} must be measured on val after its last step, {trainer.global_step}, and was "
                f"last measured at step {self.measured_step}: leave out the callback or the trainer's flag that changes when"
            )
        metrics = {key: float(value) for key, value in trainer.callback_metrics.items() if "/" in key}
        row: dict[str, float] = {"epoch": trainer.current_epoch, **dict(sorted(metrics.items()))}
        if pl_module.monitor not in row:
            raise ValueError(f"the model watches {pl_module.monitor}, which no epoch measured: {', '.join(row)}")
        self.history.append(row)
        better = not self.best or _better(row[pl_module.monitor], self.best[pl_module.monitor], pl_module.mode)
        self.stopping, self.ended = trainer.should_stop, _is_last(trainer)
        if better:
            self.best, self.best_weights = row, weights_digest(self.measured)
            with _holding(pl_module, self.measured):
                trainer.save_checkpoint(self.run.best_checkpoint, weights_only=True, storage_options=OWN)
        if self.attempt:
            self.write_metrics()
            seconds = time.monotonic() - self.started
            self.attempt.epoch(trainer.current_epoch, seconds)
            shown = "  ".join(f"{key} {value:.4f}" for key, value in row.items() if key != "epoch")
            log.info("epoch %d: %s  %.1f s%s", trainer.current_epoch, shown, seconds, "  best" if better else "")
        if trainer.is_global_zero and self.run.last_checkpoint.exists():
            self.run.check_owned()
            self.run.last_checkpoint.replace(self.run.previous_checkpoint)
        trainer.save_checkpoint(self.run.last_checkpoint, weights_only=False, storage_options=OWN)
        # All ranks together, for one alone would leave the others waiting.
        if trainer.strategy.reduce_boolean_decision(self.asked, all=False) and not self.ended:
            raise StoppedError(
                f"asked to end, after epoch {trainer.current_epoch}: the same command goes on from there"
            )

    def write_metrics(self) -> None:
        """Writes metrics.csv, a line an epoch."""
        self.run.write_text(self.run.folder / stored_metrics.FILE, stored_metrics.to_csv(self.history))


def _is_last(trainer: pl.Trainer) -> bool:
    """Whether the training ends with the epoch that has just been trained: the limits, in Lightning's order."""
    epochs, steps = trainer.current_epoch + 1, trainer.global_step
    if epochs >= (trainer.max_epochs or math.inf):
        return True
    return trainer.should_stop and epochs >= (trainer.min_epochs or 0) and steps >= (trainer.min_steps or 0)


@contextlib.contextmanager
def _holding(module: torch.nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Has a module hold the given weights for a while, then its own again."""
    own = module.state_dict()
    if all(torch.equal(own[name], tensor) for name, tensor in weights.items()):
        yield
        return
    own = {name: tensor.clone() for name, tensor in own.items()}
    module.load_state_dict(weights)
    try:
        yield
    finally:
        module.load_state_dict(own)


def _better(new: float, old: float, mode: str) -> bool:
    return new > old if mode == "max" else new < old
