"""The command `hybridnets`: which commands there are, how they end, and what a project of the user's own adds."""

import csv
import errno
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hybridnets
from hybridnets import program
from hybridnets.cli import init
from tests.conftest import ROOT, SMALL

ALL = "demo, init, train, report, predict, encode, decode, export, card, completion"


def hybridnets_command(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in a folder, without PYTHONPATH."""
    return subprocess.run(
        [sys.executable, "-m", "hybridnets", *words],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "words", [("--help",), ("completion", "bash"), ("report", "--help"), ("train", "--help"), ("init", "new")]
)
def test_output_that_cannot_be_printed_is_one_sentence(words: tuple[str, ...], tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        completed = subprocess.run(
            [sys.executable, "-m", "hybridnets", *words],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    name = "hybridnets" if words[0] == "--help" else f"hybridnets {words[0]}"
    sentence = f"{name}: the output cannot be printed (No space left on device)\n"
    assert (completed.returncode, completed.stderr) == (2, sentence)


@pytest.mark.parametrize("exists", [False, True])
def test_a_project_that_cannot_be_written_does_not_stand_in_its_own_way(
    exists: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "study"
    if exists:
        folder.mkdir()
    copy, calls = init._copy, itertools.count()

    def full(*words: Any) -> None:
        if next(calls) == 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        copy(*words)

    monkeypatch.setattr(init, "_copy", full)
    assert init.main(["init", str(folder)]) == 2
    sentence = f"FOLDER must be a folder that can be written, got {folder} (No space left on device)"
    assert capsys.readouterr().err == f"hybridnets init: {sentence}\n"
    assert [path.name for path in tmp_path.rglob("*")] == ["study"] * exists
    (folder if exists else tmp_path).joinpath(f"{init.HALF_MADE}killed").mkdir()
    assert init.main(["init", str(folder)]) == 0
    assert (folder / "study" / "model.py").is_file()
    assert init.main(["init", str(folder)]) == 2  # it is no longer empty


@pytest.mark.parametrize("exists", [False, True])
def test_of_two_inits_at_once_one_writes_the_project(
    exists: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "study"
    if exists:
        folder.mkdir()
    copy = init._copy
    codes: list[int] = []

    def interrupted(*words: Any) -> None:
        if not codes:  # before the first file
            codes.append(-1)
            codes[0] = init.main(["init", str(folder)])
        copy(*words)

    monkeypatch.setattr(init, "_copy", interrupted)
    assert init.main(["init", str(folder)]) == 2
    assert codes == [0]
    assert capsys.readouterr().err == (
        f"hybridnets init: FOLDER must be new or empty, got {folder}, which is not: choose another name\n"
    )
    assert not list(tmp_path.rglob(f"{init.HALF_MADE}*"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("trian",), f"hybridnets: COMMAND must be one of {ALL}, got trian"),
        (("\x1b[31mred",), f"hybridnets: COMMAND must be one of {ALL}, got [U+001B]["),
        (("report", "runs", "--margin", "abc"), "hybridnets report: --margin must be a number, got abc"),
        (("report", "runs", "--status", "--pack"), "hybridnets report: --pack and --status are several commands"),
        (("predict", "nothing"), "hybridnets predict: PATH is missing"),
        (
            ("predict", "nothing", "image.png"),
            "hybridnets predict: RUN must be the folder of a finished run, with result.json and checkpoints/best.ckpt in it, "
            "got nothing, which does not exist",
        ),
        (("encode", "nothing", "x.png"), "hybridnets encode: --output is missing"),
        (("decode", "nothing", "codes.npz"), "hybridnets decode: RUN must be the folder of a finished run"),
        (("export", "nothing"), "hybridnets export: --output is missing"),
        (("export", "nothing", "-o", "x.onnx"), "hybridnets export: RUN must be the folder of a finished run"),
        (
            ("export", "nothing", "-o", "x.pt2", "--format", "h5"),
            "hybridnets export: --format must be onnx or pt2, got h5",
        ),
        (("card",), "hybridnets card: FOLDER is missing"),
        (
            ("card", "nothing"),
            "hybridnets card: FOLDER must be a folder of finished runs, got nothing, which does not exist",
        ),
        (("completion", "fish"), "hybridnets completion: shell must be bash or zsh, got fish"),
        (("demo", "--jobs", "0"), "hybridnets demo: --jobs must be at least 1, got 0"),
        (("init", "2nd"), "hybridnets init: FOLDER must be named like a Python package"),
        (("init", "random"), "hybridnets init: FOLDER must not be named like a module that exists already, got random"),
        (("init", "torch"), "hybridnets init: FOLDER must not be named like a module that exists already, got torch"),
        (
            ("train", "-cn", "pap"),
            "hybridnets train: --config-name must be the name of a file, such as compression, compression_paper,",
        ),
        (("init", "."), "hybridnets init: FOLDER must be new or empty"),
        (("train", "model=mlp"), "hybridnets train: model must be one of cnn, crnn"),
        (("train", "-cn", "question"), "hybridnets train: --config-name must be the name of a file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_users_error_is_one_sentence(words: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    completed = hybridnets_command(*words, cwd=tmp_path / "full")
    assert completed.returncode == 2, completed.stdout
    assert completed.stderr.startswith(sentence)
    assert len(completed.stderr.splitlines()) == 1
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["file"]


def test_help_lists_every_command_and_imports_neither_torch_nor_hydra(tmp_path: Path) -> None:
    script = (
        "import sys\nsys.argv = ['hybridnets', *sys.argv[1:]]\n"
        "from hybridnets.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "assert not {'torch', 'numpy', 'scipy', 'hydra', 'matplotlib', 'sklearn'} & set(sys.modules), sys.modules.keys()\n"
    )
    for words in (
        (),
        ("--help",),
        *((name, "--help") for name in ("demo", "init", "report", "predict", "encode", "export", "card", "completion")),
    ):
        completed = subprocess.run(
            [sys.executable, "-c", script, *words], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert "hybridnets" in completed.stdout
    for name in ("demo", "init", "train", "report", "predict", "encode", "decode", "export", "card"):
        assert f"\n  {name}" in hybridnets_command(cwd=tmp_path).stdout
    version = hybridnets_command("--version", cwd=tmp_path).stdout
    assert version == f"hybridnets {hybridnets.__version__}\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("predict", "runs", "0.npy"), "RUN must be the folder of a finished run"),
        (("predict", "file", "0.npy"), "got file, which does not exist"),
        (("encode", "stopped", "0.npy", "-o", "0.npz"), "got stopped, whose run is stopped"),
        (("decode", "runs", "codes.npz"), "got runs, which has no result"),
    ],
)
def test_a_wrong_run_is_refused_without_torch(words: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "stopped").mkdir()
    attempt = {"error": "StoppedError: stopped on request", "stopped": True}
    (tmp_path / "stopped" / "provenance.json").write_text(json.dumps({"attempts": [attempt], "epoch_seconds": {}}))
    script = (
        "import sys\nsys.argv = ['hybridnets', *sys.argv[1:]]\nsys.modules['torch'] = None\n"  # an import of it fails
        "from hybridnets.cli import main\nsys.exit(main())\n"
    )
    completed = subprocess.run(
        [sys.executable, "-c", script, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (completed.returncode, completed.stdout) == (2, "")
    assert sentence in completed.stderr
    assert len(completed.stderr.splitlines()) == 1


def test_commands_name_themselves_as_they_were_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = hybridnets_command("train", "--help", cwd=tmp_path).stdout
    assert "hybridnets train -m rnn=lstm,bilstm nodes=16,32" in text
    assert "train.py" not in text
    for called, words, name in [
        (ROOT / "train.py", ["python", "train.py"], "train.py"),
        (ROOT / "report.py", ["python", "train.py"], "train.py"),
        (ROOT / "hybridnets" / "cli" / "train.py", ["hybridnets", "train"], "hybridnets train"),
        (tmp_path / "bin" / "hybridnets", ["hybridnets", "train"], "hybridnets train"),
    ]:
        monkeypatch.setattr("sys.argv", [str(called)])
        assert (program.words("train"), program.name("train")) == (words, name)
        assert program.words("predict") == ["hybridnets", "predict"]
    monkeypatch.setattr("sys.argv", [str(ROOT / "report.py")])
    assert program.words("encode") == ["python", "features.py", "encode"]


def test_a_project_has_its_own_names(project: Path) -> None:
    text = "".join(path.read_text() for path in project.rglob("*") if path.is_file())
    assert "my_study.model.MLP" in text
    assert "my_project" not in text
    assert "my-project" not in text
    assert (project / "my_study" / "model.py").is_file()


def test_a_bare_train_takes_the_projects_own_model_and_data(project: Path) -> None:
    for words, name in (
        ((), "shapes/mlp"),
        (("model=cnn",), "shapes/cnn"),
        (("data=digits", "model=cnn"), "digits/cnn"),
    ):
        completed = hybridnets_command("train", *words, "dry_run=true", cwd=project)
        assert completed.returncode == 0, completed.stderr
        assert f"would run in runs/{name}/seed=0-" in completed.stdout


def test_a_new_project_passes_its_own_test(project: Path) -> None:
    completed = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout
    assert "2 passed" in completed.stdout


def test_a_projects_question_is_swept_and_answered(project: Path, tmp_path: Path) -> None:
    words = ("-cn", "question", "seed=0,1", "trainer.max_epochs=1", f"out={tmp_path}")
    trained = hybridnets_command("train", *words, cwd=project)
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert "4 jobs: 4 finished" in trained.stdout
    assert trained.stdout.splitlines()[-1] == f"compare them: hybridnets report {tmp_path / 'shapes'}"
    assert "0 finished already" in trained.stdout
    (manifest,) = (tmp_path / "sweeps").glob("*.json")
    assert json.loads(manifest.read_text())["command"] == " ".join(("hybridnets train", *words))
    report = hybridnets_command("report", str(tmp_path / "shapes"), "--no-page", cwd=project)
    assert report.returncode == 0, report.stderr
    assert "cnn" in report.stdout
    assert "mlp" in report.stdout
    run = next((tmp_path / "shapes" / "mlp").iterdir())
    assert "hybridnets train" in (run / "provenance.json").read_text()
    images = np.zeros((3, 1, 16, 16), np.uint8)
    np.save(tmp_path / "images.npy", images)
    predicted = hybridnets_command(
        "predict", str(run), str(tmp_path / "images.npy"), "-o", str(tmp_path / "classes.csv"), cwd=project
    )
    assert predicted.returncode == 0, predicted.stderr
    rows = list(csv.DictReader((tmp_path / "classes.csv").read_text().splitlines()))
    assert [row["image"] for row in rows] == [f"{tmp_path / 'images.npy'}[{i}]" for i in range(3)]
    shares = [float(rows[0][name]) for name in ("circle", "square", "triangle")]
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    assert rows[0]["class"] == ("circle", "square", "triangle")[int(np.argmax(shares))]


def test_runs_that_were_trained_with_other_code_are_named(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path / "copy")
    words = ("train", "model=mlp", "data=shapes", "trainer.max_epochs=1")
    assert hybridnets_command(*words, cwd=tmp_path / "copy").returncode == 0
    assert hybridnets_command(*words, cwd=tmp_path / "copy").stderr == ""
    model = tmp_path / "copy" / "my_study" / "model.py"
    model.write_text(model.read_text().replace(".relu()", ".tanh()"))
    sentence = (
        "my_study.model has changed since mlp seed=0 finished: such runs are not trained again; for runs of the new code give "
        "another out=, or the class another name\n"
    )
    completed = hybridnets_command(*words, cwd=tmp_path / "copy")
    assert "mlp seed=0 is finished already" in completed.stdout
    assert completed.stderr == sentence
    assert sentence in hybridnets_command(*words, "-m", "seed=0", cwd=tmp_path / "copy").stderr
    (attempt,) = json.loads(next((tmp_path / "copy" / "runs").rglob("provenance.json")).read_text())["attempts"]
    assert list(attempt["code"]) == ["my_study.model"]


def test_predict_prints_the_class_that_the_run_predicts(command: Callable[..., object], tmp_path: Path) -> None:
    command(*SMALL, "model=cnn", "trainer.max_epochs=1")
    (run,) = (tmp_path / "runs" / "digits" / "cnn").iterdir()
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    np.save(tmp_path / "images.npy", images)
    completed = hybridnets_command("predict", str(run), "images.npy", cwd=tmp_path)
    assert completed.returncode == 0, completed.stderr
    predictor = hybridnets.load(run)
    probabilities = predictor.predict(images)
    lines = completed.stdout.splitlines()
    assert lines[0].split() == ["image", "class", "probability"]
    for line, row, name in zip(lines[1:], probabilities, ("images.npy[0]", "images.npy[1]"), strict=True):
        words = line.split()
        assert words[:2] == [name, predictor.classes[int(row.argmax())]]
        assert float(words[2]) == pytest.approx(float(row.max()), abs=1e-4)
    for device in ("meta", "fpga", "cpu:"):
        with pytest.raises(
            ValueError, match=f"device must be one that torch can use here, such as cpu, got '{device}'"
        ):
            hybridnets.load(run, device)
    assert (hybridnets.load(run, "cpu:0").predict(images) == probabilities).all()
    wrong = hybridnets_command("predict", str(run), "images.npy", "images.npy", "none.npy", cwd=tmp_path)
    assert (wrong.returncode, wrong.stderr) == (2, "hybridnets predict: PATH not found: none.npy\n")


@pytest.mark.parametrize(
    ("environment", "spins"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "active"}, "unset")],
)
def test_idle_threads_sleep_soon_unless_the_user_says_otherwise(environment: dict[str, str], spins: str) -> None:
    script = (
        "import os, sys\nfrom hybridnets.cli import train\n"
        "def run(main, conf):\n"
        "    assert 'torch' not in sys.modules\n"  # OpenMP reads the variable when torch is imported
        "    print(os.environ.get('GOMP_SPINCOUNT', 'unset'))\n"
        "train.config.run_command = run\ntrain.main()\n"
    )
    clean = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    completed = subprocess.run(
        [sys.executable, "-c", script], env={**clean, **environment}, capture_output=True, text=True, check=True
    )
    assert completed.stdout.split() == [spins]


def test_bash_completes_commands_and_overrides(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "hybridnets"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m hybridnets "$@"\n')
    script.chmod(0o755)
    completion = hybridnets_command("completion", "bash", cwd=tmp_path).stdout

    def complete(*words: str) -> list[str]:
        line = " ".join(words)
        setting = f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; COMP_LINE='{line}'; COMP_POINT={len(line)}"
        text = f'{completion}\n{setting}; _hybridnets; printf "%s\\n" "${{COMPREPLY[@]}}"'
        environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-c", text], env=environment, capture_output=True, text=True, check=True, cwd=tmp_path
        )
        return done.stdout.split()

    assert complete("hybridnets", "re") == ["report"]
    assert "model=ecrnn" in complete("hybridnets", "train", "model=")
    assert complete("hybridnets", "train", "model=cnn", "rnn=bi") == ["rnn=bigru", "rnn=bilstm", "rnn=birnn"]
    assert complete("hybridnets", "train", "-m", "model=cnn,ecr") == ["model=cnn,ecrnn"]
    assert complete("hybridnets", "train", "-m", "rnn=gru,lstm,bil") == ["rnn=gru,lstm,bilstm"]
    assert "model=cnn,crnn" in complete("hybridnets", "train", "-m", "model=cnn,")
    assert complete("hybridnets", "predict", "RUN", "--en") == ["--ensemble"]
    assert set(complete("hybridnets", "predict", "--")) >= {"--top", "--format", "--page", "--skip-broken", "--help"}
    assert "--margin" in complete("hybridnets", "report", "--m")
    assert complete("hybridnets", "predict", "RUN", "--format", "c") == ["csv"]
    assert complete("hybridnets", "export", "RUN", "--format", "") == ["onnx", "pt2"]
    assert complete("hybridnets", "report", "--test", "") == ["paired", "corrected"]
    (tmp_path / "model.onnx").touch()
    assert complete("hybridnets", "export", "RUN", "--output", "mo") == ["model.onnx"]
    assert "autoload -U +X bashcompinit" in hybridnets_command("completion", "zsh", cwd=tmp_path).stdout
