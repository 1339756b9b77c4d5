"""Several data sets together: the joint question about two variants, the ranks of more, and profiles of all of their runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hybridnets import stats
from hybridnets.report.comparing.answers import PrimaryAnalysis
from hybridnets.report.comparing.comparison import Comparison, compare
from hybridnets.report.comparing.metric import Metric
from hybridnets.report.comparing.variants import DataSetVariants, Variant

LEVEL = 0.05
THRESHOLDS = 101  # of a performance profile


@dataclass(frozen=True, eq=False)
class Joint:
    """Variants that several data sets have in common.

    Attributes:
        metric: The metric.
        data_sets: The data sets that have all of these variants.
        labels: The variants' labels, two at least.
        comparisons: The question's comparison on each data set; empty where no question is about two of the variants.
        margin: The smallest difference that matters, in the metric's own unit; 0 where any does.
        test: The test over seeds that answers on a data set, a key of TESTS; empty for the one that follows from the splits.
        choices: How many pairs the question was chosen from after the runs; 1 for a question that was there before.
        declared: When the question was declared, in words; empty where there is none.
    """

    metric: Metric
    data_sets: tuple[DataSetVariants, ...]
    labels: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    margin: float = 0.0
    test: str = ""
    choices: int = 1
    declared: str = ""

    @property
    def level(self) -> float:
        """The level of its tests: 5 %, divided by the number of pairs that the question was chosen from."""
        return LEVEL / self.choices

    @cached_property
    def is_incomplete(self) -> bool:
        """Whether runs of its variants failed or are missing, so that nothing may be concluded from the others."""
        variants = [variant for data_set in self.data_sets for variant in self._variants(data_set)]
        if any(v.diverged or v.missing or v.partial for v in variants):
            return True
        if any(comparison.why_no_stars for comparison in self.comparisons):
            return True
        return any(
            len({frozenset(run.seeds for run in v.runs) for v in self._variants(d) if v.scores_only}) > 1
            for d in self.data_sets
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The data sets' names."""
        return tuple(data_set.name for data_set in self.data_sets)

    @cached_property
    def differences(self) -> list[NDArray[np.float64]]:
        """The differences on each data set, one per seed."""
        return [comparison.evidence(self.metric.key).d for comparison in self.comparisons]

    @cached_property
    def over(self) -> stats.OverDataSets | None:
        """The joint question's two tests; None without a question."""
        return stats.over_data_sets(self.differences, 1 - self.level) if self.comparisons else None

    @property
    def p(self) -> float | None:
        """Wilcoxon's p over the data sets, corrected for the pairs that the question was chosen from."""
        p = self.over.data_sets.p if self.over else None
        return None if p is None else min(1.0, self.choices * p)

    @cached_property
    def posterior(self) -> stats.HierarchicalPosterior | None:
        """What the next data set will probably say; None without a question."""
        if not self.comparisons:
            return None
        ratios = {comparison.evidence(self.metric.key).ratio for comparison in self.comparisons}
        ratio = next(iter(ratios)) if len(ratios) == 1 and self.test != "paired" else None
        return stats.bayesian_hierarchical(self.differences, self.margin, ratio or 0.0)

    @cached_property
    def levels(self) -> NDArray[np.float64]:
        """The mean of each variant on each data set, (D, K)."""
        return np.array([[_mean(v, self.metric.key) for v in self._variants(d)] for d in self.data_sets])

    @cached_property
    def ranking(self) -> stats.Ranking | None:
        """The ranks of more than two variants over the data sets; None for two."""
        if len(self.labels) < 3:
            return None
        return stats.ranking(self.levels, not self.metric.higher_is_better)

    @cached_property
    def scores(self) -> list[NDArray[np.float64]]:
        """Every variant's scores by seed and data set, (S, D) each; none where the data sets have different seeds."""
        by_variant = []
        for place in range(len(self.labels)):
            columns = []
            for data_set in self.data_sets:
                variant = self._variants(data_set)[place]
                columns.append({run.seeds: run.scores[self.metric.key] for run in variant.sound})
            seeds = sorted(columns[0])
            if any(sorted(column) != seeds for column in columns):
                return []
            by_variant.append(np.array([[column[s] for column in columns] for s in seeds]))
        return by_variant

    @cached_property
    def interquartile_means(self) -> list[stats.Test]:
        """The mean of the middle half of each variant's runs over all data sets; none where scores cannot be pooled."""
        return [stats.interquartile_mean(scores) for scores in self.scores]

    @cached_property
    def profiles(self) -> list[stats.Profile]:
        """Each variant's performance profile; none where scores cannot be pooled."""
        if not self.scores:
            return []
        low, high = (float(end([end(scores) for scores in self.scores])) for end in (np.min, np.max))
        thresholds = np.linspace(low, high, THRESHOLDS)
        return [stats.performance_profile(s, thresholds, not self.metric.higher_is_better) for s in self.scores]

    def _variants(self, data_set: DataSetVariants) -> list[Variant]:
        by_label = {variant.label: variant for variant in data_set.variants}
        return [by_label[label] for label in self.labels]


def join(data_sets: Sequence[DataSetVariants], analyses: Sequence[PrimaryAnalysis], metric: str) -> Joint | None:
    """What several data sets have in common; None where fewer than two have the same two variants.

    Args:
        data_sets: All data sets.
        analyses: The primary analyses of all data sets; the first one about variants that several have is the question.
        metric: The metric where no analysis says it; empty where there is none.
    """
    question = next((a for a in analyses if sum(_answers(d, a) for d in data_sets) > 1), next(iter(analyses), None))
    metric = question.metric if question else metric
    with_metric = [data_set for data_set in data_sets if metric in data_set.available]
    asked = (question.comparison.variant.label, question.comparison.baseline.label) if question else ()
    with_metric = [d for d in with_metric if all(_has(d, label, metric) for label in asked)]
    if len(with_metric) < 2:
        return None
    labels = [v.label for v in with_metric[0].variants if all(_has(d, v.label, metric) for d in with_metric)]
    if len(labels) < 2:
        return None
    pair = asked or ((labels[1], labels[0]) if len(labels) == 2 else None)
    comparisons = []
    if pair:
        for data_set in with_metric:
            by_label = {variant.label: variant for variant in data_set.variants}
            comparisons.append(compare(by_label[pair[0]], by_label[pair[1]]))
        if not all(comparison.pairs for comparison in comparisons):
            comparisons = []
    kind = with_metric[0].metric(metric)
    joint = Joint(kind, tuple(with_metric), tuple(labels), tuple(comparisons))
    if not question:
        return joint
    return replace(
        joint, margin=question.margin, test=question.primary.test, choices=question.choices, declared=question.declared
    )


def _answers(data_set: DataSetVariants, analysis: PrimaryAnalysis) -> bool:
    """Whether a data set has both variants of a question."""
    sides = (analysis.comparison.variant, analysis.comparison.baseline)
    return all(_has(data_set, side.label, analysis.metric) for side in sides)


def _has(data_set: DataSetVariants, label: str, metric: str) -> bool:
    return any(v.label == label and v.scores(metric) is not None for v in data_set.variants)


def _mean(variant: Variant, metric: str) -> float:
    level = variant.scores(metric)
    assert level is not None  # `join` leaves out variants of which all runs diverged
    return level.mean
