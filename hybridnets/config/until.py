"""`until=settled`: seeds are added in the declared steps, until the sweep's question is settled."""

import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hybridnets.config.errors import ConfigError
from hybridnets.config.question import find_variants
from hybridnets.config.sweep import manifests_of_this_sweep, runs_of_last_batch
from hybridnets.program import either, few
from hybridnets.runs import identities, manifest, store
from hybridnets.runs.declaration import Primary, Until, parse_declaration
from hybridnets.runs.manifest import Manifest, TakenLook
from hybridnets.runs.records import result

SEED = "seed="
MEASURED = ("test", "val")  # accuracies that a result states
STOPPED = "until=settled: the sweep stopped before its question was settled, because"
RECIPE = (
    "no run may be left out of an answer, so sweep a recipe with which none diverges, as with a smaller optimizer.lr"
)


class Study:
    """A sweep that is looked at after each batch of seeds.

    Args:
        cfg: The sweep's configuration.
        words: Its parameters and the overrides of the command line, of which the last one of a key counts.

    Raises:
        ConfigError: If it does not declare one question and its design, or its first seed is no number.
    """

    def __init__(self, cfg: DictConfig, words: Sequence[str]) -> None:
        section: Any = OmegaConf.to_container(cfg.report, resolve=True) if OmegaConf.is_config(cfg.report) else {}
        if isinstance(section, dict):  # anything else is refused
            section = {key: section.get(key) for key in ("primary", "until")}
        declaration = parse_declaration(section)
        if len(declaration.primary) != 1 or declaration.until is None:
            raise ConfigError(
                "until=settled needs one question and its design in the sweep's file, report.primary and report.until (first, "
                f"most, every, method, train), got {len(declaration.primary)} questions and "
                f"{'a' if declaration.until else 'no'} design: a question that is chosen later cannot say when to stop"
            )
        (self.primary,), self.until = declaration.primary, declaration.until
        if self.primary.metric not in MEASURED or self.primary.test == "corrected":
            raise ConfigError(
                f"until=settled needs report.primary.metric to be {either(MEASURED)} and no corrected test, got "
                f"{self.primary.metric}{', corrected' * (self.primary.test == 'corrected')}: no plan for adding seeds is known "
                "for new data"
            )
        self.is_rehearsal = bool(cfg.dry_run)
        named = [word.removeprefix(SEED) for word in words if word.startswith(SEED)]
        text = named[-1] if named else "0"
        first = text.removeprefix("range(").split(",")[0].strip()
        if not first.isdecimal():
            raise ConfigError(
                f"seed must begin with a whole number if until=settled, got {text}: the further seeds are counted from it"
            )
        self.seeds = [f"{SEED}{int(first) + n}" for n in range(self.until.most)]
        last = int(first) + self.until.most - 1
        print(
            f"until=settled: seeds {first} to {last} at most, looked at after {', '.join(map(str, self.until.looks))} seeds",
            flush=True,
        )
        self._batch: list[Sequence[str]] = []
        self._answering: set[tuple[str, ...]] = set()

    def with_all_seeds(self, arguments: Sequence[str]) -> list[str]:
        """Overrides in which the seeds are all that the design may need.

        Args:
            arguments: The overrides of the command line.
        """
        words = [word for word in arguments if not word.startswith(SEED)]
        return [*words, SEED + ",".join(seed.removeprefix(SEED) for seed in self.seeds)]

    def batch(self, jobs: Sequence[Sequence[str]], number: int) -> list[Sequence[str]]:
        """The jobs up to a look that no earlier one needed.

        Args:
            jobs: The overrides of all jobs.
            number: The number of the look, from 0.
        """
        looks = self.until.looks
        seeds = set(self.seeds[looks[number - 1] if number else 0 : looks[number]])
        batch = [job for job in jobs if seeds & set(job)]
        if number and self.until.train == "primary":
            batch = [job for job in batch if _without_seed(job) in self._answering]
        self._batch = batch
        return batch

    def look(self) -> bool:
        """Whether the sweep ends with the batch that was trained: it is looked at, and the look is recorded.

        Raises:
            ConfigError: If a variant of the question is not among those of the sweep, a run diverged, or some are missing.
        """
        (path,) = manifests_of_this_sweep()
        sweep = manifest.read_one(path)
        self._find_answering()
        looks = take_looks(sweep, self.primary, self.until)
        if not looks:
            raise ConfigError(
                f"{STOPPED} runs of its first look are trained elsewhere: run it again when they are done"
            )
        manifest.record_looks(path, looks)
        print(f"look {len(looks)}: {sentence(looks[-1], self.primary, self.until)}", flush=True)
        return looks[-1].settled != "open" or looks[-1].n >= self.until.most

    def all_looks(self, jobs: Sequence[Sequence[str]]) -> list[Sequence[str]]:
        """The jobs of all looks, after a line on each; none where there is one look, whose forecast has been printed.

        Args:
            jobs: The overrides of all jobs.
        """
        self._find_answering()
        everything, first = list(self._batch), len({run.hash for run in runs_of_last_batch()})
        lines = [f"look 1: {self.until.looks[0]} seeds, {first} runs"]
        variants = first // self.until.looks[0] if self.until.train == "all" else 2
        for number, (before, n) in enumerate(itertools.pairwise(self.until.looks), start=1):
            everything += self.batch(jobs, number)
            lines.append(f"look {number + 1}: {n} seeds, {variants * (n - before)} more runs")
        if len(lines) > 1:
            print("\n".join(["if the question stays open until the last look:", *lines]), flush=True)
        return everything if len(lines) > 1 else []

    def stopped(self) -> str:
        """A sentence on why the sweep ends before its question is settled, where runs of a batch have no result."""
        self._find_answering()
        answers = [_without_seed(words) in self._answering for words in self._batch]
        batch = zip(runs_of_last_batch(), answers, strict=True)
        lost = {run: is_answering for run, is_answering in batch if not _has_result(run)}
        diverged = {run: is_answering for run, is_answering in lost.items() if store.diverged(run.folder)}
        if not lost:  # another sweep has finished them meanwhile
            return f"{STOPPED} a run failed: the same command goes on from there"
        names = few((run.name for run in diverged or lost), 1)
        if diverged:
            return (
                f"{STOPPED} {names} diverged; {RECIPE}{'' if any(diverged.values()) else ', or leave its variant out'}"
            )
        return f"{STOPPED} {names} failed: the same command tries again, and goes on from there"

    def _find_answering(self) -> None:
        """Which jobs train the question's variants, by those of the first batch."""
        if self._answering:
            return
        runs = runs_of_last_batch()
        variants = [identities.variant(run.identity) for run in runs]
        hashes = [identities.hash_of(settings) for settings in variants]
        sides = find_variants(dict(zip(hashes, variants, strict=True)), self.primary)
        jobs = zip(self._batch, hashes, strict=True)
        self._answering = {_without_seed(words) for words, variant in jobs if variant in sides}


