"""Two variants over the seeds that both finished, and what each test says of their difference."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridnets import stats
from hybridnets.report.comparing.variants import Variant
from hybridnets.report.reading.results import FinishedRun
from hybridnets.runs.labels import differing
from hybridnets.runs.records.predictions import unpaired

Pair = tuple[FinishedRun, FinishedRun]

# What a test over trainings is about, which the splits of its seeds decide.
POOL = "on this data set, over splits and seeds"
ONE_SPLIT = "on this data set and this one split, over seeds"
UNKNOWN = "on this data, over the seeds given"
NEW = "on new data of this kind and size"
NETWORKS = "these trained networks on these images"


@dataclass(frozen=True, eq=False)
class Comparison:
    """A variant against another over the seeds that both finished.

    Attributes:
        variant: The one that a positive difference favours.
        baseline: The other.
        pairs: A run of each, by seed: equal seeds, equal split, equal data, equal protocol; none of them diverged.
        left_out: A sentence on the seeds that both finished and that do not pair; empty where all do.
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
    def asked(self) -> int:
        """How many pairs there would be if every run that was asked for were there."""
        if self._in_file:
            return len(self._seeds)
        return min(len(side.runs) + len(side.missing) for side in (self.variant, self.baseline))

    @property
    def no_star(self) -> str:
        """Why no star may stand at this comparison, whatever a p-value says; empty where one may."""
        return " and ".join(filter(None, (self.failures, self.unmatched, self.variant.partial)))

    @property
    def failures(self) -> str:
        """How many runs of each side diverged or failed, in words; empty where none did."""
        return " and ".join(filter(None, (self.variant.trouble, self.baseline.trouble)))

    @property
    def unmatched(self) -> str:
        """How many seeds of a file of scores have no pair, in words; empty where all do, and of runs of a sweep.

        A sweep tells why a run is missing; a file does not, and what is missing may be what failed.
        """
        if not self._in_file:
            return ""
        failed = {run.seeds for side in (self.variant, self.baseline) for run in side.runs if run.diverged}
        alone = self._seeds - failed - {one.seeds for one, _ in self.pairs}
        have = "have" if len(alone) > 1 else "has"
        return f"{len(alone)} of {len(self._seeds)} seeds {have} no pair of scores" if alone else ""

    @property
    def _in_file(self) -> bool:
        return "model" not in self.variant.settings

    @cached_property
    def _seeds(self) -> set[tuple[int, int, int]]:
        """The seeds of a file of scores that either side has, with a score or without."""
        sides = (self.variant, self.baseline)
        there = {run.seeds for side in sides for run in side.runs}
        return there | {run.seeds for side in sides for run in side.missing if run.seeds}

    @property
    def recipe(self) -> str:
        """A sentence on the settings besides the model's that differ; empty where none does or the labels say it."""
        if self.variant.name == self.baseline.name or "model" not in self.variant.settings:
            return ""
        if self.variant.backbone == self.baseline.settings:  # what trains the one has nothing to do with the other
            return ""
        settings = differing(self.variant.settings, self.baseline.settings)
        others = [f"{path} {one} and {other}" for path, one, other in settings if path.split(".")[0] != "model"]
        return f"{self.name}: they differ in more than the model: {', '.join(others)}" if others else ""

    def evidence(self, metric: str) -> "Evidence":
        """What the tests say, computed when it is looked at; each metric once."""
        return self._evidence.setdefault(metric, Evidence(self, metric))

    @cached_property
    def _evidence(self) -> dict[str, "Evidence"]:
        return {}


class PairedImages(NamedTuple):
    """Images of all pairs in one row: the pair's number, the image's index, and right minus right (-1, 0, 1), each (N,)."""

    seed: NDArray[Any]
    image: NDArray[Any]
    d: NDArray[Any]


