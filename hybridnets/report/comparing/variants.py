"""Finished runs grouped into labelled variants, with the runs that were requested for them and have no result."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from statistics import fmean, median

from hybridnets.report.comparing.metric import Metric, metric_of
from hybridnets.report.reading.manifests import is_below
from hybridnets.report.reading.results import FinishedRun, RunSet
from hybridnets.report.reading.score_kind import ACCURACY, ScoreKind
from hybridnets.report.text import natural, visible
from hybridnets.runs import identities
from hybridnets.runs.declaration import LEGAL_METRICS, METRICS
from hybridnets.runs.labels import label_variants
from hybridnets.runs.manifest import Manifest
from hybridnets.runs.store import diverged, reason, seconds, state
from hybridnets.stats import Summary, summary


@dataclass(frozen=True)
class MissingRun:
    """A requested run without a result.

    Attributes:
        folder: Its folder below the folder of all runs; for a file of scores the file's name and the line.
        state: running, stopped, failed, unreadable or pending; missing for a file of scores.
        reason: Why its last attempt failed; empty if it did not.
        seeds: The seeds of split, initialisation and order.
        diverged: Whether it failed because its loss was no longer finite.
        seconds: The seconds of the epochs that it recorded.
    """

    folder: PurePath
    state: str
    reason: str
    seeds: tuple[int, int, int]
    diverged: bool = False
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Variant:
    """A configuration without its seeds, and its runs.

    Attributes:
        label: Its short name, followed by the settings that distinguish it from other variants with this short name.
        name: Its short name.
        axes: The settings by which tables may order it, in the paper's words: model, rnn, layers, nodes, and those that
            its label adds.
        settings: Its identity without seeds.
        runs: Its finished runs by their seeds; at least one.
        missing: The requested runs without a result; for a file of scores those without a score.
        partial: How many rows of their file are left out, in words; empty if none is.
        score: What the scores of a file are.
    """

    label: str
    name: str
    axes: Mapping[str, str]
    settings: identities.Identity
    runs: tuple[FinishedRun, ...]
    missing: tuple[MissingRun, ...]
    partial: str = ""
    score: ScoreKind = ACCURACY

    def metric(self, key: str) -> Metric:
        """What a metric of its runs is.

        Args:
            key: Its key.
        """
        return metric_of(key, self.score)

    @property
    def scores_only(self) -> bool:
        """Whether it comes from a file of scores, which has neither its configuration nor the reasons for missing runs."""
        return "model" not in self.settings

    @property
    def sound(self) -> tuple[FinishedRun, ...]:
        """The runs that did not diverge."""
        return tuple(run for run in self.runs if not run.diverged)

    @property
    def diverged(self) -> int:
        """How many runs diverged, with a result or without."""
        return len(self.runs) - len(self.sound) + sum(run.diverged for run in self.missing)

    @property
    def failures(self) -> str:
        """How many runs diverged, in words; empty if none did. A file of scores only says that a run failed."""
        return f"{self.diverged} {'failed' if self.scores_only else 'diverged'}" if self.diverged else ""

    @property
    def finished(self) -> str:
        """How many runs are finished: 3, or 2/3 if a third was requested."""
        return f"{len(self.runs)}/{len(self.runs) + len(self.missing)}" if self.missing else str(len(self.runs))

    @property
    def backbone(self) -> identities.Identity | None:
        """The settings of the variant that it uses as its backbone; None if it uses none."""
        return identities.variant(self.settings["backbone"]) if "backbone" in self.settings else None

    @property
    def parameters(self) -> int | None:
        """Keras's count; None if unknown."""
        return self.runs[0].parameters

    @property
    def epoch_seconds(self) -> float | None:
        """Median over all epochs of all runs; None if none was recorded."""
        epochs = [seconds for run in self.runs for seconds in run.epoch_seconds]
        return median(epochs) if epochs else None

    @property
    def run_seconds(self) -> float | None:
        """The time of all epochs of a run together, as the mean over the runs; None if none was recorded."""
        totals = [run.seconds for run in self.runs if run.seconds is not None]
        return fmean(totals) if totals else None

    def scores(self, metric: str) -> Summary | None:
        """A metric over the runs that did not diverge; None if all did.

        Args:
            metric: Its name: test, val, val_last or score.
        """
        values = [run.scores[metric] for run in self.sound if metric in run.scores]
        return summary(values) if values else None

    def with_failures(self, metric: str) -> float | None:
        """The mean over all runs, with diverged runs at chance; None if none diverged or chance is unknown.

        Args:
            metric: The metric's name.
        """
        classes = len(self.runs[0].classes)
        if not self.diverged or not classes or any(run.scores[metric] > 1 for run in self.sound):
            return None
        return fmean([*(run.scores[metric] for run in self.sound), *[1 / classes] * self.diverged])


