"""The finished runs of one variant, whose networks predict together."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hybridnets.program import few
from hybridnets.runs import identities
from hybridnets.runs.records import result
from hybridnets.runs.records.errors import RecordError
from hybridnets.runs.records.result import Result
from hybridnets.runs.store import check_weights

FEWEST = 2  # runs whose mean is one


@dataclass(frozen=True)
class Members:
    """The runs of a variant that predict together.

    Attributes:
        folders: Their folders, in order of their seeds.
        left_out: The folders of the runs beside them that have a result and are none of them, each with the reason.
    """

    folders: tuple[Path, ...]
    left_out: Mapping[Path, str]


def members(folder: Path) -> Members:
    """The finished runs of a variant that did not diverge.

    Args:
        folder: The folder of one of the runs, or the folder of the variant, in which those of the runs lie.

    Raises:
        ValueError: If there are fewer than two such runs, the folder has runs of several configurations, a run lacks its
            weights, or the result of the run that was named cannot be read.
    """
    here = result.read(folder) if folder.is_dir() else None
    top = folder.resolve().parent if here else folder
    if not top.is_dir():
        raise ValueError(f"RUN must be the folder of a run or of a variant, got {folder}, which does not exist")
    runs, left_out = _results(top)
    first = here or next(iter(runs.values()), None)
    if first is not None:
        of_variant = {path: record for path, record in runs.items() if _variant(record) == _variant(first)}
        if not here and len(of_variant) < len(runs):
            other = next(record for path, record in runs.items() if path not in of_variant)
            data = _data(other) != _data(first)
            raise ValueError(
                f"an ensemble needs runs of one variant, and {folder} has runs of several, which differ in "
                f"{'their data' if data else 'their settings'}: name one of its runs in the place of the folder"
            )
        runs = of_variant
    left_out |= {path: "diverged" for path, record in runs.items() if record.diverged}
    runs = {path: record for path, record in runs.items() if path not in left_out}
    if len(runs) < FEWEST:
        others = few(f"{path.name} ({why})" for path, why in left_out.items())
        raise ValueError(
            f"an ensemble needs at least {FEWEST} finished runs of one variant, and {top} has {len(runs)}"
            f"{f' without {others}' if others else ''}: train more seeds"
        )
    for path in runs:
        check_weights(path)
    order = sorted(runs, key=lambda path: [runs[path].identity["seeds"][kind] for kind in identities.SEED_KINDS])
    return Members(tuple(order), left_out)


def _results(top: Path) -> tuple[dict[Path, Result], dict[Path, str]]:
    """The results of the runs in a folder, and the folders of those that cannot be read, each with the reason."""
    runs: dict[Path, Result] = {}
    unreadable: dict[Path, str] = {}
    for path in sorted(top.iterdir()):
        try:
            if path.is_dir() and (record := result.read(path)):
                runs[path] = record
        except RecordError:
            unreadable[path] = f"its {result.FILE} cannot be read"
    return runs, unreadable


def _variant(record: Result) -> str:
    return identities.hash_of(identities.variant(record.identity))


def _data(record: Result) -> str:
    return str(record.identity["data"].get("sha256"))
