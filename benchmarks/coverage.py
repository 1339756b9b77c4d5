"""Measures how often 95 % intervals over seeds and test images contain the true mean, and what the plain t rests on.

python benchmarks/coverage.py            4,000 studies per cell, two Markdown tables; docs/statistics.md has the result

A study compares two variants on the test images of a number of seeds. Whether only the one or only the other is right about an
image follows from a latent normal value, the sum of effects of the seed, the image and the rest, with a threshold on either
side. The true mean is exact. An interval for "seeds and images like these" should contain it in 95 % of the studies.
"""

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hybridnets import stats

Array = npt.NDArray[np.float64]

SEEDS = (3, 5, 10, 20)  # a study with 3 seeds uses the first 3 of 20
IMAGES = (150, 1000)
MEAN, THRESHOLD = 0.1, 1.0  # of the latent value, whose rest has a deviation of about 1
RESAMPLES = 1000
SMALL_STUDIES = (3, 5, 10)  # seeds in the second table
BATCH = 100  # studies drawn at a time


class Regime(NamedTuple):
    """The deviations of the latent effects.

    Attributes:
        name: What varies.
        seed: The deviation between seeds.
        image: That between images.
        rest: That of each cell.
        threshold: The latent value beyond which only one of the two variants is right.
    """

    name: str
    seed: float
    image: float
    rest: float
    threshold: float = THRESHOLD


def regimes(images: int) -> tuple[Regime, ...]:
    """What varies: seeds, images, both (at 3 seeds the seeds' part is four times the images'), or neither.

    With few images also neither, with variants that differ in 5 % of the images only.
    """
    rare = (Regime("neither, 5 % differ", 0.0, 0.0, 1.0, 2.0),) if images < max(IMAGES) else ()
    return (
        Regime("seeds", 0.5, 0.3, 1.0),
        Regime("images", 0.0, 1.0, 0.5),
        Regime("both", math.sqrt(12 / images), 1.0, 0.5),
        Regime("neither", 0.0, 0.0, 1.0),
        *rare,
    )


def draw(rng: np.random.Generator, regime: Regime, studies: int, images: int) -> tuple[Array, float]:
    """Draws studies with the most seeds.

    Args:
        rng: The random generator.
        regime: What varies.
        studies: The number of studies, R.
        images: The number of images, I.

    Returns:
        correct_a - correct_b, (R, S, I), each -1, 0 or 1, and its true mean over seeds and images.
    """
    seeds = max(SEEDS)
    latent = MEAN + regime.rest * rng.standard_normal((studies, seeds, images))
    latent += regime.seed * rng.standard_normal((studies, seeds, 1))
    latent += regime.image * rng.standard_normal((studies, 1, images))
    outcomes = (latent > regime.threshold).astype(np.float64) - (latent < -regime.threshold)
    spread = math.sqrt(2 * (regime.seed**2 + regime.image**2 + regime.rest**2))
    only_a, only_b = (math.erfc((regime.threshold + sign * MEAN) / spread) / 2 for sign in (-1, 1))
    return outcomes, only_a - only_b


def bootstrap(d: Array) -> stats.Test:
    """The percentile interval of a bootstrap over seeds and images, with the normal limit in place of the images' draw.

    Source: Owen 2007, The pigeonhole bootstrap, Annals of Applied Statistics 1(2), 386-411.
    """
    seeds, images = d.shape
    rng = np.random.default_rng(0)
    weight = rng.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds  # (RESAMPLES, S)
    centre = weight @ d.mean(1)
    variance = np.maximum(np.sum(weight @ (d @ d.T) * weight, axis=1) / images - centre**2, 0) / images
    drawn = centre + rng.standard_normal(RESAMPLES) * np.sqrt(variance)
    lower, upper = np.quantile(drawn, (0.025, 0.975))
    return stats.Test(float(d.mean()), None, None, (float(lower), float(upper)), seeds)


def plain(d: Array) -> stats.Test:
    """The plain paired t over seeds."""
    return stats.paired_t(d.mean(1))


def clustered(d: Array) -> stats.Test:
    """The t test over images, clustered by image."""
    return stats.clustered_t(np.tile(np.arange(d.shape[1]), d.shape[0]), d.ravel())


def satterthwaite(d: Array) -> stats.Test:
    """Crossed random effects with one quantile, of Satterthwaite's degrees of freedom; negative variances count as 0.

    Source: Satterthwaite 1946, An approximate distribution of estimates of variance components, Biometrics 2(6), 110-114.
    """
    from scipy.special import stdtrit

    c = stats.components(d)
    seed, image = max(c.seed, c.rest), max(c.image, c.rest)
    total = seed + image - c.rest
    spread = seed**2 / (c.seeds - 1) + image**2 / (c.images - 1) + c.rest**2 / ((c.seeds - 1) * (c.images - 1))
    if not total:
        return stats.Test(c.mean, None, None, None, c.seeds, "all differences equal")
    half = float(stdtrit(total**2 / spread, 0.975)) * math.sqrt(total / (c.seeds * c.images))
    return stats.Test(c.mean, None, None, (c.mean - half, c.mean + half), c.seeds)


