import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import chain

import numpy as np
import pytest
import torch

from hybridnets.data.augmentation import Augmentation, flip_and_crop
from hybridnets.data.dataset import DataError
from hybridnets.data.loader import Batch, BatchLoader, prepared_ahead
from hybridnets.data.split import AUGMENT, stream

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, size=(120, 3, 8, 6), dtype=np.uint8))
LABELS = torch.arange(120) % 10
PART = np.arange(3, 103)
FLIP_AND_CROP = Augmentation({"flip": True, "crop": 2}, 10)


def epoch(loader: BatchLoader, number: int = 0) -> list[Batch]:
    loader.sampler.set_epoch(number)
    batches = list(loader)
    assert len(batches) == len(loader)
    return batches


def indices(batches: list[Batch]) -> list[list[int]]:
    return [index.tolist() for _, _, index in batches]


def test_a_batch_holds_images_labels_and_indices() -> None:
    for order_seed in (None, 0):
        batches = epoch(BatchLoader(IMAGES, LABELS, PART, 32, order_seed=order_seed))
        assert [len(index) for _, _, index in batches] == [32, 32, 32, 4]
        for images, labels, index in batches:
            assert (images.dtype, labels.dtype, index.dtype) == (torch.uint8, torch.int64, torch.int64)
            assert torch.equal(images, IMAGES[index])
            assert torch.equal(labels, LABELS[index])
        order = list(chain(*indices(batches)))
        assert sorted(order) == PART.tolist()
        assert (order == PART.tolist()) == (order_seed is None)


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    loader = BatchLoader(IMAGES, LABELS, PART, 32, order_seed=0)
    orders = [indices(epoch(loader, number)) for number in range(4)]
    next(iter(loader))  # an iteration that is not finished
    torch.manual_seed(1)
    assert indices(epoch(loader, 2)) == orders[2]
    assert indices(epoch(BatchLoader(IMAGES, LABELS, PART, 32, order_seed=0), 3)) == orders[3]
    reseeded = indices(epoch(BatchLoader(IMAGES, LABELS, PART, 32, order_seed=1), 0))
    assert len({str(order) for order in [*orders, reseeded]}) == 5


@pytest.mark.parametrize(("n", "sizes"), [(97, [32, 32, 33]), (98, [32, 32, 32, 2]), (96, [32, 32, 32]), (1, [1])])
def test_a_single_remaining_image_joins_the_previous_batch(n: int, sizes: list[int]) -> None:
    for order_seed in (None, 0):
        batches = epoch(BatchLoader(IMAGES, LABELS, PART[:n], 32, order_seed=order_seed))
        assert [len(index) for _, _, index in batches] == sizes


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("order_seed", [None, 0])
def test_devices_share_the_batches_of_a_single_device(world: int, order_seed: int | None) -> None:
    for n in range(96, 101):
        alone = indices(epoch(BatchLoader(IMAGES, LABELS, PART[:n], 32, order_seed=order_seed), 5))
        shares = [
            indices(epoch(BatchLoader(IMAGES, LABELS, PART[:n], 32, rank, world, order_seed=order_seed), 5))
            for rank in range(world)
        ]
        together = [
            list(chain(*batch)) for batch in zip(*shares, strict=True)
        ]  # strict: all ranks have equally many batches
        assert all(len(batch) >= 2 for share in shares for batch in share)
        assert sorted(chain(*together)) == PART[:n].tolist()
        if len(alone[-1]) < 2 * world:
            alone[-2:] = [alone[-2] + alone[-1]]
        assert [sorted(batch) for batch in together] == [sorted(batch) for batch in alone]


def test_a_batch_too_small_for_the_devices_is_refused() -> None:
    with pytest.raises(DataError, match=r"data\.batch_size must be at least 8, .* 4 devices .* got 6"):
        BatchLoader(IMAGES, LABELS, PART, 6, 0, 4)


