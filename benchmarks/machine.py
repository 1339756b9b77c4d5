"""What a measurement was made on, and what its command line takes."""

import argparse
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


def positive(text: str) -> int:
    """A command line's whole number from 1."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text}")
    return int(text)


def file(text: str) -> Path:
    """A command line's file to write, refused before hours are measured for it."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"must be a file in a folder that is there, got {text}")
    return path


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
