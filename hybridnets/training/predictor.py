"""A finished run's model, from its folder alone."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from hybridnets.models import FeatureAutoencoder
from hybridnets.runs.files import read_json
from hybridnets.runs.store import Run
from hybridnets.training.checkpoints import weights_digest
from hybridnets.training.codes import Codes, CodesError

AT_ONCE = 100  # images, as evaluation has them


class Predictor:
    """Predicts with the weights of a run's reported epoch; the data set is not needed.

    A run of a feature autoencoder predicts in two halves too, as on two sides of a network. The device encodes: it needs the
    backbone up to its feature maps and the autoencoder's encoder. The cloud decodes: it needs the autoencoder's decoder and
    what in the backbone classifies maps, and no image. Here each loads all of it; `sizes` tells what each would need.

    Args:
        folder: The run's folder.
        device: Where it computes, in torch's words.

    Attributes:
        model: The model, in evaluation mode.
        classes: The classes' names.
        image_shape: (C, H, W).
        name: The run's name: its variant's and its seed.
        hash: SHA-256 of its identity.
        weights: SHA-256 of its weights and running statistics.

    Raises:
        ValueError: If the folder holds no finished run, or one without its weights, its model cannot be read, or there is
            no such device.

    Source:
        The two sides: Go, Kwon, Kim, figure 1.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        result = read_json(folder / "result.json") if folder.is_dir() else None
        best = folder / "checkpoints" / "best.ckpt"
        if not isinstance(result, dict) or "identity" not in result:
            raise ValueError(
                f"load needs the folder of a finished run, with result.json and checkpoints/best.ckpt in it, got {folder}"
            )
        if not best.exists():
            raise ValueError(
                f"the weights of {folder} are not here, as an archive of runs keeps none: copy its checkpoints/best.ckpt from "
                "where it was trained, or train it again with another out="
            )
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:  # which of them depends on how torch was built
            raise ValueError(f"device must be one that torch can use here, such as cpu, got {device!r}") from error
        try:
            module, _, name = result["identity"]["model"]["_target_"].rpartition(".")
            architecture = getattr(importlib.import_module(module), name)
            self.model = architecture.load_from_checkpoint(best, map_location=device, weights_only=True).eval()
            checkpoint = torch.load(best, map_location=device, weights_only=True)
            data = checkpoint[result["identity"]["data"]["_target_"].rpartition(".")[2]]
            self.mean, self.std, self.classes = data["mean"], data["std"], tuple(data["classes"])
            self.image_shape = tuple(checkpoint["hyper_parameters"]["image_shape"])
            self.weights = weights_digest(checkpoint["state_dict"])
            self.name, self.hash = Run(Path(), result["identity"]).name, str(result["hash"])
        except Exception as error:  # torch raises nearly anything, some of it advice that nobody should follow
            why = type(error).__name__
            raise ValueError(f"{folder} must hold a run whose model can be loaded, and does not ({why})") from error
        if self.weights != result.get("weights", self.weights):  # which runs have not noted from the beginning on
            raise ValueError(f"{folder} must hold the weights that its result was measured with, and holds others")

    @torch.no_grad()
    def predict(self, images: Tensor | NDArray[Any]) -> Tensor:
        """Class probabilities, (B, K) on the model's device.

        Args:
            images: uint8, (B, C, H, W) or, as cameras and files give them, (B, H, W, C).

        Raises:
            ValueError: If the images are not uint8 or of another shape than those trained on.
        """
        return self.model.probabilities(self._standardised(self._checked(images)))  # type: ignore[no-any-return]

    @torch.no_grad()
    def encode(self, images: Tensor | NDArray[Any], names: Sequence[str] | None = None) -> Codes:
        """The device's side: the codes of images, made a batch of 100 at a time; a memory-mapped array is read so, too.

        Args:
            images: As for `predict`.
            names: A name an image; their positions without.

        Raises:
            ValueError: If the images are not what `predict` takes, or there is none.
            CodesError: If the run's model is no feature autoencoder, or the codes are not finite.
        """
        model = self._autoencoder()
        parts = torch.split(self._checked(images), AT_ONCE)
        code = torch.cat([model.encode(model.maps(self._standardised(part))).float().cpu() for part in parts])
        called = tuple(map(str, range(len(code))) if names is None else names)
        return Codes(code.contiguous().numpy(), called, self.name, self.hash, self.weights)

    @torch.no_grad()
    def decode(self, codes: Codes) -> Tensor:
        """The cloud's side: class probabilities from codes, (B, K) on the model's device.

        Args:
            codes: What `encode` of the same run gave.

        Raises:
            CodesError: If they are of another run or of other weights, or the run's model is no feature autoencoder.
        """
        model = self._autoencoder()
        if codes.hash != self.hash:
            raise CodesError(
                f"codes must be of the run that decodes them, {self.name} ({self.hash[:12]}), got those of {codes.run} "
                f"({codes.hash[:12]})"
            )
        if codes.weights != self.weights:
            raise CodesError(
                f"codes must be of the weights that decode them, {self.weights[:12]}, got those of {codes.weights[:12]}: "
                f"{self.name} was trained more than once, take the folder that encoded"
            )
        if codes.code.shape[1:] != tuple(model.autoencoder.code_shape):
            raise CodesError(
                f"codes of {self.name} must have the shape {tuple(model.autoencoder.code_shape)}, got "
                f"{codes.code.shape[1:]}"
            )
        parts = torch.split(torch.from_numpy(codes.code), AT_ONCE)
        logits = [model.backbone.classify(model.decode(part.to(model.device))) for part in parts]
        return F.softmax(torch.cat(logits).float(), dim=1)

    @torch.no_grad()
    def sizes(self) -> tuple[int, int]:
        """Numbers that the device's half of the model has, and the cloud's: weights and running statistics.

        Raises:
            CodesError: If the run's model is no feature autoencoder.
        """
        model = self._autoencoder()
        used: set[nn.Module] = set()
        # Watched, because any network can be a backbone: the device's half is what runs while an image is encoded.
        hooks = [part.register_forward_pre_hook(lambda part, _: used.add(part)) for part in model.modules()]
        self.encode(torch.zeros(1, *self.image_shape, dtype=torch.uint8))
        for hook in hooks:
            hook.remove()
        device, whole = (
            sum(
                tensor.numel()
                for part in parts
                for tensor in (*part.parameters(recurse=False), *part.buffers(recurse=False))
                if tensor.is_floating_point()
            )
            for parts in (used, model.modules())
        )
        return device, whole - device

    def _autoencoder(self) -> FeatureAutoencoder:
        if not isinstance(self.model, FeatureAutoencoder):
            raise CodesError(
                f"codes are what a run of model=feature_autoencoder makes and reads, got one of {self.name}, a "
                f"{type(self.model).__name__}"
            )
        return self.model

    def _checked(self, images: Tensor | NDArray[Any]) -> Tensor:
        """Images as uint8 (B, C, H, W)."""
        if not isinstance(images, Tensor):
            images = np.ascontiguousarray(images)  # mirrored views too
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

    def _standardised(self, images: Tensor) -> Tensor:
        pixels = images.to(self.model.device).to(torch.float32, memory_format=torch.channels_last)
        return (pixels - self.mean) / self.std  # type: ignore[no-any-return]
