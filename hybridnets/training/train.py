"""The story of one run."""

import contextlib
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only

from hybridnets.models import Classifier
from hybridnets.models.summary import layers, table
from hybridnets.runs.files import write_text
from hybridnets.runs.provenance import provenance
from hybridnets.runs.store import Attempt, Run
from hybridnets.training.callbacks import Record, Reseed
from hybridnets.training.checkpoints import DurableCheckpointIO
from hybridnets.training.predictions import accuracy, predict, write

log = logging.getLogger("hybridnets")

# Of Lightning's announcements only the warnings are about this run.
for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch"):
    logging.getLogger(name).setLevel(logging.WARNING)
warnings.filterwarnings("ignore", message=".*LeafSpec.*deprecated")  # Lightning's own use of torch


@dataclass(frozen=True)
class Build:
    """What a configuration tells how to build; each is called once, so that nothing is made before it is needed.

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


def train(run: Run, build: Build, *, command: str, configuration: str, checkpoint: str | None = None) -> dict[str, Any]:
    """Trains a run, from its last epoch if it was cut short, and writes and returns its result.

    Args:
        run: The run: its identity and its folder.
        build: How its parts are built.
        command: The command that repeats it.
        configuration: The resolved configuration as YAML, kept beside the result.
        checkpoint: A Lightning checkpoint to start from.

    Raises:
        ValueError: If a setting does not fit, before the run's folder is made; or if another process trains the run.
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
    rows = layers(model, data.image_shape)

    record = Record(run)
    trainer = build.trainer(
        callbacks=[*callbacks, Reseed(seeds["order"]), record],
        plugins=[DurableCheckpointIO()],
        default_root_dir=run.folder,
    )

    with _claim(run) as attempt:
        record.attempt = attempt
        if attempt:
            torch.set_num_threads(attempt.threads or torch.get_num_threads())
            device = str(trainer.strategy.root_device)
            attempt.record(
                threads=torch.get_num_threads(), device=device, devices=trainer.world_size, **provenance(command)
            )
            write_text(run.folder / "config.yaml", configuration)
            log.info("%s in %s\n%s", run.name, run.folder, table(rows))

        if run.last_checkpoint.exists():
            checkpoint = str(run.last_checkpoint)
            saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
            record.load_state_dict(saved["callbacks"][record.state_key])
            log.info("goes on after epoch %d", record.history[-1]["epoch"])
        if not record.ended:
            trainer.fit(model, data, ckpt_path=checkpoint, weights_only=True)

        weights = torch.load(run.best_checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        model.load_state_dict(weights)
        predictions = predict(trainer, model, data)
        measured = {f"{part}/acc": accuracy(found) for part, found in predictions.items()}
        best, last = {**record.best, **measured}, record.history[-1]
        result = {
            "monitor": model.monitor,
            "best": best,  # the epoch chosen on val: optimistic there
            "last": last,
            "epochs": len(record.history),
            "images": {"train": len(data.split.train), **{part: len(p["index"]) for part, p in predictions.items()}},
            "split": data.split.sha256,
            "classes": list(data.classes),
            "parameters": {"keras": sum(r.keras for r in rows), "torch": sum(r.torch for r in rows)},
        }
        if not attempt:
            return result
        write(run.folder / "predictions.npz", predictions)
        log.info(
            "best on val: epoch %d, val/acc %.4f (chosen there: optimistic), test/acc %.4f; last epoch %d, val/acc %.4f",
            *(best["epoch"], best["val/acc"], best["test/acc"], last["epoch"], last["val/acc"]),
        )
        return attempt.finish(result)


@contextlib.contextmanager
def _claim(run: Run) -> Iterator[Attempt | None]:
    """Holds the run and its log on the first rank; the others of a distributed run write nothing."""
    if rank_zero_only.rank:  # type: ignore[attr-defined]
        yield None
        return
    with run.claim() as attempt:
        file = logging.FileHandler(run.folder / "log.txt", encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logging.getLogger().addHandler(file)
        try:
            yield attempt
        except BaseException:
            # With its traceback, which the terminal may be spared.
            file.handle(log.makeRecord(log.name, logging.ERROR, __file__, 0, "ended early", (), sys.exc_info()))
            raise
        finally:
            logging.getLogger().removeHandler(file)
            file.close()
