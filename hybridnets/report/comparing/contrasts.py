"""Which variants are compared: those asked for, and the grids that follow from the variants' own axes."""

import difflib
import itertools
import re
from dataclasses import dataclass, replace
from statistics import fmean

from hybridnets.report.comparing.evidence import Comparison, compare
from hybridnets.report.comparing.variants import DataSetVariants, Variant, natural
from hybridnets.report.reading.results import ReportError
from hybridnets.runs import identity as ids
from hybridnets.runs.declaration import Contrast

PLAINEST = "cnn"  # what every variant adds something to
FEW = 6  # variants whose pairs still make a table to read
NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
LEVELS = 4  # of an axis whose pairs still make tables to read


@dataclass(frozen=True, eq=False)
class ContrastComparisons:
    """A grid with its comparisons: every variant at the one level against its like at the other.

    Attributes:
        grid: The axis and its two levels.
        comparisons: One a cell; those without a common seed are left out.
        best: The best of each row of cells against the best of the other level, chosen on val; empty where there is no
            choice.
    """

    grid: Contrast
    comparisons: tuple[Comparison, ...]
    best: tuple[Comparison, ...]


class ComparisonCache:
    """The comparisons of one data set, each made once.

    Args:
        section: Its variants.
    """

    def __init__(self, section: DataSetVariants) -> None:
        self.section = section
        self.made: dict[tuple[str, str], Comparison] = {}
        self.by_label = {variant.label: variant for variant in section.variants}
        self.below: dict[str, Comparison] = {}

    def of(self, variant: Variant, baseline: Variant) -> Comparison:
        """A variant against a baseline."""
        key = (variant.label, baseline.label)
        if key not in self.made:
            self.made[key] = compare(variant, baseline)
        return self.made[key]

    def before(self, variant: Variant) -> Comparison | None:
        """A variant that codes the features of a backbone against that backbone alone; None of one that does not.

        Each run is paired with the run that it stands on, where all of those are here; else with what it recorded of it
        itself, on the same images.
        """
        if variant.backbone is None or not all(run.code for run in variant.runs):
            return None
        if variant.label not in self.below:
            there = [self.of(variant, other) for other in self.section.variants if other.settings == variant.backbone]
            stood_on = [run.code.backbone for run in variant.sound if run.code]
            whole = [each for each in there if [other.hash for _, other in each.pairs] == stood_on]
            self.below[variant.label] = whole[0] if whole else compare(variant, _recorded(variant, variant.backbone))
        return self.below[variant.label]

    def contrast(self, grid: Contrast) -> ContrastComparisons:
        """The comparisons of a grid: two variants are alike when every other axis that both have is equal."""
        sides = [
            [v for v in self.section.variants if v.axes.get(grid.axis) == level] for level in (grid.low, grid.high)
        ]
        low, high = sides
        alike = [(one, other) for one in high for other in low if _alike(one, other, grid.axis)]
        cells = [self.of(one, other) for one, other in alike]
        across = set(columns(self.section.variants, grid.axis))
        best = []
        for row in dict.fromkeys(_row(one, across | {grid.axis}) for one, _ in alike):
            mine = [[v for v in side if _row(v, across | {grid.axis}) == row] for side in (high, low)]
            # Of a cell with lost runs nobody knows how good it is.
            mine = [[v for v in side if not v.missing and not v.diverged] for side in mine]
            if all(len(side) > 1 for side in mine):
                best.append(self.of(*(max(side, key=_on_val) for side in mine)))
        return ContrastComparisons(grid, tuple(c for c in cells if c.pairs), tuple(c for c in best if c.pairs))


def grids(
    section: DataSetVariants, baseline: tuple[str, str] | None = None, vary: tuple[str, ...] = ()
) -> list[Contrast]:
    """The tables that a section's own axes make: every two levels of an axis that like variants differ in.

    Args:
        section: The variants.
        baseline: An axis and its level: only tables that subtract this level.
        vary: Only tables of these axes, and of the baseline's.

    Raises:
        ReportError: If an axis or a level is not there.
    """
    levels = _levels(section)
    known = ", ".join(f"{axis} ({', '.join(found)})" for axis, found in levels.items()) or "none"
    for axis in vary:
        if axis not in levels:
            raise ReportError(
                f"--vary must be an axis that variants of {section.data} differ in, got {axis}: there is {known}"
            )
    if baseline and baseline[1] not in levels.get(baseline[0], ()):
        raise ReportError(
            f"--baseline must be a level of an axis of {section.data}, got {'='.join(baseline)}: there is {known}"
        )
    found = []
    for axis, steps in levels.items():
        if baseline and axis == baseline[0]:
            pairs = [(baseline[1], level) for level in steps if level != baseline[1]]
        elif axis in vary or not (vary or baseline):
            pairs = (
                list(itertools.combinations(steps, 2)) if len(steps) <= LEVELS else [(steps[0], s) for s in steps[1:]]
            )
        else:
            pairs = []
        found += [Contrast(axis, low, high) for low, high in pairs]
    return found


