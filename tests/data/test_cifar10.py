import hashlib
import io
import logging
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hybridnets.data import cifar10
from hybridnets.data.dataset import DataError, ImageDataset, canonical
from hybridnets.data.download import Archive
from tests.data.file_server import Server, serving

RECORDS = 20  # per file: two of each class
Records = npt.NDArray[np.uint8]


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> Records:
    """The records of six files, (6, 20, 3073); the module is patched to accept them as the official content."""
    pixels = np.random.default_rng(0).integers(0, 256, size=(6, RECORDS, 3072), dtype=np.uint8)
    pixels[:, :, :2] = 7  # so that the first bytes do not determine the order alone
    labels = np.tile(np.arange(10, dtype=np.uint8), (6, 2))
    train, test = (
        canonical(p.reshape(-1, 3, 32, 32), n.reshape(-1).astype(np.int64))
        for p, n in ((pixels[:5], labels[:5]), (pixels[5:], labels[5:]))
    )
    official = ImageDataset(*train, *test, cifar10.CLASSES)
    monkeypatch.setattr(cifar10, "RECORDS", RECORDS)
    monkeypatch.setattr(cifar10, "TRAIN_SHA256", official.train_sha256)
    monkeypatch.setattr(cifar10, "TEST_SHA256", official.test_sha256)
    return np.concatenate([labels[:, :, None], pixels], axis=2)


def write_binary(folder: Path, records: Records) -> Path:
    folder.mkdir(parents=True)
    for name, batch in zip(cifar10.FILES[cifar10.BINARY], records, strict=True):
        (folder / name).write_bytes(batch.tobytes())
    return folder


def python2_pickle(batch: Records) -> bytes:
    """A batch as Python 2 and its numpy pickled it, opcode by opcode, because Python 3 cannot write it."""

    def string(text: bytes) -> bytes:
        return b"U" + bytes([len(text)]) + text

    pixels = batch[:, 1:].tobytes()
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + string(b"b") + b"\x87R"
    shape = b"M" + struct.pack("<H", len(batch)) + b"M" + struct.pack("<H", 3072) + b"\x86"
    code = b"cnumpy\ndtype\n" + string(b"u1") + b"K\x00K\x01\x87R"
    state = b"(K\x03" + string(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    content = b"T" + struct.pack("<I", len(pixels)) + pixels
    labels = b"](" + b"".join(b"K" + bytes([label]) for label in batch[:, 0].tolist()) + b"e"
    entries = (
        string(b"batch_label") + string(b"training batch 1 of 5"),
        string(b"data") + array + b"(K\x01" + shape + code + state + b"\x89" + content + b"tb",
        string(b"labels") + labels,
    )
    return b"\x80\x02}(" + b"".join(entries) + b"u."


def write_pickles(folder: Path, records: Records) -> Path:
    folder.mkdir(parents=True)
    for name, batch in zip(cifar10.FILES[cifar10.PYTHON], records, strict=True):
        (folder / name).write_bytes(python2_pickle(batch))
    return folder


def sentence(call: Callable[[], object]) -> str:
    with pytest.raises(DataError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_layout_and_order_gives_the_same_data(records: Records, tmp_path: Path) -> None:
    write_binary(tmp_path / "a" / "cifar-10-batches-bin", records)
    shuffled = records.copy()
    mixed = shuffled[:5].reshape(-1, 3073)  # a view, so that training images also move between files
    np.random.default_rng(1).shuffle(mixed)
    write_pickles(tmp_path / "b" / "cifar-10-batches-py", shuffled)
    binary, pickled = cifar10.load(tmp_path / "a"), cifar10.load(tmp_path / "b")
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        np.testing.assert_array_equal(getattr(binary, name), getattr(pickled, name))
    assert binary.sha256 == pickled.sha256 == cifar10.load(tmp_path / "b" / "cifar-10-batches-py").sha256
    # Images are sorted by their bytes and keep their labels; a record holds red, then green, then blue pixels.
    rows = [image.tobytes() for image in binary.train_images]
    assert rows == sorted(rows)
    label_of = {record[1:].tobytes(): record[0] for record in records.reshape(-1, 3073)}
    assert [label_of[row] for row in rows] == binary.train_labels.tolist()
    first = np.frombuffer(rows[0], dtype=np.uint8)
    assert binary.train_images[0, 1, 2, 3] == first[1024 + 2 * 32 + 3]


def test_pickles_of_python_3_are_read(records: Records, tmp_path: Path) -> None:
    folder = write_pickles(tmp_path / "cifar-10-batches-py", records)
    content = {b"data": np.asfortranarray(records[0][:, 1:]), b"labels": records[0][:, 0].tolist()}
    (folder / "data_batch_1").write_bytes(pickle.dumps(content, protocol=2))
    assert len(cifar10.load(tmp_path).train_labels) == 5 * RECORDS


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("data_batch_3.bin", lambda old: old[:-1], ["data_batch_3.bin", "61,460 bytes", "61,459"]),
        ("test_batch.bin", lambda old: old[:-1] + bytes([old[-1] ^ 1]), ["test_batch", "not CIFAR-10's"]),
        ("data_batch_2.bin", lambda old: old[:5] + bytes([old[5] ^ 1]) + old[6:], ["data_batch_1 to data_batch_5"]),
        ("data_batch_2.bin", lambda old: b"\x0a" + old[1:], ["data_batch_2.bin", "0 to 9", "10"]),
        ("data_batch_2.bin", lambda old: b"\x01" + old[1:], ["data_batch_1 to data_batch_5", "each class"]),
        ("data_batch_4.bin", None, ["lacks data_batch_4.bin"]),
    ],
)
def test_damaged_files_are_refused_by_name(
    records: Records, tmp_path: Path, name: str, damage: Callable[[bytes], bytes] | None, words: list[str]
) -> None:
    path = write_binary(tmp_path / "cifar-10-batches-bin", records) / name
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes()))
    message = sentence(lambda: cifar10.load(tmp_path))
    assert all(word in message for word in words), message


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("kind", ["code", "garbage", "objects", "short"])
def test_a_pickle_cannot_execute_code(records: Records, tmp_path: Path, kind: str) -> None:
    folder = write_pickles(tmp_path / "cifar-10-batches-py", records)
    written = tmp_path / "written"
    content = {
        "code": pickle.dumps({b"data": Evil(written), b"labels": []}, protocol=2),
        "garbage": b"\x80\x02not a pickle",
        "objects": pickle.dumps({b"data": np.array([None, {}]), b"labels": [0]}, protocol=2),
        "short": python2_pickle(records[0][:-1]),
    }[kind]
    (folder / "data_batch_1").write_bytes(content)
    message = sentence(lambda: cifar10.load(tmp_path))
    assert "data_batch_1" in message
    assert ("system" in message) == (kind == "code")
    assert not written.exists()


