"""Labels of variants: the short name, and the settings that distinguish the variants that share it."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hybridnets.runs import identities

UNSET = object()  # the value of a setting that a variant does not have
HASH_DIGITS = 6  # of a hash in a label

Path = tuple[str, ...]

# A setting whose value conf/ takes from another one. Where it has that value in all variants, only the other one is shown.
FOLLOWS: Mapping[Path, Path] = {("scheduler", "T_max"): ("trainer", "max_epochs")}


class _ClassName(str):
    """The full name of a class, which a section has as its `_target_`."""

    __slots__ = ()


def label_variants(
    variants: Mapping[str, identities.Identity], names: Mapping[str, str]
) -> dict[str, tuple[str, dict[str, str]]]:
    """A distinct label for each variant, which is its short name if that is enough, and the settings that the label adds.

    Args:
        variants: Identities without seeds, by any key.
        names: Their short names, by the same key.
    """
    by_name = defaultdict[str, dict[str, identities.Identity]](dict)
    for key, settings in variants.items():
        by_name[names[key]][key] = settings
    labels: dict[str, tuple[str, dict[str, str]]] = {}
    for name, group in by_name.items():
        for key, added in _distinguishing_settings(group).items():
            labels[key] = (" ".join([name, *(f"{path}={text}" for path, text in added.items())]), added)
    count = Counter(label for label, _ in labels.values())
    for key, (label, added) in labels.items():
        if count[label] > 1:
            labels[key] = (f"{label} {key[:HASH_DIGITS]}", {**added, "variant": key[:HASH_DIGITS]})
    return labels


def find_variant(variants: Mapping[str, identities.Identity], label: str) -> str | None:
    """The key of the one variant that has a label, or else of the one that has it as its short name; None without one.

    Args:
        variants: Identities without seeds, by any key.
        label: The label.
    """
    names = {key: identities.name(settings) for key, settings in variants.items()}
    labels = label_variants(variants, names)
    matches = [key for key in variants if labels[key][0] == label] or [key for key in variants if names[key] == label]
    return matches[0] if len(matches) == 1 else None


def differing_settings(first: identities.Identity, second: identities.Identity) -> list[tuple[str, str, str]]:
    """The settings in which two configurations differ: dotted path, and both values as text.

    Args:
        first: A configuration.
        second: The configuration to compare it with.
    """
    differences: list[tuple[str, str, str]] = []
    for path in _shown_paths([first, second]):
        values = _values([first, second], path)
        if None not in values:
            text, second_text = (_text(value, values) for value in values)
            if text != second_text:
                differences.append((".".join(path), text, second_text))
    return differences


def _distinguishing_settings(group: Mapping[str, identities.Identity]) -> dict[str, dict[str, str]]:
    """For each configuration the settings in which it differs from others of the group, by a short path."""
    paths = {path for settings in group.values() for path in _paths(settings)}
    distinguishing: dict[str, dict[str, str]] = {key: {} for key in group}
    for path in _shown_paths(list(group.values())):
        values = dict(zip(group, _values(list(group.values()), path), strict=True))
        texts = {key: _text(value, list(values.values())) for key, value in values.items() if value is not None}
        if len(set(texts.values())) > 1:
            for key, text in texts.items():
                distinguishing[key][_short_path(path, paths)] = text
    return distinguishing


def _shown_paths(variants: Sequence[identities.Identity]) -> list[Path]:
    """The paths of some variants' settings, in order, without those that follow another setting in all of them."""
    paths = {path for settings in variants for path in _paths(settings)}
    return sorted(path for path in paths if not all(_follows(settings, path) for settings in variants))


def _follows(settings: identities.Identity, path: Path) -> bool:
    """Whether a setting is not set, or has the value of the setting that it follows."""
    cause = FOLLOWS.get(path[-2:])
    return cause is not None and _value(settings, path) in (None, [UNSET], _value(settings, (*path[:-2], *cause)))


def _paths(settings: Mapping[str, Any], section: Path = ()) -> Iterator[Path]:
    """The path of every setting and section; a section's `_target_` and `_partial_` count as part of the section."""
    for key, value in settings.items():
        if key not in ("_target_", "_partial_"):
            yield (*section, key)
            if isinstance(value, Mapping):
                yield from _paths(value, (*section, key))


def _values(variants: Sequence[identities.Identity], path: Path) -> list[Any]:
    """A setting's value in each variant, wrapped in a list.

    None for a section without a class, unless another variant has null in its place, and below a section that is not set.
    """
    values = [_value(settings, path) for settings in variants]
    nullable = [None] in values
    return [value if nullable or not _is_section(value) else None for value in values]


def _value(settings: identities.Identity, path: Path) -> Any:
    """A setting's value, wrapped in a list; None below a section that is not set."""
    node: Any = settings
    for key in path[:-1]:
        node = node.get(key) if isinstance(node, Mapping) else None
    off = identities.OFF.get(path, UNSET)
    if not isinstance(node, Mapping):
        return None if off is UNSET else [off]
    value = node.get(path[-1], off)
    return [_ClassName(value["_target_"]) if isinstance(value, Mapping) and "_target_" in value else value]


def _is_section(wrapped: Any) -> bool:
    return wrapped is not None and isinstance(wrapped[0], Mapping)


def _text(wrapped: list[Any], group: Sequence[list[Any] | None]) -> str:
    """A value in as few characters as distinguish it: a class without its package, a hash by its first digits.

    Args:
        wrapped: The value, as `_value` returns it.
        group: The values of the same setting that it is compared with.
    """
    (value,) = wrapped
    if value is UNSET:
        return "unset"
    if isinstance(value, _ClassName):
        short = value.rpartition(".")[2]
        classes = {name[0] for name in group if name and isinstance(name[0], _ClassName)} - {value}
        return str(value) if any(name.rpartition(".")[2] == short for name in classes) else short
    if isinstance(value, str):
        return value[:HASH_DIGITS] if re.fullmatch(r"[0-9a-f]{64}", value) else value
    text = identities.canonical(value)
    return text.replace('"', "") if isinstance(value, Mapping) else text  # as a command names it


def _short_path(path: Path, paths: set[Path]) -> str:
    """The last parts of a path, as few as no other path ends in."""
    for size in range(1, len(path)):
        if sum(candidate[-size:] == path[-size:] for candidate in paths) == 1:
            return ".".join(path[-size:])
    return ".".join(path)
