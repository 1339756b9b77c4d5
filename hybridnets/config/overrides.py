"""Overrides in Hydra's grammar, so that users can write paths and names as they are."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser, create_functions
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

OVERRIDE = re.compile(r"(\+{0,2})([A-Za-z_][\w./@$-]*)=(.*)", re.DOTALL)
PATHS = re.compile(r"out|ckpt_path|backbone|model\.weights|(.*\.)?(\w+_)?(root|dir|dirpath|path|folder|cache)")
# Keys whose value is text even where it looks like a number; the other paths refuse a number.
ALWAYS_TEXT = re.compile(rf"(?!backbone|model\.weights)({PATHS.pattern})")
FUNCTION = re.compile(rf"\s*({'|'.join(create_functions().functions)})\s*\(")
GROUPS_WITH_NONE = ("logger", "until")  # whose choice none is null, which Hydra does not take for a group
# Sections that a {...} with its own _target_ replaces as a whole: key and value, with any spaces.
REPLACEABLE = re.compile(
    r"\s*(?:\+{1,2}(?=optimizer|scheduler))?(optimizer|scheduler|logger|callbacks(?:\.\w+)?)\s*=\s*(.*?)\s*", re.DOTALL
)


def complete_overrides(overrides: Sequence[str]) -> list[str]:
    """Overrides as Hydra takes them: with quotes around paths and names that need them, and whole sections replaced.

    Args:
        overrides: Overrides as they were typed.

    Raises:
        ValueError: If a path begins with the home folder of a user who does not exist, or if a list of loggers is not legal.
    """
    return [part for override in overrides for part in _sections(quote_paths(override))]


def quote_paths(override: str) -> str:
    """An override with quotes around those values that Hydra's grammar cannot express otherwise.

    So out=~/runs, ckpt_path=runs/digits/cnn/seed=0-1f3a9c/checkpoints/last.ckpt, backbone=[model=cnn] and until=null can be
    written as they are. What Hydra understands is not changed: quotes, interpolations, functions, and the choices of a sweep.

    Args:
        override: An override, or any other word of the command line.

    Raises:
        ValueError: If a path begins with the home folder of a user who does not exist.
    """
    match = OVERRIDE.fullmatch(override)
    if not match:
        return override
    plus, key, value = match.groups()
    return f"{plus}{key}={','.join(_value(key, piece) for piece in _pieces(value))}"


def _value(key: str, piece: str) -> str:
    text, is_path = piece.strip(), PATHS.fullmatch(key) is not None
    if key in GROUPS_WITH_NONE and text == "null":
        return "none"
    if is_path and text.startswith("~"):
        text = piece = at_home(key, text)
    if FUNCTION.match(piece):
        return piece
    try:
        value = _parsed(piece)
    except HydraException:
        if key == "backbone" and text.startswith("[") and text.endswith("]"):
            return f"[{','.join(map(_override_in_list, _pieces(text[1:-1])))}]"
        if text.startswith(("'", '"')) or (not is_path and re.search(r"[][{}()'\"]", text)):
            return piece  # not valid; Hydra reports it
        return _in_quotes(text)
    if isinstance(value, bool | int | float) and ALWAYS_TEXT.fullmatch(key):
        return _in_quotes(text)
    return piece


def text_override(key: str, text: str) -> str:
    """The override that gives a key a text as it is: no part of it is an interpolation, a function or several values.

    Args:
        key: The key.
        text: Its value.
    """
    escaped = re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", text)  # as OmegaConf reads it
    return f"{key}={_in_quotes(escaped)}"


def _override_in_list(override: str) -> str:
    """An override in the list that names a backbone."""
    text = override.strip()
    return _in_quotes(text) if not text.startswith(("'", '"')) and ("=" in text or text.startswith("~")) else override


def at_home(key: str, path: str) -> str:
    """A path with the home folder instead of a leading ~ or ~user.

    Args:
        key: Its key, for the message.
        path: Any path.

    Raises:
        ValueError: If there is no such user.
    """
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:
        raise ValueError(
            f"{key} must be a path, got {path}, which begins with the home folder of a user who does not exist: write ./{path} "
            "for a file or folder of that name"
        ) from None


def _in_quotes(text: str) -> str:
    return QuotedString(text, Quote.double).with_quotes()


def _parsed(piece: str) -> Any:
    return OverridesParser.create().parse_override(f"key={piece}").value()


def _pieces(text: str) -> Iterator[str]:
    """The pieces between commas outside of brackets and quotes."""
    depth, start, quote, previous = 0, 0, "", ","
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote and text[place - 1] != "\\" else quote
        elif sign in "'\"" and previous in ",[({:=":  # elsewhere it is an apostrophe
            quote = sign
        elif sign in "[{(":
            depth += 1
        elif sign in ")}]":
            depth = max(depth - 1, 0)
        elif sign == "," and not depth:
            yield text[start:place]
            start = place + 1
        previous = previous if sign.isspace() else sign
    yield text[start:]


def _sections(override: str) -> list[str]:
    """An override; or two that replace a section with its value, where Hydra would merge the two.

    A value with a `_target_` describes an object completely: settings of another target do not belong to it.
    """
    match = REPLACEABLE.fullmatch(override)
    if not match:
        return [override]
    key, value = match[1], re.sub(r"\s*\n\s*", " ", match[2])
    try:
        values = [_parsed(piece) for piece in _pieces(value)]
    except HydraException:
        return [override]
    if key == "logger" and len(values) == 1 and isinstance(values[0], list) and values[0]:
        return _loggers([piece.strip() for piece in _pieces(value.strip()[1:-1])], values[0])
    sections = [section for section in values if section is not None]
    if not sections or not all(_is_complete(key, section) for section in sections):
        return [override]
    return [_without(key), f"+{key}={value}"]


def _is_complete(key: str, value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    parts = value.values() if key == "callbacks" else [value]
    return all(part is None or (isinstance(part, Mapping) and "_target_" in part) for part in parts)


def _loggers(pieces: list[str], values: list[Any]) -> list[str]:
    """Several loggers by name: those of conf/logger by their own name, sections by their position in the list."""
    named = [value for value in values if isinstance(value, str) and value != "none"]
    sections = [
        f"logger{n}:{piece}"
        for n, (piece, value) in enumerate(zip(pieces, values, strict=True))
        if _is_complete("", value)
    ]
    is_legal = all(isinstance(value, str) or _is_complete("", value) for value in values)
    if not is_legal or len(set(named)) < len(named):
        raise ValueError(
            f"logger must be a list of different names, as in [tensorboard,mlflow], or of sections that each have a _target_, "
            f"got [{','.join(pieces)}]"
        )
    choices = [f"+logger@logger.{name}={name}" for name in named]
    return [_without("logger"), *choices, *([f"+logger={{{','.join(sections)}}}"] if sections else [])]


def _without(key: str) -> str:
    return f"{key}={'none' if key in GROUPS_WITH_NONE else 'null'}"
