"""Measures what it costs to add seeds until the question is settled: false answers, power and seeds of each rule.

python benchmarks/stopping.py            100,000 studies per cell; docs/statistics.md has the cost and the result

A study has independent normal differences, one per seed, and begins with 3 seeds. It stops when its rule settles the question,
or at the largest number of seeds. Effects and margins are in units of the differences' standard deviation over seeds.
"""

import argparse
import csv
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hybridnets.stats.anytime import anytime_critical
from hybridnets.stats.group_sequential import repeated_error, student_critical
from hybridnets.stats.power import power
from hybridnets.stats.sequential import METHODS, characteristics, critical_values

Array = npt.NDArray[np.float64]
Looks = tuple[int, ...]
Draw = Callable[[np.random.Generator, tuple[int, int]], Array]

FIRST, LARGEST = 3, 30
EFFECTS = (0.0, 0.5, 0.75, 1.0, 1.5, 2.0)
MARGIN = 1.0
PLANS: dict[str, Looks] = {
    "3, 5, 7, 10, 15": (3, 5, 7, 10, 15),
    "each from 3 to 10": tuple(range(3, 11)),
    "each from 3 to 30": tuple(range(3, 31)),
}
FIXED: dict[str, Looks] = {f"{n} only": (n,) for n in (3, 10, 15, 30)}
ADVISED = {"extended once as advised": 1, "extended up to four times as advised": 4}
SHAPES: dict[str, Draw] = {  # differences that are not normal, with a mean of 0
    "exponential": lambda rng, size: rng.standard_exponential(size) - 1,
    "uniform": lambda rng, size: rng.uniform(-1, 1, size),
    "t, 3 df": lambda rng, size: rng.standard_t(3, size),
}
POINTS = (1.0, 0.75, 0.0)  # weights of the two points in the anytime-valid t's mixture, to choose one


class Cell(NamedTuple):
    """The studies of one rule at one effect.

    Attributes:
        part: "rules", "margin" or "mixtures": the table to which it belongs; or one of SHAPES, of the fourth table.
        rule: The rule by which a study is settled.
        looks: The numbers of seeds at which it is looked at.
        effect: The true mean difference over its standard deviation.
        settled: The share of studies that answer "better" or "worse".
        equivalent: The share that answer "equivalent".
        seeds: The mean number of seeds.
        covered: The share whose interval at the stop contains the true mean.
        exact: The probability of a false answer, computed, where the effect is 0 and the looks are fixed; otherwise empty.
    """

    part: str
    rule: str
    looks: str
    effect: float
    settled: float
    equivalent: float
    seeds: float
    covered: float
    exact: float | None


def simulate(repeats: int, seed: int = 0) -> list[Cell]:
    """All cells, each with its own random stream.

    Args:
        repeats: Studies per cell, at least 1.
        seed: Seed of the random generators.
    """
    cells = []
    for number, (part, rule, label, looks, critical) in enumerate(_designs()):
        margin = MARGIN if part == "margin" else 0.0
        for effect in (0.0, MARGIN) if part == "margin" else EFFECTS:
            c = characteristics(looks, critical, effect, margin, repeats, 1000 * seed + number)
            exact = repeated_error(looks, critical)[-1] if part == "rules" and not effect else None
            settled = round(c.better + c.worse, 9)
            cells.append(Cell(part, rule, label, effect, settled, c.equivalent, c.seeds, c.covered, exact))
    for number, (label, extensions) in enumerate(ADVISED.items()):
        for effect in EFFECTS:
            rng = np.random.default_rng([seed, number])
            cells.append(Cell("rules", "plain", label, effect, *advised(rng, repeats, effect, extensions), None))
    rules = [design for design in _designs() if design[0] == "rules"]
    for number, shape in enumerate(SHAPES):
        for _, rule, label, looks, critical in rules:
            rng = np.random.default_rng([seed, number, len(looks)])
            settled, seeds = not_normal(rng, repeats, shape, looks, critical)
            cells.append(Cell(shape, rule, label, 0.0, settled, 0.0, seeds, 1 - settled, None))
    return cells


