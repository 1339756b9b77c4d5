"""Measures how often a t test over the folds of a cross-validation finds a difference between two variants that do not differ.

python -m benchmarks.folds              4,000 studies per cell; docs/statistics.md has the result

Pools, views and the ridge learner are those of type_one_error.py: on the fixed pool the two variants are equal exactly, a fresh
pool favours one of them by chance.
"""

import argparse
import sys

import numpy as np

from benchmarks.coverage import percent, table
from benchmarks.type_one_error import ALPHA, ARMS, EXAMPLES, Array, add_twins, draw
from hybridnets import stats
from hybridnets.data.split import draw_fold

SCHEMES = ((5, 1), (10, 1), (5, 3), (10, 3))  # folds, and repetitions of all of them


def differences(views: Array, labels: Array, folds: int, seeds: range) -> Array:
    """The difference in accuracy of ridge regression on the two views, in each fold.

    Args:
        views: (2, N, F).
        labels: (N,), -1 or 1.
        folds: The number of folds.
        seeds: The split seeds, S of them.

    Returns:
        The differences, (S,).
    """
    x = np.concatenate([views, np.ones_like(views[..., :1])], axis=-1)
    result = np.empty(len(seeds))
    for place, seed in enumerate(seeds):
        split = draw_fold(len(labels), folds, seed)
        train = x[:, split.train]
        gram = train.swapaxes(-1, -2) @ train + np.eye(x.shape[-1])
        solution = np.linalg.solve(gram, (train.swapaxes(-1, -2) @ labels[split.train])[..., None])
        right = (x[:, split.val] @ solution)[..., 0] * labels[split.val] > 0  # (2, V)
        result[place] = right[0].mean() - right[1].mean()
    return result


def simulate(arm: str, folds: int, repetitions: int, studies: int, seed: int) -> tuple[float, float]:
    """The shares of studies with p < .05 of the plain and of the corrected t; a missing p counts as not significant.

    Args:
        arm: "fixed pool" or "fresh pool".
        folds: The number of folds.
        repetitions: How often all folds are made.
        studies: The number of studies.
        seed: Seed of the random generator.
    """
    rng = np.random.default_rng([seed, folds, repetitions])
    pool = add_twins(*draw(np.random.default_rng(seed), EXAMPLES // 2))
    counts = np.zeros(2)
    for study in range(studies):
        first = study * repetitions * folds  # every study has divisions of its own
        seeds = range(first, first + repetitions * folds)
        d = differences(*(pool if arm == "fixed pool" else draw(rng, EXAMPLES)), folds, seeds)
        tests = (stats.paired_t(d), stats.paired_t(d, stats.kfold_ratio(folds)))
        counts += [test.p is not None and test.p < ALPHA for test in tests]
    plain, corrected = counts / studies
    return float(plain), float(corrected)


def rows(studies: int, seed: int) -> list[list[str]]:
    """The rows of the table, in percent with Monte Carlo standard errors.

    Args:
        studies: The number of studies in each cell.
        seed: Seed of the random generator.
    """
    body = []
    for arm in ARMS:
        for folds, repetitions in SCHEMES:
            shares = simulate(arm, folds, repetitions, studies, seed)
            body.append([arm, f"{repetitions} x {folds} folds", *(percent(share, studies) for share in shares)])
    return [["pool", "cross-validation", "plain t", "corrected by 1/(k - 1)"], *body]


def main(argv: list[str] | None = None) -> int:
    """Runs the simulation and prints its table."""
    parser = argparse.ArgumentParser(description="Simulate the type-I error of t tests over the folds of one pool.")
    parser.add_argument("--studies", type=int, default=4000, metavar="N", help="studies per cell (default: 4000)")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="K", help="seed of the pool and all studies (default: 0)"
    )
    arguments = parser.parse_args(argv)
    for name, minimum in (("studies", 1), ("seed", 0)):
        if getattr(arguments, name) < minimum:
            parser.error(f"--{name} must be at least {minimum}, got {getattr(arguments, name)}")
    print(f"p < {ALPHA} although the variants are equal, % (± Monte Carlo standard error)\n")
    print(table(iter(rows(arguments.studies, arguments.seed)), 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
