"""Every model builds and trains for images of any height and width, or says in one sentence what would do."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from omegaconf import DictConfig

from hybridnets.config import resolve
from hybridnets.config.build import build_model
from hybridnets.models import CNN, VGG16
from hybridnets.models.stages import Features
from hybridnets.models.summary import layers

SHAPES = [(1, 28, 28), (3, 64, 48), (3, 33, 47), (4, 16, 50), (3, 96, 96), (3, 224, 224)]
NARROW = "model.channels=[4,4,4,8]"
DENSE = "model.dense=[8,4,8]"
MODELS: dict[str, tuple[str, ...]] = {
    "cnn": (NARROW,),
    "ecnn": (NARROW, DENSE),
    **{
        f"crnn {sequence} {order}": (NARROW, f"model.sequence={sequence}", f"model.order={order}", "nodes=3")
        for sequence in ("scalars", "positions")
        for order in ("natural", "permuted")
    },
    "crnn torch": (NARROW, "rnn.backend=torch", "model.sequence=positions", "nodes=3", "layers=2"),
    "ecrnn": (NARROW, DENSE, "nodes=3"),
    "ecrnn positions": (NARROW, DENSE, "model.sequence=positions", "nodes=3"),
    "feature_autoencoder cae": ("model.channels=4",),
    "feature_autoencoder sae": ("model.channels=4", "model.kind=sae"),
    "vgg16": ("model.image_size=null", "model.dense=[8]"),
}


def built(composed: Callable[..., DictConfig], name: str, shape: tuple[int, int, int]) -> Any:
    cfg = composed("data=digits", f"model={name.split()[0]}", *MODELS[name])
    if "backbone" in cfg.model:
        cfg.backbone = composed("data=digits", "model=cnn", NARROW)
    torch.manual_seed(0)
    return build_model(resolve(cfg), shape, 10, is_rehearsal=True)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
@pytest.mark.parametrize("name", MODELS)
def test_a_model_trains_a_step(composed: Callable[..., DictConfig], name: str, shape: tuple[int, int, int]) -> None:
    if name == "vgg16" and min(shape[1:]) < 32:
        with pytest.raises(
            ValueError, match=r"^model\.image_size must be at least 32, which 5 poolings halve to 1, got "
        ):
            built(composed, name, shape)
        return
    model = built(composed, name, shape)
    rows = layers(model, shape)
    assert rows[0].shape == (*shape[1:], shape[0])
    assert rows[-1].shape == (10,)
    before = [parameter.detach().clone() for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01)
    images = torch.randn(2, *shape).contiguous(memory_format=torch.channels_last)
    loss = model.train().training_step((images, torch.tensor([1, 7]), torch.tensor([0, 1])), 0)
    assert loss.isfinite()
    loss.backward()
    optimizer.step()
    after = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert all(parameter.isfinite().all() for parameter in after)
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_maps_are_as_high_and_wide_as_halving_makes_them() -> None:
    features = Features((3, 33, 47), (2, 3), "relu", 0.9)
    assert features.maps(torch.randn(2, 3, 33, 47)).shape == (2, 3, 8, 11)
    assert (features.positions, features.size) == (88, 264)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 33, 47), (2, 9, 50), (3, 2, 3)])
def test_the_kernels_agree_with_torch_at_odd_sizes(shape: tuple[int, int, int]) -> None:
    pytest.importorskip("numba")
    channels = (5, 4)[: 1 if min(shape[1:]) < 4 else 2]
    torch.manual_seed(0)
    features = Features(shape, channels, "relu", 0.9)
    images = torch.randn(3, *shape)
    weights = torch.randn(3, features.size)
    reference = Features(shape, channels, "relu", 0.9).double()
    reference.load_state_dict(features.state_dict())
    reference.backend = "torch"
    results = []
    for module in (reference, features):
        dtype = next(module.parameters()).dtype
        output = module.train()(images.to(dtype).contiguous(memory_format=torch.channels_last))
        (output * weights.to(dtype)).sum().backward()
        results.append([output.detach(), *(parameter.grad for parameter in module.parameters())])
    for exact, kernels in zip(*results, strict=True):
        torch.testing.assert_close(kernels.double(), exact, rtol=1e-3, atol=1e-3 * exact.abs().max().item())


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: CNN((3, 8, 50), 10),
            "model.channels must be at most 3 blocks for images of 8x50, as each block halves them, got 4 (which images of "
            "16x16 or more admit)",
        ),
        (
            lambda: CNN((3, 1, 50), 10),
            "images must be at least 2x2 for model.channels, whose blocks each halve them, got 1x50",
        ),
        (
            lambda: VGG16((3, 31, 64), 10, image_size=None),
            "model.image_size must be at least 32, which 5 poolings halve to 1, got 31x64",
        ),
        (
            lambda: VGG16((3, 100, 260), 10),
            "model.image_size must be null or at least that of the images, 100x260, got 224",
        ),
    ],
)
def test_what_is_too_small_says_what_would_do(make: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(ValueError, match="model") as error:
        make()
    assert str(error.value) == sentence
