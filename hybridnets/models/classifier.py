"""What every image classifier here shares: loss, metrics, optimiser, and checkpoints of plain types."""

import functools
import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from hybridnets.models.stages import Features

Batch = tuple[Tensor, Tensor, Tensor]  # images (B, C, H, W) float32, labels (B,), indices (B,)


class Classifier(pl.LightningModule):
    """Base of the architectures: a subclass builds its stages and maps images (B, C, H, W) to logits (B, K) in `forward`.

    One that begins with convolutional features `cnn` defines `classify` instead, so that something can stand between the two.

    What training needs besides is set on the instance, so that an architecture's constructor speaks of the architecture
    alone: `optimizer` (parameters to optimiser) and `scheduler` (optimiser to schedule, or None).

    A subclass calls `self.save_hyperparameters()`, Lightning's way to make `load_from_checkpoint` work; factories among
    its arguments are saved as their names and settings, so that checkpoints hold tensors and plain types only.

    Args:
        num_classes: Classes, K.
    """

    monitor = "val/acc"  # what chooses the best epoch, stops early and lowers the learning rate
    mode = "max"

    optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] = torch.optim.Adam
    scheduler: Callable[..., LRScheduler] | None = None

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.train_loss, self.val_loss, self.test_loss = (_Mean() for _ in range(3))
        self.train_accuracy, self.val_accuracy, self.test_accuracy = (
            MulticlassAccuracy(num_classes, average="micro") for _ in range(3)
        )

    cnn: Features

    def maps(self, images: Tensor) -> Tensor:
        """Feature maps of standardised images, (B, C, H, W) to (B, C', H', W')."""
        return self.cnn.maps(images)

    def classify(self, maps: Tensor) -> Tensor:
        """Logits of feature maps, (B, C', H', W') to (B, K)."""
        raise NotImplementedError(f"{type(self).__name__} has no part of its own that classifies feature maps")

    def forward(self, images: Tensor) -> Tensor:
        """Logits of standardised images, (B, C, H, W) to (B, K)."""
        return self.classify(self.maps(images))

    def probabilities(self, images: Tensor) -> Tensor:
        """Class probabilities of standardised images, (B, C, H, W) to (B, K)."""
        return F.softmax(self(images).float(), dim=1)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Cross-entropy of a batch; logs train/loss and train/acc over the epoch."""
        return self._measure("train", batch, batch_idx)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Logs val/loss and val/acc over the part held out."""
        self._measure("val", batch, batch_idx)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Logs test/loss and test/acc."""
        self._measure("test", batch, batch_idx)

    def predict_step(self, batch: Batch, *_: int) -> dict[str, Tensor]:
        """Index, label, class and probabilities of every image of a batch."""
        images, labels, index = batch
        probabilities = self.probabilities(images)
        return {"index": index, "label": labels, "class": probabilities.argmax(1), "probabilities": probabilities}

    def facts(self, predictions: Mapping[str, Mapping[str, NDArray[Any]]]) -> dict[str, Any]:  # noqa: ARG002
        """What a run's result says of this model beyond what it says of all; JSON.

        Args:
            predictions: By part, val and test, what `predict_step` told of its images.
        """
        return {}

    def examples(self, images: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """What a run keeps of a few test images beyond predictions: by name, a tensor whose rows are the images'.

        Args:
            images: Standardised, (B, C, H, W).
        """
        return {}

    def _measure(self, stage: str, batch: Batch, batch_idx: int) -> Tensor:
        images, labels, _ = batch
        logits = self(images)
        return self._note(stage, batch_idx, F.cross_entropy(logits, labels), labels, logits)

    def _note(self, stage: str, batch_idx: int, loss: Tensor, labels: Tensor, logits: Tensor | None = None) -> Tensor:
        """Adds a batch's loss, and its accuracy where there are logits, to the epoch's, and logs these after the last."""
        getattr(self, f"{stage}_loss").update(loss.detach(), len(labels))
        if logits is not None:
            getattr(self, f"{stage}_accuracy").update(logits, labels)
        if self._trainer is not None and self._is_last(stage, batch_idx):
            self._log(stage)
        return loss

    def _is_last(self, stage: str, batch_idx: int) -> bool:
        if stage == "train":
            return self.trainer.is_last_batch
        counts = self.trainer.num_test_batches
        if stage == "val":
            counts = (
                self.trainer.num_sanity_val_batches if self.trainer.sanity_checking else self.trainer.num_val_batches
            )
        return batch_idx + 1 == counts[0]

    def _log(self, stage: str) -> None:
        """Logs the epoch's means: once, since at every step it would take Lightning more than a millisecond."""
        for name, metric in (("loss", f"{stage}_loss"), ("acc", f"{stage}_accuracy")):
            if (found := getattr(self, metric)).update_called:
                self.log(f"{stage}/{name}", found, on_step=False, on_epoch=True, prog_bar=name == "acc")

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Forgets what an epoch that was cut short has left."""
        for part in ("train", "val", "test"):
            getattr(self, f"{part}_loss").reset()
            getattr(self, f"{part}_accuracy").reset()

    def configure_optimizers(self) -> Any:
        """The optimiser over what is to be learned, and its schedule."""
        optimizer = self.optimizer([p for p in self.parameters() if p.requires_grad])
        plateau = ReduceLROnPlateau in (self.scheduler, getattr(self.scheduler, "func", None))
        schedule = None
        if self.scheduler is not None:
            schedule = self.scheduler(optimizer, mode=self.mode) if plateau else self.scheduler(optimizer)
        for group in optimizer.param_groups:  # as most schedules note it themselves: checkpoints say what lr began as
            group.setdefault("initial_lr", group["lr"])
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "monitor": self.monitor}}

    def lr_scheduler_step(self, *_: Any) -> None:
        """Leaves the schedule to `on_train_epoch_end`: Lightning would step after the epoch's checkpoint was written."""

    def on_train_epoch_end(self) -> None:
        """Steps the schedule once an epoch, before the checkpoint callback saves its state."""
        if not self.trainer.is_last_batch:  # as by max_steps
            self._log("train")
        schedule = self.lr_schedulers()
        if isinstance(schedule, ReduceLROnPlateau):
            if self.monitor in self.trainer.callback_metrics:
                schedule.step(self.trainer.callback_metrics[self.monitor])
        elif isinstance(schedule, LRScheduler):
            schedule.step()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Writes factories among the hyper-parameters as plain types."""
        checkpoint[self.CHECKPOINT_HYPER_PARAMS_KEY] = {k: plain(v) for k, v in self.hparams.items()}


class _Mean(Metric):
    """Of batches' means, over images, in float32 or more, whatever the model is converted to.

    Torchmetrics' own asks the device for NaNs at every step or, told not to, forgets the weights (1.9).
    """

    total: Tensor
    images: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("images", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, mean: Tensor, images: int) -> None:
        """Adds a batch."""  # not in place: a tensor made under inference_mode would not have it later
        self.total = self.total + (mean if mean.dtype == torch.float64 else mean.float()) * images
        self.images = self.images + images

    def compute(self) -> Tensor:
        """The mean over the images."""
        return self.total / self.images


def plain(value: Any) -> Any:
    """A factory (a class, or a partial of one) as its dotted name and settings; anything else as it is."""
    if isinstance(value, functools.partial):
        return {**plain(value.func), **{key: plain(setting) for key, setting in value.keywords.items()}}
    return {"_target_": f"{value.__module__}.{value.__qualname__}"} if isinstance(value, type) else value


def factory(value: Any) -> Callable[..., Any]:
    """The factory that `plain` wrote down; a factory is returned as it is.

    Raises:
        ValueError: If the name is not that of a torch module, so that a checkpoint cannot name anything else to be called.
    """
    if not isinstance(value, Mapping):
        return value  # type: ignore[no-any-return]
    settings = dict(value)
    module, _, name = str(settings.pop("_target_", "")).rpartition(".")
    settings.pop("_partial_", None)
    layer = getattr(importlib.import_module(module), name, None) if module else None
    if not (isinstance(layer, type) and issubclass(layer, nn.Module)):
        raise ValueError(f"_target_ must name a torch module to build, got {value.get('_target_')!r}")
    return functools.partial(layer, **settings)
