"""Text that people wrote: made safe to print, as it may garble a terminal or a page, sorted, and the word that they meant."""

import difflib
import re
from collections.abc import Iterable

# Characters that show nothing, that reverse the text after them, or that no file can hold.
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
LINE_BREAKS = re.compile(r"[\t\r\n\v\f\x85\u2028\u2029]+")


def printable(text: str) -> str:
    """The text with every unprintable character replaced by its code point, as [U+0001]; line breaks stay."""
    return UNPRINTABLE.sub(lambda match: f"[U+{ord(match[0]):04X}]", text)


def visible(text: str) -> str:
    """The text in one line, with every unprintable character replaced by its code point."""
    return printable(LINE_BREAKS.sub(" ", text))


def proposal(word: str, legal: Iterable[str]) -> str:
    """A question after the legal word that a word resembles, to be added to a message; empty if it resembles none.

    Args:
        word: What the user wrote.
        legal: The words that are legal.
    """
    close = difflib.get_close_matches(word, list(legal), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def natural(text: str) -> list[tuple[float, str]]:
    """A sorting key that puts 1x8 before 1x16 and lr=0.001 before lr=0.01."""
    parts = re.split(r"(\d+(?:\.\d+)?(?:e-?\d+)?)", text)
    return [(float(part), "") if place % 2 else (0, part) for place, part in enumerate(parts)]
