"""Label smoothing and class weights: what they make of the training loss, of nothing else, and who refuses them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from torch import Tensor, nn

import hybridnets
from hybridnets.config import resolve
from hybridnets.config.build import build
from hybridnets.models import CNN, Classifier
from hybridnets.training.loss import class_weights, set_loss
from tests.conftest import SMALL, Said

CLASSES = ("a", "b", "c")
LOGITS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.tensor([0, 0, 0, 1, 1, 2])


def cnn() -> CNN:
    return CNN((1, 8, 8), 3, channels=[2])


def smoothed(labels: Tensor, smoothing: float) -> Tensor:
    one_hot = F.one_hot(labels, 3).double() if labels.ndim == 1 else labels.double()
    return (1 - smoothing) * one_hot + smoothing / 3


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 4.0]])
@pytest.mark.parametrize("mixed", [False, True])
def test_the_training_loss_is_its_formula(smoothing: float, weights: list[float] | None, mixed: bool) -> None:
    model = cnn()
    set_loss(model, {"label_smoothing": smoothing, "class_weights": weights}, LABELS.numpy(), CLASSES)
    labels = 0.7 * F.one_hot(LABELS, 3) + 0.3 * F.one_hot(LABELS.roll(1), 3) if mixed else LABELS
    target, w = smoothed(labels, smoothing), torch.tensor(weights or [1.0, 1.0, 1.0], dtype=torch.float64)
    own = (smoothed(labels, 0) * w).sum(1)  # what each image counts
    expected = -(target * w * LOGITS.log_softmax(1)).sum() / own.sum()
    torch.testing.assert_close(model.training_loss(LOGITS, labels.double() if mixed else labels), expected)


def test_probabilities_of_one_are_classes() -> None:
    model = cnn()
    set_loss(model, {"label_smoothing": 0.1, "class_weights": [1, 2, 3]}, LABELS.numpy(), CLASSES)
    of_classes, of_shares = (model.training_loss(LOGITS, x) for x in (LABELS, F.one_hot(LABELS, 3).double()))
    torch.testing.assert_close(of_classes, of_shares)


def test_autocast_rounds_neither_weights_nor_their_sum() -> None:
    model = cnn()
    set_loss(model, {"label_smoothing": 0.0, "class_weights": [0.123, 1.0, 4.567]}, LABELS.numpy(), CLASSES)
    logits, shares = LOGITS.bfloat16(), F.one_hot(LABELS, 3).float()
    exact = model.training_loss(logits.double(), LABELS)
    with torch.autocast("cpu", torch.bfloat16):
        of_classes, of_shares = (model.training_loss(logits, x) for x in (LABELS, shares))
    for loss in (of_classes, of_shares):
        torch.testing.assert_close(loss.double(), exact, rtol=1e-5, atol=0)


def test_balanced_weights_make_all_classes_count_alike() -> None:
    weights = class_weights("balanced", LABELS.numpy(), CLASSES)
    torch.testing.assert_close(weights, torch.tensor([6 / 9, 6 / 6, 6 / 3]))
    with pytest.raises(
        ValueError, match=r"null or a list where the training part lacks a class, as it lacks c at this"
    ):
        class_weights("balanced", np.array([0, 1, 1]), CLASSES)
    with pytest.raises(ValueError, match=r"a weight for each of the 3 classes, in the order a, b, c, got 2"):
        class_weights([1.0, 2.0], LABELS.numpy(), CLASSES)


def test_val_and_test_are_measured_without_them_and_accuracy_by_the_larger_share() -> None:
    model = cnn().eval()
    images, labels = torch.randn(6, 1, 8, 8), LABELS
    plain = F.cross_entropy(model(images), labels)
    set_loss(model, {"label_smoothing": 0.2, "class_weights": "balanced"}, LABELS.numpy(), CLASSES)
    for step, metric in ((model.validation_step, model.val_loss), (model.test_step, model.test_loss)):
        step((images, labels, labels), 0)
        torch.testing.assert_close(metric.compute(), plain.detach())
    trained = model.training_step((images, labels, labels), 0)
    assert not torch.isclose(trained, plain)
    torch.testing.assert_close(model.train_loss.compute(), trained.detach())
    classes = model(images).argmax(1)
    shares = 0.6 * F.one_hot(classes, 3) + 0.4 * F.one_hot((classes + 1) % 3, 3)
    model.train_accuracy.reset()
    model.training_step((images, shares, labels), 0)
    assert model.train_accuracy.compute() == 1


def test_they_are_no_part_of_a_checkpoint() -> None:
    model = cnn()
    names = set(model.state_dict())
    set_loss(model, {"label_smoothing": 0.2, "class_weights": [1, 2, 3]}, LABELS.numpy(), CLASSES)
    assert set(model.state_dict()) == names
    cnn().load_state_dict(model.state_dict())
    assert model.to(torch.float64).class_weights.dtype == torch.float64  # type: ignore[union-attr]


class OwnStep(Classifier):
    """A model of a user's own that computes its loss itself."""

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:  # noqa: ARG002
        super().__init__(num_classes)
        self.save_hyperparameters()
        self.head = nn.LazyLinear(num_classes)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: ARG002
        return F.cross_entropy(self(batch[0]), batch[1])