def _designs() -> Iterator[tuple[str, str, str, Looks, tuple[float, ...]]]:
    """Part, rule, name of the looks, looks and critical values of each rule with fixed looks."""
    for label, looks in FIXED.items():
        yield "rules", "plain", label, looks, student_critical(looks)
    for label, looks in PLANS.items():
        yield "rules", "plain", label, looks, student_critical(looks)
        for method in METHODS:
            yield "rules", method, label, looks, critical_values(looks, method)
    for label in ("10 only", "30 only"):
        yield "margin", "plain", label, FIXED[label], student_critical(FIXED[label])
    for label, looks in PLANS.items():
        for method in METHODS:
            yield "margin", method, label, looks, critical_values(looks, method)
    for points in POINTS:
        for label in ("each from 3 to 10", "each from 3 to 30"):
            looks = PLANS[label]
            yield "mixtures", f"{points:g}", label, looks, tuple(anytime_critical(n, points=points) for n in looks)


def advised(
    rng: np.random.Generator, repeats: int, effect: float, extensions: int
) -> tuple[float, float, float, float]:
    """Studies that add the seeds which the plain t would need for the observed difference, until p < .05.

    Args:
        rng: The random generator.
        repeats: Studies.
        effect: The true effect.
        extensions: How often a study may be extended. It is extended by at least one seed and never beyond LARGEST.

    Returns:
        Settled, equivalent (0), seeds and covered, as in `Cell`.
    """
    critical = np.array([np.inf, np.inf, *student_critical(range(2, LARGEST + 1))])
    detectable = _detectable()
    d = effect + rng.standard_normal((repeats, LARGEST))
    sums, squares = d.cumsum(axis=1), (d**2).cumsum(axis=1)
    study, n = np.arange(repeats), np.full(repeats, FIRST)
    for extension in range(extensions + 1):
        total = sums[study, n - 1]
        mean = total / n
        sd = np.sqrt((squares[study, n - 1] - total * mean) / (n - 1))
        settled = np.abs(mean) * np.sqrt(n) >= critical[n] * sd
        if extension < extensions:
            needed = 2 + np.searchsorted(-detectable, -np.abs(mean) / sd)
            n = np.where(settled, n, np.clip(needed, np.minimum(n + 1, LARGEST), LARGEST))
    covered = np.abs(mean - effect) * np.sqrt(n) <= critical[n] * sd
    return float(settled.mean()), 0.0, float(n.mean()), float(covered.mean())


def not_normal(
    rng: np.random.Generator, repeats: int, shape: str, looks: Looks, critical: tuple[float, ...]
) -> tuple[float, float]:
    """Studies whose differences are not normal and have a mean of 0.

    Args:
        rng: The random generator.
        repeats: Studies.
        shape: One of SHAPES.
        looks: The numbers of seeds at the looks, (k,).
        critical: The critical |t| at each, (k,).

    Returns:
        Settled and seeds, as in `Cell`.
    """
    d, n = SHAPES[shape](rng, (repeats, looks[-1])), np.array(looks)
    sums, squares = d.cumsum(axis=1)[:, n - 1], (d**2).cumsum(axis=1)[:, n - 1]
    sd = np.sqrt((squares - sums**2 / n) / (n - 1))
    crossed = np.abs(sums) >= np.array(critical) * sd * np.sqrt(n)
    settled = crossed.any(axis=1)
    return float(settled.mean()), float(np.where(settled, n[crossed.argmax(axis=1)], n[-1]).mean())


def _detectable() -> Array:
    """The effect that the plain t detects with a power of 80 %, for 2 to LARGEST seeds."""
    from scipy.optimize import brentq

    return np.array([brentq(lambda e, n=n: power(e, 1, n) - 0.8, 1e-3, 60) for n in range(2, LARGEST + 1)])


