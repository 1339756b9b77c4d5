"""Which runs a report is about: those of the sweep that declared its question. All others are listed apart."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hybridnets.report.comparing.variants import DataSetVariants, variants_by_data_set
from hybridnets.report.reading.manifests import Sweep
from hybridnets.report.reading.results import FinishedRun, ReportError, RunSet
from hybridnets.report.text import proposal
from hybridnets.runs.published_figures import PublishedFigures

ALL = "all"  # as the name of a sweep


@dataclass(frozen=True, eq=False)
class Scope:
    """The runs of one data set that a report is about.

    Attributes:
        data_set: Their variants.
        sweeps: The sweeps that requested them, with what they declared, the oldest first.
        all_sweeps: All sweeps that requested runs of this data set.
        apart: The variants of the runs that are left apart; None where there are none.
        names: The names of the sweeps that the report is about; empty where it is about all runs.
        others: The names of the other sweeps that declared a question about this data set.
    """

    data_set: DataSetVariants
    sweeps: Sequence[Sweep]
    all_sweeps: Sequence[Sweep]
    apart: DataSetVariants | None = None
    names: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def published(self) -> PublishedFigures:
        """What its sweeps declared as published: the first comparisons, and the first accuracies by class."""
        figures = [sweep.declaration.published for sweep in self.sweeps]
        compared = next((f for f in figures if f.accuracies), PublishedFigures())
        return replace(compared, classes=next((f.classes for f in figures if f.classes), {}))


def scopes(runs: RunSet, sweeps: Sequence[Sweep], requested: Sequence[str]) -> list[Scope]:
    """The runs that a report is about, by data set.

    Args:
        runs: All finished runs.
        sweeps: All sweeps that requested some of them, the oldest first.
        requested: Names of sweeps; empty for the last one that declared a question about a data set.

    Raises:
        ReportError: If a requested sweep did not request any of the runs.
    """
    names = [sweep.manifest.path.stem for sweep in sweeps]
    for name in requested:
        if name not in (*names, ALL):
            legal = ", ".join(dict.fromkeys([*names, ALL]))
            raise ReportError(
                f"--sweep must be the name of a sweep that requested these runs, {legal}, got {name}{proposal(name, names)}"
            )
    by_data: dict[str, list[FinishedRun]] = {}
    for run in runs.runs:
        by_data.setdefault(run.data, []).append(run)
    return [
        _scope(data, replace(runs, runs=tuple(group)), sweeps, requested) for data, group in sorted(by_data.items())
    ]


def _scope(data: str, runs: RunSet, sweeps: Sequence[Sweep], requested: Sequence[str]) -> Scope:
    about = [s for s in sweeps if any(folder.parts[0] == data for folder in s.manifest.runs.values())]
    declaring = [sweep for sweep in about if sweep.declaration.primary]
    chosen = [sweep for sweep in about if sweep.manifest.path.stem in requested] if requested else declaring[-1:]
    wanted = {key for sweep in chosen for key in sweep.manifest.requested}
    wanted |= {run.code.backbone for run in runs.runs if run.code and run.hash in wanted}
    inside = tuple(run for run in runs.runs if run.hash in wanted)
    if ALL in requested or not inside:
        (data_set,) = variants_by_data_set(runs, [sweep.manifest for sweep in sweeps])
        return Scope(data_set, sweeps, sweeps)
    outside = tuple(run for run in runs.runs if run.hash not in wanted)
    (data_set,) = variants_by_data_set(replace(runs, runs=inside), [sweep.manifest for sweep in chosen])
    apart = variants_by_data_set(replace(runs, runs=outside))[0] if outside else None
    others = tuple(sweep.manifest.path.stem for sweep in declaring if sweep not in chosen)
    return Scope(data_set, chosen, about, apart, tuple(sweep.manifest.path.stem for sweep in chosen), others)
