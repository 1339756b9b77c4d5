"""The command that encodes on one side and classifies on the other, as a user drives it."""

import csv
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import features
import hybridnets
from hybridnets.training import codes
from tests.command_line.test_sweep import python
from tests.conftest import Said
from tests.training.test_codes import CNN, FEW, IMAGES, folder, run

PICTURES = IMAGES.transpose(0, 2, 3, 1)
Features = Callable[..., Said]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    run(*FEW, *CNN, f"out={out}")
    own = ("model=feature_autoencoder", "model.channels=2", f"backbone=[{','.join(CNN)}]", "trainer.max_epochs=1")
    run(*FEW, *own, f"out={out}")
    return out / "few"


@pytest.fixture(scope="module")
def own(runs: Path) -> str:
    return str(folder(runs, "cnn+cae-2"))


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Features:
    """`python features.py ...` in a folder with images."""
    monkeypatch.chdir(tmp_path)
    np.save("images.npy", IMAGES)
    for i in range(3):
        Image.fromarray(PICTURES[i]).save(f"{i}.png")

    def say(*words: str) -> Said:
        try:
            code = features.main([*words])
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Said(code, *capfd.readouterr())

    return say


def words(said: Said) -> str:
    """What was said, its columns apart by one space."""
    return " ".join(said.out.split())


