"""The methods paragraph of a paper: how the runs were made and compared, on one data set or on several together."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hybridnets.program import either, plural
from hybridnets.report.analysis import DataSetReport
from hybridnets.report.comparing.families import CHOSEN, Rank
from hybridnets.report.comparing.methods import FamilySize, Methods
from hybridnets.report.comparing.units import unit_of
from hybridnets.report.tables.answer import Answer
from hybridnets.report.tables.cells import p_text
from hybridnets.report.tables.joint import JointAnswer

LISTED = 12  # seeds that are named one by one
PAPER_NAMES = {
    "plain paired t": "the paired t-test over seeds",
    "corrected resampled t (Nadeau and Bengio 2003)": "the corrected resampled t-test (Nadeau and Bengio, 2003)",
    "corrected resampled t (Bouckaert and Frank 2004)": "the corrected resampled t-test over folds (Bouckaert and Frank, 2004)",
}

Facts = tuple[DataSetReport, Methods]


def one_paragraph(part: DataSetReport, procedure: Methods) -> str:
    """The methods and results on one data set.

    Args:
        part: The report on it.
        procedure: How its runs were made and compared.
    """
    sentences = [f"On {part.data_set.name}, {_compared(part, procedure)}.", *_making(part, procedure)]
    for number, answer in enumerate(part.answers):
        sentences += _analysis(answer, part, is_first=number == 0)
    return " ".join([*sentences, *_further(part, procedure)])


def joint_paragraph(joint: JointAnswer, facts: Sequence[Facts]) -> str:
    """The methods and results on several data sets: the joint answer, then each data set, then how the runs were made.

    Args:
        joint: The joint answer, with a sentence at least.
        facts: The data sets.
    """
    sentences = [f"Over {len(joint.joint.data_sets)} data sets together:", *joint.sentences]
    made: dict[str, list[str]] = {}
    for part, procedure in facts:
        name = part.data_set.name
        sentences += [f"On {name}, with n = {_pairs(answer)}, {_result(answer, part)}." for answer in part.answers]
        compared = _compared(part, procedure)
        made[name] = [f"{compared[0].upper()}{compared[1:]}.", *_making(part, procedure)]
        for number, answer in enumerate(part.answers):
            made[name] += _question(answer, part, number == 0, "all")
        made[name] += _further(part, procedure)
    return " ".join([*sentences, *merged(made)])


def merged(sentences: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The sentences of several data sets: once if they hold for all, and else with the names of their data sets.

    Args:
        sentences: The sentences on each data set by its name.
    """
    distinct = dict.fromkeys(sentence for listed in sentences.values() for sentence in listed)
    for sentence in distinct:
        names = [name for name, listed in sentences.items() if sentence in listed]
        if len(names) == len(sentences):
            yield sentence
        else:
            first = f"{', '.join(names[:-1])} and " if len(names) > 1 else ""
            yield f"On {first}{names[-1]}: {sentence}"


def _compared(part: DataSetReport, procedure: Methods) -> str:
    """What was compared, as the end of a sentence."""
    took, scores_only = part.resources, part.data_set.variants[0].scores_only
    unit = "fold" if procedure.folds and scores_only else "seed"
    return (
        f"we compare {plural(took.variants, 'variant')} over {plural(len(procedure.seeds), unit)} "
        f"({_listed(procedure.seeds)}), with {took.finished:,} {'scores' if scores_only else 'finished runs'}"
        f"{f' of {took.requested:,} requested' * (took.requested > took.finished)}"
    )


def _making(part: DataSetReport, procedure: Methods) -> Iterator[str]:
    """How the runs were made, and which of them count."""
    scores_only = part.data_set.variants[0].scores_only
    if procedure.diverged:
        ending = "failed" if scores_only else "diverged"
        yield f"{plural(procedure.diverged, 'run')} {ending}; these are in no mean, and comparisons with them get no p-value."
    if not scores_only:
        yield from _training(procedure)
    elif procedure.folds:
        yield _cross_validation(procedure, "The scores are those of")


def _further(part: DataSetReport, procedure: Methods) -> Iterator[str]:
    """What narrows the answers, and how all comparisons are corrected."""
    if procedure.folds and any(answer.analysis.kind.part == "test" for answer in part.answers):
        yield (
            "The networks of a repetition share training images, so that their differences on the test images are not "
            "independent, as the test takes them to be."
        )
    if not part.answers and part.comparisons:
        why = "can be made" if part.unanswered else "was declared before the runs"
        yield f"No primary analysis {why}, so all comparisons are exploratory."
    for size in procedure.families:
        yield family_sentence(size)


