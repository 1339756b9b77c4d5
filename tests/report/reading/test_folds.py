"""The folds of a cross-validation in files of scores: what pairs with what, and which test answers."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as scipy_stats

from hybridnets.report.reading.scores.folds import NUMBER
from hybridnets.report.reading.scores.mapping import Reading
from hybridnets.report.reading.scores.reader import read_scores
from tests.report.reading.score_files import parts, read_rows, sentences, write_scores

K, TIMES = 5, 3
CELLS = [(variant, r, f) for variant in "ab" for r in range(TIMES) for f in range(K)]
SCORE = {
    (variant, r, f): round(level + 0.01 * np.sin(7 * r + 3 * f + level), 4)
    for variant, level in (("a", 0.8), ("b", 0.82))
    for r in range(TIMES)
    for f in range(K)
}
FOLD = "the column fold as the folds of a 5-fold cross-validation"


def corrected(repetitions: Iterable[int]) -> tuple[float, float, float]:
    """Mean, t and p of the differences of all folds: Bouckaert and Frank 2004, equation 8, with 1 / (k - 1) for n2 / n1."""
    d = np.array([SCORE["b", r, f] - SCORE["a", r, f] for r in repetitions for f in range(K)])
    t = d.mean() / np.sqrt((1 / len(d) + 1 / (K - 1)) * d.var(ddof=1))
    return d.mean(), t, 2 * scipy_stats.t.sf(abs(t), len(d) - 1)


def lines(repetitions: Iterable[int], *columns: str) -> list[str]:
    """Rows of cells in which {v}, {r}, {f} and {n} are variant, repetition, fold, and the fold's number among all."""
    return [
        ",".join(text.format(v=v, r=r, f=f, n=K * r + f) for text in columns) + f",{SCORE[v, r, f]}"
        for v, r, f in CELLS
        if r in repetitions
    ]


