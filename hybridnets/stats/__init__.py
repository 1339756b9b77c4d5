"""Statistics as pure functions on arrays, independent of torch, files and configuration."""

from hybridnets.stats.anytime import anytime_critical, log_e_value
from hybridnets.stats.confusion import confusion, most_confused
from hybridnets.stats.crossed import Components, components, crossed
from hybridnets.stats.datasets import Omnibus, OverDataSets, Pair, Ranking, over_data_sets, ranking
from hybridnets.stats.describe import Summary, summary
from hybridnets.stats.factorial import effects
from hybridnets.stats.families import benjamini_hochberg, holm, stars
from hybridnets.stats.group_sequential import group_sequential_critical, repeated_error, repeated_p, student_critical
from hybridnets.stats.hierarchical import HierarchicalPosterior, bayesian_hierarchical
from hybridnets.stats.images import McNemar, clustered_t, mcnemar, pooled_t, wilson
from hybridnets.stats.improvement import improvement_decision, improvement_seeds
from hybridnets.stats.many import (
    ExpectedBest,
    Profile,
    Ranks,
    expected_best,
    interquartile_mean,
    performance_profile,
    rank_distribution,
)
from hybridnets.stats.paired import Differences, paired_differences
from hybridnets.stats.power import Plan, floor, plan, power, seeds_needed
from hybridnets.stats.published import reproduced, uncorrelated
from hybridnets.stats.quality import QUALITY, Predicted, Quality
from hybridnets.stats.result import Test
from hybridnets.stats.seeds import (
    Effect,
    Improvement,
    Posterior,
    bayesian_t,
    effect_size,
    kfold_ratio,
    mean_score,
    paired_t,
    probability_of_improvement,
    tost,
)
from hybridnets.stats.sequential import Characteristics, Look, Method, characteristics, critical_values, sequential
from hybridnets.stats.signs import least_p, sign_flip, wilcoxon

__all__ = [
    "QUALITY",
    "Characteristics",
    "Components",
    "Differences",
    "Effect",
    "ExpectedBest",
    "HierarchicalPosterior",
    "Improvement",
    "Look",
    "McNemar",
    "Method",
    "Omnibus",
    "OverDataSets",
    "Pair",
    "Plan",
    "Posterior",
    "Predicted",
    "Profile",
    "Quality",
    "Ranking",
    "Ranks",
    "Summary",
    "Test",
    "anytime_critical",
    "bayesian_hierarchical",
    "bayesian_t",
    "benjamini_hochberg",
    "characteristics",
    "clustered_t",
    "components",
    "confusion",
    "critical_values",
    "crossed",
    "effect_size",
    "effects",
    "expected_best",
    "floor",
    "group_sequential_critical",
    "holm",
    "improvement_decision",
    "improvement_seeds",
    "interquartile_mean",
    "kfold_ratio",
    "least_p",
    "log_e_value",
    "mcnemar",
    "mean_score",
    "most_confused",
    "over_data_sets",
    "paired_differences",
    "paired_t",
    "performance_profile",
    "plan",
    "pooled_t",
    "power",
    "probability_of_improvement",
    "rank_distribution",
    "ranking",
    "repeated_error",
    "repeated_p",
    "reproduced",
    "seeds_needed",
    "sequential",
    "sign_flip",
    "stars",
    "student_critical",
    "summary",
    "tost",
    "uncorrelated",
    "wilcoxon",
    "wilson",
]
