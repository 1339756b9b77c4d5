"""How the seeds of a comparison were added: under a plan, or in steps without one, and what that does to a test's level."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hybridnets import stats
from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.comparing.evidence import Pair
from hybridnets.report.reading.manifests import Sweep
from hybridnets.runs import identities
from hybridnets.runs.declaration import Primary, Until
from hybridnets.runs.labels import find_variant

MOST = 1000  # seeds for which the error is computed


@dataclass(frozen=True)
class Plan:
    """A plan under which seeds of a comparison were added.

    Attributes:
        until: The plan.
        pairs: The positions of its pairs in the comparison, in the order of their seeds.
        sweep: The name of the sweep that followed it.
        question: The question by which that sweep decided when to stop.
        is_over: Whether it stopped: its question was settled, or the last look taken.
        command: The sweep's command.
    """

    until: Until
    pairs: tuple[int, ...]
    sweep: str
    question: Primary
    is_over: bool
    command: str


@dataclass(frozen=True)
class Growth:
    """A sweep that grew.

    Attributes:
        looks: The number of pairs after each step that added some, at least two of them.
        error: How often a plain test at 5 % that is looked at as often finds a difference where there is none.
    """

    looks: tuple[int, ...]
    error: float


def plan_of(sweeps: Sequence[Sweep], comparison: Comparison) -> Plan | None:
    """The plan under which seeds of a comparison were added, that with the most pairs; None without one.

    The intervals of a plan hold at all of its looks at once, whatever decided when to stop. So it is the plan of every
    question about the pair, by any metric and margin, and also of other pairs whose runs were added with it.

    Args:
        sweeps: All sweeps that requested some of the runs, the oldest first.
        comparison: The comparison.
    """
    plans = [plan for sweep in sweeps for plan in _plans(sweep, comparison)]
    return max(reversed(plans), key=lambda plan: len(plan.pairs), default=None)


def _plans(sweep: Sweep, comparison: Comparison) -> Iterator[Plan]:
    requested, until = sweep.manifest.requested, sweep.declaration.until
    pairs = tuple(n for n, pair in enumerate(comparison.pairs) if _hashes([pair]) <= requested.keys())
    if until is None or not sweep.manifest.looks or len(pairs) < until.looks[0]:
        return
    last = sweep.manifest.looks[-1]
    is_over = last.settled != "open" or last.n >= until.most
    sides = {identities.hash_of(side.settings) for side in (comparison.variant, comparison.baseline)}
    for question in sweep.declaration.primary:
        labels = (question.variant, question.baseline)
        if until.train == "all" or {find_variant(sweep.manifest.variants, label) for label in labels} == sides:
            yield Plan(until, pairs, sweep.manifest.path.stem, question, is_over, sweep.manifest.command)


def growth(sweeps: Sequence[Sweep], comparison: Comparison) -> Growth | None:
    """How the pairs of a comparison grew from step to step; None where one sweep requested them all at once.

    A sweep that looked at its results after each batch of seeds made as many steps.

    Args:
        sweeps: All sweeps that requested some of the runs, the oldest first.
        comparison: The comparison.
    """
    requested: set[str] = set()
    looks: list[int] = []
    for sweep in sweeps:
        inside = [pair for pair in comparison.pairs if _hashes([pair]) <= sweep.manifest.requested.keys()]
        for taken in [*(look.n for look in sweep.manifest.looks), len(inside)]:
            requested |= _hashes(inside[:taken])
            if taken >= len(inside):
                requested |= sweep.manifest.requested.keys()
            n = sum(_hashes([pair]) <= requested for pair in comparison.pairs)
            if n >= 2 and (not looks or n > looks[-1]):
                looks.append(n)
    if len(looks) < 2 or looks[-1] > MOST:
        return None
    return Growth(tuple(looks), stats.repeated_error(looks, stats.student_critical(looks))[-1])


def _hashes(pairs: Sequence[Pair]) -> set[str]:
    return {run.hash for pair in pairs for run in pair}
