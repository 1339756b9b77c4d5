"""Files that exist as a whole or not at all, even after a crash."""

import contextlib
import errno
import hashlib
import json
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hybridnets import signals

FORBIDDEN = (errno.EACCES, errno.EPERM)


@contextlib.contextmanager
def replacing(path: Path, check: Callable[[], None] | None = None) -> Iterator[Path]:
    """A temporary path to write to, which replaces `path` once its bytes are on the disk; a failure leaves nothing behind.

    Args:
        path: The file, or a link to it.
        check: Called just before the file is replaced; if it raises, the file stays as it was.

    Raises:
        ForbiddenError: If it is no plain file, as /dev/null: root could replace that, too.
        OSError: If it cannot be written; it names the file.
    """
    if path.exists() and not path.is_file():
        raise ForbiddenError(f"{path} must be a plain file, because it is replaced as a whole: name another one")
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with signals.unwinding():
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            if check:
                check()
            temporary.replace(path)
        except OSError as error:
            error.filename = error.filename or str(path)  # a write that fails, as on a full disk, does not know it
            raise
        finally:
            temporary.unlink(missing_ok=True)
    # The rename is on the disk only once the folder is.
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Makes a folder and its missing parents.

    Raises:
        ValueError: If something else has that name, or if no folder can be made there, as in /proc.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileNotFoundError, FileExistsError, NotADirectoryError) as error:
        where = error.filename or path
        raise ValueError(f"out must be a folder that can be made, and {where} cannot be ({error.strerror})") from error


class ForbiddenError(ValueError):
    """A file or folder may not be used; the message is one sentence that begins with its path and says what to do."""


def unusable(error: OSError) -> str:
    """One sentence on a file that cannot be used: its name, the reason and, where a permission is missing, whose it is.

    Args:
        error: What using it raised.
    """
    if not isinstance(error.filename, str | bytes):
        return f"a file cannot be used ({error.strerror or error})"
    remedy = ": have its permissions changed" if error.errno in FORBIDDEN else ""
    return f"{os.fsdecode(error.filename)} cannot be used ({error.strerror}{whose(error)}){remedy}"


def whose(error: OSError) -> str:
    """To whom a file belongs that may not be used, and its mode; empty for any other reason.

    Args:
        error: What using it raised.
    """
    if error.errno not in FORBIDDEN or not isinstance(error.filename, str | bytes):
        return ""
    try:
        status = Path(os.fsdecode(error.filename)).stat()
    except PermissionError:
        return "; a folder above it may not be searched"
    except OSError:
        return ""
    try:
        owner = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        owner = f"user {status.st_uid}"
    return f"; it belongs to {owner} and has mode {stat.S_IMODE(status.st_mode):03o}"


def find(top: Path, *names: str) -> tuple[list[Path], list[str]]:
    """The files and folders of some names at or below a folder, and a sentence on each folder that may not be listed.

    Path.rglob would leave such a folder out without a word. Links to folders are not followed, as there.

    Args:
        top: The folder.
        *names: The names.
    """
    paths: list[Path] = []
    errors: list[OSError] = []
    for folder, folders, files in os.walk(top, onerror=errors.append):
        paths += [Path(folder, name) for name in names if name in folders or name in files]
    return paths, [f"{unusable(error)}; runs in it are not counted" for error in errors if error.errno in FORBIDDEN]


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str, check: Callable[[], None] | None = None) -> None:
    """Writes a text file as a whole."""
    with replacing(path, check) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, check: Callable[[], None] | None = None) -> None:
    """Writes a value as indented JSON, its keys in the order given."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n", check)


def read_json(path: Path) -> Any:
    """The value of a JSON file; None if the file does not exist.

    Raises:
        ValueError: If it is no JSON; ForbiddenError if it may not be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise ForbiddenError(unusable(error)) from error
    except OSError as error:
        raise ValueError(f"{path} must be a file that can be read, and is not ({error.strerror}): delete it") from error
    except ValueError as error:
        raise ValueError(f"{path} must be JSON, and is damaged ({error}): delete it to rebuild it") from error
