"""A run that learned its training images and guesses on val: the warning, and the likely cause."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.nn.modules.batchnorm import _BatchNorm

from hybridnets.models import Classifier

# Accuracies as shares of the way from chance to 1. On train more than half of what can be learned is learned, on val less than
# a tenth: a model that generalises a little, or that has barely begun to learn, is on neither side of both.
LEARNED, GUESSING = 0.5, 0.1
# A running average forgets the values that it began with, and those of weights long changed, within some multiples of the steps
# that it spans: after ten of them exp(-10) is left, 0.005 %.
SPANS = 10
USUAL_MOMENTUM = 0.9  # in Keras's sense; torch's default


def near_chance(
    last: Mapping[str, float], epochs: int, labels: NDArray[Any], model: Classifier, best_epoch: float
) -> str:
    """A sentence on a run that ends far better on train than on val, where it only guesses; empty for any other run.

    Args:
        last: The metrics of the last epoch.
        epochs: How many epochs were trained.
        labels: The classes of the val images, (N,).
        model: The model, with the weights and the statistics of the best epoch.
        best_epoch: Its number, from 0.
    """
    if "train/acc" not in last or "val/acc" not in last:
        return ""
    chance = np.bincount(labels).max() / len(labels)
    learned, guessed = (last[key] - chance for key in ("train/acc", "val/acc"))
    if learned <= LEARNED * (1 - chance) or guessed >= GUESSING * (1 - chance):
        return ""
    train, val, percent = (f"{100 * share:.1f} %" for share in (last["train/acc"], last["val/acc"], chance))
    cause = _cause(model, epochs / (best_epoch + 1))
    return (
        f"the last epoch's train accuracy is {train}, but its val accuracy of {val} is near chance ({percent}, the most "
        f"frequent class): likely {cause}"
    )


def _cause(model: Classifier, growth: float) -> str:
    """The likely cause, with its remedy.

    Args:
        model: The model.
        growth: What the steps up to the best epoch are multiplied by for those of the whole run.
    """
    # Without a momentum torch averages over all steps alike; frozen layers have tracked none.
    norms = [n for n in model.modules() if isinstance(n, _BatchNorm) and n.num_batches_tracked and n.momentum]
    if norms:
        slowest = min(norms, key=lambda norm: norm.momentum or 1)
        assert slowest.momentum and slowest.num_batches_tracked is not None
        kept, steps = 1 - slowest.momentum, round(int(slowest.num_batches_tracked) * growth)
        if steps * slowest.momentum < SPANS:
            has_setting = "batch_norm_momentum" in model.hparams
            name = "batch_norm_momentum" if has_setting else "a BatchNorm layer's momentum in Keras's sense"
            less = f"batch_norm_momentum={USUAL_MOMENTUM}" if has_setting else "a larger momentum in torch's sense"
            remedy = f"{less} or more epochs" if kept > USUAL_MOMENTUM else "more epochs"
            return (
                f"batch statistics that have not settled ({name} is {kept:.4g}, so that they average about "
                f"{1 / slowest.momentum:.0f} steps, and the run had {steps:,}): {remedy}"
            )
    return (
        "overfitting, or layers that compute otherwise in evaluation than in training: more images, data.augment, dropout or a "
        "smaller model"
    )
