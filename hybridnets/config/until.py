"""`until=settled`: seeds are added in the declared steps, until the sweep's question is settled."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hybridnets.config.errors import ConfigError
from hybridnets.config.sweep import last_plan, manifests_of_this_sweep
from hybridnets.runs import identities, manifest
from hybridnets.runs.declaration import Primary, Until, parse_declaration
from hybridnets.runs.labels import find_variant
from hybridnets.runs.manifest import Manifest, TakenLook
from hybridnets.runs.records import result

SEED = "seed="
MEASURED = ("test", "val")  # accuracies that a result states


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
        declaration = parse_declaration({key: section.get(key) for key in ("primary", "until")})
        if len(declaration.primary) != 1 or declaration.until is None:
            raise ConfigError(
                "until=settled needs one question and its design in the sweep's file, report.primary and report.until (first, "
                f"most, every, method, train), got {len(declaration.primary)} questions and "
                f"{'a' if declaration.until else 'no'} design: a question that is chosen later cannot say when to stop"
            )
        (self.primary,), self.until = declaration.primary, declaration.until
        if self.primary.metric not in MEASURED or self.primary.test == "corrected":
            raise ConfigError(
                f"until=settled needs report.primary.metric to be {' or '.join(MEASURED)} and no corrected test, got "
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
            ConfigError: If a variant of the question is not among those of the sweep, or a run of it diverged.
        """
        if self.is_rehearsal:
            return True
        (path,) = manifests_of_this_sweep()
        sweep = manifest.read_one(path)
        if not self._answering:
            sides = set(find_variants(sweep, self.primary))
            jobs = zip(self._batch, last_plan(), strict=True)
            self._answering = {_without_seed(words) for words, variant in jobs if variant in sides}
        looks = take_looks(sweep, self.primary, self.until)
        manifest.record_looks(path, looks)
        print(f"look {len(looks)}: {sentence(looks[-1], self.primary, self.until)}", flush=True)
        return looks[-1].settled != "open" or looks[-1].n >= self.until.most


def _without_seed(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for word in words if not word.startswith(SEED))


def find_variants(sweep: Manifest, primary: Primary) -> tuple[str, str]:
    """The hashes of a question's variant and baseline among those that a sweep requested.

    Raises:
        ConfigError: If one of them is not there, or is not one variant.
    """
    settings = sweep.variants
    sides = []
    for label in (primary.variant, primary.baseline):
        match = find_variant(settings, label)
        if match is None:
            raise ConfigError(
                f"report.primary must name two variants that the sweep trains, got {label}: --status lists the variants"
            )
        sides.append(match)
    return sides[0], sides[1]


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

    by_side = [_values(sweep, variant, primary.metric) for variant in find_variants(sweep, primary)]
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
            raise ConfigError(
                f"the question cannot be settled, because a run of it diverged: {run.folder}; sweep a recipe with which none "
                "does"
            )
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
