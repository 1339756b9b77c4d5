"""What a paper says of these runs: a methods paragraph, and two answers to the NeurIPS checklist, with the gaps named."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hybridnets.program import plural
from hybridnets.report.analysis import DataSetReport, Report
from hybridnets.report.comparing.methods import Methods, methods
from hybridnets.report.comparing.resources import Resources, duration
from hybridnets.report.rendering.methods_paragraph import family_sentence, joint_paragraph, merged, one_paragraph
from hybridnets.report.tables.table import LATEX, wrapped

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
        methods: One paragraph on all data sets if these have a joint answer, or else one per data set.
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
    joint = report.joint if report.joint and report.joint.sentences else None
    return ForPaper(
        methods=(joint_paragraph(joint, facts),) if joint else tuple(one_paragraph(*fact) for fact in facts),
        items=(_significance(facts), _compute(report)),
        gaps=tuple(_gaps(report, facts)),
        commands=report.commands,
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
    sentences += merged(
        {part.data_set.name: [family_sentence(size) for size in procedure.families] for part, procedure in facts}
    )
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