def _training(procedure: Methods) -> Iterator[str]:
    """How runs were trained."""
    if not procedure.together:
        yield "The seeds of split, initialisation and order were set apart."
    if procedure.one_split:
        own = ", the data set's own" if procedure.own_val else ""
        varying = " and ".join(procedure.varying) or "nothing"
        yield f"All runs share one split into train and val{own}; what varies between seeds is {varying}."
    elif procedure.together:
        split = "the fold that is held out as val" if procedure.folds else "the split into train and val"
        yield f"A seed sets {split}, the initialisation and the order of the training images."
    if procedure.folds:
        k = procedure.folds
        yield f"{_cross_validation(procedure, 'Splits are those of')} Split seed s is fold s mod {k} of repetition s // {k}."
    if procedure.images:
        sizes = f"{procedure.images['train']:,} images for training and {procedure.images['val']:,} held out as val"
        same = ", the same for all variants at a seed" if procedure.same_splits and not procedure.one_split else ""
        which = "The split" if procedure.one_split else "Each split"
        yield f"{which} has {sizes}{same}; the {procedure.images['test']:,} test images are the same for all runs."
    elif procedure.same_splits and not procedure.one_split:
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
            own = settings.pop("", name)  # a section that is a value itself, as scheduler=null
            listed = ", ".join(f"no {key}" if value is None else f"{key} {value}" for key, value in settings.items())
            yield f"no {name}" if own is None else f"{name} ({listed})" if listed else name


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


def _analysis(answer: Answer, part: DataSetReport, is_first: bool) -> Iterator[str]:
    """One primary analysis with its result."""
    yield from _question(answer, part, is_first, f"n = {_pairs(answer)}")
    yield f"Over these pairs {_result(answer, part)}."
    yield f"{answer.headline}"


def _question(answer: Answer, part: DataSetReport, is_first: bool, pairs: str) -> Iterator[str]:
    """What an analysis compares, and how."""
    analysis, primary = answer.analysis, answer.analysis.primary
    has_splits = all(run.split for pair in answer.comparison.pairs for run in pair)
    which = "An exploratory" if analysis.is_exploratory else "The primary" if is_first else "A further primary"
    yield (
        f"{which} analysis ({analysis.declared}) compares {primary.variant} with {primary.baseline} by "
        f"{analysis.kind.name}, by {analysis.test_name}, with {pairs} pairs of runs with equal "
        f"{'seed, split and data' if has_splits else 'seed'}."
    )
    if analysis.margin:
        unit = unit_of(part.data_set, primary.metric)
        yield f"The smallest difference that matters is {unit.margin(analysis.margin)}{unit.points}."


def _pairs(answer: Answer) -> str:
    """How many pairs of runs there are, and how many there would be."""
    n, expected = len(answer.comparison.pairs), answer.comparison.expected_pairs
    return f"{n}{f' of {expected}' * (expected > n)}"


def _result(answer: Answer, part: DataSetReport) -> str:
    """Both levels and their difference with its test, as the end of a sentence."""
    analysis, test, comparison = answer.analysis, answer.analysis.test, answer.comparison
    unit = unit_of(part.data_set, analysis.metric).at(test.interval, analysis.evidence.differences.mean)
    levels = [f"{unit.level(level)}{unit.sign}" for level in analysis.levels]
    difference = unit.difference(analysis.evidence.differences.mean)
    confidence = f"{100 * (1 - analysis.level):.4g} %"
    interval = [f"{confidence} interval {unit.interval(test.interval)}"] if test.interval else []
    if analysis.looks and test.p is not None and not comparison.why_no_stars:
        p = f"p = {p_text(test.p)}, valid at whichever look the sweep stopped"
    elif test.p is not None and test.statistic is not None and not comparison.why_no_stars:
        corrected = f"corrected for {analysis.choices} possible choices" if analysis.is_exploratory else "uncorrected"
        p = f"t({test.n - 1}) = {test.statistic:.2f}, p = {p_text(test.p)}, {corrected}"
    else:
        p = f"no p-value is given ({comparison.why_no_stars or test.why})"
    return (
        f"{analysis.primary.variant} reaches {levels[0]} and {analysis.primary.baseline} {levels[1]} on average: a difference "
        f"of {difference}{unit.points} ({'; '.join((*interval, p))})"
    )


def family_sentence(size: FamilySize) -> str:
    """The comparisons at one metric that are corrected together, and how.

    Args:
        size: The family.
    """
    metric, family = size.metric.name, size.family
    names = [PAPER_NAMES.get(name, f"the {name}") for name in size.names]
    noun = f"{family.rank.value} comparison"
    table = f' of "{family.name}"' if family.rank is Rank.SECONDARY else ""
    comparisons = f"{'one ' + noun if family.size == 1 else plural(family.size, noun)}{table}"
    if not size.tested:
        return f"No test applies to the {comparisons} by {metric}."
    if family.size == 1:
        return f"There is {comparisons} by {metric} ({names[0]}), whose p-value needs no correction."
    if family.name == CHOSEN:
        return (
            f"By {metric}, {family.name} is tested by {names[0]}; its p-value is corrected for the {family.size} that it was "
            "chosen from."
        )
    without = family.size - size.tested
    rest = f" ({without} of {family.size} comparisons have none)" if without else ""
    return (
        f"By {metric} we make {comparisons} by {either(names)}; their p-values are corrected by Holm's method "
        f"for {plural(size.tested, 'test')}{rest}."
    )


def _listed(seeds: Sequence[str]) -> str:
    return ", ".join(seeds) if len(seeds) <= LISTED else f"{seeds[0]} to {seeds[-1]}"
