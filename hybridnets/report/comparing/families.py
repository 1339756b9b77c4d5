"""Comparisons that are tested together: their p-values are corrected for the size of the family."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from hybridnets import stats
from hybridnets.report.comparing.evidence import NEW, Comparison, Evidence

NO_QUESTION = "none, because some seeds share a split"


@dataclass(frozen=True, eq=False)
class FamilyMember:
    """A comparison with its p-values corrected for the family.

    Attributes:
        evidence: The comparison at one metric.
        test: Its test over seeds: corrected for overlapping splits where that applies, otherwise plain.
        holm: p by Holm's method over these tests; None where the test has no p.
        benjamini_hochberg: p by Benjamini and Hochberg's method over these tests; None where the test has no p.
        holm_plain: p by Holm's method over the plain tests of the family.
        holm_corrected: p by Holm's method over those corrected tests of the family that apply.
    """

    evidence: Evidence
    test: stats.Test
    holm: float | None
    benjamini_hochberg: float | None
    holm_plain: float | None
    holm_corrected: float | None

    @property
    def levels(self) -> tuple[float, float]:
        """The variant's mean over the pairs, and the baseline's."""
        return mean_levels(self.evidence)


def family(comparisons: Iterable[Comparison], metric: str) -> list[FamilyMember]:
    """Tests comparisons together, each once.

    Args:
        comparisons: The comparisons.
        metric: test, val or score.
    """
    evidence = [comparison.evidence(metric) for comparison in dict.fromkeys(comparisons)]
    tests = [over_seeds(e) for e in evidence]
    columns = (
        evidence,
        tests,
        adjusted(tests),
        adjusted(tests, stats.benjamini_hochberg),
        adjusted([e.plain for e in evidence]),
        adjusted([e.corrected for e in evidence]),
    )
    return [FamilyMember(*member) for member in zip(*columns, strict=True)]


def mean_levels(evidence: Evidence) -> tuple[float, float]:
    """The variant's mean over the pairs, and the baseline's."""
    variant, baseline = (
        fmean(run.scores[evidence.metric] for run in runs) for runs in zip(*evidence.pairs, strict=True)
    )
    return variant, baseline


def over_seeds(evidence: Evidence) -> stats.Test:
    """The test over seeds that a table reports: corrected for overlapping splits where that applies, otherwise plain."""
    return evidence.corrected if evidence.ratio else evidence.plain


def adjusted(tests: Sequence[stats.Test], method: Callable[[Any], Any] = stats.holm) -> list[float | None]:
    """The p-values of a family corrected for its size; None where a test has no p.

    Args:
        tests: The tests.
        method: stats.holm or stats.benjamini_hochberg.
    """
    corrected = method([float("nan") if test.p is None else test.p for test in tests])
    return [None if p != p else float(p) for p in corrected]


def questions(members: Sequence[FamilyMember]) -> list[str]:
    """What the reported tests over seeds are about, each once."""
    return sorted({(NEW if m.evidence.ratio else m.evidence.question) or NO_QUESTION for m in members})
