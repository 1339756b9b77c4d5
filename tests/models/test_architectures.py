"""The architectures compared with the paper's table 1 and with plain numpy."""

import functools
import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from hybridnets import models
from hybridnets.models import CNN, CRNN, ECNN, ECRNN, Classifier
from hybridnets.models.stages import AsSequence, EncoderDecoder, Features, Flatten
from hybridnets.models.summary import layers, table
from hybridnets.rnn import GRU, LSTM
from tests.conftest import ROOT

IMAGE = (3, 32, 32)
BILSTM = functools.partial(LSTM, bidirectional=True)

# Woo, Kim, Choi, table 1: output shape and Keras's parameter count of ECRNN BiLSTM, 1 layer, 16 nodes
TABLE_1 = [
    ("Input", (32, 32, 3), 0),
    ("Conv2D 3x3 stride 1 same", (32, 32, 32), 896),
    ("BatchNormalization", (32, 32, 32), 128),
    ("MaxPooling 2x2 stride 2", (16, 16, 32), 0),
    ("Conv2D 3x3 stride 1 same", (16, 16, 64), 18496),
    ("BatchNormalization", (16, 16, 64), 256),
    ("MaxPooling 2x2 stride 2", (8, 8, 64), 0),
    ("Conv2D 3x3 stride 1 same", (8, 8, 128), 73856),
    ("BatchNormalization", (8, 8, 128), 512),
    ("MaxPooling 2x2 stride 2", (4, 4, 128), 0),
    ("Conv2D 3x3 stride 1 same", (4, 4, 256), 295168),
    ("BatchNormalization", (4, 4, 256), 1024),
    ("MaxPooling 2x2 stride 2", (2, 2, 256), 0),
    ("Flatten", (1024,), 0),
    ("Dense", (512,), 524800),
    ("BatchNormalization", (512,), 2048),
    ("Dense", (256,), 131328),
    ("BatchNormalization", (256,), 1024),
    ("Dense", (512,), 131584),
    ("BatchNormalization", (512,), 2048),
    ("Dense", (1024,), 525312),
    ("BatchNormalization", (1024,), 4096),
    ("Reshape", (1024, 1), 0),
    ("BiLSTM", (32,), 2304),
    ("Dense", (10,), 330),
    ("Softmax", (10,), 0),
]


def test_ecrnn_is_table_1() -> None:
    rows = layers(ECRNN(IMAGE, 10, BILSTM), IMAGE)
    assert [(row.name, row.shape, row.keras) for row in rows] == TABLE_1
    assert sum(row.keras for row in rows) == 1_715_210
    assert table(rows).splitlines()[-1].split() == ["total", "1,715,210", "1,709,770"]


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (CNN(IMAGE, 10), 400_586),
        (CRNN(IMAGE, 10, BILSTM), 392_970),
        (ECNN(IMAGE, 10), 1_715_210 - 2304 - 330 + 10_250),
    ],
)
def test_keras_counts_of_the_other_models(model: Classifier, count: int) -> None:
    assert sum(row.keras for row in layers(model, IMAGE)) == count


def test_torch_counts_are_those_of_torch() -> None:
    model = ECRNN(IMAGE, 10, BILSTM)
    assert sum(row.torch for row in layers(model, IMAGE)) == sum(p.numel() for p in model.parameters())


def test_flatten_walks_channels_fastest() -> None:
    maps = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)  # B, C, H, W
    walked = [[maps[b, c, y, x] for y in range(4) for x in range(5) for c in range(3)] for b in range(2)]
    assert Flatten()(torch.from_numpy(maps)).tolist() == walked


def test_a_step_of_positions_is_the_vector_at_that_position() -> None:
    maps = torch.randn(2, 6, 3, 4)
    steps = AsSequence(72, "positions", 6, "natural", 0)(Flatten()(maps))
    assert steps.shape == (2, 12, 6)
    torch.testing.assert_close(steps[1, 4 * 2 + 3], maps[1, :, 2, 3])


def test_the_permuted_order_depends_on_its_seed_alone() -> None:
    flat = torch.arange(1024.0).expand(2, -1)
    torch.manual_seed(1)
    first = AsSequence(1024, "scalars", 256, "permuted", 7)(flat)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = AsSequence(1024, "scalars", 256, "permuted", 7)(flat)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first, second)
    assert not torch.equal(first, AsSequence(1024, "scalars", 256, "permuted", 8)(flat))
    assert not torch.equal(first[0, :, 0], flat[0])
    assert torch.equal(first[0, :, 0].sort().values, flat[0])


