"""Describes the machine of a measurement, and parses arguments that the benchmarks share."""

import argparse
import os
import platform
from importlib import metadata
from pathlib import Path


def machine_facts(*packages: str) -> dict[str, str | int | float]:
    """Processor, cores, load, and the versions of Python and of packages."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: _version(name) for name in packages},
    }


def facts_line(facts: dict[str, str | int | float]) -> str:
    """Formats the facts as one line."""
    return ", ".join(f"{name} {value}" if name != "processor" else str(value) for name, value in facts.items())


def positive(text: str) -> int:
    """Parses a positive integer."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text}")
    return int(text)


def output_file(text: str) -> Path:
    """Parses the path of a file to write, and refuses an impossible one before the measurement starts."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"must be a file in an existing folder, got {text}")
    return path


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    models = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())
