"""The question that a sweep's file declares: whether the sweep trains the variants that it is about."""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig

from hybridnets.config.errors import ConfigError
from hybridnets.config.keys import proposal
from hybridnets.config.schema import UNTIL_SETTLED
from hybridnets.runs import Run, identities
from hybridnets.runs.declaration import Primary, parse_declaration
from hybridnets.runs.labels import find_variant

ALL_AT_ONCE = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"  # the sweeper that knows all runs beforehand
NAME = re.compile(r"(?P<model>\w+)(?:-(?P<rnn>\w+)-(?P<layers>\d+)x(?P<nodes>\d+))?")  # as `identities.name` makes it


def find_variants(variants: Mapping[str, identities.Identity], primary: Primary) -> tuple[str, str]:
    """The hashes of a question's variant and baseline.

    Args:
        variants: The identities without seeds of a sweep's runs, by hash.
        primary: The question.

    Raises:
        ConfigError: If one of them is not there, or is not one variant.
    """
    sides = []
    for label in (primary.variant, primary.baseline):
        match = find_variant(variants, label)
        if match is None:
            names = _names(variants.values())
            alike = sum(identities.name(settings) == label for settings in variants.values())
            why = f"{_not_trained(label, names)}{_remedy(label, names)}"
            if alike:
                why = f"{label}, which {alike} of them are called: add the settings in which they differ"
            raise ConfigError(
                f"until=settled needs report.primary to name two variants that the sweep trains, got {why}"
            )
        sides.append(match)
    return sides[0], sides[1]


def check_question(report: Any, runs: Sequence[Run], needed: Sequence[Run]) -> None:
    """Says which variants of the declared questions a sweep does not train, before it trains any.

    Args:
        report: The sweep's `report:` section.
        runs: The runs that the sweep requests.
        needed: The runs of their backbones.

    Raises:
        ConfigError: If no question can have an answer: with until=settled if one of its variants is not trained, else if
            none of the questions' variants is, and none was trained by another sweep.
    """
    questions = parse_declaration(report).primary
    sweeper = HydraConfig.get().sweeper.get("_target_")
    if sweeper == UNTIL_SETTLED:
        variants = [identities.variant(run.identity) for run in runs]
        for question in questions:
            find_variants({identities.hash_of(settings): settings for settings in variants}, question)
        return
    names = _names(run.identity for run in (*runs, *needed))
    labels = list(dict.fromkeys(side for question in questions for side in (question.variant, question.baseline)))
    missing = {label: _is_finished(label, runs) for label in labels if label.split()[0] not in names}
    if missing and len(missing) == len(labels) and sweeper == ALL_AT_ONCE and not any(missing.values()):
        raise ConfigError(
            "report.primary must name a variant that the sweep trains, or that is finished in out, got "
            f"{' and '.join(labels)}: the sweep's variants are {', '.join(names)}; "
            "correct the labels, or give report=null to sweep without a question"
        )
    for label, is_finished in missing.items():
        without = (
            "its finished runs count with report --sweep all only" if is_finished else "its question has no answer"
        )
        print(
            f"report.primary names {_not_trained(label, names)}; so {without}{_remedy(label, names)}", file=sys.stderr
        )


def check_margin(report: Any, test_images: int) -> None:
    """Says before a sweep trains that a question's margin is less than one test image, which no number of seeds can show.

    Args:
        report: The sweep's `report:` section.
        test_images: The number of test images.
    """
    for question in parse_declaration(report).primary:
        if question.metric == "test" and 0 < question.margin * test_images < 1:
            print(
                f"report.primary.margin is {100 * question.margin:g} points, less than one of the {test_images:,} test images "
                f"({100 / test_images:.2f} points), so that no number of seeds can show it: use more test images, or a larger "
                "margin",
                file=sys.stderr,
            )


def _not_trained(label: str, names: Sequence[str]) -> str:
    return f"{label}, which the sweep does not train: its variants are {', '.join(names)}"


def _remedy(label: str, names: Sequence[str]) -> str:
    """The settings that train a variant and the label that was probably meant, to be added to a message."""
    name = label.split()[0]
    longer = [other for other in names if other.startswith(f"{name}-")]  # crnn for crnn-bilstm-1x16
    meant = f"; did you mean {' or '.join(longer)}?" if longer else proposal(name, names)
    match = NAME.fullmatch(name)
    if not match or (meant and not match["rnn"]):
        return meant
    words = " ".join(f"{key}={value}" for key, value in match.groupdict().items() if value)
    return f"; to train it, sweep over {words}, too{meant}"


def _names(variants: Iterable[identities.Identity]) -> list[str]:
    return sorted({identities.name(settings) for settings in variants})


def _is_finished(label: str, runs: Sequence[Run]) -> bool:
    """Whether a variant has a finished run next to those of a sweep."""
    folders = {run.out / str(run.identity["data"]["name"]) / label.split()[0] for run in runs}
    return any(True for folder in folders for _ in folder.glob("*/result.json"))
