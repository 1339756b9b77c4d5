"""A page on predictions of images whose classes are known: one HTML file that needs no network and no other file."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from hybridnets import pages
from hybridnets.data.decoding import DecodingError
from hybridnets.data.pictures import Image, thumbnail_of
from hybridnets.predicting.labelled import Evaluation
from hybridnets.program import printable
from hybridnets.stats import wilson
from hybridnets.version import __version__

SIDE = 192  # pixels that a mistake's picture is high or wide at most
WORST = 24  # mistakes that are shown
MOST_CLASSES = 30  # of a confusion matrix that can be read
CONFUSIONS = 20


@dataclass(frozen=True)
class Mistake:
    """A wrong prediction.

    Attributes:
        name: The image's name.
        label: Its class.
        predicted: The class that was predicted.
        probability: Its probability.
        of_label: The probability of the image's own class.
        picture: The image as a data URI; empty where its file has become unreadable.
    """

    name: str
    label: str
    predicted: str
    probability: float
    of_label: float
    picture: str


@dataclass(frozen=True)
class ClassRow:
    """A class's row of the confusion matrix.

    Attributes:
        name: The class.
        counts: How many of its images were predicted as each class.
        images: How many images it has.
        right: How many were predicted right.
        interval: Wilson's 95 % interval of the share that is right.
    """

    name: str
    counts: Sequence[int]
    images: int
    right: int
    interval: tuple[float, float]


def render_page(
    evaluation: Evaluation, classes: Sequence[str], images: Sequence[Image], title: str, notes: Sequence[str]
) -> str:
    """Lays out the page: accuracy, confusion, and the mistakes of which the network was surest.

    Args:
        evaluation: The predictions.
        classes: The classes' names.
        images: All images that were classified, in which the evaluation's places count.
        title: Names the run and the images.
        notes: Sentences on how the predictions came about.
    """
    worst = [_mistake(evaluation, place, classes, images) for place in map(int, evaluation.worst(WORST))]
    html = (
        pages.environment(__package__)
        .get_template("page.html")
        .render(
            title=title,
            evaluation=evaluation,
            images=len(evaluation.images),
            mistakes=len(evaluation.images) - evaluation.right,
            classes=classes,
            rows=_rows(evaluation, classes),
            confused=[
                (classes[label], classes[predicted], n) for label, predicted, n in evaluation.confused(CONFUSIONS)
            ],
            is_matrix=len(classes) <= MOST_CLASSES,
            worst=worst,
            notes=notes,
            version=__version__,
        )
    )
    return "\n".join(map(printable, html.split("\n")))


def _rows(evaluation: Evaluation, classes: Sequence[str]) -> list[ClassRow]:
    rows = []
    for label, (name, counts) in enumerate(zip(classes, evaluation.confusion.tolist(), strict=True)):
        if images := sum(counts):
            rows.append(ClassRow(name, counts, images, counts[label], wilson(counts[label], images)))
    return rows


def _mistake(evaluation: Evaluation, place: int, classes: Sequence[str], images: Sequence[Image]) -> Mistake:
    image = images[evaluation.images[place]]
    try:
        picture = "data:image/png;base64," + base64.b64encode(thumbnail_of(image, SIDE)).decode()
    except DecodingError:
        picture = ""
    return Mistake(
        image.name,
        classes[evaluation.labels[place]],
        classes[evaluation.predicted[place]],
        float(evaluation.probability[place]),
        float(evaluation.of_label[place]),
        picture,
    )