def test_from_pictures_to_classes(command: Features, own: str) -> None:
    """Pictures, an array, a picture: in the order given, and what is told of bytes is what is there."""
    said = command("encode", own, "2.png", "0.png", "images.npy", "1.png", "-o", "codes.npz")
    assert (said.code, said.err) == (0, "")
    size = Path("codes.npz").stat().st_size
    n = 43
    for line in (
        f"{n} images encoded by cnn+cae-2 seed=0",
        f"pixels, 3 x 16 x 16 uint8 {n * 768:,} 768.0 150.0%",
        f"maps, 8 x 4 x 4 float32 {n * 512:,} 512.0 100.0%",
        f"codes, 2 x 2 x 2 float32 {n * 32:,} 32.0 6.2%",
        f"codes.npz on disk {size:,} {size / n:,.1f} {size / n / 512:.1%}",
    ):
        assert line in words(said)
    device, cloud = hybridnets.load(own).sizes()
    assert (
        f"the device needs {device:,} ({4 * device:,} bytes as float32), the cloud the other\n{cloud:,} (" in said.out
    )

    said = command("decode", own, "codes.npz", "-o", "classes.csv")
    assert (said.code, said.out, said.err) == (0, "43 images classified by cnn+cae-2 seed=0: classes.csv\n", "")
    with Path("classes.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["image", "class", *"0123456789"]
    names = ["2.png", "0.png", *(f"images.npy[{i}]" for i in range(40)), "1.png"]
    assert [row[0] for row in rows] == names
    expected = hybridnets.load(own).predict(IMAGES[[2, 0, *range(40), 1]]).numpy()
    np.testing.assert_allclose(np.array([row[2:] for row in rows], float), expected, rtol=1e-4, atol=1e-6)
    assert [int(row[1]) for row in rows] == expected.argmax(1).tolist()

    said = command("decode", own, "codes.npz")
    assert (said.code, said.err) == (0, "")
    head, first, *more = said.out.splitlines()
    assert head.split() == ["image", "class", "probability"]
    assert first.split() == ["2.png", str(expected[0].argmax()), f"{expected[0].max():.4f}"]
    assert len(more) == 42


def test_in_batches_and_in_half_precision(command: Features, own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybridnets.training.predictor.AT_ONCE", 2)
    files = ("0.png", "1.png", "2.png", "images.npy")
    assert command("encode", own, *files, "-o", "whole.npz").code == 0
    said = command("encode", own, *files, "-o", "half.npz", "--precision", "16")
    assert f"codes, 2 x 2 x 2 float16 {43 * 16} 16.0 3.1%" in words(said)
    whole, half = (codes.read(name) for name in ("whole.npz", "half.npz"))
    assert Path("half.npz").stat().st_size < Path("whole.npz").stat().st_size
    assert whole.names == half.names
    np.testing.assert_allclose(half.code, whole.code, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(whole.code[:3], whole.code[3:6], rtol=1e-4, atol=1e-6)  # the same three images


def test_pictures_keep_their_numbers_or_are_refused(command: Features, own: str) -> None:
    """A palette's and a grey picture's numbers become colours without a loss; transparency, 16 bits and other sizes do not."""
    grey = PICTURES[0][..., 0]
    np.save("grey.npy", np.stack([grey] * 3)[None])
    Image.fromarray(grey).save("grey.png")
    Image.fromarray(grey).convert("P").save("palette.PNG")
    assert command("encode", own, "grey.npy", "grey.png", "palette.PNG", "-o", "codes.npz").code == 0
    one, *others = codes.read("codes.npz").code
    for other in others:
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-6)
    Path("codes.npz").unlink()
    Image.fromarray(PICTURES[0]).convert("RGBA").save("alpha.png")
    Image.fromarray(grey).convert("P").save("transparent.png", transparency=3)
    Image.fromarray(grey.astype(np.uint16) * 256).save("deep.png")
    Image.fromarray(PICTURES[0][:15]).save("low.png")
    for name, got in (
        ("alpha", "16 wide, 16 high and RGBA"),
        ("transparent", "16 wide, 16 high and transparent"),
        ("deep", "16 wide, 16 high and I;16"),
        ("low", "16 wide, 15 high and RGB"),
    ):
        said = command("encode", own, "0.png", f"{name}.png", "-o", "codes.npz")
        assert f"{name}.png must be 16 wide, 16 high and of mode RGB or P or L or 1, got {got}" in said.err
        assert (said.code, len(said.err.splitlines())) == (2, 1)
    assert not Path("codes.npz").exists()


def test_a_slip_is_told_in_a_sentence(
    command: Features, runs: Path, own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("encode", own, "images.npy", "-o", "codes.npz").code == 0
    backbone = str(folder(runs, "cnn"))
    whole = Path("codes.npz").read_bytes()
    Path("half.npz").write_bytes(whole[:300])
    Path("text.npy").write_text("no array")
    Path("text.jpg").write_text("no picture")
    Path("half.png").write_bytes(Path("0.png").read_bytes()[:400])
    np.save("float.npy", IMAGES.astype(np.float32))
    np.save("objects.npy", np.array([{}]))
    np.save("number.npy", np.array(3))
    np.save("none.npy", IMAGES[:0])
    to = ("-o", "new.npz")
    for line, sentence in (
        (("encode", backbone, "0.png", *to), "model=feature_autoencoder makes and reads, got one of cnn seed=0, a CNN"),
        (("decode", backbone, "codes.npz"), "model=feature_autoencoder makes and reads, got one of cnn seed=0, a CNN"),
        (("decode", str(tmp_path), "codes.npz"), "load needs the folder of a finished run"),
        (("encode", own, "9.png", *to), "IMAGE must be a file, got 9.png, which is none"),
        (("encode", own, "codes.npz", *to), "IMAGE must be a PNG or JPEG file or a .npy, got codes.npz"),
        (("encode", own, "text.npy", *to), "text.npy must be a .npy of uint8 images, and cannot be read as one"),
        (("encode", own, "objects.npy", *to), "objects.npy must be a .npy of uint8 images, and cannot be read as one"),
        (("encode", own, "text.jpg", *to), "text.jpg must be a whole PNG or JPEG file, and cannot be read as one"),
        (("encode", own, "half.png", *to), "half.png must be a whole PNG or JPEG file, and cannot be read as one"),
        (
            ("encode", own, "float.npy", *to),
            "float.npy: images must be uint8 of shape (B, 3, 16, 16) or (B, 16, 16, 3)",
        ),
        (("encode", own, "number.npy", *to), "number.npy: images must be uint8 of shape (B, 3, 16, 16)"),
        (("encode", own, "none.npy", *to), "none.npy"),
        (("encode", own, "0.png", "-o", "0.png"), "--output must be a .npz file, got 0.png"),
        (("encode", own, "0.png", "-o", "no/new.npz"), "--output must be in a folder that is there, got no/new.npz"),
        (("decode", own, "codes.npz", "-o", "codes.npz"), "--output must be a .csv file, got codes.npz"),
        (("decode", own, "half.npz"), "half.npz must be a whole file of codes"),
        (("decode", own, "none.npz"), "codes cannot be read from none.npz (No such file or directory)"),
        (("decode", own, "codes.npz", "--device", "none"), "device must be one that torch can use here"),
    ):
        said = command(*line)
        assert sentence in said.err
        assert (said.code, said.out, len(said.err.splitlines())) == (2, "", 1), line
    assert command().code == 2
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # noqa: ARG005
    said = command("encode", own, "images.npy", "0.png", *to)
    assert "0.png needs Pillow, which is not installed: pip install 'hybridnets[report]', or give a .npy" in said.err
    assert not Path("new.npz").exists()
    assert Path("codes.npz").read_bytes() == whole


def test_names_that_a_terminal_cannot_show_are_shown(command: Features, own: str) -> None:
    shutil.copy("0.png", "여우 \x1b[31m.png")
    assert command("encode", own, "여우 \x1b[31m.png", "-o", "codes.npz").code == 0
    said = command("decode", own, "codes.npz")
    assert "\n여우 [U+001B][31m.png  " in said.out


def test_another_process_that_has_the_run_only(command: Features, own: str, tmp_path: Path) -> None:
    """The other side has neither the images nor, since they are this test's own, the data set."""
    assert command("encode", own, "images.npy", "-o", "codes.npz").code == 0
    there = tmp_path / "there"
    shutil.copytree(own, there / "run")
    shutil.copy("codes.npz", there)
    done = python("features.py", "decode", "run", "codes.npz", cwd=there)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == command("decode", own, "codes.npz").out


def test_help_does_not_wait_for_torch(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("torch", "numpy", "hybridnets"):
        monkeypatch.setitem(sys.modules, name, None)  # an import of it fails
    with pytest.raises(SystemExit, match="0"):
        features.main(["--help"])
    assert "python features.py decode RUN codes.npz" in capfd.readouterr().out
