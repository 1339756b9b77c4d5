"""Writes a project of the user's own: a model, a data set, a question, a test, that run at once."""

import importlib.machinery
import keyword
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from hybridnets import signals
from hybridnets.cli.arguments import Parser, end_with_a_sentence, path_of
from hybridnets.program import printable

TEMPLATE = Path(__file__).parent / "project"
FOLDERS = ("conf", "sweeps", "tests", "runs")  # of a project, or of its runs
PACKAGE = "my_project"  # the names in the template that the project's own replace
NAME = "my-project"
HALF_MADE = ".hybridnets-init-"  # how the folder's name begins in which a project is written


def main(argv: list[str]) -> int:
    """Writes the project; returns the exit code.

    Args:
        argv: The command's name, and its arguments.
    """
    parser = Parser(
        prog="hybridnets init",
        description="Write a project of your own: a model, a data set, a question, a test. It runs at once.",
        epilog="examples:\n  hybridnets init my-project",
    )
    parser.add_argument(
        "folder", type=path_of, metavar="FOLDER", help="the project's folder, which must be new or empty"
    )
    arguments = parser.parse_args(argv[1:])
    return end_with_a_sentence("init", lambda: _write(arguments.folder))


def _write(folder: Path) -> int:
    name = folder.resolve().name
    package = name.lower().replace("-", "_").replace(" ", "_")
    if not package.isascii() or not package.isidentifier() or keyword.iskeyword(package):
        raise ValueError(
            f"FOLDER must be named like a Python package, with letters, digits, - and _ and a letter first, got {name}"
        )
    if package in sys.stdlib_module_names or package in FOLDERS or _is_installed(package):
        raise ValueError(f"FOLDER must not be named like a module that exists already, got {name}: choose another name")
    _check_empty(folder)
    try:
        _write_as_a_whole(folder, name, package)
    except OSError as error:
        _check_empty(folder)  # another init may have been faster
        raise ValueError(f"FOLDER must be a folder that can be written, got {folder} ({error.strerror})") from error
    print(
        f"{printable(str(folder))} is written: README.md says what is where. Now:\n\n"
        f"  cd {printable(shlex.quote(str(folder)))}\n"
        "  hybridnets train -cn question       two models, five seeds each: a minute\n"
        "  hybridnets report runs/shapes       the answer"
    )
    return 0


def _check_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(not _is_half_made(path) for path in folder.iterdir())):
        raise ValueError(f"FOLDER must be new or empty, got {folder}, which is not: choose another name")


def _is_half_made(path: Path) -> bool:
    """Whether a path is what an init left behind that was killed."""
    return path.name.startswith(HALF_MADE)


def _write_as_a_whole(folder: Path, name: str, package: str) -> None:
    """Writes the project elsewhere and moves it to its place, so that what fails half-way leaves nothing in its own way."""
    is_new = not folder.exists()
    if is_new:
        folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.parent if is_new else folder  # whose own parent may not be writable
    with signals.unwinding(), tempfile.TemporaryDirectory(prefix=HALF_MADE, dir=beside) as temporary:
        project = Path(temporary, name)
        for source in sorted(TEMPLATE.rglob("*")):
            if source.is_file() and source.suffix != ".pyc":
                _copy(source, project / str(source.relative_to(TEMPLATE)).replace(PACKAGE, package), name, package)
        (project / ".gitignore").write_text("/runs/\n__pycache__/\n", encoding="utf-8")
        if is_new:
            project.rename(folder)
            return
        # The folder itself stays, because it may be somebody's working folder. Of two inits at once only one can move the
        # first folder: it is not empty, and so replaces and is replaced by nothing.
        for path in sorted(project.iterdir(), key=lambda path: (path.is_file(), path.name)):
            path.rename(folder / path.name)


def _is_installed(package: str) -> bool:
    """Whether an installed package has the name; the working folder's do not count."""
    here = [path for path in sys.path if path and Path(path).resolve() != Path.cwd()]
    return importlib.machinery.PathFinder.find_spec(package, here) is not None


def _copy(source: Path, to: Path, name: str, package: str) -> None:
    """Copies a file of the template with the project's names in it."""
    to.parent.mkdir(parents=True, exist_ok=True)
    text = source.read_text(encoding="utf-8").replace(PACKAGE, package)
    to.write_text(text.replace(NAME, name.lower().replace(" ", "-")), encoding="utf-8")
    shutil.copymode(source, to)
