"""Classified images as the commands answer: a table in the terminal, or a CSV file with every class's probability."""

import csv
from collections.abc import Sequence
from pathlib import Path

from hybridnets.program import printable


def check_output(path: Path | None, suffix: str) -> None:
    """Refuses an output file that is of another kind, or in no existing folder.

    Args:
        path: The file; None for none.
        suffix: What its name must end with, so that a forgotten argument overwrites no image.

    Raises:
        ValueError: If it cannot be written.
    """
    if path and (path.suffix != suffix or path.is_dir()):
        raise ValueError(f"--output must be a {suffix} file, got {path}")
    if path and not path.parent.is_dir():
        raise ValueError(f"--output must be in an existing folder, got {path}")


def answer(
    names: Sequence[str], classes: Sequence[str], probabilities: Sequence[Sequence[float]], to: Path | None, run: str
) -> None:
    """Prints each image's most probable class, or writes the probabilities of all classes to a file.

    Args:
        names: N names of images.
        classes: K names of classes.
        probabilities: (N, K).
        to: The file; None to print.
        run: Name of the run that classified.

    Raises:
        ValueError: If the file cannot be written.
    """
    best = [max(range(len(classes)), key=row.__getitem__) for row in probabilities]
    if to is None:
        _print_table([printable(name) for name in names], [classes[k] for k in best], list(map(max, probabilities)))
        return
    from hybridnets.runs.files import replacing

    try:
        with (
            replacing(to) as temporary,
            temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
        ):
            table = csv.writer(file)
            table.writerow(["image", "class", *classes])
            table.writerows([name, classes[k], *row] for name, k, row in zip(names, best, probabilities, strict=True))
    except OSError as error:
        raise ValueError(f"classes cannot be written to {to} ({error.strerror})") from error
    print(f"{count_images(len(names))} classified by {run}: {printable(str(to))}")


def count_images(n: int) -> str:
    """A number of images, in words."""
    return f"{n:,} image{'s' * (n != 1)}"


def _print_table(names: list[str], classes: list[str], probabilities: list[float]) -> None:
    widths = [max(map(len, column)) for column in (["image", *names], ["class", *classes])]
    print(f"{'image':{widths[0]}}  {'class':{widths[1]}}  probability")
    for name, class_name, probability in zip(names, classes, probabilities, strict=True):
        print(f"{name:{widths[0]}}  {class_name:{widths[1]}}  {probability:11.4f}")
