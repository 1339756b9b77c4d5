"""The callbacks that every run needs: fresh random state per epoch, and the recorder of a run's epochs."""

import contextlib
import math
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, Checkpoint
from torch import Tensor

from hybridnets.models import Classifier
from hybridnets.runs.store import DivergedError, Run, StoppedError
from hybridnets.training.checkpoints import OWN, RECORDER_KEY, hash_weights

SAFE_POINT = signal.SIGUSR2  # from hydra/launcher=local, and from schedulers that are about to take the node away
ADVICE = "the training diverged; a smaller optimizer.lr or trainer.gradient_clip_val=1 may prevent it"


class Reseed(Callback):
    """Seeds at the start of each epoch, so that dropout is a function of seed and epoch and no random state is saved.

    It seeds NumPy and Python too, for the user's callbacks and models, and must come before the user's callbacks.

    Args:
        seed: The run's order seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Seeds with order seed, epoch and rank."""
        key = np.random.SeedSequence([self.seed, trainer.current_epoch, trainer.global_rank])
        seed = int(key.generate_state(1, np.uint64)[0])
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)


class StopOnNonFinite(Callback):
    """Ends a run when its loss, or the metric that chooses the best epoch, is NaN or infinite, and says when that was.

    On the CPU it checks each step. On other devices that would make the device wait at every step, so the first bad step is
    remembered on the device and checked at the end of the epoch.
    """

    def on_train_epoch_start(self, _: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forgets the steps of the epoch before."""
        self.first_bad_step = torch.full((), -1, dtype=torch.int64, device=pl_module.device)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any) -> None:
        """Checks the loss of a step."""
        is_bad = ~torch.isfinite(outputs["loss"].detach())
        step = trainer.fit_loop.batch_idx
        if pl_module.device.type != "cpu":
            self.first_bad_step = torch.where((self.first_bad_step < 0) & is_bad, step, self.first_bad_step)
        elif is_bad:
            loss = float(outputs["loss"])
            raise DivergedError(
                f"train/loss is {loss} at step {step + 1} of epoch {trainer.current_epoch + 1}: {ADVICE}"
            )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Checks the remembered step, and val/loss, because a model may diverge between the last step and its evaluation.

        It also checks the metric that the model watches, because no epoch is better than one with NaN.
        """
        if (step := int(self.first_bad_step)) >= 0:
            raise DivergedError(
                f"train/loss is not finite from step {step + 1} of epoch {trainer.current_epoch + 1}: {ADVICE}"
            )
        for name in ("val/loss", getattr(pl_module, "monitor", "val/loss")):
            value = trainer.callback_metrics.get(name)
            if value is not None and not torch.isfinite(value):
                raise DivergedError(f"{name} is {float(value)} after epoch {trainer.current_epoch + 1}: {ADVICE}")


class StopAtMaxSteps(Callback):
    """Ends a run after trainer.max_steps, instead of Lightning.

    Lightning measures an epoch on val if should_stop ends it, but not if its own max_steps cuts it short. And given max_steps
    it cannot resume after an epoch: it takes the next epoch for one that was under way (2.6).

    Args:
        max_steps: Steps of the optimiser; -1 for no limit.
    """

    def __init__(self, max_steps: int) -> None:
        self.max_steps = max_steps

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Stops after the last step."""
        if 0 < self.max_steps <= trainer.global_step:
            trainer.should_stop = True


class EpochRecorder(Checkpoint):
    """Writes checkpoints/best.ckpt and, last, checkpoints/last.ckpt after every epoch.

    The last checkpoint holds everything that the other files follow from: a run that is killed between the writes repeats the
    epoch and writes equal files again.

    An epoch's value was measured on val, and best.ckpt holds exactly the weights that it was measured with: callbacks may
    measure other weights than they train, such as their average.

    Args:
        run: The run whose folder is written.

    Attributes:
        write_epoch: Called with the history, the seconds of the last epoch, and whether it is the best so far.
        history: The number and the metrics of each epoch.
        best: The entry of the epoch whose weights best.ckpt holds.
        best_weights: SHA-256 of these weights; empty where a checkpoint of an older version was resumed.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.write_epoch: Callable[[list[dict[str, float]], float, bool], None] = lambda *_: None
        self.history: list[dict[str, float]] = []
        self.best: dict[str, float] = {}
        self.best_weights = ""
        self.measured: dict[str, Tensor] = {}
        self.measured_step = -1
        self.stopping = False
        self.ended = False
        self.stop_requested = False

    @property
    def state_key(self) -> str:
        """The key of its state in a checkpoint."""
        return RECORDER_KEY

    def on_fit_start(self, *_: Any) -> None:
        """Lets a signal end the run after the current epoch."""
        if threading.current_thread() is threading.main_thread():  # only there can handlers be set
            signal.signal(SAFE_POINT, self._request_stop)

    def _request_stop(self, *_: Any) -> None:
        self.stop_requested = True

    def state_dict(self) -> dict[str, Any]:
        """The state that a resumed run restores."""
        return {
            **{"run": self.run.hash, "history": self.history, "best": self.best, "best_weights": self.best_weights},
            **{"stopping": self.stopping, "ended": self.ended},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the state of this run; ignores that of another run, whose checkpoint a run may start from."""
        if state_dict.get("run") != self.run.hash:
            return
        self.history, self.best, self.ended = state_dict["history"], state_dict["best"], state_dict["ended"]
        self.best_weights, self.stopping = state_dict.get("best_weights", ""), state_dict.get("stopping", False)

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Restores that the run was to stop as soon as trainer.min_epochs or min_steps allows it."""
        trainer.should_stop = trainer.should_stop or self.stopping

    def on_train_epoch_start(self, *_: Any) -> None:
        """Starts the epoch's clock."""
        self.started = time.monotonic()

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *rest: Any) -> None:
        """Keeps the weights that val was measured with."""
        _, _, batch_idx, *_ = rest
        if not trainer.sanity_checking and batch_idx + 1 == trainer.num_val_batches[0]:
            self.measured = {name: tensor.detach().clone() for name, tensor in pl_module.state_dict().items()}
            self.measured_step = trainer.global_step

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Records the epoch; Lightning calls this after early stopping and after the schedule's step."""
        assert isinstance(pl_module, Classifier)
        self.run.check_owned()
        if self.measured_step != trainer.global_step:
            raise ValueError(
                f"epoch {trainer.current_epoch + 1} must be measured on val after its last step, {trainer.global_step}, but "
                f"was last measured at step {self.measured_step}: leave out the callback or the flag that changes this"
            )
        metrics = {key: float(value) for key, value in trainer.callback_metrics.items() if "/" in key}
        row: dict[str, float] = {"epoch": trainer.current_epoch, **dict(sorted(metrics.items()))}
        if pl_module.monitor not in row:
            raise ValueError(f"the model watches {pl_module.monitor}, which no epoch measured: {', '.join(row)}")
        self.history.append(row)
        is_best = not self.best or _is_better(row[pl_module.monitor], self.best[pl_module.monitor], pl_module.mode)
        self.stopping, self.ended = trainer.should_stop, _is_last(trainer)
        if is_best:
            self.best, self.best_weights = row, hash_weights(self.measured)
            with _holding(pl_module, self.measured):
                trainer.save_checkpoint(self.run.best_checkpoint, weights_only=True, storage_options=OWN)
        self.write_epoch(self.history, time.monotonic() - self.started, is_best)
        if trainer.is_global_zero and self.run.last_checkpoint.exists():
            self.run.check_owned()
            self.run.last_checkpoint.replace(self.run.previous_checkpoint)
        trainer.save_checkpoint(self.run.last_checkpoint, weights_only=False, storage_options=OWN)
        # All ranks together, because one alone would leave the others waiting.
        if trainer.strategy.reduce_boolean_decision(self.stop_requested, all=False) and not self.ended:
            raise StoppedError(
                f"stopped on request after epoch {trainer.current_epoch + 1}: the same command continues from there"
            )


def _is_last(trainer: pl.Trainer) -> bool:
    """Whether the run ends with the epoch that has just been trained: the limits, in Lightning's order."""
    epochs, steps = trainer.current_epoch + 1, trainer.global_step
    if epochs >= (trainer.max_epochs or math.inf):
        return True
    return trainer.should_stop and epochs >= (trainer.min_epochs or 0) and steps >= (trainer.min_steps or 0)


@contextlib.contextmanager
def _holding(module: torch.nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Gives a module other weights for a while, then restores its own."""
    current = module.state_dict()
    if all(torch.equal(current[name], tensor) for name, tensor in weights.items()):
        yield
        return
    current = {name: tensor.clone() for name, tensor in current.items()}
    module.load_state_dict(weights)
    try:
        yield
    finally:
        module.load_state_dict(current)


def _is_better(new: float, old: float, mode: str) -> bool:
    return new > old if mode == "max" else new < old
