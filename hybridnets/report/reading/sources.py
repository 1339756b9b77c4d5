"""What is read in the place of the paths on the command line: archives of runs stand for the folders in them."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hybridnets.report.reading.results import ReportError
from hybridnets.runs.archive import Archive, ArchiveError

SUFFIX = ".npz"


@dataclass(frozen=True)
class Sources:
    """Folders and files to read.

    Attributes:
        paths: Where they are.
        names: Where they are not what was given, what to call them.
    """

    paths: list[Path]
    names: Mapping[str, str]

    def named(self, text: str) -> str:
        """A text that names files as they were given.

        Args:
            text: A text that may hold their paths.
        """
        for path, name in self.names.items():
            text = text.replace(path, name)
        return text


def is_archive(path: Path) -> bool:
    """Whether a path is that of an archive of runs."""
    return path.suffix.lower() == SUFFIX and path.is_file()


@contextlib.contextmanager
def opened(paths: Sequence[Path]) -> Iterator[Sources]:
    """The sources for some paths; archives are unpacked for as long as this lasts, and read as any folder is.

    Args:
        paths: Folders of runs, archives, files of scores.

    Raises:
        ReportError: If an archive cannot be read; or what was raised meanwhile, with the paths as they were given.
    """
    if not any(map(is_archive, paths)):
        yield Sources(list(paths), {})
        return
    with tempfile.TemporaryDirectory() as temporary:
        found: list[Path] = []
        names: dict[str, str] = {}
        for number, path in enumerate(paths):
            if not is_archive(path):
                found.append(path)
                continue
            out = Path(temporary).resolve() / f"{number}_"  # none the beginning of another
            try:
                archive = Archive(path)
                archive.unpack(out)
            except ArchiveError as error:
                raise ReportError(str(error)) from None
            names[str(out)] = str(path)
            found += [out / folder for folder in archive.folders]
        sources = Sources(found, names)
        try:
            yield sources
        except ReportError as error:
            raise ReportError(sources.named(str(error))) from None
