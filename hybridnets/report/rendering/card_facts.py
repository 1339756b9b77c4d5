"""What a model card is written from, read from a run's or a variant's folder."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hybridnets.program import few
from hybridnets.report.comparing.variants import Variant, variants_by_data_set
from hybridnets.report.reading import results
from hybridnets.report.reading.licences import licence_of, resize_of
from hybridnets.report.reading.manifests import read_sweeps
from hybridnets.report.reading.progress import RunProgress, progress_of, runs_below
from hybridnets.report.reading.results import ReportError
from hybridnets.report.rendering.card import CardFacts
from hybridnets.runs import identities
from hybridnets.runs.records import provenance
from hybridnets.runs.records.errors import RecordError
from hybridnets.runs.store import reason


def read_facts(folder: Path, groups: Sequence[Path]) -> CardFacts:
    """What a card of a folder says.

    Args:
        folder: The folder of a finished run, or of a variant with at least one.
        groups: Folders of configuration groups, for the licence of the data.

    Raises:
        ReportError: If the folder holds no finished run, or runs of several variants or data sets.
    """
    runs = results.read([folder])
    sweeps, broken = read_sweeps(runs)
    sets = variants_by_data_set(runs, [sweep.manifest for sweep in sweeps])
    variants = [variant for data_set in sets for variant in data_set.variants]
    if len(variants) > 1:
        names = few(f"{variant.runs[0].data}/{variant.label}" for variant in variants)
        raise ReportError(
            f"FOLDER must hold the runs of one variant, got {folder} with {len(variants)}: {names}: give the "
            "folder of one of them, or of a run"
        )
    (variant,) = variants
    unfinished, problems = _unfinished(folder.resolve(), variant)
    return CardFacts(
        variant=variant,
        unfinished=unfinished,
        licence=licence_of(variant.runs, groups),
        resize=resize_of(variant.runs[0]),
        problems=tuple(dict.fromkeys((*runs.problems, *broken, *problems))),
    )


def _unfinished(folder: Path, variant: Variant) -> tuple[list[RunProgress], list[str]]:
    """The runs of a variant in its folder that were requested or begun and have no result, and what cannot be read."""
    runs, problems = runs_below(folder)
    finished = {run.folder.resolve() for run in variant.runs}
    # Unreadable results are among the problems of the reading.
    progress = [progress_of(path) for path in sorted(runs) if path not in finished]
    return [
        replace(run, note=reason(run.folder))
        for run in progress
        if run.state not in ("finished", "unreadable") and _may_be_of(run.folder, variant)
    ], problems


def _may_be_of(folder: Path, variant: Variant) -> bool:
    """Whether a run without a result belongs to a variant, as far as it says what determines it."""
    try:
        record = provenance.read(folder)
    except RecordError:
        return True
    return not (record and record.identity) or identities.variant(record.identity) == variant.settings
