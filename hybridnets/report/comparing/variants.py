"""Runs grouped into variants, their labels, and what the sweeps' manifests say is missing."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from statistics import fmean, median

from hybridnets.report.reading.results import FinishedRun, RunSet
from hybridnets.report.tables.table import visible
from hybridnets.runs import identity as ids
from hybridnets.runs.labels import labels
from hybridnets.runs.manifest import Manifest
from hybridnets.runs.store import reason, state
from hybridnets.stats import Summary, summary


@dataclass(frozen=True)
class Missing:
    """A run that a sweep asked for and that has no result.

    Attributes:
        folder: Its folder below the folder of all runs; of a file of scores its line.
        state: running, failed or pending; missing, of a file of scores.
        reason: Why its last attempt ended; empty where it did not.
        seeds: The seeds of split, initialisation and order, of a file of scores; None of any other.
    """

    folder: PurePath
    state: str
    reason: str
    seeds: tuple[int, int, int] | None = None

    @property
    def diverged(self) -> bool:
        """Whether it failed because its loss was no longer finite."""
        return self.reason.startswith("Diverged")


@dataclass(frozen=True, eq=False)
class Variant:
    """A configuration without its seeds, and its runs.

    Attributes:
        label: Its short name, with the settings that set it apart where several variants of the data set share it.
        name: Its short name.
        axes: Its settings in the paper's words, by which a table may order it: model, rnn, layers, nodes, and what its
            label adds.
        settings: Its identity without seeds.
        runs: Its finished runs by their seeds; at least one.
        missing: The runs that the sweeps asked for beside these, or of which a file of scores has none.
        partial: What of their file is left out, in words; empty where nothing is.
    """

    label: str
    name: str
    axes: Mapping[str, str]
    settings: ids.Identity
    runs: tuple[FinishedRun, ...]
    missing: tuple[Missing, ...]
    partial: str = ""

    @property
    def sound(self) -> tuple[FinishedRun, ...]:
        """The runs that did not diverge."""
        return tuple(run for run in self.runs if not run.diverged)

    @property
    def diverged(self) -> int:
        """How many runs diverged, with a result or without."""
        return len(self.runs) - len(self.sound) + sum(run.diverged for run in self.missing)

    @property
    def trouble(self) -> str:
        """How many runs diverged, in words; empty where none did. Of a file of scores nobody knows more than a failure."""
        return f"{self.diverged} {'diverged' if 'model' in self.settings else 'failed'}" if self.diverged else ""

    @property
    def finished(self) -> str:
        """How many runs are finished: 3, or 2/3 where one more was asked for."""
        return f"{len(self.runs)}/{len(self.runs) + len(self.missing)}" if self.missing else str(len(self.runs))

    @property
    def backbone(self) -> ids.Identity | None:
        """The settings of the variant that it stands on; None where it stands on none."""
        return ids.variant(self.settings["backbone"]) if "backbone" in self.settings else None

    @property
    def parameters(self) -> int | None:
        """Keras's count; None where unknown."""
        return self.runs[0].parameters

    @property
    def epoch_seconds(self) -> float | None:
        """Median over all epochs of all runs; None where none was recorded."""
        epochs = [seconds for run in self.runs for seconds in run.epoch_seconds]
        return median(epochs) if epochs else None

    @property
    def run_seconds(self) -> float | None:
        """Mean over the runs of what their epochs took together; None where none was recorded."""
        totals = [run.seconds for run in self.runs if run.seconds is not None]
        return fmean(totals) if totals else None

    def scores(self, metric: str) -> Summary | None:
        """A metric over the runs that did not diverge; None where all did.

        Args:
            metric: Its name: test, val, val_last or score.
        """
        values = [run.scores[metric] for run in self.sound if metric in run.scores]
        return summary(values) if values else None

    def with_failures(self, metric: str) -> float | None:
        """The mean over all runs, those that diverged at chance; None where chance is unknown or none diverged.

        Args:
            metric: The metric's name.
        """
        classes = len(self.runs[0].classes)
        if not self.diverged or not classes or any(run.scores[metric] > 1 for run in self.sound):
            return None
        return fmean([*(run.scores[metric] for run in self.sound), *[1 / classes] * self.diverged])


