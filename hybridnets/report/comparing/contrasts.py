"""Contrasts: every variant at one level of an axis against the variant at another level that is equal in all other axes."""

import itertools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from hybridnets.report.comparing.comparison import Comparison, compare
from hybridnets.report.comparing.variants import DataSetVariants, Variant
from hybridnets.report.reading.results import ReportError
from hybridnets.report.text import natural
from hybridnets.runs import identities
from hybridnets.runs.declaration import Contrast
from hybridnets.runs.manifest import Manifest

PLAINEST = "cnn"  # the model that every other one adds something to
NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
MAX_LEVELS = 4  # of an axis, for a table of every two of them


@dataclass(frozen=True, eq=False)
class ContrastComparisons:
    """A contrast with its comparisons.

    Attributes:
        levels: The axis and its two levels.
        comparisons: One per cell of its table, without those that have no seed in common.
        best: The best variant of each row at one level against the best one at the other level, both chosen on val; empty
            if there is nothing to choose from.
    """

    levels: Contrast
    comparisons: tuple[Comparison, ...]
    best: tuple[Comparison, ...]

    @property
    def title(self) -> str:
        """The declared title of its table, or axis and levels."""
        return self.levels.title or f"{self.levels.axis}: {self.levels.low} and {self.levels.high}"


class ComparisonCache:
    """The comparisons between the variants of one data set, each computed once, and in one direction.

    The direction in which a pair is first compared stays: whoever asks for the other one gets the same comparison.

    Args:
        data_set: The variants.
        manifests: What the sweeps requested.
    """

    def __init__(self, data_set: DataSetVariants, manifests: Iterable[Manifest] = ()) -> None:
        self.data_set = data_set
        self._manifests = tuple(manifests)
        self._requested = [set(manifest.requested) for manifest in self._manifests]
        self.comparisons: dict[tuple[str, str], Comparison] = {}
        self.notes: list[str] = []  # on comparisons of contrasts that are not made
        self.by_label = {variant.label: variant for variant in data_set.variants}
        self._to_backbone: dict[str, Comparison] = {}

    def fresh(self) -> "ComparisonCache":
        """Another one of the same variants, in which no direction is fixed yet."""
        return ComparisonCache(self.data_set, self._manifests)

    def of(self, variant: Variant, baseline: Variant) -> Comparison:
        """The comparison of a variant with a baseline, or that of the baseline with the variant if it exists."""
        key = (variant.label, baseline.label)
        if reverse := self.comparisons.get(key[::-1]):
            return reverse
        if key not in self.comparisons:
            self.comparisons[key] = compare(variant, baseline)
        return self.comparisons[key]

    def with_backbone(self, variant: Variant) -> Comparison | None:
        """The comparison of an autoencoder with its backbone alone; None for a variant without a backbone.

        Each run is paired with the run of its backbone if all of those were read. Otherwise it is paired with what it
        recorded about its backbone on the same images.
        """
        if variant.backbone is None or not all(run.code for run in variant.runs):
            return None
        if variant.label not in self._to_backbone:
            recorded = [run.code.backbone for run in variant.sound if run.code]
            backbones = [v for v in self.data_set.variants if v.settings == variant.backbone]
            candidates = [self.of(variant, backbone) for backbone in backbones]
            complete = [c for c in candidates if [base.hash for _, base in c.pairs] == recorded]
            self._to_backbone[variant.label] = (
                complete[0] if complete else compare(variant, _recorded_backbone(variant, variant.backbone))
            )
        return self._to_backbone[variant.label]

    def without_other_recipes(self, comparisons: Sequence[Comparison]) -> tuple[list[Comparison], list[str]]:
        """The comparisons of variants that are trained alike, or that one sweep requested, and a sentence on the others.

        A smoke run of three epochs in the same folder is no variant of the question, but a sweep over learning rates is one.

        Args:
            comparisons: The comparisons that nobody requested one by one.
        """
        kept, notes = [], []
        for comparison in comparisons:
            if comparison.pairs and comparison.other_recipe and not self._requested_together(comparison):
                notes.append(
                    f"{comparison.name}: not compared, because they differ in more than the model ({comparison.other_recipe}) "
                    "and no sweep requested both: --compare LABEL LABEL compares them all the same"
                )
            else:
                kept.append(comparison)
        return kept, notes

    def _requested_together(self, comparison: Comparison) -> bool:
        hashes = [{run.hash for run in side.runs} for side in (comparison.variant, comparison.baseline)]
        return any(all(requested & side for side in hashes) for requested in self._requested)

    def contrast(self, levels: Contrast, is_requested: bool = True) -> ContrastComparisons:
        """The comparisons of a contrast: of variants that are equal in every other axis that both have.

        Its levels change places where the other direction is that of the page.

        Args:
            levels: The axis and its levels.
            is_requested: Whether the contrast was declared or requested, so that variants may differ in their recipes.
        """
        low, high = (
            [v for v in self.data_set.variants if v.axes.get(levels.axis) == level]
            for level in (levels.low, levels.high)
        )
        couples = [(variant, base) for variant in high for base in low if _differ_only_in(levels.axis, variant, base)]
        if any((base.label, variant.label) in self.comparisons for variant, base in couples):
            levels, low, high = replace(levels, low=levels.high, high=levels.low), high, low
            couples = [(base, variant) for variant, base in couples]
        couples = [(v, base) for v, base in couples if (base.label, v.label) not in self.comparisons]
        cells = [self.of(variant, base) for variant, base in couples]
        if not is_requested:
            cells, notes = self.without_other_recipes(cells)
            self.notes += notes
            couples = [(cell.variant, cell.baseline) for cell in cells]
        not_in_rows = {*numeric_axes(self.data_set.variants, levels.axis), levels.axis}
        best = []
        for row in dict.fromkeys(_row(variant, not_in_rows) for variant, _ in couples):
            # A variant with missing or diverged runs is no candidate: its mean is not known.
            candidates = [
                [v for v in side if _row(v, not_in_rows) == row and not v.missing and not v.diverged]
                for side in (high, low)
            ]
            if all(len(side) > 1 for side in candidates):
                best.append(self.of(*(max(side, key=_mean_on_val) for side in candidates)))
        if not is_requested:
            best, _ = self.without_other_recipes(best)
        return ContrastComparisons(levels, tuple(c for c in cells if c.pairs), tuple(c for c in best if c.pairs))


