"""What to do next, in one sentence with the exact command."""

import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from hybridnets import program
from hybridnets.program import plural
from hybridnets.report.comparing.answers import PrimaryAnalysis, Verdict
from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.comparing.variants import DataSetVariants, MissingRun
from hybridnets.report.reading.manifests import Sweep
from hybridnets.report.request import ReportRequest

PILOT = 5  # seeds from which the spread is known well enough to plan with
LISTED = 10  # seeds that a command lists one by one
FRESH = "-fresh"  # ends the name of the folder of a fresh sweep
ARCHIVE = ".npz"


@dataclass(frozen=True)
class NextStep:
    """What to do next.

    Attributes:
        sentence: What, and why; it ends with a colon where a command follows.
        command: The command, as it is typed; empty where there is none.
    """

    sentence: str
    command: str


@dataclass(frozen=True)
class Invocation:
    """How a report was requested.

    Attributes:
        command: The whole command line.
        paths: The folders and files in it, as the user gave them.
    """

    command: str
    paths: tuple[str, ...]

    @property
    def program(self) -> str:
        """The words before the arguments: python report.py, or hybridnets report."""
        words = _words(self.command)
        ends = [n for n, word in enumerate(words) if PurePath(word).stem == "report"]
        return shlex.join(words[: ends[0] + 1] if ends else program.words("report"))

    @property
    def archives(self) -> list[str]:
        """Those of the paths that are archives of runs."""
        return [path for path in self.paths if path.lower().endswith(ARCHIVE)]

    def with_words(self, *words: str) -> str:
        """The same command with more words at its end."""
        return f"{self.command} {shlex.join(words)}"

    def instead(self, *words: str) -> str:
        """The program with other words and the same paths."""
        return f"{self.program} {shlex.join([*words, *self.paths])}"


def next_step(
    data_set: DataSetVariants,
    analyses: Sequence[PrimaryAnalysis],
    comparisons: Sequence[Comparison],
    sweeps: Sequence[Sweep],
    request: ReportRequest,
    invocation: Invocation,
) -> NextStep:
    """What to do next about one data set: finish what was requested, then settle what is open, then look closer.

    Seeds are never added to an undecided comparison: to look, add and look again finds differences that do not exist. What
    is undecided gets a fresh sweep, whose number of seeds follows from the margin and from the spread of these.

    Args:
        data_set: Its variants.
        analyses: Its primary analyses; the first one that is open decides.
        comparisons: All comparisons.
        sweeps: The sweeps that requested its runs.
        request: What the command line requested.
        invocation: How the report was requested.
    """
    missing = [run for runs in (*(v.missing for v in data_set.variants), data_set.missing) for run in runs]
    scores_only = any(variant.scores_only for variant in data_set.variants)
    if missing and not scores_only:
        return _finish(missing, sweeps, invocation)
    if not analyses:
        return _name_the_question(data_set, comparisons, invocation)
    for analysis in analyses:
        match analysis.verdict:
            case Verdict.INCOMPLETE:
                return _complete(analysis.comparison, scores_only, invocation)
            case Verdict.OPEN | Verdict.NO_TEST if analysis.plan and not analysis.plan.is_over:
                return NextStep(
                    "the sweep's command adds the seeds of the next look, as declared:", analysis.plan.command
                )
            case Verdict.OPEN if not analysis.margin:
                return NextStep(
                    "decide which difference matters (here 1 as an example): the report then says how many seeds a fresh sweep "
                    "needs to find it:",
                    invocation.with_words("--margin", "1"),
                )
        if analysis.looks and analysis.verdict is Verdict.OPEN:
            return NextStep(
                "not settled with the declared number of seeds: declare a fresh sweep in a file of its own, with other seeds "
                "and a larger report.until.most (docs/statistics.md has what each method needs).",
                "",
            )
        if analysis.verdict is Verdict.OPEN and analysis.is_below_an_image:
            images = math.ceil(1 / analysis.margin)
            return NextStep(
                f"no number of seeds shows a margin below one image: use at least {images:,} {analysis.kind.part} images, "
                "better several times as many, or declare a larger margin, and train afresh.",
                "",
            )
        if _seeds_to_settle(analysis, data_set):
            # One sweep settles all that is open.
            seeds = max(_seeds_to_settle(question, data_set) for question in analyses)
            return _start_fresh(seeds, analysis, data_set, sweeps, invocation)
    return _look_closer(data_set, scores_only, request, invocation)


