"""What a measurement was made on."""

import os
import platform
from importlib import metadata
from pathlib import Path


def machine(*packages: str) -> dict[str, str | int | float]:
    """Processor, cores, load, Python, and the versions of packages."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: _version(name) for name in packages},
    }


def shown(facts: dict[str, str | int | float]) -> str:
    """In a line."""
    return ", ".join(f"{name} {value}" if name != "processor" else str(value) for name, value in facts.items())


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    named = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
