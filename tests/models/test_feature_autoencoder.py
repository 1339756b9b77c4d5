"""The autoencoder between feature maps and classifier: the paper's layers, and a backbone that does not change."""

import functools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hybridnets.models import CNN, CRNN, ECRNN, Classifier, FeatureAutoencoder
from hybridnets.models.autoencoders import ConvolutionalAutoencoder, DenseAutoencoder, code_shape
from hybridnets.models.stages import EncoderDecoder
from hybridnets.models.summary import layers
from hybridnets.rnn import LSTM

IMAGE = (3, 32, 32)
PLAIN = ("relu", "none", "none")


def convolutions(module: nn.Module) -> list[tuple[str, int, int, tuple[int, ...]]]:
    kinds = nn.Conv2d | nn.ConvTranspose2d
    return [
        (type(layer).__name__, layer.in_channels, layer.out_channels, layer.kernel_size)
        for layer in module.modules()
        if isinstance(layer, kinds)
    ]


def test_the_papers_convolutions() -> None:
    """Go, Kwon, Kim, section 3, and what follows from it: 25,088 values become 3,200."""
    autoencoder = ConvolutionalAutoencoder((512, 7, 7), 128, *PLAIN)
    assert convolutions(autoencoder) == [
        ("Conv2d", 512, 256, (1, 1)),
        ("Conv2d", 256, 128, (1, 1)),
        ("Conv2d", 128, 128, (3, 3)),
        ("ConvTranspose2d", 128, 128, (3, 3)),
        ("ConvTranspose2d", 128, 256, (1, 1)),
        ("ConvTranspose2d", 256, 512, (1, 1)),
    ]
    code = autoencoder.encode(torch.randn(2, 512, 7, 7))
    assert code.shape == (2, 128, 5, 5)
    assert autoencoder.decode(code).shape == (2, 512, 7, 7)
    assert f"{1 - math.prod(autoencoder.code_shape) / (512 * 7 * 7):.1%}" == "87.2%"


def test_maps_smaller_than_the_kernel_keep_their_size() -> None:
    autoencoder = ConvolutionalAutoencoder((256, 2, 2), 32, *PLAIN)
    assert [kernel for *_, kernel in convolutions(autoencoder)] == [(1, 1), (1, 1), (2, 2), (2, 2), (1, 1), (1, 1)]
    assert autoencoder.encode(torch.randn(2, 256, 2, 2)).shape == (2, 32, 2, 2)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 6), st.integers(1, 6), st.integers(1, 9))
def test_decoded_maps_have_their_shape_and_depend_on_all_of_the_code(c: int, h: int, w: int, channels: int) -> None:
    autoencoder = ConvolutionalAutoencoder((c, h, w), channels, "none", "none", "none")
    maps = torch.randn(1, c, h, w)
    code = autoencoder.encode(maps).detach().requires_grad_()
    assert code.shape[1:] == autoencoder.code_shape == code_shape((c, h, w), channels)
    assert len({h - code.shape[2], w - code.shape[3]} - {0, 2}) == 0
    rebuilt = autoencoder.decode(code)
    assert rebuilt.shape == maps.shape
    (gradient,) = torch.autograd.grad(rebuilt.square().sum(), code)
    assert gradient.ne(0).all()


def test_decoding_mirrors_encoding() -> None:
    """With shared weights, decoding is the transpose of encoding, also where maps are padded and cut."""
    for shape in ((3, 2, 2), (3, 5, 4), (3, 1, 2)):
        autoencoder = ConvolutionalAutoencoder(shape, 3, "none", "none", "none")
        down, up = (
            [m for m in autoencoder.modules() if isinstance(m, kind)] for kind in (nn.Conv2d, nn.ConvTranspose2d)
        )
        for convolution, mirrored in zip(down, reversed(up), strict=True):
            mirrored.load_state_dict({"weight": convolution.weight, "bias": torch.zeros_like(mirrored.bias)})  # type: ignore[arg-type]
        maps, code = torch.randn(1, *shape), torch.randn(1, *autoencoder.code_shape)
        encoded, decoded = autoencoder.encode(maps), autoencoder.decode(code)
        torch.testing.assert_close((encoded * code).sum(), (maps * decoded).sum())


def test_the_dense_autoencoder_restores_the_order_of_the_maps() -> None:
    autoencoder = DenseAutoencoder((4, 2, 3), 24, (), "relu", "none", "none")
    dense: Any = [layer for layer in autoencoder.modules() if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in dense] == [(24, 24), (24, 24)]
    for layer in dense:
        nn.init.eye_(layer.weight)
    maps = torch.randn(2, 4, 2, 3)
    torch.testing.assert_close(autoencoder.decode(autoencoder.encode(maps)), maps, rtol=0, atol=0)
    hidden: Any = DenseAutoencoder((4, 2, 3), 5, (16, 8), "relu", "none", "none").dense
    assert [layer.out_features for layer in hidden if isinstance(layer, nn.Linear)] == [16, 8, 5, 8, 16, 24]
    assert [type(layer).__name__ for layer in hidden if not isinstance(layer, nn.Linear)] == [
        *("ReLU", "ReLU", "Identity", "ReLU", "ReLU", "Identity")
    ]


