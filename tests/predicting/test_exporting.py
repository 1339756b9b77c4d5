"""Exported networks: every architecture and cell gives the run's probabilities, and what does not is not written."""

import functools
import json
import logging
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hybridnets
from hybridnets.models import CNN, VGG16
from hybridnets.predicting import exporting
from hybridnets.predicting.exporting import ExportError, export, random_examples, stored_examples
from tests.conftest import ROOT
from tests.predicting.test_codes import few, run

onnxruntime: Any = pytest.importorskip("onnxruntime", reason="the extra export is not installed")
pytest.importorskip("onnxscript", reason="the extra export is not installed")

CELLS = sorted(path.stem for path in (ROOT / "conf" / "rnn").glob("*.yaml"))
DATA = ("data=digits", "data.name=few", "data.dataset._target_=tests.predicting.test_codes.few", "data.batch_size=8")
STEPS = 32  # 2 x 2 positions of 8 channels
BLOCKS = ("model.channels=[4,8,8]", "model.batch_norm_momentum=0.5", "trainer.max_epochs=1")
RECURRENT = (*BLOCKS, "nodes=3")
DENSE = "model.dense=[16,8,16]"
ARCHITECTURES: dict[str, tuple[str, ...]] = {
    "cnn": ("model=cnn", *BLOCKS),
    "ecnn": ("model=ecnn", DENSE, *BLOCKS),
    "vgg16": ("model=vgg16", "model.image_size=32", "model.dense=[8]", "trainer.max_epochs=1"),
    **{f"crnn-{cell}": ("model=crnn", f"rnn={cell}", "layers=2", *RECURRENT) for cell in CELLS},
    **{f"ecrnn-{cell}": ("model=ecrnn", f"rnn={cell}", DENSE, *RECURRENT) for cell in CELLS},
    "ecrnn-positions": (
        "model=ecrnn",
        "rnn=bilstm",
        DENSE,
        "model.sequence=positions",
        "model.order=permuted",
        *RECURRENT,
    ),
    **{
        f"cnn+{kind}": (
            *("model=feature_autoencoder", "model.channels=2", f"model.kind={kind}", "trainer.max_epochs=1"),
            f"backbone=[{','.join(('model=cnn', *BLOCKS))}]",
        )
        for kind in ("cae", "sae")
    },
}


@functools.cache
def trained(name: str, out: Path) -> Path:
    """The folder of a run of one epoch."""
    if "+" in name:
        run(*DATA, *ARCHITECTURES["cnn"], f"out={out / name}")
    run(*DATA, *ARCHITECTURES[name], f"out={out / name}")
    (folder,) = [path.parent for path in (out / name).rglob("result.json") if ("+" in name) == ("+" in path.parts[-3])]
    return folder


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def computed(path: Path, images: np.ndarray) -> np.ndarray:
    """What an exported file computes, by the program that it is for."""
    if path.suffix == ".onnx":
        (result,) = onnxruntime.InferenceSession(path).run(["probabilities"], {"images": images})
        return np.asarray(result)
    with torch.no_grad():
        return np.asarray(torch.export.load(path).module()(torch.from_numpy(images)))


