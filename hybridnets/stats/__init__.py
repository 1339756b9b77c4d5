"""Statistics as pure functions on arrays, independent of torch, files and configuration."""

from hybridnets.stats.crossed import Components, components, crossed
from hybridnets.stats.describe import Summary, summary
from hybridnets.stats.factorial import effects
from hybridnets.stats.families import benjamini_hochberg, holm, stars
from hybridnets.stats.images import McNemar, bootstrap, clustered_t, mcnemar, pooled_t
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
    paired_t,
    probability_of_improvement,
    tost,
)
from hybridnets.stats.signs import least_p, sign_flip, wilcoxon

__all__ = [
    "QUALITY",
    "Components",
    "Differences",
    "Effect",
    "Improvement",
    "McNemar",
    "Plan",
    "Posterior",
    "Predicted",
    "Quality",
    "Summary",
    "Test",
    "bayesian_t",
    "benjamini_hochberg",
    "bootstrap",
    "clustered_t",
    "components",
    "crossed",
    "effect_size",
    "effects",
    "floor",
    "holm",
    "kfold_ratio",
    "least_p",
    "mcnemar",
    "paired_differences",
    "paired_t",
    "plan",
    "pooled_t",
    "power",
    "probability_of_improvement",
    "reproduced",
    "seeds_needed",
    "sign_flip",
    "stars",
    "summary",
    "tost",
    "uncorrelated",
    "wilcoxon",
]
