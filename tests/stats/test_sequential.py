import numpy as np
import pytest

from hybridnets.stats import (
    Look,
    Method,
    anytime_critical,
    characteristics,
    critical_values,
    log_e_value,
    power,
    repeated_error,
    sequential,
    student_critical,
)

METHODS: list[Method] = ["anytime", "obrien-fleming", "pocock"]
LOOKS = [3, 5, 7, 10, 15]
# Sleep data (Student 1908): ten differences whose t is 4.0621 and whose mean is 1.58.
SLEEP = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
REPEATS = 20_000
BOUND = 5 * (0.05 * 0.95 / REPEATS) ** 0.5  # five standard errors of a share of 5 %


def test_the_sleep_data_are_settled_at_ten_patients() -> None:
    looks = sequential(SLEEP, [3, 5, 10])
    assert [look.n for look in looks] == [3, 5, 10]
    assert [look.settled for look in looks] == ["open", "open", "better"]
    assert looks[0].estimate == pytest.approx(4.9 / 3)
    assert (looks[0].interval, looks[0].why) == ((-np.inf, np.inf), "too few seeds for this level")
    last, half = looks[-1], anytime_critical(10) * 1.229995 / 10**0.5
    assert last.interval == pytest.approx((1.58 - half, 1.58 + half), abs=1e-5)
    assert [look.p for look in looks] == pytest.approx([np.exp(-log_e_value(SLEEP[:n])) for n in (3, 5, 10)])
    assert last.p is not None
    assert 0.0028 < last.p < 0.05  # the price of looking: the plain test's p is .0028


@pytest.mark.parametrize("method", METHODS)
def test_scale_and_sign_change_only_the_unit_and_the_direction(method: Method) -> None:
    opposite = {"better": "worse", "worse": "better", "equivalent": "equivalent", "open": "open"}
    d = np.random.default_rng(2).normal(0.6, 1, 15)
    for margin in (0.0, 1.5):
        looks = sequential(d, LOOKS, method, margin)
        for look, mirrored in zip(looks, sequential(-1e-3 * d, LOOKS, method, 1e-3 * margin), strict=True):
            assert mirrored.interval == pytest.approx([-1e-3 * end for end in reversed(look.interval)])
            assert mirrored.settled == opposite[look.settled]
            assert mirrored.p == (look.p if look.p is None else pytest.approx(look.p))


@pytest.mark.parametrize("method", METHODS)
def test_p_is_at_most_alpha_exactly_where_an_interval_excludes_0(method: Method) -> None:
    generator = np.random.default_rng(4)
    answers = set()
    for effect in (0.0, 1.5, -1.5, 0.8):
        looks = sequential(generator.normal(effect, 1, 10), [4, 7, 10], method)
        excluded = any(low > 0 or high < 0 for low, high in (look.interval for look in looks))
        last = looks[-1]
        assert last.p is not None
        assert (last.p <= 0.05) == excluded == (last.settled in ("better", "worse"))
        answers.add(last.settled)
    assert answers == {"open", "better", "worse"}


def test_the_first_answer_stays_and_only_looks_with_their_seeds_count() -> None:
    d = [1.0, 1.1, 0.9, 1.0, 1.05, 0.95, -9, 7, -8, 6]
    looks = sequential(d, [6, 10, 20])
    assert [look.settled for look in looks] == ["better", "better"]
    low, high = looks[1].interval
    assert low < 0 < high
    assert looks[1].p == looks[0].p < 0.05  # type: ignore[operator]
    assert sequential(d, [20]) == ()
    bounded = sequential(d, [6, 10, 20], "pocock")
    assert bounded[1].p == bounded[0].p < 0.05  # type: ignore[operator]


@pytest.mark.parametrize("method", METHODS)
def test_a_narrow_interval_within_the_margin_is_equivalent_and_better_goes_before(method: Method) -> None:
    d = [0.01, -0.01, 0.012, -0.009, 0.003, -0.002, 0.004, -0.008, 0.005, -0.004]
    assert sequential(d, [10], method, margin=0.02)[0].settled == "equivalent"
    assert sequential(d, [10], method)[0].settled == "open"
    low, high = sequential(d, [10], method)[0].interval
    assert sequential(d, [10], method, margin=0.999 * max(-low, high))[0].settled == "open"
    assert sequential([x + 0.02 for x in d], [10], method, margin=1)[0].settled == "better"