ONE, ALL = range(1), range(TIMES)
NUMBERED = [f"{text[0]},{n},{text[2:]}" for n, text in enumerate(lines(ONE, "{v}", "{f}"))]
FILES = {
    "fold": ("variant,fold,score", lines(ONE, "{v}", "{f}"), ONE),
    "fold from 1 by name": ("variant,Fold ID,score", lines(ONE, "{v}", "fold_{f}"), ONE),
    "one seed": ("variant,seed,fold,score", lines(ONE, "{v}", "42", "{f}"), ONE),
    "seeds that number rows": ("variant,seed,fold,score", NUMBERED, ONE),
    "repeat": ("variant,repeat,fold,score", lines(ALL, "{v}", "{r}", "{f}"), ALL),
    "repetition and a seed": ("variant,repetition,fold,seed,score", lines(ALL, "{v}", "{r}", "{f}", "0"), ALL),
    "seed": ("variant,seed,fold,score", lines(ALL, "{v}", "{r}", "{f}"), ALL),
    "seeds that number folds": ("variant,seed,fold,score", lines(ALL, "{v}", "{n}", "{f}"), ALL),
    "other splits": ("variant,split,fold,score", lines(ALL, "{v}", "division {r}", "{f}"), ALL),
    "sizes that differ": ("variant,fold,n_train,n_val,score", lines(ONE, "{v}", "{f}", "80{f}", "20{f}"), ONE),
    "a part": ("variant,split,fold,score", lines(ONE, "{v}", "test", "{f}"), ONE),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_fold_is_what_pairs_and_the_corrected_test_answers(name: str, tmp_path: Path) -> None:
    header, file, repetitions = FILES[name]
    runs = read_rows(tmp_path, *file, header=header)
    (part,) = parts(runs)
    analysis = part.answers[0].analysis
    mean, t, p = corrected(repetitions)
    assert analysis.test.n == len(repetitions) * K
    assert (analysis.test.estimate, analysis.test.statistic) == pytest.approx((mean, t))
    assert analysis.test.p == pytest.approx(p)
    assert analysis.test_name == "the corrected resampled t over folds (Bouckaert and Frank 2004)"
    assert (analysis.evidence.folds, analysis.evidence.repetitions) == (K, len(repetitions))
    assert FOLD in " ".join(runs.head)
    assert ("repeated 3 times" in " ".join(runs.head)) == (len(repetitions) > 1)
    counted = "5 folds" if len(repetitions) == 1 else "15 folds in 3 repetitions"
    assert f"the mean of {counted})" in sentences(part)
    assert "assumes that any two differences correlate by 1 / k (here k = 5)" in sentences(part)


@pytest.mark.parametrize(
    ("header", "file"),
    [
        ("fold,a,b", [f"{f},{SCORE['a', 0, f]},{SCORE['b', 0, f]}" for f in range(K)]),
        (",fold,a,b", [f"{f},{f + 1},{SCORE['a', 0, f]},{SCORE['b', 0, f]}" for f in range(K)]),
        ("variant,fold0,fold1,fold2,fold3,fold4", [",".join([v, *(str(SCORE[v, 0, f]) for f in range(K))]) for v in "ab"]),
        (",Fold 1,Fold 2,Fold 3,Fold 4,Fold 5", [",".join([v, *(str(SCORE[v, 0, f]) for f in range(K))]) for v in "ab"]),
    ],
)  # fmt: skip
def test_a_wide_table_may_have_folds(header: str, file: list[str], tmp_path: Path) -> None:
    runs = read_rows(tmp_path, *file, header=header)
    (part,) = parts(runs)
    assert part.answers[0].analysis.test.p == pytest.approx(corrected(ONE)[2])
    assert FOLD in " ".join(runs.head)


def test_seeds_of_the_same_folds_are_averaged(tmp_path: Path) -> None:
    d = np.array([np.mean([SCORE["b", r, f] - SCORE["a", r, f] for r in ALL]) for f in range(K)])
    t = d.mean() / np.sqrt((1 / K + 1 / (K - 1)) * d.var(ddof=1))
    by_name = read_rows(
        tmp_path, *lines(ALL, "{v}", "{r}", "fold{f}"), header="variant,seed,split,score"
    )  # splits of the same name are the same
    path = write_scores(tmp_path, *lines(ALL, "{v}", "{r}", "{f}"), header="variant,seed,fold,score")
    mapped = read_scores(path, Reading.of(["split=fold"]))
    nested = read_rows(
        tmp_path,
        *lines(ALL, "{v}", "{f}", "0", "{r}"),
        *(text.replace(",0,", ",1,", 1) for text in lines(ALL, "{v}", "{f}", "0", "{r}")),
        header="variant,fold,seed,repetition,score",
    )
    (part,) = parts(by_name)
    assert part.answers[0].analysis.test.statistic == pytest.approx(t)
    assert "the mean of 15 seeds in 5 folds)" in sentences(part)
    (part,) = parts(mapped)
    assert len(part.answers[0].analysis.evidence.d) == K  # no folds by their names, but splits
    assert nested.missing == ()


def test_named_splits_with_the_same_seeds_are_averaged(tmp_path: Path) -> None:
    header, file = "variant,seed,split,n_train,n_val,score", lines(ALL, "{v}", "{r}", "s{f}", "700", "300")
    (part,) = parts(read_rows(tmp_path, *file, header=header))
    d = np.array([np.mean([SCORE["b", r, f] - SCORE["a", r, f] for r in ALL]) for f in range(K)])
    t = d.mean() / np.sqrt((1 / K + 3 / 7) * d.var(ddof=1))
    assert part.answers[0].analysis.test.statistic == pytest.approx(t)
    assert "the mean of 15 seeds in 5 splits)" in sentences(part)


def test_a_fold_that_is_no_number_is_left_out_by_name(tmp_path: Path) -> None:
    runs = read_rows(tmp_path, *lines(ONE, "{v}", "{f}"), "a,mean,.8", "b,,.82", header="variant,fold,score")
    assert "2 of 12 rows are left out" in runs.head[0]
    assert any("fold must be a whole number, got mean" in problem for problem in runs.problems)


@pytest.mark.parametrize(
    ("text", "number"),
    [("3", "3"), ("3.0", "3"), ("fold3", "3"), ("CV fold: 12", "12"), ("fold #7", "7"), ("3a", None)],
)
def test_a_fold_is_read_from_its_name(text: str, number: str | None) -> None:
    match = NUMBER.fullmatch(text)
    assert (match[1] if match else None) == number


def test_a_long_name_is_no_fold_and_takes_no_time() -> None:
    """A pattern that tries every division of a word would take years on this one."""
    assert NUMBER.fullmatch("leaveonesubjectout" * 10) is None


def test_a_fold_without_a_pair_is_named(tmp_path: Path) -> None:
    file = [text for text in lines(ALL, "{v}", "{r}", "{f}") if not text.startswith("b,1,3,")]
    runs = read_rows(tmp_path, *file, header="variant,repetition,fold,score")
    (part,) = parts(runs)
    assert "1 of 30 pairs of variant and fold has no row" in runs.head[0]
    assert "14 folds of 15; repetition 1, fold 3 without a pair" in sentences(part)
    assert "(1 of 15 folds has no pair of scores)" in sentences(part)


def test_each_data_set_has_its_own_number_of_folds(tmp_path: Path) -> None:
    file = [f"x,{text}" for text in lines(ONE, "{v}", "{f}")]
    file += [f"y,{text}" for text in lines(ONE, "{v}", "{f}") if text[2] != "4"]
    runs = read_rows(tmp_path, *file, header="dataset,variant,fold,score")
    assert "of a 4 to 5-fold cross-validation" in " ".join(runs.head)
    assert [part.answers[0].analysis.test.ratio for part in parts(runs)] == [1 / 4, 1 / 3]


def test_a_single_fold_is_no_cross_validation(tmp_path: Path) -> None:
    runs = read_rows(tmp_path, "a,0,0,.7", "b,0,0,.8", "a,1,0,.71", "b,1,0,.82", header="variant,seed,fold,score")
    assert all(run.fold is None for run in runs.runs)
    assert FOLD not in " ".join(runs.head)


def test_columns_of_other_names_may_be_folds(tmp_path: Path) -> None:
    path = write_scores(tmp_path, *lines(ALL, "{v}", "{r}", "{f}"), header="variant,block,part_no,score")
    (part,) = parts(read_scores(path, Reading.of(["fold=part_no", "repetition=block"])))
    assert part.answers[0].analysis.test.p == pytest.approx(corrected(ALL)[2])
    path = write_scores(tmp_path, *lines(ONE, "{v}", "{f}"), header="model,data.fold,test_acc")
    runs = read_scores(path)
    assert "--map variant=model score=test_acc fold=data.fold;" in runs.head[0]
    (part,) = parts(runs)
    assert part.answers[0].analysis.test.p == pytest.approx(corrected(ONE)[2])
