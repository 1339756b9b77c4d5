"""Runs of a cross-validation (data.split=kfold): the answer, and what a paper says of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridnets.report import Report, ReportRequest, analyse
from hybridnets.report.reading.results import read
from hybridnets.report.rendering.for_paper import for_paper
from hybridnets.runs import Run
from hybridnets.stats import kfold_ratio, paired_t

Make = Callable[..., Run]
SHARED = "The networks of a repetition share most of their training images (3-fold cross-validation)"


def report_of(out: Path, **request: Any) -> Report:
    return analyse(read([out]), "title", "command", ReportRequest(**request))


@pytest.fixture
def difference(finished: Make) -> Callable[[range], list[float]]:
    """Makes the runs of some seeds in 3 folds, and returns what CRNN is better by, on val and on test."""

    def make(seeds: range) -> list[float]:
        d = [0.01 + 0.002 * (seed % 4) for seed in seeds]
        for seed, better in zip(seeds, d, strict=True):
            for model, more in (("cnn", 0.0), ("crnn", better)):
                finished(model, seed, test=0.7 + more, val=0.6 + more, data__split="kfold", data__folds=3)
        return d

    return make


def test_val_is_answered_by_the_correction_for_folds(
    tmp_path: Path, difference: Callable[[range], list[float]]
) -> None:
    d = difference(range(6))
    (part,) = report_of(tmp_path, metric="val").parts
    (answer,) = part.answers
    # The runs' sizes are not those of 3 folds: their number says the ratio, as the sizes of folds may differ by an image.
    assert answer.analysis.test.p == pytest.approx(paired_t(np.array(d), kfold_ratio(3)).p)
    assert "the mean of 6 folds in 2 repetitions" in answer.sentences[0]
    assert not any(SHARED in sentence for sentence in answer.sentences)


def test_the_answer_about_test_images_says_that_networks_share_training_images(
    tmp_path: Path, difference: Callable[[range], list[float]]
) -> None:
    d = difference(range(6))
    (part,) = report_of(tmp_path).parts
    (answer,) = part.answers
    assert answer.analysis.test.p == pytest.approx(paired_t(np.array(d)).p)
    assert answer.question.endswith("on these test images, over the folds as if these were independent splits?")
    (sentence,) = (sentence for sentence in answer.sentences if SHARED in sentence)
    assert "about other training images it may be certain too early" in sentence


@pytest.mark.parametrize(
    ("seeds", "cross_validation"),
    [
        (range(3), "a 3-fold cross-validation: "),
        (range(6), "a 3-fold cross-validation, repeated 2 times with other divisions of the images: "),
        (
            range(5),
            "a 3-fold cross-validation, repeated 2 times with other divisions of the images, of which some folds are missing: ",
        ),
    ],
)
def test_the_methods_describe_the_cross_validation(
    seeds: range, cross_validation: str, tmp_path: Path, difference: Callable[[range], list[float]]
) -> None:
    difference(seeds)
    (paragraph,) = for_paper(report_of(tmp_path)).methods
    assert "A seed sets the fold that is held out as val, the initialisation and the order" in paragraph
    assert f"Splits are those of {cross_validation}within a repetition the val parts are disjoint" in paragraph
    assert "any two training parts share 1 of 2 folds. Split seed s is fold s mod 3 of repetition s // 3." in paragraph
    assert (
        "The networks of a repetition share training images, so that their differences on the test images" in paragraph
    )
    assert "kfold" not in paragraph
    (paragraph,) = for_paper(report_of(tmp_path, metric="val")).methods
    assert "The networks of a repetition share training images" not in paragraph


def test_random_splits_are_no_cross_validation(tmp_path: Path, finished: Make) -> None:
    for seed in range(3):
        finished("cnn", seed)
        finished("crnn", seed)
    report = report_of(tmp_path)
    assert "cross-validation" not in " ".join((*for_paper(report).methods, *report.parts[0].answers[0].sentences))
