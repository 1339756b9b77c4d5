"""The model card: every measured value is that of the runs' records, and what is missing is named."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy import stats as scipy_stats

from hybridnets.cli.card import main
from hybridnets.data import decoding
from hybridnets.report.reading import licences
from hybridnets.report.reading.results import ReportError
from hybridnets.report.rendering.card import model_card
from hybridnets.report.rendering.card_facts import read_facts
from hybridnets.runs import Run
from hybridnets.runs.store import DivergedError
from hybridnets.stats.quality import QUALITY, Predicted


def card_of(folder: Path, *groups: Path) -> str:
    return model_card(read_facts(folder, groups))


def rows(card: str, head: str) -> list[list[str]]:
    """The cells of the table whose first heading is given."""
    lines = card.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(f"| {head} |"))
    table = lines[first + 2 :]
    end = next((i for i, line in enumerate(table) if not line.startswith("|")), len(table))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[:end]]


def test_a_variants_values_are_those_of_its_records(finished: Callable[..., Run]) -> None:
    tests = (0.75, 0.8, 0.9)
    runs = [finished("ecrnn", seed, test=test, predictions=True) for seed, test in enumerate(tests)]
    card = card_of(runs[0].folder.parent)
    for run, cells in zip(runs, rows(card, "seed"), strict=True):
        stored = json.loads((run.folder / "result.json").read_text())
        with np.load(run.folder / "predictions.npz") as arrays:
            label, predicted, probabilities = (arrays[f"test_{name}"] for name in ("label", "class", "probabilities"))
        measured = Predicted(label, predicted, 10, probabilities)
        right = round(200 * stored["best"]["test/acc"])
        wilson = scipy_stats.binomtest(right, 200).proportion_ci(method="wilson")
        assert cells == [
            str(stored["seeds"]["split"]),
            f"{100 * stored['best']['val/acc']:.2f} %",
            f"{right / 2:.2f} %",
            f"{100 * wilson.low:.2f} to {100 * wilson.high:.2f} %",
            f"{QUALITY['nll'].of(measured):.4f}",
            f"{100 * QUALITY['ece'].of(measured):.2f} %",
        ]
    interval = scipy_stats.t.interval(0.95, 2, np.mean(tests), scipy_stats.sem(tests))
    assert (
        f"Mean test accuracy over 3 seeds: **{100 * np.mean(tests):.2f} %**, 95 % interval {100 * interval[0]:.2f} to "
        in card
    )
    assert interval[1] > 0.95
    assert (
        f"{100 * min(interval[1], 1):.2f} % (Student's over seeds), standard deviation {100 * np.std(tests, ddof=1):.2f} "
        in card
    )
    front = yaml.safe_load(card.split("---")[1])
    assert (front["license"], front["datasets"], front["metrics"]) == ("unknown", ["digits"], ["accuracy"])
    assert front["tags"] == ["image-classification", "pytorch", "hybridnets", "ecrnn", "lstm"]
    ((result,),) = [model["results"] for model in front["model-index"]]
    assert result["dataset"] == {"name": "digits", "type": "digits", "split": "test"}
    assert result["metrics"] == [{"type": "accuracy", "value": 0.816667, "name": "test accuracy, the mean of 3 seeds"}]
    assert "Time: 0.0125 hours (45 s) for all epochs together." in card
    assert "seed 0: 3, of which 2 is reported" in card
    assert "Images: 700 train, 300 val, 200 test." in card
    assert f"SHA-256 `{'a' * 64}`" in card
    assert "Hardware: cpu, 1 thread, a processor." in card
    assert "Parameters: 400,586 (as Keras counts them)." in card
    assert "Woo, Kim, Choi" in card
    assert all(run.hash in card for run in runs)
    assert f"hybridnets predict {runs[0].folder} IMAGE..." in card


def test_its_commands_name_the_folder_that_was_given(
    finished: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished("cnn", 0)
    given = tmp_path / "my networks" / "best"
    given.parent.mkdir()
    run.folder.parent.rename(given)
    monkeypatch.chdir(tmp_path)
    for folder in (Path("my networks", "best"), Path("my networks", "best", run.folder.name)):
        card = card_of(folder)
        path = f"my networks/best/{run.folder.name}"
        assert f"\nhybridnets predict '{path}' IMAGE...\nhybridnets export '{path}' -o model.onnx " in card
        assert f'hybridnets.load("{path}")' in card


def test_the_confusion_adds_up_over_the_seeds(finished: Callable[..., Run]) -> None:
    runs = [finished("cnn", seed, test=test, predictions=True) for seed, test in enumerate((0.75, 0.85))]
    expected = np.zeros((10, 10), int)
    for run in runs:
        with np.load(run.folder / "predictions.npz") as arrays:
            np.add.at(expected, (arrays["test_label"], arrays["test_class"]), 1)
    card = card_of(runs[0].folder.parent)
    table = rows(card, "true \\\\ predicted")
    assert [row[0] for row in table] == [f"class {n}" for n in range(10)]
    assert [[int(cell) for cell in row[1:]] for row in table] == expected.tolist()
    assert expected.sum() == 400
    wrong = np.where(np.eye(10, dtype=bool), 0, expected)
    true, taken = np.unravel_index(wrong.argmax(), wrong.shape)
    assert f"Most frequent mistakes: class {true} taken for class {taken} ({wrong.max()});" in card


def test_one_run_has_no_interval_over_seeds(finished: Callable[..., Run]) -> None:
    run = finished("cnn", 0, test=0.75)
    finished("cnn", 1, test=0.85)
    card = card_of(run.folder)
    assert len(rows(card, "seed")) == 1
    assert "over 2 seeds" not in card
    assert "how much another seed would change is not known" in card
    # Of this run no predictions are stored.
    assert rows(card, "seed")[0][2:] == ["75.00 %", "68.57 to 80.49 %", "not stored", "not stored"]
    assert "No predictions are stored" in card
    assert "neither calibrated nor was their calibration measured" in card


def test_seeds_that_diverged_or_did_not_finish_are_named_and_in_no_mean(
    finished: Callable[..., Run], requested: Callable[..., Run]
) -> None:
    for seed, test in enumerate((0.7, 0.8)):
        finished("cnn", seed, test=test)
    finished("cnn", 2, test=0.1, loss=float("nan"))
    failed, other = requested("cnn", 3), requested("cnn", 4, optimizer__lr=0.5)
    for run in (failed, other):
        with contextlib.suppress(DivergedError), run.claim() as attempt:
            attempt.note(device="cpu", threads=1)
            raise DivergedError("train/loss is nan in epoch 1")
    card = card_of(failed.folder.parent)
    assert "Seed 2 diverged (a loss is not finite): it is listed, and in no mean." in card
    assert f"seed=3-{failed.hash[:6]} is failed (DivergedError: train/loss is nan in epoch 1)" in card
    assert other.hash[:6] not in card  # of another variant of the same name
    assert "Mean test accuracy over 2 seeds: **75.00 %**" in card
    assert rows(card, "seed")[2][0] == "2 (diverged)"


def test_several_variants_have_no_card(finished: Callable[..., Run], tmp_path: Path) -> None:
    finished("cnn", 0)
    finished("crnn", 0)
    with pytest.raises(
        ReportError, match=r"must hold the runs of one variant, got .* with 2: digits/cnn, digits/crnn-lstm-1x16"
    ):
        read_facts(tmp_path, [])
    for rnn in ("gru", "bigru", "bilstm"):
        finished("crnn", 0, rnn=rnn)
    with pytest.raises(
        ReportError, match=r"with 5: digits/cnn, .+, .+ and 2 more: give the folder of one of them, or of a run$"
    ):
        read_facts(tmp_path, [])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReportError, match="must hold a finished run"):
        read_facts(tmp_path / "empty", [])


@pytest.mark.parametrize("resize", ["pad", "squash", None])
def test_the_card_says_how_a_picture_is_brought_to_the_networks_size(
    resize: str | None, finished: Callable[..., Run]
) -> None:
    run = finished("cnn", 0)
    (run.folder / "config.yaml").write_text(json.dumps({"data": {"resize": resize}}), encoding="utf-8")
    card = card_of(run.folder)
    assert "The network takes uint8 images" in card
    assert ("resized by `pad` with bilinear averaging" in card) == (resize == "pad")
    assert "squash" not in card
    assert licences.RESIZES == decoding.RESIZES  # the report may not import the latter


@pytest.mark.parametrize(
    ("own", "group", "sentence"),
    [
        ("CC0 1.0", "CC BY 4.0", "CC0 1.0."),
        (None, "CC BY 4.0; Alpaydin", "CC BY 4.0; Alpaydin."),
        (None, None, "licence not stated."),
        ("[not, a, string]", None, "licence not stated."),
        ("{broken", None, "licence not stated."),
    ],
)
def test_the_licence_is_what_the_datas_yaml_states(
    own: str | None, group: str | None, sentence: str, finished: Callable[..., Run], tmp_path: Path
) -> None:
    run = finished("cnn", 0)
    (tmp_path / "conf" / "data").mkdir(parents=True)
    if own:
        (run.folder / "config.yaml").write_text(f"data:\n  licence: {own}\n")
    stated = {"name": "digits", **({"licence": group} if group else {})}
    (tmp_path / "conf" / "data" / "digits.yaml").write_text(yaml.safe_dump(stated))
    assert f"Licence of the images: {sentence}" in card_of(run.folder, tmp_path / "conf")


def test_names_cannot_garble_the_card(finished: Callable[..., Run]) -> None:
    run = finished("cnn", 0, predictions=True)
    content = json.loads((run.folder / "result.json").read_text())
    content["classes"] = ["a|b", "*c*", "<d>", *content["classes"][3:]]
    (run.folder / "result.json").write_text(json.dumps(content))
    card = card_of(run.folder)
    assert "| a\\|b |" in card
    assert "\\*c\\*, \\<d\\>" in card


def test_the_command_writes_a_file_or_prints_and_needs_no_torch(
    finished: Callable[..., Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder: Any = finished("cnn", 0, predictions=True).folder
    assert main(["card", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert main(["card", str(folder), "-o", str(tmp_path / "CARD.md")]) == 0
    assert (tmp_path / "CARD.md").read_text() == printed
    assert printed.startswith("---\nlicense: unknown\n")
    assert main(["card", str(folder), "-o", str(tmp_path / "CARD.txt")]) == 2
    assert "--output must be a .md file" in capsys.readouterr().err
    assert main(["card", str(tmp_path / "nothing")]) == 2
    assert "FOLDER must be a folder of finished runs" in capsys.readouterr().err


def test_a_variant_of_which_every_run_diverged_has_no_mean(finished: Callable[..., Run]) -> None:
    run = finished("cnn", 0, test=0.1, loss=float("nan"), predictions=True)
    card = card_of(run.folder.parent)
    assert "Seed 0 diverged" in card
    assert "model-index" not in card
    assert "Mean test accuracy" not in card
    assert "No predictions are stored" not in card
    assert "All runs diverged, so it is not given." in card