class Evidence:
    """Every test of one comparison at one metric. Differences are variant minus baseline, in the metric's own unit.

    Args:
        comparison: The comparison, of one pair at least.
        metric: test, val or score.
    """

    def __init__(self, comparison: Comparison, metric: str) -> None:
        self.comparison, self.metric = comparison, metric
        self.pairs = comparison.pairs

    @cached_property
    def d(self) -> NDArray[np.float64]:
        """One difference a pair, (n,)."""
        if self.differences.sd == 0:  # equal but for rounding: .75 - .74 and .76 - .75 are one difference
            return np.full(len(self.pairs), self.differences.mean)
        return np.array([one.scores[self.metric] - other.scores[self.metric] for one, other in self.pairs])

    @cached_property
    def differences(self) -> stats.Differences:
        """The differences described."""
        one, other = ([run.scores[self.metric] for run in side] for side in zip(*self.pairs, strict=True))
        return stats.paired_differences(one, other)

    @cached_property
    def question(self) -> str | None:
        """What a test over the seeds is about; None where some of them share a split and some do not: nothing is."""
        splits = [one.split for one, _ in self.pairs]
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
        """The corrected resampled t over seeds: for scores on the held-out parts of random splits only."""
        if not self.ratio:
            return self._none(self.why_uncorrected)
        return stats.paired_t(self.d, ratio=self.ratio)

    @property
    def ratio(self) -> float | None:
        """Images held out for one trained on, where the corrected test applies; None where it does not."""
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
        """How often the variant wins."""
        return stats.probability_of_improvement(self.d)

    def posterior(self, margin: float) -> stats.Posterior:
        """The correlated Bayesian t with a region of practical equivalence; plain where no correction applies.

        Args:
            margin: Half the region's width, in the metric's unit.
        """
        return stats.bayesian_t(self.d, margin, ratio=self.ratio or 0.0)

    @cached_property
    def why_no_images(self) -> str:
        """Why nothing can be said image by image; empty where it can."""
        return next(
            (why for one, other in self.pairs if (why := unpaired(one.outcomes, other.outcomes, self.metric))), ""
        )

    @cached_property
    def outcome(self) -> PairedImages:
        """Right or wrong, image by image; only where `why_no_images` is empty."""
        parts = [(one.outcomes[self.metric], other.outcomes[self.metric]) for one, other in self.pairs]
        return PairedImages(
            np.concatenate([np.full(len(one.index), n) for n, (one, _) in enumerate(parts)]),
            np.concatenate([one.index for one, _ in parts]),
            np.concatenate([one.right.astype(np.int8) - other.right for one, other in parts]),
        )

    @cached_property
    def pooled(self) -> stats.Test:
        """The paired t over the images of all seeds, as the paper did it: these trained networks, not the architectures."""
        return self._none(self.why_no_images) if self.why_no_images else stats.pooled_t(self.outcome.d)

    @cached_property
    def clustered(self) -> stats.Test:
        """The same with its error clustered by image."""
        if self.why_no_images:
            return self._none(self.why_no_images)
        return stats.clustered_t(self.outcome.image, self.outcome.d)

    @cached_property
    def bootstrap(self) -> stats.Test:
        """An interval from seeds and images drawn again together."""
        if self.why_no_images:
            return self._none(self.why_no_images)
        return stats.bootstrap(*self.outcome)

    @cached_property
    def mcnemar(self) -> list[stats.McNemar]:
        """McNemar's test of each seed's two networks; empty where nothing is known image by image."""
        return [] if self.why_no_images else list(self._mcnemar())

    def _mcnemar(self) -> Iterator[stats.McNemar]:
        for n in range(len(self.pairs)):
            d = self.outcome.d[self.outcome.seed == n]
            yield stats.mcnemar(int((d > 0).sum()), int((d < 0).sum()))

    def _over_seeds(self, test: Any) -> stats.Test:
        found: stats.Test = self._none("some seeds share a split") if self.question is None else test(self.d)
        return found

    def _none(self, why: str) -> stats.Test:
        return stats.Test(float(self.d.mean()), None, None, None, len(self.d), why)


def compare(variant: Variant, baseline: Variant) -> Comparison:
    """Pairs the runs of two variants: only equal seeds with equal split, data and protocol are a pair.

    Args:
        variant: The one that a positive difference favours.
        baseline: The other.
    """
    others = {run.seeds: run for run in baseline.sound}
    pairs = []
    apart = defaultdict[str, list[str]](list)
    for run in variant.sound:
        if other := others.get(run.seeds):
            if what := _apart(run, other):
                apart[what].append(run.seed)
            else:
                pairs.append((run, other))
    sentences = [f"{_seeds(seeds)} left out, they differ in {what}" for what, seeds in apart.items()]
    lost = [side.label for side in (variant, baseline) if not side.sound]
    if lost:
        sentences = [f"left out, no run of {' and '.join(lost)} is sound"]
    elif not pairs and not apart:
        seeds = [", ".join(run.seed for run in side.sound) for side in (variant, baseline)]
        sentences = [f"left out, they have no seed in common ({seeds[0]}; {seeds[1]})"]
    return Comparison(variant, baseline, tuple(pairs), "; ".join(sentences))


def _seeds(seeds: list[str]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}"


def _apart(run: FinishedRun, other: FinishedRun) -> str:
    """What keeps two runs of equal seeds from being a pair; empty where nothing does."""
    facts = {
        "their split (its hash)": (run.split, other.split),
        "their data (its hash)": tuple(r.identity.get("data", {}).get("sha256") for r in (run, other)),
        "the protocol number": (run.identity.get("protocol"), other.identity.get("protocol")),
    }
    return " and ".join(what for what, (one, two) in facts.items() if one != two)