METHODS: dict[str, Callable[[Array], stats.Test]] = {
    "bootstrap": bootstrap,
    "plain t": plain,
    "clustered by image": clustered,
    "crossed, Satterthwaite": satterthwaite,
    "**crossed**": stats.crossed,
}


def cover(regime: Regime, images: int, studies: int, seed: int) -> dict[tuple[str, int], float]:
    """The share of studies whose interval contains the true mean, by method and seeds; without an interval it does not.

    Args:
        regime: What varies.
        images: The number of test images.
        studies: The number of studies.
        seed: Seed of the random generator.
    """
    rng = np.random.default_rng([seed, images])
    count = {(method, n): 0 for n in SEEDS for method in METHODS}
    for start in range(0, studies, BATCH):
        outcomes, truth = draw(rng, regime, min(BATCH, studies - start), images)
        for d in outcomes:
            for method, n in count:
                interval = METHODS[method](d[:n]).interval
                count[method, n] += interval is not None and interval[0] <= truth <= interval[1]
    return {cell: hits / studies for cell, hits in count.items()}


def coverage(studies: int, seed: int) -> Iterator[list[str]]:
    """The rows of the first table, in percent.

    Args:
        studies: The number of studies in each cell.
        seed: Seed of the random generator.
    """
    cells = [(regime, images) for images in IMAGES for regime in regimes(images)]
    # Processes are spawned, because a fork of a process with threads may hang.
    with ProcessPoolExecutor(min(os.cpu_count() or 1, len(cells)), get_context("spawn")) as pool:
        results = [pool.submit(cover, regime, images, studies, seed) for regime, images in cells]
        yield ["what varies", "test images", "interval", *(f"{n} seeds" for n in SEEDS)]
        for (regime, images), result in zip(cells, results, strict=True):
            shares = result.result()
            for method in METHODS:
                yield [regime.name, f"{images:,}", method, *(percent(shares[method, n], studies) for n in SEEDS)]


DIFFERENCES: dict[str, Callable[[np.random.Generator, tuple[int, int]], Array]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "uniform": lambda rng, shape: rng.uniform(-1, 1, shape),
    "t with 3 degrees of freedom": lambda rng, shape: rng.standard_t(3, shape),
    "exponential": lambda rng, shape: rng.exponential(1, shape) - 1,
}


def false_answers(studies: int, seed: int) -> Iterator[list[str]]:
    """The rows of the second table: how often the plain t says p < .05 of differences whose true mean is 0, in percent.

    Args:
        studies: The number of studies in each cell.
        seed: Seed of the random generator.
    """
    from scipy.special import stdtrit

    yield ["differences", *(f"{n} seeds" for n in SMALL_STUDIES)]
    for name, draw_differences in DIFFERENCES.items():
        rng = np.random.default_rng(seed)
        row = [name]
        for n in SMALL_STUDIES:
            d = draw_differences(rng, (studies, n))
            t = d.mean(1) / (d.std(1, ddof=1) / math.sqrt(n))
            row.append(percent(float(np.mean(np.abs(t) > stdtrit(n - 1, 0.975))), studies))
        yield row


def percent(share: float, studies: int) -> str:
    """A share in percent with its Monte Carlo standard error."""
    return f"{100 * share:.1f} ± {100 * math.sqrt(share * (1 - share) / studies):.1f}"


def table(rows: Iterator[list[str]], texts: int) -> str:
    """A Markdown table.

    Args:
        rows: Its rows, the heading first.
        texts: The number of columns of text at the left; the others are aligned to the right.
    """
    head, *body = rows
    lines = [head, ["---"] * texts + ["---:"] * (len(head) - texts), *body]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines)


def main(argv: list[str] | None = None) -> int:
    """Runs both simulations and prints their tables."""
    parser = argparse.ArgumentParser(description="Simulate the coverage of 95 % intervals over seeds and test images.")
    parser.add_argument("--studies", type=int, default=4000, metavar="N", help="studies per cell (default: 4000)")
    parser.add_argument("--seed", type=int, default=0, metavar="K", help="seed of all studies (default: 0)")
    arguments = parser.parse_args(argv)
    for name, minimum in (("studies", 1), ("seed", 0)):
        if getattr(arguments, name) < minimum:
            parser.error(f"--{name} must be at least {minimum}, got {getattr(arguments, name)}")
    print("95 % intervals that contain the true mean over seeds and test images, % (± Monte Carlo standard error)\n")
    print(table(coverage(arguments.studies, arguments.seed), 3), end="\n\n")
    print("p < .05 of the plain t although the true mean difference is 0, %\n")
    print(table(false_answers(25 * arguments.studies, arguments.seed), 1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
