"""What a paper says of these runs: a methods paragraph, and two answers to the NeurIPS checklist, with the gaps named."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hybridnets.report.analysis import DataSetReport, Report
from hybridnets.report.comparing.families import CHOSEN
from hybridnets.report.comparing.methods import FamilySize, Methods, methods
from hybridnets.report.comparing.resources import Resources, duration
from hybridnets.report.comparing.units import unit_of
from hybridnets.report.tables.answer import Answer
from hybridnets.report.tables.cells import p_text, plural
from hybridnets.report.tables.table import LATEX, wrapped

LISTED = 12  # seeds that are named one by one
# Source: NeurIPS Paper Checklist, items 7 and 8, https://neurips.cc/public/guides/PaperChecklist
SIGNIFICANCE = (
    "Experiment statistical significance",
    "Does the paper report error bars suitably and correctly defined or other appropriate information about the statistical "
    "significance of the experiments?",
)
COMPUTE = (
    "Experiments compute resources",
    "For each experiment, does the paper provide sufficient information on the computer resources (type of compute workers, "
    "memory, time of execution) needed to reproduce the experiments?",
)
PAPER_NAMES = {
    "plain paired t": "the paired t-test over seeds",
    "corrected resampled t (Nadeau and Bengio 2003)": "the corrected resampled t-test (Nadeau and Bengio, 2003)",
    "corrected resampled t (Bouckaert and Frank 2004)": "the corrected resampled t-test over folds (Bouckaert and Frank, 2004)",
}
MEMORY, CONCURRENCY = "memory and storage", "how many runs shared a machine at a time"
CHECK = "Written from what these runs recorded and from nothing else: check each sentence, and fill in what is not recorded."


@dataclass(frozen=True)
class ChecklistItem:
    """One item of the checklist.

    Attributes:
        title: Its title.
        question: What it asks.
        answer: Yes or No.
        justification: The sentences below the answer.
    """

    title: str
    question: str
    answer: str
    justification: tuple[str, ...]


@dataclass(frozen=True)
class ForPaper:
    """What a paper says.

    Attributes:
        methods: One paragraph per data set.
        items: The items of the checklist.
        gaps: What is not recorded, one phrase each.
        commands: The commands that repeat it.
    """

    methods: tuple[str, ...]
    items: tuple[ChecklistItem, ...]
    gaps: tuple[str, ...]
    commands: tuple[str, ...]


def for_paper(report: Report) -> ForPaper:
    """Writes what a paper says of a report's runs.

    Args:
        report: The report, with at least one data set.
    """
    facts = [(part, methods(part.data_set, part.families)) for part in report.parts]
    return ForPaper(
        methods=(*(" ".join(_paragraph(part, procedure)) for part, procedure in facts), *_jointly(report)),
        items=(_significance(facts), _compute(report)),
        gaps=tuple(_gaps(report, facts)),
        commands=report.commands,
    )


def _jointly(report: Report) -> Iterator[str]:
    """A paragraph on what several data sets say together; none for one."""
    if report.joint and report.joint.sentences:
        yield " ".join([f"Over {len(report.joint.joint.data_sets)} data sets together:", *report.joint.sentences])


def _paragraph(part: DataSetReport, procedure: Methods) -> Iterator[str]:
    """The methods of one data set, sentence by sentence."""
    took, name = part.resources, part.data_set.name
    scores_only = part.data_set.variants[0].scores_only
    seeds, unit = _listed(procedure.seeds), "fold" if procedure.folds and scores_only else "seed"
    yield (
        f"On {name}, we compare {plural(took.variants, 'variant')} over {plural(len(procedure.seeds), unit)} ({seeds}), with "
        f"{took.finished:,} {'scores' if scores_only else 'finished runs'}"
        f"{f' of {took.requested:,} requested' * (took.requested > took.finished)}."
    )
    if procedure.diverged:
        ending = "failed" if scores_only else "diverged"
        yield f"{plural(procedure.diverged, 'run')} {ending}; these are in no mean, and comparisons with them get no p-value."
    if not scores_only:
        yield from _training(procedure)
    elif procedure.folds:
        yield _cross_validation(procedure, "The scores are those of")
    for number, answer in enumerate(part.answers):
        yield from _analysis(answer, part, is_first=number == 0)
    if procedure.folds and any(answer.analysis.kind.part == "test" for answer in part.answers):
        yield (
            "The networks of a repetition share training images, so that their differences on the test images are not "
            "independent, as the test takes them to be."
        )
    if not part.answers and part.comparisons:
        why = "can be made" if part.unanswered else "was declared before the runs"
        yield f"No primary analysis {why}, so all comparisons are exploratory."
    for size in procedure.families:
        yield _family(size)


def _training(procedure: Methods) -> Iterator[str]:
    """How runs were trained."""
    if procedure.together:
        split = "the fold that is held out as val" if procedure.folds else "the split into train and val"
        yield f"A seed sets {split}, the initialisation and the order of the training images."
    else:
        yield "The seeds of split, initialisation and order were set apart."
    if procedure.folds:
        k = procedure.folds
        yield f"{_cross_validation(procedure, 'Splits are those of')} Split seed s is fold s mod {k} of repetition s // {k}."
    if procedure.images:
        sizes = f"{procedure.images['train']:,} images for training and {procedure.images['val']:,} held out as val"
        same = ", the same for all variants at a seed" if procedure.same_splits else ""
        yield f"Each split has {sizes}{same}; the {procedure.images['test']:,} test images are the same for all runs."
    elif procedure.same_splits:
        yield "All variants use the same split at a seed."
    if len(procedure.monitors) == 1 and procedure.monitors[0].startswith("val"):
        yield (
            f"We report each run at its epoch with the best {procedure.monitors[0]}: values on val are optimistic, and test "
            "images choose nothing."
        )
    words = list(_recipe_words(procedure.recipe))
    if words:
        yield f"All variants share this recipe: {'; '.join(words)}."
    if procedure.differing:
        yield f"Outside the model the variants differ in {', '.join(procedure.differing)}."


def _cross_validation(procedure: Methods, beginning: str) -> str:
    """The cross-validation that the splits belong to."""
    k, times = procedure.folds, procedure.repetitions
    repeated = f", repeated {times} times with other divisions of the images" if times > 1 else ""
    incomplete = "" if procedure.complete else ", of which some folds are missing"
    shared = f"share {k - 2} of {k - 1} folds" if k > 2 else "have no fold in common"
    return (
        f"{beginning} a {k}-fold cross-validation{repeated}{incomplete}: within a repetition the val parts are disjoint, and "
        f"any two training parts {shared}."
    )


def _recipe_words(recipe: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The shared settings, a class with its arguments or a section with its keys at a time."""
    for section, values in recipe.items():
        groups: dict[str, dict[str, Any]] = {}
        for path, value in values.items():
            group, _, key = path.rpartition(".")
            groups.setdefault(group, {})[key] = value
        for group, settings in groups.items():
            target = str(settings.pop("_target_", "")).rpartition(".")[2]
            name = target or group.replace("_", " ") or section
            listed = ", ".join(f"{key} {value}" for key, value in settings.items())
            yield f"{name} ({listed})" if listed else name


