"""That a result is published with the weights that it was measured with, before it is written."""

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray

from hybridnets.models import Classifier
from hybridnets.rnn.backends import settle_backends
from hybridnets.runs.accuracy import same_classes, same_weights
from hybridnets.runs.store import WrongWeightsError
from hybridnets.training.callbacks import Record
from hybridnets.training.predictions import Predictions

AGAIN = 1000  # images of each part that a freshly loaded model predicts


def check_recorded(
    record: Record, weights: str, trainer: pl.Trainer, data: Any, predictions: dict[str, Predictions]
) -> None:
    """Refuses to publish a value with other weights than those that it was measured with.

    Args:
        record: What was measured while the run trained.
        weights: SHA-256 of the weights in best.ckpt, which made the predictions.
        trainer: The run's trainer.
        data: Its data module.
        predictions: By part, val and test.

    Raises:
        WrongWeightsError: If they are not those that the best epoch was measured with, or do not reach what it reached.
    """
    recorded, (reached, images) = record.best.get("val/acc"), _measured(trainer, data, predictions["val"])
    if record.best_weights and weights != record.best_weights:
        raise _wrong(record, "holds other weights than those that were measured")
    if recorded is not None and images and not same_weights(recorded, reached, images):
        raise _wrong(record, f"reaches val/acc {reached:.4f} where {recorded:.4f} was measured")


def _measured(trainer: pl.Trainer, data: Any, val: Predictions) -> tuple[float, int]:
    """The accuracy of the predictions for those images of val that every epoch is measured on, and how many these are."""
    limit, loader = trainer.limit_val_batches, data.val_dataloader()
    batches = limit if isinstance(limit, int) else int(limit * len(loader))
    right = val["class"] == val["label"]
    if batches >= len(loader):
        return float(right.mean()), len(right)
    if trainer.world_size > 1:  # the others' shares of these batches are theirs
        return 0.0, 0
    images = np.concatenate([index.numpy() for _, (_, _, index) in zip(range(batches), loader, strict=False)])
    return float(right[np.isin(val["index"], images)].mean()), len(images)


def check_loaded(
    record: Record,
    checkpoint: dict[str, Any],
    trainer: pl.Trainer,
    model: Classifier,
    data: Any,
    predictions: dict[str, Predictions],
) -> None:
    """Refuses to publish what a model loaded from best.ckpt does not predict.

    Args:
        record: What was measured while the run trained.
        checkpoint: What best.ckpt holds.
        trainer: The run's trainer.
        model: Its model, which made the predictions.
        data: Its data module.
        predictions: By part, val and test.

    Raises:
        WrongWeightsError: If it cannot be loaded, standardises images otherwise, or predicts other classes.
    """
    if state := checkpoint.get(type(data).__qualname__):
        try:
            data.load_state_dict(state)  # which refuses another mean, deviation or classes
        except ValueError as error:
            raise _wrong(record, f"does not hold the run's data: {error}") from error
    if not model.hparams:  # it does not keep how it is built
        return
    path = record.run.best_checkpoint
    try:
        fresh = type(model).load_from_checkpoint(path, map_location=model.device, weights_only=True)
    except Exception as error:  # torch raises nearly anything
        raise WrongWeightsError(
            f"{path} must be what the model can be loaded from again, and is not ({type(error).__name__}): the "
            f"model needs self.save_hyperparameters() and the same parameters and buffers from its beginning to its end"
        ) from error
    settle_backends(fresh, model.device.type, settle_backends(model, model.device.type, None))
    trainer.precision_plugin.convert_module(fresh)
    fresh.eval()
    for (part, published), loader in zip(predictions.items(), data.predict_dataloader(), strict=True):
        if what := _again(part, fresh, trainer, data, loader, published):
            raise _wrong(record, what)


def _wrong(record: Record, what: str) -> WrongWeightsError:
    run, epoch = record.run, record.best["epoch"]
    return WrongWeightsError(
        f"{run.best_checkpoint} must be the weights of epoch {epoch} and of what is published, and {what}; "
        f"remove {run.folder} to train the run again, without the callback or the model's hidden state that changes this"
    )


@torch.no_grad()
def _again(part: str, fresh: Classifier, trainer: pl.Trainer, data: Any, loader: Any, published: Predictions) -> str:
    """Has the loaded model predict the first images of a part, and compares that with what is published."""
    predicted: list[NDArray[Any]] = []
    index: list[NDArray[Any]] = []
    for batch in loader:
        images, _, places = data.on_after_batch_transfer([entry.to(fresh.device) for entry in batch], 0)
        with trainer.precision_plugin.forward_context():
            predicted.append(fresh.probabilities(images).argmax(1).cpu().numpy())
        index.append(places.cpu().numpy())
        if sum(map(len, index)) >= AGAIN:
            break
    places, classes = np.concatenate(index), np.concatenate(predicted)
    _, here, there = np.intersect1d(places, published["index"], assume_unique=True, return_indices=True)
    expected = published["class"][there]  # of fewer images where trainer.fast_dev_run predicts a batch
    if same_classes(classes[here], expected):
        return ""
    other = int((classes[here] != expected).sum())
    return f"a model that is loaded from it predicts another class for {other} of {len(expected)} images of {part}"
