"""Which variants are compared with which: as the command line requests, as a sweep declared, or the usual pairs."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.comparing.contrasts import PLAINEST, ComparisonCache, ContrastComparisons, contrasts_by_axis
from hybridnets.report.comparing.variants import DataSetVariants
from hybridnets.report.reading.results import ReportError
from hybridnets.report.request import ReportRequest
from hybridnets.report.text import proposal
from hybridnets.runs.declaration import Contrast, Declaration

MAX_VARIANTS = 6  # of which every pair is compared


@dataclass(frozen=True, eq=False)
class Selection:
    """What is compared in one data set.

    Attributes:
        contrasts: The contrasts, a table each.
        single: Single comparisons.
        requested: Whether the command line requested the single comparisons.
        declared: Whether the contrasts are those that a sweep declared.
        notes: A sentence on each comparison that cannot be made.
    """

    contrasts: list[ContrastComparisons]
    single: list[Comparison]
    requested: bool
    declared: bool
    notes: list[str]

    def all_comparisons(self) -> Iterator[Comparison]:
        """The comparisons of all contrasts, then the single ones; some may occur twice."""
        for contrast in self.contrasts:
            yield from (*contrast.comparisons, *contrast.best)
        yield from self.single


def select(
    cache: ComparisonCache,
    request: ReportRequest,
    level: tuple[str, str] | None,
    declarations: Sequence[Declaration],
    has_backbones: bool,
) -> Selection:
    """Selects what is compared in one data set.

    Single comparisons that the command line requests take the place of contrasts, unless it requests these, too. Without
    either, the usual pairs are compared.

    Args:
        cache: The comparisons of the data set.
        request: What the command line requests; its baseline is a label, or None.
        level: The axis and the level that are the baseline instead.
        declarations: What the sweeps declared.
        has_backbones: Whether autoencoders are compared with their backbones anyway.
    """
    single: list[Comparison] = []
    notes: list[str] = []
    if request.compare or request.baseline:
        single, notes = select_comparisons(cache, request.baseline, request.compare)
    requested = bool(single)
    declared: list[Contrast] = []
    contrasts: list[ContrastComparisons] = []
    if level or request.vary or not requested:
        declared = [] if level or request.vary else [contrast for d in declarations for contrast in d.tables]
        levels = list(dict.fromkeys(declared)) or contrasts_by_axis(cache.data_set, level, request.vary)
        contrasts = [
            cache.contrast(contrast, is_requested=bool(declared or level or request.vary)) for contrast in levels
        ]
        contrasts = [contrast for contrast in contrasts if contrast.comparisons]
    if not contrasts and not requested and (len(cache.data_set.variants) > 1 or not has_backbones):
        single, more_notes = select_comparisons(cache)
        notes += more_notes
    return Selection(contrasts, single, requested, bool(declared), notes)


def select_comparisons(
    cache: ComparisonCache, baseline: str | None = None, names: Sequence[str] = ()
) -> tuple[list[Comparison], list[str]]:
    """The comparisons by label, and a sentence on each that was requested and cannot be made.

    If neither baseline nor names are given, every variant is compared with the plainest one; without such a one every two
    variants are compared, if they are few.

    Args:
        cache: The comparisons of one data set.
        baseline: The label of the variant that every other variant is compared with.
        names: Labels in pairs: the first is compared with the second, the third with the fourth.
    """
    variants = cache.by_label
    pairs = [(label, baseline) for label in variants if label != baseline] if baseline else []
    pairs += zip(names[::2], names[1::2], strict=True)
    notes: list[str] = []
    if not pairs:
        pairs, notes = _usual_pairs(list(variants))
    for name in sorted({name for pair in pairs for name in pair} - set(variants)):
        notes.append(f"no run of {name} was found: comparisons with it are left out")
    possible = [pair for pair in dict.fromkeys(pairs) if set(pair) <= set(variants)]
    comparisons = [cache.of(variants[label], variants[base]) for label, base in possible]
    if not (baseline or names):
        comparisons, more_notes = cache.without_other_recipes(comparisons)
        notes = [*notes, *more_notes]
    return [comparison for comparison in dict.fromkeys(comparisons) if comparison.pairs], notes


def check_labels(
    data_sets: Sequence[DataSetVariants], baseline: str | None, names: Sequence[str], has_others: bool = False
) -> None:
    """Refuses labels that no data set has.

    Args:
        data_sets: The variants by data set.
        baseline: A label, or None.
        names: Labels in pairs.
        has_others: Whether there are runs that the report is not about.

    Raises:
        ReportError: If no variant has a label, if several variants share it as their name, or if labels do not pair.
    """
    if len(names) % 2:
        raise ReportError(f"--compare must be given labels in pairs, got {len(names)}: {', '.join(names)}")
    for label, base in zip(names[::2], names[1::2], strict=True):
        if label == base:
            raise ReportError(f"--compare must be given pairs of different variants, got {label} twice")
    for key, name in [("--baseline", baseline), *(("--compare", name) for name in names)]:
        if name is not None:
            _check_label(data_sets, key, name, has_others)


def _check_label(data_sets: Sequence[DataSetVariants], key: str, name: str, has_others: bool) -> None:
    labels = sorted({variant.label for data_set in data_sets for variant in data_set.variants})
    for data_set in data_sets:
        sharing = [f'"{variant.label}"' for variant in data_set.variants if variant.name == name]
        if len(sharing) > 1 and name not in {variant.label for variant in data_set.variants}:
            raise ReportError(
                f"{key} must be the label of one variant, got {name}, the name of {len(sharing)} variants of "
                f"{data_set.name}: give one of {', '.join(sharing)}"
            )
    if name not in labels:
        hint = proposal(name, labels) or "; --sweep all includes the runs of other sweeps" * has_others
        raise ReportError(f"{key} must be one of {', '.join(labels)}, got {name}{hint}")


def _usual_pairs(labels: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """The pairs to compare if none was requested, and a sentence if there are none."""
    if len(labels) == 1:
        return [], [f"{labels[0]} is the only variant: there is nothing to compare it with"]
    if PLAINEST in labels:
        return [(label, PLAINEST) for label in labels if label != PLAINEST], []
    pairs = [(later, earlier) for earlier, later in itertools.combinations(labels, 2)]
    if len(labels) <= MAX_VARIANTS:
        return pairs, []
    return [], [
        f"{len(labels)} variants make {len(pairs)} pairs: choose some with --baseline LABEL or --compare LABEL LABEL"
    ]
