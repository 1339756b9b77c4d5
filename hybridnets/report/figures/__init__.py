"""The report's figures: each a function of a data set's part that gives a picture, or None where it does not apply."""

from collections.abc import Callable, Iterator

from hybridnets.report.analysis import DataSetReport
from hybridnets.report.figures.accuracy import accuracy, differences
from hybridnets.report.figures.architecture import architecture
from hybridnets.report.figures.classes import classes
from hybridnets.report.figures.compression import compression
from hybridnets.report.figures.cost import cost
from hybridnets.report.figures.curves import curves
from hybridnets.report.figures.gallery import Images, gallery
from hybridnets.report.figures.maps import maps
from hybridnets.report.figures.picture import Picture

FIGURES = (accuracy, differences, compression, cost, curves, classes)


def pictures(part: DataSetReport, dataset: Callable[[], Images | None]) -> Iterator[Picture]:
    """All figures that apply, in the order in which they are looked at.

    Args:
        part: The data set's part of the report.
        dataset: Gives its images; None where they are not at hand.
    """
    for draw in FIGURES:
        if found := draw(part):
            yield found
    images = dataset()
    if images and (found := gallery(part, images)):
        yield found
    if found := maps(part, images):
        yield found
    if found := architecture(part):
        yield found
