"""How files of scores are answered: several data sets, seeds without a pair, equal differences, few seeds, splits and folds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats

from hybridnets.report.comparing.answers import Verdict
from hybridnets.report.comparing.evidence import FOLDS, NEW, POOL
from hybridnets.report.reading.score_kind import ScoreOptions
from tests.report.reading.score_files import FEW, LOSSES, TOLERANCE, differences, paired, parts, read, rows, sentences

SEVERAL = {
    "d0": {"a": (0.6013, 0.6064, 0.5946, 0.613, 0.593), "b": (0.6087, 0.611, 0.6136, 0.6195, 0.5973)},
    "d1": {"a": (0.6438, 0.6267, 0.6375, 0.6446, 0.6541), "b": (0.6604, 0.6578, 0.6527, 0.6568, 0.6704)},
    "d2": {"a": (0.6987, 0.6933, 0.709, 0.6926, 0.6954), "b": (0.7237, 0.7135, 0.7109, 0.7008, 0.7122)},
    "d3": {"a": (0.7399, 0.7484, 0.7521, 0.7435, 0.7578), "b": (0.7579, 0.7654, 0.7636, 0.7587, 0.7749)},
    "d4": {"a": (0.7874, 0.8135, 0.8026, 0.8146, 0.818), "b": (0.8251, 0.8178, 0.8069, 0.8296, 0.8232)},
    "d5": {"a": (0.8536, 0.85, 0.8371, 0.8543, 0.8382), "b": (0.8479, 0.8666, 0.864, 0.867, 0.8534)},
}
NESTED = {  # three seeds in each of three splits
    "a": (0.7134, 0.7216, 0.7062, 0.7126, 0.7197, 0.7197, 0.7062, 0.7265, 0.7155),
    "b": (0.7305, 0.7262, 0.7333, 0.7308, 0.711, 0.7304, 0.7192, 0.7178, 0.7382),
}
FOLDED = {"a": (0.8021, 0.802, 0.8054, 0.7968, 0.8022), "b": (0.8149, 0.8022, 0.8127, 0.8135, 0.8118)}
SPLIT = {
    "a": (0.7294, 0.7164, 0.7281, 0.7197, 0.7279, 0.7064, 0.7052, 0.7208, 0.7198, 0.7249),
    "b": (0.7314, 0.7287, 0.7362, 0.7313, 0.733, 0.7375, 0.7249, 0.725, 0.7366, 0.7384),
}


def corrected(d: np.ndarray[Any, Any], ratio: float) -> tuple[float, tuple[float, float]]:
    """The p and the 95 % interval of Nadeau and Bengio's corrected resampled t, from its formula."""
    error = np.sqrt((1 / len(d) + ratio) * d.var(ddof=1))
    half = scipy_stats.t.ppf(0.975, len(d) - 1) * error
    p = 2 * scipy_stats.t.sf(abs(d.mean()) / error, len(d) - 1)
    return float(p), (float(d.mean() - half), float(d.mean() + half))


def test_several_data_sets_in_a_file_are_parts(tmp_path: Path) -> None:
    lines = [line for name, scores in SEVERAL.items() for line in rows(scores, name)]
    runs = read(tmp_path, lines, "variant,seed,score,dataset")
    assert (len(runs.runs), runs.partial, runs.problems) == (60, "", ())
    of = parts(runs)
    assert [part.data_set.name for part in of] == list(SEVERAL)
    for part, scores in zip(of, SEVERAL.values(), strict=True):
        expected = scipy_stats.ttest_1samp(paired(scores), 0)
        analysis = part.answers[0].analysis
        assert len(analysis.comparison.pairs) == 5
        assert analysis.test.interval == pytest.approx(expected.confidence_interval(), rel=TOLERANCE)
        assert analysis.test.p == pytest.approx(expected.pvalue, rel=TOLERANCE)
        settled = expected.pvalue < 0.05
        assert analysis.verdict is (Verdict.BETTER if settled else Verdict.OPEN)
        assert ("So b is better than a on this data." in sentences(part)) == settled
    assert [part.answers[0].analysis.verdict is Verdict.BETTER for part in of] == [True, True, True, True, False, False]


def test_several_columns_of_data_sets_are_taken_together(tmp_path: Path) -> None:
    pairs = (("x", "u"), ("x", "v"), ("y", "u"))
    lines = [line for n, pair in enumerate(pairs) for line in rows(list(SEVERAL.values())[n], *pair)]
    runs = read(tmp_path, lines, "variant,seed,score,dataset,task")
    assert (len(runs.runs), runs.partial) == (30, "")
    assert [part.data_set.name for part in parts(runs)] == ["x, u", "x, v", "y, u"]