@dataclass(frozen=True, eq=False)
class DataSetVariants:
    """One data set.

    Attributes:
        data: Its name.
        variants: Its variants, in the natural order of their labels.
        lost: The runs asked for of variants that have no finished run.
    """

    data: str
    variants: list[Variant]
    lost: list[Missing]

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that all runs have, the one to answer by first."""
        runs = [run for variant in self.variants for run in variant.runs]
        return tuple(metric for metric in ("test", "val", "score") if all(metric in run.scores for run in runs))

    @cached_property
    def shares(self) -> bool:
        """Whether every value is a share, as an accuracy is."""
        return all(0 <= run.scores[m] <= 1 for v in self.variants for run in v.runs for m in self.metrics)


def sections(found: RunSet, manifests: Sequence[Manifest] = ()) -> list[DataSetVariants]:
    """The variants that were found, by data set.

    Args:
        found: The finished runs.
        manifests: What was asked for.
    """
    groups = defaultdict[str, dict[str, list[FinishedRun]]](lambda: defaultdict(list))
    for run in found.runs:
        groups[run.data][ids.digest(ids.variant(run.identity))].append(run)
    missing = _missing(found, manifests)
    unscored = _unscored(found)
    result = []
    for data, grouped in sorted(groups.items()):
        told = labels(
            {key: ids.variant(group[0].identity) for key, group in grouped.items()},
            {key: group[0].name for key, group in grouped.items()},
        )
        axes = {key: {**_words(group[0]), **told[key][1]} for key, group in grouped.items()}
        alike = [found for found in axes.values() if list(axes.values()).count(found) > 1]
        axes |= {  # where nothing but the name tells variants apart
            key: {**found, "variant": grouped[key][0].name} for key, found in axes.items() if found and found in alike
        }
        variants = [
            Variant(
                label=visible(told[key][0]),
                name=group[0].name,
                axes={axis: visible(level) for axis, level in axes[key].items()},
                settings=ids.variant(group[0].identity),
                runs=tuple(sorted(group, key=lambda run: run.seeds)),
                missing=(*_claimed(missing, group[0]), *unscored.pop((data, group[0].name), ())),
                partial=found.partial,
            )
            for key, group in grouped.items()
        ]
        # What no variant claimed belongs to variants without a finished run, in folders that others may share.
        lost = [run for run in missing.values() if run.folder.parts[0] == data]
        lost += [run for (where, _), runs in unscored.items() if where == data for run in runs]
        result.append(DataSetVariants(data, sorted(variants, key=lambda variant: natural(variant.label)), lost))
    return result


def _words(run: FinishedRun) -> dict[str, str]:
    """A variant's settings in the paper's words; a row of a file tells its own."""
    model = run.identity.get("model")
    if not isinstance(model, Mapping):
        return dict(run.axes)
    if (
        below := ids.backbone(run.identity)
    ) and "kind" in model:  # the backbone is one level: its axes are not this run's
        known = {key: str(model[key]) for key in ("kind", "channels") if key in model}
        return {"model": f"{ids.name(below)}+autoencoder", **known}
    first, *rest = run.name.rsplit("-", 2) if isinstance(model.get("rnn"), Mapping) else [run.name]
    if not rest:
        return {"model": first}
    layers, _, nodes = rest[1].partition("x")
    return {"model": first, "rnn": rest[0], "layers": layers, "nodes": nodes}


def _missing(found: RunSet, manifests: Sequence[Manifest]) -> dict[str, Missing]:
    """By their hash, the runs that manifests ask for below the given folders and that are not among those found."""
    finished = {run.hash for run in found.runs}
    missing: dict[str, Missing] = {}
    for manifest in manifests:
        for key, relative in manifest.runs.items():
            folder = manifest.out / relative
            if key not in finished and key not in missing and _below(folder, found.folders):
                missing[key] = Missing(relative, state(folder), reason(folder))
    return missing


def _unscored(found: RunSet) -> dict[tuple[str, str], list[Missing]]:
    """By data set and variant, the trainings of a file of scores that have no score."""
    unscored = defaultdict[tuple[str, str], list[Missing]](list)
    for run in found.missing:
        why = f"no score of {run.name} with seed {run.seed}"
        unscored[run.data, run.name].append(Missing(PurePath(run.folder.name), "missing", why, run.seeds))
    return unscored


def _below(path: Path, folders: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _claimed(missing: dict[str, Missing], run: FinishedRun) -> Iterator[Missing]:
    """Takes out of `missing` the runs of this run's variant: a run's hash follows from variant and seeds."""
    settings = ids.variant(run.identity)
    for key, other in list(missing.items()):
        seeds = re.match(r"seed=(\d+)(?:\.(\d+)\.(\d+))?-", other.folder.name)
        if seeds and other.folder.parts[:-1] == (run.data, run.name):
            split, init, order = (int(number or seeds[1]) for number in seeds.groups())
            if ids.digest({**settings, "seeds": {"split": split, "init": init, "order": order}}) == key:
                yield missing.pop(key)


def natural(text: str) -> list[tuple[float, str]]:
    """A sorting key in which 1x8 stands before 1x16 and lr=0.001 before lr=0.01."""
    parts = re.split(r"(\d+(?:\.\d+)?(?:e-?\d+)?)", text)
    return [(float(part), "") if place % 2 else (0, part) for place, part in enumerate(parts)]
