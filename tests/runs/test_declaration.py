"""What a sweep may declare, which restates what the statistics know because runs do not import them."""

import math
from typing import get_args

from hybridnets import stats
from hybridnets.runs import declaration
from hybridnets.stats.sequential import METHODS, Method


def test_the_methods_of_adding_seeds_are_those_of_the_statistics() -> None:
    assert tuple(declaration.METHODS) == METHODS
    assert get_args(declaration.Method) == get_args(Method) == METHODS


def test_a_declared_anytime_method_has_the_seeds_from_which_it_can_settle() -> None:
    fewest = next(n for n in range(1, 100) if math.isfinite(stats.anytime_critical(n, 0.05)))
    assert fewest == declaration.ANYTIME_FEWEST
