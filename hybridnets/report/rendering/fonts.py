"""Letters of names that no font on this machine has."""

import sys

from hybridnets import program
from hybridnets.report.analysis import Report
from hybridnets.report.figures.style import letters_without_font

LETTERS = 20  # that the message names


def say_missing_letters(report: Report) -> None:
    """Says which letters of names are boxes in the PNG and PDF figures, because no font on this machine has them."""
    sets = [part.data_set for part in report.parts]
    names = [one.name for one in sets] + [variant.label for one in sets for variant in one.variants]
    classes = [name for one in sets for variant in one.variants for run in variant.runs[:1] for name in run.classes]
    if letters := letters_without_font("".join((*names, *classes))):
        print(
            f"{program.name('report')}: no font here has the letters {letters[:LETTERS]}, which are boxes in the PNG and PDF "
            "figures: install one that has, such as Noto Sans CJK",
            file=sys.stderr,
        )
