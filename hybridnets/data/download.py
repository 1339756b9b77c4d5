"""Fetching an archive once: from mirrors in order, resumed, checked, and unpacked without trusting it."""

import fcntl
import hashlib
import http.client
import logging
import os
import shutil
import sys
import tarfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from hybridnets.data.dataset import DataError

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 30.0  # without a single byte
CHUNK = 1 << 18


@dataclass(frozen=True)
class Archive:
    """A published archive.

    Attributes:
        name: Its file's name.
        size: Bytes.
        md5: The published checksum.
        folder: The one folder in it.
    """

    name: str
    size: int
    md5: str
    folder: str

    def fault(self, path: Path) -> str:
        """What keeps a file from being this archive; empty if nothing does."""
        if (size := path.stat().st_size) != self.size:
            return f"{size:,} bytes instead of {self.size:,}"
        digest = hashlib.md5(usedforsecurity=False)
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        return "" if digest.hexdigest() == self.md5 else f"md5 {digest.hexdigest()} instead of {self.md5}"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on a file that exists only meanwhile; the kernel frees it when its holder dies."""
    while True:
        with path.open("wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.info("waiting for another process, which is fetching data under %s", path)
                fcntl.flock(file, fcntl.LOCK_EX)
            # the holder before us has removed the file, and a later one may have locked another of the same name
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


def fetch(archive: Archive, mirrors: Iterable[str], root: Path) -> Path:
    """Downloads an archive, or what is missing of it, from the first mirror that has it.

    What has come stays in a `.part` file, from which the next mirror, or the next call, continues.

    Args:
        archive: What to fetch.
        mirrors: Addresses of the archive, asked in this order.
        root: The folder that receives it.

    Returns:
        The verified archive's path.

    Raises:
        DataError: If no mirror delivers it; the message is a clause that gives each one's reason.
    """
    path, part = root / archive.name, root / f"{archive.name}.part"
    reasons = []
    for url in mirrors:
        try:
            _fetch_from(url, archive, part)
        except (OSError, http.client.HTTPException, ValueError) as error:
            # urllib wraps what the socket said; an HTTP error says more itself
            reason = error.reason if type(error) is urllib.error.URLError else error
            reasons.append(f"{url}: {str(reason) or type(reason).__name__}")
        else:
            part.replace(path)
            return path
    raise DataError("; ".join(reasons) or "no mirrors are named")


def _fetch_from(url: str, archive: Archive, part: Path) -> None:
    """Completes the part file from one mirror, which is asked again for as long as it delivers something."""
    inherited = _size(part) > 0
    while True:
        before = _size(part)
        try:
            _continue(url, archive, part)
        except (OSError, http.client.HTTPException):
            if _size(part) <= before:
                raise
            continue
        if not (fault := archive.fault(part)):
            return
        part.unlink()
        if not inherited:
            raise DataError(f"a wrong file, {fault}")
        inherited = False  # its beginning, from elsewhere, may be what was wrong: once more from zero


def _continue(url: str, archive: Archive, part: Path) -> None:
    """Appends to the part file until it is complete, or starts it anew if the mirror cannot continue."""
    start = _size(part)
    if start == archive.size:
        return
    if start > archive.size:
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
            raise http.client.HTTPException("the answer continues at the wrong place")
        if offered and int(offered) + start != archive.size:
            raise DataError(f"a wrong file, {int(offered) + start:,} bytes instead of {archive.size:,}")
        with (
            part.open("ab" if continued else "wb") as file,
            tqdm(
                desc=archive.name,
                total=archive.size,
                initial=start,
                unit="B",
                unit_scale=True,
                mininterval=0.1 if sys.stderr.isatty() else 30.0,  # a log file gets a line now and then
            ) as bar,
        ):
            while start < archive.size and (chunk := response.read(min(CHUNK, archive.size - start))):
                file.write(chunk)
                start += len(chunk)
                bar.update(len(chunk))
    if start < archive.size:
        raise http.client.HTTPException(f"broke off after {start:,} of {archive.size:,} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def unpack(archive: Archive, path: Path, wanted: Iterable[str]) -> Path:
    """Unpacks the wanted files of an archive into its folder beside it, which appears complete or not at all.

    The archive is read as a stream and only contents are copied: no member decides about a path, a mode or a link.

    Args:
        archive: What the file is.
        path: The file.
        wanted: Names of files in the archive's folder; others there are skipped.

    Returns:
        The folder.

    Raises:
        DataError: If the archive is damaged or holds anything but plain files in its one folder.
    """
    folder, unfinished = path.parent / archive.folder, path.parent / f"{archive.folder}.part"
    shutil.rmtree(unfinished, ignore_errors=True)  # left by a start that was killed; we hold the lock
    unfinished.mkdir()
    wanted = set(wanted)
    try:
        with tarfile.open(path, "r|gz") as tar:
            for member in tar:
                parent, _, name = member.name.rpartition("/")
                if member.isdir() and member.name == archive.folder:
                    continue
                if not member.isreg() or parent != archive.folder or name in ("", ".", ".."):
                    raise DataError(
                        f"{path} holds {member.name!r}, which is not a plain file in {archive.folder}/, "
                        f"and was not unpacked: remove it"
                    )
                if name in wanted and (source := tar.extractfile(member)):
                    with (unfinished / name).open("wb") as file:
                        shutil.copyfileobj(source, file)
        unfinished.replace(folder)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be unpacked ({error}): remove it") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder
