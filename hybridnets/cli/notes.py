"""What commands that read images say of them beside their answer, on standard error."""

import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from hybridnets import program
from hybridnets.program import few, plural, printable

if TYPE_CHECKING:
    from hybridnets.predicting import Ensemble, Predictor

FOLDER = "hybridnets.data.folder.load"


def say(command: str, notes: Iterable[str]) -> None:
    """Prints notes, a line for each.

    Args:
        command: The command.
        notes: The notes.
    """
    for note in notes:
        print(f"{program.name(command)}: {printable(note)}", file=sys.stderr)


def on_left_out(files: Collection[object], why: str) -> list[str]:
    """A note on files that are left out; none without any.

    Args:
        files: The files.
        why: What is wrong with them.
    """
    return [f"{plural(len(files), 'file')} left out, {why}: {few(files)}"] if files else []


def on_left_out_runs(runs: Mapping[Path, str]) -> list[str]:
    """A note on runs that are in no ensemble; none without any.

    Args:
        runs: The reason for each run's folder.
    """
    named = [f"{path.name} ({reason})" for path, reason in runs.items()]
    return [f"{plural(len(named), 'run')} left out of the ensemble: {few(named)}"] if named else []


def on_training_images(run: Path, files: Iterable[Path]) -> list[str]:
    """A note on pictures of the folder that a run's data came from, those of its test/ apart; none without any.

    Args:
        run: The run's folder.
        files: The pictures.
    """
    from hybridnets.runs.store import CONFIG

    try:
        dataset = yaml.safe_load((run / CONFIG).read_bytes())["data"]["dataset"]
        if dataset["_target_"] != FOLDER:
            return []
        root = Path(dataset["root"]).expanduser().resolve()
    except (OSError, yaml.YAMLError, ValueError, KeyError, TypeError, RuntimeError):  # no such user's home, or too deep
        return []
    inside = [path for path in map(Path.resolve, files) if path.is_relative_to(root)]
    seen = [path for path in inside if path.relative_to(root).parts[0].lower() != "test"]
    if not seen:
        return []
    return [
        f"{plural(len(seen), 'file')} of {root}, which the run's data came from: an accuracy on images that a network was "
        "trained on says nothing of new ones"
    ]


def on_sizes(run: "Predictor | Ensemble", resized: int, images: int) -> list[str]:
    """A note on images of another size than the run's, where no rule of its data says what becomes of them.

    Args:
        run: The run.
        resized: How many there were.
        images: How many images there were in all.
    """
    if not resized or run.resize:
        return []
    size = f"{run.form.height} x {run.form.width} pixels (height x width)"
    return [
        f"{resized:,} of {plural(images, 'image')} had another size and were brought to {size} by {run.form.resize}, because "
        "the run's data name no rule"
    ]
