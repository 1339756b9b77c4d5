"""The parts of a run, put together before anything of it is written: what does not fit is refused here."""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch

from hybridnets.models import Classifier
from hybridnets.models.summary import Layer, layers
from hybridnets.runs.store import Run
from hybridnets.training.callbacks import Finite, Record, Reseed, StopAtMaxSteps
from hybridnets.training.checkpoints import DurableCheckpointIO
from hybridnets.training.user_callbacks import MonitoredMetrics, admit


@dataclass(frozen=True)
class Build:
    """What a configuration tells how to build; each is called once.

    Attributes:
        data: The data module, with its seeds.
        model: The model, from image_shape and num_classes.
        optimizer: Parameters to optimiser.
        scheduler: Optimiser to schedule, or None.
        callbacks: The configured callbacks, from what the model watches: monitor and mode.
        trainer: The trainer, from callbacks and the settings that belong to the run.
    """

    data: Callable[[], Any]
    model: Callable[..., Classifier]
    optimizer: Callable[..., torch.optim.Optimizer]
    scheduler: Callable[..., Any] | None
    callbacks: Callable[..., list[pl.Callback]]
    trainer: Callable[..., pl.Trainer]


@dataclass(frozen=True)
class Parts:
    """What `train` needs: data module, model, the model's rows for the summary, trainer and the run's record.

    Attributes:
        synchronized: Whether batch statistics are taken over a batch's shares on all devices.
    """

    data: Any
    model: Classifier
    rows: list[Layer]
    trainer: pl.Trainer
    record: Record
    synchronized: bool


def assemble(run: Run, build: Build) -> Parts:
    """Seeds and builds everything that a run consists of.

    Raises:
        ValueError: With one sentence, if a part cannot be built.
    """
    # Gradients that fade over 1,024 steps become denormal numbers, on which a CPU is six times slower. First of all, because
    # a thread takes the setting over from the one that starts it.
    torch.set_flush_denormal(True)
    seeds = run.identity["seeds"]
    data = build.data()
    pl.seed_everything(seeds["init"], verbose=False)
    model = build.model(image_shape=data.image_shape, num_classes=data.num_classes)
    model.optimizer, model.scheduler = build.optimizer, build.scheduler
    callbacks = build.callbacks(monitor=model.monitor, mode=model.mode)
    with building("model"):
        rows = layers(model, data.image_shape)
    with building("optimizer, or scheduler,"):
        optimizer, _ = optimizer_and_schedule(model)
    check_optimizer(optimizer)
    admit(callbacks, run)
    record = Record(run)
    trainer = build.trainer(
        callbacks=[
            *(Reseed(seeds["order"]), MonitoredMetrics(callbacks), *callbacks),
            *(Finite(), StopAtMaxSteps(run.identity["trainer"].get("max_steps", -1)), record),
        ],
        plugins=[DurableCheckpointIO(run)],
        default_root_dir=run.folder,
    )
    if trainer.world_size != trainer.num_devices * trainer.num_nodes:
        raise ValueError(
            f"trainer.devices times trainer.num_nodes must be {trainer.world_size}, the processes that were started for "
            f"the run, got {trainer.num_devices} times {trainer.num_nodes}"
        )
    check_batches(trainer, data)
    trainer.precision_plugin.convert_module(model)  # before weights are restored, which would be rounded otherwise
    asked = run.identity["trainer"].get("sync_batchnorm")
    synchronized = synchronizes(asked, trainer.world_size, trainer.strategy.root_device.type)
    if synchronized and not asked:  # Lightning sees to what it was asked for
        torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    return Parts(data, model, rows, trainer, record, synchronized)


def optimizer_and_schedule(model: Classifier) -> tuple[Any, Any]:
    """A new optimiser of the model's and its schedule, or None; both None for a model that configures several, its own way."""
    configured = model.configure_optimizers()
    if isinstance(configured, torch.optim.Optimizer):
        return configured, None
    if not isinstance(configured, dict):
        return None, None
    schedule = configured.get("lr_scheduler")
    return configured["optimizer"], schedule["scheduler"] if isinstance(schedule, dict) else schedule


def check_optimizer(optimizer: torch.optim.Optimizer | None) -> None:
    """Refuses an optimiser that does not step by the dense gradients of one evaluation of a batch.

    Args:
        optimizer: The optimiser.

    Raises:
        ValueError: If it evaluates a batch several times, as LBFGS does, or takes sparse gradients alone.
    """
    if optimizer is None:
        return
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure and closure.default is inspect.Parameter.empty:
        why = "it evaluates a batch several times a step, each of which would count in train/loss and train/acc"
    elif isinstance(optimizer, torch.optim.SparseAdam):
        why = "it takes sparse gradients only, and those of images are dense"
    else:
        return
    raise ValueError(
        f"optimizer._target_ must be one that steps by a batch's gradients, got {type(optimizer).__name__}: {why}"
    )


def check_batches(trainer: pl.Trainer, data: Any) -> None:
    """Refuses a share of the batches that is less than one batch.

    Raises:
        ValueError: If training or val would be empty.
    """
    for flag, loader in (("limit_train_batches", data.train_dataloader), ("limit_val_batches", data.val_dataloader)):
        share = getattr(trainer, flag)
        if isinstance(share, float) and share < 1 and int(share * (batches := len(loader()))) < 1:
            raise ValueError(f"trainer.{flag} must leave at least one of {batches} batches, got {share:g}")


def synchronizes(asked: bool | None, devices: int, kind: str) -> bool:
    """Whether batch normalisation takes its statistics over all devices' shares of a batch: where it can, unless told not to.

    Args:
        asked: trainer.sync_batchnorm.
        devices: How many train together.
        kind: Of which kind they are, in torch's words.

    Raises:
        ValueError: If it is asked for where it cannot be.
    """
    if asked and kind == "cpu":
        raise ValueError(
            "trainer.sync_batchnorm must be null or false on the CPU, where torch synchronises no batch statistics, got true"
        )
    return devices > 1 and (kind == "cuda" if asked is None else asked)


@contextlib.contextmanager
def building(section: str) -> Iterator[None]:
    """Turns whatever a part raises while it is built into one sentence that names its section.

    Raises:
        ValueError: That sentence; one that names a key of the section already is left as it is.
    """
    try:
        yield
    except Exception as error:
        text = " ".join(str(error).split())
        if isinstance(error, ValueError):
            raise ValueError(
                text if text.startswith(f"{section}.") else f"{section} cannot be built: {text}"
            ) from error
        raise ValueError(
            f"{section} cannot be built: {type(error).__name__}: {text} (HYDRA_FULL_ERROR=1 shows where)"
        ) from error
