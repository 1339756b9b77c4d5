"""Statistics as pure functions on arrays, independent of torch, files and configuration."""

from hybridnets.stats.datasets import Omnibus, OverDataSets, Pair, Ranking, over_data_sets, ranking
from hybridnets.stats.describe import Summary, summary
from hybridnets.stats.factorial import effects
from hybridnets.stats.families import benjamini_hochberg, holm, stars
from hybridnets.stats.hierarchical import HierarchicalPosterior, bayesian_hierarchical
from hybridnets.stats.images import McNemar, bootstrap, clustered_t, mcnemar, pooled_t
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
from hybridnets.stats.result import Test
from hybridnets.stats.seeds import (
    Effect,
    Improvement,
    Posterior,
    bayesian_t,
    effect_size,
    least_p,
    paired_t,
    probability_of_improvement,
    sign_flip,
    wilcoxon,
)

__all__ = [
    "Differences",
    "Effect",
    "ExpectedBest",
    "HierarchicalPosterior",
    "Improvement",
    "McNemar",
    "Omnibus",
    "OverDataSets",
    "Pair",
    "Plan",
    "Posterior",
    "Profile",
    "Ranking",
    "Ranks",
    "Summary",
    "Test",
    "bayesian_hierarchical",
    "bayesian_t",
    "benjamini_hochberg",
    "bootstrap",
    "clustered_t",
    "effect_size",
    "effects",
    "expected_best",
    "floor",
    "holm",
    "interquartile_mean",
    "least_p",
    "mcnemar",
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
    "reproduced",
    "seeds_needed",
    "sign_flip",
    "stars",
    "summary",
    "uncorrelated",
    "wilcoxon",
]
