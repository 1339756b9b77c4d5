"""Codes of images from encoding to decoding: their values, their file, and which codes a run refuses."""

import dataclasses
import json
import math
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

import hybridnets
from hybridnets.cli import train
from hybridnets.data.dataset import ImageDataset
from hybridnets.predicting import (
    AutoencoderPredictor,
    CodesError,
    EncodedImages,
    concatenate,
    read_codes,
    write_codes,
)
from hybridnets.training.checkpoints import hash_weights
from tests.conftest import ROOT

# One epoch of few images: the results of these tests do not depend on how well the networks learned.
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
    """48 images of noise."""
    images = np.random.default_rng(0).integers(0, 256, size=(48, 3, 16, 16), dtype=np.uint8)
    labels = np.arange(48, dtype=np.int64) % 10
    return ImageDataset(images[:40], labels[:40], images[40:], labels[40:], tuple("0123456789"))


def run(*words: str) -> None:
    GlobalHydra.instance().clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYDRA_FULL_ERROR", "0")
        patch.setattr("sys.argv", [str(ROOT / "train.py"), *words])
        assert train.main() == 0


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    for backbone, kind in ((CNN, "cae"), (ECRNN, "sae")):
        run(*FEW, *backbone, f"out={out}")
        model = ("model=feature_autoencoder", "model.channels=2", f"model.kind={kind}")
        run(*FEW, *model, f"backbone=[{','.join(backbone)}]", "trainer.max_epochs=1", f"out={out}")
    return out / "few"


def folder(runs: Path, name: str) -> Path:
    (path,) = runs.glob(f"{name}/seed=0-*")
    return path


def load(run: Path) -> AutoencoderPredictor:
    predictor = hybridnets.load(run)
    assert isinstance(predictor, AutoencoderPredictor)
    return predictor


@pytest.fixture(scope="module")
def cae(runs: Path) -> AutoencoderPredictor:
    return load(folder(runs, "cnn+cae-2"))


@pytest.fixture(scope="module")
def encoded(cae: AutoencoderPredictor) -> EncodedImages:
    return cae.encode(IMAGES)


@pytest.mark.parametrize(("name", "shape"), [("cnn+cae-2", (2, 2, 2)), ("ecrnn-bigru-1x3+sae-2", (8,))])
def test_decoding_codes_gives_the_predictions(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, shape: tuple[int, ...]
) -> None:
    """One side writes the file; the other has a copy of the run and nothing else. The batches are uneven."""
    monkeypatch.setattr("hybridnets.predicting.predictor.EVALUATION_BATCH_SIZE", 7)
    device = load(folder(runs, name))
    sent = device.encode(IMAGES)
    assert sent.code.dtype == np.float32
    assert sent.code.shape == (40, *shape)
    size = write_codes(tmp_path / "codes.npz", sent)
    assert size == len((tmp_path / "codes.npz").read_bytes())
    shutil.copytree(folder(runs, name), tmp_path / "copy")
    cloud = load(tmp_path / "copy")
    received = read_codes(tmp_path / "codes.npz")
    np.testing.assert_array_equal(received.code, sent.code)
    torch.testing.assert_close(cloud.decode(received), device.predict(IMAGES))
    # An image has the same code if its channels come last, and if it is encoded alone.
    np.testing.assert_allclose(device.encode(IMAGES.transpose(0, 2, 3, 1)).code, sent.code, atol=1e-5)
    np.testing.assert_allclose(device.encode(torch.from_numpy(IMAGES[8:9])).code, sent.code[8:9], atol=1e-5)


def test_half_precision_halves_the_bytes_and_changes_little(
    cae: AutoencoderPredictor, encoded: EncodedImages, tmp_path: Path
) -> None:
    write_codes(tmp_path / "codes.npz", encoded, precision=16)
    with np.load(tmp_path / "codes.npz") as arrays:
        assert arrays["code"].dtype == np.dtype("<f2")
        assert arrays["code"].nbytes == 2 * 8 * 40
    torch.testing.assert_close(
        cae.decode(read_codes(tmp_path / "codes.npz")), cae.predict(IMAGES), atol=2e-3, rtol=2e-3
    )
    large = dataclasses.replace(encoded, code=encoded.code + 1e5)
    with pytest.raises(
        CodesError, match="precision must be 32 for these codes, because 16 bits hold values up to 65,504, got one of"
    ):
        write_codes(tmp_path / "codes.npz", large, precision=16)
    with pytest.raises(CodesError, match="precision must be 32 or 16, got 8"):
        write_codes(tmp_path / "codes.npz", encoded, precision=8)
    assert read_codes(tmp_path / "codes.npz").names == encoded.names  # a failed write replaced nothing
    assert [path.name for path in tmp_path.iterdir()] == ["codes.npz"]