def test_seeds_without_a_pair_are_named_and_means_that_count_them_are_marked(tmp_path: Path) -> None:
    a = (0.7013, 0.6987, 0.7064, 0.701, 0.6946, 0.7036, 0.713, 0.7095, 0.693, 0.6873)
    b = (0.7138, 0.7204, 0.6967, 0.7178, 0.7075, 0.7127, 0.7146)  # of the seeds 5 to 11
    lines = [*rows({"a": a}), *(f"b,{seed},{value}" for seed, value in enumerate(b, start=5))]
    runs = read(tmp_path, lines)
    assert runs.head[0] == "7 of 24 pairs of variant and seed have no row, so no comparison that needs them is decided."
    (part,) = parts(runs)
    assert "(score, the mean of 5 seeds of 12; seeds 0, 1, 2, 3, 4, 10 and 1 more without a pair)" in sentences(part)
    assert "asked for" not in sentences(part)
    assert "That does not say which is better (7 of 12 seeds have no pair of scores)" in sentences(part)
    expected = scipy_stats.ttest_1samp(np.subtract(b[:5], a[5:]), 0)
    analysis = part.answers[0].analysis
    assert analysis.test.interval == pytest.approx(expected.confidence_interval(), rel=TOLERANCE)
    assert analysis.levels == pytest.approx((np.mean(b[:5]), np.mean(a[5:])), rel=TOLERANCE)
    table = part.variants_table
    assert [line[2].text for line in table.rows] == ["70.08 ± 0.78 †", "71.19 ± 0.78 †"]
    assert any("† This mean also counts seeds that another variant lacks" in sentence for sentence in table.caption)


def test_a_failed_seed_is_no_seed_without_a_pair(tmp_path: Path) -> None:
    (part,) = parts(read(tmp_path, ["a,0,.7", "a,1,.72", "a,2,.71", "b,0,.73", "b,1,.74", "b,2,inf"]))
    assert "(score, the mean of 2 seeds of 3)" in sentences(part)
    assert "That does not say which is better (1 failed): the remaining runs are the lucky ones." in sentences(part)


@pytest.mark.parametrize(
    ("step", "n", "verdict", "sentence"),
    [
        (
            0.02,
            10,
            Verdict.CONSTANT_BETTER,
            "So b is better than a on this data: by the same difference in every seed, which leaves no spread to test "
            "(sign-flip test: p = 0.002).",
        ),
        (
            0.02,
            6,
            Verdict.CONSTANT_BETTER,
            "So b is better than a on this data: by the same difference in every seed, which leaves no spread to test "
            "(sign-flip test: p = 0.031).",
        ),
        (
            0.02,
            5,
            Verdict.CONSTANT,
            "That does not say which is better: the difference is the same in all 5 seeds, which leaves no spread to test, "
            "and a test of signs needs 6 seeds at least.",
        ),
        (
            0.0,
            10,
            Verdict.IDENTICAL,
            "So the two are identical by this metric: the same value in each of 10 seeds.",
        ),
    ],
)
def test_equal_differences_have_an_answer_of_their_own(
    step: float, n: int, verdict: Verdict, sentence: str, tmp_path: Path
) -> None:
    a = [0.70 + seed / 100 for seed in range(n)]
    scores = {"a": a, "b": [value + step for value in a]}
    for kind, lines in (("higher", rows(scores)), ("lower", rows({"a": scores["b"], "b": scores["a"]}))):
        (part,) = parts(read(tmp_path, lines, options=ScoreOptions(lower_is_better=kind == "lower")))
        assert part.answers[0].analysis.verdict is verdict
        assert part.answers[0].sentences[1:] == (sentence,)
    assert 2 / 2**n == pytest.approx(part.answers[0].analysis.evidence.sign_flip.p or 2 / 2**n)


def test_two_seeds_never_give_a_verdict(tmp_path: Path) -> None:
    scores = {"a": (0.7, 0.71), "b": (0.72, 0.7301)}
    (part,) = parts(read(tmp_path, rows(scores)))
    analysis = part.answers[0].analysis
    expected = scipy_stats.ttest_1samp(paired(scores), 0)
    assert analysis.test.interval == pytest.approx(expected.confidence_interval(), rel=1e-6)
    assert analysis.test.p == pytest.approx(expected.pvalue, rel=1e-6)
    assert expected.pvalue < 0.05
    assert analysis.verdict is Verdict.TOO_FEW
    assert part.answers[0].sentences[1:] == (
        "So two seeds do not say which is better: the spread of two differences is known to within a factor of 30, so a claim "
        "needs 3 at least.",
    )
    rates = {"a": (0.72, 0.7301), "b": (0.7, 0.71)}
    (part,) = parts(read(tmp_path, rows(rates), name="error.csv"))
    assert part.answers[0].analysis.verdict is Verdict.TOO_FEW


def of_splits(seeds: int) -> list[str]:
    """The lines of NESTED with the splits of the seeds, several seeds in each."""
    return [f"{line},s{n % 9 // seeds},700,300" for n, line in enumerate(rows(NESTED))]