@pytest.mark.filterwarnings("ignore:.*were assigned during export:UserWarning")
@pytest.mark.parametrize("kind", ["onnx", "pt2"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_file_gives_the_probabilities_that_the_run_stored(
    name: str, kind: exporting.Format, out: Path, tmp_path: Path
) -> None:
    folder = trained(name, out)
    predictor = hybridnets.load(folder)
    path = tmp_path / f"model.{kind}"
    images = few().test_images
    exported = export(predictor, path, kind, stored_examples(predictor, folder, images, "32-true"))
    with np.load(folder / "predictions.npz") as arrays:
        stored = arrays["test_probabilities"]
    assert stored.shape == (8, 10)
    assert exported.difference < 1e-5
    assert exported.size == path.stat().st_size
    assert exported.steps == (None if "rnn" not in name else 4 if "positions" in name else STEPS)
    for batch in (images, images[:1], np.concatenate([images] * 9)):  # 72 images: VGG16 alone would cut them into parts
        expected = np.concatenate([stored] * 9)[: len(batch)]
        np.testing.assert_allclose(computed(path, batch), expected, rtol=0, atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == [path.name]


def test_the_file_says_what_it_is(out: Path, tmp_path: Path) -> None:
    folder = trained("cnn", out)
    predictor = hybridnets.load(folder)
    result = json.loads((folder / "result.json").read_text())
    for kind in get_args(exporting.Format):
        export(predictor, tmp_path / f"model.{kind}", kind, random_examples(predictor))
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    files = {"metadata.json": ""}
    torch.export.load(tmp_path / "model.pt2", extra_files=files)
    for stated in (session.get_modelmeta().custom_metadata_map, json.loads(files["metadata.json"])):
        assert (stated["run"], stated["identity"], stated["weights"]) == (
            "cnn seed=0",
            result["hash"],
            result["weights"],
        )
        assert json.loads(stated["classes"]) == list("0123456789")
        assert json.loads(stated["image_shape"]) == [3, 16, 16]
        assert stated["resize"] == "none: images must have this shape"
        assert json.loads(stated["versions"]) == {"hybridnets": hybridnets.__version__, "torch": torch.__version__}
    ((name, shape, kind),) = [(each.name, each.shape, each.type) for each in session.get_inputs()]
    assert (name, shape[1:], kind) == ("images", [3, 16, 16], "tensor(uint8)")
    assert isinstance(shape[0], str)  # any batch


@pytest.mark.parametrize("kind", ["onnx", "pt2"])
def test_other_probabilities_are_refused_and_an_older_file_stays(
    kind: exporting.Format, out: Path, tmp_path: Path
) -> None:
    folder = trained("cnn", out)
    predictor = hybridnets.load(folder)
    examples = stored_examples(predictor, folder, few().test_images, "32-true")
    path = tmp_path / f"model.{kind}"
    path.write_text("older")
    for column, change in ((0, 2e-4), (9, float("nan"))):
        wrong = examples.probabilities.copy()
        wrong[7, column] += change  # the last image of eight
        with pytest.raises(
            ExportError, match=r"within 0\.0001, but differs by .* the run's stored probabilities of 8 test images"
        ):
            export(predictor, path, kind, exporting.Examples(examples.images, wrong, examples.source))
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_of_less_precision_is_checked_against_its_network_in_float32(out: Path) -> None:
    folder = trained("cnn", out)
    predictor = hybridnets.load(folder)
    examples = stored_examples(predictor, folder, few().test_images, "bf16-mixed")
    assert (
        examples.source
        == "the run's probabilities of 8 test images, computed now in float32 as it was measured in bf16-mixed"
    )
    torch.testing.assert_close(torch.from_numpy(examples.probabilities), predictor.predict(few().test_images))


def test_predictions_of_other_images_are_no_examples(out: Path, tmp_path: Path) -> None:
    folder = trained("cnn", out)
    predictor = hybridnets.load(folder)
    with pytest.raises(ExportError, match="are of other images than the data set has"):
        stored_examples(predictor, folder, few().test_images[:7], "32-true")
    with pytest.raises(ExportError, match="holds no probabilities of its test images"):
        stored_examples(predictor, tmp_path, few().test_images, "32-true")


class Deciding(CNN):
    """A model of the user's own that looks at a value, which no graph can."""

    def classify(self, maps: Tensor) -> Tensor:
        """Logits (B, K)."""
        logits = super().classify(maps)
        return logits if logits.sum() > 0 else -logits


class Fixed(CNN):
    """One that holds the length of a batch."""

    def classify(self, maps: Tensor) -> Tensor:
        """Logits (B, K)."""
        return super().classify(maps) + torch.zeros(2, 1)


@pytest.mark.parametrize("kind", ["onnx", "pt2"])
@pytest.mark.parametrize("model", [Deciding, Fixed])
def test_a_model_that_cannot_be_recorded_is_one_sentence(
    model: type[CNN], kind: exporting.Format, out: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    predictor = hybridnets.load(trained("cnn", out))
    examples = random_examples(predictor)
    predictor.model.__class__ = model
    with pytest.raises(
        ExportError, match=rf"cannot be exported, because torch cannot record {model.__name__}"
    ) as error:
        export(predictor, tmp_path / "model", kind, examples)
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == logging.NOTSET
    assert not list(tmp_path.iterdir())


def test_torchs_notes_on_its_work_do_not_reach_the_user(
    out: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    predictor = hybridnets.load(trained("ecrnn-bilstm", out))
    for kind in get_args(exporting.Format):
        export(predictor, tmp_path / f"model.{kind}", kind, random_examples(predictor))
    assert capfd.readouterr() == ("", "")


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_users_own_call_of_torchs_exporter_writes_the_right_graph(out: Path, tmp_path: Path) -> None:
    model = hybridnets.load(trained("crnn-bigru", out)).model
    images = torch.randn(7, 3, 16, 16)
    dynamic = ({0: torch.export.Dim("batch", min=1)},)
    torch.onnx.export(model, (images[:2],), tmp_path / "m.onnx", dynamo=True, verbose=False, dynamic_shapes=dynamic)
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    (logits,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(logits, model(images), rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="use hybridnets export"):
        torch.onnx.export(model, (images[:2],), tmp_path / "old.onnx", dynamo=False)
    assert not (tmp_path / "old.onnx").exists()


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("name", ["cnn", "ecnn", "vgg16", "cnn+cae", "cnn+sae"])
def test_the_old_exporter_is_right_where_it_is_not_refused(name: str, out: Path, tmp_path: Path) -> None:
    model: nn.Module = hybridnets.load(trained(name, out)).model.requires_grad_(False)
    torch.manual_seed(0)
    images = torch.randn(72, 3, 16, 16)
    dynamic = {"x": {0: "batch"}, "y": {0: "batch"}}
    names: dict[str, Any] = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": dynamic}
    with torch.no_grad():
        torch.onnx.export(model, (images[:2],), tmp_path / "old.onnx", dynamo=False, **names)
        for count in (1, 7, 72):
            (logits,) = onnxruntime.InferenceSession(tmp_path / "old.onnx").run(None, {"x": images[:count].numpy()})
            np.testing.assert_allclose(logits, model(images[:count]), rtol=0, atol=1e-4)


def test_vgg16_cuts_large_batches_only_where_nothing_records_them() -> None:
    model = VGG16((3, 32, 32), 4, image_size=None, dense=[8]).eval()
    model.batch_limit = 3
    images = torch.randn(7, 3, 32, 32)
    dynamic = ({0: torch.export.Dim("batch", min=1)},)
    with torch.no_grad():
        program = torch.export.export(model, (images[:2],), dynamic_shapes=dynamic)
        torch.testing.assert_close(program.module()(images), model(images), rtol=0, atol=1e-5)
        assert not [node for node in program.graph.nodes if "split" in str(node.target)]
