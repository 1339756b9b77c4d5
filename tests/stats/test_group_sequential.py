import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from scipy.stats import t as student

from hybridnets.stats import group_sequential_critical, repeated_error, repeated_p, student_critical

EQUAL = [20_000 * k for k in range(1, 6)]  # so many seeds that t is normal to four digits
few = settings(deadline=None, max_examples=12)


def test_with_many_seeds_it_gives_the_tables_of_normal_theory() -> None:
    # Jennison and Turnbull 2000, Group sequential methods with applications to clinical trials, tables 2.1 and 2.3, K = 5; the
    # O'Brien-Fleming bounds of gsDesign (test.type=2, sfu="OF") and rpact: constant sqrt(5 / k), not alpha spending.
    assert repeated_error(EQUAL, [4.5617, 3.2256, 2.6337, 2.2809, 2.0401])[-1] == pytest.approx(0.05, abs=2e-5)
    assert repeated_error(EQUAL, [2.4132] * 5)[-1] == pytest.approx(0.05, abs=2e-5)
    assert repeated_error(EQUAL[:2], [2.1783] * 2)[-1] == pytest.approx(0.05, abs=2e-5)
    # Armitage, McPherson and Rowe 1969, table 2: a 5 % test repeated 1 to 5 times.
    published = [0.05, 0.0831, 0.1072, 0.1262, 0.1417]
    assert repeated_error(EQUAL, [1.959964] * 5) == pytest.approx(published, abs=2e-4)


def test_with_many_seeds_alpha_spending_gives_the_bounds_of_gsdesign() -> None:
    # gsDesign(k=5, test.type=2, alpha=.025) with sfLDOF and sfLDPocock; ldbounds and rpact (asOF, asP) give the same.
    assert group_sequential_critical(EQUAL) == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-3)
    pocock = group_sequential_critical(EQUAL, "pocock")
    assert pocock == pytest.approx([2.4380, 2.4268, 2.4101, 2.3966, 2.3859], abs=1e-3)


def test_with_two_and_three_seeds_it_equals_the_area_on_a_sphere() -> None:
    # The direction of three differences is uniform on the sphere. With the axis (0, 0, 1) its height is uniform from -1 to 1,
    # and the angle of the first two to their diagonal is uniform; |cos(angle)| is z / sqrt(n) at 2 seeds.
    critical = student_critical([2, 3])
    two, three = ((t**2 / (t**2 + n - 1)) ** 0.5 for t, n in zip(critical, (2, 3), strict=True))
    part = (np.arange(1000) + 0.5) / 1000
    angle, height = (np.arccos(two) + part * (np.pi - 2 * np.arccos(two)))[:, None], 2 * part - 1
    z = np.abs(np.sqrt(1 - height**2) * 2**0.5 * np.cos(angle) + height) / 3**0.5
    expected = 0.05 + 0.95 * (z >= three).mean()
    assert repeated_error([2, 3], critical)[-1] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    "looks", [[3, 5], [2, 3, 4], [4, 9], [3, 5, 7, 10, 15], [2, 12, 13], list(range(3, 11)), list(range(3, 31))]
)
def test_a_plain_t_looked_at_several_times_errs_as_often_as_in_simulated_studies(looks: list[int]) -> None:
    d = np.random.default_rng(5).standard_normal((100_000, looks[-1]))
    n = np.array(looks)
    sums, squares = d.cumsum(axis=1)[:, n - 1], (d**2).cumsum(axis=1)[:, n - 1]
    t = sums / np.sqrt(n * (squares - sums**2 / n) / (n - 1))
    errors = (np.abs(t) >= np.array(student_critical(looks))).cumsum(axis=1).astype(bool).mean(axis=0)
    # Five standard errors hold with a probability of more than 1 - 1e-6 for each look.
    assert repeated_error(looks, student_critical(looks)) == pytest.approx(errors, abs=5 * 0.5 / 100_000**0.5)


def test_bounds_of_normal_theory_would_break_the_promise_at_few_seeds() -> None:
    looks = [3, 5, 7, 10, 15]
    normal = group_sequential_critical([10_000 * n for n in looks])  # of the same shares of seeds
    assert repeated_error(looks, normal)[-1] == pytest.approx(0.129, abs=1e-3)
    same_p = student.isf(norm.sf(normal), np.array(looks) - 1)
    assert repeated_error(looks, same_p)[-1] == pytest.approx(0.0522, abs=2e-4)


