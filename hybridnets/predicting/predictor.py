"""Loads a finished run's model from its folder alone, and predicts with it; the data set is not needed."""

import importlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from hybridnets.models import Classifier, FeatureAutoencoder
from hybridnets.predicting.codes import CodesError, EncodedImages
from hybridnets.runs.records.result import Result
from hybridnets.runs.store import BEST_CHECKPOINT, Run, result_with_weights
from hybridnets.training.checkpoints import RefusedCheckpointError, hash_weights, load_checkpoint

BATCH_SIZE = 100  # images, as in evaluation


def load_predictor(folder: Path, device: str = "cpu") -> "Predictor":
    """Loads the weights of a run's reported epoch.

    Args:
        folder: The run's folder.
        device: The device that computes, as torch names it.

    Returns:
        An `AutoencoderPredictor` if the run trained a feature autoencoder, otherwise a `Predictor`.

    Raises:
        ValueError: If the folder holds no finished run, its weights are missing or not those of its result, its model cannot
            be loaded, or torch has no such device.
    """
    result, best = result_with_weights(folder), folder / BEST_CHECKPOINT
    try:
        torch.zeros(1, device=device).tolist()  # which refuses devices without memory, such as meta
        device = "cpu" if torch.device(device).type == "cpu" else device  # a checkpoint cannot be loaded to cpu:0
    except Exception as error:  # which one depends on the device and on how torch was built
        raise ValueError(f"device must be one that torch can use here, such as cpu, got {device!r}") from error
    try:
        module, _, name = result.identity["model"]["_target_"].rpartition(".")
        architecture = getattr(importlib.import_module(module), name)
        checkpoint = load_checkpoint(best, device)  # first, because it refuses what could execute code
        model = architecture.load_from_checkpoint(best, map_location=device, weights_only=True).eval()
        kind = AutoencoderPredictor if isinstance(model, FeatureAutoencoder) else Predictor
        predictor = kind(model, checkpoint, result)
    except RefusedCheckpointError:
        raise
    except Exception as error:  # torch raises nearly anything, and some of its messages give bad advice
        text = " ".join(str(error).split())
        reason = "" if "weights_only" in text else f": {text[:200]}"
        raise ValueError(
            f"{folder} must hold a run whose model can be loaded, got {type(error).__name__} while loading it{reason}"
        ) from error
    if result.weights and predictor.weights != result.weights:  # results of the first versions do not have it
        raise ValueError(
            f"the weights in {folder} must be those that its result was measured with, but differ from them"
        )
    return predictor


class Predictor:
    """Predicts with the model of a finished run.

    Args:
        model: The model, in evaluation mode.
        checkpoint: The checkpoint that holds its weights, with the state of its data module.
        result: The run's result.

    Attributes:
        model: The model, in evaluation mode.
        classes: The classes' names.
        image_shape: (C, H, W).
        resize: How the run's data brought pictures of other sizes to this one, a name in
            `hybridnets.data.decoding.RESIZES`; None where they did not.
        name: The run's name, which consists of variant and seed.
        hash: SHA-256 of its identity.
        weights: SHA-256 of its weights and running statistics.
    """

    def __init__(self, model: Classifier, checkpoint: Mapping[str, Any], result: Result) -> None:
        self.model = model
        data = checkpoint[result.identity["data"]["_target_"].rpartition(".")[2]]
        self.mean, self.std, self.classes = data["mean"], data["std"], tuple(data["classes"])
        self.resize = data.get("resize")
        self.image_shape = tuple(checkpoint["hyper_parameters"]["image_shape"])
        self.weights = hash_weights(checkpoint["state_dict"])
        self.name, self.hash = Run(Path(), result.identity).name, result.hash

    @torch.no_grad()
    def predict(self, images: Tensor | NDArray[Any]) -> Tensor:
        """Class probabilities, (B, K) on the model's device.

        Args:
            images: uint8, (B, C, H, W) or, as cameras and files give them, (B, H, W, C).

        Raises:
            ValueError: If the images are not uint8 or not of the shape that the model was trained on.
        """
        return self.model.probabilities(self._standardized(self._checked(images)))

    def __getattr__(self, name: str) -> Any:
        """Names the run that has a missing attribute, so that a call of `encode` on any other run says what it needs."""
        if hasattr(AutoencoderPredictor, name):
            raise MissingCodeError(
                f"{name} needs a run of model=feature_autoencoder, got {self.name}, a {type(self.model).__name__}"
            )
        raise AttributeError(f"{type(self).__name__} has no attribute {name}")

    def _checked(self, images: Tensor | NDArray[Any]) -> Tensor:
        """Images as uint8 (B, C, H, W)."""
        if not isinstance(images, Tensor):
            images = np.ascontiguousarray(images)  # torch takes no mirrored views
        channels, height, width = self.image_shape
        if images.shape[1:] not in ((channels, height, width), (height, width, channels)) or str(images.dtype) not in (
            "uint8",
            "torch.uint8",
        ):
            raise ValueError(
                f"images must be uint8 of shape (B, {channels}, {height}, {width}) or (B, {height}, {width}, {channels}), "
                f"got {images.dtype} of {tuple(images.shape)}"
            )
        pixels = images if isinstance(images, Tensor) else torch.from_numpy(images)
        return pixels if pixels.shape[1:] == self.image_shape else pixels.permute(0, 3, 1, 2)

    def _standardized(self, images: Tensor) -> Tensor:
        pixels = images.to(self.model.device).to(torch.float32, memory_format=torch.channels_last)
        return (pixels - self.mean) / self.std  # type: ignore[no-any-return]


