import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.power import TTestPower

from hybridnets.stats import Plan, floor, paired_t, plan, power, seeds_needed

PILOT = [0.012, 0.018, 0.009]
relaxed = settings(deadline=None, max_examples=40)


def test_published_and_worked_values() -> None:
    assert (floor(3 / 7, 0.5), floor(3 / 7)) == pytest.approx((1.283, 1.834), abs=5e-4)
    assert floor(0) == 0
    assert seeds_needed(0.5, 1) == 34  # the medium effect of Cohen 1988, paired, 80 %, by G*Power
    assert seeds_needed(0.01, 0.01 / 1.8, 3 / 7) is None
    assert seeds_needed(0, 1) is None
    assert [seeds_needed(size, 1) for size in (40, 10)] == [2, 3]
    assert power(0, 1, 12) == pytest.approx(0.05)
    assert power(1, 1, 1) == 0


@relaxed
@given(st.floats(-4, 4, allow_subnormal=False), st.integers(2, 200), st.sampled_from([0.01, 0.05, 0.2]))
def test_the_plain_power_equals_that_of_statsmodels(size: float, n: int, alpha: float) -> None:
    result = power(0.01 * size, 0.01, n, alpha=alpha)
    expected = TTestPower().power(abs(size), n, alpha)
    if np.isfinite(expected):  # scipy's noncentral t is NaN in the far tail
        assert result == pytest.approx(expected, abs=1e-8)
    assert 0 <= result <= 1 + 1e-12
    assert result == power(-0.01 * size, 0.01, n, alpha=alpha)


@relaxed
@given(st.floats(0.05, 5), st.floats(0.01, 1), st.sampled_from([0.5, 0.8, 0.95]))
def test_the_number_of_seeds_is_the_smallest_and_the_floor_separates_the_impossible(
    size: float, ratio: float, target: float
) -> None:
    n = seeds_needed(size, 1, ratio, target)
    if n is None:
        assert power(size, 1, 10_000, ratio) < target
        assert size < floor(ratio, target) * 1.001 + 0.04
    else:
        assert power(size, 1, n, ratio) >= target > power(size, 1, n - 1, ratio)
        assert size > floor(ratio, target)
        assert n >= (seeds_needed(size, 1, 0, target) or 0)


def test_the_corrected_power_equals_that_of_simulated_seeds() -> None:
    # Differences over splits of one pool share a term of the pool: its variance is ratio x sd^2, the rest has sd^2.
    generator, ratio, n = np.random.default_rng(0), 3 / 7, 5
    pools = generator.normal(2, ratio**0.5, (20_000, 1))
    d = pools + generator.normal(0, 1, (20_000, n))
    critical = 2.7764451 * (1 / n + ratio) ** 0.5  # t(.975; 4)
    rejected = np.abs(d.mean(1)) > critical * d.std(1, ddof=1)
    assert paired_t(d[0], ratio).p is not None
    assert power(2, 1, n, ratio) == pytest.approx(rejected.mean(), abs=0.01)


def test_a_plan_has_a_number_for_each_test() -> None:
    plans = {entry.test: entry for entry in plan(PILOT, 0.01, 3 / 7)}
    small = plan(PILOT, 0.002)[0].interval
    sd = float(np.std(PILOT, ddof=1))
    assert list(plans) == ["paired t", "Wilcoxon", "sign-flip", "corrected t"]
    # With 3 pilot seeds the spread is known to within a factor of .52 to 6.3.
    interval = seeds_needed(0.01, 0.5207 * sd), seeds_needed(0.01, 6.2847 * sd)
    assert plans["paired t"] == Plan("paired t", seeds_needed(0.01, sd), interval, True)
    assert small == (seeds_needed(0.002, 0.5207 * sd), seeds_needed(0.002, 6.2847 * sd))
    assert plans["sign-flip"].seeds == plans["Wilcoxon"].seeds == 6
    low, high = plans["Wilcoxon"].interval
    assert (low, high) == (6, int(np.ceil((interval[1] or 0) * np.pi / 3)))
    assert plans["corrected t"].seeds == seeds_needed(0.01, sd, 3 / 7)
    assert plans["corrected t"].interval[1] is None
    assert [entry.test for entry in plan(PILOT, 0.01)] == ["paired t", "Wilcoxon", "sign-flip"]
    assert not plan([*PILOT, 0.011, 0.014], 0.01)[0].rough


def test_a_plan_explains_why_no_number_of_seeds_is_enough() -> None:
    d, ratio = [0.01, -0.01, 0.02, -0.005, 0.004], 3 / 7
    *uncorrected, corrected = plan(d, 0.01, ratio)
    assert corrected.seeds is None
    assert all(entry.seeds for entry in uncorrected)
    for change in ("Hold out less", "more than 0.022", "by the paired t"):
        assert change in corrected.why
    smaller = float(corrected.why.split("below ")[1].split(")")[0])
    assert plan(d, 0.01, 0.9 * smaller)[-1].seeds
    assert plan(d, 0.01, 1.1 * smaller)[-1].seeds is None
    assert {entry.why for entry in plan(d, 1e-5)} == {"more than 10,000 seeds"}


@pytest.mark.parametrize(
    ("d", "difference", "why"),
    [
        ([0.01], 0.01, "one pilot seed has no spread"),
        ([0.75 - 0.74, 0.76 - 0.75], 0.01, "all differences of the pilot are equal"),
        (PILOT, 0, "a difference of 0 cannot be found"),
    ],
)
def test_a_plan_without_a_number_has_a_reason(d: list[float], difference: float, why: str) -> None:
    plans = plan(d, difference, 3 / 7)
    assert len(plans) == 4
    for entry in plans:
        assert (entry.seeds, entry.interval, entry.why) == (None, (None, None), why)


def test_arguments_out_of_range_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="sd must be a finite number above 0, got 0"):
        power(0.01, 0, 3)
    with pytest.raises(ValueError, match="difference must be a finite number"):
        plan([0.1], float("nan"))
    with pytest.raises(ValueError, match="ratio"):
        plan(PILOT, 0.01, -1)
    with pytest.raises(ValueError, match="n must be at least 1"):
        power(0.01, 0.01, 0)
    with pytest.raises(ValueError, match="power must lie between 0 and 1, got 80"):
        seeds_needed(0.01, 0.01, power=80)
    with pytest.raises(ValueError, match="alpha"):
        floor(3 / 7, alpha=0)
    with pytest.raises(ValueError, match=r"^d must be"):
        plan([0.1, float("nan")], 0.01)