def _seeds_to_settle(analysis: PrimaryAnalysis, data_set: DataSetVariants) -> int:
    """How many seeds of a fresh sweep would settle what an analysis leaves open; 0 where nothing is, or where it is unknown."""
    if analysis.verdict in (Verdict.ONE_SEED, Verdict.TOO_FEW, Verdict.CONSTANT):
        return PILOT
    if analysis.verdict is not Verdict.OPEN:
        return 0
    needed = analysis.needed(data_set.scale(analysis.metric))
    return (needed.plan.seeds or 0) if needed else 0


def _finish(missing: Sequence[MissingRun], sweeps: Sequence[Sweep], invocation: Invocation) -> NextStep:
    """Trains what is missing; what is being trained is watched, and what diverged is explained."""
    running = sum(run.state == "running" for run in missing)
    if running:
        are = "is" if running == 1 else "are"
        return NextStep(
            f"{plural(running, 'run')} {are} being trained: watch until every requested run has ended:",
            invocation.instead("--watch"),
        )
    to_train = [run for run in missing if not run.diverged]
    if not to_train:
        return NextStep(
            f"{plural(len(missing), 'run')} diverged, and would do so again: see why, and sweep a gentler recipe for all "
            "variants:",
            invocation.instead("--status"),
        )
    folders = {run.folder for run in to_train}
    commands = [sweep.manifest.command for sweep in sweeps if folders & set(sweep.manifest.runs.values())]
    have = "has" if len(to_train) == 1 else "have"
    sentence = (
        f"{plural(len(to_train), 'requested run')} {have} no result: the sweep's command trains these and nothing else:"
    )
    unpack = [f"{invocation.program} {shlex.join(['--unpack', path, '-o', 'runs'])}" for path in invocation.archives]
    if unpack:
        commands = [_with_settings(command, out="runs") for command in commands]
    return NextStep(sentence, " && ".join(dict.fromkeys((*unpack, *commands))))


def _complete(comparison: Comparison, scores_only: bool, invocation: Invocation) -> NextStep:
    """What to do about failures and about scores without a pair."""
    if scores_only:
        return NextStep(
            f"complete the file ({comparison.why_no_stars}), then the same command answers:", invocation.command
        )
    return NextStep(
        f"see why runs failed ({comparison.why_no_stars}), and sweep a recipe with which none does:",
        invocation.instead("--status"),
    )


def _name_the_question(
    data_set: DataSetVariants, comparisons: Sequence[Comparison], invocation: Invocation
) -> NextStep:
    """What to do where no analysis answers."""
    if comparisons:
        first = comparisons[0]
        return NextStep(
            "name the comparison that answers and the difference that matters (here the first one and 1 as an example), in the "
            "sweep's file before the runs, or for these runs on the command line:",
            invocation.with_words("--primary", first.variant.label, first.baseline.label, "--margin", "1"),
        )
    label = data_set.variants[0].label
    if len(data_set.variants) > 2:
        return NextStep(
            "compare all variants with one of them, chosen for what it is and not for its score (here the first one):",
            invocation.with_words("--baseline", label),
        )
    if data_set.variants[0].scores_only:
        return NextStep(f"add the scores of a variant that shares seeds with {label}, then the same command compares them:",
                        invocation.command)  # fmt: skip
    return NextStep(
        f"train a variant to compare {label} with: these are the settings:",
        shlex.join([*program.words("train"), "--help"]),
    )


