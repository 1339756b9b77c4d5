"""How far the runs of a page are while they are trained."""

from typing import NamedTuple

from hybridnets.report.reading.progress import Progress


class Live(NamedTuple):
    """What a page says of runs that are being trained.

    Attributes:
        progress: How far the runs are.
        time: When that was read, as 12:34:56.
        reloads: Whether the page reloads itself.
    """

    progress: Progress
    time: str
    reloads: bool
