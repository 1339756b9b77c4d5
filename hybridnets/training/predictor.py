"""A finished run's model, from its folder alone."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hybridnets.runs.files import read_json


class Predictor:
    """Predicts with the weights of a run's reported epoch; the data set is not needed.

    Args:
        folder: The run's folder.
        device: Where it computes, in torch's words.

    Attributes:
        model: The model, in evaluation mode.
        classes: The classes' names.
        image_shape: (C, H, W).

    Raises:
        ValueError: If the folder holds no finished run.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        result = read_json(folder / "result.json") if folder.is_dir() else None
        best = folder / "checkpoints" / "best.ckpt"
        if not isinstance(result, dict) or "identity" not in result or not best.exists():
            raise ValueError(
                f"load needs the folder of a finished run, with result.json and checkpoints/best.ckpt in it, got {folder}"
            )
        module, _, name = result["identity"]["model"]["_target_"].rpartition(".")
        architecture = getattr(importlib.import_module(module), name)
        self.model = architecture.load_from_checkpoint(best, map_location=device, weights_only=True).eval()
        checkpoint = torch.load(best, map_location=device, weights_only=True)
        data = checkpoint[result["identity"]["data"]["_target_"].rpartition(".")[2]]
        self.mean, self.std, self.classes = data["mean"], data["std"], tuple(data["classes"])
        self.image_shape = tuple(checkpoint["hyper_parameters"]["image_shape"])

    @torch.no_grad()
    def predict(self, images: Tensor | NDArray[Any]) -> Tensor:
        """Class probabilities, (B, K) on the model's device.

        Args:
            images: uint8, (B, C, H, W) or, as cameras and files give them, (B, H, W, C).

        Raises:
            ValueError: If the images are not uint8 or of another shape than those trained on.
        """
        if not isinstance(images, Tensor):
            images = torch.from_numpy(np.ascontiguousarray(images))  # mirrored views too
        channels, height, width = self.image_shape
        if images.shape[1:] == (height, width, channels) != self.image_shape:
            images = images.permute(0, 3, 1, 2)
        if images.dtype != torch.uint8 or images.shape[1:] != self.image_shape:
            raise ValueError(
                f"images must be uint8 of shape (B, {channels}, {height}, {width}) or (B, {height}, {width}, {channels}), "
                f"got {images.dtype} of {tuple(images.shape)}"
            )
        pixels = images.to(self.model.device).to(torch.float32, memory_format=torch.channels_last)
        return self.model.probabilities((pixels - self.mean) / self.std)  # type: ignore[no-any-return]
