"""CIFAR-100, SVHN, MNIST and Fashion-MNIST, as small files of the same form: the published ones are too large for tests."""

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import scipy.io

from hybridnets.data import cifar100, mnist, svhn
from hybridnets.data.dataset import DataError, ImageDataset, canonical
from hybridnets.data.download import Archive, File
from tests.data.file_server import serving

RNG = np.random.default_rng(0)
PER_CLASS = (2, 1)  # CIFAR-100's images of each class
MAT_IMAGES, IDX_IMAGES = (30, 20), (40, 20)


def described(name: str, content: bytes) -> File:
    return File(name, len(content), hashlib.md5(content).hexdigest())


def sentence(call: Callable[[], object]) -> str:
    with pytest.raises(DataError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# CIFAR-100


def cifar100_records(per_class: int) -> Any:
    """Records in a mixed order, (N, 3074): superclass, class, pixels."""
    fine = np.repeat(np.arange(100, dtype=np.uint8), per_class)
    coarse = cifar100.COARSE_OF_FINE[fine].astype(np.uint8)
    pixels = RNG.integers(0, 256, size=(len(fine), 3072), dtype=np.uint8)
    return RNG.permutation(np.column_stack([coarse, fine, pixels]))


RECORDS = {"train.bin": cifar100_records(PER_CLASS[0]), "test.bin": cifar100_records(PER_CLASS[1])}


def cifar100_tar(records: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, content in {**records, "fine_label_names.txt": np.frombuffer(b"apple\n", np.uint8)}.items():
            member = tarfile.TarInfo(f"cifar-100-binary/{name}")
            member.size = content.nbytes
            tar.addfile(member, io.BytesIO(content.tobytes()))
    return file.getvalue()


@pytest.fixture
def tar(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """An archive, which the module is patched to accept as the published one."""
    content = cifar100_tar(RECORDS)
    published = Archive(cifar100.BINARY.name, len(content), hashlib.md5(content).hexdigest(), cifar100.BINARY.folder)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(cifar100, "PER_CLASS", PER_CLASS)
    monkeypatch.setattr(cifar100, "BINARY", published)
    files = {published: ("train.bin", "test.bin"), cifar100.PYTHON: ("train", "test")}
    monkeypatch.setattr(cifar100, "FILES", files)
    return content


def write_cifar100(folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True)
    for name, records in RECORDS.items():
        (folder / name).write_bytes(changes.get(name.partition(".")[0], records).tobytes())
    return folder


def test_cifar100_is_downloaded_once_and_read(tar: bytes, tmp_path: Path) -> None:
    with serving({"cifar-100-binary.tar.gz": tar}) as server:
        mirrors = [server.url(path) for path in ("missing/cifar-100-binary.tar.gz", "cifar-100-binary.tar.gz")]
        data = cifar100.load(tmp_path, mirrors)
        assert cifar100.load(tmp_path, mirrors).sha256 == data.sha256
        assert len(server.requests) == 2
    assert (data.train_images.shape, data.test_images.shape) == ((200, 3, 32, 32), (100, 3, 32, 32))
    assert data.classes[:3] == ("apple", "aquarium_fish", "baby")
    label_of = {record[2:].tobytes(): record[1] for record in np.concatenate(list(RECORDS.values()))}
    for images, labels in ((data.train_images, data.train_labels), (data.test_images, data.test_labels)):
        assert [label_of[image.tobytes()] for image in images] == labels.tolist()


@pytest.mark.usefixtures("tar")
def test_cifar100_has_superclasses(tmp_path: Path) -> None:
    write_cifar100(tmp_path / "cifar-100-binary")
    fine, coarse = cifar100.load(tmp_path), cifar100.load(tmp_path / "cifar-100-binary", labels="coarse")
    np.testing.assert_array_equal(fine.train_images, coarse.train_images)
    assert len(coarse.classes) == 20
    for position, label in zip(coarse.train_labels, fine.train_labels, strict=True):
        assert fine.classes[label] in cifar100.SUPERCLASSES[coarse.classes[position]]
    assert fine.sha256 != coarse.sha256
    assert "data.labels must be fine or coarse, got 'both'" in sentence(lambda: cifar100.load(tmp_path, labels="both"))  # type: ignore[arg-type]


def test_superclasses_are_the_published_ones() -> None:
    """The first 40 superclasses of the 100 classes, as they are published in many places."""
    published = [4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11]
    published += [6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5]
    assert cifar100.COARSE_OF_FINE[:40].tolist() == published
    assert np.bincount(cifar100.COARSE_OF_FINE).tolist() == [5] * 20
    assert len(set(cifar100.FINE)) == 100


@pytest.mark.usefixtures("tar")
def test_torchvisions_layout_of_cifar100_is_the_same_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "pickles" / "cifar-100-python"
    folder.mkdir(parents=True)
    md5 = {}
    for name, records in RECORDS.items():
        labels = {b"coarse_labels": records[:, 0].tolist(), b"fine_labels": records[:, 1].tolist()}
        content = pickle.dumps({b"data": records[:, 2:], **labels}, protocol=2)
        (folder / name.removesuffix(".bin")).write_bytes(content)
        md5[name.removesuffix(".bin")] = hashlib.md5(content).hexdigest()
    assert "md5" in sentence(lambda: cifar100.load(folder.parent))
    monkeypatch.setattr(cifar100, "MD5", md5)
    write_cifar100(tmp_path / "cifar-100-binary")
    assert cifar100.load(folder.parent).sha256 == cifar100.load(tmp_path).sha256 == cifar100.load(folder).sha256


def moved(records: Any) -> Any:
    changed = records.copy()
    changed[0, 0] = (changed[0, 0] + 1) % 20
    return changed


def repeated(records: Any) -> Any:
    changed = records.copy()
    changed[0] = changed[1]
    changed[np.flatnonzero(changed[:, 1] != changed[0, 1])[0]] = changed[0]
    return changed


@pytest.mark.usefixtures("tar")
@pytest.mark.parametrize(
    ("train", "words"),
    [
        (RECORDS["train.bin"][:-1], "train.bin must have 614,800 bytes (200 records of 3,074), but has 611,726"),
        (moved(RECORDS["train.bin"]), "some of its classes are not in their superclass"),
        (repeated(RECORDS["train.bin"]), "it must hold 2 images of each class, but holds"),
    ],
)
def test_altered_files_of_cifar100_are_refused(tmp_path: Path, train: Any, words: str) -> None:
    write_cifar100(tmp_path / "cifar-100-binary", train=train)
    assert words in sentence(lambda: cifar100.load(tmp_path))


@pytest.mark.usefixtures("tar")
def test_a_missing_file_of_cifar100_is_named(tmp_path: Path) -> None:
    (write_cifar100(tmp_path / "cifar-100-binary") / "test.bin").unlink()
    assert "lacks test.bin of CIFAR-100" in sentence(lambda: cifar100.load(tmp_path))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "cifar-100-binary.tar.gz").write_bytes(b"x")
    assert "cifar-100-binary.tar.gz is not CIFAR-100's archive (1 bytes instead of" in sentence(
        lambda: cifar100.load(tmp_path / "b")
    )


# SVHN


def mat(n: int, **changes: Any) -> bytes:
    arrays = {
        "X": np.random.default_rng(n).integers(0, 256, size=(32, 32, 3, n), dtype=np.uint8),
        "y": (np.arange(n, dtype=np.uint8) % 10 + 1)[:, np.newaxis],
        **changes,
    }
    file = io.BytesIO()
    scipy.io.savemat(file, {name: array for name, array in arrays.items() if array is not None}, do_compression=True)
    return file.getvalue()


def publish_svhn(monkeypatch: pytest.MonkeyPatch, train: bytes, test: bytes) -> dict[str, bytes]:
    files = {"train_32x32.mat": train, "test_32x32.mat": test}
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(svhn, "FILES", tuple(described(*item) for item in files.items()))
    monkeypatch.setattr(svhn, "IMAGES", MAT_IMAGES)
    return files


def test_svhn_is_downloaded_once_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = publish_svhn(monkeypatch, *map(mat, MAT_IMAGES))
    with serving(files) as server:
        data = svhn.load(tmp_path / "new", [server.url("missing"), server.url("good/")])
        assert [path for path, _ in server.requests] == [
            *("/missing/train_32x32.mat", "/good/train_32x32.mat", "/missing/test_32x32.mat", "/good/test_32x32.mat")
        ]
        svhn.load(tmp_path / "new", [server.url("good")])
        assert len(server.requests) == 4
    assert sorted(path.name for path in (tmp_path / "new" / "svhn").iterdir()) == sorted(files)
    # (32, 32, 3, N) becomes (N, 3, 32, 32), and the label 10 is the digit 0.
    content = scipy.io.loadmat(io.BytesIO(files["train_32x32.mat"]))
    expected = canonical(
        np.ascontiguousarray(np.moveaxis(content["X"], (3, 2), (0, 1))), content["y"][:, 0].astype(np.int64) % 10
    )
    np.testing.assert_array_equal(data.train_images, expected[0])
    np.testing.assert_array_equal(data.train_labels, expected[1])
    picture = data.train_images[np.flatnonzero(data.train_labels == 0)[0]]
    assert any((content["X"][5, 7, 2, i], content["y"][i, 0]) == (picture[2, 5, 7], 10) for i in range(30))
    # The files themselves may be in data.root.
    assert svhn.load(tmp_path / "new" / "svhn").sha256 == data.sha256


@pytest.mark.parametrize(
    ("train", "words"),
    [
        (
            mat(29),
            "must hold X uint8 (32, 32, 3, 30), y uint8 (30, 1), but holds X uint8 (32, 32, 3, 29), y uint8 (29, 1)",
        ),
        (mat(30, X=None), "but holds y uint8 (30, 1): it is not SVHN's"),
        (mat(30, X=np.zeros((32, 32, 3, 30))), "but holds X double (32, 32, 3, 30)"),
        (mat(30, y=np.full((30, 1), 11, np.uint8)), "must have labels from 1 to 10, got 11 to 11"),
        (b"no matrix" * 40, "cannot be read as Matlab's .mat"),
        (mat(30)[:-200], "but holds X uint8 (32, 32, 3, 30): it is not SVHN's"),
        (mat(30)[:-20], "train_32x32.mat cannot be read as Matlab's .mat"),
    ],
)
def test_other_files_than_svhns_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: bytes, words: str
) -> None:
    for name, content in publish_svhn(monkeypatch, train, mat(20)).items():
        (tmp_path / name).write_bytes(content)
    message = sentence(lambda: svhn.load(tmp_path))
    assert f"{tmp_path / 'train_32x32.mat'} " in message
    assert words in message


# MNIST and Fashion-MNIST


def idx(values: Any, start: bytes = b"\0\0\x08", shape: tuple[int, ...] | None = None) -> bytes:
    shape = values.shape if shape is None else shape
    header = start + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    return gzip.compress(header + values.tobytes())


def idx_files(seed: int = 0, changes: Mapping[str, bytes] = MappingProxyType({})) -> dict[str, bytes]:
    files = {}
    for name, n in zip(("train", "t10k"), IDX_IMAGES, strict=True):
        draws = np.random.default_rng([seed, n])
        files[f"{name}-images-idx3-ubyte.gz"] = idx(draws.integers(0, 256, size=(n, 28, 28), dtype=np.uint8))
        files[f"{name}-labels-idx1-ubyte.gz"] = idx((np.arange(n) % 10).astype(np.uint8))
    return files | {f"{name}-ubyte.gz": content for name, content in changes.items()}


@pytest.fixture(params=["mnist", "fashion_mnist"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Publishes files as those of one of the two, and gives their name, its loading function and the files."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(mnist, "IMAGES", IDX_IMAGES)
    name, load, constant = request.param, mnist.load, "MNIST"
    if name == "fashion_mnist":
        load, constant = mnist.load_fashion, "FASHION"

    def publish(files: dict[str, bytes]) -> dict[str, bytes]:
        monkeypatch.setattr(mnist, constant, tuple(described(*item) for item in files.items()))
        return files

    return name, load, publish


def test_idx_files_are_downloaded_once_and_read(kind: Any, tmp_path: Path) -> None:
    name, load, publish = kind
    files = publish(idx_files())
    with serving(files) as server:
        data = load(tmp_path / "root", [server.url("a")])
        assert load(tmp_path / "root", [server.url("a")]).sha256 == data.sha256
        assert len(server.requests) == 4
    assert sorted(path.name for path in (tmp_path / "root" / name).iterdir()) == sorted(files)
    train, test = (
        np.random.default_rng([0, n]).integers(0, 256, size=(n, 1, 28, 28), dtype=np.uint8) for n in IDX_IMAGES
    )
    classes = mnist.CLOTHES if name == "fashion_mnist" else tuple("0123456789")
    expected = ImageDataset(
        *canonical(train, np.arange(40) % 10), *canonical(test, np.arange(20) % 10), classes=classes
    )
    assert data.sha256 == expected.sha256


def test_torchvisions_folder_is_used_and_what_lacks_is_downloaded(kind: Any, tmp_path: Path) -> None:
    name, load, publish = kind
    files = publish(idx_files())
    folder = tmp_path / ("FashionMNIST" if name == "fashion_mnist" else "MNIST") / "raw"
    folder.mkdir(parents=True)
    for file, content in list(files.items())[:3]:
        (folder / file).write_bytes(content)
    message = sentence(lambda: load(tmp_path))
    assert (
        f"t10k-labels-idx1-ubyte.gz of {'Fashion-MNIST' if name == 'fashion_mnist' else 'MNIST'} is not in" in message
    )
    assert "data.mirrors is empty" in message
    with serving(files) as server:
        data = load(tmp_path, [server.url("a")])
        assert [path for path, _ in server.requests] == ["/a/t10k-labels-idx1-ubyte.gz"]
    assert load(folder).sha256 == data.sha256


def test_another_data_sets_files_are_refused(kind: Any, tmp_path: Path) -> None:
    _, load, publish = kind
    for file, content in idx_files(seed=1).items():
        (tmp_path / file).write_bytes(content)
    publish(idx_files())
    assert "train-images-idx3-ubyte.gz is not " in sentence(lambda: load(tmp_path))


def test_a_data_set_whose_files_have_the_same_names_is_left_alone(kind: Any, tmp_path: Path) -> None:
    """As in a folder that has MNIST's four files, and is data.root of Fashion-MNIST."""
    name, load, publish = kind
    others = {file: content + b"other" for file, content in idx_files(seed=1).items()}
    for file, content in others.items():
        (tmp_path / file).write_bytes(content)
    files = publish(idx_files())
    message = sentence(lambda: load(tmp_path))
    assert f"is not in the folder {tmp_path / name} and cannot be downloaded" in message
    with serving(files) as server:
        load(tmp_path, [server.url("a")])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == others
    assert sorted(path.name for path in (tmp_path / name).iterdir()) == sorted(files)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train-images-idx3": gzip.compress(b"\x08\x08\x08\x03abc")}, "is no IDX file: it begins with 08080803"),
        ({"train-images-idx3": gzip.compress(b"")}, "is no IDX file: it begins with nothing"),
        ({"train-images-idx3": gzip.compress(b"\0\0\x08\x03\0\0")}, "but holds type 8 of shape ()"),
        (
            {"train-images-idx3": idx(np.zeros((40, 28, 28), np.uint8), start=b"\0\0\x0d")},
            "must hold unsigned bytes (type 8) of shape (40, 28, 28), but holds type 13 of shape (40, 28, 28)",
        ),
        ({"train-images-idx3": idx(np.zeros((40, 27, 28), np.uint8))}, "but holds type 8 of shape (40, 27, 28)"),
        ({"train-labels-idx1": idx(np.zeros(41, np.uint8), shape=(40,))}, "must hold 40 values, but holds more"),
        ({"train-labels-idx1": idx(np.zeros(39, np.uint8), shape=(40,))}, "must hold 40 values, but holds 39"),
        ({"train-labels-idx1": idx(np.full(40, 10, np.uint8))}, "must lie from 0 to 9"),
        ({"train-images-idx3": idx_files()["train-images-idx3-ubyte.gz"][:-300]}, "is damaged (Compressed file ended"),
        ({"train-images-idx3": b"no gzip"}, "is damaged (Not a gzipped file"),
    ],
)
def test_every_header_is_checked(kind: Any, tmp_path: Path, changes: dict[str, bytes], words: str) -> None:
    _, load, publish = kind
    for file, content in publish(idx_files(changes=changes)).items():
        (tmp_path / file).write_bytes(content)
    assert words in sentence(lambda: load(tmp_path))


def test_without_a_network_one_sentence_names_the_remedies(tmp_path: Path) -> None:
    for load, title in ((mnist.load, "MNIST"), (mnist.load_fashion, "Fashion-MNIST"), (svhn.load, "SVHN")):
        message = sentence(lambda load=load: load(tmp_path / "new", ["http://127.0.0.1:1/a"]))  # type: ignore[misc]
        for word in (f"of {title} is not in the folder", str(tmp_path / "new"), "127.0.0.1:1", "refused", "data.root="):
            assert word in message
    message = sentence(lambda: cifar100.load(tmp_path / "new", ["http://127.0.0.1:1/a"]))
    assert "CIFAR-100 is not in the folder" in message
    assert list(tmp_path.iterdir()) == []
    assert "data.mirrors must be a list" in sentence(lambda: mnist.load(tmp_path, "https://example.org"))
    assert "data.root must name a folder" in sentence(lambda: svhn.load(""))
