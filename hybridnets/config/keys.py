"""The keys of a configuration, and the one that a user who wrote another probably meant."""

import difflib
from collections.abc import Iterator, Sequence

from omegaconf import DictConfig, Node

from hybridnets.program import either

MOST = 3  # keys that a message proposes


def keys_of(section: DictConfig, prefix: str = "") -> Iterator[str]:
    """The dotted path of every key of a configuration, those of sections included.

    Args:
        section: The configuration.
        prefix: What precedes each path.
    """
    for name in section:  # which need not be a word, as in scheduling={0:1,1:4}
        key, node = str(name), section._get_node(name)
        yield f"{prefix}{key}"
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_interpolation():
            yield from keys_of(node, f"{prefix}{key}.")


def missing_keys(section: DictConfig, prefix: str = "") -> Iterator[str]:
    """The dotted path of every key that has no value yet (???), but not of those that refer to it.

    Args:
        section: The configuration.
        prefix: What precedes each path.
    """
    for name in section:
        key, node = str(name), section._get_node(name)
        if isinstance(node, Node) and node._is_missing():
            yield f"{prefix}{key}"
        elif isinstance(node, DictConfig) and not node._is_none() and not node._is_interpolation():
            yield from missing_keys(node, f"{prefix}{key}.")


def proposal(word: str, keys: Sequence[str]) -> str:
    """A question after the keys that a word may stand for, to be added to a message; empty if it resembles none.

    A word is first taken for the end of a key, as `lr` is of `optimizer.lr`; then for a misspelt key; then for the misspelt
    end of one, as `epochs` is of `trainer.max_epochs`.

    Args:
        word: What the user wrote.
        keys: The legal keys or options.
    """
    ends = [key for key in keys if key.endswith(f".{word}")]
    candidates = ends or difflib.get_close_matches(word, keys, n=1, cutoff=0.6)
    if not candidates and "." not in word:
        close = difflib.get_close_matches(word, sorted({key.rpartition(".")[2] for key in keys}), n=2, cutoff=0.7)
        candidates = [key for key in keys if key.rpartition(".")[2] in close]
    if not candidates:
        return ""
    return f"; did you mean {either(candidates[:MOST])}?"
