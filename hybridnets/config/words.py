"""Words of the command line as Hydra's grammar wants them, so that paths and names can be written as people have them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser, create_functions
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

OVERRIDE = re.compile(r"(\+{0,2})([A-Za-z_][\w./@$-]*)=(.*)", re.DOTALL)
PATHS = re.compile(r"out|ckpt_path|backbone|model\.weights|(.*\.)?(\w+_)?(root|dir|dirpath|path|folder)")
# Those whose unquoted value may look like a number and is none; the others refuse one.
NEVER_NUMBERS = re.compile(rf"(?!backbone|model\.weights)({PATHS.pattern})")
FUNCTION = re.compile(rf"\s*({'|'.join(create_functions().functions)})\s*\(")
# What a {...} with a _target_ of its own replaces as a whole: its key and its value, with such spaces as people leave.
PARTS = re.compile(
    r"\s*(?:\+{1,2}(?=optimizer|scheduler))?(optimizer|scheduler|logger|callbacks(?:\.\w+)?)\s*=\s*(.*?)\s*", re.DOTALL
)


def words(given: Sequence[str]) -> list[str]:
    """Overrides as Hydra takes them: paths and names in quotes where they need some, and sections that are set as a whole.

    Args:
        given: Overrides as they were typed.

    Raises:
        ValueError: If a path begins with the home folder of a user who does not exist, or a list of loggers holds others.
    """
    return [part for word in given for part in _sections(quoted(word))]


def quoted(word: str) -> str:
    """An override whose values stand in quotes where Hydra's grammar has no other way to write them.

    So out=~/runs, ckpt_path=runs/digits/cnn/seed=0-1f3a9c/checkpoints/last.ckpt and backbone=[model=cnn] can be written as
    they are meant. What Hydra understands stays as it is: quotes, interpolations, functions, and the choices of a sweep.

    Args:
        word: An override, or any other word.

    Raises:
        ValueError: If a path begins with the home folder of a user who does not exist.
    """
    found = OVERRIDE.fullmatch(word)
    if not found:
        return word
    plus, key, value = found.groups()
    return f"{plus}{key}={','.join(_value(key, piece) for piece in _pieces(value))}"


def _value(key: str, piece: str) -> str:
    text, path = piece.strip(), PATHS.fullmatch(key) is not None
    if path and text.startswith("~"):
        text = piece = at_home(key, text)
    if FUNCTION.match(piece):
        return piece
    try:
        value = _parsed(piece)
    except HydraException:
        if key == "backbone" and text.startswith("[") and text.endswith("]"):
            return f"[{','.join(map(_word_in_list, _pieces(text[1:-1])))}]"
        if text.startswith(("'", '"')) or (not path and re.search(r"[][{}()'\"]", text)):
            return piece  # a slip, and Hydra says which
        return _in_quotes(text)
    if isinstance(value, bool | int | float) and NEVER_NUMBERS.fullmatch(key):
        return _in_quotes(text)
    return piece


def _word_in_list(word: str) -> str:
    """An override in the list of a backbone's."""
    text = word.strip()
    return _in_quotes(text) if not text.startswith(("'", '"')) and ("=" in text or text.startswith("~")) else word


def at_home(key: str, path: str) -> str:
    """A path with the home folder in the place of a leading ~ or ~user.

    Args:
        key: The setting, for the message.
        path: Any path.

    Raises:
        ValueError: If there is no such user.
    """
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:
        raise ValueError(
            f"{key} must be a path, and {path} begins with the home folder of a user who does not exist: write ./{path} "
            "for a file or folder of that name"
        ) from None


def _in_quotes(text: str) -> str:
    return QuotedString(text, Quote.double).with_quotes()


def _parsed(piece: str) -> Any:
    return OverridesParser.create().parse_override(f"key={piece}").value()


def _pieces(text: str) -> Iterator[str]:
    """What commas separate that stand neither in brackets nor in quotes."""
    depth, start, quote, before = 0, 0, "", ","
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote and text[place - 1] != "\\" else quote
        elif sign in "'\"" and before in ",[({:=":  # elsewhere it is an apostrophe
            quote = sign
        elif sign in "[{(":
            depth += 1
        elif sign in ")}]":
            depth = max(depth - 1, 0)
        elif sign == "," and not depth:
            yield text[start:place]
            start = place + 1
        before = before if sign.isspace() else sign
    yield text[start:]


def _sections(word: str) -> list[str]:
    """An override, or those that put its value in the place of a section, where Hydra would merge the two.

    A value with a `_target_` says what to build and with what: the settings of another target are none of it.
    """
    section = PARTS.fullmatch(word)
    if not section:
        return [word]
    key, value = section[1], re.sub(r"\s*\n\s*", " ", section[2])
    try:
        values = [_parsed(piece) for piece in _pieces(value)]
    except HydraException:
        return [word]
    if key == "logger" and len(values) == 1 and isinstance(values[0], list) and values[0]:
        return _loggers([piece.strip() for piece in _pieces(value.strip()[1:-1])], values[0])
    sections = [one for one in values if one is not None]
    if not sections or not all(_is_whole(key, one) for one in sections):
        return [word]
    return [_without(key), f"+{key}={value}"]


def _is_whole(key: str, value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    parts = value.values() if key == "callbacks" else [value]
    return all(part is None or (isinstance(part, Mapping) and "_target_" in part) for part in parts)


def _loggers(pieces: list[str], values: list[Any]) -> list[str]:
    """Several loggers, by name: those of conf/logger under their own, others by their place in the list."""
    named = [value for value in values if isinstance(value, str) and value != "none"]
    own = [
        f"logger{n}:{piece}"
        for n, (piece, value) in enumerate(zip(pieces, values, strict=True))
        if _is_whole("", value)
    ]
    others = [value for value in values if not (isinstance(value, str) or _is_whole("", value))]
    if others or len(set(named)) < len(named):
        raise ValueError(
            f"logger must be a list of different names, as in [tensorboard,mlflow], or of sections that each have a _target_, "
            f"got [{','.join(pieces)}]"
        )
    choices = [f"+logger@logger.{name}={name}" for name in named]
    return [_without("logger"), *choices, *([f"+logger={{{','.join(own)}}}"] if own else [])]


def _without(key: str) -> str:
    return f"{key}={'none' if key == 'logger' else 'null'}"  # Hydra takes no null for a group
