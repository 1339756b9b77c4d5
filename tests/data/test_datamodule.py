import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from hybridnets.data import digits
from hybridnets.data.datamodule import ImageDataModule, pixel_statistics
from hybridnets.data.dataset import DataError, ImageDataset, pixel_sums
from hybridnets.data.loader import Batch
from hybridnets.data.split import ORDER, SETTINGS, draw_fold, permutation
from tests.conftest import ROOT

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, size=(130, 3, 4, 4), dtype=np.uint8) // np.array([1, 2, 3], dtype=np.uint8)[:, None, None]
DATASET = ImageDataset(PIXELS[:100], np.arange(100) % 4, PIXELS[100:], np.arange(30) % 4, tuple("abcd"))


def module(**settings: Any) -> ImageDataModule:
    return ImageDataModule(DATASET, **{"split_seed": 0, "order_seed": 0, **settings})


@pytest.mark.parametrize("over", ["all", "train"])
@pytest.mark.parametrize("statistics", ["scalar", "channel"])
def test_standardisation_equals_numpys(statistics: str, over: str) -> None:
    data = module(standardize={"statistics": statistics, "over": over})
    images = DATASET.train_images if over == "all" else DATASET.train_images[data.split.train]
    axes = (0, 1, 2, 3) if statistics == "scalar" else (0, 2, 3)
    mean, std = (f(images.astype(np.float64), axis=axes, keepdims=True) for f in (np.mean, np.std))
    images = DATASET.train_images[:8]
    batch = (torch.from_numpy(images), torch.arange(8), torch.arange(8))
    standardized, labels, index = data.on_after_batch_transfer(batch, 0)
    assert standardized.dtype == torch.float32
    assert standardized.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(standardized, (images - mean) / std, rtol=1e-5, atol=1e-6)
    assert torch.equal(batch[0], torch.from_numpy(images))  # the shared images do not change
    assert labels is batch[1]
    assert index is batch[2]
    assert data.mean.shape == data.std.shape == (3, 1, 1)


def test_all_loaders_share_one_copy_of_the_images() -> None:
    data = module()
    assert data.train_dataloader().images.data_ptr() == DATASET.train_images.ctypes.data
    assert data.val_dataloader().images.data_ptr() == DATASET.train_images.ctypes.data
    assert data.train_dataloader().part is data.split.train
    assert [len(loader.part) for loader in data.predict_dataloader()] == [30, 30]


