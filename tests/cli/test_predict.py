"""`hybridnets predict` as a user runs it: what it reads, in which form it answers, and what it refuses."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hybridnets
import hybridnets.runs.members
from hybridnets.cli import predict
from hybridnets.cli.classes import Classified, answer
from hybridnets.cli.notes import on_training_images
from hybridnets.data.decoding import Form, decode
from hybridnets.stats import wilson
from tests.conftest import Said
from tests.predicting.test_codes import CNN, FEW, IMAGES, folder, run
from tests.predicting.test_ensemble import CLASSES, PETS

SIZES = ((16, 16), (40, 20), (9, 30), (16, 16))  # width, height
SPACES = "my = pictures"
Predict = Callable[..., Said]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of three classes, whose data was padded, and one of ten classes, whose data says nothing of sizes."""
    out = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        run(*PETS, *CNN, f"seed={seed}", f"out={out}")
    run(*FEW, *CNN, f"out={out}")
    return out


@pytest.fixture(scope="module")
def pets(runs: Path) -> str:
    return str(folder(runs / "pets", "cnn"))


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Predict:
    """`hybridnets predict ...` in a folder with pictures."""
    monkeypatch.chdir(tmp_path)
    Path(SPACES).mkdir()
    for i, size in enumerate(SIZES):
        picture(i).resize(size).save(Path(SPACES, f"{i}.png"))

    def run_predict(*words: str | Path) -> Said:
        try:
            code = predict.main(["predict", *map(str, words)])
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Said(code, *capfd.readouterr())

    return run_predict


def picture(i: int) -> Image.Image:
    return Image.fromarray(IMAGES[i].transpose(1, 2, 0))


def expected(run: str, *paths: Path, resize: str = "pad") -> np.ndarray:
    """The probabilities of the decoded pixels, (B, K)."""
    pixels = np.stack([decode(path, Form(3, 16, 16, resize)) for path in paths])  # type: ignore[arg-type]
    return hybridnets.load(run).predict(pixels).numpy()


def test_a_table_has_the_most_probable_classes(command: Predict, pets: str) -> None:
    paths = sorted(Path(SPACES).iterdir())
    probabilities = expected(pets, *paths)
    output = command(pets, SPACES)
    assert output.code == 0
    assert output.err == ""
    heading, *lines = output.out.splitlines()
    assert heading.split() == ["image", "class", "probability"]
    for line, path, row in zip(lines, paths, probabilities, strict=True):
        assert line.split("  ")[0] == str(path)
        assert line.split() == [*str(path).split(), *CLASSES[row.argmax()].split(), f"{row.max():.4f}"]

    lines = command(pets, paths[0], "--top", "5").out.splitlines()[1:]
    order = np.argsort(-probabilities[0])
    assert [line.removeprefix(str(paths[0])).split() for line in lines] == [
        [*CLASSES[k].split(), f"{probabilities[0, k]:.4f}"] for k in order
    ]
    assert len({display_width(line) for line in [heading, *lines]}) == 1


def display_width(text: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(letter) == "W") for letter in text)


def test_csv_and_json_lines_are_read_back(command: Predict, pets: str) -> None:
    paths = sorted(Path(SPACES).iterdir())
    probabilities = expected(pets, *paths)
    output = command(pets, SPACES, "-o", "all.csv")
    assert (output.code, output.out) == (0, "4 images classified by cnn seed=0: all.csv\n")
    with Path("all.csv").open(newline="", encoding="utf-8") as file:
        heading, *rows = csv.reader(file)
    assert heading == ["image", "class", *CLASSES]
    assert [row[:2] for row in rows] == [
        [str(path), CLASSES[row.argmax()]] for path, row in zip(paths, probabilities, strict=True)
    ]
    np.testing.assert_allclose(np.array([row[2:] for row in rows], float), probabilities, rtol=1e-4, atol=1e-6)

    output = command(pets, SPACES, "--format", "csv", "--top", "2")
    heading, *rows = csv.reader(StringIO(output.out))
    assert heading == ["image", "class", "probability", "class_2", "probability_2"]
    for cells, row in zip(rows, probabilities, strict=True):
        best = np.argsort(-row)[:2]
        assert cells[1::2] == [CLASSES[k] for k in best]
        np.testing.assert_allclose(np.array(cells[2::2], float), row[best], rtol=1e-4)

    output = command(pets, SPACES, "--format", "jsonl")
    assert "고양이" in output.out
    for line, path, row in zip(output.out.splitlines(), paths, probabilities, strict=True):
        answer = json.loads(line)
        assert list(answer) == ["image", "class", "probability", "top"]
        assert (answer["image"], answer["class"]) == (str(path), CLASSES[row.argmax()])
        assert [best["class"] for best in answer["top"]] == [CLASSES[k] for k in np.argsort(-row)]
        np.testing.assert_allclose([best["probability"] for best in answer["top"]], -np.sort(-row), rtol=1e-4)
    assert command(pets, SPACES, "-o", "all.jsonl").code == 0
    assert Path("all.jsonl").read_text(encoding="utf-8") == output.out


