"""The images of a run are read from its configuration, and only if they are what was trained on."""

from pathlib import Path

import pytest
import yaml

from hybridnets.cli.images import LOADERS, read_images
from hybridnets.config import load_dataset
from hybridnets.data.dataset import ImageDataset
from tests.conftest import ROOT
from tests.data.conftest import pixels, save
from tests.data.file_server import serving
from tests.predicting.test_codes import few

CONF = ROOT / "conf" / "data"


@pytest.mark.parametrize(
    ("target", "users_code", "sha256", "is_read"),
    [
        ("tests.predicting.test_codes.few", True, few().sha256, True),
        ("tests.predicting.test_codes.few", False, few().sha256, False),
        ("tests.predicting.test_codes.few", True, "a" * 64, False),
    ],
)
def test_images_are_read_if_they_may_and_are_the_runs(
    target: str, users_code: bool, sha256: str, is_read: bool, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"data": {"dataset": {"_target_": target}}}))
    dataset = read_images(tmp_path, {"data": {"sha256": sha256}}, users_code=users_code)
    assert (dataset is not None) == is_read
    if dataset:
        assert dataset.sha256 == few().sha256


def config(folder: Path, **settings: object) -> Path:
    (folder / "config.yaml").write_text(yaml.safe_dump({"data": {"dataset": settings}}))
    return folder


def test_the_loaders_are_those_of_the_configuration() -> None:
    paths = sorted(CONF.glob("*.yaml"))
    assert len(paths) > 5
    assert {yaml.safe_load(path.read_text())["dataset"]["_target_"] for path in paths} == LOADERS


@pytest.mark.parametrize(
    "settings",
    [
        {"_target_": "hybridnets.data.decoders.os.system", "command": "touch ran"},
        {"_target_": "hybridnets.data.npz.load", "root": {"_target_": "os.system", "command": "touch ran"}},
        {"_target_": "hybridnets.data.npz.load", "root": [{"a": {"_target_": "os.system", "command": "touch ran"}}]},
    ],
)
def test_no_code_is_run_that_a_file_names(
    settings: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_images(config(tmp_path, **settings), {"data": {"sha256": "a" * 64}}, users_code=False) is None
    assert not Path("ran").exists()


@pytest.mark.parametrize("loader", ["cifar10.load", "cifar100.load", "mnist.load", "mnist.load_fashion", "svhn.load"])
def test_nothing_is_downloaded(loader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    target, root = f"hybridnets.data.{loader}", tmp_path / "images"
    with serving(b"no data set") as server:
        run = config(tmp_path, _target_=target, root=str(root), mirrors=[server.url("file")])
        with pytest.raises(ValueError, match=r"^\S+ is not in the folder \S+/images\S*( \S+)*$"):
            read_images(run, {"data": {}}, users_code=False)
        assert not server.requests
        assert not root.exists()
        with pytest.raises(ValueError, match="cannot be downloaded"):
            load_dataset({"_target_": target, "root": str(root), "mirrors": [server.url("file")]})
        assert server.requests


def test_no_folder_of_pictures_is_decoded(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        for i in range(4):
            save(tmp_path / "photos" / name / f"{i}.png", pixels(1)[0])
    settings = {"root": str(tmp_path / "photos"), "image_size": 4, "cache": str(tmp_path / "cache")}
    run = config(tmp_path, _target_="hybridnets.data.folder.load", **settings)
    with pytest.raises(ValueError, match="are not in the cache"):
        read_images(run, {"data": {}}, users_code=False)
    assert not (tmp_path / "cache").exists()
    sha256 = load_dataset({"_target_": "hybridnets.data.folder.load", **settings}).sha256
    dataset = read_images(run, {"data": {"sha256": sha256}}, users_code=False)
    assert dataset is not None
    assert dataset.sha256 == sha256


def test_the_hub_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    import huggingface_hub.constants

    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    settings = {"_target_": "hybridnets.data.huggingface.load", "path": "nobody/pets"}
    with serving({}) as server:
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", server.url("missing"))
        run = config(tmp_path, **settings)
        with pytest.raises(ValueError, match=r"data\.path=nobody/pets cannot be read on this machine alone"):
            read_images(run, {"data": {}}, users_code=False)
        assert not server.requests
        assert datasets.config.HF_HUB_OFFLINE is huggingface_hub.constants.HF_HUB_OFFLINE is False
        with pytest.raises(ValueError, match="give a name on the hub"):
            load_dataset(settings)
        assert server.requests


def test_a_loader_of_ones_own_is_asked_for_what_is_here(tmp_path: Path) -> None:
    run = config(tmp_path, _target_=f"{__name__}.own")
    with pytest.raises(ValueError, match="not here"):
        read_images(run, {"data": {}}, users_code=True)
    with pytest.raises(FileNotFoundError):
        read_images(tmp_path / "none", {"data": {}}, users_code=False)


def own(here_only: bool = False) -> ImageDataset:
    if here_only:
        raise ValueError("not here")
    return few()
