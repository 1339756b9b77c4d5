"""The sweeps that requested runs below the given folders: their manifests, and what they declared before their runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hybridnets.report.reading.results import RunSet
from hybridnets.runs import manifest
from hybridnets.runs.declaration import Declaration, parse_declaration
from hybridnets.runs.manifest import Manifest
from hybridnets.runs.published_figures import DeclarationError


class Sweep(NamedTuple):
    """One sweep: what it requested, and what it declared; an empty declaration if it cannot be read."""

    manifest: Manifest
    declaration: Declaration


def read_sweeps(runs: RunSet) -> tuple[list[Sweep], list[str]]:
    """The sweeps that requested any run below the given folders, the oldest first, and a sentence on each problem.

    Args:
        runs: The finished runs; the manifests are next to them.
    """
    manifests: list[Manifest] = []
    problems: list[str] = []
    folders = {run.folder for run in runs.runs}  # a single one for a file of scores
    for out in sorted({out for folder in folders for out in folder.resolve().parents[2:3]}):
        readable, broken = manifest.read(out)
        problems += broken
        for sweep in readable:
            if any(is_below(out / run, runs.folders) for run in sweep.runs.values()):
                manifests.append(sweep)
    sweeps = []
    for sweep in manifests:
        declaration = Declaration()
        try:
            declaration = parse_declaration(sweep.report)
        except (DeclarationError, ArithmeticError, RecursionError) as error:
            problems.append(f"{sweep.path}: {error}; its report section is ignored")
        sweeps.append(Sweep(sweep, declaration))
    return sweeps, problems


def is_below(path: Path, folders: Sequence[Path]) -> bool:
    """Whether a path is one of the folders, or in one of them."""
    return any(path.is_relative_to(folder) for folder in folders)