def test_arrays_patterns_and_names_of_any_bytes(command: Predict, pets: str) -> None:
    np.save("a.npy", IMAGES[:2])
    name = os.fsdecode(b"\xff\x1b.png")
    picture(3).save(name)
    picture(2).save("ığüş 여우.png")
    output = command(pets, "a.npy", "*.png", "--format", "jsonl", "--top", "1")
    assert (output.code, output.err) == (0, "")
    answers = [json.loads(line) for line in output.out.splitlines()]
    assert [answer["image"] for answer in answers] == ["a.npy[0]", "a.npy[1]", *sorted(["ığüş 여우.png", name])]
    probabilities = hybridnets.load(pets).predict(IMAGES[:4]).numpy()
    by_name = {answer["image"]: answer["probability"] for answer in answers}
    for image, row in zip(("a.npy[0]", "a.npy[1]", "ığüş 여우.png", name), probabilities, strict=True):
        assert by_name[image] == pytest.approx(row.max(), rel=1e-4)
    assert command(pets, name).out.splitlines()[1].startswith("[U+DCFF][U+001B].png  ")


def test_a_run_that_says_nothing_of_sizes_crops(command: Predict, runs: Path) -> None:
    few = str(folder(runs / "few", "cnn"))
    output = command(few, Path(SPACES, "1.png"), "--format", "jsonl")
    assert output.err.endswith("by crop, because the run's data name no rule\n")
    probability = expected(few, Path(SPACES, "1.png"), resize="crop").max()
    assert json.loads(output.out)["probability"] == pytest.approx(probability, rel=1e-4)


