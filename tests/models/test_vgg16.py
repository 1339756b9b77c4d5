"""VGG16 compared with the published counts and with plain functions of torch, and given files that do not fit."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from torch import Tensor

import hybridnets
from hybridnets.config import resolve
from hybridnets.data.dataset import ImageDataset
from hybridnets.models import VGG16
from hybridnets.models.summary import Layer, layers
from tests.conftest import Said

IMAGE = (3, 32, 32)
# Parameters of each layer with 1,000 classes at 224 x 224, by the sizes in Simonyan and Zisserman's table 1
PUBLISHED = [
    *(1_792, 36_928, 73_856, 147_584, 295_168, 590_080, 590_080),
    *(1_180_160, 2_359_808, 2_359_808, 2_359_808, 2_359_808, 2_359_808),
    *(102_764_544, 16_781_312, 4_097_000),
]


def rows(classes: int, **settings: Any) -> list[Layer]:
    with torch.device("meta"):  # shapes and counts without half a gigabyte
        return layers(VGG16(IMAGE, classes, **settings), IMAGE)


def small(**settings: Any) -> VGG16:
    return VGG16(IMAGE, 10, **{"image_size": None, "dense": (8, 8), **settings}).eval()


def few() -> ImageDataset:
    """Enough images for one step, so that a run with the published convolutions takes seconds."""
    images = np.random.default_rng(0).integers(0, 256, size=(24, *IMAGE), dtype=np.uint8)
    labels = np.arange(24, dtype=np.int64) % 10
    return ImageDataset(images[:16], labels[:16], images[16:], labels[16:], tuple("0123456789"))


def test_layers_and_counts_are_as_published() -> None:
    table = rows(1000)
    assert [row.torch for row in table if row.torch] == PUBLISHED
    assert sum(row.torch for row in table) == sum(row.keras for row in table) == 138_357_544
    names = [row.name.split()[0] for row in table]
    block = ["Conv2D", "Conv2D", "MaxPooling"]
    longer = ["Conv2D", *block]
    head = ["Flatten", "Dense", "Dense", "Dense", "Softmax"]
    assert names == ["Input", "Resizing", *block, *block, *longer, *longer, *longer, *head]
    assert [row.shape for row in table if row.name in ("Resizing", "Flatten")] == [(224, 224, 3), (25_088,)]
    assert [row.shape[0] for row in table if row.name.startswith("MaxPooling")] == [112, 56, 28, 14, 7]
    assert sum(row.torch for row in rows(10)) == 134_301_514


def test_images_of_the_requested_size_are_not_enlarged() -> None:
    table = rows(10, image_size=None)
    assert [row.shape for row in table if row.name in ("Resizing", "Flatten")] == [(512,)]
    assert table == rows(10, image_size=32)


def test_a_torchvision_file_gives_torchvisions_logits(tmp_path: Path) -> None:
    """At 64 x 64 the maps are 512 x 2 x 2, so that the order in which they are flattened matters."""
    torch.manual_seed(0)
    weights: dict[str, Tensor] = {}
    wide = 3
    convolutions = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # indices in torchvision's Sequential
    for number, out in zip(convolutions, (64, 64, 128, 128, *[256] * 3, *[512] * 6), strict=True):
        weights[f"features.{number}.weight"] = torch.randn(out, wide, 3, 3) * (2 / (9 * wide)) ** 0.5
        weights[f"features.{number}.bias"] = torch.randn(out) / 10
        wide = out
    for number, (out, wide) in zip((0, 3, 6), ((8, 2048), (8, 8), (10, 8)), strict=True):
        weights[f"classifier.{number}.weight"] = torch.randn(out, wide) / wide**0.5
        weights[f"classifier.{number}.bias"] = torch.randn(out)
    torch.save(weights, tmp_path / "new.pth")
    torch.save(weights, tmp_path / "old.pth", _use_new_zipfile_serialization=False)  # as the published file was made

    images = torch.randn(2, *IMAGE)
    maps = F.interpolate(images, size=(64, 64), mode="bilinear", align_corners=False, antialias=False)
    for number in convolutions:
        maps = F.conv2d(
            maps, weights[f"features.{number}.weight"], weights[f"features.{number}.bias"], padding=1
        ).relu()
        if number in (2, 7, 14, 21, 28):
            maps = F.max_pool2d(maps, 2)
    flat = torch.stack([torch.cat([channel.ravel() for channel in image]) for image in maps])
    for number in (0, 3, 6):
        flat = F.linear(flat, weights[f"classifier.{number}.weight"], weights[f"classifier.{number}.bias"])
        flat = flat if number == 6 else flat.relu()

    for name in ("new.pth", "old.pth"):
        model = small(image_size=64, weights=str(tmp_path / name))
        assert list(model.state_dict()) == list(weights)
        assert model.maps(images).shape == (2, 512, 2, 2)
        torch.testing.assert_close(model(images), flat, rtol=1e-4, atol=1e-4)


def test_a_large_batch_is_evaluated_in_parts() -> None:
    torch.manual_seed(0)
    model, images, sizes = small(image_size=64), torch.randn(5, *IMAGE), []
    assert model.batch_limit == 64 * 224**2 // 64**2
    model.batch_limit = 2
    model.features[0].register_forward_hook(lambda *call: sizes.append(len(call[2])))
    logits = model(images)
    with torch.no_grad():
        torch.testing.assert_close(model(images), logits)
    assert sizes == [5, 2, 2, 1]


class Code:
    def __reduce__(self) -> Any:
        return os.mkdir, ("executed",)


def test_weights_that_do_not_fit_are_refused_with_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with torch.device("meta"):
        fitting = small().state_dict()
    fitting = {
        key: torch.zeros(1).expand(tensor.shape) for key, tensor in fitting.items()
    }  # one value each on the disk

    def refused(content: Any, **settings: Any) -> str:
        if isinstance(content, bytes):
            Path("file").write_bytes(content)
        elif content is not None:
            torch.save(content, "file")
        with pytest.raises(ValueError, match=r"^model\.weights ") as refusal:
            small(weights="file", **settings)
        return str(refusal.value).removeprefix("model.weights must ")

    assert refused(None) == "model.weights not found: file"
    by_name = "be a file of tensors by name, as torch.save writes a state_dict, got file"
    assert refused(b"") == f"{by_name} (EOFError)"
    assert refused(b"no weights") == f"{by_name} (UnpicklingError)"
    assert refused(pickle.dumps({"features.0.weight": Code()})) == f"{by_name} (UnpicklingError)"
    assert refused({"features.0.weight": Code()}) == f"{by_name} (UnpicklingError)"
    assert not Path("executed").exists()
    assert refused([torch.zeros(3)]) == f"{by_name} with a list"
    assert refused({"epoch": 3, "state_dict": fitting}) == f"{by_name} with other types at epoch, state_dict (2 in all)"
    bn = {key.replace("features.2.", "features.3."): tensor for key, tensor in fitting.items()}
    assert refused(bn) == (
        "hold VGG16's 32 tensors and no others, got file, which lacks features.2.weight, features.2.bias (2 in all) "
        "and also has features.3.weight, features.3.bias (2 in all)"
    )
    assert "which lacks features.0.weight, features.0.bias, features.2.weight ... (32 in all)" in refused({})
    assert refused({**fitting, "more": torch.zeros(1)}).endswith("which also has more (1 in all)")
    thousand = {"classifier.6.weight": torch.zeros(1000, 8), "classifier.6.bias": torch.zeros(1000)}
    assert refused({**fitting, **thousand}) == (
        "fit the model, got file, whose classifier.6.weight is 1000x8 instead of 10x8 (2 of 32 do not fit): "
        "use a file made for 10 classes, 3x32x32 images and model.dense=[8, 8]"
    )
    assert "whose classifier.0.weight is 8x512 instead of 8x2048 (1 of 32" in refused(fitting, image_size=64)


def test_three_steps_at_32_reduce_the_loss() -> None:
    torch.manual_seed(0)
    images, labels = torch.randn(8, *IMAGE), torch.arange(8)
    model = small(dense=(64, 64), dropout=0.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)  # the paper's
    losses = []
    for _ in range(4):
        losses.append(F.cross_entropy(model(images), labels))
        optimizer.zero_grad()
        losses[-1].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert losses[0] > losses[1] > losses[2] > losses[3]


@pytest.mark.parametrize("size", [(1, 28, 28), (3, 40, 20)])
def test_images_too_small_for_five_poolings_are_refused(size: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=rf"model\.image_size must be at least 32, .* got {size[1]}x{size[2]}"):
        VGG16(size, 10, image_size=None)
    with torch.device("meta"):
        assert layers(VGG16(size, 10, image_size=64), size)[-1].shape == (10,)


def test_images_are_not_made_smaller() -> None:
    with pytest.raises(
        ValueError, match=r"model\.image_size must be null or at least that of the images, 64x48, got 48"
    ):
        VGG16((3, 64, 48), 10, image_size=48)


def test_a_run_starts_from_a_weights_file_and_loads_without_it(command: Callable[..., Said], tmp_path: Path) -> None:
    words = (
        *("data=digits", "data.name=few", f"data.dataset._target_={__name__}.few", "data.batch_size=4"),
        *("model=vgg16", "model.image_size=null", "model.dense=[8,8]", "optimizer.lr=1e-6"),
        *("trainer.max_epochs=1", "trainer.limit_train_batches=1"),
    )
    torch.manual_seed(0)
    before = small()
    torch.save(before.state_dict(), "weights.pth")
    output = command(*words, "model.weights=weights.pth")
    assert output.code == 0, output.err
    Path("weights.pth").rename("moved.pth")
    assert "is finished already" in command(*words, "model.weights=moved.pth").out  # the same content is the same run
    Path("moved.pth").unlink()
    (folder,) = tmp_path.glob("runs/few/vgg16/*")
    after = hybridnets.load(folder)
    for initial, trained in zip(before.parameters(), after.model.parameters(), strict=True):
        torch.testing.assert_close(initial, trained, rtol=0, atol=1e-5)  # one step away from the file
    with np.load(folder / "predictions.npz") as stored:
        images = few().test_images[stored["test_index"]]
        np.testing.assert_allclose(after.predict(images).numpy(), stored["test_probabilities"], rtol=1e-4)


def test_the_content_of_a_weights_file_is_part_of_the_identity(
    composed: Callable[..., DictConfig], tmp_path: Path
) -> None:
    def digest(*words: str) -> str:
        return resolve(composed("data=digits", "model=vgg16", *words)).run.hash

    for name, content in (("first", b"1"), ("same", b"1"), ("second", b"2")):
        (tmp_path / name).write_bytes(content)
    first, same, second = (digest(f"model.weights={tmp_path / name}") for name in ("first", "same", "second"))
    assert first == same
    assert len({first, second, digest()}) == 3
    assert "weights" not in resolve(composed("data=digits", "model=vgg16")).run.identity["model"]
    (tmp_path / "first").write_bytes(b"2")  # a change within the same process is noticed
    assert digest(f"model.weights={tmp_path / 'first'}") == second
