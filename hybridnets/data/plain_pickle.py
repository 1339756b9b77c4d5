"""Python pickles that hold plain data only, as CIFAR's creators published them: nothing in them can cause code to run."""

import pickle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hybridnets.data.dataset import Images


def read(path: Path) -> Any:
    """The content of a pickle of dictionaries, lists, numbers, strings, bytes and arrays of bytes.

    An array is an object whose attribute `values` is a numpy array.

    Args:
        path: The file, whose strings are read as bytes, because Python 2 wrote it.

    Raises:
        Exception: Of nearly any kind, if the file is damaged or names anything else.
    """
    with path.open("rb") as file:
        return _Unpickler(file).load()


class _Array:
    """Stands in for a pickled array of bytes, so that a file cannot cause even numpy's code to run."""

    values: Images

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, columns_first, content = state
        if dtype.code not in (b"u1", "u1"):
            raise pickle.UnpicklingError(f"an array of type {dtype.code!r}")
        self.values = np.frombuffer(content, dtype=np.uint8).reshape(shape, order="F" if columns_first else "C")


class _Type:
    """Stands in for the type of a pickled array."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        pass


def _encode(text: str, _: object) -> bytes:
    return text.encode("latin1")


_ALLOWED = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,  # written by numpy 2
    ("_codecs", "encode"): _encode,  # Python 3 writes bytes for Python 2 by it
}


class _Unpickler(pickle.Unpickler):
    """Reads dictionaries, lists, numbers, strings, bytes and arrays of bytes, and refuses everything else."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="bytes")  # because Python 2 wrote the files

    def find_class(self, module: str, name: str) -> Any:
        if (replacement := _ALLOWED.get((module, name))) is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which plain data do not need")
        return replacement
