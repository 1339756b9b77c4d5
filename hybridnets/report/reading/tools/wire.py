"""The wire format of protocol buffers, as far as records of scalars need it: numbered fields, without their schema.

Source: protobuf.dev/programming-guides/encoding. A package would bring the schemas of all of TensorFlow or W&B; the numbers of
fields never change by the format's own rules, and tests compare with files that the tools wrote.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # how a value is written
MAX_VARINT = 10  # bytes


class WireError(ValueError):
    """Some bytes are no message."""


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: Its number in the schema.
        raw: The value's bytes: of a text, a message, or a number with a fixed size; empty for an integer.
        integer: The value of an integer; 0 for the others.
    """

    number: int
    raw: bytes
    integer: int

    @property
    def text(self) -> str:
        """The value as a text."""
        return self.raw.decode("utf-8", errors="replace")

    @property
    def real(self) -> float:
        """The value of a float or a double.

        Raises:
            WireError: If it has another size.
        """
        if len(self.raw) not in (4, 8):
            raise WireError("a number has neither 4 nor 8 bytes")
        value: float = struct.unpack("<f" if len(self.raw) == 4 else "<d", self.raw)[0]
        return value

    @property
    def signed(self) -> int:
        """The value of an integer that may be negative."""
        return self.integer - (1 << 64) if self.integer >> 63 else self.integer


def fields(message: bytes) -> Iterator[Field]:
    """The fields of a message, in their order.

    Args:
        message: Its bytes.

    Raises:
        WireError: If they are no message.
    """
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind, integer, size = key & 7, 0, 0
        if kind == VARINT:
            integer, place = _varint(message, place)
        elif kind == BYTES:
            size, place = _varint(message, place)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise WireError(f"a field is of the unknown kind {kind}")
        if place + size > len(message):
            raise WireError("a field is longer than its message")
        yield Field(key >> 3, message[place : place + size], integer)
        place += size


def first(message: bytes, number: int) -> Field | None:
    """The first field with a number; None if there is none."""
    return next((field for field in fields(message) if field.number == number), None)


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = 0
    for n, byte in enumerate(message[place : place + MAX_VARINT]):
        value |= (byte & 127) << 7 * n
        if byte < 128:
            return value & (1 << 64) - 1, place + n + 1
    raise WireError("an integer does not end")
