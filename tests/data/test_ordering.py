"""Images in a file are put into the order that `canonical` gives images in memory."""

from pathlib import Path

import numpy as np
import pytest

from hybridnets.data import ordering
from hybridnets.data.dataset import canonical
from hybridnets.data.ordering import content_order, rearrange


@pytest.mark.parametrize("memory", [1, 100, 1 << 26])
@pytest.mark.parametrize("values", [2, 256])
def test_the_order_is_that_of_images_in_memory(memory: int, values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where hardly anything fits into memory, and where most rows agree in most bytes or in all."""
    monkeypatch.setattr(ordering, "MEMORY", memory)
    rng = np.random.default_rng(values)
    rows = rng.integers(0, values, (300, 30), dtype=np.uint8)
    rows[::2, :25] = 0  # as black borders are
    rows[::3, 5:] = 0  # trailing zeros
    rows[50:70] = rows[50]
    labels = rng.integers(0, 4, 300)
    images, sorted_labels = canonical(rows, labels)
    order = content_order(rows, labels)
    np.testing.assert_array_equal(rows[order], images)
    np.testing.assert_array_equal(labels[order], sorted_labels)
    assert sorted(order.tolist()) == list(range(300))


def test_equal_rows_are_ordered_by_the_first_tie_then_the_second() -> None:
    rows = np.zeros((4, 3), np.uint8)
    assert content_order(rows, np.array([1, 0, 1, 0]), np.array([0, 1, 1, 0])).tolist() == [3, 1, 0, 2]


@pytest.mark.parametrize("n", [1, 2, 50])
def test_rows_of_a_file_are_rearranged_in_place(n: int, tmp_path: Path) -> None:
    rows = np.random.default_rng(n).integers(0, 256, (n, 7), dtype=np.uint8)
    order = np.random.default_rng(1).permutation(n)
    path = tmp_path / "rows"
    path.write_bytes(b"head" + rows.tobytes())
    with path.open("r+b") as file:
        rearrange(file.fileno(), order, 7, offset=4)
    assert path.read_bytes() == b"head" + rows[order].tobytes()
