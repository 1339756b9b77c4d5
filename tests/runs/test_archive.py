"""An archive's file: the same bytes for the same content, and a sentence for everything that is not one."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridnets.runs import manifest
from hybridnets.runs.archive import ArchiveError, columns
from hybridnets.runs.archive import container as archive
from hybridnets.runs.archive.privacy import failure, without_paths
from hybridnets.runs.store import diverged, reason, state

ARRAYS: dict[str, Any] = {
    "0-index": np.arange(300, dtype=np.uint16),
    "0-class": np.arange(12, dtype=np.uint8).reshape(3, 4),
}
FOREIGN = "must be an archive of runs, as --pack writes it, and is "


@pytest.mark.parametrize(
    ("error", "fact", "kept"),
    [
        ("StoppedError: stopped on request after epoch 1: x", {"stopped": True}, "stopped on request after epoch 1: x"),
        ("Ended: by SIGINT", {}, "by SIGINT"),  # as the first versions wrote it
        ("DivergedError: train/loss is nan", {"diverged": True}, "DivergedError: train/loss is nan"),
        ("OSError: no space left", {}, "OSError: no space left"),
    ],
)
def test_an_archive_keeps_how_a_run_ended(error: str, fact: dict[str, Any], kept: str, tmp_path: Path) -> None:
    attempt = {"host": "here", "error": error, **fact}
    content = {"attempts": [attempt], "epoch_seconds": {"0": 1.5}, "identity": {"data": "/home/me"}}
    (tmp_path / "provenance.json").write_text(json.dumps(content))
    folder = tmp_path / "restored"
    folder.mkdir()
    restored = failure(tmp_path)
    assert restored.keys() == {"attempts", "epoch_seconds"}
    (folder / "provenance.json").write_text(json.dumps(restored))
    assert (state(folder), reason(folder), diverged(folder)) == (state(tmp_path), kept, diverged(tmp_path))
    assert state(folder) == ("stopped" if kept != error else "failed")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    archive.write(tmp_path / "a.npz", {"runs": ["한", 1.5, None]}, ARRAYS)
    return tmp_path / "a.npz"


def same(path: Path) -> bool:
    header, arrays = archive.read(path)
    return header["runs"] == ["한", 1.5, None] and all(np.array_equal(arrays[name], ARRAYS[name]) for name in ARRAYS)


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_the_same_content_is_the_same_bytes_and_numpy_reads_it(path: Path, tmp_path: Path) -> None:
    assert same(path)
    archive.write(tmp_path / "b.npz", {"runs": ["한", 1.5, None]}, ARRAYS)
    assert path.read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(path, allow_pickle=False) as arrays:
        assert np.array_equal(arrays["0-class"], ARRAYS["0-class"])
        assert json.loads(arrays["header"].tobytes())["format"] == "hybridnets evidence"


def test_a_file_cut_short_anywhere_is_refused(path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        (tmp_path / "cut.npz").write_bytes(content[:length])
        with pytest.raises(ArchiveError, match=r"cut\.npz must be an archive of runs"):
            archive.read(tmp_path / "cut.npz")


def test_a_byte_changed_anywhere_is_refused_or_changes_nothing(path: Path, tmp_path: Path) -> None:
    content, refused = path.read_bytes(), 0
    for place in range(len(content)):
        (tmp_path / "changed.npz").write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        try:
            assert same(tmp_path / "changed.npz")  # a byte of the zip's own, such as a date
        except ArchiveError:
            refused += 1
    assert refused > len(content) / 2


def test_other_content_under_the_same_checksum_is_refused(path: Path, tmp_path: Path) -> None:
    with np.load(path) as arrays:
        members = {name: npy(array) for name, array in arrays.items()}
    altered = {**members, "0-class": npy(ARRAYS["0-class"] + 1)}
    with pytest.raises(ArchiveError, match=r"b\.npz was altered: its content is not what its checksum was taken of"):
        archive.read(zipped(tmp_path / "b.npz", **altered))
    with pytest.raises(ArchiveError, match="was altered"):
        archive.read(zipped(tmp_path / "b.npz", **members, more=npy(ARRAYS["0-class"])))
    with pytest.raises(ArchiveError, match="was altered"):
        archive.read(zipped(tmp_path / "b.npz", **{name: text for name, text in members.items() if name != "sha256"}))


class Executed:
    """What runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_what_somebody_else_wrote_is_refused_and_not_executed(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("variant,seed,score")
    np.savez(tmp_path / "predictions.npz", val_index=np.arange(3))
    np.savez(tmp_path / "bytes.npz", header=np.zeros(3, np.uint8))
    np.savez(tmp_path / "json.npz", header=np.frombuffer(b'{"format":"another"}', np.uint8))
    np.savez(tmp_path / "list.npz", header=np.frombuffer(b"[" * 100_000, np.uint8))
    zipped(tmp_path / "objects.npz", header=npy(np.array([Executed(tmp_path / "executed")], dtype=object)))
    for name in ("text", "predictions", "bytes", "json", "list", "objects"):
        with pytest.raises(ArchiveError, match=rf"{name}\.npz {FOREIGN}(damaged or foreign|something else)"):
            archive.read(tmp_path / f"{name}.npz")
    assert not (tmp_path / "executed").exists()
    with pytest.raises(ArchiveError, match=r"none\.npz must be an archive that can be read, and is not \(No such file"):
        archive.read(tmp_path / "none.npz")


def test_a_later_version_names_itself(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "VERSION", 2)
    with pytest.raises(ArchiveError, match="must have version 2, which this version reads, and has 1"):
        archive.read(path)


def test_what_unfolds_to_too_much_is_refused_before_there_is_room_for_it(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zeros = io.BytesIO()
    np.lib.format.write_array_header_1_0(zeros, {"descr": "|u1", "fortran_order": False, "shape": (10**15,)})
    with pytest.raises(ArchiveError, match=r"holds uint8 \(1000000000000000,\)"):
        archive.read(zipped(tmp_path / "claims.npz", header=zeros.getvalue()))
    monkeypatch.setattr(archive, "LARGEST_BYTES", 100_000)
    assert same(path)
    bomb = zipped(tmp_path / "bomb.npz", header=npy(np.zeros(10**6, np.uint8)))
    assert bomb.stat().st_size < 2000
    with pytest.raises(ArchiveError, match=r"bomb\.npz must unfold to 100,000 bytes at most, and says 1,000,128"):
        archive.read(bomb)
    with pytest.raises(ArchiveError, match="and an archive takes 100,000: pack fewer runs in one"):
        archive.write(tmp_path / "large.npz", {}, {"zeros": np.zeros(10**6, np.uint8)})


def test_an_entry_that_is_larger_than_it_says_is_refused(path: Path, tmp_path: Path) -> None:
    content = bytearray(path.read_bytes())
    place = content.rfind(b"PK\x01\x02", 0, content.rfind(b"PK\x01\x02"))  # the last entry but one of the directory
    content[place + 24 : place + 28] = (100).to_bytes(4, "little")
    (tmp_path / "lies.npz").write_bytes(content)
    with pytest.raises(ArchiveError, match="damaged or foreign"):
        archive.read(tmp_path / "lies.npz")


def test_paths_are_cut_to_their_last_part_and_nothing_else_is() -> None:
    for text, expected in (
        ("python train.py -cn paper out=/home/me/runs", "python train.py -cn paper out=.../runs"),
        ("/opt/venv/bin/python /src/train.py data.root=/data", ".../python .../train.py data.root=.../data"),
        ("python train.py 'out=/home/my name/runs'", "python train.py out=.../runs"),
        ("python train.py backbone=~/runs/cnn/seed=0-abc123/", "python train.py backbone=.../seed=0-abc123/"),
        ("python train.py backbone=runs/digits/cnn ../other/x", "python train.py backbone=runs/digits/cnn ../other/x"),
        ("logger.uri=https://me:word@host:50/a/b -cd ./sweeps", "logger.uri=https://.../a/b -cd ./sweeps"),
        ("logger.uri=file:///home/me/store", "logger.uri=file://.../store"),
        ("logger.uri=sqlite:////home/me/store.db", "logger.uri=sqlite://.../store.db"),
    ):
        assert without_paths(text, shell=True) == expected
        assert without_paths(expected, shell=True) == expected
    message = "OSError: [Errno 28] No space left on device: '/home/me/runs/x.ckpt' (1 / 2, val/acc)"
    assert without_paths(message) == "OSError: [Errno 28] No space left on device: '.../x.ckpt' (1 / 2, val/acc)"


@pytest.mark.parametrize("folder", ["/a/b", "../a/b", "a/../b", "a/b", "a/b/c/d", "a/b/\0", f"a/b/{'c' * 256}", ""])
def test_a_manifest_names_folders_below_that_of_all_runs(folder: str) -> None:
    content = {"declared": "2026-01-01T00:00:00+0000", "command": "", "runs": [{"hash": "a", "folder": folder}]}
    with pytest.raises(ValueError, match="is no run's folder"):
        manifest.parse(Path("x.json"), Path(), content)


def test_predictions_are_rounded_as_stated_and_otherwise_the_same(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    probabilities = draw.dirichlet(np.ones(300), size=50).astype(np.float32)
    probabilities[7] = np.nan
    content: dict[str, Any] = {
        "index": draw.permutation(1000)[:50],
        "label": draw.integers(0, 300, 50),
        "class": draw.integers(0, 300, 50),
        "before": draw.integers(0, 300, 50),
        "probabilities": probabilities,
    }
    np.savez(
        tmp_path / "predictions.npz", **{f"{part}_{key}": c for part in ("val", "test") for key, c in content.items()}
    )
    order = np.argsort(content["index"])
    for every, error in ((False, 0.5 / 65534), (True, 0.5 / 254)):
        original = columns.read(tmp_path, all_probabilities=every)["val"]
        packer = columns.Packer()
        assert [packer.add(original), packer.add({**original, "class": original["label"]})] == [0, 0]
        entries, arrays = packer.packed()
        sets = columns.PackedSets(entries, arrays)
        assert sets.rows == [2]
        unpacked: dict[str, Any] = sets.columns(0, 0)
        for key in ("index", "label", "class", "before"):
            assert unpacked[key].dtype == np.int64
            assert np.array_equal(unpacked[key], content[key][order])
        assert np.array_equal(sets.columns(0, 1)["class"], content["label"][order])
        rows = np.arange(50)
        expected = (probabilities if every else probabilities[rows, content["label"]])[order]
        got = unpacked["probabilities" if every else "probability"]
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, atol=error + 1e-7, rtol=0)  # NaN where it was
        (tmp_path / "again").mkdir(exist_ok=True)
        np.savez(
            tmp_path / "again" / "predictions.npz",
            **{f"{part}_{key}": c for part in ("val", "test") for key, c in unpacked.items()},
        )
        again = columns.read(tmp_path / "again", all_probabilities=every)["test"]
        assert all(np.array_equal(again[key], original[key]) for key in original)