def _analysis(answer: Answer, part: DataSetReport, is_first: bool) -> Iterator[str]:
    """One primary analysis with its result."""
    analysis, test = answer.analysis, answer.analysis.test
    primary, comparison = analysis.primary, answer.comparison
    unit = unit_of(part.data_set, primary.metric).at(test.interval, analysis.evidence.differences.mean)
    n, expected = len(comparison.pairs), comparison.expected_pairs
    equal = (
        "equal seed, split and data" if all(run.split for pair in comparison.pairs for run in pair) else "equal seed"
    )
    which = "An exploratory" if analysis.is_exploratory else "The primary" if is_first else "A further primary"
    yield (
        f"{which} analysis ({analysis.declared}) compares {primary.variant} with {primary.baseline} by "
        f"{analysis.kind.name}, by {analysis.test_name}, with n = {n}"
        f"{f' of {expected}' * (expected > n)} pairs of runs with {equal}."
    )
    if analysis.margin:
        yield f"The smallest difference that matters is {unit.margin(analysis.margin)}{unit.points}."
    levels = [f"{unit.level(level)}{unit.sign}" for level in analysis.levels]
    difference = unit.difference(analysis.evidence.differences.mean)
    confidence = f"{100 * (1 - analysis.level):.4g} %"
    results = [f"{confidence} interval {unit.interval(test.interval)}"] if test.interval else []
    if analysis.looks and test.p is not None and not comparison.why_no_stars:
        results.append(f"p = {p_text(test.p)}, valid at whichever look the sweep stopped")
    elif test.p is not None and test.statistic is not None and not comparison.why_no_stars:
        corrected = f"corrected for {analysis.choices} possible choices" if analysis.is_exploratory else "uncorrected"
        results.append(f"t({test.n - 1}) = {test.statistic:.2f}, p = {p_text(test.p)}, {corrected}")
    why = f"no p-value is given ({comparison.why_no_stars or test.why})" if len(results) < 2 else ""
    yield (
        f"Over these pairs {primary.variant} reaches {levels[0]} and {primary.baseline} {levels[1]} on average: a difference "
        f"of {difference}{unit.points} ({'; '.join(filter(None, (*results, why)))})."
    )
    yield f"{answer.headline}"


