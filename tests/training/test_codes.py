"""Codes of images, from one side to the other: what they stand for, what their file holds, and whose are refused."""

import dataclasses
import json
import math
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

import hybridnets
import train
from hybridnets.data.dataset import ImageDataset
from hybridnets.training import codes
from hybridnets.training.checkpoints import weights_digest
from hybridnets.training.codes import Codes, CodesError
from hybridnets.training.predictor import Predictor
from tests.conftest import ROOT

# An epoch each, of few images: what is asked here does not depend on how well they learned.
FEW = ("data=digits", "data.name=few", f"data.dataset._target_={__name__}.few", "data.batch_size=8")
CNN = ("trainer.max_epochs=1", "model=cnn", "model.channels=[4,8]", "model.batch_norm_momentum=0.5")
ECRNN = (
    "trainer.max_epochs=1",
    "model=ecrnn",
    *CNN[2:],
    "model.dense=[16,8,16]",
    "rnn=bigru",
    "rnn.backend=torch",
    "nodes=3",
)
IMAGES = np.random.default_rng(1).integers(0, 256, size=(40, 3, 16, 16), dtype=np.uint8)


def few() -> ImageDataset:
    """Too few to learn from."""
    images = np.random.default_rng(0).integers(0, 256, size=(48, 3, 16, 16), dtype=np.uint8)
    labels = np.arange(48, dtype=np.int64) % 10
    return ImageDataset(images[:40], labels[:40], images[40:], labels[40:], tuple("0123456789"))


def run(*words: str) -> None:
    GlobalHydra.instance().clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYDRA_FULL_ERROR", "0")
        patch.setattr("sys.argv", [str(ROOT / "train.py"), *words])
        assert train.command_line() == 0


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    for below, kind in ((CNN, "cae"), (ECRNN, "sae")):
        run(*FEW, *below, f"out={out}")
        own = ("model=feature_autoencoder", "model.channels=2", f"model.kind={kind}", f"backbone=[{','.join(below)}]")
        run(*FEW, *own, "trainer.max_epochs=1", f"out={out}")
    return out / "few"


def folder(runs: Path, name: str) -> Path:
    (found,) = runs.glob(f"{name}/seed=0-*")
    return found


@pytest.fixture(scope="module")
def cae(runs: Path) -> Predictor:
    return hybridnets.load(folder(runs, "cnn+cae-2"))


@pytest.fixture(scope="module")
def made(cae: Predictor) -> Codes:
    return cae.encode(IMAGES)


@pytest.mark.parametrize(("name", "shape"), [("cnn+cae-2", (2, 2, 2)), ("ecrnn-bigru-1x3+sae-2", (8,))])
def test_what_is_decoded_is_what_is_predicted(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, shape: tuple[int, ...]
) -> None:
    """Written on one side, read on another that has a copy of the run and nothing else; in uneven batches."""
    monkeypatch.setattr("hybridnets.training.predictor.AT_ONCE", 7)
    device = hybridnets.load(folder(runs, name))
    sent = device.encode(IMAGES)
    assert sent.code.dtype == np.float32
    assert sent.code.shape == (40, *shape)
    size = codes.write(tmp_path / "codes.npz", sent)
    assert size == len((tmp_path / "codes.npz").read_bytes())
    shutil.copytree(folder(runs, name), tmp_path / "copy")
    cloud = hybridnets.load(tmp_path / "copy")
    received = codes.read(tmp_path / "codes.npz")
    np.testing.assert_array_equal(received.code, sent.code)
    torch.testing.assert_close(cloud.decode(received), device.predict(IMAGES))
    # Channels last, mirrored and back, one at a time: the same image has the same code.
    np.testing.assert_allclose(device.encode(IMAGES.transpose(0, 2, 3, 1)).code, sent.code, atol=1e-5)
    np.testing.assert_allclose(device.encode(torch.from_numpy(IMAGES[8:9])).code, sent.code[8:9], atol=1e-5)


def test_half_precision_is_half_the_numbers_and_nearly_the_same(cae: Predictor, made: Codes, tmp_path: Path) -> None:
    codes.write(tmp_path / "codes.npz", made, precision=16)
    with np.load(tmp_path / "codes.npz") as found:
        assert found["code"].dtype == np.dtype("<f2")
        assert found["code"].nbytes == 2 * 8 * 40
    torch.testing.assert_close(
        cae.decode(codes.read(tmp_path / "codes.npz")), cae.predict(IMAGES), atol=2e-3, rtol=2e-3
    )
    large = dataclasses.replace(made, code=made.code + 1e5)
    with pytest.raises(CodesError, match="precision must be 32 for these codes, 16 bits hold numbers up to 65,504"):
        codes.write(tmp_path / "codes.npz", large, precision=16)
    with pytest.raises(CodesError, match="precision must be 32 or 16, got 8"):
        codes.write(tmp_path / "codes.npz", made, precision=8)
    assert codes.read(tmp_path / "codes.npz").names == made.names  # what could not be written replaced nothing
    assert [path.name for path in tmp_path.iterdir()] == ["codes.npz"]


