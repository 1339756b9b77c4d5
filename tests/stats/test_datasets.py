import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from hybridnets.stats import holm, over_data_sets, paired_t, ranking
from hybridnets.stats.datasets import not_different, ranks_of

# Demsar 2006, table 6: AUC of C4.5, and of C4.5 tuned in m, in cf and in both, on 14 data sets; two transcriptions by others
# have the same values. In print the third and the fourth of "voting" are both .975, and their ranks 2 and 3 all the same.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)
# In thousandths; autorank 1.3.0 and scipy 1.17 were given the same.
TWELVE = np.array(
    [
        [701, 695, 710, 719, 717],
        [710, 700, 712, 709, 743],
        [674, 693, 698, 696, 691],
        [650, 659, 667, 652, 681],
        [667, 673, 698, 681, 707],
        [659, 649, 659, 664, 681],
        [691, 708, 727, 700, 742],
        [768, 765, 797, 787, 785],
        [676, 685, 684, 694, 705],
        [676, 687, 672, 683, 694],
        [726, 717, 729, 735, 763],
        [729, 709, 720, 736, 728],
    ]
)
WILCOXON = {
    (0, 1): 0.80078125,
    (0, 2): 0.0263671875,
    (0, 3): 0.0009765625,
    (0, 4): 0.0009765625,
    (1, 2): 0.017578125,
    (1, 3): 0.017578125,
    (1, 4): 0.0009765625,
    (2, 3): 0.86572265625,
    (2, 4): 0.00732421875,
    (3, 4): 0.0205078125,
}  # scipy.stats.wilcoxon, exact


def test_the_ranks_of_demsars_example() -> None:
    result = ranking(DEMSAR)
    assert result.ranks == pytest.approx((3.143, 2.000, 2.893, 1.964), abs=5e-4)
    assert result.friedman is not None
    assert result.iman_davenport is not None
    reference = scipy_stats.friedmanchisquare(*DEMSAR.T)
    assert (result.friedman.statistic, result.friedman.p) == pytest.approx((reference.statistic, reference.pvalue))
    assert (result.friedman.df, result.iman_davenport.df) == ((3,), (3, 39))
    # The paper's 9.28 and 3.69 do not correct for ties.
    plain = 12 * 14 / (4 * 5) * (np.square(result.ranks).sum() - 4 * 5**2 / 4)
    assert (plain, 13 * plain / (14 * 3 - plain)) == pytest.approx((9.28, 3.69), abs=5e-3)
    # After removing the ties' rows nothing is left to correct.
    untied = DEMSAR[[len(set(row)) == 4 for row in DEMSAR]]
    result = ranking(untied)
    assert result.friedman is not None
    assert result.iman_davenport is not None
    n = len(untied)
    plain = 12 * n / (4 * 5) * (np.square(result.ranks).sum() - 4 * 5**2 / 4)
    f = (n - 1) * plain / (n * 3 - plain)
    assert (result.friedman.statistic, result.iman_davenport.statistic) == pytest.approx((plain, f))
    assert result.iman_davenport.p == pytest.approx(scipy_stats.f.sf(f, 3, 3 * (n - 1)))


def test_five_variants_agree_with_autorank_and_scipy() -> None:
    result = ranking(TWELVE)
    assert result.ranks == pytest.approx((4.125, 4.0, 2.708333, 2.5, 1.666667), abs=1e-6)
    assert result.friedman is not None
    assert (result.friedman.statistic, result.friedman.p) == pytest.approx((21.104602510460236, 0.00030189943424596997))
    p = {tuple(sorted((pair.first, pair.second))): pair.test.p for pair in result.pairs}
    assert p == pytest.approx(WILCOXON)
    adjusted = dict(zip(WILCOXON, holm(list(WILCOXON.values())), strict=True))
    assert {tuple(sorted((pair.first, pair.second))): pair.holm for pair in result.pairs} == pytest.approx(adjusted)
    assert [(pair.first, pair.second) for pair in result.pairs[:4]] == [(4, 3), (4, 2), (4, 1), (4, 0)]
    assert all(pair.test.estimate is not None and pair.test.estimate > 0 for pair in result.pairs[:4])
    # Holm: .00977 three times, .0513 for 2-4, then .1055 and more
    assert result.groups == ((4, 3, 2), (3, 2, 1), (2, 1, 0))
    assert ranking(TWELVE, alpha=0.06).groups == ((4, 3), (3, 2, 1), (2, 1, 0))
    flipped = ranking(-TWELVE, lower_is_better=True)
    assert (flipped.ranks, flipped.groups) == (result.ranks, result.groups)


def test_autorank_itself() -> None:
    autorank = pytest.importorskip("autorank")
    pandas = pytest.importorskip("pandas")
    theirs = autorank.autorank(pandas.DataFrame(TWELVE.astype(float)), force_mode="nonparametric")
    ours = ranking(TWELVE)
    assert ours.ranks == pytest.approx(theirs.rankdf["meanrank"].sort_index().tolist())
    assert ours.friedman is not None
    assert ours.friedman.p == pytest.approx(theirs.pvalue)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.integers(-4, 4), min_size=4, max_size=4), min_size=1, max_size=9))