def test_worked_values_of_extending_a_plain_test() -> None:
    assert repeated_error([3], student_critical([3])) == pytest.approx((0.05,), abs=1e-9)
    far_apart = repeated_error([3, 4000], student_critical([3, 4000]))[-1]
    assert far_apart == pytest.approx(1 - 0.95**2, abs=2e-4)  # nearly independent
    assert repeated_error([3, 5], student_critical([3, 5]))[-1] == pytest.approx(0.0861, abs=5e-5)
    every = repeated_error(range(3, 31), student_critical(range(3, 31)))
    assert (every[7], every[-1]) == pytest.approx((0.1668, 0.2651), abs=5e-5)  # up to 10 and up to 30 seeds
    assert repeated_error([3, 5], [float("inf"), student_critical([5])[0]])[-1] == pytest.approx(0.05, abs=1e-6)


@few
@given(
    st.lists(st.integers(2, 60), min_size=1, max_size=5, unique=True).map(sorted),
    st.sampled_from(["obrien-fleming", "pocock"]),
    st.sampled_from([0.01, 0.05, 0.2]),
)
def test_the_bounds_spend_alpha_and_no_more(looks: list[int], spending: str, alpha: float) -> None:
    critical = group_sequential_critical(looks, spending, alpha)  # type: ignore[arg-type]
    errors = repeated_error(looks, critical)
    assert errors[-1] == pytest.approx(alpha, abs=1e-6)
    x = np.array(looks) / looks[-1]
    if spending == "pocock":
        assert errors == pytest.approx(alpha * np.log(1 + (np.e - 1) * x), abs=1e-6)
    levels = 2 * student.sf(critical, np.array(looks) - 1)
    assert (levels <= alpha + 1e-6).all()  # stricter than the plain test at each look
    stricter = group_sequential_critical(looks, spending, alpha / 2)  # type: ignore[arg-type]
    assert all(a >= b for a, b in zip(stricter, critical, strict=True))


def test_one_look_is_the_plain_test_and_bounds_at_few_seeds_are_those_of_t() -> None:
    assert group_sequential_critical([7]) == pytest.approx(student_critical([7]), rel=1e-6)
    # The first look's level is what is spent: log(1 + (e - 1) / 3) x 5 % at 5 of 15 seeds.
    first = group_sequential_critical([5, 10, 15], "pocock")[0]
    assert first == pytest.approx(student.isf(0.025 * np.log(1 + (np.e - 1) / 3), 4), rel=1e-5)
    rare = group_sequential_critical([3, 5, 7, 10, 15])[0]
    assert rare == pytest.approx(student.isf(2 * norm.sf(norm.isf(0.0125) * 5**0.5), 2), rel=1e-4)  # a part of 1e-6
    assert group_sequential_critical([3, 100])[0] == float("inf")  # 1e-20 would be spent there
    assert group_sequential_critical([3, 100])[1] == pytest.approx(student_critical([100])[0], rel=1e-5)


@pytest.mark.parametrize("spending", ["obrien-fleming", "pocock"])
def test_the_repeated_p_is_alpha_at_the_bound(spending: str) -> None:
    looks = [4, 8, 12]
    for i, t in enumerate(group_sequential_critical(looks, spending, 0.02)):  # type: ignore[arg-type]
        assert repeated_p(t, looks, i, spending) == pytest.approx(0.02, rel=1e-3)  # type: ignore[arg-type]
    assert repeated_p(-4.0, looks, 2, spending) < 0.05  # type: ignore[arg-type]
    assert repeated_p(0, looks, 2) == 1
    assert repeated_p(1e9, looks, 2) == 1e-9
    assert repeated_p(2.5, [9], 0) == pytest.approx(2 * student.sf(2.5, 8), rel=1e-4)


def test_arguments_out_of_range_are_refused_by_name() -> None:
    for looks in ([], [1, 3], [3, 3], [5, 4]):
        with pytest.raises(ValueError, match="looks must be numbers of seeds that increase from at least 2, got"):
            group_sequential_critical(looks)
    with pytest.raises(ValueError, match="critical must have one value per look, got 1 for 2 looks"):
        repeated_error([3, 5], [2.0])
    with pytest.raises(ValueError, match="spending must be obrien-fleming or pocock, got 'even'"):
        group_sequential_critical([3, 5], "even")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1"):
        student_critical([3], 0)
    with pytest.raises(ValueError, match="look must be from 0 to 1, got 2"):
        repeated_p(2.0, [3, 5], 2)
