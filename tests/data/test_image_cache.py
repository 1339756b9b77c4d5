"""Pictures are decoded once, whoever asks at the same time and whoever is killed; what is damaged is made again."""

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hybridnets.data import decoding, folder, image_cache
from hybridnets.data.dataset import DataError, ImageDataset
from hybridnets.data.decoders import Decoders
from hybridnets.data.decoding import Form
from hybridnets.data.folder import load
from hybridnets.data.image_cache import FACTS, HEAD, PIXELS

RNG = np.random.default_rng(1)


def save_photos(root: Path, n: int, size: int = 8) -> None:
    """n pictures in each of two classes of test, and as many more in train."""
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (root / part / name).mkdir(parents=True)
            for i in range(n):
                Image.fromarray(RNG.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(
                    root / part / name / f"{i}.png"
                )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    save_photos(tmp_path / "photos", 4)
    return tmp_path / "photos"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many files were decoded, each time that some were."""
    counts: list[int] = []
    pixels = Decoders.pixels

    def counted(self: Decoders, paths: Any) -> Any:
        paths = list(paths)
        counts.append(len(paths))
        return pixels(self, paths)

    monkeypatch.setattr(Decoders, "pixels", counted)
    return counts


def read(root: Path, **settings: Any) -> ImageDataset:
    return load(root, 8, cache=root.parent / "cache", **settings)


def entry(root: Path) -> Path:
    (folder,) = (root.parent / "cache").glob("images-*")
    return folder


def test_a_changed_file_is_noticed_and_everything_else_decoded_once(photos: Path, decoded: list[int]) -> None:
    content = read(photos).sha256
    assert decoded == [16]
    path = photos / "train" / "cat" / "0.png"
    original = path.read_bytes()
    before = path.stat()
    path.touch()  # the content is what counts
    assert read(photos).sha256 == content
    assert decoded == [16]
    # Another content of the same size, with the times set back: the time of the change cannot be set.
    changed = Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    changed.save(path)
    with path.open("ab") as file:
        file.write(bytes(max(0, len(original) - path.stat().st_size)))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert read(photos).sha256 != content
    assert decoded == [16, 16]
    path.write_bytes(original)
    assert read(photos).sha256 == content
    assert decoded == [16, 16]
    (photos / "train" / "cat" / "1.png").rename(photos / "train" / "cat" / "new.png")
    shutil.copytree(photos, photos.with_name("copied"))
    assert read(photos).sha256 == read(photos.with_name("copied")).sha256 == content
    assert decoded == [16, 16]
    read(photos, channels=1)
    assert decoded == [16, 16, 16]


def truncate_pixels(folder: Path) -> None:
    os.truncate(folder / PIXELS, (folder / PIXELS).stat().st_size - 1)


def lengthen_pixels(folder: Path) -> None:
    with (folder / PIXELS).open("ab") as file:
        file.write(b"0")


def zero_pixels(folder: Path) -> None:
    size = (folder / PIXELS).stat().st_size
    os.truncate(folder / PIXELS, HEAD)
    os.truncate(folder / PIXELS, size)


def foreign_pixels(folder: Path) -> None:
    np.save(folder / PIXELS, np.zeros((16, 8, 8)))


def other_shape(folder: Path) -> None:
    np.save(folder / PIXELS, np.load(folder / PIXELS).reshape(16, 1, 8, 24))


def truncate_facts(folder: Path) -> None:
    os.truncate(folder / FACTS, 1000)


def foreign_facts(folder: Path) -> None:
    np.savez(folder / FACTS, labels=np.zeros(3))


def text_facts(folder: Path) -> None:
    (folder / FACTS).write_text("none")


def no_facts(folder: Path) -> None:
    (folder / FACTS).unlink()


@pytest.mark.parametrize(
    "damage",
    [
        *(truncate_pixels, lengthen_pixels, zero_pixels, foreign_pixels, other_shape),
        *(truncate_facts, foreign_facts, text_facts, no_facts),
    ],
)
def test_what_is_damaged_is_made_again(damage: Callable[[Path], None], photos: Path, decoded: list[int]) -> None:
    content = read(photos).sha256
    damage(entry(photos))
    data = read(photos)
    assert decoded == [16, 16]
    assert data.sha256 == content
    assert (
        ImageDataset(data.train_images, data.train_labels, data.test_images, data.test_labels, data.classes).sha256
        == content
    )


@pytest.mark.parametrize("content", ["", "[]", '{"version": 1, "files": {"a": 1}}', '{"version": 0, "files": {}}'])
def test_a_damaged_list_of_files_is_made_again(content: str, photos: Path, decoded: list[int]) -> None:
    before = read(photos).sha256
    (path,) = (photos.parent / "cache").glob("files-*.json")
    path.write_text(content)
    assert read(photos).sha256 == before
    assert json.loads(path.read_text())["version"] == image_cache.VERSION
    assert decoded == [16]


def test_of_another_version_nothing_is_used(photos: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    content = read(photos).sha256
    monkeypatch.setattr(image_cache, "VERSION", 2)
    assert read(photos).sha256 == content
    assert decoded == [16, 16]


def test_pictures_are_decoded_once_though_others_are_refused(photos: Path, decoded: list[int]) -> None:
    (photos / "train" / "cat" / "none.png").write_bytes(b"none")
    for _ in range(2):
        with pytest.raises(DataError, match=r"none\.png"):
            read(photos)
    (photos / "train" / "cat" / "none.png").unlink()
    assert len(read(photos).train_images) == 8
    assert decoded == [17]


def test_a_file_that_cannot_be_read_now_is_tried_again(
    photos: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that fails, or where memory is short: whoever skips broken files must not lose a sound one."""
    answers = {"hashes": ("Input/output error", []), "pixels": ("memory is short", [16])}
    for name, (reason, counts) in answers.items():
        original = getattr(Decoders, name)

        def failing(self: Decoders, paths: Any, original: Any = original, reason: str = reason) -> Any:
            paths = list(paths)
            for place, fact in original(self, paths):
                yield place, {"unread": reason} if paths[place].endswith("dog/1.png") else fact

        with monkeypatch.context() as patch:
            patch.setattr(Decoders, name, failing)
            for _ in range(2):
                with pytest.raises(
                    DataError, match=rf"[12] of \d+ files that could not be read now: test/dog/1.png \({reason}\)"
                ):
                    read(photos, skip_broken=True)
        assert decoded == counts * 2
    assert len(read(photos, skip_broken=True).train_images) == 8


def test_a_process_tells_what_may_pass_from_what_follows_from_the_content(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    paths = [str(tmp_path / name) for name in ("none.png", "text.png")]
    with Decoders(Form(3, 8, 8), tmp_path / "pixels", HEAD, 1) as processes:
        hashes, pixels = dict(processes.hashes(paths)), dict(processes.pixels(paths))
    assert hashes[0] == pixels[0] == {"unread": "No such file or directory"}
    assert hashes[1] == {"sha256": hashlib.sha256(b"no picture").hexdigest()}
    assert pixels[1] == {"fault": "it is not a PNG, JPEG, WEBP, BMP or TIFF"}


def test_what_another_pillow_could_not_decode_is_tried_again(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (photos / "train" / "cat" / "none.png").write_bytes(b"none")
    with monkeypatch.context() as patch:
        patch.setattr(image_cache, "pillow_version", lambda: "1.0")
        content = read(photos, skip_broken=True).sha256
        patch.setattr(image_cache, "pillow_version", lambda: "")  # it was removed, and nobody can try
        assert read(photos, skip_broken=True, here_only=True).sha256 == content
    with pytest.raises(DataError, match="are not in the cache"):
        read(photos, skip_broken=True, here_only=True)
    for _ in range(2):
        assert read(photos, skip_broken=True).sha256 == content
    assert read(photos, skip_broken=True, here_only=True).sha256 == content


LOAD = "import sys; from hybridnets.data.folder import load; print(load(sys.argv[1], 8, cache=sys.argv[2]).sha256)"


def start(root: Path, code: str = LOAD) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", code, str(root), str(root.parent / "cache")]
    return subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's & has it ignored
    )


def test_processes_that_start_at_once_decode_once(tmp_path: Path) -> None:
    save_photos(tmp_path / "photos", 50)
    code = f"import logging; logging.basicConfig(level=logging.INFO); {LOAD}"
    processes = [start(tmp_path / "photos", code) for _ in range(3)]
    answers = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len({out for out, _ in answers}) == 1
    assert sum("images decoded into" in err for _, err in answers) == 1
    assert sorted(path.name[:6] for path in (tmp_path / "cache").iterdir()) == ["files-", "images"]


HALF_WAY = f"""
import time
from hybridnets import signals
from hybridnets.data.decoders import Decoders

pixels = Decoders.pixels

def waiting(self, paths):
    for place, answer in enumerate(pixels(self, paths)):
        if place == 10:
            print("half way", flush=True)
            time.sleep(600)
        yield answer

Decoders.pixels = waiting
signals.install("x")
{LOAD}
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_process_that_ends_leaves_nothing_half_made(number: int, photos: Path) -> None:
    process = start(photos, HALF_WAY)
    assert process.stdout
    assert process.stdout.readline() == "half way\n"
    cache = photos.parent / "cache"
    assert (cache / ".unfinished" / PIXELS).exists()
    process.send_signal(number)
    _, err = process.communicate()
    assert not list(cache.glob("images-*"))
    if number == signal.SIGINT:
        assert err == "x: ended by SIGINT\n"
        assert {path.name[:6] for path in cache.iterdir()} == {"files-"}
    assert len(read(photos).train_images) == 8
    assert {path.name[:6] for path in cache.iterdir()} == {"files-", "images"}


def test_a_cache_that_cannot_be_written_is_one_sentence(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = photos.parent / "file"
    place.write_text("none")
    with pytest.raises(DataError, match=rf"data\.cache must be a folder that can be written to, got {place}/x \("):
        load(photos, 8, cache=place / "x")
    monkeypatch.setattr(folder.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 5, 1000))  # type: ignore[attr-defined]
    with pytest.raises(
        DataError, match=r"data\.cache needs 0\.0 MB for 16 images, but .* has 0\.0 MB: name a folder on"
    ):
        read(photos)


def test_a_disk_that_fills_up_is_one_sentence(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process that decodes answers when it cannot write."""
    answer = [(0, {"errno": errno.ENOSPC})]
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda line: answer if "sums" in line else loads(line))
    with pytest.raises(DataError, match=r"data\.cache must be a folder .* \(No space left on device\)"):
        read(photos)
    assert not list((photos.parent / "cache").glob("images-*"))


def test_a_process_that_decodes_may_die(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{i}.png") for i in range(20)]
    with Decoders(Form(3, 8, 8), tmp_path / "pixels", HEAD, 1) as processes:
        processes._processes[0].kill()
        with pytest.raises(DataError) as caught:
            list(processes.pixels(paths))
    assert str(caught.value) == (
        "a process that decodes pictures ended (signal 9, as where memory is short) while it read one of 16 files, "
        f"{', '.join(paths[:16])}: remove the one at fault, or try again"
    )
    with (
        Decoders(Form(3, 8, 8), tmp_path / "none" / "pixels", HEAD, 1) as processes,
        pytest.raises(DataError, match=r"ended \(FileNotFoundError.*\) while it read .*/0\.png: remove"),
    ):
        list(processes.pixels(paths[:1]))


def test_a_process_that_cannot_start_ends_those_that_did(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is not taken for a fault of the cache."""
    started: list[Any] = []
    popen = subprocess.Popen

    def limited(*words: Any, **settings: Any) -> Any:
        if len(started) == 2:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        started.append(popen(*words, **settings))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", limited)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(3))
    monkeypatch.setattr(folder, "FILES_PER_PROCESS", 4)
    with pytest.raises(
        DataError, match=r"^the processes that decode pictures cannot be started \(Resource temporarily"
    ):
        read(photos)
    assert [process.poll() for process in started] == [-signal.SIGKILL] * 2
    assert all(process.stdin.closed and process.stdout.closed for process in started)


def test_modules_in_the_working_folder_are_none_of_a_decoder(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (photos.parent / "random.py").write_text("raise RuntimeError('mine')")
    monkeypatch.chdir(photos.parent)
    monkeypatch.syspath_prepend(str(photos.parent))  # as the command line does, for a project's modules
    assert len(read(photos).train_images) == 8


def test_a_folder_that_changes_meanwhile_is_refused(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = Decoders.pixels

    def changing(self: Decoders, paths: Any) -> Any:
        yield from pixels(self, paths)
        (photos / "train" / "cat" / "0.png").touch()

    monkeypatch.setattr(Decoders, "pixels", changing)
    with pytest.raises(DataError, match="changed while it was read: try again when nothing is written there"):
        read(photos)
    assert not list((photos.parent / "cache").glob("images-*"))


def test_a_cache_that_may_only_be_read_suffices(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = read(photos).sha256
    monkeypatch.setattr(decoding, "needs_pillow", lambda: True)
    monkeypatch.setattr(image_cache.ImageCache, "writing", lambda _: pytest.fail("written"))
    assert read(photos).sha256 == content
    assert read(photos, here_only=True).sha256 == content
    with pytest.raises(DataError, match="are not in the cache"):
        read(photos, here_only=True, channels=1)


def test_reading_a_folder_does_not_import_torch(photos: Path) -> None:
    code = f"{LOAD}; sys.exit(bool({{'torch', 'pytorch_lightning', 'PIL'}} & set(sys.modules)))"
    process = start(photos, code)
    process.communicate()
    assert process.returncode == 0
