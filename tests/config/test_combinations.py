"""Every model with every recurrent layer, as the configuration builds them; a new one needs no change here."""

import typing
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from hybridnets.config import resolve
from hybridnets.config.build import build_model
from hybridnets.models.stages import ACTIVATIONS
from hybridnets.runs.identities import Activation
from tests.conftest import ROOT


def test_types_of_arguments_list_all_activations() -> None:
    assert typing.get_args(Activation) == tuple(ACTIVATIONS)


def options(group: str) -> list[str]:
    return sorted(path.stem for path in Path(ROOT, "conf", group).glob("*.yaml"))


def combinations() -> list[tuple[str, ...]]:
    """The overrides of each combination; a model without recurrent layers appears once, and images keep their size."""
    results: list[tuple[str, ...]] = []
    for model in options("model"):
        settings = Path(ROOT, "conf", "model", f"{model}.yaml").read_text()
        small = ("model.image_size=null",) * ("image_size:" in settings)
        results += [
            (f"model={model}", f"rnn={rnn}", *small) for rnn in options("rnn")[: None if "${rnn}" in settings else 1]
        ]
    return results


@pytest.mark.parametrize("overrides", combinations(), ids=" ".join)
def test_model_has_logits_and_gradients_and_reloads(
    composed: Callable[..., DictConfig], overrides: tuple[str, ...]
) -> None:
    cfg = composed("data=digits", *overrides, "layers=2", "nodes=3")
    if "backbone" in cfg.model:
        cfg.backbone = composed("data=digits", "model=crnn", "layers=2", "nodes=3")
    request = resolve(cfg)
    torch.manual_seed(0)
    module = build_model(request, (3, 32, 32), 10, is_rehearsal=True)
    images = torch.randn(2, 3, 32, 32)
    logits = module(images)
    assert logits.shape == (2, 10)
    assert logits.isfinite().all()
    torch.nn.functional.cross_entropy(logits, torch.tensor([1, 7])).backward()  # type: ignore[no-untyped-call]
    for name, parameter in module.named_parameters():
        assert not parameter.requires_grad or (parameter.grad is not None and parameter.grad.any()), name
    again = build_model(request, (3, 32, 32), 10, is_rehearsal=True)
    again.load_state_dict(module.state_dict())
    torch.testing.assert_close(again.eval()(images), module.eval()(images), rtol=0, atol=0)


def test_configuration_lists_all_flags_of_lightnings_trainer(composed: Callable[..., DictConfig]) -> None:
    import inspect

    import pytorch_lightning

    parameters = set(inspect.signature(pytorch_lightning.Trainer).parameters) - {"callbacks", "logger"}
    listed = set(map(str, composed().trainer)) - {"_target_"}
    assert listed <= parameters
    assert parameters - listed <= {"enable_autolog_hparams", "model_registry"}, "Lightning has new ones: list them"


@pytest.mark.parametrize("path", sorted(Path(ROOT, "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_sweep_files_compose_and_have_a_header(composed: Callable[..., DictConfig], path: Path) -> None:
    header = path.read_text().split("defaults:")[0]
    for line in (f"python train.py -cn {path.stem}", "Source: "):
        assert line in header, f"{path.name} must say, above its defaults, «{line}»"
    assert composed(name=path.stem).trainer.max_epochs > 0