@pytest.mark.parametrize("method", METHODS)
def test_equal_differences_settle_nothing(method: Method) -> None:
    (look,) = sequential([0.02] * 5, [5], method, margin=0.1)
    assert look == Look(5, look.estimate, (-np.inf, np.inf), 1.0, "open", "all differences equal")
    assert look.estimate == pytest.approx(0.02)
    assert sequential([0.3], [1, 2])[0] == Look(1, 0.3, (-np.inf, np.inf), 1.0, "open", "one seed")


def test_a_group_sequential_study_has_no_p_until_it_stops() -> None:
    looks = sequential(SLEEP, [3, 6, 10], "obrien-fleming")
    assert [look.p is None for look in looks] == [True, True, False]
    assert sequential(SLEEP, [3, 6, 10, 20], "obrien-fleming")[1].p is None


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("looks", [LOOKS, list(range(3, 31))])
def test_the_level_and_the_coverage_hold_at_the_stop(method: Method, looks: list[int]) -> None:
    critical = critical_values(looks, method)
    null = characteristics(looks, critical, 0.0, repeats=REPEATS)
    exact = repeated_error(looks, critical)[-1]
    assert exact <= 0.05 + 1e-6
    assert null.better + null.worse == pytest.approx(exact, abs=BOUND)
    assert null.covered == pytest.approx(1 - exact, abs=BOUND)
    for effect in (0.5, -2.0):
        assert characteristics(looks, critical, effect, 1.0, REPEATS).covered > 0.95 - BOUND
    at_margin = characteristics(looks, critical, 1.0, 1.0, REPEATS)
    assert at_margin.equivalent < 0.025 + BOUND


def test_an_anytime_study_keeps_its_level_also_with_a_hundred_looks() -> None:
    looks = list(range(3, 103))
    null = characteristics(looks, critical_values(looks, "anytime"), 0.0, repeats=REPEATS)
    assert null.better + null.worse < 0.05 + BOUND
    plain = characteristics(looks, student_critical(looks), 0.0, repeats=REPEATS)
    assert plain.better + plain.worse > 0.3


def test_one_look_has_the_power_of_the_plain_test() -> None:
    for effect in (0.5, 1.0, -1.5):
        one = characteristics([8], student_critical([8]), effect, repeats=REPEATS)
        assert one.better + one.worse == pytest.approx(power(effect, 1, 8), abs=5 * 0.5 / REPEATS**0.5)
        assert (one.seeds, one.equivalent) == (8, 0)
        assert (one.better > one.worse) == (effect > 0)
        assert one.better + one.worse + one.open == pytest.approx(1)


def test_the_simulation_agrees_with_studies_that_are_looked_at_one_by_one() -> None:
    generator, studies = np.random.default_rng(8), 1000
    expected = characteristics([5, 8, 12], critical_values([5, 8, 12], "anytime"), 0.9, 1.5, REPEATS)
    answers, seeds = {"better": 0, "worse": 0, "equivalent": 0, "open": 0}, 0
    for _ in range(studies):
        looks = sequential(generator.normal(0.9, 1, 12), [5, 8, 12], margin=1.5)
        stop = next((look for look in looks if look.settled != "open"), looks[-1])
        answers[stop.settled] += 1
        seeds += stop.n
    for name, count in answers.items():
        assert count / studies == pytest.approx(getattr(expected, name), abs=5 * 0.5 / studies**0.5)
    assert seeds / studies == pytest.approx(expected.seeds, abs=5 * 3.5 / studies**0.5)


def test_the_simulation_repeats_itself_and_depends_on_its_seed() -> None:
    arguments = (LOOKS, critical_values(LOOKS, "pocock"), 1.0, 0.5, 500)
    assert characteristics(*arguments) == characteristics(*arguments)
    assert characteristics(*arguments) != characteristics(*arguments, seed=1)


def test_arguments_out_of_range_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="method must be one of anytime, obrien-fleming, pocock, got 'wald'"):
        sequential(SLEEP, [5], "wald")  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match="looks must be numbers of seeds that increase from at least 1, got \\[5, 5\\]"
    ):
        sequential(SLEEP, [5, 5])
    with pytest.raises(ValueError, match="margin"):
        sequential(SLEEP, [5], margin=-1)
    with pytest.raises(ValueError, match="alpha"):
        sequential(SLEEP, [5], alpha=1)
    with pytest.raises(ValueError, match="d must be"):
        sequential([], [5])
    with pytest.raises(ValueError, match="looks must start at 2 or more and have one critical value each"):
        characteristics([3, 5], [2.0], 0.0)
    with pytest.raises(ValueError, match="effect must be finite and repeats at least 1"):
        characteristics([3], [2.0], float("nan"))