@pytest.mark.parametrize(("flip", "crop"), [(True, 0), (False, 2), (True, 2), (True, 3)])
def test_augmentation_equals_a_naive_loop(flip: bool, crop: int) -> None:
    draws = stream(len(IMAGES), AUGMENT, 0, 0)
    got = flip_and_crop(IMAGES, draws, flip, crop)
    corners, mirrors = set(), 0
    for image, draw, result in zip(IMAGES.numpy(), draws.tolist(), got.numpy(), strict=True):
        top, column = (draw % 2**32) * (2 * crop + 1) // 2**32, (draw // 2**32 % 2**31) * (2 * crop + 1) // 2**31
        naive = np.pad(image, ((0, 0), (crop, crop), (crop, crop)))[:, top : top + 8, column : column + 6]
        if flip and draw >= 2**63:
            naive = naive[:, :, ::-1]
            mirrors += 1
        np.testing.assert_array_equal(result, naive)
        corners.add((top, column))
    assert len(corners) >= 0.8 * (2 * crop + 1) ** 2
    assert 40 < mirrors < 80 or not flip


def test_augmentation_depends_on_seed_epoch_and_image_alone() -> None:
    def by_image(
        part: np.ndarray[tuple[int], np.dtype[np.int64]], number: int, *rank_and_world_size: int
    ) -> dict[int, bytes]:
        loader = BatchLoader(IMAGES, LABELS, part, 16, *rank_and_world_size, order_seed=0, augmentation=FLIP_AND_CROP)
        return {
            i: image.numpy().tobytes()
            for images, _, index in epoch(loader, number)
            for i, image in zip(index.tolist(), images, strict=True)
        }

    everywhere = by_image(PART, 1)
    assert by_image(PART, 1) == everywhere
    assert by_image(PART, 0) != everywhere
    # An image does not depend on the batches, the split or the devices.
    assert by_image(PART[::2], 1).items() <= everywhere.items()
    assert by_image(PART, 1, 0, 2) | by_image(PART, 1, 1, 2) == everywhere
    plain = epoch(BatchLoader(IMAGES, LABELS, PART, 16, augmentation=FLIP_AND_CROP))
    assert all(torch.equal(images, IMAGES[index]) for images, _, index in plain)


def test_batches_that_are_prepared_ahead_are_the_same() -> None:
    for order_seed in (None, 0):
        now, ahead = (
            BatchLoader(IMAGES, LABELS, PART, 16, ahead=is_ahead, order_seed=order_seed, augmentation=FLIP_AND_CROP)
            for is_ahead in (False, True)
        )
        for number in (0, 1):
            for batch, other in zip(epoch(now, number), epoch(ahead, number), strict=True):
                assert all(map(torch.equal, batch, other))


def test_a_thread_prepares_one_batch_ahead_and_ends_with_the_epoch() -> None:
    threads: list[str] = []

    def batches() -> Iterator[Batch]:
        for _ in range(5):
            threads.append(threading.current_thread().name)
            yield IMAGES, LABELS, LABELS

    iterator = prepared_ahead(batches())
    next(iterator)
    next(iterator)
    iterator.close()  # type: ignore[attr-defined]
    assert len(threads) == 3
    assert all(name.startswith("batches") for name in threads)
    assert not any(thread.name.startswith("batches") for thread in threading.enumerate())
    assert len(list(prepared_ahead(batches()))) == 5
    assert not any(thread.name.startswith("batches") for thread in threading.enumerate())


def test_an_error_in_the_thread_arrives_in_the_place_of_its_batch() -> None:
    def batches() -> Iterator[Batch]:
        yield IMAGES, LABELS, LABELS
        raise OSError("no such image")

    iterator = prepared_ahead(batches())
    next(iterator)
    with pytest.raises(OSError, match="no such image"):
        next(iterator)
    assert not any(thread.name.startswith("batches") for thread in threading.enumerate())


def test_ctrl_c_ends_a_thread_that_prepares_batches() -> None:
    """Also while the main thread waits for it."""
    code = """
import itertools, time
from hybridnets import signals
from hybridnets.data.loader import prepared_ahead

def batches():
    for number in itertools.count():
        if number:
            print("waiting", flush=True)
            time.sleep(0.3)
        yield number

signals.install("x")
with signals.unwinding():
    for _ in prepared_ahead(batches()):
        pass
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's & has it ignored
    )
    assert process.stdout
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert (process.returncode, err) == (130, "x: ended by SIGINT\n")
