"""Tests over several data sets, where each data set gives one mean difference or one score of every variant.

They are about further data sets of the same kind; seeds only make the values of each data set more exact.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hybridnets.stats.describe import Summary, sample, summary
from hybridnets.stats.families import holm
from hybridnets.stats.result import Test, share, student
from hybridnets.stats.signs import wilcoxon

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OverDataSets:
    """Two variants on several data sets.

    Attributes:
        mean: The mean over data sets of the mean differences, so that every data set counts the same.
        data_sets: Wilcoxon's test over the data sets' mean differences: about further data sets of this kind.
        seeds: The test of `mean` with the error that the seeds leave: about these data sets only.
        inside: The differences over seeds within each data set, in the order given.
    """

    mean: float
    data_sets: Test
    seeds: Test
    inside: tuple[Summary, ...]


def over_data_sets(differences: Sequence[npt.ArrayLike], confidence: float = 0.95) -> OverDataSets:
    """Compares two variants on several data sets by two tests, which ask two questions.

    Wilcoxon's signed-rank test takes each data set's mean difference as one value, so that n is the number of data sets; it
    assumes data sets that are independent of each other, and differences of comparable size. The test over seeds takes the
    data sets as given: the error of the mean over D data sets is sqrt(sum of s_i^2 / n_i) / D, with Satterthwaite's degrees
    of freedom. It applies to two data sets already, and says nothing about a third.

    Args:
        differences: For each of D data sets, at least two, one difference of scores per seed; their numbers may differ. (D,
            S) where they do not.
        confidence: The share of samples whose interval contains the true mean, between 0 and 1.

    Returns:
        Both tests. That over data sets has no p below 6 data sets, because signs alone cannot give p < .05 there. That over
        seeds has none if a data set has one seed, or if no data set has any spread.

    Raises:
        ValueError: If there are fewer than two data sets, one has no difference, a difference is not finite, or the
            confidence is not between 0 and 1.

    Source: Demsar 2006, Statistical comparisons of classifiers over multiple data sets, Journal of Machine Learning
    Research 7, 1-30 (section 3.1.3); Satterthwaite 1946, An approximate distribution of estimates of variance components,
    Biometrics Bulletin 2(6), 110-114.
    """
    share(confidence, "confidence")
    inside = tuple(summary(sample(d, "differences of a data set")) for d in differences)
    if len(inside) < 2:
        raise ValueError(f"differences must be those of at least two data sets, got {len(inside)}")
    means = np.array([one.mean for one in inside])
    over = wilcoxon(means)
    over = replace(over, why=over.why.replace("seeds", "data sets"))  # its units are data sets here
    return OverDataSets(float(means.mean()), over, _over_seeds(inside, confidence), inside)


def _over_seeds(inside: Sequence[Summary], confidence: float) -> Test:
    """The mean over data sets against 0, with the error that the seeds leave."""
    mean = float(np.mean([one.mean for one in inside]))
    n = sum(one.n for one in inside)
    if any(one.sd is None for one in inside):
        return Test(mean, None, None, None, n, "a data set has one seed")
    # Spreads of rounding errors only, as in .75 - .74 and .76 - .75, count as none.
    rounding = 1e-9 * max(abs(one.mean) for one in inside)
    squares = [(one.sd or 0.0) ** 2 / one.n if (one.sd or 0.0) > rounding else 0.0 for one in inside]
    total = sum(squares)
    if total == 0:
        return Test(mean, None, None, None, n, "all differences of each data set equal")
    df = total**2 / sum(square**2 / (one.n - 1) for square, one in zip(squares, inside, strict=True))
    return student(mean, total**0.5 / len(inside), df, n, confidence)


@dataclass(frozen=True)
class Omnibus:
    """A test of whether any of several variants differs from the others.

    Attributes:
        statistic: The test's statistic.
        df: Its degrees of freedom: one value for chi-square, two for F.
        p: Its p.
    """

    statistic: float
    df: tuple[int, ...]
    p: float


@dataclass(frozen=True)
class Pair:
    """Two of several variants, compared over data sets.

    Attributes:
        first: The position of the variant with the better (smaller) mean rank.
        second: The position of the other.
        test: Wilcoxon's test of first - second over data sets.
        holm: Its p after Holm's correction over all pairs; None without a p.
    """

    first: int
    second: int
    test: Test
    holm: float | None


@dataclass(frozen=True)
class Ranking:
    """Several variants on several data sets.

    Attributes:
        ranks: The mean rank of each variant over data sets, (K,); 1 is the best.
        friedman: Friedman's chi-square, corrected for ties; None if all ranks of every data set are tied.
        iman_davenport: Iman and Davenport's F, which has more power; None likewise.
        pairs: All pairs, from the best variant's on.
        groups: The largest groups of variants of which no two differ significantly, each in the order of the mean ranks;
            groups of one are left out. Two variants differ if and only if no group has both.
        alpha: The level of `groups`.
        n: The number of data sets.
    """

    ranks: tuple[float, ...]
    friedman: Omnibus | None
    iman_davenport: Omnibus | None
    pairs: tuple[Pair, ...]
    groups: tuple[tuple[int, ...], ...]
    alpha: float
    n: int


def ranking(scores: npt.ArrayLike, lower_is_better: bool = False, alpha: float = 0.05) -> Ranking:
    """Ranks K variants on D data sets by Friedman's test and by pairwise Wilcoxon tests with Holm's correction.

    In each data set the best variant has rank 1, and ties share their mean rank. Friedman's chi-square with K - 1 degrees
    of freedom is (K - 1) times the spread of the rank sums over the spread of all ranks, which corrects for ties; Iman and
    Davenport's F = (D - 1) chi2 / (D (K - 1) - chi2) has K - 1 and (K - 1)(D - 1). If all data sets rank alike, F is
    infinite, and p is (1 / K!)^(D - 1). The pairwise tests are valid with or without a significant Friedman test.

    There is no critical difference of mean ranks (Nemenyi's test): whether it calls two variants different depends on which
    others are in the table, so that a worse third can make or unmake a difference (Benavoli, Corani and Mangili 2016).
    Pairwise tests look at the two variants alone.

    Args:
        scores: One score per data set and variant, (D, K), D and K at least 2; usually a mean over seeds. Finite.
        lower_is_better: Whether small scores are good, as of an error.
        alpha: The level at which two variants count as different, after Holm's correction.

    Raises:
        ValueError: If the scores are no such matrix, one is not finite, or alpha is not between 0 and 1.

    Source: Friedman 1937, The use of ranks to avoid the assumption of normality implicit in the analysis of variance,
    Journal of the American Statistical Association 32, 675-701; Iman and Davenport 1980, Approximations of the critical
    region of the Friedman statistic, Communications in Statistics A 9(6), 571-595; Conover 1999, Practical nonparametric
    statistics, 3rd edition, section 5.8 (ties, infinite F); Demsar 2006, Statistical comparisons of classifiers over
    multiple data sets, Journal of Machine Learning Research 7, 1-30; Garcia and Herrera 2008, An extension on "Statistical
    comparisons of classifiers over multiple data sets" for all pairwise comparisons, same journal 9, 2677-2694; Benavoli,
    Corani and Mangili 2016, Should we really use post-hoc tests based on mean-ranks?, same journal 17(5), 1-10.
    """
    table = matrix(scores, "scores", "data sets, variants", least=(2, 2))
    share(alpha, "alpha")
    better = -table if lower_is_better else table
    per_data_set = ranks_of(better)
    ranks = per_data_set.mean(0)
    friedman, iman_davenport = _omnibus(per_data_set)
    order = np.argsort(ranks, kind="stable").tolist()
    couples = list(itertools.combinations(order, 2))
    tests = [wilcoxon(better[:, a] - better[:, b]) for a, b in couples]
    tests = [replace(test, why=test.why.replace("seeds", "data sets")) for test in tests]
    adjusted = holm([np.nan if test.p is None else test.p for test in tests]).tolist()
    pairs = [
        Pair(a, b, test, None if test.p is None else p)
        for (a, b), test, p in zip(couples, tests, adjusted, strict=True)
    ]
    joined = {(pair.first, pair.second) for pair in pairs if pair.holm is None or pair.holm >= alpha}
    groups = not_different(order, joined)
    return Ranking(tuple(ranks.tolist()), friedman, iman_davenport, tuple(pairs), groups, alpha, len(table))


def ranks_of(scores: Array) -> Array:
    """The rank of each score in its row, 1 for the largest; ties share their mean rank.

    Scores that differ only by rounding, as means of the same values in another order do, are tied.

    Args:
        scores: (R, K), finite.
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    values = np.take_along_axis(scores, order, axis=1)
    rounding = 1e-12 * np.abs(scores).max(axis=1, keepdims=True)
    places = np.arange(1.0, scores.shape[1] + 1)
    is_new = np.ones(scores.shape, dtype=bool)
    is_new[:, 1:] = values[:, :-1] - values[:, 1:] > rounding
    first = np.maximum.accumulate(np.where(is_new, places, 0), axis=1)
    ends = np.ones(scores.shape, dtype=bool)
    ends[:, :-1] = is_new[:, 1:]
    last = np.minimum.accumulate(np.where(ends, places, np.inf)[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty(scores.shape)
    np.put_along_axis(ranks, order, (first + last) / 2, axis=1)
    return ranks


def _omnibus(ranks: Array) -> tuple[Omnibus | None, Omnibus | None]:
    """Friedman's and Iman and Davenport's tests of the ranks of each data set, (D, K)."""
    from math import factorial

    from scipy.special import chdtrc, fdtrc

    data_sets, variants = ranks.shape
    centred = ranks - (variants + 1) / 2
    spread = float((centred**2).sum())
    if spread == 0:
        return None, None
    chi2 = (variants - 1) * float((centred.sum(0) ** 2).sum()) / spread
    df = (variants - 1, (variants - 1) * (data_sets - 1))
    rest = data_sets * (variants - 1) - chi2
    friedman = Omnibus(chi2, df[:1], float(chdtrc(df[0], chi2)))
    if rest < 1e-9 * chi2:
        return friedman, Omnibus(float("inf"), df, float(factorial(variants)) ** (1 - data_sets))
    f = (data_sets - 1) * chi2 / rest
    return friedman, Omnibus(f, df, float(fdtrc(*df, f)))


def not_different(order: Sequence[int], joined: set[tuple[int, int]]) -> tuple[tuple[int, ...], ...]:
    """The largest groups of variants of which every two are joined; groups of one are left out.

    Args:
        order: The variants, in the order in which a group lists them.
        joined: The pairs that do not differ.

    Source: Bron and Kerbosch 1973, Algorithm 457: finding all cliques of an undirected graph, Communications of the ACM
    16(9), 575-577 (with a pivot).
    """
    neighbours = {v: {w for w in order if (v, w) in joined or (w, v) in joined} for v in order}
    groups: list[set[int]] = []

    def extend(group: set[int], candidates: set[int], excluded: set[int]) -> None:
        if not candidates and not excluded:
            groups.append(group)
            return
        pivot = max(candidates | excluded, key=lambda v: len(neighbours[v] & candidates))
        for v in sorted(candidates - neighbours[pivot]):
            extend(group | {v}, candidates & neighbours[v], excluded & neighbours[v])
            candidates = candidates - {v}
            excluded = excluded | {v}

    extend(set(), set(order), set())
    place = {v: n for n, v in enumerate(order)}
    listed = [tuple(sorted(group, key=place.__getitem__)) for group in groups if len(group) > 1]
    return tuple(sorted(listed, key=lambda group: [place[v] for v in group]))


def matrix(x: npt.ArrayLike, name: str, axes: str, least: tuple[int, int] = (1, 1)) -> Array:
    """Returns the values as float64 after checking that they are a matrix of finite values.

    Args:
        x: The values, (R, C).
        name: The argument's name for the error message.
        axes: What its two axes are, for the message.
        least: The smallest R and C.

    Raises:
        ValueError: If it is no such matrix.
    """
    values = np.asarray(x, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] < least[0] or values.shape[1] < least[1]:
        raise ValueError(f"{name} must have the shape ({axes}), at least {least[0]} x {least[1]}, got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got {values!r}")
    return values
