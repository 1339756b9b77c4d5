"""What `hybridnets predict` says where the images' classes are known: accuracy, confusion and the worst mistakes."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from hybridnets.cli.classes import Classified, print_columns
from hybridnets.program import plural, printable

if TYPE_CHECKING:
    from hybridnets.data.pictures import Image
    from hybridnets.predicting.labelled import Evaluation

MOST_CLASSES = 12  # of a confusion matrix in a terminal; of more classes, the most frequent confusions are listed
WORST = 5  # mistakes that the terminal shows
CONFUSIONS = 8


def report(
    classified: Classified,
    images: "Sequence[Image]",
    to: TextIO,
    page: Path | None,
    title: str,
    notes: Sequence[str],
) -> None:
    """Prints accuracy, confusion and the worst mistakes, and writes the page.

    Args:
        classified: The images and their predictions; at least one has a label.
        images: Where the images are.
        to: Where it is printed.
        page: The page's file; None for no page.
        title: Names the run and the images on the page.
        notes: What was said of how the predictions came about.

    Raises:
        ValueError: If the page cannot be written.
    """
    from hybridnets.predicting.labelled import evaluate

    assert classified.labels is not None
    evaluation = evaluate(classified.labels, classified.probabilities)
    with contextlib.redirect_stdout(to):
        print()
        _print(evaluation, classified)
    if page:
        from hybridnets.predicting.page import render_page
        from hybridnets.runs.files import write_text

        html = render_page(evaluation, classified.classes, images, title, notes)
        try:
            write_text(page, html)
        except OSError as error:
            raise ValueError(f"the page cannot be written to {page} ({error.strerror})") from error
        print(f"\nThe page: {printable(str(page))}", file=to)


def _print(evaluation: "Evaluation", classified: Classified) -> None:
    n, classes = len(evaluation.images), classified.classes
    low, high = (100 * share for share in evaluation.interval)
    print(
        f"accuracy {100 * evaluation.accuracy:.2f} %: {evaluation.right:,} of {plural(n, 'image')} in folders of their class"
    )
    print(f"95 % interval {low:.2f} to {high:.2f} % (Wilson's, for other images of this kind)")
    if evaluation.right == n:
        return
    print()
    if len(classes) <= MOST_CLASSES:
        print_columns(_confusion(evaluation, classes), range(1, len(classes) + 1))
    else:
        rows = [
            [classes[label], classes[predicted], f"{n:,}"] for label, predicted, n in evaluation.confused(CONFUSIONS)
        ]
        print_columns([["label", "predicted", "images"], *rows], [2])
    worst = evaluation.worst(WORST)
    mistakes = evaluation.images.size - evaluation.right
    print("\nThe mistake:" if mistakes == 1 else f"\nThe worst of {mistakes:,} mistakes:")
    rows = [["image", "label", "class", "probability"]]
    for place in worst:
        name = classified.names[evaluation.images[place]]
        label, predicted = classes[evaluation.labels[place]], classes[evaluation.predicted[place]]
        rows.append([name, label, predicted, f"{evaluation.probability[place]:.4f}"])
    print_columns(rows, [3])


def _confusion(evaluation: "Evaluation", classes: Sequence[str]) -> list[list[str]]:
    """Rows are the images' classes, of those that have images; columns are all classes that were predicted."""
    rows = [["label \\ class", *classes]]
    for name, counts in zip(classes, evaluation.confusion, strict=True):
        if counts.any():
            rows.append([name, *(f"{count:,}" if count else "." for count in counts)])
    return rows
