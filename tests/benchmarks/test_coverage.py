"""A short simulation: which intervals over seeds and test images contain the true mean often enough."""

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from benchmarks import coverage

ROOT = Path(__file__).parents[2]


def lowest(level: float, studies: int) -> float:
    """Four standard errors below a level."""
    return level - 4 * math.sqrt(level * (1 - level) / studies)


def test_crossed_effects_keep_their_level_where_the_others_lose_it() -> None:
    studies = 120
    shares = {regime.name: coverage.cover(regime, 150, studies, 7) for regime in coverage.regimes(150)}
    assert set(shares) == {"seeds", "images", "both", "neither", "neither, 5 % differ"}
    for regime, n in product(shares, coverage.SEEDS):
        assert shares[regime]["**crossed**", n] > lowest(0.95, studies)
    assert shares["seeds"]["bootstrap", 3] < 0.85
    assert shares["images"]["plain t", 20] < 0.5
    assert shares["seeds"]["clustered by image", 3] < 0.5


def test_a_studys_true_mean_is_that_of_its_outcomes() -> None:
    for regime in coverage.regimes(150):
        outcomes, truth = coverage.draw(np.random.default_rng(1), regime, 400, 150)
        assert outcomes.shape == (400, 20, 150)
        assert set(np.unique(outcomes)) <= {-1, 0, 1}
        means = outcomes.mean((1, 2))
        assert abs(means.mean() - truth) < 4 * means.std() / math.sqrt(len(means))


def test_the_bootstrap_equals_a_pigeonhole_bootstrap_that_draws_images() -> None:
    d = coverage.draw(np.random.default_rng(2), coverage.regimes(1000)[2], 1, 1000)[0][0, :6]
    seeds, images = (np.random.default_rng(1).multinomial(n, np.full(n, 1 / n), 4000) / n for n in d.shape)
    lower, upper = np.quantile(np.sum(seeds @ d * images, axis=1), (0.025, 0.975))
    assert coverage.bootstrap(d).interval == pytest.approx((lower, upper), abs=0.1 * (upper - lower))


def test_satterthwaites_interval_by_hand() -> None:
    # Mean squares 1.5, 2 and 0: 3.5^2 / (1.5^2 / 1 + 2^2 / 2) = 2.88 degrees of freedom, whose quantile R gives
    interval = coverage.satterthwaite(np.array([[-1.0, 0, 1], [0, 1, 2]])).interval
    half = 3.257208 * (3.5 / 6) ** 0.5
    assert interval == pytest.approx((0.5 - half, 0.5 + half), rel=1e-6)


def test_exponential_differences_make_the_plain_t_err() -> None:
    rows = {row[0]: [float(cell.split()[0]) for cell in row[1:]] for row in list(coverage.false_answers(20_000, 1))[1:]}
    assert rows["normal"] == pytest.approx([5, 5, 5], abs=0.7)
    assert rows["exponential"] == pytest.approx([12, 12, 10], abs=1)


def test_the_documentation_has_the_programs_tables() -> None:
    page = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    for images in coverage.IMAGES:
        for regime, method in product(coverage.regimes(images), coverage.METHODS):
            assert sum(row[:3] == [regime.name, f"{images:,}", method] and len(row) == 7 for row in rows) == 1
    for name in coverage.DIFFERENCES:
        assert sum(row[0] == name and len(row) == 4 for row in rows) == 1
    crossed = [row for row in rows if len(row) == 7 and row[2] == "**crossed**"]
    assert min(float(cell.split()[0]) for row in crossed for cell in row[3:]) > 94


def test_an_illegal_argument_is_refused_with_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        coverage.main(["--studies", "0"])
    assert ended.value.code == 2
    assert "--studies must be at least 1, got 0" in capsys.readouterr().err
