"""A run that has learned its training images and only guesses on val says so, with the likely cause; no other run does."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hybridnets.models import CNN, Classifier
from hybridnets.training.near_chance import near_chance
from tests.conftest import Said

TEN = np.arange(1000) % 10  # balanced classes: chance is 10 %
SETTLED = (
    "overfitting, or layers that compute otherwise in evaluation than in training: more images, data.augment, dropout"
)


class Normalised(Classifier):
    """A model of a user's own, without the setting."""

    def __init__(self, momentum: float | None) -> None:
        super().__init__(10)
        self.norm = nn.BatchNorm1d(3, momentum=momentum)


def cnn(momentum: float, steps: int) -> Classifier:
    model = CNN((3, 8, 8), 10, channels=[4], batch_norm_momentum=momentum)
    return after(model, steps)


def after(model: Classifier, steps: int) -> Classifier:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.num_batches_tracked.fill_(steps)  # type: ignore[union-attr]
    return model


def said(model: Classifier, train: float, val: float, labels: np.ndarray = TEN) -> str:
    return near_chance({"epoch": 4, "train/acc": train, "val/acc": val}, 5, labels, model, best_epoch=4)


def test_statistics_that_have_not_settled() -> None:
    assert said(cnn(0.99, 165), 0.999, 0.102) == (
        "the last epoch's train accuracy is 99.9 %, but its val accuracy of 10.2 % is near chance (10.0 %, the most frequent "
        "class): likely batch statistics that have not settled (batch_norm_momentum is 0.99, so that they average about 100 "
        "steps, and the run had 165): batch_norm_momentum=0.9 or more epochs"
    )
    # The statistics are those of the best epoch, here the second of five.
    late = near_chance({"train/acc": 0.9, "val/acc": 0.1}, 5, TEN, cnn(0.99, 66), best_epoch=1)
    assert "and the run had 165)" in late
    assert said(cnn(0.9, 99), 0.9, 0.1).endswith("average about 10 steps, and the run had 99): more epochs")
    own = said(after(Normalised(0.01), 99), 0.9, 0.1)
    assert own.endswith("steps, and the run had 99): a larger momentum in torch's sense or more epochs")
    assert "batch_norm_momentum" not in own


@pytest.mark.parametrize(
    "model",
    [cnn(0.99, 1001), cnn(0.9, 101), after(Normalised(None), 5), Normalised(0.01), Classifier(10)],
    ids=["settled", "settled early", "averages all steps", "frozen", "no batch normalisation"],
)
def test_other_causes(model: Classifier) -> None:
    assert SETTLED in said(model, 0.999, 0.102)


@pytest.mark.parametrize(
    ("train", "val", "labels", "warns"),
    [
        (0.56, 0.18, TEN, True),  # just beyond both bounds: 0.55 and 0.19
        (0.54, 0.10, TEN, False),  # it has barely begun to learn
        (0.999, 0.20, TEN, False),  # it overfits, but does not guess
        (0.10, 0.10, TEN, False),  # it learns nothing
        (0.999, 0.99, TEN, False),
        (0.999, 0.05, TEN, True),  # worse than chance
        (0.999, 0.80, np.arange(1000) % 5 == 0, True),  # of two classes, one has 80 % of the images
        (0.999, 0.83, np.arange(1000) % 5 == 0, False),
        (0.85, 0.80, np.arange(1000) % 5 == 0, False),
        (1.0, 1.0, np.zeros(10, int), False),  # one class only
    ],
)
def test_bounds(train: float, val: float, labels: np.ndarray, warns: bool) -> None:
    assert bool(said(cnn(0.99, 165), train, val, labels.astype(int))) is warns


def test_a_model_without_these_accuracies() -> None:
    assert near_chance({"epoch": 0, "val/acc": 0.1}, 1, TEN, cnn(0.99, 9), best_epoch=0) == ""


class Forgetful(Classifier):
    """Learns, but answers the first class in evaluation."""

    def __init__(self, image_shape: list[int], num_classes: int) -> None:
        super().__init__(num_classes)
        self.save_hyperparameters()
        self.head = nn.Linear(math.prod(image_shape), num_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(images.flatten(1))
        return logits if self.training else torch.zeros_like(logits)


def test_a_run_ends_with_the_warning(command: Callable[..., Said], tmp_path: Path) -> None:
    words = ("data=digits", "+data.dataset.size=8", "trainer.max_epochs=3", "trainer.accelerator=cpu")
    assert command(*words, "~model", f"+model._target_={__name__}.Forgetful").code == 0
    (log,) = tmp_path.rglob("log.txt")
    warned = [line for line in log.read_text().splitlines() if "is near chance (" in line]
    assert len(warned) == 1
    assert SETTLED in warned[0]
    assert command(*words, "model=cnn", "model.channels=[4,8]").code == 0
    (log,) = tmp_path.glob("runs/digits/cnn/*/log.txt")
    assert "near chance" not in log.read_text()
