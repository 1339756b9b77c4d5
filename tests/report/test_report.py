import contextlib
import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybridnets.report import Request, analyse
from hybridnets.report.analysis import Report as Analysis
from hybridnets.report.comparing.contrasts import ComparisonCache, chosen
from hybridnets.report.comparing.variants import sections
from hybridnets.report.reading.results import read
from hybridnets.runs import Run, manifest
from hybridnets.runs.identity import digest
from hybridnets.stats import paired_differences, paired_t

Make = Callable[..., Run]
Report = Callable[..., int]
ROOT = Path(__file__).parents[2]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def labels(out: Path) -> list[str]:
    return [variant.label for section in sections(read([out])) for variant in section.variants]


def analysed(out: Path, **asked: Any) -> Analysis:
    return analyse(read([out]), "title", "command", Request(**asked))


def line(text: str, *words: str) -> str:
    """The one line that begins with the words."""
    (found,) = [line for line in text.splitlines() if line.split()[: len(words)] == list(words)]
    return found


def test_accuracies_and_differences_by_hand(tmp_path: Path, finished: Make, report: Report, capsys: Any) -> None:
    cnn, crnn = (0.70, 0.72, 0.71), (0.712, 0.738, 0.719)  # the differences of the worked example
    for seed in (2, 0, 1):
        finished("cnn", seed, test=cnn[seed], val=0.8)
        finished("crnn", seed, test=crnn[seed], val=0.79 + 0.01 * seed, parameters=392_970)
    assert report(tmp_path, "--no-page") == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 120
    assert " ".join(line(text, "cnn", "3").split()) == "cnn 3 71.00 ± 1.00 80.00 ± 0.00 79.00 ± 0.00 400,586 4.0 15.0 3"
    assert "val is optimistic" in text
    differences = " ".join(line(text, "crnn-lstm-1x16", "cnn").split())
    assert differences == "crnn-lstm-1x16 cnn 3 +1.30 0.46 +0.16 to +2.44 0.039 0.039 0.039 3 : 0"
    assert "its question: on this data set, over splits and seeds" in " ".join(text.split())

    assert report(tmp_path, "--to", tmp_path / "told") == 0
    tests = [row for row in rows(tmp_path / "told" / "tables" / "tests.csv") if row["metric"] == "test"]
    plain, corrected = tests[:2]
    expected = paired_t([crnn[seed] - cnn[seed] for seed in range(3)])
    assert (plain["test"], plain["variant"], plain["baseline"]) == ("paired t over seeds", "crnn-lstm-1x16", "cnn")
    assert expected.interval is not None
    assert (float(plain["p"]), float(plain["low"]), float(plain["high"])) == (expected.p, *expected.interval)
    assert (corrected["p"], corrected["why"]) == ("", "the test images are the same for all seeds")
    _, crnn_row = rows(tmp_path / "told" / "tables" / "digits-variants.csv")
    assert (crnn_row["parameters"], crnn_row["runs"], float(crnn_row["s/epoch"])) == ("392970", "3", 4.0)
    assert float(crnn_row["test"]) == paired_differences(crnn, [0.0] * 3).mean  # full precision
    runs = rows(tmp_path / "told" / "tables" / "runs.csv")
    assert [(run["variant"], run["seed_split"]) for run in runs[:3]] == [("cnn", "0"), ("cnn", "1"), ("cnn", "2")]
    assert all((tmp_path / run["folder"] / "result.json").exists() for run in runs)
    assert [run["test"] for run in runs] == [repr(value) for value in (*cnn, *crnn)]


def test_one_seed_and_equal_differences_are_said_and_not_computed(
    tmp_path: Path, finished: Make, report: Report, capsys: Any
) -> None:
    finished("cnn", 0)
    finished("crnn", 0)
    assert report(tmp_path, "--no-page") == 0
    text = capsys.readouterr().out
    assert "75.00 ± n/a" in line(text, "cnn", "1")
    assert "n/a (one seed)" in line(text, "crnn-lstm-1x16", "cnn")
    assert "That does not say which is better (one seed): train more seeds." in text
    finished("cnn", 1, test=0.74)
    finished("crnn", 1, test=0.74)
    assert report(tmp_path, "--no-page") == 0
    text = capsys.readouterr().out
    assert "n/a (all differences" in line(text, "crnn-lstm-1x16", "cnn")
    assert "That does not say which is better (all differences equal)" in text