def test_the_first_papers_encoder_decoder_also_has_a_code() -> None:
    dense = EncoderDecoder(64, (32, 16, 32), "relu", 0.99).eval()
    flat = torch.randn(5, 64)
    code = dense.encode(flat)
    assert code.shape == (5, 16)
    assert torch.equal(dense.decode(code), dense(flat))


def test_the_codes_of_both_kinds_have_the_same_size() -> None:
    models = [FeatureAutoencoder(IMAGE, 10, CNN(IMAGE, 10), kind) for kind in ("cae", "sae")]
    facts = [model.facts({}) for model in models]
    assert [fact["code"]["shape"] for fact in facts] == [[32, 2, 2], [128]]
    for fact in facts:
        assert fact["maps"] == {"shape": [256, 2, 2], "numbers": 1024}
        assert {**fact["code"], "shape": 0} == {"shape": 0, "numbers": 128, "compression": 0.875, "bytes": 512}


@pytest.mark.parametrize("kind", ["cae", "sae"])
@pytest.mark.parametrize(
    "backbone",
    [CNN(IMAGE, 10), ECRNN(IMAGE, 10, functools.partial(LSTM, bidirectional=True), 2, dropout=0.5)],
    ids=lambda model: type(model).__name__,
)
def test_only_the_autoencoder_learns_and_no_bit_of_the_backbone_changes(backbone: Classifier, kind: str) -> None:
    model = FeatureAutoencoder(IMAGE, 10, backbone, kind, channels=8)
    model.train()
    assert model.autoencoder.training
    assert not any(module.training for module in model.backbone.modules())
    before = {name: tensor.clone() for name, tensor in model.backbone.state_dict().items()}
    optimizer = model.configure_optimizers()
    assert {id(p) for p in optimizer.param_groups[0]["params"]} == {id(p) for p in model.autoencoder.parameters()}
    images, labels = torch.randn(4, *IMAGE), torch.tensor([1, 2, 3, 4])
    maps = backbone.maps(images)
    rebuilt = model.decode(model.encode(maps))
    model.log = lambda *_, **__: None  # type: ignore[method-assign]
    loss = model.training_step((images, labels, labels), 0)
    torch.testing.assert_close(loss, (rebuilt - maps).square().mean())
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    assert all(p.grad is not None and p.grad.any() for p in model.autoencoder.parameters())
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    predictions = model.predict_step((images, labels, labels), 0)
    through = model.decode(model.encode(maps))
    torch.testing.assert_close(predictions["probabilities"], backbone.classify(through).softmax(1))
    assert torch.equal(predictions["before"], backbone(images).argmax(1))
    assert torch.equal(model(images), backbone.classify(through))


def test_its_summary_lists_the_backbone_and_the_autoencoder() -> None:
    backbone = ECRNN(IMAGE, 10, functools.partial(LSTM, bidirectional=True))
    backbone_rows = layers(backbone, IMAGE)
    model = FeatureAutoencoder(IMAGE, 10, backbone)
    rows = layers(model, IMAGE)
    assert sum(row.keras for row in backbone_rows) == 1_715_210
    added = [row for row in rows if row.stage == "autoencoder"]
    assert [row.shape for row in added] == [
        *((2, 2, 128), (2, 2, 32), (3, 3, 32), (2, 2, 32)),
        *((3, 3, 32), (2, 2, 32), (2, 2, 128), (2, 2, 256)),
    ]
    assert sum(row.keras for row in added) == sum(p.numel() for p in model.autoencoder.parameters())
    assert [row for row in rows if row.stage != "autoencoder"] == backbone_rows


class Opaque(Classifier):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"kind": "pca"}, "model.kind must be cae or sae, got 'pca'"),
        ({"hidden": [3]}, r"model.hidden must be \[\] for cae, whose layers are the paper's, got \[3\]"),
        ({"channels": 257}, "no larger than the 256 x 2 x 2 maps, 1,024 values, got 257, which gives 1,028"),
        (
            {"backbone": Opaque(10)},
            r"must be a run of a model that classifies feature maps \(B, C, H, W\), such as CNN or ECRNN, got one of Opaque",
        ),
        ({"backbone": {"_target_": "os.system"}}, "_target_ must name a torch module to build, got 'os.system'"),
    ],
)
def test_illegal_settings_are_refused_by_name(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        FeatureAutoencoder(IMAGE, 10, **{"backbone": CNN(IMAGE, 10), **arguments})


def test_hyper_parameters_are_plain_and_rebuild_the_model() -> None:
    backbone = CRNN(IMAGE, 10, functools.partial(LSTM, bidirectional=True), 3, channels=(4, 8))
    model = FeatureAutoencoder(IMAGE, 10, backbone, channels=2)
    checkpoint: dict[str, Any] = {}
    model.on_save_checkpoint(checkpoint)
    settings_ = checkpoint["hyper_parameters"]
    assert settings_["backbone"]["rnn"] == {"_target_": "hybridnets.rnn.LSTM", "bidirectional": True}
    again = FeatureAutoencoder(**settings_)
    again.load_state_dict(model.state_dict())
    images = torch.randn(2, *IMAGE)
    assert torch.equal(again.eval()(images), model.eval()(images))
