"""How runs were made and compared: the facts that a paper's methods section states, and nothing that is not recorded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hybridnets.report.comparing.families import Families, Family, FamilyMember
from hybridnets.report.comparing.metric import Metric
from hybridnets.report.comparing.variants import DataSetVariants
from hybridnets.report.reading.results import FinishedRun
from hybridnets.report.text import natural
from hybridnets.runs.identities import SECTIONS

RECIPE = tuple(section for section in SECTIONS if section != "model")
NO_RECIPE = (  # said otherwise, or not for readers
    *("data.name", "data.sha256", "data._target_", "data.train_fraction", "data.split", "data.folds"),
)
KINDS = ("the split into train and val", "the initialisation", "the order of the training images")


@dataclass(frozen=True)
class FamilySize:
    """The comparisons at one metric that are corrected together.

    Attributes:
        metric: The metric.
        family: The family.
        tested: How many of its comparisons have a p, which is what Holm's method counts.
        corrected: How many of those are tested by the corrected resampled t.
        names: The tests of these, in a few words.
    """

    metric: Metric
    family: Family
    tested: int
    corrected: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Methods:
    """How the runs of one data set were made and compared.

    Attributes:
        seeds: The seeds in short, each once, in their natural order.
        together: Whether one number sets split, initialisation and order in every run.
        varying: Those of KINDS that differ between runs.
        same_splits: Whether runs with equal split seeds have equal splits; None where a split is unknown.
        one_split: Whether runs with different seeds all share one split, so that no seed governs it.
        own_val: Whether that split is the one into the data set's own validation part and its other training images.
        folds: The number of folds where all splits are those of one cross-validation; otherwise 0.
        repetitions: How many repetitions of it there are; 0 without folds.
        complete: Whether every repetition has all of its folds.
        images: How many images train, val and test have, where that is known and the same for all runs; else empty.
        monitors: The metrics that chose the reported epochs; empty where unknown.
        recipe: The settings outside the model that all variants share, by section: a class with its arguments.
        differing: The settings outside the model that variants do not share.
        diverged: How many runs diverged or failed.
        families: The families at each metric; none where nothing was compared.
    """

    seeds: tuple[str, ...]
    together: bool
    varying: tuple[str, ...]
    same_splits: bool | None
    one_split: bool
    own_val: bool
    folds: int
    repetitions: int
    complete: bool
    images: Mapping[str, int]
    monitors: tuple[str, ...]
    recipe: Mapping[str, Mapping[str, Any]]
    differing: tuple[str, ...]
    diverged: int
    families: tuple[FamilySize, ...]


def methods(data_set: DataSetVariants, families: Families) -> Methods:
    """How the runs of one data set were made and compared.

    Args:
        data_set: Its variants.
        families: All comparisons of the report on it.
    """
    runs = [run for variant in data_set.variants for run in variant.runs]
    numbers = zip(*(run.seeds for run in runs), strict=True)
    images = [dict(run.images) for run in runs]
    folds = [run.fold for run in runs if run.fold]
    counts = {fold.folds for fold in folds} if len(folds) == len(runs) else set()
    repetitions = len({fold.repetition for fold in folds}) if len(counts) == 1 else 0
    shared, differing = _recipe(data_set)
    seeds = {run.seeds for run in runs}
    own_val = all(_uses_own_val(run) for run in runs)
    one_split = own_val or (len(seeds) > 1 and len({run.split for run in runs}) == 1 and bool(runs[0].split))
    return Methods(
        seeds=tuple(sorted({run.seed for run in runs}, key=natural)),
        together=all(len(set(run.seeds)) == 1 for run in runs),
        varying=tuple(
            kind
            for kind, values in zip(KINDS, numbers, strict=True)
            if len(set(values)) > 1 and not (one_split and kind == KINDS[0])
        ),
        same_splits=_same_splits(runs),
        one_split=one_split,
        own_val=own_val,
        folds=next(iter(counts)) if repetitions else 0,
        repetitions=repetitions,
        complete=len({(fold.name, fold.repetition) for fold in folds}) == repetitions * next(iter(counts), 0),
        images=images[0] if all(sizes == images[0] for sizes in images) else {},
        monitors=tuple(sorted({run.monitor for run in runs} - {""})),
        recipe=shared,
        differing=tuple(differing),
        diverged=sum(variant.diverged for variant in data_set.variants),
        families=tuple(_families(data_set, families)),
    )


def _uses_own_val(run: FinishedRun) -> bool:
    data = run.identity.get("data", {})
    return "train_fraction" in data and data["train_fraction"] is None and run.fold is None


def _same_splits(runs: Sequence[FinishedRun]) -> bool | None:
    if not all(run.split for run in runs):
        return None
    by_seed: dict[int, set[str]] = {}
    for run in runs:
        by_seed.setdefault(run.seeds[0], set()).add(run.split)
    return all(len(splits) == 1 for splits in by_seed.values())


def _families(data_set: DataSetVariants, families: Families) -> Iterator[FamilySize]:
    for metric in families.metrics:
        by_family: dict[Family, list[FamilyMember]] = {}
        for member in families.at(metric).values():
            by_family.setdefault(member.family, []).append(member)
        for family, members in by_family.items():
            tested = [member for member in members if member.test.p is not None]
            corrected = sum(bool(member.test.ratio) for member in tested)
            names = tuple(sorted({member.test_name for member in tested}))
            yield FamilySize(data_set.metric(metric), family, len(tested), corrected, names)


def _recipe(data_set: DataSetVariants) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The settings outside the model that all variants share, by section, and the paths of the others."""
    settings = [dict(_flat(variant.settings)) for variant in data_set.variants]
    paths = dict.fromkeys(path for values in settings for path in values if path not in NO_RECIPE)
    missing = object()
    shared: dict[str, dict[str, Any]] = {}
    differing = []
    for path in paths:
        values = [values.get(path, missing) for values in settings]
        if any(value is missing or value != values[0] for value in values):
            differing.append(path)
        else:
            section, _, key = path.partition(".")
            shared.setdefault(section, {})[key] = values[0]
    return shared, differing


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of the recipe by their dotted path."""
    for key, value in settings.items():
        if not prefix and key not in RECIPE:
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif key != "_partial_":
            yield f"{prefix}{key}", value
