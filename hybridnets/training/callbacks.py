"""What a run needs from Lightning's hooks: fresh random state an epoch, and a record it can go on from."""

import logging
import math
import signal
import threading
import time
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, Checkpoint

from hybridnets.models import Classifier
from hybridnets.runs.store import Attempt, DivergedError, Run, StoppedError

log = logging.getLogger("hybridnets")

SAFE_POINT = signal.SIGUSR2  # from hydra/launcher=local, and from schedulers that are about to take the node away
ADVICE = "the training diverged; a smaller optimizer.lr or trainer.gradient_clip_val=1 may keep it"


class Reseed(Callback):
    """Seeds torch anew at each epoch's start, so that dropout is a function of seed and epoch and no random state is saved.

    Args:
        seed: The run's order seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Seeds by order seed, epoch and rank."""
        key = np.random.SeedSequence([self.seed, trainer.current_epoch, trainer.global_rank])
        torch.manual_seed(int(key.generate_state(1, np.uint64)[0]))


class Finite(Callback):
    """Ends a training whose loss is NaN or infinite, and says at which step that was.

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

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Asks the device, and looks at val/loss: a model may blow up between the last step and its evaluation."""
        if (step := int(self.first)) >= 0:
            raise DivergedError(
                f"train/loss is not finite from step {step + 1} of epoch {trainer.current_epoch}: {ADVICE}"
            )
        value = trainer.callback_metrics.get("val/loss")
        if value is not None and not torch.isfinite(value):
            raise DivergedError(f"val/loss is {float(value)} after epoch {trainer.current_epoch}: {ADVICE}")


class Record(Checkpoint):
    """Writes metrics.csv, checkpoints/best.ckpt and, last, checkpoints/last.ckpt after every epoch.

    The last checkpoint holds everything that the other two follow from: a run killed between the writes repeats the epoch
    and writes them again, equal.

    Args:
        run: The run whose folder is written.

    Attributes:
        attempt: Where epoch times go; None on the ranks that write nothing.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.attempt: Attempt | None = None
        self.history: list[dict[str, float]] = []
        self.best: dict[str, float] = {}
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
        return {"run": self.run.digest, "history": self.history, "best": self.best, "ended": self.ended}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the state of this run, cut short; another run's, with which one may start, is its own story."""
        if state_dict.get("run") != self.run.digest:
            return
        self.history, self.best, self.ended = state_dict["history"], state_dict["best"], state_dict["ended"]

    def on_train_epoch_start(self, *_: Any) -> None:
        """Starts the epoch's clock."""
        self.started = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the epoch down; Lightning calls it after early stopping and after the schedule's step."""
        assert isinstance(pl_module, Classifier)
        self.run.check_owned()
        measured = {key: float(value) for key, value in trainer.callback_metrics.items() if "/" in key}
        row: dict[str, float] = {"epoch": trainer.current_epoch, **dict(sorted(measured.items()))}
        if pl_module.monitor not in row:
            raise ValueError(f"the model watches {pl_module.monitor}, which no epoch measured: {', '.join(row)}")
        self.history.append(row)
        better = not self.best or _better(row[pl_module.monitor], self.best[pl_module.monitor], pl_module.mode)
        self.ended = trainer.should_stop or trainer.current_epoch + 1 >= (trainer.max_epochs or math.inf)
        if better:
            self.best = row
            trainer.save_checkpoint(self.run.best_checkpoint, weights_only=True)
        if self.attempt:
            self.write_metrics()
            seconds = time.monotonic() - self.started
            self.attempt.epoch(trainer.current_epoch, seconds)
            shown = "  ".join(f"{key} {value:.4f}" for key, value in row.items() if key != "epoch")
            log.info("epoch %d: %s  %.1f s%s", trainer.current_epoch, shown, seconds, "  best" if better else "")
        if trainer.is_global_zero and self.run.last_checkpoint.exists():
            self.run.check_owned()
            self.run.last_checkpoint.replace(self.run.previous_checkpoint)
        trainer.save_checkpoint(self.run.last_checkpoint, weights_only=False)
        # All ranks together, for one alone would leave the others waiting.
        if trainer.strategy.reduce_boolean_decision(self.asked, all=False) and not self.ended:
            raise StoppedError(
                f"asked to end, after epoch {trainer.current_epoch}: the same command goes on from there"
            )

    def write_metrics(self) -> None:
        """Writes metrics.csv, a line an epoch."""
        keys = list(self.history[-1])
        lines = [",".join(_text(epoch.get(key, math.nan)) for key in keys) for epoch in self.history]
        self.run.write_text(self.run.folder / "metrics.csv", "\n".join([",".join(keys), *lines]) + "\n")


def _better(new: float, old: float, mode: str) -> bool:
    return new > old if mode == "max" else new < old


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6f}"
