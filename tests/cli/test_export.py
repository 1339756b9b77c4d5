"""`hybridnets export` as a user calls it: what it prints, what it refuses, and what it leaves behind."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hybridnets
from hybridnets.cli import export as command
from hybridnets.predicting.predictor import Network
from tests.conftest import SMALL
from tests.predicting.test_codes import CNN, FEW, folder
from tests.predicting.test_codes import run as train

onnxruntime: Any = pytest.importorskip("onnxruntime", reason="the extra export is not installed")
pytest.importorskip("onnxscript", reason="the extra export is not installed")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    train(*SMALL, "model=crnn", "rnn=bigru", "nodes=2", "trainer.max_epochs=1", f"out={out}")
    (result,) = out.rglob("result.json")
    return result.parent


def exported(*words: object, code: int = 0) -> None:
    assert command.main(["export", *map(str, words)]) == code


@pytest.mark.filterwarnings("ignore:.*were assigned during export:UserWarning")
@pytest.mark.parametrize("ending", ["onnx", "pt2"])
def test_the_stored_predictions_are_what_the_file_is_checked_against(
    ending: str, run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"digits.{ending}"
    exported(run, "-o", path)
    out, err = capfd.readouterr()
    assert err == ""
    assert out.startswith(f"{path}: crnn-bigru-1x2 seed=0, a sequence of 32 steps\n")
    assert "takes   uint8 images (B, 3, 32, 32), gives probabilities (B, 10), for any B" in out
    (difference,) = re.findall(r"largest difference (\S+) from the run's stored probabilities of 100 test images", out)
    assert float(difference) < 1e-5
    assert f"size    {path.stat().st_size:,} bytes (the run's checkpoint: " in out
    assert re.search(
        r"speed   \d+\.\d ms for 32 images; hybridnets \d+\.\d ms \(.+\); measured now on this machine's CPU", out
    )
    assert list(tmp_path.iterdir()) == [path]


def test_without_its_images_random_ones_are_computed(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "seed=0"
    shutil.copytree(run, copy)
    (copy / "config.yaml").unlink()
    monkeypatch.setattr("hybridnets.program.name", lambda command: f"call of {command}")
    exported(copy, "-o", tmp_path / "m.onnx")
    out, err = capfd.readouterr()
    assert "from the run's probabilities of 100 random images, computed now" in out
    assert err.startswith(
        "call of export: checked with random images, because the run's test images are not available ("
    )
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    images = np.random.default_rng(5).integers(0, 256, (3, 3, 32, 32), np.uint8)
    expected = hybridnets.load(run).predict(images)
    np.testing.assert_allclose(session.run(None, {"images": images})[0], expected, rtol=0, atol=1e-5)


def test_a_run_of_other_images_than_the_data_set_has_now(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "seed=0"
    shutil.copytree(run, copy)
    config = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(
        config.replace("_target_: hybridnets.data.digits.load", "_target_: tests.predicting.test_codes.few")
    )
    exported(copy, "-o", tmp_path / "m.onnx")
    assert "the data set's content is not what the run was trained on" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("-o", "m.h5"), "--output must be a .onnx or .pt2 file, or --format must say which it is, got m.h5"),
        (("-o", "m.pt2", "--format", "onnx"), "--output must be a .onnx file with --format onnx, got m.pt2"),
        (("-o", "no/m.onnx"), "--output must be in an existing folder, got no/m.onnx"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(
    words: tuple[str, ...],
    sentence: str,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    exported(run, *words, code=2)
    assert capfd.readouterr().err == f"hybridnets export: {sentence}\n"
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_is_one_sentence_for_onnx_alone(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "PACKAGES", ("onnx", "onnxmissing"))
    exported(run, "-o", tmp_path / "m.onnx", code=2)
    sentence = "ONNX needs onnxmissing, not installed here: pip install 'hybridnets[export]'"
    assert capfd.readouterr().err == f"hybridnets export: {sentence}\n"
    exported(run, "-o", tmp_path / "m.pt2")
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt2"]


def test_a_wrong_graph_is_refused_with_its_difference(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    forward = Network.forward
    monkeypatch.setattr(Network, "forward", lambda self, images: forward(self, images) * 1.01)
    exported(run, "-o", tmp_path / "m.onnx", code=2)
    error = capfd.readouterr().err
    assert "must give the run's probabilities within 0.0001, but differs by 0.00" in error
    assert "nothing is written" in error
    own, exports = re.findall(r"differs by (\S+?)(?: from|\))", error)
    assert own == exports  # what is exported is what predicts
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("older", [None, b"older"])
def test_ctrl_c_leaves_no_half_file(older: bytes | None, run: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    if older:
        path.write_bytes(older)
    script = (
        "import sys, time\nfrom hybridnets import signals\nfrom hybridnets.cli import main\n"
        "from hybridnets.predicting import exporting\n"
        "from pathlib import Path\nwrite = Path.write_bytes\n"
        "def slow(self, content):\n write(self, content[:100])\n print('writing', flush=True)\n time.sleep(600)\n"
        "exporting.Path.write_bytes = slow\n"
        "sys.exit(main())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, "export", str(run), "-o", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's & has it ignored
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    assert len(list(tmp_path.iterdir())) == 1 + bool(older)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in error
    assert [path.read_bytes() for path in tmp_path.iterdir()] == ([older] if older else [])


def test_a_run_of_less_precision_is_compared_in_float32(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train(*FEW, *CNN, "trainer.precision=bf16-mixed", "optimizer.fused=false", f"out={tmp_path / 'runs'}")
    capfd.readouterr()
    exported(folder(tmp_path / "runs" / "few", "cnn"), "-o", tmp_path / "m.pt2")
    out, err = capfd.readouterr()
    assert err == ""
    assert "the run's probabilities of 8 test images, computed now in float32 as it was measured in bf16-mixed" in out
