"""Measures how often each test detects a difference between two variants that do not differ.

python benchmarks/type_one_error.py            10,000 repetitions per cell; docs/statistics.md has the cost and the result

A sound test at the 5 % level does so in at most 5 % of the repetitions. The two arms ask different questions: one has a fixed
pool of examples ("is A better on this data set?"), the other draws a new pool in each repetition ("is A better on new data of
this kind?"). In both, all differences come from learners that are trained on random 7:3 splits of a pool.
benchmarks/stopping.py measures what adding seeds until p < .05 does to the plain test, and the rules that allow it.
"""

import argparse
import csv
import importlib.util
import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hybridnets.stats.images import pooled_t
from hybridnets.stats.seeds import paired_t

Array = npt.NDArray[np.float64]

ALPHA = 0.05
SEEDS = (3, 5, 10)  # a study with 3 seeds uses the first 3 of 10 trained seeds
EXAMPLES, TRAIN = 600, 420  # 7:3, as in the paper
FEATURES, HIDDEN = 8, 8  # features of a view, and units of the random layer
SHIFT = 0.3  # distance of a class's mean from zero, in standard deviations, which gives about 80 % accuracy

LEARNERS = ("ridge", "random layer")
ARMS = ("fixed pool", "fresh pool")
TESTS = ("image-level", "plain", "corrected")
ANSWERS = {("fixed pool", "plain"), ("fresh pool", "corrected")}  # the test that fits each arm's question


class Error(NamedTuple):
    """One cell of the table.

    Attributes:
        learner: One of LEARNERS.
        arm: One of ARMS.
        test: One of TESTS.
        seeds: Number of seeds per variant.
        error: The fraction of repetitions with p < ALPHA; a missing p counts as not significant.
        standard_error: The Monte Carlo standard error of `error`.
        repeats: Number of repetitions.
    """

    learner: str
    arm: str
    test: str
    seeds: int
    error: float
    standard_error: float
    repeats: int


class Check(NamedTuple):
    """Moments of the differences in one arm, to check that their true mean is zero and to show how seeds correlate.

    Attributes:
        learner: One of LEARNERS.
        arm: One of ARMS.
        mean: The mean difference in accuracy over all repetitions and seeds, a fraction.
        standard_error: Its Monte Carlo standard error.
        correlation: Correlation of the differences of two seeds in one repetition, around the true mean of 0.
    """

    learner: str
    arm: str
    mean: float
    standard_error: float
    correlation: float


def draw(rng: np.random.Generator, examples: int) -> tuple[Array, Array]:
    """Draws a pool of examples from two classes, each with two views that have the same distribution.

    Args:
        rng: The random generator.
        examples: Number of examples, N.

    Returns:
        The views, (2, N, FEATURES), and the labels, (N,), -1 or 1. Variant A reads the first view, variant B the second.
        The views are exchangeable, so on new data no variant is better; a given pool favours one by chance.
    """
    labels = rng.choice([-1.0, 1.0], examples)
    return rng.standard_normal((2, examples, FEATURES)) + SHIFT * labels[:, None], labels


def add_twins(views: Array, labels: Array) -> tuple[Array, Array]:
    """Adds to each example its twin with the two views swapped, so that the pool favours no variant.

    Swapping the variants then only permutes the examples, which does not affect random splits, so that the expected
    difference over splits of this pool is exactly 0.

    Args:
        views: (2, N, FEATURES).
        labels: (N,).

    Returns:
        Views and labels of 2 N examples.
    """
    return np.concatenate([views, views[::-1]], axis=1), np.tile(labels, 2)


def train_both(rng: np.random.Generator, views: Array, labels: Array, learner: str) -> Array:
    """Trains both variants on each of max(SEEDS) random splits, the same split for both.

    Args:
        rng: The random generator for splits and initial weights.
        views: (2, EXAMPLES, FEATURES).
        labels: (EXAMPLES,), -1 or 1.
        learner: "ridge", a linear classifier by ridge regression, which the split determines; or "random layer", the same
            after a hidden layer of ReLU units with random weights that are not trained, so that luck matters, too.

    Returns:
        Correct by A minus correct by B, -1, 0 or 1, for each seed and example of its val part: (max(SEEDS), EXAMPLES - TRAIN).
    """
    order = rng.permuted(np.tile(np.arange(EXAMPLES), (max(SEEDS), 1)), axis=1)  # (S, N)
    x, y = views[:, order], labels[order]  # (2, S, N, F), (S, N)
    if learner == "random layer":
        weights = rng.standard_normal((2, max(SEEDS), FEATURES, HIDDEN)) / math.sqrt(FEATURES)
        x = np.maximum(x @ weights + rng.standard_normal((2, max(SEEDS), 1, HIDDEN)), 0)
    x = np.concatenate([x, np.ones_like(x[..., :1])], axis=-1)
    train, val = x[:, :, :TRAIN], x[:, :, TRAIN:]
    transposed = train.swapaxes(-1, -2)
    gram = transposed @ train + np.eye(x.shape[-1])
    solution = np.linalg.solve(gram, transposed @ y[:, :TRAIN, None])  # (2, S, F + 1, 1)
    correct: Array = np.asarray((val @ solution)[..., 0] * y[:, TRAIN:] > 0, np.float64)  # (2, S, N - TRAIN)
    difference: Array = correct[0] - correct[1]
    return difference


