"""The images of a run are read from its configuration, and only if they are what was trained on."""

from pathlib import Path

import pytest
import yaml

from hybridnets.cli.images import read_images
from tests.predicting.test_codes import few


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


def test_nothing_is_downloaded(tmp_path: Path) -> None:
    data = {"_target_": "hybridnets.data.cifar10.load", "root": str(tmp_path), "mirrors": ["http://127.0.0.1:9/x"]}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"data": {"dataset": data}}))
    with pytest.raises(ValueError, match=r"CIFAR-10 is not in the folder") as error:
        read_images(tmp_path, {"data": {}}, users_code=False)
    assert "127.0.0.1" not in str(error.value)
    with pytest.raises(FileNotFoundError):
        read_images(tmp_path / "none", {"data": {}}, users_code=False)
