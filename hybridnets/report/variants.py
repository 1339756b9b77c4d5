"""Runs grouped into variants, their labels, and what the sweeps' manifests say is missing."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from statistics import fmean, median
from typing import Any

from hybridnets.report.results import Finished, Found
from hybridnets.runs import identity as ids
from hybridnets.runs.files import read_json
from hybridnets.stats import Summary, summary

UNSET = object()  # a setting that a variant does not have at all


class _Class(str):
    """The full name of a class that a section names by `_target_`."""

    __slots__ = ()


@dataclass(frozen=True)
class Variant:
    """A configuration without its seeds, and its runs.

    Attributes:
        label: Its short name, with the settings that set it apart where several variants of the data set share it.
        name: Its short name.
        settings: Its identity without seeds.
        runs: Its finished runs by their seeds; at least one.
        missing: How many runs the sweeps asked for beside these.
    """

    label: str
    name: str
    settings: ids.Identity
    runs: tuple[Finished, ...]
    missing: int

    @property
    def parameters(self) -> int:
        """Keras's count."""
        return self.runs[0].parameters

    @property
    def epoch_seconds(self) -> float | None:
        """Median over all epochs of all runs; None where none was recorded."""
        epochs = [seconds for run in self.runs for seconds in run.epoch_seconds]
        return median(epochs) if epochs else None

    @property
    def run_seconds(self) -> float | None:
        """Mean over the runs of what their epochs took together; None where none was recorded."""
        totals = [run.seconds for run in self.runs if run.seconds is not None]
        return fmean(totals) if totals else None

    def scores(self, score: str) -> Summary:
        """An accuracy over the runs.

        Args:
            score: Its name in a finished run: test, val_best or val_last.
        """
        return summary([getattr(run, score) for run in self.runs])


@dataclass(frozen=True)
class Section:
    """One data set.

    Attributes:
        data: Its name.
        variants: Its variants, in the natural order of their labels.
    """

    data: str
    variants: list[Variant]


def sections(found: Found) -> tuple[list[Section], list[str]]:
    """The variants that were found, by data set, and a sentence on each manifest or variant that is left out.

    Args:
        found: The finished runs.
    """
    groups = defaultdict[str, dict[str, list[Finished]]](lambda: defaultdict(list))
    for run in found.runs:
        groups[run.data][ids.digest(ids.variant(run.identity))].append(run)
    missing, problems = _missing(found)
    result = []
    for data, grouped in sorted(groups.items()):
        labels = _labels({key: group[0] for key, group in grouped.items()})
        variants = [
            Variant(
                label=labels[key],
                name=group[0].name,
                settings=ids.variant(group[0].identity),
                runs=tuple(sorted(group, key=lambda run: run.seeds)),
                missing=sum(_claimed(missing, ids.variant(group[0].identity))),
            )
            for key, group in grouped.items()
        ]
        result.append(Section(data, sorted(variants, key=lambda variant: _natural(variant.label))))
    # What no variant claimed belongs to variants without a finished run, in folders that others may share.
    shared = {run.relative.parent for run in found.runs}
    for name, n in sorted(Counter(folder.parent for folder in missing.values()).items()):
        settings = " with other settings" if Path(name) in shared else ""
        problems.append(f"{name}{settings}: 0/{n} runs finished")
    return result, problems


def _missing(found: Found) -> tuple[dict[str, PurePath], list[str]]:
    """Hash and folder of each run that a manifest asks for below the given folders and that is not among those found."""
    asked: dict[str, PurePath] = {}
    problems = []
    for out in sorted({out for run in found.runs for out in run.folder.resolve().parents[2:3]}):
        for path in sorted(out.glob("sweeps/*.json")):
            try:
                entries = {str(run["hash"]): PurePath(run["folder"]) for run in read_json(path)["runs"]}
            except (OSError, ValueError, KeyError, TypeError):
                problems.append(f"{path} cannot be read: runs that it asked for and that are missing are not counted")
                continue
            asked |= {key: folder for key, folder in entries.items() if _below(out / folder, found.folders)}
    finished = {run.hash for run in found.runs}
    return {key: folder for key, folder in asked.items() if key not in finished}, problems