@pytest.mark.parametrize(
    ("key", "value", "off"), [("label_smoothing", 0.1, "0.0"), ("class_weights", "balanced", "null")]
)
def test_a_model_with_a_loss_of_its_own_refuses_them(key: str, value: Any, off: str) -> None:
    settings = {"label_smoothing": 0.0, "class_weights": None, key: value}
    with pytest.raises(
        ValueError, match=rf"^loss\.{key} must be {off} for OwnStep, whose training_step computes a loss"
    ):
        set_loss(OwnStep((1, 8, 8), 3), settings, LABELS.numpy(), CLASSES)
    set_loss(OwnStep((1, 8, 8), 3), {"label_smoothing": 0, "class_weights": None}, LABELS.numpy(), CLASSES)


def test_an_autoencoder_refuses_them_and_its_backbone_may_have_them(composed: Callable[..., DictConfig]) -> None:
    words = ("data=digits", "model=feature_autoencoder", "model.channels=2")
    cfg = composed(*words, "loss.label_smoothing=0.1")
    cfg.backbone = composed(*SMALL, "model=cnn", "loss.class_weights=balanced")
    with pytest.raises(
        ValueError, match=r"^loss\.label_smoothing must be 0\.0 for FeatureAutoencoder, whose training_step"
    ):
        build(resolve(cfg), is_rehearsal=True)
    cfg.loss.label_smoothing = 0.0
    request = resolve(cfg)
    assert request.run.identity["backbone"]["loss"] == {"class_weights": "balanced"}
    assert "loss" not in request.run.identity
    build(request, is_rehearsal=True)


MIXED = ("data.augment.mixup=0.4", "data.augment.cutmix=1", "data.augment.erase=0.3", "loss.label_smoothing=0.1")


def test_a_run_with_mixed_images_and_weights(command: Callable[..., Said], tmp_path: Path) -> None:
    answer = command(*SMALL, "model=cnn", *MIXED, "loss.class_weights=balanced")
    assert answer.code == 0, answer.err
    (folder,) = tmp_path.glob("runs/digits/cnn/seed=0-*")
    run = hybridnets.load(folder)
    assert run.model.class_weights is None  # nobody trains it now
    again = CNN.load_from_checkpoint(folder / "checkpoints" / "best.ckpt", map_location="cpu", weights_only=True)
    assert again.label_smoothing == 0
    assert (folder / "metrics.csv").read_text().startswith("epoch,train/acc,train/loss,val/acc,val/loss\n")


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_mixed_images_have_the_precision_of_the_model(command: Callable[..., Said], precision: str) -> None:
    words = ("trainer.fast_dev_run=true", f"trainer.precision={precision}", "loss.class_weights=balanced")
    answer = command(*SMALL, "model=cnn", *MIXED, *words)
    assert answer.code == 0, answer.err