def _family(size: FamilySize) -> str:
    """The comparisons at one metric that are corrected together, and how."""
    metric, family = size.metric.name, size.family
    names = [PAPER_NAMES.get(name, f"the {name}") for name in size.names]
    if not size.tested:
        return f"No test applies to the {plural(family.size, f'{family.rank.value} comparison')} by {metric}."
    if family.size == 1:
        return (
            f"There is one {family.rank.value} comparison by {metric} ({names[0]}), whose p-value needs no correction."
        )
    if family.name == CHOSEN:
        return (
            f"By {metric}, {family.name} is tested by {names[0]}; its p-value is corrected for the {family.size} that it was "
            "chosen from."
        )
    without = family.size - size.tested
    rest = f" ({without} of {family.size} comparisons have none)" if without else ""
    return (
        f"By {metric} we make {family.size} {family.rank.value} comparisons by {' or '.join(names)}; their p-values are "
        f"corrected by Holm's method for {plural(size.tested, 'test')}{rest}."
    )


def _significance(facts: Sequence[tuple[DataSetReport, Methods]]) -> ChecklistItem:
    """The item on error bars."""
    comparisons = [c for part, _ in facts for c in part.comparisons]
    counts = sorted({len(c.pairs) for c in comparisons if len(c.pairs) > 1})
    if not counts:
        why = "there is one pair of runs per comparison" if comparisons else "no two variants were compared"
        return ChecklistItem(*SIGNIFICANCE, "No", (f"Differences have no error bars, because {why}.",))
    tests = dict.fromkeys(answer.analysis.test_name for part, _ in facts for answer in part.answers)
    names = list(tests) or ["a paired t over seeds"]
    sentences = [
        "Levels are means with standard deviations (n - 1) over the runs of a variant.",
        f"Error bars of differences are 95 % intervals of the mean paired difference ({' or '.join(names)}), with "
        f"n = {_range(counts)} pairs"
        + ("; a single pair has none." if any(len(c.pairs) == 1 for c in comparisons) else "."),
    ]
    varying = list(dict.fromkeys(kind for _, procedure in facts for kind in procedure.varying))
    if any(not part.data_set.variants[0].scores_only for part, _ in facts):
        sentences.append(f"What varies between seeds: {', '.join(varying)}." if varying else "No seed varies.")
    questions = dict.fromkeys(a.analysis.question for part, _ in facts for a in part.answers)
    sentences += [f"The intervals speak of differences {'; or '.join(questions)}."] * bool(questions)
    sentences.append(
        "They assume that differences are normally distributed and independent given the data"
        + (", which so few pairs cannot show." if counts[0] < 5 else ".")
    )
    sentences += [_family(size) for _, procedure in facts for size in procedure.families]
    return ChecklistItem(*SIGNIFICANCE, "Yes", tuple(sentences))


