"""What each test says of the difference of two variants."""

from dataclasses import replace
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridnets import stats
from hybridnets.report.comparing.metric import Metric
from hybridnets.report.reading.results import FinishedRun
from hybridnets.runs.records.predictions import unpaired

if TYPE_CHECKING:  # a comparison makes its evidence
    from hybridnets.report.comparing.comparison import Comparison

Pair = tuple[FinishedRun, FinishedRun]

# What a test over seeds is about: which images, and whether the seeds have splits of their own.
POOL = "on this data set, over splits and seeds"
ONE_SPLIT = "on this data set and this one split, over seeds"
FOLDS = "on this data set, over the folds as if these were independent splits"
UNKNOWN = "on this data, over the seeds given"
NEW = "on new data of this kind and size"
TEST_IMAGES = "on these test images"  # takes the place of "on this data set" where the metric is measured on test
NETWORKS = "these trained networks on these images"


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

    def __init__(self, comparison: "Comparison", metric: str) -> None:
        self.comparison, self.metric = comparison, metric
        self.pairs = comparison.pairs

    @cached_property
    def metric_kind(self) -> Metric:
        """What the metric is: its name, its unit, and which direction is better."""
        return self.comparison.variant.metric(self.metric)

    @cached_property
    def levels(self) -> tuple[float, float]:
        """The variant's mean over the pairs, and the baseline's."""
        variant, baseline = self._sides
        return fmean(variant), fmean(baseline)

    @cached_property
    def seed_differences(self) -> NDArray[np.float64]:
        """One difference per pair, (n,)."""
        if self._over_pairs.sd == 0:  # equal but for rounding, as .75 - .74 and .76 - .75
            return np.full(len(self.pairs), self._over_pairs.mean)
        return np.subtract(*self._sides)

    @cached_property
    def d(self) -> NDArray[np.float64]:
        """One difference per unit, (n,): per pair, or the mean over the pairs of a split where several seeds share one."""
        if not self.is_nested:
            return self.seed_differences
        distinct = dict.fromkeys(self._splits)
        return np.array([fmean(self.seed_differences[[s == split for s in self._splits]]) for split in distinct])

    @cached_property
    def differences(self) -> stats.Differences:
        """Mean, spread and interval of the differences of all units."""
        return stats.paired_differences(self.d, np.zeros(len(self.d))) if self.is_nested else self._over_pairs

    @cached_property
    def _over_pairs(self) -> stats.Differences:
        """Mean, spread and interval of the differences of all pairs."""
        return stats.paired_differences(*self._sides)

    @cached_property
    def _sides(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The variant's values, and the baseline's, (n,) each."""
        variant, baseline = (
            np.array([run.scores[self.metric] for run in side]) for side in zip(*self.pairs, strict=True)
        )
        return variant, baseline

    @cached_property
    def _splits(self) -> list[str]:
        """The split of each pair; empty where it is not known."""
        return [run.split for run, _ in self.pairs]

    @property
    def is_nested(self) -> bool:
        """Whether several seeds share a split and there are several splits: a split is one unit, its seeds are averaged."""
        return all(self._splits) and 1 < len(set(self._splits)) < len(self._splits)

    @property
    def units(self) -> str:
        """What the tests count, in the plural: seeds, or splits where several seeds share one."""
        return "folds" if self.is_folds else "splits" if self.is_nested else "seeds"

    @property
    def is_folds(self) -> bool:
        """Whether the splits are folds, so that their held-out parts do not overlap and their training parts do."""
        return self.folds > 0

    @cached_property
    def folds(self) -> int:
        """The number of folds of the cross-validation that the splits belong to; 0 where they belong to none, or to several."""
        counts = {run.fold.folds if run.fold else 0 for pair in self.pairs for run in pair}
        return counts.pop() if len(counts) == 1 else 0

    @property
    def repetitions(self) -> int:
        """How many repetitions of the cross-validation there are; 0 without folds."""
        return len({run.fold.repetition for run, _ in self.pairs if run.fold}) if self.folds else 0

    @cached_property
    def question(self) -> str:
        """What a plain test over the seeds is about."""
        if not all(self._splits):
            question = UNKNOWN
        elif len(set(self._splits)) == 1 < len(self.pairs):
            question = ONE_SPLIT + self._of_what_varies
        else:
            question = FOLDS if self.is_folds else POOL
        return question.replace("on this data set", TEST_IMAGES) if self.metric_kind.part == "test" else question

    @property
    def _of_what_varies(self) -> str:
        """What the seeds of runs on one split govern; empty for a file of scores, which does not say it."""
        if self.comparison.variant.scores_only:
            return ""
        _, *seeds = zip(*(run.seeds for run, _ in self.pairs), strict=True)
        varying = [
            kind for kind, values in zip(("initialisation", "order"), seeds, strict=True) if len(set(values)) > 1
        ]
        return f" of {' and '.join(varying)}" if varying else ""

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
        if self.metric_kind.part == "test" or len(set(self._splits)) < 2 or not all(self._splits):
            return None
        if self.folds:  # whose sizes may differ by an image
            return stats.kfold_ratio(self.folds)
        ratios = {run.ratio for pair in self.pairs for run in pair}
        return ratios.pop() if len(ratios) == 1 else None

    @property
    def why_uncorrected(self) -> str:
        """Why the corrected test does not apply."""
        if self.metric_kind.part == "test":
            return "the test images are the same for all seeds"
        if len(self.pairs) == 1:
            return "one seed"
        if not all(self._splits):
            return "the splits are not known"
        if len(set(self._splits)) == 1:
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
        return stats.probability_of_improvement(self.metric_kind.sign * self.d)

    def posterior(self, margin: float) -> stats.Posterior:
        """The correlated Bayesian t with a region of practical equivalence; without correlation if no correction applies.

        Args:
            margin: Half the region's width, in the metric's unit.
        """
        posterior = stats.bayesian_t(self.d, margin, ratio=self.ratio or 0.0)
        if self.metric_kind.higher_is_better:
            return posterior
        return replace(posterior, better=posterior.worse, worse=posterior.better)

    @cached_property
    def why_no_images(self) -> str:
        """Why the runs cannot be compared image by image; empty if they can."""
        if "/" in self.metric or self.metric == "val_last":
            return "counts right and wrong images only" if "/" in self.metric else "no predictions"
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
    def crossed(self) -> stats.Test:
        """The test over seeds and images, both as samples; only where every seed has the same images, as on test."""
        if self.why_no_images:
            return self._none(self.why_no_images)
        seeds, images, d = self.paired_images
        distinct, column = np.unique(images, return_inverse=True)
        table = np.full((len(self.pairs), len(distinct)), np.nan)
        table[seeds, column] = d
        return stats.crossed(table)

    def equivalence(self, margin: float) -> stats.Test:
        """Two one-sided tests of whether the difference is smaller than a margin, with their 90 % interval.

        Args:
            margin: The smallest difference that matters, in the metric's unit, above 0.
        """
        return stats.tost(self.d, margin, self.ratio or 0.0)

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
    def mcnemar(self) -> list[stats.McNemar]:
        """McNemar's test of the two networks of each pair; empty if they cannot be compared image by image."""
        if self.why_no_images:
            return []
        by_pair = [self.paired_images.d[self.paired_images.seed == n] for n in range(len(self.pairs))]
        return [stats.mcnemar(int((d > 0).sum()), int((d < 0).sum())) for d in by_pair]

    def _none(self, why: str) -> stats.Test:
        return stats.Test(float(self.d.mean()), None, None, None, len(self.d), why)
