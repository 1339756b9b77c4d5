"""The report as a user makes it: numbers checked by hand, slips, and a report that is cut short."""

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybridnets.runs import Run
from hybridnets.stats import paired_differences, paired_t

Make = Callable[..., Run]


Report = Callable[..., int]


ROOT = Path(__file__).parents[2]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def line(text: str, *words: str) -> str:
    """The one line that begins with the words."""
    (match,) = [line for line in text.splitlines() if line.split()[: len(words)] == list(words)]
    return match


def test_accuracies_and_differences_by_hand(tmp_path: Path, finished: Make, report: Report, capsys: Any) -> None:
    cnn, crnn = (0.70, 0.72, 0.71), (0.712, 0.738, 0.719)  # the differences of the worked example
    for seed in (2, 0, 1):
        finished("cnn", seed, test=cnn[seed], val=0.8)
        finished("crnn", seed, test=crnn[seed], val=0.79 + 0.01 * seed, parameters=392_970)
    assert report(tmp_path, "--no-page") == 0
    text = capsys.readouterr().out
    assert max(len(line) for line in text.splitlines() if not line.startswith("    ")) <= 120  # a command is one line
    assert " ".join(line(text, "cnn", "3").split()) == "cnn 3 71.00 ± 1.00 80.00 ± 0.00 79.00 ± 0.00 400,586 4.0 15.0 3"
    assert "val is optimistic" in text
    differences = " ".join(line(text, "crnn-lstm-1x16", "cnn").split())
    assert differences == "crnn-lstm-1x16 cnn 3 +1.30 0.46 +0.16 to +2.44 0.039 0.039 primary 0.039 3 : 0"
    assert "its question: on these test images, over splits and seeds" in " ".join(text.split())

    assert report(tmp_path, "--to", tmp_path / "folder") == 0
    tests = [row for row in rows(tmp_path / "folder" / "tables" / "tests.csv") if row["metric"] == "test"]
    answer, plain, corrected = tests[:3]
    assert (answer["test"], answer["p"]) == ("answer: the plain paired t over seeds", plain["p"])
    expected = paired_t([crnn[seed] - cnn[seed] for seed in range(3)])
    assert (plain["test"], plain["variant"], plain["baseline"]) == ("paired t over seeds", "crnn-lstm-1x16", "cnn")
    assert expected.interval is not None
    assert (float(plain["p"]), float(plain["low"]), float(plain["high"])) == (expected.p, *expected.interval)
    assert (corrected["p"], corrected["why"]) == ("", "the test images are the same for all seeds")
    _, crnn_row = rows(tmp_path / "folder" / "tables" / "digits-variants.csv")
    assert (crnn_row["parameters"], crnn_row["runs"], float(crnn_row["s/epoch"])) == ("392970", "3", 4.0)
    assert float(crnn_row["test"]) == paired_differences(crnn, [0.0] * 3).mean  # full precision
    runs = rows(tmp_path / "folder" / "tables" / "runs.csv")
    assert [(run["variant"], run["seed_split"]) for run in runs[:3]] == [("cnn", "0"), ("cnn", "1"), ("cnn", "2")]
    assert all((tmp_path / run["folder"] / "result.json").exists() for run in runs)
    assert [run["test"] for run in runs] == [repr(value) for value in (*cnn, *crnn)]


def test_one_seed_and_equal_differences_have_no_p_value(
    tmp_path: Path, finished: Make, report: Report, capsys: Any
) -> None:
    finished("cnn", 0)
    finished("crnn", 0)
    assert report(tmp_path, "--no-page") == 0
    text = capsys.readouterr().out
    assert "75.00 ± n/a" in line(text, "cnn", "1")
    assert "n/a (one seed)" in line(text, "crnn-lstm-1x16", "cnn")
    assert "That does not say which is better (one seed): one difference does not show how much seeds differ." in text
    finished("cnn", 1, test=0.74)
    finished("crnn", 1, test=0.74)
    assert report(tmp_path, "--no-page") == 0
    text = capsys.readouterr().out
    assert "n/a (all differences" in line(text, "crnn-lstm-1x16", "cnn")
    assert "So the two are identical by this metric: the same value in each of 2 seeds." in text


