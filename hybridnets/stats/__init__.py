"""Statistics as pure functions on arrays, independent of torch, files and configuration."""

from hybridnets.stats.anytime import anytime_critical, log_e_value
from hybridnets.stats.crossed import Components, components, crossed
from hybridnets.stats.describe import Summary, summary
from hybridnets.stats.factorial import effects
from hybridnets.stats.families import benjamini_hochberg, holm, stars
from hybridnets.stats.group_sequential import group_sequential_critical, repeated_error, repeated_p, student_critical
from hybridnets.stats.images import McNemar, bootstrap, clustered_t, mcnemar, pooled_t
from hybridnets.stats.improvement import improvement_decision, improvement_seeds
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
from hybridnets.stats.sequential import Characteristics, Look, Method, characteristics, critical_values, sequential
from hybridnets.stats.signs import least_p, sign_flip, wilcoxon

__all__ = [
    "QUALITY",
    "Characteristics",
    "Components",
    "Differences",
    "Effect",
    "Improvement",
    "Look",
    "McNemar",
    "Method",
    "Plan",
    "Posterior",
    "Predicted",
    "Quality",
    "Summary",
    "Test",
    "anytime_critical",
    "bayesian_t",
    "benjamini_hochberg",
    "bootstrap",
    "characteristics",
    "clustered_t",
    "components",
    "critical_values",
    "crossed",
    "effect_size",
    "effects",
    "floor",
    "group_sequential_critical",
    "holm",
    "improvement_decision",
    "improvement_seeds",
    "kfold_ratio",
    "least_p",
    "log_e_value",
    "mcnemar",
    "paired_differences",
    "paired_t",
    "plan",
    "pooled_t",
    "power",
    "probability_of_improvement",
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
]
