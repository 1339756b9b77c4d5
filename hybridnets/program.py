"""How the running command was called, and words that all messages share."""

import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path

SCRIPTS = {
    "train": "train.py",
    "report": "report.py",
    "encode": "features.py",
    "decode": "features.py",
}  # of a checkout


def name(command: str) -> str:
    """What messages of a command begin with: `hybridnets train`, or `train.py` where a checkout's script was called."""
    return SCRIPTS[command] if command in SCRIPTS and _is_script() else f"hybridnets {command}"


def words(command: str) -> list[str]:
    """The words that call a command as the running one was called, without its arguments."""
    if command not in SCRIPTS or not _is_script():
        return ["hybridnets", command]
    return ["python", SCRIPTS[command], *([command] if SCRIPTS[command] == "features.py" else [])]


def folder(of: str) -> Path:
    """The folder conf or sweeps that comes with hybridnets: within the package of a wheel, beside it in a checkout.

    Args:
        of: Its name.
    """
    package = Path(__file__).resolve().parent
    return package / of if (package / of).is_dir() else package.parent / of


def project_folders(*names: str) -> list[Path]:
    """Those of the folders in the working folder that exist and are not hybridnets' own.

    Args:
        *names: conf or sweeps.
    """
    folders = [Path.cwd() / name for name in names]
    return [path for path in folders if path.is_dir() and not path.samefile(folder(path.name))]


def printable(text: str) -> str:
    """Replaces the characters that a terminal cannot show, other than spaces; the name of a file may contain any."""
    return "".join(
        letter if letter.isprintable() or unicodedata.category(letter) == "Zs" else f"[U+{ord(letter):04X}]"
        for letter in text
    )


def plural(n: int, noun: str) -> str:
    """A count with its noun, as 1,500 images.

    Args:
        n: The count.
        noun: The noun of one.
    """
    return f"{n:,} {noun}{'s' * (n != 1)}"


def either(names: Iterable[object]) -> str:
    """Some names of which one is meant, as a, b or c.

    Args:
        names: The names, at least one.
    """
    *words, last = map(str, names)
    return f"{', '.join(words)} or {last}" if words else last


def few(names: Iterable[object], most: int = 3) -> str:
    """The first few of some names between commas, and how many more there are.

    Args:
        names: The names.
        most: How many are named.
    """
    words = [str(name) for name in names]
    more = f" and {len(words) - most:,} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def _is_script() -> bool:
    script = Path(sys.argv[0])
    return script.name in SCRIPTS.values() and script.resolve().parent.name != "cli"
