"""How many devices train a run together, counted without torch."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def device_count(trainer: Mapping[str, Any]) -> int | str:
    """The number of devices over all nodes; a text where only Lightning can count them.

    Args:
        trainer: The trainer's flags, by Lightning's names.
    """
    nodes = trainer.get("num_nodes") or 1
    devices = trainer.get("devices")
    if isinstance(devices, str):
        names = [name for name in devices.split(",") if name.strip()]
        if "," in devices:
            devices = len(names)
        elif re.fullmatch(r"-?\d+", devices.strip()):
            devices = int(devices)
    if isinstance(devices, list):
        devices = len(devices)
    if devices in (None, "auto", -1):
        devices = _all_devices(trainer.get("accelerator"), devices)
    is_counted = type(devices) is int and devices > 0 and type(nodes) is int
    return devices * nodes if is_counted else f"{devices} x {nodes}"


def depends_on_machine(trainer: Mapping[str, Any]) -> bool:
    """Whether the flags ask for all devices of the machine, so that another machine would make another run."""
    return trainer.get("devices") in (None, "auto", -1, "-1") and trainer.get("accelerator") not in ("cpu", "mps")


def _all_devices(accelerator: Any, devices: Any) -> Any:
    """The number of devices that `auto` means; `devices` itself for accelerators that cannot be counted here."""
    if accelerator in ("cpu", "mps"):
        return 1
    if accelerator not in (None, "auto", "gpu", "cuda"):
        return devices
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return max(1, len([name for name in visible.split(",") if name.strip() not in ("", "-1")]))
    return max(1, len(list(Path("/proc/driver/nvidia/gpus").glob("*"))))
