"""A file is replaced as a whole, or stays as it was."""

import errno
import os
from pathlib import Path

import pytest

from hybridnets.runs.files import ForbiddenError, replacing


def test_a_link_keeps_leading_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "target.csv", tmp_path / "link.csv"
    target.write_text("old", encoding="utf-8")
    link.symlink_to(target)
    with replacing(link) as path:
        path.write_text("new", encoding="utf-8")
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8") == "new"
    assert sorted(tmp_path.rglob("*.csv")) == [target, link]


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    """As root, a rename could put a file in the place of /dev/null."""
    os.mkfifo(tmp_path / "pipe")
    with (
        pytest.raises(ForbiddenError, match="pipe must be a plain file, because it is replaced"),
        replacing(tmp_path / "pipe") as path,
    ):
        path.touch()
    assert [entry.name for entry in tmp_path.iterdir()] == ["pipe"]
    assert not (tmp_path / "pipe").is_file()


def test_a_write_that_fails_names_its_file_and_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")

    def fill_the_disk() -> None:
        with replacing(target) as path:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=r"a\.bin") as caught:
        fill_the_disk()
    assert caught.value.filename == str(target)
    assert target.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]
