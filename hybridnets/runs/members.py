"""The finished runs of one variant, whose networks predict together."""

from pathlib import Path

from hybridnets.runs import identities
from hybridnets.runs.records import result
from hybridnets.runs.records.result import Result
from hybridnets.runs.store import result_with_weights

FEWEST = 2  # runs whose mean is one


def members(folder: Path) -> list[Path]:
    """The folders of the finished runs of a variant, in order of their seeds.

    Args:
        folder: The folder of one of the runs, or the folder of the variant, in which those of the runs lie.

    Raises:
        ValueError: If there are fewer than two finished runs, the folder has runs of several configurations, or a run lacks
            its weights.
    """
    here = result.read(folder) if folder.is_dir() else None
    top = folder.resolve().parent if here else folder
    if not top.is_dir():
        raise ValueError(f"RUN must be the folder of a run or of a variant, got {folder}, which does not exist")
    runs = {path: record for path in sorted(top.iterdir()) if path.is_dir() and (record := result.read(path))}
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
    if len(runs) < FEWEST:
        raise ValueError(
            f"an ensemble needs at least {FEWEST} finished runs of one variant, and {top} has {len(runs)}: train more seeds"
        )
    for path in runs:
        result_with_weights(path)
    return sorted(runs, key=lambda path: [runs[path].identity["seeds"][kind] for kind in identities.SEED_KINDS])


def _variant(record: Result) -> str:
    return identities.hash_of(identities.variant(record.identity))


def _data(record: Result) -> str:
    return str(record.identity["data"].get("sha256"))
