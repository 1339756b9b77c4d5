"""A drawn figure, as vectors and as pixels."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """A figure with its text.

    Attributes:
        key: The name of its files.
        title: What it shows, in a few words.
        caption: What the marks mean, n, and what to look at; also the text for readers who cannot see the figure.
        svg: The figure as SVG; its text and axes are drawn in #123456, which a page may replace by its own colour.
        png: The same as PNG on white.
        pdf: The same as PDF.
    """

    key: str
    title: str
    caption: str
    svg: str
    png: bytes
    pdf: bytes