def _compute(report: Report) -> ChecklistItem:
    """The item on hardware and time."""
    took = report.resources
    recorded = took.finished - took.unrecorded
    if not recorded:
        return ChecklistItem(*COMPUTE, "No", ("Neither the hardware nor the time of these runs was recorded.",))
    of = f" ({recorded:,} of {took.finished:,} finished runs recorded theirs)" if took.unrecorded else ""
    sentences = [
        f"The {plural(recorded, 'finished run')} took {duration(took.seconds)} in all{of}, "
        f"{duration(took.seconds / recorded)} per run on average; the table of variants has the time per epoch and per run.",
        *_hardware(took),
    ]
    if took.lost_seconds:
        lost = took.requested - took.finished
        sentences.append(
            f"{plural(lost, 'requested run')} without a result took another {duration(took.lost_seconds)}."
        )
    sentences.append("These are the seconds of all recorded epochs, training and validation.")
    sentences.append(f"Not recorded: {MEMORY}; {CONCURRENCY}.")
    is_complete = all(took.hardware) and not took.unrecorded
    return ChecklistItem(*COMPUTE, "Yes" if is_complete else "No", tuple(sentences))


def _hardware(took: Resources) -> Iterator[str]:
    kinds = [(name, share) for name, share in took.hardware.items() if name]
    if len(kinds) == 1 and len(took.hardware) == 1:
        yield f"All ran on {kinds[0][0]}."
    elif kinds:
        listed = "; ".join(
            f"{plural(share.runs, 'run')} on {name} ({duration(share.seconds)})" for name, share in kinds
        )
        yield f"They ran on different hardware, whose times cannot be compared: {listed}."


def _gaps(report: Report, facts: Sequence[tuple[DataSetReport, Methods]]) -> Iterator[str]:
    """What is not recorded."""
    took = report.resources
    scores_only = any(part.data_set.variants[0].scores_only for part, _ in facts)
    if scores_only:
        yield "how the runs were trained, and which epoch and which images their scores are of"
    if any(procedure.same_splits is None for _, procedure in facts):
        yield "whether runs with equal seeds share a split"
    if took.unrecorded:
        yield f"the time of {plural(took.unrecorded, 'run')}"
    if "" in took.hardware:
        yield f"the hardware of {plural(took.hardware[''].runs, 'run')}"
    yield from (MEMORY, CONCURRENCY)
    if not scores_only:
        yield "the time of start-up, of the final measurement, and of epochs that were repeated after an interruption"
        if not report.sources:
            yield "the code and the versions that made the runs"
    yield "preliminary, discarded and other experiments than these runs"


def _listed(seeds: Sequence[str]) -> str:
    return ", ".join(seeds) if len(seeds) <= LISTED else f"{seeds[0]} to {seeds[-1]}"


def _range(counts: Sequence[int]) -> str:
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def paper_text(paper: ForPaper) -> str:
    """The same as plain text.

    Args:
        paper: What a paper says.
    """
    blocks = [wrapped(CHECK), "METHODS", *map(wrapped, paper.methods), "NEURIPS PAPER CHECKLIST"]
    for item in paper.items:
        lines = (
            f"Question: {item.question}",
            f"Answer: [{item.answer}]",
            f"Justification: {' '.join(item.justification)}",
        )
        blocks.append("\n".join([item.title, *map(wrapped, lines)]))
    blocks.append("\n".join(["NOT RECORDED", *(wrapped(f"- not recorded: {gap}", "  ") for gap in paper.gaps)]))
    blocks.append("\n".join(["COMMANDS", *paper.commands]))
    return "\n\n".join(blocks) + "\n"


def paper_latex(paper: ForPaper) -> str:
    """The same as LaTeX, to be read into a paper by its own class or by that of NeurIPS.

    Args:
        paper: What a paper says.
    """
    lines = [
        f"% {CHECK}",
        r"\providecommand{\answerYes}[1][]{[Yes] #1}",
        r"\providecommand{\answerNo}[1][]{[No] #1}",
        "",
        r"\paragraph{Methods.}",
        *(paragraph.translate(LATEX) + "\n" for paragraph in paper.methods),
        r"\begin{enumerate}",
    ]
    for item in paper.items:
        lines += [
            rf"\item {{\bf {item.title}}}",
            rf"\item[] Question: {item.question.translate(LATEX)}",
            rf"\item[] Answer: \answer{item.answer}{{}}",
            rf"\item[] Justification: {' '.join(item.justification).translate(LATEX)}",
        ]
    gaps = [rf"\item Not recorded: {gap.translate(LATEX)}." for gap in paper.gaps]
    lines += [r"\end{enumerate}", "", r"\begin{itemize}", *gaps, r"\end{itemize}", ""]
    lines += [f"% {command}" for command in paper.commands]
    return "\n".join(lines) + "\n"