def tables(cells: list[Cell]) -> str:
    """The four tables in Markdown; shares in percent."""
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.part, cell.rule, cell.looks), []).append(cell)
    rules = [["rule", "looks (seeds)", "false, %", "exact", *(f"{e:g} sd" for e in EFFECTS[1:]), "covered, %"]]
    margin = [["rule", "looks (seeds)", "equal: equivalent", "at the margin: equivalent, %", "covered, %"]]
    mixtures = [["weight of ±1", "looks (seeds)", *(f"{e:g} sd" for e in EFFECTS[1:]), "interval at 100 seeds"]]
    shapes = [["rule", "looks (seeds)", "normal", *SHAPES]]
    for (part, rule, looks), row in groups.items():
        null, *effects = row
        if part in SHAPES:
            continue
        covered = f"{100 * min(cell.covered for cell in row):.1f}"
        if part == "margin":
            equal = f"{100 * null.equivalent:.0f} / {null.seeds:.1f}"
            margin.append([rule, looks, equal, f"{100 * effects[0].equivalent:.2f}", covered])
            continue
        gains = [f"{100 * cell.settled:.0f} / {cell.seeds:.1f}" for cell in effects]
        if part == "mixtures":
            mixtures.append([rule, looks, *gains, f"± {anytime_critical(100, points=float(rule)) / 10:.2f} sd"])
        else:
            exact = "" if null.exact is None else f"{100 * null.exact:.2f}"
            rules.append([rule, looks, f"{100 * null.settled:.2f}", exact, *gains, covered])
            if exact:
                others = [f"{100 * groups[shape, rule, looks][0].settled:.1f}" for shape in SHAPES]
                shapes.append([rule, looks, f"{100 * null.settled:.1f}", *others])
    return "\n\n".join(_markdown(rows) for rows in (rules, margin, mixtures, shapes))


def _markdown(rows: list[list[str]]) -> str:
    """A table in Markdown, whose first row is its head; the first two columns are text."""
    rows = [rows[0], ["---"] * 2 + ["---:"] * (len(rows[0]) - 2), *rows[1:]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows)


def write_csv(cells: list[Cell], path: Path) -> None:
    """Writes the cells, shares as fractions."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Cell._fields)
        writer.writerows([x if x is None or isinstance(x, str) else f"{x:.6g}" for x in cell] for cell in cells)


def read_csv(path: Path) -> list[Cell]:
    """Reads a file of `write_csv`."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Cell(r["part"], r["rule"], r["looks"], float(r["effect"]), float(r["settled"]), float(r["equivalent"]),
                 float(r["seeds"]), float(r["covered"]), float(r["exact"]) if r["exact"] else None)
            for r in csv.DictReader(file)
        ]  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Runs the simulation, prints its tables, writes stopping.csv."""
    parser = argparse.ArgumentParser(description="Simulate studies that add seeds until the question is settled.")
    parser.add_argument("--repeats", type=int, default=100_000, metavar="N", help="studies per cell (default: 100000)")
    parser.add_argument("--seed", type=int, default=0, metavar="K", help="seed of all studies (default: 0)")
    parser.add_argument(
        "--to", type=Path, default=Path("docs"), metavar="FOLDER", help="folder for the CSV (default: docs)"
    )
    arguments = parser.parse_args(argv)
    for name, minimum in (("repeats", 1), ("seed", 0)):
        if getattr(arguments, name) < minimum:
            parser.error(f"--{name} must be at least {minimum}, got {getattr(arguments, name)}")
    try:
        arguments.to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--to must be a folder that can be created: {error}")
    cells = simulate(arguments.repeats, arguments.seed)
    most = 50 / arguments.repeats**0.5
    print(
        f"{arguments.repeats:,} studies per cell; the Monte Carlo standard error of a share is at most {most:.2f} %\n"
    )
    print(tables(cells))
    write_csv(cells, arguments.to / "stopping.csv")
    return 0


if __name__ == "__main__":
    sys.exit(main())
