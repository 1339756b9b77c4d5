"""Measures what it does to a plain t test that its two variants were chosen by their results.

python benchmarks/chosen_afterwards.py         20,000 studies per cell, about ten seconds; docs/statistics.md has the result

All variants are equal, so that every "better" is wrong. In the first table the best and the worst of 20 variants are
compared on the scores that they were chosen by. In the second the best of 16 and the best of 2 variants are chosen on val
and compared on test.
"""

import argparse
import sys
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

ALPHA = 0.05
SEEDS = (3, 5, 10)
VARIANTS = 20
LARGE, SMALL = 16, 2
SHARED = (0.3, 0.5, 0.8)  # correlation of a run's luck on val and on test
AT_A_TIME = 2000  # studies in memory


class Extremes(NamedTuple):
    """How often the best of several equal variants is called better than the worst.

    Attributes:
        seeds: Number of seeds per variant.
        plain: The fraction of studies with p < ALPHA.
        bonferroni: The same after Bonferroni's correction over all pairs of variants.
    """

    seeds: int
    plain: float
    bonferroni: float


class Chosen(NamedTuple):
    """The best of a large group against the best of a small one, chosen on val, compared on test.

    Attributes:
        shared: The correlation of a run's luck on val and on test.
        seeds: Number of seeds per variant.
        level: The fraction of studies with p < ALPHA.
        bias: The mean difference on test, in standard deviations of a variant's mean over seeds.
    """

    shared: float
    seeds: int
    level: float
    bias: float


def p_values(d: Array) -> Array:
    """The plain paired t's two-sided p of each study; d is (R, S)."""
    from scipy.special import stdtr

    n = d.shape[1]
    t = d.mean(1) / (d.std(1, ddof=1) / n**0.5)
    return np.asarray(2 * stdtr(n - 1, -np.abs(t)))


def extremes(repeats: int, seed: int = 0) -> list[Extremes]:
    """Compares the best with the worst of 20 equal variants.

    Args:
        repeats: Studies per number of seeds.
        seed: Seed of the random generator.
    """
    pairs, rows = VARIANTS * (VARIANTS - 1) // 2, []
    for n in SEEDS:
        generator, p = np.random.default_rng([seed, n]), []
        for chunk in np.array_split(np.arange(repeats), 1 + repeats // AT_A_TIME):
            scores = generator.standard_normal((len(chunk), n, VARIANTS))
            p.append(p_values(_of_best(scores, scores) - _of_best(scores, -scores)))
        values = np.concatenate(p)
        rows.append(Extremes(n, float((values < ALPHA).mean()), float((values * pairs < ALPHA).mean())))
    return rows


def chosen(repeats: int, seed: int = 0) -> list[Chosen]:
    """Compares the best of 16 with the best of 2 equal variants on test, both chosen on val.

    Args:
        repeats: Studies per cell.
        seed: Seed of the random generator.
    """
    rows = []
    for shared in SHARED:
        for n in SEEDS:
            generator, differences = np.random.default_rng([seed, n, round(100 * shared)]), []
            for chunk in np.array_split(np.arange(repeats), 1 + repeats // AT_A_TIME):
                shape = (len(chunk), n, LARGE + SMALL)
                val = generator.standard_normal(shape)
                test = shared * val + (1 - shared**2) ** 0.5 * generator.standard_normal(shape)
                large = _of_best(test[..., :LARGE], val[..., :LARGE])
                differences.append(large - _of_best(test[..., LARGE:], val[..., LARGE:]))
            d = np.concatenate(differences)
            bias = float(d.mean()) * n**0.5
            rows.append(Chosen(shared, n, float((p_values(d) < ALPHA).mean()), bias))
    return rows


def _of_best(scores: Array, by: Array) -> Array:
    """The scores, (R, S), of the variant that has the highest mean of `by` in each study; both are (R, S, K)."""
    best = by.mean(1).argmax(1)
    return np.take_along_axis(scores, best[:, None, None], axis=2)[:, :, 0]


def main(argv: list[str] | None = None) -> int:
    """Runs the simulations and prints their tables."""
    parser = argparse.ArgumentParser(description="Simulate comparisons of variants that were chosen by their results.")
    parser.add_argument("--repeats", type=int, default=20_000, metavar="N", help="studies per cell (default: 20000)")
    parser.add_argument("--seed", type=int, default=0, metavar="K", help="seed of all studies (default: 0)")
    arguments = parser.parse_args(argv)
    for name, minimum in (("repeats", 1), ("seed", 0)):
        if getattr(arguments, name) < minimum:
            parser.error(f"--{name} must be at least {minimum}, got {getattr(arguments, name)}")
    print(f"| seeds | p < {ALPHA} | after Bonferroni |\n| ---: | ---: | ---: |")
    for row in extremes(arguments.repeats, arguments.seed):
        print(f"| {row.seeds} | {100 * row.plain:.1f} % | {100 * row.bonferroni:.1f} % |")
    print(f"\n| luck shared | seeds | p < {ALPHA} | bias (sd) |\n| ---: | ---: | ---: | ---: |")
    for cell in chosen(arguments.repeats, arguments.seed):
        print(f"| {cell.shared} | {cell.seeds} | {100 * cell.level:.1f} % | {cell.bias:+.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