def columns(variants: list[Variant], without: str) -> list[str]:
    """The axes that run across a table: those of numbers, as layers and nodes in the paper.

    Args:
        variants: The variants.
        without: The axis that the table compares.
    """
    axes = dict.fromkeys(axis for variant in variants for axis in variant.axes if axis != without)
    return [axis for axis in axes if all(NUMBER.fullmatch(v.axes.get(axis, "0")) for v in variants)]


def _recorded(variant: Variant, backbone: ids.Identity) -> Variant:
    """The backbone as the runs on it recorded it."""
    runs = [
        replace(
            run,
            hash=run.code.backbone,
            scores=run.code.before,
            diverged=False,
            outcomes={part: found.before for part, found in run.outcomes.items() if found.before},
            code=None,
        )
        for run in variant.runs
        if run.code
    ]
    name = ids.name(backbone)
    # Of a run on it that is missing nobody knows more than that it is missing.
    missing = tuple(replace(run, reason="") for run in variant.missing)
    return Variant(f"{name} (before)", name, {}, backbone, tuple(runs), missing)


def _row(variant: Variant, without: set[str]) -> tuple[tuple[str, str], ...]:
    return tuple((axis, level) for axis, level in variant.axes.items() if axis not in without)


def _on_val(variant: Variant) -> float:
    metric = "val" if "val" in variant.runs[0].scores else "score"
    found = variant.scores(metric)
    return found.mean if found else -1.0


def _alike(one: Variant, other: Variant, axis: str) -> bool:
    if bool(one.backbone) != bool(other.backbone):  # a variant on a backbone is like that backbone alone
        return axis == "model" and (other.settings == one.backbone or one.settings == other.backbone)
    shared = (one.axes.keys() & other.axes.keys()) - {axis}
    return all(one.axes[each] == other.axes[each] for each in shared)


def _levels(section: DataSetVariants) -> dict[str, list[str]]:
    """The levels of every axis that has at least two between which like variants differ, the plainest first."""
    # A variant's name is no setting: it only tells apart what nothing else does.
    axes = dict.fromkeys(axis for variant in section.variants for axis in variant.axes if axis != "variant")
    found = {}
    for axis in axes:
        levels: dict[str, list[Variant]] = {}
        for variant in section.variants:
            if axis in variant.axes:
                levels.setdefault(variant.axes[axis], []).append(variant)
        if len(levels) > 1:
            size = {level: fmean(v.parameters or 0 for v in side) for level, side in levels.items()}
            found[axis] = sorted(levels, key=lambda level: (level != PLAINEST, size[level], natural(level)))
    return found


def chosen(
    compared: ComparisonCache, baseline: str | None = None, names: tuple[str, ...] = ()
) -> tuple[list[Comparison], list[str]]:
    """The comparisons by label, and a sentence on each that was asked for and cannot be made.

    Args:
        compared: The variants of one data set.
        baseline: Label of the variant that every other one is compared with.
        names: Labels in pairs: the first is compared with the second, the third with the fourth.

    Without both, the plainest variant is the baseline; without such a one all pairs are compared, where they are few.
    """
    variants = compared.by_label
    couples = list(zip(names[::2], names[1::2], strict=True))
    wanted = [*([(label, baseline) for label in variants if label != baseline] if baseline else []), *couples]
    said: list[str] = []
    if not wanted:
        wanted, said = _usual(list(variants))
    for name in sorted({name for pair in wanted for name in pair} - set(variants)):
        said.append(f"there is no {name} here, comparisons with it are left out")
    there = [pair for pair in dict.fromkeys(wanted) if set(pair) <= set(variants)]
    comparisons = [compared.of(variants[one], variants[other]) for one, other in there]
    return [comparison for comparison in comparisons if comparison.pairs], said


def check_labels(sections: list[DataSetVariants], baseline: str | None, names: tuple[str, ...]) -> None:
    """Refuses labels that no data set knows.

    Args:
        sections: The variants by data set.
        baseline: A label, or None.
        names: Labels in pairs.

    Raises:
        ReportError: If a label is unknown in every data set or stands for several variants, or if labels do not pair.
    """
    if len(names) % 2:
        raise ReportError(f"--compare must be given labels in pairs, got {len(names)}: {', '.join(names)}")
    for one, other in zip(names[::2], names[1::2], strict=True):
        if one == other:
            raise ReportError(f"--compare must be given pairs of different variants, got {one} twice")
    for key, name in [("--baseline", baseline), *(("--compare", name) for name in names)]:
        if name is not None:
            _known(sections, key, name)


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


def _known(sections: list[DataSetVariants], key: str, name: str) -> None:
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
