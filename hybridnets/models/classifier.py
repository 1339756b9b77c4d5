"""The base of all architectures: loss, metrics, optimiser, and checkpoints of plain types."""

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

    A subclass that begins with convolutional features `cnn` defines `classify` instead of `forward`, so that an autoencoder
    can be put between its feature maps and its classifier.

    Training sets `optimizer` (parameters to optimiser) and `scheduler` (optimiser to schedule, or None) on the instance, so
    that the constructor of an architecture has arguments of the architecture only. So it does with `label_smoothing` and
    `class_weights`, which change the loss that is trained on, and it alone.

    A subclass calls `self.save_hyperparameters()`, which Lightning needs for `load_from_checkpoint`. Factories among its
    arguments are saved as their names and settings, so that checkpoints hold tensors and plain types only.

    Args:
        num_classes: Classes, K.
    """

    monitor = "val/acc"  # the metric that chooses the best epoch, stops early and lowers the learning rate
    mode = "max"

    optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] = torch.optim.Adam
    scheduler: Callable[..., LRScheduler] | None = None
    label_smoothing: float = 0.0  # the share of each label that is spread evenly over the classes
    class_weights: Tensor | None  # (K,): what an image of each class counts; None for all alike

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("class_weights", None, persistent=False)  # a buffer moves to the device with the model
        self.train_loss, self.val_loss, self.test_loss = (_MeanOverImages() for _ in range(3))
        self.train_accuracy, self.val_accuracy, self.test_accuracy = (
            MulticlassAccuracy(num_classes, average="micro") for _ in range(3)
        )

    cnn: Features

    def maps(self, images: Tensor) -> Tensor:
        """Feature maps of standardised images, (B, C, H, W) to (B, C', H', W')."""
        return self.cnn.maps(images)

    def classify(self, maps: Tensor) -> Tensor:
        """Logits of feature maps, (B, C', H', W') to (B, K)."""
        raise NotImplementedError(f"{type(self).__name__} has no part that classifies feature maps")

    def forward(self, images: Tensor) -> Tensor:
        """Logits of standardised images, (B, C, H, W) to (B, K).

        Raises:
            ValueError: If the architecture defines neither this nor `classify`.
        """
        if type(self).classify is Classifier.classify:
            raise ValueError(
                f"model.{type(self).__name__} must define forward, which maps images (B, C, H, W) to logits (B, K)"
            )
        return self.classify(self.maps(images))

    def probabilities(self, images: Tensor) -> Tensor:
        """Class probabilities of standardised images, (B, C, H, W) to (B, K)."""
        return F.softmax(self(images).float(), dim=1)

    def training_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The cross-entropy that is trained on, with label smoothing and class weights: a mean over the weights of the images.

        Args:
            logits: (B, K).
            labels: Classes (B,), or of mixed images their probabilities (B, K). A probability counts with its class's weight.
        """
        smoothing = self.label_smoothing
        if self.class_weights is None:
            return F.cross_entropy(logits, labels, label_smoothing=smoothing)
        # Autocast would round weights and sums to 16 bits.
        precise = torch.promote_types(logits.dtype, torch.float32)
        logits, weights = logits.to(precise), self.class_weights.to(precise)
        if not labels.is_floating_point():
            return F.cross_entropy(logits, labels, weights, label_smoothing=smoothing)
        # Of probabilities torch's own mean is over images, which would make the step larger or smaller than that of classes.
        total = F.cross_entropy(logits, labels, weights, reduction="sum", label_smoothing=smoothing)
        return total / (labels * weights).sum()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Training loss of a batch; logs train/loss and train/acc over the epoch."""
        return self._measure("train", batch, batch_idx)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Logs val/loss and val/acc over the validation part."""
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
        """Entries of a run's result that only this model has; JSON.

        Args:
            predictions: For val and test, the columns that `predict_step` returns.
        """
        return {}

    def examples(self, images: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """Tensors of a few test images that a run keeps in addition to its predictions, by name, a row for each image.

        Args:
            images: Standardised, (B, C, H, W).
        """
        return {}

    def _measure(self, stage: str, batch: Batch, batch_idx: int) -> Tensor:
        images, labels, _ = batch
        logits = self(images)
        # Plain on val and test, whose losses compare variants: those of other smoothing or weights would be another quantity.
        loss = self.training_loss if stage == "train" else F.cross_entropy
        return self._update_metrics(stage, batch_idx, loss(logits, labels), labels, logits)

    def _update_metrics(
        self, stage: str, batch_idx: int, loss: Tensor, labels: Tensor, logits: Tensor | None = None
    ) -> Tensor:
        """Adds a batch's loss and, given logits, its accuracy to the epoch's means, which are logged after the last batch."""
        getattr(self, f"{stage}_loss").update(loss.detach(), len(labels))
        if logits is not None:
            classes = labels.argmax(1) if labels.is_floating_point() else labels  # of mixed images the larger share's
            getattr(self, f"{stage}_accuracy").update(logits, classes)
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
        """Logs the epoch's means once, because Lightning needs more than a millisecond to log at every step."""
        for name, attribute in (("loss", f"{stage}_loss"), ("acc", f"{stage}_accuracy")):
            if (metric := getattr(self, attribute)).update_called:
                self.log(f"{stage}/{name}", metric, on_step=False, on_epoch=True, prog_bar=name == "acc")

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Resets the metrics, which an epoch that was cut short may have updated."""
        for part in ("train", "val", "test"):
            getattr(self, f"{part}_loss").reset()
            getattr(self, f"{part}_accuracy").reset()

    def configure_optimizers(self) -> Any:
        """The optimiser over all trainable parameters, and its schedule."""
        optimizer = self.optimizer([p for p in self.parameters() if p.requires_grad])
        plateau = ReduceLROnPlateau in (self.scheduler, getattr(self.scheduler, "func", None))
        schedule = None
        if self.scheduler is not None:
            schedule = self.scheduler(optimizer, mode=self.mode) if plateau else self.scheduler(optimizer)
        for group in optimizer.param_groups:  # most schedules set it, too: checkpoints record the initial lr
            group.setdefault("initial_lr", group["lr"])
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "monitor": self.monitor}}

    def lr_scheduler_step(self, *_: Any) -> None:
        """Does nothing: Lightning would step after the epoch's checkpoint is written, so `on_train_epoch_end` steps."""

    def on_train_epoch_end(self) -> None:
        """Steps the schedule once an epoch, before the checkpoint callback saves its state."""
        if not self.trainer.is_last_batch:  # max_steps ended the epoch early
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


class _MeanOverImages(Metric):
    """Averages the means of batches over their images, in float32 or float64, even if the model is of lower precision.

    torchmetrics' MeanMetric either asks the device for NaNs at every step or, with that check off, ignores the weights (1.9).
    """

    total: Tensor
    images: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("images", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, mean: Tensor, images: int) -> None:
        """Adds a batch; not in place, because tensors created under inference_mode refuse that later."""
        self.total = self.total + (mean if mean.dtype == torch.float64 else mean.float()) * images
        self.images = self.images + images

    def compute(self) -> Tensor:
        """The mean over the images."""
        return self.total / self.images


def plain(value: Any) -> Any:
    """Turns a factory (a class, or a partial of one) into its dotted name and settings; returns other values unchanged."""
    if isinstance(value, functools.partial):
        return {**plain(value.func), **{key: plain(setting) for key, setting in value.keywords.items()}}
    return {"_target_": f"{value.__module__}.{value.__qualname__}"} if isinstance(value, type) else value


def factory(value: Any) -> Callable[..., Any]:
    """Turns the output of `plain` back into a factory; returns a factory unchanged.

    Raises:
        ValueError: If the name is not that of a torch module, so that a checkpoint cannot have anything else called.
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
