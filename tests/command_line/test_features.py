"""features.py, which encodes on one side and classifies on the other, as a user runs it."""

import csv
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hybridnets
from hybridnets.cli import features
from hybridnets.predicting import AutoencoderPredictor, read_codes
from tests.command_line.test_sweep import python
from tests.conftest import Said
from tests.predicting.test_codes import CNN, FEW, IMAGES, folder, run

PICTURES = IMAGES.transpose(0, 2, 3, 1)
Features = Callable[..., Said]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    run(*FEW, *CNN, f"out={out}")
    autoencoder = ("model=feature_autoencoder", "model.channels=2", f"backbone=[{','.join(CNN)}]")
    run(*FEW, *autoencoder, "trainer.max_epochs=1", f"out={out}")
    return out / "few"


@pytest.fixture(scope="module")
def autoencoder(runs: Path) -> str:
    return str(folder(runs, "cnn+cae-2"))


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Features:
    """`python features.py ...` in a folder with images."""
    monkeypatch.chdir(tmp_path)
    np.save("images.npy", IMAGES)
    for i in range(3):
        Image.fromarray(PICTURES[i]).save(f"{i}.png")

    def run_features(*words: str) -> Said:
        try:
            code = features.main([*words])
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Said(code, *capfd.readouterr())

    return run_features


def words(output: Said) -> str:
    """The printed text, with one space between columns."""
    return " ".join(output.out.split())