def test_seeds_of_a_split_are_averaged_before_the_test(tmp_path: Path) -> None:
    header = "variant,seed,score,split,n_train,n_val"
    means = paired(NESTED).reshape(3, 3).mean(axis=1)
    (part,) = parts(read(tmp_path, of_splits(3), header))
    analysis = part.answers[0].analysis
    assert (len(analysis.comparison.pairs), analysis.test.n) == (9, 3)
    assert analysis.evidence.d == pytest.approx(means, rel=TOLERANCE)
    p, interval = corrected(means, 300 / 700)
    assert analysis.test.interval == pytest.approx(interval, rel=TOLERANCE)
    assert analysis.test.p == pytest.approx(p, rel=TOLERANCE)
    assert (analysis.verdict, analysis.question) == (Verdict.OPEN, NEW)
    assert (
        "(score, the mean of 9 seeds in 3 splits): a difference of +1.07 points, 95 % interval -0.80 to +2.94"
        in sentences(part)
    )
    assert FEW.format("splits") in sentences(part)
    (part,) = parts(read(tmp_path, of_splits(3), header), test="paired")
    analysis = part.answers[0].analysis
    expected = scipy_stats.ttest_1samp(means, 0)
    assert analysis.test.interval == pytest.approx(expected.confidence_interval(), rel=TOLERANCE)
    assert analysis.test.p == pytest.approx(expected.pvalue, rel=TOLERANCE)
    assert analysis.question == POOL


def test_a_row_of_differences_counts_what_it_tests(tmp_path: Path) -> None:
    (part,) = parts(read(tmp_path, of_splits(3), "variant,seed,score,split,n_train,n_val"))
    line = differences(part)
    assert sum(map(int, line["won"].split(" : "))) == int(line["n"].split()[0])


def test_folds_are_answered_by_the_corrected_test(tmp_path: Path) -> None:
    header = "variant,seed,score,split,n_train,n_val"
    lines = rows(FOLDED, "fold{}", "800", "200")
    (part,) = parts(read(tmp_path, lines, header))
    analysis = part.answers[0].analysis
    p, interval = corrected(paired(FOLDED), 1 / (5 - 1))
    assert analysis.test.interval == pytest.approx(interval, rel=TOLERANCE)
    assert analysis.test.p == pytest.approx(p, rel=TOLERANCE)
    assert (analysis.verdict, analysis.question) == (Verdict.OPEN, NEW)
    assert "(score, the mean of 5 folds): a difference of +0.93 points, 95 % interval -0.22 to +2.09" in sentences(part)
    assert FEW.format("folds") in sentences(part)
    assert "The folds share most of their training images; the test corrects for that by a rule of thumb" in sentences(
        part
    )
    assert differences(part)["95 % interval"] == "-0.22 to +2.09"
    assert differences(part)["p"] == "0.089"
    (part,) = parts(read(tmp_path, lines, header), test="paired")
    assert (part.answers[0].analysis.verdict, part.answers[0].analysis.question) == (Verdict.BETTER, FOLDS)
    assert part.answers[0].headline == "b is better than a on this data set."


def test_headline_and_table_are_answered_by_one_test(tmp_path: Path) -> None:
    header = "variant,seed,score,split,n_train,n_val"
    lines = rows(SPLIT, "s{}", "700", "300")
    d = paired(SPLIT)
    by_correction, plain = corrected(d, 300 / 700), scipy_stats.ttest_1samp(d, 0)
    for test, p, interval, printed in (
        (None, *by_correction, ("-0.18 to +2.66", "0.079")),
        ("corrected", *by_correction, ("-0.18 to +2.66", "0.079")),
        ("paired", float(plain.pvalue), tuple(plain.confidence_interval()), ("+0.63 to +1.86", "0.001")),
    ):
        (part,) = parts(read(tmp_path, lines, header), test=test)
        analysis = part.answers[0].analysis
        assert analysis.test.interval == pytest.approx(interval, rel=TOLERANCE)
        assert analysis.test.p == pytest.approx(p, rel=TOLERANCE)
        assert f"95 % interval {printed[0]}" in sentences(part)
        assert (differences(part)["95 % interval"], differences(part)["p"]) == printed
        assert analysis.question == (POOL if test == "paired" else NEW)
        expected = (
            "So b is better than a on this data set."
            if test == "paired"
            else "So these runs do not settle which is better: the interval contains 0."
        )
        assert part.answers[0].sentences[1:] == (expected,)  # ten seeds need no reservation


def test_the_corrected_test_says_what_it_lacks(tmp_path: Path) -> None:
    (part,) = parts(read(tmp_path, rows(LOSSES), name="loss.csv"), test="corrected")
    assert part.answers[0].analysis.verdict is Verdict.NO_TEST
    assert "That does not say which is better (the splits are not known)." in sentences(part)
