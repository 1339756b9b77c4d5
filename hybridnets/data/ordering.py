"""The canonical order of images that lie in a file and need not fit into memory."""

import itertools
import os
from typing import Any

import numpy as np

from hybridnets.data.dataset import Images, Integers

MEMORY = 1 << 24  # bytes of images that are compared at a time


def content_order(rows: Images, *ties: Integers) -> Integers:
    """The order of rows by their bytes, as `hybridnets.data.dataset.canonical` sorts images.

    Only the leading bytes are read, as many as `MEMORY` has room for, and further bytes of those rows that agree in them.

    Args:
        rows: (N, R), usually mapped from a file.
        ties: What orders equal rows, each (N,), the most important first.

    Returns:
        The positions of the rows in their order, (N,).
    """
    n, width = rows.shape
    order = np.lexsort(ties[::-1]).astype(np.int64) if ties else np.arange(n)
    todo = [(0, n, 0)]  # of the order, from and to: rows that agree in so many bytes
    while todo:
        start, stop, agreed = todo.pop()
        wide = min(width - agreed, max(MEMORY // (stop - start), 8))
        part = order[start:stop]
        # numpy compares byte strings as unsigned bytes; it ignores trailing zeros, which does not matter at equal lengths.
        keys = np.ascontiguousarray(rows[part, agreed : agreed + wide]).view(f"S{wide}")[:, 0]
        ascending = np.argsort(keys, kind="stable")  # so that ties keep their order
        order[start:stop], keys = part[ascending], keys[ascending]
        if (agreed := agreed + wide) == width:
            continue
        borders = [0, *(np.flatnonzero(keys[1:] != keys[:-1]) + 1).tolist(), stop - start]
        todo += [(start + a, start + b, agreed) for a, b in itertools.pairwise(borders) if b - a > 1]
    return order


def rearrange(descriptor: int, order: Integers, size: int, offset: int) -> None:
    """Puts the rows of a file into an order, in place, because a second file of the same size may not fit on the disk.

    Args:
        descriptor: The open file.
        order: For each row, the position of the one that belongs there; a permutation of all rows, (N,).
        size: Bytes of a row.
        offset: Bytes before the first row.
    """
    sources = order.tolist()
    for first in range(len(sources)):
        if sources[first] == first:
            continue
        kept = os.pread(descriptor, size, offset + first * size)
        place = first
        while (source := sources[place]) != first:  # along a cycle of the permutation
            write_all(descriptor, os.pread(descriptor, size, offset + source * size), offset + place * size)
            sources[place], place = place, source
        write_all(descriptor, kept, offset + place * size)
        sources[place] = place


def write_all(descriptor: int, content: Any, offset: int) -> None:
    """Writes bytes or a contiguous array at a place of a file; unlike a mapped file, a full disk is an OSError."""
    view = memoryview(content).cast("B")
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