def test_from_pictures_to_classes(command: Features, autoencoder: str) -> None:
    """Pictures and arrays keep their order, and the printed bytes are those of the file."""
    output = command("encode", autoencoder, "2.png", "0.png", "images.npy", "1.png", "-o", "codes.npz")
    assert (output.code, output.err) == (0, "")
    size = Path("codes.npz").stat().st_size
    n = 43
    for line in (
        f"{n} images encoded by cnn+cae-2 seed=0",
        f"pixels, 3 x 16 x 16 uint8 {n * 768:,} 768.0 150.0%",
        f"maps, 8 x 4 x 4 float32 {n * 512:,} 512.0 100.0%",
        f"codes, 2 x 2 x 2 float32 {n * 32:,} 32.0 6.2%",
        f"codes.npz on disk {size:,} {size / n:,.1f} {size / n / 512:.1%}",
    ):
        assert line in words(output)
    predictor = hybridnets.load(autoencoder)
    assert isinstance(predictor, AutoencoderPredictor)
    device, cloud = predictor.sizes()
    assert f"the device needs {device:,} ({4 * device:,}\nbytes as float32)" in output.out
    assert f"and the cloud needs the other {cloud:,} ({4 * cloud:,} bytes)" in output.out

    output = command("decode", autoencoder, "codes.npz", "-o", "classes.csv")
    assert (output.code, output.out, output.err) == (0, "43 images classified by cnn+cae-2 seed=0: classes.csv\n", "")
    with Path("classes.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["image", "class", *"0123456789"]
    names = ["2.png", "0.png", *(f"images.npy[{i}]" for i in range(40)), "1.png"]
    assert [row[0] for row in rows] == names
    expected = hybridnets.load(autoencoder).predict(IMAGES[[2, 0, *range(40), 1]]).numpy()
    np.testing.assert_allclose(np.array([row[2:] for row in rows], float), expected, rtol=1e-4, atol=1e-6)
    assert [int(row[1]) for row in rows] == expected.argmax(1).tolist()

    output = command("decode", autoencoder, "codes.npz", "--format", "jsonl", "--top", "2")
    best = [json.loads(line)["top"] for line in output.out.splitlines()]
    assert [[int(rank["class"]) for rank in ranks] for ranks in best] == np.argsort(-expected)[:, :2].tolist()

    output = command("decode", autoencoder, "codes.npz")
    assert (output.code, output.err) == (0, "")
    head, first, *more = output.out.splitlines()
    assert head.split() == ["image", "class", "probability"]
    assert first.split() == ["2.png", str(expected[0].argmax()), f"{expected[0].max():.4f}"]
    assert len(more) == 42


def test_in_batches_and_in_half_precision(command: Features, autoencoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybridnets.predicting.predictor.EVALUATION_BATCH_SIZE", 2)
    files = ("0.png", "1.png", "2.png", "images.npy")
    assert command("encode", autoencoder, *files, "-o", "full.npz").code == 0
    output = command("encode", autoencoder, *files, "-o", "half.npz", "--precision", "16")
    assert f"codes, 2 x 2 x 2 float16 {43 * 16} 16.0 3.1%" in words(output)
    full, half = (read_codes(name) for name in ("full.npz", "half.npz"))
    assert Path("half.npz").stat().st_size < Path("full.npz").stat().st_size
    assert full.names == half.names
    np.testing.assert_allclose(half.code, full.code, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(full.code[:3], full.code[3:6], rtol=1e-4, atol=1e-6)  # the same three images


def test_pictures_of_other_kinds_and_sizes_become_the_runs(command: Features, autoencoder: str) -> None:
    """Grey, palettes and 16 bits keep their pixels, transparency is white, and another size is cropped, which is said."""
    grey = PICTURES[0][..., 0]
    np.save("grey.npy", np.stack([grey] * 3)[None])
    Image.fromarray(grey).save("grey.png")
    Image.fromarray(grey).convert("P").save("palette.PNG")
    Image.fromarray(grey.astype(np.uint16) * 256).save("deep.png")
    clear = Image.fromarray(grey).convert("LA")
    clear.putalpha(0)
    clear.save("clear.png")
    np.save("white.npy", np.full((1, 3, 16, 16), 255, np.uint8))
    equal = ("grey.npy", "grey.png", "palette.PNG", "deep.png")
    output = command("encode", autoencoder, *equal, "white.npy", "clear.png", "-o", "codes.npz")
    assert (output.code, output.err) == (0, "")
    code = read_codes("codes.npz").code
    for place in range(1, len(equal)):
        np.testing.assert_allclose(code[place], code[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(code[-1], code[-2], rtol=1e-4, atol=1e-6)

    wide = np.pad(PICTURES[0], ((0, 0), (4, 4), (0, 0)))
    Image.fromarray(wide).save("wide.png")
    np.save("wide.npy", wide.transpose(2, 0, 1)[None])
    output = command("encode", autoencoder, "0.png", "wide.png", "wide.npy", "-o", "codes.npz")
    assert output.code == 0
    assert output.err == (
        "hybridnets encode: 2 of 3 images had another size and were brought to 16 x 16 pixels (height x width) by crop, "
        "because the run's data name no rule\n"
    )
    code = read_codes("codes.npz").code
    np.testing.assert_allclose(code[1:], code[[0, 0]], rtol=1e-4, atol=1e-6)


def write_unfit_images() -> None:
    Path("text.npy").write_text("no array")
    Path("text.jpg").write_text("no picture")
    Path("half.png").write_bytes(Path("0.png").read_bytes()[:400])
    np.save("float.npy", IMAGES.astype(np.float32))
    np.save("objects.npy", np.array([{}]))
    np.save("number.npy", np.array(3))
    np.save("none.npy", IMAGES[:0])


def test_a_mistake_is_refused_with_one_sentence(
    command: Features, runs: Path, autoencoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("encode", autoencoder, "images.npy", "-o", "codes.npz").code == 0
    backbone = str(folder(runs, "cnn"))
    complete = Path("codes.npz").read_bytes()
    Path("half.npz").write_bytes(complete[:300])
    write_unfit_images()
    to = ("-o", "new.npz")
    for line, sentence in (
        (("encode", backbone, "0.png", *to), "encode needs a run of model=feature_autoencoder, got cnn seed=0, a CNN"),
        (("decode", backbone, "codes.npz"), "decode needs a run of model=feature_autoencoder, got cnn seed=0, a CNN"),
        (("decode", str(tmp_path), "codes.npz"), "RUN must be the folder of a finished run"),
        (("encode", autoencoder, "9.png", *to), "PATH not found: 9.png"),
        (("encode", autoencoder, "9*.png", *to), "no file matches PATH 9*.png"),
        (
            ("encode", autoencoder, "codes.npz", *to),
            "codes.npz cannot be used: it is not a PNG, JPEG, WEBP, BMP or TIFF",
        ),
        (
            ("encode", autoencoder, "text.npy", *to),
            "text.npy cannot be used: it is no complete .npy of uint8 images (ValueError)",
        ),
        (
            ("encode", autoencoder, "objects.npy", *to),
            "objects.npy cannot be used: it is no complete .npy of uint8 images (ValueError)",
        ),
        (
            ("encode", autoencoder, "text.jpg", *to),
            "text.jpg cannot be used: it is not a PNG, JPEG, WEBP, BMP or TIFF",
        ),
        (
            ("encode", autoencoder, "half.png", *to),
            "half.png cannot be used: image file is truncated",
        ),
        (
            ("encode", autoencoder, "float.npy", *to),
            "float.npy cannot be used: its images must be uint8 of shape (B, 3, 16, 16) or (B, 16, 16, 3)",
        ),
        (
            ("encode", autoencoder, "number.npy", *to),
            "number.npy cannot be used: its images must be uint8 of shape (B, 3, 16, 16)",
        ),
        (("encode", autoencoder, "none.npy", *to), "none.npy cannot be used: it holds no image"),
        (
            ("encode", autoencoder, "text.jpg", "0.png", "none.npy", "half.png", "text.npy", *to),
            "4 files cannot be used: text.jpg (it is not a PNG, JPEG, WEBP, BMP or TIFF), none.npy (it holds no image), "
            "half.png",
        ),
        (("encode", autoencoder, "0.png", "-o", "0.png"), "--output must be a .npz file, got 0.png"),
        (
            ("encode", autoencoder, "0.png", "-o", "no/new.npz"),
            "--output must be in an existing folder, got no/new.npz",
        ),
        (
            ("decode", autoencoder, "codes.npz", "-o", "codes.npz"),
            "--output must be a .csv or .jsonl file, got codes.npz",
        ),
        (("decode", autoencoder, "half.npz"), "half.npz must be a complete file of codes"),
        (("decode", autoencoder, "none.npz"), "codes cannot be read from none.npz (No such file or directory)"),
        (("decode", autoencoder, "codes.npz", "--device", "none"), "device must be one that torch can use here"),
    ):
        output = command(*line)
        assert sentence in output.err
        assert (output.code, output.out, len(output.err.splitlines())) == (2, "", 1), line
    assert command().code == 2
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # noqa: ARG005
    output = command("encode", autoencoder, "images.npy", "0.png", *to)
    assert "0.png needs Pillow, which is not installed: pip install 'hybridnets[images]', or give a .npy" in output.err
    assert not Path("new.npz").exists()
    assert Path("codes.npz").read_bytes() == complete


def test_unprintable_names_are_escaped(command: Features, autoencoder: str) -> None:
    shutil.copy("0.png", "여우 \x1b[31m.png")
    assert command("encode", autoencoder, "여우 \x1b[31m.png", "-o", "codes.npz").code == 0
    output = command("decode", autoencoder, "codes.npz")
    assert "\n여우 [U+001B][31m.png  " in output.out


def test_decoding_in_another_process_needs_only_the_run(command: Features, autoencoder: str, tmp_path: Path) -> None:
    """That process has neither the images nor the data set, which only this test can build."""
    assert command("encode", autoencoder, "images.npy", "-o", "codes.npz").code == 0
    cloud = tmp_path / "cloud"
    shutil.copytree(autoencoder, cloud / "run")
    shutil.copy("codes.npz", cloud)
    process = python("features.py", "decode", "run", "codes.npz", cwd=cloud)
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout == command("decode", autoencoder, "codes.npz").out


def test_help_does_not_wait_for_torch(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("torch", "numpy", "hybridnets"):
        monkeypatch.setitem(sys.modules, name, None)  # an import of it fails
    with pytest.raises(SystemExit, match="0"):
        features.main(["--help"])
    assert "hybridnets decode RUN codes.npz" in capfd.readouterr().out
