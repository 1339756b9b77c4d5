"""Two variants over the seeds that both finished, and what each test says of their difference."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridnets import stats
from hybridnets.report.comparing.metric import Metric
from hybridnets.report.comparing.variants import Variant
from hybridnets.report.reading.results import FinishedRun
from hybridnets.runs import identities
from hybridnets.runs.labels import differing_settings
from hybridnets.runs.records.predictions import unpaired

Pair = tuple[FinishedRun, FinishedRun]

# What a test over seeds is about: which images, and whether the seeds have splits of their own.
POOL = "on this data set, over splits and seeds"
ONE_SPLIT = "on this data set and this one split, over seeds"
FOLDS = "on this data set, over its folds as if these were independent splits"
UNKNOWN = "on this data, over the seeds given"
NEW = "on new data of this kind and size"
TEST_IMAGES = "on these test images"  # takes the place of "on this data set" where the metric is measured on test
LISTED = 6  # seeds that a sentence names
NETWORKS = "these trained networks on these images"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two variants over the seeds that both finished.

    Attributes:
        variant: The variant that a positive difference favours.
        baseline: The variant that is subtracted.
        pairs: A run of each by seed: equal seeds, equal split, equal data, equal protocol; neither diverged.
        left_out: A sentence on the seeds that both finished and that do not pair; empty if all do.
    """

    variant: Variant
    baseline: Variant
    pairs: tuple[Pair, ...]
    left_out: str

    @property
    def name(self) -> str:
        """What is subtracted from what."""
        return f"{self.variant.label} - {self.baseline.label}"

    def is_between(self, other: "Comparison") -> bool:
        """Whether it compares the same two variants, in either direction."""
        return {self.variant.label, self.baseline.label} == {other.variant.label, other.baseline.label}

    @property
    def expected_pairs(self) -> int:
        """How many pairs there would be if every requested run had finished."""
        if self.variant.scores_only:
            return len(self._seeds)
        return min(len(side.runs) + len(side.missing) for side in (self.variant, self.baseline))

    @property
    def why_no_stars(self) -> str:
        """Why this comparison gets no stars, whatever its p-values; empty if it may get some."""
        return " and ".join(filter(None, (self.failures, self.unmatched, self.variant.partial)))

    @property
    def failures(self) -> str:
        """How many runs of each side diverged or failed, in words; empty if none did."""
        return " and ".join(filter(None, (self.variant.failures, self.baseline.failures)))

    @property
    def unmatched(self) -> str:
        """How many seeds of a file of scores have no pair, in words; empty if all do, and for the runs of a sweep.

        A sweep records why a run is missing. A file does not: a run without a score may have failed.
        """
        if not self.variant.scores_only:
            return ""
        alone = self._unpaired_seeds
        have = "have" if len(alone) > 1 else "has"
        return f"{len(alone)} of {len(self._seeds)} seeds {have} no pair of scores" if alone else ""

    @property
    def seeds_without_pair(self) -> str:
        """Which seeds of a file of scores have no pair, in words."""
        seeds = [str(seeds[0]) for seeds in sorted(self._unpaired_seeds)]
        listed = (
            ", ".join(seeds) if len(seeds) <= LISTED else f"{', '.join(seeds[:LISTED])} and {len(seeds) - LISTED} more"
        )
        return f"seed{'s' * (len(seeds) != 1)} {listed} without a pair"

    @property
    def _unpaired_seeds(self) -> set[tuple[int, int, int]]:
        failed = {run.seeds for side in (self.variant, self.baseline) for run in side.runs if run.diverged}
        return self._seeds - failed - {run.seeds for run, _ in self.pairs}

    @cached_property
    def _seeds(self) -> set[tuple[int, int, int]]:
        """The seeds of a file of scores that either side has, with a score or without."""
        sides = (self.variant, self.baseline)
        finished = {run.seeds for side in sides for run in side.runs}
        return finished | {run.seeds for side in sides for run in side.missing}

    @property
    def recipe_note(self) -> str:
        """The settings that differ and are not the models' own, in words; empty if none does or the labels name them.

        These are the settings outside the model, and those that models share by name. A model may lack one of the latter.
        """
        if self.variant.name == self.baseline.name or not self._differing_settings:
            return ""
        listed = ", ".join(f"{path} {value} and {base}" for path, value, base in self._differing_settings)
        lacks = any("unset" in values for path, *values in self._differing_settings if path in identities.SHARED)
        unset = " (unset: the model does not take it, and has values of its own such as torch's)" if lacks else ""
        return f"they differ in more than the model: {listed}{unset}"

    @property
    def other_recipe(self) -> str:
        """The settings outside the model in which the two differ, in words; empty if none does."""
        recipe = [setting for setting in self._differing_settings if setting[0] not in identities.SHARED]
        return ", ".join(f"{path} {value} and {base}" for path, value, base in recipe)

    @cached_property
    def _differing_settings(self) -> list[tuple[str, str, str]]:
        """The settings that differ and are not the models' own: name, and both values."""
        if self.variant.scores_only or self.variant.backbone == self.baseline.settings:
            return []  # an autoencoder is trained in another way than its backbone
        shared = {f"model.{name}": name for name in identities.SHARED}
        return [
            (shared.get(path, path), value, base)
            for path, value, base in differing_settings(self.variant.settings, self.baseline.settings)
            if path in shared or path.split(".")[0] != "model"
        ]

    def evidence(self, metric: str) -> "Evidence":
        """What the tests say at a metric; they are computed once, when they are first needed."""
        return self._evidence.setdefault(metric, Evidence(self, metric))

    @cached_property
    def _evidence(self) -> dict[str, "Evidence"]:
        return {}