def test_a_file_has_the_documented_format(runs: Path, encoded: EncodedImages, tmp_path: Path) -> None:
    named = dataclasses.replace(encoded, names=("여우.png", "a\udcff.png", *encoded.names[2:]))
    write_codes(tmp_path / "codes.npz", named)
    with zipfile.ZipFile(tmp_path / "codes.npz") as file:
        assert {member.filename for member in file.infolist()} == {"code.npy", "header.npy"}
        assert {member.compress_type for member in file.infolist()} == {zipfile.ZIP_DEFLATED}
    with np.load(tmp_path / "codes.npz") as arrays:
        assert arrays["code"].dtype == np.dtype("<f4")
        assert arrays["header"].dtype == np.uint8
        header = json.loads(arrays["header"].tobytes().decode("utf-8", "surrogateescape"))
    result = json.loads((folder(runs, "cnn+cae-2") / "result.json").read_text())
    assert list(header) == ["version", "run", "hash", "weights", "images"]
    assert header["version"] == 1
    assert header["run"] == "cnn+cae-2 seed=0"
    assert header["hash"] == result["hash"]
    assert read_codes(tmp_path / "codes.npz").names == named.names
    before = (tmp_path / "codes.npz").read_bytes()
    write_codes(tmp_path / "codes.npz", named)
    assert (tmp_path / "codes.npz").read_bytes() == before


def test_batches_are_concatenated_in_order(cae: AutoencoderPredictor, encoded: EncodedImages, runs: Path) -> None:
    both = concatenate([cae.encode(IMAGES[:3], ["a", "b", "c"]), cae.encode(IMAGES[3:5])])
    assert both.names == ("a", "b", "c", "0", "1")
    np.testing.assert_allclose(both.code, encoded.code[:5], atol=1e-5)
    foreign = load(folder(runs, "ecrnn-bigru-1x3+sae-2")).encode(IMAGES)
    with pytest.raises(CodesError, match="codes to join must be of one run, got those of 2"):
        concatenate([encoded, foreign])


def test_the_sizes_of_both_sides_add_up_to_the_model(runs: Path, cae: AutoencoderPredictor) -> None:
    """Counted by hand: convolutions, batch normalisations of four values per channel, the encoder's 1x1, 1x1 and 3x3."""
    device = (9 * 3 * 4 + 4) + 4 * 4 + (9 * 4 * 8 + 8) + 4 * 8 + (8 * 4 + 4) + (4 * 2 + 2) + (9 * 2 * 2 + 2)
    decoder, head = (9 * 2 * 2 + 2) + (2 * 4 + 4) + (4 * 8 + 8), 8 * 4 * 4 * 10 + 10
    assert cae.sizes() == (device, decoder + head)
    sae = load(folder(runs, "ecrnn-bigru-1x3+sae-2"))
    weights = sum(t.numel() for t in sae.model.state_dict().values() if t.is_floating_point())
    assert sum(sae.sizes()) == weights
    assert sae.sizes()[0] == (9 * 3 * 4 + 4) + 4 * 4 + (9 * 4 * 8 + 8) + 4 * 8 + (128 * 8 + 8)


def test_codes_of_another_run_or_of_other_weights_are_refused(
    runs: Path, cae: AutoencoderPredictor, encoded: EncodedImages, tmp_path: Path
) -> None:
    foreign = load(folder(runs, "ecrnn-bigru-1x3+sae-2"))
    with pytest.raises(CodesError, match=rf"got those of cnn\+cae-2 seed=0 \({cae.hash[:12]}\)") as refusal:
        foreign.decode(encoded)
    assert f"ecrnn-bigru-1x3+sae-2 seed=0 ({foreign.hash[:12]})" in str(refusal.value)
    with pytest.raises(CodesError, match=r"must have the shape \(2, 2, 2\), got \(3, 2, 2\)"):
        cae.decode(dataclasses.replace(encoded, code=np.zeros((40, 3, 2, 2), np.float32)))
    # The same run trained elsewhere: one value of its batch statistics differs.
    shutil.copytree(folder(runs, "cnn+cae-2"), tmp_path / "again")
    best = tmp_path / "again" / "checkpoints" / "best.ckpt"
    checkpoint = torch.load(best, weights_only=True)
    checkpoint["state_dict"]["backbone.cnn.2.running_mean"][0] += 1e-3
    torch.save(checkpoint, best)
    with pytest.raises(ValueError, match="again must be those that its result was measured with, but differ"):
        hybridnets.load(tmp_path / "again")
    result = json.loads((tmp_path / "again" / "result.json").read_text())
    result["weights"] = hash_weights(checkpoint["state_dict"])
    (tmp_path / "again" / "result.json").write_text(json.dumps(result))
    with pytest.raises(CodesError, match="codes must be of the weights that decode them"):
        load(tmp_path / "again").decode(encoded)