def contrasts_by_axis(
    data_set: DataSetVariants, baseline: tuple[str, str] | None = None, vary: tuple[str, ...] = ()
) -> list[Contrast]:
    """The contrasts that follow from the variants' axes: every two levels of each axis with several levels.

    Args:
        data_set: The variants.
        baseline: An axis and the level to subtract: of this axis only contrasts with this level.
        vary: Contrasts of these axes and of the baseline's axis only.

    Raises:
        ReportError: If no variant has such an axis or level.
    """
    by_axis = _levels(data_set)
    legal = ", ".join(f"{axis} ({', '.join(levels)})" for axis, levels in by_axis.items()) or "none"
    for axis in vary:
        if axis not in by_axis:
            raise ReportError(
                f"--vary must be an axis in which variants of {data_set.name} differ, got {axis}: there is {legal}"
            )
    if baseline and baseline[1] not in by_axis.get(baseline[0], ()):
        raise ReportError(
            f"--baseline must be a level of an axis of {data_set.name}, got {'='.join(baseline)}: there is {legal}"
        )
    contrasts = []
    for axis, levels in by_axis.items():
        if baseline and axis == baseline[0]:
            pairs = [(baseline[1], level) for level in levels if level != baseline[1]]
        elif (vary or baseline) and axis not in vary:
            pairs = []
        elif len(levels) <= MAX_LEVELS:
            pairs = list(itertools.combinations(levels, 2))
        else:
            pairs = [(levels[0], level) for level in levels[1:]]
        contrasts += [Contrast(axis, low, high) for low, high in pairs]
    return contrasts


def numeric_axes(variants: list[Variant], without: str) -> list[str]:
    """The axes that become the columns of a contrast's table: those with numbers as levels, as layers and nodes.

    Args:
        variants: The variants.
        without: The axis of the contrast.
    """
    axes = dict.fromkeys(axis for variant in variants for axis in variant.axes if axis != without)
    return [axis for axis in axes if all(NUMBER.fullmatch(v.axes.get(axis, "0")) for v in variants)]


def _recorded_backbone(variant: Variant, backbone: identities.Identity) -> Variant:
    """The backbone of an autoencoder, with the runs that the autoencoder's runs recorded of it."""
    runs = [
        replace(
            run,
            hash=run.code.backbone,
            scores=run.code.before,
            diverged=False,
            outcomes={part: images.before for part, images in run.outcomes.items() if images.before},
            code=None,
        )
        for run in variant.runs
        if run.code
    ]
    name = identities.name(backbone)
    # The backbone's run of a missing run is missing, too, for no known reason.
    missing = tuple(replace(run, reason="") for run in variant.missing)
    return Variant(f"{name} (before)", name, {}, backbone, tuple(runs), missing)


def _row(variant: Variant, without: set[str]) -> tuple[tuple[str, str], ...]:
    """The levels that determine a variant's row in a contrast's table: of all axes but these."""
    return tuple((axis, level) for axis, level in variant.axes.items() if axis not in without)


def _mean_on_val(variant: Variant) -> float:
    metric = "val" if "val" in variant.runs[0].scores else "score"
    scores = variant.scores(metric)
    return variant.metric(metric).sign * scores.mean if scores else -math.inf


def _differ_only_in(axis: str, variant: Variant, base: Variant) -> bool:
    """Whether two variants are equal in all axes that both have, except one.

    An autoencoder only corresponds to its own backbone, from which it differs in model.
    """
    if bool(variant.backbone) != bool(base.backbone):
        return axis == "model" and (base.settings == variant.backbone or variant.settings == base.backbone)
    shared = (variant.axes.keys() & base.axes.keys()) - {axis}
    return all(variant.axes[name] == base.axes[name] for name in shared)


def _levels(data_set: DataSetVariants) -> dict[str, list[str]]:
    """The levels of every axis that has at least two, the plainest level first."""
    # A variant's name is no setting: it only distinguishes variants that nothing else does.
    axes = dict.fromkeys(axis for variant in data_set.variants for axis in variant.axes if axis != "variant")
    by_axis = {}
    for axis in axes:
        by_level: dict[str, list[Variant]] = {}
        for variant in data_set.variants:
            if axis in variant.axes:
                by_level.setdefault(variant.axes[axis], []).append(variant)
        if len(by_level) > 1:
            size = {level: fmean(v.parameters or 0 for v in side) for level, side in by_level.items()}
            by_axis[axis] = sorted(by_level, key=lambda level: (level != PLAINEST, size[level], natural(level)))
    return by_axis
