"""Checkpoints that are on the disk whole or not at all."""

from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from hybridnets.runs.files import replacing


class DurableCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, syncs and renames; Lightning's own stages in /tmp, on another file system perhaps."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Saves a checkpoint at a path of the local file system."""
        if storage_options is not None:
            raise TypeError(f"storage_options must be None, got {storage_options!r}")
        # Into an open file: given a path, torch writes its name into the archive, and equal states make unequal files.
        with replacing(Path(path)) as beside, beside.open("wb") as file:
            torch.save(checkpoint, file)