def test_a_file_is_as_its_docstring_says(runs: Path, made: Codes, tmp_path: Path) -> None:
    named = dataclasses.replace(made, names=("여우.png", "a\udcff.png", *made.names[2:]))
    codes.write(tmp_path / "codes.npz", named)
    with zipfile.ZipFile(tmp_path / "codes.npz") as file:
        assert {member.filename for member in file.infolist()} == {"code.npy", "header.npy"}
        assert {member.compress_type for member in file.infolist()} == {zipfile.ZIP_DEFLATED}
    with np.load(tmp_path / "codes.npz") as found:
        assert found["code"].dtype == np.dtype("<f4")
        assert found["header"].dtype == np.uint8
        header = json.loads(found["header"].tobytes().decode("utf-8", "surrogateescape"))
    result = json.loads((folder(runs, "cnn+cae-2") / "result.json").read_text())
    assert list(header) == ["version", "run", "hash", "weights", "images"]
    assert header["version"] == 1
    assert header["run"] == "cnn+cae-2 seed=0"
    assert header["hash"] == result["hash"]
    assert codes.read(tmp_path / "codes.npz").names == named.names
    before = (tmp_path / "codes.npz").read_bytes()
    codes.write(tmp_path / "codes.npz", named)
    assert (tmp_path / "codes.npz").read_bytes() == before


def test_codes_of_batches_are_joined_in_order(cae: Predictor, made: Codes, runs: Path) -> None:
    both = codes.joined([cae.encode(IMAGES[:3], ["a", "b", "c"]), cae.encode(IMAGES[3:5])])
    assert both.names == ("a", "b", "c", "0", "1")
    np.testing.assert_allclose(both.code, made.code[:5], atol=1e-5)
    other = hybridnets.load(folder(runs, "ecrnn-bigru-1x3+sae-2")).encode(IMAGES)
    with pytest.raises(CodesError, match="codes to join must be of one run, got those of 2"):
        codes.joined([made, other])


def test_what_the_two_sides_need_adds_up(runs: Path, cae: Predictor) -> None:
    """By hand: convolutions, batch normalisations of four numbers a channel, and the 1x1, 1x1 and 3x3 of the encoder."""
    device = (9 * 3 * 4 + 4) + 4 * 4 + (9 * 4 * 8 + 8) + 4 * 8 + (8 * 4 + 4) + (4 * 2 + 2) + (9 * 2 * 2 + 2)
    decoder, head = (9 * 2 * 2 + 2) + (2 * 4 + 4) + (4 * 8 + 8), 8 * 4 * 4 * 10 + 10
    assert cae.sizes() == (device, decoder + head)
    sae = hybridnets.load(folder(runs, "ecrnn-bigru-1x3+sae-2"))
    weights = sum(t.numel() for t in sae.model.state_dict().values() if t.is_floating_point())
    assert sum(sae.sizes()) == weights
    assert sae.sizes()[0] == (9 * 3 * 4 + 4) + 4 * 4 + (9 * 4 * 8 + 8) + 4 * 8 + (128 * 8 + 8)


def test_what_is_not_this_models_code_is_refused(runs: Path, cae: Predictor, made: Codes, tmp_path: Path) -> None:
    other = hybridnets.load(folder(runs, "ecrnn-bigru-1x3+sae-2"))
    with pytest.raises(CodesError, match=rf"got those of cnn\+cae-2 seed=0 \({cae.hash[:12]}\)") as told:
        other.decode(made)
    assert f"ecrnn-bigru-1x3+sae-2 seed=0 ({other.hash[:12]})" in str(told.value)
    with pytest.raises(CodesError, match=r"must have the shape \(2, 2, 2\), got \(3, 2, 2\)"):
        cae.decode(dataclasses.replace(made, code=np.zeros((40, 3, 2, 2), np.float32)))
    # The same run trained elsewhere: one number of its batch statistics is another.
    shutil.copytree(folder(runs, "cnn+cae-2"), tmp_path / "again")
    best = tmp_path / "again" / "checkpoints" / "best.ckpt"
    checkpoint = torch.load(best, weights_only=True)
    checkpoint["state_dict"]["backbone.cnn.2.running_mean"][0] += 1e-3
    torch.save(checkpoint, best)
    with pytest.raises(ValueError, match="again must hold the weights that its result was measured with, and holds"):
        hybridnets.load(tmp_path / "again")
    result = json.loads((tmp_path / "again" / "result.json").read_text())
    result["weights"] = weights_digest(checkpoint["state_dict"])
    (tmp_path / "again" / "result.json").write_text(json.dumps(result))
    with pytest.raises(CodesError, match="codes must be of the weights that decode them"):
        hybridnets.load(tmp_path / "again").decode(made)


