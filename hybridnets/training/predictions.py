"""The prediction for every val and test image at the reported epoch."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray

from hybridnets.models import Classifier
from hybridnets.runs import Run
from hybridnets.runs.records import predictions as stored

EXAMPLES = 8  # test images of which a model may keep more than its prediction

Predictions = dict[str, NDArray[Any]]  # index (N,), label (N,), class (N,), probabilities (N, K), in order of index


@dataclass(frozen=True, eq=False)
class Measured:
    """What the weights of the best epoch predict.

    Attributes:
        checkpoint: The content of best.ckpt.
        weights: SHA-256 of its weights and running statistics.
        predictions: The predictions for val and test.
    """

    checkpoint: dict[str, Any]
    weights: str
    predictions: dict[str, Predictions]


def predict(trainer: pl.Trainer, model: Classifier, data: pl.LightningDataModule) -> dict[str, Predictions]:
    """Predictions for the data module's predict_dataloader, val and test, from all ranks."""
    batches_by_part = trainer.predict(model, data)
    parts = {
        part: {key: np.concatenate([batch[key].cpu().numpy() for batch in batches]) for key in batches[0]}
        for part, batches in zip(("val", "test"), batches_by_part or [], strict=True)
    }
    if trainer.world_size > 1:
        shares: list[dict[str, Predictions]] = [{}] * trainer.world_size
        torch.distributed.all_gather_object(shares, parts)
        parts = {part: {k: np.concatenate([s[part][k] for s in shares]) for k in parts[part]} for part in parts}
    for part, columns in parts.items():
        order = np.argsort(columns["index"])
        parts[part] = {key: column[order] for key, column in columns.items()}
    return parts


def accuracy(predictions: Predictions) -> float:
    """Share of images whose class is their label."""
    return float(np.mean(predictions["class"] == predictions["label"]))


@torch.no_grad()
def examples(model: Classifier, data: pl.LightningDataModule) -> Predictions:
    """What the model keeps of this process's first test images, with their index; empty for most models."""
    batch = next(iter(data.predict_dataloader()[1]))
    images, _, index = data.on_after_batch_transfer([part[:EXAMPLES] for part in batch], 1)
    kept = model.eval().examples(images.to(model.device))
    columns = {key: column.cpu().float().numpy() for key, column in kept.items()}
    return {**columns, "index": index.numpy()} if columns else {}


def write_predictions(run: Run, parts: dict[str, Predictions]) -> None:
    """Writes a run's predictions.npz."""
    with run.replacing(run.folder / stored.FILE) as temporary, temporary.open("wb") as file:
        np.savez(file, **stored.to_arrays(parts))  # type: ignore[arg-type]
