"""`until=settled`: a sweeper that adds seeds in the declared steps, and stops when the sweep's question is settled."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from omegaconf import OmegaConf

from hybridnets.config.errors import ConfigError
from hybridnets.config.sweep import last_plan, manifests_of_this_sweep
from hybridnets.runs import identities, manifest
from hybridnets.runs.declaration import Primary, Until, parse_declaration
from hybridnets.runs.labels import find_variant
from hybridnets.runs.manifest import Manifest, TakenLook
from hybridnets.runs.records import result

SEED = "seed="


class UntilSettledSweeper(BasicSweeper):
    """Sweeps as Hydra's own sweeper does, one batch of seeds after the other."""

    primary: Primary
    until: Until

    def sweep(self, arguments: list[str]) -> Any:
        """Trains the seeds of each look, until the question is settled or the declared number of seeds is reached.

        Args:
            arguments: The overrides of the command line.

        Raises:
            ConfigError: If the sweep does not declare one question and its design.
        """
        report = self.config.report if self.config else None
        section = OmegaConf.to_container(report, resolve=True) if report else {}
        design = {key: section.get(key) for key in ("primary", "until")} if isinstance(section, dict) else section
        declaration = parse_declaration(design)
        if len(declaration.primary) != 1 or declaration.until is None:
            raise ConfigError(
                "until=settled needs one question and its design in the sweep's file, report.primary and report.until (first, "
                f"most, every, method, train), got {len(declaration.primary)} questions and "
                f"{'a' if declaration.until else 'no'} design: a question that is chosen later cannot say when to stop"
            )
        (self.primary,), self.until = declaration.primary, declaration.until
        first = self._first_seed(arguments)
        self.seeds = [f"{SEED}{first + n}" for n in range(self.until.most)]
        self.answering: set[tuple[str, ...]] = set()
        words = [word for word in arguments if not word.startswith(SEED)]
        return super().sweep([*words, SEED + ",".join(seed.removeprefix(SEED) for seed in self.seeds)])

    def _first_seed(self, arguments: Sequence[str]) -> int:
        """The first of the seeds that the command line or the sweep's file names; 0 where they name none."""
        named = [word.removeprefix(SEED) for word in arguments if word.startswith(SEED)]
        text = str([(self.params or {}).get("seed", 0), *named][-1]).split(",")[0].strip()
        if not text.isdecimal():
            raise ConfigError(
                f"seed must begin with a whole number if until=settled, got {text}: the further seeds are counted from it"
            )
        return int(text)

    def get_job_batch(self) -> Sequence[Sequence[str]]:
        """The overrides of the runs that the next look needs, and no earlier one did."""
        (jobs,) = self.overrides or ((),)
        begin = self.until.looks[self.batch_index - 1] if self.batch_index else 0
        seeds = set(self.seeds[begin : self.until.looks[self.batch_index]])
        batch = [job for job in jobs if seeds & set(job)]
        if self.batch_index and self.until.train == "primary":
            batch = [job for job in batch if _without_seed(job) in self.answering]
        self.batch_index += 1
        self.batch = batch
        return batch

    def is_done(self) -> bool:
        """Whether the question is settled, or the last look was taken; it takes the look that is due."""
        if not self.batch_index:
            return False
        if self.config is None or self.config.dry_run:
            return True
        if self.batch_index == 1:
            sides = set(find_variants(self._manifest(), self.primary))
            jobs = zip(self.batch, last_plan(), strict=True)
            self.answering = {_without_seed(words) for words, variant in jobs if variant in sides}
        looks = take_looks(self._manifest(), self.primary, self.until)
        manifest.record_looks(self._manifest().path, looks)
        print(f"look {len(looks)}: {sentence(looks[-1], self.primary, self.until)}", flush=True)
        return looks[-1].settled != "open" or looks[-1].n >= self.until.most

    def _manifest(self) -> Manifest:
        (path,) = manifests_of_this_sweep()
        return manifest.read_one(path)


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
