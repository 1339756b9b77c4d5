import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t, ttest_1samp, ttest_rel

from hybridnets.stats import paired_differences, summary

WORKED = np.array([0.012, 0.018, 0.009])  # t = 4.9135 and p = .0390 by hand
FRACTIONS = st.lists(st.tuples(st.integers(0, 15_000), st.integers(0, 15_000)), min_size=2, max_size=12)


def test_paired_differences_on_a_worked_example() -> None:
    d = paired_differences(WORKED + 0.7, np.full(3, 0.7))
    assert d.sd is not None
    assert d.interval is not None
    statistic = d.mean / (d.sd / 3**0.5)
    assert statistic == pytest.approx(4.9135, abs=5e-5)
    assert 2 * t.sf(statistic, 2) == pytest.approx(0.0390, abs=5e-5)
    assert d.interval == pytest.approx(ttest_1samp(WORKED, 0).confidence_interval(0.95), rel=1e-9)
    assert d.interval[0] > 0  # consistent with p < .05
    assert (d.n, d.positive, d.negative, d.why) == (3, 3, 0, "")
    assert (d.minimum, d.maximum) == pytest.approx((0.009, 0.018))


@settings(deadline=None)  # the machine may be busy
@given(FRACTIONS, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_interval_equals_scipys_and_swapping_sides_mirrors_everything(
    counts: list[tuple[int, int]], confidence: float
) -> None:
    a, b = np.array(counts).T / 15_000
    d, mirrored = paired_differences(a, b, confidence), paired_differences(b, a, confidence)
    assert mirrored.mean == -d.mean
    assert (mirrored.minimum, mirrored.maximum) == (-d.maximum, -d.minimum)
    assert (mirrored.positive, mirrored.negative, mirrored.sd) == (d.negative, d.positive, d.sd)
    if len({count_a - count_b for count_a, count_b in counts}) == 1:
        assert (d.sd, d.interval, d.why) == (0, None, "all differences equal")
        return
    assert d.interval is not None
    assert mirrored.interval == pytest.approx((-d.interval[1], -d.interval[0]))
    assert d.interval == pytest.approx(ttest_rel(a, b).confidence_interval(confidence), rel=1e-6, abs=1e-12)


def test_one_pair_has_a_difference_and_no_interval() -> None:
    d = paired_differences([0.75], [0.5])
    assert (d.mean, d.sd, d.n, d.interval, d.why) == (0.25, None, 1, None, "one pair")


def test_a_summary_divides_by_n_minus_1() -> None:
    result = summary([1, 2, 6])
    assert (result.mean, result.n) == (3, 3)
    assert result.sd == pytest.approx(7**0.5)
    assert summary([0.5]).sd is None


@pytest.mark.parametrize("values", [[], [0.5, float("nan")], [[0.5]]])
def test_an_illegal_sample_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one finite number"):
        summary(values)
    with pytest.raises(ValueError, match="pair value by value"):
        paired_differences([0.5, 0.6], [0.5])
