"""The parts that are built from a configuration, where building does more than pass settings on."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from omegaconf import DictConfig, OmegaConf, open_dict
from pytorch_lightning.callbacks import EarlyStopping, RichProgressBar
from torch import Tensor, nn

from hybridnets.config import resolve
from hybridnets.config.build import build, build_data, build_model
from hybridnets.config.identity import identity_of, loading_keys
from hybridnets.config.request import RunRequest
from hybridnets.models import Classifier
from tests.conftest import SMALL

BAR = "+callbacks.bar._target_=pytorch_lightning.callbacks.RichProgressBar"
SENTENCE = "RichProgressBar is left out: progress bars are shown in a terminal only"


@pytest.mark.parametrize(
    ("terminal", "overrides"), [(False, ()), (True, ()), (False, ("trainer.enable_progress_bar=true",))]
)
def test_progress_bar_needs_terminal_or_explicit_flag(
    terminal: bool,
    overrides: tuple[str, ...],
    composed: Callable[..., DictConfig],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    caplog.set_level("INFO")
    trainer: Any = build(resolve(composed("model=cnn", *SMALL, BAR, *overrides, f"out={tmp_path}"))).trainer
    has_bar = terminal or bool(overrides)
    assert any(isinstance(callback, RichProgressBar) for callback in trainer.callbacks) == has_bar
    assert (SENTENCE in caplog.messages) == (not has_bar)
    assert any(isinstance(callback, EarlyStopping) for callback in trainer.callbacks)


def test_every_model_has_the_same_fold_at_the_same_seed(composed: Callable[..., DictConfig], tmp_path: Path) -> None:
    def fold(model: str, seed: int) -> str:
        words = (f"model={model}", *SMALL[:2], "data.split=kfold", "data.folds=5", f"seed={seed}", f"out={tmp_path}")
        return str(build_data(resolve(composed(*words))).split.sha256)

    hashes = [[fold(model, seed) for seed in (0, 1, 5)] for model in ("cnn", "ecnn", "crnn")]
    assert hashes[0] == hashes[1] == hashes[2]
    assert len(set(hashes[0])) == 3


def test_a_file_with_its_own_val_is_one_split_for_all_seeds_wherever_it_lies(
    composed: Callable[..., DictConfig], tmp_path: Path
) -> None:
    images = np.random.default_rng(0).integers(0, 256, size=(90, 16, 16), dtype=np.uint8)
    parts = {"train": slice(50), "val": slice(50, 70), "test": slice(70, 90)}
    arrays: dict[str, Any] = {f"{part}_images": images[where] for part, where in parts.items()}
    arrays |= {f"{part}_labels": np.arange(90)[where] % 3 for part, where in parts.items()}
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", **arrays)

    def request(name: str, *words: str) -> RunRequest:
        return resolve(composed("model=cnn", "data=npz", f"data.root={tmp_path / name}.npz", f"out={tmp_path}", *words))

    own = [request("a", "data.train_fraction=null", f"seed={seed}") for seed in (0, 1)]
    splits = [build_data(each).split for each in own]
    assert (len(splits[0].train), len(splits[0].val)) == (50, 20)
    assert splits[0].sha256 == splits[1].sha256
    assert own[0].run.folder != own[1].run.folder
    # Where the file is and how its images are licensed is part of no identity; what the classes are called is, by the hash.
    elsewhere = request("b", "data.train_fraction=null", "seed=0", "data.licence=mine")
    assert elsewhere.run.folder == own[0].run.folder
    assert {"root", "classes", "licence", "dataset"}.isdisjoint(own[0].run.identity["data"])
    named = request("a", "data.train_fraction=null", "seed=0", "data.classes=[x,y,z]")
    assert named.run.folder != own[0].run.folder
    at_random = [build_data(request("a", f"seed={seed}")).split for seed in (0, 1)]
    assert len(at_random[0].train) == 49
    assert at_random[0].sha256 != at_random[1].sha256


class Given(Classifier):
    """A model of a user's own that gives what a test wants, and draws random numbers."""

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int, gives: str) -> None:
        super().__init__(num_classes)
        self.save_hyperparameters()
        self.head = nn.Linear(math.prod(image_shape), 3 if gives == "3 logits" else num_classes)
        self.norm = nn.BatchNorm1d(num_classes)

    def forward(self, images: Tensor) -> Any:
        assert not self.training
        assert not torch.is_grad_enabled()
        logits = self.head(F.dropout(images.flatten(1)))
        gives = self.hparams["gives"]
        if gives == "right":
            return self.norm(logits)
        return {"nothing": None, "one row": logits[0], "a pair": (logits, logits), "classes": logits.argmax(1)}.get(
            gives, logits
        )


class Formless(Classifier):
    """A model without a forward."""

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:  # noqa: ARG002
        super().__init__(num_classes)
        self.save_hyperparameters()
        self.head = nn.Linear(2, num_classes)


def thing(*_: Any, **__: Any) -> object:
    """What is no part of a run."""
    return object()


def own(composed: Callable[..., DictConfig], tmp_path: Path, model: str) -> DictConfig:
    """The configuration of a run of a model in this file."""
    cfg = composed("model=cnn", *SMALL, f"out={tmp_path}")
    with open_dict(cfg):
        cfg.model = OmegaConf.create(model)
    return cfg