def test_labels_say_what_sets_variants_apart_and_no_more(tmp_path: Path, finished: Make) -> None:
    finished("cnn")
    finished("crnn", trainer__max_epochs=5)
    assert labels(tmp_path) == ["cnn", "crnn-lstm-1x16"]
    finished("cnn", optimizer__lr=0.01)
    finished("cnn", optimizer__lr=0.01, scheduler=None)
    finished("crnn", model__hidden_size=8)
    finished("crnn", model__hidden_size=8, callbacks__early_stopping__patience=9, model__dropout=0.5)
    finished("crnn", 3, model__hidden_size=8, trainer__precision="bf16-mixed")
    finished("cnn", 0, "other")
    finished("cnn", 0, "other", model__channels=[8, 16], data__sha256="b" * 64)
    assert labels(tmp_path) == [
        "cnn lr=0.001 scheduler=ReduceLROnPlateau",
        "cnn lr=0.01 scheduler=ReduceLROnPlateau",
        "cnn lr=0.01 scheduler=null",
        "crnn-lstm-1x8 early_stopping.patience=4 dropout=0 precision=bf16-mixed",
        "crnn-lstm-1x8 early_stopping.patience=4 dropout=0 precision=unset",
        "crnn-lstm-1x8 early_stopping.patience=9 dropout=0.5 precision=unset",
        "crnn-lstm-1x16",
        "cnn sha256=aaaaaa channels=unset",
        "cnn sha256=bbbbbb channels=[8,16]",
    ]


def test_classes_of_one_name_keep_their_package(tmp_path: Path, finished: Make) -> None:
    finished("cnn")
    finished("cnn", model___target_="theirs.CNN")
    assert labels(tmp_path) == ["cnn model=hybridnets.models.CNN", "cnn model=theirs.CNN"]


def test_runs_pair_only_on_the_same_split_of_the_same_data(
    tmp_path: Path, finished: Make, report: Report, capsys: Any
) -> None:
    for seed in range(3):
        finished("cnn", seed)
        finished("crnn", seed, test=0.7 + seed / 100, **({"split": "another"} if seed == 1 else {}))
    finished("crnn", 0, model__hidden_size=8, data__sha256="b" * 64)
    finished("crnn", 7, model__hidden_size=4)
    assert report(tmp_path, "--no-page") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "crnn-lstm-1x16 cnn 2/3 " in text
    assert "crnn-lstm-1x16 - cnn: seed 1 left out, they differ in their split (its hash)" in text
    assert "crnn-lstm-1x8 - cnn: seed 0 left out, they differ in their data (its hash)" in text
    assert "crnn-lstm-1x4 - cnn: left out, they have no seed in common (7; 0, 1, 2)" in text
    assert "crnn-lstm-1x8 cnn" not in text


def test_a_recipe_that_differs_beside_the_model_is_named(
    tmp_path: Path, finished: Make, report: Report, capsys: Any
) -> None:
    finished("cnn")
    finished("crnn", optimizer__lr=0.01, model__dropout=0.5)
    assert report(tmp_path, "--no-page") == 0
    note = "crnn-lstm-1x16 - cnn: they differ in more than the model: optimizer.lr 0.01 and 0.001\n"
    assert note in capsys.readouterr().out


def test_the_splits_decide_what_an_interval_is_about(tmp_path: Path, finished: Make) -> None:
    seeds = {"cnn": [(0, 0, 0), (0, 1, 0)], "crnn": [(0, 0, 0), (0, 1, 0)]}
    for model, each in seeds.items():
        for seed in each:
            finished(model, seed)

    def question() -> str | None:
        (comparison,) = analysed(tmp_path).parts[0].comparisons
        return comparison.evidence("val").question

    assert question() == "on this data set and this one split, over seeds"
    for model in seeds:
        finished(model, (5, 0, 0))
    assert question() is None
    (comparison,) = analysed(tmp_path).parts[0].comparisons
    for test in (
        comparison.evidence("val").plain,
        comparison.evidence("val").corrected,
        comparison.evidence("test").sign_flip,
    ):
        assert (test.p, test.interval) == (None, None)
    assert comparison.evidence("test").plain.why == "some seeds share a split"