def test_batch_normalisation_is_that_of_keras() -> None:
    stage = EncoderDecoder(4, (3,), "none", batch_norm_momentum=0.99)
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    norm: Any = stage[2]
    dense = stage[0](x).detach().numpy()
    stage(x)
    mean, var = dense.mean(0), dense.var(0, ddof=1)
    np.testing.assert_allclose(norm.running_mean.numpy(), 0.01 * mean, rtol=1e-4)  # starts at 0 and keeps 99 %
    np.testing.assert_allclose(norm.running_var.numpy(), 0.99 + 0.01 * var, rtol=1e-4)
    expected = (dense - mean) / np.sqrt(dense.var(0) + 1e-3)
    np.testing.assert_allclose(norm(stage[0](x)).detach().numpy(), expected, rtol=1e-3, atol=1e-5)


def test_initialisation_is_glorot() -> None:
    second: Any = Features(IMAGE, (32, 64), "relu", 0.99)[4]
    dense: Any = EncoderDecoder(1024, (512,), "relu", 0.99)[0]
    for layer, fans in ((second, 9 * (32 + 64)), (dense, 1024 + 512)):
        limit = np.sqrt(6 / fans)
        assert 0.99 * limit < layer.weight.abs().max().item() <= limit * (1 + 1e-6)
        assert not layer.bias.any()


@pytest.mark.parametrize("layer", [LSTM, GRU])
def test_the_initialisation_of_torch(layer: type[LSTM | GRU]) -> None:
    def model(initialisation: Any) -> ECRNN:
        torch.manual_seed(0)
        return ECRNN(IMAGE, 10, layer, hidden_size=16, initialisation=initialisation)

    torchs: Any = model("torch")
    dense = torchs.encoder[0]
    for stage, fan_in in ((torchs.cnn[4], 9 * 32), (dense, 1024), (torchs.head, 16)):
        limit = fan_in**-0.5
        assert 0.8 * limit < stage.weight.abs().max().item() <= limit
        assert 0 < stage.bias.abs().max().item() <= limit
    assert 0.8 / 4 < torchs.rnn.weight_hh_l0.abs().max().item() <= 1 / 4
    assert torchs.rnn.bias_ih_l0.all()
    assert torchs.rnn.bias_hh_l0.any().item() is (layer is GRU)  # an LSTM's second bias stays at zero
    assert torchs.cnn[4].weight.is_contiguous(memory_format=torch.channels_last)
    keras: Any = model("keras")
    assert not keras.encoder[0].bias.any()
    torch.manual_seed(0)
    default = ECRNN(IMAGE, 10, layer, hidden_size=16)
    for name, tensor in default.state_dict().items():
        assert torch.equal(tensor, keras.state_dict()[name]), name
    with pytest.raises(ValueError, match=r"model\.initialisation must be keras or torch, got 'he'"):
        model("he")


def test_the_activation_comes_before_the_normalisation() -> None:
    features: Any = Features(IMAGE, (4,), "relu", 0.99)
    images = torch.randn(2, *IMAGE)
    assert (features[1](features[0](images)) >= 0).all()
    linear: Any = EncoderDecoder(8, (4,), "none", 0.99).eval()
    x, y = torch.randn(3, 8), torch.randn(3, 8)
    torch.testing.assert_close(linear(x) + linear(y), linear(x + y) + linear(torch.zeros(3, 8)))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"sequence": "words"}, "model.sequence must be scalars or positions, got 'words'"),
        ({"order": "sorted"}, "model.order must be natural or permuted, got 'sorted'"),
        ({"activation": "softmix"}, "model.activation must be one of relu, elu, gelu, tanh, none, got 'softmix'"),
        ({"channels": [8] * 6}, "model.channels must be at most 5 blocks for images of 32x32"),
        ({"rnn": {"_target_": "os.system"}}, "_target_ must name a torch module to build, got 'os.system'"),
    ],
)
def test_illegal_settings_are_refused_by_name(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        CRNN(IMAGE, 10, **{"rnn": BILSTM, **settings})


@pytest.mark.parametrize("path", sorted((ROOT / "conf" / "model").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_configuration_states_the_defaults_of_the_constructor(path: Path) -> None:
    settings: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    shared: Any = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "config.yaml"), resolve=False)
    parameters = inspect.signature(getattr(models, settings.pop("_target_").rpartition(".")[2])).parameters
    for key, value in settings.items():
        reference = re.fullmatch(r"\$\{(\w+)\}", str(value))
        if reference and reference[1] in shared:  # layers, nodes, and what models share
            assert parameters[key].default == shared[reference[1]], key
        elif not str(value).startswith("${"):
            default = parameters[key].default
            assert value == (list(default) if isinstance(default, tuple) else default), key
