"""Downloads a file once, from the first mirror that has it, and checks it; unpacks archives without trusting their contents."""

import fcntl
import hashlib
import http.client
import logging
import os
import shutil
import tarfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hybridnets.data.dataset import DataError
from hybridnets.data.progress import BYTES, progress

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 30.0  # without receiving a byte
CHUNK = 1 << 18


@dataclass(frozen=True)
class File:
    """A published file.

    Attributes:
        name: Its name.
        size: Its size in bytes.
        md5: The published checksum.
    """

    name: str
    size: int
    md5: str

    def fault(self, path: Path) -> str:
        """How a file differs from the published one; empty if it does not."""
        if (size := path.stat().st_size) != self.size:
            return f"{size:,} bytes instead of {self.size:,}"
        digest = hashlib.md5(usedforsecurity=False)
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        return "" if digest.hexdigest() == self.md5 else f"md5 {digest.hexdigest()} instead of {self.md5}"


@dataclass(frozen=True)
class Archive(File):
    """A published archive.

    Attributes:
        folder: The only folder in it.
    """

    folder: str


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on a temporary file; the operating system releases it if this process dies."""
    while True:
        with path.open("wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.info("waiting for another process that prepares data under %s", path.parent)
                fcntl.flock(file, fcntl.LOCK_EX)
            # The previous holder deletes its file, so ours may be deleted, and another process may lock a new one.
            if not _is_at(path, file.fileno()):
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def fetch(published: File, mirrors: Iterable[str], root: Path) -> Path:
    """Downloads a file, or the missing rest of it, from the first mirror that has it.

    An incomplete download stays in a `.part` file, which the next mirror or the next call completes.

    Args:
        published: The file.
        mirrors: Its addresses, tried in this order.
        root: The folder to save it in.

    Returns:
        The verified file's path.

    Raises:
        DataError: If all mirrors fail; the message is a clause with the reason of each.
    """
    path, part = root / published.name, root / f"{published.name}.part"
    reasons = []
    for url in mirrors:
        try:
            _fetch_from(url, published, part)
        except (OSError, http.client.HTTPException, ValueError) as error:
            # A URLError only wraps the socket's error; its subclass HTTPError is more precise itself.
            reason = error.reason if type(error) is urllib.error.URLError else error
            reasons.append(f"{url}: {str(reason) or type(reason).__name__}")
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it is the server's answer, too
        else:
            part.replace(path)
            return path
    raise DataError("; ".join(reasons) or "data.mirrors is empty")


def _fetch_from(url: str, published: File, part: Path) -> None:
    """Completes the part file from one mirror, and tries again as long as the file grows."""
    inherited = _size(part) > 0
    while True:
        before = _size(part)
        try:
            _continue(url, published, part)
        except (OSError, http.client.HTTPException):
            if _size(part) <= before:
                raise
            continue
        if not (fault := published.fault(part)):
            return
        part.unlink()
        if not inherited:
            raise DataError(f"wrong file, {fault}")
        inherited = False  # its beginning came from elsewhere and may be wrong: start once more from zero


def _continue(url: str, published: File, part: Path) -> None:
    """Appends to the part file until it is complete, or starts over if the mirror cannot continue a download."""
    start = _size(part)
    if start == published.size:
        return
    if start > published.size:
        part.unlink()
        start = 0
    request = urllib.request.Request(url, headers={"User-Agent": "hybridnets"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        continued = getattr(response, "status", None) == http.HTTPStatus.PARTIAL_CONTENT
        offered = response.headers.get("Content-Length")
        if not continued:
            start = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise http.client.HTTPException("the response continues at the wrong position")
        if offered and int(offered) + start != published.size:
            raise DataError(f"wrong file, {int(offered) + start:,} bytes instead of {published.size:,}")
        with (
            part.open("ab" if continued else "wb") as file,
            progress(f"downloading {published.name}", published.size, BYTES, start) as advance,
        ):
            while start < published.size and (chunk := response.read(min(CHUNK, published.size - start))):
                file.write(chunk)
                start += len(chunk)
                advance(len(chunk))
    if start < published.size:
        raise http.client.HTTPException(f"connection closed after {start:,} of {published.size:,} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def unpack(archive: Archive, path: Path, names: Iterable[str]) -> Path:
    """Unpacks files of an archive into its folder next to it, which appears complete or not at all.

    The archive is read as a stream, and only contents are copied: its members determine no paths, modes or links.

    Args:
        archive: The archive.
        path: Its file.
        names: The files in the archive's folder to unpack; the others are skipped.

    Returns:
        The folder.

    Raises:
        DataError: If the archive is damaged or holds anything but plain files in its one folder.
    """
    folder, unfinished = path.parent / archive.folder, path.parent / f"{archive.folder}.part"
    shutil.rmtree(unfinished, ignore_errors=True)  # a process that was killed may have left it; we hold the lock
    unfinished.mkdir()
    names = set(names)
    try:
        with tarfile.open(path, "r|gz") as tar:
            for member in tar:
                parent, _, name = member.name.rpartition("/")
                if member.isdir() and member.name == archive.folder:
                    continue
                if not member.isreg() or parent != archive.folder or name in ("", ".", ".."):
                    raise DataError(
                        f"{path} holds {member.name!r}, which is not a plain file in {archive.folder}/, "
                        f"and was not unpacked: delete it"
                    )
                if name in names and (source := tar.extractfile(member)):
                    with (unfinished / name).open("wb") as file:
                        shutil.copyfileobj(source, file)
        unfinished.replace(folder)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be unpacked ({error}): delete it") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder
