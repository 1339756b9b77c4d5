"""Verifies, before a result is written, that it is published with the weights that it was measured with."""

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray

from hybridnets.models import Classifier
from hybridnets.rnn.backends import settle_backends
from hybridnets.runs.accuracy import same_classes, same_weights
from hybridnets.runs.store import WrongWeightsError
from hybridnets.training.callbacks import EpochRecorder
from hybridnets.training.parts import Parts
from hybridnets.training.predictions import Measured, Predictions

CHECKED_IMAGES = 1000  # images of val and of test that a freshly loaded model predicts


def check_published(parts: Parts, measured: Measured) -> None:
    """Refuses to publish a value with other weights than those that it was measured with.

    Args:
        parts: What the run consists of; its model made the predictions.
        measured: What the weights of best.ckpt predict.

    Raises:
        WrongWeightsError: If these are not the weights that the best epoch was measured with, do not reach what it reached,
            or cannot be loaded from the file again; or if the loaded model predicts other classes.
    """
    _check_recorded(parts, measured)
    data, checkpoint = parts.data, measured.checkpoint
    if state := checkpoint.get(type(data).__qualname__):
        try:
            data.load_state_dict(state)  # which refuses another mean, deviation or classes
        except ValueError as error:
            raise _wrong(parts.recorder, f"does not hold the run's data: {error}") from error
    if parts.model.hparams:  # else the checkpoint does not say how the model is built
        _check_loaded(parts, measured)


def _check_recorded(parts: Parts, measured: Measured) -> None:
    """Compares the weights and their accuracy on val with what the recorder noted during training."""
    recorder = parts.recorder
    recorded = recorder.best.get("val/acc")
    reached, images = _accuracy_on_val(parts.trainer, parts.data, measured.predictions["val"])
    if recorder.best_weights and measured.weights != recorder.best_weights:
        raise _wrong(recorder, "holds other weights than those that were measured")
    if recorded is not None and images and not same_weights(recorded, reached, images):
        raise _wrong(recorder, f"reaches val/acc {reached:.4f} where {recorded:.4f} was measured")


def _accuracy_on_val(trainer: pl.Trainer, data: Any, val: Predictions) -> tuple[float, int]:
    """The accuracy of the predictions for the images of val that every epoch is measured on, and the number of images."""
    limit, loader = trainer.limit_val_batches, data.val_dataloader()
    batches = limit if isinstance(limit, int) else int(limit * len(loader))
    is_right = val["class"] == val["label"]
    if batches >= len(loader):
        return float(is_right.mean()), len(is_right)
    if trainer.world_size > 1:  # only the other processes know their shares of these batches
        return 0.0, 0
    images = np.concatenate([index.numpy() for _, (_, _, index) in zip(range(batches), loader, strict=False)])
    return float(is_right[np.isin(val["index"], images)].mean()), len(images)


def _check_loaded(parts: Parts, measured: Measured) -> None:
    """Compares the predictions with those of a model that is loaded from best.ckpt."""
    model, trainer, path = parts.model, parts.trainer, parts.run.best_checkpoint
    try:
        loaded = type(model).load_from_checkpoint(path, map_location=model.device, weights_only=True)
    except Exception as error:  # torch raises nearly anything
        raise WrongWeightsError(
            f"{path} must be a checkpoint that the model can be loaded from, but loading fails ({type(error).__name__}): the "
            "model needs self.save_hyperparameters(), and must keep the same parameters and buffers all the time"
        ) from error
    settle_backends(loaded, model.device.type, settle_backends(model, model.device.type, None))
    trainer.precision_plugin.convert_module(loaded)
    loaded.eval()
    for (part, published), loader in zip(measured.predictions.items(), parts.data.predict_dataloader(), strict=True):
        images, different = _different_classes(loaded, parts, loader, published)
        if different:
            raise _wrong(
                parts.recorder,
                f"a model that is loaded from it predicts another class for {different} of {images} images of {part}",
            )


@torch.no_grad()
def _different_classes(loaded: Classifier, parts: Parts, loader: Any, published: Predictions) -> tuple[int, int]:
    """Images that the loaded model predicts, and those with another class than published; 0 if rounding may cause it."""
    classes: list[NDArray[Any]] = []
    indices: list[NDArray[Any]] = []
    for batch in loader:
        images, _, index = parts.data.on_after_batch_transfer([entry.to(loaded.device) for entry in batch], 0)
        with parts.trainer.precision_plugin.forward_context():
            classes.append(loaded.probabilities(images).argmax(1).cpu().numpy())
        indices.append(index.cpu().numpy())
        if sum(map(len, indices)) >= CHECKED_IMAGES:
            break
    # With trainer.fast_dev_run only a batch is published.
    _, ours, theirs = np.intersect1d(
        np.concatenate(indices), published["index"], assume_unique=True, return_indices=True
    )
    predicted, expected = np.concatenate(classes)[ours], published["class"][theirs]
    return len(expected), 0 if same_classes(predicted, expected) else int((predicted != expected).sum())


def _wrong(recorder: EpochRecorder, reason: str) -> WrongWeightsError:
    run, epoch = recorder.run, int(recorder.best["epoch"]) + 1
    return WrongWeightsError(
        f"{run.best_checkpoint} must be the weights of epoch {epoch} and of what is published, and {reason}; "
        f"delete {run.folder} to train the run again, without the callback or the model's hidden state that changes this"
    )
