"""A finished run's network as one file that computes without hybridnets: uint8 images in, class probabilities out.

An ONNX file is written by torch.onnx.export(dynamo=True), with a recurrent layer as ONNX's own operator, and a .pt2 file by
torch.export. Standardisation and softmax are in the graph, and a batch may have any length. Nothing is written before the
graph, computed by ONNX Runtime or by torch, gives the run's own probabilities.
"""

import contextlib
import io
import json
import logging
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import hybridnets
from hybridnets.models.stages import AsSequence
from hybridnets.predicting.predictor import Predictor
from hybridnets.program import plural
from hybridnets.rnn.backends import Accelerated, settle_backends
from hybridnets.runs.files import replacing
from hybridnets.runs.records import predictions

Format = Literal["onnx", "pt2"]
Compute = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # images (B, C, H, W) to probabilities (B, K)

TOLERANCE = 1e-4  # of a probability
FEW = (1, 2, 7)  # the first batches of the check; the others have SPEED_BATCH images
IMAGES = 100  # of the check
SPEED_BATCH = 32
REPEATS = 5
LARGEST_ONNX = 2**31  # bytes of a file without further ones beside it
INPUT, OUTPUT = "images", "probabilities"


class ExportError(ValueError):
    """A network that cannot be exported; the message is one sentence for the user."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Images with the probabilities that the exported network must give.

    Attributes:
        images: uint8, (N, C, H, W).
        probabilities: (N, K).
        source: Whose probabilities of which images they are, in words.
    """

    images: NDArray[np.uint8]
    probabilities: NDArray[np.floating]
    source: str


@dataclass(frozen=True)
class Exported:
    """What was written, and how it compares with the run here.

    Attributes:
        size: Bytes of the file.
        difference: The largest difference of a probability from that of the examples.
        computed_by: What computed the file's graph, with its version.
        milliseconds: Of a batch of 32 images, by what computed it.
        own_milliseconds: Of the same batch, by hybridnets.
        own_kernels: What computed that: torch, or the names of kernels.
        steps: Steps of the recurrent layers' sequence; None for a network without such layers.
    """

    size: int
    difference: float
    computed_by: str
    milliseconds: float
    own_milliseconds: float
    own_kernels: str
    steps: int | None


def stored_examples(run: Predictor, folder: Path, test_images: NDArray[np.uint8], precision: str) -> Examples:
    """The first test images of a run's data set, with the probabilities that the run stored of them.

    A run that was measured in less than float32 stored probabilities that only this precision gives: then the examples have
    those of the loaded network, which computes in float32.

    Args:
        run: The run.
        folder: Its folder.
        test_images: The data set's test images, uint8, (N, C, H, W).
        precision: The precision in which the run was trained and measured, as Lightning names it.

    Raises:
        ExportError: If the folder has no probabilities of these images.
    """
    stored = predictions.PredictionsReader().read(folder).get("test")
    probabilities, _ = predictions.read_probabilities(folder, "test")
    if stored is None or probabilities is None or len(probabilities) != len(stored.index):
        raise ExportError(f"{folder} holds no probabilities of its test images")
    if stored.index.max() >= len(test_images):
        raise ExportError(f"the predictions in {folder} are of other images than the data set has")
    images = np.ascontiguousarray(test_images[stored.index[:IMAGES]])
    count = plural(len(images), "test image")
    if precision not in ("32-true", "64-true"):
        source = f"the run's probabilities of {count}, computed now in float32 as it was measured in {precision}"
        return Examples(images, _own(run)(images), source)
    return Examples(images, probabilities[: len(images)], f"the run's stored probabilities of {count}")


def random_examples(run: Predictor) -> Examples:
    """A fixed set of random images, with the probabilities that the loaded network gives them.

    Args:
        run: The run.
    """
    shape = (IMAGES, *run.image_shape)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return Examples(images, _own(run)(images), f"the run's probabilities of {IMAGES} random images, computed now")


def export(run: Predictor, path: Path, kind: Format, examples: Examples) -> Exported:
    """Writes a run's network to a file, if what is to be written gives the run's probabilities.

    Args:
        run: The run, on the CPU.
        path: The file.
        kind: Its format.
        examples: What the graph must give.

    Raises:
        ExportError: If the network cannot be recorded, or its graph gives other probabilities; no file is written then.
    """
    content = (_onnx if kind == "onnx" else _pt2)(run)
    compute, computed_by = (_computed_by_onnx_runtime if kind == "onnx" else _computed_by_torch)(content)
    difference = _largest_difference(compute, examples)
    if not difference <= TOLERANCE:  # nor NaN
        own = _largest_difference(_own(run), examples)
        raise ExportError(
            f"the exported network must give the run's probabilities within {TOLERANCE:g}, but differs by {difference:.2g} "
            f"from {examples.source} (the network before its export, computed here, differs by {own:.2g}): nothing is written"
        )
    batch = np.take(examples.images, range(SPEED_BATCH), axis=0, mode="wrap")
    exported = Exported(
        size=len(content),
        difference=difference,
        computed_by=computed_by,
        milliseconds=_milliseconds(compute, batch),
        own_milliseconds=_milliseconds(_own(run), batch),
        own_kernels=_kernels(run.model),
        steps=steps(run),
    )
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return exported


