import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import nct, norm
from scipy.stats import t as student

from hybridnets.stats import anytime_critical, log_e_value

relaxed = settings(deadline=None, max_examples=40)


def sample_with(t: float, n: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """n differences whose t statistic is t."""
    x = np.arange(n) - (n - 1) / 2
    return np.asarray(x + t * x.std(ddof=1) / n**0.5)


def e_value(t: float, n: int, points: float = 0.75) -> float:
    return float(np.exp(log_e_value(sample_with(t, n), points)))


@pytest.mark.parametrize("n", [2, 3, 5, 12, 30])
@pytest.mark.parametrize("t", [0.1, 1.0, 2.5, 6.0])
def test_the_e_value_is_the_mixture_of_likelihood_ratios_of_the_noncentral_t(n: int, t: float) -> None:
    def ratio(effect: float) -> float:
        return float(nct.pdf(t, n - 1, effect * n**0.5) / student.pdf(t, n - 1))

    points = (ratio(1.0) + ratio(-1.0)) / 2
    normal = quad(lambda effect: ratio(effect) * norm.pdf(effect), -8, 8, points=[0, t / n**0.5], limit=200)[0]
    assert e_value(t, n, 1.0) == pytest.approx(points, rel=1e-7)
    assert e_value(t, n, 0.0) == pytest.approx(normal, rel=1e-7)
    assert e_value(t, n) == pytest.approx(0.75 * points + 0.25 * normal, rel=1e-7)


# mpmath 1.3 with 60 digits: log(3/4 exp(-n/2) 1F1(n/2; 1/2; n y / 2) + 1/4 (1+n)^(-1/2) (1 - y n / (1+n))^(-n/2))
@pytest.mark.parametrize(
    ("t", "n", "expected"),
    [
        (1e3, 5, 3.15697169818759),
        (1e6, 30, 48.40652009087),
        (3, 2000, -0.697099215223259),
        (40, 2000, 582.452248338735),
        (1e4, 10_000, 42580.9743675449),
        (0.01, 1000, -4.84062175073001),
    ],
)
def test_far_out_and_with_many_seeds_it_equals_60_digits(t: float, n: int, expected: float) -> None:
    assert log_e_value(sample_with(t, n)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("points", [0.0, 0.75, 1.0])
@pytest.mark.parametrize(("m", "t"), [(1, 0.0), (2, 0.3), (3, 5.0), (10, 1.5), (25, 2.8)])
def test_one_more_seed_leaves_its_expectation_where_it_was(m: int, t: float, points: float) -> None:
    # If the true mean is 0, sqrt(m) times the new difference over the old ones' length has Student's t distribution with m
    # degrees of freedom.
    d = sample_with(t, m) if m > 1 else np.array([0.3])
    length = float(np.linalg.norm(d))

    def after(angle: float) -> float:
        x = np.tan(angle)
        extended = np.append(d, x * length / m**0.5)
        return float(np.exp(log_e_value(extended, points)) * student.pdf(x, m) / np.cos(angle) ** 2)

    limit = np.pi / 2 - 1e-9
    expected = np.exp(log_e_value(d, points))
    assert quad(after, -limit, limit, limit=400, epsabs=1e-9)[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("d", [[0.3], [0.02] * 10, [0.0, 0.0], [0.75 - 0.74, 0.76 - 0.75]])
def test_one_seed_and_equal_differences_are_no_evidence(d: list[float]) -> None:
    assert log_e_value(d) == 0


@relaxed
@given(st.lists(st.integers(-50, 50), min_size=2, max_size=30), st.sampled_from([-1.0, 1e-6, 3.0, -1e6]))
def test_the_e_value_depends_on_neither_scale_nor_sign(d: list[int], factor: float) -> None:
    assert log_e_value(np.array(d) * factor * 1.0) == pytest.approx(log_e_value(d), abs=1e-7)


@relaxed
@given(st.integers(5, 3000), st.sampled_from([0.2, 0.05, 0.01]))
def test_the_critical_t_has_an_e_value_of_1_over_alpha_and_is_larger_at_a_stricter_level(n: int, alpha: float) -> None:
    critical = anytime_critical(n, alpha)
    if np.isfinite(critical):
        assert log_e_value(sample_with(critical, n)) == pytest.approx(-np.log(alpha), abs=1e-6)
        assert log_e_value(sample_with(1.01 * critical, n)) > -np.log(alpha)
        assert critical > -student.ppf(alpha / 2, n - 1)  # because it holds at all looks
    assert anytime_critical(n, alpha / 2) >= critical


def test_below_five_seeds_nothing_is_enough_and_the_interval_shrinks_with_many() -> None:
    assert [anytime_critical(n) for n in range(1, 5)] == [float("inf")] * 4
    assert np.isfinite(anytime_critical(5))
    widths = [anytime_critical(n) / n**0.5 for n in (5, 10, 30, 100, 1000, 10_000)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.05
    assert anytime_critical(10_000, points=1.0) / 100 > 0.49  # of the two points alone it does not


def test_arguments_out_of_range_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        anytime_critical(0)
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1, got 5"):
        anytime_critical(5, 5)
    with pytest.raises(ValueError, match="points must be from 0 to 1, got -1"):
        anytime_critical(5, points=-1)
    with pytest.raises(ValueError, match="points must be from 0 to 1, got 2"):
        log_e_value([1, 2], 2)
    with pytest.raises(ValueError, match="d must be"):
        log_e_value([1, float("nan")])