class PairedImages(NamedTuple):
    """The images of all pairs in one row.

    Attributes:
        seed: The number of the pair that an image belongs to, (N,).
        image: The image's index in its data set, (N,).
        d: Whether the variant is right minus whether the baseline is: -1, 0 or 1, (N,).
    """

    seed: NDArray[Any]
    image: NDArray[Any]
    d: NDArray[Any]


class Evidence:
    """Every test of one comparison at one metric. Differences are variant minus baseline, in the metric's own unit.

    Args:
        comparison: The comparison, with at least one pair.
        metric: test, val or score.
    """

    def __init__(self, comparison: Comparison, metric: str) -> None:
        self.comparison, self.metric = comparison, metric
        self.pairs = comparison.pairs

    @cached_property
    def metric_kind(self) -> Metric:
        """What the metric is: its name, its unit, and which direction is better."""
        return self.comparison.variant.metric(self.metric)

    @cached_property
    def seed_differences(self) -> NDArray[np.float64]:
        """One difference per pair, (n,)."""
        if (described := self._describe(*self._sides)).sd == 0:  # equal but for rounding, as .75 - .74 and .76 - .75
            return np.full(len(self.pairs), described.mean)
        return np.subtract(*self._sides)

    @cached_property
    def d(self) -> NDArray[np.float64]:
        """One difference per unit, (n,): per pair, or the mean over the pairs of a split where several seeds share one."""
        if not self.is_nested:
            return self.seed_differences
        splits = [run.split for run, _ in self.pairs]
        means = [fmean(self.seed_differences[[s == split for s in splits]]) for split in dict.fromkeys(splits)]
        return np.array(means)

    @cached_property
    def differences(self) -> stats.Differences:
        """Mean, spread and interval of the differences of all units."""
        if self.is_nested:
            return self._describe(self.d, np.zeros(len(self.d)))
        return self._describe(*self._sides)

    @cached_property
    def _sides(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The variant's values, and the baseline's, (n,) each."""
        variant, baseline = (
            np.array([run.scores[self.metric] for run in side]) for side in zip(*self.pairs, strict=True)
        )
        return variant, baseline

    @property
    def is_nested(self) -> bool:
        """Whether several seeds share a split and there are several splits: a split is one unit, its seeds are averaged."""
        splits = [run.split for run, _ in self.pairs]
        return all(splits) and 1 < len(set(splits)) < len(splits)

    @property
    def units(self) -> str:
        """What the tests count, in the plural: seeds, or splits where several seeds share one."""
        return "splits" if self.is_nested else "folds" if self.is_folds else "seeds"

    @property
    def is_folds(self) -> bool:
        """Whether the splits are folds, so that their held-out parts do not overlap and their training parts do."""
        return all(run.is_fold for pair in self.pairs for run in pair)

    @cached_property
    def question(self) -> str:
        """What a plain test over the seeds is about."""
        splits = [run.split for run, _ in self.pairs]
        if not all(splits):
            question = UNKNOWN
        elif len(set(splits)) == 1 < len(splits):
            question = ONE_SPLIT
        else:
            question = FOLDS if self.is_folds and self.metric_kind.part != "test" else POOL
        return question.replace("on this data set", TEST_IMAGES) if self.metric_kind.part == "test" else question

    def question_of(self, test: stats.Test) -> str:
        """What one of the two t tests is about.

        Args:
            test: `plain` or `corrected`, at any level.
        """
        return NEW if test.ratio else self.question

    def answer(self, requested: str = "", confidence: float = 0.95) -> stats.Test:
        """The test over seeds that answers: the requested one, or else the one that follows from the splits.

        On held-out parts of random splits or folds that is the corrected resampled t, because a plain one is certain too
        early about anything but this pool of images. Elsewhere it is the plain paired t.

        Args:
            requested: A key of TESTS; empty for the one that follows from the splits.
            confidence: The level of its interval.
        """
        is_corrected = requested == "corrected" or (not requested and bool(self.ratio))
        if is_corrected and not self.ratio:
            return self._none(self.why_uncorrected)
        return stats.paired_t(self.d, self.ratio or 0.0 if is_corrected else 0.0, confidence)

    @cached_property
    def plain(self) -> stats.Test:
        """The plain paired t over seeds."""
        return self.answer("paired")

    @cached_property
    def corrected(self) -> stats.Test:
        """The corrected resampled t over seeds; it only applies to scores on the held-out parts of random splits."""
        return self.answer("corrected")

    @property
    def ratio(self) -> float | None:
        """Held-out images per training image; None if the corrected test does not apply."""
        ratios = {run.ratio for pair in self.pairs for run in pair}
        (ratio,) = ratios if len(ratios) == 1 else (None,)
        splits = {run.split for run, _ in self.pairs}
        return ratio if self.metric_kind.part != "test" and len(splits) > 1 and all(splits) else None

    @property
    def why_uncorrected(self) -> str:
        """Why the corrected test does not apply."""
        if self.metric_kind.part == "test":
            return "the test images are the same for all seeds"
        if len(self.pairs) == 1:
            return "one seed"
        if not all(run.split for run, _ in self.pairs):
            return "the splits are not known"
        if len({run.split for run, _ in self.pairs}) == 1:
            return "one split"
        return "n_val / n_train is not the same for all" if self.pairs[0][0].ratio else "n_val / n_train is not known"

    @cached_property
    def wilcoxon(self) -> stats.Test:
        """Wilcoxon's signed rank test over seeds."""
        return stats.wilcoxon(self.d)

    @cached_property
    def sign_flip(self) -> stats.Test:
        """The sign-flip test over seeds."""
        return stats.sign_flip(self.d)

    @cached_property
    def effect(self) -> stats.Effect:
        """The standardised mean difference."""
        return stats.effect_size(self.d)

    @cached_property
    def improvement(self) -> stats.Improvement:
        """How often the variant is better."""
        return stats.probability_of_improvement(self.d)

    def posterior(self, margin: float) -> stats.Posterior:
        """The correlated Bayesian t with a region of practical equivalence; without correlation if no correction applies.

        Args:
            margin: Half the region's width, in the metric's unit.
        """
        return stats.bayesian_t(self.d, margin, ratio=self.ratio or 0.0)

    @cached_property
    def why_no_images(self) -> str:
        """Why the runs cannot be compared image by image; empty if they can."""
        reasons = (unpaired(run.outcomes, base.outcomes, self.metric) for run, base in self.pairs)
        return next(filter(None, reasons), "")

    @cached_property
    def paired_images(self) -> PairedImages:
        """Right or wrong, image by image; only if `why_no_images` is empty."""
        parts = [(run.outcomes[self.metric], base.outcomes[self.metric]) for run, base in self.pairs]
        return PairedImages(
            np.concatenate([np.full(len(images.index), n) for n, (images, _) in enumerate(parts)]),
            np.concatenate([images.index for images, _ in parts]),
            np.concatenate([images.right.astype(np.int8) - base.right for images, base in parts]),
        )

    @cached_property
    def pooled(self) -> stats.Test:
        """The paper's paired t over the images of all seeds: it compares these trained networks, not the architectures."""
        return self._none(self.why_no_images) if self.why_no_images else stats.pooled_t(self.paired_images.d)

    @cached_property
    def clustered(self) -> stats.Test:
        """The paired t over images with its error clustered by image."""
        if self.why_no_images:
            return self._none(self.why_no_images)
        return stats.clustered_t(self.paired_images.image, self.paired_images.d)

    @cached_property
    def crossed(self) -> stats.Test | None:
        """An interval over seeds and test images, both as samples; None where the images differ between seeds."""
        return None

    @property
    def smallest_part(self) -> int | None:
        """How many images the metric is measured on, at least; None where that is unknown."""
        part = self.metric_kind.part
        sizes = [run.images[part] for pair in self.pairs for run in pair if part in run.images]
        sizes += [
            len(run.outcomes[self.metric].index) for pair in self.pairs for run in pair if self.metric in run.outcomes
        ]
        return min(sizes, default=None)

    @cached_property
    def bootstrap(self) -> stats.Test:
        """An interval from resampling seeds and images together."""
        if self.why_no_images:
            return self._none(self.why_no_images)
        return stats.bootstrap(*self.paired_images)

    @cached_property
    def mcnemar(self) -> list[stats.McNemar]:
        """McNemar's test of the two networks of each pair; empty if they cannot be compared image by image."""
        if self.why_no_images:
            return []
        by_pair = [self.paired_images.d[self.paired_images.seed == n] for n in range(len(self.pairs))]
        return [stats.mcnemar(int((d > 0).sum()), int((d < 0).sum())) for d in by_pair]

    def _describe(self, variant: NDArray[np.float64], baseline: NDArray[np.float64]) -> stats.Differences:
        return stats.paired_differences(variant, baseline)

    def _none(self, why: str) -> stats.Test:
        return stats.Test(float(self.d.mean()), None, None, None, len(self.d), why)


def compare(variant: Variant, baseline: Variant) -> Comparison:
    """Pairs the runs of two variants: a pair has equal seeds, split, data and protocol.

    Args:
        variant: The variant that a positive difference favours.
        baseline: The variant that is subtracted.
    """
    by_seeds = {run.seeds: run for run in baseline.sound}
    pairs = []
    unpaired_seeds = defaultdict[str, list[str]](list)
    for run in variant.sound:
        if base := by_seeds.get(run.seeds):
            if reasons := _why_no_pair(run, base):
                unpaired_seeds[reasons].append(run.seed)
            else:
                pairs.append((run, base))
    sentences = [f"{_leave_out(seeds)}, because their runs differ in {why}" for why, seeds in unpaired_seeds.items()]
    failed = [side.label for side in (variant, baseline) if not side.sound]
    if failed:
        sentences = [f"left out, because every run of {' and '.join(failed)} diverged or failed"]
    elif not pairs and not unpaired_seeds:
        seeds = [", ".join(run.seed for run in side.sound) for side in (variant, baseline)]
        sentences = [f"left out, because they have no seed in common ({seeds[0]}; {seeds[1]})"]
    return Comparison(variant, baseline, tuple(pairs), "; ".join(sentences))


def _leave_out(seeds: list[str]) -> str:
    return f"seeds {', '.join(seeds)} are left out" if len(seeds) > 1 else f"seed {seeds[0]} is left out"


def _why_no_pair(run: FinishedRun, base: FinishedRun) -> str:
    """Why two runs of equal seeds are no pair; empty if they are one."""
    facts = {
        "split (by hash)": (run.split, base.split),
        "data (by hash)": tuple(r.identity.get("data", {}).get("sha256") for r in (run, base)),
        "protocol number": (run.identity.get("protocol"), base.identity.get("protocol")),
    }
    return " and ".join(name for name, (value, base_value) in facts.items() if value != base_value)
