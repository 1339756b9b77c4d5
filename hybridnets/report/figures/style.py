"""What all figures share: one style for print, screen and greyscale, and the three files of a picture."""

import functools
import io
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.comparing.metric import Metric
from hybridnets.report.comparing.units import OWN, Unit
from hybridnets.report.figures.picture import Picture

INK = "#123456"  # of all text and axes; the page replaces it by its own text colour
WIDTH = 8.0  # inches; at 700 pixels the small text is still 10 pixels high
SMALL = 8.0  # points
AXIS = 54  # characters of a line below an axis

# Distinguishable for everybody, on white and on black. Source: Okabe and Ito 2008, Color universal design.
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"

RC = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
    "font.size": 9,
    "grid.alpha": 0.2,
    "grid.color": INK,
    "grid.linewidth": 0.6,
    "hatch.color": INK,
    "hatch.linewidth": 0.6,
    "image.composite_image": False,
    "legend.fontsize": SMALL + 0.5,
    "legend.frameon": False,
    "lines.markersize": 5,
    "pdf.fonttype": 42,  # journals refuse the default, Type 3
    "svg.fonttype": "none",
    "svg.hashsalt": "hybridnets",
    "text.color": INK,
    "text.parse_math": False,  # a label may hold a dollar sign
    "xtick.color": INK,
    "xtick.labelsize": SMALL,
    "ytick.color": INK,
    "ytick.labelsize": SMALL,
}


class Look(NamedTuple):
    """What distinguishes a variant, in colour and without."""

    color: str
    marker: str
    line: Any


LOOKS = (
    Look(BLUE, "o", "-"),
    Look(VERMILLION, "^", (0, (5, 1.5))),
    Look(GREEN, "s", (0, (5, 1.5, 1, 1.5))),
    Look(PURPLE, "D", (0, (1, 1))),
    Look(ORANGE, "v", (0, (5, 1.5, 1, 1.5, 1, 1.5))),
    Look(SKY, "P", (0, (9, 2))),
)


# Fonts of systems and packages with letters that Matplotlib's own lacks; what is installed of them is tried in this order.
FALLBACKS = (
    *("Noto Sans CJK KR", "Noto Sans KR", "NanumGothic", "Malgun Gothic", "Apple SD Gothic Neo", "Noto Sans CJK JP"),
    *("Hiragino Sans", "Microsoft YaHei", "PingFang SC", "WenQuanYi Zen Hei", "Arial Unicode MS"),
)


@functools.cache
def families() -> tuple[str, ...]:
    """The fonts that draw figures: Matplotlib's own, then those of FALLBACKS that this machine has."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ("DejaVu Sans", *(name for name in FALLBACKS if name in installed))


def letters_without_font(text: str) -> str:
    """The letters of a text that no font of `families` has, each once; a PNG or PDF shows boxes in their place."""
    fonts = [font_manager.get_font(font_manager.findfont(name)) for name in families()]
    letters = (letter for letter in dict.fromkeys(text) if letter.isprintable() and not letter.isspace())
    return "".join(letter for letter in letters if not any(font.get_char_index(ord(letter)) for font in fonts))


@contextmanager
def figure_style() -> Iterator[None]:
    """Applies our style and nobody's matplotlibrc while a figure is drawn and saved; can be used as a decorator."""
    rc = {**RC, "font.family": list(families())}
    with matplotlib.style.context(["default", rc]), warnings.catch_warnings():
        # Letters that the font lacks become boxes in the PNG; in the SVG the reader's own fonts draw them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def save_picture(figure: Figure, key: str, title: str, caption: Sequence[str]) -> Picture:
    """Saves a figure as SVG, PNG and PDF; drawn again, it gives the same bytes.

    Args:
        figure: The figure.
        key: The figure's name.
        title: What it shows.
        caption: Sentences; empty ones are left out.
    """
    if figure.get_layout_engine():
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out once, so that the three files agree
    files = {kind: io.BytesIO() for kind in ("svg", "png", "pdf")}
    no = {"svg": ("Creator", "Date", "Format", "Type"), "png": ("Software",), "pdf": ("CreationDate",)}
    for kind, file in files.items():
        ground = "white" if kind == "png" else "none"
        figure.savefig(file, format=kind, facecolor=ground, metadata=dict.fromkeys(no[kind]))
    return Picture(
        key,
        title,
        " ".join(filter(None, caption)),
        files["svg"].getvalue().decode(),
        files["png"].getvalue(),
        files["pdf"].getvalue(),
    )


def fitted(text: str, width: int, lines: int = 2) -> str:
    """Wraps text into a few lines; text that is too long loses its middle, because labels differ at their ends.

    Args:
        text: Any text, with or without unprintable characters.
        width: Characters per line, 4 at least.
        lines: The largest number of lines.
    """
    clean = "".join(c if c.isprintable() else " " for c in text).strip() or "?"
    room = min(len(clean), width * lines)
    while True:
        end = (room - 1) // 2
        kept = clean if len(clean) <= room else f"{clean[: room - 1 - end]}…{clean[len(clean) - end :]}"
        wrapped = textwrap.wrap(kept, width)
        if len(wrapped) <= lines:
            return "\n".join(wrapped)
        room -= 1


def legend(figure: Figure, marks: Sequence[tuple[Artist, str]], columns: int = 4) -> None:
    """Draws a legend below the figure, with a space before labels that begin with _, which matplotlib would hide."""
    labels = [f" {label}" if label.startswith("_") else label for _, label in marks]
    figure.legend([mark for mark, _ in marks], labels, loc="outside lower center", ncols=columns)


def mark(color: str, marker: str, label: str, filled: bool = True, line: Any = "none") -> tuple[Line2D, str]:
    """An entry of a legend."""
    inside = color if filled else "none"
    return Line2D([], [], color=color, marker=marker, linestyle=line, markerfacecolor=inside, linewidth=1.8), label


def striped(axes: Axes, labels: Sequence[str]) -> None:
    """Lays out rows from top to bottom and shades every other one, so that the eye stays in its row."""
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    for row in range(0, len(labels), 2):
        axes.axhspan(row - 0.5, row + 0.5, color=INK, alpha=0.06, linewidth=0)


def spread(count: int, reach: float) -> npt.NDArray[np.float64]:
    """How far the dots of a row lie from its middle, one after the other, so that equal ones are seen, (count,).

    Args:
        count: The dots.
        reach: The distance of the first and of the last; one dot alone lies in the middle.
    """
    return np.linspace(-reach, reach, count) if count > 1 else np.zeros(count)


def level_name(metric: Metric, unit: Unit) -> str:
    """The name of an axis of levels, with its unit, in two lines at most."""
    return fitted(f"{metric.name} ({'%' if unit.name == 'percent' else unit.name})", AXIS)


def difference_name(metric: Metric, unit: Unit) -> str:
    """The name of an axis of differences, with its unit, in two lines at most."""
    name = "difference" if metric.name == metric.key else f"difference in {metric.name}"
    units = {"points": "percentage points", OWN: f"the {metric.name}'s own unit"}
    return fitted(f"{name} ({units.get(unit.differences, unit.differences)})", AXIS)


def both_labels(comparison: Comparison) -> str:
    """The labels of two variants, for a title."""
    return f"{fitted(comparison.variant.label, 60, 1)} and {fitted(comparison.baseline.label, 60, 1)}"
