"""The parts of a run, checked against each other before anything of the run is written."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from hybridnets.models import Classifier
from hybridnets.models.summary import Layer, layers
from hybridnets.runs.store import Run
from hybridnets.training.callbacks import EpochRecorder, Reseed, StopAtMaxSteps, StopOnNonFinite
from hybridnets.training.optimizer import check_optimizer, optimizer_and_schedule
from hybridnets.training.user_callbacks import MonitoredMetrics, check_callbacks


@dataclass(frozen=True)
class Parts:
    """Everything that `train` needs.

    Attributes:
        run: The run: its identity and its folder.
        data: The data module.
        model: The model.
        trainer: The trainer.
        recorder: The callback that records the run's epochs.
        layers: The rows of the model's summary.
        synchronized: Whether batch statistics are taken over the shares of a batch on all devices.
    """

    run: Run
    data: Any
    model: Classifier
    trainer: pl.Trainer
    recorder: EpochRecorder
    layers: list[Layer]
    synchronized: bool


def complete_callbacks(recorder: EpochRecorder, callbacks: Sequence[Callback]) -> list[Callback]:
    """The callbacks of a run's trainer, in order: those that every run needs, around the user's.

    A model may add callbacks with Lightning's `configure_callbacks`.

    Raises:
        ValueError: If a run cannot have one of the user's callbacks.
    """
    check_callbacks(callbacks, recorder.run)
    identity = recorder.run.identity
    return [
        *(Reseed(identity["seeds"]["order"]), MonitoredMetrics(callbacks), *callbacks),
        *(StopOnNonFinite(), StopAtMaxSteps(identity["trainer"].get("max_steps", -1)), recorder),
    ]


def assemble(data: Any, model: Classifier, trainer: pl.Trainer, recorder: EpochRecorder) -> Parts:
    """The built parts of a run as one value, once they fit together; brings the model into the form that is trained.

    Args:
        data: The data module.
        model: The model, with its optimizer and scheduler.
        trainer: A trainer with the callbacks of `complete_callbacks`, among them the recorder.
        recorder: The recorder of the run's epochs.

    Raises:
        ValueError: With one sentence, if they do not fit.
    """
    with errors_of("model"), _checked_logits(model, data.num_classes):
        rows = layers(model, data.image_shape)
    with errors_of("optimizer, or scheduler,"):
        optimizer, _ = optimizer_and_schedule(model)
    check_optimizer(optimizer)
    check_devices(trainer, data)
    check_batches(trainer, data)
    trainer.precision_plugin.convert_module(model)  # before weights are restored, because it would round them
    requested = recorder.run.identity["trainer"].get("sync_batchnorm")
    synchronized = synchronizes(requested, trainer.world_size, trainer.strategy.root_device.type)
    if synchronized and not requested:  # where it is requested, Lightning converts the model
        torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    return Parts(recorder.run, data, model, trainer, recorder, rows, synchronized)


@contextlib.contextmanager
def _checked_logits(model: Classifier, classes: int) -> Iterator[None]:
    """Checks what the model's forward gives in the body.

    Raises:
        ValueError: If it is not a row of logits for each image, one for each class.
    """

    def check(_: object, arguments: tuple[Tensor, ...], logits: Any) -> None:
        n, is_tensor = len(arguments[0]), isinstance(logits, Tensor)
        if is_tensor and logits.shape == (n, classes) and logits.is_floating_point():
            return
        got = f"{logits.dtype} of shape {tuple(logits.shape)}" if is_tensor else f"a {type(logits).__name__}"
        raise ValueError(
            f"model.{type(model).__name__} must map B images to floating-point logits of shape (B, {classes}), one for each "
            f"class, but its forward gave {got} for {n} images"
        )

    handle = model.register_forward_hook(check)
    try:
        yield
    finally:
        handle.remove()


def check_devices(trainer: pl.Trainer, data: Any) -> None:
    """Refuses devices other than the processes that were started, and more devices than a batch has pairs of images.

    Raises:
        ValueError: If the numbers differ, or if the batches are too small.
    """
    devices = trainer.world_size
    if devices != trainer.num_devices * trainer.num_nodes:
        raise ValueError(
            f"trainer.devices times trainer.num_nodes must be {devices}, the processes that were started for the run, got "
            f"{trainer.num_devices} times {trainer.num_nodes}"
        )
    if getattr(data, "batch_size", math.inf) < 2 * devices:  # batch normalisation needs two images
        raise ValueError(
            f"data.batch_size must be at least {2 * devices}, two images for each of {devices} devices, got {data.batch_size}"
        )


def check_batches(trainer: pl.Trainer, data: Any) -> None:
    """Refuses a share of the batches that is less than one batch.

    Raises:
        ValueError: If train or val would be empty.
    """
    for flag, loader in (("limit_train_batches", data.train_dataloader), ("limit_val_batches", data.val_dataloader)):
        share = getattr(trainer, flag)
        if isinstance(share, float) and share < 1 and int(share * (batches := len(loader()))) < 1:
            raise ValueError(f"trainer.{flag} must leave at least one of {batches} batches, got {share:g}")


def synchronizes(requested: bool | None, devices: int, kind: str) -> bool:
    """Whether batch normalisation takes its statistics over all shares of a batch: wherever it can, unless it is refused.

    Args:
        requested: trainer.sync_batchnorm.
        devices: The number of devices that train together.
        kind: Their kind, in torch's words.

    Raises:
        ValueError: If it is requested where it is impossible.
    """
    if requested and kind == "cpu":
        raise ValueError(
            "trainer.sync_batchnorm must be null or false on the CPU, where torch synchronises no batch statistics, got true"
        )
    return devices > 1 and (kind == "cuda" if requested is None else requested)


@contextlib.contextmanager
def errors_of(section: str) -> Iterator[None]:
    """Turns whatever a part raises while it is built into one sentence that names its section.

    Raises:
        ValueError: That sentence; a sentence that begins with a key already is left as it is.
    """
    try:
        yield
    except Exception as error:
        text = " ".join(str(error).split())
        if not isinstance(error, ValueError):
            text = f"{section} cannot be built: {type(error).__name__}: {text} (HYDRA_FULL_ERROR=1 shows where)"
        elif not text.startswith(f"{section}."):
            text = f"{section} cannot be built: {text}"
        raise ValueError(text) from error
