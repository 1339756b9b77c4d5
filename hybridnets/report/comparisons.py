"""Which variants are compared, and the runs of two variants paired over the seeds that both finished."""

import difflib
import itertools
from collections import defaultdict
from dataclasses import dataclass

from hybridnets.report.results import Finished, ReportError
from hybridnets.report.variants import Section, Variant, differing
from hybridnets.stats import Differences, paired_differences

PLAINEST = "cnn"  # what every variant adds something to
FEW = 6  # variants whose pairs still make a table to read


@dataclass(frozen=True)
class Comparison:
    """A variant against another over the seeds that both finished.

    Attributes:
        variant: The one that a positive difference favours.
        baseline: The other.
        pairs: A run of each, by seed: equal seeds, equal split, equal data, equal protocol.
        left_out: A sentence on the seeds that both finished and that do not pair; empty where all do.
    """

    variant: Variant
    baseline: Variant
    pairs: tuple[tuple[Finished, Finished], ...]
    left_out: str

    @property
    def name(self) -> str:
        """What is subtracted from what."""
        return f"{self.variant.label} - {self.baseline.label}"

    @property
    def question(self) -> str | None:
        """What an interval over these pairs is about, which the splits decide; None where they are neither all nor none."""
        splits = len({one.split for one, _ in self.pairs})
        if splits == len(self.pairs):
            return "on this data set, over splits and seeds"
        return "on this data set and this one split, over seeds" if splits == 1 else None

    def differences(self, score: str) -> Differences:
        """The differences of a score over the pairs, of which there is at least one.

        Args:
            score: Name of an accuracy of a finished run: test, val_best or val_last.
        """
        one, other = ([getattr(run, score) for run in side] for side in zip(*self.pairs, strict=True))
        return paired_differences(one, other)

    @property
    def recipe(self) -> str:
        """A sentence on the settings besides the model's that differ; empty where none does or the labels say it."""
        if self.variant.name == self.baseline.name:
            return ""
        settings = differing(self.variant.settings, self.baseline.settings)
        others = [f"{path} {one} and {other}" for path, one, other in settings if path.split(".")[0] != "model"]
        return f"{self.name}: they differ in more than the model: {', '.join(others)}" if others else ""


def chosen(
    sections: list[Section], baseline: str | None = None, names: tuple[str, ...] = ()
) -> tuple[dict[str, list[Comparison]], list[str]]:
    """The comparisons by data set, and a sentence on each that was asked for and cannot be made.

    Args:
        sections: The variants by data set.
        baseline: Label of the variant that every other one is compared with.
        names: Labels in pairs: the first is compared with the second, the third with the fourth.

    Without both, the plainest variant is the baseline; without such a one all pairs are compared, where they are few.

    Raises:
        ReportError: If a label is unknown in every data set or stands for several variants, or if labels do not pair.
    """
    if len(names) % 2:
        raise ReportError(f"--compare must be given labels in pairs, got {len(names)}: {', '.join(names)}")
    couples = list(zip(names[::2], names[1::2], strict=True))
    for one, other in couples:
        if one == other:
            raise ReportError(f"--compare must be given pairs of different variants, got {one} twice")
    for key, name in [("--baseline", baseline), *(("--compare", name) for name in names)]:
        if name is not None:
            _known(sections, key, name)
    result: dict[str, list[Comparison]] = {}
    notes = []
    for section in sections:
        variants = {variant.label: variant for variant in section.variants}
        wanted = [*([(label, baseline) for label in variants if label != baseline] if baseline else []), *couples]
        said: list[str] = []
        if not wanted:
            wanted, said = _usual(list(variants))
        for name in sorted({name for pair in wanted for name in pair} - set(variants)):
            said.append(f"there is no {name} here, comparisons with it are left out")
        there = [pair for pair in dict.fromkeys(wanted) if set(pair) <= set(variants)]
        comparisons = [_compare(variants[one], variants[other]) for one, other in there]
        result[section.data] = [comparison for comparison in comparisons if comparison.pairs]
        said += [f"{each.name}: {each.left_out}" for each in comparisons if each.left_out]
        said += [each.recipe for each in result[section.data] if each.recipe]
        notes += [f"{section.data}: {sentence}" for sentence in said]
    return result, notes


def _usual(labels: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """The pairs compared when none was asked for, and a sentence where there are none."""
    if len(labels) == 1:
        return [], [f"{labels[0]} is the only variant, there is nothing to compare it with"]
    if PLAINEST in labels:
        return [(label, PLAINEST) for label in labels if label != PLAINEST], []
    pairs = [(later, earlier) for earlier, later in itertools.combinations(labels, 2)]
    if len(labels) <= FEW:
        return pairs, []
    return [], [
        f"{len(labels)} variants make {len(pairs)} pairs: choose with --baseline LABEL or --compare LABEL LABEL"
    ]


def _known(sections: list[Section], key: str, name: str) -> None:
    labels = sorted({variant.label for section in sections for variant in section.variants})
    for section in sections:
        sharing = [f'"{variant.label}"' for variant in section.variants if variant.name == name]
        if len(sharing) > 1 and name not in {variant.label for variant in section.variants}:
            raise ReportError(
                f"{key} must be one variant's label, got {name}, which is the name of {len(sharing)} in {section.data}: "
                f"give one of {', '.join(sharing)}"
            )
    if name not in labels:
        close = difflib.get_close_matches(name, labels, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ReportError(f"{key} must be one of {', '.join(labels)}, got {name}{hint}")


def _compare(variant: Variant, baseline: Variant) -> Comparison:
    others = {run.seeds: run for run in baseline.runs}
    pairs = []
    apart = defaultdict[str, list[str]](list)
    for run in variant.runs:
        if other := others.get(run.seeds):
            if what := _apart(run, other):
                apart[what].append(run.seed)
            else:
                pairs.append((run, other))
    sentences = [f"{_seeds(seeds)} left out, they differ in {what}" for what, seeds in apart.items()]
    if not pairs and not apart:
        seeds = [", ".join(run.seed for run in side.runs) for side in (variant, baseline)]
        sentences = [f"left out, they have no seed in common ({seeds[0]}; {seeds[1]})"]
    return Comparison(variant, baseline, tuple(pairs), "; ".join(sentences))


def _seeds(seeds: list[str]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}"


def _apart(run: Finished, other: Finished) -> str:
    """What keeps two runs of equal seeds from being a pair; empty where nothing does."""
    facts = {
        "their split (its hash)": (run.split, other.split),
        "their data (its hash)": (run.identity["data"].get("sha256"), other.identity["data"].get("sha256")),
        "the protocol number": (run.identity.get("protocol"), other.identity.get("protocol")),
    }
    return " and ".join(what for what, (one, two) in facts.items() if one != two)
