"""What variants are called among each other: the short name, and the settings that set apart those who share it."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from hybridnets.runs import identity as ids

UNSET = object()  # a setting that a variant does not have at all


class _Class(str):
    """The full name of a class that a section names by `_target_`."""

    __slots__ = ()


def labels(variants: Mapping[str, ids.Identity], names: Mapping[str, str]) -> dict[str, tuple[str, dict[str, str]]]:
    """A label for each variant, distinct, and short where its short name says it all; and the settings that it adds.

    Args:
        variants: Identities without seeds, by any key.
        names: Their short names, by the same key.
    """
    sharing = defaultdict[str, dict[str, ids.Identity]](dict)
    for key, settings in variants.items():
        sharing[names[key]][key] = settings
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for name, group in sharing.items():
        paths = {path for settings in group.values() for path in _paths(settings)}
        told: dict[str, dict[str, str]] = {key: {} for key in group}
        for path in sorted(paths):
            values = {key: _value(settings, path) for key, settings in group.items()}
            shown = {key: _shown(value, list(values.values())) for key, value in values.items() if value is not None}
            if len(set(shown.values())) > 1:
                for key, text in shown.items():
                    told[key][_short(path, paths)] = text
        found |= {
            key: (" ".join([name, *(f"{path}={text}" for path, text in words.items())]), words)
            for key, words in told.items()
        }
    often = Counter(label for label, _ in found.values())
    return {
        key: (label, words) if often[label] == 1 else (f"{label} {key[:6]}", {**words, "variant": key[:6]})
        for key, (label, words) in found.items()
    }


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