def test_unfinished_runs_of_a_sweep_are_counted_at_their_own_variant(
    tmp_path: Path, asked: Make, finished: Make, report: Report, capsys: Any
) -> None:
    runs = [finished("crnn", seed) for seed in (0, 1)] + [asked("crnn", 2)]
    runs += [finished("crnn", 0, model__dropout=0.5), asked("crnn", (0, 1, 2), model__dropout=0.5)]
    runs += [asked("crnn", 0, model__dropout=0.9), asked("crnn", 0, model__hidden_size=8), finished("cnn", 0)]
    runs += [asked("cnn", 0, "elsewhere")]
    manifest.write(tmp_path, "first", "train.py", runs, None)
    manifest.write(tmp_path, "second", "train.py", runs[:3], None)  # asked for twice is missing once
    with contextlib.suppress(ZeroDivisionError), runs[2].claim():
        raise ZeroDivisionError("nothing to divide")
    assert report(tmp_path / "digits", "--no-page") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "cnn 1 75.00" in text
    assert "crnn-lstm-1x16 dropout=0 2/3 75.00" in text
    assert "crnn-lstm-1x16 dropout=0.5 1/2 75.00" in text
    assert "Runs without a result (4)" in text
    assert "digits/crnn-lstm-1x16/seed=2-" in text
    assert ": failed, ZeroDivisionError: nothing to divide" in text
    assert f"digits/crnn-lstm-1x8/{runs[6].folder.name}: pending" in text
    assert "elsewhere" not in text  # not below the folder given


def _renamed(text: str, name: str) -> str:
    """Another data set's name, with the hash that follows from it."""
    result = json.loads(text)
    result["identity"]["data"]["name"] = name
    return json.dumps({**result, "hash": digest(result["identity"])})