def test_a_run_of_another_model_makes_and_reads_no_codes(runs: Path, made: Codes) -> None:
    predictor = hybridnets.load(folder(runs, "cnn"))
    for call in (lambda: predictor.encode(IMAGES), lambda: predictor.decode(made), predictor.sizes):
        with pytest.raises(CodesError, match=r"model=feature_autoencoder makes and reads, got .* cnn seed=0, a CNN"):
            call()


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_codes_are_finite(made: Codes, tmp_path: Path, number: float) -> None:
    code = made.code.copy()
    code[3, 1, 0, 1] = number
    with pytest.raises(CodesError, match="codes must be finite numbers"):
        dataclasses.replace(made, code=code)
    write(tmp_path / "codes.npz", made, code=code)
    with pytest.raises(CodesError, match=r"codes\.npz: codes must be finite numbers"):
        codes.read(tmp_path / "codes.npz")


def write(path: Path, made: Codes, *, code: object = None, **header: object) -> None:
    """A file of codes as anybody might write it."""
    whole = {"version": 1, "run": made.run, "hash": made.hash, "weights": made.weights, "images": made.names, **header}
    told = np.frombuffer(json.dumps(whole).encode(), np.uint8)
    np.savez(path, code=np.asarray(made.code if code is None else code), header=told)


def test_what_is_no_file_of_codes_is_told(made: Codes, tmp_path: Path) -> None:
    path = tmp_path / "codes.npz"
    with pytest.raises(CodesError, match=r"cannot be read from .* \(No such file"):
        codes.read(path)
    with pytest.raises(CodesError, match=r"cannot be read from .* \(Is a directory"):
        codes.read(tmp_path)
    codes.write(path, made)
    whole = path.read_bytes()
    middle = len(whole) // 2
    for content in (b"", b"PK\x03\x04", whole[:-1], whole[:middle], whole[:middle] + b"\0" * 9 + whole[middle + 9 :]):
        path.write_bytes(content)
        with pytest.raises(CodesError, match="must be a whole file of codes"):
            codes.read(path)
    for damage in ({"images": [1] * 40}, {"images": None}, {"hash": 3}, {"code": np.zeros((40, 2), np.int64)}):
        write(path, made, **damage)
        with pytest.raises(CodesError, match="must be a whole file of codes"):
            codes.read(path)
    np.savez(path, code=np.array([{}]), header=np.zeros(3, np.uint8))  # pickled
    with pytest.raises(CodesError, match="must be a whole file of codes"):
        codes.read(path)
    np.savez(path, val_index=np.zeros(3))
    with pytest.raises(CodesError, match="must be a whole file of codes"):
        codes.read(path)
    write(path, made, version=2, images=None)
    with pytest.raises(CodesError, match="must be codes of version 1, which is read here, got 2"):
        codes.read(path)
    write(path, made, images=["one"])
    with pytest.raises(CodesError, match=r"each with a name, got 1 names and an array of \(40, 2, 2, 2\)"):
        codes.read(path)


def test_images_that_do_not_fit_are_refused(cae: Predictor) -> None:
    for images in (IMAGES[0], IMAGES[:, :, :7], IMAGES.astype(np.float32), np.array(3), np.array(["a"])):
        with pytest.raises(ValueError, match=r"images must be uint8 of shape \(B, 3, 16, 16\) or \(B, 16, 16, 3\)"):
            cae.encode(images)
    with pytest.raises(CodesError, match="codes must be of at least one image"):
        cae.encode(IMAGES[:0])
    with pytest.raises(CodesError, match="each with a name, got 1 names"):
        cae.encode(IMAGES[:2], ["one"])


def test_a_run_whose_weights_are_damaged_is_told(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(folder(runs, "cnn+cae-2"), tmp_path / "run")
    best = tmp_path / "run" / "checkpoints" / "best.ckpt"
    best.write_bytes(best.read_bytes()[:1000])
    with pytest.raises(ValueError, match="must hold a run whose model can be loaded"):
        hybridnets.load(tmp_path / "run")
    with pytest.raises(ValueError, match="device must be one that torch can use here, such as cpu, got 'none'"):
        hybridnets.load(folder(runs, "cnn"), device="none")
