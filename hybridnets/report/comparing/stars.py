"""What the stars of published figures counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hybridnets import stats


@dataclass(frozen=True)
class RecountedStars:
    """A published comparison, tested again with so many independent outcomes per variant.

    Attributes:
        published: Its row in the file of published figures.
        p: The test's p; None where it is undefined.
        stars: The stars that this p gives.
    """

    published: Mapping[str, str]
    p: float | None
    stars: str

    @property
    def agrees(self) -> bool:
        """Whether the published stars are the same."""
        return self.stars == self.published["stars"]


@dataclass(frozen=True)
class Recount:
    """All of a paper's stars, recounted.

    Attributes:
        n: Outcomes per variant: images of val, times runs.
        comparisons: The comparisons in the order of the file.
        third: How many star labels follow from a third of the outcomes, as from one run of three; None where that is under 2.
    """

    n: int
    comparisons: Sequence[RecountedStars]
    third: int | None

    @property
    def agreeing(self) -> int:
        """How many star labels follow from n outcomes per variant."""
        return sum(comparison.agrees for comparison in self.comparisons)


def recount_stars(rows: Sequence[Mapping[str, str]], n: int) -> Recount:
    """Tests a paper's comparisons as if n outcomes per variant were independent.

    Args:
        rows: Rows of a file of published comparisons, as `read_figures` gives them.
        n: Outcomes per variant, 2 at least.
    """
    accuracies = [(float(row["baseline_accuracy"]) / 100, float(row["candidate_accuracy"]) / 100) for row in rows]
    comparisons = []
    for row, (baseline, candidate) in zip(rows, accuracies, strict=True):
        p = stats.uncorrelated(baseline, candidate, n).p
        comparisons.append(RecountedStars(row, p, "" if p is None else stats.stars(p)))
    baselines, candidates = (list(side) for side in zip(*accuracies, strict=True))
    labels = [row["stars"] for row in rows]
    third = n // 3
    return Recount(n, comparisons, stats.reproduced(baselines, candidates, labels, third) if third >= 2 else None)