def _below(path: Path, folders: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _claimed(missing: dict[str, PurePath], settings: ids.Identity) -> Iterator[int]:
    """Takes out of `missing` the runs that are this variant's: a run's hash follows from variant and seeds."""
    for key, folder in list(missing.items()):
        if seeds := re.match(r"seed=(\d+)(?:\.(\d+)\.(\d+))?-", folder.name):
            split, init, order = (int(number or seeds[1]) for number in seeds.groups())
            if ids.digest({**settings, "seeds": {"split": split, "init": init, "order": order}}) == key:
                del missing[key]
                yield 1


def _labels(variants: Mapping[str, Finished]) -> dict[str, str]:
    """A label for each variant of one data set: distinct, and short where the short name says it all."""
    sharing = defaultdict[str, dict[str, ids.Identity]](dict)
    for key, run in variants.items():
        sharing[run.name][key] = ids.variant(run.identity)
    labels: dict[str, str] = {}
    for name, group in sharing.items():
        paths = {path for settings in group.values() for path in _paths(settings)}
        told = {key: [name] for key in group}
        for path in sorted(paths):
            values = {key: _value(settings, path) for key, settings in group.items()}
            shown = {key: _shown(value, list(values.values())) for key, value in values.items() if value is not None}
            if len(set(shown.values())) > 1:
                for key, text in shown.items():
                    told[key].append(f"{_short(path, paths)}={text}")
        labels |= {key: " ".join(words) for key, words in told.items()}
    often = Counter(labels.values())
    return {key: label if often[label] == 1 else f"{label} {key[:6]}" for key, label in labels.items()}


def differing(one: ids.Identity, other: ids.Identity) -> list[tuple[str, str, str]]:
    """Where two configurations differ: dotted path, and the value of each as text.

    Args:
        one: A configuration.
        other: Another.
    """
    found: list[tuple[str, str, str]] = []
    for path in sorted({*_paths(one), *_paths(other)}):
        values = [_value(one, path), _value(other, path)]
        if None not in values:
            first, second = (_shown(value, values) for value in values)
            if first != second:
                found.append((".".join(path), first, second))
    return found


def _paths(settings: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every setting's path; that a class is named by `_target_` and completed later is no setting of its own."""
    for key, value in settings.items():
        if key not in ("_target_", "_partial_"):
            yield (*above, key)
            if isinstance(value, Mapping):
                yield from _paths(value, (*above, key))


def _value(settings: ids.Identity, path: tuple[str, ...]) -> Any:
    """A setting's value in a list of its own; None where the question does not arise: a section, or one below nothing."""
    node: Any = settings
    for key in path[:-1]:
        node = node.get(key) if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping):
        return None
    value = node.get(path[-1], UNSET)
    if isinstance(value, Mapping):
        return [_Class(value["_target_"])] if "_target_" in value else None
    return [value]


def _shown(value: list[Any], among: list[Any]) -> str:
    """A value as short as it can be told from the others: a class without its package, a hash by its first digits."""
    (plain,) = value
    if plain is UNSET:
        return "unset"
    if isinstance(plain, _Class):
        short = plain.rpartition(".")[2]
        others = [other[0] for other in among if other and isinstance(other[0], _Class) and other[0] != plain]
        return str(plain) if any(other.rpartition(".")[2] == short for other in others) else short
    if isinstance(plain, str):
        return plain[:6] if re.fullmatch(r"[0-9a-f]{64}", plain) else plain
    return ids.canonical(plain)


def _short(path: tuple[str, ...], paths: set[tuple[str, ...]]) -> str:
    """The last part of a path, or as many of the last parts as no other path ends in."""
    for size in range(1, len(path)):
        if sum(other[-size:] == path[-size:] for other in paths) == 1:
            return ".".join(path[-size:])
    return ".".join(path)


def _natural(text: str) -> list[tuple[float, str]]:
    """A sorting key in which 1x8 stands before 1x16 and lr=0.001 before lr=0.01."""
    parts = re.split(r"(\d+(?:\.\d+)?(?:e-?\d+)?)", text)
    return [(float(part), "") if place % 2 else (0, part) for place, part in enumerate(parts)]
