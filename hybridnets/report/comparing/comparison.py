"""Two variants over the seeds that both finished: which runs pair, which do not, and what else the two differ in."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

from hybridnets.program import few
from hybridnets.report.comparing.evidence import Evidence, Pair
from hybridnets.report.comparing.variants import Variant
from hybridnets.report.reading.results import FinishedRun
from hybridnets.runs import identities
from hybridnets.runs.labels import differing_settings

LISTED = 6  # seeds that a sentence names


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
        return f"{len(alone)} of {len(self._seeds)} {self._unit}s {have} no pair of scores" if alone else ""

    @property
    def seeds_without_pair(self) -> str:
        """Which seeds of a file of scores have no pair, in words."""
        runs = [run for side in (self.variant, self.baseline) for run in side.runs]
        folds = {run.seeds: run.fold.name for run in runs if run.fold}
        seeds = [folds.get(seeds, str(seeds[0])) for seeds in sorted(self._unpaired_seeds)]
        return f"{'' if folds else 'seed' + 's' * (len(seeds) != 1) + ' '}{few(seeds, LISTED)} without a pair"

    @property
    def _unit(self) -> str:
        """What pairs the two variants' runs: a seed, or a fold."""
        return "fold" if all(run.fold for side in (self.variant, self.baseline) for run in side.runs) else "seed"

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
        lacks = any(
            "unset" in values for path, *values in self._differing_settings if path in identities.COMMON_SETTINGS
        )
        unset = " (unset: the model does not take it, and has values of its own such as torch's)" if lacks else ""
        return f"they differ in more than the model: {listed}{unset}"

    @property
    def other_recipe(self) -> str:
        """The settings outside the model in which the two differ, in words; empty if none does."""
        recipe = [setting for setting in self._differing_settings if setting[0] not in identities.COMMON_SETTINGS]
        return ", ".join(f"{path} {value} and {base}" for path, value, base in recipe)

    @cached_property
    def _differing_settings(self) -> list[tuple[str, str, str]]:
        """The settings that differ and are not the models' own: name, and both values."""
        if self.variant.scores_only or self.variant.backbone == self.baseline.settings:
            return []  # an autoencoder is trained in another way than its backbone
        shared = {f"model.{name}": name for name in identities.COMMON_SETTINGS}
        return [
            (shared.get(path, path), value, base)
            for path, value, base in differing_settings(self.variant.settings, self.baseline.settings)
            if path in shared or path.split(".")[0] != "model"
        ]

    def evidence(self, metric: str) -> Evidence:
        """What the tests say at a metric; they are computed once, when they are first needed."""
        return self._evidence.setdefault(metric, Evidence(self, metric))

    @cached_property
    def _evidence(self) -> dict[str, Evidence]:
        return {}


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
