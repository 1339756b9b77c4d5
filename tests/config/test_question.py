"""What a sweep says before it trains if its declared question is about variants that it does not train."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import SMALL, Said

SWEEP = ("-m", *SMALL, "model=cnn,ecnn", "dry_run=true")
LISTED = "which the sweep does not train: its variants are cnn, ecnn; so its"


def question(variant: str, baseline: str) -> str:
    return f"report={{primary:{{variant:{variant},baseline:{baseline}}}}}"


@pytest.mark.parametrize(
    ("variant", "sentence"),
    [
        ("ecn", f"report.primary names ecn, {LISTED} question has no answer; did you mean ecnn?"),
        (
            "vgg16",
            f"report.primary names vgg16, {LISTED} question has no answer; to train it, sweep over model=vgg16, too",
        ),
        (
            "crnn-bilstm-2x16",
            f"report.primary names crnn-bilstm-2x16, {LISTED} question has no answer; to train it, sweep over model=crnn "
            "rnn=bilstm layers=2 nodes=16, too",
        ),
    ],
)
def test_a_variant_that_is_not_trained_is_named(variant: str, sentence: str, command: Callable[..., Said]) -> None:
    said = command(*SWEEP, question(variant, "cnn"))
    assert said.code == 0
    assert said.err.splitlines() == [sentence]


def test_a_variant_that_another_sweep_trained_counts_with_that_sweep(
    tmp_path: Path, command: Callable[..., Said]
) -> None:
    folder = tmp_path / "runs" / "digits" / "vgg16" / "seed=0-123456"
    folder.mkdir(parents=True)
    (folder / "result.json").touch()
    said = command(*SWEEP, question("vgg16", "cnn"))
    assert f"names vgg16, {LISTED} finished runs count with report --sweep all only" in said.err
    said = command(*SWEEP, question("vgg16", "vgg19"))
    assert said.code == 0
    assert "names vgg19" in said.err


def test_a_question_about_none_of_the_variants_is_refused(command: Callable[..., Said]) -> None:
    said = command(*SWEEP, question("vgg16", "vgg19"))
    assert said.code == 2
    assert said.err.splitlines() == [
        "train.py: report.primary must name a variant that the sweep trains, or that is finished in out, got vgg16 and vgg19: "
        "the sweep's variants are cnn, ecnn; correct the labels, or give report=null to sweep without a question"
    ]


def test_a_name_without_its_recurrent_layers_is_completed(command: Callable[..., Said]) -> None:
    said = command(*SWEEP, "model=cnn,crnn", "rnn=lstm", question("crnn", "cnn"))
    assert said.err.rstrip().endswith("; did you mean crnn-lstm-1x16?")


@pytest.mark.parametrize(("margin", "is_said"), [(0.3, True), (0.4, False)])
def test_a_margin_below_one_test_image_is_said_before_the_runs(
    margin: float, is_said: bool, command: Callable[..., Said]
) -> None:
    said = command(*SWEEP, f"report={{primary:{{variant:ecnn,baseline:cnn,margin:{margin}}}}}")
    sentence = (
        f"report.primary.margin is {margin} points, less than one of the 297 test images (0.34 points), so that no number of "
        "seeds can show it: use more test images, or a larger margin"
    )
    assert said.err.splitlines() == [sentence] * is_said
