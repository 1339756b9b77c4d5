"""One hierarchy of comparisons, in which each has one corrected p-value on the whole page.

The primary analyses come first and are corrected among themselves. The tables that a sweep declared follow, each as a family
of its own. All other comparisons are exploratory, and together one family. A comparison belongs to the first family that it
occurs in.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from hybridnets import stats
from hybridnets.report.comparing.answers import PrimaryAnalysis
from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.comparing.evidence import Evidence

CHOSEN = "the comparison that was chosen after the runs"


class Rank(Enum):
    """What a family is for."""

    PRIMARY = "primary"
    SECONDARY = "secondary"
    EXPLORATORY = "exploratory"


@dataclass(frozen=True)
class Family:
    """Comparisons at one metric whose p-values are corrected together.

    Attributes:
        rank: What it is for.
        name: What it consists of, in words: the primary analysis, a table's title, all other comparisons.
        size: How many comparisons it has.
    """

    rank: Rank
    name: str
    size: int


@dataclass(frozen=True, eq=False)
class FamilyMember:
    """A comparison with its p-values corrected for its family.

    Attributes:
        evidence: The comparison at one metric.
        family: Its family.
        test: The test over seeds that answers at this metric.
        test_name: The test in a few words.
        holm: p by Holm's method over these tests; None where the test has no p.
        benjamini_hochberg: p by Benjamini and Hochberg's method over these tests; None where the test has no p.
    """

    evidence: Evidence
    family: Family
    test: stats.Test
    test_name: str
    holm: float | None
    benjamini_hochberg: float | None

    @property
    def levels(self) -> tuple[float, float]:
        """The variant's mean over the pairs, and the baseline's."""
        return self.evidence.levels


class Families:
    """The families of a data set's comparisons.

    Args:
        analyses: The primary analyses. One that was chosen after the runs is corrected for all pairs that it was chosen from.
        secondary: The comparisons of each declared table by its title, in the order of their declaration.
        exploratory: All other comparisons; those above may be among them.
        tests: The test that is requested or declared by metric, a key of TESTS; a metric that is absent has none.
        metrics: The metrics of the comparisons: those of the questions, then those that tables are made of.
    """

    def __init__(
        self,
        analyses: Sequence[PrimaryAnalysis],
        secondary: Mapping[str, Sequence[Comparison]],
        exploratory: Sequence[Comparison],
        tests: Mapping[str, str],
        metrics: Sequence[str],
    ) -> None:
        self._analyses, self._secondary, self._exploratory, self._tests = analyses, secondary, exploratory, tests
        self.metrics = metrics
        self._members: dict[str, dict[Comparison, FamilyMember]] = {}

    def members(self, comparisons: Sequence[Comparison], metric: str) -> list[FamilyMember]:
        """The members of their families that some comparisons are, each once.

        Args:
            comparisons: Some of the comparisons.
            metric: The metric.
        """
        members = self.at(metric)
        return [members[comparison] for comparison in dict.fromkeys(comparisons)]

    def at(self, metric: str) -> Mapping[Comparison, FamilyMember]:
        """All comparisons at a metric, by family, the primary ones first.

        Args:
            metric: The metric.
        """
        if metric not in self._members:
            self._members[metric] = {member.evidence.comparison: member for member in self._make(metric)}
        return self._members[metric]

    def _make(self, metric: str) -> Iterator[FamilyMember]:
        analyses = [analysis for analysis in self._analyses if analysis.metric == metric]
        answers = {analysis.comparison: analysis for analysis in analyses if not analysis.is_exploratory}
        chosen = {a.comparison: a for a in analyses if a.is_exploratory and a.comparison not in answers}
        for analysis in chosen.values():
            family = Family(Rank.EXPLORATORY, CHOSEN, analysis.choices)
            name = name_of(analysis.evidence, analysis.test)
            yield FamilyMember(analysis.evidence, family, analysis.test, name, analysis.test.p, analysis.test.p)
        assigned: set[Comparison] = set()
        for rank, name, candidates in self._candidates(list(answers)):
            comparisons = [c for c in dict.fromkeys(candidates) if c not in assigned]
            assigned.update(comparisons)
            evidence = [comparison.evidence(metric) for comparison in comparisons]
            requested = self._tests.get(metric, "")
            tests = [
                answers[piece.comparison].test if piece.comparison in answers else piece.answer(requested)
                for piece in evidence
            ]
            family = Family(rank, name, len(comparisons))
            columns = (evidence, tests, adjusted(tests), adjusted(tests, stats.benjamini_hochberg))
            for piece, test, p_holm, p_rate in zip(*columns, strict=True):
                if piece.comparison in chosen:
                    continue  # it counts here, so that naming it changes no other p, and has a family of its own
                answer = answers.get(piece.comparison)
                test_name = answer.test_name.removeprefix("the ") if answer and answer.looks else name_of(piece, test)
                yield FamilyMember(piece, family, test, test_name, p_holm, p_rate)

    def _candidates(self, primary: Sequence[Comparison]) -> Iterator[tuple[Rank, str, Sequence[Comparison]]]:
        yield Rank.PRIMARY, "the primary analysis" if len(primary) == 1 else "the primary analyses", primary
        for title, comparisons in self._secondary.items():
            yield Rank.SECONDARY, title, comparisons
        yield Rank.EXPLORATORY, "all comparisons that were not declared", self._exploratory


def name_of(evidence: Evidence, test: stats.Test) -> str:
    """A t test over seeds in a few words.

    Args:
        evidence: The comparison at one metric.
        test: Its test.
    """
    if not test.ratio:
        return "plain paired t"
    source = "Bouckaert and Frank 2004" if evidence.is_folds else "Nadeau and Bengio 2003"
    return f"corrected resampled t ({source})"


def described(members: Sequence[FamilyMember]) -> list[str]:
    """A phrase on each family that some members are of: what is corrected for what.

    Args:
        members: Comparisons at one metric.
    """
    phrases = []
    for family in dict.fromkeys(member.family for member in members):
        count = f"{family.size} comparison{'s' * (family.size != 1)}"
        match family.rank:
            case Rank.PRIMARY if family.size == 1:
                phrases.append("primary: the one comparison that answers, which needs no correction")
            case Rank.PRIMARY:
                phrases.append(f"primary: the {count} that answer")
            case Rank.SECONDARY:
                phrases.append(f"secondary: the {count} of {family.name}, as declared")
            case Rank.EXPLORATORY if family.name == CHOSEN:
                phrases.append(f"exploratory: {family.name}, for all {family.size} that it was chosen from")
            case Rank.EXPLORATORY:
                phrases.append(f"exploratory: {family.name} ({count})")
    return phrases


def adjusted(tests: Sequence[stats.Test], method: Callable[[Any], Any] = stats.holm) -> list[float | None]:
    """The p-values of a family corrected for its size; None where a test has no p.

    Args:
        tests: The tests.
        method: stats.holm or stats.benjamini_hochberg.
    """
    corrected = method([float("nan") if test.p is None else test.p for test in tests])
    return [None if p != p else float(p) for p in corrected]


def questions(members: Sequence[FamilyMember]) -> list[str]:
    """What the tests are about, each once."""
    return sorted({m.evidence.question_of(m.test) for m in members})
