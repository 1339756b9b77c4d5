"""The origin of an attempt: command, versions and hardware, recorded for the reader; part of no identity."""

import functools
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hybridnets.runs.files import sha256

PACKAGES = (
    "torch",
    "pytorch-lightning",
    "torchmetrics",
    "hydra-core",
    "omegaconf",
    "numpy",
    "scipy",
    "numba",
    "kornia",
)


INSTALLED = {"site-packages", "dist-packages"}  # folders of packages, whoever installed them


def describe_origin(command: str, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Command, versions, hardware, the source's git commit with whether anything was changed since, and the user's code.

    Args:
        command: The command that repeats the run.
        identity: The run's identity.
    """
    source = Path(__file__).parent
    commit = _git(source, "rev-parse", "HEAD")
    return {
        "command": command,
        "git_commit": commit,
        "git_dirty": bool(_git(source, "status", "--porcelain")) if commit else None,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "code": code_of(identity),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def code_of(identity: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of each file of the user's own from which the run builds something, by module; no installed package's.

    A run's identity has names and settings, not code: who edits a model must be able to see which runs were trained before.

    Args:
        identity: The run's identity.
    """
    modules = sorted({target.rpartition(".")[0] for target in _targets(identity)})
    files = {module: _own_file(module) for module in modules}
    return {module: sha256(file) for module, file in files.items() if file}


@functools.cache  # once for all runs of a sweep
def _own_file(module: str) -> Path | None:
    """The file of a module of the user's own; None for one of ours or of an installed package.

    Nothing is imported: a sweep's parent asks this of torch.optim too.
    """
    top, *inner = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    places = [Path(place) for place in spec.submodule_search_locations or ()]
    files = [
        *(place.joinpath(*inner, "__init__.py") for place in places),
        *(place.joinpath(*inner).with_suffix(".py") for place in places if inner),
        *([Path(spec.origin)] if spec.origin and not inner else []),
    ]
    file = next((path.resolve() for path in files if path.is_file()), None)
    if file is None or INSTALLED & set(file.parts):
        return None
    standard = [sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
    foreign = [folder.resolve() for folder in (Path(__file__).parents[1], *map(Path, standard))]
    return None if any(file.is_relative_to(folder) for folder in foreign) else file


def _targets(settings: Any) -> Iterator[str]:
    for key, value in settings.items() if isinstance(settings, Mapping) else enumerate(settings):
        if key == "_target_":
            yield str(value)
        elif isinstance(value, Mapping | list | tuple):
            yield from _targets(value)


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        process = subprocess.run(
            ["git", "-C", folder, *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return process.stdout.strip() if process.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
