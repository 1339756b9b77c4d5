import itertools

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import chi

from hybridnets.stats.result import noncentral_t_below, student

# scipy 1.17.1 gives NaN for the first and the third; for the last two it takes more than milliseconds.
TAILS = [(-2.262, 9, 15.8), (2.262, 9, -15.8), (50.0, 9, -43.0), (12.7, 1, 9.0), (1.96, 500, 2.8)]
TAILS += [(1500.0, 9, 1400.0), (-1500.0, 4, -1700.0)]


@pytest.mark.parametrize(("t", "df", "noncentrality"), TAILS)
def test_the_noncentral_t_equals_quadrature_of_its_definition(t: float, df: int, noncentrality: float) -> None:
    # T = (Z + noncentrality) / X with X^2 = chi^2 / df
    def density(x: float) -> float:
        return float(chi.pdf(x, df, scale=df**-0.5) * ndtr(t * x - noncentrality))

    step = np.clip((noncentrality + np.array([-9, 9])) / t, 0, 10)  # where the normal part varies
    expected = sum(quad(density, *ends, limit=200)[0] for ends in itertools.pairwise([0, *np.sort(step), 10]))
    assert noncentral_t_below(t, df, noncentrality) == pytest.approx(expected, abs=2e-6 if abs(t) > 1000 else 1e-9)


def test_the_noncentral_t_is_monotone_where_the_approximation_begins() -> None:
    chances = [noncentral_t_below(t, 5, 900.0) for t in np.linspace(990, 1010, 9)]
    assert np.all(np.diff(chances) > 0)


def test_a_confidence_outside_0_and_1_is_refused() -> None:
    with pytest.raises(ValueError, match=r"confidence must lie between 0 and 1, got 95"):
        student(0.01, 0.005, 2, 3, 95)
