"""Images as the codes of a feature autoencoder, in memory and as a file, which a device sends and a cloud classifies.

    run = hybridnets.load("runs/cifar10/cnn+cae-32/seed=0-...")
    size = write_codes("codes.npz", run.encode(images))                 # the device
    probabilities = run.decode(read_codes("codes.npz"))                 # the cloud

A file of codes is a .npz, which is a zip of arrays in numpy's .npy format, each deflated by zlib. Nothing in it is pickled. It
contains

    code      (B, ...) float32 or float16, little-endian: the code of each image, (C, H, W) of `cae` or (values,) of `sae`
    header    (n,) uint8: JSON in UTF-8, with "version", the format's, 1; "run", name of the run that encoded, and "hash", its
              identity's; "weights", SHA-256 of its weights; "images", the name of each image, a list of B

Measured on CIFAR-10's test images and a run cnn+cae-32, whose code has 32 x 2 x 2 values: deflating them saves 7 % in float32
and 8 % in float16, so every file is deflated. Bytes per image on disk, including the header:

    images     float32     float16
    10,000         477         239
    100            483         245
    1            1,098         835

Of those 10,000 images float32 changed no probability; float16 changed none by more than 0.0022, and changed two classes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hybridnets.runs.files import replacing

VERSION = 1  # of the file's format
ENCODER_KEYS = ("run", "hash", "weights")  # name the encoder, in a file's header as in `EncodedImages`


class CodesError(ValueError):
    """Codes that cannot be computed, written, read or decoded; the message is one sentence for the user."""


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """The codes of images, and the run that encoded them.

    Attributes:
        code: A code for each image, (B, *code_shape) float32.
        names: The images' names, B of them.
        run: Name of the run that encoded them, such as cnn+cae-32 seed=0.
        hash: SHA-256 of its identity.
        weights: SHA-256 of its weights, which differ if the same run was trained again on another machine.

    Raises:
        CodesError: If there are no images, the names do not match them, or a value is not finite.
    """

    code: NDArray[np.float32]
    names: tuple[str, ...]
    run: str
    hash: str
    weights: str

    def __post_init__(self) -> None:
        """Refuses arrays that are no codes."""
        if self.code.ndim < 2 or not self.code.size or len(self.code) != len(self.names):
            raise CodesError(
                f"codes must be of at least one image, each with a name, got {len(self.names)} names and an array of "
                f"{self.code.shape}"
            )
        if not np.isfinite(self.code).all():
            raise CodesError("codes must be finite, got values that are NaN or infinite")


def concatenate(batches: Sequence[EncodedImages]) -> EncodedImages:
    """Joins the codes of several batches, all encoded by one run.

    Raises:
        CodesError: If there are no batches, or several runs encoded them.
    """
    encoders = {(batch.run, batch.hash, batch.weights) for batch in batches}
    if len(encoders) != 1:
        raise CodesError(f"codes to join must be of one run, got those of {len(encoders)}")
    names = tuple(name for batch in batches for name in batch.names)
    return EncodedImages(np.concatenate([batch.code for batch in batches]), names, *encoders.pop())


def write_codes(path: str | Path, encoded: EncodedImages, precision: int = 32) -> int:
    """Writes a file of codes, replacing an existing one only after the new one is complete.

    Args:
        path: The file.
        encoded: Its contents.
        precision: Bits per value, 32 or 16.

    Returns:
        The file's bytes on disk.

    Raises:
        CodesError: If 16 bits cannot hold a value, or the file cannot be written.
    """
    path = Path(path)
    if precision not in (32, 16):
        raise CodesError(f"precision must be 32 or 16, got {precision!r}")
    with np.errstate(over="ignore"):  # refused below
        code = encoded.code.astype(f"<f{precision // 8}")
    if not np.isfinite(code).all():
        raise CodesError(
            f"precision must be 32 for these codes, because 16 bits hold values up to 65,504, got one of "
            f"{abs(encoded.code).max():,.0f}"
        )
    encoder = {key: getattr(encoded, key) for key in ENCODER_KEYS}
    header = json.dumps({"version": VERSION, **encoder, "images": encoded.names}, ensure_ascii=False)
    header_bytes = header.encode("utf-8", "surrogateescape")  # file names may consist of any bytes
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, header=np.frombuffer(header_bytes, np.uint8), code=code)
        return path.stat().st_size
    except OSError as error:
        raise CodesError(f"codes cannot be written to {path} ({error.strerror})") from error


def read_codes(path: str | Path) -> EncodedImages:
    """Reads a file of codes.

    Raises:
        CodesError: If the file does not exist, is damaged or holds something else.
    """
    try:
        # We open the file ourselves, because numpy leaves a damaged one open.
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            code, header_bytes = arrays["code"], arrays["header"].tobytes()
        header = json.loads(header_bytes.decode("utf-8", "surrogateescape"))
        version, names, encoder = header["version"], header.get("images"), [header.get(key) for key in ENCODER_KEYS]
        if version == VERSION and not (
            code.dtype in ("<f4", "<f2")
            and isinstance(names, list)
            and all(isinstance(text, str) for text in [*names, *encoder])
        ):
            raise TypeError
    except Exception as error:  # numpy, zipfile and zlib raise nearly anything
        if isinstance(error, OSError) and error.strerror:  # only the operating system sets strerror
            raise CodesError(f"codes cannot be read from {path} ({error.strerror})") from error
        raise CodesError(
            f"{path} must be a complete file of codes, as encode writes it, but is damaged or something else "
            f"({type(error).__name__})"
        ) from error
    if version != VERSION:
        raise CodesError(f"{path} must hold codes of version {VERSION}, the only one that can be read, got {version!r}")
    try:
        run, digest, weights = encoder
        return EncodedImages(code.astype(np.float32), tuple(names), run, digest, weights)
    except CodesError as error:
        raise CodesError(f"{path}: {error}") from None