def test_a_users_slip_exits_with_2_and_one_sentence(
    tmp_path: Path, finished: Make, report: Report, capsys: Any
) -> None:
    def sentence(*arguments: Any) -> str:
        assert report("--no-page", *arguments) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("hybridnets report: ")
        assert captured.err.count("\n") == 1
        return str(captured.err)

    empty = tmp_path / "empty"
    empty.mkdir()
    file = tmp_path / "file"
    file.touch()
    assert f"got {empty} without any: train some, or give the folder" in sentence(empty)
    assert f"got {tmp_path / 'nowhere'}, which does not exist" in sentence(tmp_path / "nowhere")
    assert f"got {file}, which is another kind of file" in sentence(file)
    finished("cnn")
    finished("crnn")
    finished("crnn", model__dropout=0.5)
    assert "which does not exist" in sentence(tmp_path, tmp_path / "nowhere")
    assert "must be one of cnn, crnn-" in sentence(tmp_path, "--baseline", "cmn")
    assert "got cmn; did you mean cnn?" in sentence(tmp_path, "--compare", "cmn", "cnn")
    several = sentence(tmp_path, "--baseline", "crnn-lstm-1x16")
    assert (
        'the name of 2 variants of digits: give one of "crnn-lstm-1x16 dropout=0", "crnn-lstm-1x16 dropout=0.5"'
        in several
    )
    assert "labels in pairs, got 1: cnn" in sentence(tmp_path, "--compare", "cnn")
    assert "different variants, got cnn twice" in sentence(tmp_path, "--compare", "cnn", "cnn")
    for folder, where in ((file, "which is a file"), (file / "deep", f"and {file} is a file")):
        assert report(tmp_path, "--to", folder) == 2
        answer = capsys.readouterr()
        assert f"--to must be a folder, got {folder}, {where}: give another" in answer.err
        assert answer.out == ""  # refused before the report is made
    assert report(tmp_path, "--to", file, "--no-page") == 0


def test_one_restored_run_is_not_several(tmp_path: Path, finished: Make, report: Report, capsys: Any) -> None:
    finished("cnn", predictions=True)
    assert report("--pack", tmp_path, "-o", tmp_path / "e.npz") == 0
    assert report("--unpack", tmp_path / "e.npz", "-o", tmp_path / "out") == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"e.npz: 1 run restored in {tmp_path / 'out'}")


def test_the_command_imports_nothing_heavy(tmp_path: Path, finished: Make) -> None:
    for seed in (0, 1):
        finished("cnn", seed)
        finished("crnn", seed, test=0.7 + seed / 100)
    program = (
        "import sys\nfrom hybridnets.cli import report\n"
        "try:\n    report.main(['report', '--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'numpy', 'scipy'} & set(sys.modules)\n"
        f"assert report.main(['report', {str(tmp_path)!r}, '--no-page']) == 0\n"
        "assert not {'torch', 'hydra', 'omegaconf', 'matplotlib', 'jinja2', 'pandas'} & set(sys.modules)\n"
    )
    process = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert "usage: hybridnets report" in process.stdout
    assert "Differences on test accuracy" in process.stdout


def test_a_report_cut_short_leaves_nothing_behind(
    tmp_path: Path, finished: Make, report: Report, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(2):
        finished("cnn", seed, predictions=True)
        finished("crnn", seed, predictions=True)
    folder = tmp_path / "folder"
    files: list[str] = []

    def dying(path: Path, target: Path) -> Path:
        files.append(str(target))
        if len(files) == 30:
            raise KeyboardInterrupt
        return rename(path, target)

    rename = Path.replace
    monkeypatch.setattr(Path, "replace", dying)
    with pytest.raises(KeyboardInterrupt):
        report(tmp_path, "--to", folder)
    monkeypatch.setattr(Path, "replace", rename)
    assert report("--verify", tmp_path, "--to", folder) == 1
    assert "the report was cut short; make it again" in capsys.readouterr().out
    (folder / "tables" / ".left.csv.999999999").touch()
    assert report(tmp_path, "--to", folder, "--baseline", "cnn") == 0
    record = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {*record["files"], "report.json"}
    table = folder / "tables" / "digits-variants.tex"
    table.write_text(table.read_text(encoding="utf-8").replace("75.", "99."), encoding="utf-8")
    assert report("--verify", tmp_path, "--to", folder) == 1
    assert re.search(r"digits-variants.tex, line \d+: cnn .* 99\.", capsys.readouterr().out)
