"""A figure as it is handed on: drawn once, as vectors and as pixels."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        key: Its files' name.
        title: What it shows, in a few words.
        caption: What the marks are, which n, what to look at; also the text for who cannot see it.
        svg: The figure as SVG; its text and axes are drawn in #123456, for which a page may put its own colour.
        png: The same as PNG on white.
        pdf: The same as PDF.
    """

    key: str
    title: str
    caption: str
    svg: str
    png: bytes
    pdf: bytes