def write_labelled() -> dict[str, str]:
    """Pictures in folders of classes, one of them in other bytes than the run's name, and one folder of another name."""
    labels = {}
    for i, name in enumerate((unicodedata.normalize("NFD", CLASSES[0]), CLASSES[1], CLASSES[2], "other")):
        for j in range(3 + i):
            path = Path("test", name, "deep" if j else "", f"{j} = {i}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            picture(7 * i + j).save(path)
            labels[str(path)] = CLASSES[i] if i < 3 else ""
    return labels


@pytest.mark.parametrize("kind", ["table", "csv", "jsonl"])
def test_where_folders_are_classes_accuracy_is_measured(command: Predict, pets: str, kind: str) -> None:
    labels = write_labelled()
    Path("test", "notes.txt").touch()
    output = command(pets, "test", "--format", kind, "--page", "page.html")
    assert output.code == 0
    probabilities = dict(zip(labels, expected(pets, *map(Path, labels)), strict=True))
    right = sum(CLASSES[probabilities[path].argmax()] == label for path, label in labels.items())
    n = sum(map(bool, labels.values()))
    low, high = (100 * share for share in wilson(right, n))
    summary = output.out if kind == "table" else output.err
    assert f"accuracy {100 * right / n:.2f} %: {right} of {n} images in folders of their class" in summary
    assert f"95 % interval {low:.2f} to {high:.2f} % (Wilson's" in summary
    assert "1 file left out, named like no image: test/notes.txt" in output.err
    assert "the images in folders that are no class of the run do not count in the accuracy: other" in output.err
    mistakes = [path for path, label in labels.items() if label and CLASSES[probabilities[path].argmax()] != label]
    worst = max(mistakes, key=lambda path: probabilities[path].max())
    shown = summary.partition("mistakes:\n")[2].splitlines()
    assert shown[1].startswith(worst)
    assert shown[1].endswith(f"{probabilities[worst].max():.4f}")
    assert "The page: page.html" in summary
    page = Path("page.html").read_text(encoding="utf-8")
    assert "<title>cnn seed=0 on test</title>" in page
    assert f"Accuracy {100 * right / n:.2f} %: {right} of {n} images" in page
    if kind == "csv":
        rows = list(csv.DictReader(StringIO(output.out)))
        assert {row["image"]: row["label"] for row in rows} == labels
    if kind == "jsonl":
        answers = map(json.loads, output.out.splitlines())
        assert {answer["image"]: answer.get("label", "") for answer in answers} == labels


def test_a_path_may_be_the_folder_of_a_class(
    command: Predict, pets: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = write_labelled()

    def answered(*words: str | Path) -> tuple[dict[str, str], Said]:
        output = command(pets, *words, "--format", "jsonl")
        assert output.code == 0, output.err
        answers = map(json.loads, output.out.splitlines())
        return {str(Path(answer["image"])): answer.get("label", "") for answer in answers}, output

    whole, of_folder = answered("test")
    expanded, of_classes = answered(*sorted(Path("test").iterdir()))  # as a shell expands test/*
    assert expanded == whole == labels
    # The folder deep is none of a class, but it is in one.
    said = "the images in folders that are no class of the run do not count in the accuracy"
    assert f"{said}: deep, other\n" in of_classes.err or f"{said}: other, deep\n" in of_classes.err
    (accuracy,) = (line for line in of_folder.err.splitlines() if line.startswith("accuracy"))
    assert accuracy in of_classes.err
    monkeypatch.chdir(tmp_path / "test" / CLASSES[1])
    alone, _ = answered(".")
    assert set(alone.values()) == {CLASSES[1]}
    assert len(alone) == 4


def test_a_page_needs_known_classes(command: Predict, pets: str) -> None:
    output = command(pets, SPACES, "--page", "page.html")
    assert (output.code, output.out) == (2, "")
    assert output.err.startswith(
        "hybridnets predict: --page needs images of known classes, in folders directly below PATH"
    )
    Path("dates", "2026").mkdir(parents=True)
    picture(0).save(Path("dates", "2026", "a.png"))
    output = command(pets, "dates")
    assert output.err == (
        "hybridnets predict: no accuracy, because neither PATH nor a folder directly below it is named as a class of the run "
        "(고양이, köpek, a = b)\n"
    )
    assert "accuracy" not in output.out
    write_labelled()
    for path in Path("test").rglob("*.png"):
        if "other" not in path.parts:
            path.write_text("no picture")
    output = command(pets, "test", "--page", "page.html", "--skip-broken")
    assert output.code == 2
    assert output.err.endswith("--page needs an image of a known class that can be read, and there is none\n")
    assert not Path("page.html").exists()


def test_broken_files_are_refused_together_or_left_out(command: Predict, pets: str) -> None:
    Path("text.png").write_text("no picture")
    Path("empty.jpg").touch()
    np.save("float.npy", IMAGES.astype(np.float32))
    good = Path(SPACES, "0.png")
    broken = ("text.png", "float.npy", "empty.jpg")
    output = command(pets, "text.png", good, *broken[1:], "-o", "new.csv")
    assert (output.code, output.out, len(output.err.splitlines())) == (2, "", 1)
    assert output.err.startswith(
        "hybridnets predict: 3 files cannot be used: text.png (it is not a PNG, JPEG, WEBP, BMP or TIFF), float.npy (its images"
    )
    assert output.err.endswith(": --skip-broken leaves them out\n")
    assert not Path("new.csv").exists()
    output = command(pets, "text.png", good, *broken[1:], "--skip-broken", "--format", "jsonl")
    assert output.code == 0
    assert [json.loads(line)["image"] for line in output.out.splitlines()] == [str(good)]
    assert output.err.startswith(
        "hybridnets predict: 3 files left out, as they cannot be used: text.png (it is not a PNG"
    )
    output = command(pets, "text.png", "--skip-broken")
    assert (output.code, output.out) == (2, "")
    assert output.err == "hybridnets predict: text.png cannot be used: it is not a PNG, JPEG, WEBP, BMP or TIFF\n"


def test_an_ensemble_says_whose_mean_it_is(command: Predict, runs: Path, pets: str) -> None:
    members = [hybridnets.load(path) for path in sorted((runs / "pets" / "cnn").iterdir())]
    mean = np.mean([member.predict(IMAGES[:1]).numpy() for member in members], axis=0)
    outputs = [
        command(where, Path(SPACES, "0.png"), "--ensemble", "--format", "jsonl") for where in (runs / "pets/cnn", pets)
    ]
    for output in outputs:
        assert output.code == 0
        assert json.loads(output.out)["probability"] == pytest.approx(mean.max(), rel=1e-4)
        assert "the mean of 2 runs, seeds 0, 1" in output.err
    output = command(runs / "few" / "cnn", Path(SPACES, "0.png"), "--ensemble")
    assert output.code == 2
    assert "an ensemble needs at least 2 finished runs of one variant, and" in output.err


def test_a_run_that_is_in_no_ensemble_is_named(
    command: Predict, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(runs / "pets" / "cnn", tmp_path / "cnn")
    members = sorted((tmp_path / "cnn").iterdir())
    for name, content in (("seed=2-aaaaaa", "{"), ("seed=3-bbbbbb", "{}")):
        (tmp_path / "cnn" / name).mkdir()
        (tmp_path / "cnn" / name / "result.json").write_text(content)
    reads: list[Path] = []
    search = hybridnets.runs.members.members

    def counted(folder: Path) -> hybridnets.runs.members.Members:
        reads.append(folder)
        return search(folder)

    monkeypatch.setattr("hybridnets.runs.members.members", counted)
    output = command("cnn", Path(SPACES, "0.png"), "--ensemble", "--format", "jsonl")
    assert output.code == 0
    assert output.err.startswith(
        "hybridnets predict: 2 runs left out of the ensemble: seed=2-aaaaaa (its result.json cannot be read), "
        "seed=3-bbbbbb (its result.json cannot be read)\n"
    )
    assert reads == [Path("cnn")]
    mean = np.mean([hybridnets.load(path).predict(IMAGES[:1]).numpy() for path in members], axis=0)
    assert json.loads(output.out)["probability"] == pytest.approx(mean.max(), rel=1e-4)


def test_a_slip_is_one_sentence(command: Predict, runs: Path, pets: str) -> None:
    Path("nothing").mkdir()
    for words, sentence in (
        ((pets, "none.png"), "PATH not found: none.png"),
        ((pets, "*.gif"), "no file matches PATH *.gif"),
        ((pets, "nothing"), "PATH must hold an image (.png,"),
        ((pets, SPACES, "--top", "0"), "--top must be a whole number of at least 1, got 0"),
        ((pets, SPACES, "--format", "xml"), "--format must be table, csv or jsonl, got xml"),
        ((pets, SPACES, "-o", "0.png"), "--output must be a .csv or .jsonl file, got 0.png"),
        ((pets, SPACES, "-o", "a.csv", "--format", "jsonl"), "--format must be csv for --output a.csv, got jsonl"),
        ((pets, SPACES, "-o", "no/a.csv"), "--output must be in an existing folder, got no/a.csv"),
        ((pets, SPACES, "--page", "a.csv"), "--page must be a .html file, got a.csv"),
        (
            (runs / "pets" / "cnn", SPACES),
            "cnn is a folder of several: name one of them, or average them with --ensemble",
        ),
        ((SPACES, SPACES), "RUN must be the folder of a finished run"),
    ):
        output = command(*words)
        assert sentence in output.err
        assert (output.code, output.out, len(output.err.splitlines())) == (2, "", 1), words


def start(*words: str | Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "hybridnets", "predict", *map(str, words)]
    return subprocess.Popen(
        command,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's & has it ignored
    )


@pytest.mark.usefixtures("command")
def test_a_reader_that_leaves_ends_it_quietly(pets: str) -> None:
    np.save("many.npy", IMAGES[np.zeros(2000, int)])
    process = start(pets, "many.npy", "--format", "jsonl")
    assert process.stdout is not None
    json.loads(process.stdout.readline())
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 0


@pytest.mark.usefixtures("command")
def test_ctrl_c_ends_it_without_a_traceback(pets: str) -> None:
    np.save(
        "many.npy", np.repeat(IMAGES[:1], 3000, axis=0)
    )  # more lines than a pipe holds, so that it waits for a reader
    process = start(pets, "many.npy", "--format", "csv")
    assert process.stdout
    process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert (process.returncode, errors) == (130, "hybridnets predict: ended by SIGINT\n")


@pytest.mark.parametrize(
    ("target", "root", "names", "n"),
    [
        ("hybridnets.data.folder.load", "photos", ["photos/cat/1.png", "photos/test/cat/2.png", "new/3.png"], 1),
        ("hybridnets.data.folder.load", "photos", ["new/photos/cat/1.png"], 0),
        ("mine.load", "photos", ["photos/cat/1.png"], 0),
        ("hybridnets.data.folder.load", None, ["photos/cat/1.png"], 0),
        ("hybridnets.data.folder.load", "~nobody-of-this-name/photos", ["photos/cat/1.png"], 0),
    ],
)
def test_pictures_that_a_run_was_trained_on_are_said(
    target: str, root: str | None, names: list[str], n: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = {"_target_": target, "root": root}
    (tmp_path / "config.yaml").write_text(json.dumps({"data": {"dataset": dataset}}), encoding="utf-8")
    notes = on_training_images(tmp_path, map(Path, names))
    assert [note.partition(" of ")[0] for note in notes] == ["1 file"] * n
    assert on_training_images(tmp_path / "none", map(Path, names)) == []


def test_a_class_that_is_called_as_a_column_has_a_column_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    probabilities = np.array([[0.25, 0.125, 0.625]], np.float32)
    answer(Classified(["a.png"], ("class", "image", "cat"), probabilities, "run"), "csv", None, None)
    rows = list(csv.DictReader(StringIO(capsys.readouterr().out)))
    assert rows == [{"image": "a.png", "class": "cat", "class class": "0.25", "class image": "0.125", "cat": "0.625"}]