def archive(path: Path, folder: str, members: dict[str, bytes | tarfile.TarInfo]) -> Archive:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
            else:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    data = path.read_bytes()
    return Archive(path.name, len(data), hashlib.md5(data).hexdigest(), folder)


def binary_members(records: Records) -> dict[str, bytes | tarfile.TarInfo]:
    folder = "cifar-10-batches-bin"
    top = tarfile.TarInfo(folder)
    top.type = tarfile.DIRTYPE
    members: dict[str, bytes | tarfile.TarInfo] = {folder: top, f"{folder}/readme.html": b"<html>"}
    for name, batch in zip(cifar10.FILES[cifar10.BINARY], records, strict=True):
        members[f"{folder}/{name}"] = batch.tobytes()
    return members


def publish(monkeypatch: pytest.MonkeyPatch, path: Path, members: dict[str, bytes | tarfile.TarInfo]) -> Archive:
    """Writes an archive of the members, which the module is patched to accept as the official one."""
    official = archive(path, "cifar-10-batches-bin", members)
    monkeypatch.setattr(cifar10, "FILES", {official: cifar10.FILES[cifar10.BINARY], cifar10.PYTHON: cifar10.STEMS})
    monkeypatch.setattr(cifar10, "BINARY", official)
    return official


def link(name: str, kind: bytes, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    "evil",
    [
        {"../outside": b"x"},
        {"/tmp/hybridnets-outside": b"x"},
        {"cifar-10-batches-bin/../../outside": b"x"},
        {"cifar-10-batches-bin/..": b"x"},
        {"link": link("cifar-10-batches-bin/test_batch.bin", tarfile.SYMTYPE, "../../outside")},
        {"link": link("cifar-10-batches-bin/test_batch.bin", tarfile.LNKTYPE, "../../outside")},
        {"device": link("cifar-10-batches-bin/null", tarfile.CHRTYPE, "")},
    ],
)
def test_an_archive_writes_nothing_outside(
    records: Records,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    evil: dict[str, bytes | tarfile.TarInfo],
) -> None:
    root = tmp_path / "root"
    publish(monkeypatch, root / "cifar-10-binary.tar.gz", binary_members(records) | evil)
    assert "not a plain file" in sentence(lambda: cifar10.load(root))
    assert [path.name for path in tmp_path.rglob("*")] == ["root", "cifar-10-binary.tar.gz"]
    assert not Path("/tmp/hybridnets-outside").exists()


