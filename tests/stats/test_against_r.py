"""Our values against those of R, from one run of against.R; skipped where R is not installed (Debian: r-base-core)."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hybridnets import stats

Values = dict[str, list[float]]

SLEEP = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]

pytestmark = pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed")


@pytest.fixture(scope="module")
def r() -> Values:
    script = Path(__file__).with_name("against.R")
    answer = subprocess.run(["Rscript", "--vanilla", str(script)], capture_output=True, text=True, check=True)
    lines = [line.split() for line in answer.stdout.splitlines()]
    return {name: [float(value) for value in values] for name, *values in lines}


def numbers(test: stats.Test) -> list[float | None]:
    return [test.statistic, test.p, *(test.interval or ())]


def test_the_paired_t_and_its_correction(r: Values) -> None:
    assert numbers(stats.paired_t(SLEEP)) == pytest.approx(r["paired_t"])
    assert numbers(stats.paired_t(SLEEP, stats.kfold_ratio(5))) == pytest.approx(r["five_folds"])


def test_tost(r: Values) -> None:
    assert numbers(stats.tost(SLEEP, 2)) == pytest.approx(r["tost"])


def test_wilcoxon_without_ties(r: Values) -> None:
    fifty = np.cos(np.arange(1, 51) ** 2) + 0.3
    for name, d in (("darwin", np.array(DARWIN)), ("fifty", fifty)):
        result = stats.wilcoxon(d)
        assert [result.estimate, result.p, *(result.interval or ())] == pytest.approx(r[f"wilcoxon_{name}"])


def test_wilcoxon_with_ties_and_zeros(r: Values) -> None:
    result = stats.wilcoxon([2, 2, -1, 3, 0, 5, -2, 4, 1, 3])
    assert [result.statistic, result.p] == pytest.approx(r["wilcoxon_tied"])
    many = np.round(np.sin(np.arange(1, 121)) + 0.2, 1)
    assert stats.wilcoxon(many).p == pytest.approx(r["wilcoxon_many"][0])


def test_corrections_of_families(r: Values) -> None:
    p = [0.016, 0.019, 0.607, 0.0004, 0.03, 0.03, 0.9]
    assert stats.holm(p).tolist() == pytest.approx(r["holm"])
    assert stats.benjamini_hochberg(p).tolist() == pytest.approx(r["benjamini_hochberg"])


def test_power(r: Values) -> None:
    for n in (3, 10):
        assert stats.power(1, 1.2, n) == pytest.approx(r[f"power_{n}"][0], rel=1e-6)
    assert stats.seeds_needed(1, 1.2) == r["seeds_needed"][0]


def test_effects_with_seeds_as_blocks(r: Values) -> None:
    contrasts = stats.effects(np.reshape(r["scores"], (5, 2, 2)), "ab")
    assert len(contrasts) == 3
    for key, contrast in contrasts.items():
        test = stats.paired_t(contrast)
        assert test.statistic is not None
        assert [test.statistic**2, test.p] == pytest.approx(r["effect_" + ":".join(("seed", *key))], rel=1e-6)


def test_seeds_and_images_as_crossed_random_effects(r: Values) -> None:
    d = np.reshape(r["outcomes"], (4, 30))
    table = stats.components(d)
    assert [table.seed, table.image, table.rest] == pytest.approx(r["mean_squares"])
    assert stats.crossed(d).interval == pytest.approx(r["crossed"])


def test_one_pair_of_networks_and_how_often_one_wins(r: Values) -> None:
    assert stats.mcnemar(3, 14).exact == pytest.approx(r["mcnemar"][0])
    assert stats.probability_of_improvement([0.1] * 7 + [-0.1] * 2).interval == pytest.approx(r["improvement"])


def test_friedman(r: Values) -> None:
    ranking = stats.ranking(np.reshape(r["data_sets"], (7, 4)))
    assert ranking.friedman is not None
    assert [ranking.friedman.statistic, ranking.friedman.p] == pytest.approx(r["friedman"])
