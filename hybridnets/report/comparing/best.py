"""The order of more than two variants over their common seeds, and how far it is known."""

from dataclasses import dataclass

import numpy as np

from hybridnets import stats
from hybridnets.report.comparing.variants import DataSetVariants

MOST = 60  # variants whose order is worked out


@dataclass(frozen=True, eq=False)
class Order:
    """The order of the variants of one data set.

    Attributes:
        labels: Their labels, (K,).
        ranks: Their ranks.
        metric: The metric's key.
    """

    labels: tuple[str, ...]
    ranks: stats.Ranks
    metric: str


def order_of(data_set: DataSetVariants, metric: str) -> Order | None:
    """The order of all variants over their common seeds; None for fewer than three, or without two common seeds.

    Args:
        data_set: The variants.
        metric: The metric's key; empty where there is none.
    """
    variants = [v for v in data_set.variants if v.sound and not v.diverged] if metric else []
    if not 3 <= len(variants) <= MOST:
        return None
    by_seed = [{run.seeds: run.scores[metric] for run in v.sound if metric in run.scores} for v in variants]
    seeds = sorted(set.intersection(*(set(scores) for scores in by_seed)))
    if len(seeds) < 2:
        return None
    table = np.array([[scores[s] for scores in by_seed] for s in seeds])
    ranks = stats.rank_distribution(table, not data_set.metric(metric).higher_is_better)
    return None if ranks.why else Order(tuple(v.label for v in variants), ranks, metric)
