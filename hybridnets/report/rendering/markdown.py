"""Markdown from texts that people wrote: escaped, as lists and tables."""

from collections.abc import Iterable, Sequence

from hybridnets.report.text import visible

MARKUP = "\\`*_[]<>|#"  # the backslash first, which escapes the others


def inline(text: str) -> str:
    """Text in one line that Markdown does not take for markup."""
    escaped = visible(text)
    for letter in MARKUP:
        escaped = escaped.replace(letter, f"\\{letter}")
    return escaped


def bulleted(items: Iterable[str]) -> list[str]:
    """A list of items that are Markdown already, as one block."""
    return ["\n".join(f"- {item}" for item in items)]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of plain texts; all columns but the first are aligned at their end."""
    lines = [map(inline, heads), ["---", *["---:"] * (len(heads) - 1)], *(map(inline, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
