"""Images as the codes of a feature autoencoder, in memory and as a file: what a device sends and a cloud classifies.

    run = hybridnets.load("runs/cifar10/cnn+cae-32/seed=0-...")
    size = codes.write("codes.npz", run.encode(images))                 # the device
    probabilities = run.decode(codes.read("codes.npz"))                 # the cloud

A file of codes is a .npz, a zip of arrays in numpy's .npy format, each deflated by zlib; nothing in it is pickled. It holds

    code      (B, ...) float32 or float16, little-endian: the code of each image, (C, H, W) of `cae` or (numbers,) of `sae`
    header    (n,) uint8: JSON in UTF-8, with "version", the format's, 1; "run", name of the run that encoded, and "hash", its
              identity's; "weights", SHA-256 of its weights; "images", the name of each image, a list of B

Measured on CIFAR-10's test images and a run cnn+cae-32, whose code has 32 x 2 x 2 numbers: deflated, the numbers take 7 % less
than stored in float32 and 8 % less in float16, so every file is. Bytes an image on disk, all that the file holds counted:

    images     float32     float16
    10,000         477         239
    100            483         245
    1            1,098         835

Of those 10,000 images float32 changed no probability, and float16 none by more than 0.0022, and two classes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hybridnets.runs.files import replacing

VERSION = 1  # of the file's format
WHOSE = ("run", "hash", "weights")  # in a file's header as in `Codes`


class CodesError(ValueError):
    """Codes that cannot be made, written, read or decoded; the message is one sentence for the user."""


@dataclass(frozen=True, eq=False)
class Codes:
    """The codes of images, and whose they are.

    Attributes:
        code: A code an image, (B, *code_shape) float32.
        names: The images' names, B of them.
        run: Name of the run that encoded them, such as cnn+cae-32 seed=0.
        hash: SHA-256 of its identity.
        weights: SHA-256 of its weights, which the same run has otherwise where it was trained on another machine.

    Raises:
        CodesError: If there is no image, or not a name for each, or a number is not finite.
    """

    code: NDArray[np.float32]
    names: tuple[str, ...]
    run: str
    hash: str
    weights: str

    def __post_init__(self) -> None:
        """Refuses what is no code."""
        if self.code.ndim < 2 or not self.code.size or len(self.code) != len(self.names):
            raise CodesError(
                f"codes must be of at least one image, each with a name, got {len(self.names)} names and an array of "
                f"{self.code.shape}"
            )
        if not np.isfinite(self.code).all():
            raise CodesError("codes must be finite numbers, got some that are not (NaN or infinite)")


def joined(parts: Sequence[Codes]) -> Codes:
    """The codes of several batches as one; all of one run.

    Raises:
        CodesError: If there are none, or of several runs.
    """
    whose = {(part.run, part.hash, part.weights) for part in parts}
    if len(whose) != 1:
        raise CodesError(f"codes to join must be of one run, got those of {len(whose)}")
    names = tuple(name for part in parts for name in part.names)
    return Codes(np.concatenate([part.code for part in parts]), names, *whose.pop())


def write(path: str | Path, codes: Codes, precision: int = 32) -> int:
    """Writes a file of codes, which takes the place of an earlier one once it is whole.

    Args:
        path: The file.
        codes: What it holds.
        precision: Bits of a number, 32 or 16.

    Returns:
        The file's bytes on disk.

    Raises:
        CodesError: If 16 bits cannot hold a number, or the file cannot be written.
    """
    path = Path(path)
    if precision not in (32, 16):
        raise CodesError(f"precision must be 32 or 16, got {precision!r}")
    with np.errstate(over="ignore"):  # told below
        code = codes.code.astype(f"<f{precision // 8}")
    if not np.isfinite(code).all():
        raise CodesError(
            f"precision must be 32 for these codes, 16 bits hold numbers up to 65,504, got one of {abs(codes.code).max():,.0f}"
        )
    whose = {key: getattr(codes, key) for key in WHOSE}
    header = {"version": VERSION, **whose, "images": codes.names}
    told = json.dumps(header, ensure_ascii=False).encode("utf-8", "surrogateescape")  # file names may be any bytes
    try:
        with replacing(path) as beside, beside.open("wb") as file:
            np.savez_compressed(file, header=np.frombuffer(told, np.uint8), code=code)
        return path.stat().st_size
    except OSError as error:
        raise CodesError(f"codes cannot be written to {path} ({error.strerror})") from error


def read(path: str | Path) -> Codes:
    """The codes of a file.

    Raises:
        CodesError: If there is no such file, or it is damaged or none of codes.
    """
    try:
        # Opened here, because numpy leaves a damaged file open.
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as found:
            code, told = found["code"], found["header"].tobytes()
        header = json.loads(told.decode("utf-8", "surrogateescape"))
        version, names, whose = header["version"], header.get("images"), [header.get(key) for key in WHOSE]
        if version == VERSION and not (
            code.dtype in ("<f4", "<f2")
            and isinstance(names, list)
            and all(isinstance(word, str) for word in [*names, *whose])
        ):
            raise TypeError
    except Exception as error:  # numpy, zipfile and zlib raise nearly anything
        if isinstance(error, OSError) and error.strerror:  # the system's own
            raise CodesError(f"codes cannot be read from {path} ({error.strerror})") from error
        raise CodesError(
            f"{path} must be a whole file of codes, as features.py encode writes it, and is damaged or something else "
            f"({type(error).__name__})"
        ) from error
    if version != VERSION:
        raise CodesError(f"{path} must be codes of version {VERSION}, which is read here, got {version!r}")
    try:
        run, digest, weights = whose
        return Codes(code.astype(np.float32), tuple(names), run, digest, weights)
    except CodesError as error:
        raise CodesError(f"{path}: {error}") from None
