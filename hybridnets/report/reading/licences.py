"""What a data set's YAML states and no result has, because it determines no run: its licence, and how pictures are resized."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from hybridnets.report.reading.results import FinishedRun
from hybridnets.runs.store import CONFIG

KEY = "licence"
RESIZE = "resize"
RESIZES = ("crop", "pad", "stretch")  # of hybridnets.data, which the report does not know


def licence_of(runs: Iterable[FinishedRun], groups: Sequence[Path]) -> str:
    """The licence of the images that runs of one data set were trained on; empty where none is stated.

    Args:
        runs: The runs. Their own configurations come first; archives of runs, and older runs, have none.
        groups: Folders of configuration groups, conf/, which may have the data set's YAML, data/NAME.yaml.
    """
    names = set()
    for run in runs:
        names.add(run.data)
        if licence := _stated(_read(run.folder / CONFIG).get("data")):
            return licence
    for name in sorted(names):
        for folder in groups:
            settings = _read(folder / "data" / f"{name}.yaml")
            if settings.get("name") == name and (licence := _stated(settings)):
                return licence
    return ""


def resize_of(run: FinishedRun) -> str:
    """How a run's data brought pictures of other sizes to theirs: crop, pad or stretch; empty where its own YAML has none.

    Args:
        run: The run.
    """
    data = _read(run.folder / CONFIG).get("data")
    resize = data.get(RESIZE) if isinstance(data, dict) else None
    return resize if isinstance(resize, str) and resize in RESIZES else ""


def _stated(settings: Any) -> str:
    licence = settings.get(KEY) if isinstance(settings, dict) else None
    return " ".join(licence.split()) if isinstance(licence, str) else ""


def _read(path: Path) -> dict[str, Any]:
    """A YAML's settings; empty where it is missing or damaged, on which nothing measured depends."""
    try:
        content = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
