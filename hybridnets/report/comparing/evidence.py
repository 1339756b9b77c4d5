"""Two variants over the seeds that both finished, and what each test says of their difference."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridnets import stats
from hybridnets.report.comparing.variants import Variant
from hybridnets.report.reading.results import FinishedRun
from hybridnets.runs import identities
from hybridnets.runs.labels import differing_settings
from hybridnets.runs.records.predictions import unpaired

Pair = tuple[FinishedRun, FinishedRun]

# What a test over seeds is about, which depends on whether the seeds have splits of their own.
POOL = "on this data set, over splits and seeds"
ONE_SPLIT = "on this data set and this one split, over seeds"
UNKNOWN = "on this data, over the seeds given"
NEW = "on new data of this kind and size"
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
        failed = {run.seeds for side in (self.variant, self.baseline) for run in side.runs if run.diverged}
        alone = self._seeds - failed - {run.seeds for run, _ in self.pairs}
        have = "have" if len(alone) > 1 else "has"
        return f"{len(alone)} of {len(self._seeds)} seeds {have} no pair of scores" if alone else ""

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
        if self.variant.name == self.baseline.name or self.variant.scores_only:
            return ""
        if (
            self.variant.backbone == self.baseline.settings
        ):  # an autoencoder is trained in another way than its backbone
            return ""
        shared = {f"model.{name}": name for name in identities.COMMON_SETTINGS}
        differing = [
            (shared.get(path, path), value, base)
            for path, value, base in differing_settings(self.variant.settings, self.baseline.settings)
            if path in shared or path.split(".")[0] != "model"
        ]
        if not differing:
            return ""
        listed = ", ".join(f"{path} {value} and {base}" for path, value, base in differing)
        lacks = any("unset" in values for path, *values in differing if path in identities.COMMON_SETTINGS)
        unset = " (unset: the model does not take it, and has values of its own such as torch's)" if lacks else ""
        return f"they differ in more than the model: {listed}{unset}"

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
    def d(self) -> NDArray[np.float64]:
        """One difference per pair, (n,)."""
        if self.differences.sd == 0:  # equal but for rounding: .75 - .74 and .76 - .75 are one difference
            return np.full(len(self.pairs), self.differences.mean)
        return np.array([run.scores[self.metric] - base.scores[self.metric] for run, base in self.pairs])

    @cached_property
    def differences(self) -> stats.Differences:
        """Mean, spread and interval of the differences."""
        scores, base = ([run.scores[self.metric] for run in side] for side in zip(*self.pairs, strict=True))
        return stats.paired_differences(scores, base)

    @cached_property
    def question(self) -> str | None:
        """What a test over the seeds is about; None if only some of them share a split, so that no test applies."""
        splits = [run.split for run, _ in self.pairs]
        if not all(splits):
            return UNKNOWN
        if len(set(splits)) == len(splits):
            return POOL
        return ONE_SPLIT if len(set(splits)) == 1 else None

    @cached_property
    def plain(self) -> stats.Test:
        """The plain paired t over seeds."""
        return self._over_seeds(stats.paired_t)

    @cached_property
    def corrected(self) -> stats.Test:
        """The corrected resampled t over seeds; it only applies to scores on the held-out parts of random splits."""
        if not self.ratio:
            return self._none(self.why_uncorrected)
        return stats.paired_t(self.d, ratio=self.ratio)

    @property
    def ratio(self) -> float | None:
        """Held-out images per training image; None if the corrected test does not apply."""
        ratios = {run.ratio for pair in self.pairs for run in pair}
        (ratio,) = ratios if len(ratios) == 1 else (None,)
        return ratio if self.metric != "test" and self.question == POOL and len(self.pairs) > 1 else None

    @property
    def why_uncorrected(self) -> str:
        """Why the corrected test does not apply."""
        if self.metric == "test":
            return "the test images are the same for all seeds"
        if len(self.pairs) == 1:
            return "one seed"
        if self.question is None:
            return "some seeds share a split"
        if self.question == POOL:
            return (
                "n_val / n_train is not the same for all" if self.pairs[0][0].ratio else "n_val / n_train is not known"
            )
        return "one split" if self.question == ONE_SPLIT else "the splits are not known"

    @cached_property
    def wilcoxon(self) -> stats.Test:
        """Wilcoxon's signed rank test over seeds."""
        return self._over_seeds(stats.wilcoxon)

    @cached_property
    def sign_flip(self) -> stats.Test:
        """The sign-flip test over seeds."""
        return self._over_seeds(stats.sign_flip)

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

    def _over_seeds(self, test: Callable[[NDArray[np.float64]], stats.Test]) -> stats.Test:
        return self._none("some seeds share a split") if self.question is None else test(self.d)

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
