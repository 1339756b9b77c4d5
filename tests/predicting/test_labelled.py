"""Accuracy, its interval, confusion and the worst mistakes, in figures and as a page."""

import base64
import html
import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hybridnets.data import pictures
from hybridnets.data.pictures import ImageFile
from hybridnets.predicting.labelled import Evaluation, evaluate
from hybridnets.predicting.page import render_page
from hybridnets.stats import wilson

CLASSES = ("cat", "dog", "<b>")
PROBABILITIES = np.array(
    [[0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.3, 0.6, 0.1], [0.0, 0.1, 0.9], [0.4, 0.3, 0.3], [0.5, 0.4, 0.1]], np.float32
)
LABELS = np.array([0, 0, 0, 1, -1, 1])  # right, wrong, wrong, wrong, unknown, wrong


@pytest.fixture
def evaluation() -> Evaluation:
    return evaluate(LABELS, PROBABILITIES)


def test_images_without_a_class_do_not_count(evaluation: Evaluation) -> None:
    assert evaluation.images.tolist() == [0, 1, 2, 3, 5]
    assert evaluation.confusion.tolist() == [[1, 2, 0], [1, 0, 1], [0, 0, 0]]
    assert (evaluation.right, evaluation.accuracy) == (1, 0.2)
    assert evaluation.interval == wilson(1, 5)
    with pytest.raises(ValueError, match="labels must hold the class of at least one image"):
        evaluate(np.array([-1]), PROBABILITIES[:1])


def test_the_worst_mistakes_are_the_surest(evaluation: Evaluation) -> None:
    places = evaluation.worst(3)
    assert evaluation.images[places].tolist() == [3, 1, 2]
    np.testing.assert_array_equal(evaluation.probability[places], np.array([0.9, 0.7, 0.6], np.float32))
    np.testing.assert_array_equal(evaluation.of_label[places], np.array([0.1, 0.1, 0.3], np.float32))
    assert evaluation.confused(9) == [(0, 1, 2), (1, 0, 1), (1, 2, 1)]
    assert evaluation.confused(1) == [(0, 1, 2)]


def test_the_page_shows_the_mistakes_and_needs_no_other_file(evaluation: Evaluation, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), np.uint8)
    np.save(tmp_path / "a.npy", pixels)
    images = [pictures.Image(ImageFile(tmp_path / "a.npy"), i) for i in range(4)]
    for i in (4, 5):
        Image.fromarray(pixels[i]).save(tmp_path / f"{i}.png")
        images.append(pictures.Image(ImageFile(tmp_path / f"{i}.png")))
    page = render_page(evaluation, CLASSES, images, "cnn seed=0 on <photos>", ["one note"])
    text = " ".join(html.unescape(re.sub("<[^>]+>", " ", page.partition("<body>")[2])).split())
    assert "cnn seed=0 on <photos> Accuracy 20.00 %: 1 of 5 images 95 % interval 3.62 to 62.45 %" in text
    assert "One note." in text
    assert "cat 1 2 · 3 33.3 % 6.1 to 79.2 % dog 1 · 1 2 0.0 % 0.0 to 65.8 %" in text
    mistakes = re.findall(r"(\S+) taken for (\S+) ([\d.]+) % \S+ ([\d.]+) % \S+", text.replace(",", ""))
    assert mistakes == [
        ("dog", "<b>", "90.0", "10.0"),
        ("cat", "dog", "70.0", "10.0"),
        ("cat", "dog", "60.0", "30.0"),
        ("dog", "cat", "50.0", "40.0"),
    ]
    shown = re.findall('<img src="data:image/png;base64,([^"]+)"', page)
    for data, place in zip(shown, (3, 1, 2, 5), strict=True):
        thumbnail = np.asarray(Image.open(BytesIO(base64.b64decode(data))))
        np.testing.assert_array_equal(thumbnail[::38, ::38], pixels[place])
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "<script" not in page


def test_a_picture_that_has_gone_leaves_the_page_whole(evaluation: Evaluation, tmp_path: Path) -> None:
    images = [pictures.Image(ImageFile(tmp_path / f"gone-{i}\x1b.png")) for i in range(6)]
    page = render_page(evaluation, CLASSES, images, "title", [])
    assert page.count("no longer readable") == 4
    assert "gone-3[U+001B].png" in page


def test_a_page_without_mistakes_and_one_of_many_classes(tmp_path: Path) -> None:
    file = pictures.Image(ImageFile(tmp_path / "a.png"))
    right = render_page(evaluate(np.array([0]), PROBABILITIES[:1]), CLASSES, [file], "title", [])
    assert "There is none: every image was predicted right." in right
    many = np.zeros((1, 40), np.float32)
    many[0, 39] = 1
    page = render_page(evaluate(np.array([0]), many), [f"class {i}" for i in range(40)], [file], "title", [])
    text = " ".join(re.sub("<[^>]+>", " ", page.partition("<body>")[2]).split())
    assert "class 0 1 0.0 % 0.0 to 79.3 %" in text
    assert "class predicted as images class 0 class 39 1" in text
    assert "class 17" not in text