def test_an_archive_in_the_folder_is_used_or_refused(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cifar-10-binary.tar.gz"
    publish(monkeypatch, path, binary_members(records))
    good = path.read_bytes()
    path.write_bytes(good[:-1])
    assert "cifar-10-binary.tar.gz is not CIFAR-10's archive" in sentence(lambda: cifar10.load(tmp_path))
    path.write_bytes(good)
    assert len(cifar10.load(tmp_path).test_labels) == RECORDS
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cifar-10-batches-bin", "cifar-10-binary.tar.gz"]
    assert not (tmp_path / "cifar-10-batches-bin" / "readme.html").exists()


@pytest.fixture
def server(records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    path = tmp_path / "published" / "cifar-10-binary.tar.gz"
    publish(monkeypatch, path, binary_members(records))
    with serving(path.read_bytes()) as server:
        yield server


def test_mirrors_are_tried_in_order_until_one_is_right(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "new" / "root"
    mirrors = [server.url(path) for path in ("missing", "page", "wrong", "good", "never")]
    with caplog.at_level(logging.INFO):
        assert len(cifar10.load(root, mirrors).train_labels) == 5 * RECORDS
    assert [path for path, _ in server.requests] == ["/missing", "/page", "/wrong", "/good"]
    assert "downloading cifar-10-binary.tar.gz: " in caplog.text
    assert sorted(path.name for path in root.iterdir()) == ["cifar-10-batches-bin", "cifar-10-binary.tar.gz"]
    cifar10.load(root, mirrors)
    assert len(server.requests) == 4


def test_a_broken_download_continues(server: Server, tmp_path: Path) -> None:
    cifar10.load(tmp_path / "root", [server.url("breaks")])
    half = 1 + cifar10.BINARY.size // 2
    assert server.requests == [("/breaks", None), ("/breaks", f"bytes={half}-")]


@pytest.mark.parametrize(
    ("beginning", "path", "ranges"),
    [
        ("right", "good", ["bytes=1000-"]),
        ("right", "norange", ["bytes=1000-"]),
        ("wrong", "good", ["bytes=1000-", None]),
        ("complete", "good", []),
        ("too long", "good", [None]),
    ],
)
def test_an_interrupted_download_is_resumed_or_restarted(
    server: Server, tmp_path: Path, beginning: str, path: str, ranges: list[str | None]
) -> None:
    complete = (tmp_path / "published" / "cifar-10-binary.tar.gz").read_bytes()
    part = {
        "right": complete[:1000],
        "wrong": b"x" * 1000,
        "complete": complete,
        "too long": complete + b"x",
    }[beginning]
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "cifar-10-binary.tar.gz.part").write_bytes(part)
    cifar10.load(tmp_path / "root", [server.url(path)])
    assert [byte_range for _, byte_range in server.requests] == ranges


def test_processes_that_start_together_download_once(server: Server, tmp_path: Path) -> None:
    counts: list[int] = []
    start = threading.Barrier(3)

    def run() -> None:
        start.wait()
        counts.append(len(cifar10.load(tmp_path / "root", [server.url("slow")]).train_labels))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [5 * RECORDS] * 3
    assert len(server.requests) == 1


def test_without_a_network_one_sentence_names_the_remedies(records: Records, tmp_path: Path) -> None:  # noqa: ARG001
    for root in (tmp_path / "absent", tmp_path / "empty"):
        if root.name == "empty":
            root.mkdir()
        message = sentence(lambda root=root: cifar10.load(root, ["http://127.0.0.1:1/a", "nonsense"]))  # type: ignore[misc]
        for word in (str(root), "127.0.0.1:1", "refused", "nonsense", "data.root", "HYBRIDNETS_DATA", "data.mirrors"):
            assert word in message
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]
    assert "data.mirrors is empty" in sentence(lambda: cifar10.load(tmp_path / "empty"))


def test_a_root_that_is_not_a_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.touch()
    assert f"{path} is a file" in sentence(lambda: cifar10.load(path))
    assert "data.root" in sentence(lambda: cifar10.load(""))
    assert "data.mirrors" in sentence(lambda: cifar10.load(tmp_path, "https://example.org"))

    def forbidden(*_: object) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", forbidden)  # root may read everything
    assert "Permission denied" in sentence(lambda: cifar10.load(tmp_path))


def test_reading_data_does_not_import_torch() -> None:
    code = (
        "import sys, hybridnets.data.cifar10, hybridnets.data.digits, hybridnets.data.split;"
        "sys.exit(bool({'torch', 'sklearn', 'pytorch_lightning'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif("HYBRIDNETS_DATA" not in os.environ, reason="HYBRIDNETS_DATA is not set")
def test_the_real_data() -> None:
    data = cifar10.load(os.environ["HYBRIDNETS_DATA"])
    assert data.train_images.shape == (50_000, 3, 32, 32)
    assert data.test_images.shape == (10_000, 3, 32, 32)
    # The published means and deviations of the training images.
    np.testing.assert_allclose(data.train_images.mean(axis=(0, 2, 3)) / 255, [0.49140, 0.48216, 0.44653], atol=1e-5)
    np.testing.assert_allclose(
        np.sqrt([np.square(data.train_images[:, c].astype(np.uint16), dtype=np.uint32).mean() for c in range(3)]) / 255,
        np.sqrt(np.square([0.49140, 0.48216, 0.44653]) + np.square([0.24703, 0.24349, 0.26159])),
        atol=2e-5,
    )