def test_ranks_share_ties_as_scipys_do(rows: list[list[int]]) -> None:
    scores = np.array(rows) / 7 + 0.7 - 0.7  # with rounding errors
    assert ranks_of(scores) == pytest.approx(scipy_stats.rankdata(-np.array(rows), axis=1))


def test_data_sets_that_all_rank_alike_or_tie_everything() -> None:
    alike = ranking(np.arange(3.0) + np.arange(4.0)[:, None])
    assert alike.ranks == (3, 2, 1)
    assert alike.friedman is not None
    assert alike.iman_davenport is not None
    assert alike.friedman.statistic == pytest.approx(8)
    assert alike.iman_davenport.statistic == np.inf
    assert alike.iman_davenport.p == pytest.approx(1 / 6**3)
    assert alike.groups == ((2, 1, 0),)  # four data sets cannot tell any two apart
    assert {pair.test.why for pair in alike.pairs} == {"fewer than 6 data sets"}
    tied = ranking(np.ones((8, 3)))
    assert (tied.ranks, tied.friedman, tied.iman_davenport) == ((2, 2, 2), None, None)
    assert tied.groups == ((0, 1, 2),)


def test_groups_are_all_largest_sets_without_a_difference() -> None:
    generator = np.random.default_rng(2)
    for share in (0.2, 0.5, 0.9):
        order = generator.permutation(7).tolist()
        couples = [couple for couple in itertools.combinations(order, 2) if generator.random() < share]
        joined = {frozenset(couple) for couple in couples}
        sets = [
            set(group)
            for size in range(2, 8)
            for group in itertools.combinations(order, size)
            if all(frozenset(couple) in joined for couple in itertools.combinations(group, 2))
        ]
        largest = {frozenset(one) for one in sets if not any(one < other for other in sets)}
        groups = not_different(order, set(couples))
        assert {frozenset(group) for group in groups} == largest
        assert len(groups) == len(largest)
        assert all([order.index(v) for v in group] == sorted(order.index(v) for v in group) for group in groups)


def test_two_variants_on_data_sets_of_different_numbers_of_seeds() -> None:
    differences = [[0.01, 0.03], [0.02, 0.01, 0.0], [0.05, 0.03, 0.04, 0.04], [0.01], [-0.02, 0.0], [0.03, 0.01]]
    result = over_data_sets(differences)
    means = [float(np.mean(d)) for d in differences]
    assert result.mean == pytest.approx(np.mean(means))
    # The ranks are 2 (three times, one of them negative), 4.5 (twice) and 6: 4 of 64 patterns of signs have a sum of at most 2.
    assert result.data_sets.p == 2 * 4 / 64
    assert (result.data_sets.n, result.seeds.n) == (6, 14)
    assert (result.seeds.p, result.seeds.why) == (None, "a data set has one seed")
    assert [(one.n, one.sd) for one in result.inside[2:4]] == [
        (4, pytest.approx(np.std(differences[2], ddof=1))),
        (1, None),
    ]


def test_over_seeds_it_is_welchs_test_and_with_equal_spreads_a_pooled_one() -> None:
    a, b = np.array([0.02, 0.05, 0.01, 0.03]), np.array([0.01, 0.04, 0.02])
    # The mean of a and b is half the difference of a and -b.
    welch = scipy_stats.ttest_ind(a, -b, equal_var=False)
    result = over_data_sets([a, b])
    assert (result.seeds.statistic, result.seeds.p) == pytest.approx((welch.statistic, welch.pvalue))
    ends = welch.confidence_interval()
    assert result.seeds.interval == pytest.approx((ends.low / 2, ends.high / 2))
    assert (result.data_sets.p, result.data_sets.why) == (None, "fewer than 6 data sets")
    # Two data sets that repeat one: twice the degrees of freedom, and the error over sqrt(2)
    twice, once = over_data_sets([a, a]).seeds, paired_t(a)
    assert twice.statistic is not None
    assert once.statistic is not None
    assert twice.statistic == pytest.approx(2**0.5 * once.statistic)
    assert twice.p == pytest.approx(2 * scipy_stats.t.sf(twice.statistic, 6))


def test_over_data_sets_without_any_spread_over_seeds() -> None:
    result = over_data_sets([[0.75 - 0.74, 0.76 - 0.75], [0.02, 0.02]])
    assert (result.seeds.p, result.seeds.why) == (None, "all differences of each data set equal")
    assert result.mean == pytest.approx(0.015)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.ones(3), r"scores must have the shape \(data sets, variants\), at least 2 x 2, got \(3,\)"),
        (np.ones((1, 3)), "at least 2 x 2"),
        (np.full((3, 3), np.nan), "scores must be finite"),
    ],
)
def test_illegal_scores_are_refused_by_name(scores: npt.NDArray[np.float64], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ranking(scores)


def test_other_illegal_arguments_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1"):
        ranking(TWELVE, alpha=0)
    with pytest.raises(ValueError, match="at least two data sets, got 1"):
        over_data_sets([[0.1, 0.2]])
    with pytest.raises(ValueError, match="differences of a data set must be a row"):
        over_data_sets([[0.1, 0.2], []])
    with pytest.raises(ValueError, match="confidence"):
        over_data_sets([[0.1, 0.2], [0.1, 0.3]], confidence=1)