BROKEN: dict[str, tuple[Callable[[str], str], str]] = {
    "cut short": (lambda text: text[:100], "is no whole JSON file"),
    "empty": (lambda _: "", "is no whole JSON file"),
    "foreign": (lambda _: '{"loss": 1}', "must have schema 1, which this version reads, and has none"),
    "a list": (lambda _: "[]", "must have schema 1, which this version reads, and has none"),
    "altered settings": (lambda text: text.replace('"dropout": 0.0', '"dropout": 0.1'), "was altered"),
    "altered seeds": (lambda text: text.replace('"split": 0', '"split": 9', 1), "was altered"),
    "no finite setting": (lambda text: text.replace('"lr": 0.001', '"lr": Infinity'), "the shape of a result"),
    "an accuracy above 1": (lambda text: text.replace('"test/acc": 0.75', '"test/acc": 75'), "test/acc 75"),
    "not a number": (lambda text: text.replace('"test/acc": 0.75', '"test/acc": NaN'), "test/acc nan"),
    "no accuracy": (lambda text: text.replace('"test/acc"', '"test/f1"'), "lacks 'test/acc'"),
    "another shape": (lambda text: text.replace('"epochs": 3', '"epochs": 2.5'), "epochs 2.5"),
    "a path for a name": (lambda text: _renamed(text, "../../../elsewhere"), "must name its data set plainly"),
    "an endless count": (
        lambda text: text.replace('"keras": 400586', '"keras": 1' + 40 * "0"),
        "which is no whole number",
    ),
    "half a character": (lambda text: _renamed(text, "\ud800"), "the shape of a result"),
    "no parts": (lambda text: json.dumps({**json.loads(text), "best": None}), "the shape of a result"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_result_is_named_and_left_out(
    how: str, tmp_path: Path, finished: Make, report: Report, capsys: Any
) -> None:
    broken = finished("crnn").folder / "result.json"
    damage, sentence = BROKEN[how]
    broken.write_text(damage(broken.read_text(encoding="utf-8")), encoding="utf-8")
    assert report(tmp_path, "--no-page") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err
    assert captured.err.count("\n") == 1
    finished("cnn")
    (finished("cnn", 1).folder / "provenance.json").write_text("{", encoding="utf-8")
    assert report(tmp_path, "--no-page") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Left out (2)" in text
    assert f"{broken} " in text
    assert sentence in text
    assert "1 variant, 2 runs" in text
    assert "the run counts, its seconds do not" in text


def test_a_copied_run_counts_once(tmp_path: Path, finished: Make, report: Report, capsys: Any) -> None:
    run = finished("cnn")
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "result.json").write_bytes((run.folder / "result.json").read_bytes())
    assert report("--no-page", tmp_path, run.folder) == 0  # the same folder twice is no copy
    text = capsys.readouterr().out
    assert "1 variant, 1 run\n" in text
    assert "Left out (1)" in text
    (tmp_path / "empty").mkdir()
    assert report("--no-page", run.folder, tmp_path / "empty") == 0
    assert f"- {tmp_path / 'empty'} holds no finished run" in " ".join(capsys.readouterr().out.split())


def test_comparisons_are_those_asked_for(tmp_path: Path, finished: Make) -> None:
    for nodes in range(1, 7):
        finished("crnn", model__hidden_size=nodes)

    def pairs(*options: Any) -> list[str]:
        return [each.name for each in chosen(ComparisonCache(sections(read([tmp_path]))[0]), *options)[0]]

    assert len(pairs()) == 15  # no CNN: all pairs
    assert pairs()[0] == "crnn-lstm-1x2 - crnn-lstm-1x1"
    finished("crnn", model__hidden_size=7)
    assert pairs() == []
    assert "choose with --baseline" in chosen(ComparisonCache(sections(read([tmp_path]))[0]))[1][0]
    assert len(pairs("crnn-lstm-1x3")) == 6
    asked = ("crnn-lstm-1x1", "crnn-lstm-1x2", "crnn-lstm-1x4", "crnn-lstm-1x3")
    assert pairs(None, asked) == ["crnn-lstm-1x1 - crnn-lstm-1x2", "crnn-lstm-1x4 - crnn-lstm-1x3"]
    finished("cnn")
    assert len(pairs()) == 7
    assert pairs()[0] == "crnn-lstm-1x1 - cnn"


def test_slips_end_with_one_sentence_and_2(tmp_path: Path, finished: Make, report: Report, capsys: Any) -> None:
    def sentence(*arguments: Any) -> str:
        assert report("--no-page", *arguments) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("report.py: ")
        assert captured.err.count("\n") == 1
        return str(captured.err)

    empty = tmp_path / "empty"
    empty.mkdir()
    file = tmp_path / "file"
    file.touch()
    assert f"got {empty} without any: train some with train.py" in sentence(empty)
    assert f"got {tmp_path / 'nowhere'}, which does not exist" in sentence(tmp_path / "nowhere")
    assert f"got {file}, which is a file" in sentence(file)
    finished("cnn")
    finished("crnn")
    finished("crnn", model__dropout=0.5)
    assert "which does not exist" in sentence(tmp_path, tmp_path / "nowhere")
    assert "must be one of cnn, crnn-" in sentence(tmp_path, "--baseline", "cmn")
    assert "got cmn; did you mean cnn?" in sentence(tmp_path, "--compare", "cmn", "cnn")
    several = sentence(tmp_path, "--baseline", "crnn-lstm-1x16")
    assert 'name of 2 in digits: give one of "crnn-lstm-1x16 dropout=0", "crnn-lstm-1x16 dropout=0.5"' in several
    assert "labels in pairs, got 1: cnn" in sentence(tmp_path, "--compare", "cnn")
    assert "different variants, got cnn twice" in sentence(tmp_path, "--compare", "cnn", "cnn")
    assert report(tmp_path, "--to", file) == 2
    assert f"--to must be a folder that can be written to, got {file}" in capsys.readouterr().err


def test_the_command_imports_nothing_heavy(tmp_path: Path, finished: Make) -> None:
    for seed in (0, 1):
        finished("cnn", seed)
        finished("crnn", seed, test=0.7 + seed / 100)
    program = (
        "import sys, report\n"
        "try:\n    report.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'numpy', 'scipy'} & set(sys.modules)\n"
        f"assert report.main([{str(tmp_path)!r}, '--no-page']) == 0\n"
        "assert not {'torch', 'hydra', 'omegaconf', 'matplotlib', 'jinja2', 'pandas'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: report.py" in done.stdout
    assert "Differences on test accuracy" in done.stdout


def test_a_loss_that_is_no_number_is_a_run_that_diverged(tmp_path: Path, finished: Make) -> None:
    path = finished("cnn").folder / "result.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"val/loss": 0.5', '"val/loss": NaN'), encoding="utf-8")
    assert [run.diverged for run in read([tmp_path]).runs] == [True]


BESIDE: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "flipped predictions": (
        "predictions.npz",
        lambda b: b[:2000] + bytes(100) + b[2100:],
        "does not hold a run's predictions",
    ),
    "an object": (
        "predictions.npz",
        lambda _: b"\x93NUMPY\x01\x00v\x00{'descr': '|O'",
        "does not hold a run's predictions",
    ),
    "endless seconds": ("provenance.json", lambda b: b.replace(b"9.0", b"1" + 400 * b"0"), "its seconds do not"),
    "negative seconds": ("provenance.json", lambda b: b.replace(b"9.0", b"-9.0"), "its seconds do not"),
    "year 1": ("provenance.json", lambda b: b.replace(b'"started": "20', b'"started": "00'), "its seconds do not"),
    "deep": ("provenance.json", lambda _: b"[" * 100_000, "its seconds do not"),
    "endless accuracy": ("metrics.csv", lambda b: b.replace(b"0.8", b"1e308"), "its learning curve is missing"),
}


@pytest.mark.parametrize("how", BESIDE)
def test_what_lies_beside_a_result_is_named_where_it_is_broken(how: str, tmp_path: Path, finished: Make) -> None:
    finished("cnn", 1, predictions=True)
    name, damage, sentence = BESIDE[how]
    path = finished("cnn", predictions=True).folder / name
    path.write_bytes(damage(path.read_bytes()))
    found = read([tmp_path])
    assert [problem for problem in found.problems if sentence in problem and str(path) in problem], found.problems
    assert len(found.runs) == (1 if name == "predictions.npz" else 2)


@pytest.mark.parametrize("folder", ["", "a", "../../../x/y/z", "digits/cnn/\0", "digits/cnn/" + 300 * "n", "/etc/x/y"])
def test_a_broken_manifest_is_named(folder: str, tmp_path: Path, asked: Make, finished: Make) -> None:
    path = manifest.write(tmp_path, "sweep", "command", [finished("cnn"), asked("cnn", 1)], None)
    held = json.loads(path.read_text(encoding="utf-8"))
    held["runs"][1]["folder"] = folder
    path.write_text(json.dumps(held), encoding="utf-8")
    report = analysed(tmp_path)
    assert any(f"{path} cannot be read" in problem for problem in report.problems)


def test_a_report_cut_short_leaves_nothing_behind(
    tmp_path: Path, finished: Make, report: Report, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(2):
        finished("cnn", seed, predictions=True)
        finished("crnn", seed, predictions=True)
    told = tmp_path / "told"
    files: list[str] = []

    def dying(path: Path, target: Path) -> Path:
        files.append(str(target))
        if len(files) == 30:
            raise KeyboardInterrupt
        return rename(path, target)

    rename = Path.replace
    monkeypatch.setattr(Path, "replace", dying)
    with pytest.raises(KeyboardInterrupt):
        report(tmp_path, "--to", told)
    monkeypatch.setattr(Path, "replace", rename)
    assert report("--verify", tmp_path, "--to", told) == 1
    assert "the report was cut short; make it again" in capsys.readouterr().out
    (told / "tables" / ".left.csv.999999999").touch()
    assert report(tmp_path, "--to", told, "--baseline", "cnn") == 0
    record = json.loads((told / "report.json").read_text(encoding="utf-8"))
    there = {path.relative_to(told).as_posix() for path in told.rglob("*") if path.is_file()}
    assert there == {*record["files"], "report.json"}
    table = told / "tables" / "digits-variants.tex"
    table.write_text(table.read_text(encoding="utf-8").replace("75.", "99."), encoding="utf-8")
    assert report("--verify", tmp_path, "--to", told) == 1
    assert re.search(r"digits-variants.tex, line \d+: cnn .* 99\.", capsys.readouterr().out)
