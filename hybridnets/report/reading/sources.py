"""The paths on the command line, with archives unpacked: an archive is read as the folders of runs in it."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hybridnets import signals
from hybridnets.report.reading.results import ReportError
from hybridnets.runs.archive import Archive, ArchiveError

SUFFIX = ".npz"


@dataclass(frozen=True)
class Sources:
    """Folders and files to read.

    Attributes:
        paths: Where they are.
        names: The path that was given, by the temporary folder that is read instead.
    """

    paths: list[Path]
    names: Mapping[str, str]

    def named(self, text: str) -> str:
        """The text with temporary folders replaced by the paths that were given.

        Args:
            text: A text that may contain paths.
        """
        for path, name in self.names.items():
            text = text.replace(path, name)
        return text


def is_archive(path: Path) -> bool:
    """Whether a path is that of an archive of runs."""
    return path.suffix.lower() == SUFFIX and path.is_file()


@contextlib.contextmanager
def opened(paths: Sequence[Path]) -> Iterator[Sources]:
    """The sources for some paths; archives are unpacked into a temporary folder, which is deleted at the end.

    Args:
        paths: Folders of runs, archives, files of scores.

    Raises:
        ReportError: If an archive cannot be read; also one that the body raises, with the paths that were given.
    """
    if not any(map(is_archive, paths)):
        yield Sources(list(paths), {})
        return
    with tempfile.TemporaryDirectory() as temporary:
        signals.at_end(lambda: shutil.rmtree(temporary, ignore_errors=True))
        unpacked: list[Path] = []
        names: dict[str, str] = {}
        for number, path in enumerate(paths):
            if not is_archive(path):
                unpacked.append(path)
                continue
            out = Path(temporary).resolve() / f"{number}_"  # no such path is the beginning of another
            try:
                archive = Archive(path)
                archive.unpack(out)
            except ArchiveError as error:
                raise ReportError(str(error)) from None
            names[str(out)] = str(path)
            unpacked += [out / folder for folder in archive.folders]
        sources = Sources(unpacked, names)
        try:
            yield sources
        except ReportError as error:
            raise ReportError(sources.named(str(error))) from None
