"""Text that people wrote, made safe to print: names and messages may hold characters that garble a terminal or a page."""

import re

# Characters that show nothing, that reverse the text after them, or that no file can hold.
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
LINE_BREAKS = re.compile(r"[\t\r\n\v\f\x85\u2028\u2029]+")


def printable(text: str) -> str:
    """The text with every unprintable character replaced by its code point, as [U+0001]; line breaks stay."""
    return UNPRINTABLE.sub(lambda match: f"[U+{ord(match[0]):04X}]", text)


def visible(text: str) -> str:
    """The text in one line, with every unprintable character replaced by its code point."""
    return printable(LINE_BREAKS.sub(" ", text))