def test_a_run_without_a_code_says_what_encoding_needs(runs: Path, encoded: EncodedImages) -> None:
    predictor: Any = hybridnets.load(folder(runs, "cnn"))
    for name in ("encode", "decode", "sizes"):
        with pytest.raises(CodesError, match=f"{name} needs a run of model=feature_autoencoder, got cnn seed=0, a CNN"):
            getattr(predictor, name)
    with pytest.raises(CodesError, match="encode needs"):
        predictor.encode(IMAGES)
    with pytest.raises(CodesError, match="decode needs"):
        predictor.decode(encoded)
    with pytest.raises(CodesError, match="sizes needs"):
        predictor.sizes()
    assert not hasattr(predictor, "encode")
    with pytest.raises(AttributeError, match="Predictor has no attribute encod"):
        predictor.encod(IMAGES)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_codes_are_finite(encoded: EncodedImages, tmp_path: Path, number: float) -> None:
    code = encoded.code.copy()
    code[3, 1, 0, 1] = number
    with pytest.raises(CodesError, match="codes must be finite, got values that are NaN or infinite"):
        dataclasses.replace(encoded, code=code)
    write(tmp_path / "codes.npz", encoded, code=code)
    with pytest.raises(CodesError, match=r"codes\.npz: codes must be finite, got values"):
        read_codes(tmp_path / "codes.npz")


def write(path: Path, encoded: EncodedImages, *, code: object = None, **header: object) -> None:
    """Writes a file of codes that may be damaged."""
    entries = {
        "version": 1,
        "run": encoded.run,
        "hash": encoded.hash,
        "weights": encoded.weights,
        "images": encoded.names,
        **header,
    }
    header_bytes = np.frombuffer(json.dumps(entries).encode(), np.uint8)
    np.savez(path, code=np.asarray(encoded.code if code is None else code), header=header_bytes)


def test_a_file_that_holds_no_codes_is_refused(encoded: EncodedImages, tmp_path: Path) -> None:
    path = tmp_path / "codes.npz"
    with pytest.raises(CodesError, match=r"cannot be read from .* \(No such file"):
        read_codes(path)
    with pytest.raises(CodesError, match=r"cannot be read from .* \(Is a directory"):
        read_codes(tmp_path)
    write_codes(path, encoded)
    complete = path.read_bytes()
    middle = len(complete) // 2
    for content in (
        *(b"", b"PK\x03\x04", complete[:-1], complete[:middle]),
        complete[:middle] + b"\0" * 9 + complete[middle + 9 :],
    ):
        path.write_bytes(content)
        with pytest.raises(CodesError, match="must be a complete file of codes"):
            read_codes(path)
    for damage in ({"images": [1] * 40}, {"images": None}, {"hash": 3}, {"code": np.zeros((40, 2), np.int64)}):
        write(path, encoded, **damage)
        with pytest.raises(CodesError, match="must be a complete file of codes"):
            read_codes(path)
    np.savez(path, code=np.array([{}]), header=np.zeros(3, np.uint8))  # pickled
    with pytest.raises(CodesError, match="must be a complete file of codes"):
        read_codes(path)
    np.savez(path, val_index=np.zeros(3))
    with pytest.raises(CodesError, match="must be a complete file of codes"):
        read_codes(path)
    write(path, encoded, version=2, images=None)
    with pytest.raises(CodesError, match="must hold codes of version 1, the only one that can be read, got 2"):
        read_codes(path)
    write(path, encoded, images=["one"])
    with pytest.raises(CodesError, match=r"each with a name, got 1 names and an array of \(40, 2, 2, 2\)"):
        read_codes(path)


def test_images_that_do_not_fit_are_refused(cae: AutoencoderPredictor) -> None:
    for images in (IMAGES[0], IMAGES[:, :, :7], IMAGES.astype(np.float32), np.array(3), np.array(["a"])):
        with pytest.raises(ValueError, match=r"images must be uint8 of shape \(B, 3, 16, 16\) or \(B, 16, 16, 3\)"):
            cae.encode(images)
    with pytest.raises(CodesError, match="codes must be of at least one image"):
        cae.encode(IMAGES[:0])
    with pytest.raises(CodesError, match="each with a name, got 1 names"):
        cae.encode(IMAGES[:2], ["one"])


def test_a_run_with_damaged_weights_is_refused(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(folder(runs, "cnn+cae-2"), tmp_path / "run")
    best = tmp_path / "run" / "checkpoints" / "best.ckpt"
    best.write_bytes(best.read_bytes()[:1000])
    with pytest.raises(ValueError, match="must hold a run whose model can be loaded"):
        hybridnets.load(tmp_path / "run")
    with pytest.raises(ValueError, match="device must be one that torch can use here, such as cpu, got 'none'"):
        hybridnets.load(folder(runs, "cnn"), device="none")