def _start_fresh(
    seeds: int,
    analysis: PrimaryAnalysis,
    data_set: DataSetVariants,
    sweeps: Sequence[Sweep],
    invocation: Invocation,
) -> NextStep:
    """A sweep of its own over seeds that no run has used."""
    comparison = analysis.comparison
    why = (
        "so few do not show how much seeds differ"
        if analysis.verdict is not Verdict.OPEN
        else "seeds added to these until the interval excludes 0 would find differences that do not exist"
    )
    sentence = f"a fresh sweep of {seeds:,} other seeds, declared before it runs; {why}:"
    if comparison.variant.scores_only:
        margin = f"{data_set.scale(analysis.metric) * analysis.margin:g}"
        path = Path(invocation.paths[0]) if invocation.paths else Path("scores.csv")
        fresh = path.with_name(f"{path.stem}{FRESH}{path.suffix}")
        primary = ["--primary", analysis.primary.variant, analysis.primary.baseline]
        margin_words = ["--margin", margin] if analysis.margin else []
        return NextStep(
            f"train both variants with {seeds:,} other seeds, and report their scores from a file of their own; {why}:",
            f"{invocation.program} {shlex.join([str(fresh), *primary, *margin_words])}",
        )
    runs = {run.hash for pair in comparison.pairs for run in pair}
    command = next((sweep.manifest.command for sweep in sweeps if runs & set(sweep.manifest.runs)), "")
    used = [seed for variant in data_set.variants for run in variant.runs for seed in run.seeds]
    together = all(len(set(run.seeds)) == 1 for variant in data_set.variants for run in variant.runs)
    if not command or not together:
        why_none = "vary apart" if command else "were not requested by a sweep"
        return NextStep(f"{sentence[:-1]} (their seeds {why_none}, so write it as a file in sweeps/).", "")
    first = max(used) + 1
    out = next((word[4:].strip("\"'") for word in _words(command) if word.startswith("out=")), "runs")
    out = "runs" if invocation.archives or out.startswith("...") else out.rstrip("/")
    numbers = range(first, first + seeds)
    listed = ",".join(map(str, numbers)) if seeds <= LISTED else f"range({first},{first + seeds})"
    return NextStep(sentence, _with_settings(command, seed=listed, out=f"{out}{FRESH}"))


def _with_settings(command: str, **settings: str) -> str:
    """A training command with some settings replaced, or added at its end."""
    words = [word for word in _words(command) if not re.match(rf"({'|'.join(settings)})=", word)]
    return shlex.join([*words, *(f"{key}={value}" for key, value in settings.items())])


def _words(command: str) -> list[str]:
    """The words of a command; those between spaces where a manifest of somebody else's leaves a quote open."""
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()


def _look_closer(
    data_set: DataSetVariants, scores_only: bool, request: ReportRequest, invocation: Invocation
) -> NextStep:
    """What to do with an answer: see what it depends on, then keep its evidence."""
    levels: dict[str, set[str]] = {}
    for variant in data_set.variants:
        for axis, level in variant.axes.items():
            levels.setdefault(axis, set()).add(level)
    axes = [axis for axis in levels if len(levels[axis]) > 1]
    if axes and len(data_set.variants) > 2 and not request.vary:
        return NextStep("see what each setting changes:", invocation.with_words("--vary", *axes))
    if scores_only and not any(run.outcomes for variant in data_set.variants for run in variant.runs):
        return NextStep(
            "add a column predictions (a file with index, label and class of each image for each run), and the same command "
            "also compares image by image:",
            invocation.command,
        )
    if scores_only or invocation.archives:
        return NextStep("compute every value again from the stored predictions:", invocation.instead("--verify"))
    name = f"{PurePath(invocation.paths[0]).name or 'evidence'}{ARCHIVE}" if invocation.paths else f"evidence{ARCHIVE}"
    return NextStep(
        "keep the evidence in one small file, from which anybody can make this report again:",
        f"{invocation.instead('--pack')} {shlex.join(['-o', name])}",
    )