@pytest.mark.parametrize(
    ("gives", "got"),
    [
        ("3 logits", "torch.float32 of shape (2, 3)"),
        ("nothing", "a NoneType"),
        ("one row", "torch.float32 of shape (10,)"),
        ("a pair", "a tuple"),
        ("classes", "torch.int64 of shape (2,)"),
    ],
)
def test_a_model_that_gives_something_else_than_logits_is_refused_before_training(
    gives: str, got: str, composed: Callable[..., DictConfig], tmp_path: Path
) -> None:
    cfg = own(composed, tmp_path, f"{{_target_: {__name__}.Given, gives: {gives}}}")
    with pytest.raises(ValueError, match="logits") as error:
        build(resolve(cfg))
    assert str(error.value) == (
        "model.Given must map B images to floating-point logits of shape (B, 10), one for each class, but its forward gave "
        f"{got} for 2 images"
    )


def test_a_model_without_a_forward_is_refused_before_training(
    composed: Callable[..., DictConfig], tmp_path: Path
) -> None:
    with pytest.raises(
        ValueError, match=r"^model\.Formless must define forward, which maps images \(B, C, H, W\) to logi"
    ):
        build(resolve(own(composed, tmp_path, f"{{_target_: {__name__}.Formless}}")))


def test_the_check_changes_neither_the_model_nor_the_random_state(
    composed: Callable[..., DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def built() -> tuple[dict[str, Tensor], Tensor, bool]:
        model = build(resolve(own(composed, tmp_path, f"{{_target_: {__name__}.Given, gives: right}}"))).model
        return model.state_dict(), torch.get_rng_state(), model.training

    weights, state, training = built()
    monkeypatch.setattr("hybridnets.training.parts.layers", lambda *_: [])
    weights_without, state_without, training_without = built()
    assert weights.keys() == weights_without.keys()
    assert all(torch.equal(weights[key], weights_without[key]) for key in weights)
    assert torch.equal(state, state_without)
    assert training == training_without


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "model={_target_: tests.config.test_build.thing}",
            "model._target_ must name a hybridnets Classifier, got one that gives a ",
        ),
        (
            "data._target_=tests.config.test_build.thing",
            "data._target_ must name a pytorch_lightning LightningDataModule, got one",
        ),
        (
            "trainer._target_=tests.config.test_build.thing",
            "trainer._target_ must name a pytorch_lightning Trainer, got one that gi",
        ),
        (
            "callbacks={a: {_target_: pathlib.Path}}",
            "callbacks.a._target_ must name a pytorch_lightning Callback, got one that gives a pathlib.PosixPath",
        ),
        ("model={_target_: ''}", "model cannot be built: Error locating target ''"),
        ("model={_target_: 3}", "model cannot be built: Expected a callable target, got '3' of type 'int'"),
        ("model={_target_: os}", "model cannot be built: Expected a callable target, got '<module 'os'"),
    ],
)
def test_a_target_of_another_kind_is_refused(
    override: str, sentence: str, composed: Callable[..., DictConfig], tmp_path: Path
) -> None:
    section, _, text = override.partition("=")
    cfg = composed("model=cnn", *SMALL, f"out={tmp_path}")
    with open_dict(cfg):
        OmegaConf.update(cfg, section, yaml.safe_load(text), merge=False)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        build(resolve(cfg))


def test_keys_that_load_the_data_are_no_part_of_the_identity(
    composed: Callable[..., DictConfig], tmp_path: Path
) -> None:
    """But in a data module that takes them itself they are, as any other key."""
    settings: Any = OmegaConf.to_container(
        composed("data=folder", "data.root=photos", "data.image_size=8"), resolve=True
    )
    assert set(identity_of(settings, "", None)["data"]) == {
        *("_target_", "name", "sha256", "train_fraction", "batch_size", "standardize", "augment")
    }
    assert loading_keys(settings["data"]) == {
        *("dataset", "licence", "root", "mirrors"),
        *("image_size", "resize", "channels", "skip_broken", "test_share", "test_seed", "cache"),
    }
    own = resolve(composed("model=cnn", *SMALL, "+data.channels=1", f"out={tmp_path}"))
    assert own.run.identity["data"]["channels"] == 1
    with pytest.raises(ValueError, match=r"data\.channels is not an argument of ImageDataModule"):
        build_data(own)


@pytest.mark.parametrize(
    ("words", "is_fused"),
    [
        ((), True),
        (("trainer.precision=bf16-mixed", "trainer.gradient_clip_val=null"), True),
        (("trainer.precision=bf16-true",), True),
        (("trainer.precision=bf16-mixed",), False),
        (("trainer.precision=16",), False),
    ],
)
def test_gradients_can_be_clipped_in_mixed_precision(
    words: tuple[str, ...], is_fused: bool, composed: Callable[..., DictConfig], tmp_path: Path
) -> None:
    """Lightning refuses to clip those of a fused optimiser there; the digits' recipe asks for both."""
    request = resolve(composed("model=cnn", *SMALL, "trainer.gradient_clip_val=1", *words, f"out={tmp_path}"))
    assert build_model(request, (3, 32, 32), 10).optimizer.keywords["fused"] is is_fused  # type: ignore[attr-defined]