def test_images_in_a_file_are_mapped_and_give_the_same_batches_and_statistics(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", PIXELS)
    images = np.lib.format.open_memmap(tmp_path / "images.npy", mode="r")
    mapped = ImageDataset(images[:100], DATASET.train_labels, images[100:], DATASET.test_labels, DATASET.classes)
    for over in ("all", "train"):
        settings: Any = {"split_seed": 0, "order_seed": 0, "standardize": {"statistics": "channel", "over": over}}
        data, expected = (ImageDataModule(dataset, **settings) for dataset in (mapped, DATASET))
        assert torch.equal(data.mean, expected.mean)
        assert torch.equal(data.std, expected.std)
    loader = data.train_dataloader()
    assert loader.ahead
    assert not expected.train_dataloader().ahead
    assert loader.images.data_ptr() == images.ctypes.data
    for batch, other in zip(loader, expected.train_dataloader(), strict=True):
        assert all(map(torch.equal, batch, other))


@pytest.mark.parametrize("per_channel", [True, False])
def test_statistics_are_those_of_sums_over_all_pixels(per_channel: bool) -> None:
    """Bit for bit: a run's result depends on them."""
    total, squares = (PIXELS.astype(np.uint64) ** power for power in (1, 2))
    axes = (0, 2, 3) if per_channel else (0, 1, 2, 3)
    mean = total.sum(axis=axes) / (PIXELS.size / (3 if per_channel else 1))
    std = np.sqrt(squares.sum(axis=axes) / (PIXELS.size / (3 if per_channel else 1)) - mean**2)
    got = pixel_statistics(*pixel_sums(PIXELS), 16, per_channel=per_channel)
    for tensor, value in zip(got, (mean, std), strict=True):
        assert (tensor.flatten().numpy() == np.broadcast_to(value, 3).astype(np.float32)).all()


def test_split_and_order_have_separate_seeds() -> None:
    def order(data: ImageDataModule) -> list[int]:
        return [i for _, _, index in data.train_dataloader() for i in index.tolist()]

    first = module()
    reordered, resplit = module(order_seed=1), module(split_seed=1)
    assert reordered.split.sha256 == first.split.sha256 != resplit.split.sha256
    assert order(reordered) != order(first)
    assert sorted(order(reordered)) == sorted(order(first)) == first.split.train.tolist()


def test_the_split_seed_is_the_number_of_the_fold() -> None:
    folds = [module(split="kfold", folds=4, split_seed=seed) for seed in range(8)]
    for repetition in (folds[:4], folds[4:]):
        assert sorted(i for data in repetition for i in data.split.val.tolist()) == list(range(100))
    val = [i for _, _, index in folds[5].val_dataloader() for i in index.tolist()]
    assert val == folds[5].split.val.tolist() == draw_fold(100, 4, 5).val.tolist()
    # The fraction is not used, and neither the order nor the statistics of all images depend on the fold.
    assert module(split="kfold", folds=4, train_fraction=0.5).split.sha256 == folds[0].split.sha256
    assert torch.equal(folds[0].mean, folds[5].mean)
    with pytest.raises(DataError, match=r"data\.folds must be a whole number"):
        module(split="kfold")


def test_own_validation_part_is_used_where_the_fraction_is_null(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    own = replace(DATASET, val=np.arange(0, 100, 5))
    seeds = [
        ImageDataModule(own, split_seed=seed, order_seed=seed, train_fraction=None, batch_size=8) for seed in (0, 1)
    ]
    assert not caplog.messages
    assert seeds[0].split.sha256 == seeds[1].split.sha256
    for data in seeds:
        val = [i for _, _, index in data.val_dataloader() for i in index.tolist()]
        assert val == list(range(0, 100, 5))
    first, second = ([i for _, _, index in data.train_dataloader() for i in index.tolist()] for data in seeds)
    assert first != second
    assert sorted(first) == sorted(second) == [i for i in range(100) if i % 5]
    # A fraction divides the whole pool, as of a data set without such a part, and the log says so.
    assert ImageDataModule(own, split_seed=0, order_seed=0).split.sha256 == module().split.sha256
    (message,) = caplog.messages
    assert message == (
        "the data set's own validation part of 20 images is split anew with its training images; "
        "data.train_fraction=null keeps it"
    )
    with pytest.raises(DataError, match=r"data\.train_fraction must be a number such as 0\.7"):
        module(train_fraction=None)


def test_stratified_parts_keep_the_shares_of_the_classes() -> None:
    for settings, train in (({"train_fraction": 0.6}, 15), ({"split": "kfold", "folds": 5}, 20)):
        data = module(stratify=True, **settings)
        counts = [np.bincount(DATASET.train_labels[part]).tolist() for part in (data.split.train, data.split.val)]
        assert counts == [[train] * 4, [25 - train] * 4]


def test_its_settings_are_listed_for_who_may_not_import_torch() -> None:
    assert set(inspect.signature(ImageDataModule).parameters) == {"dataset", "split_seed", "order_seed", *SETTINGS}


def test_a_checkpoint_of_other_data_is_refused(tmp_path: Path) -> None:
    data = module()
    torch.save(data.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["classes"] == ["a", "b", "c", "d"]
    data.load_state_dict(state)
    with pytest.raises(DataError, match="trained on data with"):
        module(standardize={"statistics": "channel", "over": "all"}).load_state_dict(state)


def test_settings_are_checked_and_equal_pixels_refused() -> None:
    with pytest.raises(DataError, match=r"data\.batch_size .* 70 images .* got 71"):
        module(batch_size=71)
    flat = np.full_like(PIXELS, 77)
    with pytest.raises(DataError, match=r"data\.standardize"):
        ImageDataModule(
            ImageDataset(flat, np.zeros(130, dtype=np.int64), flat, np.zeros(130, dtype=np.int64), ("a", "b")),
            split_seed=0,
            order_seed=0,
        )


@pytest.mark.parametrize("path", sorted((ROOT / "conf" / "data").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_configuration_states_the_defaults_of_the_constructor(path: Path) -> None:
    settings: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    for key, parameter in inspect.signature(ImageDataModule).parameters.items():
        if parameter.default is not inspect.Parameter.empty:
            assert settings[key] == parameter.default, key


class Watcher(pl.LightningModule):
    """Trains a little and records the images of every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(48, 4)
        self.indices: dict[str, list[int]] = {}

    def step(self, batch: Batch, name: str) -> Tensor:
        images, labels, index = batch
        self.indices.setdefault(f"{name} {self.current_epoch}", []).extend(index.tolist())
        loss = nn.functional.cross_entropy(self.layer(images.flatten(1)), labels)
        self.log(f"{name}/loss", loss)
        return loss

    def training_step(self, batch: Batch, _: int) -> Tensor:
        return self.step(batch, "train")

    def validation_step(self, batch: Batch, _: int) -> None:
        self.step(batch, "val")

    def predict_step(self, batch: Batch, _: int, dataloader_idx: int = 0) -> Tensor:
        self.indices.setdefault(f"predict {dataloader_idx}", []).extend(batch[2].tolist())
        return self.layer(batch[0].flatten(1))  # type: ignore[no-any-return]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")  # Lightning 2.6 on torch 2.13
@pytest.mark.filterwarnings("ignore:The `srun` command is available")  # if it is installed
def test_lightning_sets_the_epoch_of_a_resumed_run_too(tmp_path: Path) -> None:
    def trainer(epochs: int) -> pl.Trainer:
        return pl.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
            default_root_dir=tmp_path,
        )

    uninterrupted, cut, resumed = Watcher(), Watcher(), Watcher()
    trainer(3).fit(uninterrupted, module())
    first = trainer(2)
    first.fit(cut, module())
    first.save_checkpoint(tmp_path / "cut.ckpt")
    last = trainer(3)
    last.fit(resumed, module(), ckpt_path=tmp_path / "cut.ckpt", weights_only=True)

    train = module().split.train
    for epoch in range(3):
        assert uninterrupted.indices[f"train {epoch}"] == train[permutation(len(train), ORDER, 0, epoch)].tolist()
    assert resumed.indices["train 2"] == uninterrupted.indices["train 2"]
    assert resumed.indices.keys().isdisjoint({"train 0", "train 1"})
    assert uninterrupted.indices["val 2"] == module().split.val.tolist()
    last.predict(resumed, module())
    assert resumed.indices["predict 0"] == module().split.val.tolist()
    assert resumed.indices["predict 1"] == list(range(30))


def test_digits_are_those_of_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.datasets")
    data = digits.load()
    assert data.train_images.shape == (1_500, 3, 32, 32)
    assert data.test_images.shape == (297, 3, 32, 32)
    assert data.train_images.min() == 0
    assert data.train_images.max() == 255
    # Every scan occurs once, with its label.
    bunch = sklearn.load_digits()
    scans = {
        np.round(image[0, ::4, ::4] / 255 * 16).astype(int).tobytes(): int(label)
        for images, labels in ((data.train_images, data.train_labels), (data.test_images, data.test_labels))
        for image, label in zip(images, labels, strict=True)
    }
    assert scans == {
        image.astype(int).tobytes(): int(label) for image, label in zip(bunch.images, bunch.target, strict=True)
    }
    for images in (data.train_images, data.test_images):
        assert (images == images[:, :1, ::4, ::4].repeat(4, axis=2).repeat(4, axis=3)).all()
    assert data.sha256 == digits.load().sha256
    assert np.bincount(data.test_labels).min() > 15


@pytest.mark.parametrize("size", [8, 16, 64])
def test_digits_of_another_size_are_the_same_digits(size: int) -> None:
    pytest.importorskip("sklearn")
    usual, data = digits.load(), digits.load(size)
    for part in ("train", "test"):
        images = getattr(data, f"{part}_images")
        assert images.shape[1:] == (3, size, size)
        scans = getattr(usual, f"{part}_images")[:, :, ::4, ::4]
        factor = size // 8
        np.testing.assert_array_equal(images, scans.repeat(factor, axis=2).repeat(factor, axis=3))
        np.testing.assert_array_equal(getattr(data, f"{part}_labels"), getattr(usual, f"{part}_labels"))
    assert data.sha256 != usual.sha256  # so that the identity differs, too


@pytest.mark.parametrize("size", [0, 12, 264, 16.0, "16", True])
def test_digits_of_an_odd_size_are_refused(size: Any) -> None:
    with pytest.raises(DataError, match=r"data\.dataset\.size must be a multiple of 8 from 8 to 256, got "):
        digits.load(size)


def test_without_scikit_learn_the_message_has_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "find_spec", lambda _: None)
    with pytest.raises(DataError, match=r"pip install 'hybridnets\[demo\]'"):
        digits.load()


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [
        ("cat", r"classes must be a tuple of names, such as \('cat', 'dog'\), got 'cat'"),  # a forgotten comma
        ({"a", "b"}, "classes must be a tuple of names"),  # in an order that differs from process to process
        ((0, 1), r"classes must be a tuple of names, .* got \(0, 1\)"),
        ((), r"classes must be a tuple of names, .* got \(\)"),
        (None, "classes must be a tuple of names, .* got None"),
        (("a",), r"classes must be at least two, because a network learns to tell them apart, got \('a',\)"),
        (("a", "a"), r"classes must be different names, got \('a', 'a'\)"),
    ],
)
def test_classes_are_different_names_in_an_order(classes: Any, sentence: str) -> None:
    images, labels = np.zeros((2, 1, 4, 4), np.uint8), np.array([0, 1])
    with pytest.raises(DataError, match=sentence):
        ImageDataset(images, labels, images, labels, classes)


def test_a_channel_of_equal_pixels_is_named() -> None:
    images = np.concatenate([PIXELS[:, :1], np.zeros_like(PIXELS[:, :1])], axis=1)
    dataset = ImageDataset(images, np.zeros(130, dtype=np.int64), images, np.zeros(130, dtype=np.int64), ("a", "b"))
    settings: Any = {"split_seed": 0, "order_seed": 0}
    with pytest.raises(
        DataError, match=r"channel 1 of 2 is the same in all pixels: data\.standardize\.statistics=scalar"
    ):
        ImageDataModule(dataset, **settings, standardize={"statistics": "channel", "over": "all"})
    ImageDataModule(dataset, **settings, standardize={"statistics": "scalar", "over": "all"})