def p_values(outcomes: Array) -> dict[str, float | None]:
    """The p of each of TESTS.

    Args:
        outcomes: Correct by A minus correct by B, for each seed and val example, (S, V).
    """
    differences = outcomes.mean(axis=1)
    return {
        "image-level": pooled_t(outcomes.ravel()).p,
        "plain": paired_t(differences).p,
        "corrected": paired_t(differences, ratio=(EXAMPLES - TRAIN) / TRAIN).p,
    }


def simulate(repeats: int, seed: int = 0) -> tuple[list[Error], list[Check]]:
    """Repeats the study of two equal variants, in both arms and with both learners.

    Args:
        repeats: Studies in each arm with each learner, at least 1.
        seed: Seed of the random generator.

    Returns:
        The type-I errors, ordered by learner, arm, test and seeds; and checks of the differences, by learner and arm.
    """
    from tqdm import tqdm

    pool = add_twins(*draw(np.random.default_rng(seed), EXAMPLES // 2))
    errors, checks = [], []
    for i, learner in enumerate(LEARNERS):
        for j, arm in enumerate(ARMS):
            rng = np.random.default_rng([seed, i, j])
            rejections = {(test, n): 0 for test in TESTS for n in SEEDS}
            differences = np.empty((repeats, max(SEEDS)))
            for repeat in tqdm(
                range(repeats), f"{learner}, {arm}", disable=None
            ):  # None disables it without a terminal
                outcomes = train_both(rng, *(pool if arm == "fixed pool" else draw(rng, EXAMPLES)), learner)
                differences[repeat] = outcomes.mean(axis=1)
                for n in SEEDS:
                    for test, p in p_values(outcomes[:n]).items():
                        rejections[test, n] += p is not None and p < ALPHA
            for (test, n), count in rejections.items():
                share = count / repeats
                error = math.sqrt(share * (1 - share) / repeats)
                errors.append(Error(learner, arm, test, n, share, error, repeats))
            checks.append(Check(learner, arm, *_moments(differences)))
    return errors, checks


def _moments(differences: Array) -> tuple[float, float, float]:
    """The mean of (R, S) differences, its standard error, and the correlation of two columns around 0."""
    seeds, means = differences.shape[1], differences.mean(axis=1)
    square = (differences**2).mean()
    product = ((seeds * means) ** 2 - (differences**2).sum(axis=1)).mean() / (seeds * (seeds - 1))
    return float(means.mean()), float(means.std() / math.sqrt(len(means))), float(product / square)


def table(errors: list[Error]) -> str:
    """The type-I errors as a Markdown table, in percent with Monte Carlo standard errors; fitting tests in bold."""
    cells = {(e.learner, e.arm, e.test, e.seeds): e for e in errors}
    head = ["learner", "pool", "test", *(f"{n} seeds" for n in SEEDS)]
    rows = [head, ["---"] * 3 + ["---:"] * len(SEEDS)]
    for learner, arm, test in dict.fromkeys((e.learner, e.arm, e.test) for e in errors):
        row_cells = [cells[learner, arm, test, n] for n in SEEDS]
        name = f"**{test}**" if (arm, test) in ANSWERS else test
        rows.append([learner, arm, name, *(f"{100 * e.error:.2f} ± {100 * e.standard_error:.2f}" for e in row_cells)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows)


def write_csv(errors: list[Error], path: Path) -> None:
    """Writes the type-I errors as fractions, one row per cell."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Error._fields)
        writer.writerows([*e[:4], f"{e.error:.6g}", f"{e.standard_error:.6g}", e.repeats] for e in errors)


def read_csv(path: Path) -> list[Error]:
    """Reads a file of `write_csv`."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Error(r["learner"], r["arm"], r["test"], int(r["seeds"]), float(r["error"]), float(r["standard_error"]),
                  int(r["repeats"]))
            for r in csv.DictReader(file)
        ]  # fmt: skip


# Okabe and Ito's colours, which also differ in lightness; markers and dashes distinguish the tests without any colour.
STYLES: dict[str, dict[str, Any]] = {
    "image-level": {"color": "#E69F00", "marker": "s", "linestyle": (0, (5, 2))},
    "plain": {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    "corrected": {"color": "#000000", "marker": "^", "linestyle": (0, (1, 1.5))},
}
ARM_TITLES = {
    "fixed pool": "One fixed pool:\nis A better on this data set?",
    "fresh pool": "A fresh pool each time:\nis A better on new data of this kind?",
}
LEARNER_TITLES = {"ridge": "ridge: no luck in training", "random layer": "random layer: luck of initialisation"}


def draw_figure(errors: list[Error], path: Path) -> None:
    """Draws type-I error against seeds, with a panel for each arm and learner, as SVG or PNG depending on the suffix."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    settings: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "type-I error", "font.size": 10}
    with mpl.rc_context(settings):
        figure = Figure(figsize=(8, 7), layout="constrained")
        axes = figure.subplots(len(LEARNERS), len(ARMS), sharex=True, sharey=True, squeeze=False)
        for row, learner in zip(axes, LEARNERS, strict=True):
            for axis, arm in zip(row, ARMS, strict=True):
                _draw_panel(axis, [e for e in errors if (e.learner, e.arm) == (learner, arm)], learner, arm)
        ticks = [0, 1, 5, 10, 20, 30, 50, 100]
        axes[0, 0].set_yticks(ticks, [str(tick) for tick in ticks])
        axes[0, 0].set_ylim(0, 1.1 * max(5, *(100 * (e.error + 2 * e.standard_error) for e in errors)))
        axes[0, 0].text(-0.38, 100 * ALPHA, "5 % promised", color="0.3", fontsize=8, va="bottom")
        figure.supylabel("differences detected where none exist, % (square-root scale)", fontsize=10)
        figure.supxlabel(
            "seeds (filled markers: the test that asks this question; bars: 2 standard errors)", fontsize=10
        )
        handles = [Line2D([], [], label=test, markersize=7, **STYLES[test]) for test in TESTS]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(TESTS), frameon=False, handlelength=4)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _draw_panel(axis: Any, errors: list[Error], learner: str, arm: str) -> None:
    """Draws the errors of one learner and arm."""
    x = np.arange(len(SEEDS))
    # A square-root scale can show an error of 0, unlike a logarithmic one, and small errors better than a linear one.
    axis.set_yscale("function", functions=(lambda y: np.sqrt(np.maximum(y, 0)), np.square))
    axis.axhline(100 * ALPHA, color="0.45", linewidth=1, zorder=0)
    axis.set_title(f"{ARM_TITLES[arm]}\n({LEARNER_TITLES[learner]})", fontsize=10)
    for shift, test in zip((-0.06, 0, 0.06), TESTS, strict=True):
        cells = [e for e in errors if e.test == test]
        y = np.array([100 * e.error for e in cells])
        spread = np.array([200 * e.standard_error for e in cells])
        answers = (arm, test) in ANSWERS
        axis.errorbar(
            x + shift,
            y,
            yerr=(np.minimum(spread, y), spread),
            markersize=7,
            markerfacecolor=STYLES[test]["color"] if answers else "white",
            linewidth=2 if answers else 1.2,
            elinewidth=1,
            **STYLES[test],
        )
    axis.set_xticks(x, [str(n) for n in SEEDS])
    axis.set_xlim(-0.4, len(SEEDS) - 0.6)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def main(argv: list[str] | None = None) -> int:
    """Runs the simulation, prints its table, writes type_one_error.csv and .svg."""
    parser = argparse.ArgumentParser(
        description="Simulate the type-I error of the tests for two variants that do not differ."
    )
    parser.add_argument("--repeats", type=int, default=10_000, metavar="N", help="studies per cell (default: 10000)")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="K", help="seed of the pool and all studies (default: 0)"
    )
    parser.add_argument(
        "--to", type=Path, default=Path("docs"), metavar="FOLDER", help="folder for CSV and SVG (default: docs)"
    )
    arguments = parser.parse_args(argv)
    for name, minimum in (("repeats", 1), ("seed", 0)):
        if getattr(arguments, name) < minimum:
            parser.error(f"--{name} must be at least {minimum}, got {getattr(arguments, name)}")
    if importlib.util.find_spec("matplotlib") is None:
        parser.error("the figure needs matplotlib, which is not installed: pip install -e '.[report]'")
    try:
        arguments.to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--to must be a folder that can be created: {error}")
    errors, checks = simulate(arguments.repeats, arguments.seed)
    print(
        f"p < {ALPHA} although the variants are equal, % (± Monte Carlo standard error; {arguments.repeats:,} repetitions)\n"
    )
    print(table(errors), end="\n\n")
    for c in checks:
        truth = f"mean difference {100 * c.mean:+.3f} ± {100 * c.standard_error:.3f} points"
        print(f"{c.learner}, {c.arm}: {truth}, correlation of two seeds' differences {c.correlation:+.3f}")
    write_csv(errors, arguments.to / "type_one_error.csv")
    draw_figure(errors, arguments.to / "type_one_error.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
