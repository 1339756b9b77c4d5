"""Every model with every recurrent layer, as the configuration builds them: adding one of either edits nothing here."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from hybridnets.config.build import build
from tests.conftest import ROOT


def options(group: str) -> list[str]:
    return sorted(path.stem for path in Path(ROOT, "conf", group).glob("*.yaml"))


def combinations() -> list[tuple[str, ...]]:
    """The overrides of each; a model without recurrent layers comes once, and images are not enlarged: that takes long."""
    found: list[tuple[str, ...]] = []
    for model in options("model"):
        settings = Path(ROOT, "conf", "model", f"{model}.yaml").read_text()
        small = ("model.image_size=null",) * ("image_size:" in settings)
        found += [
            (f"model={model}", f"rnn={rnn}", *small) for rnn in options("rnn")[: None if "${rnn}" in settings else 1]
        ]
    return found


@pytest.mark.parametrize("words", combinations(), ids=" ".join)
def test_builds_maps_and_learns(composed: Callable[..., DictConfig], words: tuple[str, ...]) -> None:
    cfg = composed("data=digits", *words, "layers=2", "nodes=3")
    if "backbone" in cfg.model:
        cfg.backbone = composed("data=digits", "model=crnn", "layers=2", "nodes=3")
    built = build(cfg, rehearsal=True)
    torch.manual_seed(0)
    module = built.model(image_shape=(3, 32, 32), num_classes=10)
    images = torch.randn(2, 3, 32, 32)
    logits = module(images)
    assert logits.shape == (2, 10)
    assert logits.isfinite().all()
    torch.nn.functional.cross_entropy(logits, torch.tensor([1, 7])).backward()  # type: ignore[no-untyped-call]
    for name, parameter in module.named_parameters():
        assert not parameter.requires_grad or (parameter.grad is not None and parameter.grad.any()), name
    again = built.model(image_shape=(3, 32, 32), num_classes=10)
    again.load_state_dict(module.state_dict())
    torch.testing.assert_close(again.eval()(images), module.eval()(images), rtol=0, atol=0)


def test_the_configuration_lists_all_of_lightnings_settings(composed: Callable[..., DictConfig]) -> None:
    import inspect

    import pytorch_lightning

    known = set(inspect.signature(pytorch_lightning.Trainer).parameters) - {"callbacks", "logger"}
    listed = set(map(str, composed().trainer)) - {"_target_"}
    assert listed <= known
    assert known - listed <= {"enable_autolog_hparams", "model_registry"}, "Lightning has new ones: list them"


@pytest.mark.parametrize("path", sorted(Path(ROOT, "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_sweep_files_compose_and_say_what_they_are(composed: Callable[..., DictConfig], path: Path) -> None:
    header = path.read_text().split("defaults:")[0]
    for line in (f"python train.py -cn {path.stem}", "Source: "):
        assert line in header, f"{path.name} must say, above its defaults, «{line}»"
    assert composed(name=path.stem).trainer.max_epochs > 0