@dataclass(frozen=True, eq=False)
class DataSetVariants:
    """The variants that were trained on one data set.

    Attributes:
        name: The data set's name.
        variants: The variants, in the natural order of their labels.
        missing: The requested runs of variants without any finished run.
    """

    name: str
    variants: list[Variant]
    missing: list[MissingRun]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that tables are made of, the preferred one first."""
        return tuple(metric for metric in self.available if metric in METRICS)

    @cached_property
    def available(self) -> tuple[str, ...]:
        """The metrics that all runs have, and that a question may be about."""
        runs = [run for variant in self.variants for run in variant.runs]
        return tuple(metric for metric in LEGAL_METRICS if all(metric in run.scores for run in runs))

    def metric(self, key: str) -> Metric:
        """What a metric of its runs is.

        Args:
            key: Its key.
        """
        return self.variants[0].metric(key)

    def are_shares(self, key: str) -> bool:
        """Whether every value of a metric is a share, as an accuracy is.

        Args:
            key: The metric's key.
        """
        values = [run.scores[key] for variant in self.variants for run in variant.runs if key in run.scores]
        return self.metric(key).may_be_share and all(0 <= value <= 1 for value in values)

    def scale(self, key: str) -> int:
        """What a metric's value is multiplied by to be printed: 100 for percent, 1 for values in a unit of their own.

        Args:
            key: The metric's key.
        """
        return 100 if self.are_shares(key) else 1


def variants_by_data_set(runs: RunSet, manifests: Iterable[Manifest] = ()) -> list[DataSetVariants]:
    """The finished runs grouped into variants, by data set.

    Args:
        runs: The finished runs.
        manifests: What the sweeps requested.
    """
    groups = defaultdict[str, dict[str, list[FinishedRun]]](lambda: defaultdict(list))
    for run in runs.runs:
        groups[run.data][identities.hash_of(identities.variant(run.identity))].append(run)
    missing = _missing_runs(runs, manifests)
    unscored = _runs_without_score(runs)
    data_sets = []
    for data, by_variant in sorted(groups.items()):
        names = _labels_and_axes(by_variant)
        variants = [
            Variant(
                label=visible(names[key][0]),
                name=group[0].name,
                axes={axis: visible(level) for axis, level in names[key][1].items()},
                settings=identities.variant(group[0].identity),
                runs=tuple(sorted(group, key=lambda run: run.seeds)),
                missing=(*_take_missing_of(group[0], missing), *unscored.pop((data, group[0].name), ())),
                partial=runs.partial,
                score=runs.score,
            )
            for key, group in by_variant.items()
        ]
        # What remains belongs to variants without a finished run, in folders that several variants may share.
        orphans = [run for run in missing.values() if run.folder.parts[0] == data]
        orphans += [run for (name, _), group in unscored.items() if name == data for run in group]
        data_sets.append(DataSetVariants(data, sorted(variants, key=lambda variant: natural(variant.label)), orphans))
    return data_sets


def _labels_and_axes(by_variant: Mapping[str, Sequence[FinishedRun]]) -> dict[str, tuple[str, dict[str, str]]]:
    """The label and the axes of each variant of a data set, by the same key."""
    labels = label_variants(
        {key: identities.variant(group[0].identity) for key, group in by_variant.items()},
        {key: group[0].name for key, group in by_variant.items()},
    )
    axes = {key: {**_axes(group[0]), **labels[key][1]} for key, group in by_variant.items()}
    all_axes = list(axes.values())
    for key, levels in axes.items():
        if levels and all_axes.count(levels) > 1:  # only their names distinguish these variants
            axes[key] = {**levels, "variant": by_variant[key][0].name}
    return {key: (labels[key][0], axes[key]) for key in by_variant}


def _axes(run: FinishedRun) -> dict[str, str]:
    return identities.axes(run.identity) if isinstance(run.identity.get("model"), Mapping) else dict(run.axes)


def _missing_runs(runs: RunSet, manifests: Iterable[Manifest]) -> dict[str, MissingRun]:
    """The runs of the same data sets that manifests request below the given folders and that have no result, by hash."""
    finished = {run.hash for run in runs.runs}
    data_sets = {run.data for run in runs.runs}
    missing: dict[str, MissingRun] = {}
    for manifest in manifests:
        for key, requested in manifest.requested.items():
            folder = manifest.out / requested.folder
            is_open = key not in finished and key not in missing and requested.folder.parts[0] in data_sets
            if is_open and is_below(folder, runs.folders):
                missing[key] = MissingRun(
                    requested.folder, state(folder), reason(folder), requested.seeds, diverged(folder), seconds(folder)
                )
    return missing


def _runs_without_score(runs: RunSet) -> dict[tuple[str, str], list[MissingRun]]:
    """The runs of a file of scores that have no score, by data set and variant."""
    unscored = defaultdict[tuple[str, str], list[MissingRun]](list)
    for run in runs.missing:
        why = f"no score of {run.name} with seed {run.seed}"
        unscored[run.data, run.name].append(MissingRun(PurePath(run.folder.name), "missing", why, run.seeds))
    return unscored


def _take_missing_of(run: FinishedRun, missing: dict[str, MissingRun]) -> Iterator[MissingRun]:
    """Removes from `missing` the runs of the same variant as `run`, and yields them.

    A run's hash follows from its variant and its seeds.
    """
    settings = identities.variant(run.identity)
    for key, candidate in list(missing.items()):
        if candidate.folder.parts[:-1] == (run.data, run.name):
            seeds = dict(zip(identities.SEED_KINDS, candidate.seeds, strict=True))
            if identities.hash_of({**settings, "seeds": seeds}) == key:
                yield missing.pop(key)
