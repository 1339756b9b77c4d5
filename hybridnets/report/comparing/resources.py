"""What runs took: how many there are, over which seeds, for how long and on which hardware."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hybridnets.report.comparing.variants import DataSetVariants


@dataclass(frozen=True)
class Share:
    """The part of the runs that one kind of hardware computed.

    Attributes:
        runs: How many runs.
        seconds: The seconds of their epochs, together.
    """

    runs: int
    seconds: float


@dataclass(frozen=True)
class Resources:
    """What the runs of some variants took.

    Attributes:
        variants: How many variants have a finished run, each counted once if several data sets have it.
        finished: How many runs are finished.
        requested: How many there would be if every requested run had finished.
        seeds: How many different seeds the finished runs have; splits, where seeds of several kinds vary apart, count with
            initialisation and order.
        seconds: The seconds of all recorded epochs of the finished runs, training and validation.
        unrecorded: How many finished runs recorded no seconds.
        lost_seconds: The seconds of the recorded epochs of the runs without a result.
        hardware: The finished runs by their hardware, the most frequent first; an empty name where it was not recorded.
    """

    variants: int
    finished: int
    requested: int
    seeds: int
    seconds: float
    unrecorded: int
    lost_seconds: float
    hardware: Mapping[str, Share]

    @property
    def hours(self) -> float | None:
        """The hours of the finished runs that recorded them; None where none did."""
        return self.seconds / 3600 if self.unrecorded < self.finished else None


def resources(data_sets: Iterable[DataSetVariants]) -> Resources:
    """What the runs of some data sets took.

    Args:
        data_sets: The variants of each.
    """
    sets = list(data_sets)
    variants = [variant for data_set in sets for variant in data_set.variants]
    runs = [run for variant in variants for run in variant.runs]
    missing = [run for variant in variants for run in variant.missing]
    missing += [run for data_set in sets for run in data_set.missing]
    shares = defaultdict[str, list[float]](list)
    for run in runs:
        shares[run.hardware].append(run.seconds or 0.0)
    by_frequency = sorted(shares.items(), key=lambda item: (-len(item[1]), item[0]))
    return Resources(
        variants=len({variant.label for variant in variants}),
        finished=len(runs),
        requested=len(runs) + len(missing),
        seeds=len({run.seeds for run in runs}),
        seconds=sum(run.seconds or 0.0 for run in runs),
        unrecorded=sum(run.seconds is None for run in runs),
        lost_seconds=sum(run.seconds for run in missing),
        hardware={name: Share(len(seconds), sum(seconds)) for name, seconds in by_frequency},
    )


def duration(seconds: float) -> str:
    """A duration in the unit that suits it: 45 s, 12.5 min, 3.2 h."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 or not seconds else f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:,.1f} h"
