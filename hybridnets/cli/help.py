"""The text of `hybridnets train --help`. Hydra's own takes a second, because it composes everything and loads every plugin."""

from collections.abc import Sequence
from pathlib import Path

from hybridnets import program

TEXT = Path(__file__).with_name("train_help.txt")
LAUNCHERS = ("local", "slurm")


def print_if_requested(words: Sequence[str]) -> bool:
    """Prints the help if the words of a command line ask for it; returns whether they do."""
    requested = "--help" in words or "-h" in words
    if requested:
        print(_train_help(), end="")
    return requested


def _train_help() -> str:
    """What the command train takes, with the groups that are there: hybridnets' and the project's in the working folder."""
    folders = [program.folder("conf"), *program.project_folders("conf")]
    options: dict[str, set[str]] = {}
    for path in (path for folder in folders for path in folder.glob("*/*.yaml")):
        options.setdefault(path.parent.name, set()).add(path.stem)
    groups = [f"  {group}: {', '.join(sorted(names))}" for group, names in sorted(options.items())]
    groups.append(f"  hydra/launcher: {', '.join(LAUNCHERS)}")
    text = TEXT.read_text(encoding="utf-8").replace("GROUPS", "\n".join(groups))
    return text.replace("TRAIN", " ".join(program.words("train"))).replace("REPORT", " ".join(program.words("report")))
