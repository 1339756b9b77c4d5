import pytest

from hybridnets.stats import improvement_decision, improvement_seeds, probability_of_improvement


def test_the_published_number_of_seeds() -> None:
    assert improvement_seeds() == 29  # Bouthillier et al. 2021, appendix C: threshold .75, both errors 5 %
    # Noether 1987, equation 7 for two equal groups: (z + z)^2 / (6 (p - 1/2)^2); 1.6449 and 0.8416 for 5 % and 80 %
    assert improvement_seeds(0.7, power=0.8) == 26
    assert improvement_seeds(0.9) < improvement_seeds(0.75) < improvement_seeds(0.6)


@pytest.mark.parametrize(
    ("wins", "n", "threshold", "decision"),
    [
        (5, 5, 0.75, "not significant"),  # Clopper and Pearson's lower end is .478
        (6, 6, 0.75, "significant and meaningful"),  # .541 to 1
        (24, 30, 0.75, "significant and meaningful"),
        (130, 200, 0.75, "significant, not meaningful"),  # .580 to .716
        (130, 200, 0.7, "significant and meaningful"),
        (10, 30, 0.75, "not significant"),
    ],
)
def test_the_decision_follows_from_both_ends(wins: int, n: int, threshold: float, decision: str) -> None:
    improvement = probability_of_improvement([1.0] * wins + [-1.0] * (n - wins))
    assert improvement_decision(improvement, threshold) == decision


def test_the_other_side_wins_what_this_one_loses() -> None:
    d = [1.0, 1.0, -1.0, 0.0, 1.0, 1.0, 1.0]
    other = probability_of_improvement([-x for x in d])
    ours = probability_of_improvement(d).reversed
    assert (ours.value, *ours.interval, *ours.bootstrap) == pytest.approx(
        (other.value, *other.interval, *other.bootstrap)
    )


def test_arguments_out_of_range_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"threshold must lie between .5 and 1, got 0.5"):
        improvement_seeds(0.5)
    with pytest.raises(ValueError, match="threshold"):
        improvement_decision(probability_of_improvement([1.0]), 75)
    with pytest.raises(ValueError, match=r"power must be above alpha, got 0.05 and 0.05"):
        improvement_seeds(power=0.05)
