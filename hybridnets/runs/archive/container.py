"""One file of a header and arrays: equal content gives equal bytes, and a damaged file is refused.

It is a .npz, which np.load opens too: `header.npy` is JSON, `sha256.npy` the digest of everything else. Nothing in it is
executed, and nothing is read into memory before its size is known to be bounded.
"""

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT = "hybridnets evidence"
VERSION = 1
LARGEST_BYTES = 2**28  # bytes of all arrays: 3,000 runs of 25,000 images
KINDS = ("uint8", "uint16", "uint32")
EPOCH = (1980, 1, 1, 0, 0, 0)  # a zip's earliest date

Arrays = dict[str, NDArray[Any]]


class ArchiveError(ValueError):
    """An archive that cannot be made or read, in one sentence."""


def write(path: Path, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes an archive.

    Args:
        path: The file.
        header: What the arrays mean; JSON.
        arrays: Unsigned integers of at most 32 bits, by name.

    Raises:
        ArchiveError: If it is more than `read` takes.
    """
    try:
        text = json.dumps({"format": FORMAT, "version": VERSION, **header}, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise ArchiveError(f"{path} must hold JSON only, and JSON has no such number ({error})") from None
    content = {"header": np.frombuffer(text.encode("ascii"), np.uint8), **arrays}
    if (size := sum(array.nbytes for array in content.values())) > LARGEST_BYTES:
        raise ArchiveError(
            f"{path} would hold {size:,} bytes, and an archive takes {LARGEST_BYTES:,}: pack fewer runs in one"
        )
    content["sha256"] = np.frombuffer(_digest(content), np.uint8)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name, array in content.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            member = zipfile.ZipInfo(f"{name}.npy", EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.create_system = 3
            file.writestr(member, buffer.getvalue())


def read(path: Path) -> tuple[dict[str, Any], Arrays]:
    """The header and the arrays of an archive.

    Args:
        path: The file.

    Raises:
        ArchiveError: If it is no such file, or not as it was written.
    """
    try:
        with zipfile.ZipFile(path) as file:
            members = file.infolist()
            if (size := sum(member.file_size for member in members)) > LARGEST_BYTES + 1000 * len(members):
                raise ArchiveError(
                    f"{path} must unfold to {LARGEST_BYTES:,} bytes at most, and says {size:,}: it is not read"
                )
            arrays = {member.filename.removesuffix(".npy"): _array(file, member) for member in members}
    except ArchiveError:
        raise
    except OSError as error:
        raise ArchiveError(
            f"{path} must be an archive that can be read, and is not ({error.strerror or error})"
        ) from None
    except Exception as error:  # zipfile, zlib and numpy raise nearly anything
        why = (str(error) or type(error).__name__).splitlines()[0][:100]
        raise ArchiveError(
            f"{path} must be an archive of runs, as --pack writes it, and is damaged or foreign ({why})"
        ) from None
    header = _header(path, arrays)
    checksum = arrays.pop("sha256", np.empty(0, np.uint8)).tobytes()
    if checksum != _digest(arrays):
        raise ArchiveError(f"{path} was altered: its content is not what its checksum was taken of")
    del arrays["header"]
    return header, arrays


def _array(file: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    """An array of no more bytes than its entry says: numpy alone would first make room for what the array says."""
    with file.open(member) as stream:
        content = stream.read()
    start = io.BytesIO(content)
    np.lib.format.read_magic(start)
    shape, columns_first, kind = np.lib.format.read_array_header_1_0(start)
    if str(kind) not in KINDS or columns_first or math.prod(shape) * kind.itemsize != len(content) - start.tell():
        raise ValueError(f"{member.filename} holds {kind} {shape}")
    return np.frombuffer(content, kind, offset=start.tell()).reshape(shape)


def _header(path: Path, arrays: Arrays) -> dict[str, Any]:
    try:
        header: Any = json.loads(arrays["header"].tobytes())
        if header["format"] != FORMAT:
            raise ValueError
    except (KeyError, TypeError, ValueError, RecursionError):
        raise ArchiveError(f"{path} must be an archive of runs, as --pack writes it, and is something else") from None
    if header.get("version") != VERSION:
        raise ArchiveError(
            f"{path} must have version {VERSION}, which this version reads, and has {header.get('version')}: use the "
            "version that wrote it"
        )
    return dict(header)


def _digest(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()
