"""From folders of finished runs to an archive.

Of a run, it keeps result.json and metrics.csv to the byte, provenance.json without host names and paths, and of
predictions.npz the class and the probability of the true class. It does not keep config.yaml, log.txt and checkpoints. It also
keeps the sweeps' manifests, and why runs that they requested failed or stopped: a run that diverged counts in a comparison.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

from hybridnets.runs import manifest
from hybridnets.runs.archive import columns, container, privacy
from hybridnets.runs.archive.container import ArchiveError
from hybridnets.runs.archive.unpacking import Archive, place_of
from hybridnets.runs.files import read_json, replacing
from hybridnets.runs.records import metrics, result
from hybridnets.runs.store import state

LEFT_OUT = "weights, feature maps, configurations, logs, host names and paths"


def pack(folders: Sequence[Path], tops: Sequence[Path], path: Path, *, all_probabilities: bool = False) -> None:
    """Writes an archive of finished runs and of the sweeps that requested them.

    Args:
        folders: The folders of the runs, one for each run.
        tops: The folders in which they were found: a sweep is kept if it requested a run there.
        path: The archive.
        all_probabilities: Whether to keep the probabilities of all classes.

    Raises:
        ArchiveError: If a run cannot be kept as it is, or the archive cannot be written.
    """
    runs: dict[PurePath, Path] = {}
    for folder in folders:
        place = place_of(folder / result.FILE, (folder / result.FILE).read_bytes())
        if place in runs:
            raise ArchiveError(f"{folder} and {runs[place]} would both be {place}: pack one of them")
        runs[place] = folder
    outs = sorted({out for folder in folders for out in folder.resolve().parents[2:3]})
    resolved = [folder.resolve() for folder in tops]
    sweeps, failures = _sweeps(outs, resolved, set(runs))
    packer = columns.Packer()
    contents = [_pack_run(folder, packer, all_probabilities) for _, folder in sorted(runs.items())]
    sets, arrays = packer.packed()
    header = {
        "rounding": columns.ROUNDING,
        "left_out": LEFT_OUT,
        "below": _report_folders(outs, resolved, set(runs), sweeps),
        "sweeps": sweeps,
        "lost": failures,
        "images": sets,
        "runs": contents,
    }
    try:
        with replacing(path) as temporary:
            container.write(temporary, header, arrays)
            Archive(temporary)  # an archive that cannot be read again is not kept
    except OSError as error:
        raise ArchiveError(f"{path} cannot be written ({error.strerror}): give another file with -o") from None


def _pack_run(folder: Path, packer: columns.Packer, all_probabilities: bool) -> dict[str, Any]:
    """The header's entry for a run; its predictions go to the packer."""
    attempts = None
    with suppress(ValueError):  # a damaged file says nothing, and the run still counts
        attempts = privacy.anonymous(folder)
    epochs = folder / metrics.FILE
    try:
        return {
            "result": (folder / result.FILE).read_bytes().decode(),
            "metrics": epochs.read_bytes().decode() if epochs.exists() else None,
            "provenance": attempts,
            "predictions": {
                part: packer.add(part_columns)
                for part, part_columns in columns.read(folder, all_probabilities=all_probabilities).items()
            },
        }
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{folder} cannot be packed ({error})") from None


def _sweeps(outs: list[Path], tops: list[Path], finished: set[PurePath]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifests of sweeps that requested a run in the given folders, and what is known of runs that failed or stopped."""
    sweeps: dict[str, Any] = {}
    failures: dict[str, Any] = {}
    for out in outs:
        for sweep in manifest.read(out)[0]:
            if not any((out / run).is_relative_to(top) for run in sweep.runs.values() for top in tops):
                continue
            content = read_json(sweep.path)
            command = privacy.without_paths(str(content["command"]), shell=True)
            manifest.add(sweeps, sweep.path.name, {**content, "command": command})
            for run in sweep.runs.values():
                if run not in finished and state(out / run) in ("failed", "stopped"):
                    failures[run.as_posix()] = privacy.failure(out / run)
    return dict(sorted(sweeps.items())), dict(sorted(failures.items()))


def _report_folders(outs: list[Path], tops: list[Path], runs: set[PurePath], sweeps: Mapping[str, Any]) -> list[str]:
    """The folders, relative to that of all runs, that a report is about; a data set's where there is only one data set."""
    folders = {PurePath()} if any(out.is_relative_to(top) for out in outs for top in tops) else set()
    folders |= {PurePath(top.relative_to(out)) for out in outs for top in tops if top.is_relative_to(out)}
    folders = {folder for folder in folders if any(run.is_relative_to(folder) for run in runs)} or {PurePath()}
    data = {run.parts[0] for run in runs}
    requested = {PurePath(run["folder"]).parts[0] for content in sweeps.values() for run in content["runs"]}
    if PurePath() in folders:
        return [*data] if len(data | requested) == 1 else ["."]
    return sorted(folder.as_posix() for folder in folders)