def _has_result(run: store.Run) -> bool:
    try:
        return run.result() is not None
    except ValueError:  # it cannot be read
        return False


def _without_seed(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for word in words if not word.startswith(SEED))


def take_looks(sweep: Manifest, primary: Primary, until: Until) -> list[TakenLook]:
    """What the question's answer is at each look that has its seeds; earlier looks keep the time at which they were taken.

    Args:
        sweep: The sweep's manifest.
        primary: The question.
        until: The design.

    Raises:
        ConfigError: If a run of the question diverged, so that its seeds are not all there.
    """
    from hybridnets import stats  # imports scipy's functions when they are called

    by_side = [_values(sweep, variant, primary.metric) for variant in find_variants(sweep.variants, primary)]
    common = sorted(by_side[0].keys() & by_side[1].keys())
    differences = [by_side[0][seeds] - by_side[1][seeds] for seeds in common]
    looks = stats.sequential(differences, until.looks, until.method, primary.margin)
    times = {look.n: look.time for look in sweep.looks}
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    return [TakenLook(look.n, times.get(look.n, now), look.estimate, look.interval, look.settled) for look in looks]


def _values(sweep: Manifest, variant: str, metric: str) -> dict[tuple[int, int, int], float]:
    """A variant's metric by seeds, of the runs that are finished."""
    values = {}
    for run in sweep.requested.values():
        if run.variant is None or identities.hash_of(run.variant) != variant:
            continue
        record = result.read(sweep.out / run.folder)
        if record is None:
            continue
        if record.diverged:
            raise ConfigError(f"{STOPPED} {run.folder} diverged; {RECIPE}")
        values[run.seeds] = record.best[f"{metric}/acc"]
    return values


def sentence(look: TakenLook, primary: Primary, until: Until) -> str:
    """A look in words.

    Args:
        look: The look.
        primary: The question.
        until: The design.
    """
    low, high = (f"{100 * end:+.2f}" for end in look.interval)
    known = "no interval yet" if "inf" in low + high else f"interval {low} to {high} points"
    verdict = {
        "better": f"{primary.variant} is better",
        "worse": f"{primary.baseline} is better",
        "equivalent": "the two are equivalent",
        "open": "open" if look.n < until.most else f"not settled with the {until.most} seeds that were declared",
    }[look.settled]
    return f"{look.n} seeds, {100 * look.estimate:+.2f} points, {known}: {verdict}"