class AutoencoderPredictor(Predictor):
    """Predicts with a feature autoencoder in two halves, as on the two ends of a network connection.

    The device encodes, for which it needs the backbone up to its feature maps and the autoencoder's encoder. The cloud
    decodes without any image, for which it needs the autoencoder's decoder and the part of the backbone that classifies maps.
    An instance loads both halves; `sizes` gives the size of each.

    Source:
        The two sides: Go, Kwon, Kim, figure 1.
    """

    model: FeatureAutoencoder

    @torch.no_grad()
    def encode(self, images: Tensor | NDArray[Any], names: Sequence[str] | None = None) -> EncodedImages:
        """The device's side: encodes images in batches of 100, so that a memory-mapped array is read piece by piece.

        Args:
            images: As for `predict`.
            names: A name for each image; their positions by default.

        Raises:
            ValueError: If the images are not what `predict` takes.
            CodesError: If there are no images, or a code is not finite.
        """
        batches = torch.split(self._checked(images), BATCH_SIZE)
        code = torch.cat([self._code(batch).float().cpu() for batch in batches])  # (B, *code_shape)
        if names is None:
            names = tuple(map(str, range(len(code))))
        return EncodedImages(code.contiguous().numpy(), tuple(names), self.name, self.hash, self.weights)

    @torch.no_grad()
    def decode(self, encoded: EncodedImages) -> Tensor:
        """The cloud's side: class probabilities from codes, (B, K) on the model's device.

        Args:
            encoded: What `encode` of the same run returned.

        Raises:
            CodesError: If another run or other weights made the codes.
        """
        code_shape = tuple(self.model.autoencoder.code_shape)
        if encoded.hash != self.hash:
            raise CodesError(
                f"codes must be of the run that decodes them, {self.name} ({self.hash[:12]}), got those of {encoded.run} "
                f"({encoded.hash[:12]})"
            )
        if encoded.weights != self.weights:
            raise CodesError(
                f"codes must be of the weights that decode them, {self.weights[:12]}, got those of {encoded.weights[:12]}: "
                f"{self.name} was trained more than once, take the folder that encoded"
            )
        if encoded.code.shape[1:] != code_shape:
            raise CodesError(f"codes of {self.name} must have the shape {code_shape}, got {encoded.code.shape[1:]}")
        batches = torch.split(torch.from_numpy(encoded.code), BATCH_SIZE)
        logits = [self.model.backbone.classify(self.model.decode(code.to(self.model.device))) for code in batches]
        return F.softmax(torch.cat(logits).float(), dim=1)

    @torch.no_grad()
    def sizes(self) -> tuple[int, int]:
        """The sizes of the device's half of the model and of the cloud's half, in parameters and running statistics.

        Any network can be a backbone, so the device's half is observed: it consists of the modules that run while an image is
        encoded.
        """
        device_modules: set[nn.Module] = set()
        hooks = [m.register_forward_pre_hook(lambda m, _: device_modules.add(m)) for m in self.model.modules()]
        self._code(self._checked(torch.zeros(1, *self.image_shape, dtype=torch.uint8)))
        for hook in hooks:
            hook.remove()
        device = _size(device_modules)
        return device, _size(self.model.modules()) - device

    def _code(self, images: Tensor) -> Tensor:
        """The code of checked images, (B, C, H, W) to (B, *code_shape)."""
        return self.model.encode(self.model.maps(self._standardized(images)))


class MissingCodeError(CodesError, AttributeError):
    """A run has no code, because its model is not a feature autoencoder; the message is one sentence for the user."""


def _size(modules: Iterable[nn.Module]) -> int:
    """Parameters and running statistics that the modules hold themselves."""
    return sum(
        tensor.numel()
        for module in modules
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False))
        if tensor.is_floating_point()
    )
