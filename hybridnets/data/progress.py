"""How far something is that takes long: a bar in a terminal, or a line in the log now and then."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

log = logging.getLogger("hybridnets")

QUIET_SECONDS = 1.0  # after which a message says what takes so long
LINE_SECONDS = 30.0  # between lines where there is no terminal
BYTES = "B"


@contextmanager
def progress(activity: str, total: int, unit: str, done: int = 0) -> Iterator[Callable[[int], object]]:
    """Gives a function to be called with the number of things that have been done since the last call.

    Args:
        activity: What is being done.
        total: To how many things.
        unit: What these are, such as files, or BYTES.
        done: How many are done already.
    """
    if sys.stderr.isatty():
        is_size = unit == BYTES
        with tqdm(
            desc=activity,
            total=total,
            initial=done,
            unit=unit if is_size else f" {unit}",
            unit_scale=is_size,
            leave=False,
        ) as bar:
            yield bar.update
        return
    whole = as_size(total) if unit == BYTES else f"{total:,} {unit}"
    log.info("%s: %s", activity, whole)
    last = time.monotonic()

    def advance(n: int) -> None:
        nonlocal done, last
        done += n
        if (now := time.monotonic()) - last >= LINE_SECONDS:
            last = now
            log.info("%s: %s of %s", activity, as_size(done) if unit == BYTES else f"{done:,}", whole)

    yield advance


@contextmanager
def announced(activity: str) -> Iterator[None]:
    """Says what is being done if it takes long, where nothing can be counted."""
    timer = threading.Timer(QUIET_SECONDS, log.info, [activity])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def as_size(n: int) -> str:
    """A number of bytes for people."""
    return f"{n / 1e9:.1f} GB" if n >= 1e8 else f"{n / 1e6:.1f} MB"