def metadata(run: Predictor) -> dict[str, str]:
    """What a file says of its network: ONNX's metadata_props, or metadata.json within a .pt2.

    Args:
        run: The run.
    """
    return {
        "run": run.name,
        "identity": run.hash,
        "weights": run.weights,
        "classes": json.dumps(run.classes, ensure_ascii=False),
        "image_shape": json.dumps(run.image_shape),
        "input": "uint8 pixels of 0 to 255, (batch, channels, height, width); standardised in the graph",
        "output": "probabilities, (batch, classes)",
        "resize": run.resize or "none: images must have this shape",
        "versions": json.dumps({"hybridnets": hybridnets.__version__, "torch": torch.__version__}),
    }


def steps(run: Predictor) -> int | None:
    """Steps of the sequence that a run's recurrent layers read; None for a network that cuts none.

    Args:
        run: The run.
    """
    return next((layer.steps for layer in run.model.modules() if isinstance(layer, AsSequence)), None)


def _onnx(run: Predictor) -> bytes:
    size = sum(tensor.numel() * tensor.element_size() for tensor in run.network.state_dict().values())
    if size >= LARGEST_ONNX:
        raise ExportError(
            f"{run.name} must have less than 2 GB for one ONNX file, got {size / 1e9:.1f} GB: use --format pt2"
        )
    with _recording(run):
        program: Any = torch.onnx.export(
            run.network,
            (_example(run),),
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=(_batch(),),
        )
        if isinstance(program.model.graph.inputs[0].shape[0], int):  # which torch.onnx accepts, unlike torch.export
            raise ValueError("its result depends on the length of a batch")
        program.model.metadata_props.update(metadata(run))
        content: bytes = program.model_proto.SerializeToString()
    return content


def _pt2(run: Predictor) -> bytes:
    buffer = io.BytesIO()
    with _recording(run):
        program = torch.export.export(run.network, (_example(run),), dynamic_shapes=(_batch(),))
        torch.export.save(program, buffer, extra_files={"metadata.json": json.dumps(metadata(run), ensure_ascii=False)})
    return buffer.getvalue()


def _example(run: Predictor) -> Tensor:
    return torch.zeros(2, *run.image_shape, dtype=torch.uint8)


def _batch() -> Mapping[int, Any]:
    return {0: torch.export.Dim("batch", min=1)}


@contextlib.contextmanager
def _recording(run: Predictor) -> Iterator[None]:
    """Records without gradients and without torch's notes on its own work; what it cannot record becomes one sentence."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    quiet = io.StringIO()
    try:
        with (
            torch.no_grad(),
            warnings.catch_warnings(action="ignore"),
            contextlib.redirect_stdout(quiet),
            contextlib.redirect_stderr(quiet),
        ):
            yield
    except Exception as error:  # torch raises nearly anything, with the first cause at its end
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        reason = " ".join(str(cause).split())[:200] or type(cause).__name__
        raise ExportError(
            f"{run.name} cannot be exported, because torch cannot record {type(run.model).__name__} for batches of any "
            f"length ({reason}): its forward must consist of torch's operations, without Python's decisions on their values"
        ) from error
    finally:
        logging.disable(before)


def _computed_by_onnx_runtime(content: bytes) -> tuple[Compute, str]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run([OUTPUT], {INPUT: images})[0], f"ONNX Runtime {onnxruntime.__version__}"


def _computed_by_torch(content: bytes) -> tuple[Compute, str]:
    with warnings.catch_warnings(action="ignore"):
        network = torch.export.load(io.BytesIO(content)).module()

    def compute(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.no_grad():
            return np.asarray(network(torch.from_numpy(images)))

    return compute, f"torch {torch.__version__}"


def _own(run: Predictor) -> Compute:
    """What hybridnets computes, in batches of at most 32, as the exported network is asked."""

    def compute(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = np.split(images, range(SPEED_BATCH, len(images), SPEED_BATCH))
        return np.concatenate([run.predict(part).float().cpu().numpy() for part in parts])

    return compute


def _largest_difference(compute: Compute, examples: Examples) -> float:
    """The largest difference of a probability, over batches of 1, 2, 7 and then 32 images; NaN if one is."""
    images, probabilities, start = examples.images, examples.probabilities, 0
    differences: list[float] = []
    while start < max(len(images), sum(FEW)):
        size = FEW[len(differences)] if len(differences) < len(FEW) else min(SPEED_BATCH, len(images) - start)
        positions = range(start, start + size)  # of few images some come again
        batch, expected = (np.take(array, positions, axis=0, mode="wrap") for array in (images, probabilities))
        try:
            result = compute(batch)
        except Exception as error:  # which one depends on what computes
            why = " ".join(str(error).split())[:200]
            raise ExportError(
                f"the exported network must compute {size} images, but fails ({why}): nothing is written"
            ) from error
        if result.shape != expected.shape:
            raise ExportError(
                f"the exported network must give {expected.shape} probabilities, got {result.shape}: nothing is written"
            )
        differences.append(np.abs(result - expected).max())
        start += size
    return float(np.max(differences))


def _milliseconds(compute: Compute, images: NDArray[np.uint8]) -> float:
    """The median of a few calls after a first one, which may compile or allocate."""
    compute(images)
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        compute(images)
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds)


def _kernels(model: nn.Module) -> str:
    """What computed a model's layers in this process, in words; its layers keep their backends."""
    layers = [layer for layer in model.modules() if isinstance(layer, Accelerated)]
    before = [layer.backend for layer in layers]
    kernels = settle_backends(model, "cpu", None) or ["torch"]
    for layer, backend in zip(layers, before, strict=True):
        layer.backend = backend
    return " and ".join(kernels)
